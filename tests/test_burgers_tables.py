"""The experiments on tables 1 to 5 of the paper, at a scale of a step each: what they compare is
what they say, and what was measured is not measured again."""

from __future__ import annotations

import math

import pytest
import torch

pytestmark = pytest.mark.usefixtures("paper")


ROWS = {"table1": 15, "table2": 3, "table3": 3, "table4": 2, "table5": 4}


@pytest.mark.parametrize("name", ROWS)
def test_a_table_is_measured_once(name, paper, out, monkeypatch):
    table = paper(name)
    given = ["--scale", "demo", "--out", str(out / name)]
    rows = table.run(given)
    assert len(rows) == ROWS[name]
    assert all(math.isfinite(row["residual"]) for row in rows)
    assert all(0 < row["error"] < 2 for row in rows if row["operator"] != "truth")
    wanted = {"figure.png", "rows.csv", "rows.jsonl", "table.md"}
    assert wanted <= {each.name for each in (out / name).iterdir()}
    monkeypatch.setattr(table, "measure", None)
    assert table.run(given) == rows


def test_a_fit_is_the_same_whoever_asks(paper, out):
    """Equal cases of different tables."""
    burgers, alike = paper("burgers"), []
    for name in ("table2", "table3", "table4"):
        rows = paper(name).run(["--scale", "demo", "--out", str(out / name)])
        alike += [r for r in rows if r["on"] == "physics" and r["points"] == "grid"]
    assert len(alike) == 3 and len({row["error"] for row in alike}) == 1
    assert {row["derivatives"] for row in alike} == {burgers.USUAL["derivatives"]}


def test_differences_leave_less_of_the_truth_on_finer_grids(paper):
    burgers = paper("burgers")
    case = {"derivatives": "finite_difference", "instance": 0, "grid": None}
    coarse, fine = (burgers.truncation(case, grid)["residual"] for grid in ((64, 13), (256, 49)))
    assert coarse / 512 < fine < coarse / 32  # second order: about 4^4, squared


def test_noise_is_relative_to_the_mean_of_u(paper):
    burgers = paper("burgers")
    case = {**burgers.USUAL, "on": "both", "data": [1, 1], "noise": 0.2, "instance": 1, "seed": 0}
    points, clean, noisy = burgers.observed(case, burgers.GRID)
    assert points.shape == (3328, 2)
    level = float((noisy - clean).std() / clean.abs().mean())
    assert level == pytest.approx(0.2, rel=0.05)


def test_data_on_a_coarser_grid_hold_the_papers_points(paper):
    burgers = paper("burgers")
    case = {**burgers.USUAL, "data": [6, 3], "instance": 0, "seed": 0}
    points, clean, noisy = burgers.observed(case, burgers.GRID)
    assert len(points) == 22 * 9 == 198 and torch.equal(clean, noisy)
    assert points[:, 1].unique().tolist() == pytest.approx([0.12 * k for k in range(9)])


def test_points_that_are_drawn_are_those_of_the_grid(paper):
    burgers, grid = paper("burgers"), paper("burgers").points_of((16, 6))
    own = burgers.instance(0)
    sampler = burgers.OnGrid({}, {"u0": own.start}, points=grid, count=10)
    problem = burgers.example("burgers")
    one, two = (
        sampler(problem, 1, burgers.READ, torch.Generator().manual_seed(seed)) for seed in (1, 2)
    )
    for batch in (one, two):
        gaps = (batch.points["L"].points[0, :, None] - grid[0].float()).abs().sum(-1)
        assert gaps.amin(1).max() < 1e-6 and batch.points["L"].points.shape == (1, 10, 2)
    assert not torch.equal(one.points["L"].points, two.points["L"].points)
    assert torch.equal(one.inputs.points, two.inputs.points)
    later = burgers.on_grid(one, grid[:, grid[0, :, 1] > 0])  # no point at the start among them
    assert later.points["L@0"].points.shape == (1, 1, 2)
