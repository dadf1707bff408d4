"""Local minima of an energy: Newton's method that goes downhill, and leaves saddle points.

An equilibrium of a compressed body can be a saddle: the straight column beyond its buckling load.
There the tangent has a negative eigenvalue, which the signs of its pivots show (Sylvester), and its
eigenvector leads down. Of the two ways down, +e and -e, the one is taken whose first displacement
component has a positive mean with the weight 1 + x'/3 + y'/5 (x', y', .. scaled to the box of the
mesh): a stated imperfection, so that one of two mirrored branches is chosen by a rule and not by
rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.sparse import csc_matrix, diags

from compiler.arrays import Array
from compiler.fem.discrete.inverse import Inverse, Linearised, lu, symmetric_lu
from compiler.fem.errors import NoConvergence, Singular, Unbounded
from compiler.fem.solvers.newton import Equations, NewtonOptions, length, reduced

CHECKS = (8, 24)  # steps after which an energy without a minimum is looked for
ESCAPES = 6  # saddle points left before giving up; each lowers the energy


class Energetic(Equations):
    """Equations that are the derivative of an energy, with the weights that orient a buckling
    mode."""

    orientation: Array

    def energy(self, u: Array) -> float:
        """The functional that is made small, at u."""


def minimize(
    equations: Energetic, u: Array, unbalanced: Array, options: NewtonOptions, scale: float
) -> tuple[Array, int]:
    """A local minimum of energy(u) - unbalanced . u[free] over u = T u[free] + g, from u.

    Raises: NoConvergence, Singular.
    """

    def potential(v: Array) -> float:
        return (
            equations.energy(v) - float(unbalanced @ v[equations.free])
            if equations.allowed(v)
            else np.inf
        )

    remaining = reduced(equations, u, unbalanced)
    if not np.all(np.isfinite(remaining)):
        raise NoConvergence("the start of the iteration is not admissible")
    underway = bool(np.any(unbalanced))
    target = (options.path if underway else options.tolerance) * max(scale, length(remaining))
    escapes, settled, begun, stable = 0, False, u, False
    for count in range(2 * options.iterations):
        if count in CHECKS:
            refuse_unbounded(potential, begun, u)
        arrived = settled or length(remaining) <= target
        if arrived and underway and stable:
            return u, count  # the tangent of the step before had no negative pivot
        tangent, negative = tangent_at(equations, u)
        if arrived:
            if negative == 0:
                return u, count
            if escapes == ESCAPES:
                raise NoConvergence(f"{ESCAPES} saddle points left without reaching a minimum")
            if negative is None:
                raise Singular
            escapes, settled, stable = escapes + 1, False, False
            u = leave(equations, u, tangent, potential)
        else:
            before, stable = u, negative == 0
            u = descend(equations, u, tangent, remaining, unbalanced, potential, options)
            settled = u is before
        remaining = reduced(equations, u, unbalanced)
    refuse_unbounded(potential, begun, u)
    raise NoConvergence(
        f"the energy's gradient is still {length(remaining):.2e} (wanted {target:.2e}) after"
        f" {count + 1} steps"
    )


def tangent_at(equations: Energetic, u: Array) -> tuple[csc_matrix, int | None]:
    """The reduced tangent, kept with its inverse, and the number of its negative eigenvalues; None
    where rounding hides it."""
    whole, negative = equations.tangent(u), None
    tangent = (equations.transformation.T @ whole @ equations.transformation).tocsc()
    try:
        inverse, negative = symmetric_lu(tangent)
    except Singular:
        inverse = lu(tangent)
    equations.kept["last"] = Linearised(whole, inverse)
    return tangent, negative


def refuse_unbounded(potential: Callable[[Array], float], begun: Array, u: Array) -> None:
    """Raises: Unbounded where the energy falls and falls, ever faster or in proportion, along
    the ray from `begun` through u."""
    along = u - begun
    if not np.any(along):
        return
    energies = [potential(begun + 2.0**k * along) for k in range(0, 34, 3)]
    falls = [a - b for a, b in zip(energies, energies[1:], strict=False)]
    grows = all(
        later > 4 * earlier > 0 for earlier, later in zip(falls[2:], falls[3:], strict=False)
    )
    if np.all(np.isfinite(energies)) and grows:
        raise Unbounded(
            f"F04: the energy has no minimum: along one direction it falls from {energies[0]:.3g}"
            f" to {energies[-1]:.3g} and further; look for a sign, or a load that the stiffness"
            " does not bound"
        )


def descend(
    equations: Energetic,
    u: Array,
    tangent: csc_matrix,
    gradient: Array,
    unbalanced: Array,
    potential: Callable[[Array], float],
    options: NewtonOptions,
) -> Array:
    """One step along Newton's direction, made a descent direction where it is none, to a lower
    energy; u itself where that moves nothing.

    Close to the minimum energies differ by rounding only; then a smaller gradient counts.
    """
    here, size = potential(u), length(gradient)
    for inverse in inverses(equations.kept["last"].inverse, tangent):
        inside = inverse(-gradient)
        slope = float(gradient @ inside)
        direction, step = equations.transformation @ inside, 1.0
        if float(np.max(np.abs(direction))) <= 1e-12 * float(np.max(np.abs(u))):
            return u
        if slope >= 0:
            continue
        for _ in range(options.backtracks):
            trial = u + step * direction
            there = potential(trial)
            if there <= here + 1e-4 * step * slope:
                return trial
            flat = abs(slope) <= 1e-9 * (abs(here) + 1e-300) or abs(there - here) <= 1e-13 * abs(
                here
            )
            if flat and length(reduced(equations, trial, unbalanced)) <= (1 - 1e-4 * step) * size:
                return trial
            step /= 2
    raise NoConvergence(f"no way down in energy, gradient {size:.2e}")


def inverses(own: Inverse, tangent: csc_matrix) -> Iterator[Inverse]:
    """The tangent's own inverse, then those of the tangent made stiffer and stiffer."""
    yield own
    weight = diags(np.abs(tangent.diagonal()))
    for shift in (1e-3, 1e-2, 1e-1, 1.0):
        yield lu((tangent + shift * weight).tocsc())


def leave(
    equations: Energetic, u: Array, tangent: csc_matrix, potential: Callable[[Array], float]
) -> Array:
    """From a saddle point down along the lowest mode of the tangent."""
    weight = diags(np.abs(tangent.diagonal()))
    for shift in (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 4.0):
        shifted = (tangent + shift * weight).tocsc()
        inverse, negative = symmetric_lu(shifted)
        if negative == 0:
            break
    mode = np.cos(np.arange(tangent.shape[0]))  # any vector that is orthogonal to no mode
    for _ in range(60):
        mode = inverse(weight @ mode)
        mode /= np.linalg.norm(mode)
    direction = equations.transformation @ mode
    direction *= np.sign(equations.orientation @ direction) or 1.0
    step = 0.02 / float(np.max(np.abs(direction)))
    here = potential(u)
    while potential(u + step * direction) >= here:
        step /= 2
        if step * float(np.max(np.abs(direction))) < 1e-9:
            raise NoConvergence("a saddle point that cannot be left")
    while potential(u + 2 * step * direction) < potential(u + step * direction):
        step *= 2
        if step * float(np.max(np.abs(direction))) > 1e3 * (1 + float(np.max(np.abs(u)))):
            refuse_unbounded(potential, u, u + step * direction)
    return u + step * direction
