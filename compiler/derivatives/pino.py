"""The derivatives of a physics-informed Fourier operator: spectral where the data repeat, central
differences elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from compiler.derivatives.finite_difference import FiniteDifference
from compiler.derivatives.fourier import Fourier
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
from compiler.derivatives.precision import TOLERANCE
from operators.field import Capabilities
from pdespec.errors import Diagnostic


@DERIVATIVES.register("pino")
@dataclass(frozen=True)
class PINO:
    """`Fourier(rest=FiniteDifference(order=2))` on the grid of a Fourier operator: for Burgers'
    equation a transform in x and differences in t.

    The public code lowers the residual at inner times alone; here the first and last have one-sided
    formulas of the same order. Source: Li et al. 2021 (arXiv 2111.03794), section 3.2; its code
    for Burgers' equation.
    """

    name: ClassVar[str] = "pino"

    order: int = 2
    tolerance: float = TOLERANCE

    @property
    def whole(self) -> Fourier:
        """The backend that it stands for."""
        rest = FiniteDifference(self.order, "grid", tolerance=self.tolerance)
        return Fourier(rest=rest, tolerance=self.tolerance)

    def accuracy(self, index: MultiIndex) -> float:
        """Power of the spacing in the error, along axes that do not repeat."""
        return self.order

    def points_per_query(self, request: Request) -> int:
        return self.whole.points_per_query(request)

    def refuse(
        self, request: Request, capabilities: Capabilities, layout: Layout
    ) -> Diagnostic | None:
        return None if order(request) == 0 else self.whole.refuse(request, capabilities, layout)

    def evaluate(
        self, field: Field, points: Tensor, request: Request, layout: Layout | Axes | None = None
    ) -> dict[Key, Tensor]:
        if order(request) == 0:  # values are had anywhere: those of an initial condition
            values = field(points)
            zero = (0,) * points.shape[-1]
            return answer({(c, zero): values[..., c] for c in parts(request)}, request)
        return self.whole.evaluate(field, points, request, layout)
