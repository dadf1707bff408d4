"""Objectives of a training: weighted loss terms of a step, and of held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from compiler.batches import sample as sampling
from compiler.chance import seeded
from compiler.geometry.metrics import interior, misfit
from compiler.loss.blocks import StepEngine
from compiler.loss.physics import PhysicsLoss
from compiler.scales import component_sizes, scaled
from compiler.training.ahead import Ahead, spare_core
from compiler.training.checkpoint import dtype_of
from compiler.training.data_terms import LABEL as DATA
from compiler.training.data_terms import DataTerms, Share
from compiler.training.dual import LABEL as WEAK
from compiler.training.dual import Coarse, DualNorm, Window, meshed
from compiler.training.options import TrainOptions
from compiler.training.placement import Placement
from compiler.training.processes import mean
from compiler.training.progress import Display, Silent
from compiler.training.solved_samples import LABEL, POINTS, Kept, Solutions, solved_together
from pdespec.statements.problem import Problem

Sampler = Callable[..., Any]
# weight of data from which numbers are found: a field that obeys the equations with other numbers
# is carried to the data by them alone (docs/notes/inverse_problems.md)
FOUND = 30.0
PROBED = 64  # points of a held-out sample at which the size of the predictions is measured


def term_labels(
    loss: PhysicsLoss, options: TrainOptions, dual: DualNorm | None, data: DataTerms | None = None
) -> tuple[str, ...]:
    """Those of what training lowers, in the order of `Objective.forward`."""
    return (
        (loss.labels if options.physics else ())
        + ((WEAK,) if dual else ())
        + (data.labels if data else ())
        + ((LABEL,) if options.solutions else ())
    )


class Objective(nn.Module):
    """The terms of the loss as a function of the step: the batch is drawn here, and each process
    takes its share of it.

    One module for model and loss, so that a wrapper of it (DDP, autocast) sees everything between
    parameters and terms.
    """

    def __init__(
        self,
        problem: Problem,
        model: nn.Module,
        loss: PhysicsLoss,
        options: TrainOptions,
        sampler: Sampler | None,
        fabric: Fabric,
        dual: DualNorm | None = None,
        data: DataTerms | None = None,
    ):
        super().__init__()
        self.model, self.loss = model, loss
        self.problem, self.options, self.sampler, self.fabric = (
            problem,
            options,
            sampler or sampling.sample,
            fabric,
        )
        self.solutions: Solutions | None = None
        self.placement: Placement | None = None
        self.data = None if data is None else data.to(dtype_of(options), fabric.device)
        self.dual, self.batch, self.window = dual, options.batch, None
        if dual is not None:
            self.batch = dual.affordable(options.batch, fabric.world_size * options.accumulate)
            self.window = Window(
                lambda step: meshed(dual, self.draw("train", step), loss.inner_batch), options.seed
            )
        self.labels = term_labels(loss, options, dual, data)
        # the last batch of training: asked again before a state is saved
        self.drawn: tuple[int, Any] | None = None
        self.held: tuple[Any, list[Coarse]] | None = None
        self.causal: Mapping[str, float] = {}
        self.engine = (
            StepEngine(loss, options.block, "captured" if options.captured else "eager")
            if options.block
            else None
        )
        self.to(dtype=dtype_of(options))

    def forward(self, purpose: str, step: int, part: int = 0) -> tuple[Tensor, Tensor]:
        """Unweighted: the terms in the loss's order, the dual norm of the weak residual, the misfit
        to measured data, and in training that to solved samples; and how much of each requirement
        is violated, nothing where there is no physics. In training of one `part` of this process's
        share, of `options.accumulate` equal ones. Shapes: "m", "r".
        """
        training, values, violated = purpose == "train", [], torch.zeros(0)
        physics = self.options.physics or not (training or self.dual or self.data)
        if physics or self.dual:
            batch, samples = (
                self.meshed(purpose, step) if self.dual else (self.draw(purpose, step), [])
            )
            if training and self.options.accumulate > 1:
                count = self.batch // self.fabric.world_size // self.options.accumulate
                own = range(part * count, (part + 1) * count)
                batch, samples = batch.select(own), samples[part * count :][:count]
            field = self.model(batch.inputs)
            if physics:
                if training and self.placement:
                    batch = self.placement(step, part, field, batch, self.fabric)
                with self.loss.trainables.holding(training and self.measures and not step % 2):
                    terms, violated = self.terms(field, batch, self.causal if training else {})
                values.append(terms)
            if self.dual:
                values.append(
                    self.dual(self.loss.inner(field), samples, batch.inputs.values)[None].to(
                        batch.inputs.values
                    )
                )
        if self.data is not None:
            values.append(self.measured(self.data, step if training else None, part))
        if self.solutions is not None and training:
            values.append(self.misfit(self.solutions, step, part)[None])
        return torch.cat(values), violated

    def meshed(self, purpose: str, step: int) -> tuple[Any, list[Coarse]]:
        """The batch of a step with its coarse meshes; in validation those of the held-out
        samples, which are kept."""
        if purpose == "train":
            return self.window.at(step)
        if self.held is None:
            self.held = meshed(self.dual, self.draw(purpose, step), self.loss.inner_batch)
        return self.held

    def physics(self, purpose: str, step: int) -> tuple[Tensor, Tensor]:
        """The terms of the loss, and the violated share of each requirement. Shapes: "m", "r"."""
        batch = self.draw(purpose, step)
        return self.terms(self.model(batch.inputs), batch)

    def terms(
        self, field: Any, batch: Any, causal: Mapping[str, float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same at a field of the batch, with causal weights of the strengths given."""
        # a balancer other than the fixed one weighs the terms by what they turn out to be
        settled = self.options.balancer == "fixed"
        if self.engine is None:
            terms = self.loss(field, batch, scaled=True, causal=causal)
        else:
            terms = self.engine(field, batch, settled=settled, scaled=True)
        values = torch.stack(list(terms.values()))
        violated = [terms.violations[label].mean() for label in self.loss.requirements]
        return values, torch.stack(violated) if violated else values.new_zeros(0)

    def violations(self, violated: Tensor) -> dict[str, float]:
        """Columns of the fraction of points where a requirement does not hold, mean over the
        batch."""
        names = [f"violated {label}" for label in self.loss.requirements]
        return (
            dict(zip(names, mean(self.fabric, violated).tolist(), strict=True))
            if len(violated)
            else {}
        )

    def losses(self, step: int) -> Tensor:
        """The terms of a step of training at the weights as they are, over all processes, without
        a graph. Shapes: "m" in float64 on the CPU."""
        with torch.no_grad(), self.fabric.autocast():
            parts = [self("train", step, part)[0] for part in range(self.options.accumulate)]
        return mean(self.fabric, torch.stack(parts).mean(0)).double().cpu()

    def misfit(self, solutions: Solutions, step: int, part: int) -> Tensor:
        """That of a part of this process's share of a batch of solved samples, at as many of
        their points as physics has inside."""
        options, fabric = self.options, self.fabric
        generator = seeded(options.seed, LABEL, step)
        samples = torch.randint(
            solutions.batch.size, (options.batch,), generator=generator
        ).tolist()
        points = torch.randperm(solutions.values.shape[1], generator=generator)[
            : options.points["interior"]
        ]
        count = options.batch // fabric.world_size // options.accumulate
        first = (fabric.global_rank * options.accumulate + part) * count
        return solutions.misfit(
            self.model,
            samples[first : first + count],
            points.to(solutions.values.device),
        )

    def measured(self, data: DataTerms, step: int | None, part: int) -> Tensor:
        """The misfit to measured data of a step, or in validation where there is none. Shapes: ->
        "m"."""
        options, fabric, trainables = self.options, self.fabric, self.loss.trainables
        if step is None:
            share = Share(fabric.global_rank, fabric.world_size)
            return data.validating(self.model, trainables, options.validation, share)
        parts = fabric.world_size * options.accumulate
        share = Share(fabric.global_rank * options.accumulate + part, parts)
        generator = seeded(options.seed, "measured", step)
        return data.training(self.model, trainables, generator, options.batch, share)

    def solutions_drawn(self, count: int) -> Any:
        """The samples that are solved for training."""
        points = {**self.options.points, "interior": POINTS}
        return self.sampler(
            self.problem,
            count,
            points,
            seeded(self.options.seed, "solutions", 0),
            dtype=torch.float64,
            **self.options.ansatz,
        )

    def seen(self, step: int) -> Any:
        """The whole batch of a step of training, with the points that were placed for it."""
        batch = self.draw("train", step, share=False)
        return self.placement.seen(step, batch) if self.placement else batch

    def draw(self, purpose: str, step: int, share: bool = True) -> Any:
        """The batch of a step, the same for every number of processes; with `share`, this
        process's part of it: that alone is drawn, unless the sampler is a caller's own."""
        if not (share and purpose == "train"):
            return self._draw(purpose, step, share)
        if self.drawn is None or self.drawn[0] != step:
            ahead = self.ahead
            self.drawn = step, ahead.at(step) if ahead else self._draw("train", step)
        return self.drawn[1]

    @cached_property
    def ahead(self) -> Ahead | None:
        """Draws batches of training ahead; None where a sampler of the caller's, or an autocast
        that is on in one thread alone, may make another batch of it, or no core is free."""
        options, fabric = self.options, self.fabric
        own = self.sampler is sampling.sample and options.precision != "bfloat16"
        if not own or not spare_core(fabric.world_size):
            return None
        return Ahead(lambda step: self._draw("train", step), options.steps)

    def _draw(self, purpose: str, step: int, share: bool = True) -> Any:
        options, fabric = self.options, self.fabric
        size = self.batch if purpose == "train" else options.validation
        part = size // fabric.world_size if share else size
        own = self.sampler is sampling.sample
        first = fabric.global_rank * part if share else 0
        if purpose == "train" and step % 2 and self.measures:
            return self._measured_samples(step, size, range(first, first + part))
        fewer = self.placement.drawn if self.placement and purpose == "train" else {}
        batch = self.sampler(
            self.problem,
            part if own else size,
            {**options.points, **fewer},
            seeded(options.seed, purpose, step),
            dtype=dtype_of(options),
            device=fabric.device,
            sampling=options.sampling if purpose == "train" else "sobol",
            **options.ansatz,
            **({"first": first} if own else {}),
        )
        if not own and part < size:
            batch = batch.select(range(first, first + part))
        return batch

    @cached_property
    def measures(self) -> bool:
        """Whether every other step takes its physics at the samples that were measured. Samples
        that are drawn say nothing of numbers to be found, which are held there: they obey any, and
        the field has learned those of the steps before. What it makes of measured ones has to obey
        the right ones."""
        drawn = [*self.problem.params.values(), *self.problem.inputs.values()]
        return (
            self.sampler is sampling.sample
            and not self.options.captured
            and bool(self.problem.trainables)
            and any(each.law is not None for each in drawn)
            and self.data is not None
            and bool(self.data.terms)
        )

    def _measured_samples(self, step: int, size: int, own: range) -> Any:
        """Samples of those that were measured, with fresh points; this process's share of them."""
        options, data = self.options, self.data
        generator = seeded(options.seed, "physics of measured samples", step)
        known = data.samples - data.held_out
        chosen = torch.randint(known, (size,), generator=generator)[list(own)].tolist()
        return data.batch.select(chosen).placed_anew(
            options.points, generator, options.sampling, own.start
        )

    def trainables(self) -> dict[str, float]:
        """The problem's trainable numbers, as they are."""
        return self.loss.found()

    def data_weight(self, label: str) -> float:
        """That of a term of measured data: its own, or that of all of them; by default FOUND where
        numbers are found from them, else 1."""
        found = self.problem.trainables and (self.options.physics or self.dual)
        weights, usual = self.options.weights, FOUND if found else 1.0
        return weights.get(label, weights.get(DATA, usual))

    @property
    def data_labels(self) -> tuple[str, ...]:
        """The labels of measured terms; none where nothing is measured."""
        return () if self.data is None else self.data.labels


class Validator:
    """The loss on held-out samples that are drawn once, and the error in u on the first
    `references` of them.

    Where training sees no physics and no measured data, `validation` is that error.
    """

    def __init__(
        self, objective: Objective, options: TrainOptions, fabric: Fabric, display: Display
    ) -> None:
        self.objective, self.options, self.fabric, self.display = (
            objective,
            options,
            fabric,
            display,
        )
        weights = [objective.loss.weights.get(label, 1.0) for label in objective.loss.labels]
        weak = [options.weights.get(WEAK, 1.0)] if objective.dual else []
        data = [objective.data_weight(each) for each in objective.data_labels]
        physics = weights if options.physics or not (weak or data) else []
        self.base = torch.tensor(physics + weak + data, dtype=torch.float64)
        self.truth: dict[int, Tensor] | None = None

    def solve(self, directory: Path) -> None:
        """Solves the first samples, by all processes together, unless `directory` holds them.

        Raises: RunError where the solver gave all of them up.
        """
        count = self.options.references
        if not count:
            return
        self.batch = self.objective.draw("validate", 0, share=False).select(range(count))
        self.truth = self.solved(None if self.objective.problem.trainables else directory)
        if len(self.truth) < count and self.fabric.is_global_zero:
            self.display.message(
                f"warning: the reference solver gave up on {count - len(self.truth)} of {count}"
                " validation samples; the error in u is that of the others"
            )

    def __call__(self) -> dict[str, float]:
        with torch.no_grad(), self.fabric.autocast():
            values, violated = self.objective("validate", 0)
        losses = mean(self.fabric, values).double().cpu()
        found = {"validation": float(self.base @ losses), "prediction": self.prediction()}
        found |= {
            f"validation {name}": value
            for name, value in self.objective.violations(violated).items()
        }
        if self.truth is not None:
            if self.objective.problem.trainables:  # the truth moves with them
                self.truth = self.solved(None)
            found["error"] = self.error(self.truth)
            if not (self.options.physics or self.objective.dual or self.objective.data):
                found["validation"] = found["error"]
        return found

    def solved(self, directory: Path | None) -> dict[int, Tensor]:
        """The reference solutions of the first samples, by number, at the trainable numbers as
        they are; saved in `directory`. Shapes: -> "m c"."""
        problem, batch = self.objective.problem, self.batch
        if problem.trainables:
            batch = batch.with_trainables(self.objective.trainables())
        kept = None if directory is None else Kept(directory, "validation")
        shown = self.display if kept else Silent()
        return solved_together(problem, batch, self.options.references, kept, shown, self.fabric)

    @torch.no_grad()
    def prediction(self) -> float:
        """Root mean square of the predictions at some points of the held-out samples, in the
        sizes of the unknowns."""
        problem = self.objective.problem
        batch = self.objective.draw("validate", 0)
        values = self.objective.model(batch.inputs)(interior(problem, batch)[:, :PROBED])
        sizes = values.new_tensor(component_sizes(problem, scaled(problem)[0]))
        return float(mean(self.fabric, (values / sizes).square().mean()).sqrt())

    def error(self, truth: dict[int, Tensor]) -> float:
        """Mean over the solved samples of the relative L2 error of the worst unknown, as
        `compiler.evaluate` has it."""
        problem, batch = self.objective.problem, self.batch.select(list(truth))
        points = interior(problem, batch)
        with torch.no_grad():
            found = self.objective.model(batch.inputs)(points)
        at, found, expected = (
            each.double().cpu() for each in (points, found, torch.stack(list(truth.values())))
        )
        return float(misfit(problem, at, found, expected).squared().amax(-1).sqrt().mean())
