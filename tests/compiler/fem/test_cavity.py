"""The lid-driven cavity against the table of Ghia, Ghia and Shin (1982)."""

from __future__ import annotations

import pytest
import sympy as sp
import torch

from compiler import solve
from pdespec import (
    Problem,
    advect,
    div,
    grad,
    integral,
    lap,
    on,
    param,
    rectangle,
    rest,
    side,
    space,
    unknown,
)

from .cases import GivenBatch

# place -> speed along x on the vertical centre line, along y on the horizontal one
VERTICAL = {
    100: {0.0547: -0.03717, 0.2813: -0.15662, 0.5: -0.20581, 0.7344: 0.00332, 0.9531: 0.68717}
}
HORIZONTAL = {
    100: {0.0625: 0.09233, 0.2344: 0.17527, 0.5: 0.05454, 0.8047: -0.24533, 0.9531: -0.08864}
}
VERTICAL[400] = {
    0.0547: -0.08186,
    0.2813: -0.32726,
    0.5: -0.11477,
    0.7344: 0.16256,
    0.9531: 0.55892,
}
HORIZONTAL[400] = {
    0.0625: 0.18360,
    0.2344: 0.30174,
    0.5: 0.05186,
    0.8047: -0.38598,
    0.9531: -0.19254,
}


def cavity() -> Problem:
    x, y = space("x y")
    square = rectangle(x, y)
    v, p, reynolds = unknown("v", square, "vector"), unknown("p", square), param("Re", 100)
    lid = side(square, y=1)
    momentum = advect(v, v) + grad(p) - lap(v) / reynolds
    conditions = [on(lid, (v, sp.Matrix([1, 0]))), on(rest(square, lid), (v, 0))]
    return Problem(
        "cavity",
        {"momentum": momentum, "continuity": div(v)},
        conditions,
        require=[sp.Eq(integral(p, square), 0)],
    )


@pytest.mark.parametrize(("reynolds", "resolution"), [(100, 16), (400, 20)])
def test_the_steady_cavity_agrees_with_the_published_center_lines(reynolds, resolution):
    batch = GivenBatch(1, {"Re": torch.tensor([float(reynolds)])})
    problem = cavity()
    truth = solve(problem, batch, resolution=resolution)
    first = problem.components.index("v.x")
    for place, speed in VERTICAL[reynolds].items():
        assert truth(torch.tensor([[[0.5, place]]]))[0, 0, first] == pytest.approx(speed, abs=0.01)
    for place, speed in HORIZONTAL[reynolds].items():
        assert truth(torch.tensor([[[place, 0.5]]]))[0, 0, first + 1] == pytest.approx(
            speed, abs=0.01
        )
