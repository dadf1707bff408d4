"""Complex fields and numbers as pairs of real ones: `psi = a + i b` with the unknowns a and b, and
every equation as two.

A complex unknown is declared; its symbol is the sum of its real component and i times its imaginary
one, so that all of SymPy works on it. Statements are real: `stacked` puts the real and imaginary
parts of a complex side below each other when a statement is made, and nothing downstream knows of
complex numbers.
"""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from pdespec.errors import fail

COMPLEX = (type(sp.I), sp.re, sp.im, sp.arg, sp.conjugate)


def split(expression: Any) -> tuple[Any, Any]:
    """The real and the imaginary part of a scalar in real symbols and fields; of a matrix, entry by
    entry.

    Sums, products, whole powers and derivatives are split by their rules, so that
    `div(k*grad(psi))` stays a divergence; functions by their addition theorems.

    Raises: T05 for a function of a complex argument whose parts have no closed form.
    """
    if isinstance(expression, sp.MatrixBase):
        pairs = [split(entry) for entry in expression]
        return tuple(
            sp.ImmutableMatrix(*expression.shape, [pair[k] for pair in pairs]) for k in (0, 1)
        )  # type: ignore[return-value]
    if not expression.has(*COMPLEX):
        if expression.is_number and expression.is_extended_real is False:  # as (-8)^(1/3)
            return expression.as_real_imag()
        return expression, sp.S.Zero
    if expression == sp.I:
        return sp.S.Zero, sp.S.One
    if isinstance(expression, sp.Add):
        pairs = [split(term) for term in expression.args]
        return sp.Add(*(p for p, _ in pairs)), sp.Add(*(q for _, q in pairs))
    if isinstance(expression, sp.Mul):
        real, imaginary = sp.S.One, sp.S.Zero
        for p, q in map(split, expression.args):
            real, imaginary = real * p - imaginary * q, real * q + imaginary * p
        return real, imaginary
    if isinstance(expression, sp.Derivative):
        return tuple(
            sp.Derivative(part, *expression.variables) if part != 0 else part
            for part in split(expression.expr)
        )  # type: ignore[return-value]
    if isinstance(expression, sp.Pow) and expression.exp.is_Integer:
        return _power(expression.base, int(expression.exp))
    return _function(expression)


def _power(base: sp.Expr, exponent: int) -> tuple[sp.Expr, sp.Expr]:
    p, q = split(base)
    if exponent < 0:
        size = p**2 + q**2
        p, q, exponent = p / size, -q / size, -exponent
    real, imaginary = p, q
    for _ in range(exponent - 1):
        real, imaginary = real * p - imaginary * q, real * q + imaginary * p
    return real, imaginary


def _function(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    parts = [split(argument) for argument in expression.args]
    p, q = parts[0]
    if isinstance(expression, sp.conjugate):
        return p, -q
    if isinstance(expression, (sp.re, sp.im)):
        return (p if isinstance(expression, sp.re) else q), sp.S.Zero
    if isinstance(expression, sp.Abs):
        return sp.sqrt(p**2 + q**2), sp.S.Zero
    if isinstance(expression, sp.arg):
        return sp.atan2(q, p), sp.S.Zero
    if all(imaginary == 0 for _, imaginary in parts):
        return expression.func(*(real for real, _ in parts)), sp.S.Zero
    # an integral over a region: its density is its first argument
    if hasattr(expression, "density"):
        return tuple(
            expression.func(part, expression.args[1]) if part != 0 else part for part in parts[0]
        )  # type: ignore[return-value]
    stands = [(sp.Dummy(real=True), sp.Dummy(real=True)) for _ in parts]
    back = {
        dummy: part
        for pair, both in zip(stands, parts, strict=True)
        for dummy, part in zip(pair, both, strict=True)
    }
    arguments = [
        a + sp.I * b if imaginary != 0 else real
        for (a, b), (real, imaginary) in zip(stands, parts, strict=True)
    ]
    found = [each.rewrite(sp.atan2) for each in expression.func(*arguments).as_real_imag()]
    if any(each.has(*COMPLEX) for each in found):
        hint = "write its real and imaginary parts out, or two real unknowns"
        raise fail(
            "T05",
            f"the parts of {expression} are not known",
            hint,
            "complex arguments have powers, exp, log, sin, cos, sinh and cosh",
        )
    return found[0].xreplace(back), found[1].xreplace(back)


def is_complex(expression: Any) -> bool:
    """Whether an expression has an imaginary part that does not cancel."""
    if not expression.has(*COMPLEX):
        return False
    parts = split(expression)[1]
    return any(
        sp.expand(part) != 0 for part in (parts if isinstance(parts, sp.MatrixBase) else [parts])
    )


def re(expression: Any) -> Any:
    """The real part, entry by entry."""
    return split(sp.sympify(expression))[0]


def im(expression: Any) -> Any:
    """The imaginary part, entry by entry."""
    return split(sp.sympify(expression))[1]


def conj(expression: Any) -> Any:
    """The complex conjugate, entry by entry."""
    real, imaginary = split(sp.sympify(expression))
    return real - sp.I * imaginary


def arg(expression: Any) -> Any:
    """The angle of a complex number, in (-pi, pi]."""
    real, imaginary = split(sp.sympify(expression))
    return sp.atan2(imaginary, real)


def abs2(expression: Any) -> Any:
    """The squared absolute value; of a vector or tensor the sum over its entries."""
    parts = split(sp.sympify(expression))
    return sp.Add(
        *(
            entry**2
            for part in parts
            for entry in (part if isinstance(part, sp.MatrixBase) else [part])
        )
    )


def modulus(expression: Any) -> Any:
    """The absolute value of a real or complex number."""
    real, imaginary = split(expression)
    return sp.Abs(real) if imaginary == 0 else sp.sqrt(real**2 + imaginary**2)


def real_valued(expression: Any, what: str) -> Any:
    """An expression that must be real, without its vanishing imaginary part.

    Raises: T05 for one that is complex.
    """
    if not expression.has(*COMPLEX):
        return expression
    if is_complex(expression):
        hint = "take its real part re(..), abs(..) or abs2(..)"
        raise fail(
            "T05",
            f"{what} is complex",
            hint,
            "what is compared, minimised or integrated to a number is real",
        )
    return split(expression)[0]


def stacked(expression: Any) -> Any:
    """A complex scalar, vector or tensor as the column of the real and imaginary parts of its
    entries; a real one as it is."""
    if not expression.has(*COMPLEX):
        return expression
    if not is_complex(expression):
        return split(expression)[0]
    return column(expression)


def column(expression: Any) -> sp.ImmutableMatrix:
    """Real and imaginary part of every entry, below each other."""
    entries = expression if isinstance(expression, sp.MatrixBase) else [expression]
    return sp.ImmutableMatrix([part for entry in entries for part in split(entry)])


def sides(lhs: Any, rhs: Any) -> tuple[Any, Any]:
    """Both sides of an equation or condition as real ones of one size: that of a complex equation
    as two equations.

    Raises: T05 for a complex equation without a complex field: its imaginary part would be an
    equation too much.
    """
    if not (lhs.has(*COMPLEX) or rhs.has(*COMPLEX)):
        return lhs, rhs
    if not is_complex(lhs - rhs):
        return split(lhs)[0], split(rhs)[0]
    fields = lhs.atoms(AppliedUndef) | rhs.atoms(AppliedUndef)
    if not any(
        getattr(getattr(field.func, "declaration", None), "complex", False) for field in fields
    ):
        hint = (
            'declare the unknown complex: `unknown u : complex scalar on Omega`, unknown("u",'
            " Omega, complex=True)"
        )
        raise fail(
            "T05",
            "the equation is complex, its fields are real",
            hint,
            "its imaginary part would be a second equation",
        )
    return column(lhs), column(rhs)
