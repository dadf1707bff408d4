"""Time stepping by diagonally implicit Runge-Kutta methods.

With stage values u_i at t + c_i h, rates k_i = d_t u_i and one gamma on the diagonal, stage i solves the weak form for u_i alone, where

    d_t u_i = (u_i - u~_i) / (gamma h),        u~_i = u + h sum_(j<i) a_ij k_j,
    d_t^2 u_i = (d_t u_i - k~_i) / (gamma h),  k~_i = d_t u + h sum_(j<i) a_ij l_j,   l_j = d_t^2 u_j,

so that all stages of all steps share one tangent where the problem is linear. Unknowns without time derivatives (a pressure) are stage
values; constraints between unknowns are met at every stage.
Source: E. Hairer, G. Wanner, Solving Ordinary Differential Equations II (1996), IV.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction as Q

import numpy as np
from numpy.typing import NDArray

from compiler.fem.discrete.assemble import Assembly
from compiler.fem.discrete.constraints import Constraints, at_nodes
from compiler.fem.discrete.kernels import function
from compiler.fem.discrete.system import Level, System
from compiler.fem.errors import NoConvergence, NoWeakForm, SolverError
from compiler.fem.forms.weak import WeakForm
from compiler.fem.solvers.newton import NewtonOptions, length, solve_equations
from compiler.lowering.terms import Stream

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scheme:
    """A Runge-Kutta tableau with `diagonal` gamma, rows of `below` the diagonal, and weights; `order` is tested."""

    order: int
    diagonal: Q
    below: tuple[tuple[Q, ...], ...]
    weights: tuple[Q, ...]

    @property
    def stages(self) -> int:
        return len(self.weights)

    @property
    def places(self) -> tuple[float, ...]:
        """c_i."""
        return tuple(float(sum(row) + self.diagonal) for row in self.below)

    @property
    def ends_at_the_last_stage(self) -> bool:
        """Stiffly accurate: the last stage is the new value."""
        return self.weights == (*self.below[-1], self.diagonal)


SETTLING = 20  # Newton steps in which the size of a residual that is not small is learned
LAST_ROW = (Q(25, 24), Q(-49, 48), Q(125, 16), Q(-85, 12))
SCHEMES = {
    # L-stable, for everything: Hairer and Wanner, table IV.6.5
    "sdirk4": Scheme(
        order=4,
        diagonal=Q(1, 4),
        below=((), (Q(1, 2),), (Q(17, 50), Q(-1, 25)), (Q(371, 1360), Q(-137, 2720), Q(15, 544)), LAST_ROW),
        weights=(*LAST_ROW, Q(1, 4)),
    ),
    # keeps quadratic invariants: the energy of a wave, the norm of a wave function
    "midpoint": Scheme(order=2, diagonal=Q(1, 2), below=((),), weights=(Q(1),)),
}


def evolution(form: WeakForm) -> dict[str, int]:
    """The highest order of the time derivatives of each component that has one.

    Raises: NoWeakForm above the second.
    """
    axes = len(form.coordinates)
    orders: dict[str, int] = {}
    for integrand in form.integrands:
        for stream in integrand.coefficient.atoms(Stream):
            if not stream.known and (count := sum(stream.index[axes:])):
                orders[stream.component] = max(orders.get(stream.component, 0), count)
    if max(orders.values(), default=0) > 2:
        raise NoWeakForm("time derivatives above the second: write the problem as a system of lower order")
    return orders


def march(
    parts: Assembly, constraints: Constraints, levels: tuple[Level, ...], steps: int, scheme: str, newton: NewtonOptions
) -> tuple[Array, Array, int]:
    """Times, coefficient vectors at them, and the number of Newton steps.  Shapes: "k", "k n".

    Raises: SolverError for an unknown scheme, NoWeakForm for missing initial values, NoConvergence.
    """
    if scheme not in SCHEMES:
        raise SolverError(f"scheme is one of {', '.join(SCHEMES)}, not {scheme!r}")
    form, rule, newton = parts.form, SCHEMES[scheme], in_steps(newton)
    orders = evolution(form)
    start, end = parts.known.number(form.time.start), parts.known.number(form.time.end)
    times, h = np.linspace(start, end, steps + 1), (end - start) / steps
    highest = max(orders.values(), default=0)
    jets = [initial_vector(parts, order, orders) for order in range(max(highest, 1))]
    evolving = np.zeros(parts.spaces.size, dtype=bool)
    for component in orders:
        evolving[parts.spaces.numbers(component)] = True
    run = Run(System(parts, constraints, levels), rule, h, newton, evolving)
    vectors, guess = [jets[0]], np.concatenate((jets[0], np.zeros(len(levels))))
    for time in times[:-1]:
        try:
            jets, guess = run.step(jets, guess, time)
        except NoConvergence as failure:
            raise NoConvergence(f"at {form.time.name} = {time + h:.4g}: {failure}; take more steps than {steps}") from failure
        vectors.append(jets[0])
    found = np.array(vectors)
    if not rule.ends_at_the_last_stage and not evolving.all():
        found[:, ~evolving] = to_levels(found[1:, ~evolving])
    return times, found, run.count


@dataclass
class Run:
    """What the steps of one march share: the number of Newton steps so far, the size of a residual that is not small, the last rate."""

    system: System
    rule: Scheme
    h: float
    newton: NewtonOptions
    evolving: NDArray[np.bool_]
    count: int = 0
    scale: float = 0.0
    last: Array | None = None

    def step(self, jets: Sequence[Array], guess: Array, time: float) -> tuple[list[Array], Array]:
        """From (u, d_t u, ..) at `time` to the next level; `guess` is a stage value with multipliers, the last one is returned."""
        rule, h = self.rule, self.h
        rates: list[list[Array]] = [[] for _ in jets]  # k_j, and l_j for problems of second order
        for below, place in zip(rule.below, rule.places, strict=True):
            started = [u + h * sum((float(a) * k for a, k in zip(below, rates[m], strict=True)), 0 * u) for m, u in enumerate(jets)]
            if rates[0] or self.last is not None:
                ahead = started[0] + float(rule.diagonal) * h * (rates[0][-1] if rates[0] else self.last)
                guess = np.concatenate((np.where(self.evolving, ahead, guess[: self.system.size]), guess[self.system.size :]))
            guess = self.stage(started, guess, time + place * h)
            value = guess[: self.system.size]
            for m, before in enumerate(started):
                value = (value - before) / (float(rule.diagonal) * h)
                rates[m].append(value)
        self.last = rates[0][-1]
        if rule.ends_at_the_last_stage:
            stage = [guess[: self.system.size], *(rates[m][-1] for m in range(len(jets) - 1))]
            return stage, guess
        moved = [u + h * sum(float(b) * k for b, k in zip(rule.weights, rates[m], strict=True)) for m, u in enumerate(jets)]
        constraints = self.system.constraints
        moved[0] = np.where(self.evolving, moved[0], guess[: self.system.size])
        moved[0] = constraints.matrix @ moved[0][constraints.free] + constraints.offset(time + h)
        return moved, guess

    def stage(self, started: Sequence[Array], guess: Array, time: float) -> Array:
        """The stage value with multipliers: rates and history are those of the nested difference quotients above."""
        inverse = 1 / (float(self.rule.diagonal) * self.h)
        rates, history = [1.0], [np.zeros_like(started[0])]
        for before in started:
            rates.append(rates[-1] * inverse)
            history.append((history[-1] - before) * inverse)
        system = replace(self.system, rates=tuple(rates), history=tuple(history), time=time)
        offset = np.concatenate((system.constraints.offset(time), np.zeros(len(system.levels))))
        if self.count < SETTLING:
            self.scale = max(self.scale, length(system.transformation.T @ system.residual(guess)))
        solved, used = solve_equations(system, guess, offset, self.newton, self.scale)
        self.count += used
        return solved


def in_steps(newton: NewtonOptions) -> NewtonOptions:
    """The last rate predicts the next stage; the residual need not fall below the error of a step."""
    return replace(newton, predictor=False, tolerance=max(newton.tolerance, 1e-9))


def to_levels(middles: Array) -> Array:
    """From values at the midpoints to values at the levels around them, linearly.  Shapes: "k-1 n" -> "k n"."""
    if len(middles) == 1:
        return np.repeat(middles, 2, axis=0)
    inner = (middles[1:] + middles[:-1]) / 2
    return np.concatenate((1.5 * middles[:1] - 0.5 * middles[1:2], inner, 1.5 * middles[-1:] - 0.5 * middles[-2:-1]))


def initial_vector(parts: Assembly, order: int, orders: dict[str, int]) -> Array:
    """The initial values (order 0) or rates (order 1) at the nodes; zero for unknowns that have none.

    Raises: NoWeakForm for an evolving unknown without initial value.
    """
    vector = np.zeros(parts.spaces.size)
    given = {initial.component: initial for initial in parts.form.initials if initial.order == order}
    for component, highest in orders.items():
        if highest > order and component not in given:
            what = component if order == 0 else f"dt({component})"
            raise NoWeakForm(f"no initial condition for {what}; add `at {parts.form.time.name} = {parts.form.time.start}: {what} = ..`")
    start = parts.known.number(parts.form.time.start)
    for component, initial in given.items():
        points = parts.spaces.nodes(component)
        values = at_nodes(function([initial.value]), parts.known, points, np.zeros_like(points), start)
        vector[parts.spaces.numbers(component)] = values
    return vector
