"""LaTeX of problems, from the syntax tree."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import singledispatch

from pdespec.calculus import split_derivative
from pdespec.functions import TABLE
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.printer import (
    BOTH,
    NOT,
    POSTFIX,
    POWER,
    PRODUCT,
    SIGN,
    SUM,
    level_of,
)
from pdespec.vocabulary import WORDS
from pdespec.words import GREEK, SHAPES, bare

GREEK_NAMES = frozenset(GREEK.values())
LATIN_CAPITALS = {
    name: name[0]
    for name in "Alpha Beta Epsilon Zeta Eta Iota Kappa Mu Nu Rho Tau Chi Omicron".split()
} | {"omicron": "o"}
FUNCTIONS = {
    name: word.tex.removesuffix("(%s)")
    for name, word in WORDS.items()
    if word.tex and (word.tex.count("%s") == 0 or word.tex.endswith("(%s)"))
    if word.tex.count("%s") <= 1
}
"""Names that are set before their brackets."""

LAWS = {
    "uniform": r"\mathcal{U}",
    "loguniform": r"\log\mathcal{U}",
    "normal": r"\mathcal{N}",
    "grf": r"\mathrm{GRF}",
}
BINDING = {"": 0, "sign": SIGN, "postfix": POSTFIX}
LOGIC = {"and": r"\text{ and }", "or": r"\text{ or }"}
COMPARE = {"<=": r"\leq", ">=": r"\geq", "<": "<", ">": ">", "=": "="}


@dataclass(slots=True)
class Notation:
    """What decides how a name is set: vectors and tensors are bold, derivatives are known by the
    coordinates."""

    variables: tuple[str, ...] = ()
    ranks: dict[str, str] = field(default_factory=dict)
    boundaries: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of boundaries, with those that each leaves out."""
    functions: set[str] = field(default_factory=set)
    """Names of the user's own functions."""


# ---- names


def symbol(name: str, notation: Notation) -> str:
    """A name as a symbol: `eps_0` with a subscript, Greek by its letter, vectors and tensors
    bold, words upright."""
    name = bare(name)
    match = re.fullmatch(r"([A-Za-z]+?)_?(\d+)", name) or re.fullmatch(r"([A-Za-z]+)_(\w+)", name)
    stem, index = match.groups() if match else (name, "")
    subscript = f"_{{{_letters(index)}}}" if index else ""
    rank = notation.ranks.get(name, "scalar")
    return (_letters(stem) if rank == "scalar" else rf"\boldsymbol{{{_letters(stem)}}}") + subscript


def _letters(name: str) -> str:
    if name in ("eps", "epsilon"):
        return r"\varepsilon"
    if name in LATIN_CAPITALS:
        return rf"\mathrm{{{LATIN_CAPITALS[name]}}}"
    if name in GREEK_NAMES:
        return rf"\{name}"
    if len(name) == 1 or name.isdigit():
        return name
    return rf"\mathrm{{{escape(name)}}}"


def escape(words: str) -> str:
    """Text made safe for LaTeX."""
    special = {"\\": r"\textbackslash ", "~": r"\textasciitilde ", "^": r"\textasciicircum "}
    return "".join(
        special.get(each) or (f"\\{each}" if each in "#$%&_{}" else each) for each in words
    )


# ---- expressions


LEVELS: dict[type, int] = {
    t.Intersection: 0,
    t.Sum: SUM,
    t.Product: PRODUCT,
    t.Negative: SIGN,
    t.Power: POWER,
}


def enclosed(node: t.Node, level: int, notation: Notation) -> str:
    """An expression, in brackets when it binds less than the level asks."""
    own = (
        level_of(node)
        if isinstance(node, (t.Comparison, t.Not, t.Logic))
        else LEVELS.get(type(node), POSTFIX)
    )
    if isinstance(node, t.Call) and not _is_compact(node, notation):
        own = PRODUCT
    if isinstance(node, t.Product) and len(node.rest) == 1 and node.rest[0][0] == "/":
        own = SIGN  # a fraction encloses itself
    return bracketed(tex(node, notation)) if own < level else tex(node, notation)


def bracketed(inner: str) -> str:
    """Round brackets, as tall as what they hold."""
    tall = any(mark in inner for mark in (r"\frac", r"\begin", r"\int", r"\left"))
    return rf"\left({inner}\right)" if tall else f"({inner})"


def _is_compact(node: t.Call, notation: Notation) -> bool:
    """Whether a call is printed as a factor without brackets: functions do, `a . b` does not,
    derivatives do of a single symbol."""
    if (
        node.function == "mod" or (node.function in WORDS and WORDS[node.function].infix)
    ) and node.function not in notation.functions:
        return False
    return not _is_derivative(node, notation) or isinstance(
        node.arguments[0] if node.arguments else None, (t.Name, t.Component)
    )


def _is_derivative(node: t.Call, notation: Notation) -> bool:
    return (
        node.function == "d"
        or (node.function in WORDS and WORDS[node.function].prefix)
        or split_derivative(node.function, notation.variables) is not None
    )


@singledispatch
def tex(node: t.Node, notation: Notation) -> str:
    """The LaTeX of an expression."""
    raise TypeError(f"{type(node).__name__} has no LaTeX")


@tex.register
def _number(node: t.Number, notation: Notation) -> str:
    if node.text.endswith("i"):
        size = "" if node.text == "1i" else tex(t.Number(node.text[:-1]), notation) + r"\, "
        return size + r"\mathrm{i}"
    mantissa, _, exponent = node.text.lower().partition("e")
    return rf"{mantissa}\cdot 10^{{{int(exponent)}}}" if exponent else mantissa


@tex.register
def _name(node: t.Name, notation: Notation) -> str:
    fixed = {"pi": r"\pi", "I": r"\boldsymbol{I}", "n": r"\boldsymbol{n}"}
    return fixed.get(node.name) or symbol(node.name, notation)


@tex.register
def _quoted(node: t.Quoted, notation: Notation) -> str:
    return rf"\text{{{escape(node.text)}}}"


@tex.register
def _component(node: t.Component, notation: Notation) -> str:
    if isinstance(node.base, t.Name):
        base = _letters(bare(node.base.name))
        return rf"{base}_{{{' '.join(node.name)}}}"
    return rf"{enclosed(node.base, POSTFIX, notation)}_{{{' '.join(node.name)}}}"


@tex.register
def _negative(node: t.Negative, notation: Notation) -> str:
    return "-" + enclosed(node.operand, PRODUCT, notation)


@tex.register
def _transpose(node: t.Transpose, notation: Notation) -> str:
    return enclosed(node.operand, POSTFIX, notation) + r"^{\mathsf{T}}"


@tex.register
def _power(node: t.Power, notation: Notation) -> str:
    base, exponent = node.base, _exponent(node.exponent, notation)
    if isinstance(base, t.Call) and base.function in FUNCTIONS and len(base.arguments) == 1:
        return rf"{FUNCTIONS[base.function]}^{{{exponent}}}" + bracketed(
            tex(base.arguments[0], notation)
        )
    return rf"{enclosed(base, POSTFIX, notation)}^{{{exponent}}}"


def _exponent(node: t.Node, notation: Notation) -> str:
    """An exponent on one line: `1/2`, `-(m - 2)/2`."""
    if isinstance(node, t.Negative):
        return "-" + _exponent(node.operand, notation)
    if isinstance(node, t.Product) and len(node.rest) == 1 and node.rest[0][0] == "/":
        if isinstance(node.first, t.Negative):
            return "-" + _exponent(t.Product(node.first.operand, node.rest), notation)
        return f"{enclosed(node.first, SIGN, notation)}/{enclosed(node.rest[0][1], SIGN, notation)}"
    return tex(node, notation)


@tex.register
def _product(node: t.Product, notation: Notation) -> str:
    """`a*b/c*d` from left to right: what has been multiplied up to a division goes above the
    bar, a leading sign in front."""
    if isinstance(node.first, t.Negative):
        return "-" + tex(t.Product(node.first.operand, node.rest), notation)
    above: list[t.Node] = [node.first]
    done = ""
    for sign, factor in node.rest:
        if sign == "*":
            above.append(factor)
            continue
        numerator = (
            _factors(above, notation, done)
            if len(above) + bool(done) > 1
            else tex(above[0], notation)
            if above
            else done
        )
        if r"\frac{\partial" in numerator:
            done = (
                rf"\frac{{1}}{{{tex(factor, notation)}}}\,"
                rf" {numerator if len(above) > 1 or done else enclosed(above[0], SIGN, notation)}"
            )
        else:
            done = rf"\frac{{{numerator}}}{{{tex(factor, notation)}}}"
        above = []
    return _factors(above, notation, done)


def _factors(nodes: list[t.Node], notation: Notation, before: str = "") -> str:
    parts = [before] if before else []
    for node in nodes:
        text = enclosed(node, SIGN, notation)
        if parts and text.startswith("-"):
            text = bracketed(text)
        parts.append(rf"\cdot {text}" if parts and text[:1].isdigit() else text)
    return r"\, ".join(parts)


@tex.register
def _sum(node: t.Sum, notation: Notation) -> str:
    parts = [enclosed(node.first, SUM, notation)]
    for sign, term in node.rest:
        text = enclosed(term, PRODUCT, notation)
        parts.append(f"{sign} {bracketed(text) if text.startswith('-') else text}")
    return " ".join(parts)


@tex.register
def _intersection(node: t.Intersection, notation: Notation) -> str:
    return rf"{enclosed(node.left, SUM, notation)} \cap {enclosed(node.right, SUM, notation)}"


@tex.register
def _bracket(node: t.Bracket, notation: Notation) -> str:
    rows = [
        (
            " & ".join(tex(item, notation) for item in row.items)
            if isinstance(row, t.Bracket)
            else tex(row, notation)
        )
        for row in node.items
    ]
    return r"\begin{pmatrix} " + r" \\ ".join(rows) + r" \end{pmatrix}"


@tex.register
def _comparison(node: t.Comparison, notation: Notation) -> str:
    sides = [f"{COMPARE[sign]} {enclosed(side, SUM, notation)}" for sign, side in node.rest]
    return " ".join([enclosed(node.first, SUM, notation), *sides])


@tex.register
def _not(node: t.Not, notation: Notation) -> str:
    operand = node.operand
    if isinstance(operand, t.Call) and operand.function == "equal" and len(operand.arguments) == 2:
        return r" \neq ".join(enclosed(side, SUM, notation) for side in operand.arguments)
    return rf"\text{{not }} {enclosed(operand, NOT, notation)}"


@tex.register
def _logic(node: t.Logic, notation: Notation) -> str:
    return LOGIC[node.word].join(
        enclosed(each, BOTH if node.word == "or" else NOT, notation) for each in node.operands
    )


def _cases(node: t.Call, notation: Notation) -> str:
    """`if(c, a, b)` as cases."""
    *given, last = node.arguments
    rows = [
        rf"{tex(value, notation)} & {tex(holds, notation)}"
        for holds, value in zip(given[::2], given[1::2], strict=True)
    ]
    rows.append(rf"{tex(last, notation)} & \text{{otherwise}}")
    return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}"


def _function(node: t.Call, notation: Notation) -> str | None:
    """A function of the language as `TABLE` sets it."""
    entry = TABLE.get(node.function)
    if (
        entry is None
        or not entry.tex
        or entry.tex.count("%s") != len(node.arguments)
        or node.keywords
    ):
        return None
    inside = [
        enclosed(each, PRODUCT if node.function == "mod" else 0, notation)
        for each in node.arguments
    ]
    head, bracket, last = entry.tex.rpartition("(")
    if not bracket or not last.endswith(")"):
        return entry.tex % tuple(inside)
    count = head.count("%s")
    return head % tuple(inside[:count]) + bracketed(", ".join(inside[count:]))


@tex.register
def _call(node: t.Call, notation: Notation) -> str:
    name, arguments = node.function, node.arguments
    letters = split_derivative(name, notation.variables)
    if name == "d" and len(arguments) > 1:
        letters = tuple(each.name for each in arguments[1:] if isinstance(each, t.Name))
    if letters and arguments:
        return _derivative(arguments[0], letters, notation)
    if name not in notation.functions:
        if name == "if" and len(arguments) % 2 == 1 and not node.keywords:
            return _cases(node, notation)
        if name == "equal" and len(arguments) == 2:
            return " = ".join(enclosed(side, SUM, notation) for side in arguments)
        if (known := _function(node, notation)) is not None:
            return known
        word = WORDS.get(name)
        if word is not None and "%s" in word.tex and word.tex.count("%s") == len(arguments):
            level = BINDING[word.binding]
            return word.tex % tuple(enclosed(argument, level, notation) for argument in arguments)
    if name == "at" and len(arguments) == 2:
        what, where = (
            enclosed(arguments[0], SIGN, notation),
            _argument(arguments[1], name, notation),
        )
        return rf"\left. {what} \right|_{{{where}}}"
    if name == "integral" and len(arguments) == 2:
        on_boundary = isinstance(arguments[1], t.Call) or (
            isinstance(arguments[1], t.Name) and arguments[1].name in notation.boundaries
        )
        measure = r"\mathrm{d}S" if on_boundary else r"\mathrm{d}V"
        return (
            rf"\int_{{{tex(arguments[1], notation)}}} {enclosed(arguments[0], PRODUCT, notation)}\,"
            rf" {measure}"
        )
    inside = [_argument(argument, name, notation) for argument in arguments]
    inside += [
        rf"{_letters(bare(each.name))} = {_argument(each.value, name, notation)}"
        for each in node.keywords
    ]
    head = FUNCTIONS.get(name) or LAWS.get(name)
    if name == "boundary" and len(arguments) == 1:
        return rf"\partial {tex(arguments[0], notation)}"
    if name == "boundary" and len(arguments) == 2:
        return rf"\partial {inside[0]} \cap \partial {inside[1]}"
    if name == "rest" and arguments:
        others = r" \cup ".join(inside[1:]) or r"\cdots"
        return rf"\partial {inside[0]} \setminus " + bracketed(others)
    return (head or symbol(name, notation)) + bracketed(", ".join(inside))


def _argument(node: t.Node, function: str, notation: Notation) -> str:
    """An argument of a call; points are set in a row."""
    if function in (*SHAPES, "at") and isinstance(node, t.Bracket):
        return "(" + ", ".join(tex(item, notation) for item in node.items) + ")"
    return tex(node, notation)


def _derivative(operand: t.Node, letters: tuple[str, ...], notation: Notation) -> str:
    """`dxx(u)` as the partial derivative of u; of anything longer, as an operator in front of
    it."""
    powers = {letter: letters.count(letter) for letter in letters}
    below = r"\, ".join(
        rf"\partial {symbol(letter, notation)}" + (f"^{{{power}}}" if power > 1 else "")
        for letter, power in powers.items()
    )
    order = f"^{{{len(letters)}}}" if len(letters) > 1 else ""
    if isinstance(operand, (t.Name, t.Component)):
        return rf"\frac{{\partial{order} {tex(operand, notation)}}}{{{below}}}"
    return rf"\frac{{\partial{order}}}{{{below}}} " + bracketed(tex(operand, notation))
