import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from pdespec import (
    ProblemError,
    avg,
    dot,
    grad,
    input_function,
    integral,
    jump,
    rectangle,
    space,
    time,
    unit_normal,
    unknown,
)
from pdespec.jets import Jet, expand_derivatives, jet_form, jets_of, sympy_form, total_derivative
from pdespec.symbols import InputField, UnknownField
from tests.effort import calls

from .closed_form import closed, same

x, y = space("x y")
t = time("t", 0, 1)
Omega = rectangle(x, y)
u = unknown("u", Omega, time=t)
v = unknown("v", Omega, "vector")
f = input_function("f", Omega)
fields = {u: sp.sin(x + 2 * y) * sp.exp(-t), v: [x * y**2, sp.cos(x)], f: x**3 - y}


def test_mixed_partials_in_two_orders_are_one_jet():
    assert jet_form(sp.Derivative(u, x, y)) == jet_form(sp.Derivative(u, y, x)) == Jet(u, (1, 1, 0))
    assert (
        expand_derivatives(
            sp.Derivative(sp.Derivative(u, y), x) - sp.Derivative(sp.Derivative(u, x), y)
        )
        == 0
    )


def test_a_jet_knows_its_multi_index_over_any_variables():
    jet = jet_form(sp.Derivative(v[0], x, (y, 2)))
    assert jet.index == (1, 2)
    assert jet.over((x, y, t)) == (1, 2, 0)
    assert str(jet) == "v.x_xyy"
    assert jet.derivative() == sp.Derivative(v[0], x, (y, 2))


def test_the_two_forms_are_inverse():
    expression = u * sp.Derivative(u, x, (t, 2)) + sp.sin(f) * v[1]
    assert sympy_form(jet_form(expression)) == expression


def test_jets_are_sorted_and_told_apart_by_kind():
    form = jet_form(f * sp.Derivative(u, x, x) + sp.Derivative(u, y) * u)
    assert [str(jet) for jet in jets_of(form)] == ["f", "u", "u_y", "u_xx"]
    assert [str(jet) for jet in jets_of(form, UnknownField)] == ["u", "u_y", "u_xx"]
    assert [str(jet) for jet in jets_of(form, InputField)] == ["f"]


atoms = st.sampled_from([u, v[0], v[1], f, x, y, t, sp.Integer(2), sp.Rational(1, 3)])


def combine(children):
    pair = st.tuples(children, children)
    one = st.one_of(
        pair.map(lambda p: p[0] + p[1]),
        pair.map(lambda p: p[0] * p[1]),
        children.map(lambda e: sp.sin(e)),
        children.map(lambda e: sp.exp(sp.Rational(1, 4) * sp.cos(e))),
        children.map(lambda e: sp.sqrt(1 + e**2)),
        children.map(lambda e: (2 + e**2) ** -1),
    )
    return st.one_of(
        one,
        st.tuples(children, st.sampled_from([x, y, t])).map(
            lambda p: sp.Derivative(p[0], p[1], evaluate=False)
        ),
    )


@settings(max_examples=40, deadline=None)
@given(st.recursive(atoms, combine, max_leaves=6))
def test_carrying_out_agrees_with_sympy_on_closed_forms(expression):
    assert same(
        closed(expand_derivatives(expression), fields), closed(expression, fields), (x, y, t)
    )


@settings(max_examples=20, deadline=None)
@given(st.recursive(atoms, combine, max_leaves=5))
def test_nothing_is_left_to_carry_out(expression):
    done = expand_derivatives(expression)
    assert expand_derivatives(done) == done
    assert all(
        isinstance(each.expr, (UnknownField, InputField)) for each in done.atoms(sp.Derivative)
    )


def test_the_derivative_of_an_absolute_value_is_real():
    assert expand_derivatives(sp.Derivative(sp.Abs(u), x)) == sp.sign(u) * sp.Derivative(u, x)
    assert expand_derivatives(sp.Derivative(sp.Abs(sp.Derivative(u, x)), x)) == sp.sign(
        sp.Derivative(u, x)
    ) * sp.Derivative(u, (x, 2))


def test_a_variable_exponent_is_differentiated_too():
    assert same(
        closed(expand_derivatives(sp.Derivative((2 + u**2) ** x, x)), fields),
        sp.diff((2 + fields[u] ** 2) ** x, x),
        (x, y, t),
    )


def test_a_derivative_by_a_field_is_partial():
    slope = sp.Derivative(u, x)
    assert expand_derivatives(sp.Derivative(u**3 * slope, u)) == 3 * u**2 * slope
    assert expand_derivatives(sp.Derivative(u * slope**2, slope)) == 2 * u * slope


def test_an_integral_is_a_number_to_the_outside():
    total = integral(sp.Derivative(u, x), Omega)
    assert expand_derivatives(sp.Derivative(total * u, x)) == total * sp.Derivative(u, x)


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        (u.subs(x, 0), "W07"),
        (sp.Derivative(u, x).subs(x, 0), "W07"),
        (u.subs(t, 0), "W07"),
        (sp.Function("q")(x), "S01"),
        (sp.Derivative(dot(grad(v[0]), unit_normal(Omega)), x), "T02"),
        (sp.Sum(u ** sp.Symbol("k"), (sp.Symbol("k"), 1, 3)), "T05"),
        (sp.Integral(u, (x, 0, 1)), "T05"),
    ],
)
def test_what_is_no_field_at_the_point_is_diagnosed(expression, code):
    with pytest.raises(ProblemError) as caught:
        jet_form(expression)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]


def test_a_derivative_goes_inside_a_jump():
    assert expand_derivatives(sp.Derivative(jump(u**2), x)) == jump(2 * u * sp.Derivative(u, x))
    assert expand_derivatives(sp.Derivative(u * avg(u), x)) == sp.Derivative(u, x) * avg(
        u
    ) + u * avg(sp.Derivative(u, x))


def test_cost_grows_linearly_with_the_number_of_terms():
    def effort(terms):
        expression = sp.Add(
            *(
                sp.Derivative(u**k * sp.sin(k * x) * sp.Derivative(u, x), x)
                for k in range(2, terms + 2)
            )
        )
        return calls(lambda: expand_derivatives(expression))

    assert effort(80) < 2 * 8 * effort(10)  # eight times the terms; quadratic cost would give 64


def test_total_derivatives_chain_through_jets():
    form = jet_form(u**2)
    assert total_derivative(form, x, t) == 2 * Jet(u, (0, 0, 1)) * Jet(u, (1, 0, 0)) + 2 * Jet(
        u, (0, 0, 0)
    ) * Jet(u, (1, 0, 1))
