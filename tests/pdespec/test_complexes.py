"""Complex expressions split into real and imaginary parts, against complex numbers of Python."""

from __future__ import annotations

import cmath

import pytest
import sympy as sp

import pdespec
from pdespec import (
    Problem,
    ProblemError,
    abs2,
    boundary,
    check,
    conj,
    div,
    grad,
    integral,
    interval,
    lap,
    on,
    rectangle,
    space,
    unknown,
    variation,
)
from pdespec.complexes import column, split, stacked
from pdespec.jets import expand_derivatives

a, b, c = sp.symbols("a b c", real=True)
Z = a + sp.I * b
HERE = {a: 0.7, b: -1.3, c: 0.4}

EXPRESSIONS = [
    Z**3, 1 / Z, Z**-2, sp.exp(Z), sp.sin(Z), sp.cos(Z), sp.sinh(Z), sp.cosh(Z), sp.log(Z),
    sp.sqrt(Z), Z * sp.conjugate(Z), sp.Abs(Z) * Z,
    sp.arg(Z), sp.re(Z**2) + sp.I * sp.im(Z), sp.exp(sp.I * c) / (1 + sp.I * Z),
    Z ** sp.Rational(3, 2), sp.tan(Z),
    sp.exp(-Z * sp.conjugate(Z)), sp.Integer(-8) ** sp.Rational(1, 3),
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_the_parts_of_an_expression_make_it_up(expression):
    real, imaginary = split(expression)
    assert not (real.has(sp.I) or imaginary.has(sp.I))
    found = complex(float(real.subs(HERE)), float(imaginary.subs(HERE)))
    assert found == pytest.approx(complex(sp.N(expression.subs(HERE))), abs=1e-12)


def test_a_function_without_closed_parts_is_refused():
    with pytest.raises(ProblemError, match="T05"):
        split(sp.besselj(0, Z))


x, y = space("x y")
Q = rectangle(x, y, [0, 0], [1, 1], name="Q")


def test_a_divergence_stays_one():
    psi = unknown("psi", Q, complex=True)
    real, imaginary = split(div((1 + sp.I * x) * grad(psi)))
    assert all(
        isinstance(term, sp.Derivative) and isinstance(term.variables[0], type(x))
        for term in real.args
    )
    at = {psi: sp.exp(sp.I * x * y)}
    p, q = split(psi)
    truth = {p: sp.cos(x * y), q: sp.sin(x * y)}
    wanted = sum(sp.diff((1 + sp.I * x) * sp.diff(at[psi], v), v) for v in (x, y))
    found = (expand_derivatives(real) + sp.I * expand_derivatives(imaginary)).subs(truth).doit()
    point = {x: 0.3, y: 0.8}
    assert complex(found.subs(point)) == pytest.approx(complex(wanted.subs(point)), abs=1e-12)


def test_the_components_of_complex_fields_are_named_by_their_parts():
    problem = Problem("p", {"a": (lap(unknown("E", Q, "vector", complex=True)), sp.zeros(2, 1))})
    assert problem.components == ("E.x.re", "E.x.im", "E.y.re", "E.y.im")
    assert problem.residuals()["a"].shape == (4, 1)


def test_a_complex_problem_reads_the_same_in_text_and_in_python():
    psi = unknown("psi", Q, complex=True)
    made = Problem(
        "p",
        {"eq1": (lap(psi) + (4 + sp.I) * psi, sp.exp(2 * sp.I * x))},
        [on(boundary(Q), sp.Eq(psi, sp.I * y))],
        output={"power": integral(abs2(psi), Q)},
        reference={psi: sp.exp(sp.I * x)},
    )
    text = """problem p
space x, y
domain Q = rectangle([0, 0], [1, 1], )
unknown psi : complex scalar on Q
in Q: lap(psi) + (4 + 1i)*psi = exp(2i*x)
on boundary(Q): psi = i*y
output power := integral(abs2(psi), Q)
reference psi = exp(1i*x)
""".replace(", )", ")")
    written = pdespec.parse(text)
    assert written == made == pdespec.parse(made.to_dsl()) == pdespec.parse(written.to_dsl())
    assert check(made) == ()
    assert r"\mathrm{i}" in written.to_latex() and r"\left|\psi\right|^{2}" in written.to_latex()


def test_a_gradient_flow_of_a_complex_field_is_that_of_its_parts():
    L = interval(space("x")[0], 0, 1)
    psi = unknown("psi", L, complex=True)
    p, q = split(psi)
    found = split(variation(integral(abs2(grad(psi)) / 2 + abs2(psi) ** 2 / 4, L), psi))
    s = L.coordinates[0]
    for part, derived in zip((p, q), found, strict=True):
        assert (
            sp.expand(
                expand_derivatives(derived) - ((p**2 + q**2) * part - sp.Derivative(part, (s, 2)))
            )
            == 0
        )


def test_sides_of_a_complex_equation_lie_below_each_other_and_cancelled_parts_vanish():
    psi = unknown("psi", Q, complex=True)
    p, q = split(psi)
    assert stacked(psi * conj(psi)) == p**2 + q**2
    assert column(sp.Matrix([psi, 2])) == sp.ImmutableMatrix([p, q, 2, 0])
    assert complex(cmath.exp(1j)) == pytest.approx(
        complex(*(float(part) for part in split(sp.exp(sp.I))))
    )
