"""Scope of names while a text is evaluated, and the limits of evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import sympy as sp

from pdespec.beyond import MEANT
from pdespec.calculus import split_derivative
from pdespec.coordinates import Coordinate, Time
from pdespec.errors import Diagnostic, ProblemError, Span, nearest
from pdespec.text.syntax import ast as t
from pdespec.words import (
    BUILTINS,
    FUNCTIONS,
    IDENTIFIER,
    OPERATORS,
    REGIONS,
    RESERVED,
    SHAPES,
    YIELDING,
    bare,
    key,
)

MAX_NODES = 20_000  # of one scalar expression, counted as a tree
MAX_LEVELS = 80
MAX_NUMBER_LEVELS = 8  # of one that is no fraction: beyond, its sign takes SymPy seconds to find
MAX_BITS = 4096  # of one number


MAX_NUMBER = 1e300
NOT_FINITE = (sp.nan, sp.zoo, sp.oo, -sp.oo)


MAKERS = {"shapes": SHAPES, "boundaries": REGIONS}


def _evaluates(value: sp.Expr) -> bool:
    """Whether SymPy finds the value of a number: not of a remainder of complex ones."""
    try:
        complex(value.evalf(15))
    except (TypeError, ValueError):
        return False
    return True


def folder_of(node: t.Node) -> str:
    """The folder of the text in which a node is written: what paths in it are relative to."""
    return str(Path(node.span.source.name).parent) if node.span else ""


class Extent(NamedTuple):
    """The size of an expression, and whether all numbers in it are finite."""

    nodes: int
    levels: int
    bits: int
    finite: bool


class Broken:
    """The value of what could not be evaluated: absorbs everything, so that one mistake is
    reported once."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN = Broken()


@dataclass(frozen=True, slots=True)
class Function:
    """A user's function: its body is evaluated at every call."""

    name: str
    parameters: tuple[str, ...]
    body: t.Node


@dataclass(frozen=True, slots=True)
class Entry:
    """What a name means: its value, what it is in words ("unknown", "domain", ...), and where it
    was declared."""

    value: Any
    kind: str
    span: Span | None


@dataclass(slots=True)
class Scope:
    """Names in scope and the report of mistakes. Mutable: it grows from statement to statement."""

    report: list[Diagnostic]
    lost: frozenset[str] = frozenset()
    coordinates: tuple[Coordinate, ...] = ()
    time: Time | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    later: dict[str, Span | None] = field(default_factory=dict)
    place: str = ""
    wanted: str = ""  # "shapes" or "boundaries", where those are declared
    pointwise: bool = False  # whether fields may be asked for at points: in outputs
    in_place: tuple[t.Node, ...] = ()  # boundaries that are written where conditions hold
    calls: int = 0
    called: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    extents: dict[Any, Extent] = field(default_factory=dict)

    def fail(
        self, code: str, message: str, span: Span | None, hint: str = "", cause: str = ""
    ) -> Broken:
        """Reports a mistake; the value of its expression is broken."""
        diagnostic = Diagnostic(code, message, hint, cause, span)
        if diagnostic not in self.report:
            self.report.append(diagnostic)
        return BROKEN

    def adopt(self, error: ProblemError, span: Span | None) -> Broken:
        """Reports what the language core found wrong, with the place it was written at."""
        for diagnostic in error.diagnostics:
            diagnostic = diagnostic.at(span)
            if diagnostic not in self.report:
                self.report.append(diagnostic)
        return BROKEN

    def declare(self, name: t.Name, value: Any, kind: str) -> None:
        """Enters a name, unless it is taken."""
        if self.free(name, kind):
            self.entries[key(name.name, self.variables)] = Entry(value, kind, name.span)

    def free(self, name: t.Name, kind: str) -> bool:
        """Whether a name may be declared; says why not."""
        if not self.unreserved(name, kind):
            return False
        entry = self.entries.get(key(name.name, self.variables))
        if entry is None or isinstance(entry.value, Broken):
            return True
        where = f" (line {entry.span.line})" if entry.span else ""
        hides = entry.kind in ("coordinate", "time") and entry.kind != kind
        code, verb = ("S03", "would hide") if hides else ("S05", "is already the name of")
        self.fail(
            code,
            f"{kind} `{name.name}` {verb} the {entry.kind} `{name.name}`{where}",
            name.span,
            "give it another name",
        )
        return False

    def unreserved(self, name: t.Name, kind: str) -> bool:
        """Whether a name is one that users may give at all; says why not."""
        word = name.name
        cure = (
            f"rename it, for example `{word}_`, or keep it in backticks wherever you mean your own"
        )
        # regions may be named by their expression
        if not IDENTIFIER.fullmatch(bare(word)) and kind not in ("domain", "boundary"):
            self.fail(
                "S03",
                f"{word} cannot be a name",
                name.span,
                "a name is a letter followed by letters, digits or underscores",
            )
        elif word in RESERVED:
            self.fail(
                "S03", f"`{word}` is a word of the language and cannot be a name", name.span, cure
            )
        elif word in BUILTINS or (word == "d" and kind == "function"):
            what = MEANINGS.get(word, "an operator")
            self.fail(
                "S03", f"{kind} `{word}` would hide the built-in `{word}`, {what}", name.span, cure
            )
        elif letters := split_derivative(word, self.variables):
            self.fail(
                "S03",
                f"{kind} `{word}` would hide the derivative by {', '.join(letters)}",
                name.span,
                cure,
            )
        else:
            return True
        return False

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the coordinates and of time."""
        return (*(x.name for x in self.coordinates), *((self.time.name,) if self.time else ()))

    def declared(self, name: str) -> bool:
        """Whether a name has been declared here, in backticks or without."""
        return self.entry(name) is not None

    def entry(self, name: str) -> Entry | None:
        """What a name was declared as. A function of the language gives its name up to a
        declaration, whose backticks are then idle."""
        inner = bare(name)
        spellings = (
            key(name, self.variables),
            *((inner, f"`{inner}`") if inner in YIELDING else ()),
        )
        return next((self.entries[each] for each in spellings if each in self.entries), None)

    def lookup(self, name: str, span: Span | None) -> Any:
        """The value of a name, or a report that there is none."""
        if name in self.local:
            return self.local[name]
        if (entry := self.entry(name)) is not None:
            return entry.value
        if name in self.lost:
            return BROKEN
        return self.unknown(name, span)

    def unknown(self, name: str, span: Span | None, called: bool = False) -> Broken:
        """Reports an unknown name with the best guess at what was meant."""
        what = f"`{name}`" + (f" in `{self.place}`" if self.place else "")
        if name in MEANT:
            asked, cure = MEANT[name]
            return self.fail(
                "N01", f"{what} asks for {asked}, which the language does not have", span, cure
            )
        if (declared := self.later.get(name)) is not None:
            message = f"{what} is used before it is declared (line {declared.line})"
            return self.fail("S01", message, span, "move its declaration up")
        stem, _, letters = name.partition("_")
        if (
            letters
            and stem in self.entries
            and (variables := split_derivative("d" + letters, self.variables))
        ):
            operator = "d" + "".join(variables)
            return self.fail(
                "S01",
                f"unknown name {what}",
                span,
                f"did you mean the derivative `{operator}({stem})`?",
            )
        if called and name in OTHER_WORDS:
            return self.fail("S01", f"unknown name {what}", span, f"write {OTHER_WORDS[name]}")
        candidates = [
            *self.local,
            *self.entries,
            *sorted(BUILTINS),
            *(YIELDING + SHAPES + REGIONS if called else ()),
        ]
        if called and self.wanted:
            candidates = [*MAKERS[self.wanted], *self.entries]
        candidates += [f"d{a}" for a in self.variables] + [
            f"d{a}{b}" for a in self.variables for b in self.variables
        ]
        near = nearest(name, candidates)
        if near is None:
            return self.fail("S01", f"unknown name {what}", span, self._what_exists(called))
        entry = self.entries.get(near)
        where = f" (line {entry.span.line})" if entry and entry.span else ""
        return self.fail("S01", f"unknown name {what}", span, f"did you mean `{near}`{where}?")

    def _what_exists(self, called: bool) -> str:
        """The words of the kind that belongs where an unknown name occurs."""
        if called and self.wanted:
            return f"{self.wanted} are made by {', '.join(MAKERS[self.wanted])}"
        if called:
            own = [name for name, entry in self.entries.items() if entry.kind == "function"]
            operators = [each for each in OPERATORS if each != "dt" or self.time]
            return (
                f"operators: {', '.join(operators)}; functions:"
                f" {', '.join([*FUNCTIONS, *YIELDING, *own])}"
            )
        known = ", ".join([*self.local, *self.entries][:12])
        return f"known here: {known}" if known else "declare it first"

    def bounded(self, value: Any, span: Span | None) -> Any:
        """The value, unless it is larger than anything a problem needs."""
        if isinstance(value, sp.MatrixBase):
            checked = [self.bounded(entry, span) for entry in value]
            return BROKEN if any(isinstance(each, Broken) for each in checked) else value
        if not isinstance(value, sp.Expr):
            return value
        extent = self.extent(value)
        if not extent.finite:
            return self.fail(
                "V03",
                "this has no finite value",
                span,
                "look for a division by zero or a function outside of its domain",
            )
        if extent.nodes > MAX_NODES or extent.levels > MAX_LEVELS:
            message = (
                f"the expression has grown beyond {MAX_NODES} operations or {MAX_LEVELS} levels"
            )
            return self.fail("S02", message, span, "introduce an unknown for a part of it")
        if extent.levels > MAX_NUMBER_LEVELS and value.is_number:
            message = (
                f"the functions and powers in this number are nested more than {MAX_NUMBER_LEVELS}"
                " levels deep"
            )
            return self.fail("S02", message, span, "write the value of a part of it, as in 1.4142")
        if value.is_number and not value.is_Rational and not _evaluates(value):
            hint = "look for a function outside of its domain"
            return self.fail("V03", "this number has no value", span, hint)
        if extent.bits > MAX_BITS or (
            value.is_number
            and not value.is_Rational
            and not abs(complex(value.evalf(15))) < MAX_NUMBER
        ):
            return self.fail(
                "S02",
                "this number is too large",
                span,
                "scale the problem: choose units in which its numbers are near 1",
            )
        return value

    def extent(self, value: sp.Basic) -> Extent:
        """How large an expression is as a tree, remembered for every part."""
        known = self.extents.get(value)
        if known is None:
            parts = [self.extent(part) for part in value.args]
            bits = (
                max(value.p.bit_length(), value.q.bit_length())
                if isinstance(value, sp.Rational) and value.is_finite
                else 0
            )
            known = Extent(
                1 + sum(part.nodes for part in parts),
                1 + max((part.levels for part in parts), default=0),
                max((bits, *(part.bits for part in parts))),
                value not in NOT_FINITE and all(part.finite for part in parts),
            )
            self.extents[value] = known
        return known


OTHER_WORDS = (
    dict.fromkeys(
        ("piecewise", "Piecewise", "where", "ifelse", "conditional", "select"),
        "if(x < 1/2, 1, 400), or if(c1, a, c2, b, otherwise)",
    )
    | dict.fromkeys(("heaviside", "Heaviside", "theta", "H"), "step(x - 1/2)")
    | {
        "sgn": "sign(s)",
        "arctan2": "atan2(y, x)",
        "ln": "log(s)",
        "fabs": "abs(s)",
        "ceiling": "ceil(s)",
        "tg": "tan(s)",
        "pow": "a^b",
    }
    | {
        "lgamma": "loggamma(s)",
        "gammaln": "loggamma(s)",
        "digamma": "polygamma(0, s)",
        "eq": "equal(a, b)",
    }
    | {f"bessel_{family}": f"bessel{family}(0, s)" for family in "jyik"}
    | {
        f"{family}{order}": f"bessel{family.lower()}({order}, s)"
        for family in "JYIKjyik"
        for order in (0, 1)
    }
    | {f"{family}{end}": f"bessel{family}(0, s)" for family in "jyik" for end in "nv"}
    | {
        "relu": "max(s, 0)",
        "sigmoid": "1/(1 + exp(-s))",
        "logistic": "1/(1 + exp(-s))",
        "softplus": "log(1 + exp(s))",
    }
    | {
        "clip": "min(max(s, a), b)",
        "clamp": "min(max(s, a), b)",
        "hypot": "sqrt(a^2 + b^2)",
        "norm": "sqrt(dot(v, v))",
    }
    | {
        "round": "floor(s + 1/2)",
        "rect": "if(abs(s) < 1/2, 1, 0)",
        "exp2": "2^s",
        "expm1": "exp(s) - 1",
        "log1p": "log(1 + s)",
    }
    | {
        "erfcx": "exp(s^2)*erfc(s)",
        "trace": "tr(T)",
        "transpose": "T'",
        "identity": "I",
        "laplacian": "lap(u)",
        "gradient": "grad(u)",
    }
    | {
        "divergence": "div(v)",
        "rot": "curl(v)",
        "factorial": "gamma(s + 1)",
        "bump": "if(abs(s) < 1, exp(-1/(1 - s^2)), 0)",
    }
    | {"arc" + name: f"a{name}(s)" for name in "sin cos tan sinh cosh tanh".split()}
    | {
        "log10": "log(s)/log(10)",
        "log2": "log(s)/log(2)",
        "sqr": "s^2",
        "square": "s^2",
        "cbrt": "s^(1/3)",
    }
)
"""What other languages call a function: how it is written here."""

MEANINGS = {
    "I": "the identity tensor",
    "n": "the outward unit normal",
    "pi": "the circle constant",
    "d": "the derivative",
}
