"""Warnings after a solve about known weaknesses of Galerkin's method with these elements on this
mesh."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compiler.arrays import Array
from compiler.fem.discrete.assemble import Assembly, State
from compiler.fem.meshing.facets import outside

# ratio of the stiffness against compression to that against shear, from which on linear elements
# lock
STIFF = 50.0
SHARE = 0.01  # of the cells, above which Peclet numbers count


def doubts(parts: Assembly, state: State, degree: int) -> Iterator[str]:
    """Layers that the cells do not resolve, and linear elements that lock."""
    slopes = gathered(parts, state)
    for component in parts.form.components:
        found = peclet(parts, slopes, component, degree)
        if found is not None and found[0] > 1:
            number, label = found[0], parts.form.labels.get(component, "the functional")
            yield (
                f"`{label}` carries {component} faster than it diffuses: the cell Peclet number |b|"
                f" h / (2 k eps) is {number:.3g} (k the degree), and the solution may oscillate"
                f" where it is steep; take a resolution {number:.2g} times as high, or tolerance=,"
                " or a mesh that is finer there"
            )
    if degree == 1:
        yield from locking(parts, slopes)
    yield from soft_edges(parts, slopes)


Slopes = dict[tuple[str, int, str, int], Array]


def gathered(parts: Assembly, state: State) -> Slopes:
    """The linearised coefficients inside of the domain by (row, slot of the test, component,
    slot of the jet variable). Shapes: "e q"."""
    found: Slopes = {}
    for kernel in (k for k in parts.kernels if k.region == parts.form.domain):
        for (row, test, jet), value in zip(
            kernel.entries, parts.values(kernel.tangent, kernel.region, state), strict=True
        ):
            if parts.time_order(jet) == 0:
                key = row, parts.slot(test), jet.component, parts.slot(jet.index)
                found[key] = found.get(key, 0) + np.nan_to_num(value)
    return found


def peclet(
    parts: Assembly, slopes: Slopes, component: str, degree: int
) -> tuple[float, float] | None:
    """The cell Peclet number that one per cent of the cells exceed, and the largest; None without
    transport or diffusion.

    |b| h / (2 k eps) with b the coefficients of first derivatives, eps the least eigenvalue of
    those of second ones, h a cell's size.
    """
    dim = len(parts.form.coordinates)
    if not any((component, 1 + i, component, 1 + i) in slopes for i in range(dim)):
        return None
    shape = parts.spaces.places[parts.form.domain].weights.shape
    diffusion = np.zeros((*shape, dim, dim))
    speed = np.zeros((*shape, dim))
    for i in range(dim):
        speed[..., i] += slopes.get((component, 0, component, 1 + i), 0.0)
        speed[..., i] -= slopes.get((component, 1 + i, component, 0), 0.0)
        for j in range(dim):
            diffusion[..., i, j] += slopes.get((component, 1 + i, component, 1 + j), 0.0)
    if not speed.any():
        return None
    least = np.abs(eigenvalues((diffusion + np.swapaxes(diffusion, -1, -2)) / 2)).min(axis=-1)
    cells = parts.spaces.places[parts.form.domain].weights.sum(axis=1) ** (1 / dim)
    with np.errstate(all="ignore"):
        number = (
            np.nan_to_num(np.linalg.norm(speed, axis=-1) / least, nan=0.0, posinf=0.0)
            * cells[:, None]
            / (2 * degree)
        )
    each = number.mean(axis=1)
    return float(np.quantile(each, 1 - SHARE)), float(each.max())


def eigenvalues(matrix: Array) -> Array:
    """Of symmetric matrices; those of two rows written out, since there are many. Shapes: ".. d d"
    -> ".. d"."""
    if matrix.shape[-1] != 2:
        return np.linalg.eigvalsh(matrix)
    middle = (matrix[..., 0, 0] + matrix[..., 1, 1]) / 2
    radius = np.hypot((matrix[..., 0, 0] - matrix[..., 1, 1]) / 2, matrix[..., 0, 1])
    return np.stack((middle - radius, middle + radius), axis=-1)


def soft_edges(parts: Assembly, slopes: Slopes) -> Iterator[str]:
    """Energies of second derivatives that cost nothing for some curvatures, where a part of the
    boundary is free: of `lap(u)^2` harmonic functions, which oscillate along it as they like."""
    form, spaces = parts.form, parts.spaces
    dim = len(form.coordinates)
    if dim < 2:
        return
    second = range(1 + dim, 1 + dim + dim * (dim + 1) // 2)
    for component in form.components:
        found = [[slopes.get((component, i, component, j)) for j in second] for i in second]
        if all(each is None for row in found for each in row):
            continue
        means = [[0.0 if e is None else float(np.mean(e)) for e in row] for row in found]
        stiffness = np.abs(np.linalg.eigvalsh(np.array(means)))
        held = [
            spaces.facets[e.region] for e in form.essentials if component in dict(e.coefficients)
        ]
        every = outside(form.domain, spaces.mesh)
        if (
            stiffness.min() < 1e-9 * stiffness.max()
            and np.setdiff1d(every, np.concatenate([np.zeros(0, dtype=np.int64), *held])).size
        ):
            yield (
                f"the energy bends {component} at no cost for some curvatures, as"
                f" lap({component})^2 does for harmonic functions, and a part of the boundary is"
                " free: the order falls there; take an energy of all second derivatives, or fix the"
                " values"
            )


def locking(parts: Assembly, slopes: Slopes) -> Iterator[str]:
    """A vector whose volume is held much harder than its shape, on linear elements."""
    dim = len(parts.form.coordinates)
    owners = dict.fromkeys(component.rpartition(".")[0] for component in parts.form.components)
    for name in owners:
        own = [c for c in parts.form.components if name and c.rpartition(".")[0] == name]
        if len(own) != dim or dim < 2:
            continue
        symbol = np.array(
            [[np.mean(slopes.get((a, 1, b, 1), np.zeros(1))) for b in own] for a in own]
        )
        stiffness = np.abs(np.linalg.eigvalsh((symbol + symbol.T) / 2))
        if stiffness.min() > 0 and stiffness.max() > STIFF * stiffness.min():
            yield (
                f"linear elements lock: {name} resists compression"
                f" {stiffness.max() / stiffness.min():.3g} times as much as shear, and comes out"
                " too stiff; take degree=2, or a pressure unknown p = -lambda*div(u) with an"
                " equation of its own"
            )
