"""Steady states by time steps of their own in every cell, on a sequence of grids.

A five-stage scheme with averaged residuals drives each grid, coarser ones correct finer ones (full
approximation storage), and the finest starts from a solution on the one below. Source: A. Jameson,
MAE report 1613, Princeton (1983).
"""

from __future__ import annotations

import numpy as np

from compiler.arrays import Array
from compiler.finite_volume import kernels, transfer
from compiler.finite_volume.stream import Stream

STAGES = (1 / 4, 1 / 6, 3 / 8, 1 / 2, 1.0)
FRESH = (1.0, 0.0, 0.56, 0.0, 0.44)  # share of new dissipation; 0 keeps that of the stage before
EXPLICIT = 3.5  # Courant number of the scheme alone
COURANT = 7.0  # with averaged residuals
SMOOTH = 1 / 32  # k4 of fourth differences
LEAST = 4  # cells outwards of a coarsest grid


class Level:
    """One grid, its state and its work space.

    Shapes: see `kernels`; volume "j i". `forcing` is what the finer grid adds to the residual.
    """

    def __init__(self, nodes: Array, stream: Stream, k4: float = SMOOTH) -> None:
        self.k4 = k4
        nj, ni = nodes.shape[0] - 1, nodes.shape[1] - 1
        self.stream, self.shape = stream, (nj, ni)
        self.si, self.sj, self.volume = metrics(nodes)
        self.outer = (nodes[-1, 1:] + nodes[-1, :-1]) / 2
        self.w = np.empty((4, nj + 4, ni + 4))
        self.p, self.along, self.across = (np.ones((nj + 4, ni + 4)) for _ in range(3))
        self.convective, self.viscous, self.fresh, self.change = (
            np.empty((4, nj, ni)) for _ in range(4)
        )
        self.forcing = np.zeros((4, nj, ni))
        self.factors, self.lines = np.empty((7, nj, ni)), np.empty((2, nj))
        self.far = stream.at(self.outer, 0.0)
        self.w[:] = stream.conserved()[:, None, None]
        self.close()

    @property
    def cells(self) -> Array:
        """The state without ghost cells, a view."""
        return self.w[:, 2:-2, 2:-2]

    def close(self) -> None:
        """Pressures, and ghost cells by the boundary conditions."""
        kernels.boundaries(self.w, self.p, self.sj, self.stream.gamma, self.far)

    def wall(self) -> Array:
        """The pressure at the section, from the two cells above, linearly. Shapes: "i"."""
        return 1.5 * self.p[2, 2:-2] - 0.5 * self.p[3, 2:-2]

    def force(self) -> Array:
        """Of the pressure on the section. Shapes: "2"."""
        return -self.sj[:, 2, 2:-2] @ self.wall()

    def dissipate(self, finest: bool, out: Array) -> None:
        """Writes the artificial dissipation of the state into `out`: second and fourth differences
        on the finest grid, second ones alone on coarser grids."""
        radii = self.along, self.across
        if finest:
            kernels.dissipation(self.w, self.p, *radii, kernels.SHOCK, self.k4, out)
        else:
            kernels.coarse_dissipation(self.w, self.p, *radii, kernels.COARSE / 2, out)

    def convect(self) -> None:
        """Computes the balance of convective fluxes of each cell into `convective`."""
        kernels.convection(self.w, self.p, self.si, self.sj, self.wall(), self.convective)

    def speeds(self) -> None:
        """Computes the spectral radii of the fluxes along both directions, which time steps and
        dissipation are scaled by."""
        kernels.radii(self.w, self.p, self.si, self.sj, self.stream.gamma, self.along, self.across)

    def residual(self, finest: bool) -> Array:
        """Fluxes out of the cells less dissipation, zero in a steady state. Shapes: "4 j i"."""
        self.speeds()
        self.convect()
        self.dissipate(finest, self.viscous)
        return self.convective - self.viscous

    def step(self, finest: bool) -> None:
        """One step of five stages towards residual + forcing = 0."""
        begun = self.cells.copy()
        self.speeds()
        transfer.factors(self.along, self.across, COURANT / EXPLICIT, self.factors, self.lines)
        rate = COURANT / (self.along + self.across)[2:-2, 2:-2]
        for stage, share in zip(STAGES, FRESH, strict=True):
            self.convect()
            if share == 1.0:
                self.dissipate(finest, self.viscous)
            elif share:
                self.dissipate(finest, self.fresh)
                self.viscous *= 1 - share
                self.viscous += share * self.fresh
            transfer.changes(self.convective, self.viscous, self.forcing, rate, stage, self.change)
            transfer.smooth(self.change, self.factors, self.lines)
            np.add(begun, self.change, out=self.cells)
            self.close()


def metrics(nodes: Array) -> tuple[Array, Array, Array]:
    """Normals of the sides in i and in j, and the areas of cells, of nodes "j+1 i+1 2"."""
    nj, ni = nodes.shape[0] - 1, nodes.shape[1] - 1
    si, sj = np.zeros((2, nj + 4, ni + 5)), np.zeros((2, nj + 5, ni + 4))
    up, on = np.diff(nodes, axis=0), np.diff(nodes, axis=1)
    si[0, 2:-2, 2:-2], si[1, 2:-2, 2:-2] = up[..., 1], -up[..., 0]
    sj[0, 2:-2, 2:-2], sj[1, 2:-2, 2:-2] = -on[..., 1], on[..., 0]
    first, second = nodes[1:, 1:] - nodes[:-1, :-1], nodes[1:, :-1] - nodes[:-1, 1:]
    return si, sj, (first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]) / 2


class Multigrid:
    """A grid and those of every second, fourth, .. of its nodes. `levels`: the finest first."""

    def __init__(self, nodes: Array, stream: Stream, k4: float = SMOOTH) -> None:
        self.stream = stream
        self.levels = [Level(nodes, stream, k4)]
        while not any(n % 2 for n in self.levels[-1].shape) and (
            self.levels[-1].shape[0] >= 2 * LEAST
        ):
            nodes = nodes[::2, ::2]
            self.levels.append(Level(nodes, stream, k4))

    def cycle(self, top: int = 0) -> tuple[Array, float]:
        """One W-cycle below the grid `top`: the force on the section, and the root mean square of
        d rho/dt in its cells."""
        level = self.levels[top]
        circulation = self.stream.circulation(level.force())
        for each in self.levels[top:]:
            each.far = self.stream.at(each.outer, circulation)
        level.close()
        self._descend(top, top)
        rate = level.residual(True)[0] / level.volume
        return level.force(), float(np.sqrt(np.mean(rate**2)))

    def _descend(self, k: int, top: int) -> None:
        level, finest = self.levels[k], k == top
        level.step(finest)
        if k + 1 == len(self.levels):
            return
        below = self.levels[k + 1]
        found, sums = level.residual(finest), np.empty_like(below.forcing)
        if not finest:
            found += level.forcing
        transfer.restrict(level.w, level.volume, below.w, found, sums)
        below.close()
        before = below.cells.copy()
        below.forcing = sums - below.residual(False)
        for _ in range(2 if 0 < k + 1 - top < len(self.levels) - 1 - top else 1):
            self._descend(k + 1, top)
        transfer.prolong(below.cells - before, level.w)
        level.close()
        # without a step here the trailing edge is unstable at low Mach numbers
        level.step(finest)

    def refine(self, top: int) -> None:
        """The state of the grid `top` from that of the one below."""
        level, below = self.levels[top], self.levels[top + 1]
        free = self.stream.conserved()[:, None, None]
        level.w[:] = free
        transfer.prolong(below.cells - free, level.w)
        self.begin(top)

    def begin(self, top: int = 0) -> None:
        """Ready for cycles whose finest grid is `top`."""
        self.levels[top].forcing[:] = 0
        self.levels[top].close()
