"""Every function of the language as a rule on tensors: value, two derivatives and dtype against
mpmath, which shares no code with it."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from scipy.special import spherical_jn

import compiler
import pdespec
from compiler.lowering.graph import ResidualGraph, Source
from pdespec.coordinates import as_exact
from pdespec.errors import ProblemError
from pdespec.functions import ORDERED, TABLE
from pdespec.jumps import jumps, slope, surfaces

X, Y = sp.symbols("x y", real=True)
POINTS = (0.15, 0.4, 0.77)
ABOVE_ONE = {"acosh", "asec", "acsc", "acoth"}  # defined for arguments beyond one


def expression(name: str, point: sp.Expr = X) -> sp.Expr:
    """A use of a function on (0, 1), its argument an expression of its own."""
    argument = 1 + point**2 if name in ABOVE_ONE else point
    function = TABLE[name].function
    if function in ORDERED:
        return function(2, argument * 3)
    if name in ("min", "max", "atan2", "mod"):
        return function(argument, sp.Rational(3, 10) + point**2)
    return function(argument * 5) if name in ("floor", "ceil", "frac") else function(argument)


def on_tensors(e: sp.Expr, points, dtype=torch.float64) -> list[torch.Tensor]:
    """Value and two derivatives by autograd at points."""
    x = torch.tensor([points], dtype=dtype, requires_grad=True)
    graph = ResidualGraph([e], [Source("test")])
    found = [graph(dict.fromkeys(graph.symbols, x), x.detach())[0]]
    for _ in range(2):
        if not found[-1].requires_grad:
            found.append(torch.zeros_like(x))
            continue
        (gradient,) = torch.autograd.grad(found[-1].sum(), x, create_graph=True, allow_unused=True)
        found.append(torch.zeros_like(x) if gradient is None else gradient)
    return [each.detach()[0] + 0.0 for each in found]


def oracle(e: sp.Expr, points) -> list[np.ndarray]:
    with mpmath.workdps(40):
        f = sp.lambdify(X, e, "mpmath")
        return [
            np.array([float(mpmath.re(mpmath.diff(f, mpmath.mpf(repr(p)), k))) for p in points])
            for k in range(3)
        ]


@pytest.mark.parametrize("name", TABLE)
def test_a_function_and_its_derivatives_are_exact(name):
    e = expression(name)
    ours, theirs = (
        on_tensors(e, POINTS),
        oracle(e.rewrite(sp.besselj) if name == "sphericalj" else e, POINTS),
    )
    for order, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        np.testing.assert_allclose(
            a,
            b,
            rtol=1e-10,
            atol=1e-10 if order < 2 else 1e-9,
            err_msg=f"derivative {order} of {name}",
        )


@pytest.mark.parametrize("name", TABLE)
def test_a_function_keeps_single_precision(name):
    value, first, _ = on_tensors(expression(name), POINTS, torch.float32)
    assert value.dtype == first.dtype == torch.float32
    np.testing.assert_allclose(
        value,
        oracle(
            expression(name).rewrite(sp.besselj) if name == "sphericalj" else expression(name),
            POINTS,
        )[0],
        rtol=2e-5,
    )


@pytest.mark.parametrize(
    "function", [sp.besselj, sp.bessely, sp.besseli, sp.besselk], ids=lambda f: f.__name__
)
@pytest.mark.parametrize(
    "order", [0, 1, 5, -3, sp.Rational(1, 2), sp.Rational(5, 2), sp.Rational(-3, 2)], ids=str
)
def test_a_bessel_function_is_exact_near_and_far(function, order):
    points = (0.3, 2.5, 5.01, 24.9, 31.0)
    e = function(order, X)
    for k, (a, b) in enumerate(zip(on_tensors(e, points), oracle(e, points), strict=True)):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11, err_msg=f"derivative {k}")


@pytest.mark.parametrize("order", [-1, 0, 1, 2, 3])
def test_a_polygamma_function_is_exact_on_both_sides_of_zero(order):
    points = (-2.7, -0.4, 0.15, 1.0, 2.3, 17.0)
    e = sp.log(sp.Abs(sp.gamma(X))) if order < 0 else sp.polygamma(order, X)
    ours = sp.loggamma(X) if order < 0 else e
    for k, (a, b) in enumerate(zip(on_tensors(ours, points), oracle(e, points), strict=True)):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13, err_msg=f"derivative {k}")


def test_sinc_has_all_derivatives_at_the_origin():
    value, first, second = on_tensors(sp.sinc(X), (0.0, 1e-5))
    np.testing.assert_allclose(value, [1, 1], atol=1e-10)
    np.testing.assert_allclose(first, [0, -1e-5 / 3], atol=1e-15)
    np.testing.assert_allclose(second, [-1 / 3, -1 / 3], atol=1e-9)
    np.testing.assert_allclose(
        on_tensors(slope(sp.sinc(X), X), (0.0, 1e-5))[0], [0, -1e-5 / 3], atol=1e-15
    )


def test_the_hyperbolic_secant_has_a_gradient_where_cosh_overflows():
    for dtype, place in ((torch.float64, 800.0), (torch.float32, 95.0)):
        for name in ("sech", "csch", "coth"):
            assert all(
                torch.isfinite(each).all()
                for each in on_tensors(TABLE[name].function(X), (place, -place), dtype)
            ), name


@pytest.mark.parametrize(
    "e",
    [
        sp.sqrt(sp.Max(X, 0)),
        sp.Abs(X) ** sp.Rational(1, 3) * sp.sign(X),
        (X**2) ** sp.Rational(1, 4) * 2,
        sp.sqrt(sp.Max(X, 0) ** 3 + sp.Max(X, 0)),
    ],
    ids=str,
)
def test_a_root_has_a_finite_gradient_where_it_is_zero(e):
    """By the chain rule it was infinity times zero wherever X < 0."""
    value, first, _ = on_tensors(e, (-1.0, -0.3, 0.0, 0.4))
    expected = oracle(e.subs(X, sp.Symbol("x", real=True)), (0.4,))
    assert value[2] == first[2] == 0 and torch.isfinite(first).all()
    np.testing.assert_allclose(
        [value[3], first[3]], [float(expected[0][0]), float(expected[1][0])], rtol=1e-12
    )


def test_an_angle_of_a_number_and_a_field_is_evaluated():
    for e, theirs in (
        (sp.atan2(X, -1), np.arctan2(0.4, -1)),
        (sp.atan2(-2, X), np.arctan2(-2, 0.4)),
    ):
        np.testing.assert_allclose(on_tensors(e, (0.4,))[0], [theirs], rtol=1e-14)


# ---- branches

MASKED = {
    "root": sp.Piecewise((sp.sqrt(X), X > 0), (0, True)),
    "root and its reciprocal": sp.Piecewise((sp.sqrt(X) + 1 / sp.sqrt(X), X > 0), (X**2, True)),
    "logarithm": sp.Piecewise((X * sp.log(X), X > 0), (sp.sin(X), True)),
    "flat at zero": sp.Piecewise((sp.exp(-1 / X), X > 0), (0, True)),
    "power": sp.Piecewise((X ** sp.Rational(3, 2), X > 0), (-X, True)),
    "overflow": sp.Piecewise((sp.exp(1000 * X), X < 0), (1, True)),
    "nested": sp.Piecewise(
        (sp.Piecewise((sp.log(X - 1), X > 1), (sp.sqrt(X), True)), X > 0), (1 / (X - 1), True)
    ),
    "second branch": sp.Piecewise((0, X <= 0), (sp.sqrt(X), True)),
    "symbolic power": sp.Piecewise((X**X, X > 0), (1, True)),
    "special": sp.Piecewise((sp.besselk(0, X) + sp.acosh(X + 1) + sp.cot(X), X > 0), (0, True)),
    "shared with a sum": sp.Piecewise((sp.sqrt(X) * sp.sin(sp.sqrt(X)), X > 0), (0, True))
    + sp.Piecewise((sp.sqrt(X), X > 0), (1, True)),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_function_has_the_value_and_derivatives_of_its_branch(name):
    e, points = MASKED[name], (-1.3, -0.2, 0.3, 1.7)
    for order, (a, b) in enumerate(zip(on_tensors(e, points), oracle(e, points), strict=True)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=f"derivative {order}")
    at_zero = on_tensors(e, (0.0,))
    if name not in ("overflow", "nested"):
        assert all(torch.isfinite(each).all() for each in at_zero)


CONDITIONS = {
    "and": sp.And(sp.Rational(1, 4) < X, sp.Rational(3, 4) > X),
    "or": sp.Or(sp.Rational(1, 4) > X, sp.Rational(3, 4) < X),
    "not": sp.Not(sp.And(sp.Rational(1, 4) < X, Y < 1)),
    "xor": sp.Xor(sp.Rational(1, 4) < X, sp.Rational(1, 2) < Y, evaluate=False),
    "equal": sp.Eq(X, Y),
    "unequal": sp.Ne(X, Y),
    "if then else": sp.ITE(sp.Rational(1, 2) < X, sp.Rational(1, 2) < Y, sp.Rational(1, 4) > Y),
}


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_two_constant_branches_are_exact_in_the_dtype_of_the_points(name, dtype):
    condition = CONDITIONS[name]
    e = sp.Piecewise((sp.Rational(1, 10), condition), (sp.Rational(1, 3), True))
    grid = torch.linspace(0, 1, 9, dtype=dtype)
    x, y = (each.reshape(1, -1) for each in torch.meshgrid(grid, grid, indexing="ij"))
    graph = ResidualGraph([e], [Source("test")])
    ours = graph({s: {X: x, Y: y}[s] for s in graph.symbols}, x)[0]
    assert ours.dtype == dtype
    holds = [
        bool(condition.subs({X: sp.Rational(float(a)), Y: sp.Rational(float(b))}))
        for a, b in zip(x[0], y[0], strict=True)
    ]
    assert 0 < sum(holds) < len(holds)
    expected = torch.where(
        torch.tensor([holds]),
        torch.tensor(0.1, dtype=torch.float64),
        torch.tensor(1 / 3, dtype=torch.float64),
    )
    assert torch.equal(ours, expected.to(dtype))


def test_outside_of_all_branches_there_is_no_number():
    value = on_tensors(sp.Piecewise((1, X < 0), (2, X > 1)), (-1.0, 0.5, 2.0))[0]
    np.testing.assert_array_equal(value, [1, np.nan, 2])


@pytest.mark.parametrize("at_zero", [0, 1, sp.Rational(1, 2), sp.Rational(1, 5)])
def test_a_step_has_its_value_at_zero(at_zero):
    value = on_tensors(sp.Heaviside(X, at_zero), (-1.0, 0.0, 2.0))[0]
    np.testing.assert_array_equal(value, [0, float(at_zero), 1])


@pytest.mark.parametrize(
    "e",
    [
        sp.LambertW(X),
        sp.zeta(X),
        sp.DiracDelta(X),
        sp.besselj(sp.Rational(1, 3), X),
        sp.besselj(Y, X),
        sp.besselk(40, X),
        sp.polygamma(13, X),
    ],
)
def test_what_has_no_rule_is_refused_with_its_name(e):
    with pytest.raises(ProblemError, match="V06") as caught:
        ResidualGraph([e], [Source("momentum", 7)])
    assert "momentum, line 7" in str(caught.value)


# ---- slopes and jumps


@pytest.mark.parametrize("name", [*TABLE, *MASKED])
def test_the_slope_is_the_derivative_wherever_there_is_one(name):
    e = MASKED[name] if name in MASKED else expression(name)
    ours = on_tensors(slope(e, X), POINTS)[0]
    np.testing.assert_allclose(ours, on_tensors(e, POINTS)[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("e", "where"),
    [
        (sp.Piecewise((1, sp.Rational(1, 2) > X), (400, True)), (X - sp.Rational(1, 2),)),
        (1 + 3 * sp.Heaviside(X - Y), (X - Y,)),
        (sp.Piecewise((1, sp.And(X > 0, X < 1)), (2, True)), (X, X - 1)),
        (sp.sign(X) * Y, (X,)),
        (sp.floor(X), (sp.sin(sp.pi * X),)),
        (X * sp.sign(X), ()),
        (sp.Abs(X), ()),
        (sp.Piecewise((X, X > 0), (0, True)), ()),
        (sp.Piecewise((X**2, X < 1), (2 * X - 1, True)), ()),
        (sp.sin(X), ()),
    ],
    ids=str,
)
def test_a_jump_is_told_from_a_kink(e, where):
    assert surfaces(e) == where and jumps(e) == bool(where)


@pytest.mark.parametrize("order", range(4))
def test_a_spherical_bessel_function_of_a_negative_number_has_its_sign(order):
    """SymPy 1.14 evaluates j_n(-3/4) with the sign of -j_n(-3/4), of every order."""
    text = (
        "problem p\nspace x\ndomain L = interval(-2, -1)\nunknown u : scalar on L\nin L: u ="
        f" sphericalj({order}, -3/4) + sphericalj({order}, sin(4)) + sphericalj({order}, x)\n"
        "on boundary(L): u = 0\n"
    )
    problem = pdespec.parse(text)
    assert pdespec.parse(problem.to_dsl()) == problem
    x = torch.tensor([[[-1.5], [-1.2]]], dtype=torch.float64)
    (found,) = compiler.compile(problem).residuals(lambda p: 0 * p, x).values()
    expected = spherical_jn(order, -0.75) + spherical_jn(order, np.sin(4))
    expected = expected + spherical_jn(order, x.flatten().numpy())
    assert found.flatten().numpy() == pytest.approx(-expected, rel=1e-12)
    given = sp.jn(order, sp.Rational(-3, 4))
    assert float(as_exact(given)) == pytest.approx(spherical_jn(order, -0.75), rel=1e-12)
