"""Scalar expressions over jet variables -> a torch.fx graph.

One rule per SymPy class turns a node into tensor operations; a class without a rule raises with the
name of the term it came from. Common subexpressions are shared. The graph prints as numbered
assignments, each with the source line of its term.

Branches are chosen by `torch.where`, which computes all of them: a root or logarithm is finite in
the branch that is not taken only if its argument is. So inside a branch the argument of every
function in `SAFE` is replaced, wherever the branch is not taken, by a number at which the function
is finite with all its derivatives. Values and gradients of every order are then those of the branch
taken.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce, singledispatchmethod
from typing import Any

import sympy as sp
import torch
from sympy.logic.boolalg import BooleanAtom, BooleanFunction
from torch import Tensor, fx

from compiler.lowering import special
from pdespec.coordinates import Mod
from pdespec.errors import fail
from pdespec.functions import unknown_functions

UNARY: dict[Any, Callable[[Tensor], Tensor]] = {
    sp.exp: torch.exp, sp.log: torch.log, sp.sin: torch.sin, sp.cos: torch.cos, sp.tan: torch.tan,
    sp.asin: torch.asin, sp.acos: torch.acos, sp.atan: torch.atan, sp.sinh: torch.sinh,
    sp.cosh: torch.cosh, sp.tanh: torch.tanh,
    sp.asinh: torch.asinh, sp.acosh: torch.acosh, sp.atanh: torch.atanh, sp.sech: special.sech,
    sp.csch: special.csch,
    sp.Abs: torch.abs, sp.sign: torch.sign, sp.floor: torch.floor, sp.ceiling: torch.ceil,
    sp.frac: special.frac,
    sp.erf: torch.erf, sp.erfc: torch.erfc, sp.erfinv: torch.erfinv, sp.sinc: special.sinc,
    sp.gamma: special.gamma, sp.loggamma: special.loggamma,
}  # fmt: skip
BY_OTHERS: dict[Any, Callable[[Any], Any]] = {
    sp.sec: lambda x: 1 / sp.cos(x), sp.csc: lambda x: 1 / sp.sin(x),
    sp.cot: lambda x: sp.cos(x) / sp.sin(x),
    sp.coth: lambda x: 1 / sp.tanh(x), sp.asec: lambda x: sp.acos(1 / x),
    sp.acsc: lambda x: sp.asin(1 / x),
    sp.acot: lambda x: sp.pi * (sp.Heaviside(x, 1) - sp.Rational(1, 2)) - sp.atan(x),
    sp.acoth: lambda x: sp.atanh(1 / x),
    sp.asech: lambda x: sp.acosh(1 / x), sp.acsch: lambda x: sp.asinh(1 / x),
}  # fmt: skip
"""Functions written by others; `acot` is continuous at infinity and pi/2 at 0, as SymPy's is."""
ORDERED = {
    sp.besselj: special.bessel_j, sp.bessely: special.bessel_y, sp.besseli: special.bessel_i,
    sp.besselk: special.bessel_k,
    sp.jn: special.spherical_j, sp.polygamma: special.polygamma,
}  # fmt: skip
RELATION = {
    sp.StrictGreaterThan: operator.gt, sp.GreaterThan: operator.ge, sp.StrictLessThan: operator.lt,
    sp.LessThan: operator.le,
    sp.Equality: operator.eq, sp.Unequality: operator.ne,
}  # fmt: skip
LOGIC = {sp.And: operator.and_, sp.Or: operator.or_, sp.Xor: operator.xor}

SAFE: dict[Any, float] = {
    sp.Pow: 1.0, sp.log: 1.0, sp.tan: 0.0, sp.asin: 0.0, sp.acos: 0.0, sp.acosh: 2.0, sp.atanh: 0.0,
    sp.exp: 0.0, sp.sinh: 0.0,
    sp.cosh: 0.0, sp.csch: 1.0, sp.erfinv: 0.0, sp.gamma: 1.0, sp.loggamma: 1.0,
    sp.bessely: 1.0, sp.besseli: 1.0, sp.besselk: 1.0, sp.polygamma: 1.0, sp.atan2: 1.0, Mod: 1.0,
}  # fmt: skip
"""Functions that are infinite, undefined or overflow somewhere, each with an argument at which
it is finite with all its derivatives."""


def risky(expression: sp.Basic) -> bool:
    """Whether an expression holds a function that a mask has to keep where it is finite."""
    return any(_is_risky(node) for node in sp.preorder_traversal(expression))


def _is_risky(node: sp.Basic) -> bool:
    if isinstance(node, sp.Pow):
        return not (node.exp.is_Integer and node.exp.is_positive)
    return (
        node.func in SAFE
        or node.func in BY_OTHERS
        or (node.func in ORDERED and not node.args[0].is_Integer)
    )


@dataclass(frozen=True)
class Source:
    """Where an output of a graph comes from: the label of its term and the line of the problem's
    text, if it has one."""

    label: str
    line: int | None = None

    def __str__(self) -> str:
        return self.label if self.line is None else f"{self.label}, line {self.line}"


class ResidualGraph:
    """Tensor function of named symbols; `graph(values, like)` gives one tensor per expression, with
    the shape and dtype of `like`.

    Shapes: values "b n" (at points) or "b 1" (parameters); `like` and every output "b n".
    """

    def __init__(self, expressions: Sequence[sp.Expr], sources: Sequence[Source]):
        self.symbols = tuple(
            sorted(set().union(*(e.free_symbols for e in expressions)), key=_order)
        )
        builder = _Builder(self.symbols)
        branched = sorted(set().union(*map(_branches, expressions)), key=sp.default_sort_key)
        stand_ins = {node: sp.Dummy(f"branch{k}", real=True) for k, node in enumerate(branched)}
        builder.branched = {dummy: node for node, dummy in stand_ins.items()}
        shared, reduced = sp.cse(
            [e.xreplace(stand_ins) for e in expressions],
            symbols=sp.numbered_symbols("shared", cls=sp.Dummy),
            order="canonical",
        )
        for symbol, expression in shared:
            builder.nodes[symbol, None] = builder.emit(expression)
        outputs = []
        for expression, source in zip(reduced, sources, strict=True):
            builder.source = source
            outputs.append(builder.emit(expression))
        builder.graph.output(tuple(outputs))
        builder.graph.eliminate_dead_code()
        self.sized = bool(builder.like.users)
        if not self.sized:
            builder.graph.erase_node(builder.like)
        self.module = fx.GraphModule({}, builder.graph)

    def __call__(self, values: Mapping[sp.Symbol, Tensor], like: Tensor) -> tuple[Tensor, ...]:
        outputs = self.module(*(values[s] for s in self.symbols), *((like,) if self.sized else ()))
        return tuple(
            o.expand_as(like) if isinstance(o, Tensor) else torch.full_like(like, o)
            for o in outputs
        )

    def __str__(self) -> str:
        lines = []
        for node in self.module.graph.nodes:
            source = f"  # {node.meta['source']}" if node.meta.get("source") else ""
            if node.op == "placeholder":
                lines.append(f"  {node.name:<14} <- {node.meta.get('symbol', 'the points')}")
            elif node.op == "call_function":
                lines.append(
                    f"  {node.name:<14} ="
                    f" {node.target.__name__}({', '.join(map(str, node.args))}){source}"
                )
            else:
                lines.append(f"  return {', '.join(map(str, node.args[0]))}")
        return "\n".join(lines)


def _order(symbol: sp.Symbol) -> tuple:
    """Symbols by kind and name; those that share both, such as the input `f_x` and a derivative
    of `f`, by what else tells them apart."""
    return type(symbol).__name__, symbol.name, str(symbol._hashable_content())


def _branches(expression: sp.Expr) -> set[sp.Expr]:
    """The outermost branches of an expression. What is shared outside must not reach into them:
    there it stands under a mask."""
    if isinstance(expression, sp.Piecewise):
        return {expression}
    return set().union(*map(_branches, expression.args)) if expression.has(sp.Piecewise) else set()


def constant(like: Tensor, value: float) -> Tensor:
    """A number in the dtype and on the device of `like`. Shapes: "...", -> ""."""
    return like.new_full((), value)


class SphericalI(sp.Function):
    """The modified spherical Bessel function i_n(x): stands between the Bessel functions of half
    order and their tensor rule only."""

    nargs = 2


class _Builder:
    """Emits one fx graph; `nodes` remembers what has been built, under the mask it was built for.

    Inputs are numbered, with a readable tail for who prints the graph: names of a problem may be no
    names of Python, such as `lambda`, and may be the same but for their brackets.
    """

    def __init__(self, symbols: Sequence[sp.Symbol]):
        self.graph = fx.Graph()
        self.nodes: dict[tuple[Any, Any], fx.Node | float] = {}
        self.source: Source | None = None
        self.mask: fx.Node | None = None  # where the branch that is being built is taken
        self.branched: dict[sp.Symbol, sp.Expr] = {}
        for k, symbol in enumerate(symbols):
            tail = re.sub(r"\W+", "_", symbol.name, flags=re.ASCII).strip("_")
            node = self.graph.placeholder(f"a{k}_{tail}")
            node.meta["symbol"] = symbol
            self.nodes[symbol, None] = node
        self.like = self.graph.placeholder("like")

    def emit(self, expression) -> Any:
        if isinstance(expression, sp.Symbol):
            if (expression, None) not in self.nodes:
                self.nodes[expression, None] = self.emit(self.branched[expression])
            return self.nodes[expression, None]
        # 2, pi, sqrt(2), cos(1) and the like
        if isinstance(expression, sp.Expr) and expression.is_number:
            return _number(expression)
        key = (expression, self.mask if self.mask is not None and risky(expression) else None)
        if key not in self.nodes:
            self.nodes[key] = self.rule(expression)
        return self.nodes[key]

    def call(self, function, *arguments) -> Any:
        # a number that common subexpressions gave a name
        if not any(isinstance(a, fx.Node) for a in arguments):
            return function(*(torch.tensor(a, dtype=torch.float64) for a in arguments)).item()
        node = self.graph.call_function(function, arguments)
        node.meta["source"] = self.source
        return node

    def safe(self, argument, value: float) -> Any:
        """An argument of a function, put to `value` where the branch is not taken."""
        emitted = self.emit(argument)
        if self.mask is None or not isinstance(emitted, fx.Node):
            return emitted
        key = ("safe", emitted, self.mask, value)
        if key not in self.nodes:
            self.nodes[key] = self.call(torch.where, self.mask, emitted, value)
        return self.nodes[key]

    def argument(self, expression, place: int = 0) -> Any:
        # what is finite everywhere is shared with all masks
        value = SAFE.get(expression.func) if _is_risky(expression) else None
        argument = expression.args[place]
        return self.emit(argument) if value is None else self.safe(argument, value)

    @singledispatchmethod
    def rule(self, expression) -> Any:
        if expression.func in UNARY:
            return self.call(UNARY[expression.func], self.argument(expression))
        if expression.func in BY_OTHERS:
            return self.emit(BY_OTHERS[expression.func](expression.args[0]))
        where = f"in `{expression}` ({self.source})"
        reasons = [reason for _, reason in unknown_functions(expression)] or [
            f"`{expression.func.__name__}` has no rule for tensors"
        ]
        raise fail(
            "V06",
            f"{reasons[0]} {where}",
            "write it by functions of the language, or give its values as an input",
        )

    @rule.register
    def _(self, expression: sp.Add):
        return reduce(lambda a, b: self.call(operator.add, a, b), map(self.emit, expression.args))

    @rule.register
    def _(self, expression: sp.Mul):
        return reduce(lambda a, b: self.call(operator.mul, a, b), map(self.emit, expression.args))

    @rule.register
    def _(self, expression: sp.Pow):
        base, exponent = expression.args
        if base == sp.E:
            return self.call(torch.exp, self.safe(exponent, 0.0))
        if exponent == -1:
            return self.call(torch.reciprocal, self.argument(expression))
        if exponent == -sp.S.Half:
            return self.call(torch.rsqrt, self.argument(expression))
        if exponent == 2:
            return self.call(torch.square, self.argument(expression))
        if exponent.is_number:
            power = int(exponent) if exponent.is_Integer else _number(exponent)
            return self.call(
                special.root if 0 < power < 1 else torch.pow, self.argument(expression), power
            )
        if base.is_number:
            return self.call(torch.pow, self.argument(expression), self.argument(expression, 1))
        return self.call(special.root, self.argument(expression), self.argument(expression, 1))

    @rule.register(sp.besselj)
    @rule.register(sp.bessely)
    @rule.register(sp.besseli)
    @rule.register(sp.besselk)
    @rule.register(sp.jn)
    @rule.register(sp.polygamma)
    def _(self, expression: Any):
        for _, reason in unknown_functions(expression):
            raise fail(
                "V06", f"{reason}, in `{expression}` ({self.source})", "give its values as an input"
            )
        order, argument = expression.args
        if order.is_Integer:
            return self.call(ORDERED[expression.func], self.argument(expression, 1), int(order))
        return self.emit(_half_order(expression.func, int(order - sp.S.Half), argument))

    @rule.register
    def _(self, expression: SphericalI):
        return self.call(
            special.spherical_i, self.emit(expression.args[1]), int(expression.args[0])
        )

    @rule.register(sp.atan2)
    def _(self, expression: Any):
        return self.call(special.atan2, self.argument(expression), self.argument(expression, 1))

    @rule.register(sp.Mod)
    def _(self, expression: Any):
        return self.call(
            torch.remainder, self.emit(expression.args[0]), self.argument(expression, 1)
        )

    @rule.register
    def _(self, expression: sp.Max):
        return self._extremum(torch.maximum, torch.clamp_min, expression.args)

    @rule.register
    def _(self, expression: sp.Min):
        return self._extremum(torch.minimum, torch.clamp_max, expression.args)

    def _extremum(self, tensors, number, arguments) -> Any:
        # clamp takes its tensor first
        emitted = sorted(map(self.emit, arguments), key=lambda a: not isinstance(a, fx.Node))
        return reduce(
            lambda a, b: self.call(tensors if isinstance(b, fx.Node) else number, a, b), emitted
        )

    @rule.register
    def _(self, expression: sp.Heaviside):
        argument, at_zero = expression.args
        if at_zero == sp.S.Half:  # the slope of a maximum
            return self.emit((1 + sp.sign(argument)) / 2)
        return self.emit(sp.Piecewise((1, argument > 0), (at_zero, sp.Eq(argument, 0)), (0, True)))

    @rule.register
    def _(self, expression: sp.Piecewise):
        """The first branch whose condition holds; NaN where none does, as SymPy has it."""
        # where this is taken, and where no condition has held yet
        outer, left = self.mask, self.mask
        chosen: list[tuple[Any, Any]] = []
        for value, condition in expression.args:
            self.mask = left
            holds = self.emit(condition)
            if holds is False:
                continue
            self.mask = holds if left is None else left if holds is True else self.both(left, holds)
            chosen.append((holds, self.emit(value)))
            if holds is True:
                break
            left = self.but(left, holds)
        self.mask = outer
        result: Any = math.nan
        for holds, value in reversed(chosen):
            result = value if holds is True else self.where(holds, value, result)
        return result

    def both(self, left: fx.Node, holds: fx.Node) -> fx.Node:
        return self._once(torch.logical_and, left, holds)

    def but(self, left: fx.Node | None, holds: fx.Node) -> fx.Node:
        """Where `left` holds and `holds` does not."""
        other = self._once(torch.logical_not, holds)
        return other if left is None else self._once(torch.logical_and, left, other)

    def _once(self, function, *arguments: fx.Node) -> fx.Node:
        key = (function, arguments)
        if key not in self.nodes:
            self.nodes[key] = self.call(function, *arguments)
        return self.nodes[key]

    def where(self, holds: fx.Node, value: Any, other: Any) -> fx.Node:
        """A choice in the dtype of the points: that of two Python numbers would be torch's
        default."""
        if not isinstance(value, fx.Node) and not isinstance(other, fx.Node):
            value = self.call(constant, self.like, value)
        return self.call(torch.where, holds, value, other)

    @rule.register
    def _(self, expression: sp.core.relational.Relational):
        return self.call(RELATION[expression.func], *map(self.emit, expression.args))

    @rule.register
    def _(self, expression: BooleanAtom):
        return expression == sp.true

    @rule.register
    def _(self, expression: sp.Not):
        return self.call(torch.logical_not, self.emit(expression.args[0]))

    @rule.register
    def _(self, expression: BooleanFunction):
        if expression.func not in LOGIC:
            return self.emit(sp.to_nnf(expression, simplify=False))
        return reduce(
            lambda a, b: self.call(LOGIC[expression.func], a, b), map(self.emit, expression.args)
        )


def _half_order(function: Any, n: int, x: sp.Expr) -> sp.Expr:
    """A Bessel function of the order n + 1/2 by spherical and elementary ones. Source: DLMF
    10.47, 10.49, 10.27.2."""
    scale = sp.sqrt(2 * x / sp.pi)
    if n < 0:  # the order is -(m + 1/2)
        m = -n - 1
        if function is sp.besselj:
            return (-1) ** (m + 1) * _half_order(sp.bessely, m, x)
        if function is sp.bessely:
            return (-1) ** m * _half_order(sp.besselj, m, x)
        other = _half_order(sp.besselk, m, x)
        return (
            other
            if function is sp.besselk
            else _half_order(sp.besseli, m, x) + 2 * (-1) ** m / sp.pi * other
        )
    if function is sp.besselj:
        return scale * sp.jn(n, x)
    if function is sp.besseli:
        return scale * SphericalI(n, x)
    if function is sp.besselk:
        terms = (
            sp.factorial(n + k) / sp.factorial(k) / sp.factorial(n - k) / (2 * x) ** k
            for k in range(n + 1)
        )
        return sp.sqrt(sp.pi / (2 * x)) * sp.exp(-x) * sp.Add(*terms)
    below, here = sp.sin(x) / x, -sp.cos(x) / x  # y_-1 and y_0
    for k in range(n):
        below, here = here, (2 * k + 1) / x * here - below
    return scale * sp.expand(here)


def _number(expression: sp.Expr) -> float:
    try:
        value = float(expression)
    except TypeError as error:  # complex, or without a numerical value
        raise fail(
            "V03",
            f"`{expression}` is not a real number",
            "a root, logarithm or power leaves its domain",
        ) from error
    if not math.isfinite(value):
        raise fail("V03", f"`{expression}` is not a finite number", "look for a division by zero")
    return value
