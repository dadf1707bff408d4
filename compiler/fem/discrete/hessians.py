"""Second derivatives of Lagrange bases, straight cells and curved ones, on cells and on facets."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import skfem

from compiler.arrays import Array, IntArray

HALF = 0.5  # step of a central difference, which is exact for the quadratic gradients of cubics


def pairs(axes: int) -> list[tuple[int, int]]:
    """The second derivatives in the order of the jets: xx, xy, yy."""
    return list(itertools.combinations_with_replacement(range(axes), 2))


def hessian(
    element: skfem.Element, mapping: skfem.Mapping, places: Array, number: int, cells: IntArray
) -> Array:
    """The second derivatives of one basis function,

        D^2 phi = F'^-T (D^2 phi^ - sum_m d_m phi D^2 F_m) F'^-1.

    Shapes: places "d q" or "d e q", reference coordinates -> "p e q", p as `pairs`.
    """
    dim = len(places)
    local = differences(lambda x: element.lbasis(x, number)[1], places, places.ndim)  # i j [e] q
    inverse = mapping.invDF(places, tind=cells)  # i k e q
    if local.ndim == 3:
        local = local[:, :, None]
    if not isinstance(mapping, skfem.MappingAffine):
        slopes = element.gbasis(mapping, places, number, tind=cells)[0].grad  # m e q
        bent = differences(lambda x: mapping.DF(x, tind=cells), places, 3)  # m i j e q
        local = local - np.einsum("meq,mijeq->ijeq", slopes, bent)
    whole = np.einsum("ikeq,jleq,ijeq->kleq", inverse, inverse, local + 0 * inverse)
    return np.stack([whole[i, j] for i, j in pairs(dim)])


def differences(function: Callable[[Array], Array], places: Array, axis: int) -> Array:
    """The derivative of a function by reference coordinates, as the axis-th axis from the last."""
    found = []
    for j in range(len(places)):
        step = np.zeros_like(places)
        step[j] = HALF
        ahead, behind = function(places + step), function(places - step)
        found.append((np.asarray(ahead) - np.asarray(behind)) / (2 * HALF))
    return np.stack(found, axis=-axis)
