"""Grids as a function of the displacements of their section."""

from __future__ import annotations

import numpy as np
import torch

import compiler
from compiler.finite_volume.flow import flow
from compiler.finite_volume.moving import Grids, heights
from compiler.finite_volume.solve import FlowOptions, Request

from .sections import flow_at

WING = flow_at()

D = torch.tensor([[0.02, -0.03, 0.01, 0.025, -0.01, 0.03, 0.0]], dtype=torch.float64)


def test_nodes_are_those_of_the_solver():
    d = torch.cat([D, -D])
    batch = compiler.instance(WING, {"d": d}, size=2, dtype=torch.float64)
    request = Request(WING, flow(WING), batch, FlowOptions(16))
    found = Grids(WING, 16, rows=10).nodes(d)
    for k in range(2):
        nodes, _ = request.setting(batch.select([k]), k)
        assert np.abs(nodes[:10, :-1] - found[k].numpy()).max() < 1e-12


def test_slope_of_nodes_agrees_with_richardsons_differences():
    grids, generator = Grids(WING, 16, rows=12), torch.Generator().manual_seed(0)
    d = D.clone().requires_grad_(True)
    weight = torch.randn(grids(d).shape, generator=generator, dtype=torch.float64)
    along = torch.randn(7, generator=generator, dtype=torch.float64)
    (grids(d) * weight).sum().backward()

    def difference(step: float) -> float:
        high, low = (grids.nodes(D + s * along) for s in (step, -step))
        return float(((high - low) * weight).sum() / (2 * step))

    exact = (4 * difference(5e-4) - difference(1e-3)) / 3
    assert abs(float(d.grad[0] @ along) / exact - 1) < 1e-6


def test_heights_of_the_undeformed_section_are_the_formula():
    nodes = Grids(WING, 32, rows=2).nodes(torch.zeros(1, 7))
    x = np.array([0.2, 0.5, 0.8])
    half = 0.6 * (0.2969 * x**0.5 - 0.126 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1036 * x**4)
    found = heights(nodes, x)[0].numpy()
    assert np.abs(found - np.stack([-half, half])).max() < 1e-4  # linear between nodes
