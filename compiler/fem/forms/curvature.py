"""Energies of second derivatives, plates and beams, on elements that are continuous but have kinks
between cells: the C0 interior penalty method.

With M_nn = dW/d(u_ij) n_i n_j and S = dM_nn/d(u_nn) the energy of a field with kinks is

    sum over cells int W  +  sum over facets int ( -{M_nn} [d_n u] + eta {S} [d_n u]^2 / 2 ),

{} the mean and [] the jump of both sides, n the normal. Where d_n u = g is prescribed the jump is
d_n u - g and the mean the one side. Nothing else is stated: the moment and the shear force are zero
where they are free, corners included, since the energy is what is made stationary; so the method
sees the curvature of a boundary and is free of the plate paradox of polygons.

eta = 2 (d + 1) c |F| / |K| with the constant c of int_F q^2 <= c |F|/|K| int_K q^2 keeps half of a
quadratic energy: M_nn^2 <= S u_ij C_ijkl u_kl by Cauchy's inequality. Sources: S. C. Brenner, L.-Y.
Sung, C0 interior penalty methods for fourth order elliptic boundary value problems on polygonal
domains, J. Sci. Comput. 22 (2005); T. Warburton, J. S. Hesthaven, On the constants in hp-finite
element trace inverse inequalities, CMAME 192 (2003), for c.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from compiler.fem.errors import NoWeakForm
from compiler.fem.forms.conditions import (
    Natural,
    normals_of,
    unknown_jet_variables,
)
from compiler.fem.forms.unit_normal import unit
from compiler.lowering.terms import JetVariable
from pdespec.coordinates import Normal
from pdespec.curvilinear import angles
from pdespec.geometry import Boundary, Domain
from pdespec.jets import MultiIndex
from pdespec.jumps import slope

# eta |K| / h of a facet, seen from one of its cells
PENALTY = sp.Symbol("facet penalty", positive=True)


@dataclass(frozen=True)
class Skeleton:
    """The facets between the cells of a domain, seen from one side: jet variables have the values
    of that side, `kink` is the jump over the facet."""

    domain: Domain
    side: int

    @property
    def name(self) -> str:
        """What the set of facets is called in messages."""
        return f"the facets of {self.domain.name}"


Terms = tuple[tuple[sp.Expr, Domain | Boundary | Skeleton], ...]


@dataclass(frozen=True)
class Slope:
    """`d_n component - rest = 0` on `region`, as the expression `jump`."""

    label: str
    region: Boundary
    component: str
    jump: sp.Expr


def kink(component: str, names: tuple[str, ...]) -> JetVariable:
    """The jump of the normal derivative of a component: its multi-index is (-1, .., -1)."""
    return JetVariable(component, (-1,) * len(names), names)


def is_kink(index: MultiIndex) -> bool:
    """Whether an index marks the jump of a slope across a facet, and not a derivative."""
    return index[0] < 0


def bending(expression: sp.Expr, axes: int) -> list[JetVariable]:
    """The unknown jet variables with two derivatives in space that an expression holds.

    Raises: NoWeakForm for more of them.
    """
    jets = unknown_jet_variables(expression)
    for each in jets:
        if sum(each.index[:axes]) > 2:
            raise NoWeakForm(
                f"an energy with {each.name}: derivatives of order above two need elements with"
                " continuous curvature"
            )
    return [each for each in jets if sum(each.index[:axes]) == 2]


def with_kinks(terms: Terms, slopes: Sequence[Slope], coordinates: Sequence[sp.Symbol]) -> Terms:
    """The terms of an energy, and those of kinks where it holds second derivatives.

    Raises: NoWeakForm for such an energy about an axis, or with them on a boundary.
    """
    axes = len(coordinates)
    further: list[tuple[sp.Expr, Domain | Boundary | Skeleton]] = []
    for density, region in terms:
        curved = bending(density, axes)
        if not curved:
            continue
        if not isinstance(region, Domain):
            raise NoWeakForm(
                f"an energy with second derivatives on {region.name}: those along a boundary need"
                " elements of their own there"
            )
        if angles(coordinates):
            raise NoWeakForm(
                f"an energy of second derivatives in {coordinates[0].system} coordinates; state the"
                " equation with an unknown for the Laplacian"
            )
        normal: dict[sp.Symbol, sp.Expr] = {Normal(x): Normal(x) for x in coordinates}
        every = dict.fromkeys(s.component for s in curved)
        kinks = {c: kink(c, curved[0].names) for c in every}
        between = facet_density(density, curved, kinks, normal)
        further += [(between / 2, Skeleton(region, side)) for side in (0, 1)]
        for boundary in dict.fromkeys(each.region for each in slopes):
            jumps = {
                each.component: each.jump
                for each in slopes
                if each.region == boundary and each.component in every
            }
            if jumps:
                there = normal | normals_of(boundary)
                further.append((facet_density(density, curved, jumps, there, 2), boundary))
    return (*terms, *further)


def facet_density(
    density: sp.Expr,
    curved: Sequence[JetVariable],
    jumps: Mapping[str, sp.Expr],
    normal: Mapping[sp.Symbol, sp.Expr],
    sides: int = 1,
) -> sp.Expr:
    """`-M_nn [d_n u] + sides * eta S [d_n u]^2 / 2`, summed over the components that have a jump.
    sides: 2 at the outside, where one cell has to bear the whole."""
    n = list(normal.values())

    def across(expression: sp.Expr, component: str) -> sp.Expr:
        own = [s for s in curved if s.component == component]
        return sp.Add(
            *(
                slope(expression, s) * sp.Mul(*(a**k for a, k in zip(n, s.index, strict=False)))
                for s in own
            )
        )

    moments = {c: across(density, c) for c in jumps}
    force = sp.Add(*(moments[c] * jumps[c] for c in jumps))
    stiff = sp.Add(*(across(moments[a], b) * jumps[a] * jumps[b] for a in jumps for b in jumps))
    return -force + sides * PENALTY * stiff / 2


def slope_of(condition: Natural, coordinates: Sequence[sp.Symbol]) -> Slope | None:
    """A condition on the slope of one component across a boundary, `dn(w) = g`, or with further
    terms along the boundary or without derivatives; None for others."""
    axes = len(coordinates)
    normals = normals_of(condition.region)
    residual = condition.residual.subs(normals)
    jets = unknown_jet_variables(residual)
    first = [s for s in jets if any(s.index[:axes])]
    if {sum(s.index) for s in first} != {1} or len({s.component for s in jets}) != 1:
        return None
    factors = {s: sp.diff(residual, s) for s in first}
    if any(unknown_jet_variables(each) for each in factors.values()):
        return None
    normal = [Normal(x).subs(normals) for x in coordinates]
    across = unit(
        sp.Add(*(factor * normal[s.index.index(1)] for s, factor in factors.items())), normal
    )
    if not across.is_number or across == 0:
        return None
    return Slope(condition.label, condition.region, jets[0].component, residual / across)
