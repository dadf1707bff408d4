"""The periodic solution of w_t + w w_x = nu w_xx by the substitution w = m - 2 nu phi_x / phi.

With the mean m of the initial state w_0 and W(x), the integral of w_0 - m, the function
phi_0 = exp(-W / (2 nu)) is periodic, and in the frame that moves with m it obeys the heat equation:

    phi(x, t) = sum_k c_k exp(i k x - (i k m + nu k^2) t),

c_k the Fourier coefficients of phi_0. There is no step in time, and every derivative of w follows
from those of phi by Leibniz's rule on w phi = m phi - 2 nu phi_x. Source: E. Hopf (1950), The
partial differential equation u_t + u u_x = mu u_xx; J. D. Cole (1951), On a quasi-linear parabolic
equation occurring in aerodynamics.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compiler.arrays import Array

Index = tuple[int, int]  # derivatives along x and t

FEWEST, MOST = 64, 2**14  # nodes of the grid of the initial state
CLEAN = 1e-14  # of its largest, below which the coefficients of the upper quarter count as zero
EPS = float(np.finfo(np.float64).eps)
BLOCK = 2**22  # complex numbers that are held at once


@dataclass(frozen=True, eq=False)
class ColeHopf:
    """w of one initial state. Shapes: waves and coefficients "K", those of k = 0, 1, ..

    `error` bounds what round-off and the coefficients left out change in w at the start, where it
    is largest: phi is divided by, whose smallest value may be far below its largest.
    """

    lower: float
    began: float
    mean: float
    nu: float
    waves: Tensor
    coefficients: Tensor
    error: float

    def __call__(self, points: Tensor) -> Tensor:
        """Shapes: "n 2" -> "n"."""
        return self.derivatives(points, [(0, 0)])[0, 0]

    def derivatives(self, points: Tensor, wanted: Iterable[Index]) -> dict[Index, Tensor]:
        """Derivatives of w of any order, differentiable in the points; NaN before the start.
        Shapes: points "n 2", float64 -> "n" each."""
        indices = list(wanted)
        top = tuple(max(index[axis] for index in indices) for axis in (0, 1))
        block = max(1, BLOCK // len(self.waves))
        parts = [self._block(each, indices, top) for each in points.split(block)]
        return {index: torch.cat([part[index] for part in parts]) for index in indices}

    def _block(self, points: Tensor, indices: list[Index], top: Index) -> dict[Index, Tensor]:
        orders = list(itertools.product(range(top[0] + 2), range(top[1] + 1)))
        phi = self._heat(points, orders)
        found: dict[Index, Tensor] = {}
        for a, b in itertools.product(range(top[0] + 1), range(top[1] + 1)):
            if not any(a <= i and b <= j for i, j in indices):
                continue
            rest = self.mean * phi[a, b] - 2 * self.nu * phi[a + 1, b]
            for i, j in itertools.product(range(a + 1), range(b + 1)):
                if (i, j) != (a, b):
                    rest = rest - math.comb(a, i) * math.comb(b, j) * (
                        found[i, j] * phi[a - i, b - j]
                    )
            found[a, b] = rest / phi[0, 0]
        return found

    def _heat(self, points: Tensor, orders: list[Index]) -> dict[Index, Tensor]:
        """Derivatives of phi. Shapes: "n 2" -> "n" each."""
        x, t = points[:, 0] - self.lower, points[:, 1] - self.began
        t = torch.where(t < 0, torch.nan, t)
        k = self.waves
        rate = torch.complex(-self.nu * k**2, -self.mean * k)
        modes = torch.exp(torch.outer(x, k) * 1j + torch.outer(t, rate))  # n K
        twice = torch.where(k == 0, 1.0, 2.0) * self.coefficients
        factors = torch.stack([twice * (1j * k) ** a * rate**b for a, b in orders], 1)  # K m
        values = (modes @ factors).real
        return dict(zip(orders, values.unbind(1), strict=True))


def cole_hopf(
    state: Callable[[Array], Array], interval: tuple[float, float], began: float, nu: float
) -> ColeHopf | str:
    """The solution that begins as `state` at the time `began`, on a grid that is doubled until it
    holds the initial state and phi; or why there is none to full accuracy.

    Shapes: state "n" -> "n".
    """
    lower, length = interval[0], interval[1] - interval[0]
    count = FEWEST
    while count <= MOST:
        values = state(lower + length * np.arange(count) / count)
        if not np.isfinite(values).all():
            return "its initial state is not finite"
        mean, integral, clean = _integral(values, length)
        phi = np.exp(-(integral - integral.min()) / (2 * nu))
        spectrum = np.fft.rfft(phi) / count
        if clean and np.abs(spectrum[3 * count // 8 :]).max() <= CLEAN * np.abs(spectrum).max():
            return _made(lower, began, float(mean), nu, length, phi, spectrum)
        count *= 2
    return f"{MOST} nodes do not hold its initial state, which has a jump, a kink or thinner layers"


def _integral(values: Array, length: float) -> tuple[float, Array, bool]:
    """The mean of a state, the integral of what deviates from it, and whether the grid holds it.
    Shapes: "n" -> "", "n"."""
    count = len(values)
    spectrum = np.fft.rfft(values)
    size = np.abs(spectrum)
    waves = 2 * np.pi * np.arange(len(spectrum)) / length
    mean = float(spectrum[0].real) / count
    integrated = np.zeros_like(spectrum)
    integrated[1:] = spectrum[1:] / (1j * waves[1:])
    clean = size[3 * count // 8 :].max() <= CLEAN * max(size.max(), np.finfo(float).tiny)
    return mean, np.fft.irfft(integrated, count), bool(clean)


def _made(
    lower: float,
    began: float,
    mean: float,
    nu: float,
    length: float,
    phi: Array,
    spectrum: NDArray[np.complex128],
) -> ColeHopf:
    waves = 2 * np.pi * np.arange(len(spectrum)) / length
    size = np.abs(spectrum)
    kept = int(np.flatnonzero(size > EPS * size.max()).max()) + 1
    # a fast transform is off by some eps of the largest coefficient, and
    # |w - w_h| <= 2 nu (|phi_x - (phi_h)_x| + |phi_x / phi| |phi - phi_h|) / min phi
    slope = 2 * float((waves[:kept] * size[:kept]).sum())
    lost = 8 * EPS * (slope + waves[kept - 1] * size.max()) + 2 * float((waves * size)[kept:].sum())
    least = float(phi.min())
    error = 2 * nu * lost / least if least > 0 else np.inf
    return ColeHopf(
        lower,
        began,
        mean,
        nu,
        torch.from_numpy(waves[:kept]),
        torch.from_numpy(spectrum[:kept]),
        error,
    )
