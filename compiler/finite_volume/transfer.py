"""What carries residuals and corrections over a grid and between grids, compiled by numba."""

from __future__ import annotations

import numpy as np

from compiler.finite_volume.kernels import fast


@fast
def weight(strength, own, other):
    """e of (1 - e d2) in a direction, by the spectral radii in it and in the other one; 0 where the
    explicit scheme is stable. Source: L. Martinelli, thesis, Princeton (1987)."""
    ratio = other / own
    grown = strength * (1 + np.sqrt(ratio)) / (1 + ratio)
    return max(0.0, 0.25 * (grown * grown - 1))


@fast
def factors(along, across, strength, t, line):
    """The factors of (1 - e d2) in j and in i, for `smooth`, by Thomas' algorithm; periodic in i by
    the formula of Sherman and Morrison. `strength`: Courant number over that of the explicit
    scheme. Shapes: t "7 j i", line "2 j"."""
    nj, ni = t.shape[1], t.shape[2]
    for j in range(nj):
        for i in range(ni):
            each = weight(strength, across[j + 2, i + 2], along[j + 2, i + 2])
            low = 0.0 if j == 0 else each
            high = 0.0 if j == nj - 1 else each
            before = 0.0 if j == 0 else t[2, j - 1, i]
            t[0, j, i] = low
            t[1, j, i] = 1 / (1 + low + high - low * before)
            t[2, j, i] = high * t[1, j, i]
            t[3, j, i] = weight(strength, along[j + 2, i + 2], across[j + 2, i + 2])
    for j in range(nj):
        e = t[3, j]
        corner = -(1 + 2 * e[0])
        for i in range(ni):
            middle = 1 + 2 * e[i]
            if i == 0:
                middle -= corner
            if i == ni - 1:
                middle -= e[0] * e[ni - 1] / corner
            before = 0.0 if i == 0 else e[i] * t[5, j, i - 1]
            pivot = 1 / (middle - before)
            t[4, j, i], t[5, j, i] = pivot, e[i] * pivot
            right = corner if i == 0 else (-e[ni - 1] if i == ni - 1 else 0.0)
            if i > 0:
                right += e[i] * t[6, j, i - 1]
            t[6, j, i] = right * pivot
        for i in range(ni - 2, -1, -1):
            t[6, j, i] += t[5, j, i] * t[6, j, i + 1]
        line[0, j] = -e[0] / corner
        line[1, j] = 1 / (1 + t[6, j, 0] + line[0, j] * t[6, j, ni - 1])


@fast
def smooth(r, t, line):
    """Implicit averaging of residuals, (1 - e d2) r' = r in j and then in i. Shapes: r "4 j i", t
    and line of `factors`."""
    nj, ni = r.shape[1], r.shape[2]
    for k in range(4):
        a = r[k]
        for i in range(ni):
            a[0, i] *= t[1, 0, i]
        for j in range(1, nj):
            for i in range(ni):
                a[j, i] = (a[j, i] + t[0, j, i] * a[j - 1, i]) * t[1, j, i]
        for j in range(nj - 2, -1, -1):
            for i in range(ni):
                a[j, i] += t[2, j, i] * a[j + 1, i]
    for j in range(nj):
        e, pivot, c, z = t[3, j], t[4, j], t[5, j], t[6, j]
        for k in range(4):
            r[k, j, 0] *= pivot[0]
        for i in range(1, ni):
            for k in range(4):
                r[k, j, i] = (r[k, j, i] + e[i] * r[k, j, i - 1]) * pivot[i]
        for i in range(ni - 2, -1, -1):
            for k in range(4):
                r[k, j, i] += c[i] * r[k, j, i + 1]
        for k in range(4):
            factor = (r[k, j, 0] + line[0, j] * r[k, j, ni - 1]) * line[1, j]
            for i in range(ni):
                r[k, j, i] -= factor * z[i]


@fast
def changes(convective, viscous, forcing, rate, factor, out):
    """-factor * rate * (convective - viscous + forcing). Shapes: "4 j i", rate "j i"."""
    for k in range(4):
        for j in range(out.shape[1]):
            for i in range(out.shape[2]):
                total = convective[k, j, i] - viscous[k, j, i] + forcing[k, j, i]
                out[k, j, i] = -factor * rate[j, i] * total


@fast
def restrict(fine, volume, coarse, residual, sums):
    """States averaged by volume and residuals added up over two by two cells."""
    for j in range(sums.shape[1]):
        for i in range(sums.shape[2]):
            a, b = 2 * j, 2 * i
            v00, v01 = volume[a, b], volume[a, b + 1]
            v10, v11 = volume[a + 1, b], volume[a + 1, b + 1]
            total = 1 / (v00 + v01 + v10 + v11)
            for k in range(4):
                coarse[k, j + 2, i + 2] = total * (
                    v00 * fine[k, a + 2, b + 2]
                    + v01 * fine[k, a + 2, b + 3]
                    + v10 * fine[k, a + 3, b + 2]
                    + v11 * fine[k, a + 3, b + 3]
                )
                sums[k, j, i] = (
                    residual[k, a, b]
                    + residual[k, a, b + 1]
                    + residual[k, a + 1, b]
                    + residual[k, a + 1, b + 1]
                )


@fast
def prolong(change, fine):
    """Adds a change of the coarse state, "4 J I", bilinearly to the fine one; constant beyond
    the innermost and the outermost row."""
    nj, ni = change.shape[1], change.shape[2]
    for j in range(2 * nj):
        near = j // 2
        other = min(max(near + (1 if j % 2 else -1), 0), nj - 1)
        for i in range(2 * ni):
            beside = i // 2
            next_ = (beside + (1 if i % 2 else ni - 1)) % ni
            for k in range(4):
                fine[k, j + 2, i + 2] += 0.0625 * (
                    9 * change[k, near, beside]
                    + 3 * (change[k, other, beside] + change[k, near, next_])
                    + change[k, other, next_]
                )
