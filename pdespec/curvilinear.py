"""Problems with an axis or a centre: `space r, z axisymmetric`, `space r spherical`. Fields do not
depend on the angles left out.

The first coordinate is the distance r from the axis (or centre). Vectors have components along the
coordinates alone (no swirl). Tensors have one more row and column for each angle: 3 by 3 over (r,
z, hoop), whose hoop entry of `grad(v)` is v_r / r. Integrals are over the whole body: their measure
is 2 pi r dr dz, or 4 pi r^2 dr. With k = 1 (axisymmetric) or 2 (spherical) angles,

    div v    = r^-k d_r(r^k v_r) + d_z v_z
    (div T)_r = r^-k d_r(r^k T_rr) + d_z T_rz - (sum of the hoop entries) / r
    (lap v)_r = lap(v_r) - k v_r / r^2

Source: G. K. Batchelor, An Introduction to Fluid Dynamics (1967), appendix 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

SYSTEMS = {"axisymmetric": 1, "spherical": 2}
"""Number of angles left out."""

DIMENSIONS = {"axisymmetric": (1, 2), "spherical": (1,)}
"""How many coordinates a system has."""


def angles(frame: Sequence[Any]) -> int:
    """How many angles the coordinates leave out; 0 for Cartesian ones."""
    return SYSTEMS.get(frame[0].system, 0) if frame else 0


def power(frame: Sequence[Any]) -> Any:
    """r^k, what an element of area is multiplied by, without the constant."""
    return frame[0] ** angles(frame) if angles(frame) else sp.S.One


def measure(frame: Sequence[Any]) -> Any:
    """2 pi r or 4 pi r^2; 1 for Cartesian coordinates."""
    return {0: sp.S.One, 1: 2 * sp.pi, 2: 4 * sp.pi}[angles(frame)] * power(frame)


def divided(expression: Any, frame: Sequence[Any]) -> Any:
    """A density without the measure in it, term by term."""
    return (
        sp.Add(*(term / measure(frame) for term in sp.Add.make_args(expression)))
        if angles(frame)
        else expression
    )


def hooped(tensor: Any, frame: Sequence[Any], hoops: Sequence[Any] = ()) -> Any:
    """A tensor over the coordinates with a row and a column more for each angle."""
    size = len(frame) + angles(frame)
    if tensor.shape == (size, size):
        return tensor
    full = sp.zeros(size, size)
    full[: len(frame), : len(frame)] = tensor
    for k, hoop in enumerate(hoops):
        full[len(frame) + k, len(frame) + k] = hoop
    return sp.ImmutableMatrix(full)
