"""Measured values as terms of the loss: how far the field is from the data of a problem, on some of
their rows.

    mean over rows of  weight |u(x_k) - u_k|^2 / size^2

summed over components, `size` that of the unknown (see `compiler.scales`), weights of mean one. Of
a family, the mean over its samples of that.

Trainables with a prior N(m, t^2) add `prior.NAME`: the sum over components of ((c - m)/t)^2, times
s^2/n, where n is the number of measured values and s^2 the mean square that noise alone leaves in
the term above. Data and prior together are then 2 s^2/n times the negative logarithm of the
posterior. s^2 follows from the sigma of the file; without one it is what the term is at that step,
which has the same minimum as the posterior in which the noise has been integrated out under 1/s.
Of several files, n and s are those of the one with most rows.
Source: Gelman et al. 2013, Bayesian Data Analysis, 3rd ed., 2.8 and 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compiler.batches.measured import measured_batch
from compiler.batches.sample import Batch
from compiler.loss.physics import PhysicsLoss
from compiler.loss.physics import compile as compile_loss
from compiler.measurements.measured import Measured, measurements
from compiler.measurements.streamed import Streamed
from compiler.scales import component_sizes, scaled
from compiler.trainable_fields import coefficients
from pdespec.geometry import Boundary
from pdespec.statements.problem import Equation, Problem

LABEL = "data"  # of all these terms in `TrainOptions.weights`
PRIOR = "prior"
MOST = 4096  # rows of a sample that a validation looks at
Model = Callable[[Any], Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Share:
    """Which part of a step's rows a process takes: one of `parts` equal ones."""

    part: int = 0
    parts: int = 1


@dataclass(frozen=True)
class Rows:
    """The rows of one statement, by sample, padded with rows of weight zero. Shapes: points "s m
    D", values "s m c", weights "s m", counts "s"; sizes "c". Of a `Streamed` table points and
    values are None and the weights, "1 m", those of any sample."""

    measured: Measured
    points: Tensor | None
    values: Tensor | None
    weights: Tensor
    counts: Tensor
    sizes: Tensor
    loss: PhysicsLoss | None = None  # of an expression in the unknowns

    @property
    def width(self) -> int:
        """Rows of a sample at most."""
        return self.weights.shape[1]

    def all_of(self, samples: Sequence[int], most: int | None = MOST) -> tuple[Tensor, Tensor]:
        """The numbers of all rows of samples, with those of weight zero, evenly some where there
        are more than `most`; and how many count. Shapes: "b r", "b"."""
        step = 1 if most is None else -(-self.width // most)
        index = torch.arange(0, self.width, step, device=self.weights.device)
        counts = (index[None] < self.counts[list(samples)][:, None]).sum(1)
        return index.expand(len(samples), -1), counts.to(self.weights)

    def taken(self, chosen: Sequence[int], rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points, values and weights of some rows, "b r" numbers of them, of the samples chosen.
        Shapes: "b r D", "b r c", "b r"."""
        if self.points is not None and self.values is not None:
            own = torch.as_tensor(list(chosen), device=rows.device)[:, None]
            return self.points[own, rows], self.values[own, rows], self.weights[own, rows]
        own = torch.arange(len(chosen), device=rows.device)[:, None]
        # of long rows, which stay in their file, a sample is read whole: it lies in one piece
        points, values = (
            torch.as_tensor(each).to(self.weights)[own, rows]
            for each in self.measured.table.read(chosen)  # type: ignore[union-attr]
        )
        return points, values, self.weights[0][rows]

    def gap(
        self,
        field: Callable[[Tensor], Tensor],
        batch: Batch,
        chosen: Sequence[int],
        rows: Tensor,
        trainables: Mapping[str, Tensor],
    ) -> Tensor:
        """weight |u - u_k|^2 / size^2 of some rows, see `taken`. Shapes: -> "b r"."""
        points, values, weights = self.taken(chosen, rows)
        found = self.observed(field, batch, points, trainables)
        return weights * ((found - values) / self.sizes).square().sum(-1)

    def observed(
        self,
        field: Callable[[Tensor], Tensor],
        batch: Batch,
        points: Tensor,
        trainables: Mapping[str, Tensor],
    ) -> Tensor:
        """What the statement measures, of a field. Shapes: points "b n D" -> "b n c"."""
        if self.loss is None:
            names = batch.problem.components
            return field(points)[..., [names.index(each) for each in self.measured.components]]
        inputs = {
            name: lambda x, name=name: batch.evaluate(name, x) for name in batch.problem.inputs
        }
        given = {**batch.params, **trainables}
        return self.loss.residuals(field, points, inputs, given)[LABEL]

    def to(self, dtype: torch.dtype, device: torch.device) -> Rows:
        tensors = {name: getattr(self, name) for name in ("points", "values", "weights", "sizes")}
        moved = {n: each if each is None else each.to(device, dtype) for n, each in tensors.items()}
        return replace(self, **moved, counts=self.counts.to(device))


@dataclass(frozen=True)
class Priors:
    """The priors of trainables. `laws`: mean and standard deviation, by name; `term`: the number of
    the term that is weighed against them, `noise` the mean square of its noise, None where that is
    not known, and `count` its number of measured values."""

    laws: Mapping[str, tuple[float, float]]
    term: int
    noise: float | None
    count: int

    @property
    def labels(self) -> tuple[str, ...]:
        """What the terms are called in the history: one for each trainable with a prior."""
        return tuple(f"{PRIOR}.{name}" for name in self.laws)

    def __call__(self, trainables: Mapping[str, Tensor], data: Tensor) -> Tensor:
        """Shapes: terms of data "m" -> "p"."""
        noise = data[self.term].detach() if self.noise is None else self.noise
        found = [
            ((trainables[name] - mean) / std).square().sum()
            for name, (mean, std) in self.laws.items()
        ]
        return (noise / self.count * torch.stack(found)).to(data)


def priors_of(problem: Problem, terms: Sequence[Rows], held_out: int) -> Priors | None:
    """The priors of a problem's trainables, in addition to the data that training sees, all but
    those of the last `held_out` samples; None where there are none."""
    laws = {
        name: (float(law.mean), float(law.std))  # type: ignore[attr-defined]
        for name, p in problem.trainables.items()
        if (law := coefficients(p).law) is not None
    }
    if not laws:
        return None
    seen = [int(each.counts[: max(0, len(each.counts) - held_out)].sum()) for each in terms]
    chosen = max(range(len(terms)), key=seen.__getitem__)
    rows = terms[chosen]
    sigma, width = rows.measured.table.sigma, len(rows.sizes)
    noise = None
    if sigma is not None:  # weights are sigma^-2 over their mean
        noise = float((1 / rows.sizes.square()).sum() / np.mean(sigma**-2.0))
    return Priors(laws, chosen, noise, seen[chosen] * width)


@dataclass(frozen=True)
class DataTerms:
    """The measured values of a problem, with the samples they belong to. `rows` of each sample are
    seen in a step, all of them where it is None; the last `held_out` samples in validation only."""

    problem: Problem
    batch: Batch
    terms: tuple[Rows, ...]
    rows: int | None
    held_out: int = 0
    priors: Priors | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """What the terms are called in the history, priors last."""
        own = tuple(each.measured.label for each in self.terms)
        return own + (self.priors.labels if self.priors else ())

    @property
    def samples(self) -> int:
        """The number of measured samples."""
        return self.batch.size

    def training(
        self,
        model: Model,
        trainables: Mapping[str, Tensor],
        generator: torch.Generator,
        count: int,
        share: Share,
    ) -> Tensor:
        """The terms of a step, of this process's share of `count` samples, or of the rows where
        there is one sample. Shapes: -> "m"."""
        data = self._training(model, trainables, generator, count, share)
        return self._with_priors(data, trainables)

    def validating(
        self, model: Model, trainables: Mapping[str, Tensor], most: int, share: Share
    ) -> Tensor:
        """The terms on the held-out samples, or at most `most` of those of training where none are
        held out. Shapes: -> "m"."""
        return self._with_priors(self._validating(model, trainables, most, share), trainables)

    def _with_priors(self, data: Tensor, trainables: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([data, self.priors(trainables, data)]) if self.priors else data

    def _training(
        self,
        model: Model,
        trainables: Mapping[str, Tensor],
        generator: torch.Generator,
        count: int,
        share: Share,
    ) -> Tensor:
        if self.samples == 1:
            chosen, rows = [0], [self._rows_of_one(each, generator, share) for each in self.terms]
            return self._values(model, trainables, chosen, rows, share.parts)
        drawn = torch.randint(self.samples - self.held_out, (count,), generator=generator).tolist()
        rows = [self._rows(each, drawn, generator) for each in self.terms]
        own = slice(share.part * count // share.parts, (share.part + 1) * count // share.parts)
        shared = [(index[own], total[own]) for index, total in rows]
        return self._values(model, trainables, drawn[own], shared)

    def _validating(
        self, model: Model, trainables: Mapping[str, Tensor], most: int, share: Share
    ) -> Tensor:
        first = self.samples - self.held_out if self.held_out else 0
        samples = list(range(first, self.samples))[: None if self.held_out else max(1, most)]
        if len(samples) == 1 and share.part:
            return self.terms[0].weights.new_zeros(len(self.terms))
        own = samples[share.part :: share.parts]
        if not own:
            return self.terms[0].weights.new_zeros(len(self.terms))
        rows = [each.all_of(own) for each in self.terms]
        found = self._values(model, trainables, own, rows)
        return found * (share.parts * len(own) / len(samples))

    def _values(
        self,
        model: Model,
        trainables: Mapping[str, Tensor],
        chosen: Sequence[int],
        rows: Sequence[tuple[Tensor, Tensor]],
        parts: int = 1,
    ) -> Tensor:
        """Mean over samples of the sum over rows, divided by their number. Shapes: rows "b r" and
        numbers "b", for each term."""
        batch = self.batch if len(chosen) == self.samples == 1 else self.batch.select(chosen)
        field = model(batch.inputs)
        found = [
            (each.gap(field, batch, chosen, index, trainables).sum(1) / total).mean()
            for each, (index, total) in zip(self.terms, rows, strict=True)
        ]
        return parts * torch.stack(found)

    def _rows_of_one(
        self, each: Rows, generator: torch.Generator, share: Share
    ) -> tuple[Tensor, Tensor]:
        """Rows of the only sample, without repetition; a share of them."""
        count = int(each.counts[0])
        whole = self.rows is None or self.rows >= count
        index = torch.arange(count) if whole else torch.randperm(count, generator=generator)
        index = index[: None if whole else max(self.rows, share.parts)]
        total = torch.full((1,), float(len(index)))
        own = index[share.part :: share.parts]
        if not len(own):  # fewer rows than processes: one of weight zero
            own, total = index[:1], torch.full((1,), torch.inf)
        device = each.weights.device
        return own[None].to(device), total.to(each.weights)

    def _rows(
        self, each: Rows, samples: Sequence[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Rows of several samples, drawn independently; all of them where they are few."""
        counts = each.counts.cpu()[list(samples)]
        if self.rows is None or self.rows >= int(each.counts.max()):
            return each.all_of(samples, None)
        shares = torch.rand(len(samples), self.rows, generator=generator, dtype=torch.float64)
        index = (shares * counts[:, None]).long().to(each.weights.device)
        return index, torch.full((len(samples),), float(self.rows)).to(each.weights)

    def to(self, dtype: torch.dtype, device: torch.device) -> DataTerms:
        batch = self.batch.to(dtype).to(device)
        at = next(iter(batch.points.values())).points.dtype
        return replace(self, batch=batch, terms=tuple(e.to(at, device) for e in self.terms))

    @cached_property
    def summary(self) -> str:
        """What is compared, in a line."""
        parts = [
            f"{len(each.measured.table)} rows of {each.measured.statement.source}"
            for each in self.terms
        ]
        seen = "all of them" if self.rows is None else f"{self.rows} of each sample"
        of = f", {self.samples} samples" if self.samples > 1 else ""
        held = f", {self.held_out} of them held out" if self.held_out else ""
        return f"{', '.join(parts)}{of}{held}; {seen} a step"


def data_terms(
    problem: Problem,
    rows: int | None,
    held_out: int,
    operator_points: int,
    seed: int,
    form: Mapping[str, Any],
) -> DataTerms | None:
    """The terms of a problem's data, of fields of that form (`TrainOptions.ansatz`); None where it
    has none. Raises: ProblemError D01 to D09, N01 for expressions with the normal."""
    if not problem.data:
        return None
    found = measurements(problem)
    batch = measured_batch(problem, found, {"operator": operator_points}, seed, form)
    sizes = dict(zip(problem.components, component_sizes(problem, scaled(problem)[0]), strict=True))
    terms = tuple(_rows_by_sample(problem, each, len(found.keys), sizes) for each in found.terms)
    return DataTerms(problem, batch, terms, rows, held_out, priors_of(problem, terms, held_out))


def _rows_by_sample(
    problem: Problem, measured: Measured, samples: int, sizes: Mapping[str, float]
) -> Rows:
    table = measured.table
    if measured.direct:
        own, loss = [sizes[each] for each in measured.components], None
    else:
        own = [float(x) or 1.0 for x in np.sqrt(table.square[-table.width :])]
        loss = observation(problem, measured)
    size = torch.tensor(own, dtype=torch.float64)
    if isinstance(table, Streamed):
        weights, counts = torch.as_tensor(table.weights[None]), torch.full((samples,), table.length)
        return Rows(measured, None, None, weights, counts, size, loss)
    if not table.family:
        table = replace(table, keys=table.keys[:1])
    counts = np.array([len(each) for each in table.rows] * (1 if table.family else samples))
    longest = int(counts.max())

    def padded(each: np.ndarray) -> Tensor:
        found = np.zeros((samples, longest, *each.shape[1:]))
        for k in range(samples):
            own = each[table.rows[k if table.family else 0]]
            found[k] = own[0]
            found[k, : len(own)] = own
        return torch.as_tensor(found)

    weights = padded(table.weights)
    for k, count in enumerate(counts):
        weights[k, count:] = 0
    points, values = padded(table.points), padded(table.values)
    return Rows(measured, points, values, weights, torch.as_tensor(counts), size, loss)


def observation(problem: Problem, measured: Measured) -> PhysicsLoss:
    """The expression of a statement as a residual, which gives its values at points."""
    region: Any = measured.statement.region
    domain = region.domain if isinstance(region, Boundary) else region
    equation = Equation(measured.statement.value, 0 * measured.statement.value, domain)
    stated = problem.revised(
        equations={LABEL: equation},
        conditions={},
        functionals=(),
        requirements=(),
        data=(),
        outputs={},
        references={},
    )
    return compile_loss(stated)
