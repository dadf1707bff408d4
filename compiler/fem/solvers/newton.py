"""Newton's method with line search, and load stepping where it fails.

The load is the whole problem: from the start state u_0, with residual R(u_0) and boundary values
g_0, the path

    R(u) = (1 - s) R(u_0),  u = T z + (1 - s) g_0 + s g,   0 <= s <= 1

ends in the solution. It is taken in `loads` steps at least; where one fails, it is halved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix

from compiler.arrays import Array, IntArray
from compiler.fem.discrete.inverse import Linearised, lu
from compiler.fem.errors import NoConvergence, Singular


class Equations(Protocol):
    """What Newton's method needs: u = T u[free] + g, residual and tangent at u, and whether u is
    admissible.

    `kept` holds the `last` linearisation, which outlives one solve.
    """

    transformation: csr_matrix
    free: IntArray
    kept: dict[str, Linearised]

    def residual(self, u: Array) -> Array:
        """R(u), zero at the solution, one entry for each of all unknowns. Shapes: "n" -> "n"."""
        ...

    def tangent(self, u: Array) -> csr_matrix:
        """dR/du. Shapes: "n" -> sparse "n n"."""
        ...

    def allowed(self, u: Array) -> bool:
        """Whether u is admissible; a step that leads elsewhere is shortened."""
        ...


Iteration = Callable[["Equations", Array, Array, "NewtonOptions", float], tuple[Array, int]]


@dataclass(frozen=True)
class NewtonOptions:
    """`tolerance` is relative to the residual of the start with the boundary values applied;
    `halvings` bounds those of the load.

    `loads`: the least number of load steps. More than one keeps to the path that begins at rest,
    where the full load at once may end on another branch of solutions; None: 8 for an energy that
    is minimised under a requirement (J > 0: finite strains), else 1. `predictor`: changed boundary
    values are first carried inside by the linearised equations, see `predicted`. With `chord` a
    factorised tangent of an earlier step is used for as long as it lessens the residual by that
    factor. `path`: the tolerance of `minimize` before the last load step, relative to the residual
    that the step begins with: those states are only the way to the last one.
    """

    tolerance: float = 1e-10
    iterations: int = 30
    backtracks: int = 12
    halvings: int = 7
    loads: int | None = None
    chord: float = 0.2
    path: float = 1e-2
    predictor: bool = True


def solve_equations(
    equations: Equations,
    start: Array,
    offset: Array,
    options: NewtonOptions,
    scale: float = 0.0,
    iterate: Iteration | None = None,
) -> tuple[Array, int]:
    """The solution with boundary values `offset`, from any state `start`; returns it with the
    number of Newton steps.

    scale: size of a residual that is not small, for the tolerance; else that of the start. iterate:
    `newton` or `minimize`. Raises: NoConvergence when the load cannot be brought on in steps of
    1/2^halvings, Singular when it cannot be begun.
    """
    iterate = iterate or newton
    largest = 1 / (options.loads or 1)
    load, step, count = 0.0, largest, 0
    u, whole = start, offset - (start - equations.transformation @ start[equations.free])
    unbalanced = None if scale else equations.transformation.T @ equations.residual(start)
    reference = scale or length(unbalanced)
    while load < 1.0:
        target = min(1.0, load + step) if load + step < 1 - 1e-9 else 1.0
        if unbalanced is None and target < 1:
            unbalanced = equations.transformation.T @ equations.residual(start)
        lacking = (
            (1 - target) * unbalanced if target < 1 else np.zeros(equations.transformation.shape[1])
        )
        change = (target - load) * whole
        try:
            guess = (
                predicted(equations, u, change, lacking, options)
                if options.predictor and np.any(change)
                else u + change
            )
            u, used = iterate(equations, guess, lacking, options, reference)
        except (NoConvergence, Singular) as failure:
            if load == 0 and isinstance(failure, Singular):
                raise
            step /= 2
            if step < 2.0**-options.halvings * largest:
                raise NoConvergence(f"{failure}; load reached: {load:.3g} of 1") from failure
            continue
        load, count = target, count + used
        step = min(2 * step, largest)
    return u, count


def predicted(
    equations: Equations, u: Array, change: Array, unbalanced: Array, options: NewtonOptions
) -> Array:
    """u with its boundary values changed, the inside carried along by the linearised equations
    so that no cell is crushed: those of the last state that were kept, where they serve."""
    transformation, bare = equations.transformation, u + change

    def carried(last: Linearised) -> Array:
        right = unbalanced - transformation.T @ (equations.residual(u) + last.tangent @ change)
        return bare + transformation @ last.inverse(right)

    try:
        if "last" in equations.kept:
            guess = carried(equations.kept["last"])
            size = length(reduced(equations, bare, unbalanced))
            allowed = options.chord * size if np.isfinite(size) else np.inf
            if length(reduced(equations, guess, unbalanced)) <= allowed:
                return guess
        guess = carried(linearised(equations, u))
    except Singular:
        # degenerate at this state, a p-Laplacian at rest say: Newton's method begins at the bare
        # boundary values
        return bare
    return guess if equations.allowed(guess) else bare


def newton(
    equations: Equations, u: Array, unbalanced: Array, options: NewtonOptions, scale: float
) -> tuple[Array, int]:
    """T' R(u) = unbalanced, from u."""
    remaining = reduced(equations, u, unbalanced)
    if not np.all(np.isfinite(remaining)):
        raise NoConvergence("the start of the iteration is not admissible")
    target = options.tolerance * max(scale, length(remaining))
    for count in range(options.iterations):
        size = length(remaining)
        if size <= target:
            return u, count
        if "last" in equations.kept:
            direction = equations.transformation @ equations.kept["last"].inverse(-remaining)
            trial = reduced(equations, u + direction, unbalanced)
            if length(trial) <= max(options.chord * size, target):
                u, remaining = u + direction, trial
                continue
        direction = equations.transformation @ linearised(equations, u).inverse(-remaining)
        if float(np.max(np.abs(direction))) <= 1e-12 * float(np.max(np.abs(u))):
            return u + direction, count + 1
        u, remaining = line_search(equations, u, direction, unbalanced, size, options)
    if length(remaining) <= target:
        return u, options.iterations
    raise NoConvergence(
        f"Newton's residual is still {length(remaining):.2e} (wanted {target:.2e}) after"
        f" {options.iterations} steps"
    )


def line_search(
    equations: Equations,
    u: Array,
    direction: Array,
    unbalanced: Array,
    size: float,
    options: NewtonOptions,
) -> tuple[Array, Array]:
    """The first of the steps 1, 1/2, 1/4, .. that is admissible and lessens the residual."""
    step = 1.0
    for _ in range(options.backtracks):
        trial = u + step * direction
        remaining = reduced(equations, trial, unbalanced)
        if length(remaining) <= (1 - 1e-4 * step) * size:
            return trial, remaining
        step /= 2
    raise NoConvergence(f"no step along Newton's direction lessens the residual {size:.2e}")


def length(vector: Array) -> float:
    """Euclidean norm; infinite or NaN without a warning where a trial step ran away."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.sum(np.square(vector))))


def reduced(equations: Equations, u: Array, unbalanced: Array) -> Array:
    """T' R(u) - unbalanced, NaN where u is not admissible."""
    if not equations.allowed(u):
        return np.full(equations.transformation.shape[1], np.nan)
    return equations.transformation.T @ equations.residual(u) - unbalanced


def linearised(equations: Equations, u: Array) -> Linearised:
    """The equations about u; kept for the next steps."""
    transformation, tangent = equations.transformation, equations.tangent(u)
    inverse = lu((transformation.T @ tangent @ transformation).tocsc())
    equations.kept["last"] = Linearised(tangent, inverse)
    return equations.kept["last"]
