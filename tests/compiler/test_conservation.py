"""Balances over control volumes, held to integrals by SymPy and to solutions with shocks."""

from __future__ import annotations

import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.loss.conservation import ConservationLoss, NotConserved, at_nodes, blocks, boxes, laws

BURGERS = """
problem inviscid
space    x
time     t in [0, 1]
domain   L = interval(-1, 1)
unknown  u : scalar on L
in L:      dt(u) + dx(u**2/2) = sin(x)
at t = 0:  u = exp(-4*x**2)
"""


def shock(speed: float):
    return lambda at: torch.where(at[..., :1] < speed * at[..., 1:], 1.0, 0.0).to(at)


def test_balance_is_the_mean_residual_of_a_volume():
    problem = pdespec.parse(BURGERS)
    loss = ConservationLoss(problem, reach=(0.1, 0.05))
    batch = compiler.sample(problem, 2, {"interior": 6}, dtype=torch.float64)
    volumes = boxes(problem, batch, problem.domains["L"], (0.1, 0.05))
    found = loss.balances(lambda at: at[..., :1] ** 2 * at[..., 1:], volumes, batch)["eq1"]
    x, t = sp.symbols("x t")
    u = x**2 * t
    residual = sp.diff(u, t) + sp.diff(u**2 / 2, x) - sp.sin(x)
    for place in range(6):
        low, high = volumes.faces[0, place].amin(0), volumes.faces[0, place].amax(0)
        ranges = [(s, float(a), float(b)) for s, a, b in zip((x, t), low, high, strict=True)]
        whole = sp.integrate(residual, *ranges)
        size = (high - low).prod()
        assert abs(float(whole) / float(size) - float(found[0, place, 0])) < 1e-7


def test_shock_of_the_right_speed_balances_and_of_another_does_not():
    problem = pdespec.parse(BURGERS.replace("sin(x)", "0"))
    generator = torch.Generator().manual_seed(0)
    batch = compiler.sample(problem, 1, {"interior": 1500}, generator, dtype=torch.float64)

    def value(speed: float, nodes: int) -> float:
        loss = ConservationLoss(problem, reach=(0.05, 0.05), nodes=nodes)
        return float(loss(shock(speed), batch)["eq1"])

    right = [value(0.5, nodes) for nodes in (4, 16, 64)]
    assert right[0] > 4 * right[1] > 16 * right[2]  # the rule's error at the cut, squared
    assert value(0.6, 64) > 50 * right[2]


def test_equations_that_are_no_divergence_are_refused_with_the_form_to_write():
    problem = pdespec.parse(BURGERS.replace("dx(u**2/2)", "u*dx(u)"))
    assert not laws(problem)
    with pytest.raises(NotConserved, match="dx\\(u\\*\\*2/2\\)"):
        ConservationLoss(problem)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "space r, z axisymmetric\ndomain A = rectangle([0, 0], [1, 1])\n"
            "unknown u : scalar on A\nin A: div(grad(u)) = 1\non boundary(A): u = 0\n",
            "Cartesian",
        ),
        (
            "space x\ndomain A = interval(0, 1)\ntrainable c = 9\nunknown u : scalar on A\n"
            "in A: dx(dx(u)) + c*u = 0\non boundary(A): u = 0\nrequire integral(u**2, A) = 1\n",
            "require1 .* size of a field",
        ),
    ],
)
def test_problems_whose_balances_would_mean_something_else_are_refused(text, message):
    with pytest.raises(NotConserved, match=message):
        ConservationLoss(pdespec.parse(f"problem p\n{text}"))


def test_volumes_and_loss_do_not_hang_on_what_else_is_in_the_batch():
    problem = pdespec.parse(
        "problem p\nspace x\nparam r ~ uniform(1, 3)\ndomain A = interval(0, r)\n"
        "unknown u : scalar on A\nin A: dx(u**2/2) = x\non side(A, x = 0): u = 0\n"
    )
    batch = compiler.sample(problem, 2, {"interior": 16}, dtype=torch.float64)
    loss = ConservationLoss(problem)
    whole, *parts = (
        float(loss(torch.cos, each)["eq1"])
        for each in (batch, batch.select([0]), batch.select([1]))
    )
    assert abs(whole - sum(parts) / 2) < 1e-12 * whole


def test_volumes_in_other_units_are_the_same():
    text = BURGERS.replace("sin(x)", "0")
    other = (
        text.replace("interval(-1, 1)", "interval(-100, 100)")
        .replace("[0, 1]", "[0, 10000]")
        .replace("dx(u**2/2)", "100*dx(u**2/2)/10000")
        .replace("exp(-4*x**2)", "exp(-4*(x/100)**2)")
    )
    found = []
    for each, scale in ((text, (1.0, 1.0)), (other, (100.0, 1e4))):
        problem = pdespec.parse(each)
        generator = torch.Generator().manual_seed(0)
        batch = compiler.sample(problem, 1, {"interior": 64}, generator, dtype=torch.float64)
        loss = ConservationLoss(problem, reach=tuple(0.1 * s for s in scale))
        size = torch.tensor(scale, dtype=torch.float64)
        field = lambda at, size=size: torch.sin(3 * at / size).sum(-1, keepdim=True)  # noqa: E731
        found.append(float(loss(field, batch)["eq1"]) * scale[1] ** 2)
    assert abs(found[1] / found[0] - 1) < 1e-9


def test_blocks_of_a_grid_balance_a_linear_flux():
    problem = pdespec.parse(
        "problem flux\nspace x, y\ndomain D = disk(radius = 3) - disk(radius = 1)\n"
        "unknown v : vector on D\nin D: div(v) = 3; dx(v.y) - dy(v.x) = 0\n"
        "on outer(D): v = [2*x, y]\n"
    )
    angle = torch.arange(24, dtype=torch.float64) * torch.pi / 12
    radius = torch.linspace(1, 3, 9, dtype=torch.float64)
    circle = torch.stack([angle.cos(), -angle.sin()], -1)
    nodes = (radius[:, None, None] * circle)[None]
    volumes, number = blocks(nodes, 4)
    batch = compiler.sample(problem, 1, {"interior": 4}, dtype=torch.float64)
    loss = ConservationLoss(problem)
    values = nodes.flatten(1, 2) * nodes.new_tensor([2.0, 1.0])  # div = 3
    balance = loss.balances(at_nodes(values, number), volumes, batch)["eq1"]
    assert balance.shape == (1, 12, 1)
    assert balance.abs().max() < 1e-12
    wrong = loss.balances(at_nodes(2 * values, number), volumes, batch)["eq1"]
    assert (wrong - 3).abs().max() < 1e-12
    ring = 12 * torch.sin(angle[1]) * 8  # the polygons' area
    assert abs(float(volumes.measure.sum() - ring)) < 1e-12


def test_training_by_balances_finds_a_moving_front(tmp_path):
    problem = pdespec.parse(f"{BURGERS}require u <= 2\n")
    options = compiler.TrainOptions(
        steps=2, form="balance", batch=1, validation=1, references=0, accelerator="cpu"
    )
    run = compiler.train(
        problem, compiler.build(problem, "pinn"), options, directory=tmp_path / "r"
    )
    assert "eq1" in run.history[-1]
    assert 0 <= run.history[-1]["violated require1"] <= 1
    with pytest.raises(compiler.training.options.OptionError, match="error_estimate=false"):
        compiler.TrainOptions(form="balance", error_estimate=True)
    with pytest.raises(compiler.training.options.OptionError, match="block=none"):
        compiler.TrainOptions(form="balance", block=64)
