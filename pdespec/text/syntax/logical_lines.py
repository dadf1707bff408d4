"""Splits a file into logical lines that are parsed one by one, so that one mistake hides no other.

A piece is a logical line: it ends with the line unless a bracket is open or the line ends in an
operator. A line that opens a block (`in`, `on`, `at`) is cut at its colon; what follows, up to `;`,
and every deeper line below are the members of the block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pdespec.errors import Source, Span
from pdespec.words import STATEMENTS

# lark.Token, whose places its annotations call optional; those of a lexer's tokens never are
Token = Any

MAX_CHARACTERS = 100_000
MAX_BRACKETS = 32

BLOCKS = ("IN", "ON", "AT")
STARTS = frozenset(word.upper() for word in STATEMENTS)
OPENING, CLOSING = ("LPAR", "LSQB"), ("RPAR", "RSQB")
CONTINUES = frozenset(
    "ADD MULTIPLY POWER EQUALS COMMA DEFINE TILDE AMPERSAND COMPARE NABLA LAPLACIAN".split()
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens to be parsed from one start of the grammar."""

    start: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A statement, or a block's head with the pieces of its members."""

    piece: Piece
    members: tuple[Piece, ...] = ()
    colon: bool = True
    stray: bool = False


def place(source: Source, first: Token, last: Token | None = None) -> Span:
    """The span of a token, or of all from the first to the last."""
    end = last if last is not None else first
    return Span(source, first.line, first.column, end.end_line, end.end_column)


def sections(tokens: Sequence[Token]) -> list[Section]:
    """The statements and blocks of a file, in order. A line that is indented without an open
    block above it is marked stray."""
    found: list[Section] = []
    margin = tokens[0].column if tokens else 1
    block: Section | None = None  # the open one, and its indentation
    indent = 0

    for line in logical_lines(tokens):
        if block and line[0].column > indent:
            block = replace(block, members=(*block.members, *_members(line)))
            continue
        if block:
            found.append(block)
            block = None
        if line[0].type in BLOCKS:
            head, rest = _split_head(line)
            block, indent = (
                Section(Piece("head", head), tuple(_members(rest)), colon=len(head) < len(line)),
                line[0].column,
            )
        else:
            found.append(Section(Piece("statement", line), stray=line[0].column > margin))
    return found + ([block] if block else [])


def logical_lines(tokens: Sequence[Token]) -> Iterator[tuple[Token, ...]]:
    """The tokens of each logical line.

    A bracket that no line closes before the next statement begins is taken to end with its own
    line.
    """
    position = 0
    while position < len(tokens):
        end, opened = position + 1, [position] if tokens[position].type in OPENING else []
        while end < len(tokens):
            token, last = tokens[end], tokens[end - 1]
            if token.line > last.end_line:
                if not opened and last.type not in CONTINUES:
                    break
                if token.type in STARTS and not _is_call(tokens, end):
                    break
            if token.type in OPENING:
                opened.append(end)
            elif token.type in CLOSING and opened:
                opened.pop()
            end += 1
        if opened:
            end = next(
                (i for i in range(opened[-1], end) if tokens[i].line > tokens[opened[-1]].line), end
            )
        yield tuple(tokens[position:end])
        position = end


def deepest_bracket(tokens: Sequence[Token]) -> Token | None:
    """The first bracket that is nested too deeply, if any."""
    depth = 0
    for token in tokens:
        depth += (token.type in OPENING) - (token.type in CLOSING)
        if depth > MAX_BRACKETS:
            return token
    return None


def _is_call(tokens: Sequence[Token], position: int) -> bool:
    return (
        tokens[position].type == "BOUNDARY"
        and position + 1 < len(tokens)
        and tokens[position + 1].type == "LPAR"
    )


def _split_head(line: tuple[Token, ...]) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
    depth = 0
    for i, token in enumerate(line):
        depth += (token.type in OPENING) - (token.type in CLOSING)
        if token.type == "COLON" and depth <= 0:
            return line[:i], line[i + 1 :]
    return line, ()


def _members(line: Sequence[Token]) -> Iterator[Piece]:
    start = 0
    for i, token in enumerate(line):
        if token.type == "SEMICOLON":
            if i > start:
                yield Piece("member", tuple(line[start:i]))
            start = i + 1
    if start < len(line):
        yield Piece("member", tuple(line[start:]))
