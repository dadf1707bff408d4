"""Reference solutions: finite element functions that are evaluated at any points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from .locate import Locator
from .spaces import Spaces

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SampleSolution:
    """The solution of one sample. With time, `vectors[k]` belongs to `times[k]`.

    Shapes: vectors "k n". `steps` counts Newton's steps, `seconds` the phases of the work. `reactions` of a stationary problem: for every
    (boundary, component) with fixed values the sum of the residuals there, the force that holds it.
    """

    spaces: Spaces
    components: tuple[str, ...]
    vectors: Array
    times: Array | None
    energy: float | None
    steps: int
    seconds: Mapping[str, float]
    reactions: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @cached_property
    def locator(self) -> Locator:
        return Locator(self.spaces.mesh)

    def evaluate(self, points: Array) -> Array:
        """Shapes: points "n d" or "n d+1" -> "n c". NaN farther outside the mesh than one cell."""
        dim = self.spaces.mesh.dim()
        located = self.locator(points[:, :dim].T)
        matrices = self.probes(located)
        if self.times is None:
            values = [matrices[c] @ self.vectors[0, self.spaces.numbers(c)] for c in self.components]
        else:
            numbers, weights = interpolation(self.times, points[:, dim])
            values = [in_time(matrices[c] @ self.vectors[:, self.spaces.numbers(c)].T, numbers, weights) for c in self.components]
        result = np.stack(values, axis=1)
        result[located.depth < -1] = np.nan
        return result

    def probes(self, located) -> dict[str, csr_matrix]:
        """For every component the matrix from its unknowns to its values at the points."""
        made: dict[int, csr_matrix] = {}
        count = located.cells.size
        for component in self.components:
            basis = self.spaces.bases[component]
            if id(basis) not in made:
                place = located.reference[:, :, None]
                phi = [
                    np.broadcast_to(basis.elem.gbasis(basis.mapping, place, k, tind=located.cells)[0], (count, 1))
                    for k in range(basis.Nbfun)
                ]
                rows = np.tile(np.arange(count), basis.Nbfun)
                made[id(basis)] = csr_matrix(
                    (np.concatenate(phi)[:, 0], (rows, basis.element_dofs[:, located.cells].ravel())), (count, basis.N)
                )
        return {component: made[id(self.spaces.bases[component])] for component in self.components}


def interpolation(times: Array, at: Array) -> tuple[NDArray[np.int64], Array]:
    """Cubic Lagrange interpolation in time on the four nearest levels.  Shapes: at "n" -> numbers and weights "m n", m <= 4."""
    width = min(4, len(times))
    first = np.clip(np.searchsorted(times, at) - width // 2, 0, len(times) - width)
    numbers = first + np.arange(width)[:, None]
    nodes = times[numbers]
    weights = np.ones_like(nodes)
    for k in range(width):
        for other in range(width):
            if other != k:
                weights[k] *= (at - nodes[other]) / (nodes[k] - nodes[other])
    return numbers, weights


def in_time(levels: Array, numbers: NDArray[np.int64], weights: Array) -> Array:
    """Shapes: levels "n k", numbers and weights "m n" -> "n"."""
    return sum(weights[m] * levels[np.arange(levels.shape[0]), numbers[m]] for m in range(len(numbers)))


@dataclass(frozen=True)
class Solution:
    """The reference fields of a batch: `truth(points (b, n, d[+1])) -> (b, n, c)` in float64, components in declaration order.

    `seconds` is the mean time a sample, `energy` "b" the value of the functional where the problem is one, `samples` the solutions one by
    one. Points outside the mesh by less than a cell are given the polynomial of that cell, points farther away NaN.
    """

    samples: tuple[SampleSolution, ...]
    seconds: float
    energy: Tensor | None

    def __call__(self, points: Tensor) -> Tensor:
        if points.ndim != 3 or points.shape[0] != len(self.samples):
            raise ValueError(
                f"points have the shape (samples, points, coordinates) with {len(self.samples)} samples, not {tuple(points.shape)}"
            )
        arrays = points.detach().to("cpu", torch.float64).numpy()
        return torch.from_numpy(np.stack([sample.evaluate(p) for sample, p in zip(self.samples, arrays, strict=True)])).to(points.device)

    @property
    def phases(self) -> dict[str, float]:
        """Mean seconds a sample by phase: mesh, assembly, solve."""
        names = {name for sample in self.samples for name in sample.seconds}
        return {name: float(np.mean([sample.seconds.get(name, 0.0) for sample in self.samples])) for name in sorted(names)}
