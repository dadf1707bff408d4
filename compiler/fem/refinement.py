"""Adaptive refinement of triangle meshes: marks cells whose gradients differ most from a smoothed
one.

    eta_K^2 = sum over unknowns of int_K |grad u_h - G u_h|^2,

G u_h the mean of the gradients of all cells around a node, weighed by their areas. Of the cells
with the largest eta the fewest are divided that hold half of its square (Doerfler's marking). Each
is cut into four, its neighbours so that no node hangs; new vertices on a curved boundary are laid
on it. Sources: O. C. Zienkiewicz, J. Z. Zhu, Int. J. Numer. Meth. Eng. 24 (1987); W. Doerfler, SIAM
J. Numer. Anal. 33 (1996).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import skfem
import sympy as sp

from compiler.arrays import Array, IntArray
from compiler.fem.discrete.spaces import Tabulated
from compiler.fem.meshing.bodies import body_of
from compiler.fem.meshing.triangulate import on_true_boundary
from compiler.fem.solution import SampleSolution
from pdespec.geometry import Domain

SHARE = 0.5  # of the indicated squared error, that the divided cells hold


def indicators(sample: SampleSolution) -> Array:
    """eta_K^2 of every cell of a stationary solution, each unknown relative to the square of its
    gradient.  Shapes: -> "e"."""
    place = next(p for p in sample.spaces.places.values() if p.normals is None)
    found = np.zeros(len(place.weights))
    for component in sample.components:
        table = place.tables[component]
        own = gaps(table, place.weights, sample.vectors[-1])
        total = np.sum(place.weights * gradient(table, sample.vectors[-1]) ** 2)
        found += own / total if total > 0 else own
    return found


def gradient(table: Tabulated, vector: Array) -> Array:
    """Shapes: -> "d e q"."""
    return np.einsum("jaeq,ae->jeq", table.jets[1:3], vector[table.dofs])


def gaps(table: Tabulated, weights: Array, vector: Array) -> Array:
    """`int_K |grad u_h - G u_h|^2`.  Shapes: weights "e q" -> "e"."""
    slopes, areas = gradient(table, vector), weights.sum(axis=1)
    means = (slopes * weights).sum(axis=2) / areas  # d e
    size = int(table.dofs.max()) + 1
    around = np.bincount(table.dofs.ravel(), np.tile(areas, len(table.dofs)), size)
    smooth = np.zeros_like(slopes)
    for axis, mean in enumerate(means):
        # the gradient of each cell at its own nodes, by its mean and its linear part
        at_nodes = nodal(table, weights, slopes[axis], mean)
        total = np.bincount(table.dofs.ravel(), (at_nodes * areas).ravel(), size)
        averaged = np.divide(total, around, out=np.zeros(size), where=around > 0)
        smooth[axis] = np.einsum("aeq,ae->eq", table.jets[0], averaged[table.dofs])
    return np.sum(weights * (slopes - smooth) ** 2, axis=(0, 2))


def nodal(table: Tabulated, weights: Array, values: Array, mean: Array) -> Array:
    """The function of each cell's own basis that is nearest to values at its quadrature points.
    Shapes: values "e q", mean "e" -> "a e"."""
    basis = table.jets[0]
    mass = np.einsum("aeq,beq,eq->eab", basis, basis, weights)
    load = np.einsum("aeq,eq->ea", basis, (values - mean[:, None]) * weights)
    return mean + np.linalg.solve(mass, load[..., None])[..., 0].T


def marked(each: Array) -> IntArray:
    """The fewest cells that hold a share of the sum."""
    order = np.argsort(-each)
    held = np.cumsum(each[order])
    return order[: int(np.searchsorted(held, SHARE * held[-1])) + 1]


def divided(
    mesh: skfem.Mesh,
    cells: IntArray | None,
    domain: Domain,
    values: Mapping[sp.Symbol, float],
    degree: int,
) -> skfem.Mesh:
    """The mesh with some of its cells divided, or all (None), on the true boundary."""
    straight = skfem.MeshTri(mesh.doflocs[:, : mesh.nvertices].copy(), mesh.t)
    finer = straight.refined() if cells is None else straight.refined(cells)
    return on_true_boundary(finer, body_of(domain.shape, values).pieces(), degree)
