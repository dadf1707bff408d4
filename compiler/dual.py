"""A loss that measures the error: the weak residual of a field on a coarse mesh, in the discrete dual norm.

With test functions phi_i of a coarse finite element space V_h, the residual vector of a field u is R_i(u) = a(u; phi_i) - l(phi_i), by
quadrature with the field's exact values and first derivatives. With K the tangent of the discrete problem at its own solution u_h,

    e = -K^-1 R(u),        loss = sum over unknowns of  |e|^2 / |u_h|^2 + |grad e|^2 / |grad u_h|^2

For a linear problem e = P_h (u* - u), the Galerkin projection of the error to the true solution u*: it vanishes at u* whatever the mesh,
and is as well conditioned as the error itself, where the mean square of the strong residual weighs each wave number by its fourth power.
For a nonlinear one it is a Newton step with the tangent of the solution. What V_h cannot see is left to the strong residual.

Samples of next to no size do not decide: to |u_h|^2 is added FLOOR of its mean.

Source: discrete dual norms, Rojas et al. 2023 (arXiv 2308.16910); operator preconditioning, De Ryck et al. 2023 (arXiv 2310.05801).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp
import torch
from numpy.typing import NDArray
from scipy.sparse import block_diag, coo_matrix, csr_matrix, diags, hstack
from scipy.sparse.linalg import splu
from torch import Tensor

from compiler.derivatives import DERIVATIVES, Request
from compiler.distance import interior, relative_error
from compiler.fem.assemble import Assembly, State, assembly
from compiler.fem.conditions import unknown_streams
from compiler.fem.constraints import constrain
from compiler.fem.failure import NoWeakForm, SampleError, SolverError
from compiler.fem.kernels import Function
from compiler.fem.known import Known
from compiler.fem.solve import SolveOptions, one_equation, prepare, sample_spaces, solve, solved_system
from compiler.fem.spaces import Spaces, Tabulated
from compiler.fem.weak import Region
from compiler.graph import ResidualGraph, Source
from compiler.lower import Stream
from operators.field import capabilities
from pdespec.interfaces import flux_conditions
from pdespec.problem import Problem

Array = NDArray[np.float64]
Measure = tuple[str, int]  # an unknown, and the order of the derivative that is measured
FINE = 0.2  # C of the interpolation estimate |v - I_h v| <= C h |grad v| on elements of degree 2
FLOOR = 0.05  # of the mean square size, below which a sample counts less: those of next to no size must not decide
TRUSTED = 0.02  # error of a coarse solution that is taken for small: what the mesh sees is a Galerkin projection, free of its error
LADDER = {1: (16, 32, 64), 2: (8, 12, 16, 24), 3: (3, 4, 6)}  # resolutions tried
LOOKED = 4  # samples whose coarse solutions are compared
MOST = 20000  # unknowns of a mesh that a coarser one is compared with
WINDOW, REUSE = 16, 4
LABEL = "weak"  # of the term, also in `TrainOptions.weights`


@dataclass(frozen=True)
class Part:
    """One region's share of the residual of one sample: R += tests @ values, values being the integrand's coefficients in a row.

    Shapes: points "m D", known "m" each, tests "n (k m)" with the quadrature weights, k coefficients.
    """

    points: Array
    known: Mapping[sp.Symbol, Array]
    tests: csr_matrix


@dataclass(frozen=True)
class Coarse:
    """One sample on its coarse mesh: all that does not depend on the field.

    `constant` is the residual of the integrals that hold no unknown, `norms` the matrices of |e|^2 and |grad e|^2 by unknown, `sizes`
    these of u_h. `fine` weighs the strong residuals by label, see `DualNorm.fine`.
    Shapes: constant "n", solve and transposed "n" -> "n", norms "n n" each.
    """

    parts: tuple[Part, ...]
    constant: Array
    solve: Callable[[Array], Array]
    transposed: Callable[[Array], Array]
    norms: Mapping[Measure, csr_matrix]
    sizes: Mapping[Measure, float]
    fine: Mapping[str, float]


class Integral:
    """Coefficients of the weak form on one region, as a graph of tensors."""

    def __init__(self, region: Region, function: Function, rows: Sequence[str]) -> None:
        self.region, self.arguments = region, function.arguments
        self.graph = ResidualGraph(function.expressions, [Source(row) for row in rows])
        self.streams = [s for s in function.arguments if isinstance(s, Stream) and not s.known]


class DualNorm:
    """The dual norm of a problem's weak residual. Raises: NoWeakForm where the problem has none that first derivatives suffice for."""

    def __init__(self, problem: Problem, resolution: int, degree: int = 2) -> None:
        self.stated, problem = problem, one_equation(problem)
        self.problem, self.options = problem, SolveOptions(resolution=resolution, degree=degree)
        self.prepared = prepare(problem)
        form = self.prepared.form
        if form.time is not None:
            raise NoWeakForm("the dual norm of a problem in time is not built")
        if set(form.components) != set(form.given):
            raise NoWeakForm("the weak form has further unknowns by reduction of order, which the field does not give")
        if any(unknown_streams(sp.diff(gauge.density, s)) for gauge in form.gauges for s in unknown_streams(gauge.density)):
            raise NoWeakForm("an integral requirement is not linear in the unknowns")
        self.kernels = [k for k in self.prepared.kernels if any(unknown_streams(e) for e in k.residual.expressions)]
        self.integrals = [Integral(k.region, k.residual, [row for row, _ in k.rows]) for k in self.kernels]
        self.integrals += [Integral(each.gauge.region, each.density, ["gauge"]) for each in self.prepared.levels]
        self.shared: dict[str, Spaces] = {}
        self.sizes: dict[Measure, float] = {}
        self.fine: dict[str, float] = {}
        self.only: Coarse | None = None

    def unknowns(self, batch: Any, resolution: int) -> int:
        """How many a mesh of that resolution has, in the first sample."""
        known = Known(self.problem, batch.to("cpu", torch.float64).select([0]))
        return sample_spaces(self.prepared, known, replace(self.options, resolution=resolution), None, {}).size

    def refer(self, batch: Any) -> None:
        """Takes the mean sizes of u_h, and what follows from them, from the samples of a batch."""
        samples = self.coarse(batch)
        self.sizes = {key: float(np.mean([each.sizes[key] for each in samples])) for key in samples[0].sizes}
        self.fine = {label: float(np.mean([each.fine[label] for each in samples])) for label in samples[0].fine}

    def share(self, label: str) -> float:
        """The weight of a term of the strong loss beside this norm: what is natural to the weak form, as the flux across an interface is,
        needs none; equations that hold in parts of the domain are one here."""
        if label in self.fine:
            return self.fine[label]
        if label in self.stated.equations:
            return float(np.mean([weight for name, weight in self.fine.items() if name not in self.problem.conditions]))
        return 0.0 if label in flux_conditions(self.stated) else 1.0

    def coarse(self, batch: Any) -> list[Coarse]:
        """The samples of a batch. Raises: SampleError where one cannot be solved."""
        return [self.sample(batch, s) for s in range(batch.size)]

    def sample(self, batch: Any, number: int) -> Coarse:
        """One sample of a batch; the same for all where nothing is drawn. Raises: SampleError where it cannot be solved."""
        if self.only is not None:
            return self.only
        batch = batch.to("cpu", torch.float64)
        found = self._coarse(Known(self.problem, batch if batch.size == 1 else batch.select([number])))
        if not (self.problem.inputs or any(param.law is not None for param in self.problem.params.values())):
            self.only = found
        return found

    def _coarse(self, known: Known) -> Coarse:
        prepared, form = self.prepared, self.prepared.form
        spaces = sample_spaces(prepared, known, self.options, None, self.shared)
        parts, constraints = assembly(form, spaces, prepared.kernels, known), constrain(form, spaces, known)
        system, u, _ = solved_system(parts, constraints, prepared.levels, self.options)
        down = system.transformation.T.tocsr()
        inverse = splu((down @ system.tangent(u) @ system.transformation).tocsc())
        zero = State((np.zeros(spaces.size),))
        rest = Assembly(form, spaces, tuple(k for k in prepared.kernels if k not in self.kernels), known)
        constant = rest.residual(zero)
        if prepared.levels:
            multipliers = u[spaces.size :]
            rows = [system.row(k, zero) for k in range(len(prepared.levels))]
            wanted = [known.number(each.gauge.value) for each in prepared.levels]
            constant = np.concatenate([constant + sum(m * row for m, row in zip(multipliers, rows, strict=True)), np.negative(wanted)])
        found = tuple(self._part(k, spaces, parts, zero, down) for k in range(len(self.integrals)))
        norms, sizes = self._norms(spaces, u[: spaces.size], down)
        fine = self._fine(spaces, parts, system.state(u), sizes)
        return Coarse(found, down @ constant, inverse.solve, lambda right: inverse.solve(right, "T"), norms, sizes, fine)

    def _fine(self, spaces: Spaces, parts: Assembly, state: State, sizes: dict[Measure, float]) -> dict[str, float]:
        """What V_h cannot see, held by the strong residuals r: of an error at the scale h, an equation `a d^m u + ..` leaves a gradient of
        some (C h)^(m - 1) |r| / a, for m = 2 the interpolation estimate of residual error estimators. By label of the equation, as weights
        of the mean of r^2 over the domain, relative to |grad u_h|^2. Of conditions, those that fix values weigh relative to |u_h|^2."""
        form = self.prepared.form
        owner = {c: name for name, unknown in self.problem.unknowns.items() for c in unknown.components}
        place = spaces.places[form.domain]
        area = float(place.weights.sum())
        length = FINE * (area / spaces.mesh.nelements) ** (1 / len(place.points))
        found: dict[str, list[float]] = {}
        for kernel in (k for k in self.prepared.kernels if k.region == form.domain):
            values = parts.values(kernel.tangent, kernel.region, state)
            entries = [(row, sum(test) + sum(s.index), s.component, v) for (row, test, s), v in zip(kernel.entries, values, strict=True)]
            for row in {row for row, *_ in entries}:
                order = max(each[1] for each in entries if each[0] == row and (owner[each[2]], 1) in sizes)
                squares = [(float(np.mean(v**2)), owner[c]) for r, m, c, v in entries if r == row and m == order and (owner[c], 1) in sizes]
                square, unknown = max(squares)
                weight = area * length ** (2 * (order - 1)) / (square * sizes[unknown, 1])
                found.setdefault(form.labels[row], []).append(weight)
        for label in self.problem.conditions:  # natural ones are in the weak form already
            unknowns = {owner[c] for e in (*form.essentials, *form.pins) if e.label == label for c, _ in e.coefficients}
            found[label] = [area / sizes[unknown, 0] for unknown in unknowns] or [0.0]
        return {label: float(np.mean(each)) for label, each in found.items()}

    def _part(self, number: int, spaces: Spaces, parts: Assembly, zero: State, down: csr_matrix) -> Part:
        integral = self.integrals[number]
        place = spaces.places[integral.region]
        weights = place.weights.ravel()
        known = {
            symbol: np.broadcast_to(parts.argument(symbol, integral.region, place, zero), place.weights.shape).ravel()
            for symbol in integral.arguments
            if symbol not in integral.streams
        }
        if number < len(self.kernels):
            rows = self.kernels[number].rows
            tests = hstack([tabulated(place.tables[row], parts.slot(test), down.shape[1]).T.multiply(weights) for row, test in rows])
        else:  # the k-th gauge: its integral, beside the equations
            k = spaces.size + number - len(self.kernels)
            tests = coo_matrix((weights, (np.full(weights.size, k), np.arange(weights.size))), (down.shape[1], weights.size))
        return Part(place.points.reshape(len(place.points), -1).T, known, (down @ tests).tocsr())

    def _norms(self, spaces: Spaces, u: Array, down: csr_matrix) -> tuple[dict[Measure, csr_matrix], dict[Measure, float]]:
        """|e|^2 and, of what is continuous and of the main degree, |grad e|^2, by unknown."""
        form = self.prepared.form
        place = spaces.places[form.domain]
        weights = diags(place.weights.ravel())
        norms, sizes = {}, {}
        for name, unknown in self.problem.unknowns.items():
            smooth = all(form.spaces[c].continuous and not form.spaces[c].below for c in unknown.components)
            for order, slots in ((0, [0]), *(((1, range(1, 1 + len(place.points))),) if smooth else ())):
                tables = [tabulated(place.tables[c], slot, spaces.size) for c in unknown.components for slot in slots]
                matrix = sum(each.T @ weights @ each for each in tables)
                padded = block_diag((matrix, csr_matrix((down.shape[1] - spaces.size,) * 2)))
                norms[name, order] = (down @ padded @ down.T).tocsr()
                sizes[name, order] = float(u @ matrix @ u)
        return norms, sizes

    def __call__(self, field: Callable[[Tensor], Tensor], samples: Sequence[Coarse], like: Tensor) -> Tensor:
        """The mean over the samples of the squared norm of e, points in the dtype and on the device of `like`. Shapes: -> ""."""
        vectors = [torch.as_tensor(each.constant) for each in samples]
        for k, integral in enumerate(self.integrals):
            parts = [each.parts[k] for each in samples]
            counts = [len(part.points) for part in parts]
            points = like.new_tensor(np.stack([_padded(part.points, max(counts)) for part in parts]))
            values: dict[sp.Symbol, Tensor] = {
                symbol: like.new_tensor(np.stack([_padded(part.known[symbol], max(counts)) for part in parts])) for symbol in parts[0].known
            }
            values |= self._streams(field, points, integral)
            found = torch.stack(integral.graph(values, points[..., 0]), 1)  # "b k m"
            for s, part in enumerate(parts):
                vectors[s] = vectors[s] + _Applied.apply(part.tests, found[s, :, : counts[s]].reshape(-1))
        squares = [_squared(vector, each, self.sizes) for vector, each in zip(vectors, samples, strict=True)]
        return torch.stack(squares).mean()

    def _streams(self, field: Callable[[Tensor], Tensor], points: Tensor, integral: Integral) -> dict[sp.Symbol, Tensor]:
        """The field's values and first derivatives that the integrands hold. Shapes: points "b m D" -> "b m" each."""
        order = {component: k for k, component in enumerate(self.problem.components)}
        indices: dict[int, set] = {}
        for stream in integral.streams:
            indices.setdefault(order[stream.component], set()).add(stream.index)
        backend = DERIVATIVES["taylor" if capabilities(field).taylor else "autograd"]()
        answers = backend.evaluate(field, points, Request({c: frozenset(each) for c, each in indices.items()}))
        return {stream: answers[order[stream.component], stream.index] for stream in integral.streams}


def meshed(dual: DualNorm, batch: Any, inner: Callable[[Any], Any] = lambda batch: batch) -> tuple[Any, list[Coarse]]:
    """A batch with its coarse meshes; for a sample that cannot be solved another one of the batch takes its place. `inner` gives the batch
    of the problem as it is computed. Raises: SampleError where none can be."""
    own, found, failure = inner(batch), {}, None
    for number in range(batch.size):
        try:
            found[number] = dual.sample(own, number)
        except SampleError as error:
            failure = error
    if not found:
        raise failure
    if failure is None:
        return batch, list(found.values())
    good = list(found)
    places = [number if number in found else good[number % len(good)] for number in range(batch.size)]
    return batch.select(places), [found[place] for place in places]


class Window:
    """The batches of a training with their coarse meshes: WINDOW of them are drawn, and gone through REUSE times, each time in an order of
    its own. `draw(k)` gives the k-th batch with its meshes; one that raises SampleError is left out, and others take its place."""

    def __init__(self, draw: Callable[[int], tuple[Any, list[Coarse]]], seed: int) -> None:
        self.draw, self.seed = draw, seed
        self.number, self.batches = -1, []

    def at(self, step: int) -> tuple[Any, list[Coarse]]:
        """What a step trains on. Raises: SampleError where no batch of its window can be solved."""
        number, place = divmod(step, WINDOW * REUSE)
        if self.number != number:
            self.number, self.batches = number, self._drawn(number)
        generator = torch.Generator().manual_seed(1000003 * self.seed + step // WINDOW)
        return self.batches[int(torch.randperm(WINDOW, generator=generator)[place % WINDOW]) % len(self.batches)]

    def _drawn(self, number: int) -> list[tuple[Any, list[Coarse]]]:
        found, failure = [], None
        for k in range(number * WINDOW, (number + 1) * WINDOW):
            try:
                found.append(self.draw(k))
            except SampleError as error:
                failure = error
        if not found:
            raise failure
        return found


def trusted_resolution(problem: Problem, batch: Any) -> tuple[int, str]:
    """The coarsest mesh whose solution is within TRUSTED of that on a mesh twice as fine, the last of LADDER where there is none, and how
    far off its solution is in words. Looks at LOOKED samples, and at meshes of at most MOST unknowns.

    Raises: NoWeakForm, SampleError, SolverError.
    """
    few = batch.select(range(min(LOOKED, batch.size)))
    points, found, solutions = interior(problem, few), math.nan, {}
    probe = DualNorm(problem, 1)  # refuses what has no dual norm before anything is solved

    def solution(resolution: int) -> Tensor:
        if resolution not in solutions:
            solutions[resolution] = solve(problem, few, resolution=resolution)(points)
        return solutions[resolution]

    ladder = LADDER[len(problem.coordinates)]
    for resolution in ladder:
        if probe.unknowns(few, 2 * resolution) > MOST:
            if resolution != ladder[0]:
                resolution = ladder[ladder.index(resolution) - 1]
            break
        found = float(relative_error(solution(resolution), solution(2 * resolution)).mean())
        if found <= TRUSTED:
            break
    return resolution, "not compared with finer ones" if math.isnan(found) else f"whose own solution is some {100 * found:.2g} % off"


def tabulated(table: Tabulated, slot: int, size: int) -> csr_matrix:
    """A basis or one of its derivatives at the quadrature points, as a matrix from coefficients to values. Shapes: -> "m n"."""
    count = table.jets.shape[2] * table.jets.shape[3]
    points = np.broadcast_to(np.arange(count).reshape(table.jets.shape[2:]), table.jets.shape[1:])
    columns = np.broadcast_to(table.dofs[:, :, None], table.jets.shape[1:])
    return coo_matrix((table.jets[slot].ravel(), (points.ravel(), columns.ravel())), (count, size)).tocsr()


def _padded(values: Array, count: int) -> Array:
    """Rows repeated up to a count: points that are asked and not used."""
    return values if len(values) == count else np.concatenate([values, np.repeat(values[-1:], count - len(values), axis=0)])


class _Applied(torch.autograd.Function):
    """A sparse matrix times a vector, in float64."""

    @staticmethod
    def forward(ctx, matrix: csr_matrix, vector: Tensor) -> Tensor:
        ctx.matrix, ctx.dtype, ctx.device = matrix, vector.dtype, vector.device
        return torch.from_numpy(matrix @ vector.detach().double().cpu().numpy())

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return None, torch.from_numpy(ctx.matrix.T @ gradient.numpy()).to(ctx.device, ctx.dtype)


class _Squared(torch.autograd.Function):
    """r -> e' N e with e = -K^-1 r; its gradient is -2 K^-T N e."""

    @staticmethod
    def forward(ctx, residual: Tensor, coarse: Coarse, norm: csr_matrix) -> Tensor:
        error = -coarse.solve(residual.detach().numpy())
        weighted = norm @ error
        ctx.slope = torch.from_numpy(-2 * coarse.transposed(weighted))
        return torch.tensor(float(error @ weighted), dtype=torch.float64)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return gradient * ctx.slope, None, None


def _squared(residual: Tensor, coarse: Coarse, sizes: Mapping[Measure, float]) -> Tensor:
    norm = sum(matrix / (coarse.sizes[key] + FLOOR * sizes[key]) for key, matrix in coarse.norms.items())
    return _Squared.apply(residual, coarse, norm)
