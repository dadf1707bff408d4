"""Declared problems by chance: `draw(random)` gives one that is well posed and means something.

All chance comes from one `random.Random`, so a seed is a problem, and hypothesis can put its own in
place of it and shrink.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp

from tests.generated.declared import (
    Declared,
    Energy,
    Flux,
    Function,
    Law,
    Number,
    Place,
    Requirement,
    Shape,
    Statement,
)
from tests.generated.language import Node, add, call, derivative, mul, name, number, power, zero

KEYWORDS = (
    "lambda is None pass self True False class def return global yield await assert not or and del"
    " try import with as async nonlocal"
)
ODD = (
    "u_x u_xx u_t lambda_ _1 _ __ x_ f_x f_y u0 u_0 forward torch like values math add mul out inf"
    " nan print graph _shared0 __init__ a1b2"
)
PLAIN = (
    "k mu a b c q w p v u h g f rho phi kappa beta gamma zeta E S N O Q C e j i Rey theta0 F J psi"
    " sigma T P alpha_1 dq"
)
GREEK = {
    "ν": "nu",
    "α₁": "alpha1",
    "κ": "kappa",
    "ω": "omega",
    "λ": "lambda",
    "Φ": "Phi",
    "ρ₀": "rho0",
    "τ": "tau",
    "ξ": "xi",
}
OWN = {f"`{each}`": each for each in "n I outer inner sym in on data output".split()}
NAMES = {
    "plain": PLAIN.split(),
    "keyword": KEYWORDS.split(),
    "odd": ODD.split(),
    "greek": list(GREEK),
    "own": list(OWN),
}
FRAMES = {
    1: [("x",), ("x",), ("s",), ("r",), ("xi",), ("X",), ("z",)],
    2: [
        ("x", "y"),
        ("x", "y"),
        ("X", "Y"),
        ("r", "z"),
        ("x1", "x2"),
        ("xi", "eta"),
        ("y", "x"),
        ("lon", "lat"),
    ],
    3: [("x", "y", "z"), ("x", "y", "z"), ("X", "Y", "Z"), ("x1", "x2", "x3"), ("a", "b", "c")],
}
TAKEN = set(
    "sqrt exp log sin cos tan sinh cosh tanh abs min max pi grad div curl lap tr det inv dot"
    " integral entry equal xor if i".split()
)


CONDITION = {"<", "<=", ">", ">=", "between", "and", "or", "not", "xor", "equal"}
KINDS = ("plain", "plain", "plain", "keyword", "odd", "odd", "greek", "own")


class Drawer:
    """The state of one draw: names taken, what is declared so far, which coordinates there are."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.dim = self.pick([1, 1, 2, 2, 2, 3])
        self.space = self.pick(FRAMES[self.dim])
        self.time: tuple[str, sp.Rational, sp.Rational] | None = None
        self.taken = {*self.space, *TAKEN}
        self.spelling: dict[str, str] = {}
        self.numbers: list[Number] = []
        self.inputs: list[Function] = []
        self.unknowns: list[Function] = []
        self.places: list[Place] = []
        self.orders: dict[str, int] = {}
        self.features: set[str] = set()
        self.periodic: tuple[str, ...] = ()
        self.system = ""
        self.returns = False
        # a coordinate and a value of it inside of the domain
        self.middle: tuple[str, Node] | None = None
        self.warned: set[str] = set()
        if self.chance(0.4):
            t = self.pick(["t", "t", "t", "tau", "T"])
            if t not in self.taken:
                start = self.pick([sp.S.Zero, sp.S.Zero, sp.S.One, sp.Rational(-1, 2)])
                self.time = (
                    t,
                    start,
                    start + self.pick([sp.S.One, sp.Integer(2), sp.Rational(1, 10)]),
                )
                self.taken.add(t)

    # ---- chance

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.rng.randrange(len(options))]

    def chance(self, share: float) -> bool:
        return self.rng.randrange(100) < 100 * share

    def rational(self, positive: bool = True) -> sp.Rational:
        value = sp.Rational(self.rng.randint(1, 9), self.pick([1, 1, 2, 3, 4, 10]))
        return value if positive or self.chance(0.6) else -value

    def literal(self, positive: bool = True) -> Node:
        value = self.rational(positive)
        decimal = value.q in (1, 2, 4, 10) and self.chance(0.5)
        written = f"{float(value):g}" if decimal else str(value)
        return number(
            value,
            f"{float(value * 100):g}e-2" if decimal and value > 0 and self.chance(0.1) else written,
        )

    def fresh(self) -> str:
        """A name that is not taken, of any admissible kind."""
        tries = (self.pick(NAMES[self.pick(KINDS)]) for _ in range(20))
        for written in itertools.chain(tries, *NAMES.values()):
            spelled = GREEK.get(written, OWN.get(written, written))
            if spelled in self.taken or self._derivative(spelled):
                continue
            self.taken.add(spelled)
            if written != spelled:
                self.spelling[spelled] = written
            return spelled
        raise RuntimeError("no name is left")

    def _derivative(self, word: str) -> bool:
        from pdespec.calculus import split_derivative
        from pdespec.words import BUILTINS, RESERVED

        if word in OWN.values():
            return False
        return (
            word in RESERVED | BUILTINS
            or split_derivative(word, (*self.space, *((self.time[0],) if self.time else ())))
            is not None
        )

    # ---- what is declared

    def declare_numbers(self) -> None:
        for _ in range(self.pick([0, 1, 1, 2, 3])):
            kind = self.pick(
                ["const", "const", "param", "param", "law", "sized", "trainable", "trainables"]
            )
            own = self.fresh()
            low = self.rational()
            law = Law("uniform", (("low", low), ("high", low + self.rational())))
            if self.chance(0.2):
                law = Law("loguniform", law.arguments)
            if kind == "trainables":
                self.numbers.append(Number(own, "trainable", value=self.rational(), size=2))
            elif kind == "sized":
                self.numbers.append(Number(own, "param", law=law, size=self.pick([2, 3])))
            elif kind == "law":
                self.numbers.append(Number(own, "param", law=law))
            else:
                self.numbers.append(Number(own, kind, value=self.rational()))
            self.features.add(f"number {kind}")

    def scalars(self) -> list[Node]:
        """The numbers that have been declared, all positive."""
        found = []
        for each in self.numbers:
            if each.size:
                found += [
                    call("entry", name(each.name, "vector"), what=(k,)) for k in range(each.size)
                ]
            else:
                found.append(name(each.name))
        return found

    def positive(self) -> Node:
        """A coefficient that is positive everywhere: a number, or a function of position."""
        options: list[Callable[[], Node]] = [lambda: self.literal(), lambda: self.literal()]
        if found := self.scalars():
            options += [lambda: self.pick(found)] * 2
        options.append(lambda: add(self.literal(), power(name(self.pick(self.space)), 2)))
        options.append(lambda: call("exp", Node("/", (name(self.pick(self.space)), number(4)))))
        return self.pick(options)()

    # ---- expressions

    def known(self, depth: int = 2) -> Node:
        """A scalar of coordinates and numbers."""
        leaves = [name(each) for each in self.space] + self.scalars() + [call("pi")]
        if self.time:
            leaves.append(name(self.time[0]))
        return self.scalar(depth, leaves + [self.literal()])

    def scalar(self, depth: int, leaves: Sequence[Node], rough: bool = True) -> Node:
        """A scalar of leaves, its functions kept inside their domains. `rough`: functions with a
        kink may be in it."""
        if depth == 0 or self.chance(0.25):
            return self.pick(leaves)

        def sub() -> Node:
            return self.scalar(depth - 1, leaves, rough)

        def square() -> Node:
            return power(sub(), 2)

        word = self.pick(["+", "-", "*", "*", "/", "^", "function", "function", "negative"])
        if word in "+-":
            return Node(word, (sub(), sub()))
        if word == "*":
            return mul(sub(), sub())
        if word == "/":
            return Node(
                "/",
                (
                    sub(),
                    self.pick([lambda: self.literal(), lambda: add(self.literal(), square())])(),
                ),
            )
        if word == "^":
            if self.chance(0.7):
                return power(sub(), self.pick([2, 2, 3]))
            return power(
                add(self.literal(), square()),
                self.pick([number("1/2"), number("3/2"), number("-1", "-1"), number("1/3")]),
            )
        if word == "negative":
            return call("negative", sub())
        return self.function(sub, square, rough)

    def function(self, sub: Callable[[], Node], square: Callable[[], Node], rough: bool) -> Node:
        """A function of arguments on which it is defined and of moderate size."""
        group = self.pick(
            ["plain"] * 4 + ["special"] * 2 + ["kink", "jump", "choice", "source"] * rough
        )

        def bounded() -> Node:
            return self.pick([lambda: call("sin", sub()), lambda: call("tanh", sub())])()

        def above() -> Node:  # more than one
            return add(self.pick([number(2), number("3/2")]), square())

        if group == "choice":
            return self.choice(sub)
        if group == "source":
            at = Node("-", (sub(), self.literal()))
            self.features.add("function dirac")
            return call("dirac", at, self.pick([number("1/2"), number(1), number("0.3", "0.3")]))
        words = {
            "plain": "sqrt exp log sin cos tan sinh cosh tanh",
            "special": (
                "cot sec csc asin acos atan acot asec acsc coth sech csch asinh acosh atanh acoth"
                " asech acsch atan2 erf erfc erfinv sinc gamma loggamma polygamma besselj bessely"
                " besseli besselk sphericalj"
            ),
            "kink": "abs min max",
            "jump": "sign step step floor ceil frac mod",
        }[group].split()
        word = self.pick([each for each in words if each not in self.taken or each in TAKEN])
        self.features.add(f"function {word}")
        if word in ("sqrt", "log"):
            return call(word, add(self.pick([number(1), number(2), number("1/2")]), square()))
        if word in ("exp", "tan", "sinh", "cosh", "sec", "gamma_"):
            return call(word, bounded())
        if word in ("asin", "acos", "atanh", "erfinv"):
            return call(word, mul(number("9/10"), bounded()))
        if word in ("cot", "csc"):
            return call(word, add(number(1), Node("/", (bounded(), number(2)))))
        if word in ("asec", "acsc", "acosh", "acoth", "coth", "csch", "acsch", "acot"):
            return call(word, above())
        if word == "asech":
            return call(word, Node("/", (number(1), above())))
        if word in ("gamma", "loggamma", "bessely", "besselk", "polygamma"):
            argument = add(number("3/2"), bounded())
        else:
            argument = bounded() if word in ("besseli", "sphericalj") else sub()
        if word in ("besselj", "bessely", "besseli", "besselk"):
            order = self.pick([number(0), number(1), number(2), number("1/2")])
            # of half an order: real where positive
            return call(word, order, above() if order.what[0].q == 2 else argument)
        if word in ("polygamma", "sphericalj"):
            return call(word, number(self.pick([0, 1, 2])), argument)
        if word == "mod":
            return call(word, sub(), self.literal())
        if word == "atan2":
            return call(word, sub(), add(number(1), square()))
        if word in ("min", "max"):
            return call(word, *(sub() for _ in range(self.pick([2, 2, 3]))))
        if word == "step" and self.chance(0.3):
            return call(word, sub(), self.pick([number(0), number(1), number("1/2")]))
        return call(word, argument)

    def choice(self, sub: Callable[[], Node]) -> Node:
        """`if(condition, value, .., otherwise)`, the values masked roots and logarithms now and
        then."""
        self.features.add("if")
        parts: list[Node] = []
        for _ in range(self.pick([1, 1, 2])):
            parts.append(self.condition_of(sub, 1))
            parts.append(sub())
        if self.chance(0.3):  # a function on the part of its domain that a condition chooses
            value = sub()
            parts[:2] = [call(">", value, number(0)), call(self.pick(["sqrt", "log"]), value)]
            self.features.add("masked")
        return call("if", *parts, sub())

    def condition_of(self, sub: Callable[[], Node], depth: int) -> Node:
        word = self.pick(
            ["compare"] * 4 + ["between"] + (["and", "or", "not", "xor", "equal"] if depth else [])
        )
        if word == "compare":
            return call(self.pick(["<", "<=", ">", ">="]), sub(), sub())
        if word == "between":
            signs = self.pick([("<", "<"), ("<=", "<"), (">", ">=")])
            return call(
                "between",
                number(1 if signs[0] == ">" else 0),
                sub(),
                number(0 if signs[0] == ">" else 1),
                what=signs,
            )
        if word == "equal":
            return call("or", call("equal", sub(), sub()), self.condition_of(sub, 0))
        if word == "not":
            return call("not", self.condition_of(sub, 0))
        if word == "xor":
            return call("xor", self.condition_of(sub, 0), self.condition_of(sub, 0))
        return call(word, self.condition_of(sub, 0), self.condition_of(sub, 0))

    def field_scalars(self, in_equation: bool = True) -> list[Node]:
        """Scalar values of unknowns and, where they live on the domain, inputs."""
        found = []
        for each in (
            *self.unknowns,
            *(f for f in self.inputs if f.on == "Omega" or not in_equation),
        ):
            found += self.components(each)
        return found

    def components(self, field: Function) -> list[Node]:
        own = name(field.name, field.rank)
        if field.rank == "scalar":
            return [own]
        axes = (
            self.space
            if field.rank == "vector"
            else [a + b for a in self.space for b in self.space]
        )
        return [call("component", own, what=axis) for axis in axes]

    def lower_order(self, top: int) -> Node:
        """Lower-order terms of an equation, nonlinear as they come."""
        leaves = (
            self.field_scalars() * 2
            + [name(each) for each in self.space]
            + self.scalars()
            + [self.literal()]
        )
        for field in self.unknowns:
            # more would ask for more conditions
            most = min(top, self.orders.get(field.name, 1)) - 1
            for _ in range(2 * (most > 0)):
                leaves.append(self.spatial(field, most))
            if field.rank == "vector" and most > 0:
                leaves.append(self.vector_scalar(field))
        for field in self.inputs:
            if field.on == "Omega" and self.chance(0.3):
                leaves.append(self.spatial(field, 1))
        return self.defined(self.scalar(self.pick([1, 2, 2, 3]), leaves))

    def spatial(self, field: Function, most: int) -> Node:
        return derivative(
            self.pick(self.components(field)),
            tuple(self.pick(self.space) for _ in range(self.rng.randint(1, max(1, most)))),
        )

    def vector_scalar(self, field: Function) -> Node:
        """A scalar by vector calculus from a vector field."""
        v = name(field.name, "vector")
        gradient = call("grad", v, rank="tensor")
        options = [
            lambda: call("div", v),
            lambda: call("tr", gradient),
            lambda: call("dot", v, v),
            lambda: call("inner", call("sym", gradient, rank="tensor"), gradient),
            lambda: call(
                "inner", call("skew", gradient, rank="tensor"), call("outer", v, v, rank="tensor")
            ),
        ]
        if self.dim > 1:
            options += [lambda: call("det", add(call("identity", rank="tensor"), gradient))]
        if self.dim == 2:
            options += [lambda: call("curl", v), lambda: call("cross", v, self.vector_literal())]
        if self.dim == 3:
            options += [lambda: call("dot", v, call("curl", v, rank="vector"))]
        return self.pick(options)()

    def defined(self, node: Node) -> Node:
        """The same by a definition of the user's, or by a function of one argument."""
        if node.rank != "scalar" or not node.args or self.chance(0.6):
            return node
        own = self.fresh()
        self.features.add("definition")
        inner = next((each for each in node.args if each.args and each.word not in CONDITION), None)
        if inner is None or self.chance(0.5):
            return call("defined", node, what=own)
        parameter = self.pick(
            [each for each in ("w", "a", "self", "q_1") if each not in self.space]
        )
        body = Node(
            node.word,
            tuple(name(parameter) if each == inner else each for each in node.args),
            node.what,
        )
        if any(each.word in ("defined", "applied") for each in body.walk()) or any(
            each.what == parameter for each in inner.walk()
        ):
            return call("defined", node, what=own)
        if any(each.what == parameter for argument in node.args for each in argument.walk()):
            return call("defined", node, what=own)
        return call("applied", body, inner, what=(own, parameter))

    def vector_literal(self) -> Node:
        return call("vector", *(self.known(1) for _ in self.space), rank="vector")

    # ---- principal parts

    def principal(self, field: Function, order: int) -> Node:
        """The highest derivatives of the equation of a field, of its rank, with a sign that
        makes `-principal` elliptic for order 2."""
        u = name(field.name, field.rank)
        x, y = self.space[0], self.space[-1]
        if order == 1:
            if field.rank == "scalar" and self.chance(0.5):
                direction = call(
                    "vector", *(self.literal(False) for _ in self.space), rank="vector"
                )
                return self.pick(
                    [
                        lambda: call("dot", direction, call("grad", u, rank="vector")),
                        lambda: call("advect", direction, u),
                    ]
                )()
            terms = [mul(self.literal(False), derivative(u, (each,))) for each in self.space]
            return add(*terms)
        if order == 2:
            return self.second_order(field, u)
        if order == 3:
            letters = self.pick([(x, x, x), (x, y, y), (x, x, y)])
            return mul(self.positive_number(), derivative(u, letters))
        options = [
            lambda: call("lap", call("lap", u, rank=u.rank), rank=u.rank),
            lambda: add(
                *(mul(self.positive_number(), derivative(u, (each,) * 4)) for each in self.space)
            ),
            lambda: add(
                derivative(u, (x,) * 4),
                mul(self.positive_number(), derivative(u, (x, x, y, y))),
                derivative(u, (y,) * 4),
            ),
            lambda: call("lap", mul(self.positive(), call("lap", u, rank=u.rank)), rank=u.rank),
        ]
        return call("negative", self.pick(options)(), rank=u.rank)

    def positive_number(self) -> Node:
        found = self.scalars()
        return self.pick(found) if found and self.chance(0.5) else self.literal()

    def second_order(self, field: Function, u: Node) -> Node:
        gradient = call("grad", u, rank="vector" if u.rank == "scalar" else "tensor")
        if u.rank == "tensor":
            return mul(self.positive_number(), call("lap", u, rank="tensor"))
        if u.rank == "vector":
            strain = call("sym", gradient, rank="tensor")
            options = [
                lambda: call("lap", u, rank="vector"),
                lambda: call("div", mul(self.positive(), gradient), rank="vector"),
                lambda: call("div", mul(self.positive(), strain), rank="vector"),
            ]
            if self.dim > 1:
                stress = add(
                    mul(self.positive_number(), strain),
                    mul(call("tr", gradient), call("identity", rank="tensor")),
                )
                options += [lambda: call("div", stress, rank="vector")]
            return self.pick(options)()
        squared = [power(component, 2) for component in self.components(field)]
        options = [
            lambda: call("lap", u),
            lambda: mul(self.positive_number(), call("lap", u)),
            lambda: call("div", mul(self.positive(), gradient)),
            lambda: call("div", mul(add(self.literal(), self.pick(squared)), gradient)),
            lambda: call(
                "div",
                Node(
                    "/",
                    (gradient, call("sqrt", add(number(1), call("dot", gradient, gradient)))),
                    rank="vector",
                ),
            ),
            lambda: add(
                *(mul(self.positive_number(), derivative(u, (each, each))) for each in self.space)
            ),
            lambda: add(*(mul(self.literal(), derivative(u, (each, each))) for each in self.space)),
            lambda: add(
                *(
                    derivative(mul(self.positive(), derivative(u, (each,))), (each,))
                    for each in self.space
                )
            ),
            lambda: mul(self.positive(), call("div", gradient)),
        ]
        if self.dim > 1:
            x, y = self.space[:2]
            matrix = call(
                "vector",
                *(mul(self.literal(), derivative(u, (each,))) for each in self.space),
                rank="vector",
            )
            rows = [
                self.literal() if i == j else number(0)
                for i in range(self.dim)
                for j in range(self.dim)
            ]
            tensor = call("tensor", *rows, rank="tensor")
            options += [
                lambda: add(call("lap", u), mul(number("1/2"), derivative(u, (x, y)))),
                lambda: call("div", matrix),
                lambda: call("div", Node("*", (tensor, gradient), rank="vector")),
            ]
            if not self.system:
                options += [lambda: call("tr", call("grad", gradient, rank="tensor"))]
        if self.middle and self.chance(0.12) and self.middle[0] not in self.periodic:
            x, value = self.middle
            jumps = call("if", call("<", name(x), value), self.literal(), self.literal())
            self.features.add("jumping coefficient")
            self.warned.add("J01")
            return call("div", mul(jumps, gradient))
        return self.pick(options)()

    # ---- domains

    def shape(self) -> tuple[list[tuple[str, Shape]], list[list[Place]]]:
        """The domains, the last one named Omega, and ways to cut its boundary into places."""
        every = [Place("all", "Omega")]
        a, width = self.pick([0, 0, -1, "1/2"]), self.pick([1, 1, 2, "3/2"])
        low = [number(a) for _ in self.space]
        high = [number(sp.Rational(str(a)) + sp.Rational(str(width))) for _ in self.space]
        grown = [
            each for each in self.numbers if each.kind == "param" and each.law and not each.size
        ]
        word = (
            self.pick(["box", "box", "box", "round", "other", "cut", "cut"])
            if self.dim > 1
            else "box"
        )
        if self.dim < 3 and self.chance(0.08):
            self.system, word = (
                "axisymmetric" if self.dim == 2 or self.chance(0.5) else "spherical",
                "box",
            )
            a = self.pick(["1/2", 1])  # off the axis
            low = [number(a) for _ in self.space]
            high = [number(sp.Rational(str(a)) + sp.Rational(str(width))) for _ in self.space]
            self.features.add(self.system)
        if word == "box":
            shape = Shape(
                {1: "interval", 2: "rectangle", 3: "box"}[self.dim],
                points=(tuple(low), tuple(high)),
            )
            cuts = [every]
            axis = self.rng.randrange(self.dim)
            self.middle = (self.space[0], number((low[0].what[0] + high[0].what[0]) / 2))
            if self.chance(0.3) and not self.system:
                count = self.pick([1, self.dim])
                self.periodic = (
                    tuple(self.space[:count]) if self.chance(0.7) else (self.space[axis],)
                )
            ends = [
                Place("side", "Omega", coordinate=self.space[axis], value=each[axis])
                for each in (low, high)
            ]
            if self.space[axis] not in self.periodic:
                rest = Place("rest", "Omega")
                glued = self.dim - 1 == len(self.periodic)  # nothing is left but the two ends
                cuts += [ends, [ends[0], rest]] if glued else [[ends[0], rest], [*ends, rest]]
                if self.dim > 1 and self.chance(0.3):  # a part of a side
                    along = next(k for k in range(self.dim) if k != axis)
                    third = (high[along].what[0] - low[along].what[0]) / 3
                    ends_of = (
                        number(low[along].what[0] + third),
                        number(high[along].what[0] - third),
                    )
                    part = Place(
                        "side",
                        "Omega",
                        coordinate=self.space[axis],
                        value=low[axis],
                        within=(self.space[along], *ends_of),
                    )
                    if self.space[along] not in self.periodic:
                        cuts = [[part, rest]]
                        self.features.add("part of a side")
            return [("Omega", shape)], cuts
        if word == "round" or (word == "other" and self.dim == 3):
            radius: Node = self.literal()
            if grown and self.chance(0.6):
                radius = add(number(1), Node("/", (name(self.pick(grown).name), number(10))))
                self.features.add("shape of params")
            keywords: tuple[tuple[str, Any], ...] = (("radius", radius),)
            if self.chance(0.4):
                keywords += (("center", tuple(self.literal(False) for _ in self.space)),)
            found = Shape("disk" if self.dim == 2 else "ball", keywords=keywords)
            if self.dim == 3 and self.chance(0.5):
                found = self.solid()
            return [("Omega", self.laid(found))], [every]
        if word == "other":
            corners = (
                [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
                if self.chance(0.5)
                else [(0, 0), (1, 0), (0, 1)]
            )
            options = [
                Shape(
                    "ellipse",
                    keywords=(
                        ("radii", (self.literal(), self.literal())),
                        ("angle", Node("/", (call("pi"), number(5)))),
                    ),
                ),
                Shape(
                    "polygon",
                    points=tuple(tuple(number(each) for each in corner) for corner in corners),
                ),
                Shape("star", keywords=(("radius", self.lobes(grown)),)),
            ]
            return [("Omega", self.laid(self.pick(options)))], [every]
        return self.csg(low, high, every)

    def solid(self) -> Shape:
        """A body of space that is no box and no ball."""
        zero_point = tuple(number(0) for _ in self.space)
        upright = (number(0), number(0), number(1))
        plane = self.pick(
            [
                Shape("disk", keywords=(("radius", self.literal()),)),
                Shape(
                    "rectangle", points=((number(0), number(0)), (self.literal(), self.literal()))
                ),
            ]
        )
        cylinder = (("radius", self.literal()), ("height", self.literal()), ("base", zero_point))
        tilted = self.pick([upright, (number(1), number(1), number(0))])
        return self.pick(
            [
                Shape(
                    "ellipsoid", keywords=(("radii", tuple(self.literal() for _ in self.space)),)
                ),
                Shape("cylinder", keywords=(*cylinder, ("axis", tilted))),
                Shape("extruded", (plane,), keywords=(("height", self.literal()),)),
            ]
        )

    def laid(self, shape: Shape) -> Shape:
        """A shape, laid elsewhere now and then."""
        self.features.add(f"shape {shape.word}")
        word = self.pick(["", "", "", "moved", "rotated", "scaled"])
        if not word:
            return shape
        self.features.add(f"shape {word}")
        center = (
            (("center", tuple(self.literal(False) for _ in self.space)),)
            if self.chance(0.4)
            else ()
        )
        if word == "moved":
            return Shape(
                word,
                (shape,),
                keywords=(("vector", tuple(self.literal(False) for _ in self.space)),),
            )
        if word == "rotated":
            return Shape(
                word,
                (shape,),
                keywords=(("angle", Node("/", (call("pi"), self.literal()))), *center),
            )
        return Shape(word, (shape,), keywords=(("factor", self.literal()), *center))

    def lobes(self, grown: list[Number]) -> Node:
        depth: Node = (
            Node("/", (name(self.pick(grown).name), number(50)))
            if grown and self.chance(0.6)
            else number("1/10")
        )
        return add(
            number(1), mul(depth, call("cos", mul(number(self.pick([2, 3, 4])), name("theta"))))
        )

    def csg(
        self, low: list[Node], high: list[Node], every: list[Place]
    ) -> tuple[list[tuple[str, Shape]], list[list[Place]]]:
        first = Shape("rectangle" if self.dim == 2 else "box", points=(tuple(low), tuple(high)))
        middle = tuple(number((a.what[0] + b.what[0]) / 2) for a, b in zip(low, high, strict=True))
        size = high[0].what[0] - low[0].what[0]
        ball = "disk" if self.dim == 2 else "ball"
        hole = Shape(ball, keywords=(("radius", number(size / 5)), ("center", middle)))
        word = self.pick(["-", "-", "+", "&", "exterior"] + ["lattice"] * (self.dim == 2))
        self.features.add(f"csg {word}")
        if word == "-":
            if self.chance(0.5):
                part = self.fresh()
                named = Shape("named", keywords=(("name", part),))
                cuts = [
                    every,
                    [Place("of", "Omega", part=part), Place("rest", "Omega")],
                    [Place("inner", "Omega"), Place("outer", "Omega")],
                ]
                return [(part, hole), ("Omega", Shape("-", (first, named)))], cuts
            return [("Omega", Shape("-", (first, hole)))], [
                every,
                [Place("inner", "Omega"), Place("outer", "Omega")],
            ]
        if word == "exterior":
            far = Shape(ball, keywords=(("radius", number(3)),))
            body = Shape(ball, keywords=(("radius", number("1/2")),))
            return [("Omega", Shape("exterior", (body, far)))], [
                every,
                [Place("inner", "Omega"), Place("outer", "Omega")],
            ]
        if word == "lattice":
            copies = Shape(
                "lattice",
                (Shape("disk", keywords=(("radius", number(size / 10)),)),),
                keywords=(("nx", 2), ("ny", 3)),
            )
            return [("Omega", Shape("-", (first, copies)))], [every]
        corner = Shape(
            ball, keywords=(("radius", number(size * sp.Rational(2, 3))), ("center", tuple(high)))
        )
        return [("Omega", Shape(word, (first, corner)))], [every]

    def cut(self, cuts: list[list[Place]]) -> list[Place]:
        """One way to cut the boundary, its places named or not; `rest` is told what it leaves
        out."""
        chosen = self.pick(cuts)
        found: list[Place] = []
        for place in chosen:
            own = (
                self.fresh()
                if place.kind == "rest" or self.chance(0.5) or len(chosen) > 1
                else None
            )
            others = tuple(each.name for each in found) if place.kind == "rest" else ()
            found.append(
                Place(
                    place.kind,
                    place.domain,
                    own,
                    place.coordinate,
                    place.value,
                    others,
                    place.part,
                    place.within,
                )
            )
        self.places += [each for each in found if each.name]
        return found

    # ---- conditions

    def boundary_conditions(
        self, field: Function, order: int, places: list[Place]
    ) -> list[Statement]:
        """order/2 conditions on every place, the value itself on the first."""
        found = []
        for k, place in enumerate(places):
            kinds = (
                ["value"]
                if k == 0 or self.time is None and self.chance(0.4)
                else ["value", "flux", "robin"]
            )
            kind = self.pick(kinds)
            found += self.condition(field, kind, place)
            if order >= 4:
                found += self.condition(
                    field, self.pick(["flux", "lap"]) if kind == "value" else "lap", place
                )
        return found

    def condition(self, field: Function, kind: str, place: Place) -> list[Statement]:
        self.features.add(f"condition {kind}")
        u = name(field.name, field.rank)
        given = [
            name(each.name)
            for each in self.inputs
            if each.rank == "scalar" and each.on in (place.name, "Omega")
        ]
        on_boundary = [
            each
            for each in given
            if any(f.name == each.what and f.on == place.name for f in self.inputs)
        ]

        def value() -> Node:
            found = self.known(1)
            return add(found, self.pick(on_boundary)) if on_boundary and self.chance(0.7) else found

        if field.rank == "tensor":
            return [Statement(u, zero("tensor"), place)]
        if field.rank == "vector":
            gradient = call("grad", u, rank="tensor")
            if kind == "value":
                if self.chance(0.4):
                    return [Statement(each, value(), place) for each in self.components(field)]
                return [
                    Statement(
                        u,
                        self.pick(
                            [
                                zero("vector"),
                                call("vector", *(value() for _ in self.space), rank="vector"),
                            ]
                        ),
                        place,
                    )
                ]
            if kind == "lap":
                return [Statement(call("lap", u, rank="vector"), zero("vector"), place)]
            flux = Node("*", (gradient, call("normal", rank="vector")), rank="vector")
            flux = call("dn", u, rank="vector") if self.chance(0.4) else flux
            flux = add(flux, mul(self.positive_number(), u)) if kind == "robin" else flux
            return [
                Statement(
                    flux,
                    self.pick(
                        [
                            zero("vector"),
                            call("vector", *(value() for _ in self.space), rank="vector"),
                        ]
                    ),
                    place,
                )
            ]
        if kind == "value":
            return [Statement(u, value(), place)]
        if kind == "lap":
            return [Statement(call("lap", u), value(), place)]
        flux = call("dot", call("grad", u, rank="vector"), call("normal", rank="vector"))
        flux = call("dn", u) if self.chance(0.5) else flux
        flux = mul(self.positive_number(), flux) if self.chance(0.3) else flux
        if kind == "robin":
            flux = add(flux, mul(self.positive_number(), u if self.chance(0.7) else power(u, 3)))
        return [Statement(flux, value(), place)]

    def initial_conditions(self, field: Function, order: int) -> list[Statement]:
        assert self.time is not None
        t, start, _ = self.time
        u = name(field.name, field.rank)
        entries = {"scalar": 1, "vector": self.dim, "tensor": self.dim**2}[field.rank]
        space = [name(each) for each in self.space] + [self.literal(), call("pi"), *self.scalars()]
        found = []
        for k in range(order):
            value = self.scalar(2, space)
            right = (
                value
                if field.rank == "scalar"
                else call(
                    field.rank, *(self.scalar(1, space) for _ in range(entries)), rank=field.rank
                )
            )
            right = zero(field.rank) if self.chance(0.2) else right
            found.append(Statement(derivative(u, (t,) * k) if k else u, right, "Omega", at=start))
        return found


def draw(rng: random.Random) -> Declared:
    """One declared problem."""
    drawer = Drawer(rng)
    drawer.declare_numbers()
    if drawer.chance(0.12):
        return getattr(Meeting(drawer), drawer.pick(["bodies", "parts", "contact"]))()
    domains, cuts = drawer.shape()
    places = [] if len(drawer.periodic) == drawer.dim else drawer.cut(cuts)
    whole = Drawn(drawer, domains, places)
    template = drawer.pick(
        ["strong"] * 12 + ["energy"] * 2 + ["units"] * 2 + ["complex", "flow", "gauge"]
    )
    drawer.features.add(template)
    return getattr(whole, "complex_" if template == "complex" else template)()


class Drawn:
    """A problem of one of the kinds, on a domain that has been drawn."""

    def __init__(
        self, drawer: Drawer, domains: list[tuple[str, Shape]], places: list[Place]
    ) -> None:
        self.d, self.domains, self.places = drawer, domains, places

    def finish(self, **parts: Any) -> Declared:
        d = self.d
        if d.time is None:
            parts.pop("initial", None)
        return Declared(
            name=d.pick(["generated", "p", "heat_2", "problem_1"]),
            space=d.space,
            domains=tuple(self.domains),
            time=d.time,
            periodic=d.periodic,
            numbers=tuple(d.numbers),
            inputs=tuple(d.inputs),
            unknowns=tuple(d.unknowns),
            places=tuple(d.places),
            spelling=tuple(d.spelling.items()),
            features=frozenset(d.features),
            system=d.system,
            returns=d.returns,
            **{**parts, "expected": frozenset({*parts.get("expected", ()), *d.warned})},
        )

    def declare_inputs(self) -> None:
        d = self.d
        for _ in range(d.pick([0, 0, 1, 1, 2])):
            laws = [
                None,
                Law("gaussians", (("count", sp.Integer(2)), ("width", d.rational()))),
                Law("grf", (("length", sp.Rational(1, d.rng.randint(1, 4))),)),
                Law(
                    "grf",
                    (
                        ("sigma", d.rational()),
                        ("tau", sp.Integer(3)),
                        ("alpha", sp.Integer(d.pick([3, 4]))),
                    ),
                ),
            ]
            named = [each for each in self.places if each.name]
            if named and d.chance(0.25):
                d.inputs.append(
                    Function(
                        d.fresh(),
                        "input",
                        "scalar",
                        d.pick(named).name,
                        d.pick([None, laws[1]]),
                        in_time=False,
                    )
                )
                d.features.add("input on boundary")
                continue
            rank = d.pick(["scalar", "scalar", "scalar", "vector"]) if not d.system else "scalar"
            over = bool(d.time) and d.chance(0.4)
            law = d.pick(laws)
            d.inputs.append(Function(d.fresh(), "input", rank, "Omega", law, in_time=over))
            d.features.add(f"input {law.name if law else 'given'}{' over time' * over} {rank}")

    def strong(self) -> Declared:
        """Equations for one to three unknowns, coupled in their lower-order terms."""
        d = self.d
        orders: dict[str, tuple[int, int]] = {}
        for _ in range(d.pick([1, 1, 1, 2, 2, 3])):
            rank = d.pick(["scalar", "scalar", "scalar", "vector", "tensor"])
            if d.dim == 1 or d.system or (rank == "tensor" and d.dim == 3):
                rank = "scalar"
            order = (
                d.pick([2, 2, 2, 2, 1, 3, 4])
                if rank == "scalar"
                else d.pick([2, 2, 2, 1, 4])
                if rank == "vector"
                else 2
            )
            order = min(order, 2) if d.dim == 3 and d.chance(0.7) else order
            steady = d.time is not None and d.chance(0.15)
            in_time = 0 if d.time is None or steady else d.pick([1, 1, 1, 2])
            positive = rank == "scalar" and d.chance(0.1)
            own = Function(
                d.fresh(), "unknown", rank, "Omega", in_time=not steady, positive=positive
            )
            d.unknowns.append(own)
            orders[own.name] = (order, in_time)
            d.orders[own.name] = order
            d.features |= {
                f"unknown {rank}",
                f"order {order}",
                f"time order {in_time}",
                f"dim {d.dim}",
            }
            if steady:
                d.features.add("steady")
        self.declare_inputs()
        d.returns = d.time is not None and d.chance(0.1)
        d.features |= {"periodic in time"} if d.returns else set()
        equations, conditions, initial = [], [], []
        for field in d.unknowns:
            order, in_time = orders[field.name]
            equations.append(self.equation(field, order, in_time))
            conditions += d.boundary_conditions(field, order, self.places) if order >= 2 else []
            if in_time:
                initial += d.initial_conditions(field, in_time)
        if d.returns:
            initial = []
        requirements = []
        if d.chance(0.1):
            requirements.append(
                Requirement(
                    d.field_scalars()[0], d.pick([">", "<", ">=", "<="]), d.literal(False), "Omega"
                )
            )
        outputs = []
        if d.chance(0.2):
            region: Any = "Omega" if not self.places or d.chance(0.5) else d.pick(self.places)
            outputs.append((d.fresh(), d.scalar(1, d.field_scalars()), region))
        return self.finish(
            equations=tuple(equations),
            conditions=tuple(conditions),
            initial=tuple(initial),
            requirements=tuple(requirements),
            outputs=tuple(outputs),
            expected=frozenset({"V03"}),
        )

    def equation(self, field: Function, order: int, in_time: int) -> Statement:
        d = self.d
        u = name(field.name, field.rank)
        principal = d.principal(field, order)
        entries = {"scalar": 1, "vector": d.dim, "tensor": d.dim**2}[field.rank]
        if field.rank == "scalar":
            lower = d.lower_order(order)
        else:
            lower = call(
                field.rank,
                *(d.lower_order(min(order, 2)) if k < 2 else d.literal() for k in range(entries)),
                rank=field.rank,
            )
            if field.rank == "vector" and d.chance(0.4):
                lower = add(lower, call("advect", u, u, rank="vector"))
        steady = mul(d.literal(), u)  # pins the constant
        if in_time:
            lower = add(lower, steady) if d.returns else lower
            left = derivative(u, (d.time[0],) * in_time)
            left = mul(d.positive_number(), left) if d.chance(0.3) else left
            left = (
                add(left, mul(d.literal(), derivative(u, (d.time[0],))))
                if in_time == 2 and d.chance(0.3)
                else left
            )
            right = Node("-", (principal, lower), rank=field.rank)
        elif d.chance(0.5):
            left, right = Node("-", (steady, principal), rank=field.rank), lower
        else:
            left, right = (
                add(call("negative", principal, rank=field.rank), steady, lower),
                zero(field.rank),
            )
        if d.chance(0.1):
            left, right = right, left
        label = d.pick([None, None, "balance", "momentum", "heat"]) if d.chance(0.5) else None
        label = (
            label
            if label
            and not any(label == each for each in self.__dict__.setdefault("labels", set()))
            else None
        )
        if label:
            self.labels.add(label)  # type: ignore[attr-defined]
        return Statement(left, right, "Omega", label)

    def energy(self) -> Declared:
        """An energy made small over one unknown."""
        d = self.d
        d.time = None
        d.periodic = ()
        if not self.places:
            self.places = d.cut([[Place("all", "Omega")]])
        rank = d.pick(["scalar", "scalar", "vector"]) if d.dim > 1 and not d.system else "scalar"
        field = Function(d.fresh(), "unknown", rank, "Omega")
        d.unknowns.append(field)
        self.declare_inputs()
        u = name(field.name, rank)
        gradient = call("grad", u, rank="vector" if rank == "scalar" else "tensor")
        known = [
            name(each.name) for each in d.inputs if each.rank == "scalar" and each.on == "Omega"
        ] + [d.known(1)]
        square = (
            call("inner", gradient, gradient)
            if d.chance(0.5) or rank == "vector"
            else call("dot", gradient, gradient)
        )
        bulk = mul(Node("/", (d.positive(), number(2))), square)
        if rank == "scalar":
            options = [
                lambda: bulk,
                lambda: call("sqrt", add(number(1), square)),
                lambda: add(bulk, Node("/", (power(u, 4), number(4)))),
                lambda: add(
                    bulk, mul(d.positive_number(), power(add(power(u, 2), number("-1", "-1")), 2))
                ),
                lambda: mul(add(number(1), power(u, 2)), square),
            ]
            density = Node("-", (d.pick(options)(), mul(d.pick(known), u)))
        else:
            strain = call("sym", gradient, rank="tensor")
            deformation = add(call("identity", rank="tensor"), gradient)
            volume = call("det", deformation)
            options = [
                lambda: bulk,
                lambda: add(
                    call("inner", strain, strain),
                    mul(d.positive_number(), power(call("tr", strain), 2)),
                ),
                lambda: add(
                    call("inner", deformation, deformation),
                    mul(d.positive_number(), power(Node("-", (volume, number(1))), 2)),
                ),
            ]
            density = Node("-", (d.pick(options)(), mul(d.pick(known), d.components(field)[0])))
        terms: list[tuple[Node, Any]] = [(density, "Omega")]
        conditions = []
        for k, place in enumerate(self.places):
            if k == 0:
                conditions += d.condition(field, "value", place)
            elif d.chance(0.4):
                terms.append((mul(d.known(1), d.components(field)[0]), place))
        terms[1:] = [
            (call("negative", mul(d.known(1), d.components(field)[0])), place)
            for _, place in terms[1:2]
        ]
        return self.finish(
            energy=Energy(tuple(terms)), conditions=tuple(conditions), expected=frozenset({"V03"})
        )

    def complex_(self) -> Declared:
        """A linear or cubic equation of waves for a complex unknown."""
        d = self.d
        field = Function(d.fresh(), "unknown", "scalar", "Omega", complex=True)
        d.unknowns.append(field)
        u = name(field.name)
        d.taken.add("i")

        def imaginary() -> Node:
            value = d.rational()
            written = f"{float(value):g}" if value.q in (1, 2, 4, 10) else "1"
            return call("imaginary", what=(sp.Rational(written), written))

        gradient = call("grad", u, rank="vector")
        medium = add(d.positive(), mul(imaginary(), d.known(1))) if d.chance(0.5) else d.positive()
        principal = d.pick(
            [
                lambda: call("lap", u),
                lambda: call("div", mul(medium, gradient)),
                lambda: mul(medium, call("lap", u)),
            ]
        )()
        lower = mul(d.pick([d.positive_number(), add(d.literal(), imaginary())]), u)
        if d.chance(0.4):
            lower = add(lower, mul(d.literal(), mul(call("abs2", u), u)))
        if d.chance(0.2):
            lower = add(lower, mul(imaginary(), call("conj", u)))
        left: Node = add(principal, lower)
        right: Node = d.known(1)
        initial = []
        if d.time:
            left, right = mul(imaginary(), derivative(u, (d.time[0],))), add(principal, lower)
            start = mul(call("exp", mul(imaginary(), name(d.space[0]))), d.literal())
            initial = [Statement(u, start, "Omega", at=d.time[1])]
        conditions = []
        for k, place in enumerate(self.places):
            value = d.pick(
                [
                    zero("scalar"),
                    call("exp", mul(imaginary(), d.known(0))),
                    add(d.known(1), imaginary()),
                ]
            )
            robin = Statement(call("dn", u), mul(mul(imaginary(), d.positive_number()), u), place)
            conditions.append(robin if k and d.chance(0.6) else Statement(u, value, place))
        return self.finish(
            equations=(Statement(left, right, "Omega"),),
            conditions=tuple(conditions),
            initial=tuple(initial),
            expected=frozenset({"V03"}),
        )

    def flow(self) -> Declared:
        """A gradient flow, dt(u) = -variation(E, u), of a quadratic and a quartic energy."""
        d = self.d
        if d.time is None:
            d.time = ("t", sp.S.Zero, sp.S.One) if "t" not in d.taken else None
            if d.time is None:
                return self.units()
            d.taken.add("t")
        field = Function(d.fresh(), "unknown", "scalar", "Omega")
        d.unknowns.append(field)
        self.declare_inputs()
        u = name(field.name)
        gradient = call("grad", u, rank="vector")
        density = mul(Node("/", (d.positive(), number(2))), call("dot", gradient, gradient))
        density = add(
            density, Node("/", (power(Node("-", (power(u, 2), number(1))), 2), number(4)))
        )
        if d.chance(0.3):
            density = add(density, mul(d.literal(), power(call("lap", u), 2)))
            d.orders[field.name] = 4
        order = d.orders.get(field.name, 2)
        varied = call("variation", density, u, what="Omega")
        right = call("negative", varied) if d.chance(0.7) else call("lap", varied)
        order += 0 if right.word == "negative" else 2
        if order > 4:
            right, order = call("negative", varied), order - 2
        conditions = d.boundary_conditions(field, order, self.places)
        equation = Statement(derivative(u, (d.time[0],)), right, "Omega")
        return self.finish(
            equations=(equation,),
            conditions=tuple(conditions),
            initial=tuple(d.initial_conditions(field, 1)),
            expected=frozenset({"V03"}),
        )

    def gauge(self) -> Declared:
        """A pure Neumann problem, its constant fixed by a required integral."""
        d = self.d
        d.time = None
        field = Function(d.fresh(), "unknown", "scalar", "Omega")
        d.unknowns.append(field)
        u = name(field.name)
        left = call("negative", d.second_order(field, u))
        gradient = call("grad", u, rank="vector")
        # the value itself stands in it
        while any(node == name(field.name) for part in [left] for node in _bare(part)):
            left = call("negative", call("div", mul(d.positive(), gradient)))
        flux = [
            Statement(call("dn", u), d.known(1) if d.chance(0.5) else zero("scalar"), place)
            for place in self.places
        ]
        value = d.pick([number(0), d.literal()])
        density = d.pick([u, u, mul(d.literal(), u), mul(power(name(d.space[0]), 2), u)])
        return self.finish(
            equations=(Statement(left, d.known(2), "Omega"),),
            conditions=tuple(flux),
            requirements=(Requirement(density, "=", value, "Omega"),),
            expected=frozenset({"V03"}),
        )

    def units(self) -> Declared:
        """A linear equation whose coefficients carry the units that make it right."""
        d = self.d
        d.numbers = [
            each
            for each in d.numbers
            if any(each.name == n.what for _, s in self.domains for n in _names(s))
        ]
        length = d.pick(["m", "m", "mm", "km"])
        unit = d.pick(["K", "Pa", "mol/m^3", "kg", "V"])
        order_in_time = d.pick([1, 2]) if d.time else 0
        field = Function(d.fresh(), "unknown", "scalar", "Omega", unit=unit)
        d.unknowns.append(field)
        u = name(field.name)

        def coefficient(power_of_length: int) -> Node:
            own = d.fresh()
            per = f"/s^{order_in_time}" if order_in_time > 1 else "/s" if order_in_time else ""
            whole = (
                f"{length}^{power_of_length}"
                if power_of_length > 1
                else length
                if power_of_length
                else "1"
            )
            d.numbers.append(
                Number(own, d.pick(["const", "param"]), value=d.rational(), unit=f"{whole}{per}")
            )
            return name(own)

        principal = mul(
            coefficient(2), d.pick([call("lap", u), add(*(derivative(u, (x, x)) for x in d.space))])
        )
        if d.chance(0.5):
            principal = add(principal, mul(coefficient(1), derivative(u, (d.space[0],))))
        right = Node("-", (principal, mul(coefficient(0), u)))
        if order_in_time:
            left = derivative(u, (d.time[0],) * order_in_time)
        else:
            left, right = right, zero("scalar")
        initial = [
            Statement(
                derivative(u, (d.time[0],) * k) if k else u, d.literal(), "Omega", at=d.time[1]
            )
            for k in range(order_in_time)
        ]
        conditions = [Statement(u, d.literal(), place) for place in self.places]
        return self.finish(
            equations=(Statement(left, right, "Omega"),),
            conditions=tuple(conditions),
            initial=tuple(initial),
            units=(length, "s" if d.time else None),
        )


class Meeting:
    """Problems with something to hold inside of the domain: two bodies that touch, subdomains with
    equations of their own, a contact across which the unknown itself jumps."""

    def __init__(self, drawer: Drawer) -> None:
        self.d = drawer
        d = drawer
        d.features.add("interface")
        first, self.middle, last = sorted(d.rng.sample(range(-4, 5), 3))
        low, high = d.pick([(0, 1), (-1, 1), (0, 2)])
        self.low = (number(first), *(number(low) for _ in d.space[1:]))
        self.high = (number(last), *(number(high) for _ in d.space[1:]))

    def box(self, first: Node | None = None, last: Node | None = None) -> Shape:
        low = (first or self.low[0], *self.low[1:])
        high = (last or self.high[0], *self.high[1:])
        return Shape({1: "interval", 2: "rectangle", 3: "box"}[self.d.dim], points=(low, high))

    def balance(self, field: Function, where: str) -> tuple[Statement, Node]:
        """`rate - div(flux) + c u = f` in some writing, and the flux with that sign."""
        d, u = self.d, name(field.name)
        gradient = call("grad", u, rank="vector")
        conducts: Node = d.positive()
        if d.chance(0.2):
            conducts = add(d.literal(), power(u, 2))
        flux = mul(conducts, gradient)
        left = call("negative", call("div", flux))
        left = add(left, mul(d.literal(), u))
        if d.time and field.in_time:
            left = add(derivative(u, (d.time[0],)), left)
        right = d.known(1)
        if d.chance(0.3):
            right = Node("-", (right, power(u, 2)))
        if d.chance(0.3):
            left, right = right, left
        return Statement(left, right, where), flux

    def start(self, fields: list[Function]) -> tuple[Statement, ...]:
        d = self.d
        if d.time is None:
            return ()
        return tuple(
            Statement(name(each.name), d.literal(), each.on, at=d.time[1]) for each in fields
        )

    def finish(self, domains: list[tuple[str, Shape]], **parts: Any) -> Declared:
        drawn = Drawn(self.d, domains, [])
        return drawn.finish(**parts, expected=frozenset({"V03", "J01", "J04", "W11"}))

    def bodies(self) -> Declared:
        """Two unknowns on two boxes that share a side: perfect contact, or a resistance."""
        d = self.d
        d.features.add("two domains")
        places = [d.fresh() for _ in range(2)]
        meet = number(self.middle)
        domains = [(places[0], self.box(last=meet)), (places[1], self.box(first=meet))]
        shared = Place("interface", places[0], d.fresh(), part=places[1])
        rest = [Place("rest", each, d.fresh(), others=(shared.name,)) for each in places]
        d.places += [shared, *rest]
        fields = [Function(d.fresh(), "unknown", "scalar", each) for each in places]
        d.unknowns += fields
        u, v = (name(each.name) for each in fields)
        equations, fluxes = zip(*(self.balance(each, each.on) for each in fields), strict=True)
        normal = call("normal", rank="vector")
        out, onward = (call("dot", each, normal) for each in fluxes)
        across = d.pick(
            [
                Statement(u, v, shared),
                Statement(u, add(v, d.known(0)), shared),
                Statement(out, mul(d.positive_number(), Node("-", (v, u))), shared),
            ]
        )
        conditions = [across, Statement(out, onward, shared)]
        conditions += [
            Statement(name(each.name), d.known(1), place)
            for each, place in zip(fields, rest, strict=True)
        ]
        return self.finish(
            domains, equations=equations, conditions=tuple(conditions), initial=self.start(fields)
        )

    def parts(self) -> Declared:
        """One unknown with an equation in either of two parts of its domain, whose flux is kept
        continuous."""
        d = self.d
        d.features.add("subdomains")
        meet = number(self.middle)
        core, rim = d.fresh(), d.fresh()
        halves = [(core, self.box(last=meet)), (rim, self.box(first=meet))]
        if d.dim > 1 and d.chance(0.4):
            middle = tuple(
                number((a.what[0] + b.what[0]) / 2)
                for a, b in zip(self.low, self.high, strict=True)
            )
            hole = Shape(
                "disk" if d.dim == 2 else "ball",
                keywords=(("radius", number("1/4")), ("center", middle)),
            )
            halves = [(core, hole), (rim, Shape("-", (self.box(), hole)))]
        domains = [("Omega", self.box()), *halves]
        field = Function(d.fresh(), "unknown", "scalar", "Omega")
        d.unknowns.append(field)
        (first, flux), (second, onward) = (self.balance(field, each) for each in (core, rim))
        outside = Place("all", "Omega")
        return self.finish(
            domains,
            equations=(first, second),
            conditions=(Statement(name(field.name), d.known(1), outside),),
            initial=self.start([field]),
            fluxes=(Flux("eq1.eq2.flux", flux, onward, (core, rim)),),
        )

    def contact(self) -> Declared:
        """A coefficient that jumps on a plane, where the flux is kept continuous, has a source, or
        passes a resistance."""
        d = self.d
        field = Function(d.fresh(), "unknown", "scalar", "Omega")
        d.unknowns.append(field)
        u, x = name(field.name), name(d.space[0])
        meet = number(self.middle)
        gradient = call("grad", u, rank="vector")
        low, high = d.literal(), d.literal()
        if low.what[0] == high.what[0]:
            high = number(high.what[0] + 1)
        conducts = call("if", call("<", x, meet), low, high)
        flux = mul(conducts, gradient)
        left = add(call("negative", call("div", flux)), mul(d.literal(), u))
        if d.time:
            left = add(derivative(u, (d.time[0],)), left)
        outside = Statement(u, d.known(1), Place("all", "Omega"))
        level = Place("level", "Omega", value=Node("-", (x, meet)))
        through = mul(
            conducts,
            d.pick([call("dn", u), call("dot", gradient, call("normal", rank="vector"))]),
        )
        kind = d.pick(["derived", "source", "resistance"])
        d.features.add(f"contact {kind}")
        held = {
            "derived": [],
            "source": [Statement(call("jump", through), d.literal(False), level)],
            "resistance": [
                Statement(call("jump", u), mul(d.positive_number(), call("avg", through)), level),
                Statement(call("jump", through), d.pick([number(0), d.literal()]), level),
            ],
        }[kind]
        derived = (Flux("eq1.flux", flux, flux),) if kind == "derived" else ()
        return self.finish(
            [("Omega", self.box())],
            equations=(Statement(left, d.known(1), "Omega"),),
            conditions=(outside, *held),
            initial=self.start([field]),
            fluxes=derived,
        )


def _bare(node: Node) -> list[Node]:
    """The parts of a tree that are not differentiated."""
    if node.word in ("d", "grad", "lap", "div", "tr"):
        return [part for each in node.args if each.word in "*/" for part in _bare(each)]
    return [node, *(part for each in node.args for part in _bare(each))]


def _names(shape: Shape) -> list[Node]:
    """The names that the numbers of a shape hold."""
    found = []
    for part in shape.parts:
        found += _names(part)
    values = [*shape.points, *(value for _, value in shape.keywords)]
    for value in values:
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Node):
                found += [node for node in each.walk() if node.word == "name"]
    return found
