"""Every block of the documentation: Python runs as it is written, each page from its top, by a test
of the page's own or here; problems are read; what is written for the command line is understood by
it; runs as files are those that it reads."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

import pdespec
from compiler.cli import _pairs, app
from compiler.training.options import TrainOptions, with_settings
from compiler.training.run_file import read_run_file

ROOT = Path(__file__).parents[1]
TESTED = {  # by which test their blocks are run
    "answers": "tests/compiler/test_answers.py",
    "data": "tests/compiler/measurements/test_data_page.py",
    "language": "tests/text/test_docs.py",
    "operators": "tests/operators/test_operators_page.py",
    "running": "tests/compiler/test_running_page.py",
    "tutorial": "tests/test_examples.py",
}


ALL = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str = "python") -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


PAGES = [page for page in ALL if blocks(page)]


@pytest.mark.parametrize(
    "page", [each for each in PAGES if each.stem not in TESTED], ids=lambda each: each.stem
)
def test_a_page_runs_as_it_is_written(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    scope = {"__name__": page.stem}
    for block in blocks(page):
        exec(compile(block, f"docs/{page.name}", "exec"), scope)


def test_the_other_pages_are_run_by_tests_of_their_own():
    for name, test in TESTED.items():
        assert ROOT / "docs" / f"{name}.md" in PAGES
        assert f"{name}.md" in (ROOT / test).read_text(encoding="utf-8"), name


def test_there_is_no_python_that_nothing_runs():
    """Under another name of the language, or indented."""
    for page in ALL:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"^ *```(py|python3|pycon)\b|^ +```python", text, re.M), page.name
        assert page.parent.name != "notes" or not blocks(page), page.name


def test_the_problem_of_the_front_page_is_the_example_of_its_name():
    (text,) = blocks(ROOT / "README.md", "pde")
    assert pdespec.parse(text) == pdespec.load(ROOT / "examples" / "nonlinear_poisson.pde")


def commands(page: Path) -> list[str]:
    """What a page has for the command line: lines of blocks, and words in the text that name more
    than a command."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.S | re.M))
    lines = re.findall(r"^(pdespec [a-z].*)$", fenced, re.M)
    lines += re.findall(r"^    (pdespec [a-z].*)$", text, re.M)
    lines = [re.split(r"\s+# |\s{2,}", line)[0] for line in lines if "import" not in line]
    return lines + re.findall(r"`(pdespec [a-z-]+ [^`\n]+)`", text)


COMMANDS = [(page, line) for page in ALL for line in commands(page)]


@pytest.mark.parametrize(
    ("page", "line"), COMMANDS, ids=[f"{page.stem}-{k}" for k, (page, _) in enumerate(COMMANDS)]
)
def test_the_command_line_understands_what_pages_write(page, line):
    group = typer.main.get_command(app)
    name, *words = shlex.split(line.replace("|DIR", ""))[1:]
    command = group.get_command(typer.Context(group), name)  # type: ignore[attr-defined]
    assert command is not None, line
    try:
        context = command.make_context(name, words)
    except Exception as error:  # of click, or of the copy of it that typer has
        if type(error).__name__ == "MissingParameter":
            return  # `pdespec explain --stage plan` in a sentence
        raise
    settings = _pairs("--set", context.params.get("settings") or [])
    asked = {k: v for k, v in settings.items() if not re.match(r"key$|operator$|model\.", k)}
    with_settings(TrainOptions(), asked)


def test_there_are_commands_in_the_pages():
    assert len(COMMANDS) > 40
    assert {"train", "solve", "sweep", "export"} <= {line.split()[1] for _, line in COMMANDS}


def test_runs_as_files_are_read_as_they_are_written(tmp_path):
    page = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    found = re.findall(r"^    # (\w+\.toml)(.*?)^(?=\S)", page, re.S | re.M)
    assert [name for name, _ in found] == ["run.toml", "sweep.toml"]
    (tmp_path / "poisson.pde").write_bytes(
        (ROOT / "examples" / "nonlinear_poisson.pde").read_bytes()
    )
    for name, text in found:
        (tmp_path / name).write_text(
            f"# {name}" + re.sub(r"^    ", "", text, flags=re.M), encoding="utf-8"
        )
        asked = read_run_file(tmp_path / name)
        assert asked.load().name == "nonlinear_poisson"
        with_settings(TrainOptions(), {k: v for k, v in asked.settings.items() if "model" not in k})
    assert asked.sweep["trials"] == 20
