"""Writes the stored messages anew, here and on the page of diagnostics, and the editors' grammar:
`python -m tests.text.refresh`. Read the diff before committing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pdespec
from compiler.fem.meshing.mesh_report import report
from compiler.measurements.measured import refuse_wrong_files
from pdespec.errors import render_all
from pdespec.text.write.highlight import textmate

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


def refresh() -> None:
    """Overwrites every stored message and the grammar."""
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
