"""The error that a weak residual causes, by the tangent of the discrete problem: at once, or from
slab to slab of time.

A stationary problem has one slab, z = -C^-1 R. In time, the midpoint rule on slabs of length h (see
`compiler.fem.solvers.time_stepping`): with z_n the error in the middle of slab n and e, v what is
carried to its end (v only where a second time derivative occurs),

    C z_n = H_1 e_(n-1) + H_2 v_(n-1) - R_n,     C = A_0 + 2/h A_1 + 4/h^2 A_2,
    H_1 = 2/h A_1 + 4/h^2 A_2,   H_2 = 2/h A_2,
    k_n = 2/h (z_n - e_(n-1)),   e_n = 2 z_n - e_(n-1),   v_n = 2 k_n - v_(n-1),

with A_m the tangent in the m-th time derivatives. e_0 and v_0 are what the field has wrong at the
start, in value and in rate: 0 where the start is built in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import SuperLU

from compiler.arrays import Array


@dataclass(frozen=True)
class Slab:
    """One slab: the factors of C, and H_1 and H_2, None where there is no time or no second time
    derivative."""

    factors: SuperLU
    first: csr_matrix | None = None
    second: csr_matrix | None = None


@dataclass(frozen=True)
class Slabs:
    """The slabs in order; one object may stand for several. `length` is h, 0 without time."""

    slabs: tuple[Slab, ...]
    length: float = 0.0

    def solve(self, residual: Array, start: Array | None = None) -> Array:
        """z of R, and of e_0 and v_0 in the columns of `start`. Shapes: "n s", "n 2" -> "n s"."""
        found = np.empty_like(residual)
        e, v = np.zeros((2, len(residual))) if start is None else start.T
        for n, slab in enumerate(self.slabs):
            right = -residual[:, n]
            if slab.first is not None:
                right = right + slab.first @ e
            if slab.second is not None:
                right = right + slab.second @ v
            z = slab.factors.solve(right)
            if slab.first is not None:
                v = 4 / self.length * (z - e) - v
                e = 2 * z - e
            found[:, n] = z
        return found

    def transposed(self, weights: Array) -> tuple[Array, Array]:
        """The transpose of `solve`: dL/dR and dL/d(start) of dL/dz. Shapes: "n s" -> "n s", "n
        2"."""
        found = np.empty_like(weights)
        e = v = np.zeros(len(weights))  # dL/de_n and dL/dv_n
        for n, slab in reversed(list(enumerate(self.slabs))):
            z = weights[:, n]
            if slab.first is not None:
                z = z + 2 * e + 4 / self.length * v
            y = slab.factors.solve(z, "T")
            if slab.first is not None:
                e = slab.first.T @ y - e - 4 / self.length * v
                v = -v if slab.second is None else slab.second.T @ y - v
            found[:, n] = -y
        return found, np.stack((e, v), -1)
