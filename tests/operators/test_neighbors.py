import importlib.util

import pytest
import torch

from operators import NEIGHBORS, Lattice
from operators.graph.grid import cover
from operators.graph.neighbors import lattice_width

BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name == "torch_cluster" and importlib.util.find_spec("torch_cluster") is None,
            reason="torch-cluster is not installed (extra [neighbors])",
        ),
    )
    for name in NEIGHBORS
]


def brute_force(x, y, radius, period=None):
    """All pairs with |(x - y) / r| < 1, the difference taken in the points' dtype and measured
    in float64."""
    difference = x[:, :, None] - y[:, None]
    if period is not None:
        length = torch.tensor(period, dtype=x.dtype)
        difference = difference - length * torch.round(difference / length)
    return ((difference.double() / torch.tensor(radius, dtype=torch.float64)) ** 2).sum(-1)


def sample(dim, shift, dtype, periodic, generator, batch=3, count=40):
    """A lattice and queries around it, some on its nodes, some outside."""
    n = {1: 40, 2: 20, 3: 9}[dim]
    lattice = Lattice((shift,) * dim, (shift + 3.0,) * dim, (n,) * dim, (periodic,) * dim)
    low, width = (0.0, 3.0) if periodic else (-0.2, 3.4)
    x = (
        torch.rand(batch, count, dim, generator=generator, dtype=torch.float64) * width
        + low
        + shift
    ).to(dtype)
    x[:, :5] = lattice.points(dtype)[:5]
    radius = tuple(lattice.spacing[0] * 2.4 * (0.7 if k else 1) for k in range(dim))
    return lattice, x, radius


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [0.0, 1e4])
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_finds_every_edge_of_nonzero_weight_and_no_other(
    name, dim, shift, dtype, generator
):
    lattice, x, radius = sample(dim, shift, dtype, False, generator)
    y = lattice.points(dtype).expand(len(x), -1, -1)
    s = brute_force(x, y, radius)
    edges = NEIGHBORS[name](x, lattice, radius)
    found = torch.zeros(x.shape[0] * x.shape[1], edges.nodes, dtype=torch.bool)
    found[edges.query, edges.node] = True
    sample_of_query = torch.arange(len(found)) // x.shape[1]
    found = torch.stack(
        [
            row[b * lattice.size : (b + 1) * lattice.size]
            for row, b in zip(found, sample_of_query, strict=True)
        ]
    )
    assert len(edges) == int(found.sum())  # no edge twice, none to another sample's nodes
    s = s.flatten(0, 1)
    assert found[s < 1 - 1e-6].all()
    assert not found[s > 1 + 1e-6].any()


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("shift", [0.0, 1e4])
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", [p for p in BACKENDS if p.values[0] != "lattice"])
def test_backends_agree_bit_for_bit(name, dim, shift, periodic, generator):
    if periodic and name == "torch_cluster":
        pytest.skip("torch_cluster knows no periodic axes")
    lattice, x, radius = sample(dim, shift, torch.float32, periodic, generator)
    one, other = NEIGHBORS["lattice"](x, lattice, radius), NEIGHBORS[name](x, lattice, radius)
    assert torch.equal(one.query, other.query)
    assert torch.equal(one.node, other.node)
    assert torch.equal(one.splits, other.splits)


def test_nodes_that_round_into_the_ball_are_found(generator):
    """At 1e4 a float32 coordinate is rounded by half a thousandth: the node is where its rounded
    coordinate says."""
    lattice = Lattice((1e4,), (1e4 + 3,), (41,))
    x = (torch.rand(1, 3000, 1, generator=generator, dtype=torch.float64) * 3 + 1e4).float()
    one, other = NEIGHBORS["lattice"](x, lattice, 0.18), NEIGHBORS["kdtree"](x, lattice, 0.18)
    assert torch.equal(one.node, other.node)
    assert torch.equal(one.query, other.query)


@pytest.mark.parametrize("name", ["kdtree", "cells"])
def test_scattered_nodes_on_a_periodic_axis(name, generator, rand):
    x, y = rand(2, 30, 2) * 3, rand(2, 80, 2) * 3
    edges = NEIGHBORS[name](x, y, (0.5, 0.4), (3.0, float("inf")))
    s = brute_force(x, y, (0.5, 0.4), (3.0, 1e9))
    assert len(edges) == int((s < 1).sum())
    assert torch.equal(edges.counts, (s < 1).sum(-1).flatten())


@pytest.mark.parametrize("name", BACKENDS)
def test_edges_are_sorted_by_query_then_node(name, generator):
    lattice, x, radius = sample(2, 0.0, torch.float64, False, generator)
    edges = NEIGHBORS[name](x, lattice, radius)
    key = edges.query * edges.nodes + edges.node
    assert (key[1:] > key[:-1]).all()
    assert edges.splits[-1] == len(edges)
    assert torch.equal(edges.counts, torch.bincount(edges.query, minlength=edges.queries))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_query_far_away_has_no_neighbours(name):
    lattice = Lattice((0.0, 0.0), (1.0, 1.0), (5, 5))
    edges = NEIGHBORS[name](torch.tensor([[[9.0, 9.0], [0.5, 0.5], [-40.0, 0.5]]]), lattice, 0.2)
    assert edges.counts.tolist() == [0, 1, 0]
    assert edges.node.tolist() == [12]


def test_the_lattice_search_refuses_scattered_nodes():
    with pytest.raises(
        TypeError, match="needs a Lattice; for scattered nodes use 'kdtree' or 'cells'"
    ):
        NEIGHBORS["lattice"](torch.zeros(1, 2, 2), torch.zeros(1, 3, 2), 0.1)


@pytest.mark.parametrize("name", ["kdtree", "cells"])
def test_points_that_do_not_fit_raise(name):
    with pytest.raises(ValueError, match="must agree in b and d"):
        NEIGHBORS[name](torch.zeros(2, 3, 2), torch.zeros(1, 3, 2), 0.1)
    with pytest.raises(ValueError, match="radius must be positive"):
        NEIGHBORS[name](torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), -0.1)


@pytest.mark.skipif(
    importlib.util.find_spec("torch_cluster") is not None, reason="torch-cluster is installed"
)
def test_a_missing_torch_cluster_says_what_to_do():
    with pytest.raises(ImportError, match=r"extra \[neighbors\]"):
        NEIGHBORS["torch_cluster"](torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), 0.1)


def test_padding_keeps_every_edge_and_masks_the_rest(generator):
    lattice, x, radius = sample(2, 0.0, torch.float64, False, generator)
    edges = NEIGHBORS["lattice"](x, lattice, radius)
    padded = edges.padded(25)
    assert len(padded) == 25 * edges.queries
    assert torch.equal(padded.query[padded.mask], edges.query)
    assert torch.equal(padded.node[padded.mask], edges.node)
    assert torch.equal(padded.counts, edges.counts)
    with pytest.raises(ValueError, match="no edge may be dropped"):
        edges.padded(3)


def test_filling_up_keeps_every_edge_and_masks_the_rest(generator):
    lattice, x, radius = sample(2, 0.0, torch.float64, False, generator)
    edges = NEIGHBORS["lattice"](x, lattice, radius)
    filled = edges.filled(len(edges) + 37)
    assert len(filled) == len(edges) + 37
    assert torch.equal(filled.query[filled.mask], edges.query)
    assert torch.equal(filled.node[filled.mask], edges.node)
    assert torch.equal(filled.counts, edges.counts)
    with pytest.raises(ValueError, match="no edge may be dropped"):
        edges.filled(len(edges) - 1)


def test_transposing_twice_gives_the_edges_back(generator):
    lattice, x, radius = sample(2, 0.0, torch.float64, False, generator)
    edges = NEIGHBORS["lattice"](x, lattice, radius)
    again = edges.transpose().transpose()
    assert torch.equal(edges.query, again.query)
    assert torch.equal(edges.node, again.node)
    assert torch.equal(
        edges.transpose().splits.diff(), torch.bincount(edges.node, minlength=edges.nodes)
    )


@pytest.mark.parametrize("cells", [0.9, 1.6, 2.4, 3.1])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_no_ball_holds_more_nodes_than_the_width(dim, cells, generator):
    lattice = Lattice((0.0,) * dim, (1.0,) * dim, (13,) * dim)
    radius = (cells / 12,) * dim
    width = lattice_width(lattice, radius)
    x = torch.rand(1, 4000, dim, generator=generator, dtype=torch.float64)
    most = int(NEIGHBORS["lattice"](x, lattice, radius).counts.max())
    assert most <= width <= 1.35 * most + 1


def test_the_latent_box_is_padded_by_the_radius_on_open_axes():
    lattice, radius = cover(((0.0, 0.0), (1.0, 2.0)), (16, 20), None, 2.0, (True, False))
    assert radius[0] == pytest.approx(2 / 16)
    assert (lattice.lower[0], lattice.upper[0]) == (0.0, 1.0)
    assert lattice.lower[1] == pytest.approx(-radius[1])
    assert lattice.upper[1] == pytest.approx(2 + radius[1])
    assert radius[1] == pytest.approx(2 * lattice.spacing[1])
    given, _ = cover(((0.0, 0.0), (1.0, 2.0)), (16, 20), (0.2, 0.3))
    assert (given.lower, given.upper) == ((-0.2, -0.3), (1.2, 2.3))


def test_a_latent_grid_too_coarse_for_its_radius_raises():
    with pytest.raises(ValueError, match="can miss every node"):
        cover(((0.0, 0.0), (1.0, 1.0)), (8, 8), 0.05)
    with pytest.raises(ValueError, match="too coarse for a radius of 2.4 spacings"):
        cover(((0.0, 0.0), (1.0, 1.0)), (5, 5))
    with pytest.raises(ValueError, match="below half the period"):
        cover(((0.0,), (1.0,)), (32,), 0.6, periodic=(True,))
