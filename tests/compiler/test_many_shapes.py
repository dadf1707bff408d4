"""Unions of many shapes that touch: what a comb or a heat sink is made of."""

from __future__ import annotations

import pytest
import torch

import pdespec
from compiler.geometry.domain import Geometry
from compiler.geometry.shapes import piece
from compiler.geometry.shapes.once import once, shared


def comb(teeth: int) -> pdespec.Problem:
    """A back of height 1 with teeth of width 1 and height 2 at every second place."""
    parts = [f"rectangle([{2 * k}, 1], [{2 * k + 1}, 3])" for k in range(teeth)]
    body = " + ".join([f"rectangle([0, 0], [{2 * teeth - 1}, 1])", *parts])
    return pdespec.parse(
        f"problem comb\nspace x, y\ndomain C = {body}\nunknown u : scalar on C\n"
        "in C: lap(u) = 1\non boundary(C): u = 0\n"
    )


def body(teeth: int):
    return Geometry(comb(teeth).domains["C"], {}, 1, torch.float64).body


def test_the_work_of_a_union_is_a_power_of_the_number_of_its_parts(monkeypatch):
    taken = []

    def counted(*given):
        taken.append(1)
        return trimmed(*given)

    trimmed = piece.trimmed
    monkeypatch.setattr(piece, "trimmed", counted)

    def work(teeth: int) -> int:
        found = body(teeth)
        taken.clear()
        found.boundary_function(lambda _: True, torch.rand(1, 8, 2, dtype=torch.float64))
        return len(taken)

    few, many = work(2), work(4)
    assert 0 < many < 9 * few, (few, many)  # as the third power; otherwise 4^2 = 16 and more


def test_a_comb_is_what_its_teeth_are():
    teeth = 3
    found = body(teeth)
    x = torch.rand(1, 1000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = x * torch.tensor([2 * teeth + 1, 4.0]) - torch.tensor([1, 0.5])
    across, up = x.unbind(-1)
    back = (across > 0) & (across < 2 * teeth - 1) & (up > 0) & (up <= 1)
    tooth = (across > 0) & (across < 2 * teeth - 1) & (across % 2 < 1) & (up >= 1) & (up < 3)
    inside = back | tooth
    assert torch.equal(found.inside(x), inside)
    assert torch.equal(found.distance(x) < 0, inside)
    selected = lambda _: True  # noqa: E731
    edge = [[0.5, 0], [0, 0.5], [0.5, 3], [1.5, 1], [1, 2], [2, 1.5], [2 * teeth - 1, 2]]
    on_it = torch.tensor([edge], dtype=torch.float64)
    assert found.boundary_function(selected, on_it).abs().max() < 1e-6
    assert found.boundary_function(selected, x)[inside].min() > 0
    seam = torch.tensor([[[0.5, 1.0], [2.5, 1.0]]], dtype=torch.float64)  # inside, on two sides
    assert found.boundary_function(selected, seam).min() > 0.1
    assert float(found.measure()) == pytest.approx(2 * teeth - 1 + 2 * teeth, rel=1e-12)


def test_values_are_shared_within_a_call_and_not_beyond_it():
    asked = []

    class Shape:
        @once
        def value(self, x):
            asked.append(torch.is_grad_enabled())
            return x[..., 0].square()

        @once
        def twice(self, x):
            return self.value(x) + self.value(x)

    shape, x = Shape(), torch.rand(1, 3, 2, requires_grad=True)
    for _ in range(2):  # a graph that was freed is not met again
        shape.twice(x).sum().backward()
    assert len(asked) == 2
    with shared():
        assert shape.value(x) is shape.value(x)
        with torch.no_grad():
            assert not shape.value(x).requires_grad
    assert asked == [True, True, True, False]
