"""Damaged runs: a file of a trained run cut, changed, exchanged or taken away, then loaded and
resumed."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

import compiler
import pdespec
from compiler.training.checkpoint import load_run, load_tree, save_tree
from compiler.training.diagnosis import remarks
from compiler.training.options import OptionError, TrainOptions
from compiler.training.runs import RunError, open_run, sessions
from tests.fuzz.words import PROBLEM

OPTIONS = TrainOptions(
    steps=6,
    batch=2,
    points={"interior": 8, "boundary": 2, "operator": 8},
    validation=2,
    validate_every=2,
    log_every=1,
)
FILES = (
    "problem.pde",
    "run.json",
    "history.csv",
    "checkpoints/last.safetensors",
    "checkpoints/best.safetensors",
)
VALUES: tuple[Any, ...] = (
    None,
    0,
    -1,
    1e400,
    "x",
    "",
    [],
    {},
    [1, 2],
    {"a": 1},
    True,
    10**30,
    "\x1b[31m",
    float("nan"),
)


@functools.cache
def trained() -> Path:
    directory = Path(tempfile.mkdtemp()) / "run"
    torch.manual_seed(0)
    model = compiler.build(PROBLEM, "gino", latent=(16,), modes=4, hidden=4, layers=1)
    compiler.train(PROBLEM, model, OPTIONS, directory)
    return directory


def attempt(rng: random.Random) -> str:
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "run"
        shutil.copytree(trained(), directory)
        for _ in range(rng.choice([1, 1, 2])):
            _damage(directory, rng)
        before = _contents(directory)
        try:
            open_run(directory)
            run = load_run(directory, rng.choice(["last", "best"]))
            remarks(run.history)
            sessions(directory)
            if rng.random() < 0.3:
                compiler.train(run.problem, run.model.train(), run.options, directory, resume=True)
        except (RunError, pdespec.ProblemError, OptionError, OSError) as error:
            assert str(error)
            assert _contents(directory) == before, "changed"
            return f"refused {type(error).__name__}"
    return "accepted"


def _contents(directory: Path) -> dict[str, str]:
    files = (each for each in directory.rglob("*") if each.is_file() and each.name != ".lock")
    return {
        str(each.relative_to(directory)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in files
    }


def _damage(directory: Path, rng: random.Random) -> None:
    path = directory / rng.choice(FILES)
    if not path.is_file() or not path.stat().st_size:
        return  # by the damage before this one
    data, way = bytearray(path.read_bytes()), rng.random()
    if way < 0.1:
        path.unlink()
    elif way < 0.15:
        path.write_bytes(b"")
    elif way < 0.25:
        path.write_bytes(data[: rng.randrange(len(data))])
    elif way < 0.4:
        for _ in range(rng.choice([1, 8])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
    elif way < 0.45:
        path.write_bytes((trained() / "problem.pde").read_bytes())
    elif path.suffix == ".json":
        try:
            record = json.loads(data)
        except ValueError:  # damaged already
            return
        _changed(record, rng)
        path.write_text(json.dumps(record))
    elif path.suffix == ".safetensors":
        try:
            tree = load_tree(path)
            _changed(tree, rng)
            save_tree(path, tree)
        except (TypeError, RunError):  # what no checkpoint holds, or one that is damaged already
            path.unlink()
    else:
        lines = data.decode(errors="replace").splitlines() or [""]
        k = rng.randrange(len(lines))
        lines[k] = rng.choice(
            [
                ",".join(lines[k].split(",")[:-1]),
                lines[k] + ",x",
                "",
                lines[k].replace("0", "z", 1),
                lines[0],
            ]
        )
        path.write_text("\n".join(lines) + "\n")


def _changed(tree: Any, rng: random.Random) -> None:
    """One entry somewhere in a tree of mappings and lists becomes another value, or is taken
    away."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = tree[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.7:
            tree = inner
            continue
        if rng.random() < 0.3:
            del tree[key]
        else:
            tree[key] = rng.choice(VALUES)
        return
