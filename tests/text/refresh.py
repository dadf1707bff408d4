"""Writes anew what is made from tables: the stored messages, here and on the page of diagnostics,
the editors' grammar, and the tables of shapes, operators and weights on the pages:
`python -m tests.text.refresh`. Read the diff before committing."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from pathlib import Path

import pdespec
from compiler.fem.meshing.mesh_report import report
from compiler.measurements.measured import refuse_wrong_files
from operators import WEIGHTS
from pdespec.errors import render_all
from pdespec.shapes.described import SHAPES, kinds
from pdespec.text.write.highlight import textmate
from pdespec.vocabulary import OPERATORS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "text" / "diagnostics"


def diagnostics(path: Path) -> tuple[pdespec.Diagnostic, ...]:
    """What is found in a malformed problem, in the mesh file that one named M.. reads, and in the
    files of measured values that one named D.. reads."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        problem = pdespec.parse(path.read_text(encoding="utf-8"), source=path.name)
        if path.stem.startswith("M"):
            report(problem)
        if path.stem.startswith("D"):
            refuse_wrong_files(problem)
        return problem.warnings
    except pdespec.ProblemError as error:
        return error.diagnostics
    finally:
        os.chdir(before)


def stored(path: Path) -> str:
    """What is said of a malformed problem."""
    return render_all(diagnostics(path)) + "\n"


def sentence(documented: object) -> str:
    """The first paragraph of a docstring, in one line of a table."""
    first = (inspect.getdoc(documented) or "").split("\n\n")[0]
    return " ".join(first.split()).replace("|", "\\|").rstrip(".")


def shapes() -> Iterable[str]:
    """Rows of the shapes that modules of `pdespec/shapes` define."""
    for word, shape in sorted(SHAPES.items()):
        called = [each.name for each in fields(shape) if each.default is MISSING]
        for each in fields(shape)[len(called) :]:
            value = list(each.default) if kinds(shape)[each.name].many else each.default
            called.append(f"{each.name} = {value}")
        yield f"| `{word}({', '.join(called)})` | {sentence(shape)} |"


def words() -> Iterable[str]:
    """Rows of the operators of the language."""
    for word in sorted(OPERATORS.values(), key=lambda each: each.name):
        if word.function is not None:  # forms of the grammar are told of by the page
            yield f"| `{word.usage}` | {sentence(word.function)} |"


def weights() -> Iterable[str]:
    """Rows of the weight functions, those of a test left out."""
    for name, weight in WEIGHTS.items():
        if not name.startswith("test_"):
            order = "all" if math.isinf(weight.smoothness) else weight.smoothness
            yield f"| `{name}` | {order} | {sentence(weight.function)} |"


TABLES: dict[str, tuple[str, Callable[[], Iterable[str]]]] = {
    "shapes": ("language.md", shapes),
    "words": ("language.md", words),
    "weights": ("operators.md", weights),
}
"""Tables of the pages that are made: the page each stands on, and its rows."""


def with_tables(name: str) -> str:
    """A page with its tables as they should be."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for table, (page, rows) in TABLES.items():
        if page == name:
            head = rf"(<!-- {table}: made .*?-->\n\n\|.*?\n\|[-|]+\n)(?:\|.*\n)*"
            made = "".join(f"{row}\n" for row in rows())
            text, count = re.subn(head, lambda found, made=made: found[1] + made, text)
            assert count == 1, f"{name} has {count} places for the table of {table}"
    return text


def refresh() -> None:
    """Overwrites every stored message, the grammar and the tables of the pages."""
    for name in sorted({page for page, _ in TABLES.values()}):
        (ROOT / "docs" / name).write_text(with_tables(name), encoding="utf-8")
    grammar = ROOT / "editors" / "pdespec.tmLanguage.json"
    grammar.write_text(json.dumps(textmate(), indent=2) + "\n", encoding="utf-8")
    messages = {path.name: stored(path) for path in sorted(FOLDER.glob("*.pde"))}
    for name, text in messages.items():
        (FOLDER / name).with_suffix(".txt").write_text(text, encoding="utf-8")

    def current(match: re.Match[str]) -> str:
        code, name = match["code"], match["name"]
        first = next(
            each
            for each in messages[name].rstrip("\n").split("\n\n")
            if f" {code}: " in each.splitlines()[0]
        )
        return f"```text\n{first}\n```"

    page = ROOT / "docs" / "diagnostics.md"
    pattern = r"```text\n(?P<name>\w+\.pde):\d+:\d+: \w+ (?P<code>\w\d\d): .*?```"
    page.write_text(
        re.sub(pattern, current, page.read_text(encoding="utf-8"), flags=re.S), encoding="utf-8"
    )


if __name__ == "__main__":
    refresh()
