"""The value of a functional at any field, on the meshes of a reference solution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from compiler.fem.discrete.assemble import Assembly, State, assembly
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.errors import SolverError
from compiler.fem.solution import SampleSolution, Solution
from compiler.fem.solve import Prepared, prepare
from pdespec.rules.freedom import normalisations
from pdespec.statements.problem import Problem
from pdespec.statements.statements import IntegralRequirement


def energy_of(
    problem: Problem, batch, truth: Solution, field: Callable[[Tensor], Tensor]
) -> Tensor:
    """The functional that the problem makes minimal, at a field interpolated to the nodes of the
    reference's elements.

    Both are then functions of one finite-dimensional space, of which the reference is a minimum: no
    field near it has less energy. `batch` is the one that `truth` was solved for, `field` any
    function of points "b n d". Infinite where a field leaves a requirement (J > 0) unmet at a
    quadrature point. A field is normalised first where the problem fixes its size alone (a ground
    state). Shapes: "b", float64. Raises: SolverError for a problem without a functional.
    """
    prepared = prepare(problem)
    if not prepared.form.energy:
        raise SolverError(f"`{problem.name}` makes no functional minimal or stationary")
    batch, found = batch.to("cpu", torch.float64), []
    for k, sample in enumerate(truth.samples):
        parts = assembly(
            prepared.form, sample.spaces, prepared.kernels, Coefficients(problem, batch.select([k]))
        )
        vector = interpolated(sample, lambda x, k=k: field(x.expand(len(truth.samples), -1, -1))[k])
        state = State((normalised(problem, prepared, parts, vector),))
        found.append(parts.energy(state) if parts.allowed(state) else np.inf)
    return torch.tensor(found, dtype=torch.float64)


def normalised(
    problem: Problem, prepared: Prepared, parts: Assembly, vector: np.ndarray
) -> np.ndarray:
    """The coefficients of the multiple of a function that meets the requirements of
    `pdespec.rules.freedom.normalisations`: what a loss sees.
    """
    numbers = [
        k for k, each in enumerate(problem.requirements, 1) if isinstance(each, IntegralRequirement)
    ]
    levels = dict(zip(numbers, prepared.levels, strict=True))
    result = vector.copy()
    for each in normalisations(problem):
        level = levels[each.number]
        (density,) = parts.values(level.density, level.gauge.region, State((vector,)))
        size = float(np.sum(density * parts.spaces.places[level.gauge.region].weights))
        scale = (
            (parts.known.number(level.gauge.value) / size) ** (1 / each.degree) if size > 0 else 1.0
        )
        for component in (c for name in each.unknowns for c in problem.unknowns[name].components):
            result[parts.spaces.numbers(component)] *= scale
    return result


def interpolated(sample: SampleSolution, field: Callable[[Tensor], Tensor]) -> np.ndarray:
    """The coefficients of the interpolant of a field "1 n d" -> "n c" in the space of a
    solution."""
    spaces = sample.spaces
    vector = np.zeros(spaces.size)
    for channel, component in enumerate(sample.components):
        nodes = torch.from_numpy(np.ascontiguousarray(spaces.nodes(component).T))[None]
        with torch.no_grad():
            vector[spaces.numbers(component)] = field(nodes)[:, channel].double().cpu().numpy()
    return vector
