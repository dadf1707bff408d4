"""Essential conditions and periodicity: the coefficient vectors that satisfy them are u = T u[free]
+ g(t).

One matrix holds them all. A fixed unknown has an empty row in T, a node on a periodic side the row
of its partner, and a slip condition `dot(v, n) = 0` writes the component along the largest entry of
n by the others. Where two conditions meet in a node, a zero value wins (the corners of a lid-driven
cavity are watertight), otherwise the one declared later. A condition at a point fixes the
interpolated value there: what meets all else, `u = T w + g`, meets it too where the entry of w with
the largest share in that value is written by the others. So does a slip condition in a node where
pieces of the boundary meet at an angle, once for each of their normals, and in one where another
condition holds a component.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

from compiler.arrays import Array, IntArray
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.discrete.inverse import lu
from compiler.fem.discrete.kernels import Function, function
from compiler.fem.discrete.locate import Locator
from compiler.fem.discrete.spaces import Spaces, interpolation
from compiler.fem.errors import NoWeakForm, SolverError
from compiler.fem.forms.conditions import Essential, Pin, normals_of
from compiler.fem.forms.pairing import CONSTANT
from compiler.fem.forms.unit_normal import zero
from compiler.fem.forms.weak import WeakForm
from compiler.fem.meshing.bodies import geometry_of, owners
from compiler.fem.meshing.elements import facet_basis
from compiler.geometry.shapes import Piece
from compiler.lowering.terms import JetVariable
from pdespec.coordinates import Coordinate, Normal, Time
from pdespec.symbols import Scalar

SMOOTH = 0.9999  # cosine of two normals, below which a node is a corner
OUTSIDE = 0.5  # cells by which a point may miss the mesh: between a curved boundary and its chord


@dataclass(frozen=True)
class Fixed:
    """One essential condition at its nodes: u[solved] = scale * value(points, t) - sum_k factors_k
    u[others_k].

    Shapes: solved "n", points and normals "d n", scale "n".
    """

    solved: IntArray
    points: Array
    normals: Array
    scale: Array
    value: Function
    others: tuple[tuple[IntArray, Array], ...]


@dataclass(frozen=True)
class Pinned:
    """One condition at a point, `row . u = value(t)`: where it is missed, u moves along
    `direction`, with `row . direction = 1`.

    Shapes: row and direction "n", point and normal "d 1".
    """

    row: Array
    direction: Array
    point: Array
    normal: Array
    value: Function


@dataclass(frozen=True)
class Corner:
    """A node at which a condition holds in addition to another one. Shapes: point and normal "d
    1"."""

    condition: Essential
    node: int
    point: Array
    normal: Array


@dataclass(frozen=True)
class Constraints:
    """u = T u[free] + g."""

    matrix: csr_matrix
    free: IntArray
    fixed: tuple[Fixed, ...]
    masters: IntArray
    known: Coefficients
    pinned: tuple[Pinned, ...] = ()
    along: tuple[tuple[IntArray, Array], ...] = ()

    @property
    def moving(self) -> bool:
        """Whether g changes in time."""
        values = [each.value for each in (*self.fixed, *self.pinned)]
        return any(
            isinstance(s, Time) or self.known.moves(s) for value in values for s in value.arguments
        )

    def offset(self, time: float) -> Array:
        """g at a time."""
        values = np.zeros(self.matrix.shape[0])
        for each in self.fixed:
            values[each.solved] = each.scale * at_nodes(
                each.value, self.known, each.points, each.normals, time
            )
        for numbers, each in self.along:
            values[numbers] = each
        values = values[self.masters]
        for each in self.pinned:
            (wanted,) = at_nodes(each.value, self.known, each.point, each.normal, time)
            values = values + each.direction * (wanted - each.row @ values)
        return values


def constrain(form: WeakForm, spaces: Spaces, known: Coefficients) -> Constraints:
    """The constraints of one sample."""
    masters = partners(form, spaces)
    along = edge_values(form, spaces, known)
    nodal = [e for e in form.essentials if not set(dict(e.coefficients)) & set(spaces.axes)]
    zero_last = sorted(nodal, key=lambda e: e.value == 0)
    fixed: list[Fixed] = []
    taken: dict[int, int] = {}
    for condition in (e for e in zero_last if len(e.coefficients) == 1):
        each, _ = fix(condition, spaces, known, set())
        taken.update(dict.fromkeys(each.solved.tolist(), len(fixed)))
        fixed.append(each)
    fixed = [
        keep(each, np.array([taken[n] == k for n in each.solved.tolist()], dtype=bool))
        for k, each in enumerate(fixed)
    ]
    corners: list[Corner] = []
    for condition in (e for e in nodal if len(e.coefficients) > 1):
        each, further = fix(condition, spaces, known, set(taken))
        corners += further
        taken.update(dict.fromkeys(each.solved.tolist(), len(fixed)))
        fixed.append(each)
    unused = idle(form, spaces)
    for numbers, _ in along:
        unused[numbers] = True
    matrix, free = transformation(masters, fixed, spaces.size, unused)
    found = Constraints(matrix, free, tuple(fixed), masters, known, along=along)
    for corner in corners:
        found = at_corner(corner, found, spaces)
    for condition in form.pins:
        found = pin(condition, found, spaces)
    return found


def edge_values(
    form: WeakForm, spaces: Spaces, known: Coefficients
) -> tuple[tuple[IntArray, Array], ...]:
    """Numbers and values of the unknowns of edge elements that conditions on tangential components
    fix: those whose components are nearest to what is stated, in the mean square over the facets.

    Raises: NoWeakForm for a condition that holds the normal component.
    """
    found = []
    for vector in dict.fromkeys(c.rpartition(".")[0] for c in spaces.axes):
        names = [c for c in spaces.axes if c.rpartition(".")[0] == vector]
        own = [e for e in form.essentials if set(dict(e.coefficients)) & set(names)]
        if not own:
            continue
        size, start = spaces.bases[names[0]].N, spaces.offsets[names[0]]
        matrix, load = csr_matrix((size, size)), np.zeros(size)
        chosen = np.zeros(size, dtype=bool)
        for condition in own:
            refuse_normal(condition, names)
            facets = spaces.facets[condition.region]
            basis = spaces.bases[names[0]]
            chosen[basis.get_dofs(facets=facets).flatten()] = True
            there = facet_basis(spaces.mesh, basis.elem, facets, 6)
            points, normals = np.asarray(there.global_coordinates()), np.asarray(there.normals)
            shape = there.dx.shape
            flat = points.reshape(len(points), -1), normals.reshape(len(normals), -1)

            def at(expression, flat=flat, shape=shape):
                return at_nodes(function([expression]), known, *flat, 0.0).reshape(shape)

            factors = dict(condition.coefficients)
            along = np.stack(
                [
                    sum(
                        at(factors[c]) * np.asarray(f[0])[k]
                        for k, c in enumerate(names)
                        if c in factors
                    )
                    for f in there.basis
                ]
            )  # a e q
            square = np.einsum("aeq,beq,eq->abe", along, along, there.dx)
            rows, columns = (
                np.broadcast_to(d, square.shape)
                for d in (there.element_dofs[:, None], there.element_dofs[None])
            )
            matrix = (
                matrix
                + coo_matrix(
                    (square.ravel(), (rows.ravel(), columns.ravel())), (size, size)
                ).tocsr()
            )
            ahead = np.einsum("aeq,eq->ae", along, at(condition.value) * there.dx)
            load += np.bincount(there.element_dofs.ravel(), ahead.ravel(), size)
        numbers = np.flatnonzero(chosen)
        values = lu(matrix[numbers][:, numbers].tocsc())(load[numbers])
        found.append((numbers + start, values))
    return tuple(found)


def refuse_normal(condition: Essential, names: Sequence[str]) -> None:
    """Raises: NoWeakForm for a condition on more than the tangential components of a vector."""
    factors, numbers = dict(condition.coefficients), normals_of(condition.region)
    normal = [Normal(x).subs(numbers) for x in condition.region.coordinates]
    across = sum(
        sp.sympify(factors.get(c, 0)).subs(numbers) * n for c, n in zip(names, normal, strict=True)
    )
    if not zero([across], normal):
        vector = names[0].rpartition(".")[0]
        raise NoWeakForm(
            f"condition `{condition.label}` on {condition.region.name} holds the normal component"
            f" of {vector}, whose equation holds its curl alone and fixes what is along the"
            f" boundary: give cross(n, {vector}), or the flux, a multiple of curl({vector})"
        )


def pin(condition: Pin, found: Constraints, spaces: Spaces) -> Constraints:
    """The constraints with one more, at a point.

    Raises: SolverError for a point outside of the mesh, or where other conditions have fixed
    another value.
    """
    known, value = found.known, function([condition.value])
    point = np.array([[known.number(each)] for each in condition.place])
    place = f"({', '.join(f'{x:.4g}' for x in point[:, 0])})"
    located = Locator(spaces.mesh)(point)
    if located.depth[0] < -OUTSIDE:
        raise SolverError(
            f"the point {place} of condition `{condition.label}` lies outside of the mesh"
        )
    row = np.zeros(spaces.size)
    for component, factor in condition.coefficients:
        (size,) = at_nodes(function([factor]), known, point, np.zeros_like(point), 0.0)
        row[spaces.numbers(component)] += (
            size
            * interpolation(
                spaces.bases[component], located, component=spaces.axes.get(component)
            ).toarray()[0]
        )
    held = held_too(found, row, point, np.zeros_like(point), value)
    if held is None:
        start = known.number(known.problem.time.start) if known.problem.time is not None else 0.0
        (wanted,), there = (
            at_nodes(value, known, point, np.zeros_like(point), start),
            float(row @ found.offset(start)),
        )
        if abs(wanted - there) > 1e-8 * (1 + abs(there)):
            raise SolverError(
                f"condition `{condition.label}` asks for {wanted:.4g} at {place}, where others have"
                f" fixed {there:.4g}"
            )
        return found
    return held


def held_too(
    found: Constraints, row: Array, point: Array, normal: Array, value: Function
) -> Constraints | None:
    """The constraints with `row . u = value` added; None where they fix that already."""
    shares = found.matrix.T @ row
    chosen = int(np.argmax(np.abs(shares))) if shares.size else 0
    if not shares.size or abs(shares[chosen]) <= 1e-10 * np.abs(row).max(initial=0.0):
        return None
    direction = found.matrix[:, [chosen]] / shares[chosen]
    kept = np.delete(np.arange(shares.size), chosen)
    matrix = (found.matrix[:, kept] - direction @ csr_matrix(shares[None, kept])).tocsr()
    pinned = Pinned(row, direction.toarray()[:, 0], point, normal, value)
    return replace(found, matrix=matrix, free=found.free[kept], pinned=(*found.pinned, pinned))


def at_corner(corner: Corner, found: Constraints, spaces: Spaces) -> Constraints:
    """The constraints with a condition in one node more. Where others have fixed all that it
    holds, they win."""
    row = np.zeros(spaces.size)
    for component, factor in corner.condition.coefficients:
        (size,) = at_nodes(function([factor]), found.known, corner.point, corner.normal, 0.0)
        row[spaces.offsets[component] + corner.node] += size
    value = function([corner.condition.value])
    held = held_too(found, row, corner.point, corner.normal, value) if row.any() else None
    return held or found


def fix(
    condition: Essential, spaces: Spaces, known: Coefficients, taken: set[int]
) -> tuple[Fixed, list[Corner]]:
    """An essential condition solved, node by node, for the free component with the largest
    coefficient; and what is left to hold at corners."""
    names = [name for name, _ in condition.coefficients]
    local = spaces.on(names[0], condition.region)
    if any(spaces.bases[name] is not spaces.bases[names[0]] for name in names):
        raise SolverError(f"condition `{condition.label}` couples components of different elements")
    points = spaces.nodes(names[0])[:, local]
    normals, further = node_normals(condition, spaces, names[0], local, known)
    factors = np.array(
        [at_nodes(function([c]), known, points, normals, 0.0) for _, c in condition.coefficients]
    )
    numbers = np.array([local + spaces.offsets[name] for name in names])
    # components x nodes, as `numbers`
    free = np.array([[n not in taken for n in row] for row in numbers.tolist()]).reshape(
        numbers.shape
    )
    chosen = np.argmax(np.where(free, np.abs(factors), -1.0), axis=0)
    columns = np.arange(local.size)
    usable = free.any(axis=0) & (np.abs(factors[chosen, columns]) > 1e-12)
    shared = usable & (~free & (np.abs(factors) > 1e-12)).any(axis=0)  # another holds a part
    further += [(k, normals[:, k]) for k in np.flatnonzero(shared)]
    usable &= ~shared
    chosen, columns = chosen[usable], columns[usable]
    pivot = factors[chosen, columns]
    others = []
    for k in range(len(names)):
        weight = np.where(chosen == k, 0.0, factors[k, columns] / pivot)
        if np.any(weight):
            others.append((numbers[k, columns], weight))
    fixed = Fixed(
        numbers[chosen, columns],
        points[:, columns],
        normals[:, columns],
        1 / pivot,
        function([condition.value]),
        tuple(others),
    )
    corners = [Corner(condition, int(local[k]), points[:, [k]], n[:, None]) for k, n in further]
    return fixed, corners


def keep(each: Fixed, mask: NDArray[np.bool_]) -> Fixed:
    """The conditions at those of their nodes that the mask holds. Shapes: mask (n,)."""
    others = tuple((numbers[mask], weight[mask]) for numbers, weight in each.others)
    return Fixed(
        each.solved[mask],
        each.points[:, mask],
        each.normals[:, mask],
        each.scale[mask],
        each.value,
        others,
    )


def idle(form: WeakForm, spaces: Spaces) -> NDArray[np.bool_]:
    """Which unknowns belong to no cell of the domain of their component: they stay zero. Shapes:
    -> "n"."""
    found = np.zeros(spaces.size, dtype=bool)
    for component, own_domain in form.component_domains.items():
        basis = spaces.bases[component]
        own = np.zeros(basis.N, dtype=bool)
        own[basis.element_dofs[:, spaces.parts[own_domain]]] = True
        found[spaces.numbers(component)] = ~own
    return found


def transformation(
    masters: IntArray, fixed: Sequence[Fixed], size: int, unused: NDArray[np.bool_]
) -> tuple[csr_matrix, IntArray]:
    """T: identity on free masters, combinations of them elsewhere, zero for what is not used."""
    solved = unused.copy()
    for each in fixed:
        solved[each.solved] = True
    free = np.flatnonzero((masters == np.arange(size)) & ~solved)
    column = np.full(size, -1)
    column[free] = np.arange(free.size)
    rows, columns, entries = [free], [column[free]], [np.ones(free.size)]
    for each in fixed:
        for numbers, weight in each.others:
            there = column[numbers] >= 0
            rows.append(each.solved[there])
            columns.append(column[numbers[there]])
            entries.append(-weight[there])
    base = coo_matrix(
        (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))),
        (size, free.size),
    ).tocsr()
    return base[masters], free


def partners(form: WeakForm, spaces: Spaces) -> IntArray:
    """For every unknown the one it equals: itself, its partner on the opposite periodic side, or
    the first where all are equal."""
    masters = np.arange(spaces.size)
    for component in (c for c in form.components if form.spaces[c] is CONSTANT):
        masters[spaces.numbers(component)] = spaces.offsets[component]
    names = [x.name for x in form.coordinates]
    axes = [names.index(name) for name in form.domain.periodic]
    if not axes:
        return masters
    lower, upper = spaces.mesh.p.min(axis=1), spaces.mesh.p.max(axis=1)
    length = upper - lower
    for component in form.components:
        if not form.spaces[component].continuous or form.spaces[component] is CONSTANT:
            continue
        place = (spaces.nodes(component) - lower[:, None]) / length[:, None]
        place[axes] = np.where(place[axes] > 1 - 1e-9, 0.0, place[axes])
        keys = np.round(place * 1e8).astype(np.int64)
        _, first, inverse = np.unique(keys, axis=1, return_index=True, return_inverse=True)
        masters[spaces.numbers(component)] = spaces.offsets[component] + first[inverse.ravel()]
    return masters


def node_normals(
    condition: Essential, spaces: Spaces, component: str, local: IntArray, known: Coefficients
) -> tuple[Array, list[tuple[int, Array]]]:
    """Unit normals at boundary nodes, where the condition asks for them: those of the true boundary
    where the node lies on it, else averaged over the facets of the same piece that meet there. At
    corners that of one piece; the others follow, each with the place of its node in `local`.
    """
    dim = spaces.mesh.dim()
    asked = any(c.atoms(Normal) for _, c in condition.coefficients) or condition.value.atoms(Normal)
    if not asked:
        return np.zeros((dim, local.size)), []
    facets = spaces.facets[condition.region]
    pieces = geometry_of(condition.region.domain, known.shape_values).body.pieces()
    owner = owners(pieces, spaces.mesh.p[:, spaces.mesh.facets[:, facets]].mean(axis=1))
    found, further = np.zeros((dim, local.size)), []
    for k in np.unique(owner):
        averaged = facet_normals(facets[owner == k], spaces, component)[:, local]
        for place in np.flatnonzero(averaged.any(axis=0)):
            averaged[:, place] /= np.linalg.norm(averaged[:, place])
        there = np.flatnonzero(averaged.any(axis=0))
        points = spaces.nodes(component)[:, local[there]]
        averaged[:, there] = true_normals(pieces[k], points, averaged[:, there])
        for place in there:
            if not found[:, place].any():
                found[:, place] = averaged[:, place]
            elif found[:, place] @ averaged[:, place] < SMOOTH:
                further.append((int(place), averaged[:, place].copy()))
    return found, further


def facet_normals(facets: IntArray, spaces: Spaces, component: str) -> Array:
    """At all nodes of a component the sum of the normals of facets, weighed by its basis functions;
    zero elsewhere. Shapes: -> "d n"."""
    basis = facet_basis(spaces.mesh, spaces.bases[component].elem, facets, 4)
    total = np.zeros((spaces.mesh.dim(), spaces.bases[component].N))
    for phi, numbers in zip(basis.basis, basis.element_dofs, strict=True):
        for axis, normal in enumerate(np.asarray(basis.normals)):
            weighed = np.sum(np.abs(np.asarray(phi[0])) * normal * basis.dx, axis=1)
            np.add.at(total[axis], numbers, weighed)
    return total


def true_normals(piece: Piece, points: Array, averaged: Array) -> Array:
    """Outward normals of a curved piece at those points that lie on it, else what was averaged.
    Shapes: "d n" all."""
    if piece.flat or not points.size:
        return averaged
    at = torch.as_tensor(np.ascontiguousarray(points.T))[None].requires_grad_(True)
    level = piece.carrier(at)
    (slope,) = torch.autograd.grad(level.sum(), at)
    outward, size = -slope[0].numpy().T, np.linalg.norm(slope[0].numpy(), axis=1)
    extent = float(np.ptp(points, axis=1).max(initial=0.0))
    on = np.abs(level[0].detach().numpy()) <= 1e-6 * size * extent
    on &= (outward * averaged).sum(axis=0) > 0  # the carrier is positive inside
    return np.where(on, outward / np.where(size > 0, size, 1.0), averaged)


def at_nodes(
    call: Function, known: Coefficients, points: Array, normals: Array, time: float
) -> Array:
    """A function of position, normal, time, parameters and inputs at nodes.  Shapes: points,
    normals "d n" -> "n"."""
    coordinates = known.problem.coordinates

    def argument(symbol):
        if isinstance(symbol, Coordinate):
            return points[coordinates.index(symbol)]
        if isinstance(symbol, Normal):
            return normals[coordinates.index(symbol.coordinate)]
        if isinstance(symbol, Time):
            return time
        if isinstance(symbol, Scalar):
            return known.parameter(symbol)
        if isinstance(symbol, JetVariable) and symbol.known:
            return known.field(symbol, points, time)
        raise SolverError(f"{symbol} cannot appear in a condition on values")

    (value,) = call.call(*[argument(symbol) for symbol in call.arguments])
    return np.broadcast_to(np.asarray(value, dtype=np.float64), points.shape[1:]).copy()
