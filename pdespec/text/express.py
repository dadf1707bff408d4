"""From SymPy expressions, shapes, regions and laws back to the syntax tree."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import singledispatch
from typing import Any

import sympy as sp

from .. import geometry as g
from ..calculus import Average, Integral, Jump
from ..errors import fail
from ..laws import Law, NumberLaw
from ..symbols import Coordinate, InputField, Normal, Scalar, Time, UnknownField
from . import tree as t
from .regions import LAWS
from .words import BUILTINS, split_derivative, taken

FUNCTIONS: dict[Any, str] = {
    sp.exp: "exp",
    sp.log: "log",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.tan: "tan",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sp.tanh: "tanh",
    sp.Abs: "abs",
    sp.Min: "min",
    sp.Max: "max",
    Jump: "jump",
    Average: "avg",
}
LAW_NAMES = {inspect.signature(make, eval_str=True).return_annotation: name for name, make in LAWS.items()}


class Express:
    """Writes the expressions of one problem, whose coordinates and time decide which names need backticks."""

    def __init__(self, variables: tuple[str, ...]) -> None:
        self.variables = variables

    def name(self, name: str) -> t.Name:
        """A declared name, in backticks where it would be read as something else."""
        return t.Name(f"`{name}`" if taken(name, self.variables) or name == "theta" else name)

    def side(self, expression: Any) -> t.Node:
        """A side of an equation: a vector of zeros is 0 there."""
        if isinstance(expression, sp.MatrixBase) and expression.is_zero_matrix:
            return t.Number("0")
        return self(expression)

    def __call__(self, expression: Any) -> t.Node:
        """The syntax tree of a scalar, vector or tensor."""
        if isinstance(expression, sp.MatrixBase):
            return self.matrix(expression)
        return write(expression, self)

    def matrix(self, expression: Any) -> t.Node:
        declaration = _declared(expression[0])
        if declaration is not None and declaration.symbol == expression:
            return self.name(declaration.name)
        if expression.cols == 1:
            if all(isinstance(entry, Normal) for entry in expression) and list(expression) == [
                Normal(x) for x in expression[0].coordinate.coordinates
            ]:
                return t.Name("n")
            return t.Bracket(tuple(self(entry) for entry in expression))
        if expression.rows == expression.cols and expression == sp.eye(expression.rows):
            return t.Name("I")
        return t.Bracket(tuple(t.Bracket(tuple(self(expression[i, j]) for j in range(expression.cols))) for i in range(expression.rows)))

    def integral(self, density: Any, region: Any) -> t.Node:
        return t.Call("integral", (self(density), self.region(region)))

    # ---- regions

    def region(self, region: Any) -> t.Node:
        """A region by its name, or in place where it has none of its own."""
        return self.boundary(region) if isinstance(region, g.Boundary) and in_place(region) else self.name(region.name)

    def boundary(self, region: g.Boundary) -> t.Node:
        """The expression that makes a boundary."""
        domain = self.name(region.domain.name)
        if region.kind == "side":
            return t.Call("side", (domain,), ((str(region.coordinate), self(region.value)),))
        if region.kind == "rest":
            return t.Call("rest", (domain, *(self.region(other) for other in region.others)))
        if region.kind == "of":
            return t.Call("boundary", (domain, shape(region.part, self)))
        return t.Call("boundary" if region.kind == "all" else region.kind, (domain,))

    def law(self, law: Law, size: int | None = None) -> t.Node:
        """The expression that makes a law."""
        values = {name: self(sp.sympify(value)) for name, value in law.arguments.items()}
        keywords = () if isinstance(law, NumberLaw) else tuple(values.items())
        sized = (("size", t.Number(str(size))),) if size is not None else ()
        return t.Call(LAW_NAMES[type(law)], tuple(values.values()) if isinstance(law, NumberLaw) else (), keywords + sized)


def _declared(entry: Any) -> Any:
    """The declaration of a param or of a component of a field, None for anything else."""
    if isinstance(entry, (UnknownField, InputField)):
        return entry.func.declaration
    return entry.declaration if isinstance(entry, Scalar) else None


def in_place(region: g.Boundary) -> bool:
    """Whether a boundary bears the name that its expression gives it."""
    makers: dict[str, Any] = {
        "all": lambda: g.boundary(region.domain),
        "of": lambda: g.boundary(region.domain, region.part),
        "side": lambda: g.side(region.domain, **{str(region.coordinate): region.value}),
        "rest": lambda: g.rest(region.domain, *region.others),
        "inner": lambda: g.inner(region.domain),
        "outer": lambda: g.outer(region.domain),
    }
    return makers[region.kind]() == region


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


def negative(node: t.Node) -> t.Node:
    """Minus an expression; in a product the sign goes to its first factor."""
    if isinstance(node, t.Product):
        return t.Product(t.Negative(node.first), node.rest)
    return t.Negative(node)


@singledispatch
def write(expression: Any, express: Express) -> t.Node:
    """The syntax tree of a scalar."""
    name = next((name for function, name in FUNCTIONS.items() if expression.func == function), None)
    if name is None:
        hint = "the text form knows " + ", ".join(sorted({*FUNCTIONS.values(), "sqrt"}))
        raise fail("T05", f"{expression.func.__name__} has no text form", hint)
    return t.Call(name, tuple(express(argument) for argument in expression.args))


@write.register
def _rational(expression: sp.Rational, express: Express) -> t.Node:
    return negative(decimal(-expression)) if expression < 0 else decimal(expression)


@write.register
def _pi(expression: sp.core.numbers.Pi, express: Express) -> t.Node:
    return t.Name("pi")


@write.register
def _e(expression: sp.core.numbers.Exp1, express: Express) -> t.Node:
    return t.Call("exp", (t.Number("1"),))


@write.register
def _symbol(expression: sp.Symbol, express: Express) -> t.Node:
    if isinstance(expression, (Coordinate, Time)):
        return express.name(expression.name)
    if expression == g.THETA:
        return t.Name("theta")
    raise fail("S01", f"`{expression}` is a plain SymPy symbol, not declared", "declare it with const, param or trainable")


@write.register
def _normal(expression: Normal, express: Express) -> t.Node:
    return t.Component(t.Name("n"), expression.coordinate.name)


@write.register
def _scalar(expression: Scalar, express: Express) -> t.Node:
    name = express.name(expression.declaration.name)
    return name if expression.declaration.size is None else t.Call("entry", (name, t.Number(str(expression.index))))


@write.register(UnknownField)
@write.register(InputField)
def _field(expression: Any, express: Express) -> t.Node:
    declaration = expression.func.declaration
    name = express.name(declaration.name)
    if declaration.rank == "scalar":
        return name
    return t.Component(name, expression.func.__name__[len(declaration.name) + 1 :])


@write.register
def _derivative(expression: sp.Derivative, express: Express) -> t.Node:
    operand = express(expression.expr)
    variables = tuple(str(variable) for variable in expression.variables)
    name = "d" + "".join(variables)
    if split_derivative(name, express.variables) == variables and (name not in BUILTINS or name == "dt"):
        return t.Call(name, (operand,))
    return t.Call("d", (operand, *(express.name(variable) for variable in variables)))


@write.register
def _integral(expression: Integral, express: Express) -> t.Node:
    return express.integral(expression.density, expression.region)


@write.register
def _power(expression: sp.Pow, express: Express) -> t.Node:
    base, exponent = expression.args
    if exponent.could_extract_minus_sign():
        return t.Product(t.Number("1"), (("/", _raised(base, -exponent, express)),))
    return _raised(base, exponent, express)


def _raised(base: sp.Expr, exponent: sp.Expr, express: Express) -> t.Node:
    if exponent == 1:
        return express(base)
    return t.Call("sqrt", (express(base),)) if exponent == sp.Rational(1, 2) else t.Power(express(base), express(exponent))


@write.register
def _product(expression: sp.Mul, express: Express) -> t.Node:
    """Factors in an order in which SymPy rebuilds the same product: a number is kept from distributing over a sum."""
    coefficient, rest = expression.as_coeff_Mul()
    factors = list(sp.Mul.make_args(rest))
    plain = [each for each in factors if not each.is_Add]
    sums = [each for each in factors if each.is_Add]
    number = abs(coefficient) if isinstance(coefficient, sp.Rational) else coefficient
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
    for factor in sorted(factors, key=lambda each: (not isinstance(each, (Scalar, sp.NumberSymbol)), sp.default_sort_key(each))):
        base, exponent = factor.as_base_exp()
        if exponent.could_extract_minus_sign() and not isinstance(factor, sp.exp):
            below.append(_raised(base, -exponent, express))
        else:
            above.append(express(factor))
    return above, below


@write.register
def _sum(expression: sp.Add, express: Express) -> t.Node:
    terms: list[tuple[str, t.Node]] = []
    found, rest = operators(expression, express)
    for sign, node in found:
        terms.append((sign, node))
    for term in sp.Add(*rest, evaluate=False).as_ordered_terms() if rest else ():
        minus = term.could_extract_minus_sign()
        terms.append(("-" if minus else "+", express(-term if minus else term)))
    (sign, first), *others = terms
    first = negative(first) if sign == "-" else first
    return t.Sum(first, tuple(others)) if others else first


def operators(expression: sp.Add, express: Express) -> tuple[list[tuple[str, t.Node]], list[sp.Expr]]:
    """The Laplacians and divergences among the terms of a sum, as signed nodes, and the terms left over."""
    left = list(expression.args)
    found = []
    for term in list(left):
        coefficient, inner = term.as_coeff_Mul()
        if term not in left or not isinstance(inner, sp.Derivative) or not isinstance(inner.variables[0], Coordinate):
            continue
        frame = inner.variables[0].coordinates
        made = None
        if len(frame) > 1 and inner.variables == (frame[0], frame[0]):
            parts = [coefficient * sp.Derivative(inner.expr, x, x) for x in frame]
            made = t.Call("lap", (express(inner.expr),)) if all(part in left for part in parts) else None
        elif len(frame) > 1 and inner.variables == (frame[0],):
            parts, made = _divergence(coefficient, left, frame, express)
        if made is None:
            continue
        for part in parts:
            left.remove(part)
        number = abs(coefficient)
        factor = decimal(number) if number.q == 1 else None
        node = made if number == 1 else t.Product(factor, (("*", made),)) if factor else t.Product(made, (("/", t.Number(str(number.q))),))
        if number != 1 and factor is None and number.p != 1:
            node = t.Product(t.Number(str(number.p)), (("*", made), ("/", t.Number(str(number.q)))))
        found.append(("-" if coefficient < 0 else "+", node))
    return found, left


def _divergence(
    coefficient: sp.Rational, terms: list[sp.Expr], frame: tuple[Any, ...], express: Express
) -> tuple[list[sp.Expr], t.Node | None]:
    """`coefficient*div(k*grad(w))` or `coefficient*div(v)` among terms, if its parts are all there."""
    by_axis = {x: [each for each in terms if _is_flux(each, coefficient, x)] for x in frame}
    for first in by_axis[frame[0]]:
        flux = first.as_coeff_Mul()[1].expr
        for slope in flux.atoms(sp.Derivative):
            if slope.variables != (frame[0],) or sp.Mul(flux / slope).has(slope):
                continue
            factor = flux / slope
            fluxes = [factor * sp.Derivative(slope.expr, x) for x in frame]
            parts = [coefficient * sp.Derivative(each, x) for each, x in zip(fluxes, frame, strict=True)]
            if all(part in terms for part in parts):
                gradient = t.Call("grad", (express(slope.expr),))
                return parts, t.Call("div", (gradient if factor == 1 else t.Product(express(factor), (("*", gradient),)),))
        declaration = _declared(flux)
        if isinstance(flux, (UnknownField, InputField)) and declaration.rank == "vector":
            parts = [coefficient * sp.Derivative(each, x) for each, x in zip(declaration.symbol, frame, strict=True)]
            if all(part in terms for part in parts):
                return parts, t.Call("div", (express.name(declaration.name),))
    return [], None


def _is_flux(term: sp.Expr, coefficient: sp.Rational, axis: Any) -> bool:
    number, inner = term.as_coeff_Mul()
    return number == coefficient and isinstance(inner, sp.Derivative) and inner.variables == (axis,)


# ---- shapes


def _point(values: Iterable[Any], express: Express) -> t.Node:
    return t.Bracket(tuple(express(value) for value in values))


def _centred(name: str, radius: Any, center: tuple[Any, ...], express: Express) -> t.Node:
    keywords = (("radius", express(radius)),)
    return t.Call(name, (), keywords if not any(center) else (*keywords, ("center", _point(center, express))))


@singledispatch
def shape(value: Any, express: Express) -> t.Node:
    """The expression that makes a shape."""
    raise TypeError(f"{type(value).__name__} has no text form")


@shape.register
def _interval(value: g.Interval, express: Express) -> t.Node:
    return t.Call("interval", (express(value.start), express(value.end)))


@shape.register
def _rectangle(value: g.Rectangle, express: Express) -> t.Node:
    return t.Call("rectangle", (_point(value.lower, express), _point(value.upper, express)))


@shape.register
def _box(value: g.Box, express: Express) -> t.Node:
    return t.Call("box", (_point(value.lower, express), _point(value.upper, express)))


@shape.register
def _disk(value: g.Disk, express: Express) -> t.Node:
    return _centred("disk", value.radius, value.center, express)


@shape.register
def _ball(value: g.Ball, express: Express) -> t.Node:
    return _centred("ball", value.radius, value.center, express)


@shape.register
def _star(value: g.Star, express: Express) -> t.Node:
    return _centred("star", value.radius, value.center, express)


@shape.register
def _polygon(value: g.Polygon, express: Express) -> t.Node:
    return t.Call("polygon", tuple(_point(point, express) for point in value.points))


@shape.register
def _airfoil(value: g.Airfoil, express: Express) -> t.Node:
    section = t.Call("naca", tuple(t.Number(str(digit)) for digit in value.digits))
    displaced = (("displacement", express(sp.ImmutableMatrix(value.displacement))),) if value.displacement else ()
    return t.Call("airfoil", (section,), displaced)


@shape.register
def _lattice(value: g.Lattice, express: Express) -> t.Node:
    return t.Call("lattice", (shape(value.shape, express), t.Number(str(value.nx)), t.Number(str(value.ny))))


@shape.register
def _exterior(value: g.Exterior, express: Express) -> t.Node:
    return t.Call("exterior", (shape(value.body, express),), (("farfield", shape(value.farfield, express)),))


@shape.register
def _union(value: g.Union, express: Express) -> t.Node:
    return t.Sum(shape(value.a, express), (("+", shape(value.b, express)),))


@shape.register
def _difference(value: g.Difference, express: Express) -> t.Node:
    return t.Sum(shape(value.a, express), (("-", shape(value.b, express)),))


@shape.register
def _intersection(value: g.Intersection, express: Express) -> t.Node:
    return t.Intersection(shape(value.a, express), shape(value.b, express))
