"""`solve`: the steady flow about each section of a batch, as reference fields."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compiler.arrays import Array
from compiler.fem.error_estimate import ErrorEstimate, from_coarser
from compiler.fem.errors import NoConvergence, SolverError, WrongOption
from compiler.fem.solution import SampleSolution, Solution
from compiler.finite_volume.flow import Flow, NotAFlow, flow
from compiler.finite_volume.grid import NoGrid, o_grid
from compiler.finite_volume.stream import Stream
from compiler.geometry.shapes.numbers import Numbers
from compiler.workers import Workers
from pdespec.errors import suggestion
from pdespec.statements.problem import Problem

if TYPE_CHECKING:
    from compiler.finite_volume.steady import Steady

MARGIN = 1.01  # the grid goes beyond the far field, so that it holds the whole domain
AROUND, OUTWARDS = 8, 2  # cells for each of the resolution
COARSEST = 8  # resolution
SHARES = np.linspace(0, 1, 65)  # of a section, from which its middle and its chord are taken
NUMBA = "finite volumes need numba: pip install numba, or install this project with [flow]"


@dataclass(frozen=True)
class FlowOptions:
    """How a steady flow is found.

    resolution: an eighth of the cells round the section, half of those outwards. cycles: of the
    multigrid method at most. settled: by how much the force coefficients may change over the last
    ten of them.
    """

    resolution: int = 32
    cycles: int = 200
    settled: float = 5e-5


OPTIONS = frozenset({"workers", "start", *(each.name for each in fields(FlowOptions))})


def why_not(problem: Problem) -> str:
    """Why finite volumes do not solve a problem; empty where they do."""
    try:
        flow(problem)
    except NotAFlow as reason:
        return str(reason)
    return ""


def solve(
    problem: Problem,
    batch: Any,
    resolution: int = 32,
    *,
    workers: Workers | int = 1,
    start: Solution | None = None,
    **options: Any,
) -> Solution:
    """Steady flows of an ideal gas about sections, as fields: see `docs/notes/airfoil_solver.md`.

    start: a solution of as many samples of the same resolution, to begin with. Other options: the
    fields of `FlowOptions`. The force on the section is in `samples[k].reactions`, by component of
    the velocity. Raises: NotAFlow, WrongOption, NoConvergence, SolverError.
    """
    known = sorted(OPTIONS)
    for name in options:
        if name not in known:
            hint = suggestion(name, known, f"they are {', '.join(known)}", quote="'")
            raise WrongOption(f"finite volumes have no option {name!r}; {hint}")
    chosen = FlowOptions(resolution=resolution, **options)
    if chosen.resolution < COARSEST:
        raise SolverError(f"finite volumes need a resolution of {COARSEST} or more")
    if importlib.util.find_spec("numba") is None:
        raise SolverError(NUMBA)
    workers = workers if isinstance(workers, Workers) else Workers(workers)
    if start is not None and len(start.samples) != batch.size:
        raise SolverError(f"start has {len(start.samples)} samples, the batch {batch.size}")
    request = Request(problem, flow(problem), batch.to("cpu", torch.float64), chosen, start)
    samples = tuple(workers.map(partial(Request.sample, request), range(batch.size)))
    return Solution.of(samples, request.estimated)


@dataclass(frozen=True)
class Request:
    """One call: the problem, the flow that it declares, the batch and the options."""

    problem: Problem
    flow: Flow
    batch: Any
    options: FlowOptions
    start: Solution | None = None

    def sample(self, number: int) -> SampleSolution:
        """The flow about one section. Raises: NoConvergence, SolverError."""
        from compiler.finite_volume.nodal import at_nodes, mesh_of, spaces_of
        from compiler.finite_volume.steady import Diverged, steady

        begun = time.perf_counter()
        own = self.batch if self.batch.size == 1 else self.batch.select([number])
        grid, stream = self.setting(own, number)
        meshed = time.perf_counter()
        chosen = self.options
        try:
            found = steady(
                grid,
                stream,
                settled=chosen.settled,
                cycles=chosen.cycles,
                begun=self._begun(number, grid),
            )
        except Diverged:
            raise NoConvergence(
                f"sample {number}: no steady flow was found at Mach {stream.mach:.3g}: density or"
                " pressure became negative"
            ) from None
        solved = time.perf_counter()
        places = [self.flow.components.index(name) for name in self.problem.components]
        values = at_nodes(found.level)[places]
        spaces = spaces_of(mesh_of(grid), self.problem.components, self.flow.domain)
        return SampleSolution(
            spaces,
            self.problem.components,
            values.reshape(1, -1),
            None,
            None,
            found.cycles,
            {"mesh": meshed - begun, "solve": solved - meshed},
            self._reactions(found, stream),
            self._doubts(found),
        )

    def setting(self, own: Any, number: int) -> tuple[Array, Stream]:
        """Nodes "j+1 i+1 2" and free flow of one sample."""
        geometry = own.geometry[self.flow.domain.name]
        (piece,) = geometry.pieces(self.flow.section)
        values = Numbers(own.params, 1, torch.float64, torch.device("cpu"))
        gamma, rho, u, v, p = (float(values(each)) for each in (self.flow.gamma, *self.flow.far))
        if not (gamma > 1 and rho > 0 and p > 0 and np.hypot(u, v) > 0):
            raise SolverError(
                f"sample {number}: gamma = {gamma:.4g}, and far away rho = {rho:.4g}, p = {p:.4g},"
                f" v = ({u:.4g}, {v:.4g}): a flow needs gamma > 1, positive rho and p, and motion"
            )
        low, high = geometry.box()

        def chart(shares: Array) -> Array:
            return piece.chart(torch.from_numpy(shares)[None, :, None])[0][0].numpy()

        section = chart(SHARES)
        left, right = section[:, 0].min(), section[:, 0].max()
        quarter = (float(left + (right - left) / 4), float(section[:, 1].mean()))
        size, far = self.options.resolution, reach(section, low.numpy(), high.numpy())
        try:
            nodes = o_grid(chart, AROUND * size, OUTWARDS * size, far).nodes
        except NoGrid as reason:
            raise NoConvergence(f"sample {number}: {reason}") from None
        return nodes, Stream(rho, (u, v), p, gamma, quarter)

    def _begun(self, number: int, grid: Array) -> Array | None:
        """Conserved states of cells from the nodal values of `start`."""
        if self.start is None:
            return None
        sample, (nj, ni) = self.start.samples[number], (grid.shape[0] - 1, grid.shape[1] - 1)
        if sample.vectors.size != 4 * (nj + 1) * ni or sample.times is not None:
            raise SolverError("start is not a flow of the same resolution")
        nodes = sample.vectors.reshape(4, nj + 1, ni)
        order = [self.problem.components.index(name) for name in self.flow.components]
        nodes = nodes[order]
        rho, u, v, p = (nodes[:, :-1] + nodes[:, 1:] + _next(nodes)) / 4
        gamma = float(
            Numbers(self.batch.params, self.batch.size, torch.float64, torch.device("cpu"))(
                self.flow.gamma
            )[number]
        )
        return np.stack([rho, rho * u, rho * v, p / (gamma - 1) + rho * (u * u + v * v) / 2])

    def _reactions(self, found: Steady, stream: Stream) -> Mapping[tuple[str, str], float]:
        force = stream.dynamic_pressure * found.force
        names = self.flow.components[1:3]
        return {
            (self.flow.section.name, name): float(each)
            for name, each in zip(names, force, strict=True)
        }

    def _doubts(self, found: Steady) -> tuple[str, ...]:
        if found.change <= self.options.settled:
            return ()
        return (
            f"the force coefficients still changed by {found.change:.2g} over the last ten of"
            f" {found.cycles} cycles: ask for more `cycles`, or the flow has no steady state",
        )

    def estimated(self, fine: Solution) -> dict[str, ErrorEstimate]:
        """By solutions at a half and a quarter of the resolution. Raises: SolverError."""
        sizes = [self.options.resolution // k for k in (2, 4)]
        ladder = [
            replace(self, options=replace(self.options, resolution=size), start=None)
            for size in sizes
            if size >= COARSEST
        ]
        if not ladder:
            raise SolverError("the error needs a coarser solution: ask for a resolution of 16")
        return from_coarser(fine.samples, [each.sample for each in ladder], self.problem)


def reach(section: Array, low: Array, high: Array) -> float:
    """How far a grid goes, in a far field from `low` to `high` about a section by its points at
    `SHARES`."""
    off = np.linalg.norm((low + high) / 2 - section.mean(0))
    return MARGIN * float((high - low).max() / 2 + off)


def _next(nodes: Array) -> Array:
    """The sum of the two nodes of every cell on the far side in i."""
    beside = np.roll(nodes, -1, axis=2)
    return beside[:, :-1] + beside[:, 1:]
