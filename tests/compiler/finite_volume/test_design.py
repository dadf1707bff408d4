"""The search for better sections: by a wrong operator, too, it ends where the truth is best."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize

import compiler
from compiler.finite_volume.design import Asked, Visited, Wings, improve
from compiler.finite_volume.moving import Grids
from compiler.finite_volume.operator import SectionOperator, forces

from .sections import flow_at

LEAST = 0.3
BEST = np.linspace(-0.02, 0.03, 7)


def truth(d: np.ndarray) -> np.ndarray:
    return np.array([0.01 + 4 * ((d - BEST) ** 2).sum(), 0.2 + 2 * d.sum() - 3 * d[0] ** 2])


class Crooked:
    """An operator whose forces are off by a tenth and a slope, and that says so or not."""

    def __init__(self, gap: float) -> None:
        self.gap, self.asked, self.learnt = gap, 0, 0

    def predicted(self, d):
        off = np.array([0.9, 1.1])
        slopes = np.stack([8 * (d - BEST), np.full(7, 2.0)])
        slopes[1, 0] -= 6 * d[0]
        bent = np.outer([1e-2, -5e-2], np.ones(7))
        return off * truth(d) + bent @ d, off[:, None] * slopes + bent, self.gap

    def truth(self, d):
        self.asked += 1
        return truth(d)

    def learn(self):
        self.learnt += 1


ASKED = Asked(lambda f, d: f[0] / f[1] + 0.01 * d.square().sum(), [lambda f, d: f[1] - LEAST], 0.05)


def search(gap: float) -> tuple[Crooked, list[Visited]]:
    model = Crooked(gap)
    return model, improve(model, ASKED, np.zeros(7), radius=0.01, asks=25)


def test_search_ends_at_the_constrained_minimum_of_the_truth():
    model, path = search(1.0)
    right = minimize(
        lambda d: truth(d)[0] / truth(d)[1] + 0.01 * (d**2).sum(),
        np.full(7, 0.01),
        bounds=[(-0.05, 0.05)] * 7,
        constraints={"type": "ineq", "fun": lambda d: truth(d)[1] - LEAST},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    assert path[-1].by == "solver" and path[-1].cost < path[0].cost
    assert path[-1].cost < 1.02 * right.fun
    assert path[-1].forces[1] > LEAST - 1e-4
    assert np.allclose(path[-1].forces, truth(path[-1].d))
    assert all(each.by == "solver" for each in path)
    assert model.asked <= 25 and model.learnt == model.asked - 1


def test_operator_that_is_sure_is_asked_alone_between_checks():
    model, path = search(0.0)
    assert {each.by for each in path} == {"operator", "solver"}
    assert path[-1].cost < 0.5 * path[0].cost


def test_solver_is_asked_and_learnt_from():
    problem, rows = flow_at(), 12
    grids = Grids(problem, 8, rows)

    def solve(d):
        batch = compiler.instance(problem, {"d": torch.tensor(d)}, dtype=torch.float64)
        (sample,) = compiler.solve(problem, batch, 8).samples
        values = torch.from_numpy(sample.vectors.reshape(4, 17, 64)).permute(1, 2, 0)
        return grids.nodes(torch.tensor(d)[None])[0], values[:rows]

    operator = SectionOperator((rows, 64), width=8)
    wings = Wings(operator, grids, solve, dtype=torch.float64)
    start = np.full(7, 0.01)
    nodes, fields = solve(start)
    operator.standardise(torch.stack([nodes, nodes]), torch.stack([fields, 1.1 * fields]))
    found = wings.truth(start)
    assert np.allclose(found, forces(nodes[None], fields[None, 0, :, 3])[0])
    value, slopes, gap = wings.predicted(start)
    assert value.shape == (2,) and slopes.shape == (2, 7) and gap > 0
    step = 1e-4 * np.eye(7)[2]
    ends = [wings.predicted(start + s)[0] for s in (step, -step)]
    assert np.abs((ends[0] - ends[1]) / 2e-4 - slopes[:, 2]).max() < 1e-5 * np.abs(slopes).max()
    said = wings.operator.misfit(nodes[None], fields[None], torch.Generator().manual_seed(0))
    wings.learn(4)
    again = wings.operator.misfit(nodes[None], fields[None], torch.Generator().manual_seed(0))
    assert float(again.detach()) < float(said.detach())
    assert wings.asked == 1
