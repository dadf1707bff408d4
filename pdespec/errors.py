"""Diagnostics: what is wrong, where, why and what to write instead; one value for text, Python
and run-time errors."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

WIDTH = 120  # longest excerpt of a source line that is shown


@lru_cache(maxsize=4)
def _lines(text: str) -> list[str]:
    return text.split("\n")


@dataclass(frozen=True, slots=True)
class Source:
    """A named text, shared by all spans into it."""

    name: str
    text: str = field(repr=False, compare=False)

    def line(self, number: int) -> str:
        """The text of line `number`, counted from 1; empty past the end."""
        lines = _lines(self.text)
        return lines[number - 1].rstrip("\r") if 0 < number <= len(lines) else ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text. Lines and columns count from 1 in characters; the end column is
    exclusive."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of the other."""
        return Span(self.source, self.line, self.column, other.end_line, other.end_column)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake or warning.

    `message` says what is wrong, `cause` why it cannot stand, `hint` what to write instead. The
    place is `span` for text and `label` (name of the equation, condition or declaration) for
    problems built in Python; text diagnostics may carry both.
    """

    code: str
    message: str
    hint: str = ""
    cause: str = ""
    span: Span | None = None
    label: str = ""
    severity: str = "error"

    @property
    def line(self) -> int | None:
        """The line in the text, counted from 1; None where it has no place."""
        return self.span.line if self.span else None

    @property
    def column(self) -> int | None:
        """The column in that line, counted from 1; None where it has no place."""
        return self.span.column if self.span else None

    @property
    def source(self) -> str | None:
        """The name of the text; None where it has no place."""
        return self.span.source.name if self.span else None

    def at(self, span: Span | None = None, label: str = "") -> Diagnostic:
        """The same diagnostic with a place, unless it already has a more exact one."""
        return replace(self, span=self.span or span, label=self.label or label)

    def __str__(self) -> str:
        return render(self)


class PdespecError(Exception):
    """The root of what this project raises on purpose: problems, options, runs, samples that
    cannot be solved."""


class ProblemError(PdespecError, ValueError):
    """Everything wrong with a problem, at once, in `diagnostics`."""

    def __init__(self, diagnostics: Iterable[Diagnostic] | Diagnostic) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = (
            (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        )
        super().__init__(render_all(self.diagnostics))

    def __reduce__(self) -> tuple:
        return ProblemError, (self.diagnostics,)


def fail(
    code: str,
    message: str,
    hint: str = "",
    cause: str = "",
    span: Span | None = None,
    label: str = "",
) -> ProblemError:
    """A `ProblemError` of one diagnostic, to be raised."""
    return ProblemError(Diagnostic(code, message, hint, cause, span, label))


@contextmanager
def placed(span: Span | None, label: str) -> Iterator[None]:
    """Gives what is found wrong inside a place in the text."""
    try:
        yield
    except ProblemError as error:
        raise ProblemError(each.at(span, label) for each in error.diagnostics) from error


def render(diagnostic: Diagnostic) -> str:
    """The diagnostic as the user reads it: place, message, source line with caret, cause, fix."""
    if diagnostic.span:
        place = f"{diagnostic.span}: "
    elif diagnostic.label:
        place = f"in `{diagnostic.label}`: "
    else:
        place = ""
    lines = [visible(f"{place}{diagnostic.severity} {diagnostic.code}: {diagnostic.message}")]
    if diagnostic.span:
        lines += excerpt(diagnostic.span)
    if diagnostic.cause:
        lines.append(visible(f"  cause: {diagnostic.cause}"))
    if diagnostic.hint:
        lines.append(visible(f"  fix:   {diagnostic.hint}"))
    return "\n".join(lines)


def render_all(diagnostics: Iterable[Diagnostic]) -> str:
    """All diagnostics, separated by an empty line."""
    return "\n\n".join(render(each) for each in diagnostics)


def excerpt(span: Span) -> list[str]:
    """The source line of a span and, under it, the caret."""
    text = span.source.line(span.line)
    start = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(text)
    if not text.strip() and span.column <= 1:
        return []
    left = max(0, start - WIDTH // 2) if len(text) > WIDTH else 0
    shown = text[left : left + WIDTH]
    end = min(end, left + len(shown))
    prefix = "... " if left else ""
    suffix = " ..." if left + WIDTH < len(text) else ""
    before = "".join(_blank(character) for character in shown[: start - left])
    marked = sum(_columns(character) for character in shown[start - left : end - left])
    caret = "^" + "~" * (marked - 1)
    margin = f"{span.line:>5} | "
    return [
        margin + prefix + "".join(map(_visible, shown)) + suffix,
        " " * 5 + " | " + " " * len(prefix) + before + caret,
    ]


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name` by edit distance, or None when none is close enough to be
    meant."""
    best, best_distance = None, 1 + max(1, len(name) // 3)
    for candidate in candidates:
        if abs(len(candidate) - len(name)) >= best_distance:
            continue
        exact = edit_distance(name, candidate)
        # wrong case is half a slip
        distance = min(exact, edit_distance(name.lower(), candidate.lower()) + 0.5)
        if distance < best_distance and distance < max(len(name), len(candidate)):
            best, best_distance = candidate, distance
    return best


def suggestion(name: str, candidates: Iterable[str], otherwise: str = "", quote: str = "`") -> str:
    """A hint for a name that does not exist: the candidate that may have been meant, in `quote`,
    or `otherwise`."""
    near = nearest(name, candidates)
    return f"did you mean {quote}{near}{quote}?" if near else otherwise


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`
    (optimal string alignment)."""
    previous: list[int] = []
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, previous, row = previous, row, [i]
        for j, right in enumerate(b, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _blank(character: str) -> str:
    return "\t" if character == "\t" else " " * _columns(character)


def visible(text: str) -> str:
    """A text as a terminal may show it: control characters, which could act on it, are replaced."""
    return "".join(each if each == "\n" else _visible(each) for each in text)


def _visible(character: str) -> str:
    return (
        character if character == "\t" or character.isprintable() else "\N{REPLACEMENT CHARACTER}"
    )
