"""The derivative planner: streams counted by hand (one value step each), collapsed forms, and
the reasons it prints."""

from __future__ import annotations

import math
import re

import pytest
import sympy as sp

from compiler.lowering.plan import plan
from compiler.lowering.terms import lower
from operators import WEIGHTS
from operators.field import Capabilities
from operators.graph.grid import Lattice
from pdespec import ProblemError
from tests.compiler import problems

JETS = Capabilities(pointwise=True, taylor=True, smoothness=math.inf)


def chosen(problem, capabilities=JETS, derivatives="auto"):
    names = tuple(v.name for v in problem.variables)
    return plan(lower(problem), problem.components, names, capabilities, derivatives)


@pytest.mark.parametrize(
    ("problem", "streams"),
    [
        (problems.poisson, 4),
        (problems.navier_stokes, 5),
        (problems.korteweg_de_vries, 5),
        (problems.biharmonic, 11),
        (problems.monge_ampere, 6),
    ],
)
def test_jets_carry_as_many_streams_as_counted_by_hand(problem, streams):
    group = chosen(problem()).groups[0]
    assert group.backend == "taylor"
    assert group.streams == streams


def test_nested_reverse_mode_costs_what_the_flop_counter_gave():
    # measured in value steps: Poisson 6, Navier-Stokes 12, KdV 8 (the biharmonic goes through fewer
    # parents than a naive nest: 36)
    counted = {
        p.__name__: chosen(p(), derivatives="autograd").groups[0].cost
        for p in (problems.poisson, problems.navier_stokes, problems.korteweg_de_vries)
    }
    assert counted == {"poisson": 6, "navier_stokes": 12, "korteweg_de_vries": 8}


def test_collapsing_keeps_the_meaning_of_a_residual():
    problem = problems.biharmonic()
    term = chosen(problem).groups[0].terms[0]
    expanded = term.expressions[0]
    for jet in term.jet_variables():
        if jet.form:
            parts = [c * type(jet)(jet.component, a, jet.names) for a, c in jet.form]
            expanded = expanded.subs(jet, sp.Add(*parts))
    assert sp.expand(expanded - lower(problem)[0].expressions[0]) == 0


def test_a_residual_nonlinear_in_its_top_derivatives_is_not_collapsed_and_says_so():
    reasons = chosen(problems.monge_ampere()).groups[0].reasons
    assert any("nonlinear in its top-order derivatives" in r for r in reasons)


def test_a_first_order_scalar_problem_goes_to_nested_reverse_mode():
    group = chosen(problems.transport()).groups[0]
    assert group.backend == "autograd"
    assert "taylor declined: 3.3 value steps against 2.0" in group.reasons[0]


def test_each_equation_can_have_its_own_backend():
    groups = chosen(
        problems.navier_stokes(), derivatives={"momentum": "taylor", "default": "autograd"}
    ).groups
    assert [(g.terms[0].label, g.backend) for g in groups] == [
        ("momentum", "taylor"),
        ("continuity", "autograd"),
    ]


@pytest.mark.parametrize(
    ("smoothness", "outcome"), [(1, "error"), (2, "warning"), (3, "none"), (math.inf, "none")]
)
def test_p03_compares_the_order_of_the_equation_with_the_class_of_the_field(smoothness, outcome):
    capabilities = Capabilities(pointwise=True, taylor=True, smoothness=smoothness)
    if outcome == "error":
        with pytest.raises(ProblemError, match="P03.*`wave` takes dxxx"):
            chosen(problems.korteweg_de_vries(), capabilities)
    else:
        found = chosen(problems.korteweg_de_vries(), capabilities).warnings
        assert [w.code for w in found] == (["P03"] if outcome == "warning" else [])


@pytest.mark.parametrize(("smoothness", "outcome"), [(-1, "error"), (0, "warning"), (1, "none")])
def test_p03_looks_at_equations_of_first_order_too(smoothness, outcome):
    capabilities = Capabilities(taylor=True, smoothness=smoothness)
    if outcome == "error":
        with pytest.raises(
            ProblemError, match="P03.*the field jumps[^$]*holds delta terms[^$]*reduction"
        ):
            chosen(problems.transport(), capabilities)
    else:
        assert [w.code for w in chosen(problems.transport(), capabilities).warnings] == ["P03"] * (
            outcome == "warning"
        )


@pytest.mark.parametrize(
    ("problem", "k"),
    [(problems.poisson, 2), (problems.korteweg_de_vries, 3), (problems.biharmonic, 4)],
)
def test_p03_offers_only_weights_that_suffice(problem, k):
    capabilities = Capabilities(taylor=True, smoothness=k - 1)
    hint = chosen(problem(), capabilities).warnings[0].hint
    named = re.findall(r'"(\w+)"', hint)
    assert "bump" in named and len(named) == 3
    assert all(WEIGHTS[name].smoothness >= k for name in named)


@pytest.mark.parametrize(
    ("grid", "periodic", "backend", "why"),
    [
        (True, (), "finite_difference", "fourier declined: its grid is not periodic"),
        (True, (True, False), "finite_difference", "fourier declined: its grid is not periodic"),
        (True, (True, True), "fourier", "its grid is periodic"),
        (False, (), "least_squares", "it has no grid of its own"),
        (False, (True, True), "least_squares", "it has no grid of its own"),
    ],
)
def test_a_field_that_mixes_its_queries_is_given_to_a_backend_that_needs_no_others(
    grid, periodic, backend, why
):
    lattice = Lattice((0.0, 0.0), (1.0, 1.0), (16, 16)) if grid else None
    group = chosen(
        problems.poisson(), Capabilities(pointwise=False, grid=lattice, periodic=periodic)
    ).groups[0]
    assert group.backend == backend
    assert "mixes its queries" in group.reasons[0] and why in group.reasons[0]
