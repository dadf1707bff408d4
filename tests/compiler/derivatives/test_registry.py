"""What every derivative backend keeps to, those registered later included."""

from __future__ import annotations

import pytest
import torch

from compiler.derivatives import DERIVATIVES, Axes, Form, Request
from operators.registry import UnknownName

from .oracles import closed_form, mesh

REQUEST = Request(
    {0: frozenset({(0, 0), (1, 0)})}, {"lap": Form({(2, 0): 1.0, (0, 2): 1.0}, frozenset({0}))}
)


@pytest.fixture
def field():
    return closed_form("x y", "sin(2*pi*x)*cos(2*pi*y)")


# which needs a field with jets: test_taylor.py
@pytest.mark.parametrize("name", sorted(set(DERIVATIVES) - {"taylor"}))
def test_a_backend_answers_what_it_was_asked_on_a_periodic_grid(name, field):
    points = mesh(*[torch.arange(32, dtype=torch.float64) / 32] * 2, batch=2)
    answers = DERIVATIVES[name]().evaluate(field, points, REQUEST, Axes((1.0, 1.0)))
    assert set(answers) == {(0, (0, 0)), (0, (1, 0)), (0, "lap")}
    exact = {
        (0, (0, 0)): field.derivative(points, 0, (0, 0)),
        (0, (1, 0)): field.derivative(points, 0, (1, 0)),
        (0, "lap"): field.derivative(points, 0, (2, 0)) + field.derivative(points, 0, (0, 2)),
    }
    for key, value in exact.items():
        assert answers[key].shape == points.shape[:2]
        assert (
            float((answers[key].detach() - value).norm() / value.norm()) < 0.25
        )  # least squares keeps no symmetry at the edge of the cloud


@pytest.mark.parametrize("name", sorted(DERIVATIVES))
def test_a_backend_says_what_it_costs_and_hashes_by_its_options(name):
    assert DERIVATIVES[name]().points_per_query(REQUEST) >= 1
    assert hash(DERIVATIVES[name]()) == hash(DERIVATIVES[name]())


def test_an_unknown_backend_is_named_with_the_nearest_one():
    with pytest.raises(UnknownName, match="did you mean 'finite_difference'"):
        DERIVATIVES["finite_differences"]
