"""Rvachev functions: signs, zeros, slopes and partitions, on the four quadrants of two
variables."""

from __future__ import annotations

import pytest
import torch

from compiler.geometry.shapes.blend import (
    both,
    conjunction,
    conjunctions,
    disjunction,
    norm,
    trimmed,
    weights,
)

D = torch.float64
AXIS = torch.tensor([-1.5, -0.4, 0.3, 2.0], dtype=D)
A, B = (each.flatten() for each in torch.meshgrid(AXIS, AXIS, indexing="ij"))
SMALL = 1e-7


def test_signs_are_those_of_and_and_or():
    assert torch.equal(both(A, B) > 0, (A > 0) & (B > 0))
    assert torch.equal(disjunction(A, B) > 0, (A > 0) | (B > 0))
    inside = (A > 0) & (B > 0)
    assert (conjunction(A, B)[inside] > 0).all() and (conjunction(A, B, 0.5)[inside] > 0).all()


@pytest.mark.parametrize("join", [conjunction, both])
def test_slope_is_one_where_one_function_vanishes(join):
    far = torch.tensor([0.5, 2.0], dtype=D)
    near = torch.full_like(far, SMALL)
    assert torch.allclose(join(near, far) / SMALL, torch.ones(2, dtype=D), rtol=1e-6)
    assert torch.equal(join(0 * near, far), 0 * near)
    assert torch.allclose(disjunction(near, -far) / SMALL, torch.ones(2, dtype=D), rtol=1e-6)


def test_a_rounded_corner_has_bounded_second_derivatives_and_a_sharp_one_has_not():
    def curvature(corner: float, distance: float) -> float:
        point = torch.tensor([distance, distance], dtype=D, requires_grad=True)
        (gradient,) = torch.autograd.grad(
            conjunction(point[0], point[1], corner), point, create_graph=True
        )
        return (
            torch.stack([torch.autograd.grad(g, point, retain_graph=True)[0] for g in gradient])
            .abs()
            .max()
            .item()
        )

    assert curvature(0.1, 1e-6) < 1.1 / 0.1
    assert curvature(0.0, 1e-6) > 1e5
    wide = torch.tensor(1.0, dtype=D)
    assert conjunction(wide * SMALL, wide, 0.1).item() / SMALL == pytest.approx(1 / 1.01**0.5)


def test_many_functions_join_as_r_equivalence_of_order_two():
    values = torch.rand(5, 7, dtype=D, generator=torch.Generator().manual_seed(0)) + 0.1
    assert torch.allclose(conjunctions(values.unbind(0)), values.pow(-2).sum(0).pow(-0.5))


def test_trimmed_vanishes_on_the_kept_part_of_its_carrier_alone():
    carrier = torch.tensor([0.0, 0.0, SMALL, -SMALL, 0.3], dtype=D)
    keep = torch.tensor([0.5, -0.5, 0.5, 0.5, -0.5], dtype=D)
    value = trimmed(carrier, keep)
    assert value[0] == 0 and value[1] == pytest.approx(0.5)
    assert torch.allclose(value[2:4] / SMALL, torch.ones(2, dtype=D)) and value[4] > 0.3
    definition = (0.3**2 + (((0.25 + 0.3**4) ** 0.5 + 0.5) / 2) ** 2) ** 0.5
    assert value[4].item() == pytest.approx(definition)
    at = torch.zeros(1, dtype=D, requires_grad=True)
    (slope,) = torch.autograd.grad(trimmed(at, torch.full((1,), 0.5, dtype=D)).sum(), at)
    assert slope.item() == 1  # and not that of sqrt at zero


def test_weights_part_unity_and_are_one_where_their_function_vanishes():
    functions = [
        torch.tensor([0.0, 0.4, 0.2], dtype=D),
        torch.tensor([0.5, 0.0, 0.2], dtype=D),
        torch.tensor([0.1, 0.7, 0.2], dtype=D),
    ]
    shares = torch.stack(weights(functions))
    assert torch.allclose(shares.sum(0), torch.ones(3, dtype=D))
    assert torch.allclose(
        shares, torch.tensor([[1, 0, 1 / 3], [0, 1, 1 / 3], [0, 0, 1 / 3]], dtype=D)
    )
    corner = torch.stack(weights([torch.zeros(1), torch.zeros(1)]))
    assert torch.isfinite(corner).all()


def test_norm_has_a_derivative_at_zero():
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=D, requires_grad=True)
    values = norm(vectors)
    (gradient,) = torch.autograd.grad(values.sum(), vectors)
    assert values.tolist() == [0, 5] and torch.allclose(
        gradient, torch.tensor([[0, 0], [0.6, 0.8]], dtype=D)
    )
