"""An incompressible flow in a closed rectangle, step by step.

    v_t + steepening v . grad v + grad p = nu lap v,   div v = 0,   v along the walls given,

with speeds at the ends of cells and pressures in their middles (F. H. Harlow and J. E. Welch 1965),
second-order differences in divergence form; in time the two-step backward formula with steps of any
length, transport extrapolated, and a pressure correction in rotational form (J.-L. Guermond, P.
Minev and J. Shen 2006, section 3.4), of second order in the velocity as well. A wall moves as a
whole: the corners, where its speed may jump, are no places of this grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from compiler.arrays import Array
from compiler.projection.grid import Line, at_ends, at_middles, graded, solved, without_flux

Speed = Callable[[Array, float], Array]  # along a wall, at places "n" and a time -> "n"
HASTY = 0.05  # of a wall's largest speed: how far it may be from a line between two levels


class Walls(NamedTuple):
    """Speeds along the walls, in the direction of the axis that a wall lies along."""

    left: Speed
    right: Speed
    bottom: Speed
    top: Speed


class Setting(NamedTuple):
    """Corners (x, y) of the rectangle, and what the flow is in it; `start` is the velocity at the
    start, "n", "n" -> "2 n"."""

    low: tuple[float, float]
    high: tuple[float, float]
    nu: float
    steepening: float
    walls: Walls
    start: Callable[[Array, Array], Array]
    began: float


@dataclass(frozen=True)
class State:
    """Speeds and pressures at a time, those of walls included. Shapes: u "nx+1 ny+2", v "nx+2
    ny+1", p "nx ny"."""

    time: float
    x: Line
    y: Line
    u: Array
    v: Array
    p: Array

    def on(self, x: Array, y: Array) -> Array:
        """(u, v, p) on a tensor grid by cubic splines; p of mean zero. Shapes: "n", "m" -> "3 n
        m"."""
        wide = [np.concatenate((a.ends[:1], a.middles, a.ends[-1:])) for a in (self.x, self.y)]
        p = self.p - np.average(self.p, weights=np.outer(self.x.widths, self.y.widths))
        found = (
            (self.x.ends, wide[1], self.u),
            (wide[0], self.y.ends, self.v),
            (*wide, _to_ends(_to_ends(p).T).T),
        )
        from scipy.interpolate import RectBivariateSpline

        return np.stack([RectBivariateSpline(*each)(x, y) for each in found])


def _to_ends(values: Array) -> Array:
    """Values at the middles of cells, continued by lines to both ends. Shapes: "n m" -> "n+2 m"."""
    first, last = 1.5 * values[:1] - 0.5 * values[1:2], 1.5 * values[-1:] - 0.5 * values[-2:-1]
    return np.concatenate((first, values, last))


@dataclass
class Flow:
    """The flow of a setting on nx times ny cells, as it is after some steps."""

    setting: Setting
    cells: tuple[int, int]
    length: float = field(default=0.0, init=False)  # of the last step

    def __post_init__(self) -> None:
        own = self.setting
        self.x, self.y = (
            graded(low, high, count)
            for low, high, count in zip(own.low, own.high, self.cells, strict=True)
        )
        self.time = own.began
        self.along = at_ends(self.x), at_middles(self.y)  # of u
        self.across = at_middles(self.x), at_ends(self.y)  # of v
        self.cell = without_flux(self.x), without_flux(self.y)
        self.p = np.zeros(self.cells)
        self.u = self._started(0, self.x.ends, self.y.middles)
        self.v = self._started(1, self.x.middles, self.y.ends)
        self.u[[0, -1]], self.v[:, [0, -1]] = 0, 0
        self.before = self.u[1:-1], self.v[:, 1:-1]
        self.transport = self.transports()

    def _started(self, component: int, x: Array, y: Array) -> Array:
        at = np.meshgrid(x, y, indexing="ij")
        values = self.setting.start(at[0].ravel(), at[1].ravel())[component]
        return values.reshape(at[0].shape).copy()

    @property
    def smallest(self) -> float:
        """The width of the smallest cell."""
        return float(min(self.x.widths[0], self.y.widths[0]))

    def state(self) -> State:
        """The flow at this time with the speeds of the walls in its outer rows and columns; at a
        corner the mean of both walls."""
        walls, t = self.setting.walls, self.time
        below, above = (each(self.x.ends, t)[:, None] for each in (walls.bottom, walls.top))
        before, behind = (each(self.y.ends, t)[None] for each in (walls.left, walls.right))
        u, v = np.hstack((below, self.u, above)), np.vstack((before, self.v, behind))
        for each in (
            u,
            v,
        ):  # where two walls meet the mean of their speeds, so that splines swing less
            each[:: len(each) - 1, :: each.shape[1] - 1] /= 2
        return State(t, self.x, self.y, u, v, self.p.copy())

    def transports(self) -> tuple[Array, Array]:
        """div(v v) at the inner ends of cells. Shapes: "nx-1 ny", "nx ny-1"."""
        u, v, (x, y) = self.u, self.v, (self.x, self.y)
        # both speeds at the corners of cells; no product at walls, as nothing passes through them
        product = np.zeros((self.cells[0] + 1, self.cells[1] + 1))
        product[1:-1, 1:-1] = (u[1:-1, :-1] * y.share + u[1:-1, 1:] * (1 - y.share)) * (
            v[:-1, 1:-1] * x.share[:, None] + v[1:, 1:-1] * (1 - x.share[:, None])
        )
        first = np.diff(((u[1:] + u[:-1]) / 2) ** 2, axis=0) / x.between[:, None]
        second = np.diff(((v[:, 1:] + v[:, :-1]) / 2) ** 2, axis=1) / y.between
        return (
            self.setting.steepening * (first + np.diff(product, axis=1)[1:-1] / y.widths),
            self.setting.steepening
            * (second + np.diff(product, axis=0)[:, 1:-1] / x.widths[:, None]),
        )

    def step(self, length: float) -> None:
        """The first one is a step of the backward Euler method."""
        r = length / self.length if self.length else 0.0
        lead, middle, oldest = (1 + 2 * r) / (1 + r) / length, 1 + r, r**2 / (1 + r)
        self.time, self.length = self.time + length, length
        last, self.transport = self.transport, self.transports()
        now, nu = (self.u[1:-1], self.v[:, 1:-1]), self.setting.nu
        gradient = self._gradient(self.p)
        right = [
            (middle * now[k] - oldest * self.before[k]) / length
            - (1 + r) * self.transport[k]
            + r * last[k]
            - gradient[k]
            for k in (0, 1)
        ]
        self._drag(right)
        self.before = now[0].copy(), now[1].copy()
        self.u[1:-1] = solved(lead, -nu, *self.along, right[0])
        self.v[:, 1:-1] = solved(lead, -nu, *self.across, right[1])
        x, y = self.x, self.y
        divergence = (
            np.diff(self.u, axis=0) / x.widths[:, None] + np.diff(self.v, axis=1) / y.widths
        )
        gain = solved(0.0, 1.0, *self.cell, lead * divergence)
        first, second = self._gradient(gain)
        self.u[1:-1] -= first / lead
        self.v[:, 1:-1] -= second / lead
        self.p += gain - nu * divergence

    def _gradient(self, p: Array) -> tuple[Array, Array]:
        return np.diff(p, axis=0) / self.x.between[:, None], np.diff(p, axis=1) / self.y.between

    def _drag(self, right: list[Array]) -> None:
        """Adds what the walls pull at the cells next to them."""
        walls, nu, (x, y) = self.setting.walls, self.setting.nu, (self.x, self.y)
        for end, (beside, along) in (
            (0, (walls.left, walls.bottom)),
            (-1, (walls.right, walls.top)),
        ):
            right[0][:, end] += 2 * nu * along(x.ends[1:-1], self.time) / y.widths[end] ** 2
            right[1][end] += 2 * nu * beside(y.ends[1:-1], self.time) / x.widths[end] ** 2


def hasty_walls(setting: Setting, levels: Array) -> tuple[str, ...]:
    """What is doubtful where walls change their speed faster than the steps follow, which grids of
    several sizes do not tell."""
    middles, found = (levels[1:] + levels[:-1]) / 2, []
    for k, (name, speed) in enumerate(setting.walls._asdict().items()):
        axis = 1 if k < 2 else 0
        at = np.linspace(setting.low[axis], setting.high[axis], 9)[1:-1]
        given, between = (np.stack([speed(at, t) for t in each]) for each in (levels, middles))
        gap = np.abs(between - (given[1:] + given[:-1]) / 2).max()
        if gap > HASTY * max(np.abs(given).max(), np.abs(between).max()):
            step = levels[-1] - levels[-2]
            found.append(
                f"the speed of the {name} wall changes within a step of {step:.3g} in time, and no"
                " error is estimated for that: take a shorter time, or"
                ' method="finite_elements" with more steps'
            )
    return tuple(found)
