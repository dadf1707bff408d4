"""Units: what they mean, and the check that quantities which are added or equated agree where both are known.

A number has the unit its context needs. A name without a unit is unknown, and so is everything it multiplies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import singledispatch

from ..errors import Diagnostic, Span, nearest
from . import tree as t
from .words import split_derivative

BASE = ("m", "kg", "s", "A", "K", "mol", "cd")


@dataclass(frozen=True, slots=True)
class Measure:
    """A product of powers of the base units with a factor."""

    factor: Fraction = Fraction(1)
    powers: tuple[Fraction, ...] = (Fraction(0),) * len(BASE)

    def __mul__(self, other: Measure) -> Measure:
        return Measure(self.factor * other.factor, tuple(a + b for a, b in zip(self.powers, other.powers, strict=True)))

    def __pow__(self, exponent: Fraction) -> Measure | None:
        if exponent.denominator != 1 and self.factor != 1:
            return None
        factor = self.factor**exponent.numerator if self.factor != 1 else self.factor
        return Measure(Fraction(factor), tuple(a * exponent for a in self.powers))

    def __str__(self) -> str:
        def part(name: str, power: Fraction) -> str:
            return name if power == 1 else f"{name}^{power}" if power.denominator == 1 else f"{name}^({power})"

        above = [part(name, power) for name, power in zip(BASE, self.powers, strict=True) if power > 0]
        below = [part(name, -power) for name, power in zip(BASE, self.powers, strict=True) if power < 0]
        factor = [] if self.factor == 1 and above else [str(self.factor)]
        return "[" + "/".join(["*".join(factor + above), *below]) + "]"


ONE = Measure()
ANY = Measure(Fraction(0))  # a bare number: takes the unit its context needs


def _of(factor: str, **powers: int) -> Measure:
    return Measure(Fraction(factor), tuple(Fraction(powers.get(name, 0)) for name in BASE))


UNITS: dict[str, Measure] = {
    **{name: _of("1", **{name: 1}) for name in BASE},
    "1": ONE,
    "rad": ONE,
    "km": _of("1000", m=1),
    "cm": _of("1/100", m=1),
    "mm": _of("1/1000", m=1),
    "um": _of("1/1000000", m=1),
    "nm": _of("1e-9", m=1),
    "g": _of("1/1000", kg=1),
    "ms": _of("1/1000", s=1),
    "us": _of("1/1000000", s=1),
    "min": _of("60", s=1),
    "h": _of("3600", s=1),
    "N": _of("1", kg=1, m=1, s=-2),
    "kN": _of("1000", kg=1, m=1, s=-2),
    "J": _of("1", kg=1, m=2, s=-2),
    "W": _of("1", kg=1, m=2, s=-3),
    "Pa": _of("1", kg=1, m=-1, s=-2),
    "kPa": _of("1000", kg=1, m=-1, s=-2),
    "MPa": _of("1000000", kg=1, m=-1, s=-2),
    "GPa": _of("1000000000", kg=1, m=-1, s=-2),
    "Hz": _of("1", s=-1),
    "C": _of("1", A=1, s=1),
    "V": _of("1", kg=1, m=2, s=-3, A=-1),
    "T": _of("1", kg=1, s=-2, A=-1),
    "F": _of("1", kg=-1, m=-2, s=4, A=2),
    "Ohm": _of("1", kg=1, m=2, s=-3, A=-2),
}


def measure(unit: t.Unit | None) -> Measure | None:
    """The meaning of a written unit; None when there is none or it is unknown."""
    if unit is None or any(name not in UNITS for name, _ in unit.factors):
        return None
    result: Measure | None = ONE
    for name, power in unit.factors:
        part = UNITS[name] ** power
        result = result * part if result is not None and part is not None else None
    return result


def unknown_unit(unit: t.Unit) -> tuple[str, str] | None:
    """The first name of a unit that is none, and what to write instead."""
    for name, power in unit.factors:
        if name not in UNITS:
            near = nearest(name, UNITS)
            return name, f"did you mean `{near}`?" if near else f"units are {', '.join(UNITS)}"
        if abs(power) > 12 or power.denominator > 12:
            return f"{name}^{power}", "powers of units are small numbers"
    return None


@dataclass(slots=True)
class Ledger:
    """Units by name, definitions by name, and what disagrees."""

    units: dict[str, Measure | None] = field(default_factory=dict)
    definitions: dict[str, t.Definition] = field(default_factory=dict)
    length: Measure | None = None
    dim: int = 0
    variables: tuple[str, ...] = ()
    local: dict[str, Measure | None] = field(default_factory=dict)
    report: list[Diagnostic] = field(default_factory=list)
    depth: int = 0
    calls: list[str] = field(default_factory=list)

    def agree(self, a: Measure | None, b: Measure | None, span: Span | None, what: str) -> Measure | None:
        """The unit two quantities share. Reports T04 when both are known and differ."""
        if a is None or a is ANY:
            return b if a is None or b is not None else a
        if b is None or b is ANY:
            return a
        if a != b:
            hint = "check the factors; numbers take any unit, names keep theirs"
            self.report.append(Diagnostic("T04", f"units disagree in {what}: left is {a}, right is {b}", hint, span=span))
        return a


def check_units(statements: tuple[t.Node, ...]) -> list[Diagnostic]:
    """T04 for every sum, equation and function argument whose units disagree. Nothing is known of a problem without units."""
    ledger = Ledger()
    for statement in statements:
        _enter(statement, ledger)
    if not any(ledger.units.values()):
        return []
    for statement in statements:
        if isinstance(statement, t.Definition) and statement.parameters is None:
            of(statement.body, ledger)
        elif isinstance(statement, t.Block):
            for member in statement.members:
                ledger.agree(of(member.left, ledger), of(member.right, ledger), member.span, "this equation")
        elif isinstance(statement, t.Require):
            ledger.agree(of(statement.left, ledger), of(statement.right, ledger), statement.span, "this comparison")
        elif isinstance(statement, t.Reference):
            ledger.agree(ledger.units.get(statement.name.name), of(statement.value, ledger), statement.span, "this reference")
        elif isinstance(statement, (t.Output, t.Extremum)):
            of(statement.value, ledger)
    return list(dict.fromkeys(ledger.report))


def _enter(statement: t.Node, ledger: Ledger) -> None:
    if isinstance(statement, t.Space):
        ledger.length = measure(statement.unit)
        ledger.dim = len(statement.names)
        ledger.units.update((name.name, ledger.length) for name in statement.names)
        ledger.variables += tuple(name.name for name in statement.names)
    elif isinstance(statement, t.Time):
        ledger.units[statement.name.name] = measure(statement.unit)
        ledger.variables += (statement.name.name,)
    elif isinstance(statement, t.Declaration):
        for item in statement.items:
            if isinstance(item, (t.Given, t.GivenFunction, t.UnknownFunction)):
                ledger.units[item.name.name] = measure(item.unit)
    elif isinstance(statement, t.Definition):
        ledger.definitions[statement.name.name] = statement


# ---- the unit of an expression: a Measure, ANY, or None when it is not known


@singledispatch
def of(node: t.Node, ledger: Ledger) -> Measure | None:
    """The unit of an expression."""
    return None


@of.register
def _number(node: t.Number, ledger: Ledger) -> Measure | None:
    return ANY


@of.register
def _name(node: t.Name, ledger: Ledger) -> Measure | None:
    if node.name in ledger.local:
        return ledger.local[node.name]
    definition = ledger.definitions.get(node.name)
    if definition is not None and definition.parameters is None and node.name not in ledger.units:
        ledger.units[node.name] = None
        ledger.units[node.name] = of(definition.body, replace(ledger, local={}, report=[]))
    if node.name in ledger.units:
        return ledger.units[node.name]
    return {"pi": ANY, "I": ONE, "n": ONE}.get(node.name)


@of.register
def _component(node: t.Component, ledger: Ledger) -> Measure | None:
    return of(node.base, ledger)


@of.register
def _negative(node: t.Negative, ledger: Ledger) -> Measure | None:
    return of(node.operand, ledger)


@of.register
def _transpose(node: t.Transpose, ledger: Ledger) -> Measure | None:
    return of(node.operand, ledger)


@of.register
def _power(node: t.Power, ledger: Ledger) -> Measure | None:
    base, exponent = of(node.base, ledger), _fraction(node.exponent)
    if base is None or base is ANY:
        return base
    if exponent is None:
        return ONE if base == ONE else None
    return base**exponent if abs(exponent) <= 12 and exponent.denominator <= 12 else None


@of.register
def _product(node: t.Product, ledger: Ledger) -> Measure | None:
    result = of(node.first, ledger)
    for sign, factor in node.rest:
        right = of(factor, ledger)
        result = _times(result, right if sign == "*" else _inverse(right))
    return result


def _times(a: Measure | None, b: Measure | None) -> Measure | None:
    if a is None or b is None:
        return None
    return b if a is ANY else a if b is ANY else a * b


def _inverse(a: Measure | None) -> Measure | None:
    return a if a is None or a is ANY else a ** Fraction(-1)


@of.register
def _sum(node: t.Sum, ledger: Ledger) -> Measure | None:
    result = of(node.first, ledger)
    for _, term in node.rest:
        result = ledger.agree(result, of(term, ledger), term.span, "this sum")
    return result


@of.register
def _bracket(node: t.Bracket, ledger: Ledger) -> Measure | None:
    result: Measure | None = ANY
    for item in node.items:
        result = ledger.agree(result, of(item, ledger), item.span, "this vector")
    return result


@of.register
def _call(node: t.Call, ledger: Ledger) -> Measure | None:
    arguments = [of(argument, ledger) for argument in node.arguments]
    definition = ledger.definitions.get(node.function)
    if definition is not None and definition.parameters is not None:
        if len(arguments) != len(definition.parameters) or ledger.depth > 40 or len(ledger.calls) > 2000:
            return None
        ledger.calls.append(node.function)
        local = dict(zip((name.name for name in definition.parameters), arguments, strict=True))
        return of(definition.body, replace(ledger, local=local, depth=ledger.depth + 1))
    letters = split_derivative(node.function, ledger.variables)
    if node.function == "d":
        letters = tuple(each.name for each in node.arguments[1:] if isinstance(each, t.Name))
    if letters and arguments:
        result = arguments[0]
        for letter in letters:
            result = None if result is ANY else _times(result, _inverse(ledger.units.get(letter)))
        return result
    return _builtin(node, arguments, ledger)


SAME = "sym skew tr jump avg abs entry".split()
PRODUCTS = "dot inner outer cross".split()
PURE = "exp log sin cos tan sinh cosh tanh".split()


def _builtin(node: t.Call, arguments: list[Measure | None], ledger: Ledger) -> Measure | None:
    name, first = node.function, arguments[0] if arguments else None
    if first is ANY and name in ("grad", "div", "curl", "lap"):
        return None
    if name in ("grad", "div", "curl"):
        return _times(first, _inverse(ledger.length))
    if name == "lap":
        return _times(first, _inverse(_times(ledger.length, ledger.length)))
    if name == "advect" and len(arguments) == 2:
        return _times(_times(first, arguments[1]), _inverse(ledger.length))
    if name in SAME:
        return first
    if name in PRODUCTS and len(arguments) == 2:
        return _times(first, arguments[1])
    if name == "diff" and len(arguments) == 2:
        return _times(first, _inverse(arguments[1]))
    if name == "inv":
        return _inverse(first)
    if name == "sqrt":
        return first if first is None or first is ANY else first ** Fraction(1, 2)
    if name in ("min", "max") and len(arguments) > 1:
        for argument, written in zip(arguments[1:], node.arguments[1:], strict=True):
            first = ledger.agree(first, argument, written.span, f"`{name}`")
        return first
    if name in PURE:
        if first is not None and first is not ANY and first != ONE:
            hint = "divide it by a quantity of the same unit"
            ledger.report.append(Diagnostic("T04", f"the argument of `{name}` has the unit {first}, it needs none", hint, span=node.span))
        return ONE
    return None


def _fraction(node: t.Node) -> Fraction | None:
    """The value of an exponent made of digits."""
    if isinstance(node, t.Number):
        return Fraction(node.text)
    if isinstance(node, t.Negative):
        inner = _fraction(node.operand)
        return None if inner is None else -inner
    if isinstance(node, t.Product) and len(node.rest) == 1 and node.rest[0][0] == "/":
        above, below = _fraction(node.first), _fraction(node.rest[0][1])
        return above / below if above is not None and below else None
    return None


_FACTOR = re.compile(r"([*/]?)([A-Za-z0-9]+)(?:\^(-?[0-9.]+))?")


def unit_of(text: str | None) -> t.Unit | None:
    """The written form of a unit given as text, such as `kg*m/s^2`."""
    if text is None:
        return None
    factors = [(sign, name, Fraction(power or 1)) for sign, name, power in _FACTOR.findall(text.replace(" ", ""))]
    return t.Unit(tuple((name, -power if sign == "/" else power) for sign, name, power in factors))
