"""Text to syntax tree, and what to say where the text does not follow the grammar.

Nothing is evaluated here. The grammar is loaded on first use, so that importing pdespec costs
nothing for it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from lark import Lark, UnexpectedInput

from pdespec.beyond import COMPLEMENTARITY
from pdespec.errors import Diagnostic, Source, Span, suggestion
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.logical_lines import (
    CLOSING,
    MAX_BRACKETS,
    MAX_CHARACTERS,
    OPENING,
    Piece,
    Section,
    Token,
    deepest_bracket,
    place,
    sections,
)
from pdespec.text.syntax.transformer import build, depth
from pdespec.words import RESERVED, STATEMENTS, spell

# levels of one parse tree: keeps every recursion over it far from Python's own limit
MAX_DEPTH = 150
MAX_NAME = 100
MAX_DIGITS = 40
MAX_EXPONENT = 300

OPERANDS = ("NUMBER", "IMAGINARY", "NAME", "RPAR", "RSQB", "QUOTE", "SUPERSCRIPT")
FACTORS = ("NUMBER", "IMAGINARY", "NAME", "LPAR", "NABLA", "LAPLACIAN", "PARTIAL", "BOUNDARY")


@dataclass(frozen=True, slots=True)
class Document:
    """The statements of a file that could be read, the names that unreadable lines hold, and
    what kinds of statements those are."""

    statements: tuple[t.Node, ...]
    lost: frozenset[str]
    broken: frozenset[str]


@lru_cache(maxsize=1)
def grammar() -> Lark:
    """The parser of the language. Its tables take longer to work out than a problem to read: they
    are kept beside the compiled modules, trusted and kept from being written as those are."""
    kept = Path(cache_from_source(__file__)).with_name("grammar.tables")
    text = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        text,
        parser="lalr",
        lexer="basic",
        start=["statement", "head", "member", "never"],
        maybe_placeholders=True,
        propagate_positions=True,
        cache=str(kept) if kept.parent.is_dir() and not sys.dont_write_bytecode else False,
    )


def read(source: Source, report: list[Diagnostic]) -> Document:
    """The syntax tree of a text. Every mistake goes to `report` and costs no more than its own
    line."""
    if len(source.text) > MAX_CHARACTERS:
        message = (
            f"the text has {len(source.text)} characters, more than the {MAX_CHARACTERS} allowed"
        )
        report.append(
            Diagnostic(
                "S02",
                message,
                "a problem is a page, not a book: is this the right file?",
                span=Span(source, 1, 1, 1, 2),
            )
        )
        return Document((), frozenset(), frozenset(STATEMENTS))
    statements: list[t.Node] = []
    lost: set[str] = set()
    broken: set[str] = set()

    def parsed(piece: Piece, kind: str) -> Any:
        result = _parse(piece, source)
        if isinstance(result, Diagnostic):
            report.append(result)
            lost.update(spell(str(token)) for token in piece.tokens if token.type == "NAME")
            broken.update([kind] if kind in STATEMENTS else STATEMENTS)
            return None
        return result

    # `Lark.lex` would make its lexer anew for each text
    tokens = grammar().parse_interactive(source.text, start="statement").lexer_thread.lex(None)
    for section in sections(list(tokens)):
        kind = str(section.piece.tokens[0])
        if section.stray:
            report.append(_stray(section.piece, source))
            if isinstance(_parse(section.piece, source), Diagnostic):
                continue
        first = parsed(section.piece, kind)
        if section.piece.start == "statement":
            statements += [first] if first is not None else []
        else:
            members = tuple(
                member for piece in section.members if (member := parsed(piece, kind)) is not None
            )
            statements.append(_block(section, first, members, source, report))
    return Document(tuple(statements), frozenset(lost), frozenset(broken))


def _block(
    section: Section,
    head: t.Head | None,
    members: tuple[Any, ...],
    source: Source,
    report: list[Diagnostic],
) -> t.Block:
    """A block; one with an unreadable head keeps its members, so that they are looked at too."""
    tokens = section.piece.tokens
    if head is None:
        head = t.Head("lost", None, span=place(source, tokens[0], tokens[-1]))
    elif not section.colon:
        report.append(_expected("`:`", tokens, None, source, "write `in Omega: lap(u) = f`"))
    elif not section.members:
        report.append(_empty_block(section.piece, source))
    return t.Block(
        head, members, head.span.to(members[-1].span) if members and head.span else head.span
    )


def _parse(piece: Piece, source: Source) -> Any:
    """The node of a piece, or the diagnostic of its first mistake."""
    for check in (_too_deep, _bad_token):
        if problem := check(piece, source):
            return problem
    parser = grammar().parse_interactive(start=piece.start)
    position = 0
    try:
        for position, token in enumerate(piece.tokens):  # noqa: B007 - the position of the failing token is used below
            parser.feed_token(token)
        position = len(piece.tokens)
        tree = parser.feed_eof(piece.tokens[-1] if piece.tokens else None)
    except UnexpectedInput:
        return _explain(piece, position, frozenset(parser.accepts()), source)
    if depth(tree) > MAX_DEPTH:
        return Diagnostic(
            "S02",
            "the expression is nested too deeply",
            "name its parts by definitions, `a := ...`",
            span=_all(piece, source),
        )
    return build(tree, source)


def _too_deep(piece: Piece, source: Source) -> Diagnostic | None:
    bracket = deepest_bracket(piece.tokens)
    if bracket is None:
        return None
    message = f"brackets are nested deeper than {MAX_BRACKETS}"
    return Diagnostic(
        "S02",
        message,
        "name the inner parts by definitions, `a := ...`",
        span=place(source, bracket),
    )


def _bad_token(piece: Piece, source: Source) -> Diagnostic | None:
    """A number or name beyond what a problem needs."""
    for token in piece.tokens:
        if token.type == "NAME" and len(token) > MAX_NAME:
            return Diagnostic(
                "S02",
                f"names have at most {MAX_NAME} letters",
                "shorten it",
                span=place(source, token),
            )
        if token.type in ("NUMBER", "IMAGINARY"):
            mantissa, _, exponent = token.lower().rstrip("ij").partition("e")
            if (
                len(mantissa) > MAX_DIGITS
                or len(exponent) > 5
                or abs(int(exponent or 0)) > MAX_EXPONENT
            ):
                message = (
                    f"numbers have at most {MAX_DIGITS} digits and exponents at most {MAX_EXPONENT}"
                )
                hint = "scale the problem: choose units in which its numbers are near 1"
                return Diagnostic("S02", message, hint, span=place(source, token))
    return None


# ---- explanations, most telling first


def _explain(piece: Piece, position: int, accepts: frozenset[str], source: Source) -> Diagnostic:
    tokens = piece.tokens
    token = tokens[position] if position < len(tokens) else None
    before = tokens[position - 1] if position else None
    for rule in (
        _misspelt_statement,
        _reserved,
        _unit_of_a_domain,
        _subscript,
        _misplaced_equation,
        _inequality,
        _missing_sign,
        _round_point,
        _foreign,
    ):
        if problem := rule(piece, position, accepts, source):
            return problem
    if token is None or token.type in CLOSING or "RPAR" in accepts or "RSQB" in accepts:
        opened = _open_brackets(tokens[:position])
        if opened and (token is None or not _fits(opened[-1], token)):
            wanted = "`)`" if opened[-1].type == "LPAR" else "`]`"
            if before is not None and before.type in OPERANDS:
                return _expected(
                    wanted,
                    tokens[:position],
                    token,
                    source,
                    f"`{opened[-1]}` opened in column {opened[-1].column} is not closed",
                )
    if token is not None and token.type in CLOSING and not _open_brackets(tokens[:position]):
        return Diagnostic(
            "S02",
            f"`{token}` closes nothing",
            "take it away, or open it",
            span=place(source, token),
        )
    return _expected(_wanted(accepts), tokens[:position], token, source)


def _misspelt_statement(
    piece: Piece, position: int, accepts: frozenset[str], source: Source
) -> Diagnostic | None:
    """`unkown u : ...`: a name, then something that continues no definition."""
    first = piece.tokens[0]
    if piece.start != "statement" or first.type != "NAME" or position > 1 or len(piece.tokens) == 1:
        return None
    if position == 1 and piece.tokens[1].type not in ("NAME", "STRING", "NUMBER", "LSQB") + tuple(
        word.upper() for word in RESERVED
    ):
        return None
    listed = ", ".join(STATEMENTS[:-1]) + f" or {STATEMENTS[-1]}"
    hint = suggestion(first, STATEMENTS, f"a statement is {listed}")
    return Diagnostic("S02", f"`{first}` begins no statement", hint, span=place(source, first))


def _reserved(
    piece: Piece, position: int, accepts: frozenset[str], source: Source
) -> Diagnostic | None:
    """A word of the language where a name belongs."""
    if position >= len(piece.tokens) or "NAME" not in accepts:
        return None
    token = piece.tokens[position]
    if str(token) not in RESERVED or str(token) in ("in", "on", "at", "over", "from"):
        return None
    message = f"`{token}` is a word of the language and cannot be a name"
    return Diagnostic(
        "S03", message, f"rename it, for example `{token}_`", span=place(source, token)
    )


def _unit_of_a_domain(
    piece: Piece, position: int, accepts: frozenset[str], source: Source
) -> Diagnostic | None:
    """`domain L = interval(0, 1) [km]`"""
    tokens = piece.tokens
    if str(tokens[0]) != "domain" or position >= len(tokens) or tokens[position].type != "LSQB":
        return None
    if _open_brackets(tokens[:position]) or tokens[position - 1].type != "RPAR":
        return None
    unit = _operand_after(tokens, position)
    return Diagnostic(
        "S02",
        "a domain has the unit of its coordinates",
        f"state it with them: space x {unit}",
        span=place(source, tokens[position]),
    )


def _subscript(
    piece: Piece, position: int, accepts: frozenset[str], source: Source
) -> Diagnostic | None:
    """`c[0]`, `A[0, 1]`"""
    tokens = piece.tokens
    types = [token.type for token in tokens[position:]]
    if position == 0 or types[:1] != ["LSQB"] or "RSQB" not in types:
        return None
    inner = tokens[position + 1 : position + types.index("RSQB")]
    if tokens[position - 1].type != "NAME" or not inner:
        return None
    if any(
        token.type != ("COMMA" if k % 2 else "NUMBER") or not (k % 2 or str(token).isdigit())
        for k, token in enumerate(inner)
    ):
        return None
    own = tokens[position - 1]
    return Diagnostic(
        "S02",
        f"`{own}[{''.join(map(str, inner))}]` is not how entries are taken",
        f"write entry({own}, {', '.join(map(str, inner[::2]))}); they are counted from 0",
        span=place(source, own),
    )


def _misplaced_equation(
    piece: Piece, position: int, accepts: frozenset[str], source: Source
) -> Diagnostic | None:
    """An equation at the margin."""
    first = piece.tokens[0]
    if (
        piece.start != "statement"
        or first.type in ("UNEXPECTED", *CLOSING)
        or str(first) in RESERVED
    ):
        return None
    levels, depth_now = [], 0
    for token in piece.tokens:
        depth_now += (token.type in OPENING) - (token.type in CLOSING)
        if depth_now == 0:
            levels.append(token)
    if "EQUALS" not in [token.type for token in levels]:
        return None
    if len(piece.tokens) > 1 and first.type == "NAME" and piece.tokens[1].type == "EQUALS":
        hint = (
            f"write `const {first} = ...` for a number, `{first} := ...` for a definition, or put"
            " an equation into a block `in Omega: ...`"
        )
    else:
        hint = (
            "write `in Omega: ...` for the interior, `on boundary(Omega): ...` for the boundary,"
            " `at t = 0: ...` for the start"
        )
    return Diagnostic(
        "S02", "an equation is written outside of any block", hint, span=_all(piece, source)
    )


def _inequality(
    piece: Piece, position: int, accepts: frozenset[str], source: Source
) -> Diagnostic | None:
    """`u >= 0` among equations."""
    if (
        piece.start != "member"
        or position >= len(piece.tokens)
        or piece.tokens[position].type != "COMPARE"
        or "EQUALS" not in accepts
    ):
        return None
    asked, cure = COMPLEMENTARITY
    labelled = len(piece.tokens) > 1 and piece.tokens[1].type == "COLON"
    message = (
        f"`{_text(piece.tokens[2 * labelled :])}` is an inequality among equations: {asked}, which"
        " the language does not have"
    )
    return Diagnostic("N01", message, cure, span=_all(piece, source))


def _missing_sign(
    piece: Piece, position: int, accepts: frozenset[str], source: Source
) -> Diagnostic | None:
    """`2u`, `u v`, `(a)(b)`"""
    if not 0 < position < len(piece.tokens) or "MULTIPLY" not in accepts:
        return None
    token, before = piece.tokens[position], piece.tokens[position - 1]
    if before.type not in OPERANDS or token.type not in FACTORS:
        return None
    if piece.start == "head" and not _open_brackets(piece.tokens[:position]):
        return _expected(
            "`:`",
            piece.tokens[:position],
            token,
            source,
            "the colon ends the head of a block: `on Gamma: u = 0`",
        )
    left, right = _operand_before(piece.tokens[:position]), _operand_after(piece.tokens, position)
    span = place(source, before, token)
    if str(piece.tokens[0]) == "output" and token.type == "LPAR" and before.type != "NUMBER":
        place_of = f"[{right[1:-1]}]" if "," in right else right[1:-1]
        return Diagnostic(
            "S04",
            f"`{left}` is not the name of a field that could be asked for at `{right}`",
            f"write at({left}, {place_of}) for its value there, {left}*{right} for a product",
            span=span,
        )
    return Diagnostic(
        "S04", f"no sign between `{left}` and `{right}`", f"write {left}*{right}", span=span
    )


FOREIGN = {
    "==": "an equation has one `=`; in a condition write equal(a, b)",
    "!=": "a requirement compares with < <= > >= or =; in a condition write not equal(a, b)",
    "&&": "conditions are joined by and, or, not",
    "||": "conditions are joined by and, or, not; of a number write abs(...)",
    "?": "write if(condition, value, otherwise)",
    "{": "group with ( ) and list with [ ]",
    "}": "group with ( ) and list with [ ]",
    ";": (
        "`;` separates the equations of a block on one line; other statements have lines of"
        " their own"
    ),
    "%": "a comment begins with #; the remainder is mod(a, b)",
    "//": "a comment begins with #",
    "!": "a comment begins with #; the factorial of s is gamma(s + 1)",
    '"': 'a text ends with " on its own line',
    "\u222b": "write integral(density, region)",
    "\u221a": "write sqrt(...)",
    "|": "write abs(...)",
    "@": "write * for a matrix product and dot(a, b) for a scalar product",
    "\\": "an expression goes on over the next line inside brackets or after an operator",
}


def _round_point(
    piece: Piece, position: int, accepts: frozenset[str], source: Source
) -> Diagnostic | None:
    """`rectangle((0, 0), (1, 1))`: a point in round brackets."""
    tokens = piece.tokens
    opened = _open_brackets(tokens[:position])
    if position >= len(tokens) or tokens[position].type != "COMMA" or not opened:
        return None
    first = next(k for k, token in enumerate(tokens) if token is opened[-1])
    if opened[-1].type != "LPAR" or (first and tokens[first - 1].type == "NAME"):
        return None
    return Diagnostic(
        "S02",
        "a point or vector in round brackets",
        f"write [{_operand_after(tokens, first)[1:-1]}]",
        span=place(source, opened[-1], tokens[position]),
    )


def _foreign(
    piece: Piece, position: int, accepts: frozenset[str], source: Source
) -> Diagnostic | None:
    """Signs of other languages."""
    if position >= len(piece.tokens):
        return None
    token, before = piece.tokens[position], piece.tokens[position - 1] if position else None
    pair = (
        f"{before}{token}"
        if before is not None
        and before.end_line == token.line
        and before.end_column == token.column
        else ""
    )
    if pair in FOREIGN:
        return Diagnostic(
            "S02", f"`{pair}` means nothing here", FOREIGN[pair], span=place(source, before, token)
        )
    after = piece.tokens[position + 1] if position + 1 < len(piece.tokens) else None
    if after is not None and f"{token}{after}" in FOREIGN and token.end_column == after.column:
        return Diagnostic(
            "S02",
            f"`{token}{after}` means nothing here",
            FOREIGN[f"{token}{after}"],
            span=place(source, token, after),
        )
    if str(token) in FOREIGN and token.type in ("UNEXPECTED", "SEMICOLON"):
        return Diagnostic(
            "S02", f"`{token}` means nothing here", FOREIGN[str(token)], span=place(source, token)
        )
    if token.type == "UNEXPECTED":
        shown = str(token) if token.isprintable() else f"U+{ord(token):04X}"
        return Diagnostic(
            "S02",
            f"unexpected character `{shown}`",
            "names are made of letters, digits and _",
            span=place(source, token),
        )
    return None


def _expected(
    wanted: str, done: tuple[Token, ...], token: Token | None, source: Source, hint: str = ""
) -> Diagnostic:
    hint = hint or (
        f"the statement reads: {FORMS[str(done[0])]}"
        if done and str(done[0]) in FORMS
        else HINTS.get(wanted, "")
    )
    after = f" after `{_operand_before(done)}`" if done else ""
    if token is None:
        last = done[-1] if done else None
        span = (
            Span(source, last.end_line, last.end_column, last.end_line, last.end_column + 1)
            if last
            else Span(source, 1, 1, 1, 2)
        )
        return Diagnostic(
            "S02", f"expected {wanted}{after}, found the end of the line", hint, span=span
        )
    return Diagnostic(
        "S02", f"expected {wanted}{after}, found `{token}`", hint, span=place(source, token)
    )


FORMS = {
    "problem": "problem NAME",
    "space": "space x, y",
    "time": "time t in [0, 1]",
    "periodic": "periodic x, y",
    "domain": "domain Omega = rectangle([0, 0], [1, 1])",
    "boundary": "boundary Gamma = boundary(Omega)",
    "const": "const nu = 0.01",
    "param": "param Re = 500, or drawn per sample: param c ~ uniform(0, 1)",
    "trainable": "trainable k = 1",
    "input": "input f : scalar on Omega ~ grf(length = 0.5)",
    "unknown": "unknown u : scalar on Omega",
    "in": "in Omega: lap(u) = f",
    "on": "on Gamma: u = g",
    "at": "at t = 0: u = u0, or at a point, at (0.5, 0.5): p = 0",
    "minimize": "minimize integral(psi, Omega)",
    "stationary": "stationary integral(L, Omega)",
    "require": "require J > 0 in Omega, or require integral(p, Omega) = 0",
    "output": "output force := integral(p*n, Gamma)",
    "data": 'data u on Omega from "measured.h5"',
    "reference": "reference u = sin(pi*x)",
}

HINTS = {
    "an expression": "a value is missing here, or the sign before it is one too many",
    "`=`": "an equation reads `left = right`",
    "an operator": "an expression goes on with + - * / ^, or the statement ends",
}

WORDING = {
    "DEFINE": "`:=`",
    "EQUALS": "`=`",
    "COLON": "`:`",
    "TILDE": "`~`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "RSQB": "`]`",
    "COMMA": "`,`",
    "STRING": 'a file name in "..."',
    "NUMBER": "a number",
    "COMPARE": "a comparison",
}


def _wanted(accepts: frozenset[str]) -> str:
    """The accepted terminals in words. Operators that could go on everywhere are left out while
    something else is wanted."""
    if "NABLA" in accepts:
        return "an expression"
    if "NAME" in accepts:
        return "a name"
    words = [WORDING[each] for each in WORDING if each in accepts and each != "LPAR"]
    words += [f"`{word}`" for word in sorted(RESERVED) if word.upper() in accepts]
    if not words:
        return "an operator" if "MULTIPLY" in accepts else "the end of the line"
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _open_brackets(tokens: tuple[Token, ...]) -> list[Token]:
    opened: list[Token] = []
    for token in tokens:
        if token.type in OPENING:
            opened.append(token)
        elif token.type in CLOSING and opened:
            opened.pop()
    return opened


def _fits(opening: Token, closing: Token) -> bool:
    return (opening.type, closing.type) in (("LPAR", "RPAR"), ("LSQB", "RSQB"))


def _operand_before(tokens: tuple[Token, ...]) -> str:
    """The text of the operand that ends the tokens: `grad(u)`, `2`, `v.x`."""
    start, level = len(tokens) - 1, 0
    while start >= 0:
        token = tokens[start]
        level += (token.type in CLOSING) - (token.type in OPENING)
        called = (
            level == 0
            and start > 0
            and token.type == "LPAR"
            and tokens[start - 1].type in ("NAME", "BOUNDARY", "AT")
        )
        attached = (
            level == 0
            and start > 0
            and (token.type in ("QUOTE", "SUPERSCRIPT", "DOT") or tokens[start - 1].type == "DOT")
        )
        if level <= 0 and not called and not attached:
            break
        start -= 1
    return _text(tokens[max(start, 0) :])


def _operand_after(tokens: tuple[Token, ...], position: int) -> str:
    """The text of the operand that begins at a position."""
    end, level = position, 0
    while end < len(tokens):
        level += (tokens[end].type in OPENING) - (tokens[end].type in CLOSING)
        end += 1
        following = tokens[end].type if end < len(tokens) else ""
        called = following == "LPAR" and tokens[end - 1].type in ("NAME", "BOUNDARY", "AT")
        if (
            level <= 0
            and not called
            and tokens[end - 1].type not in ("NABLA", "LAPLACIAN", "PARTIAL")
        ):
            break
    return _text(tokens[position:end])


def _text(tokens: tuple[Token, ...]) -> str:
    text = "".join(", " if token.type == "COMMA" else str(token) for token in tokens)
    return text if len(text) <= 40 else text[:37] + "..."


def _all(piece: Piece, source: Source) -> Span:
    return place(source, piece.tokens[0], piece.tokens[-1])


def _stray(piece: Piece, source: Source) -> Diagnostic:
    message = "this line is indented, and no block is open above it"
    hint = (
        "statements begin at the margin; an expression goes on over the next line inside brackets"
        " or after an operator"
    )
    return Diagnostic("S02", message, hint, span=_all(piece, source))


def _empty_block(piece: Piece, source: Source) -> Diagnostic:
    text = _text(piece.tokens[:1]) + " " + _text(piece.tokens[1:])
    hint = f"write it after the colon, `{text}: u = 0`, or indented on the lines below"
    return Diagnostic(
        "S02", f"the block `{text}` holds no equation", hint, span=_all(piece, source)
    )
