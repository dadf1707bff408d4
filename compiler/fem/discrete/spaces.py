"""Mesh + weak form -> finite element spaces: bases at quadrature points, numbering of unknowns,
boundary facets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import skfem
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from skfem import CellBasis, FacetBasis
from skfem.generic_utils import OrientedBoundary

from compiler.arrays import Array, IntArray
from compiler.fem.discrete.hessians import hessian
from compiler.fem.discrete.locate import Located
from compiler.fem.discrete.skeleton import Facets, between, penalty
from compiler.fem.errors import SolverError
from compiler.fem.forms.curvature import Skeleton
from compiler.fem.forms.pairing import BENDING, EDGE
from compiler.fem.forms.weak import Region, WeakForm
from compiler.fem.meshing.elements import (
    cell_of,
    facet_basis,
    highest,
    highest_edge,
    in_cells,
    lagrange,
    nedelec,
)
from pdespec.geometry import Boundary, Domain


@dataclass(frozen=True)
class Tabulated:
    """A scalar basis at the quadrature points of one region.

    Shapes: jets "s a e q", dofs "a e". The slots s are value and gradient of basis function a on
    cell e, 1 + d of them; where an energy holds second derivatives these follow, and between cells
    the jump of the normal derivative.
    """

    jets: Array
    dofs: IntArray

    @cached_property
    def by_cell(self) -> Array:
        """The jets as "e a s q" in one piece, for batched products."""
        return np.ascontiguousarray(self.jets.transpose(2, 1, 0, 3))


@dataclass(frozen=True)
class Place:
    """Quadrature on one region: points "d e q", weights "e q", normals "d e q" on boundaries, a
    tabulated basis per component; on facets of an energy of second derivatives the penalty of
    kinks, "e 1"."""

    points: Array
    weights: Array
    normals: Array | None
    tables: Mapping[str, Tabulated]
    penalty: Array | None = None


@dataclass(frozen=True)
class Spaces:
    """The discrete unknowns of one sample. Component c owns the numbers offsets[c] .. offsets[c]
    + sizes[c]. `parts`: the cells of each of several domains, "e"; what a component owns outside
    of its own is not used. `axes`: which component of its vector each one is that is carried by
    edge elements, whose components have all their numbers in common."""

    mesh: skfem.Mesh
    bases: Mapping[str, CellBasis]
    offsets: Mapping[str, int]
    facets: Mapping[Boundary, IntArray]
    places: Mapping[Region, Place]
    parts: Mapping[Domain, NDArray[np.bool_]] = field(default_factory=dict)
    axes: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of coefficients of all components."""
        return max(self.offsets[c] + basis.N for c, basis in self.bases.items())

    def nodes(self, component: str) -> Array:
        """Positions of the unknowns of a component, "d n"."""
        return self.bases[component].doflocs

    def numbers(self, component: str) -> slice:
        """Where the coefficients of a component stand in a vector of all."""
        start = self.offsets[component]
        return slice(start, start + self.bases[component].N)

    def on(self, component: str, boundary: Boundary) -> IntArray:
        """Unknowns of a component whose nodes lie on a boundary, numbered within the component."""
        return np.unique(self.bases[component].get_dofs(facets=self.facets[boundary]).flatten())


def make_spaces(
    form: WeakForm,
    mesh: skfem.Mesh,
    facets: Mapping[Boundary, IntArray],
    degree: int,
    regions: tuple[Region, ...],
    parts: Mapping[Domain, NDArray[np.bool_]] | None = None,
) -> Spaces:
    """Spaces on a mesh with quadrature on the given regions, exact for polynomials of degree 2k
    + 1."""
    cell, dim = cell_of(mesh), mesh.dim()
    lower = [c for c, space in form.spaces.items() if space.below > 0 and space.continuous]
    if degree < 2 and lower:
        multiplier = lower[0]
        raise SolverError(
            f"{multiplier} is a Lagrange multiplier: the Taylor-Hood pair needs degree 2 or more,"
            f" not {degree}"
        )
    bent = any(space is BENDING for space in form.spaces.values())
    order = 2 * (min(degree + 1, highest(cell)) if bent else degree) + 1
    elements = {}
    for component in form.components:
        space = form.spaces[component]
        top = degree - space.below
        top = min(top, highest(cell)) if space is BENDING else top
        elements[component] = (
            nedelec(cell, min(degree, highest_edge(cell)))
            if space is EDGE
            else lagrange(cell, top, space.continuous)
        )
    axes = edge_axes(form)
    shared: dict[str, CellBasis] = {}
    bases, offsets, start = {}, {}, 0
    for component, element in elements.items():
        key = repr((type(element), element.maxdeg, form.spaces[component]))
        if key not in shared:
            shared[key] = CellBasis(mesh, element, intorder=order)
        bases[component] = shared[key]
        offsets[component] = start
        if axes.get(component, dim - 1) == dim - 1:  # all components of an edge element in one
            start += bases[component].N
    spaces = Spaces(mesh, bases, offsets, facets, {}, parts or {}, axes)
    periodic = [k for k, x in enumerate(form.coordinates) if x.name in form.domain.periodic]
    inner = between(mesh, periodic, order) if bent else None
    places = {
        region: between_cells(region, spaces, inner)
        if isinstance(region, Skeleton) and inner is not None
        else place(region, spaces, order, bent)
        for region in regions
    }
    return replace(spaces, places=places)


def place(region: Region, spaces: Spaces, order: int, bent: bool) -> Place:
    """Quadrature and tabulated bases on a domain or a boundary, with second derivatives where an
    energy holds them (`bent`)."""
    made: dict[tuple[int, int | None], tuple] = {}
    tables, mesh, penalties = {}, spaces.mesh, None
    at = seen_from_home(region, spaces) if isinstance(region, Boundary) else None
    part = spaces.parts.get(region) if isinstance(region, Domain) else None
    for component, basis in spaces.bases.items():
        axis = spaces.axes.get(component)
        if (id(basis), axis) not in made:
            if part is not None:
                there = CellBasis(mesh, basis.elem, elements=np.flatnonzero(part), intorder=order)
            else:
                there = basis if at is None else facet_basis(mesh, basis.elem, at, order)
            table = jets(there) if axis is None else edge_jets(there, axis)
            if bent:
                cells = mesh.f2t[0, at] if at is not None else np.arange(mesh.nelements)
                where = basis.X if at is None else in_cells(mesh, cells, mesh.facets[:, at], order)
                table = np.concatenate([table, hessians(there, where, cells)])
            made[id(basis), axis] = (there, table)
        there, table = made[id(basis), axis]
        tables[component] = Tabulated(table, there.element_dofs + spaces.offsets[component])
    if at is not None and bent:
        top = max(basis.elem.maxdeg for basis in spaces.bases.values())
        penalties = penalty(mesh, top, mesh.f2t[0, at], there.dx, measures(spaces))
    normals = np.asarray(there.normals) if isinstance(region, Boundary) else None
    return Place(np.asarray(there.global_coordinates()), there.dx, normals, tables, penalties)


def seen_from_home(region: Boundary, spaces: Spaces) -> IntArray:
    """The facets of a boundary, each with the side on which the domain lies that it bounds."""
    facets, cells = spaces.facets[region], spaces.parts.get(region.domain)
    if cells is None:
        return facets
    return OrientedBoundary(facets, np.where(cells[spaces.mesh.f2t[0, facets]], 0, 1))


def between_cells(region: Skeleton, spaces: Spaces, facets: Facets) -> Place:
    """Quadrature and tabulated bases between cells, seen from one side."""
    tables, made = {}, {}
    for component, basis in spaces.bases.items():
        if id(basis) not in made:
            made[id(basis)] = facets.jets(basis.elem, region.side, basis.Nbfun)
        own = np.concatenate([basis.element_dofs[:, cells] for cells in facets.cells])
        tables[component] = Tabulated(made[id(basis)], own + spaces.offsets[component])
    top = max(basis.elem.maxdeg for basis in spaces.bases.values())
    cells, weights = facets.cells[region.side], facets.weights
    return Place(
        facets.points(region.side),
        weights,
        facets.normals,
        tables,
        penalty(spaces.mesh, top, cells, weights, measures(spaces)),
    )


def measures(spaces: Spaces) -> Array:
    """Of every cell. Shapes: "e"."""
    return next(iter(spaces.bases.values())).dx.sum(axis=1)


def hessians(basis: CellBasis | FacetBasis, places: Array, cells: IntArray) -> Array:
    """Second derivatives of the basis functions, "p a e q"."""
    return np.stack(
        [hessian(basis.elem, basis.mapping, places, k, cells) for k in range(basis.Nbfun)], axis=1
    )


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


def edge_axes(form: WeakForm) -> dict[str, int]:
    """Of components that edge elements carry, which of their vector they are."""
    owners: dict[str, list[str]] = {}
    for component in (c for c in form.components if form.spaces[c] is EDGE):
        owners.setdefault(component.rpartition(".")[0], []).append(component)
    return {c: axis for own in owners.values() for axis, c in enumerate(own)}


def edge_jets(basis: CellBasis | FacetBasis, component: int) -> Array:
    """One component of the vector basis functions and its derivatives, those of half of their curl:
    all that equations of the curl alone ask for. Shapes: "1+d a e q"."""
    dim, shape = basis.mesh.dim(), basis.dx.shape
    return np.stack([np.stack(edge_jet(f[0], component, dim, shape)) for f in basis.basis], axis=1)


def edge_jet(
    phi: skfem.DiscreteField, component: int, dim: int, shape: tuple[int, ...]
) -> list[Array]:
    """Value and derivatives of one component, with d_j phi_k - d_k phi_j from the curl, the
    symmetric part zero. Shapes: ".." each."""
    curl = np.asarray(phi.curl)
    slopes = []
    for axis in range(dim):
        if axis == component:
            slope = np.zeros(shape)
        elif dim == 2:
            slope = curl / 2 if component == 1 else -curl / 2
        else:  # d_j phi_k - d_k phi_j = e_jkl curl_l
            other = 3 - axis - component
            slope = (1 if (axis + 1) % 3 == component else -1) * curl[other] / 2
        slopes.append(np.broadcast_to(slope, shape))
    return [np.broadcast_to(np.asarray(phi)[component], shape), *slopes]


def interpolation(
    basis: CellBasis, located: Located, axis: int | None = None, component: int | None = None
) -> csr_matrix:
    """From the unknowns of a basis to the values at points, or to the derivatives along an axis; of
    edge elements those of one component. Shapes: "points unknowns"."""
    count, place = located.cells.size, located.reference[:, :, None]
    found = [
        basis.elem.gbasis(basis.mapping, place, k, tind=located.cells)[0]
        for k in range(basis.Nbfun)
    ]
    if component is not None:
        dim, slot = basis.mesh.dim(), 0 if axis is None else 1 + axis
        phi = [edge_jet(each, component, dim, (count, 1))[slot] for each in found]
    else:
        phi = [
            np.broadcast_to(each if axis is None else each.grad[axis], (count, 1)) for each in found
        ]
    rows = np.tile(np.arange(count), basis.Nbfun)
    return csr_matrix(
        (np.concatenate(phi)[:, 0], (rows, basis.element_dofs[:, located.cells].ravel())),
        (count, basis.N),
    )
