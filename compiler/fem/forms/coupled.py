"""Conditions that together say what several fluxes do: slip along a wall, a foundation that resists
one direction, fluxes of two unknowns that depend on each other, contact of two bodies.

Let q be the fluxes of some equations across a boundary and w their test functions. Conditions with
derivatives are A q + r = 0 with r free of derivatives, conditions on values D u = g, so that D w =
0. The boundary term w . q of the weak form follows where

    A D^T = 0 and rank A + rank D is the number of fluxes:   w . q = w . t,   t = -M^-1 A^T r,
    M = A^T A + D^T D,

since every w with D w = 0 is then in the row space of A. Where A D^T = 0 fails for two unknowns
alone it holds once one of their equations is multiplied by a number: u = K v with equal fluxes
(Henry's law). Across what two domains share the fluxes of the second have the other sign, and the
normal points into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from compiler.fem.forms.conditions import Natural, unknown_jet_variables
from compiler.fem.forms.unit_normal import rank, unit, zero
from compiler.lowering.terms import JetVariable
from pdespec.symbols import Scalar


@dataclass(frozen=True)
class Coupled:
    """`terms`: the boundary integrand of each component. `factors`: what its equation has to be
    multiplied by; `terms` belong to equations that are."""

    terms: Mapping[str, sp.Expr]
    factors: Mapping[str, sp.Expr]


def coupled(
    fluxes: Mapping[str, sp.Expr],
    conditions: Sequence[Natural],
    held: Sequence[Mapping[str, sp.Expr]],
    normal: Sequence[sp.Expr],
    axes: int,
) -> Coupled | None:
    """The boundary terms that conditions give together, None where they give none.

    fluxes: by component. held: the coefficients D by component. normal: the components of n,
    numbers where they are known. The first `axes` entries of an index count derivatives in space.
    """
    names = list(fluxes)
    found = [combination(fluxes, each.residual, normal, axes) for each in conditions]
    rows = [each for each in found if each is not None]
    if len(rows) < len(found):
        return None
    a, r = sp.Matrix([row for row, _ in rows]), sp.Matrix([rest for _, rest in rows])
    d = sp.Matrix(
        [[each.get(name, sp.S.Zero) for name in names] for each in held] or [[0] * len(names)]
    )
    factors = dict.fromkeys(names, sp.S.One)
    if not zero(a * d.T, normal):
        balanced = balancing(names, a, d, normal)
        if balanced is None:
            return None
        factors = balanced
        a = a * sp.diag(*(1 / factors[name] for name in names))
    if rank(a, normal) + rank(d, normal) != len(names):
        return None
    m = a.T * a + d.T * d
    lead = m[0, 0]
    if zero(m - lead * sp.eye(len(names)), normal):
        t = -a.T * r / unit(lead, normal)
    else:
        t = -m.inv(method="ADJ") * a.T * r
    return Coupled(dict(zip(names, t, strict=True)), factors)


def combination(
    fluxes: Mapping[str, sp.Expr], residual: sp.Expr, normal: Sequence[sp.Expr], axes: int
) -> tuple[list[sp.Expr], sp.Expr] | None:
    """`a` and `r` of a condition B = a . q + r with r free of derivatives in space, or None."""
    q = sp.Matrix(list(fluxes.values()))
    slopes = sorted(
        {s for each in (*q, residual) for s in unknown_jet_variables(each) if any(s.index[:axes])},
        key=lambda s: s.name,
    )
    if not any(residual.has(s) for s in slopes):
        return None
    for guess in guesses(len(fluxes), normal):
        across = (guess * q)[0]
        shared = [s for s in slopes if across.has(s) and residual.has(s)]
        if not shared:
            continue
        alpha = unit(sp.diff(residual, shared[0]) / sp.diff(across, shared[0]), normal)
        if any(sp.denom(alpha).has(each) for each in normal if each.is_Symbol):
            continue  # as a whole it may be finite where this is 0/0
        rest = sp.expand(residual - alpha * across)
        if zero([sp.diff(rest, s) for s in slopes], normal) and free([alpha], slopes):
            return [alpha * each for each in guess], rest.subs(dict.fromkeys(slopes, 0))
    jacobian = q.jacobian(slopes)
    if not free(jacobian, slopes):
        return None
    square = jacobian * jacobian.T
    if zero([square.det()], normal):
        return None
    ahead = sp.Matrix([[sp.diff(residual, s) for s in slopes]]) * jacobian.T
    a = (
        [top / unit(square[j, j], normal) for j, top in enumerate(ahead)]
        if square.is_diagonal()
        else list(ahead * square.inv(method="ADJ"))
    )
    a = [unit(each, normal) for each in a]
    rest = residual - (sp.Matrix([a]) * q)[0]
    if not free(a, slopes) or not zero([sp.diff(rest, s) for s in slopes], normal):
        return None
    return a, rest.subs(dict.fromkeys(slopes, 0))


def guesses(count: int, normal: Sequence[sp.Expr]) -> list[sp.Matrix]:
    """Rows that conditions on vectors are often made of: one component, that along n, those along
    the boundary."""
    rows = [sp.eye(count).row(j) for j in range(count)]
    if count == len(normal) > 1:
        n = sp.Matrix([list(normal)])
        rows += [(sp.eye(count) - n.T * n).row(j) for j in range(count)]
        rows.append(n)
        if count == 2:
            rows.append(sp.Matrix([[-n[1], n[0]]]))
        else:
            rows += [sp.Matrix([sp.eye(3).row(j).cross(n)]) for j in range(3)]
    return [each for each in rows if not each.is_zero_matrix]


def balancing(
    names: Sequence[str], a: sp.Matrix, d: sp.Matrix, normal: Sequence[sp.Expr]
) -> dict[str, sp.Expr] | None:
    """Of two equations with one condition each on fluxes and values, what the first has to be
    multiplied by so that a . d = 0: a number, or None."""
    if a.shape != (1, 2) or d.shape != (1, 2) or zero([a[0] * d[0] * a[1] * d[1]], normal):
        return None
    ratio = unit(sp.cancel(-a[0] * d[0] / (a[1] * d[1])), normal)
    varying = ratio.atoms(JetVariable) or any(ratio.has(each) for each in normal if each.is_Symbol)
    fixed = not varying and all(isinstance(s, Scalar) for s in ratio.free_symbols)
    return {names[0]: ratio, names[1]: sp.S.One} if fixed else None


def free(expressions: Sequence[sp.Expr] | sp.Matrix, slopes: Sequence[JetVariable]) -> bool:
    """Whether no expression holds a derivative."""
    return not any(sp.sympify(each).has(*slopes) for each in expressions)
