"""Essential conditions built into the field: `u = offset + factor * N` is right on boundaries
and at the start, whatever N is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from compiler.data.interfaces import kinks
from compiler.data.samples import DrawnSamples, probed
from compiler.geometry.domain import Geometry
from compiler.geometry.shapes import extent
from compiler.geometry.shapes.meshfile import files
from compiler.lowering.essential import Essential, essential, normal_slopes
from operators.field import Ansatz
from pdespec.geometry import Boundary, Difference
from pdespec.jumps import slope
from pdespec.statements.problem import Condition, Problem
from pdespec.symbols import InputField

# relative difference of two data from which they count as different where their regions meet
JUMP = 0.05
# points of a boundary at which that is looked for; it meets another where one comes within four
# mean distances of it
PROBES = 2048
# draws of the params on which data of a positive component are looked at, and the least that they
# may be, of their size
DRAWN, LEAST = 32, 0.01


@dataclass(frozen=True)
class HardCondition:
    """What is built into one component: values on groups of boundaries, outward normal derivatives
    on some of these, and value and rate at the start; of a component u that is declared positive
    those of z, u = softplus(z).

    `labels` are the conditions that hold by construction.
    """

    sides: tuple[tuple[sp.Expr, tuple[Boundary, ...]], ...] = ()
    slopes: tuple[tuple[sp.Expr, tuple[Boundary, ...]], ...] = ()
    start: sp.Expr | None = None
    rate: sp.Expr | None = None
    labels: tuple[str, ...] = ()

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """All boundaries on which a value is built in."""
        return tuple(itertools.chain.from_iterable(boundaries for _, boundaries in self.sides))

    @property
    def clamped(self) -> tuple[Boundary, ...]:
        """Those of them on which the normal derivative is built in as well."""
        return tuple(itertools.chain.from_iterable(boundaries for _, boundaries in self.slopes))


def plan_hard_conditions(problem: Problem) -> Mapping[str, HardCondition]:
    """What can be built in, by component.

    A component keeps its conditions as terms of the loss where its data on two boundaries that
    meet differ there (a lift would be discontinuous), at the start where the data there and those
    on the boundary differ, and where it is declared positive and its data come close to zero or
    hold an input, which may. That is a property of the problem, found once on a few draws; where
    an input has no law to draw from, data that differ in form count as different where their
    regions meet.
    """
    return _plan(problem, files(problem))


@lru_cache(maxsize=64)
def _plan(problem: Problem, read: tuple[Any, ...]) -> Mapping[str, HardCondition]:
    positive = {problem.components[k] for k in positive_channels(problem)}
    result = {}
    for component in problem.components:
        own = [each for each in essential(problem) if each.component == component]
        on_sides = [each for each in own if each.condition.kind == "boundary"]
        valued = {_boundary(each.condition) for each in on_sides}
        normal = [
            e
            for e in normal_slopes(problem)
            if e.component == component and _boundary(e.condition) in valued
        ]
        first = None if problem.time is None else problem.time.start
        starts = {
            each.order: each
            for each in own
            if each.condition.kind == "initial" and each.condition.at == first
        }
        labels = [each.label for each in (*on_sides, *normal)]
        rate = starts[1].value if set(starts) == {0, 1} else None
        start = starts[0].value if 0 in starts else None
        stated = dict.fromkeys((*labels, *(each.label for each in starts.values())))
        imposed = HardCondition(_grouped(on_sides), _grouped(normal), start, rate, tuple(stated))
        # the factor of a hole's rim does not repeat: built in, it would undo what is periodic
        holed = any(
            each.condition.kind == "boundary" and _holed(each.condition.region) for each in own
        )
        kept = own and not holed
        imposed = _compatible(problem, imposed, labels) if kept else HardCondition()
        result[component] = (
            _linked(problem, component, imposed) if component in positive else imposed
        )
    return result


def _linked(problem: Problem, component: str, imposed: HardCondition) -> HardCondition:
    """The conditions of u as those of z, u = softplus(z): z = u + log(1 - exp(-u)), and dz = du /
    (1 - exp(-u)). None where data of u may not be positive."""
    values = {boundary: value for value, boundaries in imposed.sides for boundary in boundaries}
    stated = [*values.values(), *([] if imposed.start is None else [imposed.start])]
    if not all(_stays_positive(problem, component, value) for value in dict.fromkeys(stated)):
        return HardCondition()

    def inverse(value: sp.Expr) -> sp.Expr:
        return value + sp.log(1 - sp.exp(-value))

    def rise(value: sp.Expr, change: sp.Expr) -> sp.Expr:
        return change / (1 - sp.exp(-value))

    slopes: dict[sp.Expr, tuple[Boundary, ...]] = {}
    for change, boundaries in imposed.slopes:
        for boundary in boundaries:
            own = rise(values[boundary], change)
            slopes[own] = (*slopes.get(own, ()), boundary)
    start, rate = imposed.start, imposed.rate
    return replace(
        imposed,
        sides=tuple((inverse(value), boundaries) for value, boundaries in imposed.sides),
        slopes=tuple(slopes.items()),
        start=None if start is None else inverse(start),
        rate=None if start is None or rate is None else rise(start, rate),
    )


def _stays_positive(problem: Problem, component: str, value: sp.Expr) -> bool:
    """Whether data are above LEAST of their size all over the component's domain and time, in
    DRAWN draws of the params. Of an input no draw says what the next one is."""
    if value.has(InputField) or value.has(sp.Derivative):
        return False
    drawn = probed(problem, DRAWN)
    points = _geometry(drawn, component).interior(PROBES // DRAWN, torch.Generator().manual_seed(1))
    if problem.time is not None:
        share = torch.linspace(0, 1, points.shape[1], dtype=points.dtype)[:, None]
        times = (drawn.start + drawn.duration * share).expand(len(points), -1, -1)
        points = torch.cat([points, times], -1)
    found = drawn.known(value, points)
    return bool((found > LEAST * found.abs().amax()).all())


def positive_channels(problem: Problem) -> tuple[int, ...]:
    """The places of components that are declared positive."""
    flags = (each.positive for each in problem.unknowns.values() for _ in each.components)
    return tuple(k for k, positive in enumerate(flags) if positive)


def built_into_positive(problem: Problem) -> bool:
    """Whether conditions are built into a component that is declared positive."""
    plan = plan_hard_conditions(problem)
    return any(plan[problem.components[k]].labels for k in positive_channels(problem))


def _grouped(stated: Sequence[Essential]) -> tuple[tuple[sp.Expr, tuple[Boundary, ...]], ...]:
    """Boundaries by what is stated there."""
    groups: dict[sp.Expr, list[Boundary]] = {}
    for each in stated:
        groups.setdefault(each.value, []).append(_boundary(each.condition))
    return tuple((value, tuple(boundaries)) for value, boundaries in groups.items())


def ansatz(drawn: DrawnSamples, imposed: Mapping[str, HardCondition]) -> Ansatz | None:
    """Offset and factor of all components in the samples drawn; None where nothing is built in.

    With sides alone, offset is the lift B of their data and factor their boundary-defining function
    f, as a number of about 1 in the middle of the domain (1 - r^2/R^2 on a disk), and where normal
    derivatives are given too its square. With a start alone, offset is `u0 (+ (t - t0) v0)` and
    factor `((t - t0) / T)^k`, k the number of conditions at the start. With both, offset is `B + u0
    - B(t0) (+ (t - t0) (v0 - dB/dt(t0)))` and factor the product. The factor is times the amplitude
    of the draws, where they have one. Fields of a problem with interfaces have kinks there (see
    `compiler.data.interfaces`), and components that are declared positive are softplus of
    all that. Shapes: points "b n D" -> "b n c".
    """
    bent, positive = kinks(drawn), positive_channels(drawn.problem)
    held = any(each.labels for each in imposed.values())
    if bent is None and not positive and not held and drawn.coarse is None:
        return None
    parts = [(each, _geometry(drawn, component)) for component, each in imposed.items()]

    def offset(points: Tensor) -> Tensor:
        found = torch.stack(
            [_offset(drawn, each, geometry, points) for each, geometry in parts], -1
        )
        return found if drawn.coarse is None else found + plain(points) * drawn.coarse(points)

    def plain(points: Tensor) -> Tensor:
        shared: dict[tuple[Boundary, ...], Tensor] = {}
        return torch.stack(
            [_factor(drawn, each, geometry, points, shared) for each, geometry in parts], -1
        )

    def factor(points: Tensor) -> Tensor:
        result = plain(points)
        if drawn.amplitude is None:
            return result
        return result * drawn.amplitude.reshape(drawn.size, 1, -1)

    return Ansatz(offset, factor, bent, tuple((k, 1.0) for k in positive))


def _geometry(drawn: DrawnSamples, component: str) -> Geometry:
    unknown = next(each for each in drawn.problem.unknowns.values() if component in each.components)
    return drawn.geometry[unknown.region.name]


def _offset(
    drawn: DrawnSamples, imposed: HardCondition, geometry: Geometry, points: Float[Tensor, "b n D"]
) -> Float[Tensor, "b n"]:
    """A function with the boundary values and the initial state of one component: the lift of the
    boundary values L, and u0 - L(t0) + (t - t0) (u0' - L'(t0)) where those are given."""
    sides = _lift(drawn, imposed, geometry, points)
    if imposed.start is None:
        return sides
    time = drawn.problem.time
    since, first = points[..., -1] - drawn.start, _at(points, drawn.start)
    offset = sides + drawn.known(imposed.start, first) - _lift(drawn, imposed, geometry, first)
    if imposed.rate is None:
        return offset
    moved = [
        tuple((slope(value, time), boundaries) for value, boundaries in each)
        for each in (imposed.sides, imposed.slopes)
    ]
    moving = replace(imposed, sides=moved[0], slopes=moved[1])
    return offset + since * (
        drawn.known(imposed.rate, first) - _lift(drawn, moving, geometry, first)
    )


def _lift(
    drawn: DrawnSamples, imposed: HardCondition, geometry: Geometry, points: Float[Tensor, "b n D"]
) -> Float[Tensor, "b n"]:
    """A function with the boundary values of one component, and its normal derivatives where those
    are given; zero without such conditions."""
    if not imposed.sides:
        return torch.zeros_like(points[..., 0])
    values = _interpolated(drawn, imposed.sides, geometry, points)
    constant = len(imposed.sides) == 1 and imposed.sides[0][0].is_number
    if not imposed.slopes or (constant and all(value == 0 for value, _ in imposed.slopes)):
        return values
    return values + _sloped(drawn, imposed, geometry, points)


def _interpolated(
    drawn: DrawnSamples,
    data: Sequence[tuple[sp.Expr, tuple[Boundary, ...]]],
    geometry: Geometry,
    points: Float[Tensor, "b n D"],
) -> Float[Tensor, "b n"]:
    """A smooth function with the data on their boundaries. Shapes: "b n D" -> "b n"."""
    parts = [
        (boundaries, lambda _, value=value: drawn.known(value, points))
        for value, boundaries in data
    ]
    return geometry.lift(parts, points[..., : geometry.domain.dim])


def _sloped(
    drawn: DrawnSamples, imposed: HardCondition, geometry: Geometry, points: Float[Tensor, "b n D"]
) -> Float[Tensor, "b n"]:
    """What makes the lift B of the values have the normal derivatives h: `f q` with `q = (dn(B) -
    h) / |grad f|`, f the factor of the boundaries where they are given, n = -grad f / |grad f|;
    inside, |grad f|^2 is bounded away from zero by (4 f / extent)^2. It fades out towards
    boundaries where values alone are given. Shapes: "b n D" -> "b n"."""
    keep = torch.is_grad_enabled() and (points.requires_grad or drawn.attached)
    dim = geometry.domain.dim
    with torch.enable_grad():
        at = points if keep and points.requires_grad else points.detach().requires_grad_()
        factor = geometry.factor(imposed.clamped, at[..., :dim])
        lifted = _interpolated(drawn, imposed.sides, geometry, at)
        inward = torch.autograd.grad(factor.sum(), at, create_graph=True)[0][..., :dim]
        rise = torch.autograd.grad(lifted.sum() + 0 * at.sum(), at, create_graph=True)[0][..., :dim]
        square = inward.square().sum(-1) + (4 * factor / extent(geometry.body)[:, None]).square()
        wanted = _interpolated(drawn, imposed.slopes, geometry, at)
        found = -factor * ((rise * inward).sum(-1) / square + wanted * square.rsqrt())
        rest = [each for each in imposed.boundaries if each not in imposed.clamped]
        if rest:
            other = geometry.factor(rest, at[..., :dim])
            found = found * other / (other + factor)
    return found if keep else found.detach()


def _factor(
    drawn: DrawnSamples,
    imposed: HardCondition,
    geometry: Geometry,
    points: Float[Tensor, "b n D"],
    shared: dict[tuple[Boundary, ...], Tensor],
) -> Float[Tensor, "b n"]:
    """The factor of the network for one component: zero where its values are imposed, twice where
    the slope is, too. `shared` holds the factors of sets of boundaries at these points."""
    result = torch.ones_like(points[..., 0])
    if imposed.sides:
        if imposed.boundaries not in shared:
            values = geometry.factor(imposed.boundaries, points[..., : geometry.domain.dim])
            shared[imposed.boundaries] = 4 * values / extent(geometry.body)[:, None]
        result = shared[imposed.boundaries]
    if imposed.slopes:
        if imposed.clamped not in shared:
            values = geometry.factor(imposed.clamped, points[..., : geometry.domain.dim])
            shared[imposed.clamped] = 4 * values / extent(geometry.body)[:, None]
        result = result * shared[imposed.clamped]
    if imposed.start is not None:
        result = result * ((points[..., -1] - drawn.start) / drawn.duration) ** (
            1 if imposed.rate is None else 2
        )
    return result


def _at(points: Float[Tensor, "b n D"], time: float) -> Float[Tensor, "b n D"]:
    """The same places at another time."""
    return torch.cat([points[..., :-1], torch.full_like(points[..., -1:], time)], -1)


def _boundary(condition: Condition) -> Boundary:
    if not isinstance(condition.region, Boundary):
        raise TypeError(f"a boundary condition is stated on {condition.region!r}")
    return condition.region


def _holed(region: Any) -> bool:
    """Whether a boundary is that of a periodic box with something taken away."""
    return bool(region.domain.periodic) and isinstance(region.domain.shape, Difference)


def _compatible(
    problem: Problem, imposed: HardCondition, boundary_labels: list[str]
) -> HardCondition:
    """Without what would need a discontinuous lift."""
    drawn = probed(problem)
    if imposed.start is not None and imposed.sides and _start_jumps(drawn, imposed):
        imposed = replace(imposed, start=None, rate=None, labels=tuple(boundary_labels))
    if _jump_between(drawn, imposed.sides):
        return replace(
            imposed,
            sides=(),
            slopes=(),
            labels=tuple(label for label in imposed.labels if label not in boundary_labels),
        )
    if imposed.slopes and (
        _jump_between(drawn, imposed.slopes) or _start_slopes_jump(drawn, imposed)
    ):
        kept = {each.label for each in essential(problem)}
        imposed = replace(
            imposed, slopes=(), labels=tuple(label for label in imposed.labels if label in kept)
        )
    return imposed


def _probes(drawn: DrawnSamples, boundary: Boundary) -> Float[Tensor, "b n D"]:
    """Points of a boundary at the start of time."""
    points, _ = drawn.geometry[boundary.domain.name].boundary(
        boundary, PROBES, torch.Generator().manual_seed(1)
    )
    if drawn.problem.time is None:
        return points
    return torch.cat([points, torch.full_like(points[..., :1], drawn.start)], -1)


def _start_jumps(drawn: DrawnSamples, imposed: HardCondition) -> bool:
    """Whether the data at the start differ from those on a boundary at that time, in value or in
    rate."""
    time = drawn.problem.time
    for value, boundaries in imposed.sides:
        pairs = [(value, imposed.start)] + (
            [] if imposed.rate is None else [(slope(value, time), imposed.rate)]
        )
        for (here, there), boundary in itertools.product(pairs, boundaries):
            if here.has(sp.Derivative) or _differ(drawn, here, there, boundary):
                return True
    return False


def _start_slopes_jump(drawn: DrawnSamples, imposed: HardCondition) -> bool:
    """Whether the normal derivative of the data at the start differs from that on a boundary at
    that time, in value or in rate."""
    if imposed.start is None:
        return False
    time, names = drawn.problem.time, drawn.problem.coordinates
    for value, boundaries in imposed.slopes:
        pairs = [(value, imposed.start)] + (
            [] if imposed.rate is None else [(slope(value, time), imposed.rate)]
        )
        for (here, there), boundary in itertools.product(pairs, boundaries):
            if here.has(sp.Derivative):
                return True
            geometry = drawn.geometry[boundary.domain.name]
            points, normals = geometry.boundary(boundary, PROBES, torch.Generator().manual_seed(1))
            inside = geometry.interior(PROBES, torch.Generator().manual_seed(1))
            space = torch.cat([points, inside], 1)
            at = torch.cat(
                [space, torch.full_like(space[..., :1], drawn.start)], -1
            ).requires_grad_()
            (rise,) = torch.autograd.grad(drawn.known(there, at).sum() + 0 * at.sum(), at)
            rise, wanted = rise[..., : len(names)], drawn.known(here, at.detach())[:, :PROBES]
            found = (rise[:, :PROBES] * normals).sum(-1)
            size = torch.maximum(rise.norm(dim=-1).amax(), wanted.abs().amax())
            if bool(((found - wanted).abs() > JUMP * size).any()):
                return True
    return False


def _jump_between(
    drawn: DrawnSamples, data: Sequence[tuple[sp.Expr, tuple[Boundary, ...]]]
) -> bool:
    """Whether data on two boundaries differ near a place where these meet."""
    for (value, own), (other_value, other) in itertools.permutations(data, 2):
        if any(_differ(drawn, value, other_value, boundary, near=other) for boundary in own):
            return True
    return False


def _differ(
    drawn: DrawnSamples,
    value: sp.Expr,
    other: sp.Expr,
    boundary: Boundary,
    near: tuple[Boundary, ...] = (),
) -> bool:
    """Whether two data differ at probes of a boundary (those close to the boundaries `near`),
    relative to their size in the domain."""
    geometry, points = drawn.geometry[boundary.domain.name], _probes(drawn, boundary)
    inside = geometry.interior(PROBES, torch.Generator().manual_seed(1))
    everywhere = torch.cat(
        [points, torch.cat([inside, points[:, : inside.shape[1], inside.shape[2] :]], -1)], 1
    )
    here, there = drawn.known(value, everywhere), drawn.known(other, everywhere)
    jumps = ((here - there).abs() > JUMP * torch.maximum(here.abs(), there.abs()).amax())[
        :, : points.shape[1]
    ]
    if near:
        distance = geometry.factor(near, points[..., : geometry.domain.dim]).abs()
        jumps = jumps & (
            distance
            < 4 * extent(geometry.body)[:, None] / PROBES ** (1 / max(1, geometry.domain.dim - 1))
        )
    return bool(jumps.any())
