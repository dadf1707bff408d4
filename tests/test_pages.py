"""Pages of the documentation that no test of their own looks at: their Python runs as it is
written, each page from its top."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTED = {  # by which test their blocks are run
    "answers": "tests/compiler/test_answers.py",
    "data": "tests/compiler/measurements/test_data_page.py",
    "language": "tests/text/test_docs.py",
    "operators": "tests/operators/test_operators_page.py",
    "running": "tests/compiler/test_running_page.py",
    "tutorial": "tests/test_examples.py",
}


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M)


PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if blocks(page)]


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
