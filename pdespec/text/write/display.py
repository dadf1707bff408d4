"""A problem as the lines of a display: equations and conditions, definitions, then what is
given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import TYPE_CHECKING

from pdespec.calculus import split_derivative
from pdespec.text.syntax import ast as t
from pdespec.text.write.latex import (
    COMPARE,
    Notation,
    bracketed,
    escape,
    symbol,
    tex,
)
from pdespec.text.write.written import statements_of
from pdespec.vocabulary import WORDS
from pdespec.words import bare

if TYPE_CHECKING:
    from pdespec.statements.problem import Problem


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a display: two halves aligned at their mark, where it holds, and its label."""

    left: str
    right: str = ""
    where: str = ""
    label: str = ""

    @property
    def columns(self) -> str:
        """The line with `&` between the columns of an `align` environment."""
        tail = [f"({self.label})"] if self.label else []
        parts = [self.where, *tail] if self.where or tail else []
        return " && ".join([f"{self.left} &{self.right}", *parts])


def problem_latex(problem: Problem) -> str:
    """The whole problem as one `aligned` display: equations and conditions, definitions, then
    what is given."""
    return (
        "\\begin{aligned}\n"
        + " \\\\\n".join(line.columns for line in problem_lines(problem))
        + "\n\\end{aligned}"
    )


def problem_lines(problem: Problem) -> list[Line]:
    """The lines of a problem in the order of a textbook."""
    statements = statements_of(problem)
    notation = notation_of(statements)
    for name, boundary in problem.boundaries.items():
        notation.boundaries[name] = tuple(other.name for other in boundary.others)
    groups: list[type | tuple[type, ...]] = [
        (t.Block, t.Extremum),
        t.Require,
        t.Definition,
        (t.Space, t.Declaration, t.Time, t.Periodic),
        (t.Reference, t.Output, t.Data),
    ]
    return [
        line
        for group in groups
        for statement in statements
        if isinstance(statement, group)
        for line in lines(statement, notation)
    ]


def notation_of(statements: tuple[t.Node, ...]) -> Notation:
    """The notation that the declarations of a problem imply."""
    notation = Notation()
    for statement in statements:
        if isinstance(statement, t.Space):
            notation.variables += tuple(bare(name.name) for name in statement.names)
        elif isinstance(statement, t.Time):
            notation.variables += (bare(statement.name.name),)
        elif isinstance(statement, t.Declaration):
            for item in statement.items:
                if isinstance(item, (t.UnknownFunction, t.GivenFunction, t.FoundFunction)):
                    notation.ranks[item.name.name] = item.rank.name.split()[-1]
                elif statement.kind == "boundary" and isinstance(item, t.Region):
                    notation.boundaries.setdefault(item.name.name, ())
        elif isinstance(statement, t.Definition) and statement.parameters is not None:
            notation.functions.add(statement.name.name)
        elif isinstance(statement, t.Definition):
            notation.ranks[statement.name.name] = _rank(statement.body, notation)
        elif isinstance(statement, t.Output):
            notation.ranks[statement.name.name] = _rank(statement.value, notation)
    return notation


def _rank(node: t.Node, notation: Notation) -> str:
    """The rank of an expression as far as its notation needs it: what is bold."""
    if isinstance(node, t.Name):
        return {"I": "tensor", "n": "vector"}.get(node.name) or notation.ranks.get(
            node.name, "scalar"
        )
    if isinstance(node, t.Bracket):
        return "tensor" if isinstance(node.items[0], t.Bracket) else "vector"
    if isinstance(node, (t.Sum, t.Negative, t.Transpose)):
        return _rank(node.first if isinstance(node, t.Sum) else node.operand, notation)
    if isinstance(node, t.Product):
        ranks = [_rank(node.first, notation)] + [
            _rank(factor, notation) for sign, factor in node.rest if sign == "*"
        ]
        return "vector" if "vector" in ranks else "tensor" if "tensor" in ranks else "scalar"
    if isinstance(node, t.Call):
        ranks = [_rank(argument, notation) for argument in node.arguments]
        if ranks and (node.function == "if" or split_derivative(node.function, notation.variables)):
            return ranks[-1]
        word = WORDS.get(node.function)
        if word is not None and word.least <= len(ranks) <= word.most:
            return word.rank(ranks)
    return "scalar"


# ---- statements


@singledispatch
def lines(statement: t.Node, notation: Notation) -> list[Line]:
    """The lines of a statement; none for those that a display does not show."""
    return []


@lines.register
def _block(statement: t.Block, notation: Notation) -> list[Line]:
    head = statement.head
    if head.kind == "at" and head.time is not None and head.value is not None:
        where = rf"\text{{at }} {symbol(head.time.name, notation)} = {tex(head.value, notation)}"
    elif head.point:
        where = rf"\text{{at }} {_point(head.point, notation)}"
    else:
        where = (
            "" if head.region is None else rf"\text{{{head.kind} }} {tex(head.region, notation)}"
        )
    return [
        Line(tex(each.left, notation), f"= {tex(each.right, notation)}", where, _label(each.label))
        for each in statement.members
    ]


def _point(point: tuple[t.Node, ...], notation: Notation) -> str:
    if isinstance(point[0], t.Keyword):
        return ", ".join(
            f"{symbol(each.name, notation)} = {tex(each.value, notation)}"
            for each in point
            if isinstance(each, t.Keyword)
        )
    return bracketed(", ".join(tex(each, notation) for each in point))


def _label(label: t.Name | None) -> str:
    return rf"\text{{{escape(bare(label.name))}}}" if label else ""


@lines.register
def _extremum(statement: t.Extremum, notation: Notation) -> list[Line]:
    over = ", ".join(symbol(name.name, notation) for name in statement.over)
    operator = (r"\min" if statement.kind == "minimize" else r"\operatorname{stat}") + (
        rf"_{{{over}}}" if over else ""
    )
    return [Line(operator, rf"\; {tex(statement.value, notation)}")]


@lines.register
def _require(statement: t.Require, notation: Notation) -> list[Line]:
    where = (
        rf"\text{{in }} {tex(statement.region, notation)}" if statement.region is not None else ""
    )
    return [
        Line(
            tex(statement.left, notation),
            f"{COMPARE[statement.operator]} {tex(statement.right, notation)}",
            where,
        )
    ]


@lines.register
def _definition(statement: t.Definition, notation: Notation) -> list[Line]:
    name = symbol(statement.name.name, notation)
    if statement.parameters is not None:
        name += rf"({', '.join(symbol(each.name, notation) for each in statement.parameters)})"
    return [Line(name, f":= {tex(statement.body, notation)}")]


@lines.register
def _space(statement: t.Space, notation: Notation) -> list[Line]:
    if statement.system is None:
        return []
    return [
        Line(
            ", ".join(symbol(name.name, notation) for name in statement.names),
            rf"\quad \text{{{statement.system.name}}}",
        )
    ]


@lines.register
def _time(statement: t.Time, notation: Notation) -> list[Line]:
    return [
        Line(
            symbol(statement.name.name, notation),
            rf"\in [{tex(statement.start, notation)}, {tex(statement.end, notation)}]",
        )
    ]


@lines.register
def _periodic(statement: t.Periodic, notation: Notation) -> list[Line]:
    return [
        Line(
            ", ".join(symbol(name.name, notation) for name in statement.names),
            r"\quad \text{periodic}",
        )
    ]


@lines.register
def _declaration(statement: t.Declaration, notation: Notation) -> list[Line]:
    return [line for item in statement.items for line in lines(item, notation)]


@lines.register
def _given(statement: t.Given, notation: Notation) -> list[Line]:
    if statement.law is not None:
        return [
            Line(symbol(statement.name.name, notation), rf"\sim {tex(statement.law, notation)}")
        ]
    return (
        [Line(symbol(statement.name.name, notation), f"= {tex(statement.value, notation)}")]
        if statement.value is not None
        else []
    )


@lines.register
def _given_function(statement: t.GivenFunction, notation: Notation) -> list[Line]:
    if statement.law is None:
        return []
    where = rf"\text{{on }} {tex(statement.region, notation)}"
    return [
        Line(symbol(statement.name.name, notation), rf"\sim {tex(statement.law, notation)}", where)
    ]


@lines.register
def _found_function(statement: t.FoundFunction, notation: Notation) -> list[Line]:
    """The prior of what is found: of a positive function, of its logarithm over its median."""
    if statement.law is None:
        return []
    where = rf"\text{{on }} {tex(statement.region, notation)}"
    name = symbol(statement.name.name, notation)
    first = tex(statement.value, notation) if statement.value is not None else None
    left = name if first in (None, "0") else f"{name} - {first}"
    if statement.positive is not None:
        left = rf"\ln {name}" if first in (None, "1") else rf"\ln \frac{{{name}}}{{{first}}}"
    return [Line(left, rf"\sim {tex(statement.law, notation)}", where)]


@lines.register
def _region(statement: t.Region, notation: Notation) -> list[Line]:
    value = statement.value
    # its others are named, also where the author left them out
    if isinstance(value, t.Call) and value.function == "rest":
        value = replace(
            value,
            arguments=(
                value.arguments[0],
                *(t.Name(name) for name in notation.boundaries.get(statement.name.name, ())),
            ),
        )
    return [Line(symbol(statement.name.name, notation), f"= {tex(value, notation)}")]


@lines.register
def _reference(statement: t.Reference, notation: Notation) -> list[Line]:
    if statement.value is None:  # from a file, as data are
        return []
    return [
        Line(symbol(statement.name.name, notation) + "^{*}", f"= {tex(statement.value, notation)}")
    ]


@lines.register
def _output(statement: t.Output, notation: Notation) -> list[Line]:
    return [Line(symbol(statement.name.name, notation), f":= {tex(statement.value, notation)}")]
