"""Nested reverse mode: exact for every twice-differentiable torch function, and the reference
for all other backends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compiler.derivatives.interface import (
    DERIVATIVES,
    Field,
    Key,
    MultiIndex,
    Request,
    answer,
    order,
    parts,
)
from compiler.derivatives.layout import Axes, Layout
from operators.field import Capabilities
from operators.field import capabilities as capabilities_of
from pdespec.errors import Diagnostic, ProblemError, fail


@DERIVATIVES.register("autograd")
@dataclass(frozen=True)
class Autograd:
    """`d^a u_c` by repeated `torch.autograd.grad` of the sum over queries.

    One reverse sweep gives all first derivatives of one quantity, so a derivative is taken from the
    parent that most others share. The sum over queries is legitimate only where each value depends
    on its own query alone (P04 otherwise).
    """

    def refuse(
        self, request: Request, capabilities: Capabilities, layout: Layout | Axes | None
    ) -> Diagnostic | None:
        return refuse_mixing("autograd", request, capabilities)

    def points_per_query(self, request: Request) -> int:
        return 1

    def evaluate(
        self, field: Field, points: Tensor, request: Request, layout: Layout | Axes | None = None
    ) -> dict[Key, Tensor]:
        if (refused := self.refuse(request, capabilities_of(field), layout)) is not None:
            raise ProblemError(refused)
        needed = parts(request)
        if order(request) == 0:
            values = field(points)
            return answer(
                {(c, index): values[..., c] for c, indices in needed.items() for index in indices},
                request,
            )
        with torch.enable_grad():
            leaf = points.detach().requires_grad_() if not points.requires_grad else points
            values = field(leaf)
            found: dict[tuple[int, MultiIndex], Tensor] = {}
            for component, indices in needed.items():
                gradients: dict[MultiIndex, Tensor | None] = {}
                for index in indices:
                    found[component, index] = _derivative(
                        values[..., component], leaf, index, gradients
                    )
        return answer(found, request)


def _derivative(
    value: Tensor, points: Tensor, index: MultiIndex, gradients: dict[MultiIndex, Tensor | None]
) -> Tensor:
    """`d^index value`; `gradients[a]` remembers the gradient of `d^a value`.

    Raises: ProblemError B04 where the value itself has no graph to the points.
    """
    if not any(index):
        return value
    axis = max(k for k, count in enumerate(index) if count)
    parent = (*index[:axis], index[axis] - 1, *index[axis + 1 :])
    if parent not in gradients:
        quantity = _derivative(value, points, parent, gradients)
        gradients[parent] = (
            torch.autograd.grad(quantity.sum(), points, create_graph=True, allow_unused=True)[0]
            if quantity.requires_grad
            else None
        )
    gradient = gradients[parent]
    if gradient is None and not any(parent):
        raise fail(
            "B04",
            "the field does not depend on its coordinates",
            hint=(
                "compute the values from the `points` argument with torch operations, without"
                " .detach() or NumPy"
            ),
            cause="its derivative would be zero everywhere, which is never what a residual means",
        )
    # an affine field has no graph left above order one
    return torch.zeros_like(value) if gradient is None else gradient[..., axis]


def refuse_mixing(name: str, request: Request, capabilities: Capabilities) -> Diagnostic | None:
    """P04: an exact pointwise backend on a field whose values depend on the other queries."""
    if capabilities.pointwise or order(request) == 0:
        return None
    alternative = (
        "fourier or finite_difference on its grid" if capabilities.grid else "least_squares"
    )
    return Diagnostic(
        "P04",
        f"{name} cannot differentiate a field whose value at one query depends on the other"
        " queries",
        hint=f"use {alternative}, or a decoder that is pointwise in its queries (gino)",
        cause=(
            "the derivative of the sum over queries is then not du/dx but a sum of Jacobian columns"
        ),
    )
