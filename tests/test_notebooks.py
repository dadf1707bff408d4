"""The notebooks run from top to bottom as they are written, their assertions among it, and are kept
with what they print and draw."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg", force=True)  # no window
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def code_of(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_what_it_asserts_holds(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": path.stem}
    drawn = 0
    for number, cell in enumerate(code_of(path), 1):
        exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), scope)
        drawn += len(plt.get_fignums())
        plt.close("all")
    assert drawn > 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_as_it_was_executed(path):
    outputs = [each for cell in code_of(path) for each in cell["outputs"]]
    assert all(cell["execution_count"] for cell in code_of(path))
    assert not [each for each in outputs if each["output_type"] == "error"]
    assert any("image/png" in each.get("data", {}) for each in outputs)
    assert "/" not in "".join(  # no path of the machine in a warning
        line for each in outputs if each.get("name") == "stderr" for line in each["text"]
    )


def test_the_notebooks_are_linked_from_the_front_page_and_the_site():
    assert len(NOTEBOOKS) >= 3
    front, site = (ROOT / "README.md").read_text(), (ROOT / "mkdocs.yml").read_text()
    for path in NOTEBOOKS:
        assert f"docs/notebooks/{path.name}" in front
        assert f"notebooks/{path.stem}.md" in site
