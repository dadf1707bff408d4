"""Names that mean something to Python, torch, SymPy or the compiler itself, in every place of a
problem, from its text to its export."""

from __future__ import annotations

import pytest
import torch

import compiler
import pdespec
from compiler.fem.export.ufl import to_ufl
from compiler.fem.forms.weak import weak_form
from pdespec.text.syntax.printer import document
from pdespec.text.write.summary import explain
from pdespec.text.write.unparse import recover

SQUARE = "domain Q = rectangle([0, 0], [1, 1])"
FLAT = f"problem p\nspace x, y\n{SQUARE}\nunknown u : scalar on Q\n"
PLACES = {
    "param": (
        f"problem p\nspace x, y\nparam NAME ~ uniform(1, 2)\n{SQUARE}\nunknown u : scalar on Q\n"
        "in Q: -lap(u) + NAME*dx(u) = NAME\non boundary(Q): u = 0"
    ),
    "const": (
        f"problem p\nspace x, y\nconst NAME = 2\n{SQUARE}\nunknown u : scalar on Q\n"
        "in Q: -lap(u) + NAME*dx(u) = NAME\non boundary(Q): u = 0"
    ),
    "trainable": (
        f"problem p\nspace x, y\ntrainable NAME = 2\n{SQUARE}\nunknown u : scalar on Q\n"
        "in Q: -lap(u) + NAME*dx(u) = NAME\non boundary(Q): u = 0"
    ),
    "input": (
        f"problem p\nspace x, y\n{SQUARE}\ninput NAME : scalar on Q ~ gaussians(count = 2)\nunknown"
        " u : scalar on Q\nin Q: -lap(u) + dx(NAME)*dx(u) = NAME\non boundary(Q): u = 0"
    ),
    "vector input": (
        f"problem p\nspace x, y\n{SQUARE}\ninput NAME : vector on Q ~ gaussians(count = 2)\nunknown"
        " u : scalar on Q\nin Q: -lap(u) + advect(NAME, u) = div(NAME)\non boundary(Q): u = 0"
    ),
    "unknown": (
        f"problem p\nspace x, y\n{SQUARE}\nunknown NAME : scalar on Q\nin Q: -lap(NAME) +"
        " 2*dx(NAME) = 1\non boundary(Q): NAME = 0"
    ),
    "vector": (
        f"problem p\nspace x, y\n{SQUARE}\nunknown NAME : vector on Q\nin Q: -lap(NAME) = [1,"
        " NAME.x]\non boundary(Q): NAME = 0"
    ),
    "coordinate": (
        f"problem p\nspace NAME, y\n{SQUARE}\nunknown u : scalar on Q\nin Q: -lap(u) + d(u, NAME) ="
        " NAME\non boundary(Q): u = 0"
    ),
    "time": (
        f"problem p\nspace x, y\ntime NAME in [0, 0.1]\n{SQUARE}\nunknown u : scalar on Q\n"
        "in Q: d(u, NAME) - lap(u) = NAME*x\non boundary(Q): u = 0\nat NAME = 0: u = 0"
    ),
    "domain": (
        "problem p\nspace x, y\ndomain NAME = rectangle([0, 0], [1, 1])\nunknown u : scalar on"
        " NAME\nin NAME: -lap(u) = 1\non boundary(NAME): u = 0"
    ),
    "boundary": (
        f"problem p\nspace x, y\n{SQUARE}\nboundary NAME = side(Q, x = 0), others ="
        " rest(Q)\nunknown u : scalar on Q\nin Q: -lap(u) = 1\non NAME: dot(grad(u), n) = x +"
        " 1\non others: u = 0"
    ),
    "definition": FLAT + "NAME := 1 + u^2\nin Q: -div(NAME*grad(u)) = 1\non boundary(Q): u = 0",
    "function": FLAT + "NAME(v) := 1 + v^2\nin Q: -div(NAME(u)*grad(u)) = 1\non boundary(Q): u = 0",
    "label": FLAT + "in Q:\n    NAME: -lap(u) = 1\non boundary(Q): u = 0",
    "problem": (
        FLAT.replace("problem p", "problem NAME") + "in Q: -lap(u) = 1\non boundary(Q): u = 0"
    ),
    "output": FLAT + "in Q: -lap(u) = 1\non boundary(Q): u = 0\noutput NAME := integral(u, Q)",
    "shape": (
        "problem p\nspace x, y\nparam NAME ~ uniform(1, 2)\ndomain Q = disk(radius = NAME)\nunknown"
        " u : scalar on Q\nin Q: -lap(u) = 1\non boundary(Q): u = NAME"
    ),
}
NAMES = "lambda _1 None u_x self is forward pass type lambda_ like half True E S values gamma del _"
NAMES = NAMES.split()
DRAWN = ("param", "input", "vector input", "shape")


@pytest.mark.parametrize(
    ("place", "name"),
    [(place, NAMES[(k + step) % len(NAMES)]) for k, place in enumerate(PLACES) for step in (0, 7)],
)
def test_any_name_in_any_place_goes_all_the_way(place, name):
    problem = pdespec.parse(PLACES[place].replace("NAME", name))
    assert pdespec.parse(problem.to_dsl()) == problem
    assert pdespec.parse(document(recover(problem))) == problem
    problem.to_latex()
    for stage in ("residuals", "variation", "derivatives"):
        explain(problem, stage)
    loss = compiler.compile(problem)
    loss.explain()
    counts = {"interior": 16, "boundary": 8, "initial": 8, "operator": 16}
    batch = compiler.sample(
        problem, size=1, points=counts, generator=torch.Generator().manual_seed(0)
    )
    kind, options = ("gino", {"latent": (12, 12)}) if place in DRAWN else ("pinn", {"hidden": (4,)})
    model = compiler.build(problem, kind, **options)
    total = loss(model(batch.inputs), batch).total
    total.backward()
    assert torch.isfinite(total)
    is_python(to_ufl(weak_form(problem)))
    if place != "trainable":
        compiler.solve(problem, batch, resolution=4)


def is_python(script: str) -> None:
    compile(script, "script", "exec")


def test_names_that_are_alike_stay_apart():
    """A parameter called as a derivative of an unknown, an input called as one of another input."""
    problem = pdespec.parse(
        f"problem p\nspace x, y\nparam u_x = 3, f_xx = 5\n{SQUARE}\ninput f : scalar on Q, f_x :"
        " scalar on Q\nunknown u : scalar on Q\nin Q: -lap(u) + u_x*dx(u) + dx(f) + f_x +"
        " f_xx*dxx(f) = 0\non boundary(Q): u = 0"
    )
    points = torch.rand(1, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = points[..., 0]
    inputs = {"f": lambda p: p[..., :1] ** 3, "f_x": lambda p: p[..., 1:]}
    found = compiler.compile(problem, "autograd").residuals(
        lambda p: torch.sin(p[..., :1]), points, inputs, {"u_x": 3.0, "f_xx": 5.0}
    )
    expected = torch.sin(x) + 3 * torch.cos(x) + 3 * x**2 + points[..., 1] + 5 * 6 * x
    torch.testing.assert_close(found["eq1"][..., 0].detach(), expected, rtol=1e-12, atol=1e-12)
    assert pdespec.parse(document(recover(problem))) == problem


def _trained(problem, directory):
    points = {"interior": 8, "boundary": 2, "operator": 8}
    options = compiler.TrainOptions(steps=3, batch=1, validation=0, log_every=1, points=points)
    return compiler.train(problem, compiler.build(problem, "pinn", hidden=(4,)), options, directory)


@pytest.mark.parametrize("name", ["values", "forward", "step", "total", "equation"])
def test_a_trainable_number_of_any_name_is_found_saved_and_read_again(name, tmp_path):
    problem = pdespec.parse(
        f"problem p\nspace x\ntrainable {name} = 2\ndomain L = interval(0, 1)\nunknown u : scalar"
        f" on L\nin L:\n    equation: dxx(u) = {name}\non boundary(L): u = 0"
    )
    run = _trained(problem, tmp_path / "run")
    assert set(run.trainables) == {name} and run.trainables[name] != 2
    assert compiler.load_run(tmp_path / "run").trainables[name] == pytest.approx(
        run.trainables[name], rel=1e-6
    )
    columns = set(run.history[-1])
    assert {"step", "total", "lr", "weight equation", "equation"} <= columns
    assert run.history[-1]["step"] == 3


@pytest.mark.parametrize("label", ["total", "step", "lr", "error", "validation"])
def test_an_equation_may_be_called_like_a_column_of_the_history(label, tmp_path):
    problem = pdespec.parse(
        "problem p\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
        + f"in L:\n    {label}: dxx(u) = 1\non boundary(L): u = 0"
    )
    run = _trained(problem, tmp_path / "run")
    assert run.history[-1]["step"] == 3 and f"`{label}`" in run.history[-1]
