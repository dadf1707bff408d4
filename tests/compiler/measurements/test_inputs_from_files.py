"""Inputs that are read from files: the functions that samples, solver, training and answers see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline, RBFInterpolator

import compiler
import pdespec
from compiler.scales import scaled
from compiler.training.options import TrainOptions
from compiler.training.runs import RunError
from pdespec.errors import ProblemError

BAR = """problem bar
space x
domain L = interval({low}, {high})
input f : scalar on L from "load.npz"
unknown u : scalar on L
in L: -dxx(u) = f
on boundary(L): u = 0
"""
X = np.linspace(0, 1, 9)
FAMILY = np.stack([X**2, 1 - X**3, 5 * X])  # cubic splines are exact
SMALL = TrainOptions(
    steps=2, batch=2, points={"interior": 8, "operator": 16}, validation=2, references=1
)


def bar(tmp_path, low=0, high=1):
    (tmp_path / "bar.pde").write_text(BAR.format(low=low, high=high))
    return pdespec.load(tmp_path / "bar.pde")


def drawn(problem, size=8):
    generator = torch.Generator().manual_seed(0)
    return compiler.sample(problem, size, {"operator": 8}, generator, dtype=torch.float64)


def at(places, size):
    return torch.as_tensor(places, dtype=torch.float64)[None, :, None].expand(size, -1, -1)


def test_a_sample_has_one_function_of_the_file(tmp_path):
    np.savez(tmp_path / "load.npz", x=X, f=FAMILY)
    batch = drawn(bar(tmp_path))
    t = np.random.default_rng(0).uniform(size=16)
    values = batch.evaluate("f", at(t, 8))[..., 0].numpy()
    exact = np.stack([t**2, 1 - t**3, 5 * t])
    numbers = np.abs(values[:, None] - exact).max(-1).argmin(1)
    np.testing.assert_allclose(values, exact[numbers], atol=1e-12)
    assert set(numbers) == {0, 1, 2}  # all of them, sooner or later
    some = batch.select([5, 2]).evaluate("f", at(t, 2))[..., 0].numpy()
    np.testing.assert_allclose(some, exact[numbers[[5, 2]]], atol=1e-12)
    assert drawn(bar(tmp_path)).evaluate("f", at(t, 8)).equal(batch.evaluate("f", at(t, 8)))


def test_the_solver_is_driven_by_it(tmp_path):
    np.savez(tmp_path / "load.npz", x=X, f=X)
    problem = bar(tmp_path)
    truth = compiler.solve(problem, drawn(problem, 1), resolution=16)
    x = at(np.linspace(0.1, 0.9, 5), 1)
    torch.testing.assert_close(truth(x), (x - x**3) / 6, atol=3e-6, rtol=0)  # h^3/.. of P2


def test_far_from_numbers_of_one_it_is_the_same_function(tmp_path):
    np.savez(tmp_path / "load.npz", x=1000 + X, f=1e4 * FAMILY[1])
    problem = bar(tmp_path, 1000, 1001)
    frame, _ = scaled(problem)
    assert frame.size("f") == 1e4 and not frame.trivial
    batch = drawn(problem, 2)
    assert batch.local is not None
    t = np.linspace(0, 1, 7)
    expected = torch.as_tensor(1e4 * (1 - t**3))[None, :, None].expand(2, -1, -1)
    torch.testing.assert_close(batch.evaluate("f", at(1000 + t, 2)), expected, rtol=1e-9, atol=1e-6)
    inner = batch.local.evaluate("f", at(t, 2))
    torch.testing.assert_close(inner, expected / 1e4, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [16, 17], ids=["without the end", "with it"])
def test_on_a_periodic_domain_the_spline_is_closed(tmp_path, count):
    x = np.linspace(0, 1, 17)[:count]
    np.savez(tmp_path / "u0.npz", x=x, u0=np.sin(2 * np.pi * x))
    (tmp_path / "ring.pde").write_text("""problem ring
space x
time t in [0, 1]
domain L = interval(0, 1)
periodic x
input u0 : scalar on L from "u0.npz"
unknown u : scalar on L
in L: dt(u) = dxx(u)
at t = 0: u = u0
""")
    batch = drawn(pdespec.load(tmp_path / "ring.pde"), 1)
    t = np.linspace(0.9, 1, 21)
    whole = np.linspace(0, 1, 17)
    exact = CubicSpline(whole, np.sin(2 * np.pi * whole) * (whole < 1), bc_type="periodic")(t)
    found = batch.evaluate("u0", at(t, 1))[0, :, 0].numpy()
    np.testing.assert_allclose(found, exact, atol=2e-4)  # closed by four nodes, not by all


def test_scattered_values_are_joined_by_the_polyharmonic_spline(tmp_path):
    random = np.random.default_rng(0)
    at_, values = random.uniform(-1, 1, size=(40, 2)), random.normal(size=40)
    np.savez(tmp_path / "f.npz", x=at_[:, 0], y=at_[:, 1], f=values)
    (tmp_path / "disk.pde").write_text("""problem plate
space x, y
domain D = disk(radius = 0.9)
input f : scalar on D from "f.npz"
unknown u : scalar on D
in D: lap(u) = f
on boundary(D): u = 0
""")
    batch = drawn(pdespec.load(tmp_path / "disk.pde"), 2)
    places = random.uniform(-0.6, 0.6, size=(9, 2))
    exact = RBFInterpolator(at_, values, kernel="cubic", degree=1)(places)
    found = batch.evaluate("f", torch.as_tensor(places)[None].expand(2, -1, -1))[..., 0].numpy()
    np.testing.assert_allclose(found, [exact, exact], atol=1e-9)


def test_inputs_of_two_files_are_of_one_sample(tmp_path):
    text = BAR.format(low=0, high=1).replace(
        "unknown", 'input g : scalar on L from "g.npz"\nunknown'
    )
    (tmp_path / "bar.pde").write_text(text.replace("= f", "= f + g"))
    np.savez(tmp_path / "load.npz", x=X, f=FAMILY, sample=[4, 5, 6])
    np.savez(tmp_path / "g.npz", x=X, g=-FAMILY[[2, 0]], sample=[6, 4])
    batch = drawn(pdespec.load(tmp_path / "bar.pde"), 6)
    f, g = (batch.evaluate(name, at([0.3, 0.7], 6)) for name in "fg")
    torch.testing.assert_close(f, -g, atol=1e-12, rtol=0)
    assert len({round(float(each), 6) for each in f[:, 0, 0]}) == 2
    np.savez(tmp_path / "g.npz", x=X, g=FAMILY, sample=[7, 8, 9])
    with pytest.raises(ProblemError, match="D07: g.npz has no sample in common"):
        drawn(pdespec.load(tmp_path / "bar.pde"), 6)


def test_a_run_trains_evaluates_and_answers_with_it(tmp_path):
    np.savez(tmp_path / "load.npz", x=X, f=10 * X)
    problem = bar(tmp_path)
    model = compiler.build(problem, "gino", latent=(16,), modes=4, hidden=8, layers=1)
    run = compiler.train(problem, model, SMALL, tmp_path / "run")
    assert "error" in run.history[-1]
    (tmp_path / "load.npz").unlink()  # the run has its own
    assert compiler.evaluate(run.directory, samples=1, report=False).relative_l2["mean"] < 10
    operator = compiler.load(run.directory)
    own, given = operator(), operator(inputs={"f": lambda x: 10 * x[:, 0].clip(0, 1)})
    points = np.array([[0.25], [0.5]])
    np.testing.assert_allclose(own.u(points), given.u(points), rtol=1e-5)
    np.savez(tmp_path / "other.npz", x=X, f=20 * X)
    other = operator(inputs={"f": str(tmp_path / "other.npz")}).u(points)
    twice = operator(inputs={"f": lambda x: 20 * x[:, 0].clip(0, 1)})
    np.testing.assert_allclose(other, twice.u(points), rtol=1e-5)
    np.savez(tmp_path / "other.npz", x=X, f=FAMILY)
    with pytest.raises(ProblemError, match="B03.*other.npz holds 3 of them"):
        operator(inputs={"f": tmp_path / "other.npz"})
    np.savez(tmp_path / "run" / "load.npz", x=X, f=X)
    with pytest.raises(RunError, match="load.npz is not the input that .* was trained on"):
        compiler.load(run.directory)


def test_of_several_functions_the_caller_says_which(tmp_path):
    np.savez(tmp_path / "load.npz", x=X, f=FAMILY)
    with pytest.raises(ProblemError, match="B03: input `f` was not given, and load.npz holds 3"):
        compiler.instance(bar(tmp_path))
    assert compiler.instance(bar(tmp_path), inputs={"f": 1.0}).size == 1


def test_a_network_of_position_alone_takes_a_file_of_one_sample(tmp_path):
    np.savez(tmp_path / "load.npz", x=X, f=X)
    problem = bar(tmp_path)
    options = dataclasses.replace(SMALL, steps=1, validation=0, references=0)
    model = compiler.build(problem, "pinn", hidden=(4,))
    assert compiler.train(problem, model, options, tmp_path / "run").finished
    np.savez(tmp_path / "load.npz", x=X, f=FAMILY)
    with pytest.raises(ValueError, match="draws f anew"):
        compiler.build(problem, "pinn", hidden=(4,))
