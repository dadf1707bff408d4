"""Finds the energy whose minimum is the solution of a problem stated by equations, where there is
one.

From the weak form `int sum_a F_a(s) d^a w = 0`, s the jet variables of the unknowns, an energy
density W with `F_a = dW / d(d^a u)` exists where the matrix `dF_a / ds_b` is symmetric; then `W =
int_0^1 sum_a F_a(t s) s_a dt`, and natural conditions give densities on the boundary. The solution
is a minimum where that matrix is positive semi-definite.

Where coefficients jump, an energy has two merits: its terms hold first derivatives only, so that
the flux across the interface comes out continuous without being asked for, and its condition number
is the square root of that of the squared residual. With a ratio of 290 between two conductivities a
network trained on residuals and flux jumps was 100 % wrong at a loss of 0.4, on the energy 0.6 %
(docs/notes/interfaces.md).

Source: Vainberg, Variational Methods for the Study of Nonlinear Operators (1964), section 5.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import sympy as sp

from compiler.fem.errors import NoWeakForm
from compiler.fem.forms.weak import by_region, weak_form
from compiler.lowering.terms import JetVariable
from compiler.training.options import OptionError
from pdespec.calculus import entries
from pdespec.coordinates import Normal
from pdespec.curvilinear import angles
from pdespec.geometry import Boundary, Domain, meshes
from pdespec.jets import MultiIndex
from pdespec.probe import vanishes
from pdespec.rules.subdomains import merged
from pdespec.statements.interfaces import flux_conditions
from pdespec.statements.membership import points, typical
from pdespec.statements.normalise import gathered
from pdespec.statements.problem import Problem
from pdespec.statements.statements import Functional
from pdespec.symbols import Scalar

TRIED = 16  # points at which it is seen whether a stationary point is a minimum

# component and multi-index of what multiplies a coefficient in the weak form
Key = tuple[str, MultiIndex]


def trained_as(problem: Problem, form: str) -> Problem:
    """The problem whose loss a training lowers. `form`: "strong" and "balance", as it is stated;
    "energy", by its energy; "auto", by its energy where coefficients jump and there is one with a
    minimum.

    Raises: OptionError where an energy is asked for and there is none.
    """
    if form in ("strong", "balance") or (form == "auto" and not flux_conditions(problem)):
        return problem
    found = energy_form(problem)
    if found is None and form == "energy" and not problem.functionals:
        raise OptionError(
            f"form = 'energy', but the equations of `{problem.name}` come from no energy that has a"
            " minimum; take strong"
        )
    return problem if found is None else found


def energy_form(problem: Problem) -> Problem | None:
    """The problem with its equations and natural conditions replaced by the energy they come
    from; None where none has a minimum."""
    return _energy_form(
        problem,
        tuple(mesh.folder for domain in problem.domains.values() for mesh in meshes(domain.shape)),
    )


@lru_cache(maxsize=64)
def _energy_form(problem: Problem, folders: tuple[str, ...]) -> Problem | None:
    problem = merged(problem) or problem
    if (
        problem.time is not None
        or problem.functionals
        or not problem.equations
        or angles(problem.coordinates)
    ):
        return None
    if any(
        equation.region != problem.unknowns[name].region
        for equation in problem.equations.values()
        for name in problem.unknowns
    ):
        return None
    if any(
        label not in problem.conditions and label.rpartition(".flux")[0] not in problem.equations
        for label in flux_conditions(problem)
    ):
        return None
    try:
        form = weak_form(problem)
    except NoWeakForm:
        return None
    if form.components != form.given:
        return None
    densities = []
    hessians = []
    for region, integrands in by_region(form):
        coefficients: dict[Key, sp.Expr] = {}
        for each in integrands:
            key = (each.row, each.test)
            coefficients[key] = coefficients.get(key, sp.S.Zero) + each.coefficient
        jets = _jets(coefficients, form.names)
        density = _potential(coefficients, jets)
        if density is None:
            return None
        densities.append((region, density))
        hessians.append((region, sp.Matrix([[sp.diff(density, a, b) for b in jets] for a in jets])))
    sign = _sign(problem, hessians)
    if sign is None:
        return None
    fields = {
        f.func.__name__: f for unknown in problem.unknowns.values() for f in entries(unknown.symbol)
    }
    fields |= {
        f.func.__name__: f for given in problem.inputs.values() for f in entries(given.symbol)
    }
    terms = gathered(
        (sign * _over_fields(density, fields, problem), region) for region, density in densities
    )
    essential = {each.label for each in (*form.essentials, *form.pins)}
    kept = {label: each for label, each in problem.conditions.items() if label in essential}
    functional = Functional("minimize", terms, tuple(problem.unknowns))
    return problem.revised(equations={}, conditions=kept, functionals=(functional,))


def _jets(coefficients: Mapping[Key, sp.Expr], names: tuple[str, ...]) -> tuple[JetVariable, ...]:
    """What coefficients hold, and what they multiply."""
    found = {
        s
        for each in coefficients.values()
        for s in sp.sympify(each).atoms(JetVariable)
        if not s.known
    }
    found |= {JetVariable(component, index, names) for component, index in coefficients}
    return tuple(sorted(found, key=lambda s: s.name))


def _potential(
    coefficients: Mapping[Key, sp.Expr], jets: tuple[JetVariable, ...]
) -> sp.Expr | None:
    """W of the coefficients F_a; None where they are no gradient, or no polynomial in the
    jet variables."""
    tested = {key: sp.sympify(each) for key, each in coefficients.items()}
    by_jet = {s: tested.get((s.component, s.index), sp.S.Zero) for s in jets}
    for a, b in itertools.combinations(jets, 2):
        if not vanishes(sp.expand(sp.diff(by_jet[a], b) - sp.diff(by_jet[b], a))):
            return None
    t = sp.Dummy("t")
    total = sp.S.Zero
    for (component, index), coefficient in tested.items():
        jet = next(s for s in jets if (s.component, s.index) == (component, index))
        scaled = coefficient.xreplace({s: t * s for s in jets})
        if not scaled.is_polynomial(t):
            return None
        powers = sp.Poly(scaled, t).terms()
        total += sum((c / (power + 1) for (power,), c in powers), sp.S.Zero) * jet
    return total


def _sign(problem: Problem, hessians: list[tuple[Domain | Boundary, sp.Matrix]]) -> int | None:
    """+1 or -1 where the second variation times that is positive semi-definite at points of the
    domain; None where it is neither."""
    lowest, highest = 0.0, 0.0
    for region, hessian in hessians:
        for at in _places(problem, region, hessian):
            matrix = np.array(hessian.xreplace(at).evalf(), dtype=float)
            values = np.linalg.eigvalsh((matrix + matrix.T) / 2) if matrix.size else np.zeros(1)
            lowest, highest = min(lowest, values.min()), max(highest, values.max())
    if lowest >= -1e-9 * max(highest, 1e-300) and highest > 0:
        return 1
    return -1 if highest <= 1e-9 * -lowest and lowest < 0 else None


def _places(
    problem: Problem, region: Domain | Boundary, hessian: sp.Matrix
) -> list[dict[sp.Basic, sp.Expr]]:
    """Values of everything a matrix depends on: points of the domain, params in the middle of
    their laws, the rest at random."""
    domain = region.domain
    declared = [*problem.params.values(), *problem.constants.values(), *problem.trainables.values()]
    params = {
        s: sp.sympify(d.value) for d in declared if d.value is not None for s in entries(d.symbol)
    }
    inside = list(points(domain, 4 * TRIED, typical(domain)) or [])[:TRIED]
    draw = random.Random(0)
    places = []
    for k in range(TRIED):
        at: dict[sp.Basic, sp.Expr] = {}
        for symbol in sorted(hessian.free_symbols, key=lambda s: s.name):
            if symbol in problem.coordinates and inside:
                at[symbol] = sp.Float(inside[k % len(inside)][problem.coordinates.index(symbol)])
            elif isinstance(symbol, Normal):
                at[symbol] = sp.Float(1 / len(problem.coordinates) ** 0.5)
            elif isinstance(symbol, Scalar):
                at[symbol] = params.get(symbol, _drawn(symbol))
            else:
                at[symbol] = sp.Float(draw.gauss(0, 1))
        places.append(at)
    return places


def _drawn(symbol: Scalar) -> sp.Expr:
    law = symbol.declaration.law
    low, high = (sp.S.Zero, sp.S(2)) if law is None else law.support
    return (low + high) / 2 if low.is_finite and high.is_finite else law.arguments["mean"]


def _over_fields(density: sp.Expr, fields: Mapping[str, sp.Expr], problem: Problem) -> sp.Expr:
    """Streams as derivatives of fields."""

    def derivative(jet: JetVariable) -> sp.Expr:
        along = [(v, n) for v, n in zip(problem.variables, jet.index, strict=True) if n]
        field = fields[jet.component]
        return sp.Derivative(field, *along) if along else field

    return density.xreplace({s: derivative(s) for s in density.atoms(JetVariable)})
