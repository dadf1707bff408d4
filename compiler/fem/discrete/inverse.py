"""Sparse LU factorisations as functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

from compiler.fem.errors import Singular

Array = NDArray[np.float64]
Inverse = Callable[[Array], Array]


def lu(matrix: csc_matrix) -> Inverse:
    """Sparse LU as a function; by full pivoting where pivots near the diagonal give no digits.

    Raises: Singular, also from that function, when the matrix is singular to working precision.
    """
    inverse = attempt(matrix, 0.1)

    def checked(right: Array) -> Array:
        nonlocal inverse
        for last in (False, True):
            solution = inverse(right)
            residual = np.linalg.norm(matrix @ solution - right)
            if residual <= 1e-6 * np.linalg.norm(right):
                return solution
            if not last:
                inverse = attempt(matrix, 1.0)
        raise Singular

    return checked


def attempt(matrix: csc_matrix, pivoting: float) -> Inverse:
    """LU with a pivot threshold.

    Minimum degree on A' + A gives half the fill of COLAMD for definite matrices, and several times
    as much for saddle points, whose zero diagonal forces pivots off it (measured on the pores and
    the cavity of `examples/`).
    """
    saddle = np.any(matrix.diagonal() == 0)
    try:
        return splu(
            matrix, permc_spec="COLAMD" if saddle else "MMD_AT_PLUS_A", diag_pivot_thresh=pivoting
        ).solve
    except RuntimeError as failure:
        raise Singular from failure
