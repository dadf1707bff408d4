"""The coarse solution in a lift: exact where the solution is a polynomial, near a closed form where
not, differentiable, and said wherever an answer holds it."""

import json
import math

import numpy as np
import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.batches.coarse_lift import lift_degrees
from compiler.data.polynomials import Polynomials, numbers
from compiler.geometry.metrics import interior
from compiler.training.options import OptionError
from tests.compiler import tiny

X, Y, T = sp.symbols("x y t")


def lifted(text, lift, seed=3, dtype=torch.float64, size=3, **options):
    problem = pdespec.parse(text)
    generator = torch.Generator().manual_seed(seed)
    batch = compiler.sample(problem, size, generator=generator, dtype=dtype, lift=lift, **options)
    points = interior(problem, batch)
    return batch, points, batch.inputs.ansatz.offset(points)


def expected(expression, points, names, **params):
    function = sp.lambdify([*names, *params], expression, "numpy")
    columns = [points[..., k].numpy() for k in range(len(names))]
    values = function(*columns, *(value[:, None].numpy() for value in params.values()))
    return torch.as_tensor(np.broadcast_to(values, points.shape[:2]).astype(float))


def relative(found, truth):
    return float((found - truth).norm() / truth.norm())


def test_the_derivatives_of_the_products_are_those_of_numpy_and_of_waves():
    lower, upper = torch.tensor([[-1.0, 0.5]]).double(), torch.tensor([[2.0, 1.0]]).double()
    made = Polynomials((4, 3), (False, True), lower, upper, torch.zeros(1, 1, 1).double())
    points = lower + (upper - lower) * torch.rand(1, 9, 2, dtype=torch.float64)
    for index in ((0, 0), (1, 0), (2, 1), (4, 0), (1, 3)):
        found = made.products(points, index)
        for m, (i, j) in enumerate(made.numbers):
            x, y = X, 2 * (Y - sp.Rational(3, 4)) * 2
            angle = sp.pi * y * ((j + 1) // 2)
            wave = 1 if j == 0 else sp.cos(angle) if j % 2 else sp.sin(angle)
            whole = sp.legendre(i, (2 * x - 1) / 3) * wave
            truth = expected(sp.diff(whole, X, index[0], Y, index[1]), points, (X, Y))
            assert torch.allclose(found[..., m], truth, rtol=1e-9, atol=1e-9), (index, i, j)


def test_products_are_counted_by_the_sum_of_their_degrees():
    assert len(numbers((8, 8))) == math.comb(10, 2)
    assert len(numbers((3, 3, 3))) == math.comb(6, 3)
    assert max(b for _, b in numbers((2, 10))) == 10
    assert (1, 6) not in numbers((2, 10)) and (1, 5) in numbers((2, 10))


ROBIN = """problem robin
space    x, y
param    c ~ uniform(1, 2)
domain   D = rectangle([0, 0], [2, 1])
boundary left = side(D, x = 0), right = side(D, x = 2), others = rest(D)
unknown  u : scalar on D
in D:      -lap(u) + u = c*(x^2*y + 3*x*y - 2*y)
on left:   u = 0
on right:  dn(u) + u = c*(7*y + 10*y)
on others: dn(u) = c*(x^2 + 3*x)*n.y
"""


def test_a_solution_that_is_a_polynomial_is_found_with_conditions_that_are_not_built_in():
    batch, points, found = lifted(ROBIN, 4)
    truth = expected(sp.Symbol("c") * (X**2 * Y + 3 * X * Y), points, (X, Y), c=batch.params["c"])
    assert relative(found[..., 0], truth) < 1e-8


SYSTEM = """problem system
space    x, y
param    c ~ uniform(1, 2)
domain   D = rectangle([0, 0], [1, 1])
boundary wall = side(D, x = 0), others = rest(D)
unknown  u : vector on D
sigma := tr(sym(grad(u)))*I + 2*sym(grad(u))
in D:      div(sigma) = 0
on wall:   u = [0, c*y]
on others: sigma*n = 4*c*n
"""


def test_a_system_with_tractions_is_solved():
    batch, points, found = lifted(SYSTEM, 3)
    truth = batch.params["c"][:, None, None] * points
    assert relative(found, truth) < 1e-8


def test_an_equation_in_time_is_solved_to_the_accuracy_of_its_polynomials():
    text = """problem heat
space    x
time     t in [0, 1/10]
domain   L = interval(0, 1)
unknown  u : scalar on L
in L:           dt(u) = dxx(u)
on boundary(L): u = 0
at t = 0:       u = sin(pi*x)
"""
    errors = []
    for degree in (4, 6, 8, 10):
        _, points, found = lifted(text, degree, size=1)
        truth = expected(sp.exp(-(sp.pi**2) * T) * sp.sin(sp.pi * X), points, (X, T))
        errors.append(relative(found[..., 0], truth))
    assert errors[-1] < 1e-6 and all(b < a / 5 for a, b in zip(errors, errors[1:], strict=False))


def test_waves_are_taken_along_a_periodic_axis():
    text = """problem ring
space    x
domain   L = interval(0, 2)
periodic x
param    c ~ uniform(1, 2)
unknown  u : scalar on L
in L: -dxx(u) + u = c*(1 + pi^2)*sin(pi*x) + (1 + 4*pi^2)*cos(2*pi*x)
"""
    batch, points, found = lifted(text, 4)
    truth = sp.Symbol("c") * sp.sin(sp.pi * X) + sp.cos(2 * sp.pi * X)
    truth = expected(truth, points, (X,), c=batch.params["c"])
    assert relative(found[..., 0], truth) < 1e-9


NONLINEAR = """problem cubic
space    x, y
param    r ~ uniform(0.5, 1), c ~ uniform(1, 4)
domain   D = disk(radius = r)
unknown  u : scalar on D
in D:           -lap(u) + u^3 = 4*c + (c*(r^2 - x^2 - y^2))^3
on boundary(D): u = 0
"""


def test_a_nonlinear_equation_is_solved_by_gauss_and_newton():
    batch, points, found = lifted(NONLINEAR, 4)
    c, r = (batch.params[name][:, None] for name in ("c", "r"))
    assert relative(found[..., 0], c * (r**2 - points.square().sum(-1))) < 1e-7


@pytest.mark.parametrize("text", (ROBIN, NONLINEAR), ids=("linear", "nonlinear"))
def test_the_lift_is_differentiable_in_params_and_shape(text):
    problem = pdespec.parse(text)
    names = list(problem.params)
    at = torch.tensor([[[0.11, 0.2]]]).double()

    def value(numbers):
        params = dict(zip(names, numbers, strict=True))
        batch = compiler.instance(
            problem, params, generator=torch.Generator().manual_seed(0), dtype=numbers.dtype, lift=5
        )
        return batch.inputs.ansatz.offset(at).sum()

    numbers = torch.full((len(names),), 0.8, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(numbers), numbers)
    for k in range(len(names)):
        step = 1e-4 * torch.nn.functional.one_hot(torch.tensor(k), len(names))
        moved = (value(numbers.detach() + step) - value(numbers.detach() - step)) / 2e-4
        assert float(slope[k]) == pytest.approx(float(moved), rel=1e-5, abs=1e-7)


def test_samples_do_not_depend_on_their_neighbours_and_single_precision_is_enough():
    batch, points, found = lifted(NONLINEAR, 4, size=4)
    alone = batch.select([2]).inputs.ansatz.offset(points[2:3])
    assert torch.equal(alone[0], found[2])
    single = batch.to(torch.float32).inputs.ansatz.offset(points.float())
    assert relative(single.double(), found) < 1e-5
    problem = batch.problem
    params = {name: value[:1].float() for name, value in batch.params.items()}
    instance = compiler.instance(problem, params, dtype=torch.float32, lift=4)
    there = instance.inputs.ansatz.offset(points[:1].float()).double()
    assert relative(there, found[:1]) < 1e-4


def test_the_amplitude_is_what_the_two_highest_degrees_add():
    text = """problem source
space    x
param    k ~ uniform(4, 6)
domain   L = interval(0, 1)
unknown  u : scalar on L
in L:           -dxx(u) = exp(k*x)
on boundary(L): u = 0
"""
    batch, points, found = lifted(text, 6)
    coarser = lifted(text, 4)[2]
    added = (found - coarser).square().mean(1).sqrt()
    size = batch.inputs.ansatz.factor(points).square().mean(1).sqrt()
    assert torch.allclose(size, added, rtol=0.1)


@pytest.mark.parametrize(
    ("text", "lift", "words"),
    (
        (ROBIN, (4, 4, 4), "one for each of x, y"),
        (ROBIN, (4, 0), "from 1"),
        (ROBIN, 60, "1891 coefficients"),
        (ROBIN.replace("u : scalar on D", "u : scalar on D > 0"), 4, "positive"),
        (ROBIN.replace("param    c ~ uniform(1, 2)", "trainable c = 1"), 4, "trainable c"),
        (
            "problem e\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
            "minimize integral(dx(u)^2 - u, L)\non boundary(L): u = 0\n",
            4,
            "energy",
        ),
        (
            "problem k\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
            "in L: div(step(x - 0.4)*grad(u) + grad(u)) = 1\non boundary(L): u = 0\n",
            4,
            "kinks",
        ),
    ),
)
def test_what_has_no_coarse_lift_is_refused_with_the_reason(text, lift, words):
    with pytest.raises(ValueError, match=words):
        lift_degrees(pdespec.parse(text), lift)


def test_a_lift_belongs_to_a_field_with_conditions_built_in():
    with pytest.raises(ValueError, match="hard_conditions=False"):
        lifted(ROBIN, 4, hard_conditions=False)
    with pytest.raises(OptionError, match="hard_conditions=true"):
        compiler.TrainOptions(lift=4, hard_conditions=False)
    with pytest.raises(OptionError, match="degree"):
        compiler.TrainOptions(lift=[4, "x"])


def test_a_run_says_that_its_answers_hold_a_coarse_solution_and_how_far_that_is_off(tmp_path):
    problem = pdespec.parse(NONLINEAR)
    options = compiler.TrainOptions(steps=2, batch=2, validation=0, lift=4)
    model = compiler.build(problem, "gino", latent=(8, 8), hidden=4, modes=2, layers=1)
    display = tiny.Said()
    compiler.train(problem, model, options, tmp_path, display=display)
    assert any(text.startswith("lift: 15 polynomials of degree 4") for text in display.texts)
    assert [text for text in display.texts if text.startswith("output: ")] == [
        "output: in each component the size of what the two highest degrees add"
    ]
    evaluation = compiler.evaluate(tmp_path, 2, resolution=24, report=False)
    assert evaluation.lift["max"] < 1e-2
    assert json.loads((tmp_path / "evaluation.json").read_text())["lift"] == evaluation.lift
    params = {"r": 0.8, "c": 2.0}
    answer = compiler.load(tmp_path)(params=params)
    at = np.array([[0.1, 0.3], [-0.2, 0.0]])
    truth = 2 * (0.64 - (at**2).sum(1))
    assert np.abs(answer.u(at).squeeze() - truth).max() < 0.1
    with pytest.raises(OptionError, match="lift cannot change"):
        again = compiler.TrainOptions(steps=4, batch=2, validation=0)
        compiler.train(problem, model, again, tmp_path, resume=True)
