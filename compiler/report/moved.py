"""A plane body that moves, as the page shows it: the mesh of the reference, where the displacement
takes it at each time."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from compiler.arrays import Array
from compiler.evaluation.result import Sample
from compiler.fem import Solution
from compiler.report.displacement import displacement
from compiler.report.labels import labelled
from compiler.report.plot_grid import PlaneMesh, lengths, plane_mesh
from pdespec.statements.problem import Problem

STILL, MOVING = 4000, 1000  # triangles, of one frame and of several


def moved_body(problem: Problem, sample: Sample, at: Sequence[float]) -> list[list[dict[str, Any]]]:
    """Panels of operator, reference and error, one row an unknown or component, at the times `at`
    or once; the operator on the body as predicted, the others as solved. None where nothing moves
    the body, or it is not in the plane."""
    plane = len(problem.coordinates) == 2 and isinstance(sample.truth, Solution)
    if not plane or displacement(problem) is None:
        return []
    ground = plane_mesh(problem, sample.batch, sample.truth, MOVING if at else STILL)
    sign = 1.0 if sample.sign is None else sample.sign[0].double().cpu().numpy()
    found = [sign * _values(sample.field, ground, each) for each in at or (None,)]
    truth = [_values(sample.truth, ground, each) for each in at or (None,)]
    predicted, solved = ([ground.placed(each) for each in who] for who in (found, truth))
    places = [each.mesh.points for each in (*predicted, *solved)] + [ground.mesh.points]
    extent = _extent(np.concatenate(places))
    rows = []
    for name, channels in ground.rows.items():
        own, right = ([lengths(each[:, channels]) for each in who] for who in (found, truth))
        gap = [lengths(a[:, channels] - b[:, channels]) for a, b in zip(found, truth, strict=True)]
        low, high = (float(f(np.concatenate(right))) for f in (np.min, np.max))
        limits = [low, high if high > low else low + (abs(low) or 1.0) * 1e-6]
        most = float(np.max(np.concatenate(gap)))
        unit = labelled(name, problem).removeprefix(name)
        rows.append(
            [
                _panel(f"{name}{unit}, operator", predicted, own, limits, extent),
                _panel(f"{name}{unit}, reference", solved, right, limits, extent),
                _panel(f"|error of {name.strip('|')}|{unit}", solved, gap, [0.0, most], extent)
                | {"colours": "magma"},
            ]
        )
    return rows


@torch.no_grad()
def _values(field: Any, ground: PlaneMesh, time: float | None) -> Array:
    """Shapes: -> "k c"."""
    points = ground.points
    if time is not None:
        points = torch.cat([points[..., :-1], torch.full_like(points[..., -1:], time)], -1)
    return field(points)[0].double().cpu().numpy()


def _extent(points: Array) -> list[float]:
    """Limits of the axes, with a little air."""
    low, high = points.min(0), points.max(0)
    air = 0.02 * (high - low).max()
    return [low[0] - air, high[0] + air, low[1] - air, high[1] + air]


def _panel(
    title: str,
    bodies: Sequence[PlaneMesh],
    values: Sequence[Array],
    limits: list[float],
    extent: list[float],
) -> dict[str, Any]:
    mesh = bodies[0].mesh
    rest = bodies[0].rest or mesh
    return {
        "title": title,
        "kind": "body",
        "limits": limits,
        "extent": extent,
        "triangles": packed(mesh.triangles, "<u4"),
        "border": mesh.boundary.tolist(),
        "rest": packed(rest.points, "<f4"),
        "frames": [
            {"points": packed(body.mesh.points, "<f4"), "values": packed(each, "<f4")}
            for body, each in zip(bodies, values, strict=True)
        ],
    }


def packed(values: np.ndarray, kind: str) -> str:
    """Numbers as text, for a page's script: the bytes of an array of a `kind` such as `<f4`."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()
