"""Which test function multiplies which equation, and which finite element carries which unknown.

An equation is tested by the variations of one unknown: the one it evolves (`dt`), diffuses (second
derivatives) or defines (it stands there without derivatives), in this order. What is left over, the
pressure of an incompressible flow say, is a Lagrange multiplier: its equation is a constraint on
the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp

from compiler.fem.errors import NoWeakForm
from compiler.fem.forms.divergence import Coordinates, order, spatial_order, unknown_derivatives
from compiler.lowering.terms import JetVariable
from pdespec.jets import MultiIndex, expand_derivatives
from pdespec.symbols import UnknownField


@dataclass(frozen=True)
class Row:
    """One scalar equation, `residual = 0`, as written; `component` is the unknown whose test
    function multiplies it."""

    label: str
    residual: sp.Expr
    component: str = ""

    @cached_property
    def expanded(self) -> sp.Expr:
        """The residual with its derivatives expanded."""
        return expand_derivatives(self.residual)


@dataclass(frozen=True)
class Space:
    """Degree below the main one, continuity, and why."""

    below: int
    continuous: bool
    reason: str


MAIN = Space(0, True, "continuous of the main degree")
MULTIPLIER = Space(
    1, True, "a Lagrange multiplier: one degree lower than what it constrains (Taylor-Hood)"
)
PRESSURE = Space(
    1,
    True,
    "a pressure, algebraic in its own equation: one degree lower than what it resists"
    " (Taylor-Hood)",
)
CONSTANT = Space(0, True, "one number: its own equation says that it does not vary in space")
BENDING = Space(
    -1,
    True,
    "its energy holds second derivatives: one degree higher, kinks between cells penalised",
)
EDGE = Space(
    0,
    True,
    "its equation holds its curl alone: edge elements (Nedelec), whose normal component may jump",
)
FLUX = Space(1, False, "a flux defined by its own equation: discontinuous, one degree lower")


def name(function: sp.Expr) -> str:
    """The name of a component, from the function that stands for it."""
    return function.func.__name__


def pair(
    rows: Sequence[Row], components: Sequence[str], coordinates: Coordinates
) -> tuple[Row, ...]:
    """The rows with their test functions, one each.

    Raises: NoWeakForm unless there are as many equations as unknowns.
    """
    if len(rows) != len(components):
        raise NoWeakForm(
            f"{len(components)} unknown components ({', '.join(components)}) but {len(rows)} scalar"
            " equations"
        )
    if len(rows) == 1:
        return (Row(rows[0].label, rows[0].residual, components[0]),)
    # takes as long to import as to solve a small problem
    from scipy.optimize import linear_sum_assignment

    scores = np.array(
        [
            [affinity(row.expanded, component, coordinates) for component in components]
            for row in rows
        ]
    )
    # ties go to the order of declaration
    distance = np.abs(np.subtract.outer(np.arange(len(rows)), np.arange(len(components)))) * 1e-3
    equations, unknowns = linear_sum_assignment(distance - scores)
    return tuple(
        Row(rows[i].label, rows[i].residual, components[j])
        for i, j in zip(equations, unknowns, strict=True)
    )


def affinity(residual: sp.Expr, component: str, coordinates: Coordinates) -> float:
    """How much an equation is the equation of a component."""
    score = 0.0
    for node in unknown_derivatives(residual):
        if name(node.expr) != component:
            continue
        spatial = spatial_order(node, coordinates)
        if spatial < node.derivative_count:
            score += 1000.0
        elif spatial >= 2:
            score += 100.0 if len(node.variable_count) == 1 else 10.0
        else:
            score += 1.0
    return score + (30.0 if bare(residual, component) else 0.0)


def bare(residual: sp.Expr, component: str) -> bool:
    """Whether a component occurs in the equation as a linear term without derivatives: the
    equation defines it."""
    flat = residual.xreplace({node: sp.Dummy() for node in residual.atoms(sp.Derivative)})
    found = [node for node in flat.atoms(UnknownField) if name(node) == component]
    return bool(found) and not sp.diff(flat, found[0]).atoms(UnknownField)


def holds(residual: sp.Expr, component: str) -> bool:
    """Whether a residual holds a component, or a derivative of it."""
    return any(name(node) == component for node in residual.atoms(UnknownField))


def differentiated(residual: sp.Expr, component: str) -> bool:
    """Whether a residual holds a derivative of a component."""
    return any(name(node.expr) == component for node in unknown_derivatives(residual))


def choose_spaces(rows: Sequence[Row], coordinates: Coordinates) -> dict[str, Space]:
    """The element of every unknown, relative to the main degree k.

    - A flux that its own equation defines (`v = -k grad p` with `div v = f`) is discontinuous of
      degree k - 1: integrated by parts, the system is the primal form, in which v is the projection
      of -k grad p.
    - A multiplier of a constraint (`div v = 0`) is continuous of degree k - 1: the Taylor-Hood
      pair, which is stable for k >= 2.
    - Everything else is continuous of degree k.
    Source: C. Taylor, P. Hood, Computers and Fluids 1 (1973); D. Boffi, F. Brezzi, M. Fortin, Mixed
    Finite Element Methods (2013).
    """
    residuals = {row.component: row.expanded for row in rows}
    spaces = {}
    for component in residuals:
        if not any(holds(r, component) for r in residuals.values()):
            raise NoWeakForm(f"no equation holds the unknown {component}")
        if is_flux(component, residuals, coordinates):
            spaces[component] = FLUX
        elif is_constraint(component, residuals, coordinates):
            spaces[component] = MULTIPLIER
        else:
            spaces[component] = MAIN
    return spaces


def is_constraint(component: str, residuals: dict[str, sp.Expr], coordinates: Coordinates) -> bool:
    """Whether the equation of an unknown is a first-order one for the others, such as div v = 0."""
    own = residuals[component]
    return (
        not holds(own, component)
        and order(own, coordinates) <= 1
        and not any(
            differentiated(own, c) and is_flux(c, residuals, coordinates) for c in residuals
        )
    )


def is_flux(component: str, residuals: dict[str, sp.Expr], coordinates: Coordinates) -> bool:
    """Whether an unknown is defined by a first-order equation of its own and enters the others
    by first derivatives."""
    own = residuals[component]
    defined = (
        not differentiated(own, component) and order(own, coordinates) <= 1 and bare(own, component)
    )
    elsewhere = [
        node
        for r in residuals.values()
        for node in unknown_derivatives(r)
        if name(node.expr) == component
    ]
    return (
        defined
        and bool(elsewhere)
        and all(
            spatial_order(node, coordinates) == node.derivative_count == 1 for node in elsewhere
        )
    )


def energy_spaces(
    variation: Sequence[tuple[str, MultiIndex, sp.Expr]], owner: Mapping[str, str], axes: int
) -> dict[str, Space]:
    """The element of every unknown component that an energy varies, by its second variation.

    variation: component, multi-index (`axes` space entries first) and coefficient of every term of
    the first variation. owner: the unknown of a component. An unknown p is a multiplier when W is
    linear in it, and a pressure when W holds it squared but not its derivatives (p (J - 1) - p^2 /
    (2 kappa)); both when p meets the others with one derivative at most: a second one (grad(p) .
    grad(u)) makes p an adjoint, which lives in the space of u.
    """
    if len({owner[component] for component, _, _ in variation}) < 2:
        return {component: MAIN for component, _, _ in variation}
    # (component, its derivatives, other component, its derivatives) for every second derivative of
    # W that is not zero
    pairs = [
        (component, sum(index[:axes]), jet.component, sum(jet.index[:axes]))
        for component, index, coefficient in variation
        for jet in coefficient.atoms(JetVariable)
        if not jet.known and sp.diff(coefficient, jet) != 0
    ]
    own = {
        name: [(a, b) for c, a, d, b in pairs if owner[c] == owner[d] == name]
        for name in owner.values()
    }
    spaces = {}
    for component in dict.fromkeys(c for c, _, _ in variation):
        name = owner[component]
        met = [(a, owner[d], b) for c, a, d, b in pairs if c == component and owner[d] != name]
        first_order = bool(met) and all(a + b <= 1 for a, _, b in met)
        resists = any(a + b == 1 and any(max(two) for two in own[other]) for a, other, b in met)
        if first_order and not own[name]:
            spaces[component] = MULTIPLIER
        elif first_order and resists and not any(max(two) for two in own[name]):
            spaces[component] = PRESSURE
        else:
            spaces[component] = MAIN
    return spaces
