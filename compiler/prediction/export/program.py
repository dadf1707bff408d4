"""A trained operator as one traced program: points, params and inputs on grids in, the unknowns at
the points out.

What is traced is what answers (see `compiler.batches.sample.input_of`), from the params and the
values of the inputs to the domain, the operator's points and what it reads there, the ansatz and
its defect with their derivatives, the latent functions and the decoder. So the program needs
nothing of this project, and its shapes depend on the number of points alone.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import (
    DimDynamic,
    GuardOnDataDependentSymNode,
    ShapeEnv,
    StatelessSymbolicContext,
)

from compiler.batches.build import extent
from compiler.batches.sample import input_of
from compiler.chance import Chance, seeded
from compiler.data.from_files import varying
from compiler.data.samples import DrawnSamples, probed
from compiler.measurements.interpolation import UniformSpline, uniform
from compiler.prediction.export.interface import Interface, interface
from compiler.prediction.export.passes import DECOMPOSITIONS, simplified
from compiler.scales import scaled
from operators.models.fixed_shapes import fixed_shapes
from operators.models.gino import Encoder
from pdespec.errors import PdespecError, suggestion
from pdespec.statements.problem import Problem

if TYPE_CHECKING:
    from compiler.prediction.answers import TrainedOperator

# nodes along each axis of the grid of an input, by the number of its coordinates
NODES, FEWEST = {1: 129, 2: 65, 3: 33}, 17
LEAST_NODES = 4  # of a cubic spline
QUERIES = 37  # points at which a program is traced and tried: any number but 0 and 1
# of the largest value, by which a program may differ from its operator: sums in another order
AGREEMENT = {torch.float64: 1e-8, torch.float32: 1e-4}

RELATIVE = ("shepard", "sum", "mean")  # reductions of an encoder that no measure changes

Grid = Mapping[str, tuple[float, float, int]]


class ExportError(PdespecError):
    """An operator that cannot be exported; the text says why."""


@dataclass(frozen=True)
class Program:
    """A traced operator: `module` takes the arguments of `interface` in their order and returns
    its outputs by name. `example` are such arguments, of other samples than it was traced with."""

    module: nn.Module
    interface: Interface
    example: tuple[Tensor, ...]


class Answering(nn.Module):
    """A traced graph whose results have names."""

    def __init__(self, graph: GraphModule, names: Sequence[str]) -> None:
        super().__init__()
        self.traced, self.names = graph, tuple(names)

    def forward(self, *arrays: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, self.traced(*arrays), strict=True))


def program(
    operator: TrainedOperator, samples: int = 1, nodes: int | Mapping[str, int] | None = None
) -> Program:
    """The program of an operator for this many samples at once. `nodes`: of the grids of inputs
    along each axis, for all or by name.

    Raises: ExportError where a number that differs from sample to sample decides what is computed,
    and where the program does not agree with the operator.
    """
    plan = Plan(operator, samples, _grids(operator, nodes))
    shown, tried = plan.examples()
    # what is computed once and remembered is real when the trace meets it
    plan.answers(shown)
    wanted = plan.answers(tried)
    with _refusals(), torch.no_grad():
        graph = simplified(plan.graph(shown))
        found = graph(*tried)
    _agree(operator, found, wanted)
    return Program(Answering(graph, list(operator.problem.unknowns)), plan.interface(shown), tried)


@dataclass(frozen=True)
class Plan:
    """Which arrays a program takes, and what it does with them."""

    operator: TrainedOperator
    samples: int
    grids: Mapping[str, Grid]

    @property
    def problem(self) -> Problem:
        return self.operator.problem

    @property
    def params(self) -> tuple[str, ...]:
        """Those that are arguments: what has a declared value is a constant of the program."""
        return tuple(name for name, p in self.problem.params.items() if p.value is None)

    @property
    def _measures(self) -> bool:
        """Whether the model makes something of what its input points measure. In a sum over its
        own weights the measure cancels, where all points are of one domain and so alike."""
        of_one = len({each.region for each in self.problem.unknowns.values()}) == 1
        encoder = getattr(self.operator.model, "encoder", None)
        return not (of_one and isinstance(encoder, Encoder) and encoder.layer.reduction in RELATIVE)

    def examples(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Two lists of arguments, with nothing in common but shapes and types."""
        problem, count = self.problem, 2 * self.samples
        drawn, like = probed(problem, count), self.operator.parameter
        place = drawn.geometry[next(iter(problem.unknowns.values())).region.name]
        points = place.interior(QUERIES, Chance(seeded(0, "export", 0), count))
        if problem.time is not None:
            share = torch.linspace(0, 1, QUERIES, dtype=points.dtype).expand(count, -1)
            points = torch.cat([points, (drawn.start + drawn.duration * share)[..., None]], -1)
        dtype = scaled(problem)[0].outer_dtype(like.dtype)
        arrays = [points.to(dtype), *(drawn.params[name].to(like.dtype) for name in self.params)]
        arrays += [self._values(drawn, name).to(like.dtype) for name in self.grids]
        first, second = zip(*(each.split(self.samples) for each in arrays), strict=True)
        return first, second

    def _values(self, drawn: DrawnSamples, name: str) -> Tensor:
        """An input that was drawn on its grid. Shapes: -> "b m_1 .. m_d", "b m_1 .. m_d c"."""
        grid = self.grids[name]
        axes = [torch.linspace(*each, dtype=torch.float64) for each in grid.values()]
        nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
        at = nodes.reshape(1, -1, len(axes)).expand(drawn.size, -1, -1)
        values = drawn.evaluate(name, at, continued=True).unflatten(1, nodes.shape[:-1])
        return values[..., 0] if values.shape[-1] == 1 else values

    def _read(self, arrays: Sequence[Tensor]) -> tuple[dict[str, Any], dict[str, UniformSpline]]:
        """Params and input functions of arguments."""
        count, functions = len(self.params), {}
        for name, values in zip(self.grids, arrays[1 + count :], strict=True):
            lower, upper, _ = zip(*self.grids[name].values(), strict=True)
            single = len(self.problem.inputs[name].components) == 1
            functions[name] = uniform(lower, upper, values[..., None] if single else values)
        given = dict(zip(self.params, arrays[1 : 1 + count], strict=True))
        return {**self.operator.found, **given}, functions

    def answers(self, arrays: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the operator itself says."""
        batch = self.operator.batch(*self._read(arrays), self.samples)
        with torch.no_grad():
            return self._unknowns(self.operator.model(batch.inputs)(arrays[0]))

    def graph(self, arrays: Sequence[Tensor]) -> GraphModule:
        """What it does to these arguments as one graph, for any number of points."""
        model, operator = fixed_shapes(self.operator.model), self.operator
        example = operator.batch(*self._read(arrays), self.samples)

        def answer(*arrays: Tensor) -> tuple[Tensor, ...]:
            chance = operator.chance(self.samples)
            read = input_of(
                example,
                *self._read(arrays),
                operator.counts,
                chance,
                operator.run.options.ansatz,
                measured=self._measures,
            )
            return self._unknowns(model(read)(arrays[0]))

        mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
        fakes = [
            mode.from_tensor(each, symbolic_context=_sizes(each, 1 if k == 0 else None))
            for k, each in enumerate(arrays)
        ]
        with mode, enable_python_dispatcher():
            return make_fx(answer, decomposition_table=DECOMPOSITIONS)(*fakes)

    def _unknowns(self, values: Tensor) -> tuple[Tensor, ...]:
        """The components that a field gives, by unknown. Shapes: "b n c" -> "b n", "b n k"."""
        found, first = [], 0
        for unknown in self.problem.unknowns.values():
            count = len(unknown.components)
            own = values[..., first : first + count]
            found.append(own[..., 0] if count == 1 else own)
            first += count
        return tuple(found)

    def interface(self, arrays: Sequence[Tensor]) -> Interface:
        """The interface of the program that takes these arrays: names, shapes, dtypes, fixed
        numbers and versions."""
        constants: dict[str, Any] = {
            name: float(p.value) for name, p in self.problem.params.items() if p.value is not None
        }
        for name, value in self.operator.run.trainables.items():
            constants[name] = torch.as_tensor(value).tolist()
        at, like = (_name(each) for each in (arrays[0], self.operator.parameter))
        versions = {name: version(name) for name in ("pdespec", "torch")}
        return interface(self.problem, self.samples, (at, like), self.grids, constants, versions)


def _name(array: Tensor) -> str:
    return str(array.dtype).removeprefix("torch.")


def _sizes(array: Tensor, free: int | None) -> StatelessSymbolicContext:
    """All sizes of an array are fixed but one."""
    return StatelessSymbolicContext(
        dynamic_sizes=[
            DimDynamic.DYNAMIC if axis == free else DimDynamic.STATIC for axis in range(array.ndim)
        ]
    )


def _grids(operator: TrainedOperator, nodes: int | Mapping[str, int] | None) -> dict[str, Grid]:
    """The grids on which inputs are given: over all that the operator reads of them, its latent
    grid included. Raises: ExportError for names that are none and for too few nodes."""
    problem, found = operator.problem, {}
    lower, upper = extent(problem)
    lattice = getattr(operator.model, "lattice", None)
    if lattice is not None:
        frame = scaled(problem)[0]
        corners = torch.tensor([lattice.lower, lattice.upper], dtype=torch.float64)
        low, high = frame.outward(corners).tolist()
        lower, upper = tuple(map(min, lower, low)), tuple(map(max, upper, high))
    given = nodes if isinstance(nodes, Mapping) else {}
    names = varying(problem)
    for name in given:
        if name not in names:
            raise ExportError(
                f"`{problem.name}` has no input {name!r} to give nodes for; "
                + suggestion(name, names, f"it has {', '.join(names) or 'none'}", quote="'")
            )
    for name in names:
        declared = problem.inputs[name]
        axes = [each.name for each in problem.coordinates]
        axes += [declared.time.name] if declared.time is not None else []
        count = nodes if isinstance(nodes, int) else given.get(name, NODES.get(len(axes), FEWEST))
        if count < LEAST_NODES:
            raise ExportError(
                f"a grid of {count} nodes is too coarse for a cubic spline; give {LEAST_NODES} or"
                " more along each axis"
            )
        found[name] = {
            axis: (float(lower[k]), float(upper[k]), int(count)) for k, axis in enumerate(axes)
        }
    return found


def _agree(operator: TrainedOperator, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    """Raises: ExportError where two answers are not the same up to rounding."""
    for name, ours, theirs in zip(operator.problem.unknowns, found, wanted, strict=True):
        apart = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))
        if not apart <= AGREEMENT[operator.parameter.dtype]:
            raise ExportError(
                f"the traced program gives another `{name}` than the operator, {apart:.1e} apart"
            )


@contextmanager
def _refusals() -> Iterator[None]:
    """What stops a trace, as an ExportError that says where."""
    try:
        yield
    except UNTRACED as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [
            each
            for each in frames
            if any(f"/{room}/" in each.filename for room in ("compiler", "operators"))
            and "/torch/" not in each.filename
        ]
        names = {each.name for each in own}
        why = next((reason for name, reason in REASONS.items() if name in names), None)
        if why is None:
            last = own[-1] if own else frames[-1]
            path = last.filename.rpartition("/compiler/")
            place = f"{path[1][1:]}{path[2]}" if path[1] else last.filename
            why = f"{last.name} ({place}:{last.lineno}) decides by the numbers of a sample"
        raise ExportError(
            f"this operator cannot be exported: {why}, and a program does the same for every sample"
        ) from error


UNTRACED = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    GuardOnDataDependentSymNode,
)
# by the function that decides
REASONS = {
    "_meetings": "parts of its domain, which changes with params, touch or cut each other in some"
    " samples",
    "_by_gauss_and_newton": "its coarse lift is found by steps of which each sample needs others",
}
