"""What differs from sample to sample: params, domains and input functions, drawn or given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import sympy as sp
import torch
from torch import Tensor

from compiler.chance import Chance
from compiler.data.distributions import (
    Constants,
    FourierSeries,
    GaussianSum,
    GivenFunction,
    InputFunction,
    Place,
    Spectrum,
    draw_functions,
    draw_numbers,
)
from compiler.data.from_files import Interpolated, law_of, read_inputs, splines_of
from compiler.data.polynomials import Constant, Polynomials
from compiler.geometry.domain import Geometry, box
from compiler.geometry.shapes.numbers import Numbers, constants, graph
from compiler.matching import number as as_number
from compiler.measurements.measured import shared_keys
from pdespec.complexes import column
from pdespec.coordinates import as_exact
from pdespec.errors import ProblemError, fail, suggestion
from pdespec.geometry import Boundary, Domain
from pdespec.laws import Gaussians, Uniform
from pdespec.rules.admissible import ANGLES, needed
from pdespec.statements.problem import Problem
from pdespec.symbols import Input, InputField, Param, Scalar

# functions that are made of their own tensors alone
CLOSED_FORMS = (Constants, FourierSeries, GaussianSum, Spectrum)


@dataclass(frozen=True)
class DrawnSamples:
    """The params, domains and input functions of `size` samples of a problem.

    `residual_scale` is the mean absolute residual of the ansatz, `amplitude` what the network is
    multiplied by, see `compiler.batches.ansatz_residual`; `coarse` is a coarse solution that the
    ansatz holds, see `compiler.batches.coarse_lift` and `compiler.batches.level`. Shapes: params
    "b" each, "b k" where sized; residual_scale "b"; amplitude "b", or "b c" by component; functions
    take points "b n d", with time last where the input depends on time.
    """

    problem: Problem
    size: int
    params: Mapping[str, Tensor]
    geometry: Mapping[str, Geometry]
    functions: Mapping[str, InputFunction]
    dtype: torch.dtype
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    residual_scale: Tensor | None = None
    amplitude: Tensor | None = None
    coarse: Polynomials | Constant | None = None

    @property
    def start(self) -> float:
        """The first time; 0 without time."""
        return 0.0 if self.problem.time is None else float(self.problem.time.start)

    @property
    def duration(self) -> float:
        """The length of the time interval; 1 without time."""
        return (
            1.0
            if self.problem.time is None
            else float(self.problem.time.end - self.problem.time.start)
        )

    @cached_property
    def attached(self) -> bool:
        """Whether params or input functions hang on tensors that require grad: what is computed
        from them then keeps its graph.

        A caller's function is asked at one point, since it may close over anything; of those that
        are drawn from a law it is seen in their numbers.
        """
        if any(value.requires_grad for value in self.params.values()):
            return True
        asked = []
        for name, function in self.functions.items():
            if not isinstance(function, CLOSED_FORMS):
                asked.append(name)
            elif any(getattr(each, "requires_grad", False) for each in vars(function).values()):
                return True
        if not asked:
            return False
        at = next(iter(self.geometry.values())).interior(
            1, torch.Generator(self.device).manual_seed(0)
        )
        place = torch.cat(
            [at, at.new_full((*at.shape[:2], self.problem.time is not None), self.start)], -1
        )
        return any(self.evaluate(name, place, continued=True).requires_grad for name in asked)

    def sized(self, residual_scale: Tensor, amplitude: Tensor | None = None) -> DrawnSamples:
        """The same samples with the size of their residual and their amplitude, which follow from
        the params and functions: what hangs on a graph has been seen. Shapes: as the fields."""
        found = replace(self, residual_scale=residual_scale, amplitude=amplitude)
        found.__dict__["attached"] = self.attached
        return found

    def evaluate(self, name: str, points: Tensor, continued: bool = False) -> Tensor:
        """An input function at points; `continued` asks for its smooth continuation off a boundary.

        Shapes: points "b n d" or, time last, "b n d+1" -> "b n c". Raises: ProblemError B01, B03.
        """
        known_names("input", [name], self.problem.inputs, self.problem.name)
        if name not in self.functions:
            raise fail(
                "B03",
                f"input `{name}` was not given",
                f'pass inputs={{"{name}": ...}}, a callable of points, to compiler.instance',
            )
        declaration = self.problem.inputs[name]
        spatial = len(self.problem.coordinates)
        width = spatial + (declaration.time is not None)
        if (
            points.ndim != 3
            or points.shape[0] != self.size
            or points.shape[-1] not in (width, len(self.problem.variables))
        ):
            axes = ", ".join(variable.name for variable in self.problem.variables[:width])
            raise fail(
                "B01",
                f"points have shape {tuple(points.shape)}, `{name}` needs ({self.size}, n,"
                f" {width})",
                f"coordinates are {axes}",
            )
        function = self.functions[name]
        at = points[..., :width]
        return (
            function.extend(at, self.geometry[declaration.region.domain.name])
            if continued
            else function(at)
        )

    def known(self, expression: sp.Expr, points: Tensor) -> Tensor:
        """An expression in coordinates, time, params and inputs, these continued off their
        boundaries. Shapes: points "b n D" -> "b n"."""
        expression = constants(expression)
        fields = sorted(expression.atoms(InputField), key=lambda each: each.func.__name__)
        stands = {each: sp.Symbol(f"{each.func.__name__}_") for each in fields}
        compiled = graph((expression.xreplace(stands),))
        values: dict[sp.Symbol, Tensor] = {}
        for each, symbol in stands.items():
            values[symbol] = self.evaluate(each.func.declaration.name, points, continued=True)[
                ..., each.func.component
            ]
        numbers = Numbers(self.params, self.size, self.dtype, self.device)
        for symbol in compiled.symbols:
            if isinstance(symbol, Scalar):
                values[symbol] = numbers.value(symbol)[:, None]
            elif symbol not in values:
                values[symbol] = points[..., self.problem.variables.index(symbol)]
        return compiled(values, points[..., 0])[0]

    def map(self, function: Callable[[Tensor], Tensor], size: int | None = None) -> DrawnSamples:
        """A function applied to every tensor: another dtype or device, or some of the samples
        (`size` of them)."""
        probe = function(torch.zeros(self.size, dtype=self.dtype, device=self.device))
        return replace(
            self,
            size=self.size if size is None else size,
            params={name: function(value) for name, value in self.params.items()},
            geometry={
                name: geometry.map(function, size) for name, geometry in self.geometry.items()
            },
            functions={name: each.map(function) for name, each in self.functions.items()},
            residual_scale=None if self.residual_scale is None else function(self.residual_scale),
            amplitude=None if self.amplitude is None else function(self.amplitude),
            coarse=None if self.coarse is None else self.coarse.map(function),
            dtype=probe.dtype,
            device=probe.device,
        )


@lru_cache(maxsize=64)
def drawn_symbols(problem: Problem) -> tuple[Scalar, ...]:
    """Drawn params, by component, that equations, functionals or conditions hold."""
    stated = [
        each
        for part in (*problem.equations.values(), *problem.conditions.values())
        for each in (part.lhs, part.rhs)
    ]
    stated += [density for functional in problem.functionals for density, _ in functional.terms]
    found = set().union(*(sp.sympify(each).free_symbols for each in stated))
    drawn = {name for name, param in problem.params.items() if param.law is not None}
    symbols = [
        each for each in found if isinstance(each, Scalar) and each.declaration.name in drawn
    ]
    return tuple(
        sorted(
            symbols,
            key=lambda each: (list(problem.params).index(each.declaration.name), each.index),
        )
    )


def draw(problem: Problem, size: int, generator: torch.Generator | Chance) -> DrawnSamples:
    """Everything drawn from its law, in float64 on the CPU or the generator's device.

    Raises: ProblemError B03 for what has no law, W08 for numbers of which no shape can be made.
    """
    chance = Chance.of(generator, size)
    params = {name: _param(param, size, chance) for name, param in problem.params.items()}
    refuse_inadmissible(problem, Numbers(params, size, torch.float64, torch.device(chance.device)))
    start = _draws(problem, size, params, {}, chance.device)
    keys = _keys(problem, size, chance)
    functions = {}
    for name, declaration in problem.inputs.items():
        law = law_of(declaration)
        if law is None:
            raise fail(
                "B03",
                f"input `{name}` is not drawn from a law",
                f'pass it: compiler.instance(problem, inputs={{"{name}": ...}})',
            )
        place = replace(_place(declaration, start), keys=keys)
        functions[name] = draw_functions(law, len(declaration.components), place, chance)
    return replace(start, functions=functions)


def _keys(problem: Problem, size: int, chance: Chance) -> tuple[str, ...]:
    """Which samples of their files the inputs are read of, the same of all."""
    shared = shared_keys(read_inputs(problem).values())
    if shared is None:
        return ()
    return tuple(shared[int(each * len(shared))] for each in chance.uniform().tolist())


def given(
    problem: Problem,
    params: Mapping[str, object],
    inputs: Mapping[str, object],
    dtype: torch.dtype,
    device: torch.device,
    size: int = 1,
    *,
    checked: bool = True,
) -> DrawnSamples:
    """Samples with the caller's params and inputs, by default once it is known that shapes can be
    made of these numbers. Raises: ProblemError S01 for names that do not exist, B03 for what is
    missing, W08 for numbers of which no shape can be made."""
    known_names("param", params, {**problem.params, **problem.trainables}, problem.name)
    known_names("input", inputs, problem.inputs, problem.name)
    numbers = {}
    for name, param in {**problem.params, **problem.trainables}.items():
        value = params.get(name, param.value)
        if value is None:
            raise fail("B03", f"param `{name}` was not given", f'pass params={{"{name}": ...}}')
        numbers[name] = _number(param, value, size, dtype, device)
    functions = {}
    for name, declaration in problem.inputs.items():
        if name not in inputs:
            if declaration.source is not None:
                functions[name] = from_file(declaration, size, device)
                continue
            raise fail(
                "B03",
                f"input `{name}` was not given",
                f'pass inputs={{"{name}": ...}}: a callable of points, an expression or a number',
            )
        functions[name] = _function(problem, declaration, inputs[name], size, dtype, device)
    if checked:
        refuse_inadmissible(problem, Numbers(numbers, size, dtype, torch.device(device)))
    return _draws(problem, size, numbers, functions, device, dtype)


def from_file(declaration: Input, size: int, device: torch.device) -> InputFunction:
    """The function in the file of an input. Raises: ProblemError B03 where it holds several."""
    splines = splines_of(declaration)
    count = len(splines.table.keys)
    if count > 1:
        raise fail(
            "B03",
            f"input `{declaration.name}` was not given, and {declaration.source} holds {count} of"
            " them",
            f'pass inputs={{"{declaration.name}": ...}}, or draw samples with compiler.sample',
        )
    return Interpolated(splines, torch.zeros(size, dtype=torch.float64, device=device))


def _draws(
    problem: Problem,
    size: int,
    params: Mapping[str, Tensor],
    functions: Mapping,
    device,
    dtype=torch.float64,
) -> DrawnSamples:
    geometry = {
        name: Geometry(domain, params, size, dtype, torch.device(device))
        for name, domain in problem.domains.items()
    }
    return DrawnSamples(problem, size, params, geometry, functions, dtype, torch.device(device))


def refuse_inadmissible(problem: Problem, numbers: Numbers) -> None:
    """Raises: ProblemError W08, naming sample, numbers and domain, where a shape has no inside."""
    for domain in problem.domains.values():
        for need in needed(domain.shape):
            if not need.scalars or any(
                s.declaration.kind == "trainable" or _missing(s, numbers) for s in need.scalars
            ):
                continue
            if need.angle is None:
                least = numbers(need.value).detach()
            else:
                angles = torch.arange(ANGLES, dtype=numbers.dtype, device=numbers.device) * (
                    2 * math.pi / ANGLES
                )
                least = (
                    numbers.function([need.value], need.angle)(angles.expand(numbers.size, -1))[0]
                    .detach()
                    .amin(-1)
                )
            if bool((least > 0).all()):
                continue
            sample = int((~(least > 0)).nonzero()[0])
            drawn = [symbol for symbol in need.scalars if symbol.declaration.kind != "const"]
            at = ", ".join(
                f"{symbol.name} = {float(numbers.value(symbol)[sample]):.6g}" for symbol in drawn
            )
            message = (
                f"{need.name} in `{domain.name}` is {float(least[sample]):.6g} in sample {sample},"
                f" where {at}"
            )
            raise fail(
                "W08",
                message,
                "restrict the laws of these params, or give others",
                "a shape without an inside has no points",
            )


def _missing(symbol: Scalar, numbers: Numbers) -> bool:
    return symbol.declaration.name not in numbers.params and symbol.declaration.value is None


def _param(param: Param, size: int, chance: Chance) -> Tensor:
    shape = () if param.size is None else (param.size,)
    if param.law is not None:
        return draw_numbers(param.law, shape, chance)
    if param.value is None:
        raise fail(
            "B03",
            f"param `{param.name}` has neither law nor value",
            f'pass it: compiler.instance(problem, params={{"{param.name}": ...}})',
        )
    return torch.full((size, *shape), float(param.value), dtype=torch.float64, device=chance.device)


def _place(declaration: Input, drawn: DrawnSamples) -> Place:
    """The box over which a function is drawn: that of its domain for all params, and the time
    interval where it depends on time."""
    domain: Domain = declaration.region.domain
    lower, upper = box(domain)
    periodic = tuple(coordinate.name in domain.periodic for coordinate in domain.coordinates)
    if declaration.time is not None:
        lower, upper, periodic = (
            (*lower, float(declaration.time.start)),
            (*upper, float(declaration.time.end)),
            (*periodic, declaration.time.periodic),
        )
    return Place(
        drawn.geometry[domain.name],
        lower,
        upper,
        periodic,
        isinstance(declaration.region, Boundary),
    )


def _number(
    param: Param, value: object, size: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """A param of all samples, from one number for all or one for each. Shapes: -> "b", "b k"
    where sized."""
    shape = () if param.size is None else (param.size,)
    if isinstance(value, (list, tuple)) and any(isinstance(each, Tensor) for each in value):
        # keeps their graph
        value = torch.stack([as_number(each, param.name, dtype, device) for each in value])
    tensor = as_number(
        float(value) if isinstance(value, sp.Expr) and value.is_real else value,
        param.name,
        dtype,
        device,
    )
    if tensor.numel() == 1 and tensor.ndim <= 2:
        return tensor.reshape(()).expand(size, *shape)
    if tensor.shape not in (shape, (1, *shape), (size, *shape)):
        wanted = shape or (f"({size},)" if size > 1 else "one number")
        raise fail(
            "B01", f"param `{param.name}` has shape {tuple(tensor.shape)}, {wanted} is needed"
        )
    return tensor.expand(size, *shape)


def _function(
    problem: Problem,
    declaration: Input,
    value: object,
    size: int,
    dtype: torch.dtype,
    device: torch.device,
) -> InputFunction:
    """The caller's input as a function of points: a callable as it is, an expression or number
    in closed form."""
    count = len(declaration.components)
    if isinstance(value, Interpolated):
        return value
    if declaration.complex and isinstance(value, (int, float, complex, sp.Expr, sp.MatrixBase)):
        value = column(as_exact(value))
    if isinstance(value, Tensor) and value.ndim == 0:
        return Constants(value.to(device, dtype).expand(size, count))
    if isinstance(value, Tensor):
        message = (
            f"input `{declaration.name}` is given as values of shape {tuple(value.shape)}, without"
            " the points they belong to"
        )
        raise fail(
            "B03",
            message,
            "pass a callable of points that interpolates them, or its expression",
            "it is needed at points of the compiler's choice",
        )
    if isinstance(value, (int, float)) or (isinstance(value, sp.Expr) and value.is_number):
        return Constants(torch.full((size, count), float(value), dtype=dtype, device=device))
    if isinstance(value, (sp.Expr, sp.MatrixBase)):
        return GivenFunction(_closed_form(problem, declaration, value), declaration.name, count)
    if callable(value):
        return GivenFunction(value, declaration.name, count)
    raise fail(
        "B01",
        f"input `{declaration.name}` is a {type(value).__name__}",
        "pass a callable of points, a SymPy expression or a number",
    )


def _closed_form(
    problem: Problem, declaration: Input, value: sp.Expr | sp.MatrixBase
) -> Callable[[Tensor], Tensor]:
    entries = tuple(
        sp.sympify(each) for each in (value if isinstance(value, sp.MatrixBase) else [value])
    )
    names = {variable.name: i for i, variable in enumerate(problem.variables)}
    unknown = sorted(
        {symbol.name for entry in entries for symbol in entry.free_symbols} - set(names)
    )
    if unknown:
        hint = suggestion(unknown[0], names, f"the coordinates are {', '.join(names)}")
        raise fail("S01", f"input `{declaration.name}` depends on `{unknown[0]}`", hint)
    compiled = graph(entries)

    def function(points: Tensor) -> Tensor:
        values = {symbol: points[..., names[symbol.name]] for symbol in compiled.symbols}
        return torch.stack(compiled(values, points[..., 0]), -1)

    return function


def known_names(
    kind: str, names: Iterable[str], declared: Mapping[str, object], problem: str
) -> None:
    """Raises: ProblemError S01, with the nearest name, for one that is not declared."""
    for name in names:
        if name not in declared:
            hint = suggestion(name, declared, f"it has {', '.join(declared) or 'none'}")
            raise fail("S01", f"`{problem}` has no {kind} `{name}`", hint)


def probed(problem: Problem, size: int = 4) -> DrawnSamples:
    """A few samples, with numbers of magnitude 1 for what has neither law nor file: random phases
    for functions, so that no two agree by chance."""
    generator = torch.Generator().manual_seed(0)
    params = {
        name: (
            replace(p, law=Uniform(sp.S.Half, sp.S(2))) if p.law is None and p.value is None else p
        )
        for name, p in problem.params.items()
    }
    read = read_inputs(problem)
    inputs = {
        name: i
        if i.law is not None and i.source is None or name in read and _readable(read[name])
        else replace(i, law=Gaussians(4, sp.S.One), source=None)
        for name, i in problem.inputs.items()
    }
    return draw(problem.revised(params=params, inputs=inputs), size, generator)


def _readable(declaration: Input) -> bool:
    """Whether the file of an input can be read. Where not, drawing samples says why."""
    try:
        splines_of(declaration)
    except ProblemError:
        return False
    return True
