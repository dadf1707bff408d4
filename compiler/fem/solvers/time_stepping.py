"""Time stepping by diagonally implicit Runge-Kutta methods.

With stage values u_i at t + c_i h, rates k_i = d_t u_i and one gamma on the diagonal, stage i
solves the weak form for u_i alone, where

    d_t u_i = (u_i - u~_i) / (gamma h),        u~_i = u + h sum_(j<i) a_ij k_j,
    d_t^2 u_i = (d_t u_i - k~_i) / (gamma h),  k~_i = d_t u + h sum_(j<i) a_ij l_j,
    l_j = d_t^2 u_j,

so that all stages of all steps share one tangent where the problem is linear. Unknowns without time
derivatives (a pressure) are stage values; constraints between unknowns are met at every stage, and
at the start by `initial_values.consistent_start`. Source: E. Hairer, G. Wanner, Solving Ordinary
Differential Equations II (1996), IV.6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction as Q
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compiler.arrays import Array
from compiler.fem.discrete.assemble import Assembly
from compiler.fem.discrete.constraints import Constraints, at_nodes, idle
from compiler.fem.discrete.kernels import function
from compiler.fem.discrete.system import Level, System
from compiler.fem.errors import NoConvergence, NoWeakForm, SampleError, SolverError
from compiler.fem.forms.weak import WeakForm
from compiler.fem.solvers.initial_values import consistent_start, jumps_in_time, refuse_ill_posed
from compiler.fem.solvers.newton import NewtonOptions, length, solve_equations
from compiler.fem.solvers.solvability import Defect, defects
from compiler.lowering.terms import JetVariable


@dataclass(frozen=True)
class Scheme:
    """A Runge-Kutta tableau with `diagonal` gamma, rows of `below` the diagonal, and weights;
    `order` is tested."""

    order: int
    diagonal: Q
    below: tuple[tuple[Q, ...], ...]
    weights: tuple[Q, ...]
    embedded: tuple[Q, ...] | None = None  # the weights less those of a formula of one order less

    @property
    def stages(self) -> int:
        """The number of stages, each of them one implicit solve."""
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
THIRD_ORDER = (Q(59, 48), Q(-17, 96), Q(225, 32), Q(-85, 12), Q(0))
SCHEMES = {
    # L-stable, for everything: Hairer and Wanner, table IV.6.5
    "sdirk4": Scheme(
        order=4,
        diagonal=Q(1, 4),
        below=(
            (),
            (Q(1, 2),),
            (Q(17, 50), Q(-1, 25)),
            (Q(371, 1360), Q(-137, 2720), Q(15, 544)),
            LAST_ROW,
        ),
        weights=(*LAST_ROW, Q(1, 4)),
        embedded=tuple(
            b - other for b, other in zip((*LAST_ROW, Q(1, 4)), THIRD_ORDER, strict=True)
        ),
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
        for jet in integrand.coefficient.atoms(JetVariable):
            if not jet.known and (count := sum(jet.index[axes:])):
                orders[jet.component] = max(orders.get(jet.component, 0), count)
    if max(orders.values(), default=0) > 2:
        raise NoWeakForm(
            "time derivatives above the second: write the problem as a system of lower order"
        )
    return orders


class Marched(NamedTuple):
    """Times "k", coefficient vectors "k n" at them, the number of Newton steps, what multipliers
    added, and what is doubtful.

    `breaks` are the numbers of the levels at which the data jump: between them the solution is
    smooth in time.
    """

    times: Array
    vectors: Array
    count: int
    defects: tuple[Defect, ...]
    breaks: tuple[int, ...]
    warnings: tuple[str, ...]


def integrate_in_time(
    parts: Assembly,
    constraints: Constraints,
    levels: tuple[Level, ...],
    steps: int,
    scheme: str,
    newton: NewtonOptions,
    tolerance: float | None = None,
) -> Marched:
    """The solution from the start to the end in `steps` equal steps, or, with a `tolerance`, in
    steps whose relative error by the embedded formula stays below it, `steps` giving the first. A
    level is laid on every time at which the data jump.

    Raises: SolverError for an unknown scheme, NoWeakForm for missing initial values, IllPosed for a
    problem backwards in time, NoConvergence.
    """
    if scheme not in SCHEMES:
        raise SolverError(f"scheme is one of {', '.join(SCHEMES)}, not {scheme!r}")
    form, rule, newton = parts.form, SCHEMES[scheme], in_steps(newton)
    if tolerance is not None and rule.embedded is None:
        raise SolverError(
            f"scheme {scheme!r} has no embedded formula to control its steps by; with a tolerance"
            " take 'sdirk4'"
        )
    orders = evolution(form)
    start, end = parts.known.number(form.time.start), parts.known.number(form.time.end)
    edges = [start, *jumps_in_time(form, parts.known, start, end), end]
    highest = max(orders.values(), default=0)
    jets = [initial_vector(parts, order, orders) for order in range(max(highest, 1))]
    evolving = np.zeros(parts.spaces.size, dtype=bool)
    for component in orders:
        evolving[parts.spaces.numbers(component)] = True
    system = System(parts, constraints, levels)
    consistent = consistent_start(system, jets, orders, inside(start, edges))
    refuse_ill_posed(parts, consistent.jets, start, end)
    run = Run(system, rule, newton, evolving, tolerance)
    run.jets, run.guess = (
        list(consistent.jets),
        np.concatenate((consistent.jets[0], consistent.multipliers)),
    )
    times, vectors, breaks = [start], [consistent.jets[0]], []
    for first, last in pairwise(edges):
        count = (
            steps
            if len(edges) == 2
            else max(3, math.ceil(steps * (last - first) / (end - start) - 1e-9))
        )
        for time in run.segment(first, last, count, edges, steps):
            times.append(time)
            vectors.append(run.jets[0])
        breaks.append(len(times) - 1)
    found = np.array(vectors)
    if not rule.ends_at_the_last_stage and not evolving.all():
        found[1:, ~evolving] = to_levels(found[1:, ~evolving])[1:]
    if not consistent.known and not evolving.all():
        found[0, ~evolving] = extrapolated(
            times[: breaks[0] + 1], found[: breaks[0] + 1, ~evolving]
        )
    added = tuple(defects(*run.heaviest)) if run.heaviest is not None else ()
    return Marched(
        np.array(times), found, run.count, added, tuple(breaks[:-1]), consistent.warnings
    )


def inside(time: float, edges: Sequence[float]) -> float:
    """A time moved off the ends of its segment: data that jump there are asked on the right
    side."""
    slack = 1e-9 * (edges[-1] - edges[0])
    return min(max(time, edges[0] + slack), edges[-1] - slack) if len(edges) > 2 else time


@dataclass
class Run:
    """What the steps of one integration share: the number of Newton steps so far, the size of a
    residual that is not small, the last rate.

    `jets` are (u, d_t u, ..) at the level that was reached, `guess` the last stage value with
    multipliers. `heaviest` is the stage with the largest multipliers, as arguments of
    `solvability.defects`; `size` the largest norm so far of every component.
    """

    system: System
    rule: Scheme
    newton: NewtonOptions
    evolving: NDArray[np.bool_]
    tolerance: float | None = None
    jets: list[Array] = field(default_factory=list)
    guess: Array = field(default_factory=lambda: np.zeros(0))
    h: float = 0.0
    count: int = 0
    scale: float = 0.0
    last: Array | None = None
    heaviest: tuple[System, Array] | None = None
    size: dict[str, float] = field(default_factory=dict)

    def segment(
        self, first: float, last: float, count: int, edges: Sequence[float], steps: int
    ) -> Iterator[float]:
        """Steps through one segment in which the data are smooth in time; yields the end of
        each."""
        # three: nudged off both ends, see `inside`
        here = [first, last] if len(edges) == 2 else [first, (first + last) / 2, last]
        time, number = first, 0
        self.take((last - first) / count)
        while time < last - 1e-12 * (last - first):
            if self.tolerance is None:
                ahead = (
                    last if number == count - 1 else first + (number + 1) * (last - first) / count
                )
            else:
                left = max(1, math.ceil((last - time) / self.h - 1e-9))
                self.take((last - time) / left if left <= 2 else self.h)
                ahead = last if left == 1 else time + self.h
            try:
                moved, stage, error = self.step(self.jets, self.guess, time, here)
            except NoConvergence as failure:
                name = self.system.assembly.form.time.name
                if self.tolerance is not None and self.h > 1e-9 * (last - first):
                    self.take(self.h / 4)
                    continue
                raise NoConvergence(
                    f"at {name} = {ahead:.4g}: {failure}; take more steps than {steps}"
                ) from failure
            if self.tolerance is not None:
                share = self.relative(error, moved[0]) / self.tolerance
                factor = 0.9 * max(share, 1e-6) ** (-1 / self.rule.order)
                if share > 1 and self.h > 1e-9 * (last - first):
                    self.take(self.h * min(max(factor, 0.1), 0.7))
                    continue
                if factor > 1.5:
                    self.take(self.h * min(factor, 4.0))
            self.jets, self.guess, time, number = moved, stage, ahead, number + 1
            yield time

    def take(self, h: float) -> None:
        """Steps of this length from now on; the factorised tangent belongs to one length."""
        if abs(h - self.h) > 1e-9 * h:
            self.h = h
            self.system.kept.clear()

    def relative(self, error: Array, values: Array) -> float:
        """The root mean square of an error, of the worst evolving component, over the largest of
        its values so far."""
        worst = 0.0
        for component in self.system.assembly.form.components:
            numbers = self.system.assembly.spaces.numbers(component)
            if self.evolving[numbers].any():
                size = float(np.sqrt(np.mean(values[numbers] ** 2)))
                self.size[component] = max(size, self.size.get(component, 0.0))
                worst = max(
                    worst,
                    float(np.sqrt(np.mean(error[numbers] ** 2))) / (self.size[component] or 1.0),
                )
        return worst

    def step(
        self, jets: Sequence[Array], guess: Array, time: float, edges: Sequence[float]
    ) -> tuple[list[Array], Array, Array]:
        """From (u, d_t u, ..) at `time` to the next level; `guess` is a stage value with
        multipliers, the last one is returned, and with it the difference to the embedded formula.
        """
        rule, h = self.rule, self.h
        rates: list[list[Array]] = [[] for _ in jets]  # k_j, and l_j for problems of second order
        held = self.boundary_values(time, edges, len(jets))
        for number, (below, place) in enumerate(zip(rule.below, rule.places, strict=True)):
            started = [
                u + h * sum((float(a) * k for a, k in zip(below, rates[m], strict=True)), 0 * u)
                for m, u in enumerate(jets)
            ]
            if rates[0] or self.last is not None:
                ahead = started[0] + float(rule.diagonal) * h * (
                    rates[0][-1] if rates[0] else self.last
                )
                guess = np.concatenate(
                    (
                        np.where(self.evolving, ahead, guess[: self.system.size]),
                        guess[self.system.size :],
                    )
                )
            guess = self.stage(
                started,
                guess,
                inside(time + place * h, edges),
                None if held is None else held[number],
            )
            value = guess[: self.system.size]
            for m, before in enumerate(started):
                value = (value - before) / (float(rule.diagonal) * h)
                rates[m].append(value)
        self.last = rates[0][-1]
        error = (
            h * sum(float(b) * k for b, k in zip(rule.embedded, rates[0], strict=True))
            if rule.embedded
            else 0 * jets[0]
        )
        error = np.where(self.evolving, error, 0.0)
        if rule.ends_at_the_last_stage:
            stage = [guess[: self.system.size], *(rates[m][-1] for m in range(len(jets) - 1))]
            return stage, guess, error
        moved = [
            u + h * sum(float(b) * k for b, k in zip(rule.weights, rates[m], strict=True))
            for m, u in enumerate(jets)
        ]
        constraints = self.system.constraints
        moved[0] = np.where(self.evolving, moved[0], guess[: self.system.size])
        moved[0] = constraints.matrix @ moved[0][constraints.free] + constraints.offset(
            inside(time + h, edges)
        )
        return moved, guess, error

    def boundary_values(self, time: float, edges: Sequence[float], orders: int) -> Array | None:
        """What the stages have for boundary values, "s n"; None where these do not move or the
        scheme has one stage.

        A stage value is accurate to second order, so the exact boundary value next to it leaves a
        layer of that size, and the order of the scheme is lost to it. The stages take the values
        that the scheme itself gives the boundary, as if its rate were part of the system: g_i = g +
        h sum_j a_ij g'(t_j), and for second time derivatives g + h c_i g' + h^2 sum_j (a a)_ij
        g''(t_j), of the polynomial through six values of g in the step. The last stage, which is
        the new value, has the exact one. Source: S. Abarbanel, D. Gottlieb, M. Carpenter, SIAM J.
        Sci. Comput. 17 (1996); M. Carpenter et al., ibid. 16 (1995).
        """
        constraints = self.system.constraints
        if not self.rule.ends_at_the_last_stage or not constraints.moving:
            return None
        given = np.array(
            [constraints.offset(inside(time + place * self.h, edges)) for place in NODES]
        )
        return np.vstack((boundary_weights(self.rule, min(orders, 2)) @ given, given[-1]))

    def stage(
        self, started: Sequence[Array], guess: Array, time: float, held: Array | None = None
    ) -> Array:
        """The stage value with multipliers: rates and history are those of the nested difference
        quotients above. `held`: boundary values where they are not those of the time.
        """
        inverse = 1 / (float(self.rule.diagonal) * self.h)
        rates, history = [1.0], [np.zeros_like(started[0])]
        for before in started:
            rates.append(rates[-1] * inverse)
            history.append((history[-1] - before) * inverse)
        system = replace(self.system, rates=tuple(rates), history=tuple(history), time=time)
        offset = np.concatenate(
            (
                system.constraints.offset(time) if held is None else held,
                np.zeros(len(system.levels)),
            )
        )
        if self.count < SETTLING:
            self.scale = max(self.scale, length(system.transformation.T @ system.residual(guess)))
        solved, used = solve_equations(system, guess, offset, self.newton, self.scale)
        self.count += used
        if system.levels and (
            self.heaviest is None
            or length(solved[system.size :]) > length(self.heaviest[1][system.size :])
        ):
            self.heaviest = system, solved
        return solved


# of a step, both ends among them
NODES = tuple(float(x) for x in (1 - np.cos(np.pi * np.arange(6) / 5)) / 2)


@lru_cache
def boundary_weights(rule: Scheme, orders: int) -> Array:
    """From values at `NODES` to the boundary values of all stages but the last, see
    `Run.boundary_values`.  Shapes: "s-1 6"."""
    vandermonde = np.vander(NODES, increasing=True)
    places, powers = np.array(rule.places)[:, None], np.arange(6)
    tableau = np.array(
        [
            [float(a) for a in (*row, rule.diagonal)] + [0.0] * (rule.stages - len(row) - 1)
            for row in rule.below
        ]
    )
    first = powers * places ** np.maximum(powers - 1, 0)
    if orders == 1:
        grown = tableau @ first
    else:
        second = powers * (powers - 1) * places ** np.maximum(powers - 2, 0)
        grown = places * (powers == 1) + tableau @ tableau @ second
    return ((grown + (powers == 0)) @ np.linalg.inv(vandermonde))[:-1]


def in_steps(newton: NewtonOptions) -> NewtonOptions:
    """The last rate predicts the next stage; the residual need not fall below the error of a
    step."""
    return replace(newton, predictor=False, tolerance=max(newton.tolerance, 1e-9))


def to_levels(middles: Array) -> Array:
    """From values at the midpoints to values at the levels around them, linearly.  Shapes: "k-1
    n" -> "k n"."""
    if len(middles) == 1:
        return np.repeat(middles, 2, axis=0)
    inner = (middles[1:] + middles[:-1]) / 2
    return np.concatenate(
        (1.5 * middles[:1] - 0.5 * middles[1:2], inner, 1.5 * middles[-1:] - 0.5 * middles[-2:-1])
    )


def extrapolated(times: Sequence[float], values: Array) -> Array:
    """The value at the first level by the polynomial through the next four, or as many as there
    are.  Shapes: "k n" -> "n"."""
    nodes = np.array(times[1:5])
    factors = [np.prod([(times[0] - b) / (a - b) for b in nodes if b != a]) for a in nodes]
    return np.array(factors) @ values[1 : len(nodes) + 1]


def initial_vector(parts: Assembly, order: int, orders: dict[str, int]) -> Array:
    """The initial values (order 0) or rates (order 1) at the nodes; zero for unknowns that have
    none.

    Raises: NoWeakForm for an evolving unknown without initial value, SampleError for a value that
    is not a number.
    """
    vector = np.zeros(parts.spaces.size)
    given = {
        initial.component: initial for initial in parts.form.initials if initial.order == order
    }
    for component, highest in orders.items():
        if highest > order and component not in given:
            what = component if order == 0 else f"dt({component})"
            raise NoWeakForm(
                f"no initial condition for {what}; add `at {parts.form.time.name} ="
                f" {parts.form.time.start}: {what} = ..`"
            )
    start = parts.known.number(parts.form.time.start)
    for component, initial in given.items():
        points = parts.spaces.nodes(component)
        values = at_nodes(
            function([initial.value]), parts.known, points, np.zeros_like(points), start
        )
        used = ~idle(parts.form, parts.spaces)[parts.spaces.numbers(component)]
        values = np.where(used, values, 0.0)
        if not np.isfinite(values).all():
            where = points[:, np.flatnonzero(~np.isfinite(values))[0]]
            place = ", ".join(
                f"{x.name} = {value:.6g}"
                for x, value in zip(parts.form.coordinates, where, strict=True)
            )
            raise SampleError(
                f"the initial value of {component if order == 0 else f'dt({component})'} is not a"
                f" number at {place}; give its value there by `if(.., .., ..)`, or write it by"
                " functions that have one, such as sinc(r) for sin(r)/r"
            )
        vector[parts.spaces.numbers(component)] = values
    return vector
