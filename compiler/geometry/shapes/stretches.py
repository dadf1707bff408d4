"""Lines cut where given functions vanish: the stretches between the cuts, each kept or dropped as a
whole.

Cuts are roots, found to rounding, that carry derivatives in the params. A pair of roots within one
cell is found through the extremum between them. Where a function vanishes along a line there is
nothing to cut: the other functions end the stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
Along = Callable[[Tensor], tuple[Tensor, Tensor]]
Keep = Callable[[Tensor, Tensor], Tensor]

# of a part, by which it is searched short of its ends: there it may touch the next one, as copies
# of a lattice do
EDGE = 1e-9
COINCIDENT = 1e-9  # of the length of a line, below which a function along it counts as zero
# of a stretch, where it is tried: at one point, the middle of a side say, another curve may touch
# it
SHARES = (0.5, 0.382, 0.7236)
STEPS = 24  # of the Illinois rule, of order 1.44: rounding is reached in half of them from any cell


@dataclass(frozen=True)
class Carrier:
    """A smooth function whose zero set cuts lines; `flat`: it is linear. Shapes: points "b n d"
    -> "b n"."""

    function: Function
    flat: bool = False


@dataclass(frozen=True)
class Stretches:
    """Kept stretches of lines, empty where nothing is kept, and per line a number that tells which
    functions end them.

    Shapes: start, end "b l k", signature "b l".
    """

    start: Tensor
    end: Tensor
    signature: Tensor


def stretches(
    along: Along,
    like: Tensor,
    carriers: Sequence[Carrier],
    keep: Keep,
    parts: int,
    cells: int,
    flat: bool,
) -> Stretches:
    """The stretches of lines t -> x(t), 0 <= t <= 1, between the roots of the carriers, on most of
    whose `SHARES` `keep` holds.

    Lines consist of `parts` equal smooth parts, each searched in `cells` cells; `flat` lines are
    straight and run at constant speed. Shapes: along takes t "b l m" to points and normals "b l*m
    d"; like "b l" gives size, dtype and device.
    """
    cells = max(1, cells // parts)
    share = torch.linspace(0, 1, cells + 1, dtype=like.dtype, device=like.device)
    edge = max(EDGE, 4 * torch.finfo(like.dtype).eps)
    share[0], share[-1] = edge, 1 - edge
    first = torch.arange(parts, dtype=like.dtype, device=like.device)[:, None]
    nodes = ((first + share) / parts).expand(*like.shape, parts, cells + 1)
    with torch.no_grad():
        points = along(nodes.flatten(2))[0]
        span = points.amax(1) - points.amin(1)
        rounding = 64 * torch.finfo(like.dtype).eps * points.abs().amax((1, 2))
        scale = torch.stack([COINCIDENT * span.norm(dim=-1) + rounding, rounding])
    borders = (torch.arange(parts + 1, dtype=like.dtype, device=like.device) / parts).expand(
        *like.shape, -1
    )
    edges, marks = [borders], [torch.zeros_like(borders, dtype=torch.long)]
    for number, carrier in enumerate(carriers, 1):
        roots = _roots(along, carrier, nodes, points, scale, flat)
        if roots is not None:
            edges.append(roots)
            marks.append((roots > 0) * number)
    every, order = torch.cat(edges, -1).sort(-1)
    start, end = every[..., :-1], every[..., 1:]
    with torch.no_grad():
        tried = [keep(*along(start + share * (end - start))).view(start.shape) for share in SHARES]
        held = (torch.stack(tried).sum(0) * 2 > len(SHARES)) & (end - start > 1e-13)
    ends = torch.cat(marks, -1).gather(-1, order)
    return Stretches(start, torch.where(held, end, start), _signature(held, ends))


def _signature(held: Tensor, ends: Tensor) -> Tensor:
    """A number made of the marks of the ends of runs of held stretches, in order."""
    padded = torch.nn.functional.pad(held, (1, 1))
    change = (padded[..., 1:] != padded[..., :-1]).long()
    return (change * (ends + 1) * 1_000_003 ** change.cumsum(-1).clamp_max(3)).sum(-1)


def _roots(
    along: Along, carrier: Carrier, nodes: Tensor, points: Tensor, scale: Tensor, flat: bool
) -> Tensor | None:
    """Roots of a carrier along the lines, as many columns as one line has at most; a missing one
    is zero. Shapes: -> "b l k"."""

    def value(t: Tensor) -> Tensor:
        return carrier.function(along(t)[0]).view(t.shape)

    with torch.no_grad():
        if flat and carrier.flat and nodes.shape[-1] > 2:
            nodes = nodes[..., [0, -1]]
            values = value(nodes.flatten(2)).view(nodes.shape)
        else:
            values = carrier.function(points).view(nodes.shape)
        zero, nothing = (values.abs() <= each[:, None, None, None] for each in scale)
        left, right, crossing = (
            nodes[..., :-1],
            nodes[..., 1:],
            (values[..., 1:] > 0) != (values[..., :-1] > 0),
        )
        crossing = crossing & ~(zero[..., 1:] & zero[..., :-1])
        # a line that begins or ends on the carrier does not cross it there
        crossing[..., 0] &= ~nothing[..., 0]
        crossing[..., -1] &= ~nothing[..., -1]
        low, high, real = _packed(crossing.flatten(2), left.flatten(2), right.flatten(2))
        twice = _between(value, nodes, values)
        if twice is not None:
            low, high, real = (
                torch.cat(pair, -1) for pair in zip((low, high, real), twice, strict=True)
            )
    if not bool(real.any()):
        return None
    return torch.where(real, _root(value, low, high, real), 0)


def _packed(mask: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """The marked entries of every row in front, as many columns as one row needs, and which of
    them are real."""
    count = int(mask.sum(-1).max()) if mask.numel() else 0
    if count == 0:
        return (*(column[..., :0] for column in columns), mask[..., :0])
    index = torch.argsort((~mask).to(torch.uint8), dim=-1, stable=True)[..., :count]
    return (*(column.gather(-1, index) for column in columns), mask.gather(-1, index))


def _between(
    value: Function, nodes: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Brackets of two roots on either side of an extremum between nodes of one sign."""
    if nodes.shape[-1] < 3:
        return None
    before, here, after = values[..., :-2], values[..., 1:-1], values[..., 2:]
    bend = after - 2 * here + before
    vertex = here - (after - before).square() / torch.where(bend == 0, 1, 8 * bend)
    lowest = (
        (here.abs() <= before.abs())
        & (here.abs() <= after.abs())
        & (before * here > 0)
        & (after * here > 0)
        & (bend * here > 0)
    )
    left, middle, right, real = _packed(
        (lowest & (vertex * here < 0.5 * here.square())).flatten(2),
        nodes[..., :-2].flatten(2), nodes[..., 1:-1].flatten(2), nodes[..., 2:].flatten(2),
    )  # fmt: skip
    if middle.shape[-1] == 0:
        return None
    sign, step, top = value(middle) > 0, (right - left) / 2, middle
    for _ in range(4):
        low, at, high = value(top - step), value(top), value(top + step)
        bend = high - 2 * at + low
        top = top - (step * (high - low) / torch.where(bend == 0, 1, 2 * bend)).clamp(-step, step)
        top = torch.minimum(torch.maximum(top, left + step * 1e-3), right - step * 1e-3)
        step = step / 8
    found = real & ((value(top) > 0) != sign)
    return torch.cat([left, top], -1), torch.cat([top, right], -1), torch.cat([found, found], -1)


def _root(value: Function, left: Tensor, right: Tensor, crosses: Tensor) -> Tensor:
    """The sign change of a function between two positions, by the Illinois rule, then one Newton
    step that carries the derivatives."""
    with torch.no_grad():
        low, high, at_low, at_high = left, right, value(left), value(right)
        for _ in range(STEPS):
            rise = at_high - at_low
            flat = rise == 0
            middle = torch.where(
                flat, (low + high) / 2, low - at_low * (high - low) / torch.where(flat, 1, rise)
            )
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
