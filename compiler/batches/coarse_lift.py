"""A coarse solution as a part of the lift: `u = B + f (P + N)`, B and f the lift and factor of the
conditions that are built in, P polynomials for which the residuals are least in each sample, N the
network, which is left to correct them.

P minimises the mean squares of the strong residuals and of the conditions that are not built in,
each in the mean size of its change by a coefficient, over points that are the same in every draw:
for a linear problem by one system of normal equations, else by Gauss and Newton from P = 0. All is
differentiable in params, shapes and inputs. What the two highest degrees add is the size of the
network's output in each component.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import sympy as sp
import torch
from torch import Tensor

from compiler.batches.features import periodic, unknown_domains
from compiler.batches.residuals import Residuals, Shifted
from compiler.chance import Chance, seeded
from compiler.data.interfaces import kinks
from compiler.data.points import PointSet, place
from compiler.data.polynomials import Degrees, Polynomials, numbers
from compiler.data.samples import DrawnSamples, probed
from compiler.derivatives import Autograd, Request
from compiler.geometry.shapes.meshfile import files
from compiler.loss.hard_conditions import ansatz, plan_hard_conditions, positive_channels
from compiler.lowering.terms import JetVariable, Term, lower, strong_form
from operators.field import PointFunction
from pdespec.jets import MultiIndex
from pdespec.rules.subdomains import merged, subdomains
from pdespec.statements.interfaces import flux_conditions
from pdespec.statements.problem import Problem

# points in the domain for each coefficient, at least so many, and their share on a boundary
POINTS, LEAST, SHARE = 4, 256, 3
MOST = 600  # coefficients of all components
RIDGE = 1e-12  # off the diagonal, where that is 1
STEPS, HALVES = 12, 5  # by Gauss and Newton, and how often one is halved
SETTLED = 1e-6  # relative change of the coefficients after which there is no further step
TINY = 1e-6  # of the size of the solution, below which no amplitude goes


def refusal(problem: Problem) -> str | None:
    """Why a problem has no coarse lift; None where it has one."""
    if problem.functionals:
        return "it is stated by an energy, not by equations and conditions on every boundary"
    if problem.trainables:
        return f"it depends on the trainable {', '.join(problem.trainables)}"
    if positive_channels(problem):
        return "an unknown is declared positive, which polynomials are not"
    if subdomains(problem) and merged(problem) is None:
        return "what holds in its subdomains cannot be made one equation"
    if flux_conditions(problem) or kinks(probed(problem, 1)) is not None:
        return "its solution has kinks, which polynomials have not"
    return None


def lift_degrees(
    problem: Problem, lift: int | Sequence[int], hard_conditions: bool = True
) -> Degrees:
    """The degree along each variable; none where `lift` is 0. Raises: ValueError with the reason
    where there is no such lift."""
    count = len(problem.variables)
    given = (lift,) * count if isinstance(lift, int) else tuple(lift)
    if not any(given):
        return ()
    reason = refusal(problem)
    if reason is None and not hard_conditions:
        reason = (
            "it is a part of the field that conditions are built into, and hard_conditions=False"
            " has none"
        )
    if reason is None and (len(given) != count or min(given) < 1):
        names = ", ".join(variable.name for variable in problem.variables)
        reason = f"lift = {list(given)} should be one degree, or one for each of {names}, from 1"
    if reason is None:
        coefficients = len(problem.components) * len(numbers(given))
        if coefficients > MOST:
            reason = f"lift = {list(given)} has {coefficients} coefficients, more than {MOST}"
    if reason is not None:
        raise ValueError(f"`{problem.name}` has no coarse lift: {reason}")
    return given


def with_coarse_lift(drawn: DrawnSamples, degrees: Degrees) -> DrawnSamples:
    """The draws with the coarse solution of each sample, and the amplitudes that follow from it."""
    drawn = replace(drawn, amplitude=None, coarse=None)
    with torch.set_grad_enabled(torch.is_grad_enabled() and drawn.attached):
        start = _nothing(drawn, degrees)
        rows = [
            _Rows(each, _points(drawn, each.terms[0], start), drawn, start)
            for each in _terms(drawn.problem, files(drawn.problem))
        ]
        found, added = _least(rows, start, _is_linear(drawn.problem, files(drawn.problem)))
        points = _points(drawn, rows[0].residuals.terms[0], start).points
        factor = _factor(drawn)(points)
        size, whole = (_size(factor * each(points)) for each in (added, found))
        amplitude = size.maximum(TINY * whole).clamp_min(TINY) / _size(factor)
    coarse = found.map(lambda tensor: tensor.to(drawn.dtype))
    return replace(drawn, coarse=coarse, amplitude=amplitude.to(drawn.dtype))


def _size(values: Tensor) -> Tensor:
    """Root mean square over points. Shapes: "b n c" -> "b c"."""
    return values.square().mean(1).sqrt()


# --------------------------------------------------------------------------------------------------
# least squares


def _least(
    rows: Sequence[_Rows], start: Polynomials, linear: bool
) -> tuple[Polynomials, Polynomials]:
    """The polynomials, and what their two highest degrees add to them."""
    if linear:
        matrix, slope = _normal(rows, None)
        found = -_solved(matrix, slope)
    else:
        found = _by_gauss_and_newton(rows, start.coefficients.flatten(1))
        matrix, _ = _normal(rows, found)
    found = torch.where(found.isfinite().all(1, keepdim=True), found, torch.zeros_like(found))
    lower_numbers = set(numbers(tuple(max(1, degree - 2) for degree in start.degrees)))
    few = torch.tensor([each in lower_numbers for each in start.numbers], device=found.device)
    few = few.repeat(start.coefficients.shape[1]).nonzero()[:, 0]
    product = (matrix @ found[..., None])[:, few, 0]
    below = torch.zeros_like(found).index_copy(1, few, _solved(matrix[:, few][:, :, few], product))
    coarse, added = (
        replace(start, coefficients=each.unflatten(1, start.coefficients.shape[1:]))
        for each in (found, found - below)
    )
    return coarse, added


def _by_gauss_and_newton(rows: Sequence[_Rows], start: Tensor) -> Tensor:
    """The least squares of residuals that are not linear: of each step the half, a quarter .. where
    the whole is too far. Shapes: "b m" -> "b m"."""
    found, best = start, _squares(rows, start)
    for k in range(STEPS):
        step = -_solved(*_normal(rows, found if k else None))
        for _ in range(HALVES):
            worse = ~(_squares(rows, found + step) < best)[:, None]
            if not worse.any():
                break
            step = torch.where(worse, step / 2, step)
        reached = _squares(rows, found + step)
        better = reached < best
        found = torch.where(better[:, None], found + step, found)
        best = torch.where(better, reached, best)
        if not bool((better & (step.norm(dim=1) > SETTLED * found.norm(dim=1))).any()):
            break
    return found


def _normal(rows: Iterable[_Rows], coefficients: Tensor | None) -> tuple[Tensor, Tensor]:
    """Matrix and right-hand side of the normal equations; None: at the start. Shapes: "b m" ->
    "b m m", "b m"."""
    matrix, slope = 0.0, 0.0
    for each in rows:
        residual, change = each.linearised(coefficients)
        matrix = matrix + change.transpose(1, 2) @ change
        slope = slope + (change.transpose(1, 2) @ residual[..., None])[..., 0]
    assert isinstance(matrix, Tensor) and isinstance(slope, Tensor)
    return matrix, slope


def _squares(rows: Iterable[_Rows], coefficients: Tensor) -> Tensor:
    """The sum of the weighted squares. Shapes: "b m" -> "b"."""
    found = torch.stack([each(coefficients).square().sum(1) for each in rows]).sum(0)
    return torch.where(found.isfinite(), found, torch.full_like(found, math.inf))


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Of a symmetric matrix, in units in which its diagonal is 1. Shapes: "b m m", "b m" ->
    "b m"."""
    size = matrix.diagonal(dim1=1, dim2=2).sqrt()
    size = torch.where(size > 0, size, torch.ones_like(size))
    scaled = matrix / (size[:, :, None] * size[:, None])
    scaled = scaled + RIDGE * torch.eye(size.shape[1], dtype=size.dtype, device=size.device)
    return torch.linalg.solve_ex(scaled, (right / size)[..., None])[0][..., 0] / size


class _Rows:
    """Terms at their points, as functions of the coefficients of all components, one after the
    other. In float64, each expression in the mean size of its change by a coefficient.

    Shapes: coefficients "b m"; residuals "b n", the points of one expression after the other.
    """

    def __init__(
        self, residuals: Residuals, places: PointSet, drawn: DrawnSamples, start: Polynomials
    ) -> None:
        self.residuals, points = residuals, places.points
        self.like, self.shape = points[..., 0].detach(), start.coefficients.shape
        self.known = residuals.known(points, places.normals, drawn)
        names = drawn.problem.components
        self.component = {s: names.index(s.component) for s in residuals.jet_variables}
        self.base, self.change = _jets(self.component, points, drawn, start)
        self.at_start = self._expanded(start.coefficients.flatten(1))
        size = self.at_start[1].square().mean((2, 3)).sqrt()
        self.unit = torch.where(size > 0, size, torch.ones_like(size))[..., None]  # "b k 1"

    def __call__(self, coefficients: Tensor) -> Tensor:
        found = self._expressions(self._values(coefficients))
        return (torch.stack(found, 1).double() / self.unit).flatten(1)

    def linearised(self, coefficients: Tensor | None) -> tuple[Tensor, Tensor]:
        """The residuals and their derivatives by the coefficients; None: at the start. Shapes: ->
        "b n", "b n m"."""
        found, change = self.at_start if coefficients is None else self._expanded(coefficients)
        return (found / self.unit).flatten(1), (change / self.unit[..., None]).flatten(1, 2)

    def _expanded(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes: -> "b k n", "b k n m"."""
        keep = torch.is_grad_enabled()
        values = self._values(coefficients)
        with torch.enable_grad():
            values = {
                s: each if keep and each.requires_grad else each.detach().requires_grad_()
                for s, each in values.items()
            }
            every = 0 * torch.stack(list(values.values())).sum()
            found, changes = self._expressions(values), []
            for each in found:
                # at each point a residual holds the values there alone
                slopes = torch.autograd.grad(
                    each.sum() + every, list(values.values()), create_graph=keep, retain_graph=True
                )
                parts = [self.like.new_zeros(*self.like.shape, self.shape[2])] * self.shape[1]
                for (s, k), slope in zip(self.component.items(), slopes, strict=True):
                    parts[k] = parts[k] + slope[..., None] * self.change[s]
                changes.append(torch.cat(parts, 2))
        found, changes = torch.stack(found, 1).double(), torch.stack(changes, 1).double()
        return (found, changes) if keep else (found.detach(), changes.detach())

    def _expressions(self, values: Mapping[JetVariable, Tensor]) -> tuple[Tensor, ...]:
        return self.residuals.graph({**values, **self.known}, self.like)

    def _values(self, coefficients: Tensor) -> dict[JetVariable, Tensor]:
        """The unknowns and their derivatives. Shapes: -> "b n" each."""
        own = coefficients.to(self.like).unflatten(1, self.shape[1:])
        return {
            s: self.base[s] + (self.change[s] @ own[:, k, :, None])[..., 0]
            for s, k in self.component.items()
        }


def _jets(
    component: Mapping[JetVariable, int], points: Tensor, drawn: DrawnSamples, start: Polynomials
) -> tuple[dict[JetVariable, Tensor], dict[JetVariable, Tensor]]:
    """Of each derivative its value without polynomials, and that of the factor times each of
    them, by the product rule. Shapes: -> "b n" each, "b n m" each."""
    wanted: dict[int, set[MultiIndex]] = {}
    for s, k in component.items():
        wanted.setdefault(k, set()).add(s.index)
    below = {k: {b for a in each for b in _below(a)} for k, each in wanted.items()}
    base = _derivatives(_offset(drawn), points, wanted)
    factor = _derivatives(_factor(drawn), points, below)
    products = {b: start.products(points, b) for b in set().union(*below.values())}
    change = {
        s: torch.stack(
            [
                math.prod(map(math.comb, s.index, b))
                * factor[k, tuple(n - m for n, m in zip(s.index, b, strict=True))][..., None]
                * products[b]
                for b in _below(s.index)
            ]
        ).sum(0)
        for s, k in component.items()
    }
    return {s: base[k, s.index] for s, k in component.items()}, change


def _below(index: MultiIndex) -> Iterable[MultiIndex]:
    """The derivatives of a product's factors."""
    return itertools.product(*(range(n + 1) for n in index))


def _derivatives(
    function: PointFunction, points: Tensor, wanted: Mapping[int, Iterable[MultiIndex]]
) -> dict[tuple[int, MultiIndex], Tensor]:
    request = Request({k: frozenset(each) for k, each in wanted.items()})
    found = Autograd().evaluate(Shifted(function), points, request)
    if torch.is_grad_enabled():
        return found  # type: ignore[return-value]
    return {key: each.detach() for key, each in found.items()}  # type: ignore[misc]


# --------------------------------------------------------------------------------------------------
# what is made small, and where


@lru_cache(maxsize=64)
def _terms(problem: Problem, read: tuple[Any, ...]) -> tuple[Residuals, ...]:
    """The equations and the conditions that are not built in, by their points. An integral that
    is prescribed is left to the network: the polynomials have none of a constant it would fix."""
    stated = merged(problem) or problem
    held = {label for each in plan_hard_conditions(problem).values() for label in each.labels}
    terms = strong_form(stated) + tuple(
        term
        for term in lower(stated)
        if term.kind in ("boundary", "initial", "point") and term.label not in held
    )
    found: dict[str, list[Term]] = {}
    for term in terms:
        found.setdefault(term.points, []).append(term)
    return tuple(Residuals(stated, tuple(each)) for each in found.values())


@lru_cache(maxsize=64)
def _is_linear(problem: Problem, read: tuple[Any, ...]) -> bool:
    """Whether the residuals are linear in the unknowns."""
    return not any(
        not s.known
        for residuals in _terms(problem, read)
        for term in residuals.terms
        for expression in term.expressions
        for own in term.jet_variables()
        if not own.known
        for s in sp.diff(expression, own).atoms(JetVariable)
    )


def _points(drawn: DrawnSamples, term: Term, start: Polynomials) -> PointSet:
    """Points of a term that are the same for all samples and draws."""
    count = max(LEAST, POINTS * start.coefficients.shape[2])
    counts = {"interior": count, "boundary": count // SHARE, "initial": count // SHARE}
    counts["point"] = count // SHARE
    kind = "interior" if term.kind == "equation" else term.kind
    chance = Chance(seeded(2, "lift", 0), drawn.size, alike=True)
    return place(drawn, term.points, kind, term.region, counts, chance, "sobol")


def _nothing(drawn: DrawnSamples, degrees: Degrees) -> Polynomials:
    """Polynomials without coefficients, over the domain of each sample and its time."""
    problem = drawn.problem
    domains = unknown_domains(problem)
    lowers, uppers = zip(
        *(drawn.geometry[domain.name].body.bounds() for domain in domains), strict=True
    )
    lower, upper = torch.stack(lowers).amin(0), torch.stack(uppers).amax(0)
    if problem.time is not None:
        ends = lower.new_tensor([drawn.start, drawn.start + drawn.duration])
        lower, upper = (
            torch.cat([each, end.expand(drawn.size, 1)], 1)
            for each, end in zip((lower, upper), ends, strict=True)
        )
    shape = drawn.size, len(problem.components), len(numbers(degrees))
    coefficients = torch.zeros(shape, dtype=torch.float64, device=drawn.device)
    return Polynomials(degrees, periodic(problem), lower, upper, coefficients)


def _offset(drawn: DrawnSamples) -> PointFunction:
    built = ansatz(drawn, plan_hard_conditions(drawn.problem))
    count = len(drawn.problem.components)
    return (lambda x: x.new_zeros(*x.shape[:2], count)) if built is None else built.offset


def _factor(drawn: DrawnSamples) -> PointFunction:
    built = ansatz(drawn, plan_hard_conditions(drawn.problem))
    count = len(drawn.problem.components)
    return (lambda x: x.new_ones(*x.shape[:2], count)) if built is None else built.factor
