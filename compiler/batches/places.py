"""Collocation points that are placed once somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

import torch

from compiler.chance import Chance
from compiler.data.interfaces import inner
from compiler.data.points import PointSet, place, time_shares
from compiler.data.samples import DrawnSamples
from compiler.geometry.domain import unit_cube
from compiler.lowering.regions import regions
from pdespec.geometry import Boundary
from pdespec.statements.problem import Problem


class PlacedLater(Mapping[str, PointSet]):
    """The points of each region of the samples drawn, by the numbers of a chance of their own. They
    hang on params that require grad as they would had they been placed when this was made, whoever
    asks for them first."""

    def __init__(self, drawn: DrawnSamples, counts: Mapping[str, int], chance: Chance) -> None:
        self.drawn, self.counts, self.chance = drawn, counts, chance
        self.inference, self.graph = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        self.found: dict[str, PointSet] | None = None

    def _placed(self) -> dict[str, PointSet]:
        if self.found is None:
            with torch.inference_mode(self.inference), torch.set_grad_enabled(self.graph):
                self.found = {
                    key: place(self.drawn, key, kind, region, self.counts, self.chance, "sobol")
                    for key, (kind, region) in regions(self.drawn.problem).items()
                }
        return self.found

    def __getitem__(self, key: str) -> PointSet:
        return self._placed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(regions(self.drawn.problem))

    def __len__(self) -> int:
        return len(regions(self.drawn.problem))

    def __reduce__(self) -> tuple:
        return dict, (self._placed(),)


@lru_cache(maxsize=64)
def foreseen(problem: Problem) -> bool:
    """Whether it is known without a look at the samples how many random numbers their points take:
    not on surfaces that are searched for."""
    return all(
        kind in ("interior", "boundary", "initial")
        and not (isinstance(region, Boundary) and inner(region, problem))
        for kind, region in regions(problem).values()
    )


def placed_later(drawn: DrawnSamples, counts: Mapping[str, int], chance: Chance) -> PlacedLater:
    """The points, to be placed by a Sobol sequence; chance goes on as if they had been placed."""
    found = PlacedLater(drawn, counts, chance.copy())
    for key, (kind, region) in regions(drawn.problem).items():
        unit_cube(region, drawn.size, chance, True, chance.device)
        if kind != "initial" and drawn.problem.time is not None:
            time_shares(counts[key] if key in counts else counts[kind], chance)
    return found
