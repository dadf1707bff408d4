"""What is built into an operator for the lid-driven cavity: the speeds of the walls, with the jumps
in both corners of the lid as they are in the flow, and rest at the start.

Near a corner the flow is that of Stokes between a wall that slides along itself and one at rest
(G. I. Taylor 1962; G. K. Batchelor, An Introduction to Fluid Dynamics, section 4.8). With r and
theta from the lid, psi = r f(theta),

    f = A sin(theta) + C theta sin(theta) + D theta cos(theta),

f(0) = 0, f'(0) = 1, f(pi/2) = f'(pi/2) = 0. With F = r f/(1 - y) from each corner the lift has the
stream function -(1 - y) F_left F_right G(y, t): without divergence, right on all walls, and that of
Stokes in both corners. G falls off over the thickness of the layer under the lid.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from operators import OperatorInput
from operators.field import Ansatz

D = 1 / (1 - math.pi**2 / 4)
A, C = 1 - D, D * math.pi / 2
LEAST = 1e-5  # distance from the lid, below which the lift is as there
REACH = 0.15  # of the pressure of the corners
THICKNESS = 0.1  # of the layer at last
FIRST = 0.01  # and at the start
WALL = 0.1  # over which the factor grows from a wall
RISE = 0.5  # and in time from rest


def corner(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """psi, its derivatives along the lid (less its sign) and away from it, and r p/nu, at distances
    x from the corner along the lid and y from the lid."""
    r, angle = torch.sqrt(x * x + y * y), torch.atan2(y, x)
    s, c = y / r, x / r
    f = A * s + C * angle * s + D * angle * c
    slope = A * c + C * (s + angle * c) + D * (c - angle * s)
    return r * f, slope * s - f * c, slope * c + f * s, 2 * C * s + 2 * D * c


def lift(x: Tensor, y: Tensor, t: Tensor, nu: float) -> Tensor:
    """(u, v, p). Shapes: "b n" each -> "b n 3"."""
    below = (1 - y).clamp_min(LEAST)
    left, across_left, along_left, push_left = corner(x.clamp_min(LEAST), below)
    right, across_right, along_right, push_right = corner((1 - x).clamp_min(LEAST), below)
    thickness = torch.sqrt(FIRST**2 + THICKNESS**2 * t / (t + THICKNESS**2 / (4 * nu)))
    fall, bottom = torch.exp(-below / thickness), y * y * (3 - 2 * y)
    profile, steepness = fall * bottom, fall * (bottom / thickness + 6 * y * (1 - y))
    shares = left / below, right / below
    u = (along_left * shares[1] + shares[0] * (along_right - shares[1])) * profile
    u = u - left * shares[1] * steepness
    v = (shares[0] * across_right - across_left * shares[1]) * profile
    p = torch.zeros_like(u)
    for sign, along, push in ((1, x, push_left), (-1, 1 - x, push_right)):
        square = along * along + below * below
        p = p + sign * nu * push * torch.exp(-square / REACH**2) / torch.sqrt(square + 1e-6)
    return torch.stack((u, v, p), -1)


def factor(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """Zero at walls and at the start for the velocity, 1 for the pressure. Shapes: "b n" each -> "b
    n 3"."""
    walls = (1 - torch.exp(-each / WALL) for each in (x, 1 - x, y, 1 - y))
    of_velocity = torch.stack(list(walls)).prod(0) * t / (t + RISE)
    return torch.stack((of_velocity, of_velocity, torch.ones_like(x)), -1)


def physical(points: Tensor, stretch: float) -> tuple[Tensor, Tensor, Tensor]:
    """x, y, t of points (X, Y, s). Shapes: "b n 3" -> "b n" each."""
    first, second, s = points.unbind(-1)
    x, y = (
        (1 + torch.tanh(stretch * (2 * each - 1)) / math.tanh(stretch)) / 2
        for each in (first, second)
    )
    return x, y, 10 * s * s


class Lidded(nn.Module):
    """An operator of stretched coordinates whose field is `lift + factor N`."""

    def __init__(self, operator: nn.Module, stretch: float, nu: float) -> None:
        super().__init__()
        self.operator = operator
        self.ansatz = Ansatz(
            lambda points: lift(*physical(points, stretch), nu),
            lambda points: factor(*physical(points, stretch)),
        )

    def forward(self, inputs: OperatorInput):
        return self.operator(replace(inputs, ansatz=self.ansatz))
