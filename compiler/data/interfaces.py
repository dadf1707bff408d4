"""Interfaces in numbers: points on them with unit normals, and the functions with which a field
gets a kink there.

A smooth field cannot have the gradient of a solution across a surface where a coefficient jumps. So
a model gives more channels than the problem has, and the field is `u = offset + factor * (N_0 +
sum_i s_i N_i)`, with one function s_i for each interface, a multiple of its level set function
phi_i on each side:

    s = w_+ phi  where phi > 0,   w_- phi  elsewhere,      w_+ k_+ = w_- k_-

with k the diffusion on that side: a field s N has a continuous flux k grad(s) . n whatever N is.
The larger weight is 1, phi is about 1 in size. Where the value itself may jump, a step of height 1
joins. A support of a string takes up a force, and the flux jumps there: s is then |phi|, with any
kink.

Source: enrichment by the level set of a weak discontinuity, Sukumar, Chopp, Moes and Belytschko,
Comput. Methods Appl. Mech. Eng. 190 (2001) 6183; weights as in one-dimensional harmonic
coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from compiler.chance import Chance
from compiler.data.samples import DrawnSamples
from compiler.geometry.domain import Geometry, box
from operators.field import PointFunction
from pdespec.calculus import Minus, Plus, TwoSided, entries
from pdespec.coordinates import Normal
from pdespec.geometry import Boundary, Domain
from pdespec.jets import jet_form, jets_of, sympy_form
from pdespec.statements.interfaces import (
    by_slopes,
    flux_conditions,
    interfaces,
    normalised,
    supports,
    torn,
)
from pdespec.statements.problem import Problem
from pdespec.symbols import UnknownField

CANDIDATES = 8  # points tried for each one that is kept: they fill a band about the interface
NEWTON = 30  # steps along the gradient; a level set that is no distance needs some
ASIDE = 1e-7  # of the size of the domain: how far to either side of a point its domains are asked
# points of the box at which coefficients and levels are looked at, and of these the nearest on each
# side
SURVEY, NEAREST = 256, 8
GOLDEN = (5**0.5 - 1) / 2  # multiples of it, modulo 1, leave no gaps
LEAST = 1e-6  # of the ratio of two weights: an insulator has no diffusion at all

Level = Callable[[Tensor], Tensor]


# --------------------------------------------------------------------------------------------------
# points


@dataclass(frozen=True)
class Surface:
    """Points of an interface, unit normals, its measure, and weights of mean one that leave out
    what lies elsewhere.

    Shapes: points "b n D", time last where there is one; normals "b n d"; measure "b"; weights "b
    n".
    """

    points: Tensor
    normals: Tensor
    measure: Tensor
    weights: Tensor


def on_level(
    drawn: DrawnSamples, region: Boundary, candidates: Callable[[int], Tensor], count: int
) -> Surface:
    """Points of a level set inside of its domain, nearly uniform in its measure.

    Of candidates, uniform in the domain, those nearest to the surface fill a band of one width
    about it; Newton's method along the gradient brings them onto it. Where no point of a domain
    lies on it, its weights are zero. Shapes: candidates n -> "b n D".
    """
    geometry = drawn.geometry[region.domain.name]
    dim = region.domain.dim
    level = level_function(drawn, region)
    with torch.no_grad():
        tried = candidates(CANDIDATES * count)
        value, slope = _slope(level, tried, dim)
        distance = (value / slope.norm(dim=-1).clamp_min(torch.finfo(value.dtype).tiny)).abs()
        width, near = distance.topk(min(2 * count, tried.shape[1]), dim=1, largest=False)
        near = near.sort(dim=1).values  # in the order of the sequence, which fills space evenly
        points = tried.gather(1, near[..., None].expand(-1, -1, tried.shape[-1]))
        start, size = points[..., :dim], _size(geometry)
        for _ in range(NEWTON):
            value, slope = _slope(level, points, dim)
            step = (
                value[..., None]
                * slope
                / slope.square().sum(-1, keepdim=True).clamp_min(torch.finfo(value.dtype).tiny)
            )
            points = torch.cat([points[..., :dim] - step, points[..., dim:]], -1)
            if bool((step.abs().amax((1, 2)) <= 1e-13 * size).all()):
                break
        value, slope = _slope(level, points, dim)
        norm = slope.norm(dim=-1).clamp_min(torch.finfo(value.dtype).tiny)
        normals = slope / norm[..., None]
        moved = (points[..., :dim] - start).norm(dim=-1)
        good = (
            (value.abs() <= 1e-9 * size[:, None] * norm)
            & geometry.contains(points[..., :dim])
            & (moved <= 4 * width[:, -1:])
        )
        share = good.to(points.dtype).mean(1) * 2 * count / (CANDIDATES * count)
        measure = (
            geometry.measure() * share / (2 * width[:, -1]).clamp_min(torch.finfo(value.dtype).tiny)
        )
        chosen = _chosen(good, count)
    return Surface(
        _following(level, _rows(points, chosen), dim),
        _rows(normals, chosen),
        measure,
        _weights(good.gather(1, chosen)),
    )


def _following(level: Level, points: Tensor, dim: int) -> Tensor:
    """The points of a level set with their derivatives in the params that move it: along its
    gradient. Shapes: "b n D"."""
    value = level(points)
    if not value.requires_grad:
        return points
    with torch.no_grad():
        _, slope = _slope(level, points, dim)
        slope = slope / slope.square().sum(-1, keepdim=True).clamp_min(
            torch.finfo(slope.dtype).tiny
        )
    step = (value - value.detach())[..., None] * slope
    return torch.cat([points[..., :dim] - step, points[..., dim:]], -1)


def on_boundary(
    drawn: DrawnSamples,
    region: Boundary,
    domains: Sequence[Sequence[Domain]],
    count: int,
    chance: Chance,
    sobol: bool,
) -> Surface:
    """Points of a boundary that lies inside of other domains: `domains` are those that its plus
    side and its minus side must lie in."""
    whole = (
        Boundary(f"boundary({region.domain.name})", "all", region.domain)
        if region.kind == "interface"
        else region
    )
    geometry = drawn.geometry[region.domain.name]
    points, normals = geometry.boundary(whole, CANDIDATES // 2 * count, chance, sobol)
    good = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device)
    aside = ASIDE * _size(geometry)[:, None, None] * normals
    for sign, within in zip((1, -1), domains, strict=True):
        for domain in within:
            good &= drawn.geometry[domain.name].contains(points + sign * aside)
    chosen = _chosen(good, count)
    measure = geometry.measure(whole) * good.to(points.dtype).mean(1)
    return Surface(
        _rows(points, chosen), _rows(normals, chosen), measure, _weights(good.gather(1, chosen))
    )


def sides(problem: Problem, region: Boundary) -> tuple[tuple[Domain, ...], tuple[Domain, ...]]:
    """The domains in which the plus side and the minus side of an interface lie: those of the
    unknowns that are two-sided there."""
    conditions = [*problem.conditions.values(), *flux_conditions(problem).values()]
    rows = [
        row
        for condition in conditions
        if condition.region == region
        for row in entries(condition.lhs - condition.rhs)
    ]
    fields = {
        field for row in rows for node in row.atoms(TwoSided) for field in node.atoms(UnknownField)
    }
    around = tuple(
        sorted(
            {field.func.declaration.region for field in fields} - {region.domain},
            key=lambda each: each.name,
        )
    )
    if region.kind == "interface":
        return (region.others[0].domain, *around), (region.domain, *around)
    return around, around


def inner(region: Boundary, problem: Problem) -> bool:
    """Whether a region lies inside of the domain of an unknown, or between two domains."""
    return region.kind in ("level", "interface") or any(sides(problem, region))


def _rows(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def _chosen(good: Tensor, count: int) -> Tensor:
    """Which of some points are kept, good ones first, spread evenly over their order: that of
    time. Shapes: "b m" -> "b n"."""
    index = torch.arange(good.shape[1], dtype=torch.float64, device=good.device)
    return torch.argsort((~good).to(torch.float64) + index * GOLDEN % 1, dim=1)[:, :count]


def _weights(good: Tensor) -> Tensor:
    share = good.to(torch.float64)
    return share * share.shape[1] / share.sum(1, keepdim=True).clamp_min(1)


def _size(geometry: Geometry) -> Tensor:
    """The longest side of the box around a domain. Shapes: "b"."""
    lower, upper = geometry.body.bounds()
    return (upper - lower).amax(-1)


def _slope(level: Level, points: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """A function and its gradient in space. Shapes: points "b n D" -> "b n", "b n d"."""
    with torch.enable_grad():
        at = points.detach().requires_grad_(True)
        value = level(at)
        if not value.requires_grad:
            return value, torch.zeros_like(points[..., :dim])
        (gradient,) = torch.autograd.grad(value.sum(), at)
    return value.detach(), gradient[..., :dim]


# --------------------------------------------------------------------------------------------------
# kinks


def level_function(drawn: DrawnSamples, region: Boundary) -> Level:
    """A function that vanishes on an interface, positive on the side its normal points to.
    Shapes: "b n D" -> "b n"."""
    if region.kind == "level":
        return lambda points: drawn.known(region.value, points)
    geometry = drawn.geometry[region.domain.name]
    return lambda points: -geometry.body.approximate_distance(points[..., : region.domain.dim])


@lru_cache(maxsize=64)
def kinked(problem: Problem) -> tuple[tuple[Boundary, bool], ...]:
    """The surfaces across which fields of a problem have a kink, each with whether they may be
    torn apart there; each surface once."""
    found: dict[object, tuple[Boundary, bool]] = {}
    for region in interfaces(problem):
        if region.kind not in ("level", "interface") and not any(sides(problem, region)):
            continue
        key = normalised(region.value) if region.kind == "level" else region.domain
        torn_here = torn(problem, region)
        found[key] = (region, torn_here or key in found and found[key][1])
    return tuple(found.values())


def channels(problem: Problem) -> int:
    """How many fields of the problem's components a model gives: one, and one for every function
    of `kinks`."""
    return 1 + sum(1 + open_ for _, open_ in kinked(problem))


def kinks(drawn: DrawnSamples) -> PointFunction | None:
    """The functions s_i; None where there are none. Shapes: points "b n D" -> "b n m"."""
    regions = kinked(drawn.problem)
    if not regions:
        return None
    parts, held = [], {normalised(each.value) for each in supports(drawn.problem)}
    for region, open_ in regions:
        level = level_function(drawn, region)
        plus, minus = _slopes(drawn, region, level)
        # what holds a string there bends it, whatever it is made of
        if region.kind == "level" and normalised(region.value) in held:
            minus = -minus
        parts.append((level, plus, minus, open_))

    def function(points: Tensor) -> Tensor:
        columns = []
        for level, plus, minus, open_ in parts:
            value = level(points)
            columns.append(torch.where(value > 0, plus, minus) * value)
            if open_:
                columns.append((value > 0).to(points.dtype))
        return torch.stack(columns, -1)

    return function


def _slopes(drawn: DrawnSamples, region: Boundary, level: Level) -> tuple[Tensor, Tensor]:
    """w_+ and w_- over the size of the level, from the diffusion at the nearest points of either
    side. Shapes: "b 1" both."""
    points = _survey(drawn.problem).to(drawn.dtype).to(drawn.device).expand(drawn.size, -1, -1)
    value = level(points)
    scale = value.abs().mean(1, keepdim=True).clamp_min(torch.finfo(value.dtype).tiny ** 0.5)
    found = []
    for side, coefficient in zip((1, -1), _diffusions(drawn.problem, region), strict=True):
        beside = torch.where(side * value.detach() > 0, value.detach().abs(), torch.inf)
        distance, near = beside.topk(NEAREST, dim=1, largest=False)
        size = drawn.known(coefficient, points).abs().gather(1, near)
        usable = distance.isfinite() & size.isfinite()
        total = torch.where(usable, size, torch.zeros_like(size)).sum(1, keepdim=True)
        found.append(total / usable.sum(1, keepdim=True).clamp_min(1))
    plus, minus = found
    known = (plus.detach() > 0) & (minus.detach() > 0)
    smaller = torch.minimum(plus, minus)
    ones = torch.ones_like(plus)
    weights = [
        torch.where(known, (smaller / torch.where(known, k, ones)).clamp_min(LEAST), ones)
        for k in found
    ]
    return weights[0] / scale, weights[1] / scale


@lru_cache(maxsize=64)
def _survey(problem: Problem) -> Tensor:
    """Points of the box of the unknowns' domains, and of time. Shapes: "n D"."""
    boxes = [
        box(domain)
        for domain in dict.fromkeys(unknown.region for unknown in problem.unknowns.values())
    ]
    lower, upper = (torch.tensor(each, dtype=torch.float64) for each in zip(*boxes, strict=True))
    low, high = lower.amin(0), upper.amax(0)
    if problem.time is not None:
        low, high = (
            torch.cat([x, torch.tensor([float(t)], dtype=torch.float64)])
            for x, t in ((low, problem.time.start), (high, problem.time.end))
        )
    return low + (high - low) * SobolEngine(len(low), scramble=True, seed=0).draw(
        SURVEY, dtype=torch.float64
    )


@lru_cache(maxsize=64)
def _diffusions(problem: Problem, region: Boundary) -> tuple[sp.Expr, sp.Expr]:
    """The mean diagonal diffusion of all flux conditions on an interface, on its plus and its
    minus side; with unknowns at zero."""
    own = [c for c in flux_conditions(problem).values() if c.region == region]
    energies = [
        density for f in problem.functionals for density, place in f.terms if place == region.domain
    ]
    if not own and energies:
        total = sp.Add(*(_stiffness(density, problem) for density in energies))
        return total, total
    plus, minus = (
        sp.Add(*(_diffusion(row, kind) for c in own for row in entries(c.lhs)))
        for kind in (Plus, Minus)
    )
    return plus, minus


def _diffusion(row: sp.Expr, kind: type) -> sp.Expr:
    total = sp.S.Zero
    for node in row.atoms(kind):
        form = jet_form(node.args[0])
        for normal in form.atoms(Normal):
            place = normal.coordinate
            total += by_slopes(form.diff(normal), place.frame.index(place.name))
    return _at_rest(total)


def _stiffness(density: sp.Expr, problem: Problem) -> sp.Expr:
    """The second derivatives of an energy density by the slopes of its unknowns, summed."""
    form = jet_form(density)
    slopes = [
        jet
        for jet in jets_of(form, UnknownField)
        if sum(jet.over(problem.coordinates)) == sum(jet.index) == 1
    ]
    return _at_rest(sp.Add(*(form.diff(jet, 2) for jet in slopes)))


def _at_rest(form: sp.Expr) -> sp.Expr:
    """An expression in jet form with every unknown at zero."""
    return sympy_form(form.xreplace(dict.fromkeys(jets_of(form, UnknownField), sp.S.Zero)))
