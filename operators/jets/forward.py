"""Jets of an ordinary function of points, by following its derivatives through every operation.

The function is called once with points that carry their streams: each operation on them has a rule
that also gives the streams of its result, all of them in one tensor, so that arithmetic is a
handful of operations whatever their number. What has no rule, what drops derivatives on purpose and
what would see the values alone (TorchScript, `torch.func`) ends it: the caller then takes another
way. Nested reverse mode (`operators.field.nested`) costs three to five times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils._pytree import tree_leaves, tree_map

from operators.jets.derivative_tables import (
    ACTIVATIONS,
    ARCTANGENT,
    COSH,
    ERF,
    EXP,
    LOG,
    RECIPROCAL,
    SINH,
    SQRT,
    Smooth,
    power,
)
from operators.jets.jet import Jet, JetSpace, divisors, factorial


class NoRule(Exception):
    """An operation whose derivatives are not followed."""


class Call:
    """One call of a function. `lost`: something in it was not followed, which the function may have
    caught. Values that outlive the call are values alone."""

    __slots__ = ("lost", "open")

    def __init__(self) -> None:
        self.open, self.lost = True, False


def forward(function: Callable[[Tensor], Tensor], points: Tensor, space: JetSpace) -> Jet | None:
    """Jet of a pointwise function, on whatever graph its values hang; None where something in it
    has no rule, where it does not depend on the points, or while a program is traced.

    Shapes: points (b, n, D) -> streams (b, n, c).
    """
    traced = _get_current_dispatch_mode() is not None or torch.compiler.is_compiling()
    if traced or torch._C._functorch.peek_interpreter_stack() is not None or len(space) == 1:
        return None
    if points.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    call = Call()
    try:
        with torch.enable_grad():
            found = function(_followed(_seeds(points, space), call))
    except Exception:  # the other way says what is wrong with the function itself
        return None
    finally:
        call.open = False
    if call.lost or type(found) is not Followed or found.call is not call:
        return None
    # 0 times infinity: reverse mode has numbers where a singular function is not differentiated
    value, rows = found.streams.value, found.streams.rows
    if not rows.detach().sum().isfinite():
        return None
    streams = dict(zip(_keys(space), rows.unbind(0), strict=True))
    lower = {a: streams[a] for a in space.lower if any(a)}
    operators = {name: streams[name] for name in space.operators}
    return Jet(space, {space.zero: value, **lower}, operators)


class Followed(Tensor):
    """Values with their streams."""

    streams: Streams
    call: Call

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        calls = _calls(args, kwargs)
        if not any(call.open for call in calls):
            return func(*tree_map(_value, args), **tree_map(_value, kwargs))
        try:
            rule, transformed = RULES.get(func), torch._C._functorch.peek_interpreter_stack()
            refused = transformed is not None or len(calls) > 1 or not torch.is_grad_enabled()
            if rule is None or refused or "out" in kwargs:
                raise NoRule(getattr(func, "__name__", str(func)))
            found = rule(
                *map(_streams, args), **{name: _streams(each) for name, each in kwargs.items()}
            )
            return _followed(found, *calls)
        except Exception:
            for call in calls:
                call.lost = True
            raise

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What passes by the rules: code of TorchScript, `torch.func`, views as another class."""
        calls = _calls(args, kwargs or {})
        for call in calls:
            call.lost = True
        if any(call.open for call in calls):
            raise NoRule(str(func))
        return func(*tree_map(_value, args), **tree_map(_value, kwargs or {}))


def _calls(args: Any, kwargs: Any) -> set[Call]:
    found = {each.call for each in args if type(each) is Followed}
    for each in args:
        if type(each) in (list, tuple):
            found.update(part.call for part in each if type(part) is Followed)
    if kwargs or not found:
        found.update(e.call for e in tree_leaves((args, kwargs)) if type(e) is Followed)
    return found


def _value(x: Any) -> Any:
    x = x.streams if type(x) is Followed else x
    return x.value if type(x) is Streams else x


def _streams(x: Any) -> Any:
    if type(x) in (list, tuple):
        return type(x)(map(_streams, x))
    return x.streams if type(x) is Followed else x


def _followed(x: Any, call: Call) -> Any:
    if type(x) is tuple:
        return tuple(_followed(each, call) for each in x)
    if type(x) is not Streams:
        return x
    if not x.value.is_floating_point():
        raise NoRule("of other numbers than real ones")
    found = x.value.as_subclass(Followed)
    found.streams, found.call = x, call
    return found


@dataclass(frozen=True)
class Products:
    """The pairs of streams of which a product of two jets has further ones than `f g_a + f_a g`:
    rows from `first` on are sums of left times right with the weights of `matrix`. Shapes: left and
    right (p,), matrix (k - first, p); `higher` is the same for a left factor without its rows below
    `first`."""

    space: JetSpace
    first: int
    left: tuple[int, ...]
    right: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...]
    higher: Products | None = None

    def __call__(self, left: Tensor, right: Tensor, share: float = 1.0) -> Tensor:
        """`share` of them. Shapes: (k, ..), (k, ..) -> (k - first, ..)."""
        return self.weighted(_rows(left, self.left) * _rows(right, self.right), share)

    def weighted(self, pairs: Tensor, share: float = 1.0) -> Tensor:
        """Their sums from the products of the pairs. Shapes: (p, ..) -> (k - first, ..)."""
        matrix = _matrix(self.weights, share, pairs.dtype, pairs.device)
        return (matrix @ pairs.flatten(1)).unflatten(1, pairs.shape[1:])

    def add(self, total: Tensor, further: Tensor) -> Tensor:
        """Adds them to a product without them. Shapes: (k, ..), (k - first, ..) -> (k, ..)."""
        total.narrow(0, self.first, len(self.weights)).add_(further)
        return total


def _rows(streams: Tensor, index: tuple[int, ...]) -> Tensor:
    if index == tuple(range(index[0], index[0] + len(index))):
        return streams.narrow(0, index[0], len(index))
    return torch.stack([streams[k] for k in index])


@lru_cache(maxsize=256)
def _matrix(weights: Any, share: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # kept: later calls may record
        return torch.tensor(weights, dtype=torch.float64).mul(share).to(device, dtype)


def _keys(space: JetSpace) -> tuple[Any, ...]:
    return tuple(key for key in space.streams if key != space.zero)


@lru_cache(maxsize=64)
def _of_space(lower: Any, operators: Any) -> Products:
    space = JetSpace(lower, {name: dict(form) for name, form in operators})
    keys = _keys(space)
    place = {key: k for k, key in enumerate(keys)}
    first = sum(sum(key) == 1 for key in keys if not isinstance(key, str))
    found: list[tuple[int, int, int, float]] = []
    for row, key in enumerate(keys):
        form = space.operators[key] if isinstance(key, str) else {key: 1.0 / factorial(key)}
        for a, c in form.items():
            for b in divisors(a):
                rest = tuple(i - j for i, j in zip(a, b, strict=True))
                if any(b) and any(rest):
                    found.append((row, place[b], place[rest], c * factorial(a)))

    def of(least: int) -> tuple[Any, Any, Any]:
        pairs = sorted({(i, j) for _, i, j, _ in found if i >= least})
        weights = tuple(
            tuple(sum(c for r, i, j, c in found if (r, i, j) == (row, *pair)) for pair in pairs)
            for row in range(first, len(keys))
        )
        return tuple(i - least for i, _ in pairs), tuple(j for _, j in pairs), weights

    further = of(first)
    higher = Products(space, first, *further) if further[0] else None
    return Products(space, first, *of(0), higher)


def _products(space: JetSpace) -> Products:
    forms = tuple((name, tuple(form.items())) for name, form in space.operators.items())
    return _of_space(space.lower, forms)


@dataclass(slots=True, eq=False)
class Streams:
    """Values and their streams: Taylor coefficients and operators, but for the value, in the order
    of `JetSpace.streams`. Shapes: value "..", rows (k, ..)."""

    value: Tensor
    rows: Tensor
    products: Products

    def with_(self, value: Tensor, rows: Tensor) -> Streams:
        """Others of the same derivatives."""
        return Streams(value, rows, self.products)


def _seeds(points: Tensor, space: JetSpace) -> Streams:
    """Coordinates with their tangents. Shapes: (b, n, D)."""
    dim = points.shape[-1]
    units = [tuple(int(i == k) for i in range(dim)) for k in range(dim)]
    forms = [space.operators[key] if isinstance(key, str) else {key: 1.0} for key in _keys(space)]
    tangents = tuple(tuple(form.get(unit, 0.0) for unit in units) for form in forms)
    rows = _matrix(tangents, 1.0, points.dtype, points.device)
    rows = rows.reshape(-1, *[1] * (points.dim() - 1), dim).expand(-1, *points.shape)
    return Streams(points, rows, _products(space))


# --------------------------------------------------------------------------------------------------
# rules: functions of torch and methods of tensors, with `Streams` for what depends on the points


RULES: dict[Any, Callable[..., Any]] = {}


def _named(names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A rule for functions of torch and methods of tensors, by their names."""

    def register(rule: Callable[..., Any]) -> Callable[..., Any]:
        RULES.update(dict.fromkeys(_functions(names), rule))
        return rule

    return register


def _functions(names: str) -> list[Any]:
    places = [(place, name) for name in names.split() for place in (torch, Tensor)]
    return [getattr(place, name) for place, name in places if hasattr(place, name)]


def _fixed(*xs: Any) -> None:
    """Refuses arguments that depend on the points."""
    if any(type(each) is Streams for each in xs):
        raise NoRule("of several arguments")


def _aligned(x: Streams, shape: torch.Size) -> Tensor:
    """Rows that broadcast against a result of this shape."""
    missing = len(shape) - x.value.dim()
    return x.rows.reshape(-1, *[1] * missing, *x.value.shape) if missing else x.rows


def _sized(rows: Tensor, shape: torch.Size) -> Tensor:
    return rows if rows.shape[1:] == shape else rows.expand(-1, *shape)


# ---- what depends on the values alone: its derivatives are zero


def _known(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*map(_value, args), **{name: _value(each) for name, each in kwargs.items()})


for _function in (
    *_functions(
        "size dim numel ndimension is_floating_point is_complex __len__ eq ne lt le gt ge __eq__"
        " __ne__ __lt__ __le__ __gt__ __ge__ isfinite isnan isinf sign signbit round floor ceil"
        " new_zeros new_ones new_full new_tensor new_empty zeros_like ones_like full_like"
        " logical_not argmin argmax argsort searchsorted bucketize result_type"
    ),
    *(
        getattr(Tensor, name).__get__
        for name in "shape dtype device ndim is_meta layout is_cuda is_sparse".split()
    ),
):
    RULES[_function] = partial(_known, _function)


# ---- linear maps and views of one tensor: the same of the value and of every row


def _linear(function: Any, x: Any, *rest: Any, **names: Any) -> Any:
    if type(x) is not Streams:  # only looked at, as in `numbers.to(points)`
        return _known(function, x, *rest, **names)
    _fixed(*rest, *names.values())
    value = function(x.value, *rest, **names)
    rows = [function(each, *rest, **names) for each in x.rows.unbind(0)]
    if isinstance(value, Tensor):
        return x.with_(value, torch.stack(rows))
    parts = zip(value, zip(*rows, strict=True), strict=True)
    return tuple(x.with_(each, torch.stack(own)) for each, own in parts)


for _function in _functions(
    "sum mean cumsum narrow select squeeze index_select unbind unsqueeze split chunk gather"
    " reshape expand flatten unflatten transpose swapaxes movedim permute double float"
    " contiguous clone to"
):
    RULES[_function] = partial(_linear, _function)
RULES[Tensor.view] = partial(_linear, Tensor.reshape)  # rows may be expanded


@_named("__getitem__")
def _getitem(x: Streams, index: Any) -> Streams:
    parts = index if isinstance(index, tuple) else (index,)
    # two advanced indices apart put their dimension first
    advanced = [e for e in parts if not (e is None or e is ... or isinstance(e, (int, slice)))]
    if len(advanced) > 1 or type(x) is not Streams:
        raise NoRule("index")
    return x.with_(x.value[index], x.rows[(slice(None), *parts)])


@_named("expand_as")
def _expand_as(x: Any, other: Any) -> Any:
    return _linear(Tensor.expand, x, _value(other).shape)


def _joined(join: Any, xs: Sequence[Any], dim: int = 0) -> Streams:
    first = next(each for each in xs if type(each) is Streams)
    parts = [
        each.rows
        if type(each) is Streams
        else each.new_zeros(()).expand(len(first.rows), *each.shape)
        for each in xs
    ]
    value = join([_value(each) for each in xs], dim)
    return first.with_(value, join(parts, dim + 1 if dim >= 0 else dim))


_named("cat concat concatenate")(partial(_joined, torch.cat))
_named("stack")(partial(_joined, torch.stack))


# ---- products


@_named("einsum")
def _einsum(equation: str, *operands: Any) -> Streams:
    """Of known tensors and one or two that depend on the points."""
    xs = list(operands[0] if len(operands) == 1 and isinstance(operands[0], list) else operands)
    sides, _, result = equation.replace(" ", "").partition("->")
    places = [k for k, each in enumerate(xs) if type(each) is Streams]
    if len(places) > 2 or "Z" in equation or "." in equation or not result:
        raise NoRule("einsum")

    def product(rows: dict[int, Tensor]) -> Tensor:
        spelled = ",".join("Z" * (k in rows) + each for k, each in enumerate(sides.split(",")))
        parts = [rows.get(k, _value(each)) for k, each in enumerate(xs)]
        return torch.einsum(f"{spelled}->Z{result}", *parts)

    total, first = sum(product({k: xs[k].rows}) for k in places), xs[places[0]]
    if len(places) == 2 and (products := first.products).left:
        index = (products.left, products.right)
        pairs = {k: _rows(xs[k].rows, own) for k, own in zip(places, index, strict=True)}
        total = products.add(total, products.weighted(product(pairs)))
    return first.with_(torch.einsum(equation, *map(_value, xs)), total)


# ---- arithmetic


@_named("add __add__ __radd__")
def _add(x: Any, y: Any) -> Any:
    value = _value(x) + _value(y)
    if type(x) is not Streams and type(y) is not Streams:
        return value
    rows = [_aligned(each, value.shape) for each in (x, y) if type(each) is Streams]
    total = rows[0] if len(rows) == 1 else rows[0] + rows[1]
    return (x if type(x) is Streams else y).with_(value, _sized(total, value.shape))


@_named("neg __neg__ negative")
def _neg(x: Streams) -> Streams:
    return x.with_(-x.value, -x.rows)


@_named("sub __sub__ subtract")
def _sub(x: Any, y: Any) -> Any:
    return _add(x, _neg(y) if type(y) is Streams else -y)


@_named("mul __mul__ __rmul__ multiply")
def _mul(x: Any, y: Any) -> Any:
    if type(x) is not Streams:
        x, y = y, x
        if type(x) is not Streams:
            return x * y
    value = x.value * _value(y)
    left = _aligned(x, value.shape)
    if type(y) is not Streams:
        return x.with_(value, left * y)
    right, products = _aligned(y, value.shape), x.products
    rows = torch.addcmul(left * y.value, right, x.value)
    return x.with_(value, products.add(rows, products(left, right)) if products.left else rows)


@_named("square")
def _square(x: Streams) -> Streams:
    rows, products = (2 * x.value) * x.rows, x.products
    further = products.add(rows, products(x.rows, x.rows)) if products.left else rows
    return x.with_(x.value.square(), further)


@_named("div __div__ __truediv__ true_divide divide")
def _div(x: Any, y: Any) -> Streams:
    if type(y) is Streams:
        return _mul(x, _composed(RECIPROCAL, y))
    value = x.value / y
    return x.with_(value, _aligned(x, value.shape) / y)


@_named("pow __pow__")
def _pow(x: Any, y: Any) -> Streams:
    if type(x) is Streams and isinstance(y, (int, float)):
        return _square(x) if y == 2 else x if y == 1 else _composed(power(float(y)), x)
    if type(y) is Streams and isinstance(x, (int, float)) and x > 0:
        return _composed(EXP, _mul(y, math.log(x)))
    raise NoRule("pow")


for _names, _rule in (("__rsub__", _sub), ("__rdiv__ __rtruediv__", _div), ("__rpow__", _pow)):
    _named(_names)(lambda x, y, rule=_rule: rule(y, x))


# ---- functions of one variable


def _composed(function: Smooth, x: Streams, inplace: bool = False) -> Streams:
    """g(f) = sum_k g^(k)(f) / k! n^k, n the streams of f but for its value."""
    if inplace:
        raise NoRule("inplace")
    products, order = x.products, x.products.space.order
    table = function.derivatives(x.value, order)
    total = table[1] * x.rows
    rows, times = x.rows, products
    for k in range(2, order + 1):
        if times is None or not times.left:
            break
        rows, times = times(rows, x.rows, 1 / k), products.higher
        total.narrow(0, products.first, len(rows)).addcmul_(table[k], rows)
    return x.with_(table[0], total)


SMOOTH: dict[str, Smooth] = {
    "exp": EXP,
    "log": LOG,
    "erf": ERF,
    "sqrt": SQRT,
    "rsqrt": power(-0.5),
    "reciprocal": RECIPROCAL,
    **{name: ACTIVATIONS[name] for name in ("sin", "cos", "tanh", "sigmoid")},
    "atan": ARCTANGENT,
    "sinh": SINH,
    "cosh": COSH,
}
for _name, _table in SMOOTH.items():
    _named(_name)(partial(_composed, _table))
for _name in ("gelu", "silu", "softplus"):
    # other thresholds and approximations have no table
    RULES[getattr(F, _name)] = partial(_composed, ACTIVATIONS[_name])


@_named("tan")
def _tan(x: Streams) -> Streams:
    return _div(_composed(ACTIVATIONS["sin"], x), _composed(ACTIVATIONS["cos"], x))


@_named("atan2 arctan2")
def _atan2(y: Any, x: Any) -> Streams:
    """The jet turns by the value's angle first, so that derivatives of atan at 0 are enough."""
    sine, cosine = _value(y), _value(x)
    value = torch.atan2(sine, cosine)
    along, across = _add(_mul(x, cosine), _mul(y, sine)), _sub(_mul(y, cosine), _mul(x, sine))
    turned = _composed(ARCTANGENT, _div(across, along))
    return turned.with_(value, _sized(turned.rows, value.shape))


# ---- choices


def _chosen(share: Tensor, value: Tensor, first: Any, second: Any) -> Streams:
    """Rows of the first where `share` holds, of the second elsewhere."""
    either = first if type(first) is Streams else second
    one, other = (
        _aligned(each, value.shape) if type(each) is Streams else 0 for each in (first, second)
    )
    return either.with_(value, _sized(torch.where(share, one, other), value.shape))


@_named("where")
def _where(condition: Any, first: Any, second: Any) -> Streams:
    if condition.dtype != torch.bool:
        raise NoRule("where")
    value = torch.where(condition, _value(first), _value(second))
    return _chosen(condition, value, first, second)


RULES[Tensor.where] = lambda x, condition, y: _where(condition, x, y)


def _extremum(function: Any, x: Any, y: Any) -> Streams:
    """Of equal values the mean of their derivatives, as torch has it."""
    a, b = _value(x), _value(y)
    value = function(a, b)
    found = _chosen(value == a, value, x, y)
    return _chosen(a == b, value, _mul(_add(x, y), 0.5), found)


for _function in (torch.maximum, torch.minimum):
    _named(_function.__name__)(partial(_extremum, _function))


def _clamped(function: Any, x: Streams, *limits: Any, **names: Any) -> Streams:
    _fixed(*limits, *names.values())
    value = function(x.value, *limits, **names)
    return _chosen(value == x.value, value, x, 0.0)


for _function in _functions("clamp clip clamp_min clamp_max"):
    RULES[_function] = partial(_clamped, _function)


@_named("relu")
def _relu(x: Streams, inplace: bool = False) -> Streams:
    if inplace:
        raise NoRule("inplace")
    return _chosen(x.value > 0, x.value.relu(), x, 0.0)


RULES[F.relu] = _relu


@_named("abs __abs__ absolute")
def _abs(x: Streams) -> Streams:
    return x.with_(x.value.abs(), x.rows * x.value.sign())
