"""Energies: first variation, Euler-Lagrange equation, stress, weak form and natural boundary conditions."""

from __future__ import annotations

from typing import Any

import sympy as sp

from pdespec.assemble import energy_terms
from pdespec.errors import fail
from pdespec.geometry import Domain
from pdespec.jets import jet_form, jets_of, sympy_form
from pdespec.problem import Equation, Problem
from pdespec.symbols import UnknownField


def variation(energy: Any, field: Any) -> Any:
    """The variational derivative of an energy by an unknown, in conservative form.

        variation(integral(psi, Omega), u) = sum_alpha (-1)^|alpha| D^alpha (d psi / d (D^alpha u))

    For psi(u, grad u) this is d psi/d u - div(d psi/d grad(u)). Vectors give a vector.

    Raises: V01 when the energy is not a sum of integrals over domains; T05 when `field` is no unknown.
    """
    if isinstance(field, sp.MatrixBase):
        return sp.ImmutableMatrix(field).applyfunc(lambda entry: variation(energy, entry))
    if not isinstance(field, UnknownField):
        raise fail("T05", f"variation by {field}, which is no unknown", "vary by an unknown: variation(E, u)")
    densities = [density for density, region in energy_terms(energy, "vary") if isinstance(region, Domain)]
    return sp.Add(*(_variational_derivative(density, field) for density in densities))


def _variational_derivative(density: sp.Expr, field: Any) -> sp.Expr:
    """The variational derivative of one density, derivatives of the fluxes kept as such."""
    density = jet_form(density)
    terms = []
    for jet in jets_of(density, UnknownField):
        if jet.field != field:
            continue
        flux = sympy_form(density.diff(jet))
        orders = [(argument, order) for argument, order in zip(field.args, jet.index, strict=True) if order]
        for argument, order in orders:
            for _ in range(order):
                flux = sp.Derivative(flux, argument) if argument in flux.free_symbols else sp.S.Zero
        terms.append(flux if sum(jet.index) % 2 == 0 else -flux)
    return sp.Add(*terms)


def stationarity(problem: Problem) -> dict[str, Equation]:
    """The Euler-Lagrange equations of the functionals of a problem, `stationarity` when there is one."""
    found: dict[str, Equation] = {}
    for functional in problem.functionals:
        for name in functional.unknowns:
            declaration = problem.unknowns[name]
            region = declaration.region
            lhs = sp.S.Zero if declaration.rank == "scalar" else sp.ImmutableMatrix.zeros(*declaration.symbol.shape)
            for density, where in functional.terms:
                if where == region:
                    lhs = lhs + _by(density, declaration.symbol)
            rhs = sp.S.Zero if declaration.rank == "scalar" else sp.ImmutableMatrix.zeros(*declaration.symbol.shape)
            label = "stationarity" if len(functional.unknowns) == 1 else f"stationarity.{name}"
            while label in found or label in problem.equations:
                label += "'"
            found[label] = Equation(lhs, rhs, region, functional.span)
    return found


def _by(density: sp.Expr, field: Any) -> Any:
    if isinstance(field, sp.MatrixBase):
        return sp.ImmutableMatrix(field).applyfunc(lambda entry: _variational_derivative(density, entry))
    return _variational_derivative(density, field)
