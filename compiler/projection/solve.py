"""`solve`: incompressible flows in closed rectangles from an initial state, by differences."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import skfem
import torch

from compiler.arrays import Array
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.discrete.spaces import Place, Spaces
from compiler.fem.error_estimate import ErrorEstimate, from_coarser
from compiler.fem.errors import SampleError, SolverError
from compiler.fem.solution import SampleSolution, Solution
from compiler.lowering.numpy_function import numpy_function
from compiler.projection.equations import SIDES, ClosedFlow, closed_flow
from compiler.projection.flow import Flow, Setting, Speed, State, Walls, hasty_walls
from compiler.workers import Workers
from pdespec.statements.problem import Problem

COARSEST, FINEST = 8, 1024  # resolution
COURANT = 1.0  # steps in cells that the fastest wall passes in one
LEVELS = 150  # that are kept, evenly spaced but for those at the start
FIRST, GROWTH = 0.1, 1.5  # of that spacing, the first level, and the ratio of the next ones
EARLY = 1.1  # ratio of the first steps
# of the longer side: nearer to a corner, where speeds of two walls may differ and the pressure then
# is like 1/r, no error is estimated
CORNERS = 0.04
OPTIONS = frozenset({"workers", "resolution"})


def why_not(problem: Problem) -> str:
    """Why this solver does not take a problem; empty where it does."""
    found = closed_flow(problem)
    return found if isinstance(found, str) else ""


def solve(
    problem: Problem, batch: Any, resolution: int = 96, *, workers: Workers | int = 1
) -> Solution:
    """Flows in closed rectangles: see `docs/solver.md`.

    resolution: cells along the longer side. The flow is computed with as many cells and with two
    thirds of them, and extrapolated from both for differences of second order. Raises: SolverError
    for another problem, or for a resolution that is too small or too large; SampleError for a
    sample without viscosity.
    """
    declared = closed_flow(problem)
    if isinstance(declared, str):
        raise SolverError(f"`{problem.name}` is not a flow in a closed rectangle: {declared}")
    if not isinstance(resolution, int) or not COARSEST <= resolution <= FINEST:
        raise SolverError(
            f"a flow in a closed rectangle takes a resolution of {COARSEST} to {FINEST} cells, not"
            f" {resolution!r}"
        )
    workers = workers if isinstance(workers, Workers) else Workers(workers)
    request = Request(problem, declared, batch.to("cpu", torch.float64), resolution)
    samples = tuple(workers.map(partial(Request.sample, request), range(batch.size)))
    return Solution.of(samples, request.estimated)


@dataclass(frozen=True)
class Request:
    """One call: the problem, the flow that it declares, the batch and the cells."""

    problem: Problem
    flow: ClosedFlow
    batch: Any
    resolution: int

    def sample(self, number: int) -> SampleSolution:
        """One sample. Raises: SampleError."""
        begun = time.perf_counter()
        own = self.batch if self.batch.size == 1 else self.batch.select([number])
        known = Coefficients(self.problem, own)
        setting, factor = self.setting(known, number)
        assert self.problem.time is not None
        end = known.number(self.problem.time.end)
        levels = kept_levels(setting.began, end)
        cells = self.cells(setting)
        sizes = [cells, (2 * round(cells[0] / 3), 2 * round(cells[1] / 3))]
        spaces = self.spaces(setting, sizes[0])
        x, y = (np.unique(each) for each in spaces.nodes(self.flow.pressure))
        values = [on_levels(setting, size, levels, x, y, number) for size in sizes]
        gains = [(a / b) ** 2 for a, b in zip(*sizes, strict=True)]
        weight = 1 / (sum(gains) / 2 - 1)
        fields = values[0] + weight * (values[0] - values[1])  # Richardson's extrapolation
        fields[:, 2] = factor * fields[:, 2] + known.number(self.flow.mean)
        vectors = self.numbered(fields, spaces, x, y)
        return SampleSolution(
            spaces,
            self.problem.components,
            vectors,
            levels,
            None,
            0,
            {"solve": time.perf_counter() - begun},
            warnings=hasty_walls(setting, levels),
        )

    def setting(self, known: Coefficients, number: int) -> tuple[Setting, float]:
        """The flow with a rate of factor one, and by what its pressure is to be multiplied."""
        own, shape = self.flow, self.flow.domain.shape
        low, high = ([known.number(c) for c in corner] for corner in (shape.lower, shape.upper))
        coefficients = own.inertia, own.steepening, own.push, own.friction
        try:
            inertia, steepening, push, friction = (known.number(c) for c in coefficients)
        except TypeError:  # 1/Re at Re = 0
            raise SampleError(
                f"sample {number}: one of the coefficients {', '.join(map(str, coefficients))} of"
                " dt(v), advect(v, v), grad(p) and lap(v) is not a real number"
            ) from None
        if not (inertia and push and friction / inertia > 0):
            raise SampleError(
                f"sample {number}: {inertia:.3g} dt(v) + {push:.3g} grad(p) = {friction:.3g} lap(v)"
                " is not a flow with a positive viscosity"
            )
        (x, y), t = self.problem.coordinates, self.problem.time
        began = known.number(t.start)

        def speed(side: int) -> Speed:
            # the symbol along a side stands for places, the other one is its place
            along, across = (y, x) if side < 2 else (x, y)
            place = (low, high)[side % 2][side // 2]
            call = numpy_function(
                [along, t], own.speeds[side].subs(known.shape_values).subs(across, place)
            )
            return lambda at, now: np.broadcast_to(np.asarray(call(at, now), float), at.shape)

        start = numpy_function([x, y], [each.subs(known.shape_values) for each in own.start])
        return Setting(
            (low[0], low[1]),
            (high[0], high[1]),
            friction / inertia,
            steepening / inertia,
            Walls(*(speed(k) for k in range(len(SIDES)))),
            lambda a, b: np.stack(
                [np.broadcast_to(np.asarray(c, float), a.shape) for c in start(a, b)]
            ),
            began,
        ), inertia / push

    def cells(self, setting: Setting) -> tuple[int, int]:
        """Along both axes, even numbers."""
        lengths = np.subtract(setting.high, setting.low)
        shares = self.resolution * lengths / lengths.max()
        first, second = (max(COARSEST, 2 * round(each / 2)) for each in shares)
        return first, second

    def spaces(self, setting: Setting, cells: tuple[int, int]) -> Spaces:
        """Biquadratic functions on half as many cells along each axis."""
        flow = Flow(setting, (cells[0] // 2, cells[1] // 2))
        mesh = skfem.MeshQuad.init_tensor(flow.x.ends, flow.y.ends)
        basis = skfem.CellBasis(mesh, skfem.ElementQuad2(), intorder=2)
        names, points = self.problem.components, np.asarray(basis.global_coordinates())
        corners = np.stack(np.meshgrid(*zip(setting.low, setting.high, strict=True)), -1).reshape(
            -1, 2
        )
        away = np.linalg.norm(points[None] - corners[:, :, None, None], axis=1).min(0)
        reach = CORNERS * np.subtract(setting.high, setting.low).max()
        weights = np.where(away > reach, basis.dx, 0.0)
        return Spaces(
            mesh,
            dict.fromkeys(names, basis),
            {name: k * basis.N for k, name in enumerate(names)},
            {},
            {self.flow.domain: Place(points, weights, None, {})},
        )

    def numbered(self, fields: Array, spaces: Spaces, x: Array, y: Array) -> Array:
        """Vectors of coefficients from (u, v, p) on a tensor grid. Shapes: "k 3 n m" -> "k N"."""
        names = (*self.flow.velocity, self.flow.pressure)
        at, across = spaces.nodes(names[0])
        places = np.searchsorted(x, at), np.searchsorted(y, across)
        order = [names.index(name) for name in self.problem.components]
        return fields[:, order][:, :, places[0], places[1]].reshape(len(fields), -1)

    def estimated(self, fine: Solution) -> dict[str, ErrorEstimate]:
        """By solutions at a half and a quarter of the resolution. Raises: SolverError."""
        ladder = [
            replace(self, resolution=self.resolution // k)
            for k in (2, 4)
            if self.resolution // k >= COARSEST
        ]
        if not ladder:
            raise SolverError(
                f"the error needs a coarser solution: ask for a resolution of {2 * COARSEST}"
            )
        return from_coarser(fine.samples, [each.sample for each in ladder], self.problem)


def kept_levels(began: float, end: float) -> Array:
    """Times that are kept: close together at the start, where a wall may start to move at once."""
    spacing = (end - began) / LEVELS
    early = FIRST * spacing * GROWTH ** np.arange(math.ceil(-math.log(FIRST) / math.log(GROWTH)))
    return began + np.concatenate(([0.0], early, spacing * np.arange(1, LEVELS + 1)))


def on_levels(
    setting: Setting, cells: tuple[int, int], levels: Array, x: Array, y: Array, number: int
) -> Array:
    """(u, v, p) at the levels, the pressure at the start that of the next one. Shapes: -> "k 3 n
    m". Raises: SampleError."""
    flow, found = Flow(setting, cells), []
    found.append(flow.state().on(x, y))
    for level in levels[1:]:
        fastest = _fastest(flow.state())
        if not np.isfinite(fastest):
            raise SampleError(
                f"sample {number}: the speed at t = {flow.time:.4g}, of a wall or at the start, is"
                " no number everywhere"
            )
        longest = COURANT * flow.smallest / (fastest * abs(setting.steepening) + 1e-300)
        for length in lengths(level - flow.time, longest, flow.length):
            flow.step(float(length))
        if not np.isfinite(flow.u).all():
            raise SampleError(
                f"sample {number}: no flow was found on {cells[0]} x {cells[1]} cells; ask for a"
                ' larger resolution, or for method="finite_elements"'
            )
        found.append(flow.state().on(x, y))
    found[0][2] = found[1][2]
    return np.stack(found)


def _fastest(state: State) -> float:
    return float(max(np.abs(state.u).max(), np.abs(state.v).max()))


def lengths(span: float, longest: float, last: float) -> Array:
    """Steps that fill a span, none longer than `longest`, growing from the one before; the first
    of all is a tenth of its span."""
    grown = [min(EARLY * last if last else span / 10, longest, span)]
    while sum(grown) < span:
        grown.append(min(EARLY * grown[-1], longest))
    return np.array(grown) * (span / sum(grown))
