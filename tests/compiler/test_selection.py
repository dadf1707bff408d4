"""What `derivatives=` may name, and which backend a term gets."""

from __future__ import annotations

import pytest
import torch

import compiler
import pdespec
from compiler.derivatives import FiniteDifference, Taylor
from compiler.lowering.selection import choice
from compiler.lowering.terms import lower
from pdespec import Problem, grad, lap, rectangle, space, unknown
from tests.compiler import problems

HEAT = """problem heat
space x
time t in [0, 1]
domain L = interval(0, 1)
unknown u : scalar on L
in L: dt(u) = lap(u)
on boundary(L): dot(grad(u), n) = 0
at t = 0: u = x
"""


def heat() -> Problem:
    return pdespec.parse(HEAT, source="heat.pde")


def selected(problem: Problem, derivatives: object) -> dict[str, object]:
    compiler.compile(problem, derivatives)
    return {term.label: choice(term, derivatives) for term in lower(problem)}


@pytest.mark.parametrize(
    ("derivatives", "momentum", "continuity"),
    [
        ("taylor", "taylor", "taylor"),
        ({"momentum": "taylor", "default": "autograd"}, "taylor", "autograd"),
        ({"momentum": "taylor"}, "taylor", "auto"),
        ({"v": "taylor", "default": "autograd"}, "taylor", "taylor"),
        ({"p": "finite_difference", "default": "autograd"}, "finite_difference", "autograd"),
        ({"v.x": "taylor", "v": "taylor", "p": "taylor"}, "taylor", "taylor"),
        # a label goes before unknowns
        ({"momentum": "autograd", "v": "taylor", "p": "finite_difference"}, "autograd", "taylor"),
        ({"Omega": "autograd", "default": "taylor"}, "autograd", "autograd"),
        ({"v": Taylor(), "Omega": FiniteDifference(4)}, Taylor(), Taylor()),
    ],
)
def test_a_term_is_selected_by_label_unknown_region_or_default(derivatives, momentum, continuity):
    found = selected(problems.navier_stokes(), derivatives)
    assert (found["momentum"], found["continuity"]) == (momentum, continuity)


def test_a_boundary_is_a_region_of_its_own():
    found = selected(heat(), {"boundary(L)": "autograd", "L": "finite_difference"})
    # the initial condition lives on L, too
    assert sorted(found.values()) == ["autograd", "finite_difference", "finite_difference"]
    assert found["eq1"] == "finite_difference"


def test_a_selection_by_unknown_and_region_gives_the_residuals_of_the_whole():
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    u, w = unknown("u", omega), unknown("w", omega)
    problem = Problem("pair", {"one": lap(u) - w, "two": grad(w)[0] - u})

    def field(p):
        return torch.cat(
            [torch.sin(p[..., :1]) * p[..., 1:], torch.exp(p[..., :1] - p[..., 1:])], -1
        )

    points = torch.rand(1, 9, 2, dtype=torch.float64)
    whole = compiler.compile(problem, "autograd").residuals(field, points)
    for derivatives in (
        {"u": "finite_difference", "default": "autograd"},
        {"Omega": "finite_difference"},
    ):
        loss = compiler.compile(problem, derivatives)
        groups = {
            term.label: group.backend for group in loss.plan(field).groups for term in group.terms
        }
        assert groups == {
            "one": "finite_difference",
            "two": "autograd" if "u" in derivatives else "finite_difference",
        }
        for label, residual in loss.residuals(field, points).items():
            torch.testing.assert_close(residual, whole[label], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("derivatives", "text"),
    [
        ({"momentun": "taylor"}, "nothing is called `momentun`; did you mean `momentum`"),
        ({"momentum": "tailor"}, "did you mean 'taylor'"),
        ("tailor", "did you mean 'taylor'"),
        (
            FiniteDifference,
            (
                r"give an instance of FiniteDifference, as FiniteDifference\(\), or its name"
                r" 'finite_difference'"
            ),
        ),
        (None, "None is not a backend; known: auto, autograd"),
        ({"default": 3}, "3 is not a backend"),
    ],
)
def test_what_does_not_exist_is_said_when_the_loss_is_compiled(derivatives, text):
    with pytest.raises(KeyError, match=text):
        compiler.compile(problems.navier_stokes(), derivatives)


@pytest.mark.parametrize("name", ["initial", "boundary"])
def test_the_beginning_of_a_label_selects_nothing(name):
    with pytest.raises(KeyError, match=f"nothing is called `{name}`"):
        compiler.compile(heat(), {name: "autograd"})


def test_two_unknowns_of_one_term_that_ask_for_different_backends_are_refused():
    with pytest.raises(
        ValueError, match="`momentum` differentiates `p` and `v`, .*; give one for `momentum`"
    ):
        compiler.compile(problems.navier_stokes(), {"p": "finite_difference", "v": "taylor"})
