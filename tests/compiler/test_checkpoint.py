"""Checkpoints come back as they went in, or are refused with a reason."""

from __future__ import annotations

import json
import os

import pytest
import torch

import compiler
import pdespec
from compiler import files
from compiler.training.checkpoint import load_tree, save_tree
from compiler.training.runs import RunError

TREE = {
    "weights": {
        "a": torch.randn(3, 2),
        "empty": torch.zeros(0),
        "scalar": torch.tensor(3),
        "double": torch.randn(2, dtype=torch.float64),
    },
    "complex": torch.randn(2, 3, dtype=torch.complex128),
    0: [1, 2.5, None, True, "text", (1, (0.1, float("inf")))],
}


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return (
            type(a) is type(b)
            and len(a) == len(b)
            and all(same(x, y) for x, y in zip(a, b, strict=True))
        )
    return type(a) is type(b) and a == b


def test_a_tree_comes_back_as_it_went_in(tmp_path):
    save_tree(tmp_path / "x", TREE)
    assert same(load_tree(tmp_path / "x"), TREE)


def test_tensors_that_share_memory_are_stored(tmp_path):
    tied = torch.randn(4)
    save_tree(tmp_path / "x", [tied, tied[:2], tied.expand(2, 4).T])
    found = load_tree(tmp_path / "x")
    assert torch.equal(found[1], tied[:2]) and torch.equal(found[2], tied.expand(2, 4).T)


def test_a_value_that_would_need_pickle_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(TypeError, match="cannot hold set"):
        save_tree(tmp_path / "x", {"a": {1, 2}})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 1, 7, 100, -1])
def test_a_file_cut_short_is_named_and_refused(tmp_path, keep):
    path = tmp_path / "x.safetensors"
    save_tree(path, TREE)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"x\.safetensors is damaged"):
        load_tree(path)


def test_one_flipped_bit_in_the_data_is_noticed(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tree(path, TREE)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match="do not match their digest"):
        load_tree(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match="there is no checkpoint"):
        load_tree(tmp_path / "x")


def test_another_safetensors_file_is_not_taken_for_a_checkpoint(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "x")
    with pytest.raises(RunError, match="not a checkpoint of this program"):
        load_tree(tmp_path / "x")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    files.write_atomically(path, b"old")

    def broken(handle):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("equation", "condition", "written", "before"),
    [
        ("dxx(u) = a", "u = 0", None, "scaled the output of a network otherwise"),
        ("dx(u)^2 - dxx(u)/20 = 1 + a/100", "u = 0", 2, "scaled the output of a network otherwise"),
        ("dxx(u) = a", "u = a", 3, "left the conditions of positive unknowns to the loss"),
        ("u - dxx(u) = a", "dn(u) = 0", 4, "told an operator nothing of the sources"),
        (
            "lap(u) = a*f",
            "u = 0",
            4,
            "laid the nodes of an operator without regard to lengths of inputs",
        ),
        ("dxx(u) = a", "u = 0", 4, None),
    ],
)
def test_a_run_of_a_build_with_another_ansatz_is_refused(
    tmp_path, equation, condition, written, before
):
    drawn = "f" in equation
    place = (
        "space x, y\ndomain L = rectangle([0, 0], [10, 1])\ninput f : scalar on L ~"
        " grf(length = 0.3)"
        if drawn
        else "space x\ndomain L = interval(0, 1)"
    )
    problem = pdespec.parse(
        f"problem rod\n{place}\nparam a ~ uniform(1, 2)\nunknown u : scalar on"
        f" L{' > 0' if condition == 'u = a' else ''}\nin L: {equation}\non boundary(L):"
        f" {condition}\n"
    )
    grid = {} if drawn else {"latent": (12,)}
    model = compiler.build(problem, "gino", **grid, modes=3, hidden=4, layers=1)
    options = compiler.TrainOptions(
        steps=1, batch=1, points={"interior": 8, "operator": 8}, validation=0
    )
    run = compiler.train(problem, model, options, tmp_path / "run")
    compiler.load(run.directory)
    file = run.directory / "run.json"
    record = json.loads(file.read_text())
    record["format"] = written
    if written is None:
        del record["format"]
    file.write_text(json.dumps(record))
    if before is None:
        compiler.load(run.directory)
        return
    for use in (
        lambda: compiler.load(run.directory),
        lambda: compiler.train(problem, model, options, run.directory, resume=True),
    ):
        with pytest.raises(RunError, match=f"older build, which {before} in"):
            use()


def test_an_older_function_of_position_without_built_in_conditions_is_loaded(tmp_path):
    problem = pdespec.parse(
        "problem rod\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
        "in L: u - dxx(u) = 1\non boundary(L): dn(u) = 0\n"
    )
    model = compiler.build(problem, "pinn", hidden=(4,))
    options = compiler.TrainOptions(
        steps=1, batch=1, points={"interior": 8, "operator": 8}, validation=0, level=False
    )
    run = compiler.train(problem, model, options, tmp_path / "run")
    file = run.directory / "run.json"
    record = {**json.loads(file.read_text()), "format": 4}
    del record["options"]["level"]  # there was none
    file.write_text(json.dumps(record))
    points = torch.linspace(0, 1, 5)[:, None]
    batch = compiler.instance(problem, level=False)
    again = compiler.load(run.directory).run.model(batch.inputs)(points[None])
    assert torch.equal(again, model(batch.inputs)(points[None]))
