"""Estimate of the error of a reference solution, from solutions at a half and a quarter of its
resolution.

With d_1 = |u_h - u_2h| and d_2 = |u_2h - u_4h| the observed order is p = log2(d_2 / d_1), and the
error of u_h about

    e = 1.25 d_1 / (2^p - 1),

p between 1/2 and the order of the elements, k + 1 in L2 and k in the energy norm.

Steps in time are doubled with the size of the cells, so that e is the error in space and time
together. Where only one coarser solution can be had p is 1; a mesh of the user's own is not
coarsened: there one degree less takes the place of 2h, and d_1 itself is given, which is about the
error of the lower degree, a bound. Source: P. J. Roache, Verification and Validation in
Computational Science and Engineering (1998), ch. 5 (the grid convergence index).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from compiler.arrays import Array, IntArray
from compiler.fem.solution import SampleSolution
from pdespec.statements.problem import Problem

SAFETY = 1.25
MOST_POINTS = 20_000  # of quadrature, at which two solutions are compared
MOST_LEVELS = 9  # in time
LEAST_ORDER = 0.5
NORMS = ("l2", "energy")


@dataclass(frozen=True)
class ErrorEstimate:
    """The estimated error of one unknown, over all its components. Shapes: "b" each, float64.

    l2: root of the integral of |u - u_h|^2 over the domain. energy: the same of |grad u - grad
    u_h|^2, the energy norm of the Laplacian. In time both are root mean squares over the levels.
    The relative ones are divided by that of u_h. orders: observed, in L2.
    """

    l2: Tensor
    energy: Tensor
    relative_l2: Tensor
    relative_energy: Tensor
    orders: Tensor

    def __str__(self) -> str:
        worst = int(self.relative_l2.argmax())
        l2, relative, energy = (
            float(each[worst]) for each in (self.l2, self.relative_l2, self.energy)
        )
        return f"{100 * relative:.2g} % in L2 ({l2:.2g}; {energy:.2g} in the gradient)"


@dataclass(frozen=True)
class Distances:
    """Of one sample and unknown: norms of u_h, of u_h - u_2h and of u_2h - u_4h, by the name of
    the norm; NaN where there is no u_4h."""

    size: Mapping[str, float]
    first: Mapping[str, float]
    second: Mapping[str, float]


def estimate(
    fine: SampleSolution,
    coarser: Sequence[SampleSolution],
    components: Mapping[str, tuple[str, ...]],
) -> dict[str, Distances]:
    """The distances between the solutions of one sample, by unknown. components: those of every
    unknown."""
    points, weights = quadrature(fine)
    wanted = [c for each in components.values() for c in each if c in fine.components]
    levels = [None] if fine.times is None else list(fine.times[chosen_levels(len(fine.times))])
    sums: dict[str, Array] = {name: np.zeros((3, 2)) for name in components}
    for time in levels:
        at = points if time is None else np.column_stack((points, np.full(len(points), time)))
        jets = [stacked_jets(each, at, wanted) for each in (fine, *coarser)]
        for name, own in components.items():
            rows = [wanted.index(c) for c in own]
            series = [
                jets[0][rows],
                *(a[rows] - b[rows] for a, b in zip(jets, jets[1:], strict=False)),
            ]
            for k, each in enumerate(series[:3]):
                sums[name][k, 0] += np.nansum(weights * each[:, 0] ** 2)
                sums[name][k, 1] += np.nansum(weights * (each[:, 1:] ** 2).sum(axis=1))
            if len(series) < 3:
                sums[name][2] = np.nan
    return {
        name: Distances(
            *(dict(zip(NORMS, np.sqrt(row / len(levels)).tolist(), strict=True)) for row in values)
        )
        for name, values in sums.items()
    }


def quadrature(sample: SampleSolution) -> tuple[Array, Array]:
    """Quadrature points of the domain, thinned out where there are many, and weights: those of a
    cell are equal, since the squares of differences must not be weighed by the negative weights
    that some rules have. Shapes: "n d", "n".
    """
    place = next(p for p in sample.spaces.places.values() if p.normals is None)
    points, count = place.points.reshape(place.points.shape[0], -1).T, place.weights.shape[1]
    weights = np.repeat(place.weights.sum(axis=1) / count, count)
    if len(weights) > MOST_POINTS:
        kept = np.random.default_rng(0).choice(len(weights), MOST_POINTS, replace=False)
        points, weights = points[kept], weights[kept] * (weights.sum() / weights[kept].sum())
    return np.ascontiguousarray(points), weights


def chosen_levels(count: int) -> IntArray:
    """Levels spread evenly over the time, the last among them, odd and even ones."""
    return np.unique(np.round(np.linspace(1, count - 1, min(MOST_LEVELS, count - 1))).astype(int))


def stacked_jets(sample: SampleSolution, at: Array, components: Sequence[str]) -> Array:
    """Values and gradients of components. Shapes: at "n D" -> "c 1+d n"."""
    dim = sample.spaces.mesh.dim()
    value = (0,) * at.shape[1]
    indices = [value, *(tuple(int(k == axis) for k in range(at.shape[1])) for axis in range(dim))]
    found = sample.derivatives(at, dict.fromkeys(components, indices))
    return np.array([[found[c, index] for index in indices] for c in components])


def from_coarser(
    fine: Sequence[SampleSolution],
    coarser: Sequence[Callable[[int], SampleSolution]],
    problem: Problem,
) -> dict[str, ErrorEstimate]:
    """Estimates by unknown for a scheme of first order in its energy and second in L2. `coarser`
    gives sample k at a half of the resolution, and at a quarter where that can be had."""
    names = {name: each.components for name, each in problem.unknowns.items()}
    distances = [
        estimate(sample, [solved(k) for solved in coarser], names) for k, sample in enumerate(fine)
    ]
    return {
        name: from_distances([each[name] for each in distances], 1, 2.0, False) for name in names
    }


def from_distances(
    each: Sequence[Distances], degree: int, ratio: float, bound: bool
) -> ErrorEstimate:
    """The estimate of one unknown from its samples. ratio: of the sizes of cells. bound: the
    coarser has a degree less instead."""
    errors = {
        norm: np.array(
            [
                error_of(d.first[norm], d.second[norm], degree + (norm == "l2"), ratio, bound)
                for d in each
            ]
        )
        for norm in NORMS
    }
    sizes = {norm: np.array([d.size[norm] for d in each]) for norm in NORMS}
    with np.errstate(all="ignore"):
        relative = {
            norm: np.where(errors[norm] > 0, errors[norm] / sizes[norm], 0.0) for norm in NORMS
        }
    orders = np.array([observed(d.first["l2"], d.second["l2"], ratio) for d in each])
    tensors = [
        torch.from_numpy(np.asarray(a))
        for a in (errors["l2"], errors["energy"], relative["l2"], relative["energy"], orders)
    ]
    return ErrorEstimate(*tensors)


def observed(first: float, second: float, ratio: float) -> float:
    """The order by which the distances fall."""
    return math.log(second / first) / math.log(ratio) if first > 0 and second > 0 else math.nan


def error_of(first: float, second: float, highest: float, ratio: float, bound: bool) -> float:
    """See the head of this module."""
    if bound or not first > 0:
        return SAFETY * first
    order = observed(first, second, ratio)
    order = 1.0 if math.isnan(order) else min(max(order, LEAST_ORDER), highest)
    return SAFETY * first / (ratio**order - 1)
