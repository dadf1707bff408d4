"""Mesh + weak form -> finite element spaces: bases at quadrature points, numbering of unknowns,
boundary facets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import skfem
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from skfem import CellBasis, FacetBasis

from compiler.fem.discrete.locate import Located
from compiler.fem.errors import SolverError
from compiler.fem.forms.weak import Region, WeakForm
from compiler.fem.meshing.elements import cell_of, facet_basis, lagrange
from pdespec.geometry import Boundary

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Tabulated:
    """A scalar basis at the quadrature points of one region.

    Shapes: jets "1+d a e q" (value and gradient of basis function a on cell e), dofs "a e".
    """

    jets: Array
    dofs: Numbers

    @cached_property
    def by_cell(self) -> Array:
        """The jets as "e a (1+d) q" in one piece, for batched products."""
        return np.ascontiguousarray(self.jets.transpose(2, 1, 0, 3))


@dataclass(frozen=True)
class Place:
    """Quadrature on one region: points "d e q", weights "e q", normals "d e q" on boundaries, a
    tabulated basis per component."""

    points: Array
    weights: Array
    normals: Array | None
    tables: Mapping[str, Tabulated]


@dataclass(frozen=True)
class Spaces:
    """The discrete unknowns of one sample. Component c owns the numbers offsets[c] .. offsets[c]
    + sizes[c]."""

    mesh: skfem.Mesh
    bases: Mapping[str, CellBasis]
    offsets: Mapping[str, int]
    facets: Mapping[Boundary, Numbers]
    places: Mapping[Region, Place]

    @property
    def size(self) -> int:
        return sum(basis.N for basis in self.bases.values())

    def nodes(self, component: str) -> Array:
        """Positions of the unknowns of a component, "d n"."""
        return self.bases[component].doflocs

    def numbers(self, component: str) -> slice:
        start = self.offsets[component]
        return slice(start, start + self.bases[component].N)

    def on(self, component: str, boundary: Boundary) -> Numbers:
        """Unknowns of a component whose nodes lie on a boundary, numbered within the component."""
        return np.unique(self.bases[component].get_dofs(facets=self.facets[boundary]).flatten())


def make_spaces(
    form: WeakForm,
    mesh: skfem.Mesh,
    facets: Mapping[Boundary, Numbers],
    degree: int,
    regions: tuple[Region, ...],
) -> Spaces:
    """Spaces on a mesh with quadrature on the given regions, exact for polynomials of degree 2k
    + 1."""
    cell = cell_of(mesh)
    if degree < 2 and any(space.below and space.continuous for space in form.spaces.values()):
        multiplier = next(c for c, space in form.spaces.items() if space.below and space.continuous)
        raise SolverError(
            f"{multiplier} is a Lagrange multiplier: the Taylor-Hood pair needs degree 2 or more,"
            f" not {degree}"
        )
    elements = {}
    for component in form.components:
        space = form.spaces[component]
        elements[component] = lagrange(cell, degree - space.below, space.continuous)
    shared: dict[str, CellBasis] = {}
    bases, offsets, start = {}, {}, 0
    for component, element in elements.items():
        key = repr((type(element), element.maxdeg, form.spaces[component]))
        shared.setdefault(key, CellBasis(mesh, element, intorder=2 * degree + 1))
        bases[component] = shared[key]
        offsets[component] = start
        start += bases[component].N
    places = {
        region: place(region, mesh, elements, bases, offsets, facets, degree) for region in regions
    }
    return Spaces(mesh, bases, offsets, facets, places)


def place(region, mesh, elements, bases, offsets, facets, degree) -> Place:
    """Quadrature and tabulated bases on a domain or a boundary."""
    made: dict[int, tuple] = {}
    tables = {}
    for component, basis in bases.items():
        if id(basis) not in made:
            there = (
                basis
                if not isinstance(region, Boundary)
                else facet_basis(mesh, elements[component], facets[region], 2 * degree + 1)
            )
            made[id(basis)] = (there, jets(there))
        there, table = made[id(basis)]
        tables[component] = Tabulated(table, there.element_dofs + offsets[component])
    normals = np.asarray(there.normals) if isinstance(region, Boundary) else None
    return Place(np.asarray(there.global_coordinates()), there.dx, normals, tables)


def stacked(values: Sequence[Array]) -> Array:
    """Values at the points of several samples as one array, the last row of a sample repeated where
    others have more points: these are asked and not used.  Shapes: "m .." each -> "b m' ..".
    """
    most = max(map(len, values))
    return np.stack(
        [np.concatenate([each, np.repeat(each[-1:], most - len(each), axis=0)]) for each in values]
    )


def jets(basis: CellBasis | FacetBasis) -> Array:
    """Values and gradients of the basis functions, "1+d a e q"."""
    shape = basis.dx.shape
    stacked = [
        np.stack(
            [
                np.broadcast_to(np.asarray(f[0]), shape),
                *np.broadcast_to(f[0].grad, (basis.mesh.dim(), *shape)),
            ]
        )
        for f in basis.basis
    ]
    return np.stack(stacked, axis=1)


def interpolation(basis: CellBasis, located: Located, axis: int | None = None) -> csr_matrix:
    """From the unknowns of a basis to the values at points, or to the derivatives along an axis.
    Shapes: "points unknowns"."""
    count, place = located.cells.size, located.reference[:, :, None]
    found = [
        basis.elem.gbasis(basis.mapping, place, k, tind=located.cells)[0]
        for k in range(basis.Nbfun)
    ]
    phi = [np.broadcast_to(each if axis is None else each.grad[axis], (count, 1)) for each in found]
    rows = np.tile(np.arange(count), basis.Nbfun)
    return csr_matrix(
        (np.concatenate(phi)[:, 0], (rows, basis.element_dofs[:, located.cells].ravel())),
        (count, basis.N),
    )
