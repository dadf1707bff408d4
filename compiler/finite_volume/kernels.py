"""Fluxes and dissipation on one grid, compiled by numba.

Arrays carry two rows of ghost cells on every side: cell (i, j) is at [j + 2, i + 2], component
first. `si` are the normals of the sides between i - 1 and i, pointing to i, of the length of the
side, `sj` those between j - 1 and j. The state w is (rho, rho u, rho v, rho E). Source: A. Jameson,
W. Schmidt, E. Turkel, AIAA paper 81-1259 (1981); A. Jameson, MAE report 1651, Princeton (1983).
"""

from __future__ import annotations

import numba
import numpy as np

fast = numba.njit(cache=True, fastmath=True, error_model="numpy")
"""Without the checks and the order of sums that keep loops from being vectorised."""

SHOCK = 0.5  # k2, of second differences where the pressure bends
COARSE = 0.25  # of second differences on coarser grids


@fast
def wrap(w, p):
    """Ghost cells across the cut from the trailing edge outwards, of states and pressures."""
    n = w.shape[2]
    for k in range(4):
        for j in range(w.shape[1]):
            w[k, j, 0] = w[k, j, n - 4]
            w[k, j, 1] = w[k, j, n - 3]
            w[k, j, n - 2] = w[k, j, 2]
            w[k, j, n - 1] = w[k, j, 3]
    for j in range(w.shape[1]):
        p[j, 0] = p[j, n - 4]
        p[j, 1] = p[j, n - 3]
        p[j, n - 2] = p[j, 2]
        p[j, n - 1] = p[j, 3]


@fast
def pressures(w, p, gamma):
    """The pressure p = (gamma - 1) (E - |m|^2 / 2 rho) of inner cells, put into `p`. Shapes: w
    (4, nj + 4, ni + 4), p (nj + 4, ni + 4)."""
    for j in range(2, w.shape[1] - 2):
        for i in range(2, w.shape[2] - 2):
            p[j, i] = (gamma - 1) * (
                w[3, j, i] - 0.5 * (w[1, j, i] ** 2 + w[2, j, i] ** 2) / w[0, j, i]
            )


@fast
def boundaries(w, p, sj, gamma, far):
    """Ghost cells: at the section by extrapolation, far away from Riemann's invariants of the
    state inside and of the free flow `far` "4 i" (rho, u, v, p), and across the cut."""
    pressures(w, p, gamma)
    top = w.shape[1] - 2
    for i in range(2, w.shape[2] - 2):
        for k in range(4):
            w[k, 1, i] = 2 * w[k, 2, i] - w[k, 3, i]
            w[k, 0, i] = w[k, 1, i]
        p[1, i] = 2 * p[2, i] - p[3, i]
        p[0, i] = p[1, i]
        sx, sy = sj[0, top, i], sj[1, top, i]
        size = np.sqrt(sx * sx + sy * sy)
        sx, sy = sx / size, sy / size
        rho, u, v = w[0, top - 1, i], w[1, top - 1, i], w[2, top - 1, i]
        u, v, pressure = u / rho, v / rho, p[top - 1, i]
        inner, outer = u * sx + v * sy, far[1, i - 2] * sx + far[2, i - 2] * sy
        c, beyond = np.sqrt(gamma * pressure / rho), np.sqrt(gamma * far[3, i - 2] / far[0, i - 2])
        if inner >= c:
            out, sound = inner, c
        elif outer <= -beyond:
            out, sound = outer, beyond
        else:
            plus, minus = inner + 2 * c / (gamma - 1), outer - 2 * beyond / (gamma - 1)
            out, sound = (plus + minus) / 2, (gamma - 1) / 4 * (plus - minus)
        if out > 0:
            along, entropy = out - inner, pressure / rho**gamma
        else:
            u, v, along = far[1, i - 2], far[2, i - 2], out - outer
            entropy = far[3, i - 2] / far[0, i - 2] ** gamma
        u, v = u + along * sx, v + along * sy
        rho = (sound * sound / (gamma * entropy)) ** (1 / (gamma - 1))
        pressure = rho * sound * sound / gamma
        for j in range(top, top + 2):
            w[0, j, i], w[1, j, i], w[2, j, i] = rho, rho * u, rho * v
            w[3, j, i] = pressure / (gamma - 1) + 0.5 * rho * (u * u + v * v)
            p[j, i] = pressure
    wrap(w, p)


@fast
def convection(w, p, si, sj, wall, out):
    """Sums of the convective fluxes out of every cell, by averages of those of both its sides; at
    the section by the pressure `wall` alone. Shapes: wall "i", out "4 j i"."""
    nj, ni = out.shape[1], out.shape[2]
    f = np.empty((4, ni + 1))
    g = np.empty((4, ni))
    for i in range(ni):
        g[0, i], g[3, i] = 0.0, 0.0
        g[1, i], g[2, i] = wall[i] * sj[0, 2, i + 2], wall[i] * sj[1, 2, i + 2]
    for j in range(nj):
        a = j + 2
        for i in range(ni + 1):
            b = i + 2
            sx, sy = si[0, a, b], si[1, a, b]
            left = (w[1, a, b - 1] * sx + w[2, a, b - 1] * sy) / w[0, a, b - 1]
            right = (w[1, a, b] * sx + w[2, a, b] * sy) / w[0, a, b]
            both = 0.5 * (p[a, b - 1] + p[a, b])
            f[0, i] = 0.5 * (left * w[0, a, b - 1] + right * w[0, a, b])
            f[1, i] = 0.5 * (left * w[1, a, b - 1] + right * w[1, a, b]) + both * sx
            f[2, i] = 0.5 * (left * w[2, a, b - 1] + right * w[2, a, b]) + both * sy
            f[3, i] = 0.5 * (left * (w[3, a, b - 1] + p[a, b - 1]) + right * (w[3, a, b] + p[a, b]))
        for k in range(4):
            for i in range(ni):
                out[k, j, i] = f[k, i + 1] - f[k, i] - g[k, i]
        last = j == nj - 1
        for i in range(ni):
            b = i + 2
            sx, sy = sj[0, a + 1, b], sj[1, a + 1, b]
            right = (w[1, a + 1, b] * sx + w[2, a + 1, b] * sy) / w[0, a + 1, b]
            left = right if last else (w[1, a, b] * sx + w[2, a, b] * sy) / w[0, a, b]
            c = a + 1 if last else a
            both = 0.5 * (p[c, b] + p[a + 1, b])
            g[0, i] = 0.5 * (left * w[0, c, b] + right * w[0, a + 1, b])
            g[1, i] = 0.5 * (left * w[1, c, b] + right * w[1, a + 1, b]) + both * sx
            g[2, i] = 0.5 * (left * w[2, c, b] + right * w[2, a + 1, b]) + both * sy
            g[3, i] = 0.5 * (left * (w[3, c, b] + p[c, b]) + right * (w[3, a + 1, b] + p[a + 1, b]))
        for k in range(4):
            for i in range(ni):
                out[k, j, i] += g[k, i]


@fast
def radii(w, p, si, sj, gamma, along, across):
    """Spectral radii |q . s| + c |s| of every cell in i and in j, ghost cells of i included.
    Shapes: "j+4 i+4" both, those of ghost cells of j equal to their neighbours'."""
    ni = w.shape[2] - 4
    for j in range(2, w.shape[1] - 2):
        for i in range(2, ni + 2):
            u, v = w[1, j, i] / w[0, j, i], w[2, j, i] / w[0, j, i]
            c = np.sqrt(gamma * p[j, i] / w[0, j, i])
            sx, sy = 0.5 * (si[0, j, i] + si[0, j, i + 1]), 0.5 * (si[1, j, i] + si[1, j, i + 1])
            along[j, i] = abs(u * sx + v * sy) + c * np.sqrt(sx * sx + sy * sy)
            sx, sy = 0.5 * (sj[0, j, i] + sj[0, j + 1, i]), 0.5 * (sj[1, j, i] + sj[1, j + 1, i])
            across[j, i] = abs(u * sx + v * sy) + c * np.sqrt(sx * sx + sy * sy)
        for each in (along, across):
            each[j, 0], each[j, 1] = each[j, ni], each[j, ni + 1]
            each[j, ni + 2], each[j, ni + 3] = each[j, 2], each[j, 3]


@fast
def spread(first, second):
    """The radius in one direction, raised where that in the other is larger."""
    return 0.5 * (first + np.sqrt(first * second))


@fast
def bend(a, b, c):
    """Jameson's sensor: the second difference of the pressure over its sum."""
    return abs(a - 2 * b + c) / (a + 2 * b + c)


@fast
def dissipation(w, p, along, across, k2, k4, out):
    """Second and fourth differences of the state, with total enthalpy in place of energy.
    Shapes: out "4 j i", to be taken from the convective sums."""
    nj, ni = out.shape[1], out.shape[2]
    d = np.empty((4, ni + 1))
    below = np.zeros((4, ni))
    sensor = np.empty(ni + 4)
    for j in range(nj):
        a = j + 2
        for b in range(1, ni + 3):
            sensor[b] = bend(p[a, b - 1], p[a, b], p[a, b + 1])
        for i in range(ni + 1):
            b = i + 2
            radius = 0.5 * (
                spread(along[a, b - 1], across[a, b - 1]) + spread(along[a, b], across[a, b])
            )
            second = k2 * max(sensor[b - 1], sensor[b])
            fourth = max(0.0, k4 - second) * radius
            second *= radius
            for k in range(4):
                jump = w[k, a, b] - w[k, a, b - 1]
                third = w[k, a, b + 1] - 3 * jump - w[k, a, b - 2]
                if k == 3:
                    rise = p[a, b] - p[a, b - 1]
                    third += p[a, b + 1] - 3 * rise - p[a, b - 2]
                    jump += rise
                d[k, i] = second * jump - fourth * third
        for k in range(4):
            for i in range(ni):
                out[k, j, i] = d[k, i + 1] - d[k, i] - below[k, i]
        if j == nj - 1:
            break
        for i in range(ni):
            b = i + 2
            radius = 0.5 * (
                spread(across[a, b], along[a, b]) + spread(across[a + 1, b], along[a + 1, b])
            )
            second = k2 * max(
                bend(p[a - 1, b], p[a, b], p[a + 1, b]), bend(p[a, b], p[a + 1, b], p[a + 2, b])
            )
            fourth = max(0.0, k4 - second) * radius
            second *= radius
            for k in range(4):
                jump = w[k, a + 1, b] - w[k, a, b]
                third = w[k, a + 2, b] - 3 * jump - w[k, a - 1, b]
                if k == 3:
                    rise = p[a + 1, b] - p[a, b]
                    third += p[a + 2, b] - 3 * rise - p[a - 1, b]
                    jump += rise
                below[k, i] = second * jump - fourth * third
        for k in range(4):
            for i in range(ni):
                out[k, j, i] += below[k, i]


@fast
def coarse_dissipation(w, p, along, across, factor, out):
    """Second differences alone, for coarser grids."""
    nj, ni = out.shape[1], out.shape[2]
    d = np.empty((4, ni + 1))
    below = np.zeros((4, ni))
    for j in range(nj):
        a = j + 2
        for i in range(ni + 1):
            b = i + 2
            radius = factor * (
                spread(along[a, b - 1], across[a, b - 1]) + spread(along[a, b], across[a, b])
            )
            for k in range(3):
                d[k, i] = radius * (w[k, a, b] - w[k, a, b - 1])
            d[3, i] = radius * (w[3, a, b] + p[a, b] - w[3, a, b - 1] - p[a, b - 1])
        for k in range(4):
            for i in range(ni):
                out[k, j, i] = d[k, i + 1] - d[k, i] - below[k, i]
        if j == nj - 1:
            break
        for i in range(ni):
            b = i + 2
            radius = factor * (
                spread(across[a, b], along[a, b]) + spread(across[a + 1, b], along[a + 1, b])
            )
            for k in range(3):
                below[k, i] = radius * (w[k, a + 1, b] - w[k, a, b])
            below[3, i] = radius * (w[3, a + 1, b] + p[a + 1, b] - w[3, a, b] - p[a, b])
        for k in range(4):
            for i in range(ni):
                out[k, j, i] += below[k, i]
