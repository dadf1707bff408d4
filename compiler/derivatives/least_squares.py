"""Finite differences on point clouds: stencils from polynomial exactness over the nearest
neighbours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from compiler.derivatives.interface import (
    DERIVATIVES,
    Field,
    Key,
    MultiIndex,
    Request,
    admit,
    answer,
    order,
    parts,
    spell,
)
from compiler.derivatives.layout import Axes, GriddedPoints, Layout, ScatteredPoints, recognise
from compiler.derivatives.precision import TOLERANCE, RoundOff
from operators.field import Capabilities
from pdespec.errors import Diagnostic, ProblemError, fail

WORST = 0.5  # expected relative error of a third or higher derivative from which on it says nothing
TOLD = 0.1  # above which the user is warned


@DERIVATIVES.register("least_squares")
@dataclass(frozen=True)
class LeastSquares:
    """`d^a u(x) = sum_i w_i u(x_i)` over the k points nearest to x, exact for polynomials up to
    `degree`.

    The weights are the shortest vector that satisfies `sum_i w_i p(x_i) = d^a p(x)` for every
    monomial p, which is also the derivative of the polynomial fitted to the neighbours. Monomials
    are scaled by the reach of the neighbours along each axis, so that the system is as well
    conditioned at a spacing of 1e-4 as at 1.

    `degree` is 2 by default for first and second derivatives, and one more than the order of higher
    ones (their order, where points are few). Derivatives of an order above a degree that was asked
    for are derivatives of derivatives, whose error need not vanish. From order 3 on they are
    refused (P07) where the error expected exceeds a fifth of `worst`; the loss refuses others
    beyond `worst`. `neighbours` counts the point itself; by default 5/2 of the number of monomials,
    which reaches enough rows of points at the edge of a lattice. `scale` are the lengths by which
    coordinates are divided before distances are taken, by default the extent of the cloud along
    each axis.

    Source: Lin et al. (2025), arXiv 2504.08277, Appendix E: `degree=1` is its first-order scheme,
    repeated for second derivatives; `degree=2` its "similar strategy" for them.
    """

    name: ClassVar[str] = "least_squares"

    degree: int | None = None
    neighbours: int | None = None
    scale: tuple[float, ...] | None = None
    tolerance: float = TOLERANCE
    worst: float = WORST

    def __post_init__(self) -> None:
        if self.degree is not None and self.degree < 1:
            raise ValueError(
                f"least_squares fits polynomials of degree 1 or more; got degree={self.degree}"
            )

    def accuracy(self, index: MultiIndex) -> float:
        """Power of the spacing in the error on a cloud without symmetry; 0 where a repeated
        derivative need not converge."""
        return max((self.degree or default_degree(sum(index))) + 1 - sum(index), 0)

    def settled(self, top: int, dim: int, total: int) -> LeastSquares:
        """With degree and neighbours for derivatives up to an order from a number of points."""
        degree, neighbours = self.degree or default_degree(top), self.neighbours
        if (
            self.degree is None
            and neighbours is None
            and top > 2
            and total < 5 * len(monomials(dim, degree)) // 2
        ):
            fewer = len(monomials(dim, top))
            if total >= 3 * fewer // 2:
                degree, neighbours = top, min(total, 5 * fewer // 2)
        return replace(
            self, degree=degree, neighbours=neighbours or 5 * len(monomials(dim, degree)) // 2
        )

    def points_per_query(self, request: Request) -> int:
        return 1

    def refuse(
        self, request: Request, capabilities: Capabilities, layout: Layout
    ) -> Diagnostic | None:
        dim = len(layout.names)
        own = self.settled(order(request), dim, layout.count)
        total, k, least = layout.count, own.neighbours or 0, len(monomials(dim, own.degree or 0))
        if k < least:
            return Diagnostic(
                "P01",
                f"least_squares of degree {own.degree} in {dim} coordinates needs at least {least}"
                f" neighbours, got {k}",
                hint=f"use neighbours={2 * least}",
            )
        if total < k:
            return Diagnostic(
                "P01",
                f"least_squares takes {k} neighbours, got {total} points",
                hint=(
                    "give more points, or use taylor, or finite_difference with its stencil of"
                    " extra queries"
                ),
            )
        roundoff = self.roundoff(layout)
        return roundoff.refuse(roundoff.expected(request))

    def roundoff(self, layout: Layout) -> RoundOff:
        """By the mean distance of the points."""
        axes = sum(extent > 0 for extent in layout.extent)
        spacing = tuple(
            extent / layout.count ** (1 / max(axes, 1)) or 1.0 for extent in layout.extent
        )
        return RoundOff(
            self.name, spacing, layout, self.tolerance, "use taylor, which takes no differences"
        )

    def evaluate(
        self, field: Field, points: Tensor, request: Request, layout: Layout | Axes | None = None
    ) -> dict[Key, Tensor]:
        layout = admit(self, field, points, request, layout)
        values = field(points)  # b n c
        needed = {index for indices in parts(request).values() for index in indices}
        known: dict[MultiIndex, Tensor] = {(0,) * points.shape[-1]: values}
        if any(any(index) for index in needed):
            own = self.settled(order(request), points.shape[-1], layout.count)
            neighbours, weights = own.stencils(points, layout)
            if 3 <= order(request) > own.degree:
                own.judged(own._wave(points, needed, layout, neighbours, weights), layout)
            for index in sorted(needed, key=sum):
                own._derivative(index, known, neighbours, weights)
        found = {
            (c, index): known[index][..., c]
            for c, indices in parts(request).items()
            for index in indices
        }
        self.roundoff(layout).check(found, values, points)
        return answer(found, request)

    def expected(
        self, points: Tensor, request: Request, layout: Layout | Axes | None = None
    ) -> dict[MultiIndex, float]:
        """The relative error of every derivative at these points, found for one wave across them
        along every axis: root mean square over the points. It grows with the number of waves as the
        power `accuracy` of it.
        """
        layout = (
            layout
            if isinstance(layout, (GriddedPoints, ScatteredPoints))
            else recognise(points, layout)
        )
        needed = {index for indices in parts(request).values() for index in indices}
        own = self.settled(order(request), points.shape[-1], layout.count)
        return own._wave(points, needed, layout, *own.stencils(points, layout))

    def _wave(
        self,
        points: Tensor,
        needed: set[MultiIndex],
        layout: Layout,
        neighbours: Tensor,
        weights: dict[MultiIndex, Tensor],
    ) -> dict[MultiIndex, float]:
        x = points.detach().double()
        lengths = [extent or math.inf for extent in layout.extent]
        numbers = [2 * math.pi / length for length in lengths]
        phase = ((x - x.amin((0, 1))) * x.new_tensor(numbers)).sum(-1) + 0.3  # no special place
        known: dict[MultiIndex, Tensor] = {(0,) * x.shape[-1]: phase.sin()[..., None]}
        exactly = {index: weight.detach().double() for index, weight in weights.items()}
        errors = {}
        for index in sorted(needed, key=lambda index: (sum(index), index)):
            size = math.prod(number**count for number, count in zip(numbers, index, strict=True))
            if any(index) and size > 0:
                found = self._derivative(index, known, neighbours, exactly)[..., 0] / size
                exact = (phase + sum(index) * math.pi / 2).sin()
                errors[index] = float(
                    (found - exact).square().mean().sqrt() / exact.square().mean().sqrt()
                )
        return errors

    def judged(self, expected: Mapping[MultiIndex, float], layout: Layout) -> Diagnostic | None:
        """P07 as a warning where the error expected of a derivative exceeds `TOLD`. Raises:
        ProblemError P07 where it exceeds `worst` at an order from 3 on.
        """
        index = max(expected, key=lambda index: (expected[index], index), default=None)
        if index is None or not expected[index] > TOLD:
            return None
        power, name, top = self.accuracy(index), spell(index, layout.names), sum(index)
        limit = self.worst if power else self.worst / 5
        hopeless = top >= 3 and not expected[index] <= limit
        falls = (
            f"it falls as the spacing to the power {power:g}"
            if power
            else "repeated derivatives do not converge with the spacing"
        )
        more = "take more points" if power else f"leave degree out, or give {top + 1}"
        found = Diagnostic(
            "P07",
            f"least_squares of degree {self.degree or default_degree(top)}: {name} of a field with"
            f" one wave across the {layout.count} points is expected to be off by"
            f" {100 * expected[index]:.2g} %",
            f"{more}, or use taylor or autograd, or finite_difference with its stencil of extra"
            " queries",
            falls + (f"; at most {100 * limit:g} % is accepted (option worst)" if hopeless else ""),
            severity="error" if hopeless else "warning",
        )
        if hopeless:
            raise ProblemError(found)
        return found

    def stencils(self, points: Tensor, layout: Layout) -> tuple[Tensor, dict[MultiIndex, Tensor]]:
        """Neighbours (b, n, k) of every point and, for each monomial up to the degree, the weights
        (b, n, k) of its derivative.

        Raises: ProblemError P01 where the neighbours of a point do not determine the polynomial.
        """
        if self.degree is None or self.neighbours is None:
            return self.settled(0, points.shape[-1], points.shape[1]).stencils(points, layout)
        x = points.detach().to(torch.float64)
        dim = x.shape[-1]
        scale = x.new_tensor(self.scale or [extent or 1.0 for extent in layout.extent])
        neighbours = nearest_points(x / scale, self.neighbours)
        # b n k d; exact: neighbours differ by less than they measure
        gap = gather(x, neighbours) - x[:, :, None, :]
        reach = gap.abs().amax(2)  # b n d
        z = gap / torch.where(reach > 0, reach, torch.ones_like(reach))[:, :, None, :]
        indices = monomials(dim, self.degree)
        system = torch.stack([monomial(z, index) for index in indices], dim=2)  # b n m k
        u, s, vh = torch.linalg.svd(system, full_matrices=False)
        self._check_rank(s, points, layout)
        # b n k m: pseudo-inverse of a system of full row rank
        inverse = vh.mT @ (u.mT / s[..., None])
        weights = {}
        for column, index in enumerate(indices):
            units = torch.stack(
                [reach[..., axis] ** count for axis, count in enumerate(index)]
            ).prod(0)
            weights[index] = (inverse[..., column] / units[..., None]).to(points.dtype)  # b n k
        return neighbours, weights

    def _check_rank(self, s: Tensor, points: Tensor, layout: Layout) -> None:
        # half the digits of the field's values would go into separating the monomials
        ratio = s[..., -1] / s[..., 0]
        bad = (ratio < math.sqrt(torch.finfo(points.dtype).eps)).nonzero()
        if not len(bad):
            return
        sample, point = bad[0].tolist()
        place = ", ".join(
            f"{name} = {value:.6g}"
            for name, value in zip(layout.names, points[sample, point].tolist(), strict=True)
        )
        shape = "a line" if self.degree == 1 else f"a curve of degree {self.degree}"
        raise fail(
            "P01",
            f"least_squares: the {self.neighbours} neighbours of point {point} ({place}) of sample"
            f" {sample} do not determine a polynomial of degree {self.degree}",
            hint="raise neighbours, lower degree, remove repeated points, or use taylor",
            cause=(
                f"they coincide or lie on {shape} (smallest singular value"
                f" {float(ratio[sample, point]):.1g} of the largest); {len(bad)}"
                f" point{'s' * (len(bad) != 1)} of {ratio.numel()} like this"
            ),
        )

    def _derivative(
        self,
        index: MultiIndex,
        known: dict[MultiIndex, Tensor],
        neighbours: Tensor,
        weights: dict[MultiIndex, Tensor],
    ) -> Tensor:
        """`d^index` of all components; what exceeds the degree is peeled off and taken first."""
        if index not in known:
            step = index
            while sum(step) > max(map(sum, weights)):
                axis = max(range(len(step)), key=lambda k: step[k])
                step = (*step[:axis], step[axis] - 1, *step[axis + 1 :])
            rest = tuple(a - b for a, b in zip(index, step, strict=True))
            inner = self._derivative(rest, known, neighbours, weights)
            # sum over the k neighbours of each of n points
            known[index] = torch.einsum("bnk,bnkc->bnc", weights[step], gather(inner, neighbours))
        return known[index]


def default_degree(top: int) -> int:
    """Of the polynomial for derivatives up to an order: the error of the highest falls with the
    spacing, from 3 on with its square."""
    return 2 if top <= 2 else top + 1


def monomials(dim: int, degree: int) -> tuple[MultiIndex, ...]:
    """All multi-indices of total order up to `degree`, by order."""
    box = itertools.product(range(degree + 1), repeat=dim)
    return tuple(
        sorted(
            (index for index in box if sum(index) <= degree), key=lambda index: (sum(index), index)
        )
    )


def monomial(z: Tensor, index: MultiIndex) -> Tensor:
    """`z^a / a!`, whose derivative of order a is 1.

    Shapes: z "... d" -> "...".
    """
    factors = [
        z[..., axis] ** count / math.factorial(count) for axis, count in enumerate(index) if count
    ]
    return math.prod(factors[1:], start=factors[0]) if factors else torch.ones_like(z[..., 0])


def nearest_points(x: Tensor, k: int) -> Tensor:
    """Indices of the k points nearest to each point of its own sample, nearest first.

    Shapes: x "b n d" -> "b n k".
    """
    found = [
        KDTree(sample).query(sample, k)[1].reshape(len(sample), k) for sample in x.cpu().numpy()
    ]
    return torch.as_tensor(np.stack(found), dtype=torch.long, device=x.device)


def gather(values: Tensor, neighbours: Tensor) -> Tensor:
    """Values at the neighbours.

    Shapes: values "b n c", neighbours "b n k" -> "b n k c".
    """
    sample = torch.arange(len(values), device=values.device)[:, None, None]
    return values[sample, neighbours]
