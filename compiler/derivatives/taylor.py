"""Collapsed Taylor mode: derivative streams carried forward through the field, exact, one stream
per derivative or form."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from compiler.derivatives.autograd import refuse_mixing
from compiler.derivatives.interface import DERIVATIVES, Field, Key, Request
from compiler.derivatives.layout import Axes, Layout
from operators.field import Capabilities
from operators.field import capabilities as capabilities_of
from operators.jets.jet import JetSpace
from pdespec.errors import Diagnostic, ProblemError


@DERIVATIVES.register("taylor")
@dataclass(frozen=True)
class Taylor:
    """`d^a u` and `sum c_a d^a u` by jets through the field's own `taylor(points, space)`.

    Source: Bettencourt, Johnson, Duvenaud 2019 (Taylor mode); Dangel, Siebert, Zeinhofer, Walther
    2025 (collapsing).
    """

    def refuse(
        self, request: Request, capabilities: Capabilities, layout: Layout | Axes | None
    ) -> Diagnostic | None:
        if (refused := refuse_mixing("taylor", request, capabilities)) is not None:
            return refused
        if capabilities.taylor:
            return None
        return Diagnostic(
            "P01",
            "taylor needs a field that carries jets, this one only returns values",
            hint=(
                "use autograd, or a decoder made of operators.graph.gno, operators.layers.mlp"
                " layers"
            ),
            cause=capabilities.reason,
        )

    def points_per_query(self, request: Request) -> int:
        return 1

    def evaluate(
        self, field: Field, points: Tensor, request: Request, layout: Layout | Axes | None = None
    ) -> dict[Key, Tensor]:
        if (refused := self.refuse(request, capabilities_of(field), layout)) is not None:
            raise ProblemError(refused)
        jet = field.taylor(points, space(request))
        answers: dict[Key, Tensor] = {}
        for component, indices in request.indices.items():
            for index in indices:
                answers[component, index] = jet[index][..., component]
        for name, form in request.operators.items():
            for component in form.components:
                answers[component, name] = jet[name][..., component]
        return answers


def space(request: Request) -> JetSpace:
    """The streams of a request: everything asked, all that lies below it, and all that lies
    strictly below a form's indices."""
    needed = {index for indices in request.indices.values() for index in indices}
    return JetSpace.closure(needed, {name: form.terms for name, form in request.operators.items()})
