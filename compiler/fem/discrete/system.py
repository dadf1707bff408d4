"""The nonlinear system of one solve: assembled equations, constraints and Lagrange multipliers,
as Newton's method sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse import block_diag, bmat, csr_matrix, identity

from compiler.arrays import Array, IntArray
from compiler.fem.discrete.assemble import Assembly, State
from compiler.fem.discrete.constraints import Constraints
from compiler.fem.discrete.inverse import Linearised
from compiler.fem.discrete.kernels import Function, Kernel, function, kernel
from compiler.fem.forms.conditions import unknown_jet_variables
from compiler.fem.forms.weak import Gauge, Integrand
from pdespec.jumps import slope


@dataclass(frozen=True)
class Level:
    """A gauge as functions: its density, its variation (the multiplier's row) and its value."""

    density: Function
    variation: Kernel
    gauge: Gauge


def level(gauge: Gauge) -> Level:
    """A gauge as a row of the system: its density, and the slope of that in the unknowns."""
    jets = unknown_jet_variables(gauge.density)
    varied = [Integrand(gauge.region, s.component, s.index, slope(gauge.density, s)) for s in jets]
    return Level(function([gauge.density]), kernel(gauge.region, varied), gauge)


@dataclass(frozen=True)
class System:
    """R(u, m) = (R(u) + sum_k m_k c_k', c_k(u) - value_k), m the multipliers, appended to u.

    d_t^m u = rates[m] u + history[m]: (1,) and (0,) for a stationary problem. The caches are shared
    by the systems of all time steps.
    """

    assembly: Assembly
    constraints: Constraints
    levels: tuple[Level, ...] = ()
    rates: Sequence[Array | float] = (1.0,)
    history: Sequence[Array | float] = (0.0,)
    time: float = 0.0
    cache: dict = field(default_factory=dict, repr=False)
    kept: dict[str, Linearised] = field(default_factory=dict, repr=False)

    @property
    def transformation(self) -> csr_matrix:
        """T of u = T u[free] + g: the essential conditions, and the identity for multipliers."""
        if "T" not in self.cache:
            self.cache["T"] = (
                block_diag((self.constraints.matrix, identity(len(self.levels)))).tocsr()
                if self.levels
                else self.constraints.matrix
            )
        return self.cache["T"]

    @property
    def free(self) -> IntArray:
        """The numbers of the unknowns that no condition fixes, multipliers last."""
        return np.concatenate((self.constraints.free, self.size + np.arange(len(self.levels))))

    @property
    def size(self) -> int:
        """The number of coefficients, without multipliers."""
        return self.assembly.spaces.size

    def offset(self) -> Array:
        """The boundary values, zero for the multipliers."""
        return np.concatenate((self.constraints.offset(self.time), np.zeros(len(self.levels))))

    def extended(self, u: Array) -> Array:
        """u with multipliers zero."""
        return np.concatenate((u, np.zeros(len(self.levels))))

    def state(self, u: Array) -> State:
        """The fields and their rates at u. The multipliers at the end of u are no part of it."""
        fields = u[: self.size]
        return State(
            tuple(
                rate * fields + past for rate, past in zip(self.rates, self.history, strict=True)
            ),
            self.time,
        )

    def residual(self, u: Array) -> Array:
        """R(u, m), of one entry a coefficient and one a requirement. Shapes: "n" -> "n"."""
        state = self.state(u)
        result = self.assembly.residual(state)
        if not self.levels:
            return result
        rows = [self.row(k, state) for k in range(len(self.levels))]
        residuals = [self.requirement_residual(level, state) for level in self.levels]
        return np.concatenate(
            (result + sum(m * row for m, row in zip(u[self.size :], rows, strict=True)), residuals)
        )

    def tangent(self, u: Array) -> csr_matrix:
        """The derivative of the residual by u and the multipliers. Shapes: "n" -> sparse "n n"."""
        state = self.state(u)
        matrix = self.assembly.tangent(state, self.rates)
        if not self.levels:
            return matrix
        rows = csr_matrix(np.stack([self.row(k, state) for k in range(len(self.levels))]))
        return bmat([[matrix, rows.T], [rows.multiply(self.rates[0]), None]]).tocsr()

    def allowed(self, u: Array) -> bool:
        """Whether every requirement of the problem holds at u, at every quadrature point."""
        return self.assembly.allowed(self.state(u))

    def energy(self, u: Array) -> float:
        """The functional at u, without the multipliers' part."""
        return self.assembly.energy(self.state(u))

    @property
    def orientation(self) -> Array:
        """Weights of the first unknown component that tell a buckling mode from its mirror
        image, see `minimize.py`."""
        spaces, component = self.assembly.spaces, self.assembly.form.components[0]
        nodes = spaces.nodes(component)
        lower, upper = spaces.mesh.p.min(axis=1)[:, None], spaces.mesh.p.max(axis=1)[:, None]
        weights = np.zeros(self.size)
        weights[spaces.numbers(component)] = 1 + np.array([1 / 3, 1 / 5, 1 / 7])[: len(nodes)] @ (
            (nodes - lower) / (upper - lower)
        )
        return self.extended(weights)

    def row(self, k: int, state: State) -> Array:
        """The variation of gauge k, kept where it does not depend on the state."""
        variation = self.levels[k].variation
        constant = not any(unknown_jet_variables(e) for e in variation.residual.expressions)
        if constant and k in self.cache:
            return self.cache[k]
        self.cache[k] = replace(self.assembly, kernels=(variation,)).residual(state)
        return self.cache[k]

    def requirement_residual(self, level: Level, state: State) -> float:
        """By how much an integral requirement is missed: the integral minus the value asked for."""
        place = self.assembly.spaces.places[level.gauge.region]
        (density,) = self.assembly.values(level.density, level.gauge.region, state)
        if level.gauge not in self.cache:
            self.cache[level.gauge] = self.assembly.known.number(level.gauge.value)
        return float(np.sum(density * place.weights)) - self.cache[level.gauge]
