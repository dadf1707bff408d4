"""Residual vector and tangent matrix of a weak form at a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp
from scipy.sparse import coo_matrix, csr_matrix

from compiler.arrays import Array
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.discrete.hessians import pairs
from compiler.fem.discrete.kernels import Function, Kernel, function
from compiler.fem.discrete.spaces import Place, Spaces
from compiler.fem.errors import SolverError
from compiler.fem.forms.curvature import PENALTY, is_kink
from compiler.fem.forms.nonsmooth import WIDTH
from compiler.fem.forms.weak import Region, WeakForm
from compiler.lowering.terms import JetVariable
from pdespec.coordinates import Coordinate, Normal, Time
from pdespec.jets import MultiIndex
from pdespec.symbols import Scalar


@dataclass(frozen=True)
class State:
    """A point of the iteration: coefficient vectors of d_t^m u for m = 0, 1, 2 and the time at
    which the equations are asked."""

    vectors: tuple[Array, ...]
    time: float = 0.0


@dataclass(frozen=True)
class Assembly:
    """The discrete equations of one sample. `energy`, `admissible` and `gauges` are functions of
    the same kind as the kernels'."""

    form: WeakForm
    spaces: Spaces
    kernels: tuple[Kernel, ...]
    known: Coefficients
    energies: tuple[tuple[Region, Function], ...] = ()
    admissible: Function | None = None
    cache: dict = field(default_factory=dict, repr=False)
    # of rounded kinks, see `nonsmooth.py`
    widths: dict[sp.Symbol, float] = field(default_factory=dict, repr=False)

    @property
    def space_axes(self) -> int:
        """The number of coordinates of space: a multi-index has these first, then time."""
        return len(self.form.coordinates)

    def residual(self, state: State) -> Array:
        """`R_i`, the weak form tested by the i-th basis function.  Shapes: -> "n"."""
        result = np.zeros(self.spaces.size)
        for kernel in self.kernels:
            place = self.spaces.places[kernel.region]
            values = self.values(kernel.residual, kernel.region, state)
            for (row, test), value in zip(kernel.rows, values, strict=True):
                table = place.tables[row]
                # a basis functions, e cells, q quadrature points
                local = np.einsum("aeq,eq->ae", table.jets[self.slot(test)], value * place.weights)
                result += np.bincount(table.dofs.ravel(), local.ravel(), result.size)
        return result

    def tangent(self, state: State, rates: Sequence[Array | float] = (1.0,)) -> csr_matrix:
        """`dR/du` where d_t^m u = rates[m] u + history."""
        rows, columns, entries = [], [], []
        for kernel in self.kernels:
            place = self.spaces.places[kernel.region]
            for (row, column), block in self.blocks(kernel, place, state, rates).items():
                shape = block.shape  # "e a b"
                rows.append(np.broadcast_to(place.tables[row].dofs.T[:, :, None], shape).ravel())
                columns.append(
                    np.broadcast_to(place.tables[column].dofs.T[:, None, :], shape).ravel()
                )
                entries.append(block.ravel())
        size = self.spaces.size
        if not entries:
            return csr_matrix((size, size))
        return coo_matrix(
            (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), (size, size)
        ).tocsr()

    def blocks(
        self, kernel: Kernel, place: Place, state: State, rates: Sequence[Array | float]
    ) -> dict[tuple[str, str], Array]:
        """Cell matrices "e a b" by (row component, column component): sum_ij int d_i phi_a G_ij
        d_j phi_b."""
        factors: dict[tuple[str, str], dict[tuple[int, int], Array]] = {}
        for (row, test, jet), value in zip(
            kernel.entries, self.values(kernel.tangent, kernel.region, state), strict=True
        ):
            rate = np.broadcast_to(rates[self.time_order(jet)], self.spaces.size)[
                self.spaces.offsets[jet.component]
            ]
            if rate:
                block = factors.setdefault((row, jet.component), {})
                key = self.slot(test), self.slot(jet.index)
                block[key] = block.get(key, 0) + rate * value * place.weights
        return {
            pair: product(place.tables[pair[0]].by_cell, block, place.tables[pair[1]].by_cell)
            for pair, block in factors.items()
        }

    def energy(self, state: State) -> float:
        """The functional at a state."""
        return sum(
            float(np.sum(self.values(call, region, state)[0] * self.spaces.places[region].weights))
            for region, call in self.energies
        )

    def allowed(self, state: State) -> bool:
        """Whether every requirement holds at every quadrature point."""
        if self.admissible is None:
            return True
        return all(
            bool(np.all(value > 0))
            for value in self.values(self.admissible, self.form.domain, state)
        )

    def values(self, call: Function, region: Region, state: State) -> list[Array]:
        """The expressions of a function at the quadrature points of a region, "e q" each.

        Invalid operations give NaN, which the line search refuses.
        """
        place = self.spaces.places[region]
        arguments = [self.argument(symbol, region, place, state) for symbol in call.arguments]
        with np.errstate(all="ignore"):
            return [np.broadcast_to(value, place.weights.shape) for value in call.call(*arguments)]

    def argument(
        self, symbol: sp.Symbol, region: Region, place: Place, state: State
    ) -> Array | float:
        """The value of one symbol at the quadrature points of a region. Shapes: "e q", or one
        number. What does not change with the state is computed once, and again at another time
        where it moves."""
        if isinstance(symbol, JetVariable) and not symbol.known:
            table = place.tables[symbol.component]
            vector = state.vectors[self.time_order(symbol)]
            # the field at q points of e cells, from its coefficients at a nodes of each
            return np.einsum("aeq,ae->eq", table.jets[self.slot(symbol.index)], vector[table.dofs])
        if isinstance(symbol, Time):
            return state.time
        if symbol is WIDTH:
            return self.widths.get(WIDTH, 0.0)
        key = (symbol, region, state.time if self.known.moves(symbol) else None)
        if key not in self.cache:
            for stale in [k for k in self.cache if k[:2] == key[:2]]:
                del self.cache[stale]
            self.cache[key] = self.fixed(symbol, place, state)
        return self.cache[key]

    def fixed(self, symbol: sp.Symbol, place: Place, state: State) -> Array | float:
        """What does not depend on the unknowns."""
        if isinstance(symbol, Coordinate):
            return place.points[self.form.coordinates.index(symbol)]
        if symbol == PENALTY:
            return place.penalty
        if isinstance(symbol, Normal):
            return place.normals[self.form.coordinates.index(symbol.coordinate)]
        if isinstance(symbol, Scalar):
            return self.known.parameter(symbol)
        if isinstance(symbol, JetVariable):
            return self.known.field(symbol, place.points, state.time)
        raise SolverError(f"no rule for {symbol} ({type(symbol).__name__}) in a weak form")

    def time_order(self, jet: JetVariable) -> int:
        """The order of a derivative in time: which of a state's vectors holds its coefficients."""
        return sum(jet.index[self.space_axes :])

    def slot(self, index: MultiIndex) -> int:
        """Place of a space multi-index in the jets, see `spaces.Tabulated`."""
        axes, space = self.space_axes, index[: self.space_axes]
        if is_kink(space):
            return 1 + axes + axes * (axes + 1) // 2
        if sum(space) < 2:
            return 0 if not any(space) else 1 + space.index(1)
        return 1 + axes + pairs(axes).index(tuple(j for j in range(axes) for _ in range(space[j])))


def product(left: Array, factors: Mapping[tuple[int, int], Array], right: Array) -> Array:
    """`sum_ij left_i G_ij right_j` over quadrature points.  Shapes: left "e a i q", G_ij "e q",
    right "e b j q" -> "e a b"."""
    middle_shape = (right.shape[0], right.shape[1], left.shape[2], right.shape[3])
    middle = np.zeros(middle_shape)
    for (i, j), factor in factors.items():
        middle[:, :, i] += factor[:, None] * right[:, :, j]
    used = sorted({i for i, _ in factors})
    a = left[:, :, used].reshape(*left.shape[:2], -1)  # e a (i q)
    b = middle[:, :, used].reshape(*middle_shape[:2], -1)  # e b (i q)
    return a @ b.transpose(0, 2, 1)


def assembly(
    form: WeakForm, spaces: Spaces, parts: tuple[Kernel, ...], known: Coefficients
) -> Assembly:
    """What assembles a weak form on the spaces of one sample, whose numbers and functions are
    `known`."""
    energies = tuple((region, function([density])) for density, region in form.energy)
    admissible = function(form.admissible) if form.admissible else None
    return Assembly(form, spaces, parts, known, energies, admissible)
