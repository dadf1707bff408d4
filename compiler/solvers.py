"""Reference solvers by name, and `solve`, which asks the first of them that takes a problem."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from compiler import fem, finite_volume, projection, spectral
from compiler.fem import NoWeakForm, SampleError, Solution, SolverError, SolverWarning
from compiler.fem.errors import WrongOption
from compiler.fem.solve import SolveOptions
from compiler.trainable_fields import expanded
from compiler.workers import Workers
from operators.registry import Registry
from pdespec.statements.problem import Problem


@dataclass(frozen=True)
class Solver:
    """`why_not(problem)` says why it does not take a problem, empty where it does; `solve(problem,
    batch, **options)` gives the reference fields; `options` are the names it knows."""

    why_not: Callable[[Problem], str]
    solve: Callable[..., Solution]
    options: frozenset[str] = frozenset()


SOLVERS: Registry[Solver] = Registry("solver")
"""In the order in which `solve` asks them; finite elements, which take what has a weak form, are
asked last."""

FINITE_ELEMENTS = "finite_elements"

SOLVERS.register("cole_hopf")(
    Solver(spectral.why_not, spectral.solve, frozenset({"tolerance", "workers"}))
)
SOLVERS.register("finite_volumes")(
    Solver(finite_volume.why_not, finite_volume.solve, finite_volume.OPTIONS)
)
SOLVERS.register("projection")(Solver(projection.why_not, projection.solve, projection.OPTIONS))
SOLVERS.register(FINITE_ELEMENTS)(
    Solver(
        lambda problem: "",  # the weak form says itself what it lacks
        fem.solve,
        frozenset(
            {"mesh", "start", "tolerance", "workers", *(each.name for each in fields(SolveOptions))}
        ),
    )
)


def candidates(problem: Problem, options: Iterable[str] = ()) -> list[str]:
    """The solvers that take a problem and know the options, in the order they are asked in."""
    names = set(options)
    found = [
        name
        for name, each in SOLVERS.items()
        if name != FINITE_ELEMENTS and names <= each.options and not each.why_not(problem)
    ]
    return [*found, FINITE_ELEMENTS]


def solve(
    problem: Problem,
    batch: Any,
    resolution: int | None = None,
    *,
    method: str = "auto",
    **options: Any,
) -> Solution:
    """Reference fields of every sample of a batch.

    method: a name in `SOLVERS`; auto: the first that takes the problem and knows the options, and
    where it gives a sample up the next, with a warning. resolution and `options` are those of the
    solver: see `compiler.fem.solve`, which most problems come to, `compiler.spectral.solve`,
    `compiler.finite_volume.solve`.

    Raises: KeyError with the nearest name for an unknown method; WrongOption for an option that it
    does not have; SolverError, with what is missing.
    """
    problem = expanded(problem)
    options |= {} if resolution is None else {"resolution": resolution}
    if method != "auto":
        return _by(method, problem, batch, options)
    *before, last = candidates(problem, options)
    failure = None
    for name in before:
        try:
            return SOLVERS[name].solve(problem, batch, **options)
        except SampleError as error:
            failure = error
    if failure is not None and _weak(problem):
        warnings.warn(f"{failure}, which is done here", SolverWarning, stacklevel=2)
    elif failure is not None:
        raise failure
    return SOLVERS[last].solve(problem, batch, **options)


def _weak(problem: Problem) -> bool:
    try:
        fem.weak_form(problem)
    except NoWeakForm:
        return False
    return True


def _by(name: str, problem: Problem, batch: Any, options: dict[str, Any]) -> Solution:
    """Raises: SolverError for a problem that the solver does not take; WrongOption."""
    solver = SOLVERS[name]
    if reason := solver.why_not(problem):
        raise SolverError(f"`{problem.name}` is not solved by method={name!r}: {reason}")
    for option in sorted(set(options) - solver.options):
        if name != FINITE_ELEMENTS:  # which names the nearest one
            raise WrongOption(
                f"method={name!r} has no option {option!r}; it takes"
                f" {', '.join(sorted(solver.options)) or 'none'}"
            )
    return solver.solve(problem, batch, **options)


def solve_each(
    problem: Problem,
    batches: Iterable[Any],
    workers: Workers | None = None,
    solver: Callable[..., Any] = solve,
    **options: Any,
) -> Iterator[Any]:
    """The reference solution of each batch by itself, or the SampleError that the solver gave it up
    with. Options and further errors: see `solve`, which `solver` may take the place of.
    """
    return (workers or Workers()).map(partial(_attempt, solver, problem, options), batches)


def _attempt(
    solver: Callable[..., Any], problem: Problem, options: dict[str, Any], batch: Any
) -> Any:
    try:
        return solver(problem, batch, **options)
    except SampleError as error:
        return error
