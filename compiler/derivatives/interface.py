"""The interface of derivative backends: request, answer, and reasons for refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Protocol

from torch import Tensor

from compiler.derivatives.layout import Axes, Layout, recognise
from operators.field import Capabilities
from operators.field import capabilities as capabilities_of
from operators.jets.jet import MultiIndex
from operators.registry import Registry
from pdespec.errors import Diagnostic, ProblemError

# how often a derivative is taken along each of the D coordinates, time last
Key = tuple[int, MultiIndex | str]  # (component, multi-index) or (component, name of a form)
Field = Callable[[Tensor], Tensor]  # points (b, n, D) -> values (b, n, c)

DERIVATIVES: Registry = Registry("derivative backend")
"""Derivative backends by name: frozen dataclasses whose fields are their options."""


@dataclass(frozen=True)
class Form:
    """A linear operator `sum_a c_a d^a`, wanted as one number: the Laplacian is `{(2, 0): 1, (0,
    2): 1}`.

    Coefficients are numbers or tensors that broadcast against (b, n).
    """

    terms: Mapping[MultiIndex, float | Tensor]
    components: frozenset[int]


@dataclass(frozen=True)
class Request:
    """The derivatives that some residuals need at some points.

    `indices` holds per component the multi-indices, (0, ..., 0) being the value itself; `operators`
    names forms, which jets carry as one stream each and every other backend sums from their parts.
    """

    indices: Mapping[int, frozenset[MultiIndex]]
    operators: Mapping[str, Form] = field(default_factory=dict)


class Backend(Protocol):
    """One way to differentiate a field. Options are fields of a frozen dataclass;
    `DERIVATIVES[name]` is the class."""

    def refuse(
        self, request: Request, capabilities: Capabilities, layout: Layout
    ) -> Diagnostic | None:
        """Why this request cannot be met (P01 to P05, with the alternative), or None."""
        ...

    def points_per_query(self, request: Request) -> int:
        """How many values of the field one answer costs at scattered points; 1 where the points
        themselves are enough."""
        ...

    def evaluate(
        self, field: Field, points: Tensor, request: Request, layout: Layout | Axes | None = None
    ) -> dict[Key, Tensor]:
        """All requested derivatives at `points`, differentiable in the field's parameters by an
        ordinary backward.

        `layout` says what is known of the points: their layout, or only the periods and names of
        the coordinates, or nothing. Shapes: points "b n D"; every answer "b n". Raises:
        ProblemError with the diagnostic of `refuse`.
        """
        ...


def admit(
    backend: Backend,
    field: Field,
    points: Tensor,
    request: Request,
    layout: Layout | Axes | None = None,
) -> Layout:
    """The layout of the points, once the backend accepts them. Raises: ProblemError with its
    refusal."""
    if layout is None or isinstance(layout, Axes):
        layout = recognise(points, layout)
    if (refused := backend.refuse(request, capabilities_of(field), layout)) is not None:
        raise ProblemError(refused)
    return layout


def parts(request: Request) -> dict[int, tuple[MultiIndex, ...]]:
    """Per component every multi-index needed once forms are summed from their parts, sorted."""
    needed = {component: set(indices) for component, indices in request.indices.items()}
    for form in request.operators.values():
        for component in form.components:
            needed.setdefault(component, set()).update(form.terms)
    return {component: tuple(sorted(needed[component])) for component in sorted(needed)}


def order(request: Request) -> int:
    """The highest total order of derivative asked for."""
    return max((sum(index) for indices in parts(request).values() for index in indices), default=0)


def answer(
    derivatives: Mapping[tuple[int, MultiIndex], Tensor], request: Request
) -> dict[Key, Tensor]:
    """The answer to a request from its `parts`: forms summed, nothing returned that was not
    asked."""
    result: dict[Key, Tensor] = {
        (c, index): derivatives[c, index]
        for c, indices in request.indices.items()
        for index in sorted(indices)
    }
    for name, form in request.operators.items():
        for c in sorted(form.components):
            result[c, name] = reduce(
                add,
                (coefficient * derivatives[c, index] for index, coefficient in form.terms.items()),
            )
    return result


def spell(index: MultiIndex, names: tuple[str, ...]) -> str:
    """`(2, 1)` over x, y -> `dxxy`; no derivative at all is `value`."""
    return (
        "d" + "".join(name * count for name, count in zip(names, index, strict=True))
        if any(index)
        else "value"
    )
