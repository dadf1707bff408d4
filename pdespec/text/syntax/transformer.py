"""From lark's parse tree to the syntax tree, one rule of the grammar a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from lark import Token, Tree

from pdespec.errors import Source, Span
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.logical_lines import place
from pdespec.words import COMPLEX, bare, spell

Parts = list[Any]
Powers = tuple[tuple[str, Fraction], ...]  # of units, in the order written
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def build(parsed: Tree, source: Source) -> Any:
    """The syntax tree of a lark tree."""
    meta: Any = parsed.meta
    span = Span(source, meta.line, meta.column, meta.end_line, meta.end_column)
    parts = [
        build(child, source) if isinstance(child, Tree) else _leaf(child, source)
        for child in parsed.children
    ]
    return RULES[parsed.data](parts, span)


def depth(parsed: Tree) -> int:
    """Levels of a lark tree, found without recursion."""
    deepest, stack = 0, [(parsed, 1)]
    while stack:
        node, level = stack.pop()
        deepest = max(deepest, level)
        stack.extend((child, level + 1) for child in node.children if isinstance(child, Tree))
    return deepest


def _leaf(child: Any, source: Source) -> Any:
    """Names become nodes; other tokens stay; an absent optional part is None."""
    if isinstance(child, Token) and child.type in ("NAME", "BOUNDARY", "AT"):
        span = place(source, child)
        return (
            t.Name(str(child), span) if child.startswith("`") else t.Name(spell(str(child)), span)
        )
    return child


def _declaration(kind: str) -> Callable[[Parts, Span], t.Node]:
    return lambda p, s: t.Declaration(
        kind, tuple(_sized(p) if kind in ("param", "trainable") else p), s
    )


def _sized(items: Parts) -> Parts:
    """`trainable c = 0, size = 4`: a size that follows a number says how many of it there are, and
    `modes = 6` after a function to be found, how many modes it has along each axis."""
    found: Parts = []
    for item in items:
        last = found[-1] if found else None
        if (
            isinstance(last, t.FoundFunction)
            and isinstance(item, t.Given)
            and item.name.name == "modes"
            and item.value is not None
            and last.modes is None
        ):
            found[-1] = replace(last, modes=item.value)
        elif (
            isinstance(last, t.Given)
            and isinstance(item, t.Given)
            and item.name.name == "size"
            and item.value is not None
            and last.size is None
            and last.law is None
        ):
            found[-1] = replace(last, size=item.value)
        else:
            found.append(item)
    return found


def _given(p: Parts, s: Span) -> t.Node:
    name, (mark, node), unit = p[0], p[1] or ("", None), p[2]
    return t.Given(
        name, node if mark == "=" else None, node if mark == "~" else None, unit, None, s
    )


def _found(p: Parts, s: Span) -> t.Node:
    name, value, rank, region, *marks, law = p
    over, positive, unit = _marks(marks)
    first, prior = (None if each is None else each[1] for each in (value, law))
    return t.FoundFunction(name, first, rank, region, over, positive, prior, unit, None, s)


def _written_rank(p: Parts, s: Span) -> t.Name:
    """`scalar`, `complex vector`; `complex` alone is `complex scalar`."""
    words = [name.name for name in p]
    return t.Name(" ".join([*words, "scalar"] if words == [COMPLEX] else words), s)


def _given_function(p: Parts, s: Span) -> t.Node:
    name, rank, region, *marks, origin = p
    over, _, unit = _marks(marks)
    mark, value, columns = (*(origin or ("", None)), ())[:3]
    return t.GivenFunction(
        name,
        rank,
        region,
        over,
        value if mark == "~" else None,
        value if mark == "from" else None,
        unit,
        columns,
        s,
    )


def _unknown_function(p: Parts, s: Span) -> t.Node:
    name, rank, region, *marks = p  # in any order: steady is True, positive a pair
    _, positive, unit = _marks(marks)
    return t.UnknownFunction(name, rank, region, True in marks, positive, unit, s)


def _marks(
    marks: Sequence[Any],
) -> tuple[t.Name | None, tuple[str, t.Number] | None, t.Unit | None]:
    """`over t`, `> 0` and a unit, which occur in any order."""
    kinds = (t.Name, tuple, t.Unit)
    return tuple(next((m for m in marks if isinstance(m, kind)), None) for kind in kinds)  # type: ignore[return-value]


def _extremum(kind: str) -> Callable[[Parts, Span], t.Node]:
    return lambda p, s: t.Extremum(kind, p[0], tuple(each for each in p[1:] if each is not None), s)


def _reference(p: Parts, s: Span) -> t.Node:
    if len(p) == 2:  # a name and a source
        return t.Reference(p[0], None, p[1][1], p[1][2], s)
    return t.Reference(p[0], p[2], None, (), s)


def _column(p: Parts, s: Span) -> tuple[str, str]:
    """A name of the problem, such as `v.x`, and what it is called in a file."""
    name, part, called = p[0], p[1], p[-1]
    own = bare(name.name) + (f".{bare(part.name)}" if part is not None else "")
    return own, str(called)[1:-1]


COMPARISONS = {"\u2264": "<=", "\u2265": ">="}


def _require(p: Parts, s: Span) -> t.Node:
    return t.Require(p[0], COMPARISONS.get(p[1], str(p[1])), p[2], p[3], s)


def _chain(node: Callable[..., t.Node], signs: dict[str, str]) -> Callable[[Parts, Span], t.Node]:
    return lambda p, s: node(
        p[0], tuple((signs.get(p[i], str(p[i])), p[i + 1]) for i in range(1, len(p), 2)), s
    )


def _product(p: Parts, s: Span) -> t.Node:
    """`a*b/c`; the dot and the cross of vectors split the chain: `a*b·c` is dot(a*b, c)."""
    left: t.Node = p[0]
    rest: list[tuple[str, t.Node]] = []
    for sign, factor in zip(p[1::2], p[2::2], strict=True):
        if sign in "*/":
            rest.append((str(sign), factor))
            continue
        left = t.Product(left, tuple(rest), s) if rest else left
        left, rest = t.Call("cross" if sign == "\u00d7" else "dot", (left, factor), (), s), []
    return t.Product(left, tuple(rest), s) if rest else left


def _sign(p: Parts, s: Span) -> t.Node:
    return p[1] if p[0] == "+" else t.Negative(p[1], s)


def _call(p: Parts, s: Span, prefix: str = "") -> t.Node:
    name, *arguments = p
    plain = tuple(
        each for each in arguments if each is not None and not isinstance(each, t.Keyword)
    )
    named = tuple(each for each in arguments if isinstance(each, t.Keyword))
    return t.Call(prefix + name.name, plain, named, s)


def _nabla_product(p: Parts, s: Span) -> t.Node:
    return t.Call("curl" if p[1] == "\u00d7" else "div", (p[2],), (), s)


def _superscript(p: Parts, s: Span) -> t.Node:
    return t.Power(p[0], t.Number(p[1].translate(SUPERSCRIPTS), s), s)


def _digits(parts: Parts) -> str:
    """The number that signs, digits and a bar between them write."""
    plain = (
        "-" if each == "\u2212" else str(each)
        for each in parts
        if each is not None and each not in ("^", "**")
    )
    return "".join(plain).translate(SUPERSCRIPTS)


def _unit_power(p: Parts, s: Span) -> Powers:
    """Names with their powers: those of a group in parentheses are all raised."""
    base, *power = p
    exponent = Fraction(_digits(power) or 1)
    if isinstance(base, tuple):
        return tuple((name, own * exponent) for name, own in base)
    return ((base.name if isinstance(base, t.Name) else str(base), exponent),)


def _unit_product(p: Parts, s: Span) -> Powers:
    signs = ["*", *p[1::2]]
    groups = zip(signs, p[::2], strict=True)
    return tuple(
        (name, power if sign != "/" else -power) for sign, group in groups for name, power in group
    )


def _at_head(p: Parts, s: Span) -> t.Head:
    """`at t = t0`, `at x = x0, y = y0`: names and values, a sign between them, then the region."""
    *pairs, region = p
    named = list(zip(pairs[::3], pairs[2::3], strict=True))
    if len(named) == 1:
        return t.Head("at", region, *named[0], span=s)
    return t.Head(
        "at",
        region,
        point=tuple(t.Keyword(name.name, value, name.span) for name, value in named),
        span=s,
    )


RULES: dict[str, Callable[[Parts, Span], Any]] = {
    "problem": lambda p, s: t.ProblemName(p[0], s),
    "space": lambda p, s: t.Space(tuple(p[:-2]), p[-1], p[-2], s),
    "system": lambda p, s: p[0],
    "time": lambda p, s: t.Time(p[0], p[1], p[2], p[3], s),
    "periodic": lambda p, s: t.Periodic(tuple(p[:-1]), p[-1] or (), s),
    "periodic_on": lambda p, s: tuple(p),
    "region": lambda p, s: t.Region(p[0], p[2], s),
    "value": lambda p, s: ("=", p[1]),
    "law": lambda p, s: ("~", p[0]),
    "source": lambda p, s: ("from", p[0][1:-1], tuple(each for each in p[1:] if each is not None)),
    "column": _column,
    "over": lambda p, s: p[0],
    "steady": lambda p, s: True,
    "positive": lambda p, s: (str(p[0]), t.Number(str(p[1]), s)),
    "given": _given,
    "given_function": _given_function,
    "found": _found,
    "unknown_function": _unknown_function,
    "definition": lambda p, s: t.Definition(p[0], None, p[2], s),
    "function": lambda p, s: t.Definition(p[0], tuple(p[1:-2]), p[-1], s),
    "minimize": _extremum("minimize"),
    "stationary": _extremum("stationary"),
    "require": _require,
    "output": lambda p, s: t.Output(p[0], p[2], s),
    "data": lambda p, s: t.Data(p[0], p[1], p[2][1], p[2][2], s),
    "reference": _reference,
    "in_head": lambda p, s: t.Head("in", p[0], span=s),
    "on_head": lambda p, s: t.Head("on", p[0], span=s),
    "at_head": _at_head,
    "point_head": lambda p, s: t.Head("at", p[-1], point=tuple(p[:-1]), span=s),
    "member": lambda p, s: t.Equality(p[0], p[1], p[3], s),
    "label": lambda p, s: p[0] if isinstance(p[0], t.Name) else t.Name(p[0][1:-1], s),
    "intersection": lambda p, s: t.Intersection(p[0], p[1], s),
    "sum": _chain(t.Sum, {"\u2212": "-"}),
    "product": _product,
    "sign": _sign,
    "power": lambda p, s: t.Power(p[0], p[2], s),
    "component": lambda p, s: t.Component(p[0], p[1].name, s),
    "transpose": lambda p, s: t.Transpose(p[0], s),
    "superscript": _superscript,
    "gradient": lambda p, s: t.Call("grad", (p[1],), (), s),
    "nabla_product": _nabla_product,
    "nabla_square": lambda p, s: t.Call("lap", (p[2],), (), s),
    "laplacian": lambda p, s: t.Call("lap", (p[1],), (), s),
    "quoted": lambda p, s: t.Quoted(p[0][1:-1], s),
    "either": lambda p, s: t.Logic("or", tuple(p), s),
    "both": lambda p, s: t.Logic("and", tuple(p), s),
    "negated": lambda p, s: t.Not(p[0], s),
    "comparison": _chain(t.Comparison, COMPARISONS),
    "number": lambda p, s: t.Number(str(p[0]).replace("j", "i"), s),
    "rank": _written_rank,
    "name": lambda p, s: t.Name(p[0].name, s),
    "call": _call,
    "partial": lambda p, s: t.Call("boundary", (t.Name(p[1].name, s),), (), s),
    "partial_call": lambda p, s: _call(p[1:], s, prefix="d"),
    "keyword": lambda p, s: t.Keyword(p[0].name, p[2], s),
    "vector": lambda p, s: t.Bracket(tuple(p), s),
    "unit": lambda p, s: t.Unit(p[0], s),
    "unit_product": _unit_product,
    "unit_power": _unit_power,
    "unit_root": _unit_power,
} | {
    kind: _declaration(kind)
    for kind in ("domain", "boundary", "const", "param", "trainable", "input", "unknown")
}
