"""`solve`: a problem and a batch in, reference fields out."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
import skfem
import sympy as sp
import torch
from numpy.typing import NDArray

from compiler.arrays import Array, IntArray
from compiler.fem.discrete.assemble import Assembly, State, assembly
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.discrete.constraints import Constraints, constrain
from compiler.fem.discrete.kernels import Function, Kernel, function, kernels
from compiler.fem.discrete.spaces import Spaces, make_spaces
from compiler.fem.discrete.system import Level, System, level
from compiler.fem.doubts import doubts
from compiler.fem.error_estimate import (
    SAFETY,
    Distances,
    ErrorEstimate,
    estimate,
    from_distances,
)
from compiler.fem.errors import (
    NoConvergence,
    NoWeakForm,
    SampleError,
    Singular,
    SolverError,
    SolverWarning,
    WrongOption,
)
from compiler.fem.forms.conditions import unknown_jet_variables
from compiler.fem.forms.nonsmooth import FACTORS, WIDTH, arguments_of
from compiler.fem.forms.weak import Region, WeakForm, weak_form
from compiler.fem.meshing.bodies import body_of, geometry_of
from compiler.fem.meshing.facets import aligned, boundary_facets, facets_of, within
from compiler.fem.meshing.fitted import curved, fitted
from compiler.fem.meshing.mesh import mesh_domain, shaken
from compiler.fem.meshing.meshfile import given_mesh, refuse_other_domain
from compiler.fem.meshing.triangulate import moved_vertices
from compiler.fem.refinement import divided, indicators, marked
from compiler.fem.solution import SampleSolution, Solution
from compiler.fem.solvers.minimize import minimize
from compiler.fem.solvers.newton import NewtonOptions, length, newton, solve_equations
from compiler.fem.solvers.obstacles import CONTACT, Contact, bounded
from compiler.fem.solvers.solvability import (
    defects,
    orientation,
    refuse_defects,
    refuse_two_conditions,
)
from compiler.fem.solvers.time_stepping import SCHEMES, Marched, integrate_in_time
from compiler.lowering.numpy_function import numpy_function
from compiler.trainable_fields import expanded
from compiler.workers import Workers
from pdespec.errors import suggestion
from pdespec.geometry import Boundary, Domain, meshes, shape_symbols
from pdespec.rules.check import RULES
from pdespec.rules.contact import Apart, Joined, domains_of_unknowns, joined
from pdespec.rules.registry import Analysis
from pdespec.rules.subdomains import merged
from pdespec.statements.problem import Problem, once
from pdespec.symbols import InputField

Start = Solution | Mapping[str, Any] | None
MOST = {1: 20_000, 2: 400, 3: 64}  # cells along the longest side, up to which a tolerance is sought
MOST_CELLS = 400_000  # that are made where the error is
COARSEST = 2  # cells along the longest side, from which on an order can be observed
TOUCHES = 512  # points of a boundary that are looked at
ROUNDING = 1e-9  # of the extent: what lies no farther outside of a domain is on its boundary
OVERLAP = 1e-6  # of the extent: how deep a point of one domain has to lie in another
GRAZING = 0.1  # cosine of an oblique direction and the normal, below which it is refused
LOADS = 8  # load steps of a body under finite strains


@dataclass(frozen=True)
class SolveOptions:
    """How a reference solution is made.

    resolution: cells along the longest side. degree: of the elements (velocities of a Taylor-Hood
    pair). cell: "simplex" or "brick". steps: of time; None: see `in_time`. scheme: "sdirk4" or
    "midpoint" (see `solvers/time_stepping.py`). step_tolerance: relative error of one step in time,
    by which its length is chosen.
    """

    resolution: int = 32
    degree: int = 2
    cell: str = "simplex"
    steps: int | None = None
    scheme: str = "sdirk4"
    step_tolerance: float | None = None
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


def solve(
    problem: Problem,
    batch,
    resolution: int = 32,
    *,
    mesh: skfem.Mesh | str | None = None,
    start: Start = None,
    tolerance: float | None = None,
    workers: Workers | int = 1,
    **options,
) -> Solution:
    """Reference fields of every sample of a batch, by finite elements.

    batch: a `compiler.Batch`, or anything with its `size`, `params`, `evaluate`, `select` and `to`.
    mesh: a mesh, or the name of a file that meshio reads, instead of one made from the domain.
    start: what Newton's method begins with, a `Solution` or a mapping from unknowns to expressions,
    numbers or functions of points (n, d), for problems with several solutions or none near zero.
    tolerance: of the estimated relative error in L2 of every unknown; from `resolution` on cells
    and steps in time are made smaller until it holds. Other options: the fields of `SolveOptions`.
    Raises: NoWeakForm, NoConvergence, WrongOption, SolverError; each says what is missing.
    """
    refuse_options(problem, options)
    chosen = SolveOptions(resolution=resolution, **options)
    batch = batch.to("cpu", torch.float64)
    workers = workers if isinstance(workers, Workers) else Workers(workers)
    if len(domains_of_unknowns(problem)) > 1:
        refuse_overlaps(problem, batch)
    whole = one_domain(problem)
    if whole is not None:
        if start is not None:
            raise WrongOption("`start` is not taken where the unknowns live on several domains")
        refuse_other_contacts(problem, whole, batch)
        options |= {"mesh": mesh, "tolerance": tolerance, "workers": workers}
        return in_parts(problem, whole, batch, solve(whole.problem, batch, resolution, **options))
    problem = one_equation(expanded(problem))
    request = Request(problem, prepare(problem), batch, chosen, mesh, start, workers)
    return solve_samples(request) if tolerance is None else refined(request, tolerance)


def in_parts(problem: Problem, whole: Joined, batch: Any, found: Solution) -> Solution:
    """The solution of a problem whose unknowns on several domains were made one, with a component
    for each of them, which has values on its own domain. The estimated errors are those over all
    domains."""
    samples = []
    for number, sample in enumerate(found.samples):
        known = Coefficients(problem, batch if batch.size == 1 else batch.select([number]))
        bases = {own: sample.spaces.bases[one] for own, (one, _) in whole.places.items()}
        offsets = {own: sample.spaces.offsets[one] for own, (one, _) in whole.places.items()}
        margin = ROUNDING * float(np.ptp(sample.spaces.mesh.p))
        samples.append(
            replace(
                sample,
                spaces=replace(sample.spaces, bases=bases, offsets=offsets),
                components=tuple(whole.places),
                reactions={
                    (name, whole.own(name, one)): force
                    for (name, one), force in sample.reactions.items()
                },
                supports={
                    own: partial(within, own_domain, known.shape_values, margin=margin)
                    for own, (_, own_domain) in whole.places.items()
                },
            )
        )

    def errors(_: Solution) -> dict[str, ErrorEstimate]:
        return {
            name: found.error[whole.places[unknown.components[0]][0].partition(".")[0]]
            for name, unknown in problem.unknowns.items()
        }

    return Solution(tuple(samples), found.seconds, found.energy, errors)


@dataclass(frozen=True)
class Request:
    """One call of `solve`: the problem, what its samples share, the batch, and how it is solved."""

    problem: Problem
    prepared: Prepared
    batch: Any
    options: SolveOptions
    mesh: skfem.Mesh | str | None
    start: Start = None
    workers: Workers = Workers()

    def sample(self, number: int, shared: dict[str, Spaces]) -> SampleSolution:
        """The solution of one sample. `shared`: spaces that samples of one shape have in common."""
        known = Coefficients(
            self.problem, self.batch if self.batch.size == 1 else self.batch.select([number])
        )
        clock = Clock()
        spaces = sample_spaces(self.prepared, known, self.options, self.mesh, shared)
        clock.lap("mesh")
        begun = (
            None
            if self.start is None
            else starting_values(self.start, self.prepared.form, spaces, known, number)
        )
        return solve_sample(self.prepared, spaces, known, self.options, clock, begun)


def solve_samples(request: Request) -> Solution:
    """All samples."""
    one = partial(replace(request, workers=Workers()).sample, shared={})
    samples = list(request.workers.map(one, range(request.batch.size)))
    energy = (
        torch.tensor([s.energy for s in samples], dtype=torch.float64)
        if request.prepared.form.energy
        else None
    )
    seconds = float(np.mean([sum(s.seconds.values()) for s in samples]))
    found = Solution(tuple(samples), seconds, energy, lambda solution: estimated(request, solution))
    for text in found.warnings:
        warnings.warn(text, SolverWarning, stacklevel=4)
    return found


def estimated(request: Request, fine: Solution) -> dict[str, ErrorEstimate]:
    """The errors of a solution, from coarser ones: see `error_estimate.py`.

    Raises: SolverError where there is none.
    """
    components = {name: unknown.components for name, unknown in request.problem.unknowns.items()}
    ladder = [coarser(request.options, factor) for factor in (2, 4)]
    ratio = request.options.resolution / ladder[0].resolution
    bound = request.mesh is not None or ratio < 1.5
    if not bound:
        one = coarse_samples(replace(request, options=ladder[0]))
        cells = [
            len(a.spaces.mesh.t.T) > 1.2 * len(b.spaces.mesh.t.T)
            for a, b in zip(fine.samples, one, strict=True)
            if b is not None
        ]
        bound = not all(cells)
    if bound:
        below = request.options.degree - 1 or 2
        one, two = (
            coarse_samples(replace(request, options=replace(request.options, degree=below))),
            [None] * len(fine.samples),
        )
    else:
        two = (
            coarse_samples(replace(request, options=ladder[1]))
            if ladder[1].resolution >= COARSEST
            else [None] * len(one)
        )
    distances = []
    for sample, a, b in zip(fine.samples, one, two, strict=True):
        if a is None:
            raise SolverError(
                "the error cannot be estimated: the problem has no solution on a coarser mesh, or"
                " with elements of another degree"
            )
        distances.append(estimate(sample, [a] if b is None else [a, b], components))
    return {
        name: from_distances([d[name] for d in distances], request.options.degree, ratio, bound)
        for name in components
    }


def coarser(options: SolveOptions, factor: int) -> SolveOptions:
    """Cells and steps in time that are `factor` times as large."""
    steps = (
        None
        if options.steps is None
        else 2
        if options.steps == 1
        else max(1, options.steps // factor)
    )
    tolerance = None if options.step_tolerance is None else options.step_tolerance * factor**4
    return replace(
        options,
        resolution=max(1, options.resolution // factor),
        steps=steps,
        step_tolerance=tolerance,
    )


def coarse_samples(request: Request) -> list[SampleSolution | None]:
    """Solutions for comparison; None where a sample has none."""
    found: list[SampleSolution | None] = []
    shared: dict[str, Spaces] = {}
    for number in range(request.batch.size):
        try:
            found.append(request.sample(number, shared))
        except SolverError:
            found.append(None)
    return found


def refined(request: Request, tolerance: float) -> Solution:
    """A solution whose estimated relative error in L2 is below a tolerance.

    Raises: SolverError, with the error that was reached, where that takes more cells than
    `MOST` allows.
    """
    if not tolerance > 0:
        raise SolverError(f"a tolerance is a positive number, not {tolerance}")
    options, dim = request.options, len(request.prepared.form.coordinates)
    if (
        request.prepared.form.time is not None
        and options.steps is None
        and options.scheme in SCHEMES
        and SCHEMES[options.scheme].embedded
    ):
        options = replace(options, step_tolerance=options.step_tolerance or tolerance / 20)
    while True:
        found = solve_samples(replace(request, options=options))
        error = float(found.relative_error.max())
        if error <= tolerance:
            return found
        if divisible(request, found):
            return adapted(replace(request, options=options), tolerance)
        order = max(1.0, options.degree + 0.5)
        factor = min(max(1.1 * (error / tolerance) ** (1 / order), 1.25), 4.0)
        resolution = math.ceil(options.resolution * factor)
        if resolution > MOST[dim] or request.mesh is not None:
            raise SolverError(
                f"at resolution {options.resolution} the relative error is about {error:.2g}, not"
                f" {tolerance:.2g}; the next mesh would have {resolution} cells along its longest"
                " side: ask for less, or give a mesh that is finer where the solution is steep"
            )
        tighter = options.step_tolerance and options.step_tolerance / factor
        options = replace(
            options,
            resolution=resolution,
            step_tolerance=tighter,
            steps=options.steps and math.ceil(options.steps * factor),
        )


def divisible(request: Request, found: Solution) -> bool:
    """Whether cells are to be divided where the error is: a stationary solution on triangles that
    is not smooth, since its error falls with a lower order than that of its elements."""
    form, options = request.prepared.form, request.options
    orders = torch.stack([each.orders for each in found.error.values()])
    known = Coefficients(request.problem, request.batch.select([0]))
    return (
        form.time is None
        and len(form.coordinates) == 2
        and request.mesh is None
        and options.cell == "simplex"
        and not meshes(form.domain.shape)
        and not known.interfaces(form.domain)
        and not form.domain.periodic
        and bool((orders < options.degree).any())
    )


def adapted(request: Request, tolerance: float) -> Solution:
    """Solutions on meshes that are finer where the error is, sample by sample.

    Where two meshes that follow each other differ by less than the tolerance all cells are divided
    once more, and 1.25 times the distance to that last solution, which is returned, is its
    estimated error: a bound, since its own error is a fraction of that distance.

    Raises: SolverError where that takes more than `MOST_CELLS` cells.
    """
    samples, distances = [], []
    for number in range(request.batch.size):
        one = request.batch if request.batch.size == 1 else request.batch.select([number])
        sample, distance = adapted_sample(replace(request, batch=one), tolerance)
        samples.append(sample)
        distances.append(distance)
    error = {
        name: from_distances([d[name] for d in distances], request.options.degree, 2.0, True)
        for name in request.problem.unknowns
    }
    energy = (
        torch.tensor([s.energy for s in samples], dtype=torch.float64)
        if request.prepared.form.energy
        else None
    )
    seconds = float(np.mean([sum(s.seconds.values()) for s in samples]))
    return Solution(tuple(samples), seconds, energy, lambda _: error)


def adapted_sample(
    request: Request, tolerance: float
) -> tuple[SampleSolution, dict[str, Distances]]:
    """The solution of one sample, and its distances to that on the mesh before."""
    components = {name: unknown.components for name, unknown in request.problem.unknowns.items()}
    known = Coefficients(request.problem, request.batch)
    domain, degree = request.prepared.form.domain, request.options.degree

    def on_finer(sample: SampleSolution, cells: IntArray | None) -> SampleSolution:
        mesh = divided(sample.spaces.mesh, cells, domain, known.shape_values, degree)
        if mesh.nelements > MOST_CELLS:
            raise SolverError(
                f"on {sample.spaces.mesh.nelements} cells, divided where the error is, the"
                f" relative error is above {tolerance:.2g}; ask for less"
            )
        return replace(request, mesh=mesh).sample(0, {})

    def relative(found: dict[str, Distances]) -> float:
        return max(d.first["l2"] / d.size["l2"] if d.first["l2"] else 0.0 for d in found.values())

    sample, wanted = request.sample(0, {}), tolerance
    while True:
        finer = on_finer(sample, marked(indicators(sample)))
        distance, sample = relative(estimate(finer, [sample], components)), finer
        if distance <= wanted:
            whole = on_finer(sample, None)
            found = estimate(whole, [sample], components)
            reached = SAFETY * relative(found)
            if reached <= tolerance:
                return whole, found
            wanted = distance * tolerance / reached


def refuse_options(problem: Problem, options: Mapping[str, object]) -> None:
    """Raises: WrongOption for an option that there is none of, with the nearest one, and for one
    of time in a problem without time."""
    known = [each.name for each in fields(SolveOptions)]
    for name in options:
        if name not in known:
            beside = ["mesh", "start", "tolerance", "workers"]
            hint = suggestion(name, [*known, *beside], f"they are {', '.join(known)}", quote="'")
            raise WrongOption(f"solve has no option {name!r}; {hint}")
        if name in ("steps", "scheme", "step_tolerance") and problem.time is None:
            raise WrongOption(
                f"{name} = {options[name]!r} is of time, and `{problem.name}` has none; leave"
                " it out"
            )


def refuse_other_contacts(problem: Problem, whole: Joined, batch: Any) -> None:
    """Raises: NoWeakForm where a condition of one domain holds on what it shares with another, on
    which the one unknown is continuous: a crack, say."""
    parts = domains_of_unknowns(problem)
    for number in range(batch.size):
        one = batch if batch.size == 1 else batch.select([number])
        values = Coefficients(problem, one).shape_values
        for label, condition in whole.others.items():
            region, chance = condition.region, torch.Generator().manual_seed(0)
            points, _ = geometry_of(region.domain, values).boundary(region, TOUCHES, chance)
            at = points[0].numpy().T
            margin = ROUNDING * float(np.ptp(at))
            for other in (each for each in parts if each != region.domain):
                if within(other, values, at, margin).any():
                    raise NoWeakForm(
                        f"condition `{label}` holds on `{region.name}`, a part of which lies on"
                        f" {other.name} as well: the reference solver takes values and fluxes that"
                        " are equal on all that two domains share"
                    )


def refuse_overlaps(problem: Problem, batch: Any) -> None:
    """Raises: NoWeakForm where one of several domains that unknowns live on reaches into another:
    they are solved side by side, so that one equation would be lost there."""
    for number in range(batch.size):
        one = batch if batch.size == 1 else batch.select([number])
        values = Coefficients(problem, one).shape_values
        for part in domains_of_unknowns(problem):
            chance = torch.Generator().manual_seed(0)
            at = geometry_of(part, values).interior(TOUCHES, chance)[0].numpy().T
            margin = OVERLAP * float(np.ptp(at))
            for other in (each for each in domains_of_unknowns(problem) if each != part):
                if within(other, values, at, -margin).any():
                    raise NoWeakForm(
                        f"{part.name} and {other.name}, on which unknowns live, overlap: take the"
                        " one from the other, as in `rim = plate - core`"
                    )


def one_domain(problem: Problem) -> Joined | None:
    """The problem with its unknowns on several domains made one; None where they live on one, or
    are not one."""
    if len(domains_of_unknowns(problem)) == 1:
        return None
    try:
        return problem.once(joined)
    except Apart:
        return None


@once
def one_equation(problem: Problem) -> Problem:
    """The problem with the equations of subdomains made one. Raises: NoWeakForm where they
    cannot be."""
    found = merged(problem)
    if found is None:
        raise NoWeakForm(
            f"the equations of the subdomains of `{problem.name}` make no one equation: their"
            " shapes or numbers do not allow it"
        )
    return found


@once
def prepare(problem: Problem) -> Prepared:
    """The symbolic part, done once for all samples.

    Raises: SolverError for what a discretisation would answer in silence: two values at one place
    (W03), no unique solution (W05).
    """
    analysis = Analysis(problem)
    for diagnostic in (
        d for code in ("W03", "W05") for rule in RULES[code] for d in rule(analysis)
    ):
        raise SolverError(f"{diagnostic.message}; {diagnostic.hint}")
    form = weak_form(problem)
    return Prepared(form, kernels(form), tuple(level(gauge) for gauge in form.gauges))


def sample_spaces(
    prepared: Prepared,
    known: Coefficients,
    options: SolveOptions,
    given: skfem.Mesh | str | None,
    shared: dict[str, Spaces],
    chance: np.random.Generator | None = None,
) -> Spaces:
    """Mesh and spaces of a sample; one for all where the domain does not vary. `chance` moves the
    inner vertices of a mesh that fits no interface."""
    form = prepared.form
    shaping = set().union(
        shape_symbols(form.domain.shape),
        *(shape_symbols(part.shape) for part in form.component_domains.values()),
        *(r.value.free_symbols for r in known.interfaces(form.domain)),
    )
    key = repr([(s.name, v) for s, v in known.shape_values.items() if s in shaping])
    if key in shared and not any(r.value.atoms(InputField) for r in known.interfaces(form.domain)):
        return shared[key]
    labels: Mapping[str, IntArray] = {}
    levels = ()
    if given is None:
        levels = known.levels(form.domain, form.edges)
        degree = 1 if levels else options.degree
        mesh = fitted(
            mesh_domain(form.domain, known.shape_values, options.resolution, degree, options.cell),
            levels,
        )
        if levels:
            mesh = laid_on(mesh, form, known, options.degree, levels)
        if not form.component_domains:
            mesh = aligned(mesh, boundaries_of(form, prepared.regions), known.shape_values, degree)
    else:
        mesh, labels = given_mesh(given)
        refuse_other_domain(mesh, form.domain, known.shape_values)
    regions = prepared.regions
    named = boundaries_of(form, regions)
    parts = cells_of_parts(form, mesh, known)
    facets = {
        boundary: facets_of(boundary, mesh, known.shape_values, labels, form.domain, parts)
        for boundary in sorted(named, key=lambda b: b.name)
    }
    if chance is not None and given is None and not levels and options.cell == "simplex":
        mesh = shaken(mesh, chance, list(facets.values()))
    check_settled(form, mesh, facets, parts)
    refuse_two_conditions(form, facets)
    shared.clear()  # domains that vary come one after the other
    shared[key] = make_spaces(form, mesh, facets, options.degree, regions, parts)
    return shared[key]


def laid_on(
    mesh: skfem.Mesh,
    form: WeakForm,
    known: Coefficients,
    degree: int,
    levels: Sequence[Callable[[Array], Array]],
) -> skfem.Mesh:
    """A fitted mesh with curved sides, where no part of a side has its ends moved to a vertex."""
    shape = form.domain.shape
    if degree == 1 or mesh.dim() == 1 or meshes(shape):
        return mesh
    pieces = body_of(shape, known.shape_values).pieces()
    straight, _, boundary = moved_vertices(mesh, pieces, degree)
    return curved(straight, degree, levels, boundary)


def boundaries_of(form: WeakForm, regions: tuple[Region, ...]) -> set[Boundary]:
    """Every boundary that the weak form or its conditions name."""
    named = {r for r in regions if isinstance(r, Boundary)} | {e.region for e in form.essentials}
    return named | {boundary for regions in form.settled.values() for boundary in regions}


def cells_of_parts(
    form: WeakForm, mesh: skfem.Mesh, known: Coefficients
) -> dict[Domain, NDArray[np.bool_]]:
    """The cells of each of several domains. Raises: SampleError where one has none."""
    middles, found = mesh.p[:, mesh.t].mean(axis=1), {}
    for own_domain in dict.fromkeys(form.component_domains.values()):
        found[own_domain] = within(own_domain, known.shape_values, middles)
        if not found[own_domain].any():
            raise SampleError(
                f"no cell of the mesh lies in {own_domain.name}, which may be empty for these"
                " parameters; else take a higher resolution"
            )
    return found


def check_settled(
    form: WeakForm,
    mesh: skfem.Mesh,
    facets: Mapping[Boundary, IntArray],
    parts: Mapping[Domain, NDArray[np.bool_]],
) -> None:
    """Raises: NoWeakForm where a part of the boundary has no condition for an equation that was
    integrated by parts."""
    for region, other in form.beyond.items():
        if np.setdiff1d(facets[region], boundary_facets(other, mesh, parts)).size:
            raise NoWeakForm(
                f"conditions on {region.name} contain unknowns of {region.domain.name} and of"
                f" {other.name}, which does not end everywhere on {region.name}: take"
                f" interface({region.domain.name}, {other.name})"
            )
    for row, regions in form.settled.items():
        every = boundary_facets(form.component_domains.get(row, form.domain), mesh, parts)
        covered = np.concatenate(
            [np.zeros(0, dtype=np.int64), *(facets[region] for region in regions)]
        )
        open_ = np.setdiff1d(every, covered)
        if open_.size:
            place = ", ".join(f"{v:.3g}" for v in mesh.p[:, mesh.facets[:, open_[0]]].mean(axis=1))
            raise NoWeakForm(
                f"equation `{form.labels[row]}` has no boundary condition on {open_.size} of"
                f" {every.size} boundary facets, near ({place}): give {row} there, or the flux of"
                f" the equation, such as dot(grad({row}), n) = 0"
            )


def starting_values(
    start: Start, form: WeakForm, spaces: Spaces, known: Coefficients, number: int
) -> Array:
    """The coefficients of a state that the user begins with, zero for unknowns that it does not
    give.

    Raises: SolverError for an unknown or a value that makes no sense.
    """
    if form.time is not None:
        raise SolverError(
            "a problem in time begins with its initial conditions; `start` is for stationary ones"
        )
    if spaces.axes:
        raise SolverError(
            f"{', '.join(spaces.axes)} use edge elements, whose coefficients are not point"
            " values; leave `start` out"
        )
    result = np.zeros(spaces.size)
    if isinstance(start, Solution):
        sample = start.samples[min(number, len(start.samples) - 1)]
        for component in (c for c in form.components if c in sample.components):
            values = sample.evaluate(np.ascontiguousarray(spaces.nodes(component).T))
            result[spaces.numbers(component)] = values[:, sample.components.index(component)]
        return np.nan_to_num(result)
    unknowns = known.problem.unknowns
    for name, given in start.items():
        if name not in unknowns:
            raise SolverError(f"start gives {name}, and the unknowns are {', '.join(unknowns)}")
        components = unknowns[name].components
        for k, component in enumerate(components):
            points = spaces.nodes(component)
            value = (
                given(np.ascontiguousarray(points.T))
                if callable(given)
                else given[k]
                if isinstance(given, (tuple, list))
                else given
            )
            if isinstance(value, sp.Expr):
                value = numpy_function(list(form.coordinates), value.subs(known.shape_values))(
                    *points
                )
            value = np.asarray(value, dtype=np.float64)
            value = value[:, k] if value.ndim == 2 else value
            if value.shape not in ((), points.shape[1:]) or not np.all(np.isfinite(value)):
                raise SolverError(
                    f"start gives {component} values of shape {value.shape} at {points.shape[1]}"
                    " points, or infinite ones"
                )
            result[spaces.numbers(component)] = value
    return result


def solve_sample(
    prepared: Prepared,
    spaces: Spaces,
    known: Coefficients,
    options: SolveOptions,
    clock: Clock,
    begun: Array | None = None,
) -> SampleSolution:
    """One sample, stationary or in time."""
    form = prepared.form
    parts = assembly(form, spaces, prepared.kernels, known)
    refuse_grazing(parts)
    constraints = constrain(form, spaces, known)
    contact: Mapping[str, Contact] = {}
    if form.time is not None:
        times, vectors, steps, found, breaks, warned = in_time(
            parts, constraints, prepared.levels, options
        )
    else:
        system, u, steps = solved_system(parts, constraints, prepared.levels, options, begun)
        times, vectors, found, breaks, warned = (
            None,
            u[None, : system.size],
            list(defects(system, u)),
            (),
            (),
        )
        contact = system.cache.get(CONTACT, {})
        warned = tuple(doubts(parts, system.state(u), options.degree))
    warned = (*warned, *refuse_defects(found))
    clock.lap("solve")
    energy = (
        parts.energy(State((vectors[-1],), times[-1] if times is not None else 0.0))
        if form.energy
        else None
    )
    held = reactions(parts, State((vectors[-1],))) if times is None else {}
    lives = {
        component: partial(
            within, own_domain, known.shape_values, margin=ROUNDING * float(np.ptp(spaces.mesh.p))
        )
        for component, own_domain in form.component_domains.items()
    }
    return SampleSolution(
        spaces,
        form.given,
        vectors,
        times,
        energy,
        steps,
        clock.laps,
        held,
        warned,
        breaks,
        contact,
        lives,
        {
            component: np.flatnonzero(spaces.parts[own_domain])
            for component, own_domain in form.component_domains.items()
        },
    )


def refuse_grazing(parts: Assembly) -> None:
    """Raises: NoWeakForm for an oblique condition whose direction nearly touches the boundary
    somewhere: it says nothing of the flux there."""
    start = parts.known.problem.time
    time = 0.0 if start is None else parts.known.number(start.start)
    rest = State((np.zeros(parts.spaces.size),) * 3, time)
    for label, region, cosine in parts.form.cosines:
        (values,) = parts.values(function([cosine]), region, rest)
        least = float(np.abs(values).min())
        if least < GRAZING:
            raise NoWeakForm(
                f"condition `{label}` on {region.name} gives a derivative along the boundary"
                " where the normal and its direction are perpendicular (their cosine falls to"
                f" {least:.2g} there): give one that points out of the domain everywhere, such as"
                " the flux"
            )


def reactions(parts: Assembly, state: State) -> dict[tuple[str, str], float]:
    """The force that holds each boundary with fixed values, by component: the sum of the residuals
    over its nodes, with the sign that an equation `-div(s) = f` has, however it is written.
    """
    residual, found = parts.residual(state), {}
    held = [
        e for e in parts.form.essentials if not set(dict(e.coefficients)) & {*parts.spaces.axes}
    ]
    signs = {component: orientation(parts, component, state) for component in parts.form.components}
    for condition in held:
        for component, _ in condition.coefficients:
            numbers = parts.spaces.offsets[component] + parts.spaces.on(component, condition.region)
            found[condition.region.name, component] = signs[component] * float(
                residual[numbers].sum()
            )
    return found


def in_time(
    parts: Assembly, constraints: Constraints, levels: tuple[Level, ...], options: SolveOptions
) -> Marched:
    """Integration in time with the steps asked for; else with 2 resolution of them, up to eight
    times as many where Newton's method fails."""
    if options.steps is not None or options.step_tolerance is not None:
        steps = options.steps or 2 * options.resolution
        return integrate_in_time(
            parts,
            constraints,
            levels,
            steps,
            options.scheme,
            options.newton,
            options.step_tolerance,
        )
    for factor in (2, 4, 8):
        try:
            return integrate_in_time(
                parts,
                constraints,
                levels,
                factor * options.resolution,
                options.scheme,
                options.newton,
            )
        except NoConvergence:
            continue
    return integrate_in_time(
        parts, constraints, levels, 16 * options.resolution, options.scheme, options.newton
    )


def solved_system(
    parts: Assembly,
    constraints: Constraints,
    levels: tuple[Level, ...],
    options: SolveOptions,
    begun: Array | None = None,
) -> tuple[System, Array, int]:
    """The equations with their solution, multipliers last, from the state `begun`; from zero, where
    there is none, and where that fails from a state with gradients.
    """
    system = System(parts, constraints, levels)
    start = system.extended(np.zeros(system.size) if begun is None else begun)
    if parts.form.obstacles:
        u, steps, system.cache[CONTACT] = bounded(
            system, start, parts.form.obstacles, options.newton
        )
        return system, u, steps
    if any(density.has(WIDTH) for density, _ in parts.form.energy):
        return (system, *narrowed(system, start, options))
    return (system, *from_start(system, start, options, again=begun is None))


def from_start(
    system: System, start: Array, options: SolveOptions, again: bool = True, scale: float = 0.0
) -> tuple[Array, int]:
    """The solution from a state; `again`, from one with gradients, where that fails: a
    p-Laplacian degenerates in the state of rest."""
    iterate, how, form = newton, options.newton, system.assembly.form
    if form.minimized and not system.levels:
        iterate = minimize
        if how.loads is None and system.assembly.admissible is not None:
            how = replace(how, loads=LOADS)
    try:
        return solve_equations(system, start, system.offset(), how, scale, iterate=iterate)
    except (Singular, NoConvergence) as failure:
        system.kept.clear()  # the factorised tangent of the state that was left
        other = system.extended(uneven(system.assembly.spaces))
        if not again:
            raise
        if not system.allowed(other):
            raise elsewhere(failure, system) from None
        try:
            return solve_equations(system, other, system.offset(), how, scale, iterate=iterate)
        except (Singular, NoConvergence):
            raise elsewhere(failure, system) from None


def elsewhere(failure: SolverError, system: System) -> SolverError:
    """A failure of Newton's method, with the advice to begin elsewhere where the equations are
    nonlinear: a soap film between two rings has no state near zero."""
    curved = any(
        unknown_jet_variables(each)
        for kernel in system.assembly.kernels
        for each in kernel.tangent.expressions
    )
    if not curved:
        return failure
    name = system.assembly.form.given[0].partition(".")[0]
    return type(failure)(
        f"{failure}; Newton's method began at zero: where a solution is near another state, begin"
        f" there, solve(.., start={{'{name}': 1}})"
    )


def narrowed(system: System, start: Array, options: SolveOptions) -> tuple[Array, int]:
    """The minimum of an energy with kinks, followed as their rounding is narrowed: see
    `nonsmooth.py`."""
    parts, steps, failure = system.assembly, 0, None
    for width in (1.0, 1e3, 1e-3, 1e6):
        parts.widths[WIDTH] = width
        try:
            u, steps = from_start(system, start, options)
            break
        except (Singular, NoConvergence) as reason:
            failure = reason
    else:
        raise failure
    sizes = [
        float(np.max(np.abs(value)))
        for region, call in sharp(parts)
        for value in parts.values(call, region, system.state(u))
    ]
    largest = max(sizes, default=0.0) or 1.0
    size = (
        length(system.transformation.T @ system.residual(system.extended(np.zeros(system.size))))
        or 1.0
    )
    for factor in FACTORS:
        parts.widths[WIDTH] = factor * largest
        system.kept.clear()
        u, used = from_start(system, u, options, again=False, scale=size)
        steps += used
    return u, steps


def sharp(parts: Assembly) -> list[tuple[Region, Function]]:
    """The arguments of the rounded absolute values of an energy."""
    return [
        (region, function(found))
        for density, region in parts.form.energy
        if (found := arguments_of(density))
    ]


def uneven(spaces: Spaces) -> Array:
    """A state of size one whose gradients vanish almost nowhere: `cos(1 + 2 x' + 3 y' + ..)` in
    every component, over the unit box."""
    lower, upper = spaces.mesh.p.min(axis=1)[:, None], spaces.mesh.p.max(axis=1)[:, None]
    owners = {spaces.offsets[component]: component for component in spaces.bases}
    places = [(spaces.nodes(component) - lower) / (upper - lower) for component in owners.values()]
    return np.concatenate([np.cos(1 + np.arange(2, 2 + len(place)) @ place) for place in places])


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Adds the seconds since the last lap to a phase."""
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.last
        self.last = now
