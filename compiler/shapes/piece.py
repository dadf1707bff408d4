"""Parts of a boundary: parametrised uniformly in arc length or area, measured, and cut where another shape covers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import sympy as sp
import torch
from torch import Tensor

from compiler.shapes.blend import both, trimmed
from pdespec.geometry import Shape

Chart = Callable[[Tensor], tuple[Tensor, Tensor]]
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Whole:
    """A part of the boundary of a single shape.

    `carrier` is smooth, vanishes on the piece with slope 1 and is positive on the side of the body; where it also vanishes elsewhere,
    `trim` is positive on the piece and negative there. `plane` is (axis, value) where the piece lies in the plane on which one coordinate
    has that declared value; `owners` are the shapes whose boundary it comes from, innermost first; `hole` says that it bounds what a
    difference takes away. `cells` is the number of equal parts of the parameter in which ends of cuts are searched.
    Shapes: measure "b"; chart takes parameters "b n k" in [0, 1), k = max(1, d - 1), uniform in measure, to points and outward unit normals
    "b n d" both; carrier and trim take points "b n d" to "b n".
    """

    dim: int
    measure: Tensor
    chart: Chart
    carrier: Function
    owners: tuple[Shape, ...]
    plane: tuple[int, sp.Expr] | None = None
    trim: Function | None = None
    hole: bool = False
    cells: int = 256

    @property
    def kept(self) -> tuple[Tensor, Tensor]:
        """Start and end of the stretch of every cell that belongs to the piece: all of it. Shapes: "b m" both."""
        if self.dim == 3:
            share = self.measure.new_full((len(self.measure), _SIDE**2), _SIDE**-2)
            return torch.zeros_like(share), share
        edges = torch.linspace(0, 1, self.cells + 1, dtype=self.measure.dtype, device=self.measure.device).expand(len(self.measure), -1)
        return edges[:, :-1], edges[:, 1:]


@dataclass(frozen=True)
class Cut:
    """The part of `base` where `keep(points, normals)`, a function like a signed distance, is positive; `uncovered` is a smooth `keep`.

    In the plane the ends of the kept stretches are roots, found to rounding in every cell whose ends differ in sign (a stretch shorter than
    a cell is missed), and carry exact derivatives in the params. In space a cell of the base counts by the share that the linearised `keep`
    gives it (second order in the cell), and points are kept by test.
    """

    base: Whole
    keep: Callable[[Tensor, Tensor], Tensor]
    uncovered: Function
    owners: tuple[Shape, ...]
    hole: bool

    @property
    def dim(self) -> int:
        return self.base.dim

    @property
    def plane(self) -> tuple[int, sp.Expr] | None:
        return self.base.plane

    @property
    def carrier(self) -> Function:
        return self.base.carrier

    @property
    def trim(self) -> Function:
        first = self.base.trim
        return self.uncovered if first is None else lambda x: both(first(x), self.uncovered(x))

    @cached_property
    def kept(self) -> tuple[Tensor, Tensor]:
        """Start and end of the kept stretch in every cell of the base. Shapes: "b m" both."""
        return _shares(self) if self.dim == 3 else _stretches(self)

    @cached_property
    def measure(self) -> Tensor:
        start, end = self.kept
        return self.base.measure * (end - start).sum(-1)

    def chart(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return self.base.chart(_tested(self, u) if self.dim == 3 else _spread(*self.kept, u[..., 0])[..., None])


Piece = Whole | Cut


def cut(piece: Piece, keep: Callable[[Tensor, Tensor], Tensor], uncovered: Function, owner: Shape, hole: bool = False) -> Cut:
    """The part of a piece where `keep` is positive, as a piece of the boundary of `owner`; a `hole` is turned, to bound what is left."""
    if isinstance(piece, Cut):
        first, smooth = piece.keep, piece.uncovered
        turn = -1 if hole else 1
        return Cut(
            turned(piece.base) if hole else piece.base,
            lambda x, n: torch.minimum(first(x, turn * n), keep(x, n)),
            lambda x: both(smooth(x), uncovered(x)),
            (*piece.owners, owner),
            piece.hole != hole,
        )
    return Cut(turned(piece) if hole else piece, keep, uncovered, (*piece.owners, owner), piece.hole != hole)


def owned(piece: Piece, owner: Shape, hole: bool = False) -> Piece:
    """A whole piece as a piece of the boundary of `owner`; a `hole` is turned."""
    if isinstance(piece, Cut):
        return cut(piece, lambda x, n: torch.full_like(x[..., 0], torch.inf), lambda x: torch.ones_like(x[..., 0]), owner, hole)
    return replace(turned(piece) if hole else piece, owners=(*piece.owners, owner), hole=piece.hole != hole)


def turned(piece: Whole) -> Whole:
    """The piece seen from its other side."""

    def chart(u: Tensor) -> tuple[Tensor, Tensor]:
        points, normals = piece.chart(u)
        return points, -normals

    return replace(piece, chart=chart, carrier=lambda x: -piece.carrier(x))


def zero(piece: Piece, x: Tensor) -> Tensor:
    """A smooth function that vanishes on the piece alone, positive around it, of slope 1 there. Shapes: "b n d" -> "b n"."""
    if piece.trim is None:
        return piece.carrier(x)
    whole = piece.base if isinstance(piece, Cut) else piece
    return trimmed(piece.carrier(x), piece.trim(x), whole.measure[:, None] ** (1 / max(1, whole.dim - 1)))


def flux(piece: Piece, origin: Tensor) -> Tensor:
    """The integral of (x - origin) . n over the piece; summed over a boundary, d times what it encloses. Shapes: origin "b d" -> "b"."""
    base = piece.base if isinstance(piece, Cut) else piece
    start, end = piece.kept

    def moment(parameters: Tensor) -> Tensor:
        points, normals = base.chart(parameters)
        return ((points - origin[:, None]) * normals).sum(-1)

    if piece.dim == 3:
        return base.measure * (moment(_centres(base)) * end).sum(-1)
    return base.measure * sum(w * (moment((start + p * (end - start))[..., None]) * (end - start)).sum(-1) for p, w in _GAUSS)


def along(density: Tensor, share: Tensor) -> Tensor:
    """Where in [0, 1] a piecewise linear density, given at equally spaced nodes, has collected a share of its integral.

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


_GAUSS = ((0.5 - 15**0.5 / 10, 5 / 18), (0.5, 8 / 18), (0.5 + 15**0.5 / 10, 5 / 18))  # three-point Gauss-Legendre rule on [0, 1]
_SIDE = 64  # cells along each parameter of a surface
_ILLINOIS = 12  # steps of order 1.44: enough for rounding from any cell, mostly half of them


def _cell(collected: Tensor, target: Tensor) -> Tensor:
    """The cell in which a running sum passes a target."""
    found = torch.searchsorted(collected.detach().contiguous(), target.detach().contiguous(), right=True)
    return found.clamp_max(collected.shape[-1] - 1)


def _spread(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Positions that fill the kept stretches evenly."""
    widths = end - start
    collected = widths.cumsum(-1)
    target = share * collected[:, -1:]
    cell = _cell(collected, target)
    return start.gather(-1, cell) + target - (collected - widths).gather(-1, cell)


def _stretches(piece: Cut) -> tuple[Tensor, Tensor]:
    """The kept stretch of every cell of a curve."""

    def value(position: Tensor) -> Tensor:
        return piece.keep(*piece.base.chart(position[..., None]))

    left, right = piece.base.kept
    margin = 1e-9 * (right - left)  # at its ends a cell may touch another curve: the next copy of a lattice
    with torch.no_grad():
        first, last = value(left + margin), value(right - margin)
    start = torch.where(first > 0, left, right)
    end = torch.where((first > 0) & (last <= 0), left, right)
    crossing = (first > 0) != (last > 0)
    count = int(crossing.sum(-1).max())
    if count == 0:
        return start, end
    cell = torch.argsort(~crossing, dim=-1, stable=True)[:, :count]
    crosses, leaving = crossing.gather(-1, cell), first.gather(-1, cell) > 0
    root = _root(value, (left + margin).gather(-1, cell), (right - margin).gather(-1, cell), crosses)
    start = start.scatter(-1, cell, torch.where(crosses & ~leaving, root, start.gather(-1, cell)))
    end = end.scatter(-1, cell, torch.where(crosses & leaving, root, end.gather(-1, cell)))
    return start, end


def _root(value: Function, left: Tensor, right: Tensor, crosses: Tensor) -> Tensor:
    """The sign change of a function between two positions, by the Illinois rule, then one Newton step that carries the derivatives."""
    with torch.no_grad():
        low, high, at_low, at_high = left, right, value(left), value(right)
        for _ in range(_ILLINOIS):
            rise = at_high - at_low
            flat = rise == 0
            middle = torch.where(flat, (low + high) / 2, low - at_low * (high - low) / torch.where(flat, 1, rise))
            middle = torch.minimum(torch.maximum(middle, left), right)
            still = (middle - high).abs() <= torch.finfo(middle.dtype).eps
            if bool((still | ~crosses).all()):
                break
            at_middle = value(middle)
            same = (at_middle > 0) == (at_high > 0)
            low, at_low = torch.where(same, low, high), torch.where(same, at_low / 2, at_high)
            high, at_high = middle, at_middle
        root = torch.where(crosses, high, (left + right) / 2)
        step = (right - left) * 1e-4
        before, after = torch.maximum(root - step, left), torch.minimum(root + step, right)
        slope = (value(after) - value(before)) / (after - before)
        flat = slope == 0
    correction = (value(root) / torch.where(flat, 1, slope)).clamp(-step, step)
    return root - torch.where(flat, 0, correction)


def _centres(base: Whole) -> Tensor:
    """Centres of the cells of a surface. Shapes: "b m 2"."""
    middles = (torch.arange(_SIDE, dtype=base.measure.dtype, device=base.measure.device) + 0.5) / _SIDE
    grid = torch.stack(torch.meshgrid(middles, middles, indexing="ij"), -1).reshape(1, -1, 2)
    return grid.expand(len(base.measure), -1, -1)


def _shares(piece: Cut) -> tuple[Tensor, Tensor]:
    """The kept share of every cell of a surface, as a stretch that starts at zero."""
    width = (piece.base.measure.detach().sqrt() / _SIDE)[:, None]
    share = (0.5 + piece.keep(*piece.base.chart(_centres(piece.base))) / width).clamp(0, 1) / _SIDE**2
    return torch.zeros_like(share), share


def _tested(piece: Cut, u: Tensor) -> Tensor:
    """Parameters on a cut surface: a cell whose centre is kept, then a place in it that is kept, else its centre."""
    centres = _centres(piece.base)
    with torch.no_grad():
        collected = (piece.keep(*piece.base.chart(centres)) > 0).to(u.dtype).cumsum(-1)
        target = u[..., 0] * collected[:, -1:]
        middle = centres.gather(1, _cell(collected, target)[..., None].expand(-1, -1, 2))
        offset, position = torch.stack([target.frac(), u[..., 1]], -1), middle
        found = torch.zeros(u.shape[:2], dtype=torch.bool, device=u.device)
        golden = u.new_tensor([0.7548776662466927, 0.5698402909980532])  # R2 sequence, Roberts 2018
        for attempt in range(8):
            trial = middle + ((offset + attempt * golden).frac() - 0.5) / _SIDE
            good = piece.keep(*piece.base.chart(trial)) > 0
            position = torch.where((good & ~found)[..., None], trial, position)
            found = found | good
    return position
