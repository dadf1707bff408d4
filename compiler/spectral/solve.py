"""`solve`: viscous Burgers on a periodic interval, to round-off."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import skfem
import sympy as sp
import torch

from compiler.arrays import Array
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.discrete.spaces import Spaces
from compiler.fem.error_estimate import ErrorEstimate
from compiler.fem.errors import SampleError, SolverError
from compiler.fem.solution import Solution
from compiler.lowering.numpy_function import numpy_function
from compiler.spectral.burgers import ViscousBurgers, viscous_burgers
from compiler.spectral.cole_hopf import ColeHopf, cole_hopf
from pdespec.statements.problem import Problem
from pdespec.symbols import InputField

ACCURATE = 1e-8  # relative error of a sample, above which there is a warning
USELESS = 1e-3  # and above which it counts as not solved
CELLS, LEVELS = 64, 33  # of the mesh on which a solution is drawn and exported
FINITE_ELEMENTS = 'method="finite_elements" solves it on a mesh'


def why_not(problem: Problem) -> str:
    """Why the solver does not take a problem; empty where it does."""
    found = viscous_burgers(problem)
    return found if isinstance(found, str) else ""


@dataclass(frozen=True)
class SpectralSample:
    """The solution of one sample: `factor w + shift`, w of `wave`. It has no mesh; `spaces` and
    `times` are those with which it is drawn and written to files."""

    components: tuple[str, ...]
    wave: ColeHopf
    factor: float
    shift: float
    interval: tuple[float, float]
    times: Array
    relative_error: float
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    energy: None = None
    reactions: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def evaluate(self, points: Array) -> Array:
        """Shapes: points "n 2" -> "n 1". NaN before the start."""
        with torch.no_grad():
            values = self.wave(torch.from_numpy(np.ascontiguousarray(points)))
        return (self.factor * values + self.shift).numpy()[:, None]

    def derivatives(
        self, points: Array, wanted: Mapping[str, Iterable[tuple[int, ...]]]
    ) -> dict[tuple[str, tuple[int, ...]], Array]:
        """Derivatives of any order, exact as the values are. Shapes: points "n 2" -> "n" each."""
        (name,) = self.components
        indices = [(index[0], index[1]) for index in wanted[name]]
        with torch.no_grad():
            found = self.wave.derivatives(torch.from_numpy(np.ascontiguousarray(points)), indices)
        return {
            (name, index): (self.factor * found[index] + (0 if any(index) else self.shift)).numpy()
            for index in indices
        }

    @cached_property
    def spaces(self) -> Spaces:
        """Quadratic elements on a uniform mesh."""
        mesh = skfem.MeshLine(np.linspace(*self.interval, CELLS + 1))
        (name,) = self.components
        return Spaces(mesh, {name: skfem.CellBasis(mesh, skfem.ElementLineP2())}, {name: 0}, {}, {})

    @cached_property
    def vectors(self) -> Array:
        """Values at the nodes of `spaces`. Shapes: "levels n"."""
        nodes = self.spaces.nodes(self.components[0])[0]
        at = np.stack(np.broadcast_arrays(nodes, self.times[:, None]), -1)
        return self.evaluate(at.reshape(-1, 2)).reshape(len(self.times), -1)


def solve(
    problem: Problem, batch: Any, *, tolerance: float | None = None, workers: Any = 1
) -> Solution:
    """Reference fields of every sample of a batch, by the substitution of Cole and Hopf: to
    round-off, in a moment, so that a tolerance and workers change nothing.

    Raises: SolverError for a problem that is not a viscous Burgers equation on a periodic interval;
    SampleError for a sample whose viscosity is not positive or too small for its initial state.
    """
    found = viscous_burgers(problem)
    if isinstance(found, str):
        raise SolverError(f"`{problem.name}` has no solution by Cole and Hopf: {found}")
    batch = batch.to("cpu", torch.float64)
    samples = tuple(
        _sample(problem, found, batch if batch.size == 1 else batch.select([number]))
        for number in range(batch.size)
    )
    return Solution.of(samples, lambda _: _error(problem, samples))


def _sample(problem: Problem, equation: ViscousBurgers, batch: Any) -> SpectralSample:
    """One sample, as a batch of size one."""
    began, known = time.perf_counter(), Coefficients(problem, batch)
    inertia, steepening, drift, diffusion, low, high = (
        known.number(each)
        for each in (
            equation.inertia,
            equation.steepening,
            equation.drift,
            equation.diffusion,
            equation.start,
            equation.end,
        )
    )
    if inertia == 0 or steepening == 0 or not diffusion / inertia > 0:
        raise SampleError(
            f"{inertia:.3g} u_t + {steepening:.3g} u u_x = {diffusion:.3g} u_xx is not a viscous"
            f" Burgers equation; {FINITE_ELEMENTS}"
        )
    # w = (steepening u + drift) / inertia obeys w_t + w w_x = nu w_xx
    factor, shift = inertia / steepening, -drift / steepening
    assert problem.time is not None
    first, last = float(problem.time.start), float(problem.time.end)
    state = _state(equation.initial, known)
    wave = cole_hopf(lambda x: (state(x) - shift) / factor, (low, high), first, diffusion / inertia)
    if isinstance(wave, str):
        raise SampleError(f"no solution by Cole and Hopf: {wave}; {FINITE_ELEMENTS}")
    size = float(np.sqrt(np.mean(state(np.linspace(low, high, 257)) ** 2)))
    error = abs(factor) * wave.error / size if size else 0.0
    if error > USELESS:
        raise SampleError(
            f"the viscosity {wave.nu:.3g} is too small for this initial state: the solution by Cole"
            f" and Hopf would have a relative error of up to {error:.1g}; {FINITE_ELEMENTS}"
        )
    doubt = (f"round-off limits the relative error to about {error:.1g}",)
    return SpectralSample(
        (equation.component,),
        wave,
        factor,
        shift,
        (low, high),
        np.linspace(first, last, LEVELS),
        error,
        {"solve": time.perf_counter() - began},
        doubt if error > ACCURATE else (),
    )


def _state(initial: sp.Expr, known: Coefficients) -> Any:
    """The initial state as a function of x. Shapes: "n" -> "n"."""
    fields = sorted(initial.atoms(InputField), key=lambda each: each.func.__name__)
    stands = {each: sp.Dummy(each.func.__name__) for each in fields}
    (x,) = known.problem.coordinates
    call = numpy_function([x, *stands.values()], initial.xreplace(stands).subs(known.shape_values))

    def state(at: Array) -> Array:
        points = torch.from_numpy(np.ascontiguousarray(at[:, None]))
        given = [
            known.evaluate(each.func.declaration.name, points)[:, each.func.component]
            for each in fields
        ]
        values = call(at, *(each.detach().numpy() for each in given))
        return np.array(np.broadcast_to(np.asarray(values, dtype=float), at.shape))

    return state


def _error(problem: Problem, samples: tuple[SpectralSample, ...]) -> dict[str, ErrorEstimate]:
    """Bounds by round-off and the coefficients left out, see `ColeHopf`."""
    (name,) = problem.unknowns
    l2, slopes, sizes = [], [], []
    for each in samples:
        low, high = each.interval
        absolute = abs(each.factor) * each.wave.error * (high - low) ** 0.5
        at = np.stack(np.broadcast_arrays(np.linspace(low, high, 257), each.times[:, None]), -1)
        found = each.derivatives(at.reshape(-1, 2), {each.components[0]: [(1, 0)]})
        (gradient,) = found.values()
        l2.append(absolute)
        slopes.append(absolute * float(each.wave.waves[-1]))
        sizes.append(float(np.sqrt(np.mean(gradient**2) * (high - low))))
    relative = [each.relative_error for each in samples]
    steep = [a / b if b else 0.0 for a, b in zip(slopes, sizes, strict=True)]
    columns = (l2, slopes, relative, steep, [float("nan")] * len(samples))
    return {name: ErrorEstimate(*(torch.tensor(c, dtype=torch.float64) for c in columns))}
