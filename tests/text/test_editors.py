"""The editors' grammars know the words of the lark grammar, neither fewer nor more."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from lark.lexer import PatternStr
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import Comment, Error, Keyword, Name

from pdespec.text.read import calls, regions
from pdespec.text.syntax.parser import grammar
from pdespec.text.write import highlight
from pdespec.vocabulary import CALLED
from pdespec.words import (
    BUILTINS,
    CONSTANTS,
    FUNCTIONS,
    OPERATORS,
    PARTICLES,
    REGIONS,
    SHAPES,
    STATEMENTS,
    YIELDING,
)

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.pde"))


def test_the_word_table_holds_the_words_of_the_grammar():
    terminals = {
        terminal.pattern.value
        for terminal in grammar().terminals
        if isinstance(terminal.pattern, PatternStr)
    }
    assert {word for word in terminals if word.isalpha()} == set(STATEMENTS) | set(PARTICLES)


def test_the_word_table_holds_the_operators_that_can_be_called():
    callable_names = set(CALLED) | set(calls.HANDLERS)
    functions = set(FUNCTIONS) | set(YIELDING)
    assert callable_names - {"d", "at"} == (set(OPERATORS) - {"dt"}) | functions | set(
        SHAPES
    ) | set(REGIONS) | set(regions.LAWS)
    assert set(OPERATORS) | set(FUNCTIONS) | set(CONSTANTS) == BUILTINS


def test_the_stored_textmate_grammar_is_the_current_one():
    stored = json.loads((ROOT / "editors" / "pdespec.tmLanguage.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(highlight.textmate())), (
        "write it anew as editors/README.md says"
    )


def test_the_patterns_of_the_textmate_grammar_are_regular_expressions():
    for pattern in highlight.textmate()["patterns"]:
        re.compile(pattern["match"])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_pygments_colours_every_token_of_an_example(path):
    text = path.read_text(encoding="utf-8")
    tokens = list(highlight.PdespecLexer().get_tokens(text))
    assert not [value for kind, value in tokens if kind is Error]
    keywords = {
        value
        for kind, value in tokens
        if kind in Keyword and value not in ("scalar", "vector", "tensor")
    }
    assert "problem" in keywords and keywords <= set(STATEMENTS) | set(PARTICLES)
    assert any(kind in Comment for kind, _ in tokens)


def test_pygments_finds_the_lexer_by_name_and_by_file():
    assert get_lexer_by_name("pdespec").name == "pdespec"
    assert get_lexer_for_filename("burgers.pde").name == "pdespec"


def test_pygments_knows_what_a_word_is_for():
    tokens = {
        value: kind
        for kind, value in highlight.PdespecLexer().get_tokens(
            "in Omega:\n    mass: dt(rho) + div(v) = dxx(u)\n"
        )
    }
    assert tokens["in"] is Keyword
    assert tokens["mass"] is Name.Label
    assert tokens["div"] is Name.Builtin
    assert tokens["rho"] is Name
