"""Dual-norm loss: the weak residual of a field on a coarse mesh in the discrete dual norm, which
measures the error.

With test functions phi_i of a coarse finite element space V_h, the residual vector of a field u is
R_i(u) = a(u; phi_i) - l(phi_i), by quadrature with the field's exact values and derivatives. With K
the tangent of the discrete problem at its own solution u_h,

    e = -K^-1 R(u),        loss = sum over unknowns of  |e|^2 / |u_h|^2 + |grad e|^2 / |grad u_h|^2

For a linear problem e = P_h (u* - u), the Galerkin projection of the error to the true solution u*:
it vanishes at u* whatever the mesh, and is as well conditioned as the error itself, where the mean
square of the strong residual weighs each wave number by its fourth power. For a nonlinear one it is
a Newton step with the tangent of the solution, which far from it can be of any size: with q its
squared norm the loss is 2 (sqrt(1 + q) - 1). What V_h cannot see is left to the strong residual.

In time, R is taken at one moment of each of some slabs of time, and e is carried from slab to slab
(see `compiler.training.slabs`): an early error counts by all that it causes. The moments are drawn
anew for each sample of each step: at fixed ones, such as the middles, a field would learn to have
the right rate there and any between them. In space the same holds of the quadrature points: each
sample takes one of MESHES meshes, whose inner vertices are moved at random. Where the start is not
built into it, its projection on V_h less that of the initial values is the error that the first
slab begins with.

Where the weak form has z = lap(u) as a further unknown, R is taken at u of the field and z of u_h:
the tangent is that of the pair, so that of a linear problem e does not depend on z, and the
equation of z, int z phi + grad(u) . grad(phi), is what sees the field. Then first derivatives of
the field are enough, and conditions that state z are seen. With z of the field third derivatives
would be taken at quadrature points too few for them: of a beam whose solution is 5 % off they made
the norm a thousand times too large.

Samples of next to no size do not decide: to |u_h|^2 is added FLOOR of its mean.

Source: discrete dual norms, Rojas et al. 2023 (arXiv 2308.16910); operator preconditioning, De Ryck
et al. 2023 (arXiv 2310.05801).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
import torch
from scipy.sparse import block_diag, coo_matrix, csc_matrix, csr_matrix, diags, hstack, identity
from scipy.sparse.linalg import SuperLU, splu
from torch import Tensor

from compiler.arrays import Array
from compiler.derivatives import Request, exact
from compiler.fem.discrete.assemble import Assembly, State, assembly
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.discrete.constraints import Constraints, at_nodes, constrain
from compiler.fem.discrete.kernels import Function, function
from compiler.fem.discrete.spaces import Spaces, Tabulated, stacked
from compiler.fem.discrete.system import System
from compiler.fem.errors import NoConvergence, NoWeakForm, SampleError, Singular
from compiler.fem.forms.conditions import unknown_jet_variables
from compiler.fem.forms.curvature import Skeleton
from compiler.fem.forms.weak import Region
from compiler.fem.solve import (
    SolveOptions,
    one_equation,
    prepare,
    sample_spaces,
    solve,
    solved_system,
)
from compiler.fem.solvers.time_stepping import evolution, initial_vector
from compiler.geometry.metrics import interior, relative_error
from compiler.loss.hard_conditions import plan_hard_conditions
from compiler.lowering.graph import ResidualGraph, Source
from compiler.lowering.terms import JetVariable
from compiler.training.slabs import Slab, Slabs
from operators.field import OperatorInput, PointFunction, jet_of
from operators.jets.jet import Jet, JetSpace
from pdespec.coordinates import Time
from pdespec.jets import MultiIndex
from pdespec.statements.interfaces import flux_conditions
from pdespec.statements.problem import Problem
from pdespec.symbols import UnknownField

Measure = tuple[str, int]  # an unknown, and the order of the derivative that is measured
FINE = 0.2  # C of the interpolation estimate |v - I_h v| <= C h |grad v| on elements of degree 2
# of the mean square size, below which a sample counts less: those of next to no size must not
# decide
FLOOR = 0.05
# error of a coarse solution that is taken for small: what the mesh sees is a Galerkin projection,
# free of its error
TRUSTED = 0.02
# of the domain's measure, by which a mesh may miss it: its norm vanishes for a field as far off
FILLED = 0.004
USELESS = 0.5  # error of a coarse solution beyond which its mesh says nothing of the error
LADDER = {1: (16, 32, 64), 2: (8, 12, 16, 24), 3: (3, 4, 6)}  # resolutions tried
IN_TIME = {1: (12, 16, 24), 2: (5, 8, 12), 3: (3, 4)}  # the same where there is time
SLABS = 2  # slabs of time a cell along the longest side, where no more are needed
FASTEST = 128  # slabs, the most that are tried
LOOKED = 4  # samples whose coarse solutions are compared
MOST = 20000  # unknowns of a mesh that a coarser one is compared with
# quadrature points of a sample, above which a mesh costs too much, and those of all moments
POINTS, IN_ALL = 4000, 16000
# of them in two and more dimensions, time among them, below which a field is not seen well whatever
# the mesh's own solution
ENOUGH = 800
STEP = 8000  # of all samples of a step, above which it takes fewer of them
WINDOW, REUSE = 16, 2
PLACES = 4  # sets of points of a batch, at which its known functions are kept
MESHES = 8  # that differ in their inner vertices, for each shape of the domain
LABEL = "weak"  # of the term, also in `TrainOptions.weights`


@dataclass(frozen=True)
class Part:
    """One region's share of the residual of one sample: R += tests @ values, values being the
    integrand's coefficients in a row.

    Shapes: points "m D", slab by slab, m = s q, known "m" each, tests "n (k q)" with the quadrature
    weights, k coefficients.
    """

    points: Array
    known: Mapping[sp.Symbol, Array]
    tests: csr_matrix


@dataclass(frozen=True)
class Start:
    """One sample at the start, where it is not built into the field: e_0 and v_0 are the
    projections of u - u_0 and its rate on V_h, `mass.solve(tests @ (u - u_0))` by component.

    Shapes: points "q D", `values` "q" each by component and order in time, tests "n q" each.
    """

    points: Array
    values: Mapping[tuple[str, int], Array]
    tests: Mapping[str, csr_matrix]
    mass: SuperLU


@dataclass(frozen=True)
class Coarse:
    """One sample on its coarse mesh: all that does not depend on the field.

    `constant` is the residual of the integrals that hold no unknown, `norms` the matrices of |e|^2
    and |grad e|^2 by unknown, `sizes` these of u_h, the mean over time. `fine` weighs the strong
    residuals: for every scalar row of a label, numbers to be divided by a size of u, see
    `DualNorm._fine`. Shapes: constant "n s" for s slabs of time, norms "n n" each.
    """

    parts: tuple[Part, ...]
    start: Start | None
    constant: Array
    slabs: Slabs
    norms: Mapping[Measure, csr_matrix]
    sizes: Mapping[Measure, float]
    fine: Mapping[str, tuple[Mapping[Measure, float], ...]]


@dataclass(frozen=True)
class Bound:
    """What samples on one mesh with the same free unknowns share. Shapes: down "free n", tests "n
    (k q)" and norms "n n" of the free ones; `full` are the norms of all unknowns.
    """

    spaces: Spaces
    matrix: csr_matrix
    down: csr_matrix
    tests: tuple[csr_matrix, ...]
    norms: Mapping[Measure, csr_matrix]
    full: Mapping[Measure, csr_matrix]


@dataclass(frozen=True)
class Reference:
    """The discrete problem of one sample, and its solution: one state a slab, in its middle."""

    system: System
    bound: Bound
    slabs: Slabs
    states: tuple[State, ...]
    multipliers: Array


class Integral:
    """Coefficients of the weak form on one region, as a graph of tensors."""

    def __init__(self, region: Region, function: Function, rows: Sequence[str]) -> None:
        self.region, self.arguments = region, function.arguments
        self.graph = ResidualGraph(function.expressions, [Source(row) for row in rows])
        self.jet_variables = [s for s in function.arguments if _of_field(s)]


def _of_field(symbol: sp.Symbol) -> bool:
    """Whether a symbol is the field, or a derivative of it; a further unknown is not."""
    if not isinstance(symbol, JetVariable) or symbol.known:
        return False
    return not source(symbol.component)[1]


class DualNorm:
    """The dual norm of a problem's weak residual, of fields that conditions are built into where
    `hard_conditions`. Raises: NoWeakForm where the problem has none.
    """

    def __init__(
        self,
        problem: Problem,
        resolution: int,
        degree: int = 2,
        slabs: int | None = None,
        hard_conditions: bool = True,
    ) -> None:
        self.stated, problem = problem, one_equation(problem)
        self.problem, self.options = problem, SolveOptions(resolution=resolution, degree=degree)
        self.prepared = prepare(problem)
        form = self.prepared.form
        if any(isinstance(region, Skeleton) for region in self.prepared.regions):
            raise NoWeakForm("the energy holds second derivatives, and its elements have kinks")
        if any(
            unknown_jet_variables(sp.diff(gauge.density, s))
            for gauge in form.gauges
            for s in unknown_jet_variables(gauge.density)
        ):
            raise NoWeakForm("an integral requirement is not linear in the unknowns")
        self.dim = len(problem.coordinates)
        self.steps = 1 if form.time is None else slabs or SLABS * resolution
        self.kernels = [
            k
            for k in self.prepared.kernels
            if any(unknown_jet_variables(e) for e in k.residual.expressions)
        ]
        self.integrals = [
            Integral(k.region, k.residual, [row for row, _ in k.rows]) for k in self.kernels
        ]
        self.integrals += [
            Integral(each.gauge.region, each.density, ["gauge"]) for each in self.prepared.levels
        ]
        self.linear = not any(
            unknown_jet_variables(e) for k in self.kernels for e in k.tangent.expressions
        )
        built = plan_hard_conditions(self.stated) if hard_conditions else {}
        self.starts = {
            (each.component, each.order): function([each.value])
            for each in form.initials
            if each.component not in built
            or (built[each.component].rate if each.order else built[each.component].start) is None
        }
        self.owner = {
            c: name for name, unknown in problem.unknowns.items() for c in unknown.components
        }
        self.shared: list[dict[str, Spaces]] = [{} for _ in range(MESHES)]
        self.bound: dict[int, Bound] = {}
        self.sizes: dict[Measure, float] = {}
        self.fine: dict[str, float] = {}
        self.only: dict[int, Reference] = {}
        self.points = 0

    def counted(self, batch: Any, resolution: int) -> tuple[int, int, float]:
        """Unknowns of a mesh of that resolution, its quadrature points, and the part of the
        domain's measure that it misses, in the first sample, at one moment. About as far off as
        that is the field for which the norm vanishes."""
        domain, own = self.prepared.form.domain, batch.to("cpu", torch.float64).select([0])
        options = replace(self.options, resolution=resolution)
        known = Coefficients(self.problem, own)
        spaces = sample_spaces(self.prepared, known, options, None, {})
        weights, measure = spaces.places[domain].weights, float(own.geometry[domain.name].measure())
        return spaces.size, weights.size, abs(float(weights.sum()) / measure - 1)

    def refer(self, batch: Any) -> None:
        """Takes the mean sizes of u_h, and what follows from them, from the samples of a batch
        that can be solved. Raises: SampleError."""
        _, samples = meshed(self, batch)
        self.points = max(sum(len(part.points) for part in each.parts) for each in samples)
        self.sizes = {
            key: float(np.mean([each.sizes[key] for each in samples])) for key in samples[0].sizes
        }
        self.fine = {}
        for label in samples[0].fine:
            rows = [
                [
                    float(np.mean([row[key] for row in same])) / (self.sizes[key] or 1.0)
                    for key in same[0]
                ]
                for same in zip(*(each.fine[label] for each in samples), strict=True)
            ]
            self.fine[label] = float(np.mean([min(row) for row in rows])) if rows else 0.0

    def affordable(self, batch: int, processes: int = 1) -> int:
        """How many samples of a batch a step can take, a multiple of the number of processes."""
        return min(batch, max(1, STEP // self.points // processes) * processes)

    def share(self, label: str) -> float:
        """The weight of a term of the strong loss in addition to this norm: what is natural to the
        weak form, as the flux across an interface is, needs none; equations that hold in parts of
        the domain are one here."""
        if label in self.fine:
            return self.fine[label]
        if label in self.stated.equations:
            return float(
                np.mean(
                    [
                        weight
                        for name, weight in self.fine.items()
                        if name not in self.problem.conditions
                    ]
                )
            )
        return 0.0 if label in flux_conditions(self.stated) else 1.0

    def coarse(self, batch: Any) -> list[Coarse]:
        """The samples of a batch. Raises: SampleError where one cannot be solved."""
        return [self.sample(batch, s) for s in range(batch.size)]

    def sample(self, batch: Any, number: int) -> Coarse:
        """One sample of a batch, its mesh and moments of time by the random points of the sample.
        Raises: SampleError where it cannot be solved."""
        batch = batch.to("cpu", torch.float64)
        batch = batch if batch.size == 1 else batch.select([number])
        drawn = hashlib.blake2b(interior(self.problem, batch).numpy().tobytes(), digest_size=16)
        chance = np.random.default_rng(list(drawn.digest()))
        mesh = int(chance.integers(MESHES))
        with torch.enable_grad():  # curved boundaries and inputs are differentiated on the way
            reference = self.only.get(mesh) or self._reference(
                Coefficients(self.problem, batch), mesh
            )
            if not (
                self.problem.inputs
                or any(param.law is not None for param in self.problem.params.values())
            ):
                self.only[mesh] = reference
            return self._coarse(reference, self._moments(reference, chance))

    def _moments(self, reference: Reference, chance: np.random.Generator) -> list[float]:
        """A time in each slab, uniform in it; zeros where there is no time."""
        states = reference.states
        if self.prepared.form.time is None:
            return [state.time for state in states]
        within = (chance.random(len(states)) - 0.5) * reference.slabs.length
        return [s.time + shift for s, shift in zip(states, within, strict=True)]

    def _reference(self, known: Coefficients, mesh: int) -> Reference:
        """What the discrete problem of one sample is on one of the meshes, and its solution."""
        prepared, form = self.prepared, self.prepared.form
        moved = np.random.default_rng(mesh)
        spaces = sample_spaces(prepared, known, self.options, None, self.shared[mesh], moved)
        parts = assembly(form, spaces, prepared.kernels, known)
        constraints = constrain(form, spaces, known)
        bound = self._bound(mesh, spaces, parts, constraints)
        slabs, states, multipliers = self._solved(bound, parts, constraints)
        system = System(parts, constraints, prepared.levels)
        return Reference(system, bound, slabs, tuple(states), multipliers)

    def _coarse(self, reference: Reference, times: Sequence[float]) -> Coarse:
        """One sample with its residual taken at those times."""
        prepared, form, bound = self.prepared, self.prepared.form, reference.bound
        system, slabs, states = reference.system, reference.slabs, reference.states
        parts, spaces, known = system.assembly, bound.spaces, system.assembly.known
        zeros = [State((np.zeros(spaces.size),), time) for time in times]
        rest = Assembly(
            form, spaces, tuple(k for k in prepared.kernels if k not in self.kernels), known
        )
        constant = np.stack([rest.residual(zero) for zero in zeros], -1)
        if prepared.levels:
            multipliers = enumerate(reference.multipliers)
            held = sum(m * system.row(k, zeros[0]) for k, m in multipliers)
            wanted = np.array([known.number(each.gauge.value) for each in prepared.levels])
            constant = np.concatenate(
                [constant + held[:, None], np.repeat(-wanted[:, None], len(times), 1)]
            )
        further = [
            replace(state, time=time) for state, time in zip(states, times, strict=True)
        ]  # of which the values of further unknowns are taken
        found = tuple(
            self._part(k, spaces, parts, further, bound.tests[k])
            for k in range(len(self.integrals))
        )
        u = np.stack([state.vectors[0] for state in states], -1)
        sizes = {
            key: float(np.mean(np.sum(u * (matrix @ u), 0))) for key, matrix in bound.full.items()
        }
        fine = self._fine(spaces, parts, states[len(states) // 2], sizes, slabs.length)
        start = self._start(bound, known) if self.starts else None
        return Coarse(found, start, bound.down @ constant, slabs, bound.norms, sizes, fine)

    def _start(self, bound: Bound, known: Coefficients) -> Start:
        spaces, form = bound.spaces, self.prepared.form
        place = spaces.places[form.domain]
        points, weights = place.points.reshape(len(place.points), -1), place.weights.ravel()
        time = known.number(form.time.start)
        values = {
            key: at_nodes(call, known, points, np.zeros_like(points), time)
            for key, call in self.starts.items()
        }
        tests = {
            component: bound.down
            @ tabulated(place.tables[component], 0, bound.down.shape[1]).T.multiply(weights)
            for component, _ in values
        }
        mass = sum(norm for (_, order), norm in bound.norms.items() if order == 0)
        rest = (mass.diagonal() == 0).astype(np.float64)  # of further unknowns and multipliers
        moments = np.column_stack((points.T, np.full(points.shape[1], time)))
        return Start(moments, values, tests, factorised(mass + diags(rest)))

    def _bound(self, mesh: int, spaces: Spaces, parts: Assembly, constraints: Constraints) -> Bound:
        """What the last sample on that mesh had, where this one is on the very same."""
        known = self.bound.get(mesh)
        if known is None or known.spaces is not spaces or (known.matrix != constraints.matrix).nnz:
            levels = len(self.prepared.levels)
            matrix = (
                block_diag((constraints.matrix, identity(levels))).tocsr()
                if levels
                else constraints.matrix
            )
            down = matrix.T.tocsr()
            full = self._norms(spaces)
            norms = {
                key: (down @ padded(each, down.shape[1]) @ down.T).tocsr()
                for key, each in full.items()
            }
            tests = tuple(
                (down @ self._tests(k, spaces, parts, down.shape[1])).tocsr()
                for k in range(len(self.integrals))
            )
            self.bound[mesh] = known = Bound(spaces, constraints.matrix, down, tests, norms, full)
        return known

    def _solved(
        self, bound: Bound, parts: Assembly, constraints: Constraints
    ) -> tuple[Slabs, list[State], Array]:
        """The tangents at the solution, the solution in the middle of every slab, and the
        multipliers."""
        levels, down = self.prepared.levels, bound.down
        if self.prepared.form.time is not None:
            return self._in_time(bound, parts, constraints)
        system = System(parts, constraints, levels)
        if self.linear:
            u = system.offset()
            factors = factorised(down @ system.tangent(u) @ down.T)
            u = u - down.T @ factors.solve(down @ system.residual(u))
        else:
            system, u, _ = solved_system(parts, constraints, levels, self.options)
            factors = factorised(down @ system.tangent(u) @ down.T)
        return Slabs((Slab(factors),)), [system.state(u)], u[parts.spaces.size :]

    def _in_time(
        self, bound: Bound, parts: Assembly, constraints: Constraints
    ) -> tuple[Slabs, list[State], Array]:
        """By the midpoint rule, one Newton step a slab from the value that the last rate predicts;
        the tangent there is kept.

        Raises: NoConvergence where that runs away.
        """
        form, down, known, orders = (
            self.prepared.form,
            bound.down,
            parts.known,
            evolution(self.prepared.form),
        )
        start, end = known.number(form.time.start), known.number(form.time.end)
        h = (end - start) / self.steps
        scale, size = (1.0, 2 / h, 4 / h**2), parts.spaces.size
        evolving = np.zeros(size, dtype=bool)
        for component in orders:
            evolving[parts.spaces.numbers(component)] = True
        u = z = initial_vector(parts, 0, orders)
        v = initial_vector(parts, 1, orders) if 2 in orders.values() else np.zeros(size)
        rate, multipliers = np.zeros(size), np.zeros(len(self.prepared.levels))
        base, once = (
            System(parts, constraints, self.prepared.levels),
            self.linear and not self._moves(known),
        )
        slabs: list[Slab] = []
        states: list[State] = []
        for n in range(self.steps):
            system = replace(
                base,
                rates=scale,
                history=(0.0, -scale[1] * u, -scale[2] * u - scale[1] * v),
                time=start + (n + 0.5) * h,
            )
            z = np.where(evolving, u + h / 2 * rate, z)
            z = constraints.matrix @ z[constraints.free] + constraints.offset(system.time)
            guess = np.concatenate((z, multipliers))
            if once and slabs:
                slabs.append(slabs[0])
            else:
                state = system.state(guess)
                first, second = (
                    down @ padded(parts.tangent(state, r), down.shape[1]) @ down.T
                    for r in ((0.0, *scale[1:]), (0.0, 0.0, scale[1]))
                )
                slabs.append(
                    Slab(
                        factorised(down @ system.tangent(guess) @ down.T),
                        first.tocsr(),
                        second.tocsr() if second.nnz else None,
                    )
                )
            guess = guess - down.T @ slabs[-1].factors.solve(down @ system.residual(guess))
            if not np.isfinite(guess).all():
                raise NoConvergence(
                    f"at {form.time.name} = {system.time:.4g} a step of time runs away"
                )
            z, multipliers = guess[:size], guess[size:]
            states.append(system.state(guess))
            rate = scale[1] * (z - u)
            u, v = np.where(evolving, 2 * z - u, z), 2 * rate - v
            u = constraints.matrix @ u[constraints.free] + constraints.offset(start + (n + 1) * h)
        return Slabs(tuple(slabs), h), states, np.zeros(len(multipliers))

    def _moves(self, known: Coefficients) -> bool:
        """Whether the tangent of a linear problem changes in time."""
        symbols = {
            s
            for k in self.kernels
            for e in k.tangent.expressions
            for s in sp.sympify(e).free_symbols
        }
        return any(isinstance(s, Time) or known.moves(s) for s in symbols)

    def _fine(
        self,
        spaces: Spaces,
        parts: Assembly,
        state: State,
        measures: Collection[Measure],
        slab: float,
    ) -> dict[str, tuple[dict[Measure, float], ...]]:
        """What V_h cannot see, held by the strong residuals r: of an error at the scale l = C h an
        equation `sum_m a_m d^m u + ..` leaves a gradient of some |r| / sum_m |a_m| l^(1 - m), for
        one term with m = 2 the interpolation estimate of residual error estimators; a derivative in
        time counts by C times the length of a slab. By label, and by unknown in each of its rows:
        the mean of r^2 is to be weighed by it over |grad u|^2. Of conditions, those that fix values
        weigh by it over |u|^2.
        """
        form = self.prepared.form
        place = spaces.places[form.domain]
        area = float(place.weights.sum())
        length = FINE * (area / spaces.mesh.nelements) ** (1 / len(place.points))
        found: dict[str, tuple[dict[Measure, float], ...]] = {}
        for kernel in (k for k in self.prepared.kernels if k.region == form.domain):
            stiffness: dict[str, dict[Measure, float]] = {}
            for (row, test, jet), value in zip(
                kernel.entries, parts.values(kernel.tangent, kernel.region, state), strict=True
            ):
                component, depth = source(jet.component)
                order, rate = (
                    sum(test) + sum(jet.index[: self.dim]) + 2 * depth,
                    sum(jet.index[self.dim :]),
                )
                size = (
                    float(np.sqrt(np.mean(value**2)))
                    * length ** (1 - order)
                    * (FINE * slab if rate else 1.0) ** -rate
                )
                measure = self.owner[component], 1
                if measure in measures and size:
                    own = stiffness.setdefault(row, {})
                    own[measure] = own.get(measure, 0.0) + size
            for row, own in stiffness.items():
                label = form.labels[row]
                found[label] = (
                    *found.get(label, ()),
                    {measure: area / size**2 for measure, size in own.items()},
                )
        # natural ones are in the weak form already
        for label, condition in self.problem.conditions.items():
            held = {
                source(c)
                for e in (*form.essentials, *form.pins)
                if e.label == label
                for c, _ in e.coefficients
            }
            if condition.kind == "initial":
                held = {
                    (field.func.__name__, 0)
                    for field in (condition.lhs - condition.rhs).atoms(UnknownField)
                }
            rated = condition.kind == "initial" and (condition.lhs - condition.rhs).has(
                sp.Derivative
            )
            # a rate at the start lasts for all the time
            factor = area * (slab * self.steps if rated else 1.0) ** 2
            # z = lap(u) meets its conditions on V_h, where the norm takes it from
            found[label] = tuple({(self.owner[c], 0): factor} for c, z in sorted(held) if not z)
        return found

    def _part(
        self,
        number: int,
        spaces: Spaces,
        parts: Assembly,
        states: Sequence[State],
        tests: csr_matrix,
    ) -> Part:
        integral = self.integrals[number]
        place = spaces.places[integral.region]

        def values(symbol: sp.Symbol, state: State) -> Array:
            return np.broadcast_to(
                parts.argument(symbol, integral.region, place, state), place.weights.shape
            ).ravel()

        symbols = [symbol for symbol in integral.arguments if symbol not in integral.jet_variables]
        known = {
            symbol: np.concatenate([values(symbol, state) for state in states])
            for symbol in symbols
        }
        points = np.tile(place.points.reshape(len(place.points), -1).T, (len(states), 1))
        if self.prepared.form.time is not None:
            points = np.column_stack(
                (points, np.repeat([state.time for state in states], place.weights.size))
            )
        return Part(points, known, tests)

    def _tests(self, number: int, spaces: Spaces, parts: Assembly, size: int) -> csr_matrix:
        """From values of the coefficients at the quadrature points to the residual of all
        unknowns. Shapes: -> "n (k q)"."""
        place = spaces.places[self.integrals[number].region]
        weights = place.weights.ravel()
        if number < len(self.kernels):
            rows = self.kernels[number].rows
            return hstack(
                [
                    tabulated(place.tables[row], parts.slot(test), size).T.multiply(weights)
                    for row, test in rows
                ]
            ).tocsr()
        # the k-th gauge: its integral, in addition to the equations
        k = spaces.size + number - len(self.kernels)
        return coo_matrix(
            (weights, (np.full(weights.size, k), np.arange(weights.size))), (size, weights.size)
        ).tocsr()

    def _norms(self, spaces: Spaces) -> dict[Measure, csr_matrix]:
        """|e|^2 and, of what is continuous and of the main degree, |grad e|^2, by unknown."""
        form = self.prepared.form
        place = spaces.places[form.domain]
        weights = diags(place.weights.ravel())
        norms = {}
        for name, unknown in self.problem.unknowns.items():
            smooth = all(
                form.spaces[c].continuous and not form.spaces[c].below for c in unknown.components
            )
            for order, slots in (
                (0, [0]),
                *(((1, range(1, 1 + len(place.points))),) if smooth else ()),
            ):
                tables = [
                    tabulated(place.tables[c], slot, spaces.size)
                    for c in unknown.components
                    for slot in slots
                ]
                norms[name, order] = sum(each.T @ weights @ each for each in tables).tocsr()
        return norms

    def __call__(
        self, field: Callable[[Tensor], Tensor], samples: Sequence[Coarse], like: Tensor
    ) -> Tensor:
        """The mean over the samples of the squared norm of e, points in the dtype and on the
        device of `like`. Shapes: -> ""."""
        vectors = [torch.as_tensor(each.constant) for each in samples]
        for k, integral in enumerate(self.integrals):
            parts = [each.parts[k] for each in samples]
            counts = [len(part.points) for part in parts]
            points = like.new_tensor(stacked([part.points for part in parts]))
            values: dict[sp.Symbol, Tensor] = {
                symbol: like.new_tensor(stacked([part.known[symbol] for part in parts]))
                for symbol in parts[0].known
            }
            values |= self._jet_values(field, points, integral)
            found = torch.stack(integral.graph(values, points[..., 0]), 1)  # "b k m"
            for s, part in enumerate(parts):
                own = found[s, :, : counts[s]].unflatten(1, (self.steps, -1))  # "k s q"
                vectors[s] = vectors[s] + _Applied.apply(
                    part.tests, own.transpose(1, 2).flatten(0, 1)
                )
        starts = self._misfits(field, samples, like) if self.starts else [None] * len(samples)
        squares = torch.stack(
            [
                _squared(vector, start, each, self.sizes)
                for vector, start, each in zip(vectors, starts, samples, strict=True)
            ]
        )
        return (squares if self.linear else 2 * ((1 + squares).sqrt() - 1)).mean()

    def _misfits(
        self, field: Callable[[Tensor], Tensor], samples: Sequence[Coarse], like: Tensor
    ) -> list[Tensor]:
        """e_0 and v_0 of each sample. Shapes: -> "n 2" each."""
        starts = [each.start for each in samples]
        points = like.new_tensor(stacked([each.points for each in starts]))
        space = (0,) * self.dim
        indices: dict[int, set[MultiIndex]] = {}
        for component, order in self.starts:
            indices.setdefault(self.problem.components.index(component), set()).add((*space, order))
        answers = exact(field, points, Request({c: frozenset(each) for c, each in indices.items()}))
        found = []
        for s, start in enumerate(starts):
            columns = [torch.zeros(start.mass.shape[0], dtype=torch.float64)] * 2
            for (component, order), value in start.values.items():
                own = answers[self.problem.components.index(component), (*space, order)]
                misfit = own[s, : len(value)] - own.new_tensor(value)
                columns[order] = columns[order] + _Applied.apply(start.tests[component], misfit)
            found.append(_Projected.apply(torch.stack(columns, -1), start.mass))
        return found

    def _jet_values(
        self, field: Callable[[Tensor], Tensor], points: Tensor, integral: Integral
    ) -> dict[sp.Symbol, Tensor]:
        """The field's values and derivatives that the integrands hold. Shapes: points "b m D" ->
        "b m" each."""
        if not integral.jet_variables:
            return {}
        numbers = {component: k for k, component in enumerate(self.problem.components)}
        indices: dict[int, set[MultiIndex]] = {}
        for jet in integral.jet_variables:
            indices.setdefault(numbers[jet.component], set()).add(jet.index)
        answers = exact(field, points, Request({c: frozenset(each) for c, each in indices.items()}))
        return {s: answers[numbers[s.component], s.index] for s in integral.jet_variables}


def source(component: str) -> tuple[str, int]:
    """The declared component behind lap(lap(.. u)), and how many Laplacians there are."""
    depth = 0
    while component.startswith("lap("):
        component, depth = component[4:-1], depth + 1
    return component, depth


def factorised(matrix: csr_matrix) -> SuperLU:
    """LU by minimum degree for what has a diagonal. Raises: Singular."""
    matrix = csc_matrix(matrix)
    saddle = bool(np.any(matrix.diagonal() == 0))
    try:
        return (
            splu(matrix)
            if saddle
            else splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.1)
        )
    except RuntimeError as error:  # exactly singular
        raise Singular from error


def padded(matrix: csr_matrix, size: int) -> csr_matrix:
    """The matrix with zeros for multipliers."""
    more = size - matrix.shape[0]
    return block_diag((matrix, csr_matrix((more, more)))).tocsr() if more else matrix


def meshed(
    dual: DualNorm, batch: Any, inner: Callable[[Any], Any] = lambda batch: batch
) -> tuple[Any, list[Coarse]]:
    """A batch with its coarse meshes; for a sample that cannot be solved another one of the batch
    takes its place. `inner` gives the batch of the problem as it is computed. Raises: SampleError
    where none can be.
    """
    own, found, failure = inner(batch), {}, None
    for number in range(batch.size):
        try:
            found[number] = dual.sample(own, number)
        except SampleError as error:
            failure = error
    if not found:
        raise failure
    if failure is None:
        return batch, list(found.values())
    good = list(found)
    places = [
        number if number in found else good[number % len(good)] for number in range(batch.size)
    ]
    return batch.select(places), [found[place] for place in places]


class Window:
    """The batches of a training with their coarse meshes: WINDOW of them are drawn, and gone
    through REUSE times, each time in an order of its own. `draw(k)` gives the k-th batch with its
    meshes; one that raises SampleError is left out, and others take its place.
    """

    def __init__(self, draw: Callable[[int], tuple[Any, list[Coarse]]], seed: int) -> None:
        self.draw, self.seed = draw, seed
        self.number, self.batches = -1, []

    def at(self, step: int) -> tuple[Any, list[Coarse]]:
        """What a step trains on. Raises: SampleError where no batch of its window can be solved."""
        number, place = divmod(step, WINDOW * REUSE)
        if self.number != number:
            self.number, self.batches = number, self._drawn(number)
        generator = torch.Generator().manual_seed(1000003 * self.seed + step // WINDOW)
        return self.batches[
            int(torch.randperm(WINDOW, generator=generator)[place % WINDOW]) % len(self.batches)
        ]

    def _drawn(self, number: int) -> list[tuple[Any, list[Coarse]]]:
        found, failure = [], None
        for k in range(number * WINDOW, (number + 1) * WINDOW):
            try:
                batch, samples = self.draw(k)
                found.append((remembered(batch), samples))
            except SampleError as error:
                failure = error
        if not found:
            raise failure
        return found


class Remembered:
    """A function of position that is asked again at points of before, as by a model at its nodes
    or by a loss at its points. What hangs on a graph is not kept, nor what was computed without
    one. Shapes: "b n D" -> "b n k"."""

    def __init__(self, function: PointFunction) -> None:
        self.function = function
        self.kept: list[tuple[JetSpace | None, Tensor, Tensor | Jet]] = []

    def __call__(self, points: Tensor) -> Tensor:
        return self._found(None, points, lambda: self.function(points))

    def taylor(self, points: Tensor, space: JetSpace) -> Jet:
        """Its jet. Shapes: "b n D" -> streams "b n k"."""
        return self._found(space, points, lambda: jet_of(self.function, points, space))

    def _found(self, space: JetSpace | None, points: Tensor, compute: Callable[[], Any]) -> Any:
        recording = torch.is_grad_enabled()
        if torch.is_inference_mode_enabled() or (recording and points.requires_grad):
            return compute()
        for known, at, found in self.kept:
            if known == space and at.shape == points.shape and torch.equal(at, points):
                return found
        found = compute()
        values = found.value if isinstance(found, Jet) else found
        if recording and not values.requires_grad:
            self.kept = [(space, points, found), *self.kept[: PLACES - 1]]
        return found


def remembered(batch: Any) -> Any:
    """The batch, whose known functions are computed once at the nodes of a model, and what is built
    into its field once at the points of a loss."""

    def within(inputs: OperatorInput) -> OperatorInput:
        # in the user's coordinates: the model asks those of the frame
        if getattr(inputs, "local", None) is not None:
            return replace(inputs, local=within(inputs.local))
        built, features = inputs.ansatz, inputs.features
        if built is not None:
            parts = {n: getattr(built, n) for n in ("offset", "factor", "kinks")}
            built = replace(built, **{n: f and Remembered(f) for n, f in parts.items()})
        return replace(inputs, features=features and Remembered(features), ansatz=built)

    return (
        replace(batch, inputs=within(batch.inputs))
        if isinstance(getattr(batch, "inputs", None), OperatorInput)
        else batch
    )


class Mesh(NamedTuple):
    """A coarse mesh: its resolution, and slabs of time."""

    resolution: int
    slabs: int | None = None

    def __str__(self) -> str:
        slabs = "" if self.slabs is None else f" and {self.slabs} slabs of time"
        return f"resolution {self.resolution}{slabs}"


def own_error(found: float) -> str:
    """How far off the solution on a mesh is, and what follows where that is much."""
    said = f"whose own solution is some {100 * found:.2g} % off"
    if not found > 10 * TRUSTED:
        return said
    return f"{said}: what it does not resolve is hardly learned; dual=N takes a finer one"


def trusted_mesh(problem: Problem, batch: Any) -> tuple[Mesh, str]:
    """The coarsest mesh with ENOUGH points that fills the domain and whose solution is within
    TRUSTED of that on a mesh twice as fine, the last one tried where there is none, and how far off
    its solution is in words. Looks at LOOKED samples, at meshes of at most POINTS points (IN_ALL
    with all moments), and compares with finer ones of at most MOST unknowns.

    Raises: NoWeakForm, also where the coarsest mesh has too many points or the best is USELESS;
    SampleError, SolverError.
    """
    few = batch.select(range(min(LOOKED, batch.size)))
    probe = DualNorm(problem, 1)  # refuses what has no dual norm before anything is solved
    return (_trusted_in_time if problem.time is not None else _trusted)(problem, few, probe)


def _trusted(problem: Problem, few: Any, probe: DualNorm) -> tuple[Mesh, str]:
    points = interior(problem, few)

    @cache
    def solution(resolution: int) -> Tensor:
        return solve(problem, few, resolution=resolution)(points)

    best, found = None, 0.0
    for resolution in LADDER[len(problem.coordinates)]:
        _, count, missed = probe.counted(few, resolution)
        if count > POINTS:
            if best is None:
                raise _too_many(count)
            break
        if probe.counted(few, 2 * resolution)[0] > MOST:
            best = best or (Mesh(resolution), "not compared with finer ones")
            break
        found = float(relative_error(solution(resolution), solution(2 * resolution)).mean())
        best = Mesh(resolution), own_error(found)
        if (
            found <= TRUSTED
            and (count >= ENOUGH or len(problem.variables) == 1)
            and missed <= FILLED
        ):
            break
    return _useful(best, found)


def _trusted_in_time(problem: Problem, few: Any, probe: DualNorm) -> tuple[Mesh, str]:
    """The same with slabs of time, refined where more is lost: in space or in time."""
    points = interior(problem, few)

    @cache
    def solution(resolution: int, slabs: int) -> Tensor:
        return solve(problem, few, resolution=resolution, steps=slabs, scheme="midpoint")(points)

    ladder = list(IN_TIME[len(problem.coordinates)])
    resolution = ladder.pop(0)
    slabs, best, found = SLABS * resolution, None, 0.0
    while True:
        count = probe.counted(few, resolution)[1]
        if count * slabs > IN_ALL:
            if best is None:
                raise _too_many(count * slabs)
            break
        if probe.counted(few, 2 * resolution)[0] * (1 + 2 * slabs) > 10 * MOST:
            best = best or (Mesh(resolution, slabs), "not compared with finer ones")
            break
        own = solution(resolution, slabs)
        in_space = float(relative_error(own, solution(2 * resolution, slabs)).mean())
        in_time = float(relative_error(own, solution(resolution, 2 * slabs)).mean())
        if best is None or not in_space + in_time >= found:
            found = in_space + in_time
            best = Mesh(resolution, slabs), own_error(found)
        if found <= TRUSTED and (count * slabs >= ENOUGH or len(problem.variables) == 1):
            break
        if in_time > in_space and 2 * slabs <= FASTEST:
            slabs *= 2
        elif ladder:
            resolution = ladder.pop(0)
            slabs = max(slabs, SLABS * resolution)
        else:
            break
    return _useful(best, found)


def _too_many(count: int) -> NoWeakForm:
    return NoWeakForm(
        f"the coarsest mesh has {count} quadrature points a sample, which would cost too much"
    )


def _useful(best: tuple[Mesh, str], found: float) -> tuple[Mesh, str]:
    if not found <= USELESS:
        raise NoWeakForm(
            f"a mesh of resolution {best[0].resolution}, the finest that costs little enough, is"
            f" {100 * found:.2g} % off"
        )
    return best


def tabulated(table: Tabulated, slot: int, size: int) -> csr_matrix:
    """A basis or one of its derivatives at the quadrature points, as a matrix from coefficients
    to values. Shapes: -> "m n"."""
    count = table.jets.shape[2] * table.jets.shape[3]
    points = np.broadcast_to(np.arange(count).reshape(table.jets.shape[2:]), table.jets.shape[1:])
    columns = np.broadcast_to(table.dofs[:, :, None], table.jets.shape[1:])
    return coo_matrix(
        (table.jets[slot].ravel(), (points.ravel(), columns.ravel())), (count, size)
    ).tocsr()


class _Applied(torch.autograd.Function):
    """A sparse matrix times vectors in columns, in float64."""

    @staticmethod
    def forward(ctx, matrix: csr_matrix, vector: Tensor) -> Tensor:
        ctx.matrix, ctx.dtype, ctx.device = matrix, vector.dtype, vector.device
        return torch.from_numpy(matrix @ vector.detach().double().cpu().numpy())

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return None, torch.from_numpy(ctx.matrix.T @ gradient.numpy()).to(ctx.device, ctx.dtype)


class _Projected(torch.autograd.Function):
    """A symmetric matrix, by its factors, solved for columns in float64."""

    @staticmethod
    def forward(ctx, columns: Tensor, factors: SuperLU) -> Tensor:
        ctx.factors = factors
        return torch.from_numpy(factors.solve(columns.detach().numpy()))

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return torch.from_numpy(ctx.factors.solve(gradient.numpy())), None


class _Squared(torch.autograd.Function):
    """r and the errors at the start -> mean over the slabs of e' N e with e that of `Slabs`.
    Shapes: residual "n s", start "n 2" -> ""."""

    @staticmethod
    def forward(
        ctx, residual: Tensor, start: Tensor | None, coarse: Coarse, norm: csr_matrix
    ) -> Tensor:
        first = None if start is None else start.detach().numpy()
        error = coarse.slabs.solve(residual.detach().numpy(), first)
        weighted = norm @ error / error.shape[1]
        slopes = coarse.slabs.transposed(2 * weighted)
        ctx.slope, ctx.first = map(torch.from_numpy, slopes)
        return torch.tensor(float(np.sum(error * weighted)), dtype=torch.float64)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        first = gradient * ctx.first if ctx.needs_input_grad[1] else None
        return gradient * ctx.slope, first, None, None


def _squared(
    residual: Tensor, start: Tensor | None, coarse: Coarse, sizes: Mapping[Measure, float]
) -> Tensor:
    norm = sum(
        matrix / (coarse.sizes[key] + FLOOR * sizes[key] or 1.0)
        for key, matrix in coarse.norms.items()
    )
    return _Squared.apply(residual, start, coarse, norm)
