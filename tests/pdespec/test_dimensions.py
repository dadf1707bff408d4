import pytest
import sympy as sp

from pdespec import (
    ProblemError,
    boundary,
    const,
    dirac,
    div,
    dot,
    dt,
    grad,
    integral,
    lap,
    param,
    rectangle,
    space,
    time,
    unit_normal,
    unknown,
)
from pdespec.rules.dimensions import agree, measure, unit_of
from pdespec.units import ANY, ONE

x, y = space("x y", unit="m")
t = time("t", 0, 1, unit="s")
Omega = rectangle(x, y)
T = unknown("T", Omega, time=t, unit="K")
v = unknown("v", Omega, "vector", time=t, unit="m/s")
bare = unknown("bare", Omega, time=t)
k, c = const("k", 2, unit="W/m*K^-1"), param("c", 1, unit="J/m^3/K")


@pytest.mark.parametrize(
    ("expression", "unit"),
    [
        (T, "K"),
        (grad(T)[0], "K/m"),
        (lap(T), "K/m^2"),
        (dt(T), "K/s"),
        (c * dt(T), "W/m^3"),
        (div(k * grad(T)), "W/m^3"),
        (c * dt(T) - div(k * grad(T)), "W/m^3"),
        (dot(v, v), "m^2/s^2"),
        (sp.sqrt(dot(v, v)), "m/s"),
        (integral(T, Omega), "K*m^2"),
        (integral(T, boundary(Omega)), "K*m"),
        (dot(v, unit_normal(Omega)), "m/s"),
        (sp.exp(x / const("L", 1, unit="m")), "1"),
        (sp.Abs(3 * T + 2), "K"),
        (x * t**2, "m*s^2"),
    ],
)
def test_the_unit_of_an_expression_follows_from_its_parts(expression, unit):
    assert unit_of(expression) == measure(unit)


def test_numbers_take_any_unit_and_names_without_one_are_unknown():
    assert unit_of(sp.pi / 2) is ANY
    assert unit_of(bare) is unit_of(bare * T) is None
    assert unit_of(T + bare) == measure("K")
    assert unit_of(sp.exp(bare)) == ONE
    assert unit_of(T**bare) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: unit_of(T + x),
        lambda: unit_of(sp.sin(x)),
        lambda: agree(unit_of(T), unit_of(dt(T)), "here"),
    ],
)
def test_units_that_do_not_fit_are_refused(make):
    with pytest.raises(ProblemError, match="T04"):
        make()


@pytest.mark.parametrize("text", ["furlong", "m//s", "m s", "*m", "m^", "m^x", "2*m"])
def test_what_is_no_unit_is_refused(text):
    with pytest.raises(ProblemError, match="S01"):
        measure(text)


def test_a_misspelt_unit_gets_a_suggestion():
    with pytest.raises(ProblemError, match="did you mean `Pa`"):
        measure("pa")


def test_a_bare_width_of_a_source_has_the_unit_of_its_place():
    """That of `dirac` is a number, which the text of a problem takes too."""
    source = dirac([x - 1, y], 0.2)
    assert unit_of(source) is unit_of(k * source) is None
    wide = const("wide", 0.2, unit="m")
    assert unit_of(dirac([x - 1, y], wide)) == measure("m^-2")
    with pytest.raises(ProblemError, match="T04"):
        unit_of(sp.exp(2 * x**3))
