"""The command line in this process, what it is given, and what it leaves on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from compiler.cli import app
from tests.texts import LINE

FILE = """
problem = "problems/line.pde"
out = "runs/line"

[options]
steps = 2
batch = 2
lr = "1e-2"
clip = "none"
validation = 2
references = 1
validate_every = 1
dual = "none"
weights = {boundary = 2}
points.interior = 16
points.boundary = 2
points.operator = 8

[model]
latent = [8]
modes = 2
hidden = 4
layers = 1
"""
"""A run of `texts.LINE` that takes a moment."""


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def run_folder(folder: Path, name: str = "run.toml", more: str = "") -> Path:
    """The folder with the file of a run, to which `more` is added, and its problem."""
    (folder / "problems").mkdir()
    (folder / "problems" / "line.pde").write_text(LINE)
    (folder / name).write_text(FILE + more)
    return folder


def contents(directory: Path) -> dict[str, str]:
    """A fingerprint of every file below a directory."""
    return {
        str(each.relative_to(directory)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in directory.rglob("*")
        if each.is_file()
    }
