"""What is written means what mathematics says: each expression against the same one built in
SymPy by hand."""

from __future__ import annotations

import pytest
import sympy as sp

import pdespec
from pdespec import ProblemError
from pdespec.coordinates import Normal, Time, space

HEAD = """problem p
space x, y
time t in [0, 1]
domain Omega = rectangle([0, 0], [1, 1])
boundary Gamma = boundary(Omega)
const k = 2, Re = 10
param c ~ uniform(0, 1), d ~ uniform(0, 1, size = 3)
unknown u : scalar on Omega, v : vector on Omega
input T : tensor on Omega ~ grf(length = 1)
"""
TAIL = "in Omega: dt(u) = lap(u); dt(v) = lap(v)\non Gamma: u = 0; v = 0\nat t = 0: u = 0; v = 0\n"


def meaning(expression, before=""):
    problem = pdespec.parse(HEAD + before + TAIL + f"output q := {expression}\n")
    return problem.outputs["q"].value, problem


@pytest.fixture(scope="module")
def names():
    _, problem = meaning("u")
    x, y = space("x y")
    u, v, T = problem.unknowns["u"].symbol, problem.unknowns["v"].symbol, problem.inputs["T"].symbol
    numbers = {name: each.symbol for name, each in {**problem.params, **problem.constants}.items()}
    return {
        "x": x,
        "y": y,
        "t": Time("t", 0, 1),
        "u": u,
        "v": v,
        "T": T,
        "n": sp.Matrix([Normal(x), Normal(y)]),
        **numbers,
    }


D = sp.Derivative
SCALARS = {
    "-x^2": lambda s: -(s["x"] ** 2),
    "2^3^2": lambda s: sp.Integer(512),
    "2^-1*x": lambda s: s["x"] / 2,
    "x**2": lambda s: s["x"] ** 2,
    "x/y/u": lambda s: s["x"] / (s["y"] * s["u"]),
    "x - y - u": lambda s: s["x"] - s["y"] - s["u"],
    "x/y*u": lambda s: s["x"] * s["u"] / s["y"],
    "--x + +y": lambda s: s["x"] + s["y"],
    "0.1 + 1e-2 + 2.50 + .5": lambda s: sp.Rational(311, 100),
    "sqrt(x) + exp(y) + log(2) + abs(u)": lambda s: (
        sp.sqrt(s["x"]) + sp.exp(s["y"]) + sp.log(2) + sp.Abs(s["u"])
    ),
    "sin(pi*x)*cos(y)*tan(u)": lambda s: sp.sin(sp.pi * s["x"]) * sp.cos(s["y"]) * sp.tan(s["u"]),
    "sinh(x) + cosh(x) + tanh(x)": lambda s: sp.sinh(s["x"]) + sp.cosh(s["x"]) + sp.tanh(s["x"]),
    "min(x, u) + max(y, u, 0)": lambda s: sp.Min(s["x"], s["u"]) + sp.Max(s["y"], s["u"], 0),
    "dt(u)": lambda s: D(s["u"], s["t"]),
    "dxxy(u)": lambda s: D(s["u"], s["x"], s["x"], s["y"]),
    "dyx(u)": lambda s: D(s["u"], s["y"], s["x"]),
    "d(u, x, x, t)": lambda s: D(s["u"], s["x"], s["x"], s["t"]),
    "dtt(u)": lambda s: D(s["u"], s["t"], s["t"]),
    "dx(k*u^2)": lambda s: D(s["k"] * s["u"] ** 2, s["x"]),
    "v.x*v.y": lambda s: s["v"][0] * s["v"][1],
    "T.xy": lambda s: s["T"][0, 1],
    "(T*v).y": lambda s: (s["T"] * s["v"])[1],
    "T'.xy": lambda s: s["T"][1, 0],
    "entry(d, 2) + entry(T, 1, 0)": lambda s: s["d"][2] + s["T"][1, 0],
    "dot(v, v)": lambda s: s["v"][0] ** 2 + s["v"][1] ** 2,
    "cross([1, 2], v)": lambda s: s["v"][1] - 2 * s["v"][0],
    "inner(T, I) - tr(T)": lambda s: sp.Integer(0),
    "det(T)": lambda s: s["T"][0, 0] * s["T"][1, 1] - s["T"][0, 1] * s["T"][1, 0],
    "div(v)": lambda s: D(s["v"][0], s["x"]) + D(s["v"][1], s["y"]),
    "lap(u)": lambda s: D(s["u"], s["x"], s["x"]) + D(s["u"], s["y"], s["y"]),
    "curl(v)": lambda s: D(s["v"][1], s["x"]) - D(s["v"][0], s["y"]),
    "advect(v, u)": lambda s: s["v"][0] * D(s["u"], s["x"]) + s["v"][1] * D(s["u"], s["y"]),
    "diff(u^3, u)": lambda s: 3 * s["u"] ** 2,
    "dot(grad(u), n)": lambda s: D(s["u"], s["x"]) * s["n"][0] + D(s["u"], s["y"]) * s["n"][1],
    "variation(integral(u^2/2, Omega), u)": lambda s: s["u"],
}


@pytest.mark.parametrize("written", SCALARS)
def test_a_scalar_means_what_it_says(written, names):
    assert meaning(written)[0] == SCALARS[written](names)


MATRICES = {
    "grad(u)": lambda s: [[D(s["u"], s["x"])], [D(s["u"], s["y"])]],
    "grad(v)": lambda s: [[D(s["v"][i], a) for a in (s["x"], s["y"])] for i in (0, 1)],
    "curl(u)": lambda s: [[D(s["u"], s["y"])], [-D(s["u"], s["x"])]],
    "[u, 1] - v": lambda s: [[s["u"] - s["v"][0]], [1 - s["v"][1]]],
    "[[1, u], [x, 0]]*v": lambda s: [[s["v"][0] + s["u"] * s["v"][1]], [s["x"] * s["v"][0]]],
    "k*I": lambda s: [[s["k"], 0], [0, s["k"]]],
    "2*sym(T) - T": lambda s: [[s["T"][0, 0], s["T"][1, 0]], [s["T"][0, 1], s["T"][1, 1]]],
    "skew(T)": lambda s: [
        [0, (s["T"][0, 1] - s["T"][1, 0]) / 2],
        [(s["T"][1, 0] - s["T"][0, 1]) / 2, 0],
    ],
    "outer(v, [1, 2])": lambda s: [[s["v"][0], 2 * s["v"][0]], [s["v"][1], 2 * s["v"][1]]],
    "div(T)": lambda s: [[D(s["T"][i, 0], s["x"]) + D(s["T"][i, 1], s["y"])] for i in (0, 1)],
    "dt(v)": lambda s: [[D(s["v"][0], s["t"])], [D(s["v"][1], s["t"])]],
    "inv([[2, 0], [0, 4]])": lambda s: [[sp.Rational(1, 2), 0], [0, sp.Rational(1, 4)]],
}


@pytest.mark.parametrize("written", MATRICES)
def test_a_vector_or_tensor_means_what_it_says(written, names):
    assert meaning(written)[0] == sp.ImmutableMatrix(MATRICES[written](names))


PAIRS = [
    ("∇u", "grad(u)"),
    ("∇·v", "div(v)"),
    ("∇×v", "curl(v)"),
    ("Δu", "lap(u)"),
    ("∇²u", "lap(u)"),
    ("v·v", "dot(v, v)"),
    ("2*v·v", "dot(2*v, v)"),
    ("v × v", "cross(v, v)"),
    ("u² − x", "u^2 - x"),
    ("∂x(u)", "dx(u)"),
    ("π*x", "pi*x"),
    ("integral(u, ∂Ω)", "integral(u, boundary(Omega))"),
    ("`u` + `x`", "u + x"),
]


@pytest.mark.parametrize(("alias", "plain"), PAIRS)
def test_an_alias_means_the_same(alias, plain):
    assert meaning(alias)[0] == meaning(plain)[0]


def test_a_function_takes_scalars_vectors_and_functions_of_functions(names):
    before = "sq(w) := w*w\ntwice(a, b) := sq(a) + sq(b)\nturn(w) := [-w.y, w.x]\n"
    assert meaning("twice(u, x)", before)[0] == names["u"] ** 2 + names["x"] ** 2
    assert meaning("turn(turn(v)) + v", before)[0] == sp.ImmutableMatrix.zeros(2, 1)


def test_an_argument_may_bear_the_name_of_a_field(names):
    assert meaning("f(x)", "f(u) := 1 + u^2\n")[0] == 1 + names["x"] ** 2


def test_a_name_in_backticks_is_the_users_own():
    problem = pdespec.parse(
        "problem p\nspace x\ndomain L = interval(0, 1)\nunknown `n` : scalar on L, `dx` : scalar on"
        " L\nin L: dxx(`n`) = `dx`; dxx(`dx`) = `n`\non boundary(L): dot(grad(`n`), n) = 1; `dx`"
        " = 0\n"
    )
    assert list(problem.unknowns) == ["n", "dx"]
    assert "boundary(L).n" in problem.conditions
    assert pdespec.parse(problem.to_dsl()) == problem
    assert pdespec.parse(problem.revised(written=None).to_dsl()) == problem


# ---- layout


def test_lines_go_on_inside_brackets_and_after_operators(names):
    assert meaning("(x +\n   y)")[0] == names["x"] + names["y"]
    assert meaning("x +   # a comment\n      y")[0] == names["x"] + names["y"]
    assert meaning("dot(v,\n\n   v)")[0] == meaning("dot(v, v)")[0]


def test_a_block_may_begin_on_its_line_and_go_on_below():
    problem = pdespec.parse(
        HEAD + "in Omega: dt(u) = lap(u)\n          dt(v) = lap(v)\n" + TAIL.split("\n", 1)[1]
    )
    assert list(problem.equations) == ["eq1", "eq2"]


def test_labels_may_be_any_text():
    tail = TAIL.replace(
        "in Omega: dt(u) = lap(u); dt(v)",
        'in Omega: heat: dt(u) = lap(u); "momentum balance": dt(v)',
    )
    problem = pdespec.parse(HEAD + tail)
    assert list(problem.equations) == ["heat", "momentum balance"]
    assert pdespec.parse(problem.to_dsl()) == problem


def test_a_text_may_be_indented_as_a_whole_and_end_its_lines_as_windows_does():
    text = HEAD + TAIL
    indented = "\n".join("    " + line for line in text.splitlines())
    assert (
        pdespec.parse(indented)
        == pdespec.parse(text)
        == pdespec.parse(text.replace("\n", "\r\n"))
        == pdespec.parse("\ufeff" + text)
    )


def test_comments_may_stand_anywhere():
    lines = [line + " # ) in Omega: '" for line in (HEAD + TAIL).splitlines()]
    assert pdespec.parse("# first\n\n" + "\n# between\n".join(lines)) == pdespec.parse(HEAD + TAIL)


# ---- declarations


def test_an_input_over_time_depends_on_it_and_a_steady_unknown_does_not():
    text = (
        "problem p\nspace x\ntime s in [0, 2]\ndomain L = interval(0, 1)\ninput f : scalar on L"
        ' over s ~ grf(length = 1)\ninput g : scalar on L from "g.h5"\nunknown u : scalar on L, a :'
        " scalar on L steady\nin L: ds(u) = dxx(u) + f*g; dxx(a) = 0\non boundary(L): u = 0; a ="
        " 1\nat s = 0: u = 0\n"
    )
    problem = pdespec.parse(text)
    assert problem.inputs["f"].time == problem.time and problem.inputs["g"].time is None
    assert problem.unknowns["u"].time == problem.time and problem.unknowns["a"].time is None
    assert problem.inputs["g"].source == "g.h5"
    assert pdespec.parse(problem.revised(written=None).to_dsl()) == problem


def test_periodic_may_name_its_domains():
    text = (
        "problem p\nspace x, y\ndomain A = rectangle([0, 0], [1, 1]), B = rectangle([2, 0], [3,"
        " 1])\nperiodic x on A\nperiodic y\nunknown u : scalar on A, w : scalar on B\nin A: lap(u)"
        " = u\nin B: lap(w) = w\non boundary(B): w = 1\n"
    )
    problem = pdespec.parse(text)
    assert problem.domains["A"].periodic == ("x", "y") and problem.domains["B"].periodic == ("y",)
    assert pdespec.parse(problem.revised(written=None).to_dsl()) == problem


def test_rest_is_what_no_other_declared_boundary_covers():
    problem = pdespec.parse(
        HEAD + "boundary a = side(Omega, x = 0), b = side(Omega, x = 1), z = rest(Omega)\n" + TAIL
    )
    assert [each.name for each in problem.boundaries["z"].others] == ["a", "b"]


def test_shapes_combine_as_written():
    head = "problem p\nspace x, y\n"
    body = "unknown u : scalar on S\nin S: lap(u) = 0\non boundary(S): u = 0\n"
    shapes = (
        pdespec.parse(
            head
            + "domain S = disk(1) - disk(radius = 0.5) + rectangle([0, 0], [2, 2]) & disk(3)\n"
            + body
        )
        .domains["S"]
        .shape
    )
    assert type(shapes).__name__ == "Intersection"
    assert type(shapes.a).__name__ == "Union" and type(shapes.a.a).__name__ == "Difference"
    assert shapes.a.a.b.radius == sp.Rational(1, 2)


def test_units_are_kept_and_compared():
    text = (
        HEAD.replace("space x, y", "space x, y [m]").replace(
            "u : scalar on Omega", "u : scalar on Omega [kg*m/s^2]"
        )
        + TAIL
    )
    problem = pdespec.parse(text)
    assert problem.coordinates[0].unit == "m" and problem.unknowns["u"].unit == "kg*m/s^2"
    with pytest.raises(ProblemError, match="T04"):
        pdespec.parse(text + "output q := u + x\n")
    assert pdespec.parse(text + "output q := u*x/x + 3*u\n").outputs["q"]


FITTING = ["a + b", "a + 2", "a + free", "a*l/l + b", "sqrt(a*a) + b", "exp(a/b)", "max(a, b, 0)"]
CLASHING = ["a + l", "a + h", "exp(a)", "max(a, l)", "[a, l]", "a*l + b"]


def constants(expression):
    head = (
        "problem p\nspace x\ndomain L = interval(0, 1)\nconst a = 1 [s], b = 2 [s], l = 3 [m], free"
        " = 4, h = 1 [ms]\n"
    )
    return (
        head + "unknown u : scalar on L\nin L: dxx(u) = 1\non boundary(L): u = 0\noutput q :="
        f" {expression}\n"
    )


@pytest.mark.parametrize("expression", FITTING)
def test_units_that_fit_raise_no_alarm(expression):
    assert pdespec.parse(constants(expression)).outputs["q"]


@pytest.mark.parametrize("expression", CLASHING)
def test_units_that_clash_are_reported(expression):
    with pytest.raises(ProblemError, match="T04"):
        pdespec.parse(constants(expression))


POINTWISE = """
problem probe
space    x, y
time     t in [0, 2]
domain   Omega = rectangle([0, 0], [1, 1])
param    a = 0.5
unknown  u : scalar on Omega, v : vector on Omega
in Omega:
    heat: dt(u) = lap(u)
    flow: dt(v) = lap(v)
on boundary(Omega):
    u = 0
    v = 0
at t = 0:
    u = x*y
    v = [x, y]
output centre := u(0.5, a)
output ratio := v(0.5, 0.5).x/u(0.5, 0.5, 1)
output corner := v(1, 1)
"""


def test_outputs_may_ask_for_fields_at_points():
    problem = pdespec.parse(POINTWISE)
    x, y, t = problem.variables
    u, v = problem.unknowns["u"].symbol, problem.unknowns["v"].symbol
    a = problem.params["a"].symbol
    half = sp.Rational(1, 2)
    assert problem.outputs["centre"].value == u.func(half, a, t)
    assert problem.outputs["ratio"].value == v[0].func(half, half, t) / u.func(half, half, 1)
    assert list(problem.outputs["corner"].value) == [entry.func(1, 1, t) for entry in v]
    assert pdespec.parse(problem.to_dsl()) == problem
    assert pdespec.parse(problem.revised(written=None).to_dsl()) == problem


@pytest.mark.parametrize(
    "written, code, says",
    [
        ("u(0.5)", "S02", "write u(x, y, t) with numbers"),
        ("u(y, x)", "W07", "not a value at one point"),
        ("u(0, 0, 0, 0)", "S02", "u(x, y, t)"),
    ],
)
def test_a_point_that_is_none_is_refused(written, code, says):
    with pytest.raises(pdespec.ProblemError) as caught:
        pdespec.parse(POINTWISE.replace("u(0.5, a)", written))
    assert [each.code for each in caught.value.diagnostics] == [code] and says in str(caught.value)
