"""Reference solutions: finite element functions that are evaluated at any points."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from compiler.arrays import Array, IntArray
from compiler.derivatives.interface import Key, Request, answer, parts
from compiler.fem.discrete.locate import Located, Locator
from compiler.fem.discrete.spaces import Spaces
from compiler.fem.discrete.spaces import interpolation as at_points
from compiler.fem.errors import SolverError, SolverWarning
from pdespec.jets import MultiIndex

if TYPE_CHECKING:
    from compiler.fem.error_estimate import ErrorEstimate
    from compiler.fem.solvers.obstacles import Contact


@dataclass(frozen=True)
class SampleSolution:
    """The solution of one sample. With time, `vectors[k]` belongs to `times[k]`.

    Shapes: vectors "k n". `steps` counts Newton's steps, `seconds` the phases of the work.
    `reactions` of a stationary problem: for every (boundary, component) with fixed values the sum
    of the residuals there, the force that holds it. `warnings`: what makes it doubtful. `breaks`:
    levels at which the data jump in time. `contact`: how bounds of a minimum are met, by
    requirement. `supports`: of components that live in a part of the mesh, which points lie there;
    they have no value elsewhere. `cells`: of those with values of their own where parts meet, the
    cells of that part.
    """

    spaces: Spaces
    components: tuple[str, ...]
    vectors: Array
    times: Array | None
    energy: float | None
    steps: int
    seconds: Mapping[str, float]
    reactions: Mapping[tuple[str, str], float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    breaks: tuple[int, ...] = ()
    contact: Mapping[str, Contact] = field(default_factory=dict)
    supports: Mapping[str, Callable[[Array], Array]] = field(default_factory=dict)
    cells: Mapping[str, IntArray] = field(default_factory=dict)

    @cached_property
    def locator(self) -> Locator:
        """The search for the cells of points, made on first use."""
        return Locator(self.spaces.mesh)

    @cached_property
    def locators(self) -> dict[bytes, Locator]:
        """Those that find points in the cells of one part, by these cells."""
        return {c.tobytes(): Locator(self.spaces.mesh, c) for c in self.cells.values()}

    def located(self, component: str, points: Array, found: dict[bytes, Located]) -> Located:
        """The cells that points lie in, among those in which a component lives; `found` keeps what
        was looked up for these points. Shapes: points "d n"."""
        own = self.cells.get(component)
        key = b"" if own is None else own.tobytes()
        if key not in found:
            found[key] = (self.locator if own is None else self.locators[key])(points)
        return found[key]

    def evaluate(self, points: Array) -> Array:
        """Shapes: points "n d" or "n d+1" -> "n c". NaN farther outside the mesh than one cell, and
        where a component does not live."""
        value = (0,) * points.shape[-1]
        found = self.derivatives(points, dict.fromkeys(self.components, (value,)))
        return np.stack([found[c, value] for c in self.components], axis=1)

    def derivatives(
        self, points: Array, wanted: Mapping[str, Iterable[MultiIndex]]
    ) -> dict[tuple[str, MultiIndex], Array]:
        """Values and first derivatives in space of components, and their first derivatives in time:
        those of the finite element function, and in time of the cubic polynomial through the
        nearest levels. An error of order h^k in values is one of order h^(k - 1) in them.

        Shapes: points "n d" or "n d+1", multi-indices over space and time -> "n".
        Raises: SolverError for a derivative of higher order.
        """
        dim = self.spaces.mesh.dim()
        places: dict[bytes, Located] = {}
        probes: dict[tuple[int | None, ...], csr_matrix] = {}
        result = {}
        for component, indices in wanted.items():
            for index in indices:
                space, rate = index[:dim], sum(index[dim:])
                if sum(space) > 1 or rate > 1:
                    raise SolverError(
                        "a reference solution has first derivatives only; one of order"
                        f" {sum(index)} of {component} is asked for"
                    )
                axis = space.index(1) if any(space) else None
                located = self.located(component, points[:, :dim].T, places)
                basis = self.spaces.bases[component]
                own = self.spaces.axes.get(component)
                key = id(basis), id(located), axis, own
                if key not in probes:
                    probes[key] = at_points(basis, located, axis, own)
                levels = probes[key] @ self.vectors[:, self.spaces.numbers(component)].T
                if self.times is None:
                    value = np.zeros(len(points)) if rate else levels[:, 0]
                else:
                    value = in_time(
                        levels, *interpolation(self.times, points[:, dim], rate, self.breaks)
                    )
                value[located.depth < -1] = np.nan
                if component in self.supports:
                    value[~self.supports[component](points[:, :dim].T)] = np.nan
                result[component, index] = value
        return result


def interpolation(
    times: Array, at: Array, rate: int = 0, breaks: tuple[int, ...] = ()
) -> tuple[IntArray, Array]:
    """Cubic Lagrange interpolation in time on the four nearest levels of one side of the `breaks`,
    or the derivative of that polynomial.

    Shapes: at "n" -> numbers and weights "m n", m <= 4.
    """
    edges = np.array([0, *breaks, len(times) - 1])
    width = min(4, int(np.diff(edges).min()) + 1)
    segment = np.clip(np.searchsorted(times[edges], at) - 1, 0, len(edges) - 2)
    first = np.clip(
        np.searchsorted(times, at) - width // 2, edges[segment], edges[segment + 1] + 1 - width
    )
    numbers = first + np.arange(width)[:, None]
    nodes = times[numbers]
    weights, slopes = np.ones_like(nodes), np.zeros_like(nodes)
    for k in range(width):
        for other in range(width):
            if other != k:
                factor, slope = (
                    (at - nodes[other]) / (nodes[k] - nodes[other]),
                    1 / (nodes[k] - nodes[other]),
                )
                slopes[k] = slopes[k] * factor + weights[k] * slope
                weights[k] *= factor
    return numbers, slopes if rate else weights


def in_time(levels: Array, numbers: IntArray, weights: Array) -> Array:
    """Shapes: levels "n k", numbers and weights "m n" -> "n"."""
    return sum(
        weights[m] * levels[np.arange(levels.shape[0]), numbers[m]] for m in range(len(numbers))
    )


@dataclass(frozen=True, repr=False)
class Solution:
    """The reference fields of a batch: `truth(points (b, n, d[+1])) -> (b, n, c)` in float64,
    components in declaration order.

    `seconds` is the mean time a sample, `error` what is known of their errors, `energy` "b" the
    value of the functional where the problem is one, `samples` the solutions one by one. Points
    outside the mesh by less than a cell are given the polynomial of that cell, points farther away
    NaN.
    """

    samples: tuple[SampleSolution, ...]
    seconds: float
    energy: Tensor | None
    compare: Callable[[Solution], dict[str, ErrorEstimate]] | None = field(
        default=None, repr=False, compare=False
    )

    @classmethod
    def of(
        cls,
        samples: tuple[SampleSolution, ...],
        compare: Callable[[Solution], dict[str, ErrorEstimate]],
    ) -> Solution:
        """The solutions of samples; what makes them doubtful is reported to the caller of
        `solve`."""
        seconds = float(np.mean([sum(each.seconds.values()) for each in samples]))
        found = cls(samples, seconds, None, compare)
        for text in found.warnings:
            warnings.warn(text, SolverWarning, stacklevel=4)
        return found

    @cached_property
    def error(self) -> dict[str, ErrorEstimate]:
        """The estimated error of every unknown, see `error_estimate.py`. Computed when it is first
        asked for, by solving at a half and a quarter of the resolution.

        Raises: SolverError where no coarser solution can be had.
        """
        if self.compare is None:
            raise SolverError(
                "this solution was not made by `compiler.solve`, and cannot be compared with"
                " coarser ones"
            )
        return self.compare(self)

    @property
    def relative_error(self) -> Tensor:
        """The estimated relative error in L2 of the worst unknown of each sample. Shapes: "b"."""
        return torch.stack([each.relative_l2 for each in self.error.values()]).amax(0)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the samples doubtful, each once."""
        return tuple(dict.fromkeys(text for sample in self.samples for text in sample.warnings))

    def __repr__(self) -> str:
        energy = (
            ""
            if self.energy is None
            else f"; energies {', '.join(f'{float(e):.6g}' for e in self.energy[:4])}"
        )
        return f"<Solution of {len(self.samples)} samples, {self.seconds:.3g} s each{energy}>"

    def __call__(self, points: Tensor) -> Tensor:
        if points.ndim != 3 or points.shape[0] != len(self.samples):
            raise ValueError(
                f"points have the shape (samples, points, coordinates) with {len(self.samples)}"
                f" samples, not {tuple(points.shape)}"
            )
        arrays = points.detach().to("cpu", torch.float64).numpy()
        return torch.from_numpy(
            np.stack([sample.evaluate(p) for sample, p in zip(self.samples, arrays, strict=True)])
        ).to(points.device)

    def derivatives(self, points: Tensor, request: Request) -> dict[Key, Tensor]:
        """What a derivative backend is asked, by the finite element functions. Shapes: points "b n
        D"; every answer "b n", float64.

        Raises: SolverError for second derivatives in space or time.
        """
        wanted = parts(request)
        components = self.samples[0].components
        arrays = points.detach().to("cpu", torch.float64).numpy()
        asked = {components[c]: indices for c, indices in wanted.items()}
        each = [
            sample.derivatives(p, asked) for sample, p in zip(self.samples, arrays, strict=True)
        ]
        found = {
            (c, index): (
                torch.from_numpy(np.stack([one[components[c], index] for one in each])).to(
                    points.device
                )
            )
            for c, indices in wanted.items()
            for index in indices
        }
        return answer(found, request)

    @property
    def phases(self) -> dict[str, float]:
        """Mean seconds a sample by phase: mesh, assembly, solve."""
        names = {name for sample in self.samples for name in sample.seconds}
        return {
            name: float(np.mean([sample.seconds.get(name, 0.0) for sample in self.samples]))
            for name in sorted(names)
        }
