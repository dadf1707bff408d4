"""Minima under bounds, `require u > psi`: the primal-dual active set method.

With lambda the force that the bound exerts, u >= psi, lambda >= 0 and lambda (u - psi) = 0
everywhere. Quadratic elements are not positive where their nodal values are, and their vertex
functions have integral zero; so the bounded unknowns are the coefficients c of Bernstein's basis, u
= B c, whose functions are positive and sum to one: c >= c_psi keeps u above psi at every point, and
lambda = B'R is well defined. In each step the coefficients with lambda_i > k_i (c_i - psi_i), k the
diagonal of the tangent, are set to the bound and Newton's method moves the others, until the set
repeats. Source: M. Hintermueller, K. Ito, K. Kunisch, The primal-dual active set strategy as a
semismooth Newton method, SIAM J. Optim. 13 (2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import block_diag, csr_matrix, diags, identity

from compiler.arrays import Array
from compiler.fem.discrete.constraints import at_nodes
from compiler.fem.discrete.inverse import lu
from compiler.fem.discrete.kernels import function
from compiler.fem.discrete.spaces import Spaces
from compiler.fem.discrete.system import System
from compiler.fem.errors import NoConvergence, SolverError
from compiler.fem.forms.conditions import Obstacle
from compiler.fem.solvers.newton import NewtonOptions, length

ROUNDS = 60
CONTACT = "contact"  # where a system's cache holds how its bounds are met


@dataclass(frozen=True)
class Contact:
    """How a bound is met: `share` of the coefficients that lie on it, the `force` that it exerts in
    all, the largest `gap` by which it is missed, and `complementarity`, the largest of |min(u -
    psi, lambda / k)|, zero at the solution.
    """

    share: float
    force: float
    gap: float
    complementarity: float


def bounded(
    system: System,
    start: Array,
    bounds: Sequence[Obstacle],
    options: NewtonOptions,
    time: float = 0.0,
) -> tuple[Array, int, dict]:
    """The minimum under bounds, the steps it took and how each bound is met.

    Raises: NoConvergence, SolverError for elements without a positive basis.
    """
    spaces, known, size = system.assembly.spaces, system.assembly.known, system.size
    to_nodes = [
        bernstein(spaces, c)
        if any(b.component == c for b in bounds)
        else identity(spaces.bases[c].N)
        for c in spaces.bases
    ]
    shape = csr_matrix(
        block_diag((*to_nodes, identity(len(system.levels))))
        if system.levels
        else block_diag(to_nodes)
    )
    lower, upper = np.full(shape.shape[0], -np.inf), np.full(shape.shape[0], np.inf)
    for each in bounds:
        points, numbers = spaces.nodes(each.component), spaces.numbers(each.component)
        values = at_nodes(function([each.bound]), known, points, np.zeros_like(points), time)
        coefficients = np.asarray(lu(csr_matrix(bernstein(spaces, each.component)).tocsc())(values))
        if each.sign > 0:
            lower[numbers] = np.maximum(lower[numbers], coefficients)
        else:
            upper[numbers] = np.minimum(upper[numbers], coefficients)
    offset, free = system.offset(), system.free
    fixed = np.setdiff1d(np.arange(shape.shape[0]), free)
    select = identity(shape.shape[0], format="csr")[:, free]
    if abs(system.transformation - select).nnz:
        raise SolverError(
            "bounds beside periodic sides or slip conditions are not solved; state them without"
        )
    own = np.zeros(shape.shape[0])
    own[fixed] = lu(shape[fixed][:, fixed].tocsc())(offset[fixed]) if fixed.size else 0.0
    transformation, shift = csr_matrix(shape @ select), shape @ own
    c = np.clip(lu(shape.tocsc())(start)[free], lower[free], upper[free])
    below, above = lower[free], upper[free]
    active = np.zeros(free.size, dtype=bool)
    if np.any(
        np.maximum(lower[fixed] - own[fixed], own[fixed] - upper[fixed])
        > 1e-8 * (1 + np.abs(own[fixed]))
    ):
        raise SolverError(f"the conditions on the boundary break `{bounds[0].text}`")
    scale = 0.0
    for count in range(ROUNDS):
        u = transformation @ c + shift
        force = transformation.T @ system.residual(u)
        tangent = (transformation.T @ system.tangent(u) @ transformation).tocsr()
        weight = np.abs(tangent.diagonal())
        weight = np.where(weight > 0, weight, 1.0)
        push_up, push_down = force - weight * (c - below) > 0, -force - weight * (above - c) > 0
        now = push_up | push_down
        target = np.where(push_up, below, np.where(push_down, above, c))
        defect = np.where(now, weight * (c - target), force)
        scale = max(scale, length(force))
        if (
            count
            and np.array_equal(now, active)
            and length(defect) <= max(options.tolerance * scale, 1e-300)
        ):
            break
        active = now
        step = np.where(now, target - c, 0.0)
        inside = np.flatnonzero(~now)
        if inside.size:
            right = -(force + tangent @ step)[inside]
            step[inside] = lu(tangent[inside][:, inside].tocsc())(right)
        c = c + step
    else:
        raise NoConvergence(f"the set of points in contact still changes after {ROUNDS} steps")
    contacts = {}
    for each in bounds:
        mask = np.isin(free, np.arange(size)[spaces.numbers(each.component)])
        gap = (c - below if each.sign > 0 else above - c)[mask]
        pressed = each.sign * np.where(active, force, 0.0)[mask]
        met = np.minimum(gap, each.sign * (force / weight)[mask])
        contacts[each.text] = Contact(
            float(active[mask].mean()),
            float(pressed.sum()),
            float(max(0.0, -gap.min())),
            float(np.abs(met).max()),
        )
    return u, count, contacts


def bernstein(spaces: Spaces, component: str) -> csr_matrix:
    """From the coefficients of Bernstein's basis to the values at the nodes of a component.

    Raises: SolverError for elements other than P1, Q1 and P2.
    """
    basis = spaces.bases[component]
    if basis.elem.maxdeg == 1 or type(basis.elem).__name__ in ("ElementQuad1", "ElementHex1"):
        return csr_matrix(identity(basis.N))
    if type(basis.elem).__name__ not in ("ElementLineP2", "ElementTriP2", "ElementTetP2"):
        raise SolverError("bounds `require u > psi` are kept by simplices of degree 1 and 2")
    corners = spaces.mesh.dim() + 1
    dofs = basis.element_dofs
    at = {tuple(np.round(x, 12)): k for k, x in enumerate(basis.elem.doflocs)}
    matrix = diags(np.where(np.arange(basis.N) < 0, 0.0, 1.0)).tolil()
    places = np.array(basis.elem.doflocs)
    for i in range(corners):
        for j in range(i):
            middle = at[tuple(np.round((places[i] + places[j]) / 2, 12))]
            for a, b, m in zip(dofs[i], dofs[j], dofs[middle], strict=True):
                matrix[m, m], matrix[m, a], matrix[m, b] = 0.5, 0.25, 0.25
    return matrix.tocsr()
