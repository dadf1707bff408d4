"""The steady flow on one grid: from the coarsest grid to the finest, until the forces no longer
change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compiler.arrays import Array
from compiler.finite_volume.multigrid import SMOOTH, Level, Multigrid
from compiler.finite_volume.stream import Stream

START = 8  # cells outwards of the grid that is solved first
WITHIN = 40  # cycles on each grid below the finest
ENOUGH = 1e-3  # of the residual at the start of such a grid
WATCHED = 10  # cycles over which the forces do not move
LEAST = 15  # cycles on the finest grid
# k4 of fourth differences, the next one where with one no steady state is found: the edge of some
# sections is unstable on fine grids. The drag of NACA 0012 at Mach 0.8 differs by 0.3 % between the
# first two on 256 x 64 cells.
UNSTEADY = 1e-3  # change of a force coefficient
DAMPING = (SMOOTH, 2 * SMOOTH, 4 * SMOOTH)


@dataclass(frozen=True)
class Steady:
    """A steady flow: the finest level with its state; the force on the section in the unit of
    dynamic pressure times length, by how much it changed over the last cycles, and their number.
    """

    level: Level
    force: Array
    change: float
    cycles: int
    residual: float


class Diverged(ArithmeticError):
    """No steady state was found: density or pressure became negative, or not a number."""


def steady(
    nodes: Array,
    stream: Stream,
    *,
    settled: float,
    cycles: int,
    begun: Array | None = None,
    watch: Callable[[Array, float], None] | None = None,
) -> Steady:
    """The flow on a grid. settled: by how much the force coefficients may change over ten cycles.
    cycles: on the finest grid at most. begun: a state of its cells, "4 j i", to begin with.
    watch: is called with the coefficients and the residual of every cycle there. Raises: Diverged.
    """
    best: Steady | None = None
    starts = [(k4, None) for k4 in DAMPING]
    if begun is not None:  # of a flow far away it may be worse than none
        starts = [(SMOOTH, begun), *starts]
    for k4, start in starts:
        try:
            found = _steady(Multigrid(nodes, stream, k4), settled, cycles, start, watch)
        except Diverged:
            continue
        best = found if best is None or found.change < best.change else best
        if best.change <= max(settled, UNSTEADY):
            break
    if best is None:
        raise Diverged
    return best


def _steady(
    grids: Multigrid,
    settled: float,
    cycles: int,
    begun: Array | None,
    watch: Callable[[Array, float], None] | None,
) -> Steady:
    stream = grids.stream
    level, unit = grids.levels[0], 1 / stream.dynamic_pressure
    if begun is not None:
        level.cells[:] = begun
        grids.begin()
    else:
        _from_below(grids)
    forces: list[Array] = []
    change, rate = np.inf, np.inf
    while len(forces) < cycles:
        force, rate = grids.cycle()
        _refuse_broken(level, rate)
        forces.append(unit * force)
        if watch is not None:
            watch(forces[-1], rate)
        change = float(np.ptp(forces[-WATCHED:], axis=0).max())
        if len(forces) >= LEAST and change <= settled:
            break
    return Steady(level, forces[-1], change, len(forces), rate)


def _from_below(grids: Multigrid) -> None:
    tops = [k for k, each in enumerate(grids.levels) if k == 0 or each.shape[0] >= START]
    for top in reversed(tops[1:]):
        first = None
        for _ in range(WITHIN):
            _, rate = grids.cycle(top)
            _refuse_broken(grids.levels[top], rate)
            first = rate if first is None else max(first, rate)
            if rate <= ENOUGH * first:
                break
        grids.refine(top - 1)


def _refuse_broken(level: Level, rate: float) -> None:
    if not np.isfinite(rate) or not (level.p[2:-2, 2:-2] > 0).all() or level.cells[0].min() <= 0:
        raise Diverged
