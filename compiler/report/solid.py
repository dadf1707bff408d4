"""A body in space as a picture: its surface with an eighth cut out, or where a displacement takes
it. Drawn by PyVista, an extra."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compiler.arrays import Array
from compiler.evaluation.result import Sample
from compiler.fem import Solution
from compiler.fem.export.vtk import VTK, cell_of
from compiler.report.displacement import displacement
from compiler.report.labels import labelled
from compiler.report.plot_grid import lengths, rows_of
from pdespec.statements.problem import Problem

PANEL = (480, 420)  # pixels
SCENE = Path(__file__).with_name("scene.py")
PATIENCE = 120  # seconds that a picture may take
MISSING = (
    "For a view of the body from outside, install PyVista (pip install 'pdespec[viz]') and evaluate"
    " again."
)


def is_solid(problem: Problem, sample: Sample) -> bool:
    """Whether a sample is a body in space with a reference on a mesh, which PyVista can draw."""
    return len(problem.coordinates) == 3 and isinstance(sample.truth, Solution)


def solid_picture(problem: Problem, sample: Sample) -> bytes | None:
    """A PNG of operator, reference and error, a row for each component, at the last time; a
    displacement whole, by its length, on the body where it goes. None without PyVista, or where it
    cannot draw."""
    if not has_pyvista():
        return None
    moving = displacement(problem)
    mesh = sample.truth.samples[0].spaces.mesh
    kind, _ = VTK[cell_of(mesh), 1]
    points = np.ascontiguousarray(mesh.p.T)
    sign = 1.0 if sample.sign is None else sample.sign[0].double().cpu().numpy()
    own = sign * _values(problem, sample, sample.field, points)
    right = _values(problem, sample, sample.truth, points)
    rows, arrays = [], {"rest": points, "cells": mesh.t.T[:, : mesh.elem.refdom.nnodes]}
    named = rows_of(problem, moving)
    shift = None if moving is None else named[f"|{moving.name}|"]
    for k, (name, row) in enumerate(named.items()):
        a, b, gap = (lengths(each[:, row]) for each in (own, right, own - right))
        gap = np.abs(gap)  # of one component, too
        limits = [float(b.min()), float(max(b.max(), b.min() + 1e-12))]
        unit = labelled(name, problem).removeprefix(name)
        bare = name.strip("|")  # VTK cuts at `|`
        title = f"{bare}{unit}" if shift is None else f"length of {bare}{unit}"
        panels = (
            (f"{title}, operator", a, own, limits, "viridis"),
            (f"{title}, reference", b, right, limits, "viridis"),
            (
                f"size of the error of {bare}{unit}",
                gap,
                right,
                [0.0, float(gap.max())],
                "magma",
            ),
        )
        for j, (_, values, where, _, _) in enumerate(panels):
            arrays[f"values {k} {j}"] = values
            arrays[f"points {k} {j}"] = points if shift is None else points + where[:, shift]
        rows.append([{"title": t, "limits": c, "colours": m} for t, _, _, c, m in panels])
    told = {
        "rows": rows,
        "panel": PANEL,
        "kind": kind,
        "moved": shift is not None,
        "axes": [labelled(each.name, problem) for each in problem.coordinates],
    }
    given = io.BytesIO()
    np.savez(given, told=np.array(json.dumps(told)), **arrays)  # type: ignore[arg-type]
    try:
        done = subprocess.run(
            [sys.executable, str(SCENE)],
            input=given.getvalue(),
            capture_output=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 and done.stdout else None


def has_pyvista() -> bool:
    """Whether PyVista is installed; it is not loaded for that."""
    return importlib.util.find_spec("pyvista") is not None


@torch.no_grad()
def _values(
    problem: Problem, sample: Sample, field: Callable[[Tensor], Tensor], points: Array
) -> Array:
    own = sample.batch.points[next(iter(sample.batch.points))].points
    at = torch.from_numpy(points)
    if problem.time is not None:
        at = torch.cat([at, torch.full_like(at[:, :1], float(problem.time.end))], -1)
    return field(at[None].to(own))[0].double().cpu().numpy()
