"""Strategies that place collocation points by the size of the residual, by name.

`points = strategy.update(places)` gives the points of a step for the samples of one region. Each
strategy says by `keeps` whether it needs those of the step before, which mean something only where
a step sees the same samples again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from compiler.chance import Chance
from operators.registry import Registry

ADAPTIVE = Registry("adaptive strategy")
"""Rules that place collocation points by the residual, by name."""


@dataclass(frozen=True, slots=True)
class Places:
    """What a strategy may know of one region in the samples of a step: the `count` of points asked
    for, those `drawn` as ever, those `kept` of the step before where there are any, m more by
    `candidates(m)`, uniform too, and by `size(points)` the size of the residual anywhere.

    Shapes: drawn "b d D", kept "b n D", candidates "b m D", size "b m D" -> "b m", not negative.
    """

    count: int
    drawn: Tensor
    kept: Tensor | None
    candidates: Callable[[int], Tensor]
    size: Callable[[Tensor], Tensor]
    chance: Chance


@dataclass(frozen=True, slots=True)
class Strategy:
    """`update` gives points "b n D". `every`: in how many steps it is asked once. `keeps`: whether
    it needs the points of the step before. Of n points `drawn(n)` are drawn as ever, at least one.
    `summary` says in words what is done.
    """

    update: Callable[[Places], Tensor]
    summary: str
    every: int = 1
    keeps: bool = False
    drawn: Callable[[int], int] = lambda count: count


@ADAPTIVE.register("rad")
def rad(candidates: int = 4, k: float = 1.0, c: float = 1.0, every: int = 1) -> Strategy:
    """Residual-based adaptive distribution: all points are chosen among `candidates` times as many,
    with a probability proportional to r^k / mean(r^k) + c.

    Source: Wu et al. 2023 (arXiv 2207.10289), algorithm 2.
    """
    _check(candidates=(candidates, 1, 4096), every=(every, 1, 10**9), k=(k, 0, 16), c=(c, 0, 1e6))

    def update(places: Places) -> Tensor:
        pool = places.candidates(candidates * places.count)
        return chosen(pool, density(places.size(pool), k, c), places.count, places.chance)

    summary = f"of {candidates} times as many candidates, with a density of r^{k:g}/mean + {c:g}"
    return Strategy(update, summary, every)


@ADAPTIVE.register("rar_d")
def rar_d(
    candidates: int = 4, k: float = 2.0, c: float = 0.0, share: float = 0.5, every: int = 1
) -> Strategy:
    """Residual-based adaptive refinement with distribution: a `share` of the points is chosen as by
    `rad`, among `candidates` times as many, and added to the others, which are drawn as ever.

    In the paper they are added to those of before, whose number grows; here the number is that
    which was asked for, so that a step costs the same from first to last, and those of a step are
    chosen by the residual of that step. Source: Wu et al. 2023 (arXiv 2207.10289), algorithm 3.
    """
    _check(candidates=(candidates, 1, 4096), every=(every, 1, 10**9), k=(k, 0, 16), c=(c, 0, 1e6))
    if not 0 < share < 1:
        raise ValueError(f"share is a part of the points between 0 and 1, not {share!r}")

    def drawn(count: int) -> int:
        return max(1, count - round(share * count))

    def update(places: Places) -> Tensor:
        added = places.count - places.drawn.shape[1]
        if not added:  # of a single point
            return places.drawn
        pool = places.candidates(candidates * added)
        found = chosen(pool, density(places.size(pool), k, c), added, places.chance)
        return torch.cat([places.drawn, found], 1)

    summary = (
        f"a share of {share:g} of {candidates} times as many candidates, with a density of"
        f" r^{k:g}/mean + {c:g}, the others as ever"
    )
    return Strategy(update, summary, every, drawn=drawn)


@ADAPTIVE.register("r3")
def r3(every: int = 1) -> Strategy:
    """Retain, resample, release: a point whose residual exceeds the mean of those of its sample
    stays, all others are drawn anew.

    Source: Daw et al. 2023 (arXiv 2207.02338), algorithm 1.
    """
    _check(every=(every, 1, 10**9))

    def update(places: Places) -> Tensor:
        if places.kept is None:
            return places.drawn
        size = places.size(places.kept)
        retained = size > size.mean(-1, keepdim=True)
        # in any order: points are drawn in the order of time, and what is released may be early
        order = places.chance.uniform(places.count).argsort(-1).to(places.drawn.device)
        anew = places.drawn.gather(1, order[..., None].expand_as(places.drawn))
        return torch.where(retained[..., None], places.kept, anew)

    return Strategy(update, "those above the mean stay, the others are drawn anew", every, True)


def density(size: Tensor, k: float, c: float) -> Tensor:
    """r^k / mean(r^k) + c in float64: relative to that of uniform points where it is divided by 1 +
    c. Where all residuals are zero, all points are alike; where some are not finite, these are the
    ones to be seen. Shapes: "b m" -> "b m".
    """
    finite = size.isfinite()
    # over the largest first: r^k of small residuals would be zero
    largest = torch.where(finite, size, 0).amax(-1, keepdim=True).double()
    power = (size.double() / torch.where(largest > 0, largest, 1)).pow(k)
    mean = power.mean(-1, keepdim=True)
    found = torch.where(mean > 0, power / mean + c, 1.0)
    return torch.where(finite.all(-1, keepdim=True), found, (~finite).double())


def chosen(pool: Tensor, weights: Tensor, count: int, chance: Chance) -> Tensor:
    """`count` of the points of each sample, the i-th floor or ceil of `count w_i / sum(w)` times,
    and so often on average; in the order of the pool.

    By systematic sampling in a random order: in that of the pool every fourth point of a Sobol
    sequence would lie in the same quarter of the domain. Shapes: pool "b m D", weights "b m" -> "b
    n D".
    """
    order = chance.uniform(pool.shape[1]).to(weights.device).argsort(-1)
    ends = weights.gather(1, order).cumsum(-1)
    steps = (torch.arange(count, device=weights.device) + chance.uniform(1).to(weights)) / count
    # the last end is never reached: no point without weight is chosen by rounding
    place = torch.searchsorted(ends, steps * ends[:, -1:], right=True)
    place = torch.minimum(place, (ends < ends[:, -1:]).sum(-1, keepdim=True))
    index = order.gather(1, place).sort(-1).values
    return pool.gather(1, index[..., None].expand(-1, -1, pool.shape[-1]))


def _check(**values: tuple[float, float, float]) -> None:
    """Raises: ValueError for a number that is not between its bounds, or no whole one where these
    are."""
    for name, (value, least, most) in values.items():
        whole = name in ("candidates", "every")
        if (
            isinstance(value, bool)
            or not isinstance(value, int if whole else (int, float))
            or not (math.isfinite(value) and least <= value <= most)
        ):
            kind = "whole number" if whole else "number"
            raise ValueError(f"{name} is a {kind} from {least} to {most}, not {value!r}")
