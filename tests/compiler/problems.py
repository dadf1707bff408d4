"""Problems in Python form whose stream counts and residuals are known by hand, and closed-form
fields to hold them against."""

from __future__ import annotations

import math

import sympy as sp
import torch
from torch import Tensor

from pdespec import (
    Problem,
    advect,
    boundary,
    const,
    div,
    dt,
    fourier,
    gaussians,
    grad,
    input_function,
    interval,
    lap,
    on,
    param,
    rectangle,
    space,
    uniform,
    unknown,
)
from pdespec import time as time_axis


def poisson() -> Problem:
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    u, f = unknown("u", omega), input_function("f", omega, gaussians(count=2))
    g = input_function("g", boundary(omega), fourier(modes=2, amplitude=0.25))
    return Problem(
        "poisson",
        {"balance": sp.Eq(div((1 + u**2 / 10) * grad(u)), f)},
        [on(boundary(omega), sp.Eq(u, g))],
    )


def navier_stokes() -> Problem:
    x, y = space("x y")
    t = time_axis("t", 0, 1)
    omega = rectangle(x, y, (0, 0), (1, 1))
    v, p = unknown("v", omega, "vector", time=t), unknown("p", omega, time=t)
    re = param("Re", uniform(100, 500))
    momentum = dt(v) + advect(v, v) + grad(p) - lap(v) / re
    return Problem("navier_stokes", {"momentum": momentum, "continuity": div(v)})


def korteweg_de_vries() -> Problem:
    (x,) = space("x")
    t = time_axis("t", 0, 1)
    omega = interval(x, 0, 1)
    u = unknown("u", omega, time=t)
    return Problem("kdv", {"wave": dt(u) + 6 * u * sp.Derivative(u, x) + sp.Derivative(u, (x, 3))})


def biharmonic() -> Problem:
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    u = unknown("u", omega)
    stiffness = const("D", 2)
    return Problem("plate", {"bending": sp.Eq(stiffness * lap(lap(u)), 1)})


def monge_ampere() -> Problem:
    x, y = space("x y")
    u = unknown("u", rectangle(x, y, (0, 0), (1, 1)))
    hessian = sp.Derivative(u, (x, 2)) * sp.Derivative(u, (y, 2)) - sp.Derivative(u, x, y) ** 2
    return Problem("monge_ampere", {"curvature": sp.Eq(hessian, 1)})


def transport() -> Problem:
    x, y = space("x y")
    u = unknown("u", rectangle(x, y, (0, 0), (1, 1)))
    return Problem("transport", {"flow": sp.Derivative(u, x) + 2 * sp.Derivative(u, y)})


WAVES = """
problem waves
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
boundary left = side(Q, x = 0), right = side(Q, x = 1), flat = rest(Q)
unknown  u : scalar on Q
f := (2*pi^2 + 1)*sin(pi*x)*cos(pi*y) + sin(pi*x)^3*cos(pi*y)^3
in Q: -lap(u) + u + u^3 = f
on left: u = 0
on right: u = 0
on flat: dot(grad(u), n) = 0
"""


def waves(points: Tensor) -> Tensor:
    """The solution of WAVES. Shapes: "b n 2" -> "b n 1"."""
    x, y = points.unbind(-1)
    return ((math.pi * x).sin() * (math.pi * y).cos())[..., None]


def seed(number: int = 0) -> torch.Generator:
    """The generator of a batch."""
    return torch.Generator().manual_seed(number)
