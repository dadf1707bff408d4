"""The operators of the language: one row each for what it does, how it is written as text and in
LaTeX, which rank its value has, and in which unit.

The parser, the checks, the printers, the editors and the documentation read this table: a row is
all that a new operator needs. Functions of numbers have their rows in `pdespec.functions`; `WORDS`
holds both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import sympy as sp

from pdespec import calculus, complexes, coordinates, notation, tensors
from pdespec.errors import fail
from pdespec.functions import TABLE, Entry
from pdespec.statements.variation import diff, variation
from pdespec.units import ANY, ONE, Unit, power, times

RankRule = Callable[[Sequence[str]], str]
"""The rank of a value from those of the arguments, as far as they decide it."""

UnitRule = Callable[[Sequence[Unit], Unit, int], Unit]
"""The unit of a value from those of the arguments, that of lengths, and the number of components
of the first argument."""

Binding = Literal["", "sign", "postfix"]
"""How tightly an argument has to bind in LaTeX to be printed without brackets: not at all, as what
has a sign in front, as what has an index."""


def scalar(ranks: Sequence[str]) -> str:
    """A scalar, whatever is given."""
    return "scalar"


def tensor(ranks: Sequence[str]) -> str:
    """A tensor, whatever is given."""
    return "tensor"


def last(ranks: Sequence[str]) -> str:
    """The rank of the last argument."""
    return ranks[-1]


def raised(ranks: Sequence[str]) -> str:
    """One rank more: that of a gradient."""
    return "tensor" if ranks[0] == "vector" else "vector"


def contracted(ranks: Sequence[str]) -> str:
    """One rank less: that of a divergence."""
    return "vector" if ranks[0] == "tensor" else "scalar"


def unknown(units: Sequence[Unit], length: Unit, components: int) -> Unit:
    """No unit that is known."""
    return None


def same(units: Sequence[Unit], length: Unit, components: int) -> Unit:
    """The unit of the first argument."""
    return units[0]


def pure(units: Sequence[Unit], length: Unit, components: int) -> Unit:
    """No unit: a number."""
    return ONE


def product(units: Sequence[Unit], length: Unit, components: int) -> Unit:
    """The unit of the first argument times that of the last."""
    return times(units[0], units[-1])


def ratio(units: Sequence[Unit], length: Unit, components: int) -> Unit:
    """The unit of the first argument over that of the second."""
    return times(units[0], power(units[1], Fraction(-1)))


def to_the(exponent: Fraction) -> UnitRule:
    """The unit of the first argument to a power."""
    return lambda units, length, components: power(units[0], exponent)


def per_length(times_taken: int) -> UnitRule:
    """A derivative in space; numbers have none."""
    return lambda units, length, components: (
        None if units[0] is ANY else times(units[0], power(length, Fraction(-times_taken)))
    )


def density_of(units: Sequence[Unit], length: Unit, components: int) -> Unit:
    """Its integral over the components of its argument is 1."""
    return None if units[0] is ANY else power(units[0], Fraction(-components))


@dataclass(frozen=True, slots=True)
class Word:
    """An operator or function: how it is called, what it does (nothing here for a form of the
    grammar, such as `integral`), its LaTeX with `%s` for each argument, or the name to be set
    before its brackets.

    `infix`: its LaTeX is not a factor of a product without brackets; `prefix`: it is one of a
    single symbol only."""

    name: str
    usage: str
    function: Callable[..., Any] | None = None
    least: int = 1
    most: int = 1
    tex: str = ""
    binding: Binding = ""
    rank: RankRule = scalar
    unit: UnitRule = unknown
    infix: bool = False
    prefix: bool = False


def _scalars(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function of numbers."""

    def apply(*arguments: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, sp.MatrixBase):
                kind = calculus.describe(argument)
                raise fail(
                    "T02",
                    f"{name} needs a scalar, {notation.short(argument)} is {kind}",
                    "apply it to components: v.x",
                )
            if name in ("min", "max") and complexes.is_complex(argument):
                raise fail(
                    "T02",
                    f"{name} of {notation.short(argument)}, which is complex",
                    "compare real parts, re(..), or abs(..)",
                )
        return function(*arguments)

    apply.__doc__ = function.__doc__
    return apply


def _varied(ranks: Sequence[str]) -> str:
    """d psi / d F is of the rank of F where psi is a scalar."""
    return ranks[-1] if ranks[0] == "scalar" else ranks[0]


# fmt: off
OPERATORS: dict[str, Word] = {
    word.name: word
    for word in (
        Word("dt", "dt(u)", rank=last),
        Word("dn", "dn(u)", calculus.dn, tex=r"\frac{\partial}{\partial \boldsymbol{n}} %s",
             binding="postfix", rank=last, unit=per_length(1)),
        Word("grad", "grad(u)", calculus.grad, tex=r"\nabla %s", binding="sign", rank=raised,
             unit=per_length(1), prefix=True),
        Word("div", "div(v)", calculus.div, tex=r"\nabla \cdot %s", binding="postfix",
             rank=contracted, unit=per_length(1), prefix=True),
        Word("curl", "curl(v)", calculus.curl, tex=r"\nabla \times %s", binding="postfix",
             unit=per_length(1), prefix=True),
        Word("lap", "lap(u)", calculus.lap, tex=r"\Delta %s", binding="postfix", rank=last,
             unit=per_length(2), prefix=True),
        Word("advect", "advect(v, u)", calculus.advect, 2, 2, r"(%s \cdot \nabla) %s", "postfix",
             last, lambda units, length, _: times(times(*units), power(length, Fraction(-1))),
             infix=True),
        Word("sym", "sym(T)", tensors.sym, tex=r"\operatorname{sym}(%s)", rank=tensor, unit=same),
        Word("skew", "skew(T)", tensors.skew, tex=r"\operatorname{skew}(%s)", rank=tensor,
             unit=same),
        Word("tr", "tr(T)", tensors.tr, tex=r"\operatorname{tr}(%s)", unit=same),
        Word("det", "det(T)", tensors.det, tex=r"\det(%s)"),
        Word("inv", "inv(T)", tensors.inv, tex="%s^{-1}", binding="postfix",
             rank=tensor, unit=to_the(Fraction(-1))),
        Word("dot", "dot(v, w)", tensors.dot, 2, 2, r"%s \cdot %s", "postfix", unit=product,
             infix=True),
        Word("cross", "cross(v, w)", tensors.cross, 2, 2, r"%s \times %s", "postfix",
             unit=product, infix=True),
        Word("outer", "outer(v, w)", tensors.outer, 2, 2, r"%s \otimes %s", "postfix", tensor,
             product, infix=True),
        Word("inner", "inner(S, T)", tensors.inner, 2, 2, "%s : %s", "postfix", unit=product,
             infix=True),
        Word("entry", "entry(c, 0)", least=2, most=2, unit=same),
        Word("diff", "diff(psi, F)", diff, 2, 2, r"\frac{\partial %s}{\partial %s}", "postfix",
             _varied, ratio),
        Word("variation", "variation(E, u)", variation, 2, 2, r"\frac{\delta %s}{\delta %s}",
             "postfix"),
        Word("integral", "integral(psi, Omega)", least=2, most=2, infix=True),
        Word("jump", "jump(u)", calculus.jump, tex=r"[\![ %s ]\!]", rank=last, unit=same),
        Word("avg", "avg(u)", calculus.avg, tex=r"\{\!\{ %s \}\!\}", rank=last, unit=same),
        Word("re", "re(psi)", complexes.re, tex=r"\operatorname{Re} %s", binding="postfix",
             rank=last, unit=same),
        Word("im", "im(psi)", complexes.im, tex=r"\operatorname{Im} %s", binding="postfix",
             rank=last, unit=same),
        Word("conj", "conj(psi)", complexes.conj, tex=r"\overline{%s}", rank=last, unit=same),
        Word("arg", "arg(s)", _scalars(complexes.arg, "arg"), unit=pure),
        Word("abs2", "abs2(psi)", complexes.abs2, tex=r"\left|%s\right|^{2}", unit=product),
    )
}
"""Differential, algebraic and variational operators. There are also dx, dyy, dtx, .., and
d(u, x, x): the letter d stays free."""

NUMERIC: dict[str, Word] = {
    word.name: word
    for word in (
        Word("sqrt", "sqrt(s)", _scalars(sp.sqrt, "sqrt"), tex=r"\sqrt{%s}",
             unit=to_the(Fraction(1, 2))),
        Word("dirac", "dirac(x - 1/2, 0.05)", calculus.dirac, 1, 2,
             r"\delta\left(%s;\, %s\right)", unit=density_of),
    )
}
# fmt: on
"""Functions of numbers that are no class of SymPy, nor evaluated by one."""


def _word(entry: Entry) -> Word:
    # of real numbers the absolute value, of complex ones a root
    own = {"abs": complexes.modulus, "sphericalj": coordinates.spherical_bessel}
    function = own.get(entry.name, entry.function)
    numeric = _scalars(function, entry.name)
    return Word(entry.name, entry.example, numeric, entry.least, entry.most, entry.tex)


WORDS: dict[str, Word] = OPERATORS | NUMERIC | {name: _word(TABLE[name]) for name in TABLE}
"""Every operator and function."""

CALLED = {name: word for name, word in WORDS.items() if word.function is not None}
"""Those whose value follows from that of their arguments."""
