"""The page on running: its Python block runs, and every option and entry it names exists."""

from __future__ import annotations

import re
from pathlib import Path

from compiler.training.balancers import BALANCERS
from compiler.training.optimizers import OPTIMIZERS, SCHEDULES
from compiler.training.options import CHOICES, option_names

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "running.md").read_text()


def test_the_python_blocks_run(tmp_path, monkeypatch):
    block = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.S))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    scope: dict = {}
    exec(block, scope)
    assert scope["run"].finished and 0 < scope["found"].relative_l2["mean"] < 10


def test_the_table_names_every_entry():
    table = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.M))
    for option, entries in (
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
        ("balancer", BALANCERS),
        ("precision", CHOICES["precision"]),
    ):
        assert option in option_names()
        assert set(entries) <= set(re.findall(r"`(\w+)`", table[option])), option


def test_every_key_that_is_set_exists():
    for key in re.findall(r"--set (\w+)", PAGE):
        assert key in {*option_names(), "model", "operator", "key"}, key
