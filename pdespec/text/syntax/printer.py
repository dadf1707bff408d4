"""From the syntax tree back to text."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from pdespec.text.syntax import ast as t
from pdespec.units import power_text
from pdespec.words import RESERVED

if TYPE_CHECKING:
    pass

EITHER, BOTH, NOT, COMPARE = range(-4, 0)
SUM, PRODUCT, SIGN, POWER, POSTFIX, ATOM = range(1, 7)

LEVELS: dict[type, int] = {
    t.Comparison: COMPARE,
    t.Not: NOT,
    t.Intersection: 0,
    t.Sum: SUM,
    t.Product: PRODUCT,
    t.Negative: SIGN,
    t.Power: POWER,
    t.Component: POSTFIX,
    t.Transpose: POSTFIX,
}


def document(statements: tuple[t.Node, ...]) -> str:
    """A whole file."""
    return "\n".join(text(statement) for statement in statements) + "\n"


def enclosed(node: t.Node, level: int) -> str:
    """The text of an expression, in parentheses when it binds less than the level asks."""
    return f"({text(node)})" if level_of(node) < level else text(node)


def level_of(node: t.Node) -> int:
    """How strongly the outermost sign of an expression binds."""
    if isinstance(node, t.Logic):
        return EITHER if node.word == "or" else BOTH
    return LEVELS.get(type(node), ATOM)


@singledispatch
def text(node: t.Node) -> str:
    """The text of a node."""
    raise TypeError(f"{type(node).__name__} has no text")


# ---- expressions


@text.register
def _number(node: t.Number) -> str:
    return node.text


@text.register
def _name(node: t.Name) -> str:
    return node.name


@text.register
def _quoted(node: t.Quoted) -> str:
    return f'"{node.text}"'


@text.register
def _component(node: t.Component) -> str:
    base = (
        f"({text(node.base)})" if isinstance(node.base, t.Number) else enclosed(node.base, POSTFIX)
    )
    return f"{base}.{node.name}"


@text.register
def _call(node: t.Call) -> str:
    arguments = [text(argument) for argument in node.arguments] + [
        text(keyword) for keyword in node.keywords
    ]
    return f"{node.function}({', '.join(arguments)})"


@text.register
def _keyword(node: t.Keyword) -> str:
    return f"{node.name} = {text(node.value)}"


@text.register
def _negative(node: t.Negative) -> str:
    return "-" + enclosed(node.operand, POWER)


@text.register
def _transpose(node: t.Transpose) -> str:
    return enclosed(node.operand, POSTFIX) + "'"


@text.register
def _power(node: t.Power) -> str:
    return f"{enclosed(node.base, POSTFIX)}^{enclosed(node.exponent, POWER)}"


@text.register
def _product(node: t.Product) -> str:
    return enclosed(node.first, SIGN) + "".join(
        sign + enclosed(factor, POWER) for sign, factor in node.rest
    )


@text.register
def _sum(node: t.Sum) -> str:
    return enclosed(node.first, PRODUCT) + "".join(
        f" {sign} " + enclosed(term, PRODUCT) for sign, term in node.rest
    )


@text.register
def _intersection(node: t.Intersection) -> str:
    return f"{enclosed(node.left, 0)} & {enclosed(node.right, SUM)}"


@text.register
def _bracket(node: t.Bracket) -> str:
    return "[" + ", ".join(text(item) for item in node.items) + "]"


@text.register
def _comparison(node: t.Comparison) -> str:
    return enclosed(node.first, SUM) + "".join(
        f" {sign} {enclosed(side, SUM)}" for sign, side in node.rest
    )


@text.register
def _not(node: t.Not) -> str:
    return "not " + enclosed(node.operand, NOT)


@text.register
def _logic(node: t.Logic) -> str:
    return f" {node.word} ".join(
        enclosed(operand, (BOTH if node.word == "or" else NOT)) for operand in node.operands
    )


@text.register
def unit_text(node: t.Unit) -> str:
    """The unit without its brackets: `kg*m/s^2`."""
    (first, power), *rest = node.factors
    words = [power_text(first, power)]
    words += [
        ("/" + power_text(name, -power)) if power < 0 else ("*" + power_text(name, power))
        for name, power in rest
    ]
    return "".join(words)


def _unit(unit: t.Unit | None) -> str:
    return f" [{unit_text(unit)}]" if unit is not None else ""


# ---- statements


def _line(keyword: str, rest: str) -> str:
    return f"{keyword:<8} {rest}"


@text.register
def _problem(node: t.ProblemName) -> str:
    return f"problem {node.name.name}"


@text.register
def _space(node: t.Space) -> str:
    system = f" {node.system.name}" if node.system is not None else ""
    return _line("space", ", ".join(name.name for name in node.names) + system + _unit(node.unit))


@text.register
def _time(node: t.Time) -> str:
    return _line(
        "time", f"{node.name.name} in [{text(node.start)}, {text(node.end)}]{_unit(node.unit)}"
    )


@text.register
def _periodic(node: t.Periodic) -> str:
    domains = " on " + ", ".join(name.name for name in node.domains) if node.domains else ""
    return _line("periodic", ", ".join(name.name for name in node.names) + domains)


@text.register
def _declaration(node: t.Declaration) -> str:
    return _line(node.kind, ", ".join(text(item) for item in node.items))


@text.register
def _region(node: t.Region) -> str:
    return f"{node.name.name} = {text(node.value)}"


@text.register
def _given(node: t.Given) -> str:
    origin = (
        f" = {text(node.value)}"
        if node.value is not None
        else f" ~ {text(node.law)}"
        if node.law is not None
        else ""
    )
    sized = f", size = {text(node.size)}" if node.size is not None else ""
    return node.name.name + origin + _unit(node.unit) + sized


@text.register
def _given_function(node: t.GivenFunction) -> str:
    over = f" over {node.over.name}" if node.over else ""
    origin = (
        f" ~ {text(node.law)}"
        if node.law is not None
        else _source(node)
        if node.source is not None
        else ""
    )
    return (
        f"{node.name.name} : {node.rank.name} on"
        f" {text(node.region)}{over}{_unit(node.unit)}{origin}"
    )


def _source(node: t.Data | t.GivenFunction | t.Reference) -> str:
    called = ", ".join(f'{_own(name)} = "{column}"' for name, column in node.columns)
    return f' from "{node.source}"' + (f" ({called})" if called else "")


def _own(name: str) -> str:
    """A name, or a component of one, with what would be another word in backticks."""
    return ".".join(f"`{part}`" if part in RESERVED else part for part in name.split("."))


@text.register
def _found_function(node: t.FoundFunction) -> str:
    first = f" = {text(node.value)}" if node.value is not None else ""
    over = f" over {node.over.name}" if node.over else ""
    marks = over + (" > 0" if node.positive else "") + _unit(node.unit)
    prior = f" ~ {text(node.law)}" if node.law is not None else ""
    modes = f", modes = {text(node.modes)}" if node.modes is not None else ""
    return f"{node.name.name}{first} : {node.rank.name} on {text(node.region)}{marks}{prior}{modes}"


@text.register
def _unknown_function(node: t.UnknownFunction) -> str:
    marks = (" steady" if node.steady else "") + (" > 0" if node.positive else "")
    return f"{node.name.name} : {node.rank.name} on {text(node.region)}{marks}{_unit(node.unit)}"


@text.register
def _definition(node: t.Definition) -> str:
    parameters = (
        f"({', '.join(name.name for name in node.parameters)})"
        if node.parameters is not None
        else ""
    )
    return f"{node.name.name}{parameters} := {text(node.body)}"


@text.register
def _equality(node: t.Equality) -> str:
    return f"{label_text(node.label.name)}: {_sides(node)}" if node.label else _sides(node)


def _sides(node: t.Equality) -> str:
    return f"{text(node.left)} = {text(node.right)}"


def label_text(label: str) -> str:
    """A label, in quotes unless it is a name."""
    plain = label.isidentifier() and label.isascii() and label not in RESERVED
    return label if plain else f'"{label}"'


@text.register
def _head(node: t.Head) -> str:
    if node.kind == "at":
        where = f" in {text(node.region)}" if node.region is not None else ""
        place = ", ".join(text(each) for each in node.point)
        if node.time is not None and node.value is not None:
            place = f"{node.time.name} = {text(node.value)}"
        elif not isinstance(node.point[0], t.Keyword):
            place = f"({place})"
        return f"at {place}{where}"
    return f"{node.kind} {text(node.region)}"  # type: ignore[arg-type]


@text.register
def _block(node: t.Block) -> str:
    head = text(node.head) + ":"
    if len(node.members) == 1 and node.members[0].label is None:
        return f"{head} {text(node.members[0])}"
    return "\n    ".join([head, *(text(member) for member in node.members)])


@text.register
def _extremum(node: t.Extremum) -> str:
    over = " over " + ", ".join(name.name for name in node.over) if node.over else ""
    return f"{node.kind} {text(node.value)}{over}"


@text.register
def _require(node: t.Require) -> str:
    where = f" in {text(node.region)}" if node.region is not None else ""
    return f"require {text(node.left)} {node.operator} {text(node.right)}{where}"


@text.register
def _output(node: t.Output) -> str:
    return _line("output", f"{node.name.name} := {text(node.value)}")


@text.register
def _data(node: t.Data) -> str:
    return _line("data", f"{text(node.value)} on {text(node.region)}{_source(node)}")


@text.register
def _reference(node: t.Reference) -> str:
    if node.value is None:
        return f"reference {node.name.name}{_source(node)}"
    return f"reference {node.name.name} = {text(node.value)}"
