"""Pictures of plane reference solutions: fields on the mesh, deformed bodies, error maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from .failure import SolverError
from .solution import SampleSolution, Solution
from .vtk import VTK, field_values, fields_of

Array = NDArray[np.float64]
# a quadratic cell as straight triangles, by the number of its corners
PARTS = {
    3: [(0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)],
    4: [(a, b, 8) for a, b in ((0, 4), (4, 1), (1, 5), (5, 2), (2, 6), (6, 3), (3, 7), (7, 0))],
}


def draw(
    truth: Solution,
    path: str | Path,
    sample: int = 0,
    field: str | None = None,
    deformed: bool = False,
    against: Callable[[torch.Tensor], torch.Tensor] | None = None,
    level: int = -1,
) -> Path:
    """Write one picture: a field (the first unknown; the length of a vector) on the mesh, and beside it the error of `against`.

    `deformed` moves the mesh by the vector field. `against` is any field of points "b n d", a trained operator's say.
    Raises: SolverError for problems that are not plane, or an unknown that is not there.
    """
    solution = truth.samples[sample]
    fields = fields_of(solution.components)
    name = field or next(iter(fields))
    if solution.spaces.mesh.dim() != 2:
        raise SolverError("pictures are of plane problems; save_vtk writes the others")
    if name not in fields:
        raise SolverError(f"there is no unknown {name!r}; there are {', '.join(fields)}")
    points, triangles, values = sampled(solution, fields[name], level)
    figure = Figure(figsize=(5.2 * (1 + (against is not None)), 4.6), layout="constrained")
    axes = figure.subplots(1, 2 if against is not None else 1, squeeze=False)[0]
    moved = points + values[:, :2] if deformed and len(fields[name]) > 1 else points
    shade(axes[0], moved, triangles, magnitude(values), name)
    outline(axes[0], solution, fields[name] if deformed else (), level)
    if against is not None:
        batch = torch.from_numpy(points)[None].expand(len(truth.samples), -1, -1)
        if solution.times is not None:
            batch = torch.cat((batch, torch.full_like(batch[..., :1], solution.times[level])), dim=-1)
        channels = [solution.components.index(c) for c in fields[name]]
        other = against(batch)[sample].detach().to("cpu", torch.float64).numpy()[:, channels]
        shade(axes[1], points, triangles, magnitude(other - values[:, : len(channels)]), f"error of {name}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def sampled(solution: SampleSolution, components: tuple[str, ...], level: int) -> tuple[Array, NDArray[np.int64], Array]:
    """Points "n 2", triangles "m 3" and values "n c" of a field, cell by cell."""
    mesh = solution.spaces.mesh
    corners = mesh.t.shape[0]
    _, nodes = VTK["triangle" if corners == 3 else "quadrilateral", 2]
    places = mesh.mapping().F(nodes)
    starts = np.arange(places.shape[1])[:, None, None] * nodes.shape[1]
    triangles = (starts + np.array(PARTS[corners])).reshape(-1, 3)
    return places.reshape(2, -1).T, triangles, field_values(solution, level, components, nodes)


def magnitude(values: Array) -> Array:
    return values[:, 0] if values.shape[1] == 1 else np.linalg.norm(values, axis=1)


def shade(axes: Axes, points: Array, triangles: NDArray[np.int64], values: Array, title: str) -> None:
    shades = axes.tripcolor(Triangulation(*points.T, triangles), values, shading="gouraud", cmap="viridis", rasterized=True)
    axes.figure.colorbar(shades, ax=axes, shrink=0.85)
    axes.set_aspect("equal")
    axes.set_title(title)


def outline(axes: Axes, solution: SampleSolution, components: tuple[str, ...], level: int) -> None:
    """The straight sides of the cells, moved by a displacement where one is given."""
    mesh = solution.spaces.mesh
    points = mesh.p[:, : mesh.nvertices].copy()
    for axis, component in enumerate(components[:2]):
        basis = solution.spaces.bases[component]
        points[axis] += solution.vectors[level, solution.spaces.numbers(component)][basis.nodal_dofs[0]]
    sides = points[:, mesh.facets]
    gaps = np.full((2, 1, sides.shape[2]), np.nan)
    lines = np.concatenate((sides, gaps), axis=1)
    axes.plot(lines[0].ravel("F"), lines[1].ravel("F"), color="white", linewidth=0.25, alpha=0.6)
