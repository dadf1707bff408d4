"""Conservation laws by their balances: what flows through the boundary of a control volume V must
equal what is made inside,

    R(V) = 1/|V| (oint_dV F . n  ds + int_V S dx)  for the equation  div F + S = 0,

S without derivatives, and in time F_t . n on the faces before and after. No derivative crosses a
shock: for a field with the right jumps R is zero, where the strong residual is no function. Its
mean square on solutions that a solver smears over cells of size h grows as 1/h, and that of R falls
with h (docs/notes/airfoil_conservation.md).

What the user wrote decides the fluxes, and with them the shocks: `dx(u**2/2)` is a balance,
`u*dx(u)` is none. Source: Lax, Wendroff, Communications on Pure and Applied Mathematics 13 (1960);
in losses of networks, Jagtap, Kharazmi, Karniadakis, CMAME 365 (2020); De Ryck, Mishra, Molinaro,
SIAM J. Numer. Anal. 62 (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor

from compiler.derivatives import Request
from compiler.derivatives.interface import Backend
from compiler.fem.forms.divergence import inside
from compiler.geometry.domain import box
from compiler.loss.compiled_terms import BatchLike
from compiler.loss.physics import PhysicsLoss, Terms
from compiler.lowering.coefficients import KnownValues, graph_of
from compiler.lowering.plan import indices, plan
from compiler.lowering.terms import Term, scalars
from operators.field import capabilities
from pdespec.calculus import TwoSided, entries
from pdespec.curvilinear import angles
from pdespec.errors import PdespecError
from pdespec.geometry import Domain
from pdespec.statements.problem import Problem, once
from pdespec.symbols import InputField, UnknownField

GAUSS = 4  # nodes of a face along an axis
REACH = 1 / 32  # of the extent of a domain: half the largest side of a volume without a choice
LEAST = 1e-3  # of that: half the smallest one, at the boundary


class NotConserved(PdespecError, ValueError):
    """A problem without an equation in the form of a divergence."""


@dataclass(frozen=True)
class Law:
    """`sum_j d_j flux[j] + source` of one scalar equation, j over coordinates and time."""

    flux: tuple[sp.Expr, ...]
    source: sp.Expr


@dataclass(frozen=True)
class Volumes:
    """Control volumes: points on their faces with areas times outward normals, points inside with
    weights that add up to 1, and their measure.

    Shapes: faces and normals "b m q D", inside "b m r D", weights "r" or "b m r", measure "b m".
    """

    faces: Float[Tensor, "b m q D"]
    normals: Float[Tensor, "b m q D"]
    inside: Float[Tensor, "b m r D"]
    weights: Float[Tensor, "*bm r"]
    measure: Float[Tensor, "b m"]


@once
def laws(problem: Problem) -> Mapping[str, tuple[Law, ...]]:
    """The equations that are conservation laws as they are written, by label."""
    found = {}
    for label, equation in problem.equations.items():
        rows = entries(equation.lhs - equation.rhs)
        split = [_law(sp.sympify(row), problem) for row in rows]
        if isinstance(equation.region, Domain) and all(each is not None for each in split):
            found[label] = tuple(split)
    return {} if angles(problem.coordinates) else found


def _law(residual: sp.Expr, problem: Problem) -> Law | None:
    """None where derivatives occur outside of a divergence, or nothing is conserved."""
    variables = list(problem.variables)
    flux, source = [sp.S.Zero] * len(variables), sp.S.Zero
    for term in sp.Add.make_args(sp.expand_mul(residual, deep=False)):
        fixed, rest = term.as_independent(*variables, UnknownField, InputField, sp.Derivative)
        if isinstance(rest, sp.Derivative) and rest.has(UnknownField):
            last = rest.variables[-1]
            flux[variables.index(last)] += fixed * inside(rest, last)
        elif rest.has(sp.Derivative, TwoSided):
            return None
        else:
            source += term
    return Law(tuple(flux), source) if any(flux) else None


class ConservationLoss(PhysicsLoss):
    """The physics loss with the mean square of the balances in place of that of the residual, for
    equations that are conservation laws as they are written.

    The volumes are boxes about the points inside the domain, as large as `reach` says, and smaller
    at its boundary; each weighs by its measure. reach: half of their sides, by coordinate and time;
    without one `REACH` of the extent of the domain. nodes: of Gauss's rule on a face, along an
    axis; a shock that cuts a face is right to a share of about 1/nodes of its jump. Raises:
    NotConserved where no equation is one.
    """

    def __init__(
        self,
        problem: Problem,
        *arguments,
        reach: tuple[float, ...] = (),
        nodes: int = GAUSS,
        **options,
    ):
        super().__init__(problem, *arguments, **options)
        self.nodes = nodes
        self.laws = laws(self.problem)
        if angles(self.problem.coordinates):
            raise NotConserved(
                f"`{problem.name}` is stated about an axis or a centre; balances need Cartesian"
                " coordinates, in which control volumes are boxes: take the strong form"
            )
        if self.normalised:
            raise NotConserved(
                f"{', '.join(self.normalised)} of `{problem.name}` asks for the size of a field"
                " that its equations leave open: balances do not fix it; take the strong form"
            )
        if not self.laws:
            raise NotConserved(
                f"no equation of `{problem.name}` is a conservation law as it is written: write"
                " `u*dx(u)` as `dx(u**2/2)`, and a sum of products as div(..)"
            )
        if reach and len(reach) != len(self.names):
            raise NotConserved(f"reach takes {len(self.names)} numbers: {', '.join(self.names)}")
        self.reach = tuple(reach)
        if self.local is not None:
            inner = self.local.problem
            own = ConservationLoss(
                inner, *arguments, reach=self._inner_reach, nodes=nodes, **options
            )
            object.__setattr__(self, "local", own)
            self.trainables = own.trainables
        self.fluxes = tuple(self._term(label) for label in self.laws)
        kept = tuple(each for each in self.terms if each.label not in self.laws)
        self.order = tuple(each.name for each in self.terms)
        self.terms = kept

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.order))

    @property
    def _inner_reach(self) -> tuple[float, ...]:
        length, duration = float(self.frame.length), float(self.frame.duration)
        space = len(self.problem.coordinates)
        return tuple(
            each / (length if k < space else duration) for k, each in enumerate(self.reach)
        )

    def _term(self, label: str) -> Term:
        """The entries of all fluxes and sources of an equation, row by row."""
        equation, rows = self.problem.equations[label], self.laws[label]
        flat = [e for row in rows for e in (*row.flux, row.source)]
        expressions = tuple(scalars(self.problem, each)[0] for each in flat)
        return Term(label, "equation", expressions, equation.region, equation.region.name)

    def forward(self, field, batch, scaled=False, causal=None) -> Terms:
        if self.local is not None:
            return super().forward(field, batch, scaled, causal)
        others = super().forward(field, batch, causal=causal) if self.terms else Terms({})
        found = dict(others)
        for region in dict.fromkeys(each.region for each in self.fluxes):
            reach = self.reach or _reach(self.problem, region)
            volumes = boxes(self.problem, batch, region, reach, self.nodes)
            found |= self.means(field, volumes, batch, region)
        values = {name: found[name] for name in self.labels}
        return Terms(values, self.weights, others.violations)

    def means(
        self, field, volumes: Volumes, batch: BatchLike, region: Domain | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """The mean squares of the balances by label, weighed by volume in each sample, of the laws
        of one region or of all. Shapes: -> ""."""
        share = volumes.measure / volumes.measure.mean(1, keepdim=True)
        return {
            label: (share[..., None] * balance.square()).sum(-1).mean()
            for label, balance in self.balances(field, volumes, batch, region).items()
        }

    def balances(
        self, field, volumes: Volumes, batch: BatchLike, region: Domain | None = None
    ) -> dict[str, Float[Tensor, "b m k"]]:
        """The balance of every volume, R above, by label. Shapes: -> "b m k", k components."""
        at = torch.cat([volumes.faces, volumes.inside], 2)  # b m q+r D
        points, count = at.flatten(1, 2), volumes.faces.shape[2]
        terms = [each for each in self.fluxes if region in (None, each.region)]
        values = self._values(terms, field, points, batch)
        found, place = {}, iter(values)
        for term in terms:
            rows = []
            for _ in self.laws[term.label]:
                *flux, source = (next(place).expand(points.shape[:2]) for _ in (*self.names, 0))
                out = torch.stack(flux, -1).unflatten(1, at.shape[1:3])[:, :, :count]
                made = source.unflatten(1, at.shape[1:3])[:, :, count:]
                net = (out * volumes.normals).sum((-1, -2)) / volumes.measure
                rows.append(net + (volumes.weights * made).sum(-1))
            found[term.label] = torch.stack(rows, -1)
        return found

    def _values(self, terms, field, points: Tensor, batch: BatchLike) -> list[Tensor]:
        """All expressions of the terms at points. Shapes: "b n D" -> "b n" or "b 1" each."""
        graph = graph_of(terms)
        request = Request(
            {k: found for k, c in enumerate(self.components) if (found := indices(terms, c))}
        )
        known = KnownValues(
            self.problem,
            self.trainables,
            points,
            None,
            batch.params,
            lambda name, x: batch.evaluate(name, x),
        )
        backend = self._backend(terms, field)
        answers = backend.evaluate(self._checked(field, points), points, request, self.axes)
        position = {c: k for k, c in enumerate(self.components)}
        jets = {s for term in terms for s in term.jet_variables() if not s.known}
        given = {s: answers[position[s.component], s.index] for s in jets}
        return graph(given | known.values(graph.symbols), points[..., 0].detach())

    def _backend(self, terms, field) -> Backend:
        chosen = plan(
            tuple(terms), self.components, self.names, capabilities(field), self.derivatives
        )
        return chosen.groups[0].options


def _reach(problem: Problem, region: Domain) -> tuple[float, ...]:
    """By the declared extents, so that it is the same for every batch and in every process."""
    extent = max(high - low for low, high in zip(*box(region), strict=True))
    reach = (REACH * extent,) * region.dim
    if problem.time is None:
        return reach
    return (*reach, REACH * (float(problem.time.end) - float(problem.time.start)))


def boxes(
    problem: Problem, batch: BatchLike, region: Domain, reach: tuple[float, ...], nodes: int = GAUSS
) -> Volumes:
    """Boxes about the points of a batch in a domain, half of whose sides are `reach` by coordinate
    and time, all in proportion smaller where the boundary, the start or the end is closer."""
    centre = batch.points[region.name].points.detach()
    geometry, space = batch.geometry[region.name], len(problem.coordinates)
    half = centre.new_tensor(reach)
    room = -geometry.signed_distance(centre[..., :space]).detach() / half[:space].norm()
    if problem.time is not None and not problem.time.periodic:
        start, end = float(problem.time.start), float(problem.time.end)
        along = torch.minimum(centre[..., -1] - start, end - centre[..., -1])
        room = torch.minimum(room, along / half[-1])
    scale = room.clamp(LEAST, 1)[..., None]  # b m 1
    sides = scale * half  # b m D
    place, weight = (torch.from_numpy(e).to(half) for e in np.polynomial.legendre.leggauss(nodes))
    dim, weight = len(reach), weight / 2
    inner, within = _product(place, weight, dim)
    over, part = _product(place, weight, dim - 1)
    faces, normals = [], []
    measure = (2 * sides).prod(-1)
    for axis in range(dim):
        for side in (1.0, -1.0):
            at = torch.cat([over[:, :axis], over.new_full((len(over), 1), side), over[:, axis:]], 1)
            faces.append(centre[:, :, None] + sides[:, :, None] * at)
            outward = torch.zeros_like(faces[-1])
            area = measure / (2 * sides[..., axis])
            outward[..., axis] = side * area[..., None] * part
            normals.append(outward)
    return Volumes(
        torch.cat(faces, 2),
        torch.cat(normals, 2),
        centre[:, :, None] + sides[:, :, None] * inner,
        within,
        measure,
    )


def _product(
    place: Float[Tensor, " p"], weight: Float[Tensor, " p"], dim: int
) -> tuple[Float[Tensor, "q d"], Float[Tensor, " q"]]:
    """Gauss's rule on the cube [-1, 1]^dim, from that on a line; its weights add up to 1."""
    if dim == 0:
        return place.new_zeros(1, 0), place.new_ones(1)
    points = torch.cartesian_prod(*[place] * dim).reshape(-1, dim)
    return points, torch.cartesian_prod(*[weight] * dim).reshape(-1, dim).prod(-1)


def blocks(nodes: Float[Tensor, "b j i 2"], step: int) -> tuple[Volumes, Int[Tensor, "m k"]]:
    """Blocks of `step` by `step` cells of a grid that closes in its second direction, with the
    trapezoidal rule on their sides, for fields whose values at nodes are known; and the numbers of
    the nodes on their sides, then of one inside, for such a field to be asked in the order of
    `Volumes`.

    Cells beyond the last whole block outwards are left out. Shapes: numbers "m k", k = q + 1.
    """
    rows, around = nodes.shape[1:3]
    j, i = torch.meshgrid(
        torch.arange(0, rows - step, step), torch.arange(0, around, step), indexing="ij"
    )
    k = torch.arange(step)
    # round a block: along its first row, out, back, in; each side without its last node
    dj = torch.cat([0 * k, k, 0 * k + step, step - k])
    di = torch.cat([k, 0 * k + step, step - k, 0 * k])
    number = (j.reshape(-1, 1) + dj) * around + (i.reshape(-1, 1) + di) % around  # m q
    flat = nodes.flatten(1, 2)
    faces = flat[:, number]  # b m q 2
    chord = faces.roll(-1, 2) - faces.roll(1, 2)  # sum of both edges at a node
    normals = torch.stack([chord[..., 1], -chord[..., 0]], -1) / 2
    area = (faces * normals).sum((-1, -2)) / 2
    normals, area = normals * area.sign()[..., None, None], area.abs()
    middle = (j.reshape(-1, 1) + step // 2) * around + (i.reshape(-1, 1) + step // 2) % around
    return (
        Volumes(faces, normals, flat[:, middle], torch.ones_like(area)[..., None], area),
        torch.cat([number, middle], 1),
    )


def at_nodes(
    values: Float[Tensor, "b n c"], number: Int[Tensor, "m k"]
) -> Callable[[Tensor], Tensor]:
    """A field given by its values at nodes; it may be evaluated at the points of `blocks` only."""
    return lambda points: values[:, number.flatten()]
