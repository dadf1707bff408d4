"""Expressions of the language as trees with three meanings: text, pdespec's Python form, and plain
SymPy.

The last one is the oracle: ordinary symbols and undefined functions, differentiated by `diff` as
they come, and no code of pdespec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

import pdespec
from pdespec.coordinates import Mod

# how tightly a written expression holds together
TOLD, CHOICE, SUM, NEGATIVE, PRODUCT, POWER, ATOM = range(-1, 6)


@dataclass(frozen=True)
class Node:
    """An operation and its arguments; `word` names it, `what` is the number, name or list of
    letters of a leaf or derivative."""

    word: str
    args: tuple[Node, ...] = ()
    what: Any = None
    rank: str = "scalar"

    def walk(self) -> Iterator[Node]:
        """The node and all below it."""
        yield self
        for each in self.args:
            yield from each.walk()


def number(value: object, written: str | None = None) -> Node:
    """An exact number, written as a fraction unless `written` says how."""
    exact = sp.Rational(str(value))
    return Node("number", what=(exact, written or str(exact)))


def name(what: str, rank: str = "scalar") -> Node:
    """A declared name: coordinate, number or field."""
    return Node("name", what=what, rank=rank)


def call(word: str, *args: Node, rank: str = "scalar", what: Any = None) -> Node:
    return Node(word, args, what, rank)


def add(*terms: Node) -> Node:
    total, *rest = terms
    for each in rest:
        total = Node("+", (total, each), rank=total.rank)
    return total


def mul(a: Node, b: Node) -> Node:
    """A product of scalars, or of a scalar with anything."""
    return Node("*", (a, b), rank=b.rank if a.rank == "scalar" else a.rank)


def power(a: Node, exponent: Node | int) -> Node:
    return Node("^", (a, number(exponent) if isinstance(exponent, int) else exponent))


def derivative(a: Node, letters: tuple[str, ...]) -> Node:
    return Node("d", (a,), letters, a.rank)


def zero(rank: str) -> Node:
    return Node("number", what=(sp.S.Zero, "0"), rank=rank)


# --------------------------------------------------------------------------------------------------
# as text


def text(node: Node, spell: Mapping[str, str]) -> str:
    """The expression as the language writes it, with no bracket more than its meaning needs.
    `spell` maps names to their writing."""
    return _written(node, spell)[0]


def _written(node: Node, spell: Mapping[str, str]) -> tuple[str, int]:
    def at(place: int, level: int) -> str:
        found, own = _written(node.args[place], spell)
        return found if own >= level else f"({found})"

    def listed() -> str:
        return ", ".join(_written(each, spell)[0] for each in node.args)

    if node.word == "number":
        value, written = node.what
        if value < 0:
            return written, NEGATIVE
        return written, PRODUCT if "/" in written else ATOM
    if node.word == "imaginary":
        return f"{node.what[1]}i", ATOM
    if node.word == "name":
        return spell.get(node.what, node.what), ATOM
    if node.word in "+-" and len(node.args) == 2:
        return f"{at(0, SUM)} {node.word} {at(1, PRODUCT)}", SUM
    if node.word == "negative":
        return f"-{at(0, POWER)}", NEGATIVE  # of one factor: -a*b is (-a)*b
    if node.word == "*":
        return f"{at(0, PRODUCT)}*{at(1, POWER)}", PRODUCT
    if node.word == "/":
        return f"{at(0, PRODUCT)}/{at(1, POWER)}", PRODUCT
    if node.word == "^":
        return f"{at(0, ATOM)}^{at(1, ATOM)}", POWER
    if node.word == "transpose":
        return f"{at(0, ATOM)}'", POWER
    if node.word == "component":
        return f"{at(0, ATOM)}.{node.what}", ATOM
    if node.word == "entry":
        return f"entry({listed()}, {', '.join(map(str, node.what))})", ATOM
    if node.word == "vector":
        return f"[{listed()}]", ATOM
    if node.word == "tensor":
        size = int(len(node.args) ** 0.5)
        parts = [_written(each, spell)[0] for each in node.args]
        return (
            "["
            + ", ".join(
                "[" + ", ".join(parts[k * size : (k + 1) * size]) + "]" for k in range(size)
            )
            + "]",
            ATOM,
        )
    if node.word == "d":
        joined = "d" + "".join(node.what)
        if all(len(letter) == 1 for letter in node.what):
            return f"{joined}({listed()})", ATOM
        return f"d({listed()}, {', '.join(spell.get(each, each) for each in node.what)})", ATOM
    if node.word in RELATIONS:
        return f"{at(0, SUM)} {node.word} {at(1, SUM)}", CHOICE
    if node.word == "between":
        return f"{at(0, SUM)} {node.what[0]} {at(1, SUM)} {node.what[1]} {at(2, SUM)}", CHOICE
    if node.word in ("and", "or"):
        return f"{at(0, CHOICE)} {node.word} {at(1, CHOICE)}", TOLD
    if node.word == "not":
        return f"not ({_written(node.args[0], spell)[0]})", TOLD
    if node.word == "defined":
        return spell.get(node.what, node.what), ATOM
    if node.word == "applied":
        return f"{spell.get(node.what[0], node.what[0])}({_written(node.args[1], spell)[0]})", ATOM
    if node.word == "variation":
        density, field = (_written(each, spell)[0] for each in node.args)
        return f"variation(integral({density}, {node.what}), {field})", ATOM
    if node.word in ("identity", "normal", "pi"):
        return {"identity": "I", "normal": "n", "pi": "pi"}[node.word], ATOM
    return f"{node.word}({listed()})", ATOM


# ------------------------------------------------------------------------------------------- as
# SymPy expressions, by two algebras


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": sp.sqrt,
    "exp": sp.exp,
    "log": sp.log,
    "sin": sp.sin,
    "cos": sp.cos,
    "tan": sp.tan,
    "sinh": sp.sinh,
    "cosh": sp.cosh,
    "tanh": sp.tanh,
    "abs": sp.Abs,
    "min": sp.Min,
    "max": sp.Max,
    "step": sp.Heaviside,
    "ceil": sp.ceiling,
    "mod": sp.Mod,
    "sphericalj": sp.jn,
    **{
        each: getattr(sp, each)
        for each in (
            "cot sec csc asin acos atan acot asec acsc coth sech csch asinh acosh atanh acoth asech"
            " acsch atan2 erf erfc erfinv sinc gamma loggamma polygamma besselj bessely besseli"
            " besselk sign floor frac"
        ).split()
    },
}
RELATIONS: dict[str, Callable[..., Any]] = {"<": sp.Lt, "<=": sp.Le, ">": sp.Gt, ">=": sp.Ge}
CONDITIONS: dict[str, Callable[..., Any]] = {
    "and": sp.And,
    "or": sp.Or,
    "not": sp.Not,
    "xor": sp.Xor,
    "equal": sp.Eq,
}


@dataclass(frozen=True)
class Algebra:
    """What names stand for, and the operators on them."""

    names: Mapping[str, Any]
    space: tuple[Any, ...]
    operators: Any
    normal: Any
    axes: tuple[str, ...]


def meaning(node: Node, algebra: Algebra) -> Any:
    """The scalar, vector (a column) or tensor that a tree stands for."""
    word = node.word
    # a function of the user's: its body, with the argument in place of the parameter
    if word == "applied":
        value = meaning(node.args[1], algebra)
        return meaning(node.args[0], replace(algebra, names={**algebra.names, node.what[1]: value}))
    args = [meaning(each, algebra) for each in node.args]
    if word == "defined":
        return args[0]
    if word in RELATIONS:
        return RELATIONS[word](*args)
    if word == "between":
        return sp.And(
            RELATIONS[node.what[0]](args[0], args[1]), RELATIONS[node.what[1]](args[1], args[2])
        )
    if word in CONDITIONS:
        return CONDITIONS[word](*(_branched(each) for each in args))
    if word == "mod" and algebra.operators is pdespec:
        return Mod(*args)  # SymPy's own takes common factors out of it
    if word == "if":
        return sp.Piecewise(*zip(args[1::2], args[0:-1:2], strict=True), (args[-1], True))
    if word == "number":
        return node.what[0]
    if word == "name":
        return algebra.names[node.what]
    if word == "+":
        return args[0] + args[1]
    if word == "-":
        return args[0] - args[1]
    if word == "negative":
        return -args[0]
    if word == "*":
        return args[0] * args[1]
    if word == "/":
        return args[0] / args[1]
    if word == "^":
        return args[0] ** args[1]
    if word == "pi":
        return sp.pi
    if word == "imaginary":
        return node.what[0] * sp.I
    if word == "variation":
        return algebra.operators.variation(
            algebra.operators.integral(args[0], algebra.names[f"domain {node.what}"]), args[1]
        )
    if word == "identity":
        return sp.ImmutableMatrix.eye(len(algebra.space))
    if word == "normal":
        return algebra.normal
    if word == "component":
        axes = algebra.axes
        places = {a: (i, 0) for i, a in enumerate(axes)} if node.args[0].rank == "vector" else {}
        places |= (
            {}
            if places
            else {a + b: (i, j) for i, a in enumerate(axes) for j, b in enumerate(axes)}
        )
        return args[0][places[node.what]]
    if word == "entry":
        return args[0][node.what[0], node.what[1] if len(node.what) > 1 else 0]
    if word == "vector":
        return sp.ImmutableMatrix(args)
    if word == "tensor":
        size = int(len(args) ** 0.5)
        return sp.ImmutableMatrix(size, size, args)
    if word == "d":
        return algebra.operators.d(args[0], *(algebra.names[each] for each in node.what))
    if word in FUNCTIONS:
        return FUNCTIONS[word](*args)
    return getattr(algebra.operators, word)(*args)


def _branched(condition: Any) -> Any:
    """A comparison of choices as a choice of comparisons: inside of another condition SymPy would
    multiply that out over the branches, which is the same in another form."""
    if isinstance(condition, sp.core.relational.Relational):
        for side in condition.args:
            if isinstance(side, sp.Piecewise):
                (value, holds), *others = side.args
                here, there = (
                    condition.func(*(each if one is side else one for one in condition.args))
                    for each in (value, sp.Piecewise(*others) if others else value)
                )
                return sp.Or(
                    sp.And(holds, _branched(here)), sp.And(sp.Not(holds), _branched(there))
                )
    return condition


def python_algebra(names: Mapping[str, Any], space: tuple[Any, ...]) -> Algebra:
    """pdespec's own operators on its own symbols."""
    return Algebra(names, space, pdespec, pdespec.unit_normal(space), tuple(x.name for x in space))


class Plain:
    """Vector calculus in the coordinates `space` by nothing but `diff`, sums and products, after
    any textbook."""

    def __init__(
        self, space: tuple[sp.Symbol, ...], normal: sp.ImmutableMatrix, system: str = ""
    ) -> None:
        self.space, self.normal = space, normal
        # what stands on both sides of an interface: the word and its argument, by symbol
        self.sided: dict[sp.Symbol, tuple[str, Any]] = {}
        # over which nothing depends
        self.angles = {"": 0, "axisymmetric": 1, "spherical": 2}[system]

    def d(self, a: Any, *variables: sp.Symbol) -> Any:
        for each in variables:
            a = a.diff(each)
        return a

    def grad(self, a: Any) -> Any:
        if isinstance(a, sp.MatrixBase):
            return sp.ImmutableMatrix(
                len(self.space), len(self.space), lambda i, j: a[i].diff(self.space[j])
            )
        return sp.ImmutableMatrix([a.diff(x) for x in self.space])

    def div(self, a: Any) -> Any:
        if a.shape[1] == 1:
            return self.angles * a[0] / (self.space[0] if self.angles else 1) + sum(
                (a[i].diff(x) for i, x in enumerate(self.space)), sp.S.Zero
            )
        return sp.ImmutableMatrix(
            [
                sum((a[i, j].diff(x) for j, x in enumerate(self.space)), sp.S.Zero)
                for i in range(a.shape[0])
            ]
        )

    def integral(self, density: Any, region: Any) -> Any:
        """The density alone, which is all that `variation` needs."""
        return density

    def variation(self, density: Any, u: Any) -> Any:
        """Euler and Lagrange: sum over a of (-1)^|a| d^a (w d density / d u_a) / w, with dx dy
        .. times w as the volume."""
        weight = self.space[0] ** self.angles
        density = weight * density
        slots = {each for each in density.atoms(sp.Derivative) if each.expr == u}
        table = {each: sp.Dummy(real=True) for each in sorted(slots, key=sp.default_sort_key)}
        stand_in = sp.Dummy(real=True)
        plain = density.xreplace(table).xreplace({u: stand_in})
        back = {symbol: each for each, symbol in table.items()} | {stand_in: u}
        total = sp.diff(plain, stand_in).xreplace(back)
        for each, symbol in table.items():
            part = sp.diff(plain, symbol).xreplace(back)
            total += (-1) ** each.derivative_count * part.diff(*each.variables)
        return total / weight

    def _two_sided(self, word: str, a: Any) -> sp.Symbol:
        symbol = sp.Symbol(f"S{len(self.sided)}", real=True)
        self.sided[symbol] = (word, a)
        return symbol

    def jump(self, a: Any) -> Any:
        return self._two_sided("jump", a)

    def avg(self, a: Any) -> Any:
        return self._two_sided("avg", a)

    def dn(self, a: Any) -> Any:
        if isinstance(a, sp.MatrixBase):
            return self.grad(a) * self.normal
        return self.dot(self.grad(a), self.normal)

    def re(self, a: Any) -> Any:
        return sp.re(a)

    def im(self, a: Any) -> Any:
        return sp.im(a)

    def conj(self, a: Any) -> Any:
        return sp.conjugate(a)

    def abs2(self, a: Any) -> Any:
        return sp.re(a) ** 2 + sp.im(a) ** 2

    def dirac(self, place: Any, width: Any) -> Any:
        """A normal density."""
        places = list(place) if isinstance(place, sp.MatrixBase) else [place]
        return sp.exp(-sum(each**2 for each in places) / (2 * width**2)) / (
            width * sp.sqrt(2 * sp.pi)
        ) ** len(places)

    def lap(self, a: Any) -> Any:
        total = a.diff(self.space[0], 2)
        if self.angles:
            total = total + self.angles * a.diff(self.space[0]) / self.space[0]
        for x in self.space[1:]:
            total = total + a.diff(x, 2)
        return total

    def curl(self, a: Any) -> Any:
        if not isinstance(a, sp.MatrixBase):
            x, y = self.space
            return sp.ImmutableMatrix([a.diff(y), -a.diff(x)])
        if len(self.space) == 2:
            x, y = self.space
            return a[1].diff(x) - a[0].diff(y)
        x, y, z = self.space
        return sp.ImmutableMatrix(
            [a[2].diff(y) - a[1].diff(z), a[0].diff(z) - a[2].diff(x), a[1].diff(x) - a[0].diff(y)]
        )

    def advect(self, v: Any, a: Any) -> Any:
        def along(entry: Any) -> Any:
            return sum((v[i] * entry.diff(x) for i, x in enumerate(self.space)), sp.S.Zero)

        return sp.ImmutableMatrix(a).applyfunc(along) if isinstance(a, sp.MatrixBase) else along(a)

    def dot(self, a: Any, b: Any) -> Any:
        return sum((a[i] * b[i] for i in range(len(a))), sp.S.Zero)

    inner = dot

    def cross(self, a: Any, b: Any) -> Any:
        if len(a) == 2:
            return a[0] * b[1] - a[1] * b[0]
        return sp.ImmutableMatrix(
            [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
        )

    def outer(self, a: Any, b: Any) -> Any:
        return sp.ImmutableMatrix(len(a), len(b), lambda i, j: a[i] * b[j])

    def sym(self, a: Any) -> Any:
        return (a + a.T) / 2

    def skew(self, a: Any) -> Any:
        return (a - a.T) / 2

    def transpose(self, a: Any) -> Any:
        return a.T

    def tr(self, a: Any) -> Any:
        return a.trace()

    def det(self, a: Any) -> Any:
        return a.det(method="berkowitz")

    def inv(self, a: Any) -> Any:
        return sp.ImmutableMatrix(a.adjugate(method="berkowitz") / a.det(method="berkowitz"))


def plain_algebra(
    names: Mapping[str, Any],
    space: tuple[sp.Symbol, ...],
    normal: tuple[sp.Symbol, ...],
    axes: tuple[str, ...],
    system: str = "",
) -> Algebra:
    """Ordinary SymPy; the coordinates are called `axes` by the problem."""
    return Algebra(
        names,
        space,
        Plain(space, sp.ImmutableMatrix(normal), system),
        sp.ImmutableMatrix(normal),
        axes,
    )
