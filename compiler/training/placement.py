"""The points of a training step inside of domains, where a strategy places them by the residual
(see `compiler.training.adaptive`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from compiler.batches.sample import Batch
from compiler.chance import Chance, seeded
from compiler.data.points import place
from compiler.loss.physics import FieldLike, PhysicsLoss
from compiler.loss.residual_size import mixing, regions, residual_size
from compiler.lowering.regions import regions as all_regions
from compiler.scales import scaled
from compiler.training.adaptive import ADAPTIVE, Places, Strategy
from compiler.training.options import OptionError, TrainOptions, instantiate
from pdespec.statements.problem import Problem

# what an integral over a region is to a term: points that are not uniform would change its value
INTEGRALS = {
    "energy": "an energy is an integral",
    "integral": "a requirement is an integral",
    "error": "the estimated error is an integral (error_estimate=false leaves it out)",
}


class Placement:
    """What a strategy makes of the batches of a training, each process of its share of them.

    The points of a sample follow from the seed, the step, the number of the sample, the weights of
    the network and, where the strategy keeps any, its points of the step before; `state` is all
    that a checkpoint has to hold of it. `weights` are those of the terms in the step before.
    """

    def __init__(
        self, strategy: Strategy, problem: Problem, loss: PhysicsLoss, options: TrainOptions
    ) -> None:
        self.strategy, self.loss, self.options = strategy, loss, options
        self.count, self.keeping = options.points["interior"], keeping(strategy)
        found, computed = regions(loss), all_regions(scaled(problem)[1])
        self.regions = {key: computed[key][1] for key in found}
        number = strategy.drawn(self.count)
        outer = dict(zip(computed, all_regions(problem), strict=True))
        self.drawn = {} if number == self.count else {outer[key]: number for key in found}
        self.weights: dict[str, float] = dict(loss.weights)
        self.kept: dict[str, Tensor] = {}
        self.step = -1
        # of this step by part: the points of this process, and those of all where they are kept
        self.own: dict[int, dict[str, Tensor]] = {}
        self.all: dict[int, dict[str, Tensor]] = {}

    def __call__(
        self, step: int, part: int, field: FieldLike, batch: Batch, fabric: Fabric
    ) -> Batch:
        """The batch of a part of a step with its points placed; the same points whenever it is
        asked for in that step."""
        if step != self.step:
            self.kept = self._population()
            self.step, self.own, self.all = step, {}, {}
        if part not in self.own:
            self.own[part] = self._placed(step, part, field, batch, fabric)
            if self.keeping:
                self.all[part] = {
                    key: fabric.all_gather(points).reshape(-1, *points.shape)
                    for key, points in self.own[part].items()
                }
        return batch.with_points(self.own[part])

    def seen(self, step: int, batch: Batch) -> Batch:
        """The whole batch of a step, its points where they were placed, if this process has placed
        all of them."""
        if step != self.step or len(self.own) < self.options.accumulate:
            return batch
        points = {
            key: torch.cat([self.own[part][key] for part in sorted(self.own)])
            for key in self.regions
        }
        whole = all(len(each) == batch.size for each in points.values())
        return batch.with_points(points) if whole else batch

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the points of the last step, where they are kept, and the
        weights of the terms in it."""
        return {"points": self._population(), "weights": self.weights}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Takes what `state` gave."""
        self.kept, self.weights = dict(saved["points"]), dict(saved["weights"])

    def _population(self) -> dict[str, Tensor]:
        """The points of all samples of the last step, where they are kept. Shapes: "B n D"."""
        if len(self.all) < self.options.accumulate:
            return self.kept
        return {
            key: torch.cat([self.all[part][key] for part in sorted(self.all)], 1).flatten(0, 1)
            for key in self.regions
        }

    def _placed(
        self, step: int, part: int, field: FieldLike, batch: Batch, fabric: Fabric
    ) -> dict[str, Tensor]:
        local = batch.local or batch
        first = (fabric.global_rank * self.options.accumulate + part) * batch.size
        chance = Chance(seeded(self.options.seed, "adaptive", step), batch.size, first=first)
        found = {}
        for key, region in self.regions.items():
            drawn = local.points[key].points
            kept = self._kept(key, slice(first, first + batch.size), drawn)
            if kept is not None and step % self.strategy.every:
                found[key] = kept
                continue

            def candidates(count: int, key: str = key, region: Any = region) -> Tensor:
                counts, by = {key: count}, self.options.sampling
                return place(local.draws, key, "interior", region, counts, chance, by).points

            def size(points: Tensor, key: str = key) -> Tensor:
                block = self.options.block
                return residual_size(self.loss, field, batch, key, points, self.weights, block)

            points = self.strategy.update(
                Places(self.count, drawn, kept, candidates, size, chance)
            ).detach()
            expected = (batch.size, self.count, drawn.shape[-1])
            if tuple(points.shape) != expected:
                raise OptionError(
                    f"adaptive = {self.options.adaptive!r} gave points of shape"
                    f" {tuple(points.shape)}, not {expected}"
                )
            found[key] = points
        return found

    def _kept(self, key: str, rows: slice, like: Tensor) -> Tensor | None:
        """Those of the step before; none where another number of points was asked for then."""
        kept = self.kept.get(key) if self.keeping else None
        if kept is None or kept.shape[1:] != (self.count, like.shape[-1]):
            return None
        own = kept[rows].to(like)
        return own if len(own) == len(like) else None


def keeping(strategy: Strategy) -> bool:
    """Whether points of one step are used in another."""
    return strategy.keeps or strategy.every > 1


def placement(
    problem: Problem, loss: PhysicsLoss, options: TrainOptions, anew: list[str] | None
) -> Placement | None:
    """What the options ask for. `anew` names what differs from step to step in a sample: nothing
    where samples stay, None where nobody knows.

    Raises: OptionError for an unknown strategy or option of one, and where the points of an
    equation serve an integral as well, where none holds inside of a domain, or where points would
    be kept of samples that do not stay.
    """
    name = options.adaptive
    if name is None:
        return None
    strategy, found = instantiate(ADAPTIVE, name, options.adaptive_options), regions(loss)
    if not found:
        raise OptionError(
            f"adaptive = {name!r} follows the residual of an equation, and none is lowered for"
            f" `{problem.name}`: set adaptive=none, or form=strong where it is an energy that is"
        )
    for terms in found.values():
        for term in terms:
            if term.kind in INTEGRALS:
                raise OptionError(
                    f"adaptive = {name!r} would change what `{term.label}` says:"
                    f" {INTEGRALS[term.kind]} over {term.region.name}, taken at uniform points; set"
                    " adaptive=none"
                )
    if keeping(strategy) and anew != []:
        which = f"draws {', '.join(anew)} anew" if anew else "may draw other samples"
        raise OptionError(
            f"adaptive = {name!r} with every = {strategy.every} keeps points from step to step,"
            f" but `{problem.name}` {which} in each: take rad or rar_d with every=1, or"
            " train on given samples (pdespec finetune)"
        )
    return Placement(strategy, problem, loss, options)


def refuse_mixing(placed: Placement, field: FieldLike, batch: Any) -> None:
    """Raises: OptionError for samples that are no `compiler.Batch`, and for derivatives that a
    point has of its neighbours."""
    name = placed.options.adaptive
    if not isinstance(batch, Batch):
        raise OptionError(
            f"adaptive = {name!r} draws candidates of a `compiler.Batch`, and this sampler gives"
            f" {type(batch).__name__}"
        )
    for key in placed.regions:
        backend = mixing(placed.loss, field, batch, key)
        if backend:
            raise OptionError(
                f"adaptive = {name!r} asks for the residual at single points, but derivatives by"
                f" {backend} are taken of all of them together; set adaptive=none"
            )
