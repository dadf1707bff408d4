"""Expressions as functions of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from scipy.special import spherical_jn


def numpy_function(
    arguments: Sequence[sp.Symbol], expressions: sp.Expr | Sequence[sp.Expr]
) -> Callable[..., Any]:
    """Expressions as one function of arrays. Branches that are not taken are computed too, in
    silence."""
    several = isinstance(expressions, (list, tuple))
    listed = tuple(sp.sympify(e) for e in (expressions if several else [expressions]))
    return _compiled(tuple(arguments), listed, several)


@lru_cache(maxsize=512)
def _compiled(
    arguments: tuple[sp.Symbol, ...], listed: tuple[sp.Expr, ...], several: bool
) -> Callable[..., Any]:
    # a whole number beyond 64 bits times an array would be an array of Python's numbers
    large = {n for e in listed for n in e.atoms(sp.Integer) if abs(n) >= 2**63}
    numbers = [e.xreplace({n: sp.Float(n, 17) for n in large}) for e in listed]
    call = sp.lambdify(
        arguments,
        numbers if several else numbers[0],
        modules=[{"jn": spherical_jn}, "scipy", "numpy"],
        cse=True,
    )
    # conditions of one shape: `x < 1` with `t < 1`
    chosen = any(e.has(sp.Piecewise, sp.Heaviside, sp.Min, sp.Max) for e in listed)

    def quiet(*values: Any) -> Any:
        with np.errstate(all="ignore"):
            return call(*(np.broadcast_arrays(*values) if chosen else values))

    return quiet
