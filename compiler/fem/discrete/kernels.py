"""Weak form -> numpy: the coefficients of residual and tangent as vectorised functions of their
jet variables.

The tangent is symbolic: each residual coefficient is differentiated by every unknown jet variable
it holds. Common subexpressions are shared between all coefficients of a region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from compiler.arrays import Array
from compiler.fem.forms.conditions import unknown_jet_variables
from compiler.fem.forms.weak import Integrand, Region, WeakForm, by_region
from compiler.lowering.numpy_function import numpy_function
from compiler.lowering.terms import JetVariable
from pdespec.jets import MultiIndex
from pdespec.jumps import slope


@dataclass(frozen=True)
class Function:
    """A vectorised function: `call` takes the values of `arguments` in order and gives one array
    per expression."""

    arguments: tuple[sp.Symbol, ...]
    expressions: tuple[sp.Expr, ...]
    call: Callable[..., Sequence[Array]]


@dataclass(frozen=True)
class Kernel:
    """The part of a weak form on one region.

    `rows[i]` says what the i-th value of `residual` multiplies: (row component, test index).
    `entries[i]` says the same for `tangent`: (row component, test index, jet variable it was
    differentiated by).
    """

    region: Region
    rows: tuple[tuple[str, MultiIndex], ...]
    residual: Function
    entries: tuple[tuple[str, MultiIndex, JetVariable], ...]
    tangent: Function


def kernels(form: WeakForm) -> tuple[Kernel, ...]:
    """One kernel a region, in the order of first appearance."""
    return tuple(kernel(region, integrands) for region, integrands in by_region(form))


def kernel(region: Region, integrands: Sequence[Integrand]) -> Kernel:
    """The functions that integrands of one region need at points of quadrature: residual and
    tangent."""
    gathered: dict[tuple[str, MultiIndex], sp.Expr] = {}
    for integrand in integrands:
        key = (integrand.row, integrand.test)
        gathered[key] = gathered.get(key, sp.S.Zero) + integrand.coefficient
    rows = tuple((key, expression) for key, expression in gathered.items() if expression != 0)
    tangent = [
        ((*key, s), slope(expression, s))
        for key, expression in rows
        for s in unknown_jet_variables(expression)
    ]
    tangent = [(key, expression) for key, expression in tangent if expression != 0]
    return Kernel(
        region,
        tuple(key for key, _ in rows),
        function([expression for _, expression in rows]),
        tuple(key for key, _ in tangent),
        function([expression for _, expression in tangent]),
    )


def function(expressions: Sequence[sp.Expr]) -> Function:
    """Expressions over jet variables, coordinates, parameters and normals as one numpy function."""
    return _compiled(tuple(map(sp.sympify, expressions)))


@lru_cache(maxsize=512)
def _compiled(expressions: tuple[sp.Expr, ...]) -> Function:
    arguments = tuple(
        sorted(
            set().union(*(e.free_symbols for e in expressions)),
            key=lambda s: (s.name, str(type(s))),
        )
    )
    places = {symbol: sp.Dummy(f"a{k}", real=True) for k, symbol in enumerate(arguments)}
    call = numpy_function(list(places.values()), [e.xreplace(places) for e in expressions])
    return Function(arguments, expressions, call)
