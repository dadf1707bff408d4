"""A network of the position as an operator: whatever module takes points to values."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from operators.field import Ansatz, Capabilities, OperatorInput
from operators.jets import jet
from operators.jets.jet import Jet, JetSpace
from operators.layers.jet_rules import apply, missing


@dataclass(frozen=True)
class PointField:
    """u(x) = network(x), with the essential conditions of the ansatz. Jets pass where every module
    inside has a rule (`operators.layers.jet_rules`)."""

    network: nn.Module
    ansatz: Ansatz | None = None

    def __repr__(self) -> str:
        return f"<PointField of a {type(self.network).__name__}>"

    @property
    def capabilities(self) -> Capabilities:
        reason = missing(self.network)
        return Capabilities(taylor=not reason, reason=reason)

    def __call__(self, points: Tensor) -> Tensor:
        values = self.network(points)
        return values if self.ansatz is None else self.ansatz(points, values)

    def taylor(self, points: Tensor, space: JetSpace) -> Jet:
        """Value and the derivatives of `space` at once. Shapes: points (b, n, D) -> streams (b,
        n, c)."""
        values = apply(self.network, jet.cat(jet.coordinates(points, space))).dense()
        return values if self.ansatz is None else self.ansatz.jet(points, values)


class PointNetwork(nn.Module):
    """A caller's module from points to values as an operator that ignores its input. The module
    sees the user's coordinates as they are.

    Shapes: network (b, n, dim) -> (b, n, c); OperatorInput -> field (b, n, dim) -> (b, n, c).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: OperatorInput) -> PointField:
        return PointField(self.network, inputs.ansatz)
