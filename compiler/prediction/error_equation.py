"""A posteriori error estimate of a field, and its correction, by the weak error equation on a mesh.

Let R(u; phi) = 0 be the weak form of a problem and U a field, known with its first derivatives at
the quadrature points. Its error e = u - U solves

    R(U + e; phi) = 0    for all test functions phi,

in finite elements by Newton's method from e = 0, whose first step is K e = -R(U; phi) with the
tangent K at U: the only one where the problem is linear. What is lacking of e_h is what the
elements cannot represent of *e*, not of u: |e_h| estimates |e| with an effectivity near one, and U
+ e_h is less wrong.

Two numbers say how far to trust it. `bar` is the relative change of the estimate from a mesh half
as fine. `guard` is the length of the second Newton step over that of the first: where it is above
TRUSTED, the field is too far from a solution for a linearised estimate, and damped Newton steps go
on until R(U + e) = 0; where these do not succeed there is no estimate, and the reason is given.

Sources: residual-based correction of neural operators, Cao et al., J. Comput. Phys. 486 (2023)
112104; estimates for neural operators, Fanaskov et al. 2024 (arXiv 2402.05585); for
physics-informed networks, Ernst et al. 2025 (arXiv 2502.20336).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from compiler.arrays import Array
from compiler.chance import Chance
from compiler.derivatives import Request, exact
from compiler.derivatives.interface import Key
from compiler.fem.discrete.assemble import Assembly, assembly
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.discrete.constraints import Constraints, constrain
from compiler.fem.discrete.spaces import Spaces, stacked
from compiler.fem.discrete.system import System
from compiler.fem.energy_gap import interpolated
from compiler.fem.errors import NoConvergence, NoWeakForm, Singular, SolverError
from compiler.fem.forms.weak import Region
from compiler.fem.solution import SampleSolution, Solution
from compiler.fem.solve import Prepared, SolveOptions, one_equation, prepare, sample_spaces
from compiler.fem.solvers.newton import NewtonOptions, linearised, newton
from compiler.fem.solvers.solvability import defects, refuse_defects
from compiler.geometry.domain import box
from compiler.geometry.metrics import domain, misfit
from compiler.lowering.terms import JetVariable
from pdespec.jets import MultiIndex
from pdespec.statements.problem import Problem

Jets = Mapping[tuple[Region, sp.Symbol], Array]
TRUSTED = 0.1  # of the second Newton step over the first
POINTS = 2048  # uniform points on which the relative errors are taken
# Cells across the domain. A clamped beam four times as long as high, with 4 cells across: estimates
# were 0.5 to 1.5 of the true error, since the stresses of an operator vary faster than such cells.
ACROSS = 16
MOST = 64  # along the longest side in a plane; in space no more than ACROSS


class NoEstimateWarning(UserWarning):
    """The error of a field could not be estimated."""


@dataclass(frozen=True)
class Certificate:
    """Estimated errors of a field, by unknown: `certificate["u"]` is |e|/|U + e| in L2.

    What the problem leaves open (the level of a pressure, a sign) does not count, as in `evaluate`.
    `relative`, `gradient` (|grad e|/|grad(U + e)|, of continuous unknowns) and `bar` (relative
    change of `relative` from the coarser mesh) are mappings from unknowns to "b"; `guard` and
    `steps` are "b"; tensors all, or arrays of NumPy in an answer that gives those. `reasons` say
    why a sample has no estimate: its numbers are NaN. `correction` is e_h, with it.
    """

    relative: Mapping[str, Tensor | Array]
    gradient: Mapping[str, Tensor | Array]
    bar: Mapping[str, Tensor | Array]
    guard: Tensor | Array
    steps: Tensor | Array
    reasons: tuple[str | None, ...]
    samples: tuple[SampleSolution | None, ...]
    resolution: int

    def __getitem__(self, name: str) -> Tensor | Array:
        return self.relative[name]

    def numpy(self) -> Certificate:
        """The same in arrays of NumPy."""
        named = {
            each: {name: np.asarray(value) for name, value in getattr(self, each).items()}
            for each in ("relative", "gradient", "bar")
        }
        return replace(self, **named, guard=np.asarray(self.guard), steps=np.asarray(self.steps))

    @property
    def correction(self) -> Solution:
        """e_h as a function of points. Raises: SolverError where a sample has no estimate."""
        for k, reason in enumerate(self.reasons):
            if reason is not None:
                raise SolverError(
                    f"sample {k} has no estimate of its error, and so no correction: {reason}"
                )
        return Solution(tuple(each for each in self.samples if each is not None), 0.0, None)

    def __repr__(self) -> str:
        parts = [f"{name} {_percent(each)}" for name, each in self.relative.items()]
        failed = sum(each is not None for each in self.reasons)
        note = f"; no estimate for {failed} of {len(self.reasons)}" if failed else ""
        return f"Certificate({', '.join(parts)}{note})"


def certificate(
    problem: Problem,
    found: Callable[[Tensor], Tensor],
    batch: Any,
    resolution: int | None = None,
    degree: int = 2,
) -> Certificate:
    """The error of a field of the problem on each sample of a batch, estimated on meshes of a
    resolution, cells along the longest side, and of half of it. By default there are `ACROSS`
    along the shortest.

    `found` is a field of points "b n d" -> "b n c" with exact first derivatives, as a model gives.
    Costs two coarse assemblies and factorisations a sample. Warns: NoEstimateWarning for samples
    without an estimate. Raises: NoWeakForm for problems in time, those with a bound on an unknown,
    and those without a weak form.
    """
    problem = one_equation(problem)
    prepared = prepare(problem)
    if prepared.form.time is not None:
        raise NoWeakForm(
            f"the error of `{problem.name}` is not estimated: it depends on time; compare with"
            " `compiler.solve`"
        )
    if prepared.form.obstacles:
        raise NoWeakForm(
            f"the error of `{problem.name}` is not estimated: a bound on an unknown makes it an"
            " inequality; compare with `compiler.solve`"
        )
    like = next(iter(batch.points.values())).points
    double = batch.to("cpu", torch.float64)
    geometry = double.geometry[domain(problem).name]
    resolution = _resolution(problem) if resolution is None else resolution
    points = geometry.interior(
        POINTS, Chance(torch.Generator().manual_seed(0), batch.size, alike=True)
    )
    with torch.no_grad():
        values = found(points.to(like)).detach().cpu().double()
    half, full = (
        _estimates(problem, prepared, found, double, like, SolveOptions(each, degree))
        for each in (max(2, resolution // 2), resolution)
    )
    reasons = tuple(after.reason or before.reason for before, after in zip(half, full, strict=True))
    errors = [_relative(problem, points, values, each) for each in (half, full)]
    for k, reason in enumerate(reasons):
        if reason is not None:
            warnings.warn(
                f"no estimate of the error of sample {k}: {reason}", NoEstimateWarning, stacklevel=2
            )
    lost = torch.tensor([reason is not None for reason in reasons])
    relative = {name: each.masked_fill(lost, math.nan) for name, each in errors[1].items()}
    return Certificate(
        relative,
        {
            name: torch.tensor([each.gradient.get(name, math.nan) for each in full])
            for name in relative
        },
        {name: (relative[name] - errors[0][name]).abs() / relative[name] for name in relative},
        torch.tensor([each.guard for each in full]),
        torch.tensor([each.steps for each in full]),
        reasons,
        tuple(each.solution for each in full),
        resolution,
    )


def _resolution(problem: Problem) -> int:
    """Cells along the longest side of the box that holds the domain for all params: the same in
    every batch."""
    sides = [high - low for low, high in zip(*box(domain(problem)), strict=True)]
    return min(MOST if len(sides) < 3 else ACROSS, round(ACROSS * max(sides) / min(sides)))


@dataclass(frozen=True)
class Corrected:
    """A field U plus its estimated error e_h, with first derivatives; nothing of it is
    differentiable."""

    found: Callable[[Tensor], Tensor]
    error: Solution

    def __call__(self, points: Tensor) -> Tensor:
        """Shapes: "b n d" -> "b n c"."""
        with torch.no_grad():
            values = self.found(points)
        return values + self.error(points).to(values)

    def derivatives(self, points: Tensor, request: Request) -> dict[Key, Tensor]:
        """What a derivative backend is asked. Raises: SolverError for second derivatives."""
        own, error = exact(self.found, points, request), self.error.derivatives(points, request)
        return {key: value.detach() + error[key].to(value) for key, value in own.items()}


@dataclass(frozen=True)
class Estimate:
    """e_h of one sample, |grad e|/|grad(U + e)| by unknown, and how Newton's method went; or why
    there is none."""

    solution: SampleSolution | None = None
    gradient: Mapping[str, float] = field(default_factory=dict)
    guard: float = math.nan
    steps: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class AroundField(Assembly):
    """The discrete equations of U + e as equations of e: the unknowns' values and derivatives are
    those of e plus `jets`, U's at the quadrature points, "e q" each.
    """

    jets: Jets = field(default_factory=dict)

    def argument(self, symbol, region, place, state):
        found = super().argument(symbol, region, place, state)
        return found + self.jets[region, symbol] if (region, symbol) in self.jets else found


@dataclass(frozen=True)
class Shifted(Constraints):
    """The constraints of u = U + e as those of e: e = T e[free] + g - U + T U[free], U by its
    nodal values."""

    nodal: Array = field(default_factory=lambda: np.zeros(0))

    def offset(self, time: float) -> Array:
        return super().offset(time) - self.nodal + self.matrix @ self.nodal[self.free]


def _estimates(
    problem: Problem,
    prepared: Prepared,
    found: Callable[[Tensor], Tensor],
    batch: Any,
    like: Tensor,
    options: SolveOptions,
) -> list[Estimate]:
    knowns = [
        Coefficients(problem, batch if batch.size == 1 else batch.select([s]))
        for s in range(batch.size)
    ]
    shared: dict[str, Spaces] = {}
    spaces = [sample_spaces(prepared, known, options, None, shared) for known in knowns]
    jets = _jet_values(problem, prepared, found, spaces, like)
    estimates = []
    for s, (known, own) in enumerate(zip(knowns, spaces, strict=True)):
        blank = SampleSolution(own, prepared.form.given, np.zeros((1, own.size)), None, None, 0, {})
        nodal = interpolated(blank, lambda x, s=s: found(x.expand(batch.size, -1, -1).to(like))[s])
        try:
            estimates.append(_estimate(problem, prepared, known, own, jets[s], nodal))
        except Singular:
            estimates.append(Estimate(reason="the linearised equations are singular at this field"))
        except SolverError as reason:
            estimates.append(Estimate(reason=str(reason)))
    return estimates


def _estimate(
    problem: Problem,
    prepared: Prepared,
    known: Coefficients,
    spaces: Spaces,
    jets: Jets,
    nodal: Array,
) -> Estimate:
    """Newton's method from e = 0: two steps where the second is short, damped ones until it
    converges else."""
    form = prepared.form
    if not all(np.all(np.isfinite(each)) for each in (nodal, *jets.values())):
        raise SolverError("the field or its slope is not finite at a node or quadrature point")
    plain = assembly(form, spaces, prepared.kernels, known)
    around = AroundField(
        form, spaces, plain.kernels, known, plain.energies, plain.admissible, plain.cache, jets=jets
    )
    held = constrain(form, spaces, known)
    shifted = Shifted(
        held.matrix, held.free, held.fixed, held.masters, known, held.pinned, nodal=nodal
    )
    system = System(around, shifted, prepared.levels)
    e = _multipliers(system, system.extended(shifted.offset(0.0)))
    if not np.all(np.isfinite(system.residual(e))):
        raise SolverError(
            "what the equations make of the field is not finite at a quadrature point"
        )
    if not system.allowed(e):
        raise SolverError("the field breaks a requirement of the problem")
    moves = []
    for _ in range(2):
        direction = system.transformation @ linearised(system, e).inverse(
            -(system.transformation.T @ system.residual(e))
        )
        e = e + direction
        moves.append(direction)
    first, second = (_lengths(problem, spaces, each) for each in moves)
    sizes = _lengths(problem, spaces, nodal + e[: spaces.size])
    guard = max(second[name] / max(first[name], 1e-6 * sizes[name], 1e-300) for name in first)
    steps = 2
    if not guard <= TRUSTED or not system.allowed(e):
        e = _multipliers(system, system.extended(shifted.offset(0.0)))
        balance = np.zeros(system.transformation.shape[1])
        system.kept.clear()
        try:
            e, steps = newton(system, e, balance, NewtonOptions(), 0.0)
        except NoConvergence as failure:
            raise NoConvergence(
                f"the field is too far from a solution (second Newton step {guard:.2g} of the"
                f" first): {failure}"
            ) from failure
    refuse_defects(list(defects(system, e)))
    vector = e[: spaces.size]
    solution = SampleSolution(spaces, form.given, vector[None], None, None, steps, {})
    return Estimate(
        solution, _gradients(problem, prepared, spaces, jets, vector), float(guard), steps
    )


def _multipliers(system: System, e: Array) -> Array:
    """e with the multipliers of integral requirements that leave the least residual."""
    if system.levels:
        rows = np.stack([system.row(k, system.state(e)) for k in range(len(system.levels))])
        residual = system.assembly.residual(system.state(e))
        down = system.constraints.matrix.T
        e[system.size :] = np.linalg.lstsq(down @ rows.T, -(down @ residual), rcond=None)[0]
    return e


def _jet_values(
    problem: Problem,
    prepared: Prepared,
    found: Callable[[Tensor], Tensor],
    spaces: Sequence[Spaces],
    like: Tensor,
) -> list[dict[tuple[Region, sp.Symbol], Array]]:
    """Values and first derivatives of the field at the quadrature points of every sample, "e q"
    each, by one call a region. Unknowns that the reduction to second order has added are left at
    zero.
    """
    order = {component: k for k, component in enumerate(problem.components)}
    result: list[dict[tuple[Region, sp.Symbol], Array]] = [{} for _ in spaces]
    for region, jets in _jets(prepared).items():
        asked = sorted((s for s in jets if s.component in order), key=str)
        if not asked:
            continue
        places = [each.places[region] for each in spaces]
        points = [place.points.reshape(len(place.points), -1).T for place in places]
        indices: dict[int, set[MultiIndex]] = {}
        for jet in asked:
            indices.setdefault(order[jet.component], set()).add(jet.index)
        request = Request({channel: frozenset(each) for channel, each in indices.items()})
        answers = exact(found, like.new_tensor(stacked(points)), request)
        for s, place in enumerate(places):
            for jet in asked:
                value = answers[order[jet.component], jet.index][s, : len(points[s])]
                flat = value.detach().cpu().double().numpy()
                result[s][region, jet] = flat.reshape(place.weights.shape)
    return result


def _jets(prepared: Prepared) -> dict[Region, set[JetVariable]]:
    """The unknowns and their derivatives that the discrete equations hold, by region."""
    result: dict[Region, set[JetVariable]] = {}
    functions = [(k.region, f) for k in prepared.kernels for f in (k.residual, k.tangent)]
    functions += [
        (each.gauge.region, f)
        for each in prepared.levels
        for f in (each.density, each.variation.residual)
    ]
    form = prepared.form
    densities = [(region, density) for density, region in form.energy]
    expressions = [(region, e) for region, f in functions for e in f.expressions] + densities
    expressions += [(form.domain, e) for e in form.admissible or ()]
    for region, expression in expressions:
        found = {s for s in expression.atoms(JetVariable) if not s.known}
        result.setdefault(region, set()).update(found)
    return result


def _lengths(problem: Problem, spaces: Spaces, vector: Array) -> dict[str, float]:
    """Root mean squares of the nodal values, by unknown."""
    return {
        name: math.sqrt(
            sum(float(np.mean(vector[spaces.numbers(c)] ** 2)) for c in unknown.components)
        )
        for name, unknown in problem.unknowns.items()
    }


def _gradients(
    problem: Problem, prepared: Prepared, spaces: Spaces, jets: Jets, vector: Array
) -> dict[str, float]:
    """|grad e|/|grad(U + e)| of the unknowns whose gradients the equations hold whole."""
    place = spaces.places[prepared.form.domain]
    own = {
        (s.component, s.index): v
        for (region, s), v in jets.items()
        if region == prepared.form.domain
    }
    axes = len(prepared.form.coordinates)
    units = [tuple(int(k == axis) for k in range(axes)) for axis in range(axes)]
    found = {}
    for name, unknown in problem.unknowns.items():
        if not all((c, unit) in own for c in unknown.components for unit in units):
            continue
        small = large = 0.0
        for component in unknown.components:
            table = place.tables[component]
            slopes = np.einsum("kaeq,ae->keq", table.jets[1:], vector[table.dofs])
            total = slopes + np.stack([own[component, unit] for unit in units])
            small += float(np.sum(slopes**2 * place.weights))
            large += float(np.sum(total**2 * place.weights))
        found[name] = math.sqrt(small / large) if large > 0 else math.nan
    return found


def _relative(
    problem: Problem, points: Tensor, values: Tensor, estimates: Sequence[Estimate]
) -> dict[str, Tensor]:
    """Relative L2 errors as `evaluate` takes them, over uniform points. Shapes: "b" each."""
    errors = torch.zeros_like(values)
    for s, each in enumerate(estimates):
        if each.solution is not None:
            errors[s] = torch.from_numpy(each.solution.evaluate(points[s].numpy()))
    squares = misfit(problem, points, values, values + errors).squared()
    return {name: squares[:, k].sqrt() for k, name in enumerate(problem.unknowns)}


def _percent(values: Tensor | Array) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{100 * low:.3g} %" if low == high else f"{100 * low:.3g} to {100 * high:.3g} %"
