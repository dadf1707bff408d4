"""O-grids: on the section, orthogonal, without folds, as far as asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compiler
from compiler.finite_volume.grid import NoGrid, o_grid
from compiler.finite_volume.multigrid import metrics

from .sections import batch_of, chart_of, flow_at


def sections(count: int):
    problem = flow_at()
    drawn = compiler.sample(
        problem, count, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )
    return [(problem, batch_of(problem))] + [(problem, drawn.select([k])) for k in range(count)]


def test_nodes_lie_on_the_section_and_cells_do_not_fold_for_sections_of_the_design_space():
    for problem, batch in sections(8):
        grid = o_grid(chart_of(problem, batch), 64, 16, 40.0)
        assert grid.cells == (64, 16)
        distance = batch.geometry["Omega"].signed_distance(torch.from_numpy(grid.nodes[0])[None])
        assert distance.abs().max() < 1e-9
        assert metrics(grid.nodes)[2].min() > 0
        edge = chart_of(problem, batch)(np.zeros(1))[0]
        assert np.allclose(grid.nodes[:, 0], grid.nodes[:, -1])
        assert np.allclose(grid.nodes[0, 0], edge, atol=1e-12)  # the sharp edge is a node
        assert np.hypot(*(grid.nodes[-1] - [0.5, 0]).T).min() > 39.9


def test_lines_meet_at_right_angles():
    problem = flow_at()
    nodes = o_grid(chart_of(problem, batch_of(problem)), 256, 64, 40.0).nodes
    # central differences, away from the edge where angles are halved
    on = nodes[1:20, 10:-8] - nodes[1:20, 8:-10]
    up = nodes[2:21, 9:-9] - nodes[:19, 9:-9]
    cosine = (on * up).sum(-1) / np.linalg.norm(on, axis=-1) / np.linalg.norm(up, axis=-1)
    assert np.abs(cosine).max() < 0.02


def test_a_joukowski_section_is_mapped_as_the_closed_form_says():
    # w = c + zeta, z = w + 1/w with |c - 1| the radius: a cusp at w = 1, so that lines of the grid
    # are images of circles about c
    center = -0.1 + 0.0j
    radius = abs(1 - center)
    angle = np.linspace(0, 2 * np.pi, 20001)
    fine = center + radius * np.exp(1j * angle)
    z = fine + 1 / fine
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(z)))])
    length /= length[-1]

    def chart(shares: np.ndarray) -> np.ndarray:
        # the angle by length, with the root that the cusp needs at both ends
        found = np.interp(shares, length, angle)
        w = center + radius * np.exp(1j * found)
        z = w + 1 / w
        return np.stack([z.real, z.imag], -1)

    nodes = o_grid(chart, 128, 32, 60.0).nodes[2:]
    z = nodes[..., 0] + 1j * nodes[..., 1]
    root = np.sqrt(z * z - 4)
    w = np.where(np.abs(z + root) > np.abs(z - root), z + root, z - root) / 2
    levels = np.abs(w - center) / radius
    assert np.ptp(levels, axis=1).max() < 2e-3 * levels.max()


def test_a_contour_that_no_map_is_found_for_is_refused():
    def chart(shares: np.ndarray) -> np.ndarray:  # a long bow, bent back upon itself
        t = 2 * np.pi * shares
        turn, width = 2.6 * np.cos(t), 1 + 0.05 * np.sin(t)
        return np.stack([width * np.cos(turn), width * np.sin(turn)], -1)

    with pytest.raises(NoGrid, match="bent too much|did not converge"):
        o_grid(chart, 64, 16, 40.0)
