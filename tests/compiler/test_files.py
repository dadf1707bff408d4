"""Files are written whole, through no link, and by one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compiler.files import Busy, append, forget_drafts, held, write_atomically
from compiler.measurements.readers import read
from compiler.prediction.columns import read_points, write_columns
from compiler.training.runs import RunError, column, refuse_links

ROOT = Path(__file__).parents[2]


def test_a_link_at_the_place_is_replaced_and_what_it_points_to_stays(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "evaluation.json").symlink_to(mine)
    write_atomically(tmp_path / "evaluation.json", b"{}")
    assert mine.read_text() == "mine"
    assert (
        not (tmp_path / "evaluation.json").is_symlink()
        and (tmp_path / "evaluation.json").read_bytes() == b"{}"
    )


def test_a_link_with_the_name_of_a_draft_is_not_written_through(tmp_path, monkeypatch):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda count: "token")
    (tmp_path / ".x.token.tmp").symlink_to(mine)
    (tmp_path / ".x.tmp").symlink_to(mine)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "x", b"other")
    monkeypatch.undo()
    write_atomically(tmp_path / "x", b"other")
    assert mine.read_text() == "mine"


def test_nothing_is_added_through_a_link(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "history.csv").symlink_to(mine)
    with pytest.raises(OSError, match="."):
        append(tmp_path / "history.csv", "1,2\n")
    assert mine.read_text() == "mine"


def test_files_have_the_mode_that_the_user_gives_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_drafts_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    for name in (".last.safetensors.0123456789abcdef.tmp", ".notes.tmp", "a.tmp", "x"):
        (tmp_path / name).write_text("")
    forget_drafts(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".notes.tmp", "a.tmp", "x"]


def test_a_directory_is_held_by_one_process_at_a_time(tmp_path):
    script = (
        "import sys; from pathlib import Path; from compiler.files import held\nwith"
        " held(Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with held(tmp_path):
        with pytest.raises(Busy), held(tmp_path):
            pass
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert found.returncode == 1 and "Busy" in found.stderr
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", ["checkpoints", "pictures", "solved"])
def test_a_run_whose_folder_leads_elsewhere_is_refused(name, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link"):
        refuse_links(tmp_path / "run")


@pytest.mark.parametrize(
    "name",
    [
        "seconds",
        "error",
        "prediction",
        "weight x",
        "violated x",
        "validation x",
        "=1+1",
        "@x",
        "-x",
    ],
)
def test_names_never_take_the_column_of_another_value_nor_are_formulas(name):
    assert column(name) == f"`{name}`"


def test_a_plain_name_is_its_own_column():
    assert column("balance") == "balance"


@pytest.mark.parametrize("kind", [".csv", ".npz", ".h5"])
def test_tables_come_back_and_replace_a_link(kind, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    path = tmp_path / f"prediction{kind}"
    path.symlink_to(mine)
    write_columns(path, {"x": np.array([0.0, 0.5]), "u": np.array([1.0, 1 / 3])})
    assert mine.read_text() == "mine"
    found = read(path).values
    assert list(found["x"]) == [0.0, 0.5] and list(found["u"]) == [1.0, 1 / 3]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": np.zeros(3)}, "has no column 'y'; the points need x, y, it has x"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, r"x \(3,\), y \(4,\); points are columns"),
        ({"x": np.zeros(3), "y": np.array(["a", "b", "c"])}, "columns of numbers"),
        ({"x": np.zeros((3, 1)), "y": np.zeros((3, 1))}, "points are columns"),
    ],
)
def test_points_that_are_no_columns_are_refused(tmp_path, columns, message):
    np.savez(tmp_path / "at.npz", **columns)
    with pytest.raises(RunError, match=message):
        read_points(tmp_path / "at.npz", ["x", "y"])
