"""What the page shows of a sample by itself: operator, reference and inputs on regular grids, one
for each time, or for each height of a body in space; and the same numbers as a file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
import torch
from torch import Tensor

from compiler.arrays import Array
from compiler.evaluation.result import Sample
from compiler.geometry.metrics import domain
from compiler.report.displacement import displacement
from compiler.report.labels import labelled
from compiler.report.moved import moved_body
from compiler.report.plot_grid import Raster, raster
from pdespec.statements.problem import Problem
from pdespec.symbols import Input

STILL, MOVING = 96, 56  # pixels along the longer side, of one frame and of several
COUNT = 17  # frames
LEVELS = 2**16 - 1  # to which values are rounded between the least and the most
BLOCK = 2**14  # points that a field is asked for at once


@dataclass(frozen=True)
class Frames:
    """Values of a sample on grids of the same size. `across` is what changes from grid to grid,
    "" where there is one, and `at` its values. `fields` are operator, reference and inputs, by a
    title, on the points inside; `borders` are inputs on parts of the boundary, at points of their
    own "n d" without time. Shapes: fields "k c" for each grid.
    """

    grids: tuple[Raster, ...]
    across: str
    at: tuple[float, ...]
    components: tuple[str, ...]
    operator: tuple[Array, ...]
    reference: tuple[Array, ...]
    inputs: Mapping[str, tuple[Array, ...]]
    borders: Mapping[str, tuple[Array, tuple[Array, ...]]]


def frames(problem: Problem, sample: Sample) -> Frames:
    """A sample at times from start to end; of a body in space without time, in planes through it
    from its lowest to its highest point."""
    across, at = moments(problem, sample.batch)
    pixels = MOVING if across else STILL
    grids = tuple(
        raster(problem, sample.batch, pixels, {across: value} if across else {})
        for value in at or (0.0,)
    )
    sign = 1.0 if sample.sign is None else sample.sign[0].double().cpu().numpy()
    inputs = {
        name: tuple(_values(lambda x, n=name: sample.batch.evaluate(n, x), g) for g in grids)
        for each in problem.inputs.values()
        if _inside(problem, each)
        for name in (each.name,)
    }
    return Frames(
        grids,
        across,
        at,
        tuple(problem.components),
        tuple(sign * _values(sample.field, grid) for grid in grids),
        tuple(_values(sample.truth, grid) for grid in grids),
        inputs,
        {
            each.name: _on_border(problem, sample, each, at)
            for each in problem.inputs.values()
            if each.region.name in sample.batch.points and not _inside(problem, each)
        },
    )


@torch.no_grad()
def _on_border(
    problem: Problem, sample: Sample, given: Input, at: Sequence[float]
) -> tuple[Array, tuple[Array, ...]]:
    """The points of a part of the boundary, and an input there, at each time where there is
    time."""
    points = sample.batch.points[given.region.name].points[:1]
    values = []
    for value in at if problem.time is not None else (None,):
        if value is not None:
            points = torch.cat([points[..., :-1], torch.full_like(points[..., -1:], value)], -1)
        values.append(sample.batch.evaluate(given.name, points)[0].double().cpu().numpy())
    places = points[0, :, : len(problem.coordinates)].double().cpu().numpy()
    return places, tuple(values)


def moments(problem: Problem, batch: Any) -> tuple[str, tuple[float, ...]]:
    """What frames run over, and its values; planes keep off the ends, where a body has no
    area."""
    if problem.time is not None:
        start, end = float(problem.time.start), float(problem.time.end)
        return problem.time.name, tuple(np.linspace(start, end, COUNT).tolist())
    if len(problem.coordinates) < 3:
        return "", ()
    lower, upper = batch.geometry[domain(problem).name].box()
    low, high = float(lower.reshape(-1)[2]), float(upper.reshape(-1)[2])
    planes = low + (high - low) * (np.arange(COUNT) + 0.5) / COUNT
    return problem.coordinates[2].name, tuple(planes.tolist())


def _inside(problem: Problem, given: Input) -> bool:
    """Whether an input is a function on the domain that is drawn, not on a part of a boundary."""
    return given.region == domain(problem)


@torch.no_grad()
def _values(field: Callable[[Tensor], Tensor], grid: Raster) -> Array:
    """Shapes: -> "k c"."""
    parts = [field(part)[0].double().cpu() for part in grid.points.split(BLOCK, dim=1)]
    return torch.cat(parts).numpy()


def as_arrays(found: Frames, problem: Problem, sample: Sample) -> dict[str, Array]:
    """The numbers of the frames by name, for an .npz: points with all their coordinates, what the
    operator says, the reference, inputs at the same points, and params. Shapes: "m" each, all
    frames one after the other; inputs on a part of the boundary "frame n", at its points."""
    names = [each.name for each in problem.variables]
    points = torch.cat([grid.points[0] for grid in found.grids]).double().cpu().numpy()
    arrays = dict(zip(names, points.T, strict=True))
    for who, values in (("operator", found.operator), ("reference", found.reference)):
        columns = np.concatenate(values).T
        arrays |= {f"{who} {c}": v for c, v in zip(found.components, columns, strict=True)}
    for name, values in found.inputs.items():
        components = problem.inputs[name].components
        columns = np.concatenate(values).T
        arrays |= {f"input {c}": v for c, v in zip(components, columns, strict=True)}
    params = {name: sample.batch.params[name][0] for name in problem.params}
    for name, (places, values) in found.borders.items():
        components = problem.inputs[name].components
        coordinates = zip(problem.coordinates, places.T, strict=True)
        arrays |= {f"{each.name} of {name}": column for each, column in coordinates}
        stacked = np.stack(values)  # "frame n c"
        arrays |= {f"input {c}": stacked[..., k] for k, c in enumerate(components)}
    return arrays | {f"param {name}": value.cpu().numpy() for name, value in params.items()}


def npz(arrays: Mapping[str, Array]) -> bytes:
    """Arrays as the bytes of a compressed file of NumPy's."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def viewer(found: Frames, problem: Problem, sample: Sample) -> dict[str, Any]:
    """The frames as the page's script reads them: a row of panels for each component and input,
    images as PNG, curves as numbers, a plane body that moves as its mesh."""
    rows = moved_body(problem, sample, found.at)
    moved = bool(rows)
    for channel, name in enumerate(() if moved else found.components):
        own, right = ([v[:, channel] for v in who] for who in (found.operator, found.reference))
        gap = max(float(np.nanmax(np.abs(a - b))) for a, b in zip(own, right, strict=True))
        limits = _limits(right)
        unit = labelled(name, problem).removeprefix(name)
        if _curved(found):
            lines = [("operator", own), ("reference", right)]
            rows.append([_curves(found, f"{name}{unit}", lines)])
            continue
        rows.append(
            [
                _image(found, f"{name}{unit}, operator", own, limits),
                _image(found, f"{name}{unit}, reference", right, limits),
                {"title": f"|error of {name}|{unit}", "kind": "gap", "limits": [0.0, gap]},
            ]
        )
    for name, values in found.inputs.items():
        given = problem.inputs[name]
        for channel, component in enumerate(given.components):
            own, title = [e[:, channel] for e in values], f"input {labelled(component, problem)}"
            row = (
                _curves(found, title, [(component, own)])
                if _curved(found)
                else _image(found, title, own, _limits(own))
            )
            rows.append([row])
    for name, (places, values) in found.borders.items() if len(problem.coordinates) == 2 else ():
        given = problem.inputs[name]
        for channel, component in enumerate(given.components):
            unit = labelled(component, problem).removeprefix(component)
            title = f"input {component} on {given.region.name}{unit}"
            rows.append([_dots(title, places, [each[:, channel] for each in values])])
    first = found.grids[0]
    return {
        "axes": [labelled(name, problem) for name in first.axes],
        "extent": list(first.extent),
        "across": found.across,
        "at": list(found.at),
        "start": (len(found.at) - 1) // (1 if problem.time is not None else 2) if found.at else 0,
        "note": _note(problem, moved),
        "rows": rows,
    }


def _note(problem: Problem, moved: bool) -> str:
    if moved:
        return "the body where it moves, at true scale; grey: at rest; inputs on the body at rest"
    return "" if displacement(problem) is None else "on the body at rest"


def _curved(found: Frames) -> bool:
    return len(found.grids[0].axes) == 1


def _limits(values: Sequence[Array]) -> list[float]:
    low, high = (float(f(np.concatenate(values))) for f in (np.nanmin, np.nanmax))
    return [low, high if high > low else low + (abs(low) or 1.0) * 1e-6]


def _curves(
    found: Frames, title: str, lines: Sequence[tuple[str, Sequence[Array]]]
) -> dict[str, Any]:
    at = found.grids[0].points[0, :, 0].double().cpu().numpy()
    order = np.argsort(at)
    return {
        "title": title,
        "kind": "curve",
        "x": _rounded(at[order]),
        "limits": _limits([each for _, values in lines for each in values]),
        "lines": [
            {"label": label, "frames": [_rounded(each[order]) for each in _changing(values)]}
            for label, values in lines
        ],
    }


def _dots(title: str, places: Array, values: Sequence[Array]) -> dict[str, Any]:
    return {
        "title": title,
        "kind": "dots",
        "limits": _limits(values),
        "places": [_rounded(each) for each in places],
        "frames": [_rounded(each) for each in _changing(values)],
    }


def _changing(values: Sequence[Array]) -> Sequence[Array]:
    """The frames, or the first of them where all are the same."""
    still = all(np.array_equal(each, values[0]) for each in values[1:])
    return values[:1] if still else values


def _rounded(values: Array) -> list[float | None]:
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in values]


def _image(
    found: Frames, title: str, values: Sequence[Array], limits: Sequence[float]
) -> dict[str, Any]:
    """Values rounded to 16 bits between the least and the most of them."""
    low, high = _limits(values)
    shown = zip(found.grids, _changing(values), strict=False)
    pictures = [packed(grid, (each - low) / (high - low)) for grid, each in shown]
    return {
        "title": title,
        "kind": "image",
        "limits": list(limits),
        "range": [low, high],
        "frames": [base64.b64encode(each).decode() for each in pictures],
    }


def packed(grid: Raster, shares: Array) -> bytes:
    """Numbers between 0 and 1 as a PNG: the high byte is red, the low one green, and blue says
    where there is a value. The first row is the highest."""
    numbers = np.zeros(grid.inside.shape, dtype=np.int64)
    known = np.zeros(grid.inside.shape, dtype=bool)
    known[grid.inside] = np.isfinite(shares)
    numbers[known] = np.round(LEVELS * shares[np.isfinite(shares)]).astype(np.int64)
    colours = np.stack([numbers // 256, numbers % 256, 255 * known], -1).astype(np.uint8)
    out = io.BytesIO()
    matplotlib.image.imsave(out, colours[::-1], format="png")
    return out.getvalue()


def palette(name: str) -> str:
    """The 256 colours of a map, three bytes each, in base64."""
    colours = matplotlib.colormaps[name](np.arange(256))[:, :3]
    return base64.b64encode(np.round(255 * colours).astype(np.uint8).tobytes()).decode()
