"""Jets of an ordinary function of points, by following its derivatives through every operation.

The function is called once with points that carry their streams: each operation on them has a rule
that also gives the streams of its result, all of them in one tensor, so that a rule is a handful of
operations whatever their number. What has no rule, what drops derivatives on purpose and what would
see the values alone (TorchScript, `torch.func`) ends it: the caller then takes another way. Nested
reverse mode (`operators.field.nested`) costs three to five times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
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

    __slots__ = ("lost", "open", "products")

    def __init__(self, products: Products) -> None:
        self.products, self.open, self.lost = products, True, False


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
    call = Call(_products(space))
    try:
        with torch.enable_grad():
            found = function(_seeds(points, call))
    except Exception:  # the other way says what is wrong with the function itself
        return None
    finally:
        call.open = False
    if call.lost or type(found) is not Followed or found.call is not call:
        return None
    # 0 times infinity: reverse mode has numbers where a singular function is not differentiated
    if not found.streams.detach().sum().isfinite():
        return None
    streams = dict(zip(_keys(space), found.streams.unbind(0), strict=True))
    lower = {a: streams[a] for a in space.lower if any(a)}
    operators = {name: streams[name] for name in space.operators}
    return Jet(space, {space.zero: found.value, **lower}, operators)


class Followed(Tensor):
    """Values with their streams: Taylor coefficients and operators, but for the value, in the
    order of `JetSpace.streams`. Shapes: value "..", streams (k, ..)."""

    value: Tensor
    streams: Tensor
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
            if rule is None or refused:
                raise NoRule(getattr(func, "__name__", str(func)))
            return rule(*args, **kwargs)
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
        pairs = _rows(left, self.left) * _rows(right, self.right)
        matrix = _matrix(self.weights, share, left.dtype, left.device)
        return (matrix @ pairs.flatten(1)).unflatten(1, pairs.shape[1:])

    def add(self, total: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Adds them to a product without them. Shapes: (k, ..), (k, ..), (k, ..) -> (k, ..)."""
        if self.left:
            total.narrow(0, self.first, len(self.weights)).add_(self(left, right))
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


def _seeds(points: Tensor, call: Call) -> Followed:
    """Coordinates with their tangents. Shapes: (b, n, D)."""
    space, dim = call.products.space, points.shape[-1]
    rows = []
    for key in _keys(space):
        form = space.operators[key] if isinstance(key, str) else {key: 1.0}
        units = [tuple(int(i == k) for i in range(dim)) for k in range(dim)]
        rows.append([form.get(unit, 0.0) for unit in units])
    ones = [1] * (points.dim() - 1)
    tangents = _matrix(tuple(map(tuple, rows)), 1.0, points.dtype, points.device)
    streams = tangents.reshape(-1, *ones, dim)
    return _followed(points, streams.expand(-1, *points.shape), call)


def _followed(value: Tensor, streams: Tensor, call: Call) -> Followed:
    found = value.as_subclass(Followed)
    found.value, found.streams, found.call = value, streams, call
    return found


# --------------------------------------------------------------------------------------------------
# rules


RULES: dict[Any, Callable[..., Any]] = {}


def _named(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A rule for functions of torch and methods of tensors, by their names."""

    def register(rule: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            for place in (torch, Tensor):
                if hasattr(place, name):
                    RULES[getattr(place, name)] = rule
        return rule

    return register


def _value(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)(map(_value, x))
    return x.value if type(x) is Followed else x


def _aligned(x: Followed, shape: torch.Size) -> Tensor:
    """Streams that broadcast against a result of this shape."""
    own = x.streams
    missing = len(shape) - x.value.dim()
    return own.reshape(own.shape[0], *[1] * missing, *own.shape[1:]) if missing else own


def _sized(streams: Tensor, shape: torch.Size) -> Tensor:
    return streams if streams.shape[1:] == shape else streams.expand(-1, *shape)


def _known(func: Any, *args: Any, **kwargs: Any) -> Any:
    """What depends on the values alone: its derivatives are zero."""
    return func(*map(_value, args), **{k: _value(v) for k, v in kwargs.items()})


for _name in (
    "size dim numel ndimension is_floating_point is_complex __len__ eq ne lt le gt ge __eq__ __ne__"
    " __lt__ __le__ __gt__ __ge__ isfinite isnan isinf sign signbit round floor ceil new_zeros"
    " new_ones new_full new_tensor new_empty zeros_like ones_like full_like logical_not argmin"
    " argmax argsort searchsorted bucketize result_type"
).split():
    for _place in (torch, Tensor):
        if hasattr(_place, _name):
            RULES[getattr(_place, _name)] = partial(_known, getattr(_place, _name))
for _name in ("shape", "dtype", "device", "ndim", "is_meta", "layout", "is_cuda", "is_sparse"):
    RULES[getattr(Tensor, _name).__get__] = partial(_known, getattr(Tensor, _name).__get__)


# ---- arithmetic


@_named("add", "__add__", "__radd__")
def _add(x: Any, y: Any) -> Any:
    value = _value(x) + _value(y)
    if type(x) is not Followed and type(y) is not Followed:
        return value
    streams = [_aligned(each, value.shape) for each in (x, y) if type(each) is Followed]
    total = streams[0] if len(streams) == 1 else streams[0] + streams[1]
    return _followed(value, _sized(total, value.shape), _of(x, y))


@_named("neg", "__neg__", "negative")
def _neg(x: Followed) -> Followed:
    return _followed(-x.value, -x.streams, x.call)


@_named("sub", "__sub__", "subtract")
def _sub(x: Any, y: Any) -> Any:
    if type(y) is not Followed:
        return _add(x, -y)
    if type(x) is not Followed:
        return _add(_neg(y), x)
    value = x.value - y.value
    streams = _aligned(x, value.shape) - _aligned(y, value.shape)
    return _followed(value, _sized(streams, value.shape), x.call)


@_named("mul", "__mul__", "__rmul__", "multiply")
def _mul(x: Any, y: Any) -> Any:
    if type(x) is not Followed:
        x, y = y, x
        if type(x) is not Followed:
            return x * y
    value = x.value * _value(y)
    left = _aligned(x, value.shape)
    if type(y) is not Followed:
        return _followed(value, left * y, x.call)
    right = _aligned(y, value.shape)
    streams = torch.addcmul(left * y.value, right, x.value)
    return _followed(value, x.call.products.add(streams, left, right), x.call)


@_named("square")
def _square(x: Followed) -> Followed:
    streams = x.call.products.add((2 * x.value) * x.streams, x.streams, x.streams)
    return _followed(x.value.square(), streams, x.call)


def _of(*xs: Any) -> Call:
    return next(each.call for each in xs if type(each) is Followed)


def _composed(function: Smooth, x: Followed, inplace: bool = False) -> Followed:
    """g(f) = sum_k g^(k)(f) / k! n^k, n the streams of f but for its value."""
    if inplace:
        raise NoRule("inplace")
    products, streams = x.call.products, x.streams
    table = function.derivatives(x.value, products.space.order)
    total = table[1] * streams
    rows, times = streams, products
    for k in range(2, products.space.order + 1):
        if times is None or not times.left:
            break
        rows, times = times(rows, streams, 1 / k), products.higher
        total.narrow(0, products.first, len(rows)).addcmul_(table[k], rows)
    return _followed(table[0], total, x.call)


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
    RULES[getattr(torch.nn.functional, _name)] = partial(_composed, ACTIVATIONS[_name])


@_named("tan")
def _tan(x: Followed) -> Followed:
    return _div(_composed(ACTIVATIONS["sin"], x), _composed(ACTIVATIONS["cos"], x))


@_named("div", "__div__", "__truediv__", "true_divide", "divide")
def _div(x: Any, y: Any) -> Any:
    if type(y) is Followed:
        return _mul(x, _composed(RECIPROCAL, y))
    value = x.value / y
    return _followed(value, _aligned(x, value.shape) / y, x.call)


@_named("__rdiv__", "__rtruediv__")
def _rdiv(x: Followed, y: Any) -> Any:
    return _mul(_composed(RECIPROCAL, x), y)


@_named("__rsub__")
def _rsub(x: Followed, y: Any) -> Any:
    return _add(_neg(x), y)


@_named("pow", "__pow__")
def _pow(x: Any, y: Any) -> Any:
    if type(x) is Followed and isinstance(y, (int, float)):
        return _square(x) if y == 2 else x if y == 1 else _composed(power(float(y)), x)
    if type(y) is Followed and isinstance(x, (int, float)) and x > 0:
        return _composed(EXP, _mul(y, math.log(x)))
    raise NoRule("pow")


@_named("__rpow__")
def _rpow(x: Any, y: Any) -> Any:
    return _pow(y, x)


@_named("atan2", "arctan2")
def _atan2(y: Any, x: Any) -> Any:
    """The jet turns by the value's angle first, so that derivatives of atan at 0 are enough."""
    value = torch.atan2(_value(y), _value(x))
    sine, cosine = _value(y), _value(x)
    along, across = _add(_mul(x, cosine), _mul(y, sine)), _sub(_mul(y, cosine), _mul(x, sine))
    turned = _composed(ARCTANGENT, _div(across, along))
    return _followed(value, _sized(turned.streams, value.shape), turned.call)


# ---- choices


def _chosen(value: Tensor, first: Any, second: Any, share: Tensor) -> Any:
    """Streams of the first where `share` is 1, of the second where it is 0."""
    streams = 0
    for each, taken in ((first, share), (second, ~share)):
        if type(each) is Followed:
            own = _aligned(each, value.shape).expand(-1, *value.shape)
            streams = torch.where(taken, own, streams)
    return _followed(value, streams, _of(first, second))


@_named("where")
def _where(condition: Any, first: Any, second: Any) -> Any:
    if condition.dtype != torch.bool:
        raise NoRule("where")
    value = torch.where(condition, _value(first), _value(second))
    return _chosen(value, first, second, condition)


RULES[Tensor.where] = lambda x, condition, y: _where(condition, x, y)


def _extremum(function: Any, x: Any, y: Any) -> Any:
    """Of equal values the mean of their derivatives, as torch has it."""
    a, b = _value(x), _value(y)
    value = function(a, b)
    same = a == b
    found = _chosen(value, x, y, value == a)
    if bool(same.any()):
        other = _chosen(value, y, x, value == b)
        streams = torch.where(same, (found.streams + other.streams) / 2, found.streams)
        return _followed(value, streams, found.call)
    return found


_named("maximum")(partial(_extremum, torch.maximum))
_named("minimum")(partial(_extremum, torch.minimum))


def _clamped(x: Followed, low: Any = None, high: Any = None, **names: Any) -> Any:
    low, high = names.get("min", low), names.get("max", high)
    if type(low) is Followed or type(high) is Followed:
        raise NoRule("clamp")
    value, within = x.value, torch.ones_like(x.value, dtype=torch.bool)
    value = value.clamp(low, high)
    for limit, inside in ((low, torch.ge), (high, torch.le)):
        if limit is not None:
            within = within & inside(x.value, limit)
    return _followed(value, torch.where(within, _aligned(x, value.shape), 0), x.call)


_named("clamp", "clip")(_clamped)
_named("clamp_min")(lambda x, low: _clamped(x, low))
_named("clamp_max")(lambda x, high: _clamped(x, None, high))


@_named("relu")
def _relu(x: Followed, inplace: bool = False) -> Followed:
    if inplace:
        raise NoRule("inplace")
    return _chosen(x.value.relu(), x, 0.0, x.value > 0)


RULES[torch.nn.functional.relu] = _relu


@_named("abs", "__abs__", "absolute")
def _abs(x: Followed) -> Followed:
    return _followed(x.value.abs(), x.streams * x.value.sign(), x.call)


# ---- linear maps and views: dimensions count from the end, so that they are those of streams too


def _back(x: Tensor, dim: int, more: int = 0) -> int:
    back = dim if dim < 0 else dim - x.dim() - more
    if back >= 0:
        raise NoRule("dimension")
    return back


def _over(name: str) -> None:
    """Functions of a tensor, dimensions and other numbers, linear in the tensor."""
    method = getattr(Tensor, name)

    def rule(x: Any, dim: Any = None, *rest: Any, **names: Any) -> Any:
        if type(x) is not Followed or not x.value.dim():
            raise NoRule(name)
        dim = names.pop("dim", dim)
        dims = range(-x.value.dim(), 0) if dim is None else dim
        back = _back(x.value, dims) if isinstance(dims, int) else [_back(x.value, d) for d in dims]
        return _mapped(x, lambda v: method(v, back, *rest, **names))

    _named(name)(rule)


def _mapped(x: Followed, linear: Callable[[Tensor], Any]) -> Any:
    value, streams = linear(x.value), linear(x.streams)
    if isinstance(value, Tensor):
        return _followed(value, streams, x.call)
    pairs = zip(value, streams, strict=True)
    return tuple(_followed(a, b, x.call) for a, b in pairs)


for _name in ("sum", "mean", "cumsum", "narrow", "select", "squeeze", "index_select"):
    _over(_name)


@_named("unbind")
def _unbind(x: Followed, dim: int = 0) -> Any:
    return _mapped(x, lambda v: v.unbind(_back(x.value, dim)))


@_named("unsqueeze")
def _unsqueeze(x: Followed, dim: int) -> Any:
    return _mapped(x, lambda v: v.unsqueeze(_back(x.value, dim, 1)))


for _name in ("split", "chunk"):

    def _parts(x: Followed, size: Any, dim: int = 0, name: str = _name) -> Any:
        return _mapped(x, lambda v: getattr(v, name)(size, _back(x.value, dim)))

    _named(_name)(_parts)


@_named("gather")
def _gather(x: Any, dim: int, index: Tensor) -> Any:
    if type(index) is Followed:
        raise NoRule("gather")
    back = _back(x.value, dim)
    rows = index.expand(x.streams.shape[0], *index.shape)
    return _followed(x.value.gather(back, index), x.streams.gather(back, rows), x.call)


@_named("__getitem__")
def _getitem(x: Any, index: Any) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    # two advanced indices apart put their dimension first
    advanced = [e for e in parts if not (e is None or e is ... or isinstance(e, (int, slice)))]
    if len(advanced) > 1 or type(x) is not Followed:
        raise NoRule("index")
    return _followed(x.value[index], x.streams[(slice(None), *parts)], x.call)


def _shaped(name: str) -> None:
    def rule(x: Followed, *shape: Any) -> Any:
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        value = getattr(x.value, name)(*sizes)
        if name == "expand":
            streams = _aligned(x, value.shape).expand(-1, *value.shape)
        else:
            streams = x.streams.reshape(-1, *value.shape)
        return _followed(value, streams, x.call)

    _named(name)(rule)


for _name in ("reshape", "view", "expand"):
    _shaped(_name)


@_named("expand_as")
def _expand_as(x: Any, other: Any) -> Any:
    if type(x) is not Followed:
        return x.expand_as(_value(other))
    return RULES[Tensor.expand](x, *other.shape)


@_named("flatten")
def _flatten(x: Followed, start: int = 0, end: int = -1) -> Any:
    return RULES[Tensor.reshape](x, x.value.flatten(start, end).shape)


@_named("unflatten")
def _unflatten(x: Followed, dim: int, sizes: Sequence[int]) -> Any:
    return RULES[Tensor.reshape](x, x.value.unflatten(dim, sizes).shape)


@_named("transpose", "swapaxes", "movedim")
def _transpose(x: Followed, a: int, b: int) -> Any:
    raise NoRule("transpose")


@_named("double")
def _double(x: Followed) -> Followed:
    return _mapped(x, Tensor.double)


@_named("float")
def _single(x: Followed) -> Followed:
    return _mapped(x, Tensor.float)


@_named("contiguous", "clone", "type_as", "to")
def _same(x: Any, *args: Any, **names: Any) -> Any:
    if type(x) is not Followed:
        return x.to(*map(_value, args), **names)
    if any(type(each) is Followed for each in args):
        raise NoRule("to")
    dtype = [a for a in args if isinstance(a, torch.dtype)] + [
        names[n] for n in ("dtype",) if n in names
    ]
    if args and not dtype or set(names) - {"dtype"}:
        raise NoRule("to")
    return _mapped(x, lambda v: v.to(dtype[0])) if dtype else x


def _joined(join: Any, xs: Sequence[Any], dim: int, more: int) -> Any:
    values = [_value(each) for each in xs]
    back = _back(values[0], dim, more)
    call = _of(*xs)
    count = next(x.streams.shape[0] for x in xs if type(x) is Followed)
    streams = [
        x.streams
        if type(x) is Followed
        else x.new_zeros((1,) * (x.dim() + 1)).expand(count, *x.shape)
        for x in xs
    ]
    return _followed(join(values, back), join(streams, back), call)


@_named("stack")
def _stack(xs: Sequence[Any], dim: int = 0) -> Any:
    return _joined(torch.stack, xs, dim, 1)


@_named("cat", "concat", "concatenate")
def _cat(xs: Sequence[Any], dim: int = 0) -> Any:
    return _joined(torch.cat, xs, dim, 0)


@_named("matmul", "__matmul__")
def _matmul(x: Any, y: Any) -> Any:
    if type(x) is Followed and type(y) is Followed or type(x) is not Followed:
        raise NoRule("matmul")
    if y.dim() < 2 or x.value.dim() < 2:
        raise NoRule("matmul")
    value = x.value @ y
    return _followed(value, _aligned(x, value.shape) @ y, x.call)


def _linear(x: Any, weight: Tensor, bias: Tensor | None = None) -> Any:
    if type(x) is not Followed:
        raise NoRule("linear")
    function = torch.nn.functional.linear
    return _followed(function(x.value, weight, bias), function(x.streams, weight), x.call)


RULES[torch.nn.functional.linear] = _linear


@_named("einsum")
def _einsum(equation: str, *operands: Any) -> Any:
    """Of known tensors and one or two that depend on the points."""
    xs = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], list) else operands
    sides, _, result = equation.replace(" ", "").partition("->")
    names = sides.split(",")
    places = [k for k, each in enumerate(xs) if type(each) is Followed]
    if not 1 <= len(places) <= 2 or "Z" in equation or "." in equation or not result:
        raise NoRule("einsum")
    values = [_value(each) for each in xs]

    def product(rows: dict[int, Tensor]) -> Tensor:
        spelled = ",".join("Z" * (k in rows) + each for k, each in enumerate(names))
        parts = [rows.get(k, each) for k, each in enumerate(values)]
        return torch.einsum(f"{spelled}->Z{result}", *parts)

    total = product({places[0]: xs[places[0]].streams})
    call = xs[places[0]].call
    products = call.products
    if len(places) == 2:
        a, b = places
        total = total + product({b: xs[b].streams})
        if products.left:
            pairs = product(
                {a: _rows(xs[a].streams, products.left), b: _rows(xs[b].streams, products.right)}
            )
            matrix = _matrix(products.weights, 1.0, pairs.dtype, pairs.device)
            further = (matrix @ pairs.flatten(1)).unflatten(1, pairs.shape[1:])
            total.narrow(0, products.first, len(further)).add_(further)
    return _followed(torch.einsum(equation, *values), total, call)
