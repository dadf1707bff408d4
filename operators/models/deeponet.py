"""DeepONet: a field as a sum of learned functions of position, with coefficients that a network
reads off the input.

    u_c(x) = sum_k b_kc(input) t_k(x) + bias_c

The branch b reads the input at the nodes of a regular lattice of sensors. Scattered inputs reach
the sensors through a mollified graph layer, so that the operator needs no fixed points; known
functions of position are evaluated there. The trunk t is a network of the coordinates, or
"mollified": a mollified graph layer over trainable values on a lattice, t_k of class C^k of its
weight. Only the trunk depends on the query, so jets pass. All channels share the trunk's functions.
Source: Lu, Jin, Pang, Zhang, Karniadakis 2021 (Nature Machine Intelligence 3), equation 2, with
the shared trunk of Lu et al. 2022 (arXiv 2111.05512), section 3.1.6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from operators.field import Ansatz, Capabilities, OperatorInput
from operators.graph.gno import GNO
from operators.graph.grid import Lattice, cover
from operators.graph.neighbors import Edges
from operators.jets.jet import Jet, JetSpace
from operators.layers.mlp import MLP, seeded
from operators.models.gino import DecodedField, Encoder, EncoderOptions, encoder_options
from operators.models.pinn import NetworkField
from operators.options import Count, Positive, Widths, filled, takes

Trunk = Literal["mlp", "mollified"]


@dataclass(frozen=True)
class DeepONetField:
    """u(x) = t(x) @ b + bias: trunk functions with the coefficients of each sample.

    `latent`: the coefficients (b, basis, c), then the leaves of a mollified trunk.
    """

    trunk: NetworkField | DecodedField  # points (b, n, D) -> (b, n, basis)
    latent: tuple[Tensor, ...]
    bias: Tensor
    ansatz: Ansatz | None = None

    def __repr__(self) -> str:
        return f"<DeepONetField of {len(self.latent[0])} samples on {self.trunk!r}>"

    @property
    def capabilities(self) -> Capabilities:
        """Those of its trunk."""
        return self.trunk.capabilities

    def with_latent(self, latent: Sequence[Tensor]) -> DeepONetField:
        """The same trunk functions with other coefficients and leaves."""
        trunk = self.trunk
        if isinstance(trunk, DecodedField):
            trunk = trunk.with_latent(latent[1:])
        return replace(self, trunk=trunk, latent=tuple(latent))

    def plan(self, points: Tensor) -> Edges | None:
        """Neighbours of the points in a mollified trunk; nothing otherwise."""
        return self.trunk.plan(points) if isinstance(self.trunk, DecodedField) else None

    def __call__(self, points: Tensor, edges: Edges | None = None) -> Float[Tensor, "b n c"]:
        self._check(points)
        values = self._prepared(edges)(points) @ self.latent[0] + self.bias
        return values if self.ansatz is None else self.ansatz(points, values)

    def taylor(self, points: Tensor, space: JetSpace, edges: Edges | None = None) -> Jet:
        """Value and the derivatives of `space` at once. Shapes: points (b, n, D) -> streams (b,
        n, c)."""
        self._check(points)
        trunk = self.trunk
        functions = (
            trunk.taylor(points, space, edges)
            if isinstance(trunk, DecodedField)
            else trunk.taylor(points, space)
        )
        # broadcast streams have one row where the value has n; every one has all basis functions
        values = (functions.dense().map(lambda v: v @ self.latent[0]) + self.bias).dense()
        return values if self.ansatz is None else self.ansatz.jet(points, values)

    def _prepared(self, edges: Edges | None) -> Any:
        trunk = self.trunk
        return (lambda x: trunk(x, edges)) if isinstance(trunk, DecodedField) else trunk

    def _check(self, points: Tensor) -> None:
        batch = self.latent[0].shape[0]
        if points.dim() != 3 or points.shape[0] != batch:
            raise ValueError(f"this field takes points ({batch}, n, D), got {tuple(points.shape)}")


class MollifiedTrunk(nn.Module):
    """basis functions t(x) = P(sum_j q w(|x - y_j|^2 / r^2) kappa(x, y_j) v_j) of trainable values
    v_j at the nodes of a lattice over the box, padded by the radius: the decoder of a GINO without
    its operator. Shapes: () -> a field (b, n, dim) -> (b, n, basis).
    """

    def __init__(
        self,
        box: tuple[Sequence[float], Sequence[float]],
        options: DeepONetOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        dim, nodes = len(box[0]), options.nodes
        shape = (nodes,) * dim if isinstance(nodes, int) else tuple(nodes)
        self.lattice, radii = cover(box, shape, None, options.radius_in_spacings, options.periodic)
        width = options.trunk[-1]
        self.values = nn.Parameter(torch.randn(self.lattice.size, width, generator=generator))
        self.decoder = GNO(
            width,
            width,
            dim,
            radii,
            box=(self.lattice.lower, self.lattice.upper),
            period=self.lattice.period,
            generator=generator,
            weight=options.weight,
            kernel="polynomial",
            degree=1,
        )
        self.projection = MLP((width, options.basis), options.activation, generator)

    def forward(self, batch: int) -> DecodedField:
        nodes = self.lattice.points(self.values.dtype, self.values.device).repeat(batch, 1)
        prepared = self.decoder.prepare(nodes, self.values.repeat(batch, 1))
        leaves = tuple(v.unflatten(0, (batch, -1)) for v in prepared)
        return DecodedField(self.decoder, self.projection, self.lattice, nodes, leaves)


@dataclass(frozen=True, kw_only=True)
class DeepONetOptions:
    """A DeepONet apart from its channels, sensors and box."""

    basis: Count = 64  # functions of the trunk, shared by all channels
    branch: Widths = (128, 128)  # width of each inner layer of the branch
    trunk: Widths = (128, 128)  # width of each inner layer of the trunk; the last of its values
    kind: Trunk = "mlp"  # of the trunk
    activation: str = "gelu"
    periodic: Sequence[bool] = ()  # which axes wrap around; none by default
    feature_channels: int = 0  # channels of `OperatorInput.features`
    input_dim: int | None = None  # coordinates of the input; None: all `dim` of the output
    encoder: EncoderOptions | Mapping[str, Any] | None = None  # scattered inputs to the sensors
    weight: str = "quadweight"  # of a mollified trunk
    nodes: int | Sequence[int] = 20  # of its lattice, for all axes or one each
    radius_in_spacings: Positive = 3.0  # of that lattice


@takes(DeepONetOptions)
class DeepONet(nn.Module):
    """Operator by branch and trunk. Options are the fields of `DeepONetOptions`.

    `sensors`: nodes along each axis of the box at which the branch reads the input; `in_channels` =
    0 reads known functions alone. Shapes: OperatorInput of b samples -> field (b, n, dim) -> (b, n,
    out_channels). Raises: ValueError on inputs whose channels or dimensions do not fit, TypeError
    with the nearest name for an option that does not exist.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dim: int,
        sensors: Sequence[int] = (16, 16),
        box: tuple[Sequence[float], Sequence[float]] | None = None,
        *,
        options: DeepONetOptions | None = None,
        generator: torch.Generator | None = None,
        **names: Any,
    ) -> None:
        super().__init__()
        options = filled(DeepONetOptions, options, names, "DeepONet")
        generator = seeded(generator)
        if len(sensors) != dim:
            raise ValueError(
                f"a field of {dim} coordinates needs sensors along {dim} axes, got {tuple(sensors)}"
            )
        if options.kind not in ("mlp", "mollified"):
            raise ValueError(f"no trunk of kind {options.kind!r}; known: mlp, mollified")
        lower, upper = box or ((-1.0,) * dim, (1.0,) * dim)
        self.lower, self.upper = tuple(map(float, lower)), tuple(map(float, upper))
        self.periodic = tuple(options.periodic) or (False,) * dim
        self.sensors = Lattice(self.lower, self.upper, tuple(sensors), self.periodic)
        self.in_channels, self.feature_channels = in_channels, options.feature_channels
        self.input_dim = dim if options.input_dim is None else options.input_dim
        if not in_channels + self.feature_channels:
            raise ValueError("a DeepONet reads values or features; give one of them channels")
        self.encoder, width = None, self.sensors.size * self.feature_channels
        if in_channels:
            known = self.sensors.first(self.input_dim)
            self.encoder = Encoder(
                in_channels, known, 1, encoder_options(options.encoder), generator
            )
            width += known.size * (self.encoder.channels + 1)
        self.branch = MLP(
            (width, *options.branch, options.basis * out_channels), options.activation, generator
        )
        if options.kind == "mollified":
            self.trunk: nn.Module = MollifiedTrunk((self.lower, self.upper), options, generator)
        else:
            inputs = sum(2 if wraps else 1 for wraps in self.periodic)
            sizes = (inputs, *options.trunk, options.basis)
            self.trunk = MLP(sizes, options.activation, generator)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.basis, self.out_channels = options.basis, out_channels

    def forward(self, inputs: OperatorInput) -> DeepONetField:
        coefficients = self.coefficients(inputs)
        if isinstance(self.trunk, MollifiedTrunk):
            trunk = self.trunk(inputs.batch)
            latent = (coefficients, *trunk.latent)
        else:
            trunk = NetworkField(self.trunk, self.lower, self.upper, self.periodic)
            latent = (coefficients,)
        return DeepONetField(trunk, latent, self.bias, inputs.ansatz)

    def coefficients(self, inputs: OperatorInput) -> Float[Tensor, "b basis c"]:
        """What the branch makes of the input, over sqrt(basis): sums of unit size at the start."""
        points, values, parts = inputs.points, inputs.values, []
        if self.encoder is not None:
            if values.shape[-1] != self.in_channels or points.shape[-1] != self.input_dim:
                raise ValueError(
                    f"this DeepONet reads values with {self.in_channels} channels at points with"
                    f" {self.input_dim} coordinates, got {tuple(values.shape)} at"
                    f" {tuple(points.shape)}"
                )
            parts.append(self.encoder(points, values, inputs.measure).flatten(1))
        if self.feature_channels:
            nodes = self.sensors.points(points.dtype, points.device)
            parts.append(inputs.known_at(nodes, self.feature_channels).flatten(1))
        found = self.branch(torch.cat(parts, -1)) / math.sqrt(self.basis)
        return found.unflatten(-1, (self.basis, self.out_channels))
