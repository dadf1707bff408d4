"""The elementary and special functions of the language: one table for the text form, LaTeX, units,
checks and lowerings.

A function that stands here can be written, printed, typeset, differentiated and evaluated by every
lowering (`tests/compiler/test_functions.py` holds each entry to that). What SymPy knows beyond
these is refused by name: V06.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sympy as sp
from sympy.core.function import Application, AppliedUndef

from pdespec.calculus import TwoSided
from pdespec.coordinates import Mod

MAX_ORDER = 12  # of a Bessel function

Unit = Literal["pure", "same", "ratio", "sign"]
"""How a function treats units. pure: number to number. same: the arguments share a unit, which is
that of the value. ratio: the arguments share a unit, the value is a number. sign: the first
argument has any unit, the value is a number.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One function: how it is written, the SymPy class it stands for, its LaTeX with `%s` for each
    argument, its units.

    `own` says that no declaration may take its name; the others give way to a name of the user's.
    """

    name: str
    function: Callable[..., Any]
    tex: str = ""
    least: int = 1
    most: int = 1
    unit: Unit = "pure"
    own: bool = False
    usage: str = ""

    @property
    def example(self) -> str:
        """A call as it is written: `besselj(k, s)`."""
        return self.usage or f"{self.name}({'a, b' if self.most > 1 else 's'})"


def _named(names: str, own: bool = False) -> list[Entry]:
    """Functions of one number that SymPy calls as the language does; LaTeX has a command for the
    shortest of them."""
    commands = "exp log sin cos tan cot sec csc sinh cosh tanh coth".split()
    return [
        Entry(
            n,
            getattr(sp, n),
            rf"\{n}(%s)" if n in commands else rf"\operatorname{{{n}}}(%s)",
            own=own,
        )
        for n in names.split()
    ]


TABLE: dict[str, Entry] = {
    entry.name: entry
    for entry in [
        *_named("exp log sin cos tan sinh cosh tanh", own=True),
        Entry("abs", sp.Abs, r"\left|%s\right|", unit="same", own=True),
        Entry("min", sp.Min, r"\min", least=2, most=8, unit="same", own=True),
        Entry("max", sp.Max, r"\max", least=2, most=8, unit="same", own=True),
        *_named(
            "cot sec csc asin acos atan acot asec acsc coth sech csch asinh acosh atanh acoth asech"
            " acsch"
        ),
        Entry(
            "atan2", sp.atan2, r"\operatorname{atan2}(%s, %s)", 2, 2, "ratio", usage="atan2(y, x)"
        ),
        *_named("erf erfc erfinv sinc"),
        Entry("gamma", sp.gamma, r"\Gamma(%s)"),
        Entry("loggamma", sp.loggamma, r"\log\Gamma(%s)"),
        Entry("polygamma", sp.polygamma, r"\psi_{%s}(%s)", 2, 2, usage="polygamma(1, s)"),
        Entry("besselj", sp.besselj, "J_{%s}(%s)", 2, 2, usage="besselj(0, s)"),
        Entry("bessely", sp.bessely, "Y_{%s}(%s)", 2, 2, usage="bessely(0, s)"),
        Entry("besseli", sp.besseli, "I_{%s}(%s)", 2, 2, usage="besseli(0, s)"),
        Entry("besselk", sp.besselk, "K_{%s}(%s)", 2, 2, usage="besselk(0, s)"),
        Entry("sphericalj", sp.jn, "j_{%s}(%s)", 2, 2, usage="sphericalj(0, s)"),
        Entry("sign", sp.sign, r"\operatorname{sgn}(%s)", unit="sign"),
        Entry("step", sp.Heaviside, "H(%s)", 1, 2, "sign", usage="step(x - 1/2)"),
        Entry("floor", sp.floor, r"\left\lfloor %s \right\rfloor"),
        Entry("ceil", sp.ceiling, r"\left\lceil %s \right\rceil"),
        Entry("frac", sp.frac, r"\operatorname{frac}(%s)"),
        Entry("mod", Mod, r"%s \bmod %s", 2, 2, "same", usage="mod(x, 1)"),
    ]
}

WRITTEN: dict[Any, str] = {entry.function: name for name, entry in TABLE.items()}
"""SymPy class -> word."""

ORDERED = (sp.besselj, sp.bessely, sp.besseli, sp.besselk, sp.jn, sp.polygamma)
"""Functions whose first argument counts and must be a number."""


def unknown_functions(expression: sp.Basic) -> Iterator[tuple[sp.Basic, str]]:
    """The functions of an expression that cannot be evaluated on tensors, each with the reason.
    Numbers are evaluated by SymPy."""
    seen: set[sp.Basic] = set()
    stack: list[sp.Basic] = [expression]
    while stack:
        node = stack.pop()
        if node in seen or (isinstance(node, sp.Expr) and node.is_number):
            continue
        seen.add(node)
        if reason := _reason(node):
            yield node, reason
        stack.extend(node.args)


def _reason(node: sp.Basic) -> str:
    if isinstance(node, sp.DiracDelta):
        return "a point source has no value at points"
    if node.func in ORDERED:
        return _order(node)
    if (
        node.func in WRITTEN
        or not isinstance(node, Application)
        or isinstance(node, (AppliedUndef, TwoSided, sp.Piecewise, sp.logic.boolalg.Boolean))
    ):
        return ""
    return f"`{node.func.__name__}` has no rule for tensors"


def _order(node: Any) -> str:
    order = node.args[0]
    name = WRITTEN[node.func]
    if not isinstance(order, sp.Rational):
        return f"the order of `{name}` is {order}, not a number"
    if isinstance(node, (sp.jn, sp.polygamma)):
        return (
            ""
            if order.is_Integer and 0 <= order <= MAX_ORDER
            else f"`{name}` is known for the orders 0, 1, .. {MAX_ORDER}, not {order}"
        )
    if (2 * order).is_Integer and abs(order) <= MAX_ORDER:
        return ""
    return f"`{name}` is known for whole and half orders up to {MAX_ORDER}, not {order}"
