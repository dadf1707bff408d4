"""Lagrange elements by cell and degree: what the reference solver builds its spaces and its
curved cells from."""

from __future__ import annotations

from copy import copy

import numpy as np
import skfem
from numpy.typing import NDArray
from skfem.element import ElementDG, ElementH1
from skfem.mapping import MappingIsoparametric
from skfem.refdom import RefHex, RefLine, RefQuad, RefTet, RefTri

from compiler.arrays import Array
from compiler.fem.errors import SolverError

CELLS = {
    RefLine: "interval",
    RefTri: "triangle",
    RefQuad: "quadrilateral",
    RefTet: "tetrahedron",
    RefHex: "hexahedron",
}


class ElementLineP3(ElementH1):
    """Cubic Lagrange on [0, 1] with nodes 0, 1, 1/3, 2/3. (The unknowns of scikit-fem's own
    cubic are not values at points.)"""

    nodal_dofs = 1
    interior_dofs = 2
    maxdeg = 3
    dofnames = ["u", "u", "u"]
    doflocs = np.array([[0.0], [1.0], [1 / 3], [2 / 3]])
    refdom = RefLine

    _polynomials = [
        np.polynomial.Polynomial.fromroots([b for b in (0, 1, 1 / 3, 2 / 3) if b != a])
        for a in (0, 1, 1 / 3, 2 / 3)
    ]

    def lbasis(self, X, i):
        node, polynomial = self.doflocs[i, 0], self._polynomials[i]
        return polynomial(X[0]) / polynomial(node), np.array(
            [polynomial.deriv()(X[0]) / polynomial(node)]
        )


LAGRANGE = {
    ("interval", 1): skfem.ElementLineP1,
    ("interval", 2): skfem.ElementLineP2,
    ("interval", 3): ElementLineP3,
    ("triangle", 1): skfem.ElementTriP1,
    ("triangle", 2): skfem.ElementTriP2,
    ("triangle", 3): skfem.ElementTriP3,
    ("quadrilateral", 1): skfem.ElementQuad1,
    ("quadrilateral", 2): skfem.ElementQuad2,
    ("tetrahedron", 1): skfem.ElementTetP1,
    ("tetrahedron", 2): skfem.ElementTetP2,
    ("hexahedron", 1): skfem.ElementHex1,
    ("hexahedron", 2): skfem.ElementHex2,
}

CONSTANT = {
    "interval": skfem.ElementLineP0,
    "triangle": skfem.ElementTriP0,
    "quadrilateral": skfem.ElementQuad0,
    "tetrahedron": skfem.ElementTetP0,
    "hexahedron": skfem.ElementHex0,
}


def cell_of(mesh: skfem.Mesh) -> str:
    """The cell's name as UFL spells it."""
    return CELLS[mesh.elem.refdom]


def lagrange(cell: str, degree: int, continuous: bool = True) -> skfem.Element:
    """The Lagrange element of a degree, continuous or element by element.

    Raises: SolverError naming the degrees there are for that cell.
    """
    if degree == 0:
        return CONSTANT[cell]()
    if (cell, degree) not in LAGRANGE:
        known = sorted(k for c, k in LAGRANGE if c == cell)
        raise SolverError(
            f"no Lagrange element of degree {degree} on a {cell}; degrees {known} are there"
        )
    element = LAGRANGE[cell, degree]()
    return element if continuous else ElementDG(element)


EDGE = {
    ("triangle", 1): skfem.ElementTriN1,
    ("triangle", 2): skfem.ElementTriN2,
    ("tetrahedron", 1): skfem.ElementTetN1,
}


def nedelec(cell: str, degree: int) -> skfem.Element:
    """The edge element of a degree, of the first kind: tangential components are continuous.

    Raises: SolverError naming the degrees there are for that cell.
    """
    if (cell, degree) not in EDGE:
        raise SolverError(
            f"no edge element of degree {degree} on a {cell}; triangles have those of degrees 1 and"
            " 2, tetrahedra that of degree 1: use cell='simplex'"
        )
    return EDGE[cell, degree]()


def highest_edge(cell: str) -> int:
    """The highest degree of the edge elements that there are on a cell, 0 for none."""
    return max((degree for each, degree in EDGE if each == cell), default=0)


def highest(cell: str) -> int:
    """The highest degree that there is on a cell."""
    return max(degree for each, degree in LAGRANGE if each == cell)


def in_cells(
    mesh: skfem.Mesh, cells: NDArray[np.integer], corners: NDArray[np.integer], order: int
) -> Array:
    """The quadrature points of facets in reference coordinates of one of their cells, from the
    vertices of each facet. Shapes: cells "f", corners "v f" -> "d f q"."""
    if mesh.dim() == 1:
        shares = np.ones((1, 1))
    else:
        at = skfem.quadrature.get_quadrature(mesh.brefdom, order)[0]
        shares = np.concatenate([1 - at.sum(0, keepdims=True), at])
    place = (mesh.t[:, None, cells] == corners).argmax(0)
    return np.einsum("dvf,vq->dfq", mesh.elem.refdom.p[:, place], shares)


def facet_basis(
    mesh: skfem.Mesh, element: skfem.Element, facets: NDArray[np.integer], order: int
) -> skfem.FacetBasis:
    """The basis on facets of the outside, by a rule of an order.

    scikit-fem finds the points of a facet in its cell by Newton's method, which fails on coarse
    cells that are curved far; where they are follows from the corners that the two share.
    """
    mapping = copy(mesh.mapping())
    if isinstance(mapping, MappingIsoparametric) and isinstance(
        mesh, (skfem.MeshTri, skfem.MeshTet)
    ):
        cells = mesh.f2t[getattr(facets, "ori", 0), facets]
        known = in_cells(mesh, cells, mesh.facets[:, facets], order)
        mapping.invF = lambda *_, **__: known  # type: ignore[method-assign]
    return skfem.FacetBasis(mesh, element, mapping=mapping, facets=facets, intorder=order)
