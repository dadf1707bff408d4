"""The pages about the language hold what they show: their blocks are executed, their messages
are the real ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pdespec
from pdespec.errors import render_all
from pdespec.text.read.regions import LAWS
from pdespec.vocabulary import WORDS
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

from .refresh import TABLES, with_tables

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```([a-z ]+)\n(.*?)^```$", PAGE, re.S | re.M)
PROBLEMS = [body for kind, body in BLOCKS if kind == "pde"]


@pytest.mark.parametrize("text", PROBLEMS, ids=lambda text: text.split()[1])
def test_a_problem_of_the_page_is_one(text):
    problem = pdespec.parse(text)
    # which says what is done, not that something is wrong
    assert {each.code for each in problem.warnings} <= {"J01", "J04"}
    assert pdespec.parse(problem.to_dsl()) == problem
    assert problem.residuals()


def test_the_python_blocks_of_the_page_run(tmp_path, monkeypatch):
    """As a reader would run them who has put each problem into a file of its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    names: dict[str, object] = {}
    for kind, body in BLOCKS:
        if kind == "pde":
            (tmp_path / f"{body.split()[1]}.pde").write_text(body, encoding="utf-8")
        elif kind == "python":
            exec(compile(body, "docs/language.md", "exec"), names)


def test_the_message_of_the_page_is_the_real_one():
    (wrong,) = [body for kind, body in BLOCKS if kind == "pde wrong"]
    (shown,) = [body for kind, body in BLOCKS if kind == "text"]
    with pytest.raises(pdespec.ProblemError) as caught:
        pdespec.parse(wrong, source="flow.pde")
    assert render_all(caught.value.diagnostics) + "\n" == shown


def test_the_page_names_every_word_of_the_language():
    last = PAGE.split("## All words")[1]
    assert set(STATEMENTS + PARTICLES) <= set(re.findall(r"\w+", last))
    shown = " ".join(re.findall(r"`[^`\n]+`|^```.*?^```$", PAGE, re.S | re.M))
    others = [*RANKS, COMPLEX, *OPERATORS, *FUNCTIONS, *YIELDING, *CONSTANTS, *SHAPES, *REGIONS]
    words = {*STATEMENTS, *PARTICLES, *others, *LAWS}
    assert words - set(re.findall(r"\w+", shown)) == set()
    # forms of the grammar have no row that is made: the text tells of them
    told = re.sub(r"<!-- words: .*", "", shown, flags=re.S)
    forms = {name for name, word in WORDS.items() if word.function is None}
    assert forms - set(re.findall(r"\w+", told)) == set()
    used = {word for text in PROBLEMS for word in re.findall(r"\w+", text)}
    assert set(STATEMENTS) - used == {"stationary"}


def test_every_block_of_the_page_is_looked_at():
    assert {kind for kind, _ in BLOCKS} == {"pde", "pde wrong", "python", "text"}
    assert PAGE.count("```") == 2 * len(BLOCKS)


@pytest.mark.parametrize("name", sorted({page for page, _ in TABLES.values()}))
def test_the_tables_of_a_page_are_those_of_the_registries(name):
    stored = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert stored == with_tables(name), "write them anew: python -m tests.text.refresh"


DIAGNOSTICS = (ROOT / "docs" / "diagnostics.md").read_text(encoding="utf-8")
STORED = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parent / "diagnostics").glob("*.txt"))
}


def test_every_message_on_the_page_of_diagnostics_is_a_stored_one():
    sections = re.findall(r"^### ([A-Z]\d\d): .*?^```text\n(.*?)^```$", DIAGNOSTICS, re.S | re.M)
    assert len(sections) == len(re.findall(r"^### [A-Z]\d\d: ", DIAGNOSTICS, re.M)) > 20
    for code, shown in sections:
        assert f" {code}: " in shown.splitlines()[0]
        assert any(shown in stored for stored in STORED.values()), code


def test_every_code_in_the_sources_is_documented():
    sources = [
        path.read_text(encoding="utf-8")
        for folder in ("pdespec", "compiler")
        for path in (ROOT / folder).rglob("*.py")
    ]
    codes = {code for source in sources for code in re.findall(r'"([STWVNBPRJMFD]\d\d)"', source)}
    assert len(codes) > 50
    told = {
        code for code in codes if re.search(rf"^(### {code}: |\| {code} \|)", DIAGNOSTICS, re.M)
    }
    assert codes - told == set()
