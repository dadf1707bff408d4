"""Sparse LU factorisations as functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix
from scipy.sparse.linalg import splu

from compiler.arrays import Array
from compiler.fem.errors import Singular

Inverse = Callable[[Array], Array]
ROUNDING = 1e-13  # of a pivot, against the diagonal entry it began as


@dataclass(frozen=True)
class Linearised:
    """Equations about a state: the tangent, and the inverse of the reduced one."""

    tangent: csr_matrix
    inverse: Inverse


def lu(matrix: csc_matrix) -> Inverse:
    """Sparse LU as a function; by full pivoting where pivots near the diagonal give no digits.

    Raises: Singular, also from that function, when the matrix is singular to working precision.
    """
    return checked(matrix, attempt(matrix, 0.1))


def checked(matrix: csc_matrix, inverse: Inverse) -> Inverse:
    """An inverse whose residual is looked at, replaced by that with full pivoting where it has no
    digits."""

    def solved(right: Array) -> Array:
        nonlocal inverse
        for last in (False, True):
            solution = inverse(right)
            residual = np.linalg.norm(matrix @ solution - right)
            if residual <= 1e-6 * np.linalg.norm(right):
                return solution
            if not last:
                inverse = attempt(matrix, 1.0)
        raise Singular

    return solved


def symmetric_lu(matrix: csc_matrix) -> tuple[Inverse, int]:
    """The inverse of a symmetric matrix and the number of its negative eigenvalues, which are the
    negative pivots of an LU factorisation without row exchange (Sylvester).

    Raises: Singular where elimination leaves nothing of a pivot but rounding, whose sign says
    nothing; also from the inverse.
    """
    try:
        factors = splu(
            matrix,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError as failure:
        raise Singular from failure
    pivots = factors.U.diagonal()
    if np.any(np.abs(pivots[factors.perm_c]) <= ROUNDING * np.abs(matrix.diagonal())):
        raise Singular
    return checked(matrix, factors.solve), int(np.count_nonzero(pivots < 0))


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
