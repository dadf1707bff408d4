"""What is computed in a frame, seen from outside, and what the user has, seen from inside:
functions, geometries, fields and batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from compiler.chance import Chance
from compiler.data.distributions import InputFunction, Place, draw_functions
from compiler.data.from_files import FromFile, law_of
from compiler.data.samples import DrawnSamples
from compiler.geometry.domain import Geometry, box
from compiler.lowering.frame import Frame
from compiler.lowering.regions import regions
from compiler.lowering.rewrite import Carried, carried
from operators.field import Ansatz, Capabilities, OperatorInput, capabilities
from operators.graph.grid import Lattice
from operators.jets.jet import Jet, JetSpace
from pdespec.geometry import Boundary, Domain
from pdespec.statements.problem import Problem

# --------------------------------------------------------------------------------------------------
# input functions


@dataclass(frozen=True)
class CarriedFunction:
    """An input function `inner` of `frame.outward` of the points, in the unit of the user, as one
    of the computed problem.

    `domain` is the one whose continuation `inner` knows. Shapes: points "b n D" -> "b n c".
    """

    inner: InputFunction
    frame: Frame
    size: float
    domain: Domain

    def __call__(self, points: Tensor) -> Tensor:
        return self._scaled(self.inner(self.frame.outward(points)), points)

    def extend(self, points: Tensor, geometry: Geometry) -> Tensor:
        outer = outer_geometry(geometry, self.domain, self.frame)
        return self._scaled(self.inner.extend(self.frame.outward(points), outer), points)

    def _scaled(self, values: Tensor, points: Tensor) -> Tensor:
        return (values / self.size).to(points.dtype)

    def map(self, function: Callable[[Tensor], Tensor]) -> CarriedFunction:
        """Far from the origin the coefficients stay in float64, as the coordinates do that they
        are multiplied with."""
        kept = (lambda tensor: function(tensor).to(tensor.dtype)) if self.frame.far else function
        return replace(self, inner=self.inner.map(kept))


@dataclass(frozen=True)
class ShiftedFunction:
    """A function that was drawn near the origin, with coefficients of `dtype`, at the user's
    points."""

    inner: InputFunction
    shift: Frame
    near: Frame
    domain: Domain
    dtype: torch.dtype

    def __call__(self, points: Tensor) -> Tensor:
        return self.inner(self._near(points)).to(points.dtype)

    def extend(self, points: Tensor, geometry: Geometry) -> Tensor:
        near = outer_geometry(geometry.local, self.domain, self.near)  # type: ignore[attr-defined]
        return self.inner.extend(self._near(points), near).to(points.dtype)

    def _near(self, points: Tensor) -> Tensor:
        return self.shift.inward(points, self.dtype)

    def map(self, function: Callable[[Tensor], Tensor]) -> ShiftedFunction:
        return replace(self, inner=self.inner.map(function))


def parted(frame: Frame) -> tuple[Frame, Frame]:
    """A frame as a shift, and then a change of lengths and durations: laws are the same
    everywhere, and are drawn between the two."""
    shift = Frame(frame.origin, start=frame.start)
    return shift, Frame(
        tuple(0 * x for x in frame.origin),
        frame.length,
        duration=frame.duration,
        params=frame.params,
    )


@draw_functions.register
def _(law: Carried, components: int, place: Place, chance: Chance) -> CarriedFunction:
    """What the user's law draws over the user's domain, moved to the origin; what a file holds,
    where it is."""
    declaration, local = law.declaration, place.geometry
    if isinstance(law_of(declaration), FromFile):
        function = draw_functions(law_of(declaration), components, place, chance)
        size = law.frame.size(declaration.name)
        return CarriedFunction(function, law.frame, size, declaration.region.domain)
    shift, near = parted(law.frame)
    domain: Domain = carried(declaration.region.domain, shift)  # type: ignore[assignment]
    lower, upper = box(domain)
    if declaration.time is not None:
        start, end = (
            float(each - law.frame.start) for each in (declaration.time.start, declaration.time.end)
        )
        lower, upper = (*lower, start), (*upper, end)
    params = {
        name: near.param_outward(name, value.double()) for name, value in local.params.items()
    }
    own = replace(
        place,
        geometry=Geometry(domain, params, local.size, torch.float64, local.device),
        lower=lower,
        upper=upper,
    )
    return CarriedFunction(
        draw_functions(declaration.law, components, own, chance),
        near,
        law.frame.size(declaration.name),
        domain,
    )


# --------------------------------------------------------------------------------------------------
# geometry


@dataclass(frozen=True, repr=False)
class OuterGeometry(Geometry):
    """A geometry of the frame, asked and answering in the user's coordinates and units. Shapes
    and errors as those of `Geometry`."""

    local: Any = None
    frame: Any = None

    def _within(self, points: Tensor) -> Tensor:
        return self.frame.inward(points, self.local.dtype)

    def _length(self, values: Tensor, points: Tensor) -> Tensor:
        return (values * float(self.frame.length)).to(points.dtype)

    def _local_boundary(self, boundary: Boundary) -> Boundary:
        return carried(boundary, self.frame)  # type: ignore[return-value]

    def signed_distance(self, points: Tensor) -> Tensor:
        return self._length(self.local.signed_distance(self._within(points)), points)

    def contains(self, points: Tensor) -> Tensor:
        return self.local.contains(self._within(points))

    def normal(self, points: Tensor) -> Tensor:
        return self.local.normal(self._within(points)).to(points.dtype)

    def factor(self, boundaries: Any, points: Tensor) -> Tensor:
        chosen = [boundaries] if isinstance(boundaries, Boundary) else list(boundaries)
        return self._length(
            self.local.factor(list(map(self._local_boundary, chosen)), self._within(points)), points
        )

    def depth(self, points: Tensor) -> Tensor:
        return self._length(self.local.depth(self._within(points)), points)

    def radial(self, points: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.local.radial(self._within(points))
        return x.to(points.dtype), y.to(points.dtype)

    def interior(self, n: int, generator: torch.Generator | Chance, sobol: bool = True) -> Tensor:
        return self.frame.outward(self.local.interior(n, generator, sobol))

    def boundary(
        self, boundary: Boundary, n: int, generator: torch.Generator | Chance, sobol: bool = True
    ) -> tuple[Tensor, Tensor]:
        points, normals = self.local.boundary(self._local_boundary(boundary), n, generator, sobol)
        outer = self.frame.outward(points)
        return outer, normals.to(outer.dtype)

    def measure(self, region: Any = None) -> Tensor:
        inner = self._local_boundary(region) if isinstance(region, Boundary) else None
        dim = self.domain.dim - isinstance(region, Boundary)
        return self.local.measure(inner) * float(self.frame.length) ** dim

    def measure_error(self, region: Any = None) -> float:
        return self.local.measure_error(
            self._local_boundary(region) if isinstance(region, Boundary) else None
        )

    def box(self) -> tuple[Tensor, Tensor]:
        lower, upper = self.local.box()
        return self.frame.outward(lower), self.frame.outward(upper)

    def map(self, function: Callable[[Tensor], Tensor], size: int | None = None) -> OuterGeometry:
        return outer_geometry(self.local.map(function, size), self.domain, self.frame)


def outer_geometry(local: Geometry, domain: Domain, frame: Frame) -> OuterGeometry:
    """A geometry of the frame as one of the user's domain."""
    params = {name: frame.param_outward(name, value) for name, value in local.params.items()}
    dtype = frame.outer_dtype(local.dtype)
    return OuterGeometry(domain, params, local.size, dtype, local.device, local=local, frame=frame)


# --------------------------------------------------------------------------------------------------
# fields


@dataclass(frozen=True, eq=False)
class OuterField:
    """A field of the frame as one of the user's points, in the user's units. `local` takes points
    in `dtype`.

    Shapes: points "b n D" -> "b n c", in the dtype of the points.
    """

    local: Any
    frame: Frame
    sizes: tuple[float, ...]
    dtype: torch.dtype

    @property
    def capabilities(self) -> Capabilities:
        """Those of the inner field, its grid in the user's coordinates."""
        able = capabilities(self.local)
        return replace(able, grid=moved_grid(able.grid, self.frame.outward))

    def __repr__(self) -> str:
        return f"{self.local!r}, in the user's units"

    def __call__(self, points: Tensor) -> Tensor:
        values = self.local(self.frame.inward(points, self.dtype))
        return (values * values.new_tensor(self.sizes)).to(points.dtype)

    def taylor(self, points: Tensor, space: JetSpace) -> Jet:
        """The jet in the user's coordinates and units. Shapes: points "b n D" -> streams "b n
        c"."""
        steps = [1 / step for step in self.frame.steps(points.shape[-1])]
        found = self.local.taylor(self.frame.inward(points, self.dtype), stretched(space, steps))
        return unstretched(found, space, steps, self.sizes, points.dtype)


@dataclass(frozen=True, eq=False)
class InnerField:
    """A field of the user's points as one of the frame's."""

    outer: Callable[[Tensor], Tensor]
    frame: Frame
    sizes: tuple[float, ...]

    def __call__(self, points: Tensor) -> Tensor:
        values = self.outer(self.frame.outward(points))
        return (values / values.new_tensor(self.sizes)).to(points.dtype)


@dataclass(frozen=True, eq=False)
class CapableInnerField(InnerField):
    """The same of a field that declares what it can do."""

    @property
    def capabilities(self) -> Capabilities:
        able = capabilities(self.outer)
        return replace(able, grid=moved_grid(able.grid, self.frame.inward))

    def taylor(self, points: Tensor, space: JetSpace) -> Jet:
        """The jet in the frame's coordinates and units. Shapes: points "b n D" -> streams "b n
        c"."""
        steps = self.frame.steps(points.shape[-1])
        found = self.outer.taylor(self.frame.outward(points), stretched(space, steps))  # type: ignore[attr-defined]
        return unstretched(found, space, steps, [1 / size for size in self.sizes], points.dtype)


def moved_grid(grid: Lattice | None, move: Callable[[Tensor], Tensor]) -> Lattice | None:
    """A lattice with its corners moved."""
    if grid is None:
        return None
    lower, upper = (
        tuple(move(torch.tensor([corner], dtype=torch.float64))[0].tolist())
        for corner in (grid.lower, grid.upper)
    )
    return replace(grid, lower=lower, upper=upper)


def stretched(space: JetSpace, steps: Sequence[float]) -> JetSpace:
    """The space of derivatives by x that gives one of derivatives by X, dx = step dX along each
    axis."""
    operators = {
        name: {a: c * _power(steps, a) for a, c in form.items()}
        for name, form in space.operators.items()
    }
    return JetSpace(space.lower, operators)


def unstretched(
    jet: Jet, space: JetSpace, steps: Sequence[float], sizes: Sequence[float], dtype: torch.dtype
) -> Jet:
    """A jet by x, of `stretched(space)`, as the one by X of the values times `sizes`."""

    def scaled(stream: Tensor, factor: float) -> Tensor:
        return (stream * (factor * stream.new_tensor(sizes))).to(dtype)

    dense = jet.dense()
    lower = {a: scaled(stream, _power(steps, a)) for a, stream in dense.lower.items()}
    return Jet(
        space, lower, {name: scaled(stream, 1.0) for name, stream in dense.operators.items()}
    )


def _power(steps: Sequence[float], index: Sequence[int]) -> float:
    return math.prod(step**order for step, order in zip(steps, index, strict=True))


def inner_field(field: Any, frame: Frame, sizes: tuple[float, ...]) -> Any:
    """A field of the user's points in the frame."""
    if isinstance(field, OuterField) and field.frame == frame:
        return field.local
    return (InnerField if getattr(field, "capabilities", None) is None else CapableInnerField)(
        field, frame, sizes
    )


def component_sizes(problem: Problem, frame: Frame) -> tuple[float, ...]:
    """The size of every component of the unknowns, in order."""
    return tuple(
        frame.size(name) for name, unknown in problem.unknowns.items() for _ in unknown.components
    )


# --------------------------------------------------------------------------------------------------
# operators' input


PARTS = ("points", "values", "measure", "features", "ansatz")


@dataclass(frozen=True, repr=False)
class OuterInput(OperatorInput):
    """An operator's input in the user's coordinates, with the same in the frame, `local`. Channels
    are those of the frame in both.

    `made` are the parts as they followed from `local`: one that the user has replaced since counts
    instead of its counterpart there.
    """

    local: Any = None
    made: tuple[Any, ...] = ()

    def to(self, *target: Any, **keywords: Any) -> OuterInput:
        parts = [getattr(self, name) for name in PARTS]
        moved = [
            each.to(*target, **keywords) if isinstance(each, Tensor) else each for each in parts
        ]
        made = [
            new if old is kept else kept
            for new, old, kept in zip(moved, parts, self.made, strict=True)
        ]
        return OuterInput(*moved, self.local.to(*target, **keywords), tuple(made))

    def replaced(self) -> dict[str, Any]:
        """The parts that no longer follow from `local`, by name."""
        return {
            name: getattr(self, name)
            for name, made in zip(PARTS, self.made, strict=True)
            if getattr(self, name) is not made
        }


def outer_input(local: OperatorInput, frame: Frame, sizes: tuple[float, ...]) -> OuterInput:
    """An input of the frame in the user's coordinates and units."""
    cell = float(frame.length) ** len(frame.origin) * float(frame.duration)

    def inside(function: Callable[[Tensor], Tensor], scale: bool) -> Callable[[Tensor], Tensor]:
        def outer(points: Tensor) -> Tensor:
            values = function(frame.inward(points, local.points.dtype))
            return (values * values.new_tensor(sizes) if scale else values).to(points.dtype)

        return outer

    parts = (
        frame.outward(local.points),
        local.values,
        None if local.measure is None else local.measure * cell,
        None if local.features is None else inside(local.features, False),
        (
            None
            if (built := local.ansatz) is None
            else Ansatz(
                inside(built.offset, True),
                inside(built.factor, True),
                None if built.kinks is None else inside(built.kinks, False),
                tuple((k, size * sizes[k]) for k, size in built.positive),
            )
        ),
    )
    return OuterInput(*parts, local, parts)


def inner_options(frame: Frame, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an operator with the lengths among them in the frame: `box` and `radius` (a
    number means space), that of an encoder too."""
    result = dict(options)
    if options.get("box") is not None:
        result["box"] = tuple(
            tuple(frame.inward(torch.tensor(corner, dtype=torch.float64)).tolist())
            for corner in options["box"]
        )
    if "radius" in options:
        result["radius"] = _inner_radius(frame, options["radius"])
    encoder = options.get("encoder")
    if isinstance(encoder, Mapping):
        result["encoder"] = inner_options(frame, encoder)
    elif encoder is not None:
        result["encoder"] = replace(encoder, radius=_inner_radius(frame, encoder.radius))
    return result


def _inner_radius(frame: Frame, radius: float | Sequence[float] | None) -> Any:
    """A radius, or one for each coordinate with time last, in the frame."""
    scales = [float(frame.length)] * len(frame.origin) + [float(frame.duration)]
    if radius is None:
        return None
    if isinstance(radius, (int, float)):
        return radius / scales[0]
    return tuple(r / s for r, s in zip(radius, scales, strict=False))


class Framed:
    """What makes a model of the frame take and answer in the user's coordinates: a hook before
    and one after its forward."""

    def __init__(self, frame: Frame, sizes: tuple[float, ...]) -> None:
        self.frame, self.sizes = frame, sizes

    def attach(self, model: nn.Module) -> nn.Module:
        """Registers both hooks on a model and returns it."""
        model.register_forward_pre_hook(self.before)
        model.register_forward_hook(self.after)
        return model

    def before(self, model: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """The hook before the model: the user's input in the frame."""
        inputs, *others = given
        return (self.inner(inputs), *others)

    def after(self, model: nn.Module, given: tuple[Any, ...], field: Any) -> OuterField:
        """The hook after it: the field in the user's coordinates and units."""
        return OuterField(field, self.frame, self.sizes, given[0].points.dtype)

    def inner(self, inputs: OperatorInput) -> OperatorInput:
        """The input in the frame; of one that the caller made in the user's coordinates, its
        channels as they are."""
        if isinstance(inputs, OuterInput):
            return replace(inputs.local, **self._parts(inputs.replaced(), inputs.local.values))
        return OperatorInput(
            **self._parts({name: getattr(inputs, name) for name in PARTS}, inputs.values)
        )

    def _parts(self, given: Mapping[str, Any], values: Tensor) -> dict[str, Any]:
        """Parts of an input in the user's coordinates as those of one in the frame, by name."""
        frame, dtype, sizes = self.frame, values.dtype, values.new_tensor(self.sizes)
        cell = float(frame.length) ** len(frame.origin) * float(frame.duration)
        rules: dict[str, Callable[[Any], Any]] = {
            "points": lambda points: frame.inward(points, dtype),
            "values": lambda channels: channels,
            "measure": lambda measure: measure / cell,
            "features": lambda features: frame.values_inward(features, 1.0),
            "ansatz": lambda built: Ansatz(
                frame.values_inward(built.offset, sizes),
                frame.values_inward(built.factor, sizes),
                None if built.kinks is None else frame.values_inward(built.kinks, 1.0),
                tuple((k, size / self.sizes[k]) for k, size in built.positive),
            ),
        }
        return {name: None if part is None else rules[name](part) for name, part in given.items()}


# --------------------------------------------------------------------------------------------------
# draws and batches


def outer_draws(local: DrawnSamples, problem: Problem, frame: Frame) -> DrawnSamples:
    """Samples of the computed problem as those of the user's: params, domains and input functions
    in its units."""
    params = {name: frame.param_outward(name, value) for name, value in local.params.items()}
    geometry = {
        name: outer_geometry(local.geometry[name], domain, frame)
        for name, domain in problem.domains.items()
    }
    functions = {}
    for name, function in local.functions.items():
        shift, near = parted(frame)
        drawn = isinstance(function, CarriedFunction) and function.frame == near and near != frame
        functions[name] = (
            ShiftedFunction(function.inner, shift, near, function.domain, local.dtype)
            if drawn
            else function.inner
        )
    return DrawnSamples(
        problem,
        local.size,
        params,
        geometry,
        functions,
        frame.outer_dtype(local.dtype),
        local.device,
    )


def inner_draws(
    outer: DrawnSamples, local: Problem, frame: Frame, dtype: torch.dtype
) -> DrawnSamples:
    """Samples of the user's problem, with functions that take the user's points, as those of the
    computed one."""
    params = {name: frame.param_inward(name, value, dtype) for name, value in outer.params.items()}
    geometry = {
        name: Geometry(domain, params, outer.size, dtype, outer.device)
        for name, domain in local.domains.items()
    }
    functions = {}
    for name, function in outer.functions.items():
        functions[name] = CarriedFunction(
            function, frame, frame.size(name), outer.problem.inputs[name].region.domain
        )
    return DrawnSamples(local, outer.size, params, geometry, functions, dtype, outer.device)


@dataclass(frozen=True)
class InnerPoints:
    """Collocation points of a caller's batch in the frame. Shapes: as those of
    `compiler.data.points.PointSet`."""

    points: Tensor
    normals: Tensor | None
    measure: Tensor
    weights: Tensor | None


@dataclass(frozen=True)
class InnerBatch:
    """A batch that the caller made, as a loss in the frame reads it."""

    problem: Problem
    local: Problem
    frame: Frame
    outer: Any

    @property
    def params(self) -> Mapping[str, Tensor]:
        return {
            name: self.frame.param_inward(name, value) for name, value in self.outer.params.items()
        }

    @property
    def points(self) -> Mapping[str, InnerPoints]:
        found = {}
        for (outer, (kind, region)), inner in zip(
            regions(self.problem).items(), regions(self.local), strict=True
        ):
            if outer in self.outer.points:
                each = self.outer.points[outer]
                measure = each.measure / (
                    1.0 if kind == "point" else float(self.frame.length) ** max(0, region.dim)
                )
                found[inner] = InnerPoints(
                    self.frame.inward(each.points),
                    each.normals,
                    measure,
                    getattr(each, "weights", None),
                )
        return found

    @property
    def geometry(self) -> Mapping[str, Geometry]:
        size, like = next((len(each.points), each.points) for each in self.outer.points.values())
        return {
            name: Geometry(domain, self.params, size, like.dtype, like.device)
            for name, domain in self.local.domains.items()
        }

    def evaluate(self, name: str, points: Tensor) -> Tensor:
        size = self.frame.size(name)
        return self.frame.values_inward(lambda x: self.outer.evaluate(name, x), size)(points)
