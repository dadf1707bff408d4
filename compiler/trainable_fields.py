"""Functions that are to be found, written out: a pure pass, problem in, problem out, and the modes.

    k = first + g    or    k = first exp(g),    g = sum_j c_j s_j e_j(x)

on the box of the domain, e_j products over the axes of cos(i pi (x - a)/L), along periodic axes of
1, cos and sin of 2 pi i (x - a)/L. Under `grf(sigma, tau, alpha)` e_j has norm 1 in L2 of the box
and s_j^2 = sigma^2 (mu_j + tau^2)^(-alpha), mu_j the eigenvalue of -lap: the covariance operator of
the law, with its constant mode. Under `grf(sigma, length)` the box is longer by one length on
either side where it is not periodic, so that its ends hardly matter, and s_j^2 = sigma^2 (2 pi
length^2)^(d/2) exp(-length^2 mu_j / 2), the spectral density at that frequency. Without a law s_j =
1 and the largest value of each e_j is 1. The c_j are trainable numbers; under a law each has the
prior normal(0, 1).

The modes are smooth, so that all derivatives of k are those of a closed form, and every lowering
(loss, weak form, energy) sees an ordinary expression in x and in numbers to be found.
Source: Solin and Sarkka 2020, Hilbert space methods for reduced-rank Gaussian process regression,
Statistics and Computing 30, eqs. 15 to 20.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp
import torch
from sympy.core.function import AppliedUndef

from compiler.arrays import Array
from compiler.geometry.domain import box, nominal
from pdespec.calculus import Integral
from pdespec.coordinates import Time
from pdespec.geometry import Boundary, Domain
from pdespec.laws import Gaussian
from pdespec.statements.problem import Problem
from pdespec.statements.statements import Requirement
from pdespec.symbols import FoundField, Param, Scalar
from pdespec.trainable_fields import TrainableField

GOLDEN = (math.sqrt(5) - 1) / 2
BEYOND = 1.0  # lengths of correlation by which the box is extended at each end


def expanded(problem: Problem) -> Problem:
    """The problem with its trainable fields written out, their coefficients sized trainables of
    the same names; the problem itself where it has none."""
    if not any(isinstance(each, TrainableField) for each in problem.trainables.values()):
        return problem
    return problem.once(_expanded)


def _expanded(problem: Problem) -> Problem:
    out = _Writer()
    side = lambda each: replace(each, lhs=out(each.lhs), rhs=out(each.rhs), written=None)  # noqa: E731
    return problem.revised(
        trainables={name: coefficients(each) for name, each in problem.trainables.items()},
        equations={label: side(each) for label, each in problem.equations.items()},
        conditions={label: side(each) for label, each in problem.conditions.items()},
        functionals=tuple(
            replace(each, terms=tuple((out(e), region) for e, region in each.terms), written=None)
            for each in problem.functionals
        ),
        requirements=tuple(
            side(each)
            if isinstance(each, Requirement)
            else replace(each, density=out(each.density), value=out(each.value), written=None)
            for each in problem.requirements
        ),
        outputs={
            name: replace(each, value=out(each.value), written=None)
            for name, each in problem.outputs.items()
        },
        data=tuple(replace(each, value=out(each.value), written=None) for each in problem.data),
        references={name: out(each) for name, each in problem.references.items()},
        written=None,
    )


def coefficients(declared: Param | TrainableField) -> Param:
    """The numbers that a trainable is."""
    if isinstance(declared, Param):
        return declared
    law = None if declared.law is None else Gaussian(sp.S.Zero, sp.S.One)
    return Param(declared.name, "trainable", sp.S.Zero, law, declared.size)


@dataclass(frozen=True)
class Axis:
    """The modes along one axis of a field: of cosines on [low, low + length], or periodic ones.
    `waves`: their frequencies."""

    symbol: sp.Symbol
    low: float
    length: float
    count: int
    periodic: bool
    normed: bool

    @property
    def waves(self) -> Array:
        """The frequency of each mode, in radians per length. Shapes: "count"."""
        order = np.arange(self.count)
        if self.periodic:
            return 2 * math.pi * ((order + 1) // 2) / self.length
        return math.pi * order / self.length

    @property
    def sizes(self) -> Array:
        """The largest value of each mode."""
        squares = np.where(np.arange(self.count) == 0, 1.0, 2.0) / self.length
        return np.sqrt(squares) if self.normed else np.ones(self.count)

    def functions(self) -> list[sp.Expr]:
        """The modes as expressions."""
        at = (self.symbol - exact(self.low)) / exact(self.length) * sp.pi
        found = [sp.Float(self.sizes[0])]
        for k in range(1, self.count):
            call = sp.sin if self._odd(k) else sp.cos
            order = 2 * ((k + 1) // 2) if self.periodic else k
            found.append(sp.Float(self.sizes[k]) * call(order * at))
        return found

    def values(self, at: Array) -> Array:
        """The modes at places along the axis. Shapes: "n" -> "n m"."""
        angles = (at[:, None] - self.low) * self.waves
        sines = np.array([self._odd(k) for k in range(self.count)])
        return self.sizes * np.where(sines, np.sin(angles), np.cos(angles))

    def _odd(self, k: int) -> bool:
        return self.periodic and k > 0 and k % 2 == 0


def exact(value: float) -> sp.Expr:
    """The decimal that a float is written as."""
    return sp.Rational(repr(float(value)))


def axes_of(field: TrainableField) -> list[Axis]:
    """The axes of a field, with its modes."""
    region: Any = field.region
    domain: Domain = region.domain if isinstance(region, Boundary) else region
    low, high = box(domain)
    found = []
    for symbol, count in zip(field.axes, field.counts, strict=True):
        if isinstance(symbol, Time):
            a, b, periodic = float(symbol.start), float(symbol.end), symbol.periodic
        else:
            k = [x.name for x in domain.coordinates].index(symbol.name)
            a, b, periodic = low[k], high[k], symbol.name in domain.periodic
        if field.law is not None and field.law.length is not None and not periodic:
            a, b = (
                end + sign * BEYOND * float(field.law.length) for end, sign in ((a, -1), (b, 1))
            )
        found.append(Axis(symbol, a, b - a, count, periodic, field.law is not None))
    return found


def scales(field: TrainableField) -> Array:
    """The standard deviation s of each coefficient under the law. Shapes: -> "m1 .. md"."""
    axes = axes_of(field)
    squares = np.zeros(field.counts)
    for k, axis in enumerate(axes):
        squares = squares + axis.waves.reshape([-1 if i == k else 1 for i in range(len(axes))]) ** 2
    law = field.law
    if law is None:
        return np.ones_like(squares)
    sigma = float(law.sigma)
    if law.length is not None:
        length = float(law.length)
        density = (2 * math.pi * length**2) ** (len(axes) / 2)
        return sigma * np.sqrt(density * np.exp(-(length**2) * squares / 2))
    return sigma * (squares + float(law.tau or 0) ** 2) ** (-float(law.alpha or 0) / 2)


def written_out(field: TrainableField) -> sp.Expr:
    """A field as an expression of its coordinates and coefficients, sums inside of sums."""
    own = coefficients(field)
    numbers = [Scalar(own, i) for i in range(field.size)]
    sizes = scales(field).ravel()
    modes = [axis.functions() for axis in axes_of(field)]

    def total(place: int, first: int, count: int) -> sp.Expr:
        if place == len(modes):
            return sp.Float(sizes[first]) * numbers[first]
        step = count // len(modes[place])
        return sp.Add(
            *(
                mode * total(place + 1, first + k * step, step)
                for k, mode in enumerate(modes[place])
            )
        )

    g = total(0, 0, field.size)
    return field.median * sp.exp(g) if field.positive else field.median + g


def basis(field: TrainableField, points: Array) -> Array:
    """s_j e_j at points, by the coordinates of the field, time last. Shapes: "n d" -> "n p"."""
    region: Any = field.region
    names = [x.name for x in region.coordinates] + ([] if field.time is None else [field.time.name])
    found = np.ones((len(points), 1))
    for axis in axes_of(field):
        own = axis.values(points[:, names.index(axis.symbol.name)])
        found = (found[:, :, None] * own[:, None, :]).reshape(len(points), -1)
    return found * scales(field).ravel()


def field_values(field: TrainableField, numbers: Array, points: Array) -> Array:
    """A field at points, of the values of its coefficients. Shapes: numbers "p", points "n d" ->
    "n"."""
    g = basis(field, points) @ numbers
    median = float(field.median)
    return median * np.exp(g) if field.positive else median + g


def field_slopes(field: TrainableField, numbers: Array, points: Array) -> Array:
    """How a field depends on its coefficients at points. Shapes: -> "n p"."""
    modes = basis(field, points)
    return field_values(field, numbers, points)[:, None] * modes if field.positive else modes


def found_fields(problem: Problem) -> dict[str, TrainableField]:
    """The trainable fields of a problem, by name."""
    return {n: each for n, each in problem.trainables.items() if isinstance(each, TrainableField)}


def priors(problem: Problem) -> Mapping[str, tuple[float, float]]:
    """Mean and standard deviation of the trainable numbers that have a prior, by component."""
    declared = [coefficients(each) for each in problem.trainables.values()]
    found = {}
    for each in declared:
        if isinstance(each.law, Gaussian):
            law = float(each.law.mean), float(each.law.std)
            found |= dict.fromkeys(each.components, law)
    return found


def places(field: TrainableField, count: int) -> Array:
    """Points over what a field lives on, evenly spread in place and time, of a domain whose shape
    varies in that of the medians of its params. Shapes: -> "n d"."""
    region: Any = field.region
    domain = region.domain if isinstance(region, Boundary) else region
    chance = torch.Generator().manual_seed(0)
    shape = nominal(domain)
    at = (
        shape.boundary(region, count, chance)[0]
        if isinstance(region, Boundary)
        else shape.interior(count, chance)
    )[0].numpy()
    if field.time is None:
        return at
    # the golden ratio's multiples modulo 1 are as even in time as the points are in space
    share = (np.arange(1, count + 1) * GOLDEN) % 1
    start, end = float(field.time.start), float(field.time.end)
    return np.column_stack([at, start + share * (end - start)])


class _Writer:
    """One walk over expressions: every trainable field replaced by what it is written out as."""

    def __init__(self) -> None:
        self.done: dict[Any, Any] = {}
        self.fields: dict[TrainableField, sp.Expr] = {}

    def __call__(self, expression: Any) -> Any:
        if isinstance(expression, sp.MatrixBase):
            return sp.ImmutableMatrix(expression).applyfunc(self)
        expression = sp.sympify(expression)
        if not expression.has(FoundField):
            return expression
        if expression not in self.done:
            self.done[expression] = self._visit(expression)
        return self.done[expression]

    def _visit(self, e: Any) -> Any:
        if isinstance(e, FoundField):
            return self._field(e)
        if isinstance(e, Integral):
            return Integral(self(e.density), e.region)
        if isinstance(e, sp.Derivative):
            return sp.Derivative(self(e.expr), *e.variable_count)
        if isinstance(e, AppliedUndef) or not e.args:
            return e
        return e.func(*map(self, e.args))

    def _field(self, e: Any) -> sp.Expr:
        field: TrainableField = e.func.declaration
        if field not in self.fields:
            self.fields[field] = written_out(field)
        own = field.symbol.args
        places = {x: at for x, at in zip(own, e.args, strict=True) if x != at}
        return self.fields[field].xreplace(places)
