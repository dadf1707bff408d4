"""An operator fitted to a problem: channels, latent box, periodicity, and a weight smooth enough
for its equations."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

import operators
from compiler.batches.features import periodic
from compiler.batches.recipe import Recipe
from compiler.batches.sample import sample
from compiler.data.from_files import varying
from compiler.data.interfaces import channels
from compiler.geometry.domain import box
from compiler.lowering.frame import Frame
from compiler.lowering.rewrite import Carried
from compiler.matching import refuse_other_input, remember_input
from compiler.scales import component_sizes, scaled
from compiler.scales.views import Framed, inner_options
from operators.options import Bound, bounds, refuse_unknown, renamed
from operators.registry import Registry
from pdespec.errors import fail
from pdespec.laws import GRF, Gaussians
from pdespec.statements.problem import Problem

OPERATORS: Registry[Callable[..., nn.Module]] = Registry("operator")

# what the numbers of an option must be: as the operators' records say, and of a kernel's degree
BOUNDS = {
    **dict.fromkeys(("latent", "grid", "sensors", "nodes"), Bound(1)),
    "degree": Bound(0),
    **{
        name: bound
        for record in (
            operators.EncoderOptions,
            operators.GINOOptions,
            operators.FNOOptions,
            operators.DeepONetOptions,
            operators.TransolverOptions,
            operators.PINNOptions,
            operators.MetaPINNOptions,
        )
        for name, bound in bounds(record).items()
    },
}
MOST, NODES, LARGEST = 2**16, 2**26, 1e30

# share of its usual size at which the last layer starts where conditions are built in: u begins
# near their lift
START = 0.05

FITTED = {
    "latent": "nodes by dimension, half along each axis for stationary equations of order 4",
    "grid": "nodes by dimension",
    "sensors": "half the nodes of a latent grid along each axis",
    "weight": "smooth enough for the derivatives in the equations",
    "radius_in_spacings": "three nodes of the latent grid, for smooth derivatives",
    "modes": "at most 12, fewer than half the nodes",
    "box": "holds every shape that is drawn, and time, in the lengths that are computed with",
    "periodic": "which variables wrap around",
    "input_dim": "coordinates of the points where inputs are read",
    "feature_channels": "known functions of position: shapes and inputs",
}
"""By option of an operator, the rule by which it is fitted to a problem. What was so fitted is
the attribute `fitted` of the model."""

# nodes a latent grid takes by default, by dimension
LATENT = {1: (64,), 2: (32, 32), 3: (16, 16, 16), 4: (8, 8, 8, 8)}
RADIUS = 3.0  # spacings of the latent grid that a decoder reaches, and the grid beyond the domain
FEWEST = 3  # spacings across the domain, where nodes are moved to another axis


def build(problem: Problem, operator: str = "gino", **options: Any) -> nn.Module:
    """A model for a problem: `model(batch.inputs)` is a field of all unknown components over
    (coordinates..., time).

    `options` are those of the operator (`operators.GINO`, `operators.FNO`, ...), over what the
    problem fixes; `seed` those of its first weights. The model carries its `recipe`, from which a
    run builds it again. Raises: KeyError with the nearest name for an unknown operator, TypeError
    for an option it does not have.
    """
    frame, computed = scaled(problem)
    current = renamed(options)
    refuse_implausible(problem, current)
    model = OPERATORS[operator](
        computed, **(current if computed is problem else inner_options(frame, current))
    )
    if computed is not problem:
        Framed(frame, component_sizes(problem, frame)).attach(model)
    model.recipe = Recipe(operator, options)
    model.register_forward_pre_hook(refuse_other_input)
    model.register_forward_hook(remember_input)
    return model


def refuse_implausible(problem: Problem, options: Mapping[str, Any]) -> None:
    """Raises: ValueError for sizes of a model that are none: no layer, no channel, a box smaller
    than the domain, numbers not finite."""
    for name, value in options.items():
        numbers = list(_leaves(value))
        if not all(math.isfinite(each) and abs(each) < LARGEST for each in numbers):
            raise ValueError(f"{name} = {value!r} holds a number that is not finite")
        bound = BOUNDS.get(name)
        if bound is None:
            continue
        if bound.least is None and not all(each > 0 for each in numbers):
            raise ValueError(f"{name} = {value!r} should be positive")
        if bound.least is not None and not all(
            isinstance(each, int) and bound.least <= each <= MOST for each in numbers
        ):
            raise ValueError(
                f"{name} = {value!r} should be a whole number from {bound.least} to {MOST}, or"
                " several"
            )
    for name in ("latent", "grid", "sensors"):
        if name in options and not isinstance(options[name], (list, tuple)):
            raise ValueError(
                f"{name} = {options[name]!r} should be a list, a number of nodes for each axis"
            )
        if math.prod(_leaves(options.get(name, ()))) > NODES:
            raise ValueError(f"{name} = {options[name]!r} has more than {NODES} nodes")
    if options.get("box") is not None:
        (lower, upper), (low, high) = extent(problem), options["box"]
        if not all(
            a <= b + 1e-9 * abs(b) for a, b in zip((*low, *upper), (*lower, *high), strict=True)
        ):
            raise ValueError(
                f"box = {options['box']!r} does not hold the domain, which reaches from {lower} to"
                f" {upper}"
            )


def _leaves(value: Any) -> Iterator[float]:
    """The numbers in a value."""
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, Mapping):
        yield from _leaves(list(value.values()))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


@OPERATORS.register("gino")
def gino(problem: Problem, seed: int = 0, **options: Any) -> operators.GINO:
    """Mollified GINO on a latent grid over all shapes the problem can draw, and over its time."""
    example = inputs(problem)
    return _decoded(problem, example, example.values.shape[-1], seed, options)


@OPERATORS.register("fno_gno")
def fno_gno(problem: Problem, seed: int = 0, **options: Any) -> operators.GINO:
    """FNO, then a mollified GNO that can be asked anywhere: a GINO without an encoder. The nodes of
    its regular grid get shapes and inputs as known functions only, an initial state being
    repeated along the time. Source: Lin et al. (arXiv 2504.08277), equation 13."""
    if "encoder" in options:
        raise TypeError("fno_gno has no encoder, whose options these are; build gino")
    return _decoded(problem, inputs(problem), 0, seed, options)


def _decoded(
    problem: Problem,
    example: operators.OperatorInput,
    channels: int,
    seed: int,
    options: dict[str, Any],
) -> operators.GINO:
    """A GINO whose encoder reads so many channels; none for no encoder."""
    _known(operators.GINO, options)
    dim = len(problem.variables)
    if "latent" not in options:
        record = options.get("options") or operators.GINO.Options
        count = options.get("modes", record.modes)
        if isinstance(count, int):
            options["modes"] = _modes(problem, count)
    latent = tuple(options.pop("latent", latent_grid(problem)))
    fitted = {
        "weight": weight(problem),
        "radius_in_spacings": RADIUS,
        "input_dim": example.points.shape[-1],
        **_on_grid(problem, example, latent),
    }
    generator = torch.Generator().manual_seed(seed)
    model = operators.GINO(
        channels,
        outputs(problem),
        dim,
        latent,
        **{**fitted, **options},
        generator=generator,
    )
    model.fitted = {"latent": latent, **fitted}
    return _near_lift(model, model.projection.layers[-1], example)


@OPERATORS.register("fno")
def fno(problem: Problem, seed: int = 0, **options: Any) -> operators.FNO:
    """Fourier neural operator on a grid over all shapes the problem can draw, with them and
    of the inputs by known functions alone."""
    _known(operators.FNO, options)
    dim = len(problem.variables)
    example = inputs(problem)
    grid = tuple(options.pop("grid", LATENT[dim]))
    fitted = _on_grid(problem, example, grid)
    generator = torch.Generator().manual_seed(seed)
    model = operators.FNO(
        0, outputs(problem), dim, grid, **{**fitted, **options}, generator=generator
    )
    model.fitted = {"grid": grid, **fitted}
    return _near_lift(model, model.projection.layers[-1], example)


@OPERATORS.register("deeponet")
def deeponet(problem: Problem, seed: int = 0, **options: Any) -> operators.DeepONet:
    """Branch and trunk over all shapes the problem can draw; the branch reads values at scattered
    points through a mollified layer, and known functions at its sensors."""
    _known(operators.DeepONet, options)
    dim = len(problem.variables)
    example = inputs(problem)
    sensors = tuple(options.pop("sensors", (n // 2 for n in LATENT[dim])))
    fitted = {
        "box": extent(problem),
        "periodic": periodic(problem),
        "feature_channels": feature_channels(problem, example),
        "weight": weight(problem),
        "input_dim": example.points.shape[-1],
    }
    generator = torch.Generator().manual_seed(seed)
    model = operators.DeepONet(
        example.values.shape[-1],
        outputs(problem),
        dim,
        sensors,
        **{**fitted, **options},
        generator=generator,
    )
    model.fitted = {"sensors": sensors, **fitted}
    return _near_lift(model, model.branch.layers[-1], example)


@OPERATORS.register("transolver")
def transolver(problem: Problem, seed: int = 0, **options: Any) -> operators.Transolver:
    """Attention over the points asked: a baseline whose derivatives are those of differences and
    least squares alone."""
    _known(operators.Transolver, options)
    example = inputs(problem)
    fitted = {"feature_channels": feature_channels(problem, example), "box": extent(problem)}
    generator = torch.Generator().manual_seed(seed)
    model = operators.Transolver(
        outputs(problem), len(problem.variables), **{**fitted, **options}, generator=generator
    )
    model.fitted = fitted
    return _near_lift(model, model.head[-1], example)


@OPERATORS.register("pinn")
def pinn(problem: Problem, seed: int = 0, **options: Any) -> operators.PINN:
    """A network of the coordinates: one solution. Raises: ValueError where the problem draws
    something anew for every sample."""
    _known(operators.PINN, options)
    refuse_family(problem, "a pinn")
    fitted = {"box": extent(problem), "periodic": periodic(problem)}
    generator = torch.Generator().manual_seed(seed)
    model = operators.PINN(
        outputs(problem), len(problem.variables), **{**fitted, **options}, generator=generator
    )
    model.fitted = fitted
    body = model.network[-1] if isinstance(model.network, nn.Sequential) else model.network
    return _near_lift(model, body.layers[-1], inputs(problem))


@OPERATORS.register("meta_pinn")
def meta_pinn(problem: Problem, seed: int = 0, **options: Any) -> operators.MetaPINN:
    """A network of the coordinates that is adapted to every sample, see `compiler.meta_train`."""
    _known(operators.MetaPINN, options)
    fitted = {"box": extent(problem), "periodic": periodic(problem)}
    generator = torch.Generator().manual_seed(seed)
    model = operators.MetaPINN(
        outputs(problem), len(problem.variables), **{**fitted, **options}, generator=generator
    )
    model.fitted = fitted
    return model


def refuse_family(problem: Problem, what: str) -> None:
    """Raises: ValueError where the problem draws something anew for every sample, which one
    function of position cannot answer."""
    drawn = drawn_anew(problem)
    if drawn:
        raise ValueError(
            f"{what} is one function of position, but `{problem.name}` draws {', '.join(drawn)}"
            " anew for every sample; write `const k = 1` for a number and `f := sin(x)` for a"
            " function, or build gino, fno or transolver"
        )


def drawn_anew(problem: Problem) -> list[str]:
    """The params and inputs that differ between samples."""
    return [name for name, p in problem.params.items() if p.law is not None] + varying(problem)


def outputs(problem: Problem) -> int:
    """Channels that a model gives: those of the problem, and as many again for every function with
    a kink (see `compiler.data.interfaces`).
    """
    return len(problem.components) * channels(problem)


def latent_grid(problem: Problem) -> tuple[int, ...]:
    """Nodes along each axis by default: half as many for a stationary equation of fourth or higher
    order, whose solutions are smooth; and where they lie wider along an axis than an input is
    long, as many in all, along each axis in proportion to the lengths of the inputs that fit in.

    A decoder of radius r magnifies what differs from node to node in a derivative of order m by
    r^-m, so that with the usual radius a clamped plate trains on the roughness of its decoder
    alone: it ended 83 % off after 120 steps, see docs/training.md. Of what changes between nodes
    nothing is known: of a source that changes over 33 of its lengths in time, 9 spacings of the
    usual grid hold 40 % (docs/notes/learned.md).
    """
    nodes = usual_grid(problem)
    return nodes if stationary_of_fourth_order(problem) else _by_lengths(problem, nodes)


def usual_grid(problem: Problem) -> tuple[int, ...]:
    """Nodes along each axis by default, whatever the lengths of the inputs."""
    nodes = LATENT[len(problem.variables)]
    return tuple(n // 2 for n in nodes) if stationary_of_fourth_order(problem) else nodes


def stationary_of_fourth_order(problem: Problem) -> bool:
    """Whether a problem without time has derivatives of fourth or higher order."""
    return problem.time is None and highest_order(problem) >= 4


def _by_lengths(problem: Problem, nodes: tuple[int, ...]) -> tuple[int, ...]:
    """As many nodes in all, with spacings alike in the lengths of the inputs, where one is wider
    than such a length; the others as they are."""
    beyond = tuple(0 if own else 1 + round(2 * RADIUS) for own in periodic(problem))
    across = tuple(n - more for n, more in zip(nodes, beyond, strict=True))
    wanted = lengths_across(problem)
    if all(want is None or want <= n for want, n in zip(wanted, across, strict=True)):
        return nodes

    def finer(by: float) -> list[float]:
        return [
            n if want is None else max(FEWEST, by * want) + more
            for n, want, more in zip(nodes, wanted, beyond, strict=True)
        ]

    low, high = 0.0, float(max(nodes))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.prod(finer(middle)) < math.prod(nodes) else (low, middle)
    return tuple(2 * round(n / 2) for n in finer(low))


def lengths_across(problem: Problem) -> tuple[float | None, ...]:
    """How many lengths of the laws of the inputs fit into the domain along each axis, the most;
    None along axes along which no input changes, and where their laws state no length."""
    found: list[float | None] = [None] * len(problem.variables)
    for declaration in problem.inputs.values():
        law, frame = declaration.law, None
        if isinstance(law, Carried):
            law, frame = law.declaration.law, law.frame
        lower, upper = box(declaration.region.domain)
        sides = [b - a for a, b in zip(lower, upper, strict=True)]
        if declaration.time is not None:
            sides.append(float(declaration.time.end - declaration.time.start))
        for axis, side in enumerate(sides):
            if (length := _length(law, frame, axis, sides, len(lower))) is not None:
                found[axis] = max(found[axis] or 0.0, side / length)
    return tuple(found)


def _length(
    law: object, frame: Frame | None, axis: int, sides: Sequence[float], dim: int
) -> float | None:
    """The length over which functions that a law draws change along an axis."""
    if isinstance(law, Gaussians):
        half = min(sides[:dim]) if axis < dim else sides[axis]
        return float(law.width) * half / 2
    if not isinstance(law, GRF) or law.length is None:
        return None
    unit = 1.0 if frame is None else float(frame.length if axis < dim else frame.duration)
    return float(law.length) / unit


def highest_order(problem: Problem) -> int:
    """Of the derivatives in the residuals."""
    return max(
        (sum(index) for indices in problem.derivatives().values() for index in indices), default=0
    )


def _modes(problem: Problem, count: int) -> int | tuple[int, ...]:
    """A number of modes for each axis of the usual grid, on that of the problem."""
    usual, nodes = usual_grid(problem), latent_grid(problem)
    if nodes == usual:
        return count
    return tuple(
        max(1, min(n // 2 - 1, round(count * n / most)))
        for n, most in zip(nodes, usual, strict=True)
    )


def _on_grid(
    problem: Problem, example: operators.OperatorInput, grid: tuple[int, ...]
) -> dict[str, Any]:
    """What a trunk on a grid takes of a problem."""
    return {
        "box": extent(problem),
        "periodic": periodic(problem),
        "feature_channels": feature_channels(problem, example),
        "modes": tuple(min(12, n // 2 - 1) for n in grid),
    }


def _near_lift(model: nn.Module, last: nn.Module, example: operators.OperatorInput) -> Any:
    """The model with a small last layer where conditions are built in, so that u begins near
    their lift."""
    if example.ansatz is not None:
        with torch.no_grad():
            last.weight.mul_(START)
    return model


def _known(operator: Callable[..., nn.Module], options: dict[str, Any]) -> None:
    """Refuses a misspelt option here, where the user's call is still on the stack."""
    refuse_unknown(options, inspect.signature(operator).parameters, operator.__name__)


def inputs(problem: Problem) -> operators.OperatorInput:
    """An example of what the operator will read; its shapes fix the channels."""
    return sample(problem, 1, generator=torch.Generator().manual_seed(0)).inputs


def feature_channels(problem: Problem, example: operators.OperatorInput) -> int:
    """Channels of the position features, which the model asks for at points with all variables."""
    if example.features is None:
        return 0
    lower, _ = extent(problem)
    return example.features(example.points.new_tensor(lower).reshape(1, 1, -1)).shape[-1]


def extent(problem: Problem) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lower and upper corner of all domains of the unknowns for all parameters, and of time."""
    boxes = [
        box(domain)
        for domain in dict.fromkeys(unknown.region for unknown in problem.unknowns.values())
    ]
    lower = tuple(map(min, zip(*(low for low, _ in boxes), strict=True)))
    upper = tuple(map(max, zip(*(high for _, high in boxes), strict=True)))
    if problem.time is not None:
        lower, upper = (*lower, float(problem.time.start)), (*upper, float(problem.time.end))
    if not all(map(math.isfinite, (*lower, *upper))):
        raise fail(
            "W03",
            f"the domain of `{problem.name}` is not bounded: {lower} to {upper}",
            "give box=((..), (..)) to the operator",
        )
    return lower, upper


def weight(problem: Problem) -> str:
    """A weight function whose class C^k covers the highest derivative of order k in the
    residuals: (1 - s)^4 up to order 3, then bump."""
    return "quadweight" if highest_order(problem) <= 3 else "bump"
