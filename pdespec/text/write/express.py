"""From SymPy expressions, shapes, regions and laws back to the syntax tree."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from functools import singledispatch
from typing import Any

import sympy as sp

from pdespec import calculus
from pdespec import geometry as g
from pdespec.calculus import Average, Integral, Jump
from pdespec.coordinates import Coordinate, Normal, Time
from pdespec.curvilinear import divided
from pdespec.errors import ProblemError, fail
from pdespec.functions import MAX_ORDER, WRITTEN
from pdespec.geometry import in_place
from pdespec.symbols import InputField, Scalar, UnknownField
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.printer import text
from pdespec.text.write.places import shape
from pdespec.text.write.recognise import (
    declared,
    is_negative,
    operators,
    tensor_gradient,
    vector_operators,
)
from pdespec.text.write.terms import differentiated, negative, signed
from pdespec.words import taken

FUNCTIONS: dict[Any, str] = WRITTEN | {Jump: "jump", Average: "avg"}
COMPARISONS = {sp.Lt: "<", sp.Le: "<=", sp.Gt: ">", sp.Ge: ">="}


class Express:
    """Writes the expressions of one problem, whose coordinates and time decide which names need
    backticks."""

    def __init__(
        self,
        variables: tuple[str, ...],
        known: Mapping[Any, t.Node] | None = None,
        called: Container[str] = (),
    ) -> None:
        self.variables = variables
        # functions of the language in use, whose names a declaration may have taken too
        self.called = called
        self.known = known or {}  # expressions that have a name of their own

    def name(self, name: str) -> t.Name:
        """A declared name, in backticks where it would be read as something else."""
        return t.Name(
            f"`{name}`"
            if taken(name, self.variables) or name == "theta" or name in self.called
            else name
        )

    def side(self, expression: Any) -> t.Node:
        """A side of an equation: a vector of zeros is 0 there."""
        if isinstance(expression, sp.MatrixBase) and expression.is_zero_matrix:
            return t.Number("0")
        return self(expression)

    def __call__(self, expression: Any) -> t.Node:
        """The syntax tree of a scalar, vector or tensor."""
        if isinstance(expression, sp.MatrixBase):
            return self.matrix(expression)
        return self.known[expression] if expression in self.known else write(expression, self)

    def matrix(self, expression: Any) -> t.Node:
        """A vector or tensor: by its name, as an operator's value such as `grad(u)`, or entry by
        entry."""
        declaration = declared(expression[0])
        if declaration is not None and declaration.symbol == expression:
            return self.name(declaration.name)
        if expression.cols == 1:
            if known := vector_operators(expression, self):
                return known
            if all(isinstance(entry, Normal) for entry in expression) and list(expression) == [
                Normal(x) for x in expression[0].coordinate.coordinates
            ]:
                return t.Name("n")
            return t.Bracket(tuple(self(entry) for entry in expression))
        if expression.rows == expression.cols and expression == sp.eye(expression.rows):
            return t.Name("I")
        if gradient := tensor_gradient(expression, self):
            return gradient
        return t.Bracket(
            tuple(
                t.Bracket(tuple(self(expression[i, j]) for j in range(expression.cols)))
                for i in range(expression.rows)
            )
        )

    def integral(self, density: Any, region: Any) -> t.Node:
        """`integral(density, region)`; the weight 2 pi r or 4 pi r^2 of curved coordinates is taken
        out of the density."""
        return t.Call("integral", (self(divided(density, region.coordinates)), self.region(region)))

    # ---- regions

    def region(self, region: Any) -> t.Node:
        """A region by its name, or in place where it has none of its own."""
        return (
            self.boundary(region)
            if isinstance(region, g.Boundary) and in_place(region)
            else self.name(region.name)
        )

    def boundary(self, region: g.Boundary) -> t.Node:
        """The expression that makes a boundary."""
        domain = self.name(region.domain.name)
        held = tuple(write_condition(each, self) for each in region.where)
        if region.kind == "side":
            return t.Call(
                "side",
                (domain, *held),
                (t.Keyword(self.name(str(region.coordinate)).name, self(region.value)),),
            )
        if region.kind == "rest":
            return t.Call("rest", (domain, *(self.region(other) for other in region.others)))
        if region.kind == "group":
            return t.Call("group", (domain, t.Quoted(region.group or ""), *held))
        if region.kind == "of":
            return t.Call("boundary", (domain, shape(region.part, self), *held))
        if region.kind == "level":
            return t.Call("interface", (domain, self(region.value)))
        if region.kind == "interface":
            return t.Call("interface", (domain, self.name(region.others[0].domain.name)))
        return t.Call("boundary" if region.kind == "all" else region.kind, (domain, *held))


def plain(expression: Any) -> str:
    """An expression as it would be written, for messages; SymPy's own form where the language
    has none."""
    frame, time = calculus.coordinates_of(expression), calculus.time_of(expression)
    express = Express(tuple(each.name for each in (*frame, *((time,) if time else ()))))
    try:
        return text(express(expression))
    except ProblemError:
        return sp.sstr(expression)


# ---- expressions


def decimal(number: sp.Rational) -> t.Node:
    """A number that is not negative: in decimals where they end, as a fraction otherwise."""
    if number.q == 1:
        return t.Number(str(number.p))
    rest, twos, fives = number.q, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places > 20:
        return t.Product(t.Number(str(number.p)), (("/", t.Number(str(number.q))),))
    digits = str(number.p * 10**places // number.q).rjust(places + 1, "0")
    return t.Number(f"{digits[:-places]}.{digits[-places:]}")


@singledispatch
def write(expression: Any, express: Express) -> t.Node:
    """The syntax tree of a scalar."""
    name = FUNCTIONS.get(expression.func)
    if name is None:
        hint = "the text form knows " + ", ".join(sorted({*FUNCTIONS.values(), "sqrt", "if"}))
        raise fail("T05", f"{expression.func.__name__} has no text form", hint)
    return t.Call(name, tuple(express(argument) for argument in expression.args))


@write.register
def _step(expression: sp.Heaviside, express: Express) -> t.Node:
    argument, at_zero = expression.args
    return t.Call(
        "step", (express(argument), *([] if at_zero == sp.S.Half else [express(at_zero)]))
    )


@write.register
def _pieces(expression: sp.Piecewise, express: Express) -> t.Node:
    *branches, (last, always) = expression.args
    if always != sp.true:
        hint = "give the value where no condition holds: Piecewise((a, c), (b, True))"
        raise fail("V05", "a Piecewise without a default has no text form", hint)
    return t.Call(
        "if",
        (
            *(
                part
                for value, holds in branches
                for part in (write_condition(holds, express), express(value))
            ),
            express(last),
        ),
    )


def write_condition(condition: Any, express: Express) -> t.Node:
    """The syntax tree of a condition."""
    if condition.func in COMPARISONS:
        return t.Comparison(
            express(condition.lhs), ((COMPARISONS[condition.func], express(condition.rhs)),)
        )
    if isinstance(condition, sp.Eq):
        return t.Call("equal", (express(condition.lhs), express(condition.rhs)))
    if isinstance(condition, sp.Ne):
        return t.Not(t.Call("equal", (express(condition.lhs), express(condition.rhs))))
    parts = tuple(write_condition(part, express) for part in condition.args)
    if isinstance(condition, sp.Xor):
        return t.Call("xor", parts)
    if isinstance(condition, sp.Not):
        return t.Not(parts[0])
    if isinstance(condition, (sp.And, sp.Or)):
        return t.Logic("and" if isinstance(condition, sp.And) else "or", parts)
    raise fail(
        "T05",
        f"{condition.func.__name__} has no text form",
        "write the condition with and, or, not and comparisons",
    )


@write.register
def _rational(expression: sp.Rational, express: Express) -> t.Node:
    size: Any = abs(expression)
    return negative(decimal(size)) if expression < 0 else decimal(size)


@write.register
def _pi(expression: sp.core.numbers.Pi, express: Express) -> t.Node:
    return t.Name("pi")


@write.register
def _e(expression: sp.core.numbers.Exp1, express: Express) -> t.Node:
    return t.Call("exp", (t.Number("1"),))


@write.register
def _number_symbol(expression: sp.NumberSymbol, express: Express) -> t.Node:
    """Numbers that SymPy makes of special functions at whole and half arguments, by functions
    that it turns into them again."""
    if expression == sp.EulerGamma:
        return t.Negative(t.Call("polygamma", (t.Number("0"), t.Number("1"))))
    if expression == sp.Catalan:
        return express((sp.polygamma(1, sp.Rational(1, 4)) - sp.pi**2) / 8)
    return express(expression.expand(func=True))


@write.register
def _zeta(expression: sp.zeta, express: Express) -> t.Node:
    """zeta(k), which SymPy makes of polygamma(k - 1, 1)."""
    order = expression.args[0]
    if len(expression.args) > 1 or not (order.is_Integer and 2 <= order <= MAX_ORDER + 1):
        raise fail(
            "T05",
            f"`{expression}` has no text form",
            "write it by polygamma(k, s), or give its value as a number",
        )
    call = t.Call("polygamma", (t.Number(str(order - 1)), t.Number("1")))
    return t.Product(
        call if order % 2 == 0 else t.Negative(call),
        (("/", t.Number(str(sp.factorial(order - 1)))),),
    )


@write.register
def _imaginary(expression: sp.core.numbers.ImaginaryUnit, express: Express) -> t.Node:
    return t.Number("1i")


@write.register
def _symbol(expression: sp.Symbol, express: Express) -> t.Node:
    if isinstance(expression, (Coordinate, Time)):
        return express.name(expression.name)
    if expression == g.THETA:
        return t.Name("theta")
    raise fail(
        "S01",
        f"`{expression}` is a plain SymPy symbol, not declared",
        "declare it with const, param or trainable",
    )


@write.register
def _normal(expression: Normal, express: Express) -> t.Node:
    return t.Component(t.Name("n"), expression.coordinate.name)


@write.register
def _scalar(expression: Scalar, express: Express) -> t.Node:
    name = express.name(expression.declaration.name)
    return (
        name
        if expression.declaration.size is None
        else t.Call("entry", (name, t.Number(str(expression.index))))
    )


@write.register(UnknownField)
@write.register(InputField)
def _field(expression: Any, express: Express) -> t.Node:
    declaration = expression.func.declaration
    name = express.name(declaration.name)
    place = expression.func.__name__[len(declaration.name) + 1 :]
    if declaration.complex:
        axes, _, part = place.rpartition(".")
        return t.Call(part, (t.Component(name, axes) if axes else name,))
    if any(not isinstance(argument, (Coordinate, Time)) for argument in expression.args):
        # an output at a point
        name = t.Call(name.name, tuple(express(argument) for argument in expression.args))
    return name if declaration.rank == "scalar" else t.Component(name, place)


@write.register
def _derivative(expression: sp.Derivative, express: Express) -> t.Node:
    return differentiated(
        express(expression.expr), tuple(str(variable) for variable in expression.variables), express
    )


@write.register
def _value_at(expression: sp.Subs, express: Express) -> t.Node:
    """A derivative at a point. SymPy's variables in it stand for the coordinates in order."""
    inner, places = expression.expr, dict(zip(expression.variables, expression.point, strict=True))
    (field,) = inner.atoms(UnknownField, InputField)
    declared = field.func.declaration.symbol
    own = (declared[0] if isinstance(declared, sp.MatrixBase) else declared).args
    names = dict(zip(field.args, own, strict=True))
    point = tuple(express(places[each]) for each in field.args if each in places)
    return t.Call(
        "at", (express(inner.xreplace(names)), point[0] if len(point) == 1 else t.Bracket(point))
    )


@write.register
def _integral(expression: Integral, express: Express) -> t.Node:
    return express.integral(expression.density, expression.region)


@write.register
def _power(expression: sp.Pow, express: Express) -> t.Node:
    base, exponent = expression.args
    if is_negative(exponent):
        return t.Product(t.Number("1"), (("/", _raised(base, -exponent, express)),))
    return _raised(base, exponent, express)


def _raised(base: sp.Expr, exponent: sp.Expr, express: Express) -> t.Node:
    if exponent == 1:
        return express(base)
    return (
        t.Call("sqrt", (express(base),))
        if exponent == sp.Rational(1, 2)
        else t.Power(express(base), express(exponent))
    )


@write.register
def _product(expression: sp.Mul, express: Express) -> t.Node:
    """Factors in an order in which SymPy rebuilds the same product: a number is kept from
    distributing over a sum."""
    coefficient, rest = expression.as_coeff_Mul()
    factors = list(sp.Mul.make_args(rest))
    plain = [each for each in factors if not each.is_Add]
    sums = [each for each in factors if each.is_Add]
    number: Any = abs(coefficient)
    above, below = _split(plain, express)
    numerator = [] if number.p == 1 or not (plain or not sums) else [t.Number(str(number.p))]
    signed = [("*", each) for each in numerator + above]
    if number.q != 1 and (plain or not sums):
        below.insert(0, t.Number(str(number.q)))
    signed += [("/", each) for each in below] + [("*", express(each)) for each in sums]
    if sums and not plain and number != 1:  # at least two sums: the number goes last
        signed += [("*", t.Number(str(number.p)))] if number.p != 1 else []
        signed += [("/", t.Number(str(number.q)))] if number.q != 1 else []
    if signed[0][0] == "/":
        signed.insert(0, ("*", t.Number("1")))
    node: t.Node = t.Product(signed[0][1], tuple(signed[1:])) if len(signed) > 1 else signed[0][1]
    return negative(node) if coefficient < 0 else node


def _split(factors: Iterable[sp.Expr], express: Express) -> tuple[list[t.Node], list[t.Node]]:
    """Factors above and below the bar; constants and names before functions and fields."""
    above, below = [], []
    for factor in sorted(
        factors,
        key=lambda each: (
            not isinstance(each, (Scalar, sp.NumberSymbol)),
            sp.default_sort_key(each),
        ),
    ):
        base, exponent = factor.as_base_exp()
        if is_negative(exponent) and not isinstance(factor, sp.exp):
            below.append(_raised(base, -exponent, express))
        else:
            above.append(express(factor))
    return above, below


@write.register
def _sum(expression: sp.Add, express: Express) -> t.Node:
    if expression.has(sp.I):  # a complex field is the sum of its parts
        whole = {
            each.func.declaration
            for each in expression.atoms(UnknownField, InputField)
            if each.func.declaration.complex
        }
        for declaration in sorted(whole, key=lambda each: each.name):
            if declaration.symbol == expression:
                return express.name(declaration.name)
    found, left = operators(expression.args, express)
    return signed([*found, *terms_of(left, express)])


def terms_of(terms: Iterable[sp.Expr], express: Express) -> list[tuple[str, t.Node]]:
    """The terms of a sum with their signs, in SymPy's order."""
    ordered: Any = sp.Add(*terms, evaluate=False).as_ordered_terms()
    minus = [is_negative(each) for each in ordered]
    return [
        ("-" if down else "+", express(-each if down else each))
        for each, down in zip(ordered, minus, strict=True)
        if each != 0
    ]
