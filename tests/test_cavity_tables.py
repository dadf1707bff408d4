"""The experiments on the lid-driven cavity, at a scale of two steps, and what is built into their
operator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.usefixtures("paper")


ROWS = {"table10": 2, "cavity_reynolds": 1, "cavity_truth": 5}
CHOSEN = {"table10": "hybrid,differences", "cavity_reynolds": "hybrid"}


@pytest.mark.parametrize("name", ROWS)
def test_a_table_is_measured_once(name, paper, out, monkeypatch):
    module = paper(name)
    given = ["--scale", "demo", "--out", str(out / name / name)]
    given += ["--rows", CHOSEN[name]] if name in CHOSEN else []
    rows = module.run(given)
    assert len(rows) == ROWS[name]
    for row in rows:
        values = [v for v in row.values() if isinstance(v, float)]
        assert values and all(math.isfinite(v) for v in values)
    wanted = {"figure.png", "rows.csv", "rows.jsonl", "table.md"}
    assert wanted <= {each.name for each in (out / name / name).iterdir()}
    monkeypatch.setattr(module, "measure", None)
    assert module.run(given) == rows


def points(paper, count=400):
    """Random x, y, t, away from the corners of the lid. Shapes: "1 n" each."""
    at = torch.rand(1, count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return (0.02 + 0.96 * at * torch.tensor([1, 1, 10])).requires_grad_()


def test_the_lift_has_no_divergence(paper):
    lift, at = paper("cavity_lift").lift, points(paper)
    u, v, _ = lift(*at.unbind(-1), 1 / 500).unbind(-1)
    along, upward = (
        torch.autograd.grad(each.sum(), at, retain_graph=True)[0][..., k]
        for k, each in enumerate((u, v))
    )
    assert float(along.abs().max()) > 1
    assert float((along + upward).abs().max()) < 1e-10


def test_the_lift_is_right_at_walls_and_the_factor_vanishes_there(paper):
    module = paper("cavity_lift")
    s, zero = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)[None], torch.zeros(1, 19)
    for x, y, speed in ((s, zero + 1, 1), (zero, s, 0), (zero + 1, s, 0), (s, zero, 0)):
        values = module.lift(x.double(), y.double(), zero.double() + 3, 1 / 500)
        expected = torch.tensor([speed, 0.0], dtype=torch.float64).expand(1, 19, 2)
        assert torch.allclose(values[..., :2], expected, atol=1e-3)
        assert float(module.factor(x, y, zero + 3)[..., :2].abs().max()) < 1e-6
    assert float(module.factor(s, s, zero)[..., :2].abs().max()) == 0


def test_the_lift_is_stokes_flow_in_the_corners(paper):
    """nu lap v = grad p, to what is small beside it near the corner."""
    lift, nu, gaps = paper("cavity_lift").lift, 0.1, []
    for r in (0.04, 0.02, 0.01):
        angle = torch.linspace(0.3, 1.2, 7, dtype=torch.float64)[None]
        at = torch.stack((r * angle.cos(), 1 - r * angle.sin(), angle * 0 + 1e4), -1)
        at.requires_grad_()
        u, v, p = lift(*at.unbind(-1), nu).unbind(-1)

        def slope(value, k, at=at):
            return torch.autograd.grad(value.sum(), at, create_graph=True)[0][..., k]

        force = [nu * sum(slope(slope(each, k), k) for k in (0, 1)) for each in (u, v)]
        push = [slope(p, k) for k in (0, 1)]
        gap = sum((f - g).square() for f, g in zip(force, push, strict=True)).sum().sqrt()
        gaps.append(float(gap / sum(g.square() for g in push).sum().sqrt()))
    assert gaps[2] < 0.7 * gaps[1] < 0.5 * gaps[0] < 0.5


def test_stretched_coordinates_are_those_of_the_problem(paper):
    cavity, lift = paper("cavity"), paper("cavity_lift")
    at = np.random.default_rng(0).uniform(0.01, 0.99, (50, 3)) * (1, 1, 10)
    stretched = torch.from_numpy(cavity.coordinates("built in", at))[None]
    back = torch.stack(lift.physical(stretched, cavity.STRETCH), -1)[0].numpy()
    assert np.allclose(back, at)


def test_the_stretched_problem_has_the_residuals_of_the_example(paper):
    """Of a flow with closed derivatives, at random points."""
    import compiler

    cavity = paper("cavity")
    at = points(paper).detach()

    def flow(x):
        a, b, t = x.unbind(-1)
        return torch.stack((a**2 * b * t, a * b**2 + t**2, a * b * t), -1)

    class Read:
        """The same flow in stretched coordinates."""

        def __call__(self, x):
            return flow(torch.stack(paper("cavity_lift").physical(x, cavity.STRETCH), -1))

    problem = cavity.problem_of("built in")
    stretched = torch.from_numpy(cavity.coordinates("built in", at[0].numpy()))[None]
    found = compiler.compile(problem, "autograd").residuals(Read(), stretched)
    wanted = compiler.compile(cavity.example(cavity.CAVITY), "autograd").residuals(flow, at)
    x, y, _ = at.unbind(-1)
    q = 1.0
    for c in (0.0, 1.0):
        q = q * (1 - torch.exp(-((x - c) ** 2 + (1 - y) ** 2) / 0.0025))
    s = stretched[..., 2]
    mass = wanted["continuity"][..., 0]
    assert torch.allclose(found["continuity"][..., 0], q * mass)
    # the example's stress holds grad(div v)/Re beside lap v/Re; here div v = 2 x y (t + 1)
    for k, name in enumerate(("along", "upward")):
        momentum = wanted["momentum"][..., k] + 2 * (y, x)[k] * (at[..., 2] + 1) / 500
        assert torch.allclose(found[name][..., 0], 4 * s * q * momentum, atol=1e-9)
