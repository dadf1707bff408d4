"""Which unknowns are taken for the displacement of the body."""

from __future__ import annotations

from pathlib import Path

import pytest

import pdespec
from compiler.report.displacement import displacement

EXAMPLES = Path(__file__).parents[2] / "examples"
MOVED = {"hyperelastic_pores": "u", "linear_elasticity": "u", "neo_hookean_3d": "u"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.pde")), ids=lambda path: path.stem)
def test_elastic_bodies_are_moved_and_nothing_else(path):
    found = displacement(pdespec.load(path))
    assert (found.name if found else None) == MOVED.get(path.stem)


def problem(unknowns: str, statements: str) -> pdespec.Problem:
    return pdespec.parse(f"""
problem p
space    x, y
time     t in [0, 1]
domain   S = rectangle([0, 0], [1, 1])
{unknowns}
{statements}
""")


def test_waves_move_the_body_and_flows_do_not():
    conditions = "on boundary(S): u = 0\nat t = 0: u = 0"
    flow = problem("unknown u : vector on S", f"in S: dt(u) = lap(u)\n{conditions}")
    wave = problem(
        "unknown u : vector on S", f"in S: dtt(u) = lap(u)\n{conditions}\nat t = 0: dt(u) = 0"
    )
    assert displacement(flow) is None
    assert displacement(wave) is wave.unknowns["u"]


STILL = """
problem p
space    x, y
domain   S = rectangle([0, 0], [1, 1])
{unknowns}
minimize integral({density}, S)
on boundary(S): u = [0, x]
"""


@pytest.mark.parametrize(
    ("unknowns", "density", "name"),
    [
        ("unknown u : vector on S", "tr(grad(u)'*grad(u))", "u"),
        # a director: its own length counts
        ("unknown u : vector on S", "tr(grad(u)'*grad(u)) + (dot(u, u) - 1)^2", None),
        # damage
        (
            "unknown u : vector on S, d : scalar on S",
            "(1 - d)^2*tr(grad(u)'*grad(u)) + d^2 + dot(grad(d), grad(d))",
            "u",
        ),
    ],
)
def test_an_energy_is_one_of_a_body_where_translations_cost_nothing(unknowns, density, name):
    found = displacement(pdespec.parse(STILL.format(unknowns=unknowns, density=density)))
    assert (found.name if found else None) == name
