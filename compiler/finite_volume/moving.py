"""Grids that move with their section: nodes as a differentiable function of its displacements.

Their Jacobian is taken by central differences of the conformal map, which is smooth: right to about
1e-6. The grids of all differences are made together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from compiler.arrays import Array
from compiler.fem.errors import NoConvergence
from compiler.finite_volume.flow import flow
from compiler.finite_volume.grid import NoGrid, clustered, finished, mapped
from compiler.finite_volume.solve import AROUND, OUTWARDS, SHARES, reach
from compiler.geometry.domain import Geometry
from pdespec.statements.problem import Problem

STEP = 1e-4  # of a displacement


@dataclass(frozen=True)
class Grids:
    """The O-grids of a problem's sections as a function of the one param that they are drawn by:
    `grids(d)`, "b k" -> "b rows i 2" in float64, the repeated node left out; differentiable."""

    problem: Problem
    resolution: int
    rows: int | None = None

    def __call__(self, d: Tensor) -> Tensor:
        return _Moved.apply(d, self)

    def nodes(self, d: Tensor) -> Tensor:
        """The same without a graph. Raises: NoConvergence where a section is bent too much."""
        declared, (name,) = flow(self.problem), self.problem.params
        values = d.detach().to(torch.float64)
        geometry = Geometry(declared.domain, {name: values}, len(values), torch.float64)
        (piece,) = geometry.pieces(declared.section)
        low, high = (each.numpy() for each in geometry.box())

        def chart(shares: Array) -> Array:  # "b n" -> "b n 2"
            return piece.chart(torch.from_numpy(shares)[..., None])[0].numpy()

        count, size = len(values), self.resolution
        wide = (count, 1)
        sections = chart(np.tile(SHARES, wide))
        contours = chart(np.tile(clustered(), wide))
        made = []
        for section, contour in zip(sections, contours, strict=True):
            far = reach(section, low, high)
            try:
                made.append(mapped(contour, AROUND * size, OUTWARDS * size, far, self.rows))
            except NoGrid as reason:
                raise NoConvergence(f"sample {len(made)}: {reason}") from None
        own = chart(np.stack([shares for _, shares in made]))
        grids = [finished(*each, row).nodes for each, row in zip(made, own, strict=True)]
        return torch.from_numpy(np.stack(grids)[:, :, :-1])


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(context, d: Tensor, grids: Grids) -> Tensor:
        context.save_for_backward(d)
        context.grids = grids
        return grids.nodes(d)

    @staticmethod
    def backward(context, slope: Tensor) -> tuple[Tensor, None]:
        (d,) = context.saved_tensors
        count = d.shape[1]
        steps = STEP * torch.eye(count, dtype=torch.float64)
        rows = []
        for each, own in zip(d.to(torch.float64), slope, strict=True):
            ends = context.grids.nodes(torch.cat([each + steps, each - steps]))
            change = (ends[:count] - ends[count:]) / (2 * STEP)
            rows.append((change * own).flatten(1).sum(1))
        return torch.stack(rows).to(d), None


def heights(nodes: Tensor, at: Sequence[float]) -> Tensor:
    """y of the lower and of the upper surface of sections at places of x, linearly between nodes.
    Shapes: nodes "b j i 2" -> "b 2 n"."""
    found = []
    for section in nodes[:, 0]:
        nose = int(section[:, 0].argmin())  # nodes run clockwise from the edge: below first
        below = section[: nose + 1].flip(0)
        above = torch.cat([section[nose:], section[:1]])
        found.append(torch.stack([_height(side, at) for side in (below, above)]))
    return torch.stack(found)


def _height(side: Tensor, at: Sequence[float]) -> Tensor:
    """y of a surface from the nose to the edge at places of x. Shapes: "n 2" -> "m"."""
    x, y = (each.contiguous() for each in side.unbind(-1))
    place = torch.as_tensor(at, dtype=x.dtype)
    k = torch.searchsorted(x.detach(), place).clamp(1, len(x) - 1)
    share = (place - x[k - 1]) / (x[k] - x[k - 1])
    return y[k - 1] + share * (y[k] - y[k - 1])
