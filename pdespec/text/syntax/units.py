"""Units: what they mean, and the check that quantities which are added or equated agree where both
are known.

A number has the unit its context needs. A name without a unit is unknown, and so is everything it
multiplies.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import singledispatch

from pdespec.calculus import split_derivative
from pdespec.errors import Diagnostic, Span
from pdespec.functions import TABLE
from pdespec.text.syntax import ast as t
from pdespec.units import ANY, ONE, Measure, agree, disagreement, measure, power, product_of, times
from pdespec.vocabulary import WORDS


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

    def agree(
        self, a: Measure | None, b: Measure | None, span: Span | None, what: str
    ) -> Measure | None:
        """The unit two quantities share. Reports T04 when both are known and differ."""
        shared, fits = agree(a, b)
        if not fits:
            self.report.append(Diagnostic("T04", *disagreement(a, b, what), span=span))
        return shared


def check_units(statements: tuple[t.Node, ...]) -> list[Diagnostic]:
    """T04 for every sum, equation and function argument whose units disagree. Nothing is known
    of a problem without units."""
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
                ledger.agree(
                    of(member.left, ledger), of(member.right, ledger), member.span, "this equation"
                )
        elif isinstance(statement, t.Require):
            ledger.agree(
                of(statement.left, ledger),
                of(statement.right, ledger),
                statement.span,
                "this comparison",
            )
        elif isinstance(statement, t.Reference) and statement.value is not None:
            ledger.agree(
                ledger.units.get(statement.name.name),
                of(statement.value, ledger),
                statement.span,
                "this reference",
            )
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
            if isinstance(item, (t.Given, t.GivenFunction, t.FoundFunction, t.UnknownFunction)):
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
    return {"pi": ANY, "i": ANY, "I": ONE, "n": ONE}.get(node.name)


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
        result = times(result, right if sign == "*" else power(right, Fraction(-1)))
    return result


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
        if (
            len(arguments) != len(definition.parameters)
            or ledger.depth > 40
            or len(ledger.calls) > 2000
        ):
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
            result = (
                None
                if result is ANY
                else times(result, power(ledger.units.get(letter), Fraction(-1)))
            )
        return result
    return _builtin(node, arguments, ledger)


Arguments = list[Measure | None]


def _if_unit(node: t.Call, arguments: Arguments, ledger: Ledger) -> Measure | None:
    """That of its values, which agree; conditions are every second argument but the last."""
    result: Measure | None = ANY
    for place, argument in enumerate(arguments):
        if place % 2 == 1 or place == len(arguments) - 1:
            result = ledger.agree(result, argument, node.arguments[place].span, "`if`")
    return result


def _builtin(node: t.Call, arguments: Arguments, ledger: Ledger) -> Measure | None:
    name = node.function
    if name == "if" and len(arguments) >= 3:
        return _if_unit(node, arguments, ledger)
    if name == "equal" and len(arguments) == 2:
        ledger.agree(arguments[0], arguments[1], node.span, "this comparison")
    if name in TABLE and arguments:
        return _function(node, arguments, ledger)
    if name == "at" and len(arguments) == 2:
        return arguments[0]
    word = WORDS.get(name)
    if word is None or not word.least <= len(arguments) <= word.most:
        return None
    first = node.arguments[0]
    components = len(first.items) if isinstance(first, t.Bracket) else 1
    return word.unit(arguments, ledger.length, components)


def _function(node: t.Call, arguments: list[Measure | None], ledger: Ledger) -> Measure | None:
    """The unit of a function of the language, as `TABLE` says."""
    rule, first = TABLE[node.function].unit, arguments[0]
    if rule in ("same", "ratio"):
        for argument, written in zip(arguments[1:], node.arguments[1:], strict=True):
            first = ledger.agree(first, argument, written.span, f"`{node.function}`")
        return first if rule == "same" else ONE
    for argument, written in zip(arguments, node.arguments, strict=True):
        if rule == "pure" and argument is not None and argument is not ANY and argument != ONE:
            hint = (
                "divide it by a quantity of the same unit; a number has it where that is declared,"
                f" as in `const scale = 1 {argument}`"
            )
            message = f"the argument of `{node.function}` has the unit {argument}, it needs none"
            ledger.report.append(
                Diagnostic(
                    "T04", message, hint, span=node.span if len(arguments) == 1 else written.span
                )
            )
    return ONE


@of.register
def _comparison(node: t.Comparison, ledger: Ledger) -> Measure | None:
    result = of(node.first, ledger)
    for _, side in node.rest:
        result = ledger.agree(result, of(side, ledger), side.span, "this comparison")
    return None


@of.register
def _not(node: t.Not, ledger: Ledger) -> Measure | None:
    of(node.operand, ledger)
    return None


@of.register
def _logic(node: t.Logic, ledger: Ledger) -> Measure | None:
    for operand in node.operands:
        of(operand, ledger)
    return None


def _fraction(node: t.Node) -> Fraction | None:
    """The value of an exponent made of digits."""
    if isinstance(node, t.Number):
        return None if node.text.endswith("i") else Fraction(node.text)
    if isinstance(node, t.Negative):
        inner = _fraction(node.operand)
        return None if inner is None else -inner
    if isinstance(node, t.Product) and len(node.rest) == 1 and node.rest[0][0] == "/":
        above, below = _fraction(node.first), _fraction(node.rest[0][1])
        return above / below if above is not None and below else None
    return None


def unit_of(text: str | None) -> t.Unit | None:
    """The written form of a unit given as text, such as `kg*m/s^2`. Raises: S01 for what is not a
    product of units."""
    product = product_of(text)
    return None if product is None else t.Unit(product.factors)
