"""The page on measured data runs as it is written, and names every kind of file that is read."""

from __future__ import annotations

import re
from pathlib import Path

from compiler.measurements.layouts import LAYOUTS
from compiler.measurements.readers import READERS

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_page_runs_as_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "docs/data.md", "exec"), scope)
    assert scope["run"].history[-1]["weight data.u"] == 100


def test_the_page_names_every_kind_of_file():
    table = PAGE.split("| file |")[1].split("\n\n")[0]
    assert set(READERS) == set(re.findall(r"`(\.\w+)`", table))


def test_the_page_names_every_layout():
    table = PAGE.split("| layout |")[1].split("\n\n")[0]
    shown = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert set(LAYOUTS) == shown
