"""A batch: params, domains, input functions and collocation points of some samples, drawn anew
at every call; what the operator sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from compiler.batches.ansatz_residual import output_amplitude, residual_scale
from compiler.batches.coarse_lift import lift_degrees, with_coarse_lift
from compiler.batches.features import channels, features, unknown_domains
from compiler.batches.level import with_level
from compiler.batches.places import foreseen, placed_later
from compiler.batches.recipe import PLACINGS
from compiler.batches.verify_inputs import verify_inputs
from compiler.chance import Chance, untraced
from compiler.data.distributions import InputFunction
from compiler.data.points import PointSet, in_time, place
from compiler.data.polynomials import Degrees
from compiler.data.samples import DrawnSamples, draw, given
from compiler.geometry.domain import Geometry, facts
from compiler.loss.hard_conditions import HardCondition, ansatz, plan_hard_conditions
from compiler.lowering.regions import regions
from compiler.scales import component_sizes, scaled
from compiler.scales.views import inner_draws, outer_draws, outer_input
from compiler.trainable_fields import expanded
from operators.field import OperatorInput, PointFunction
from pdespec.errors import fail, suggestion
from pdespec.statements.problem import Problem

POINTS = {"interior": 512, "boundary": 128, "initial": 128, "point": 32, "operator": 1024}
Features = Callable[[DrawnSamples], PointFunction]


@dataclass(frozen=True)
class SampleOptions:
    """What `sample` and `instance` take alike, checked: numbers of points by kind or region,
    whether conditions are built in, the functions of a model's own nodes, how points are placed,
    degrees of the coarse lift, whether samples have a level."""

    counts: Mapping[str, int]
    hard_conditions: bool
    features: Features
    sampling: str
    lift: Degrees
    level: bool
    later: bool = False


@dataclass(frozen=True, repr=False)
class Batch:
    """Samples of a problem with their collocation points, by region (`"Omega"`, `"Gamma"`,
    `"Omega@0"`), and the operator's input.

    All in the user's coordinates and units. Where the problem is computed in others (see
    `compiler.scales`), `local` is the same batch in those, and this one follows from it.
    """

    problem: Problem
    draws: DrawnSamples
    points: Mapping[str, PointSet]
    inputs: OperatorInput
    imposed: Mapping[str, HardCondition]
    features: Features = field(repr=False)
    local: Batch | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        counts = ", ".join(f"{key} {each.points.shape[1]}" for key, each in self.points.items())
        return f"<Batch of {self.problem.name}: {self.size} samples; points a sample: {counts}>"

    @property
    def size(self) -> int:
        """The number of samples."""
        return self.draws.size

    @property
    def params(self) -> Mapping[str, Tensor]:
        """Params of the samples. Shapes: "b" each, "b k" where sized."""
        return self.draws.params

    @property
    def geometry(self) -> Mapping[str, Geometry]:
        """The domains, by name."""
        return self.draws.geometry

    @property
    def functions(self) -> Mapping[str, InputFunction]:
        """The input functions, by name."""
        return self.draws.functions

    def evaluate(self, name: str, points: Tensor) -> Tensor:
        """An input function at points. Shapes: points "b n d", or with time last -> "b n c".
        Raises: ProblemError B01, B03, S01."""
        return self.draws.evaluate(name, points)

    def to(self, *target: Any, **keywords: Any) -> Batch:
        """Everything in another dtype or on another device, as by `Tensor.to`."""
        return self.map(lambda tensor: tensor.to(*target, **keywords))

    def select(self, samples: Sequence[int]) -> Batch:
        """Some of the samples."""
        index = list(samples)
        return self.map(lambda tensor: tensor[index], len(index))

    def with_trainables(self, found: Mapping[str, float]) -> Batch:
        """The same samples, with values for the trainable numbers of the problem in `params`, by
        the names of their components: what a reference solution needs of them."""
        if self.local is not None:
            return _outer(self.problem, self.local.with_trainables(found))
        numbers, frame = {}, scaled(self.problem)[0]
        for name, p in self.problem.trainables.items():
            if p.components[0] not in found:
                continue
            entries = [float(found[each]) for each in p.components]
            value = torch.tensor(entries, dtype=torch.float64)
            value = value[0] if p.size is None else value
            value = frame.param_inward(name, value.to(self.draws.dtype))
            numbers[name] = value.to(self.draws.device).expand(self.size, *value.shape)
        return replace(self, draws=replace(self.draws, params={**self.params, **numbers}))

    def with_points(self, found: Mapping[str, Tensor]) -> Batch:
        """The same samples with other collocation points inside of domains, by region of the
        problem as it is computed and in its coordinates. Shapes: "b n D"."""
        if self.local is not None:
            return _outer(self.problem, self.local.with_points(found))
        points = {
            key: replace(each, points=found[key]) if key in found else each
            for key, each in self.points.items()
        }
        return replace(self, points=points)

    def placed_anew(
        self,
        points: Mapping[str, int],
        generator: torch.Generator,
        sampling: str = "sobol",
        first: int = 0,
    ) -> Batch:
        """The same samples with fresh collocation points, as `sample` places them."""
        own = self.local or self
        chance, counts = Chance(generator, self.size, first=first), _counts(own.problem, points)
        places = _places(own.draws, counts, chance, sampling)
        return _outer(self.problem, replace(own, points=places))

    def in_parts(self, count: int, generator: torch.Generator) -> list[Batch]:
        """The same samples `count` times, each with its own share of the collocation points, drawn
        without replacement. Raises: ValueError where a region has fewer points than parts."""
        if self.local is not None:
            return [_outer(self.problem, e) for e in self.local.in_parts(count, generator)]
        found: list[dict[str, PointSet]] = [{} for _ in range(count)]
        for key, each in self.points.items():
            total = each.points.shape[1]
            if total < count:
                raise ValueError(f"{total} points on `{key}` do not make {count} parts")
            order = torch.randperm(total, generator=generator).to(each.points.device)
            for k, part in enumerate(order.tensor_split(count)):
                found[k][key] = each.at(part)
        return [replace(self, points=points) for points in found]

    def map(self, function: Callable[[Tensor], Tensor], size: int | None = None) -> Batch:
        """A function applied to every tensor of the batch."""
        if self.local is not None:
            return _outer(self.problem, self.local.map(function, size))
        drawn = self.draws.map(function, size)
        points = {key: each.map(function) for key, each in self.points.items()}
        values = OperatorInput(
            function(self.inputs.points),
            function(self.inputs.values),
            None if self.inputs.measure is None else function(self.inputs.measure),
            self.features(drawn),
            ansatz(drawn, self.imposed),
        )
        return replace(self, draws=drawn, points=points, inputs=values)


def sample(  # noqa: PLR0913 (a public call: its options are keywords)
    problem: Problem,
    size: int,
    points: Mapping[str, int] | None = None,
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    hard_conditions: bool = True,
    features: Features = features,
    sampling: str = "sobol",
    lift: int | Sequence[int] = 0,
    level: bool = True,
    first: int = 0,
) -> Batch:
    """`size` samples of a problem with fresh collocation points.

    `points` counts them per sample by kind (interior, boundary, initial, point, operator; "point":
    the times of a condition at a point that holds at all), or for one region by its name. With
    `hard_conditions`, essential conditions that allow it are built into `inputs.ansatz` (see
    `compiler.loss.hard_conditions`). `features` makes the functions of position that a model
    evaluates at its own nodes. `sampling`: scrambled Sobol points, uniform independent ones, or
    the nodes of a quadrature on a mesh (see `compiler.data.quadrature`). `lift`: the degree of the
    polynomials by which each sample is solved coarsely for its lift, or one for each variable; 0
    for no such solution (see `compiler.batches.coarse_lift`). `level`: an unknown into which
    nothing is built has the level at which the equations balance (see `compiler.batches.level`),
    where conditions are built in and there is no lift. Everything follows from the
    generator; without one, from a fresh seed. Sample k of a seed is the same in a batch of any
    size; `first` is the number of the first one here, so that several processes draw their shares
    of one batch.

    Raises: ProblemError S01 for an unknown kind or placing of points, B01 for a bad count, B03 for
    inputs that no law draws; ValueError for a lift that there is not.
    """
    problem = expanded(problem)
    counts, degrees = _counts(problem, points or {}), lift_degrees(problem, lift, hard_conditions)
    options = SampleOptions(counts, hard_conditions, features, sampling, degrees, level)
    if size < 1:
        raise fail("B01", f"{size} samples asked for", "ask for at least one")
    chance = Chance(_fresh() if generator is None else generator, size, first=first)
    drawn = draw(scaled(problem)[1], size, chance)
    batch = (
        _batch(drawn, chance, options).to(dtype or torch.get_default_dtype()).to(device or "cpu")
    )
    return _outer(problem, batch)


def instance(  # noqa: PLR0913 (a public call: its options are keywords)
    problem: Problem,
    params: Mapping[str, object] | None = None,
    inputs: Mapping[str, object] | None = None,
    points: Mapping[str, int] | None = None,
    generator: torch.Generator | Chance | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    hard_conditions: bool = True,
    features: Features = features,
    sampling: str = "sobol",
    lift: int | Sequence[int] = 0,
    level: bool = True,
    size: int = 1,
    later: bool = False,
) -> Batch:
    """A batch of one sample of the caller's own, or of `size` of them.

    With `later`, collocation points are placed once they are asked for, as by who only asks a model
    for its field they never are: they are the same.

    `params` maps names to numbers, or to `size` of them; those with a declared value may be left
    out. `inputs` maps names to callables of points ("b n d" to "b n c"), to SymPy expressions in
    the coordinates, or to numbers. Callables are asked in the dtype and on the device of the batch.

    Raises: ProblemError S01 for unknown names, B01 and B02 for callables that return the wrong
    shape or dtype, B03 for what is missing, P06 for callables whose derivatives autograd does not
    have, where the problem takes them; ValueError for a lift that there is not.
    """
    problem = expanded(problem)
    counts, degrees = _counts(problem, points or {}), lift_degrees(problem, lift, hard_conditions)
    options = SampleOptions(counts, hard_conditions, features, sampling, degrees, level, later)
    (frame, local), dtype = scaled(problem), dtype or torch.get_default_dtype()
    drawn = given(
        problem,
        params or {},
        inputs or {},
        dtype if local is problem else frame.outer_dtype(dtype),
        torch.device(device or "cpu"),
        size,
    )
    verify_inputs(drawn)
    drawn = drawn if local is problem else inner_draws(drawn, local, frame, dtype)
    chance = Chance.of(_fresh() if generator is None else generator, size)
    return _outer(problem, _batch(drawn, chance, options))


def _outer(problem: Problem, local: Batch) -> Batch:
    """A batch of the problem as it is computed, in the coordinates and units in which it was
    written."""
    frame, computed = scaled(problem)
    if computed is problem:
        return local
    points = {}
    for key, (own, (kind, region)) in zip(regions(problem), regions(computed).items(), strict=True):
        each, measured = (
            local.points[own],
            1.0 if kind == "point" else float(frame.length) ** max(0, region.dim),
        )
        outer = frame.outward(each.points)
        normals = None if each.normals is None else each.normals.to(outer.dtype)
        points[key] = PointSet(outer, normals, each.measure * measured, each.weights)
    inputs = outer_input(local.inputs, frame, component_sizes(problem, frame))
    return Batch(
        problem,
        outer_draws(local.draws, problem, frame),
        points,
        inputs,
        local.imposed,
        local.features,
        local,
    )


def _batch(drawn: DrawnSamples, chance: Chance, options: SampleOptions) -> Batch:
    problem, sampling = drawn.problem, options.sampling
    if sampling not in PLACINGS:
        raise fail(
            "S01",
            f"unknown placing of points {sampling!r}",
            suggestion(sampling, PLACINGS, f"one of {', '.join(PLACINGS)}", quote="'"),
        )
    if options.later and foreseen(problem):
        places = placed_later(drawn, options.counts, chance)
    else:
        places = _places(drawn, options.counts, chance, sampling)
    imposed, make, count = (
        _imposed(problem, options.hard_conditions),
        options.features,
        options.counts["operator"],
    )
    level = options.level and options.hard_conditions
    drawn = _with_amplitude(drawn, count, chance, options.lift, level)
    read = _operator_input(drawn, count, chance, imposed, make, sampling != "uniform")
    return Batch(problem, drawn, places, read, imposed, make)


def _places(
    drawn: DrawnSamples, counts: Mapping[str, int], chance: Chance, sampling: str
) -> dict[str, PointSet]:
    return {
        key: place(drawn, key, kind, region, counts, chance, sampling)
        for key, (kind, region) in regions(drawn.problem).items()
    }


def _imposed(problem: Problem, hard_conditions: bool) -> Mapping[str, HardCondition]:
    if hard_conditions:
        return plan_hard_conditions(problem)
    return {component: HardCondition() for component in problem.components}


def _with_amplitude(
    drawn: DrawnSamples, count: int, chance: Chance, lift: Degrees, level: bool
) -> DrawnSamples:
    """The draws with their coarse solution or level, the size of their defect and their amplitude,
    where the problem has them."""
    drawn = with_coarse_lift(drawn, lift) if lift else drawn
    size = _residual_scale(drawn, count, chance)
    if size is None:
        return with_level(drawn) if level and not lift else drawn
    if lift:
        return drawn.sized(size, drawn.amplitude)
    return drawn.sized(size, output_amplitude(drawn, size))


def input_of(
    example: Batch,
    params: Mapping[str, object],
    inputs: Mapping[str, object],
    points: Mapping[str, int],
    chance: Chance,
    form: Mapping[str, Any],
    measured: bool = True,
) -> OperatorInput:
    """The operator's input of the `instance` with these params, inputs, points and chance, for a
    program that is traced: without a look at the values, and without collocation points, which
    are placed in the example alone, so that chance goes on as it does there. `form`: of the field,
    as `TrainOptions.ansatz`. What the points measure is left out where it is not `measured`.
    """
    problem, counts = example.problem, _counts(example.problem, points)
    (frame, computed), dtype = scaled(problem), (example.local or example).inputs.values.dtype
    outer = frame.outer_dtype(dtype)
    with untraced():
        _places((example.local or example).draws, counts, chance, "sobol")
    drawn = given(problem, params, inputs, outer, torch.device("cpu"), example.size, checked=False)
    drawn = drawn if computed is problem else inner_draws(drawn, computed, frame, dtype)
    with untraced():
        known = {name: facts(domain) for name, domain in computed.domains.items()}
    geometry = {name: replace(g, facts=known[name]) for name, g in drawn.geometry.items()}
    hard_conditions = form.get("hard_conditions", True)
    degrees = lift_degrees(problem, form.get("lift", 0), hard_conditions)
    level = form.get("level", True) and hard_conditions
    drawn = replace(drawn, geometry=geometry)
    drawn = _with_amplitude(drawn, counts["operator"], chance, degrees, level)
    imposed, make = _imposed(computed, hard_conditions), example.features
    read = _operator_input(drawn, counts["operator"], chance, imposed, make, True, measured)
    if computed is problem:
        return read
    return outer_input(read, frame, component_sizes(problem, frame))


def _residual_scale(drawn: DrawnSamples, count: int, chance: Chance) -> Tensor | None:
    """The size of the defect, from a quarter of as many points as the operator reads."""
    geometry = drawn.geometry[next(iter(drawn.problem.unknowns.values())).region.name]
    return residual_scale(
        drawn, in_time(drawn, geometry.interior(max(16, count // 4), chance), chance)
    )


def _operator_input(
    drawn: DrawnSamples,
    count: int,
    chance: Chance,
    imposed: Mapping[str, HardCondition],
    make: Features,
    sobol: bool,
    measured: bool = True,
) -> OperatorInput:
    """Points of the domain of the unknowns, of several in equal numbers, with the measure that
    each stands for."""
    domains = unknown_domains(drawn.problem)
    places, measures = [], []
    for k, domain in enumerate(domains):
        geometry, own = drawn.geometry[domain.name], max(1, (count + k) // len(domains))
        places.append(in_time(drawn, geometry.interior(own, chance, sobol), chance))
        if measured:
            measures.append((geometry.measure() * drawn.duration)[:, None].expand(-1, own) / own)
    points = torch.cat(places, 1)
    measure = torch.cat(measures, 1) if measured else None
    return OperatorInput(
        points, channels(drawn, points), measure, make(drawn), ansatz(drawn, imposed)
    )


def _counts(problem: Problem, points: Mapping[str, int]) -> dict[str, int]:
    """By kind, and by region as the computed problem calls it: its initial times are other
    numbers."""
    keys = [*POINTS, *regions(problem)]
    for name, count in points.items():
        if name not in keys:
            raise fail(
                "S01",
                f"unknown kind of points {name!r}",
                suggestion(name, keys, f"one of {', '.join(keys)}", quote="'"),
            )
        if not isinstance(count, int) or count < 1:
            raise fail("B01", f"points[{name!r}] = {count!r}", "a count is a whole number from 1")
    inner = dict(zip(regions(problem), regions(scaled(problem)[1]), strict=True))
    return {**POINTS, **{inner.get(name, name): count for name, count in points.items()}}


def _fresh() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator
