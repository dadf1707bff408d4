"""Checks after a solve that the solution satisfies what was stated, such as balances of singular
problems.

A discretisation answers contradictions in silence: of two conditions in one node one wins, and the
multiplier of `require integral` adds a term to equations that hold none. Here both are found.

The multiplier m of a requirement `integral(q) = c` turns an equation R = 0 into R + m dq/du = 0.
Where R = 0 has a solution that meets the requirement (Fredholm: the load annihilates the null space
of the adjoint) m is zero up to the error of the mesh. Its size is measured against the terms of the
equations that it enters: |m T'c| / |T'a|, with c_i = int dq/du phi_i and a_i the integral of the
absolute values of all terms of R times |phi_i|.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.arrays import Array, IntArray
from compiler.fem.discrete.assemble import Assembly, State
from compiler.fem.discrete.spaces import Place
from compiler.fem.discrete.system import System
from compiler.fem.errors import Contradiction
from compiler.fem.forms.conditions import unknown_jet_variables
from compiler.fem.forms.weak import WeakForm
from pdespec.geometry import Boundary
from pdespec.jets import MultiIndex

# share of a term that no equation holds: the error of the mesh in a load that has to balance, or of
# rounded numbers
TOLERATED = 1e-3
ROUNDING = 1e-10  # of fluxes that balance: what is left of them is no size to measure against
MENTIONED = 1e-4  # share from which on it is warned of


@dataclass(frozen=True)
class Defect:
    """`share` of the terms of the equations `labels` that the multiplier of a requirement
    supplies: as if `amount` stood on their left."""

    requirement: str
    labels: tuple[str, ...]
    amount: float
    share: float

    def __str__(self) -> str:
        named = ", ".join(f"`{label}`" for label in self.labels)
        return (
            f"`{self.requirement}` contradicts {named} with the conditions on the boundary: it"
            f" holds only where {self.amount:.3g} times the density of the requirement,"
            f" {100 * self.share:.2g} % of the size of the terms, is added to {named}"
        )


def refuse_two_conditions(form: WeakForm, facets: Mapping[Boundary, IntArray]) -> None:
    """Raises: Contradiction where values of an unknown are fixed and its flux is given too."""
    for row, naturals in form.naturals.items():
        for essential in (e for e in form.essentials if {c for c, _ in e.coefficients} == {row}):
            for label, region in naturals:
                if np.intersect1d(facets[essential.region], facets[region]).size:
                    raise Contradiction(
                        f"F01: conditions `{essential.label}` and `{label}` both bear on {row} on"
                        f" {region.name}: one gives its value and the other the flux of"
                        f" `{form.labels[row]}`, which takes one condition at each place; leave one"
                        " of them out"
                    )


def defects(system: System, u: Array, multipliers: Array | None = None) -> Iterator[Defect]:
    """What the multipliers of a solution add to equations that hold no such term. Those of
    constrained minima are left out."""
    if all(level.gauge.constrains for level in system.levels):
        return
    state = system.state(u)
    down = system.constraints.matrix.T
    sizes = abs(down) @ magnitudes(system.assembly, state)
    for k, level in enumerate(system.levels):
        if level.gauge.constrains:
            continue
        row = down @ system.row(k, state)
        touched = np.abs(row) > 1e-12 * np.abs(row).max(initial=0.0)
        amount = float((u[system.size :] if multipliers is None else multipliers)[k])
        added, present = abs(amount) * np.linalg.norm(row[touched]), np.linalg.norm(sizes[touched])
        if added > 0:
            held = dict.fromkeys(s.component for s in unknown_jet_variables(level.gauge.density))
            labels = dict.fromkeys(
                system.assembly.form.labels[c] for c in held if c in system.assembly.form.labels
            )
            yield Defect(
                level.gauge.text,
                tuple(labels) or ("the functional",),
                amount,
                float(added / (added + present)),
            )


def refuse_defects(found: Sequence[Defect]) -> tuple[str, ...]:
    """Raises: Contradiction for a defect that is not an error of the mesh. Returns the small ones,
    as text."""
    for defect in found:
        if defect.share > TOLERATED:
            raise Contradiction(
                f"F02: {defect}; no solution meets all of them: balance the data, or leave the"
                " requirement out"
            )
    return tuple(str(defect) for defect in found if defect.share > MENTIONED)


def magnitudes(parts: Assembly, state: State) -> Array:
    """`a_i`, the integral of the absolute values of all terms times |phi_i|, linearised at a state.
    Shapes: -> "n".

    What is tested by derivatives counts by its sum over the cells around a node, which is the size
    of its divergence. A field counts by its largest value at least, its derivatives by that over
    the extent of the domain.
    """
    extent = float(np.ptp(parts.spaces.mesh.p, axis=1).max())
    sizes = {
        (m, c): float(np.abs(vector[parts.spaces.numbers(c)]).max(initial=0.0))
        for m, vector in enumerate(state.vectors)
        for c in parts.form.components
    }
    result, fluxes, largest = (np.zeros(parts.spaces.size) for _ in range(3))
    rest = State(tuple(0 * vector for vector in state.vectors), state.time)
    for kernel in parts.kernels:
        place, region = parts.spaces.places[kernel.region], kernel.region
        terms: dict[tuple[str, MultiIndex], Array] = {}
        for key, value in zip(
            kernel.rows, parts.values(kernel.residual, region, rest), strict=True
        ):
            if not parts.slot(key[1]):
                terms[key] = np.abs(np.nan_to_num(value))
        for (row, test, jet), value in zip(
            kernel.entries, parts.values(kernel.tangent, region, state), strict=True
        ):
            if not parts.slot(test):
                typical = sizes[parts.time_order(jet), jet.component] / (
                    extent if parts.slot(jet.index) else 1.0
                )
                held = np.abs(parts.argument(jet, region, place, state)) + typical
                terms[row, test] = terms.get((row, test), 0) + np.abs(value) * held
        for (row, _), value in terms.items():
            result += tested(place, row, 0, value, result.size, absolute=True)
        for (row, test), value in zip(
            kernel.rows, parts.values(kernel.residual, region, state), strict=True
        ):
            if parts.slot(test):
                fluxes += tested(place, row, parts.slot(test), value, result.size)
                largest += tested(
                    place, row, parts.slot(test), np.abs(value), result.size, absolute=True
                )
    return result + np.abs(fluxes) + ROUNDING * largest


def tested(
    place: Place, row: str, slot: int, value: Array, size: int, absolute: bool = False
) -> Array:
    """The integrals of values times the test functions of a component, or their absolute values.
    Shapes: value "e q" -> "n"."""
    table = place.tables[row]
    local = np.einsum(
        "aeq,eq->ae",
        np.abs(table.jets[slot]) if absolute else table.jets[slot],
        value * place.weights,
    )
    return np.bincount(table.dofs.ravel(), local.ravel(), size)


def orientation(parts: Assembly, component: str, state: State) -> float:
    """1 where the residual of a component's equation has the sign of its energy (`-div(s(u))`),
    -1 where it has the other."""
    trace = 0.0
    for kernel in (k for k in parts.kernels if k.region == parts.form.domain):
        weights = parts.spaces.places[kernel.region].weights
        for (row, test, jet), value in zip(
            kernel.entries, parts.values(kernel.tangent, kernel.region, state), strict=True
        ):
            if row == jet.component == component and parts.slot(test) == parts.slot(jet.index) > 0:
                trace += float(np.sum(np.nan_to_num(value) * weights))
    return -1.0 if trace < 0 else 1.0
