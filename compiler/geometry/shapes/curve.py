"""Parametric curves from SymPy expressions: arc length, closest points, and the signed distance
to what they enclose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
import torch
from torch import Tensor

from compiler.geometry.shapes.blend import norm
from compiler.geometry.shapes.numbers import Function, Numbers
from compiler.geometry.shapes.piece import FullBoundary, Natural, along, collected
from compiler.geometry.shapes.remembered import remembered
from pdespec.geometry import Shape

NODES = 128  # at which the nearest stretches of an arc are looked for
CANDIDATES = 2  # nearest stretches that are refined
STEPS = 6  # of Newton's method, from a distance of one node
TABLE = 1024  # cells of the arc-length table


@dataclass(frozen=True)
class Arc:
    """A smooth arc (x(s), y(s)), start <= s <= end, with the enclosed region on its left (`turn` =
    1) or right (-1).

    `function` gives x, y and their first and second derivatives. A `closed` arc is periodic.
    Shapes: function takes s "b n" to six tensors "b n".
    """

    function: Function
    start: float
    end: float
    closed: bool
    turn: int
    samples: int
    dtype: torch.dtype
    device: torch.device

    def point(self, s: Tensor) -> Tensor:
        """Shapes: "b n" -> "b n 2"."""
        return torch.stack(self.function(s)[:2], -1)

    def normal(self, s: Tensor) -> Tensor:
        """Outward unit normal. Shapes: "b n" -> "b n 2"."""
        _, _, dx, dy, _, _ = self.function(s)
        return self.turn * torch.stack([dy, -dx], -1) / norm(torch.stack([dx, dy], -1))[..., None]

    def nodes(self, count: int) -> Tensor:
        """Equally spaced parameters, both ends included. Shapes: "b count"."""
        return torch.linspace(
            self.start, self.end, count, dtype=self.dtype, device=self.device
        ).expand(self.samples, -1)

    @remembered
    def speed(self) -> Tensor:
        """|dx/ds| at the nodes of the arc-length table. Shapes: "b m"."""
        _, _, dx, dy, _, _ = self.function(self.nodes(TABLE + 1))
        return norm(torch.stack([dx, dy], -1))

    @remembered
    def length(self) -> Tensor:
        """Arc length. Shapes: "b"."""
        return self.integral(self.speed())

    def area(self) -> Tensor:
        """The arc's part `1/2 integral of x dy - y dx` of the enclosed area. Shapes: "b"."""
        x, y, dx, dy, _, _ = self.function(self.nodes(TABLE + 1))
        return self.turn * self.integral(x * dy - y * dx) / 2

    def reach(self, directions: Tensor) -> Tensor:
        """The largest x . v, from the nodes of the table by Newton's method, with the derivatives
        in the numbers of the arc that a fixed s gives (envelope theorem): those of the outermost
        node jump whenever the next one takes its place. Shapes: "b k 2" -> "b k".
        """

        def along_directions(pair: Sequence[Tensor]) -> Tensor:
            return directions[..., 0] * pair[0] + directions[..., 1] * pair[1]

        with torch.no_grad():
            nodes = self.nodes(TABLE + 1)
            outermost = (directions @ torch.stack(self.function(nodes)[:2], 1)).argmax(-1)
            s = first = nodes.gather(-1, outermost)
            step = (self.end - self.start) / TABLE
            low, high = first - step, first + step
            if not self.closed:
                low, high = low.clamp_min(self.start), high.clamp_max(self.end)
            for _ in range(3):  # from a millionth of a wave to rounding
                _, _, dx, dy, ddx, ddy = self.function(s)
                slope, curvature = along_directions((dx, dy)), along_directions((ddx, ddy))
                bent = curvature < 0  # else the arc ends here
                s = torch.minimum(
                    torch.maximum(
                        s - torch.where(bent, slope, 0) / torch.where(bent, curvature, 1), low
                    ),
                    high,
                )
            further = along_directions(self.function(s)[:2]) >= along_directions(
                self.function(first)[:2]
            )
            s = torch.where(further, s, first)
        return along_directions(self.function(s)[:2])

    @remembered
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Least and greatest coordinates. Shapes: "b 2"."""
        axes = torch.eye(2, dtype=self.dtype, device=self.device).expand(self.samples, -1, -1)
        lower, upper = self.reach(torch.cat([-axes, axes], 1)).chunk(2, -1)
        return -lower, upper

    def integral(self, values: Tensor) -> Tensor:
        """From values at equally spaced nodes: by the trapezoidal rule on a closed arc, where it
        is spectrally exact, else by Simpson's."""
        step = (self.end - self.start) / (values.shape[-1] - 1)
        if self.closed:
            return values[:, :-1].sum(-1) * step
        return (
            step
            / 3
            * (
                values[:, 0]
                + values[:, -1]
                + 4 * values[:, 1:-1:2].sum(-1)
                + 2 * values[:, 2:-1:2].sum(-1)
            )
        )

    def piece(
        self, carrier: Callable[[Tensor], Tensor], shape: Shape, height: Callable[[Tensor], Tensor]
    ) -> FullBoundary:
        """The whole of a closed arc as a piece of a boundary."""
        span = self.end - self.start

        def natural(t: Tensor) -> tuple[Tensor, Tensor]:
            s = self.start + span * t
            return self.point(s), self.normal(s)

        def speed(t: Tensor) -> Tensor:
            _, _, dx, dy, _, _ = self.function(self.start + span * t)
            return span * norm(torch.stack([dx, dy], -1))

        table = self.speed()
        by_length = Natural(
            natural, speed, lambda share: along(table, share), lambda t: collected(table, t)
        )

        def chart(u: Tensor) -> tuple[Tensor, Tensor]:
            return natural(along(table, u[..., 0]))

        return FullBoundary(
            2,
            self.length(),
            chart,
            carrier,
            (shape,),
            cells=TABLE,
            panels=32,
            natural=by_length,
            height=height,
        )

    def at_share(self, share: Tensor) -> Tensor:
        """The parameter up to which a share of the arc length lies. Shapes: "b n" -> "b n"."""
        return self.start + (self.end - self.start) * along(self.speed(), share)


def arcs(
    ways: Sequence[tuple[sp.Expr, sp.Expr]],
    parameter: sp.Symbol,
    span: tuple[float, float],
    turns: Sequence[int],
    closed: bool,
    numbers: Numbers,
) -> tuple[Arc, ...]:
    """Arcs from the expressions of their coordinates."""
    functions = [numbers.function(_with_derivatives(x, y, parameter), parameter) for x, y in ways]
    return tuple(
        Arc(function, *span, closed, turn, numbers.size, numbers.dtype, numbers.device)
        for function, turn in zip(functions, turns, strict=True)
    )


@lru_cache(maxsize=128)
def _with_derivatives(x: sp.Expr, y: sp.Expr, parameter: sp.Symbol) -> tuple[sp.Expr, ...]:
    dx, dy = x.diff(parameter), y.diff(parameter)
    return x, y, dx, dy, dx.diff(parameter), dy.diff(parameter)


def signed_distance(boundary: Sequence[Arc], x: Tensor) -> Tensor:
    """Distance to the nearest point of closed boundary made of arcs, negative inside.

    The closest point is found without gradient. With s its parameter, `(x - c(s)) . n(s)` is
    stationary in s there, so that one Newton step that carries the first derivative of s makes the
    result right up to third derivatives in x and in the shape (Wigner's 2n + 1 rule). At an end
    where two arcs meet in a convex corner it is the distance from the corner. Shapes: "b n d" -> "b
    n".
    """
    with torch.no_grad():
        found = [_closest(arc, x) for arc in boundary]
        best = torch.stack([each[1] for each in found]).argmin(0)
    values = [_height(arc, x, s, free) for arc, (s, _, free) in zip(boundary, found, strict=True)]
    return torch.stack(values).gather(0, best[None])[0] if len(values) > 1 else values[0]


def _height(arc: Arc, x: Tensor, s: Tensor, free: Tensor) -> Tensor:
    """Signed distance from the point of an arc at s; plain distance where s sits at an end that
    is not the foot of a normal."""
    if torch.is_grad_enabled():
        slope, curvature, speed = _slopes(arc, x, s)
        # towards a centre of curvature the closest point loses its derivative
        regular = free & (curvature > 1e-3 * speed)
        s = s - torch.where(regular, slope, 0) / torch.where(regular, curvature, 1).detach()
    offset = x - arc.point(s)
    return torch.where(free, (offset * arc.normal(s)).sum(-1), norm(offset))


def _slopes(arc: Arc, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First and second derivative in s of half the squared distance, and the squared speed."""
    px, py, dx, dy, ddx, ddy = arc.function(s)
    rx, ry = x[..., 0] - px, x[..., 1] - py
    speed = dx.square() + dy.square()
    return -(rx * dx + ry * dy), speed - (rx * ddx + ry * ddy), speed


def _closest(arc: Arc, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Parameter of the closest point, squared distance, and whether x lies on the normal there.
    Shapes: "b n" all."""
    batch, count = x.shape[:2]
    nodes = arc.nodes(NODES + 1)[:, : NODES + (not arc.closed)]
    points = arc.point(nodes)
    square = points.square().sum(-1)[:, None] - 2 * x @ points.transpose(-1, -2)  # up to |x|^2
    if arc.closed:
        before, after = square.roll(1, -1), square.roll(-1, -1)
    else:
        edge = torch.full_like(square[..., :1], torch.inf)
        before, after = (
            torch.cat([edge, square[..., :-1]], -1),
            torch.cat([square[..., 1:], edge], -1),
        )
    lowest = torch.where((square <= before) & (square <= after), square, torch.inf)
    index = lowest.topk(CANDIDATES, largest=False).indices.reshape(batch, -1)
    first = nodes.gather(-1, index)
    step = (arc.end - arc.start) / NODES
    low, high = first - step, first + step
    if not arc.closed:
        low, high = low.clamp_min(arc.start), high.clamp_max(arc.end)
    repeated = x.repeat_interleave(CANDIDATES, 1)
    s = first
    for _ in range(STEPS):
        slope, curvature, speed = _slopes(arc, repeated, s)
        s = torch.minimum(
            torch.maximum(s - slope / torch.maximum(curvature, 0.1 * speed), low), high
        )
    offset = repeated - arc.point(s)
    distances = offset.square().sum(-1).reshape(batch, count, CANDIDATES)
    best = distances.argmin(-1, keepdim=True)
    s = s.reshape(batch, count, CANDIDATES).gather(-1, best)[..., 0]
    free = torch.ones_like(s, dtype=torch.bool) if arc.closed else (s > arc.start) & (s < arc.end)
    return s, distances.gather(-1, best)[..., 0], free
