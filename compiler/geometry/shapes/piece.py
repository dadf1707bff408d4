"""Parts of a boundary: parametrised uniformly in arc length or area, measured, and cut where
another shape covers them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from compiler.geometry.shapes.blend import both, conjunctions, norm, trimmed
from compiler.geometry.shapes.once import shared
from compiler.geometry.shapes.stretches import (
    Carrier,
    Function,
    Keep,
    Stretches,
    stretches,
)
from pdespec.geometry import Plane, Shape

Chart = Callable[[Tensor], tuple[Tensor, Tensor]]

NODES = 16  # of the Gauss rule on a panel of a curve
LINES = 64  # across a surface, between which the ends of cuts change their kind at most once
# Gauss nodes between two such changes: those of the measure, and those that its error is estimated
# by
ACROSS = (20, 12)
BISECTIONS = 34
ROUGH = 17  # lines that tell whether a surface is cut
HALVINGS = 12  # of panels that a rule does not integrate
TOLERANCE = 1e-11  # of a rule on a panel, relative to the whole surface
CELLS_3D = 48  # in which a line on a surface is searched
FAR = 1e6  # extents away: the value of a function of what is not there


@dataclass(frozen=True)
class Natural:
    """A curve in a parameter t in [0, 1] in which it is analytic, in addition to the arc length.

    Shapes: chart takes t "b n" to points and normals, speed to "b n"; position takes a share of the
    arc length to t, share goes back.
    """

    chart: Chart
    speed: Function
    position: Function
    share: Function


@dataclass(frozen=True)
class FullBoundary:
    """A part of the boundary of a single shape.

    `carrier` is smooth, vanishes on the piece with slope 1 and is positive on the side of the body;
    where it also vanishes elsewhere, `trim` is positive on the piece and negative there. `plane` is
    the declared plane or line that the piece lies in, `flat` says that it lies in one, declared or
    not; `owners` are the shapes whose boundary it comes from, innermost first; `hole` says that it
    bounds what a difference takes away. A curve consists of `parts` equal parts of its parameter,
    each smooth, and is searched in `cells` cells for the ends of cuts; a rule of 16 nodes on each
    of `panels` parts of a stretch integrates along it. `natural`: another parameter, where arc
    length is none in which the curve is analytic. `height` is the signed distance from all of it,
    where it is not flat. `error` is the relative error of the measure, `chart_error` what is added
    to it where a surface is cut. `groups` name it in a mesh file; `select` gives the facets of it
    in whose middle a function is positive, and cuts none. `cutter` takes the place of the carrier
    where other pieces are cut: it has the same zeros and signs, and need be smooth there only.
    `spread` parametrises a surface whose chart has a table of areas smoothly: points, normals and
    the area per unit of the parameters, "b n". Shapes: measure "b"; chart takes parameters "b n k"
    in [0, 1), k = max(1, d - 1), uniform in measure, to points and outward unit normals "b n d"
    both; carrier, cutter and trim take points "b n d" to "b n".
    """

    dim: int
    measure: Tensor
    chart: Chart
    carrier: Function
    owners: tuple[Shape, ...]
    plane: Plane | None = None
    trim: Function | None = None
    hole: bool = False
    cells: int = 256
    flat: bool = False
    parts: int = 1
    panels: int = 4
    natural: Natural | None = None
    height: Function | None = None
    error: float = 0.0
    chart_error: float = 0.0
    groups: frozenset[str] = frozenset()
    select: Callable[[Function], Piece] | None = None
    cutter: Function | None = None
    spread: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]] | None = None

    def at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Points and normals of a curve in the parameter in which it is cut. Shapes: "b n" -> "b
        n d" both."""
        return self.chart(t[..., None]) if self.natural is None else self.natural.chart(t)

    def speed(self, t: Tensor) -> Tensor:
        """The length passed per unit of that parameter. Shapes: "b n" -> "b n"."""
        return self.measure[:, None].expand_as(t) if self.natural is None else self.natural.speed(t)

    @property
    def kept(self) -> tuple[Tensor, Tensor]:
        """Start and end of the stretches that belong to a curve: all of it. Shapes: "b k" both."""
        borders = (
            torch.arange(self.parts + 1, dtype=self.measure.dtype, device=self.measure.device)
            / self.parts
        )
        borders = borders.expand(len(self.measure), -1)
        return borders[:, :-1], borders[:, 1:]


@dataclass(frozen=True)
class Clipped:
    """The part of `base` where `keep` (points, outward normals) holds; it changes only across zeros
    of the carriers.

    `uncovered` is smooth, positive on the part and negative on the rest of the base. Curves are cut
    exactly. A surface is cut along lines of its second parameter, exactly, and these are integrated
    between the places where the cuts change their kind, found by bisection. `known` is its measure
    where that is known otherwise. Shapes: "b".
    """

    base: FullBoundary
    carriers: tuple[Carrier, ...]
    keep: Keep
    uncovered: Function
    owners: tuple[Shape, ...]
    hole: bool
    known: Tensor | None = None

    @property
    def dim(self) -> int:
        return self.base.dim

    @property
    def plane(self) -> Plane | None:
        return self.base.plane

    @property
    def flat(self) -> bool:
        return self.base.flat

    @property
    def carrier(self) -> Function:
        return self.base.carrier

    @property
    def trim(self) -> Function:
        """Positive on the part: that of `base` where it has one, and `uncovered`."""
        first = self.base.trim
        return self.uncovered if first is None else lambda x: both(first(x), self.uncovered(x))

    @cached_property
    def kept(self) -> tuple[Tensor, Tensor]:
        """Start and end of the kept stretches of a curve. Shapes: "b k" both."""
        base = self.base

        def along(t: Tensor) -> tuple[Tensor, Tensor]:
            return base.at(t[:, 0])

        found = stretches(
            along,
            base.measure[:, None],
            self.carriers,
            self.keep,
            base.parts,
            base.cells,
            base.flat,
        )
        return found.start[:, 0], found.end[:, 0]

    @cached_property
    def measure(self) -> Tensor:
        """Its length or area in each sample, by quadrature where it is not known. Shapes: "b"."""
        if self.known is not None:
            return self.known
        if self.dim < 3:
            return _integral(self, None)
        return self.base.measure * _across(self, 0)

    @cached_property
    def share(self) -> Tensor:
        """Roughly what share of the base is kept, without gradient: of a surface by a few lines,
        much less work than its measure."""
        with torch.no_grad():
            if self.dim < 3:
                start, end = self.kept
                return (end - start).sum(-1)
            second = torch.linspace(
                0.01, 0.99, ROUGH, dtype=self.base.measure.dtype, device=self.base.measure.device
            )
            found = self.lines(second.expand(len(self.base.measure), -1))
            return (found.end - found.start).sum(-1).mean(-1)

    @cached_property
    def error(self) -> float:
        """The estimated relative error of the measure of a surface: the difference of two rules."""
        if self.dim < 3 or self.known is not None:
            return self.base.error
        with torch.no_grad():
            gap = self.base.measure * (_across(self, 0) - _across(self, 1)).abs()
            return (
                self.base.error
                + self.base.chart_error
                + float((gap / self.measure.clamp_min(torch.finfo(gap.dtype).tiny)).amax())
            )

    def chart(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Points and outward normals at coordinates in the unit cube, uniform in length or area.
        Shapes: "b n k" -> "b n d" twice."""
        if self.dim == 3:
            return self.base.chart(_tested(self, u))
        natural = self.base.natural
        if natural is None:
            return self.base.at(_spread(*self.kept, u[..., 0]))
        start, end = (natural.share(each) for each in self.kept)
        return natural.chart(natural.position(_spread(start, end, u[..., 0])))

    @cached_property
    def breaks(self) -> Tensor:
        """Values of the second parameter of a surface between which its cuts are of one kind, 0
        and 1 among them. Shapes: "b k"."""
        return _breaks(self)

    def lines(self, second: Tensor) -> Stretches:
        """The kept stretches of lines on a surface. Shapes: second parameter "b l"."""

        def along(t: Tensor) -> tuple[Tensor, Tensor]:
            return self.base.chart(
                torch.stack([t, second[..., None].expand_as(t)], -1).flatten(1, 2)
            )

        cells = CELLS_3D * min(self.base.parts, 16)
        return stretches(
            along, second, self.carriers, self.keep, self.base.parts, cells, self.base.flat
        )


Piece = FullBoundary | Clipped


def cut(
    piece: Piece,
    carriers: Sequence[Carrier],
    keep: Keep,
    uncovered: Function,
    owner: Shape | None,
    hole: bool = False,
) -> Clipped:
    """The part of a piece where `keep` holds, as a piece of the boundary of `owner`; a `hole` is
    turned, to bound what is left."""
    owners = piece.owners if owner is None else (*piece.owners, owner)
    if isinstance(piece, Clipped):
        first, smooth = piece.keep, piece.uncovered
        turn = -1 if hole else 1
        return Clipped(
            flipped(piece.base) if hole else piece.base,
            (*piece.carriers, *carriers),
            lambda x, n: first(x, turn * n) & keep(x, n),
            lambda x: both(smooth(x), uncovered(x)),
            owners,
            piece.hole != hole,
        )
    return Clipped(
        flipped(piece) if hole else piece,
        tuple(carriers),
        keep,
        uncovered,
        owners,
        piece.hole != hole,
    )


def with_owner(piece: Piece, owner: Shape, hole: bool = False) -> Piece:
    """A whole piece as a piece of the boundary of `owner`; a `hole` is flipped."""
    if isinstance(piece, Clipped):
        everything, positive = (
            lambda x, n: torch.ones_like(x[..., 0], dtype=torch.bool),
            lambda x: torch.ones_like(x[..., 0]),
        )
        return replace(cut(piece, (), everything, positive, owner, hole), known=piece.known)
    return replace(
        flipped(piece) if hole else piece, owners=(*piece.owners, owner), hole=piece.hole != hole
    )


def whole(piece: Piece) -> FullBoundary:
    """The piece before it was cut."""
    return piece.base if isinstance(piece, Clipped) else piece


def carrier_of(piece: Piece) -> Carrier:
    """What cuts other pieces where they cross this one."""
    base = whole(piece)
    return Carrier(base.cutter or base.carrier, base.flat)


def flipped(piece: FullBoundary) -> FullBoundary:
    """The piece seen from its other side."""

    def other_side(chart: Chart) -> Chart:
        def seen(u: Tensor) -> tuple[Tensor, Tensor]:
            points, normals = chart(u)
            return points, -normals

        return seen

    natural = piece.natural and replace(piece.natural, chart=other_side(piece.natural.chart))
    height = None if piece.height is None else (lambda x: -_height(piece, x))
    own, spread = piece.cutter, piece.spread
    cutter = None if own is None else (lambda x: -own(x))

    def spread_out(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points, normals, density = spread(u)  # type: ignore[misc]
        return points, -normals, density

    return replace(
        piece,
        chart=other_side(piece.chart),
        spread=None if spread is None else spread_out,
        natural=natural,
        carrier=lambda x: -piece.carrier(x),
        height=height,
        cutter=cutter,
    )


def zero(piece: Piece, x: Tensor) -> Tensor:
    """A smooth function that vanishes on the piece alone, positive around it, of slope 1 there.
    Shapes: "b n d" -> "b n"."""
    if piece.trim is None:
        return piece.carrier(x)
    base = whole(piece)
    return trimmed(
        piece.carrier(x), piece.trim(x), base.measure[:, None] ** (1 / max(1, base.dim - 1))
    )


def zeros(pieces: Sequence[Piece], x: Tensor) -> Tensor:
    """A smooth function that vanishes on the pieces alone, positive around them; pieces of which
    nothing is left count for nothing."""
    values = []
    with shared():
        for piece in pieces:
            value, base = zero(piece, x), whole(piece)
            if isinstance(piece, Clipped):
                present = (piece.share > 1e-12)[:, None]
                value = torch.where(
                    present, value, FAR * base.measure[:, None] ** (1 / max(1, base.dim - 1))
                )
            values.append(value)
    return conjunctions(values)


def signed(piece: Piece, x: Tensor) -> tuple[Tensor, Tensor]:
    """The distance to a curve, and the same with the sign of the side of the curve where its foot
    is kept; elsewhere it is that to an end.

    Exact for straight pieces and circles. Infinite where nothing is left. Shapes: "b n d" -> "b n"
    both.
    """
    base = whole(piece)
    start, end = piece.kept
    first, second = base.at(start)[0], base.at(end)[0]
    present = (end > start)[:, None]
    to_ends = torch.minimum(
        norm(x[:, :, None] - first[:, None]), norm(x[:, :, None] - second[:, None])
    )
    corner = torch.where(present, to_ends, torch.inf).amin(-1)
    height = _height(base, x)
    with torch.no_grad():
        if base.flat:
            edge = (second - first)[:, None]
            share = ((x[:, :, None] - first[:, None]) * edge).sum(-1) / edge.square().sum(
                -1
            ).clamp_min(torch.finfo(x.dtype).tiny)
            held = ((share >= 0) & (share <= 1) & present).any(-1)
        else:
            foot, normal = _foot(base, x)
            held = (
                piece.keep(foot, normal)
                if isinstance(piece, Clipped)
                else torch.ones_like(corner, dtype=torch.bool)
            )
    return torch.where(held, torch.minimum(height.abs(), corner), corner), torch.where(
        held & (height.abs() <= corner), height, torch.inf
    )


def _height(base: FullBoundary, x: Tensor) -> Tensor:
    """The signed distance from the line or curve that a piece is part of."""
    return -base.carrier(x) if base.height is None else base.height(x)


def _foot(base: FullBoundary, x: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest point of a curve and the normal there."""
    with torch.enable_grad():
        at = x.detach().requires_grad_(True)
        height = _height(base, at)
        (normal,) = torch.autograd.grad(height.sum(), at)
    return x - height.detach()[..., None] * normal, normal


def flux(piece: Piece, origin: Tensor) -> Tensor:
    """The integral of (x - origin) . n over the piece; summed over a boundary, d times what it
    encloses. Shapes: origin "b d" -> "b"."""
    base = whole(piece)

    def moment(points: Tensor, normals: Tensor) -> Tensor:
        return ((points - origin[:, None]) * normals).sum(-1)

    if piece.dim < 3:
        return _integral(piece, moment)
    if base.flat:
        return (
            piece.measure
            * moment(*base.chart(base.measure.new_full((len(base.measure), 1, 2), 0.5)))[:, 0]
        )
    if isinstance(piece, Clipped):
        return base.measure * _across(piece, 0, lambda parameters: moment(*base.chart(parameters)))
    nodes, weights = gauss(NODES, base.measure)
    grid = (
        torch.stack(torch.meshgrid(nodes, nodes, indexing="ij"), -1)
        .reshape(1, -1, 2)
        .expand(len(base.measure), -1, -1)
    )
    return base.measure * (moment(*base.chart(grid)) * (weights[:, None] * weights).flatten()).sum(
        -1
    )


def along(density: Tensor, share: Tensor) -> Tensor:
    """Where in [0, 1] a piecewise linear density, given at equally spaced nodes, has collected a
    share of its integral.

    Shapes: density "b m", share "b n" -> "b n".
    """
    left, right = density[:, :-1], density[:, 1:]
    mass = (left + right) / 2
    collected = mass.cumsum(-1)
    target = share * collected[:, -1:]
    cell = _cell(collected, target)
    start, slope = left.gather(-1, cell), (right - left).gather(-1, cell)
    remaining = (target - (collected - mass).gather(-1, cell)).clamp_min(0)
    inside = 2 * remaining / (start + (start.square() + 2 * slope * remaining).clamp_min(0).sqrt())
    return (cell + inside.clamp(0, 1)) / mass.shape[-1]


def collected(density: Tensor, position: Tensor) -> Tensor:
    """The share of its integral that a piecewise linear density has collected up to a position:
    the inverse of `along`."""
    left, right = density[:, :-1], density[:, 1:]
    mass = (left + right) / 2
    before = mass.cumsum(-1)
    place = position * mass.shape[-1]
    cell = place.detach().floor().long().clamp(0, mass.shape[-1] - 1)
    inside = place - cell
    start, slope = left.gather(-1, cell), (right - left).gather(-1, cell)
    return ((before - mass).gather(-1, cell) + inside * (start + slope * inside / 2)) / before[
        :, -1:
    ]


def tried(accepted: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """Points of the unit cube that are accepted, near-uniform among these where u is uniform: u, or
    u moved along a sequence that fills the torus evenly, the first of 256 places that is accepted;
    u itself where none is. Source: M. Roberts' R2 sequence, 2018.
    """
    golden = u.new_tensor([0.7548776662466927, 0.5698402909980532])
    with torch.no_grad():
        position, found = u, accepted(u)
        for attempt in range(1, 256):
            if bool(found.all()):
                break
            trial = (u + attempt * golden).frac()
            good = accepted(trial) & ~found
            position, found = torch.where(good[..., None], trial, position), found | good
    return position


@lru_cache(maxsize=32)
def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


def gauss(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the Gauss-Legendre rule on [0, 1]."""
    nodes, weights = _rule(count)
    return like.new_tensor(nodes), like.new_tensor(weights)


def _integral(piece: Piece, moment: Callable[[Tensor, Tensor], Tensor] | None) -> Tensor:
    """The integral of a function of points and normals along a curve, or its length. Shapes: ->
    "b"."""
    base = whole(piece)
    start, end = piece.kept
    if moment is None and base.natural is None:
        return base.measure * (end - start).sum(-1)
    nodes, weights = gauss(NODES, base.measure)
    first = torch.arange(base.panels, dtype=nodes.dtype, device=nodes.device)[:, None]
    share, weight = (
        ((first + nodes) / base.panels).flatten(),
        (weights / base.panels).repeat(base.panels),
    )
    t = (start[..., None] + (end - start)[..., None] * share).flatten(1)
    values = base.speed(t) if moment is None else base.speed(t) * moment(*base.at(t))
    return (values * ((end - start)[..., None] * weight).flatten(1)).sum(-1)


def _across(piece: Clipped, which: int, function: Function | None = None) -> Tensor:
    """The mean over the whole base of a function of the parameters, or of 1, on the kept part of
    a surface. Shapes: "b"."""
    return _panels(piece, piece.breaks[:, :-1], piece.breaks[:, 1:], which, function).sum(-1)


def _panels(
    piece: Clipped, low: Tensor, high: Tensor, which: int, function: Function | None = None
) -> Tensor:
    """The same over intervals of the second parameter. Shapes: low, high "b k" -> "b k".

    Between two breaks the length of a line may end like a root at either side: the substitution (3
    s - s^3) / 2, with no slope at its ends, makes it smooth.
    """
    nodes, weights = gauss(ACROSS[which], low)
    s = 2 * nodes - 1
    nodes, weights = ((3 * s - s**3) / 2 + 1) / 2, weights * 1.5 * (1 - s.square())
    width = (high - low)[..., None]
    second, weight = low[..., None] + width * nodes, width * weights
    found = piece.lines(second.flatten(1))
    start, length = found.start, found.end - found.start
    if function is None:
        return (length.sum(-1).view(second.shape) * weight).sum(-1)
    own, own_weights = gauss(NODES, low)
    t = start[..., None] + length[..., None] * own
    values = function(
        torch.stack([t, second.flatten(1)[:, :, None, None].expand_as(t)], -1).flatten(1, 3)
    ).view(t.shape)
    return (((values * own_weights).sum(-1) * length).sum(-1).view(second.shape) * weight).sum(-1)


@torch.no_grad()
def _breaks(piece: Clipped) -> Tensor:
    measure = piece.base.measure
    second = (
        torch.linspace(0, 1, LINES + 1, dtype=measure.dtype, device=measure.device)
        .expand(len(measure), -1)
        .clone()
    )
    second[:, 0], second[:, -1] = 1e-9, 1 - 1e-9
    kind = piece.lines(second).signature
    change = kind[:, 1:] != kind[:, :-1]
    count = int(change.sum(-1).max())
    index = torch.argsort((~change).to(torch.uint8), dim=-1, stable=True)[:, :count]
    real = change.gather(-1, index)
    low, high, at_low = (
        second[:, :-1].gather(-1, index),
        second[:, 1:].gather(-1, index),
        kind[:, :-1].gather(-1, index),
    )
    for _ in range(BISECTIONS if count else 0):
        middle = (low + high) / 2
        same = piece.lines(middle).signature == at_low
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    ends = torch.zeros_like(measure)[:, None]
    found = torch.cat([ends, torch.where(real, (low + high) / 2, 0), ends + 1], -1).sort(-1).values
    return _halved(piece, found)


def _halved(piece: Clipped, breaks: Tensor) -> Tensor:
    """Breaks with others in the middle of panels on which two rules differ: cuts that touch and
    part again change no kind."""
    low, high = breaks[:, :-1], breaks[:, 1:]
    tolerance = max(TOLERANCE, 256 * torch.finfo(breaks.dtype).eps)
    for _ in range(HALVINGS):
        wrong = (
            (_panels(piece, low, high, 0) - _panels(piece, low, high, 1)).abs() > tolerance
        ).any(0)
        if not bool(wrong.any()):
            break
        middle = (low[:, wrong] + high[:, wrong]) / 2
        breaks = torch.cat([breaks, middle], -1)
        low, high = torch.cat([low[:, wrong], middle], -1), torch.cat([middle, high[:, wrong]], -1)
    return breaks.sort(-1).values


def _cell(collected: Tensor, target: Tensor) -> Tensor:
    """The cell in which a running sum passes a target."""
    found = torch.searchsorted(
        collected.detach().contiguous(), target.detach().contiguous(), right=True
    )
    return found.clamp_max(collected.shape[-1] - 1)


def _spread(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Positions that fill the kept stretches evenly."""
    widths = end - start
    total = widths.cumsum(-1)
    target = share * total[:, -1:]
    cell = _cell(total, target)
    return start.gather(-1, cell) + target - (total - widths).gather(-1, cell)


def _tested(piece: Clipped, u: Tensor) -> Tensor:
    """Parameters on a cut surface, near-uniform in the kept part; where that is small, on the
    line with the most of it."""

    def accepted(parameters: Tensor) -> Tensor:
        return piece.keep(*piece.base.chart(parameters))

    position = tried(accepted, u)
    with torch.no_grad():
        lost = ~accepted(position)
        if not bool(lost.any()):
            return position
        edges = piece.breaks
        middles = (edges[:, :-1] + edges[:, 1:]) / 2
        found = piece.lines(middles)
        widest = ((found.end - found.start).sum(-1) * (edges[:, 1:] - edges[:, :-1])).argmax(-1)
        rows = torch.arange(len(widest), device=u.device)
        start, end = found.start[rows, widest], found.end[rows, widest]
        line = middles[rows, widest][:, None].expand_as(u[..., 0])
        return torch.where(
            lost[..., None], torch.stack([_spread(start, end, u[..., 0]), line], -1), position
        )
