"""`solve`: a problem and a batch in, reference fields out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np
import skfem
import torch
from numpy.typing import NDArray

from compiler.fem.discrete.assemble import Assembly, State, assembly
from compiler.fem.discrete.constraints import Constraints, constrain
from compiler.fem.discrete.kernels import Kernel, kernels
from compiler.fem.discrete.known import Known
from compiler.fem.discrete.spaces import Spaces, make_spaces
from compiler.fem.discrete.system import Level, System, level
from compiler.fem.errors import NoConvergence, NoWeakForm, Singular, SolverError, WrongOption
from compiler.fem.forms.weak import Region, WeakForm, weak_form
from compiler.fem.meshing.facets import aligned, facets_of, outside
from compiler.fem.meshing.fitted import fitted
from compiler.fem.meshing.mesh import mesh_domain
from compiler.fem.meshing.meshfile import given_mesh, refuse_other_domain
from compiler.fem.solution import SampleSolution, Solution
from compiler.fem.solvers.minimize import minimize
from compiler.fem.solvers.newton import NewtonOptions, newton, solve_equations
from compiler.fem.solvers.time_stepping import march
from pdespec.errors import nearest
from pdespec.geometry import Boundary, shape_symbols
from pdespec.rules.check import RULES
from pdespec.rules.registry import Analysis
from pdespec.rules.subdomains import merged
from pdespec.statements.problem import Problem
from pdespec.symbols import InputField

Array = NDArray[np.float64]
LOADS = 8  # load steps of a body under finite strains


@dataclass(frozen=True)
class SolveOptions:
    """How a reference solution is made.

    resolution: cells along the longest side. degree: of the elements (velocities of a Taylor-Hood pair). cell: "simplex" or "brick".
    steps: of time; None: see `in_time`. scheme: "sdirk4" or "midpoint" (see `march.py`).
    """

    resolution: int = 32
    degree: int = 2
    cell: str = "simplex"
    steps: int | None = None
    scheme: str = "sdirk4"
    newton: NewtonOptions = field(default_factory=NewtonOptions)


@dataclass(frozen=True)
class Prepared:
    """What all samples of a problem share: its weak form and the compiled kernels."""

    form: WeakForm
    kernels: tuple[Kernel, ...]
    levels: tuple[Level, ...]

    @property
    def regions(self) -> tuple[Region, ...]:
        """Every region that needs quadrature."""
        found = [
            self.form.domain,
            *(k.region for k in self.kernels),
            *(r for _, r in self.form.energy),
            *(each.gauge.region for each in self.levels),
        ]
        return tuple(dict.fromkeys(found))


def solve(problem: Problem, batch, resolution: int = 32, *, mesh: skfem.Mesh | str | None = None, **options) -> Solution:
    """Reference fields of every sample of a batch, by finite elements.

    batch: a `compiler.Batch`, or anything with its `size`, `params`, `evaluate`, `select` and `to`. mesh: a mesh, or the name of a file
    that meshio reads, instead of one made from the domain. Other options: the fields of `SolveOptions`.
    Raises: NoWeakForm, NoConvergence, WrongOption, SolverError; each says what is missing.
    """
    refuse_options(problem, options)
    chosen = SolveOptions(resolution=resolution, **options)
    problem = one_equation(problem)
    batch = batch.to("cpu", torch.float64)
    prepared = prepare(problem)
    samples = []
    shared: dict[str, Spaces] = {}
    for sample in range(batch.size):
        known = Known(problem, batch if batch.size == 1 else batch.select([sample]))
        clock = Clock()
        spaces = sample_spaces(prepared, known, chosen, mesh, shared)
        clock.lap("mesh")
        samples.append(solve_sample(prepared, spaces, known, chosen, clock))
    energy = torch.tensor([s.energy for s in samples], dtype=torch.float64) if prepared.form.energy else None
    seconds = float(np.mean([sum(s.seconds.values()) for s in samples]))
    return Solution(tuple(samples), seconds, energy)


def refuse_options(problem: Problem, options: Mapping[str, object]) -> None:
    """Raises: WrongOption for an option that there is none of, with the nearest one, and for one of time in a problem without time."""
    known = [each.name for each in fields(SolveOptions)]
    for name in options:
        if name not in known:
            near = nearest(name, [*known, "mesh"])
            hint = f"did you mean {near!r}?" if near else f"they are {', '.join(known)}"
            raise WrongOption(f"solve has no option {name!r}; {hint}")
        if name in ("steps", "scheme") and problem.time is None:
            raise WrongOption(f"{name} = {options[name]!r} is of time, and `{problem.name}` has none; leave it out")


def one_equation(problem: Problem) -> Problem:
    """The problem with the equations of subdomains made one. Raises: NoWeakForm where they cannot be."""
    found = merged(problem)
    if found is None:
        raise NoWeakForm(
            f"the equations of the subdomains of `{problem.name}` make no one equation: their shapes or numbers do not allow it"
        )
    return found


def prepare(problem: Problem) -> Prepared:
    """The symbolic part, done once for all samples.

    Raises: SolverError for what a discretisation would answer in silence: two values at one place (W03), no unique solution (W05).
    """
    analysis = Analysis(problem)
    for diagnostic in (d for code in ("W03", "W05") for rule in RULES[code] for d in rule(analysis)):
        raise SolverError(f"{diagnostic.message}; {diagnostic.hint}")
    form = weak_form(problem)
    return Prepared(form, kernels(form), tuple(level(gauge) for gauge in form.gauges))


def sample_spaces(
    prepared: Prepared, known: Known, options: SolveOptions, given: skfem.Mesh | str | None, shared: dict[str, Spaces]
) -> Spaces:
    """Mesh and spaces of a sample; one for all where the domain does not vary."""
    form = prepared.form
    shaping = set().union(shape_symbols(form.domain.shape), *(r.value.free_symbols for r in known.interfaces(form.domain)))
    key = repr([(s.name, v) for s, v in known.shape_values.items() if s in shaping])
    if key in shared and not any(r.value.atoms(InputField) for r in known.interfaces(form.domain)):
        return shared[key]
    labels: Mapping[str, NDArray[np.int64]] = {}
    if given is None:
        levels = known.levels(form.domain)
        degree = 1 if levels else options.degree
        mesh = fitted(mesh_domain(form.domain, known.shape_values, options.resolution, degree, options.cell), levels)
        mesh = aligned(mesh, boundaries_of(form, prepared.regions), known.shape_values, degree)
    else:
        mesh, labels = given_mesh(given)
        refuse_other_domain(mesh, form.domain, known.shape_values)
    regions = prepared.regions
    named = boundaries_of(form, regions)
    facets = {boundary: facets_of(boundary, mesh, known.shape_values, labels) for boundary in sorted(named, key=lambda b: b.name)}
    check_settled(form, mesh, facets)
    shared.clear()  # domains that vary come one after the other
    shared[key] = make_spaces(form, mesh, facets, options.degree, regions)
    return shared[key]


def boundaries_of(form: WeakForm, regions: tuple[Region, ...]) -> set[Boundary]:
    """Every boundary that the weak form or its conditions name."""
    named = {r for r in regions if isinstance(r, Boundary)} | {e.region for e in form.essentials}
    return named | {boundary for regions in form.settled.values() for boundary in regions}


def check_settled(form: WeakForm, mesh: skfem.Mesh, facets: Mapping[Boundary, NDArray[np.int64]]) -> None:
    """Raises: NoWeakForm where a part of the boundary has no condition for an equation that was integrated by parts."""
    every = outside(form.domain, mesh)
    for row, regions in form.settled.items():
        covered = np.concatenate([np.zeros(0, dtype=np.int64), *(facets[region] for region in regions)])
        open_ = np.setdiff1d(every, covered)
        if open_.size:
            place = ", ".join(f"{v:.3g}" for v in mesh.p[:, mesh.facets[:, open_[0]]].mean(axis=1))
            raise NoWeakForm(
                f"equation `{form.labels[row]}` has no boundary condition on {open_.size} of {every.size} boundary facets, near ({place}): "
                f"give {row} there, or the flux of the equation, such as dot(grad({row}), n) = 0"
            )


def solve_sample(prepared: Prepared, spaces: Spaces, known: Known, options: SolveOptions, clock: Clock) -> SampleSolution:
    """One sample, stationary or in time."""
    form = prepared.form
    parts = assembly(form, spaces, prepared.kernels, known)
    constraints = constrain(form, spaces, known)
    if form.time is not None:
        times, vectors, steps = in_time(parts, constraints, prepared.levels, options)
    else:
        times, (vectors, steps) = None, stationary(parts, constraints, prepared.levels, options)
    clock.lap("solve")
    energy = parts.energy(State((vectors[-1],), times[-1] if times is not None else 0.0)) if form.energy else None
    held = reactions(form, spaces, parts.residual(State((vectors[-1],)))) if times is None else {}
    return SampleSolution(spaces, form.given, vectors, times, energy, steps, clock.laps, held)


def reactions(form: WeakForm, spaces: Spaces, residual: Array) -> dict[tuple[str, str], float]:
    """Sum of the residuals over the fixed nodes of each boundary, by component."""
    found = {}
    for condition in form.essentials:
        for component, _ in condition.coefficients:
            numbers = spaces.offsets[component] + spaces.on(component, condition.region)
            found[condition.region.name, component] = float(residual[numbers].sum())
    return found


def in_time(parts: Assembly, constraints: Constraints, levels: tuple[Level, ...], options: SolveOptions) -> tuple[Array, Array, int]:
    """The march with the steps asked for; else with 2 resolution of them, up to eight times as many where Newton's method fails."""
    if options.steps is not None:
        return march(parts, constraints, levels, options.steps, options.scheme, options.newton)
    for factor in (2, 4, 8):
        try:
            return march(parts, constraints, levels, factor * options.resolution, options.scheme, options.newton)
        except NoConvergence:
            continue
    return march(parts, constraints, levels, 16 * options.resolution, options.scheme, options.newton)


def stationary(parts: Assembly, constraints: Constraints, levels: tuple[Level, ...], options: SolveOptions) -> tuple[Array, int]:
    """The solution without its multipliers, and the Newton steps it took.  Shapes: -> "1 n"."""
    system, u, steps = solved_system(parts, constraints, levels, options)
    return u[None, : system.size], steps


def solved_system(parts: Assembly, constraints: Constraints, levels: tuple[Level, ...], options: SolveOptions) -> tuple[System, Array, int]:
    """The equations with their solution, multipliers last, from the zero state; from one with gradients where they degenerate there."""
    system = System(parts, constraints, levels)
    start = np.zeros(system.size + len(levels))
    iterate, how = newton, options.newton
    if parts.form.minimized and not levels:
        iterate = minimize
        if how.loads is None and parts.admissible is not None:
            how = replace(how, loads=LOADS)
    try:
        u, steps = solve_equations(system, start, system.offset(), how, iterate=iterate)
    except Singular:  # a p-Laplacian at rest; what is undetermined everywhere is so there too
        u, steps = solve_equations(system, system.extended(uneven(parts.spaces)), system.offset(), how, iterate=iterate)
    return system, u, steps


def uneven(spaces: Spaces) -> Array:
    """A state of size one whose gradients vanish almost nowhere: `cos(1 + 2 x' + 3 y' + ..)` in every component, over the unit box."""
    lower, upper = spaces.mesh.p.min(axis=1)[:, None], spaces.mesh.p.max(axis=1)[:, None]
    places = [(spaces.nodes(component) - lower) / (upper - lower) for component in spaces.bases]
    return np.concatenate([np.cos(1 + np.arange(2, 2 + len(place)) @ place) for place in places])


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.last
        self.last = now
