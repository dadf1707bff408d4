"""The tensor graph of an expression against sympy.lambdify, which shares no code with it."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import compiler
import pdespec
from compiler.lowering.graph import ResidualGraph, Source
from compiler.lowering.terms import JetVariable
from operators import PINN, OperatorInput
from pdespec.errors import ProblemError

from . import oracle

X, Y, Z = sp.symbols("x y z", real=True)


def expressions() -> st.SearchStrategy[sp.Expr]:
    leaf = st.sampled_from([X, Y, Z, sp.Integer(2), sp.Rational(1, 3), sp.pi, sp.sqrt(2)])
    unary = st.sampled_from(
        [
            sp.sin,
            sp.cos,
            sp.tanh,
            sp.exp,
            lambda a: a**2,
            lambda a: sp.sqrt(1 + a**2),
            sp.Abs,
            lambda a: 1 / (2 + a**2),
        ]
    )
    binary = st.sampled_from(
        [
            lambda a, b: a + b,
            lambda a, b: a * b,
            lambda a, b: a - b,
            sp.Max,
            sp.Min,
            lambda a, b: (2 + a**2) ** (b / (1 + b**2)),
        ]
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(unary, inner).map(lambda t: t[0](sp.tanh(t[1]))),
            st.tuples(binary, inner, inner).map(lambda t: t[0](t[1], t[2])),
        ),
        max_leaves=8,
    )


def evaluate(expression: sp.Expr) -> tuple[np.ndarray, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    values = {
        s: torch.rand(2, 5, generator=generator, dtype=torch.float64) - 0.3 for s in (X, Y, Z)
    }
    graph = ResidualGraph([expression], [Source("test")])
    ours = graph({s: values[s] for s in graph.symbols}, torch.zeros(2, 5, dtype=torch.float64))[0]
    theirs = sp.lambdify((X, Y, Z), expression, "numpy")(*(values[s].numpy() for s in (X, Y, Z)))
    return ours.numpy(), np.broadcast_to(theirs, (2, 5))


@settings(max_examples=80, deadline=None)
@given(expressions())
def test_a_graph_means_what_its_expression_means(expression):
    ours, theirs = evaluate(expression)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "expression",
    [
        sp.Piecewise((X**2, X > 0), (sp.sin(Y), Y <= 0), (Z, True)),
        sp.Min(X, Y, sp.Rational(1, 10)),
        # a number to the power of a tensor, and its square beside it
        (2 + sp.pi**2) ** (X / (X**2 + 1)) / ((2 + sp.pi**2) ** (2 * X / (X**2 + 1)) + 1),
        sp.atan2(Y, X + 2),
        sp.log(2 + X)
        + sp.erf(Y)
        + sp.sign(Z)
        + sp.Heaviside(X)
        + sp.cosh(X)
        + sp.sinh(Y)
        + sp.tan(Z)
        + sp.atan(X)
        + sp.asin(Y / 3)
        + sp.acos(Z / 3),
        (2 + X) ** sp.Rational(3, 2) + 1 / sp.sqrt(2 + Y) + (X + 3) ** -3 + sp.E**Z,
        sp.Integer(3),
        sp.Max(sp.sqrt(2), X)
        + sp.sqrt(2) * Y
        + sp.cos(sp.tanh(2))
        + X * sp.sin(sp.tanh(2))
        + sp.tanh(2) ** 2,
    ],
    ids=[
        "piecewise",
        "min of numbers",
        "power of a number",
        "atan2",
        "functions",
        "powers",
        "constant",
        "shared number",
    ],
)
def test_every_rule_agrees_with_lambdify(expression):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if expression.has(sp.erf):
            from scipy.special import erf

            generator = torch.Generator().manual_seed(0)
            values = {
                s: torch.rand(2, 5, generator=generator, dtype=torch.float64) - 0.3
                for s in (X, Y, Z)
            }
            graph = ResidualGraph([expression], [Source("test")])
            ours = graph(
                {s: values[s] for s in graph.symbols}, torch.zeros(2, 5, dtype=torch.float64)
            )[0].numpy()
            theirs = sp.lambdify((X, Y, Z), expression, ["numpy", {"erf": erf}])(
                *(values[s].numpy() for s in (X, Y, Z))
            )
        else:
            ours, theirs = evaluate(expression)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_function_without_a_rule_is_named_with_its_term():
    with pytest.raises(
        ProblemError,
        match=r"V06: `zeta` has no rule for tensors in `zeta\(x\)` \(momentum, line 7\)",
    ):
        ResidualGraph([sp.zeta(X)], [Source("momentum", 7)])


def test_common_subexpressions_are_computed_once():
    shared = sp.exp(sp.sin(X) + Y)
    graph = ResidualGraph([shared * X, shared * Y], [Source("a"), Source("b")])
    assert str(graph).count("exp(") == 1


def test_the_printed_graph_is_the_same_under_any_hash_seed():
    import subprocess
    import sys

    program = (
        "import sympy as sp; from compiler.lowering.graph import *; x, y, z = sp.symbols('x y z',"
        " real=True);print(ResidualGraph([sp.sin(x)*y + z*sp.exp(x) + x*y*z, sp.sin(x) + z],"
        " [Source('a', 1), Source('b', 2)]))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(texts) == 1
    assert "# b, line 2" in texts.pop()


def test_any_names_give_a_graph_even_those_that_are_no_names_of_python():
    names = [
        "lambda",
        "None",
        "self",
        "_1",
        "1_xx_tt_u",
        "(-1*tt + xx)[u]",
        "u_x",
        "like",
        "add",
        "größe",
        "a0_x",
        "v.x",
        "c[0]",
        "shared0",
    ]
    symbols = [sp.Symbol(name, real=True) for name in names]
    jets = [
        JetVariable("f", (1,), ("x",)),
        JetVariable("f_x", (0,), ("x",)),
        sp.Symbol("f_x", positive=True),
    ]
    symbols += jets
    total = sum(((k + 1) * sp.sin(s) for k, s in enumerate(symbols)), sp.S.Zero)
    graph = ResidualGraph([total, total * symbols[0]], [Source("a"), Source("b")])
    values = {s: torch.full((1, 2), float(k), dtype=torch.float64) for k, s in enumerate(symbols)}
    ours = graph({s: values[s] for s in graph.symbols}, torch.zeros(1, 2, dtype=torch.float64))[0]
    expected = sum((k + 1) * np.sin(k) for k in range(len(symbols)))
    np.testing.assert_allclose(ours, np.full((1, 2), expected), rtol=1e-13)


@pytest.mark.parametrize(
    "equation",
    [
        "dtt(u) = dxx(u)",
        "2*dxx(u) + dyy(u) = 1",
        "dt(u) = dxx(u) + 2*dyy(u)",
        "dtt(u) = 4*dxx(u) - dyy(u)/3 + u",
    ],
    ids=str,
)
def test_unequal_constants_of_the_highest_derivatives_collapse(equation):
    start = (
        "at t = 0: u = 0" + ("; dt(u) = 0" if "dtt" in equation else "") if "dt" in equation else ""
    )
    time = "time t in [0, 1]\n" if start else ""
    region = "domain Q = rectangle([0, 0], [1, 1])\nunknown u : scalar on Q"
    problem = pdespec.parse(
        f"problem p\nspace x, y\n{time}{region}\nin Q: {equation}\non boundary(Q): u = 0\n{start}"
    )
    points = torch.rand(
        1,
        6,
        len(problem.variables),
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(1),
    )
    form = sp.sin(problem.variables[0] - 2 * problem.variables[-1]) * sp.exp(problem.variables[1])
    exact = oracle.exact_residuals(problem, [form], points, {}, {})["eq1"]
    ours = compiler.compile(problem, "autograd").residuals(
        oracle.torch_field([form], problem.variables), points
    )["eq1"]
    np.testing.assert_allclose(ours.detach(), exact, rtol=1e-12, atol=1e-12)
    torch.manual_seed(0)
    network = PINN(1, len(problem.variables), hidden=(8,)).double()(
        OperatorInput(points, points[..., :0])
    )
    jets, nested = (
        compiler.compile(problem, backend).residuals(network, points)["eq1"]
        for backend in ("taylor", "autograd")
    )
    np.testing.assert_allclose(jets.detach(), nested.detach(), rtol=1e-10, atol=1e-10)


def test_what_stands_under_a_mask_is_not_taken_for_the_same_outside_of_it():
    u, v = sp.symbols("u v", real=True)
    choice = sp.Piecewise((v, v > 0), (u, u > (u**2 + 1) ** sp.Rational(3, 2)), (u**2, True))
    graph = ResidualGraph([choice, u**2 + u], [Source("a"), Source("b")])
    values = {
        u: torch.full((1, 2), 3.0, dtype=torch.float64),
        v: torch.tensor([[1.0, -1.0]], dtype=torch.float64),
    }
    chosen, plain = graph({s: values[s] for s in graph.symbols}, values[u])
    assert chosen.tolist() == [[1.0, 9.0]] and plain.tolist() == [[12.0, 12.0]]


def test_a_choice_on_which_sympy_turns_in_circles_compiles():
    problem = pdespec.parse("""
problem heat_2
space r, z
param q ~ loguniform(low = 7/3, high = 13/3, size = 2)
param out ~ loguniform(low = 1/10, high = 1/2, size = 3)
trainable E = 6
domain Omega = rectangle([1/2, 1/2], [5/2, 5/2])
periodic r
boundary P = boundary(Omega)
input global : vector on Omega ~ grf(sigma = 7/4, tau = 3, alpha = 4)
unknown S : tensor on Omega
c := entry(out, 1)
in Omega:
    3*S - E*lap(S) = [[-if(c/(1 + S.zr^2) >= global.r and S.rz + global.z > c - global.z,
        abs(global.z), -S.zr), global.z*(r + S.zr)], [7, 1/3]]
on P: S = 0
""")
    assert compiler.compile(problem).labels == ("eq1", "P.S")
