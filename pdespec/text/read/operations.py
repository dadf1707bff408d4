"""The built-in operators and functions: what each does in the language core, how many arguments
it takes and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from pdespec import calculus, complexes, notation, tensors
from pdespec.errors import fail
from pdespec.functions import TABLE
from pdespec.statements.variation import diff, variation


@dataclass(frozen=True, slots=True)
class Builtin:
    """A built-in operator: what it does, how many arguments it takes and how it is written."""

    function: Callable[..., Any]
    least: int
    most: int
    usage: str


def _elementary(
    function: Callable[..., Any], name: str, least: int = 1, most: int = 1, usage: str = ""
) -> Builtin:
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

    return Builtin(apply, least, most, usage or f"{name}(s)")


def _small(function: Callable[..., Any], name: str) -> Builtin:
    """An operator on the tensors of space, whose formulas end at 3 by 3."""

    def apply(tensor: Any) -> Any:
        if isinstance(tensor, sp.MatrixBase) and tensor.rows > 3:
            raise fail(
                "T02",
                f"{name} of {calculus.describe(tensor)}",
                "tensors of space are at most 3 by 3",
            )
        return function(tensor)

    return Builtin(apply, 1, 1, f"{name}(T)")


BUILTINS: dict[str, Builtin] = {
    "grad": Builtin(calculus.grad, 1, 1, "grad(u)"),
    "dn": Builtin(calculus.dn, 1, 1, "dn(u)"),
    "div": Builtin(calculus.div, 1, 1, "div(v)"),
    "curl": Builtin(calculus.curl, 1, 1, "curl(v)"),
    "lap": Builtin(calculus.lap, 1, 1, "lap(u)"),
    "advect": Builtin(calculus.advect, 2, 2, "advect(v, u)"),
    "sym": Builtin(tensors.sym, 1, 1, "sym(T)"),
    "skew": Builtin(tensors.skew, 1, 1, "skew(T)"),
    "tr": Builtin(tensors.tr, 1, 1, "tr(T)"),
    "det": _small(tensors.det, "det"),
    "inv": _small(tensors.inv, "inv"),
    "dot": Builtin(tensors.dot, 2, 2, "dot(v, w)"),
    "cross": Builtin(tensors.cross, 2, 2, "cross(v, w)"),
    "outer": Builtin(tensors.outer, 2, 2, "outer(v, w)"),
    "inner": Builtin(tensors.inner, 2, 2, "inner(S, T)"),
    "jump": Builtin(calculus.jump, 1, 1, "jump(u)"),
    "avg": Builtin(calculus.avg, 1, 1, "avg(u)"),
    "diff": Builtin(diff, 2, 2, "diff(psi, F)"),
    "variation": Builtin(variation, 2, 2, "variation(E, u)"),
    "dirac": Builtin(calculus.dirac, 1, 2, "dirac(x - 1/2, 0.05)"),
    "sqrt": _elementary(sp.sqrt, "sqrt"),
    "re": Builtin(complexes.re, 1, 1, "re(psi)"),
    "im": Builtin(complexes.im, 1, 1, "im(psi)"),
    "conj": Builtin(complexes.conj, 1, 1, "conj(psi)"),
    "abs2": Builtin(complexes.abs2, 1, 1, "abs2(psi)"),
    "arg": _elementary(complexes.arg, "arg"),
} | {
    entry.name: _elementary(entry.function, entry.name, entry.least, entry.most, entry.example)
    for entry in TABLE.values()
}

# of real numbers the absolute value, of complex ones a root
BUILTINS["abs"] = _elementary(complexes.modulus, "abs")
