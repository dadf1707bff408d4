"""A domain in numbers: distances, normals, points and measures, for a batch of samples whose shapes
differ.

Everything is differentiable in points and in the params of the shape, in float32 and float64, on
every device. The rules of each shape are in `compiler.geometry.shapes`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import sympy as sp
import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from compiler.chance import Chance, untraced
from compiler.geometry.shapes import (
    Ambient,
    Body,
    Numbers,
    Piece,
    Selection,
    bind,
    everything,
    extent,
)
from compiler.geometry.shapes.blend import conjunctions, norm, weights
from compiler.geometry.shapes.combine import Combined
from compiler.geometry.shapes.meshfile import absent, contents
from compiler.geometry.shapes.piece import whole, zeros
from compiler.geometry.shapes.portion import EVERYTHING, Portion, bounded, without
from pdespec.errors import fail, suggestion
from pdespec.geometry import Boundary, Domain, Region, coincide, shape_symbols
from pdespec.laws import median, truncated_support
from pdespec.symbols import Param, Scalar

FEW = 4096  # points of a sequence that are kept for who asks for the same ones again
MOST_CANDIDATES = 1 << 20  # points tried per sample before a shape counts as empty


@dataclass(frozen=True)
class Facts:
    """`share`: what a domain fills of its box at least. `apart`: whether every hole lies well
    inside of what it is cut from."""

    share: float
    apart: bool


@dataclass(frozen=True)
class Geometry:
    """The domain of each sample of a batch.

    Shapes: params "b" each, "b k" where sized; points "b n d"; results "b n" for functions, "b n d"
    for vectors, "b" for measures. Raises: ProblemError B01 for points of the wrong shape, B02 for
    another dtype or device, B03 for a param that is not given.

    `facts` are what holds whatever the params are. With them nothing that is computed is decided
    by the numbers of a sample, as in a program that is traced.
    """

    domain: Domain
    params: Mapping[str, Tensor] = field(default_factory=dict)
    size: int = 1
    dtype: torch.dtype = torch.float32
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    facts: Facts | None = None

    def __repr__(self) -> str:
        names = f"; params {', '.join(self.params)}" if self.params else ""
        return f"<Geometry of {self.domain.name} in {self.domain.dim}D: {self.size} samples{names}>"

    def signed_distance(self, points: Tensor) -> Tensor:
        """Signed distance to the boundary, negative inside. Exact; for + - & the min and max rules
        (see `compiler.geometry.shapes.combine`).
        """
        return self.body.distance(self._checked(points))

    def contains(self, points: Tensor) -> Tensor:
        """Whether points lie in the open domain. Shapes: "b n", bool."""
        return self.body.inside(self._checked(points))

    def normal(self, points: Tensor) -> Tensor:
        """Outward unit normal at boundary points: the normalised gradient of the signed
        distance. Shapes: "b n d"."""
        keep = self._keeps(points)
        with torch.enable_grad():
            at = points if keep and points.requires_grad else points.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.signed_distance(at).sum(), at, create_graph=keep)
        return gradient / norm(gradient)[..., None]

    def factor(self, boundaries: Boundary | Iterable[Boundary], points: Tensor) -> Tensor:
        """A smooth function that is zero on the boundaries, positive inside, of slope about 1: `u =
        g + factor * N` is g on them.

        At least C^3 inside. Its form is that of `boundary_function` of each shape.
        """
        chosen = [boundaries] if isinstance(boundaries, Boundary) else list(boundaries)
        at = self._checked(points)
        full = lambda piece: any(each.inside is None for each in self._portions(chosen, piece))  # noqa: E731
        found = [self.body.boundary_function(full, at)]
        for piece in self.body.pieces() if any(map(restricted, chosen)) else ():
            portions = [] if full(piece) else self._portions(chosen, piece)
            if portions:
                found.append(zeros([portion.of(piece) for portion in portions], at))
        values = [each for each in found if each is not None]
        if not values:
            raise fail(
                "W03",
                f"nothing of the boundary of `{self.domain.name}` is"
                f" {', '.join(each.name for each in chosen)}",
                _sides(self.domain),
            )
        return conjunctions(values)

    def _portions(self, boundaries: Sequence[Boundary], piece: Piece) -> list[Portion]:
        """What boundaries take of a piece."""
        taken = (self.portion(boundary, piece) for boundary in boundaries)
        return [each for each in taken if each is not None]

    def depth(self, points: Tensor) -> Tensor:
        """A smooth stand-in for the distance to the boundary inside, `f / max(|grad f|, 1)` with f
        the factor of the whole boundary: right to first order at the boundary. Shapes: "b n".
        """
        keep = self._keeps(points)
        with torch.enable_grad():
            at = (
                self._checked(points)
                if keep and points.requires_grad
                else self._checked(points).detach().requires_grad_(True)
            )
            value = self.body.approximate_distance(at)
            (gradient,) = torch.autograd.grad(value.sum(), at, create_graph=keep)
        return (value if keep else value.detach()).clamp_min(0) / norm(gradient).clamp_min(1)

    def _keeps(self, points: Tensor) -> bool:
        """Whether a result keeps its graph: something that it depends on requires grad."""
        return torch.is_grad_enabled() and (
            points.requires_grad or any(value.requires_grad for value in self.params.values())
        )

    def lift(
        self,
        data: Sequence[tuple[Boundary | Sequence[Boundary], Callable[[Tensor], Tensor]]],
        points: Tensor,
    ) -> Tensor:
        """A smooth function with given values on boundaries: each part's function, weighted by its
        factor against the others'.

        `w_i = prod_{j != i} f_j / sum_k prod_{j != k} f_j`, f_i the factor of boundary i
        (transfinite interpolation). One part alone is its own lift. Where two parts with different
        values meet, the lift is discontinuous, as the data are. Shapes: functions take points "b n
        d" to "b n" or "b n c"; the result is as theirs.
        """
        if len(data) == 1:
            return data[0][1](points)
        shares = weights([self.factor(boundaries, points) for boundaries, _ in data])
        values = [function(points) for _, function in data]
        weighted = [
            (share if value.ndim == 2 else share[..., None]) * value
            for share, value in zip(shares, values, strict=True)
        ]
        return torch.stack(weighted).sum(0)

    def radial(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Smooth polar coordinates: (x - c) / |x - c| on the boundary, continued to zero at the
        centre c, by components.

        `(x - c) / sqrt(|x - c|^2 + 2 L f)`, f the factor of the whole boundary, L half the least
        extent: x / R on a disk, so that Re (X + iY)^k is the harmonic continuation of cos(k theta);
        on any other shape it is as smooth as f. Shapes: "b n" both.
        """
        offset = points - self.body.center()[:, None]
        inside = self.body.boundary_function(everything, self._checked(points))
        square = offset.square().sum(-1)
        # beyond the boundary f goes on, below zero: differences across it must see no kink. A
        # quarter is met at r = 2R for a disk
        total = (
            square
            if inside is None
            else torch.maximum(square + extent(self.body)[:, None] * inside, square / 4)
        )
        scale = total.clamp_min(torch.finfo(points.dtype).tiny).rsqrt()
        return offset[..., 0] * scale, offset[..., 1] * scale

    def interior(self, n: int, generator: torch.Generator | Chance, sobol: bool = True) -> Tensor:
        """n points of the domain, uniform in area, new at every call.

        By a map of the unit square where the shape has one that preserves area, else by rejection
        from the box around it. Scrambled Sobol points, shifted independently in each sample (modulo
        1), or independent ones. Shapes: "b n d".
        """
        if n < 1:
            raise fail("B01", f"{n} interior points asked for", "ask for at least one")
        with self._computed():
            body = self._exact.body
            draw = unit_cube(self.domain, self.size, generator, sobol, self.device)
            mapped = body.draw(draw(n))
            if mapped is not None:
                points = mapped
            elif self.facts is None or self._constant:
                points = _rejected(body, n, draw, self.domain)
            else:
                points = _among(body, n, draw, math.ceil(2 * n / self.facts.share) + 64)
            return points.to(self.dtype)

    def boundary(
        self, boundary: Boundary, n: int, generator: torch.Generator | Chance, sobol: bool = True
    ) -> tuple[Tensor, Tensor]:
        """n points of a boundary, uniform in arc length or area, and the outward unit normals
        there. Shapes: "b n d" both."""
        with self._computed():
            return self._boundary(boundary, n, generator, sobol)

    def _boundary(
        self, boundary: Boundary, n: int, generator: torch.Generator | Chance, sobol: bool
    ) -> tuple[Tensor, Tensor]:
        pieces = self._exact.pieces(boundary)
        measures = torch.stack([piece.measure for piece in pieces], -1)
        collected = measures.cumsum(-1)
        traced = self.facts is not None  # into a program, which looks at no numbers
        if not traced and not bool((collected[:, -1] > 0).all()):
            raise fail(
                "W02",
                f"in some samples nothing is left of {boundary.name}",
                "other parts of the shape cover it; restrict the params",
            )
        share = unit_cube(boundary, self.size, generator, sobol, self.device)(n)
        target = share[..., 0] * collected[:, -1:]
        index = torch.searchsorted(
            collected.detach().contiguous(), target.detach().contiguous(), right=True
        ).clamp_max(len(pieces) - 1)
        within = (target - (collected - measures).gather(-1, index)) / measures.gather(-1, index)
        parameters = torch.cat([within.clamp(0, 1)[..., None], share[..., 1:]], -1)
        points, normals = (
            torch.zeros(self.size, n, self.domain.dim, dtype=parameters.dtype, device=self.device)
            for _ in range(2)
        )
        for k, piece in enumerate(pieces):
            own = (index == k)[..., None]
            if traced or bool(own.any()):
                there, outward = piece.chart(parameters)
                points, normals = (
                    torch.where(own, there, points),
                    torch.where(own, outward, normals),
                )
        return points.to(self.dtype), normals.to(self.dtype)

    def measure(self, region: Region | None = None) -> Tensor:
        """Length, area or volume of the domain, or of one of its boundaries; end points of an
        interval count 1 each. Shapes: "b"."""
        with self._computed():
            if isinstance(region, Boundary):
                pieces = self._exact.pieces(region)
                return torch.stack([piece.measure for piece in pieces]).sum(0).to(self.dtype)
            return self._exact._measure.to(self.dtype)

    def measure_error(self, region: Region | None = None) -> float:
        """An estimate of the relative error of `measure`, the largest of the samples: rounding
        where shapes are measured in closed form or cut along curves; where surfaces are cut, the
        difference of two quadratures; what a quadrature of a shape states.
        """
        exact = self._exact
        pieces = exact.pieces(region) if isinstance(region, Boundary) else exact.body.pieces()
        rounding = 64 * torch.finfo(torch.float64).eps
        if isinstance(region, Boundary) or isinstance(exact.body, Combined):
            total = torch.stack([piece.measure for piece in pieces]).sum(0)
            share = torch.stack([piece.measure * piece.error for piece in pieces]).sum(0)
            return rounding + float((share / total).amax().detach())
        return rounding + max((piece.error for piece in pieces), default=0.0)

    def box(self) -> tuple[Tensor, Tensor]:
        """Lower and upper corner of the box around the domain of all samples. Shapes: "d" both.
        For all params there are, see `box`."""
        lower, upper = self.body.bounds()
        return lower.amin(0), upper.amax(0)

    def pieces(self, boundary: Boundary) -> tuple[Piece, ...]:
        """The parts that a boundary consists of."""
        every = ((piece, self.portion(boundary, piece)) for piece in self.body.pieces())
        found = tuple(portion.of(piece) for piece, portion in every if portion is not None)
        if not found:
            raise fail(
                "W03",
                f"nothing of the boundary of `{self.domain.name}` is {boundary.name}",
                _sides(self.domain),
            )
        return found

    def portion(self, boundary: Boundary, piece: Piece) -> Portion | None:
        """What a boundary takes of a piece of the body; None for nothing."""
        if boundary.domain != self.domain:
            raise fail(
                "T06",
                f"{boundary.name} is a boundary of `{boundary.domain.name}`, not of"
                f" `{self.domain.name}`",
            )
        if (
            boundary.coordinates[0].system
            and boundary.kind != "side"
            and _on_side(piece, 0, sp.S.Zero)
        ):
            # the axis of a body of revolution lies inside the body, and is a side by its name alone
            return None
        if boundary.kind == "rest":
            taken = [self.portion(other, piece) for other in boundary.others]
            return without([each for each in taken if each is not None])
        if boundary.group is not None:
            absent(self.domain, boundary.group)
        if not _selection(boundary)(piece):
            return None
        if not boundary.where:
            return EVERYTHING
        return bounded(
            boundary.where,
            boundary.coordinates,
            piece,
            Numbers(self.params, self.size, self.dtype, self.device),
        )

    def map(self, function: Callable[[Tensor], Tensor], size: int | None = None) -> Geometry:
        """The geometry with a function applied to every param: another dtype or device, or some
        of the samples (`size` of them)."""
        probe = function(torch.zeros(self.size, dtype=self.dtype, device=self.device))
        params = {name: function(value) for name, value in self.params.items()}
        return replace(
            self,
            params=params,
            size=self.size if size is None else size,
            dtype=probe.dtype,
            device=probe.device,
        )

    @cached_property
    def body(self) -> Body:
        """The shape with its numbers. Made once per geometry with what cutting its boundary costs,
        so that a geometry whose params require gradients serves for one backward pass.
        """
        if self._constant:
            return _fixed(
                self.domain, contents(self.domain.shape), self.size, self.dtype, self.device
            )
        numbers = Numbers(self.params, self.size, self.dtype, self.device)
        return _bound(self.domain, numbers, self.facts is not None and self.facts.apart)

    @property
    def _constant(self) -> bool:
        """Whether the shape is the same in every sample."""
        return all(
            isinstance(each, Scalar) and each.declaration.kind == "const"
            for each in shape_symbols(self.domain.shape)
        )

    def _computed(self) -> AbstractContextManager[None]:
        """What follows from a shape without params is not a part of a program that is traced."""
        return untraced() if self._constant else nullcontext()

    @cached_property
    def _measure(self) -> Tensor:
        if self._constant and self.size > 1:  # once for all samples
            shape = self.domain.shape
            body = _fixed(self.domain, contents(shape), 1, self.dtype, self.device)
            return body.measure().expand(self.size)
        return self.body.measure()

    @cached_property
    def _exact(self) -> Geometry:
        """The same in float64, in which boundaries are cut and points are placed."""
        return self if self.dtype == torch.float64 else self.map(lambda value: value.double())

    def _checked(self, points: Tensor) -> Tensor:
        expected = (self.size, "n", self.domain.dim)
        if points.ndim != 3 or (points.shape[0], points.shape[2]) != (self.size, self.domain.dim):
            raise fail(
                "B01",
                f"points of `{self.domain.name}` have shape {tuple(points.shape)}, the geometry"
                f" needs ({', '.join(map(str, expected))})",
                f"one row of points for each of the {self.size} samples; expand them yourself where"
                " all are the same",
            )
        if points.dtype != self.dtype or points.device.type != self.device.type:
            raise fail(
                "B02",
                f"points are {points.dtype} on {points.device}, the geometry is {self.dtype} on"
                f" {self.device}",
                "use .to()",
            )
        return points


def _bound(domain: Domain, numbers: Numbers, apart: bool = False) -> Body:
    periodic = tuple(coordinate.name in domain.periodic for coordinate in domain.coordinates)
    return bind(domain.shape, numbers, Ambient(periodic, apart=apart))


@lru_cache(maxsize=32)
def _fixed(
    domain: Domain, files: tuple[Any, ...], size: int, dtype: torch.dtype, device: torch.device
) -> Body:
    """The body of a shape without params, cut once for all batches of a size; `files` tell mesh
    files of one name apart."""
    with torch.inference_mode(False):
        return _bound(domain, Numbers({}, size, dtype, device))


def box(domain: Domain, samples: int = 256) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lower and upper corner of a box that holds the domain for all values of its params: the
    extent of the latent grid.

    From the shapes at the ends of the laws' supports (of unbounded laws, at four standard
    deviations) and at Sobol points between.
    """
    return _box(domain, contents(domain.shape), samples)


@lru_cache(maxsize=64)
def _box(
    domain: Domain, files: tuple[Any, ...], samples: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    lower, upper = _over_laws(domain, samples).box()
    return tuple(lower.tolist()), tuple(upper.tolist())


def facts(domain: Domain, samples: int = 16, tried: int = 512) -> Facts:
    """What holds of a domain whatever its params are: as seen of the shapes at the ends of the
    laws' supports and at Sobol points between, at this many points of the box."""
    return _facts(domain, contents(domain.shape), samples, tried)


@lru_cache(maxsize=64)
def _facts(domain: Domain, files: tuple[Any, ...], samples: int, tried: int) -> Facts:
    body = _over_laws(domain, samples).body
    lower, upper = (each[:, None] for each in body.bounds())
    cube = SobolEngine(domain.dim, scramble=True, seed=0).draw(tried, dtype=torch.float64)
    inside = body.inside(lower + cube * (upper - lower))
    share = float(inside.double().mean(-1).amin().clamp_min(1 / tried))
    return Facts(share, isinstance(body, Combined) and body.uncut)


def _over_laws(domain: Domain, samples: int) -> Geometry:
    """A domain at the ends of the supports of its params' laws, and at Sobol points between."""
    drawn = {
        symbol.declaration.name: symbol.declaration
        for symbol in shape_symbols(domain.shape)
        if isinstance(symbol, Scalar)
    }
    ranges = {
        name: truncated_support(param.law)
        for name, param in sorted(drawn.items())
        if param.law is not None
    }
    columns = [
        (name, low, high)
        for name, (low, high) in ranges.items()
        for _ in range(drawn[name].size or 1)
    ]
    shares = torch.full((1, 0), 0.5, dtype=torch.float64)
    if columns:
        between = SobolEngine(len(columns)).draw(samples, dtype=torch.float64)
        ends = torch.tensor(
            list(itertools.islice(itertools.product((0.0, 1.0), repeat=len(columns)), 1024)),
            dtype=torch.float64,
        )
        shares = torch.cat([ends, between])
    params = _columns(drawn, columns, shares)
    return Geometry(domain, params, len(shares), torch.float64)


def nominal(domain: Domain) -> Geometry:
    """The domain with its params at the medians of their laws."""
    drawn = {
        symbol.declaration.name: symbol.declaration
        for symbol in shape_symbols(domain.shape)
        if isinstance(symbol, Scalar)
    }
    params = {
        name: torch.full(
            (1,) if param.size is None else (1, param.size), median(param.law), dtype=torch.float64
        )
        for name, param in drawn.items()
        if param.law is not None
    }
    return Geometry(domain, params, 1, torch.float64)


def nominal_box(domain: Domain) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lower and upper corner of the box around that: the frame laws are stated in."""
    return _nominal_box(domain, contents(domain.shape))


@lru_cache(maxsize=64)
def _nominal_box(
    domain: Domain, files: tuple[Any, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    lower, upper = nominal(domain).box()
    return tuple(lower.tolist()), tuple(upper.tolist())


def _columns(
    drawn: Mapping[str, Param], columns: Sequence[tuple[str, float, float]], shares: Tensor
) -> dict[str, Tensor]:
    """Params from their shares of the supports."""
    parts: dict[str, list[Tensor]] = {}
    for (name, low, high), share in zip(columns, shares.unbind(-1), strict=True):
        parts.setdefault(name, []).append(low + share * (high - low))
    return {
        name: values[0] if drawn[name].size is None else torch.stack(values, -1)
        for name, values in parts.items()
    }


def _selection(boundary: Boundary) -> Selection:
    """Which pieces a boundary, `rest` apart, consists of before its inequalities."""
    if boundary.kind == "all":
        return everything
    if boundary.kind == "side":
        axis = [coordinate.name for coordinate in boundary.coordinates].index(
            str(boundary.coordinate)
        )
        return lambda piece: _on_side(piece, axis, boundary.value)
    if boundary.kind in ("inner", "outer"):
        return lambda piece: piece.hole == (boundary.kind == "inner")
    if boundary.kind == "of":
        return lambda piece: boundary.part in piece.owners
    if boundary.kind == "group":
        return lambda piece: boundary.group in whole(piece).groups
    kinds = ("all", "side", "rest", "inner", "outer", "of", "group")
    raise fail(
        "S01",
        f"unknown kind of boundary {boundary.kind!r}",
        suggestion(boundary.kind, kinds, f"one of {', '.join(kinds)}", quote="'"),
    )


def restricted(boundary: Boundary) -> bool:
    """Whether a boundary may take a part of a piece."""
    return bool(boundary.where) or any(map(restricted, boundary.others))


def _on_side(piece: Piece, axis: int, value: sp.Expr) -> bool:
    place = piece.plane and piece.plane.axis
    return place is not None and place[0] == axis and coincide(place[1], value)


def _sides(domain: Domain) -> str:
    """Which sides a domain has, for a message."""
    body = Geometry(domain, {name: torch.zeros(1) for name in _names(domain)}, 1).body
    names = [coordinate.name for coordinate in domain.coordinates]
    places = (piece.plane.axis for piece in body.pieces() if piece.plane)
    sides = sorted(
        {f"side({domain.name}, {names[place[0]]} = {place[1]})" for place in places if place}
    )
    return (
        f"there are {', '.join(sides)}"
        if sides
        else f"`{domain.name}` has no straight sides; name boundary({domain.name})"
    )


def _names(domain: Domain) -> set[str]:
    return {
        symbol.declaration.name
        for symbol in shape_symbols(domain.shape)
        if isinstance(symbol, Scalar)
    }


def unit_cube(
    region: Domain | Boundary,
    size: int,
    generator: torch.Generator | Chance,
    sobol: bool,
    device: torch.device,
) -> Callable[[int], Tensor]:
    """Draws the points of the unit cube that a domain or boundary takes its points from, for each
    sample, always the first ones of the same sequence. All random numbers are taken by this call.
    Shapes: n -> "b n d", float64, d the dimension of the region and at least 1."""
    dimension = max(1, region.domain.dim - 1) if isinstance(region, Boundary) else region.dim
    chance = Chance.of(generator, size)
    if not sobol:
        starts = chance.seeds()

        def independent(n: int) -> Tensor:
            generators = [torch.Generator().manual_seed(start) for start in starts]
            with untraced():
                return torch.stack(
                    [
                        torch.rand(n, dimension, dtype=torch.float64, generator=each)
                        for each in generators
                    ]
                ).to(device)

        return independent
    seed, shift = chance.seed(), chance.uniform(1, dimension).to(device)

    def draw(n: int) -> Tensor:
        with untraced():
            return (_scrambled(dimension, seed, n).to(device) + shift) % 1

    return draw


def _scrambled(dimension: int, seed: int, n: int) -> Tensor:
    """The first points of a scrambled Sobol sequence. Shapes: -> "n d", float64."""
    return _few(dimension, seed, n) if n <= FEW else _sobol(dimension, seed, n)


def _sobol(dimension: int, seed: int, n: int) -> Tensor:
    return SobolEngine(dimension, scramble=True, seed=seed).draw(n, dtype=torch.float64)


# an operator that is asked again and again reads the same ones
_few = lru_cache(maxsize=16)(torch.inference_mode(False)(_sobol))


def _rejected(body: Body, n: int, draw: Callable[[int], Tensor], domain: Domain) -> Tensor:
    """The first n points of a sequence in the box that lie in the body."""
    lower, upper = (each[:, None] for each in body.bounds())
    count = 2 * n
    while True:
        points = lower + draw(count) * (upper - lower)
        inside = body.inside(points)
        least = int(inside.sum(-1).min())
        if least >= n:
            return _first(points, inside, n)
        if count >= MOST_CANDIDATES:
            raise fail(
                "W03",
                f"`{domain.name}` is empty in some sample",
                "restrict the laws of its params",
                f"{least} of {count} points of its box are inside",
            )
        count = min(MOST_CANDIDATES, max(2 * count, count * n * 5 // (4 * max(1, least))))


def _among(body: Body, n: int, draw: Callable[[int], Tensor], tried: int) -> Tensor:
    """The same points from a number of candidates that is given; NaN in samples where fewer of
    these lie in the body."""
    lower, upper = (each[:, None] for each in body.bounds())
    points = lower + draw(tried) * (upper - lower)
    inside = body.inside(points)
    enough = inside.sum(-1)[:, None, None] >= n
    return torch.where(enough, _first(points, inside, n), torch.nan)


def _first(points: Tensor, inside: Tensor, n: int) -> Tensor:
    """The first n points that lie inside. Shapes: "b m d", "b m" -> "b n d"."""
    order = torch.arange(points.shape[1], device=points.device)
    places = torch.where(inside, order, order + points.shape[1])
    first = places.topk(n, dim=-1, largest=False, sorted=True).indices
    return points.gather(1, first[..., None].expand(-1, -1, points.shape[-1]))
