"""Data sets: their numbers are those of `sample` and `solve`, whoever computes them, and what is
there is not computed again."""

from __future__ import annotations

import os
import signal

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import compiler
import pdespec
from compiler.chance import seeded
from compiler.cli import app
from compiler.datasets import SHARD, DatasetError, dataset
from compiler.workers import Workers

TEXT = """
problem diffusion
space x, y
domain Q = rectangle([0, 0], [1, 1])
boundary top = side(Q, y = 1), rim = rest(Q)
param k ~ uniform(1, 2)
input f : scalar on Q ~ grf(sigma = 1, length = 0.3)
input g : vector on top ~ grf(sigma = 1, length = 0.3)
unknown u : scalar on Q, v : vector on Q
in Q: -k*lap(u) = f
in Q: -lap(v) = [f, u]
on rim: u = 0; v = 0
on top: u = 0; v = g*x*(1 - x)
output mean := integral(u, Q)
output flux := grad(u)
"""
SMALL = {"resolution": 4, "points": 50}


@pytest.fixture(scope="module")
def problem():
    return pdespec.parse(TEXT)


def test_a_sample_is_that_of_sample_and_solve(problem, tmp_path):
    found = dataset(problem, 2, tmp_path, seed=3, **SMALL)
    assert len(found) == 2 and found.problem == problem
    batch = compiler.sample(
        problem,
        1,
        {"interior": 50, "operator": 1},
        seeded(3, "dataset", 1),
        dtype=torch.float64,
        hard_conditions=False,
    )
    truth = compiler.solve(problem, batch, resolution=4)
    points = batch.points["Q"].points
    one = found[1]
    assert np.array_equal(one.points, points[0].numpy())
    assert np.array_equal(one.unknowns["u"], truth(points)[0, :, 0].numpy())
    assert np.array_equal(one.unknowns["v"], truth(points)[0, :, 1:].numpy())
    assert float(one.params["k"]) == float(batch.params["k"][0])
    at, values = one.inputs["g"]
    assert values.shape == (128, 2) and np.all(at[:, 1] == 1)
    assert np.array_equal(one.inputs["f"][0], one.points)
    assert one.outputs.keys() == {"mean"}
    assert float(one.outputs["mean"]) == float(compiler.outputs(problem, truth, batch)["mean"])


def test_workers_write_the_same_bytes(problem, tmp_path):
    one = dataset(problem, 3, tmp_path / "one", **SMALL)
    two = dataset(problem, 3, tmp_path / "two", workers=2, **SMALL)
    assert one.key == two.key
    for mine, theirs in zip(one.directory.glob("*.h5"), two.directory.glob("*.h5"), strict=True):
        assert mine.name == theirs.name and mine.read_bytes() == theirs.read_bytes()


def test_what_is_there_is_not_solved_again(problem, tmp_path, monkeypatch):
    found = dataset(problem, SHARD + 1, tmp_path, **SMALL)
    first, last = sorted(tmp_path.glob("*.h5"))
    kept = first.stat().st_mtime_ns
    last.unlink()
    done: list[int] = []
    again = dataset(problem, SHARD + 1, tmp_path, display=done.append, **SMALL)
    assert done == [SHARD, SHARD + 1] and first.stat().st_mtime_ns == kept
    assert np.array_equal(again[SHARD].unknowns["u"], found[SHARD].unknowns["u"])
    more = dataset(problem, SHARD + 2, tmp_path, **SMALL)  # a file that has too few is made anew
    assert np.array_equal(more[SHARD].unknowns["u"], found[SHARD].unknowns["u"])


def test_another_seed_or_option_has_files_of_its_own(problem, tmp_path):
    keys = {
        dataset(problem, 1, tmp_path, **{**SMALL, **other}).key
        for other in ({}, {"seed": 1}, {"resolution": 5}, {"points": 51})
    }
    assert len(keys) == len(list(tmp_path.glob("*.h5"))) == 4


def test_a_sample_without_a_solution_is_kept_with_its_reason(tmp_path):
    problem = pdespec.parse("""
problem steep
space x
domain L = interval(0, 1)
param a ~ uniform(0, 8)
unknown u : scalar on L
in L: -dxx(u) = a*exp(u)
on boundary(L): u = 0
""")  # Bratu: none beyond a = 3.51
    found = dataset(problem, 6, tmp_path, resolution=8, points=9)
    failed = [each for each in map(found.__getitem__, range(6)) if each.failed]
    assert 0 < len(failed) < 6 and len(list(found)) == 6 - len(failed)
    assert all("Newton" in each.failed or "converge" in each.failed for each in failed)


def test_damage_is_said(problem, tmp_path):
    found = dataset(problem, 1, tmp_path, **SMALL)
    (path,) = tmp_path.glob("*.h5")
    with h5py.File(path, "a") as file:
        del file["0/points"]
    with pytest.raises(DatasetError, match="is damaged"):
        found[0]
    path.write_bytes(b"no file")
    with pytest.raises(DatasetError, match="remove it to solve it again"):
        dataset(problem, 1, tmp_path, **SMALL)


def test_the_command_says_what_it_wrote(problem, tmp_path):
    path = tmp_path / "p.pde"
    path.write_text(problem.to_dsl())
    words = ["dataset", str(path), "--out", str(tmp_path / "d"), "--quiet", "--resolution", "4"]
    done = CliRunner().invoke(app, [*words, "--samples", "2", "--points", "9"])
    assert done.exit_code == 0 and "2 of 2 samples in" in done.output, done.output
    wrong = CliRunner().invoke(app, [*words, "--samples", "2", "--scheduler", "tcp://127.0.0.1:9"])
    assert wrong.exit_code == 1 and "no Dask scheduler" in wrong.output


def test_a_cluster_gives_the_same_bytes_though_a_worker_is_killed(problem, tmp_path):
    distributed = pytest.importorskip("distributed")
    one = dataset(problem, 4, tmp_path / "one", **SMALL)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        victim = next(iter(client.run(os.getpid).values()))
        killed: list[int] = []

        def display(done: int) -> None:
            if done == 1 and not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        workers = Workers(scheduler=cluster.scheduler_address)
        two = dataset(problem, 4, tmp_path / "two", workers=workers, display=display, **SMALL)
    assert killed
    for mine, theirs in zip(one.directory.glob("*.h5"), two.directory.glob("*.h5"), strict=True):
        assert mine.read_bytes() == theirs.read_bytes()


def test_points_can_be_the_nodes_of_the_reference_mesh(problem, tmp_path):
    (one,) = dataset(problem, 1, tmp_path, at="nodes", resolution=4)
    mesh = (
        compiler.solve(
            problem,
            compiler.sample(problem, 1, generator=seeded(0, "dataset", 0), dtype=torch.float64),
            resolution=4,
        )
        .samples[0]
        .spaces.mesh
    )
    assert np.array_equal(one.points, mesh.p.T)
    edge = np.isclose(one.points[:, 0], 0)
    assert np.abs(one.unknowns["u"][edge]).max() < 1e-12
    with pytest.raises(DatasetError, match="one of uniform, nodes"):
        dataset(problem, 1, tmp_path, at="node")
