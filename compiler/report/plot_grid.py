"""Grids on which samples are drawn: the plane mesh of the reference, moved by a displacement, or
a regular grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from torch import Tensor

from compiler.arrays import Array
from compiler.fem import Solution
from compiler.geometry.metrics import domain
from compiler.geometry.shapes.piece import whole
from compiler.report.displacement import displacement
from compiler.report.labels import labelled
from compiler.report.triangulation import TRIANGLES, PlotMesh, plot_mesh
from pdespec.geometry import Exterior, inner
from pdespec.statements.problem import Problem
from pdespec.symbols import Unknown

AROUND = 0.6  # of the size of a body in a far field, to be shown around it
RESOLUTION = 160  # pixels along the longer side of the box of a domain


class PlotGrid(Protocol):
    """Points at which values are asked for, and how these are shown.

    `rows` says what is drawn, title -> channels of the values; `axes` names what runs across and
    upward, `labels` that with its units, `note` what is held fixed; `ratio` is height over width.
    Shapes: points "1 k D".
    """

    @property
    def points(self) -> Tensor:
        """Shapes: "1 k D"."""
        ...

    @property
    def rows(self) -> Mapping[str, list[int]]:
        """The channels that each row of pictures shows, by its title: one, or those of a vector."""
        ...

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of what runs across and upward; one name for a curve."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The axes' labels, with units."""
        ...

    @property
    def note(self) -> str:
        """What is held fixed, such as `t = 1`; empty where nothing is."""
        ...

    @property
    def ratio(self) -> float:
        """Height over width of one picture."""
        ...

    def placed(self, values: Array) -> PlotGrid:
        """The grid where the values take it. Shapes: "k c"."""
        ...

    def shade(self, axes: Axes, values: Array, **style: Any) -> ScalarMappable:
        """Shapes: values "k"."""
        ...


@dataclass(frozen=True)
class Raster:
    """A regular grid over a sample's domain, and which of its points lie inside.

    `inside` is "h w" (or "w" for a curve), `extent` the limits of the axes, `aspect` as in
    matplotlib.
    """

    points: Tensor
    inside: np.ndarray
    extent: tuple[float, float, float, float]
    rows: Mapping[str, list[int]]
    axes: tuple[str, ...]
    labels: tuple[str, ...]
    aspect: Literal["auto", "equal"]
    note: str

    @property
    def ratio(self) -> float:
        left, right, bottom, top = self.extent
        return (
            (top - bottom) / (right - left)
            if self.aspect == "equal" and len(self.axes) > 1
            else 0.85
        )

    def placed(self, values: Array) -> Raster:
        return self

    def fill(self, values: Array) -> Array:
        """Values at the points inside, as an image with NaN outside. Shapes: "k" -> "h w"."""
        image = np.full(self.inside.shape, np.nan)
        image[self.inside] = values
        return image

    def shade(self, axes: Axes, values: Array, **style: Any) -> ScalarMappable:
        style = {"origin": "lower", "interpolation": "nearest", **style}
        return axes.imshow(self.fill(values), extent=self.extent, aspect=self.aspect, **style)


@dataclass(frozen=True)
class PlaneMesh:
    """A plane mesh; `shift` are the channels that move it, `rest` is where it was before they
    did."""

    points: Tensor
    mesh: PlotMesh
    rows: Mapping[str, list[int]]
    axes: tuple[str, ...]
    labels: tuple[str, ...]
    note: str
    shift: list[int] | None = None
    rest: PlotMesh | None = None
    window: Array | None = None

    @property
    def ratio(self) -> float:
        if self.window is not None:
            width, height = self.window[1] - self.window[0]
            return height / width
        drawn = [self.mesh.points] if self.rest is None else [self.mesh.points, self.rest.points]
        width, height = np.ptp(np.concatenate(drawn), axis=0)
        return height / width

    def placed(self, values: Array) -> PlaneMesh:
        if self.shift is None:
            return self
        return replace(self, mesh=self.mesh.moved(values[:, self.shift]), rest=self.mesh)

    def shade(self, axes: Axes, values: Array, **style: Any) -> ScalarMappable:
        axes.set_aspect("equal")
        if self.rest is not None:
            self.rest.outline(axes, color="0.8", lw=0.6, zorder=0)
        self.mesh.outline(axes, color="0.2", lw=0.5)
        shaded = self.mesh.shade(axes, values, **style)
        self._frame(axes)
        return shaded

    def _frame(self, axes: Axes) -> None:
        if self.window is not None:
            (left, low), (right, high) = self.window
            axes.set(xlim=(left, right), ylim=(low, high))

    def draw_cells(self, axes: Axes, **style: Any) -> None:
        """The sides of the cells."""
        axes.set_aspect("equal")
        self.mesh.lines(axes, **style)
        axes.autoscale_view()
        self._frame(axes)


def plot_grid(problem: Problem, batch: Any, truth: object, share: float = 1.0) -> PlotGrid:
    """The mesh of a reference solution in the plane, else a raster; of a share of the resolution
    along an axis."""
    if isinstance(truth, Solution) and len(problem.coordinates) == 2:
        return plane_mesh(problem, batch, truth, round(TRIANGLES * share**2))
    return raster(problem, batch, round(RESOLUTION * share))


def plane_mesh(
    problem: Problem, batch: Any, truth: Solution, triangles: int = TRIANGLES
) -> PlaneMesh:
    """The mesh of the sample of a batch, at the last time where there is one."""
    own = batch.points[domain(problem).name].points
    mesh, window = truth.samples[0].spaces.mesh, near(problem, batch)
    if window is not None:  # values far away would set the colours
        inside = (mesh.p > window[0][:, None]) & (mesh.p < window[1][:, None])
        mesh = mesh.restrict(np.flatnonzero(inside.all(axis=0)[mesh.t].any(axis=0)))
    plane = replace(plot_mesh(mesh, triangles), cells=truth.samples[0].spaces.mesh.nelements)
    points, notes = torch.from_numpy(plane.points), []
    if problem.time is not None:
        points = torch.cat([points, torch.full_like(points[:, :1], float(problem.time.end))], -1)
        notes.append(f"{problem.time.name} = {float(problem.time.end):.3g}")
    moving = displacement(problem)
    rows = rows_of(problem, moving)
    shift = None
    if moving is not None:
        shift = rows[f"|{moving.name}|"]
        notes.append("deformed body, true scale")
    axes = tuple(each.name for each in problem.coordinates)
    labels = tuple(labelled(name, problem) for name in axes)
    return PlaneMesh(
        points[None].to(own), plane, rows, axes, labels, ", ".join(notes), shift, window=window
    )


def near(problem: Problem, batch: Any) -> Array | None:
    """What is shown of the outside of a body: its box, wider by AROUND of its size on every side.
    Shapes: lower and upper corner "2 2"; None for other domains."""
    region = domain(problem)
    if not isinstance(region.shape, Exterior):
        return None
    holes = batch.geometry[region.name].pieces(inner(region))
    share = torch.linspace(0, 1, 257, dtype=holes[0].measure.dtype)[:-1]
    at = [whole(each).chart(share.expand(len(each.measure), -1)[..., None])[0] for each in holes]
    points = torch.cat(at, 1)[0].double().cpu().numpy()
    lower, upper = points.min(0), points.max(0)
    margin = AROUND * (upper - lower).max()
    return np.stack([lower - margin, upper + margin])


def rows_of(problem: Problem, whole: Unknown | None = None) -> dict[str, list[int]]:
    """Title -> channels: the components one by one, or all of an unknown that is drawn whole, by
    its length."""
    rows: dict[str, list[int]] = {}
    for unknown in problem.unknowns.values():
        channels = [problem.components.index(name) for name in unknown.components]
        rows |= (
            {f"|{unknown.name}|": channels}
            if unknown is whole
            else {problem.components[k]: [k] for k in channels}
        )
    return rows


def raster(
    problem: Problem,
    batch: Any,
    resolution: int = RESOLUTION,
    at: Mapping[str, float] = MappingProxyType({}),
) -> Raster:
    """The points at which a sample is drawn: a curve in 1D, an image of (x, t), of (x, y) at the
    last time, of a middle slice in 3D; or where a time or a third coordinate is held `at` a
    value."""
    region = domain(problem)
    own = batch.points[region.name].points
    space, time = len(problem.coordinates), problem.time
    lower, upper = batch.geometry[region.name].box()
    limits = [
        (each.name, low, high)
        for each, low, high in zip(problem.coordinates, lower.tolist(), upper.tolist(), strict=True)
    ]
    spacetime = time is not None and space == 1 and time.name not in at
    if time is not None and spacetime:
        limits.append((time.name, float(time.start), float(time.end)))
    drawn, sliced = limits[:2], limits[2:]
    fixed = [(name, at.get(name, 0.5 * (low + high))) for name, low, high in sliced]
    if time is not None and not spacetime:
        fixed.append((time.name, at.get(time.name, float(time.end))))

    longest = max(high - low for _, low, high in drawn)
    counts = [
        resolution if spacetime else max(2, round(resolution * (high - low) / longest))
        for _, low, high in drawn
    ]
    ticks = [
        torch.linspace(low, high, count, dtype=own.dtype)
        for (_, low, high), count in zip(drawn, counts, strict=True)
    ]
    # "h w" each, the first coordinate across
    columns = list(reversed(torch.meshgrid(*reversed(ticks), indexing="ij")))
    shape = columns[0].shape
    columns += [torch.full(shape, value, dtype=own.dtype) for _, value in fixed]
    points = torch.stack(columns, -1).reshape(1, -1, len(columns)).to(own.device)
    inside = batch.geometry[region.name].contains(points[..., :space])[0]
    (_, left, right), (_, bottom, top) = drawn if len(drawn) == 2 else (*drawn, ("", 0.0, 0.0))
    note = ", ".join(f"{name} = {value:.3g}" for name, value in fixed)
    mask = inside.cpu().numpy().reshape(shape)
    extent, axes = (left, right, bottom, top), tuple(name for name, _, _ in drawn)
    return Raster(
        points[:, inside],
        mask,
        extent,
        rows_of(problem),
        axes,
        tuple(labelled(name, problem) for name in axes),
        "auto" if spacetime else "equal",
        note,
    )


def lengths(values: Array) -> Array:
    """Lengths of vectors, the value itself where it has one component. Shapes: "k c" -> "k"."""
    return values[:, 0] if values.shape[1] == 1 else np.linalg.norm(values, axis=1)
