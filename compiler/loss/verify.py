"""Checks derivatives of callers' functions by reverse mode against finite differences in float64.

Autograd is as exact as the rules of the operations that a function is made of, and some of torch's
are not: docs/derivatives.md has a list. So each derivative is held against central differences of
the one below it: if the value is right and every `d^(a+e)` is the slope of `d^a` along e, all are
right, and first differences in float64 lose few digits at any order. What such differences cannot
see is a jump between their points: along some lines the change of `d^a` is held against the
integral of `d^(a+e)`, and what is missing is followed to its place.
"""

from __future__ import annotations

import contextlib
import functools
import math
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from compiler.derivatives import Autograd, Request
from compiler.derivatives.interface import MultiIndex, parts, spell
from compiler.loss.crossings import Crossing
from compiler.scales.views import InnerField
from pdespec.errors import Diagnostic, ProblemError, fail

Function = Callable[[Tensor], Tensor]

PLACES = 16  # points of all samples at which slopes are compared
LINES = 3  # lines along each axis on which changes are compared
# of the two central differences of order 4, with steps h and h/2
SHIFTS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
HALVINGS = 20  # of a line on which something is missing: to a millionth of its length


class Doubled(TorchFunctionMode):
    """Computes in float64 whatever precision a function, its weights and its constants have."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        args, kwargs = tree_map(_double, (args, kwargs or {}))
        return func(*args, **kwargs)


def _double(value: object) -> object:
    if isinstance(value, Tensor) and value.dtype == torch.float32:
        return torch.Tensor.to(value, torch.float64)
    return torch.float64 if value is torch.float32 else value


class Asking:
    """A caller's function, `__wrapped__`, asked in another way: made anew at every call."""

    __wrapped__: Callable[..., object]


class IdentitySet:
    """Groups of objects met before, by identity, since they may have no hash. Those with one that
    takes no weak reference are never remembered.
    """

    def __init__(self) -> None:
        self._met: dict[tuple[int, ...], tuple[weakref.ref, ...]] = {}

    def __contains__(self, others: tuple[object, ...]) -> bool:
        references = self._met.get(tuple(map(id, others)))
        return references is not None and all(
            each() is other for each, other in zip(references, others, strict=True)
        )

    def add(self, others: tuple[object, ...]) -> None:
        """Remembers a group for as long as all of its objects live."""
        met, key = self._met, tuple(map(id, others))
        with contextlib.suppress(TypeError):
            met[key] = tuple(
                weakref.ref(other, lambda gone: met.pop(key, None)) for other in others
            )


@dataclass(frozen=True)
class Step:
    """From one derivative of a component to the next along an axis."""

    component: int
    lower: MultiIndex
    upper: MultiIndex
    axis: int


def steps(request: Request) -> tuple[Step, ...]:
    """All steps by which nested reverse mode reaches the derivatives of a request: the last
    coordinate is taken last."""
    found: dict[Step, None] = {}
    for component, indices in parts(request).items():
        for index in indices:
            while any(index):
                axis = max(k for k, count in enumerate(index) if count)
                lower = (*index[:axis], index[axis] - 1, *index[axis + 1 :])
                found[Step(component, lower, index, axis)] = None
                index = lower
    return tuple(sorted(found, key=lambda step: (sum(step.upper), step.upper, step.component)))


def verify(
    function: Function,
    points: Float[Tensor, "b n D"],
    request: Request,
    names: tuple[str, ...],
    components: tuple[str, ...],
    across: Crossing = lambda start, end: False,
    known: bool = False,
) -> tuple[Diagnostic, ...]:
    """Holds every derivative of a request by autograd against differences of the one below it.

    Returns P03 as a warning where a derivative jumps and the next one does not see it, but not
    between two points that lie `across` an interface; P09 as an error where that next one is
    moreover zero wherever it is asked for, as are the second derivatives of a network of ReLU, but
    not of a function that is `known`, whose kinks are the user's. What cannot be evaluated around
    the points, in float64 or in the precision of the points, is passed over. Raises: ProblemError
    P06 with the place, at the lowest order that is wrong. Shapes: points "b n D"; the function
    takes them to "b n c".
    """
    wanted = steps(request)
    if not wanted:
        return ()
    for at, mode in (
        (points.detach().double(), Doubled),
        (points.detach(), contextlib.nullcontext),
    ):
        trial = _Trial(function, at, wanted, mode)
        try:
            trial.slopes(names, components)
            return trial.jumps(names, components, across, known)
        except ProblemError as error:
            if error.diagnostics[0].code == "P06":
                raise
        except Exception:
            # whatever a caller's function raises at points that are not its own: the loss itself
            # will meet what matters
            continue
    return ()


class _Trial:
    """A function on trial at some points. Shapes: points "b n D"."""

    def __init__(
        self, function: Function, points: Tensor, wanted: tuple[Step, ...], mode: Callable
    ) -> None:
        self.function, self.wanted, self.mode = function, wanted, mode
        self.frame = function if isinstance(function, InnerField) else None
        indices: dict[int, set[MultiIndex]] = {}
        for step in wanted:
            indices.setdefault(step.component, set()).update((step.lower, step.upper))
        self.request = Request(
            {component: frozenset(found) for component, found in indices.items()}
        )
        self.axes = sorted({step.axis for step in wanted})
        self.low, self.high = points.amin((0, 1)), points.amax((0, 1))
        extent = self.high - self.low
        self.extent = torch.where(
            extent > 0,
            extent,
            extent.amax() if bool((extent > 0).any()) else torch.ones_like(extent),
        )
        self.precision = torch.finfo(points.dtype).eps
        count = max(2, PLACES // len(points))
        chosen = torch.linspace(
            0, points.shape[1] - 1, min(count, points.shape[1]), device=points.device
        ).long()
        turn = torch.arange(1, len(chosen) + 1, dtype=points.dtype, device=points.device)[:, None]
        share = (
            turn * 0.6180339887 * torch.arange(1, points.shape[2] + 1, device=points.device)
        ).frac() - 0.5
        # off lines on which a function may have a kink
        self.points = points[:, chosen] + 2e-3 * share * self.extent

    def at(
        self, points: Float[Tensor, "b n D"]
    ) -> Mapping[tuple[int, MultiIndex], Float[Tensor, "b n"]]:
        """All derivatives of the steps. Shapes: points "b n D" -> "b n" each."""

        def function(x: Tensor) -> Tensor:  # without what the field says of itself
            with self.mode():
                return self.function(x)

        found = Autograd().evaluate(function, points, self.request)
        return {key: value.detach().double() for key, value in found.items()}  # type: ignore[misc]

    def slopes(self, names: tuple[str, ...], components: tuple[str, ...]) -> None:
        """Raises: ProblemError P06 for the first step whose upper derivative is not the slope of
        the lower one."""
        size = self.precision**0.2 * self.extent  # errors of a difference of order 4: h^4 and eps/h
        sets = [self.points]
        for axis in self.axes:
            unit = torch.zeros_like(size)
            unit[axis] = size[axis]
            sets += [self.points + shift * unit for shift in SHIFTS]
        count = self.points.shape[1]
        found = self.at(torch.cat(sets, 1))
        for step in self.wanted:
            own = 1 + len(SHIFTS) * self.axes.index(step.axis)
            exact = found[step.component, step.upper][:, :count]
            # (b, n) at each shift along the axis
            lower = found[step.component, step.lower].split(count, 1)[own : own + len(SHIFTS)]
            h = float(size[step.axis])
            wide, near, half = ((lower[5 - k] - lower[k]) for k in range(3))
            coarse, fine = (8 * near - wide) / (12 * h), (8 * half - near) / (6 * h)
            doubt, typical = (fine - coarse).abs(), torch.maximum(exact.abs(), fine.abs())
            finite = exact.isfinite() & fine.isfinite() & coarse.isfinite()
            if not bool(finite.any()):
                continue
            level = typical[finite].square().mean().sqrt()
            noise = 100 * self.precision * torch.stack(lower).abs().amax(0) / h
            sure = finite & (doubt <= 0.02 * level)
            wrong = sure & ((exact - fine).abs() > 0.01 * level + 20 * doubt + noise)
            if int(wrong.sum()) > max(min(1, int(sure.sum()) - 1), int(sure.sum()) // 5):
                self._refuse(step, exact, fine, wrong, names, components)

    def _refuse(
        self,
        step: Step,
        exact: Tensor,
        fine: Tensor,
        wrong: Tensor,
        names: tuple[str, ...],
        components: tuple[str, ...],
    ) -> None:
        gap = torch.where(wrong, (exact - fine).abs(), -1.0)
        sample, point = divmod(int(gap.argmax()), gap.shape[1])
        size = self._size(step.component, step.upper)
        ours, theirs = (size * float(each[sample, point]) for each in (exact, fine))
        upper, lower = _pair(step, names, components)
        raise fail(
            "P06",
            f"{upper} by autograd is {ours:.6g}, but the slope of {lower} along"
            f" {names[step.axis]} is {theirs:.6g}, at"
            f" {self._place(self.points[sample, point], names)}",
            hint=(
                "write out the operation whose derivative torch has not (docs/derivatives.md), or"
                " use finite_difference or least_squares"
            ),
            cause=(
                "an operation that it is made of is detached or lacks derivatives of this order:"
                " LayerNorm, InstanceNorm and BatchNorm from the third on, Bessel functions and"
                " polynomials of torch.special all"
            ),
        )

    def jumps(
        self,
        names: tuple[str, ...],
        components: tuple[str, ...],
        across: Crossing,
        known: bool,
    ) -> tuple[Diagnostic, ...]:
        """P03 or P09 for the lowest derivative of each component that jumps somewhere on a line."""
        told: dict[int, Diagnostic] = {}
        vanishing: dict[Step, bool] = {}
        count = max(1, min(LINES, 2 * LINES // len(self.points), self.points.shape[1]))
        # of points in order, too, lines reach all over
        spread = [(2 * k + 1) * self.points.shape[1] // (2 * count) for k in range(count)]
        for axis in self.axes:
            middle = self.points[:, spread]
            start, end = middle.clone(), middle.clone()
            reach = 0.25 * self.extent[axis]
            start[..., axis] = (middle[..., axis] - reach).clamp_min(float(self.low[axis]))
            end[..., axis] = (middle[..., axis] + reach).clamp_max(float(self.high[axis]))
            coarse, fine = self._missing(start, end, axis, 16), self._missing(start, end, axis, 32)
            vanishing |= {step: not bool(size.any()) for step, (_, _, size) in fine.items()}
            for step in self.wanted:
                if step.axis != axis or step.component in told or step not in fine:
                    continue
                (missing, size, _), (other, _, _) = fine[step], coarse[step]
                doubtful = (
                    (missing.abs() > 0.1 * size)
                    & (missing.abs() > 5 * (missing - other).abs())
                    & missing.isfinite()
                )
                if bool(doubtful.any()):
                    sample, line = divmod(
                        int((missing.abs() * doubtful).nan_to_num().argmax()), count
                    )
                    found = self._followed(
                        start[:, [line]],
                        end[:, [line]],
                        step,
                        sample,
                        float(missing.abs()[sample, line]),
                    )
                    if found is not None and not across(found[1], found[2]):
                        size = found[0] * self._size(step.component, step.lower)
                        place = self._place((found[1] + found[2]) / 2, names)
                        say = _no_residual if vanishing[step] and not known else _jump
                        told[step.component] = say(*_pair(step, names, components), size, place)
        return tuple(told.values())

    def _size(self, component: int, index: MultiIndex) -> float:
        """What a derivative is multiplied by to be one of the user's field in the user's
        coordinates."""
        if self.frame is None:
            return 1.0
        steps = self.frame.frame.steps(len(index))
        scale = math.prod(step**count for step, count in zip(steps, index, strict=True))
        return self.frame.sizes[component] / scale

    def _place(self, point: Tensor, names: tuple[str, ...]) -> str:
        """A point in the user's coordinates, to a millionth of the extent of all. Shapes: "D"."""
        ends = torch.stack([point, self.low, self.high]).double()
        if self.frame is not None:
            ends = self.frame.frame.outward(ends[None])[0]
        parts = []
        for name, (value, low, high) in zip(names, ends.T.tolist(), strict=True):
            ratio = abs(value) / (high - low) if high > low else 1
            digits = 6 + max(0, math.ceil(math.log10(ratio or 1)))
            parts.append(f"{name} = {value:.{digits}g}")
        return ", ".join(parts)

    def _missing(
        self, start: Tensor, end: Tensor, axis: int, nodes: int
    ) -> dict[Step, tuple[Tensor, Tensor, Tensor]]:
        """What the integral of each upper derivative lacks of the change of the lower one, the
        size of both, and the largest upper derivative. Shapes: "b l" each."""
        gauss, weights = (
            torch.as_tensor(each, dtype=start.dtype, device=start.device)
            for each in np.polynomial.legendre.leggauss(nodes)
        )
        shares = torch.cat([gauss.new_tensor([0.0]), (gauss + 1) / 2, gauss.new_tensor([1.0])])
        line = start[:, :, None] + shares[:, None] * (end - start)[:, :, None]  # (b, l, s, D)
        found = self.at(line.flatten(1, 2))  # (b, l s) each
        length = (end - start)[..., axis].double()
        result = {}
        for step in self.wanted:
            if step.axis == axis:
                lower, upper = (
                    found[step.component, index].unflatten(1, (-1, len(shares)))  # (b, l, s)
                    for index in (step.lower, step.upper)
                )
                change = lower[..., -1] - lower[..., 0]
                inside = upper[..., 1:-1] * weights.double() / 2
                size = torch.maximum(
                    change.abs(), length * inside.abs().sum(-1)
                ) + 1e4 * self.precision * lower.abs().amax(-1)
                result[step] = change - length * inside.sum(-1), size, upper.abs().amax(-1)
        return result

    def _followed(
        self, start: Tensor, end: Tensor, step: Step, sample: int, whole: float
    ) -> tuple[float, Tensor, Tensor] | None:
        """The jump and two points close by on either side, by halving; None where what is missing
        shrinks with the line: a steep place, not a jump."""
        halvings = HALVINGS if self.precision < 1e-10 else 8
        for _ in range(halvings):
            middle = (start + end) / 2
            halves = self._missing(
                torch.cat([start, middle], 1), torch.cat([middle, end], 1), step.axis, 8
            )[step][0][sample]
            start, end = (start, middle) if halves[0].abs() > halves[1].abs() else (middle, end)
        left = float(halves.abs().max())
        return (left, start[sample, 0], end[sample, 0]) if left > 0.01 * whole else None


def _jump(upper: str, lower: str, size: float, place: str) -> Diagnostic:
    return Diagnostic(
        "P03",
        f"{lower} jumps by {size:.3g} at {place}: {upper} holds a delta there",
        "use a smooth activation (tanh, gelu, silu) or smooth the function; a jump that the"
        " solution has belongs on an interface",
        "no derivative at points sees it: a residual of it is not what it says",
        severity="warning",
    )


def _no_residual(upper: str, lower: str, size: float, place: str) -> Diagnostic:
    return Diagnostic(
        "P09",
        f"{upper} by autograd is zero everywhere, while {lower} jumps by {size:.3g} at {place}",
        "use a smooth activation (tanh, gelu, silu); or train on the weak residual, dual=auto,"
        " which takes no derivatives of this order",
        f"a field of pieces whose {upper} is zero, such as a network of ReLU, has no residual of"
        " this order: whatever it is, the equation sees the same",
    )


def _pair(step: Step, names: tuple[str, ...], components: tuple[str, ...]) -> tuple[str, str]:
    """How the derivatives above and below a step are written."""
    upper, lower = (
        _spelt(index, names, components[step.component]) for index in (step.upper, step.lower)
    )
    return upper, lower


def _spelt(index: MultiIndex, names: tuple[str, ...], component: str) -> str:
    return f"{spell(index, names)}({component})" if any(index) else component


def made_of(function: object, met: frozenset[int] = frozenset()) -> Iterator[object]:
    """What tells a function from another: its code and the callables it closes over, since
    closures are made anew at every call."""
    met = met | {id(function)}
    parts: Iterable[object] = ()
    if isinstance(function, functools.partial):
        parts = (function.func, *function.args, *function.keywords.values())
    elif isinstance(function, InnerField):
        parts = (function.outer,)
    elif isinstance(function, Asking):
        yield type(function)
        parts = (function.__wrapped__,)
    elif isinstance(function, types.MethodType):
        yield from (function.__func__, function.__self__)
    elif isinstance(function, types.FunctionType):
        yield function.__code__
        cells = (*(function.__closure__ or ()), *map(types.CellType, function.__defaults__ or ()))
        parts = (cell.cell_contents for cell in cells)
    else:
        yield function
    for held in parts:
        if callable(held) and id(held) not in met and not isinstance(held, Tensor):
            yield from made_of(held, met)
