"""The level of an unknown into which nothing is built, against balances done by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import compiler
import pdespec
from compiler.batches.level import has_level
from compiler.batches.recipe import Recipe
from compiler.scales import scaled
from compiler.training.checkpoint import load_run
from compiler.training.options import OptionError
from compiler.training.runs import RUN, identity, refuse_foreign
from tests.compiler.commands import call

PLATE = """problem plate
space    x, y [m]
const    k = 200 [W/(m*K)], Tair = 300 [K]
param    h ~ uniform(20, 200) [W/(m^2*K)], q ~ uniform(5e3, 2e4) [W/m^2]
domain   S = rectangle([0, 0], [0.05, 0.02])
boundary chip = side(S, y = 0), air = rest(S)
unknown  T : scalar on S [K]
in S:    -div(k*grad(T)) = 0
on chip: k*dn(T) = q
on air:  k*dn(T) = -h*(T - Tair)
"""


SQUARE = """problem square
space    x, y
domain   S = rectangle([0, 0], [1, 1])
boundary wall = boundary(S)
unknown  u : scalar on S
"""


def level_of(text: str, **params) -> torch.Tensor:
    """Shapes: -> "b"."""
    problem = pdespec.parse(text, source="p.pde")
    batch = compiler.instance(
        problem, params, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    points = batch.points["S"].points
    found = batch.inputs.ansatz.offset(points)
    assert torch.allclose(found, found[:, :1].expand_as(found))
    return found[:, 0, 0]


def test_a_level_is_where_what_comes_in_goes_out_again():
    h = torch.tensor(50.0, dtype=torch.float64, requires_grad=True)
    found = level_of(PLATE, h=h, q=1e4)
    above = 1e4 * 0.05 / (50 * (0.05 + 2 * 0.02))
    assert found.detach() == pytest.approx(300 + above, rel=1e-6)
    found.sum().backward()
    assert h.grad == pytest.approx(-above / 50, rel=1e-5)


def test_a_source_and_a_loss_inside_count_too():
    text = PLATE.replace("grad(T)) = 0", "grad(T)) + c*T = f*x")
    text = text.replace("Tair = 300 [K]", "Tair = 300 [K], c = 1e3 [W/(m^3*K)], f = 1e8 [W/m^4]")
    area, length, mean = 0.05 * 0.02, 0.09, 0.025
    expected = (1e4 * 0.05 + 50 * length * 300 + 1e8 * mean * area) / (50 * length + 1e3 * area)
    assert level_of(text, h=50, q=1e4) == pytest.approx(expected, rel=1e-3)  # mean over points


def test_a_balance_that_is_not_linear_is_met():
    text = PLATE.replace("k*dn(T) = -h*(T - Tair)", "k*dn(T) = -s*(T^4 - Tair^4)")
    text = text.replace("Tair = 300 [K]", "Tair = 300 [K], s = 5.67e-8 [W/(m^2*K^4)]")
    text = text.replace("h ~ uniform(20, 200) [W/(m^2*K)], ", "")
    q = torch.tensor(1e4, dtype=torch.float64, requires_grad=True)
    share = 0.05 / (5.67e-8 * 0.09)
    expected = (300**4 + 1e4 * share) ** 0.25
    found = level_of(text, q=q)
    assert found.detach() == pytest.approx(expected, rel=1e-6)
    (first,) = torch.autograd.grad(found.sum(), q, create_graph=True)
    assert first.detach() == pytest.approx(share / (4 * expected**3), rel=1e-6)
    (second,) = torch.autograd.grad(first, q)
    assert second == pytest.approx(-3 * share**2 / (16 * expected**7), rel=1e-6)


def test_a_loss_that_bends_at_once_is_met():
    text = SQUARE + "in S: -div(grad(u)) + if(u > 2, 5*u - 8, u) = 6\non wall: dn(u) = 0\n"
    assert level_of(text) == pytest.approx(2.8)


def test_a_level_is_found_in_inference_mode():
    problem, batches = pdespec.parse(PLATE, source="plate.pde"), []
    for mode in (torch.inference_mode, torch.enable_grad):
        with mode():
            generator = torch.Generator().manual_seed(0)
            batch = compiler.sample(problem, 2, generator=generator)
            batches.append(batch.inputs.ansatz.offset(batch.points["S"].points))
    assert torch.equal(*batches)


@pytest.mark.parametrize(
    "stated",
    [
        "minimize integral(dot(grad(u), grad(u))/2 + abs(u - 1) + (u - 3)^2/2, S)",  # has kinks
        "in S: -div(grad(u)) + u^2 = -1 - x\non wall: dn(u) = 0",  # balances nowhere
        # a slope of rounding: sin(pi) on a wall
        "in S: -div(grad(u) - u*[sin(pi*x), 0]) = x - 1/2\non wall: dn(u) = 0",
        # no value at a constant
        "in S: -div(grad(u)) + u + dot(grad(u), grad(u))^(-1/2) = 3\non wall: dn(u) = 0",
    ],
)
def test_a_balance_of_no_use_gives_none(stated):
    problem = pdespec.parse(SQUARE + stated, source="square.pde")
    assert not has_level(problem)


def test_an_energy_has_the_level_of_its_equation():
    text = PLATE.partition("in S:")[0] + (
        "minimize integral(k*dot(grad(T), grad(T))/2, S) - integral(q*T, chip)"
        " + integral(h*(T - Tair)^2/2, air)\n"
    )
    assert level_of(text, h=50, q=1e4) == pytest.approx(level_of(PLATE, h=50, q=1e4), rel=1e-6)


@pytest.mark.parametrize(
    ("was", "reads"),
    [
        ("on air:  k*dn(T) = -h*(T - Tair)", "on air:  T = Tair"),  # built in
        (
            "grad(T)) = 0",
            "grad(T)) - 1e6*T = 0",
        ),  # falls inside, grows on the walls: it may resonate
        ("on air:  k*dn(T) = -h*(T - Tair)", "on air:  k*dn(T) = -q*x\nrequire integral(T, S) = 0"),
        ("T : scalar on S [K]", "T : scalar on S [K] > 0"),
    ],
)
def test_other_problems_have_none(was, reads):
    text = PLATE.replace(" [K]", "").replace(" [W/(m*K)]", "")
    assert was.replace(" [K]", "") in text
    text = text.replace(was.replace(" [K]", ""), reads.replace(" [K]", ""))
    for unit in (" [m]", " [W/(m^2*K)]", " [W/m^2]"):
        text = text.replace(unit, "")
    assert not has_level(scaled(pdespec.parse(text, source="p.pde"))[1])


def test_a_run_of_before_there_were_levels_answers_without(tmp_path):
    problem = pdespec.parse(PLATE, source="plate.pde")
    small = {"latent": (8, 8), "hidden": 4, "modes": 2, "layers": 1}
    model = compiler.build(problem, "gino", **small)
    options = compiler.TrainOptions(steps=1, batch=1, points={"operator": 32}, level=False)
    run = compiler.train(
        problem, model, options, tmp_path / "run", recipe=Recipe("gino", small), preset="demo"
    )
    file = run.directory / RUN
    record = {**json.loads(file.read_text()), "format": 5}
    del record["options"]["level"]
    file.write_text(json.dumps(record))
    older = load_run(run.directory)
    assert older.options.ansatz["level"] is False
    of_then = identity(older)  # as its checkpoint was written
    del of_then["options"]["level"]
    assert refuse_foreign(older, of_then, older.checkpoint("last")) == ()
    stated = tmp_path / "plate.pde"
    stated.write_text(PLATE)
    resumed = call("train", str(stated), "--out", str(run.directory), "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    with pytest.raises(OptionError, match="level"):
        compiler.train(problem, model, replace(options, level=True), run.directory, resume=True)


def test_a_start_that_is_left_to_the_loss_gives_the_network_its_size():
    """The state jumps where the boundary begins, so that it is not built in; nothing else drives
    the equation, and the network was multiplied by a millionth of what it had to reach."""
    problem = pdespec.parse(
        "problem clay\nspace z [m]\ntime t in [0, 2]\ndomain L = interval(0, 4)\n"
        "param load ~ uniform(50, 150)\nunknown u : scalar on L\nin L: dt(u) = 2*dzz(u)\n"
        "on side(L, z = 0): u = 0\non side(L, z = 4): dn(u) = 0\nat t = 0: u = load\n",
        source="clay.pde",
    )
    batch = compiler.instance(
        problem, {"load": [60.0, 120.0]}, generator=torch.Generator().manual_seed(0), size=2
    )
    points = torch.tensor([[4.0, 1.0]]).expand(2, 1, 2)
    factor = batch.inputs.ansatz.factor(points)[:, 0, 0]
    assert 20 < factor[0] < 500 and factor[1] == pytest.approx(2 * float(factor[0]), rel=1e-3)
