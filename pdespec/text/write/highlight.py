"""Colours for `.pde` files: a Pygments lexer, and the TextMate grammar that editors read. Both are
made from the word tables.

The Pygments lexer is registered as an entry point, so that `pygmentize`, Sphinx and MkDocs know the
language once pdespec is installed. `editors/pdespec.tmLanguage.json` holds what `textmate()`
returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text

from pdespec.text.read.regions import LAWS
from pdespec.words import (
    COMPLEX,
    CONSTANTS,
    FUNCTIONS,
    OPERATORS,
    PARTICLES,
    RANKS,
    REGIONS,
    SHAPES,
    STATEMENTS,
    YIELDING,
)

LETTER = "A-Za-z_\u00b5\u0391-\u0393\u0395-\u03c9\u03d1\u03d5\u03f5\u2126"
NAME = f"[{LETTER}][{LETTER}0-9\u2080-\u2089]*"
NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?:[ij](?![A-Za-z0-9_(]))?"
BUILTINS = [*OPERATORS, *FUNCTIONS, *YIELDING]
PLACES = [*SHAPES, *(each for each in REGIONS if each not in OPERATORS), *LAWS]


class PdespecLexer(RegexLexer):
    """Pygments lexer of the pdespec language."""

    name = "pdespec"
    aliases = ["pde", "pdespec"]
    filenames = ["*.pde"]
    url = "https://en.wikipedia.org/wiki/Partial_differential_equation"

    tokens = {
        "root": [
            (rf"^([ \t]+)({NAME})(\s*)(:)(?!=)", bygroups(Text, Name.Label, Text, Punctuation)),
            (r"\n|[^\S\n]+", Text),
            (r"#.*", Comment.Single),
            (r'"[^"\n]*"', String),
            (r"`[^`\n]+`", Name.Variable),
            (words(BUILTINS, prefix=r"\b", suffix=r"(?=\s*\()"), Name.Builtin),
            (words(PLACES, prefix=r"\b", suffix=r"(?=\s*\()"), Name.Function),
            (r"\bd[A-Za-z]*(?=\()", Name.Builtin),
            (words(STATEMENTS + PARTICLES, prefix=r"\b", suffix=r"\b"), Keyword),
            (words([*RANKS, COMPLEX], prefix=r"\b", suffix=r"\b"), Keyword.Type),
            (words(CONSTANTS, prefix=r"\b", suffix=r"\b"), Name.Constant),
            (NUMBER, Number),
            (NAME, Name),
            (
                r":=|<=|>=|\*\*|[-+*/^=<>~&'\u2212\u00b7\u22c5\u00d7\u2264\u2265\u2070\u00b9\u00b2\u00b3\u2074-\u2079]",
                Operator,
            ),
            (r"[\u2207\u0394\u2206\u2202]", Name.Builtin),
            (r"[()\[\],.:;]", Punctuation),
        ]
    }


def textmate() -> dict[str, Any]:
    """The TextMate grammar of the language, for VS Code and other editors."""

    def either(table: Sequence[str]) -> str:
        return "|".join(sorted(table, key=lambda word: (-len(word), word)))

    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "pdespec",
        "scopeName": "source.pde",
        "fileTypes": ["pde"],
        "patterns": [
            {"name": "comment.line.number-sign.pde", "match": "#.*$"},
            {"name": "string.quoted.double.pde", "match": '"[^"\\n]*"'},
            {"name": "variable.other.quoted.pde", "match": "`[^`\\n]+`"},
            {
                "match": f"^\\s+({NAME})\\s*(:)(?!=)",
                "captures": {"1": {"name": "entity.name.label.pde"}},
            },
            {
                "name": "support.function.operator.pde",
                "match": f"\\b(?:{either(BUILTINS)})(?=\\s*\\()",
            },
            {"name": "support.function.derivative.pde", "match": "\\bd[A-Za-z]*(?=\\s*\\()"},
            {"name": "support.function.region.pde", "match": f"\\b(?:{either(PLACES)})(?=\\s*\\()"},
            {"name": "keyword.control.pde", "match": f"\\b(?:{either(STATEMENTS + PARTICLES)})\\b"},
            {"name": "storage.type.pde", "match": f"\\b(?:{either([*RANKS, COMPLEX])})\\b"},
            {"name": "constant.language.pde", "match": f"\\b(?:{either(CONSTANTS)})\\b"},
            {"name": "constant.numeric.pde", "match": f"(?<![A-Za-z0-9_]){NUMBER}"},
            {"name": "keyword.operator.definition.pde", "match": ":="},
            {
                "name": "keyword.operator.pde",
                "match": "<=|>=|\\*\\*|[-+*/^=<>~&'\u2207\u0394\u2202\u00b7\u00d7]",
            },
        ],
    }
