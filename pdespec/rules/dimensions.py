"""The unit of an expression built in Python, and where units disagree. (Text is checked as it is
written, by `pdespec.text.syntax.units`.)

A number takes the unit its context needs; a symbol without a unit is unknown, and so is everything
it multiplies. Only what is known on both sides is compared.
"""

from __future__ import annotations

from fractions import Fraction
from functools import singledispatch
from typing import Any

import sympy as sp

from pdespec.calculus import Integral
from pdespec.coordinates import Coordinate, Normal, Time
from pdespec.errors import fail
from pdespec.functions import TABLE, WRITTEN
from pdespec.notation import short
from pdespec.symbols import InputField, Scalar, UnknownField
from pdespec.units import ANY, ONE, Unit, disagreement, power, product_of, times, unknown_unit
from pdespec.units import agree as shared_unit
from pdespec.units import measure as measure_of


def measure(text: str | None) -> Unit:
    """The meaning of a unit such as "kg*m/s^2"; None without one.

    Raises: S01 when it is not a unit.
    """
    written = product_of(text)
    if written is not None and (wrong := unknown_unit(written)):
        raise fail("S01", f"unknown unit {wrong[0]!r} in {text!r}", wrong[1])
    return measure_of(written)


def agree(a: Unit, b: Unit, what: str) -> Unit:
    """The unit two quantities share.

    Raises: T04 when both are known and differ.
    """
    shared, fits = shared_unit(a, b)
    if not fits:
        raise fail("T04", *disagreement(a, b, what))
    return shared


@singledispatch
def unit_of(expression: Any) -> Unit:
    """The unit of a scalar expression, `ANY` for a number, None where it is not known.

    Raises: T04 when the terms of a sum, or the argument of a function, have units that do not fit.
    """
    return ANY if expression.is_number else None


@unit_of.register(Coordinate)
@unit_of.register(Time)
def _(expression: Coordinate | Time) -> Unit:
    return measure(expression.unit)


@unit_of.register(Scalar)
def _(expression: Scalar) -> Unit:
    return measure(expression.declaration.unit)


@unit_of.register(UnknownField)
@unit_of.register(InputField)
def _(expression: UnknownField | InputField) -> Unit:
    return measure(expression.func.declaration.unit)


@unit_of.register(Normal)
def _(expression: Normal) -> Unit:
    return ONE


@unit_of.register(sp.Derivative)
def _(expression: sp.Derivative) -> Unit:
    result = unit_of(expression.expr)
    for variable in expression.variables:
        result = None if result is ANY else times(result, power(unit_of(variable), Fraction(-1)))
    return result


@unit_of.register(Integral)
def _(expression: Integral) -> Unit:
    region = expression.region
    length = measure(region.coordinates[0].unit)
    return (
        times(unit_of(expression.density), power(length, Fraction(region.dim)))
        if length is not None
        else None
    )


@unit_of.register(sp.Add)
def _(expression: sp.Add) -> Unit:
    first, *others = expression.args
    result = unit_of(first)
    for term in others:
        result = agree(result, unit_of(term), f"the sum {short(expression)}")
    return result


@unit_of.register(sp.Mul)
def _(expression: sp.Mul) -> Unit:
    result: Unit = ANY
    for factor in expression.args:
        result = times(result, unit_of(factor))
    return result


@unit_of.register(sp.Pow)
def _(expression: sp.Pow) -> Unit:
    base, exponent = unit_of(expression.base), expression.exp
    if base is None or base is ANY:
        return base
    if isinstance(exponent, sp.Rational):
        return power(base, Fraction(int(exponent.p), int(exponent.q)))
    return ONE if base == ONE else None


@unit_of.register(sp.Piecewise)
def _(expression: sp.Piecewise) -> Unit:
    result: Unit = ANY
    for value, condition in expression.args:
        result = agree(result, unit_of(value), f"the values of {short(expression)}")
        for each in condition.atoms(sp.core.relational.Relational):
            agree(unit_of(each.lhs), unit_of(each.rhs), f"the condition {each}")
    return result


@unit_of.register(sp.Function)
@unit_of.register(sp.Min)
@unit_of.register(sp.Max)
def _(expression: Any) -> Unit:
    if expression.func not in WRITTEN:
        return None
    rule, first = TABLE[WRITTEN[expression.func]].unit, unit_of(expression.args[0])
    if rule in ("same", "ratio"):
        for argument in expression.args[1:]:
            first = agree(first, unit_of(argument), short(expression))
        return first if rule == "same" else ONE
    for argument in expression.args if rule == "pure" else ():
        unit = unit_of(argument)
        if _is_bell(expression) and unit not in (ANY, ONE):
            return None
        if unit is not None and unit is not ANY and unit != ONE:
            hint = "divide it by a quantity of the same unit; numbers are declared with theirs"
            raise fail(
                "T04",
                f"the argument of {short(expression)} has the unit {unit}, it needs none",
                hint,
            )
    return ONE


def _is_bell(expression: Any) -> bool:
    """Whether this is exp(-c s^2) with a bare number c, as in `dirac(x - a, 0.2)`: the width has
    the unit of s, although the number does not say so."""
    if not isinstance(expression, sp.exp):
        return False
    terms = [each.as_coeff_Mul() for each in sp.Add.make_args(expression.args[0])]
    return all(
        number < 0 and number != -1 and square.is_Pow and square.exp == 2
        for number, square in terms
    )
