"""Vectors whose equations hold their curl alone: Maxwell's equations of one frequency.

`curl(k*curl(E)) + c*E = F` leaves the normal component of E free to jump, and where the domain has
a corner that points inwards the derivatives of E are not square integrable. Continuous elements
then converge to something else, if at all; edge elements do not. Source: M. Costabel, M. Dauge,
Math. Meth. Appl. Sci. 22 (1999); J.-C. Nedelec, Numer. Math. 35 (1980).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sympy as sp

from compiler.fem.forms.conditions import unknown_jet_variables
from compiler.fem.forms.unit_normal import zero
from compiler.lowering.terms import JetVariable
from pdespec.jets import MultiIndex

Term = tuple[str, MultiIndex, sp.Expr]  # row, derivatives of its test function, coefficient


def of_curl_alone(
    terms: Iterable[Term], vectors: Sequence[Sequence[str]], axes: int
) -> tuple[str, ...]:
    """The components of those vectors whose derivatives, and those of their test functions, enter a
    weak form by their curl alone. The first `axes` entries of an index count derivatives in space.
    """
    terms = list(terms)
    found: list[str] = []
    for own in vectors:
        if len(own) != axes or axes < 2:
            continue
        tested = {(c, index[:axes]): coefficient for c, index, coefficient in terms if c in own}
        units = [tuple(int(k == j) for k in range(axes)) for j in range(axes)]
        flux = [[tested.get((c, unit), sp.S.Zero) for unit in units] for c in own]
        if all(each == 0 for row in flux for each in row) or not antisymmetric(flux):
            continue
        if all(turns(coefficient, own, units) for _, _, coefficient in terms):
            found += own
    return tuple(found)


def antisymmetric(matrix: Sequence[Sequence[sp.Expr]]) -> bool:
    """Whether a matrix of expressions changes its sign when it is transposed."""
    size = range(len(matrix))
    return zero([matrix[i][j] + matrix[j][i] for i in size for j in size if i <= j], [])


def turns(expression: sp.Expr, own: Sequence[str], units: Sequence[MultiIndex]) -> bool:
    """Whether an expression depends on the derivatives of a vector by its curl alone."""
    jets: Mapping[tuple[str, MultiIndex], JetVariable] = {
        (s.component, s.index[: len(units)]): s
        for s in unknown_jet_variables(expression)
        if s.component in own and any(s.index[: len(units)])
    }
    if not jets:
        return True
    if any(sum(index) != 1 for _, index in jets):
        return False
    slopes = [
        [
            sp.diff(expression, s) if (s := jets.get((c, unit))) is not None else sp.S.Zero
            for unit in units
        ]
        for c in own
    ]
    return antisymmetric(slopes)
