"""An operator of the steady flow about sections: a mollified GINO, in and out, in the coordinates
of their O-grids.

It reads where the nodes of a section's grid lie and their distance from the section, as functions
of the place in the grid, and answers with (rho, u, v, p) at such places; a section that moves takes
its grid along, and shocks stay where they are in it. What is learnt is the departure from the mean
of the solved samples. Where the free flow is symmetric the flow about a mirrored section is the
mirrored flow, and the operator is made so by answering for both.

Source: Li et al. 2023 (arXiv 2309.00583); Lin et al. 2025 (arXiv 2504.08277).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from operators.field import OperatorInput
from operators.models.gino import GINO

CHANNELS = 4  # rho, u, v, p
LATENT, MODES = (128, 20), (24, 8)  # nodes and modes round the section, and outwards
READ = 2  # every so many nodes of the grid are read


class SectionOperator(nn.Module):
    """Nodes of the O-grids of sections -> (rho, u, v, p) at nodes. `mean` "j i 4" of the samples
    that it learns from, `middle` "j i 2" that of their nodes, `spread` "4", `size` "", and `unit`
    "2", the spread of their forces.

    Nodes run as in `compiler.finite_volume.grid`, the repeated one left out. Shapes: "b j i 2".
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 32,
        symmetric: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        """shape: rows and columns of nodes."""
        super().__init__()
        rows, around = shape
        self.symmetric = symmetric
        self.net = GINO(
            3,
            CHANNELS,
            2,
            LATENT,
            ((0.0, 0.0), (1.0, 1.0)),
            periodic=(True, False),
            hidden=width,
            modes=MODES,
            layers=4,
            weight="half_cos",
            kernel="polynomial",
            encoder={"weight": "half_cos"},
            generator=generator or torch.Generator().manual_seed(0),
        )
        self.register_buffer("mean", torch.zeros(rows, around, CHANNELS))
        self.register_buffer("middle", torch.zeros(rows, around, 2))
        self.register_buffer("spread", torch.ones(CHANNELS))
        self.register_buffer("size", torch.ones(()))
        self.register_buffer("unit", torch.ones(2))
        self.register_buffer("places", places(rows, around))

    def standardise(self, nodes: Tensor, fields: Tensor) -> None:
        """Takes means and spreads from samples, "s j i 2" and "s j i 4"."""
        if self.symmetric:
            nodes = torch.cat([nodes, mirrored_nodes(nodes)])
            fields = torch.cat([fields, mirrored_fields(fields)])
        self.mean.copy_(fields.mean(0))
        self.middle.copy_(nodes.mean(0))
        self.spread.copy_((fields - fields.mean(0)).std((0, 1, 2)))
        self.size.copy_((nodes - nodes.mean(0)).std())
        self.unit.copy_(forces(nodes, fields[:, 0, :, 3]).std(0))

    def departure(self, nodes: Tensor, at: Tensor) -> Tensor:
        """What the network says, in units of `spread`, at nodes by number. Shapes: "b j i 2", "n"
        -> "b n 4"."""
        moved = (nodes - self.middle) / self.size
        height = (nodes - nodes[:, :1]).square().sum(-1, keepdim=True).add(1e-12).sqrt()
        read = self.places[::READ, ::READ].flatten(0, 1).expand(len(nodes), -1, -1)
        values = torch.cat([moved, height.log() / 4], -1)[:, ::READ, ::READ].flatten(1, 2)
        return self.net(OperatorInput(read, values))(
            self.places.flatten(0, 1)[at].expand(len(nodes), -1, -1)
        )

    def answers(self, nodes: Tensor, at: Tensor) -> tuple[Tensor, ...]:
        """Fields at nodes by number, by the answer for a section, and where the flow is symmetric
        by that for its mirror image. Shapes: "b j i 2", "n" -> "b n 4" each."""
        around = self.places.shape[1]
        found = [self.departure(nodes, at)]
        if self.symmetric:
            opposite = at // around * around + (-(at % around)) % around
            found.append(_turned(self.departure(mirrored_nodes(nodes), opposite)))
        mean = self.mean.flatten(0, 1)[at]
        return tuple(mean + self.spread * each for each in found)

    def forward(self, nodes: Tensor, at: Tensor | None = None) -> Tensor:
        """Fields at nodes by number, at all of them without. Shapes: "b j i 2", "n" -> "b n 4"."""
        at = torch.arange(self.places[..., 0].numel(), device=nodes.device) if at is None else at
        found = self.answers(nodes, at)
        return torch.stack(found).mean(0)

    def misfit(
        self, nodes: Tensor, fields: Tensor, generator: torch.Generator, others: int = 768
    ) -> Tensor:
        """Mean squares to solved samples, mirrored or not, at all nodes of the section and so many
        others, and of the forces, in units of their spreads. Shapes: "b j i 2", "b j i 4" -> ""."""
        rows, around = self.places.shape[:2]
        if self.symmetric and torch.rand((), generator=generator) < 0.5:
            nodes, fields = mirrored_nodes(nodes), mirrored_fields(fields)
        elsewhere = torch.randint(around, around * rows, (others,), generator=generator)
        at = torch.cat([torch.arange(around), elsewhere])
        true = (fields.flatten(1, 2)[:, at] - self.mean.flatten(0, 1)[at]) / self.spread
        gap = self.departure(nodes, at) - true
        missed = forces(nodes, (self.spread * gap)[:, :around, 3]) / self.unit
        return gap.square().mean() + missed.square().mean()


def places(rows: int, around: int) -> Tensor:
    """Where nodes lie in the grid: [0, 1) round the section, [0, 1] outwards. Shapes: "j i 2"."""
    i, j = torch.arange(around) / around, torch.arange(rows) / (rows - 1)
    return torch.stack(torch.meshgrid(j, i, indexing="ij")[::-1], -1)


def mirrored_nodes(nodes: Tensor) -> Tensor:
    """The grids of the mirrored sections, y -> -y. Shapes: "b j i 2"."""
    return _reversed(nodes) * nodes.new_tensor([1.0, -1.0])


def mirrored_fields(fields: Tensor) -> Tensor:
    """Their flows, where the free flow is along x. Shapes: "b j i 4"."""
    return _turned(_reversed(fields))


def _turned(values: Tensor) -> Tensor:
    return values * values.new_tensor([1.0, 1.0, -1.0, 1.0])


def _reversed(values: Tensor) -> Tensor:
    """In the other sense round the section, from the trailing edge. Shapes: "b j i c"."""
    return values.flip(2).roll(1, 2)


def forces(nodes: Tensor, pressure: Tensor) -> Tensor:
    """Drag and lift of the pressure on a section, by the trapezoidal rule, undivided. Shapes: "b j
    i 2", "b i" -> "b 2"."""
    section, beyond = nodes[:, 0], nodes[:, 0].roll(-1, 1)
    mean = (pressure + pressure.roll(-1, 1)) / 2
    x, y = (beyond - section).unbind(-1)  # clockwise: (-y, x) points outwards
    return torch.stack([(mean * y).sum(1), -(mean * x).sum(1)], -1)
