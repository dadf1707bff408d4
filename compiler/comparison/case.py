"""One problem and field with the points and exact derivatives that backends are compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compiler.derivatives import (
    DERIVATIVES,
    Autograd,
    Backend,
    FiniteDifference,
    Fourier,
    Key,
    LeastSquares,
    MultiIndex,
    Request,
    Taylor,
)
from compiler.geometry.metrics import domain
from compiler.loss.blocks.dependencies import leaves
from compiler.loss.physics import PhysicsLoss
from compiler.lowering.exact_solution import ExactSolution, exact_solution
from compiler.lowering.terms import letters
from compiler.matching import told
from operators.field import capabilities as capabilities_of
from operators.graph.grid import Lattice
from pdespec.statements.problem import Problem

Field = Callable[[Tensor], Tensor]
BLOCK = 256  # points a sample for which nested autograd is held in memory at once


@dataclass(frozen=True)
class Comparison:
    """A backend, the points it is tried on and the loss that uses it."""

    label: str
    backend: Backend
    points: Tensor
    loss: PhysicsLoss


@dataclass(frozen=True)
class Case:
    """What all backends are tried on: a field, the points of a batch and a grid, and what the
    residuals need of it."""

    loss: PhysicsLoss  # by autograd, the exact one
    field: Field
    batch: Any
    request: Request
    scattered: Tensor
    grid: Tensor
    exact: ExactSolution | None

    @staticmethod
    def of(
        problem: Problem,
        field: Field,
        batch: Any,
        exact: ExactSolution | Mapping[str, object] | None = None,
    ) -> Case:
        """The trial of a field on a batch."""
        loss = PhysicsLoss(problem, "autograd")
        needed: dict[int, set[MultiIndex]] = {}
        for term in loss.strong:
            for jet in term.jet_variables():
                if not jet.known:
                    needed.setdefault(loss.components.index(jet.component), set()).add(jet.index)
        request = Request({c: frozenset(indices) for c, indices in sorted(needed.items())})
        scattered = batch.points[domain(problem).name].points
        lattice = capabilities_of(field).grid or cover(problem, batch, scattered.shape[1])
        grid = (
            lattice.points(scattered.dtype, scattered.device)
            .expand(len(scattered), -1, -1)
            .contiguous()
        )
        with told(field, scattered), torch.no_grad():
            field(grid if capabilities_of(field).grid else scattered[:, :1])
        if exact is None and isinstance(field, ExactSolution):
            exact = field
        elif exact is None and problem.references:
            exact = exact_solution(problem, problem.references, batch.params)
        elif exact is not None and not isinstance(exact, ExactSolution):
            exact = exact_solution(problem, exact, batch.params)
        return Case(loss, field, batch, request, scattered, grid, exact)

    @property
    def pointwise(self) -> bool:
        """Whether autograd in the points is the derivative of the field, so that an exact answer
        is known."""
        return capabilities_of(self.field).pointwise

    @property
    def keys(self) -> list[tuple[int, MultiIndex]]:
        """Every derivative asked for, the values left out, lowest orders first."""
        found = [
            (c, index)
            for c, indices in self.request.indices.items()
            for index in indices
            if any(index)
        ]
        return sorted(found, key=lambda key: (key[0], sum(key[1]), key[1]))

    @property
    def orders(self) -> dict[str, int]:
        """The order of each derivative that the residuals need, by its written name."""
        return {self.name(c, index): sum(index) for c, index in self.keys}

    def name(self, component: int, index: MultiIndex) -> str:
        """A derivative as it is written in tables: `u_xx`."""
        return f"{self.loss.components[component]}_{letters(index, self.loss.names)}"

    def contests(self, chosen: str | Backend) -> list[Comparison]:
        """A backend with each set of points it is tried on."""
        if not isinstance(chosen, str):
            label = next(
                (name for name, kind in DERIVATIVES.items() if isinstance(chosen, kind)),
                type(chosen).__name__,
            )
            anywhere = (
                isinstance(chosen, (Autograd, Taylor, LeastSquares))
                or getattr(chosen, "mode", "grid") != "grid"
            )
            return [self._contest(label, chosen, self.scattered if anywhere else self.grid)]
        if chosen == "finite_difference":
            stencil, grid = FiniteDifference(mode="stencil"), FiniteDifference(mode="grid")
            return [
                self._contest(chosen, stencil, self.scattered),
                self._contest(chosen, grid, self.grid),
            ]
        if chosen == "fourier":
            period = self.loss.axes.period
            if any(period) and not all(period):
                return [
                    self._contest(
                        "fourier, else finite_difference",
                        Fourier(rest=FiniteDifference(order=4)),
                        self.grid,
                    )
                ]
        on_grid = chosen in ("fourier", "fourier_continuation") or not self.pointwise
        return [
            self._contest(chosen, DERIVATIVES[chosen](), self.grid if on_grid else self.scattered)
        ]

    def _contest(self, label: str, backend: Backend, points: Tensor) -> Comparison:
        return Comparison(label, backend, points, PhysicsLoss(self.loss.problem, backend))

    def exact_derivatives(
        self, points: Tensor, request: Request | None = None
    ) -> dict[Key, Tensor]:
        """Derivatives of the field by autograd, in blocks; by default all that the residuals
        need. Shapes: points "b n D" -> "b n" each."""
        blocks = [
            Autograd().evaluate(self.field, part, request or self.request)
            for part in points.split(BLOCK, 1)
        ]
        return {key: torch.cat([block[key].detach() for block in blocks], 1) for key in blocks[0]}

    def exact_residuals(self, points: Tensor, field: Field | None = None) -> dict[str, Tensor]:
        """Residuals of the field, or of another one, by autograd, in blocks. Shapes: points "b n
        D" -> "b n k" each."""
        blocks = [self.residuals(self.loss, part, field) for part in points.split(BLOCK, 1)]
        return {
            label: torch.cat([block[label].detach() for block in blocks], 1) for label in blocks[0]
        }

    def errors(
        self, found: Mapping[Key, Tensor], exact: Callable[[int, MultiIndex], Tensor]
    ) -> dict[str, float]:
        """Relative root mean square error of every derivative, by name."""
        return {self.name(*key): relative(found[key], exact(*key)) for key in self.keys}

    def residuals(
        self, loss: PhysicsLoss, points: Tensor, field: Field | None = None
    ) -> dict[str, Tensor]:
        """The residual of every equation at the points. Shapes: "b n k" each."""
        inputs = {
            name: lambda x, name=name: self.batch.evaluate(name, x) for name in loss.problem.inputs
        }
        return loss.residuals(field or self.field, points, inputs, self.batch.params)

    def step(self, contest: Comparison) -> Callable[[], None]:
        """A backend's share of a training step: the mean square residual and its gradient in all
        that the field was made from.

        Where a field separates its latent tensors from its decoder, those are the leaves: the trunk
        costs every backend the same.
        """
        field: Any = self.field
        if hasattr(field, "with_latent"):
            field = field.with_latent([latent.detach().requires_grad_() for latent in field.latent])
        probe = field(contest.points)
        parameters = leaves(probe) if probe.requires_grad else ()

        def work() -> None:
            loss = (
                torch.cat(list(self.residuals(contest.loss, contest.points, field).values()), -1)
                .square()
                .mean()
            )
            if parameters:
                torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)

        return work


def cover(problem: Problem, batch: Any, count: int) -> Lattice:
    """A lattice of about `count` nodes: over a box domain and the whole time, else over a cube
    inside the domains of all samples.

    The cube is inscribed in the largest ball about one of the batch's points that fits every
    sample.
    """
    region = domain(problem)
    lower, upper = getattr(region.shape, "lower", ()), getattr(region.shape, "upper", ())
    numbers = [*lower, *upper]
    if numbers and all(number.is_number for number in numbers):
        low, high = [float(x) for x in lower], [float(x) for x in upper]
    else:
        geometry = batch.geometry[region.name]
        space = len(problem.coordinates)
        candidates = batch.points[region.name].points[:1, :, :space].expand(batch.size, -1, -1)
        depth = -geometry.signed_distance(candidates).amax(0)
        centre = candidates[0, int(depth.argmax())]
        half = 0.98 * float(depth.max()) / math.sqrt(space)
        low, high = (centre - half).tolist(), (centre + half).tolist()
    periodic = [c.name in region.periodic for c in problem.coordinates]
    if problem.time is not None:
        low, high, periodic = (
            [*low, float(problem.time.start)],
            [*high, float(problem.time.end)],
            [*periodic, problem.time.periodic],
        )
    # what a continuation of 6 points at either end needs
    per_axis = max(round(count ** (1 / len(low))), 12)
    return Lattice(tuple(low), tuple(high), (per_axis,) * len(low), tuple(periodic))


def rms(values: Tensor) -> float:
    """Root mean square."""
    return float(values.detach().double().square().mean().sqrt())


def relative(found: Tensor, exact: Tensor) -> float:
    """Root mean square of the error over that of the exact values; the error itself where those
    vanish."""
    size = rms(exact)
    return rms(found.double() - exact.double()) / (size if size > 0 else 1.0)
