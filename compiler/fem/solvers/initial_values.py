"""What time stepping begins with: consistent values of unknowns without time derivatives, the
times at which data jump, and whether the problem is well-posed forwards in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from compiler.arrays import Array, IntArray
from compiler.fem.discrete.assemble import Assembly, State
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.discrete.inverse import lu
from compiler.fem.discrete.system import System
from compiler.fem.errors import IllPosed, NoConvergence, Singular
from compiler.fem.forms.pairing import CONSTANT
from compiler.fem.forms.weak import WeakForm
from compiler.fem.solvers.newton import NewtonOptions, newton
from compiler.lowering.numpy_function import numpy_function
from compiler.lowering.terms import JetVariable
from pdespec.coordinates import Time
from pdespec.jets import MultiIndex

SAMPLES = 4001  # of a time interval, among which a change of sign is looked for
WAVES = (1e2, 4e2)  # wave numbers times the size of the domain, at which growth is compared
DOUBTFUL = 0.05  # of an initial value that its own constraints (div v = 0) take away


@dataclass(frozen=True)
class Start:
    """`jets` (u, d_t u, ..) that time stepping begins with, and multipliers of the requirements.

    `known` is False where the values of unknowns without time derivatives are to be extrapolated
    from the first levels.
    """

    jets: tuple[Array, ...]
    multipliers: Array
    known: bool = True
    warnings: tuple[str, ...] = ()


# --------------------------------------------------------------------------------------------------
# consistent start


def consistent_start(
    system: System, jets: Sequence[Array], orders: Mapping[str, int], time: float
) -> Start:
    """Initial values with those of chemical potentials and other unknowns that have no time
    derivative.

    With u given, the equations at the start determine the rates d_t u and the other unknowns w
    together. Where a row holds neither of them, as div v = 0 does, u is brought onto the constraint
    first, by the least change in the norm of the mass matrix; the pressure at the start is then
    extrapolated from the first levels, since that of an interpolated velocity has an error of the
    order of h. Source: K. Brenan, S. Campbell, L. Petzold, Numerical Solution of Initial-Value
    Problems in DAEs (1996), ch. 5.
    """
    parts, size, given = system.assembly, system.size, tuple(jets)
    none = np.zeros(len(system.levels))
    unknown = Start(given, none, known=False)
    if all(component in orders for component in parts.form.components):
        return Start(given, none)
    order = np.zeros(size, dtype=int)
    for component, highest in orders.items():
        order[parts.spaces.numbers(component)] = highest
    marks = [(order == m).astype(float) for m in range(len(given) + 1)]
    history = [*(np.where(order > m, jet, 0.0) for m, jet in enumerate(given)), np.zeros(size)]
    asked = replace(system, rates=tuple(marks), history=tuple(history), time=time)
    state = system.extended(given[0])
    try:
        tangent = asked.tangent(state)
        silent = without_entries(asked.transformation, tangent, len(none))
        if silent.any():
            return (
                onto_constraint(system, given, tangent, silent, time)
                if len(given) == 1
                else unknown
            )
        offset = np.where(
            order == 0, system.constraints.offset(time), rate_of_boundary(system, order, time)
        )
        z, _ = newton(
            asked,
            system.extended(offset),
            np.zeros(asked.transformation.shape[1]),
            NewtonOptions(),
            0.0,
        )
    except (NoConvergence, Singular):
        return unknown
    return Start((np.where(order > 0, given[0], z[:size]), *given[1:]), z[size:])


def rate_of_boundary(system: System, order: IntArray, time: float) -> Array:
    """The first or second derivative in time of the boundary values, one-sided, by the order
    that a component evolves with."""
    form, known = system.assembly.form, system.assembly.known
    if not system.constraints.moving:
        return np.zeros(system.size)
    step = 1e-4 * (known.number(form.time.end) - known.number(form.time.start))
    first, second, third = (system.constraints.offset(time + k * step) for k in range(3))
    return np.where(
        order == 2,
        (first - 2 * second + third) / step**2,
        (-3 * first + 4 * second - third) / (2 * step),
    )


def without_entries(
    transformation: csr_matrix, matrix: csr_matrix, multipliers: int
) -> NDArray[np.bool_]:
    """Rows of a reduced matrix that are zero but for the last columns, marked among the
    unreduced ones that they are the sums of."""
    reduced = abs(transformation.T @ matrix @ transformation)[
        :, : transformation.shape[1] - multipliers
    ]
    empty = np.asarray(reduced.sum(axis=1)).ravel() <= 1e-14 * reduced.max()
    return np.asarray(abs(transformation) @ empty.astype(float)).ravel() > 0.5


def onto_constraint(
    system: System,
    given: tuple[Array, ...],
    tangent: csr_matrix,
    bound: NDArray[np.bool_],
    time: float,
) -> Start:
    """Values that meet the constraints in the rows `bound` and the conditions on the boundary,
    the nearest in the mass matrix's norm."""
    size, form = system.size, system.assembly.form
    none = np.zeros(len(system.levels))
    values = system.constraints.matrix @ given[0][
        system.constraints.free
    ] + system.constraints.offset(time)
    held = replace(
        system, rates=(1.0, *[0.0] * len(given)), history=(0.0,) * (len(given) + 1), time=time
    )
    state = system.extended(values)
    keep = diags((~bound).astype(float))
    matrix = keep @ tangent + diags(bound.astype(float)) @ held.tangent(state)
    down = system.transformation.T
    missing = np.where(bound, held.residual(state), 0.0)
    change = (
        system.transformation
        @ lu((down @ matrix @ system.transformation).tocsc())(-(down @ missing))
    )[:size]
    evolving = np.concatenate(
        [
            np.full(system.assembly.spaces.bases[c].N, not bound[system.assembly.spaces.offsets[c]])
            for c in form.components
        ]
    )
    change = np.where(evolving, change, 0.0)
    share = float(np.linalg.norm(change) / (np.linalg.norm(values[evolving]) or 1.0))
    warned: tuple[str, ...] = ()
    if share > DOUBTFUL:
        labels = ", ".join(
            f"`{form.labels[c]}`"
            for c in form.components
            if bound[system.assembly.spaces.numbers(c)].any()
        )
        warned = (
            f"the initial values break {labels}: {100 * share:.2g} % of them is taken away at once",
        )
    return Start((values + change,), none, known=False, warnings=warned)


# --------------------------------------------------------------------------------------------------
# jumps in time


def jumps_in_time(form: WeakForm, known: Coefficients, start: float, end: float) -> list[float]:
    """The times between start and end at which an expression of time alone jumps or has a kink,
    in the equations and their conditions."""
    time = known.problem.time
    expressions = (
        [i.coefficient for i in form.integrands]
        + [e.value for e in form.essentials]
        + [p.value for p in form.pins]
    )
    levels: set[sp.Expr] = set()
    for expression in expressions:
        for node in expression.atoms(
            sp.Heaviside, sp.sign, sp.Abs, sp.floor, sp.ceiling, sp.Min, sp.Max, sp.frac, sp.Mod
        ):
            levels |= set(kinks_of(node))
        for node in expression.atoms(sp.core.relational.Relational):
            levels.add(node.lhs - node.rhs)
    if not levels:
        return []
    # takes as long to import as to solve a small problem
    from scipy.optimize import brentq

    found: set[float] = set()
    slack = 1e-9 * (end - start)
    for level in levels:
        if not level.has(Time) or not level.free_symbols - {time} <= set(known.shape_values):
            continue
        call = numpy_function([time], sp.sympify(level).subs(known.shape_values))
        at = np.linspace(start, end, SAMPLES)
        values = np.broadcast_to(np.asarray(call(at), dtype=float), at.shape)
        for k in np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1])):
            root = (
                at[k]
                if values[k] == 0
                else (
                    at[k + 1]
                    if values[k + 1] == 0
                    else brentq(call, at[k], at[k + 1], xtol=1e-14 * abs(end))
                )
            )
            if start + slack < root < end - slack:
                found.add(float(root))
    ordered: list[float] = []
    for root in sorted(found):
        if not ordered or root - ordered[-1] > slack:
            ordered.append(root)
    return ordered


def kinks_of(node: sp.Expr) -> list[sp.Expr]:
    """Expressions at whose zeros a function jumps or has a kink."""
    if isinstance(node, (sp.Min, sp.Max)):
        return [a - b for i, a in enumerate(node.args) for b in node.args[:i]]
    if isinstance(node, (sp.floor, sp.ceiling, sp.frac)):
        return [sp.sin(sp.pi * node.args[0])]
    if isinstance(node, sp.Mod):
        return [sp.sin(sp.pi * node.args[0] / node.args[1])]
    return [node.args[0]]


# --------------------------------------------------------------------------------------------------
# well-posedness


def refuse_ill_posed(parts: Assembly, jets: Sequence[Array], start: float, end: float) -> None:
    """Raises: IllPosed (F03) for a problem whose short waves grow the faster the shorter they are:
    heat backwards in time, say.

    The coefficients are frozen at some points of the initial state; the growth rates s of a wave
    e^(s t + i k.x) are the eigenvalues of the symbol. A problem with bounded growth has them
    bounded from above for all k (Petrovskii's condition). Source: H.-O. Kreiss, J. Lorenz,
    Initial-Boundary Value Problems and the Navier-Stokes Equations (1989), ch. 2.
    """
    form = parts.form
    names = [c for c in form.components if form.spaces[c] is not CONSTANT]
    extent = float(np.ptp(parts.spaces.mesh.p, axis=1).max())
    zero = np.zeros_like(jets[0])
    state = State((*jets, *[zero] * (3 - len(jets))), start)
    entries = frozen(parts, state)
    dim = len(form.coordinates)
    directions = [np.eye(dim)[i] for i in range(dim)]
    directions += [
        (np.eye(dim)[i] + sign * np.eye(dim)[j]) / np.sqrt(2)
        for i in range(dim)
        for j in range(i)
        for sign in (1, -1)
    ]
    for point in range(entries[0][2].size if entries else 0):
        for direction in directions:
            low, high = (growth(entries, point, k / extent * direction, names, dim) for k in WAVES)
            if low is None or high is None:
                continue
            (slow, _), (fast, size) = low, high
            if fast > 1e-6 * size and fast > 1.5 * max(slow, 0.0) and fast * (end - start) > 1:
                label = form.labels.get(names[0], form.name) if len(names) == 1 else form.name
                raise IllPosed(
                    f"F03: `{label}` is not well-posed forwards in {form.time.name}: waves of"
                    f" length {2 * np.pi * extent / WAVES[1]:.2g} grow like e^({fast:.2g}"
                    f" {form.time.name}), and shorter ones faster, as heat does backwards in time;"
                    " turn the sign of the term with the highest derivatives, or add a stabilising"
                    " term of higher order"
                )


Entry = tuple[tuple[str, MultiIndex], JetVariable, Array]


def frozen(parts: Assembly, state: State) -> list[Entry]:
    """The coefficients of the linearised weak form inside of the domain, at eight of its points."""
    found = []
    for kernel in (k for k in parts.kernels if k.region == parts.form.domain):
        for (row, test, jet), value in zip(
            kernel.entries, parts.values(kernel.tangent, kernel.region, state), strict=True
        ):
            flat = value.ravel()
            found.append(((row, test), jet, flat[np.linspace(0, flat.size - 1, 8).astype(int)]))
    return found


def growth(
    entries: Sequence[Entry], point: int, wave: Array, names: Sequence[str], dim: int
) -> tuple[float, float] | None:
    """The largest real part of the growth rates of one wave, and the largest absolute value;
    None where there are none."""
    matrices = np.zeros((3, len(names), len(names)), dtype=complex)
    for (row, test), jet, values in entries:
        if row not in names or jet.component not in names or not np.isfinite(values[point]):
            continue
        symbol = values[point] + 0j
        for axis in range(dim):
            symbol *= (-1j * wave[axis]) ** test[axis] * (1j * wave[axis]) ** jet.index[axis]
        matrices[sum(jet.index[dim:]), names.index(row), names.index(jet.component)] += symbol
    one, none = np.eye(len(names)), np.zeros((len(names), len(names)))
    left = (
        np.block([[none, one], [-matrices[0], -matrices[1]]]) if matrices[2].any() else -matrices[0]
    )
    right = np.block([[one, none], [none, matrices[2]]]) if matrices[2].any() else matrices[1]
    shift = (0.37 + 0.61j) * np.linalg.norm(left) / (np.linalg.norm(right) or 1.0)
    try:
        # 1 / (s - shift), zero for algebraic unknowns
        inverse = np.linalg.eigvals(np.linalg.solve(left - shift * right, right))
    except np.linalg.LinAlgError:
        return None
    finite = np.abs(inverse) * np.abs(shift) > 1e-9
    if not finite.any():
        return None
    rates = shift + 1 / inverse[finite]
    return float(rates.real.max()), float(np.abs(rates).max())
