"""What a training says of how it is fitted to its problem."""

from __future__ import annotations

import pdespec
from compiler.training.rules import fitted


def test_conditions_that_are_left_to_the_loss_are_told_as_they_are_written():
    problem = pdespec.parse(
        "problem bar\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
        "in L: -dxx(u) = 1\non side(L, x = 0): u = 0\n"
        "on side(L, x = 1): cooled: dx(u) + u = 0\n"
    )
    found = fitted(problem)
    assert found["left to the loss"] == "on side(L, x = 1): dx(u) + u = 0"
    assert found["built into u"].endswith("a lift of the data on one boundary")
