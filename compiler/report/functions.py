"""Pictures of estimated functions with their standard deviations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from compiler.arrays import Array
from compiler.estimation import FieldEstimate
from compiler.geometry.domain import Geometry, box
from compiler.report.style import BLUE
from pdespec.coordinates import Time
from pdespec.geometry import Boundary, shape_symbols

FINE = 120  # points along an axis
LEVEL = 0.95


def function_picture(found: FieldEstimate) -> Figure:
    """A function of one variable as a line with its 95 % intervals; of two as two maps, its value
    and its standard deviation; of more, along the first two in the middle of the others."""
    axes = found.declared.axes[:2]
    if not axes:
        return _number(found)
    grids = [np.linspace(*_ends(found, x), FINE) for x in axes]
    points = _points(found, dict(zip(axes, np.meshgrid(*grids, indexing="ij"), strict=True)))
    return _line(found, grids[0], points) if len(axes) == 1 else _maps(found, grids, points)


def _number(found: FieldEstimate) -> Figure:
    figure = Figure(figsize=(6, 1.2), layout="constrained")
    figure.text(0.02, 0.5, str(found))
    return figure


def _line(found: FieldEstimate, places: Array, points: Array) -> Figure:
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    axes = figure.subplots()
    if found.covariance is not None:
        low, high = found.interval(points, LEVEL)
        axes.fill_between(places, low, high, color=BLUE, alpha=0.2, lw=0, label="95 % intervals")
        axes.legend(fontsize=8)
    axes.plot(places, found(points), color=BLUE)
    axes.set(xlabel=str(found.declared.axes[0]), ylabel=found.declared.name, xlim=places[[0, -1]])
    axes.grid(alpha=0.25)
    return figure


def _maps(found: FieldEstimate, grids: list[Array], points: Array) -> Figure:
    shown = {found.declared.name: found(points)}
    if found.covariance is not None:
        shown[f"standard deviation of {found.declared.name}"] = found.std(points)
    figure = Figure(figsize=(6.5 * len(shown), 4.2), layout="constrained")
    outside = ~_inside(found, points).reshape(FINE, FINE)
    for axes, (title, values) in zip(
        np.atleast_1d(figure.subplots(1, len(shown))), shown.items(), strict=True
    ):
        masked = np.ma.masked_array(values.reshape(FINE, FINE), outside)
        mesh = axes.pcolormesh(*grids, masked.T, shading="gouraud", rasterized=True)
        figure.colorbar(mesh, ax=axes)
        x, y = found.declared.axes[:2]
        axes.set(title=title, xlabel=str(x), ylabel=str(y))
        if not isinstance(y, Time):
            axes.set_aspect("equal")
    return figure


def _ends(found: FieldEstimate, axis: Any) -> tuple[float, float]:
    if isinstance(axis, Time):
        return float(axis.start), float(axis.end)
    region: Any = found.declared.region
    domain = region.domain if isinstance(region, Boundary) else region
    low, high = box(domain)
    k = [x.name for x in domain.coordinates].index(axis.name)
    return low[k], high[k]


def _points(found: FieldEstimate, along: dict[Any, Array]) -> Array:
    """Points on which some coordinates vary; the others in the middle, as the one that is fixed on
    a side, which enters no mode. Shapes: -> "n d", time last."""
    region: Any = found.declared.region
    times = () if found.declared.time is None else (found.declared.time,)
    like, columns = next(iter(along.values())), []
    for x in (*region.coordinates, *times):
        if x in along:
            columns.append(along[x].ravel())
            continue
        columns.append(np.full(like.size, np.mean(_ends(found, x))))
    return np.stack(columns, 1)


def _inside(found: FieldEstimate, points: Array) -> NDArray[np.bool_]:
    """Which points lie in the closed domain; all of them on a boundary, or where the shape varies
    from sample to sample."""
    region: Any = found.declared.region
    if isinstance(region, Boundary) or shape_symbols(region.shape):
        return np.ones(len(points), dtype=bool)
    at = torch.as_tensor(points[None, :, : region.dim])
    distance = Geometry(region, {}, 1, torch.float64).signed_distance(at)[0]
    return (distance < 1e-9).numpy()
