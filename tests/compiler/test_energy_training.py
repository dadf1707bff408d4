"""Pores trained on their energy alone, in the demo preset with fewer channels: towards the
finite-element minimiser, in u and in energy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import compiler
import pdespec
from compiler.training.presets import preset

pytest.importorskip("netgen.occ", reason="the mesher netgen is an optional extra")

EXAMPLE = Path(__file__).parents[2] / "examples" / "hyperelastic_pores.pde"


def test_pores_approach_their_minimiser(tmp_path):
    # where nothing buckles
    text = EXAMPLE.read_text(encoding="utf-8").replace("uniform(0.2, 1.1)", "uniform(0.5, 0.8)")
    problem, demo = pdespec.parse(text), preset("demo")
    points = {**demo.options.points, "interior": 256, "operator": 512}
    options = dataclasses.replace(
        demo.options,
        steps=100,
        batch=2,
        points=points,
        error_estimate=False,
        weights={},
        references=0,
        validation=4,
        validate_every=100,
    )
    model = compiler.build(problem, demo.operator, **{**demo.model, "hidden": 16})
    run = compiler.train(problem, model, options, tmp_path / "run")
    found = compiler.evaluate(run.directory, 2, resolution=12, report=False)
    assert found.relative_l2["max"] < 0.4  # 1.24 after one step, 0.20 to 0.25 when this was written
    assert 0 < found.energy_gap["mean"] < 1.5  # 30 after one step, 0.68 when this was written
    assert run.history[-1]["validation violated require1"] == 0
    assert all(share == 0 for sample in found.samples for share in sample.violations.values())
