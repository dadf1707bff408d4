"""One block of queries: its input columns, and its contribution to the loss terms.

A field is taken apart into what the blocks share (modules and latent tensors, which are
differentiated) and what each block is given as columns: points, known functions, the streams of its
ansatz. A block is then a function of tensors alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor, nn

from compiler.derivatives import Taylor, order
from compiler.derivatives.taylor import space
from compiler.loss.compiled_terms import BatchLike, CompiledTerms, PointSetLike
from compiler.loss.physics import PhysicsLoss
from compiler.lowering.coefficients import entry
from compiler.lowering.terms import JetVariable
from operators.field import Ansatz, Capabilities, PointFunction, built, jet_of
from operators.field import capabilities as capabilities_of
from operators.graph.neighbors import Edges
from operators.jets.jet import Jet, JetSpace
from pdespec.symbols import Scalar

COUPLED = ("integral", "error")  # kinds of terms that are no sums over points

Columns = dict[str, Float[Tensor, "b n ..."]]


def tile(samples: int, queries: int, block: int, separable: bool) -> tuple[int, int]:
    """Samples and queries of a tile of about `block` queries: part of one sample, or several small
    ones.

    Samples that are not `separable` stay together. Tiles are balanced: as small as their number
    allows.
    """
    together = min(samples, max(1, block // queries)) if separable else samples
    share = min(queries, max(1, block // together))
    return math.ceil(samples / math.ceil(samples / together)), math.ceil(
        queries / math.ceil(queries / share)
    )


def cut(size: int, step: int) -> Iterator[slice]:
    """Consecutive slices of `step`, the last one shorter where it does not divide."""
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


@dataclass(frozen=True)
class Parts:
    """A field taken apart, its ansatz aside so that the streams of that can be given as columns.

    `modules` hold its parameters and `latent` what its trunk handed over. Where there is a
    `reason`, neither is known: the blocks ask the field as it is, and what it depends on is found
    in the graph of its values.
    """

    field: Any
    capabilities: Capabilities
    modules: Mapping[str, nn.Module]
    latent: tuple[Tensor, ...]
    ansatz: Ansatz | None
    reason: str = ""

    @staticmethod
    def of(field: Any, loss: PhysicsLoss, program: CompiledTerms, batch: BatchLike) -> Parts:
        """The parts of a field, for one group of terms."""
        if not dataclasses.is_dataclass(field):
            return Parts.whole(field, "the field is not made of modules and latent tensors")
        if program.sides is not None:
            return Parts.whole(field, "the field is asked on both sides of an interface")
        if reason := learnable(field, loss, program, batch):
            return Parts.whole(field, reason)
        members = {f.name: getattr(field, f.name) for f in dataclasses.fields(field)}
        modules = {name: value for name, value in members.items() if isinstance(value, nn.Module)}
        latent = tuple(members.get("latent", ())) if hasattr(field, "with_latent") else ()
        ansatz = members.pop("ansatz", None)
        if not latent and any(opaque(value) for value in members.values()):
            return Parts.whole(
                field,
                "the field holds functions, or tensors with a history, and has no `with_latent`",
            )
        if (
            ansatz is not None
            and order(program.group.request)
            and not isinstance(program.group.options, Taylor)
        ):
            return Parts.whole(
                field, "autograd differentiates the functions of the ansatz, which are not modules"
            )
        return Parts(
            field if ansatz is None else replace(field, ansatz=None),
            capabilities_of(field),
            modules,
            latent,
            ansatz,
        )

    @staticmethod
    def whole(field: Any, reason: str) -> Parts:
        """A field as it is."""
        return Parts(field, capabilities_of(field), {}, (), None, reason)

    @property
    def separable(self) -> bool:
        """Whether some of the samples are a field, too."""
        return bool(self.latent)

    def with_latent(self, latent: Sequence[Tensor]) -> Any:
        """The field over other values of its latent tensors, such as leaves to differentiate in."""
        return self.field.with_latent(latent) if self.latent else self.field


def opaque(value: object) -> bool:
    """Whether a member of a field may hide parameters."""
    return (
        value.requires_grad
        if isinstance(value, Tensor)
        else callable(value) and not isinstance(value, nn.Module)
    )


def learnable(field: Any, loss: PhysicsLoss, program: CompiledTerms, batch: BatchLike) -> str:
    """What has a gradient in addition to the field, so that nothing may be computed ahead; empty
    where nothing has."""
    points = batch.points[program.group.points]
    for name, value in (
        *batch.params.items(),
        ("points", points.points),
        ("normals", points.normals),
        ("measure", points.measure),
    ):
        if isinstance(value, Tensor) and value.requires_grad:
            return f"`{name}` of the batch requires a gradient"
    first = points.points[:, :1]
    if (ansatz := getattr(field, "ansatz", None)) is not None and (
        ansatz.offset(first).requires_grad or ansatz.factor(first).requires_grad
    ):
        return "the ansatz has parameters of its own"
    components = {s.component for s in program.symbols if isinstance(s, JetVariable) and s.known}
    for declaration in loss.problem.inputs.values():
        if components.intersection(declaration.components):
            x = (
                first
                if declaration.time is not None
                else first[..., : len(loss.problem.coordinates)]
            )
            if batch.evaluate(declaration.name, x).requires_grad:
                return f"input `{declaration.name}` has parameters of its own"
    return ""


@dataclass(frozen=True)
class Block:
    """The terms of one group as a function of latent tensors and columns."""

    loss: PhysicsLoss
    program: CompiledTerms
    parts: Parts

    @cached_property
    def modules(self) -> Modules:
        """Everything that holds parameters."""
        return Modules(self.parts.modules, self.loss)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers by name, each once."""
        return {**dict(self.modules.named_parameters()), **dict(self.modules.named_buffers())}

    @cached_property
    def space(self) -> JetSpace | None:
        """The streams of the ansatz; None where its values are all that is needed."""
        return (
            space(self.program.group.request)
            if isinstance(self.program.group.options, Taylor)
            else None
        )

    @cached_property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """Everything a block is given as columns: what is known and not trainable."""
        return tuple(
            s
            for s in self.program.symbols
            if not self.trainable(s) and (s.known if isinstance(s, JetVariable) else True)
        )

    @cached_property
    def coupled(self) -> tuple[int, ...]:
        """Positions of the expressions whose term is not a sum over points."""
        return tuple(
            k
            for t in self.program.group.terms
            if t.kind in COUPLED
            for k in self.program.outputs(t)
        )

    def trainable(self, symbol: sp.Symbol) -> bool:
        """Whether a symbol is a number that is trained; it is no column, so that its gradient is
        found."""
        return isinstance(symbol, Scalar) and symbol.declaration.name in self.loss.trainables

    def columns(
        self, batch: BatchLike, queries: slice, slopes: Mapping[int, Float[Tensor, "b N"]]
    ) -> Columns:
        """What all samples read at some of their queries. `slopes`: of the coupled terms in
        their values "b n", where they are known."""
        points = batch.points[self.program.group.points]
        x, normals = (
            points.points[:, queries],
            None if points.normals is None else points.normals[:, queries],
        )
        found = {"points": x, **self._shares(points, queries)}
        found |= {f"share {k}": slope[:, queries] for k, slope in slopes.items()}
        if self.parts.reason:
            return found if normals is None else {**found, "normals": normals}
        with torch.no_grad():
            table = self.loss.known(batch, x, normals).values(self.symbols)
            found |= {
                f"known {k}": table[s].detach().expand(x.shape[:2])
                for k, s in enumerate(self.symbols)
            }
            if self.parts.ansatz is not None:
                for name in ("offset", "factor", "kinks"):
                    if (function := getattr(self.parts.ansatz, name)) is not None:
                        found |= self._streams(name, function, x)
        return found

    def _shares(self, points: PointSetLike, queries: slice) -> Columns:
        """Factor of every query in the sum that a term is: a mean over points and samples, or an
        integral by one over samples."""
        samples, count = points.points.shape[:2]
        every = points.points.new_ones(samples, count) if points.weights is None else points.weights
        mean = every[:, queries] / (samples * count)  # b n
        integral = points.measure[:, None] * mean  # b n
        terms = self.program.group.terms
        return {
            f"share {k}": integral if t.kind == "energy" else mean
            for t in terms
            for k in self.program.outputs(t)
        }

    def _streams(self, name: str, function: PointFunction, points: Tensor) -> Columns:
        if self.space is None:
            return {name: function(points)}
        return {
            f"{name} {key}": stream for key, stream in jet_of(function, points, self.space).items()
        }

    def neighbours(self, latent: Sequence[Tensor], columns: Columns) -> Edges | None:
        """Of the queries, for fields that look for them; None for others."""
        plan = getattr(self.parts.with_latent(latent), "plan", None)
        return None if plan is None else plan(columns["points"])

    def values(
        self,
        batch: BatchLike | None,
        latent: Sequence[Float[Tensor, "b ..."]],
        columns: Columns,
        edges: Edges | None,
    ) -> dict[int, Float[Tensor, "b n"]]:
        """Every expression of the group at the queries. A field that could not be taken apart
        needs the batch. Shapes: "b n"."""
        if batch is None:
            return self.loss.evaluate(
                self.program,
                self._field(latent, columns, edges),
                columns["points"],
                BlockCoefficients(self, columns),
            )
        known = self.loss.known(batch, columns["points"], columns.get("normals"))
        return self.loss.evaluate(self.program, self.parts.field, columns["points"], known)

    def _field(self, latent: Sequence[Tensor], columns: Columns, edges: Edges | None) -> Tiled:
        ansatz, names = self.parts.ansatz, ("offset", "factor", "kinks")
        streams = (
            None if ansatz is None or getattr(ansatz, name) is None else self._put(name, columns)
            for name in names
        )
        positive = () if ansatz is None else ansatz.positive
        field = self.parts.with_latent(latent)
        return Tiled(field, self.parts.capabilities, edges, *streams, positive=positive)

    def _put(self, name: str, columns: Columns) -> Tensor | Jet:
        if self.space is None:
            return columns[name]
        lower, operators = (
            {key: columns[f"{name} {key}"] for key in keys}
            for keys in (self.space.lower, self.space.operators)
        )
        return Jet(self.space, lower, operators)

    def sums(
        self, values: Mapping[int, Float[Tensor, "b n"]], columns: Columns
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, "r b"]]:
        """What the block adds to each term, and the share of it where each sample violates each
        expression of a requirement.

        A coupled term is linear here, with its slopes as shares. Shapes: "m", "r b".
        """
        totals: list[Tensor] = []
        violated: list[Tensor] = []
        for term in self.program.group.terms:
            parts = [(columns[f"share {k}"], values[k]) for k in self.program.outputs(term)]
            totals.append(
                torch.stack(
                    [(share * summand(term.kind, value)).sum() for share, value in parts]
                ).sum()
            )
            if term.kind == "requirement":
                violated += [(~(value > 0) * share).sum(1) for share, value in parts]
        points = columns["points"]
        return torch.stack(totals), torch.stack(violated) if violated else points.new_zeros(
            0, len(points)
        )


def summand(kind: str, value: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """What a term of this kind sums over its points."""
    if kind == "requirement":
        return torch.relu(-value).square()
    return value if kind == "energy" or kind in COUPLED else value.square()


@dataclass(frozen=True)
class Tiled:
    """A field at the queries of one tile: neighbours found, ansatz given."""

    field: Any
    capabilities: Capabilities
    edges: Edges | None
    offset: Any
    factor: Any
    kinks: Any = None
    positive: tuple[tuple[int, float], ...] = ()

    def __call__(self, points: Float[Tensor, "b n D"]) -> Float[Tensor, "b n c"]:
        return self._built(
            self.field(points) if self.edges is None else self.field(points, self.edges)
        )

    def taylor(self, points: Float[Tensor, "b n D"], space: JetSpace) -> Jet:
        """The jet of the field at the points, ansatz included. Shapes: points "b n D" -> streams "b
        n c"."""
        return self._built(
            self.field.taylor(points, space)
            if self.edges is None
            else self.field.taylor(points, space, self.edges)
        )

    def _built(self, values: Any) -> Any:
        if self.offset is None:
            return values
        return built(self.offset, self.factor, self.kinks, values, self.positive)


@dataclass(frozen=True)
class BlockCoefficients:
    """What a block knows, read from its columns; trainable scalars from the loss."""

    block: Block
    columns: Columns

    @property
    def points(self) -> Float[Tensor, "b n D"]:
        """The queries of the block. Shapes: "b n D"."""
        return self.columns["points"]

    def values(self, symbols: tuple[sp.Symbol, ...]) -> dict[sp.Symbol, Float[Tensor, "*_"]]:
        """What the symbols stand for at the queries. Shapes: each broadcasts to "b n"."""
        table = {
            s: self.columns[f"known {k}"] for k, s in enumerate(self.block.symbols) if s in symbols
        }
        for symbol in filter(self.block.trainable, symbols):
            table[symbol] = entry(self.block.loss.trainables[symbol.declaration.name], symbol).to(
                self.points
            )
        return table


class Modules(nn.Module):
    """The modules of a field and the loss under one roof, so that their tensors can be exchanged
    while a function runs."""

    def __init__(self, modules: Mapping[str, nn.Module], loss: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(dict(modules))
        self.loss = loss

    def forward(self, function: Callable[[], Any]) -> Any:
        return function()
