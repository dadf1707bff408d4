"""Graded cells along a line, second differences on them, and linear systems in the plane by the
eigenvectors of both directions (R. E. Lynch, J. R. Rice and D. H. Thomas 1964)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from compiler.arrays import Array

STRETCH = 1.6  # of the hyperbolic tangent: the first cell is a seventh of the middle one


class Line(NamedTuple):
    """The cells of one axis. Shapes: ends "n+1"; middles, widths "n"; between (middles of cells)
    and share (of the cell before, in the value at the end between two) "n-1"."""

    ends: Array
    middles: Array
    widths: Array
    between: Array
    share: Array


class Modes(NamedTuple):
    """Second differences A = V diag(values) V^T diag(weights), V^T diag(weights) V = 1."""

    values: Array
    vectors: Array
    weights: Array


def graded(low: float, high: float, cells: int, stretch: float = STRETCH) -> Line:
    """Cells that become smaller towards both ends, by a smooth map, so that central differences
    keep their order."""
    share = np.tanh(stretch * np.linspace(-1, 1, cells + 1)) / math.tanh(stretch)
    ends = low + (high - low) * (1 + share) / 2
    widths = np.diff(ends)
    pairs = widths[1:] + widths[:-1]
    return Line(ends, (ends[1:] + ends[:-1]) / 2, widths, pairs / 2, widths[1:] / pairs)


def at_ends(line: Line) -> Modes:
    """Of values at the inner ends of cells, given at the first and the last end."""
    return _modes(1 / line.widths, line.between)


def at_middles(line: Line) -> Modes:
    """Of values at the middles of cells, given at the first and the last end."""
    gaps = np.concatenate((line.widths[:1] / 2, line.between, line.widths[-1:] / 2))
    return _modes(1 / gaps, line.widths)


def without_flux(line: Line) -> Modes:
    """Of values at the middles of cells, without a flux through the first and the last end."""
    return _modes(np.concatenate(([0.0], 1 / line.between, [0.0])), line.widths)


def _modes(conductance: Array, weights: Array) -> Modes:
    """Of values that stand for widths `weights`, joined to their neighbours, and the outer ones to
    what is given. Shapes: conductance "n+1", weights "n"."""
    stiff = np.diag(conductance[1:-1], 1) + np.diag(conductance[1:-1], -1)
    stiff -= np.diag(conductance[:-1] + conductance[1:])
    return Modes(*eigh(stiff, np.diag(weights)), weights)


def solved(shift: float, factor: float, x: Modes, y: Modes, right: Array) -> Array:
    """u with shift u + factor (A_x u + u A_y^T) = right. Without a shift, and without flux, it is
    the solution of mean zero, where there is one. Shapes: "n m" -> "n m"."""
    spectral = x.vectors.T @ (x.weights[:, None] * right * y.weights) @ y.vectors
    below = shift + factor * (x.values[:, None] + y.values)
    if shift == 0:
        below[-1, -1], spectral[-1, -1] = 1.0, 0.0  # eigenvalues ascend to that of the constant
    return x.vectors @ (spectral / below) @ y.vectors.T
