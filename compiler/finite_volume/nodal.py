"""Values at the nodes of an O-grid from those of its cells, as a finite element function of degree
one, which answers at any points."""

from __future__ import annotations

import numpy as np
import skfem
from skfem import CellBasis, ElementQuad1, MeshQuad1

from compiler.arrays import Array
from compiler.fem.discrete.spaces import Place, Spaces
from compiler.finite_volume.multigrid import Level
from pdespec.geometry import Domain


def primitive(level: Level) -> Array:
    """(rho, u, v, p) of cells, and of the wall and of the far field before and behind them.
    Shapes: "4 j+2 i"."""
    states, pressures = level.w[:, 1:-1, 2:-2].copy(), level.p[1:-1, 2:-2].copy()
    # at the section itself: ghost cells lie as far below it as the first cells above
    states[:, 0] = 1.5 * states[:, 1] - 0.5 * states[:, 2]
    pressures[0] = level.wall()
    return np.stack([states[0], states[1] / states[0], states[2] / states[0], pressures])


def at_nodes(level: Level) -> Array:
    """Values at nodes, one for each node of the cut: cubic interpolation in both directions of the
    grid, between the two values on both sides of a node, so that shocks are not overshot. Shapes:
    -> "4 j+1 i"."""
    values = primitive(level)
    inner = values[:, 1:-1]
    between = np.empty_like(values[:, 1:])  # "4 j+1 i": at the sides between rows
    between[:, 0] = values[:, 0]
    between[:, -1] = values[:, -1]
    between[:, 1:-1] = (inner[:, :-1] + inner[:, 1:]) / 2
    between[:, 2:-2] = _cubic(inner[:, :-3], inner[:, 1:-2], inner[:, 2:-1], inner[:, 3:])
    return _cubic(*(np.roll(between, shift, axis=2) for shift in (2, 1, 0, -1)))


def _cubic(first: Array, second: Array, third: Array, fourth: Array) -> Array:
    """Half way between the second and the third of four values."""
    found = (9 * (second + third) - first - fourth) / 16
    return np.clip(found, np.minimum(second, third), np.maximum(second, third))


def mesh_of(nodes: Array) -> MeshQuad1:
    """The cells of an O-grid, of nodes "j+1 i+1 2"."""
    nj, ni = nodes.shape[0] - 1, nodes.shape[1] - 1
    number = np.arange((nj + 1) * ni).reshape(nj + 1, ni)
    number = np.concatenate([number, number[:, :1]], axis=1)
    cells = [number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]]
    points = nodes[:, :-1].reshape(-1, 2).T
    return MeshQuad1(np.ascontiguousarray(points), np.stack([each.ravel() for each in cells]))


def spaces_of(mesh: skfem.Mesh, components: tuple[str, ...], domain: Domain) -> Spaces:
    """Continuous bilinear functions, one for each component, with the middles of the cells to
    integrate over the domain."""
    basis = CellBasis(mesh, ElementQuad1(), intorder=1)
    middles, areas = mesh.p[:, mesh.t].mean(axis=1)[..., None], basis.dx.sum(axis=1)[:, None]
    return Spaces(
        mesh,
        dict.fromkeys(components, basis),
        {name: k * basis.N for k, name in enumerate(components)},
        {},
        {domain: Place(middles, areas, None, {})},
    )
