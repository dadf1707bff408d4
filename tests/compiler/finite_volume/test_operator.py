"""The operator of sections: symmetric where the flow is, and its forces those of the pressure."""

from __future__ import annotations

import torch

from compiler.finite_volume.moving import Grids
from compiler.finite_volume.operator import (
    SectionOperator,
    forces,
    mirrored_fields,
    mirrored_nodes,
)

from .sections import flow_at

SHAPE = (24, 128)


def sections() -> torch.Tensor:
    d = torch.tensor([[0.02, -0.03, 0.01, 0.025, -0.01, 0.03, 0.0], [0.0] * 7])
    return Grids(flow_at(), 16, rows=SHAPE[0]).nodes(d)


def operator(nodes: torch.Tensor) -> SectionOperator:
    wing = SectionOperator(SHAPE, width=8).double()
    generator = torch.Generator().manual_seed(0)
    fields = torch.rand(*nodes.shape[:3], 4, generator=generator, dtype=torch.float64)
    wing.standardise(nodes, fields)
    return wing


def test_flow_about_a_mirrored_section_is_the_mirrored_flow():
    nodes = sections()
    wing = operator(nodes)
    with torch.no_grad():
        found = wing(nodes).unflatten(1, SHAPE)
        other = wing(mirrored_nodes(nodes)).unflatten(1, SHAPE)
        one, two = wing.answers(nodes, torch.arange(8))
    assert (mirrored_fields(found) - other).abs().max() < 1e-12
    assert (one - two).abs().max() > 1e-3  # the network alone is not symmetric


def test_symmetric_section_has_no_lift_and_the_mirrored_the_opposite_one():
    nodes = sections()
    wing = operator(nodes)
    with torch.no_grad():
        force, mirror = (
            forces(n, wing(n, torch.arange(SHAPE[1]))[..., 3])
            for n in (nodes, mirrored_nodes(nodes))
        )
    assert abs(float(force[1, 1])) < 1e-12 < abs(float(force[0, 1]))
    assert (force * force.new_tensor([1.0, -1.0]) - mirror).abs().max() < 1e-12


def test_forces_of_a_linear_pressure_are_gauss_theorem():
    nodes = sections()[:1]
    x, y = nodes[0, 0].unbind(-1)
    area = (x * y.roll(-1) - x.roll(-1) * y).sum().abs() / 2  # of the polygon
    drag, lift = forces(nodes, 2 * x[None] - 3 * y[None])[0]
    assert abs(float(drag) + 2 * float(area)) < 1e-12  # on the section, out of it into the fluid
    assert abs(float(lift) - 3 * float(area)) < 1e-12


def test_misfit_of_what_the_operator_says_is_zero():
    nodes = sections()
    wing = operator(nodes)
    wing.symmetric = False
    with torch.no_grad():
        fields = wing(nodes).unflatten(1, SHAPE)
        generator = torch.Generator().manual_seed(0)
        assert float(wing.misfit(nodes, fields, generator)) < 1e-20
        assert float(wing.misfit(nodes, fields + 0.01, generator)) > 1e-6
