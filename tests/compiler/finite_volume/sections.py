"""Problems and sections that several tests take."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import torch

import compiler
import pdespec
from compiler.geometry.shapes.piece import whole

TEXT = (Path(__file__).parents[3] / "examples" / "airfoil_euler.pde").read_text()


@cache
def flow_at(mach: float = 0.8, degrees: float = 0.0, radius: float = 40):
    """The example at another Mach number, angle of attack and distance of the far field."""
    angle = math.radians(degrees)
    text = TEXT.replace("M = 0.8", f"M = {mach}").replace("radius = 40", f"radius = {radius}")
    return pdespec.parse(
        text.replace(
            "[M*sqrt(gamma), 0]", f"[M*sqrt(gamma)*cos({angle!r}), M*sqrt(gamma)*sin({angle!r})]"
        )
    )


def batch_of(problem, displacement=None):
    """One sample; NACA 0012 itself without a displacement."""
    d = torch.zeros(1, 7) if displacement is None else torch.as_tensor(displacement)[None]
    return compiler.instance(problem, {"d": d}, dtype=torch.float64)


def chart_of(problem, batch):
    """The section as a function of shares of its length, "n" -> "n 2"."""
    (piece,) = batch.geometry["Omega"].pieces(problem.boundaries["foil"])

    def chart(shares: np.ndarray) -> np.ndarray:
        return whole(piece).chart(torch.from_numpy(shares)[None, :, None])[0][0].numpy()

    return chart


def polar(cells: int, outermost: float = 30.0) -> np.ndarray:
    """Nodes of a grid about the unit circle, clockwise, of cells as high as wide."""
    angle = np.linspace(0, -2 * np.pi, cells + 1)
    radius = np.exp(np.linspace(0, np.log(outermost), cells // 2 + 1))[:, None]
    nodes = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    nodes[:, -1] = nodes[:, 0]
    return nodes
