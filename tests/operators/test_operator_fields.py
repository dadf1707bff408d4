from dataclasses import replace

import pytest
import torch
from torch import nn

from operators import (
    FNO,
    PINN,
    Ansatz,
    Capabilities,
    Field,
    JetSpace,
    OperatorInput,
    Transolver,
    capabilities,
)
from operators.field import jet_of
from operators.models.fno import extend

SPACE = JetSpace.closure(
    [(2, 1), (1, 2)],
    {"laplacian": {(2, 0): 1, (0, 2): 1}, "biharmonic": {(4, 0): 1, (2, 2): 2, (0, 4): 1}},
)
ANSATZ = Ansatz(
    lambda p: p[..., :1] ** 2 * p[..., 1:], lambda p: torch.sin(p[..., :1]) * torch.sin(p[..., 1:])
)


def fno(periodic, **options):
    return FNO(
        1,
        2,
        2,
        (12, 15),
        periodic=periodic,
        hidden=6,
        modes=4,
        layers=1,
        feature_channels=1,
        input_dim=1,
        **options,
    ).double()


def wave(points):
    return torch.sin(3 * points.sum(-1, keepdim=True))


@pytest.fixture
def inputs(randn):
    nodes = fno((True, True)).lattice.first(1).points(torch.float64)
    return OperatorInput(nodes.expand(2, -1, -1), randn(2, 12, 1), None, wave, ANSATZ)


def fields(inputs):
    for periodic in [(False, False), (True, False), (True, True)]:
        grid = fno(periodic).lattice.first(1).points(torch.float64)
        moved = OperatorInput(grid.expand(2, -1, -1), inputs.values, None, wave, ANSATZ)
        yield fno(periodic)(moved)
    box = ((0.0, -1.0), (1.0, 2.0))
    yield PINN(2, 2, box, periodic=(True, False)).double()(inputs)
    yield PINN(2, 2, box, activation="siren", omega=4.0, hidden=(16, 16)).double()(inputs)
    yield PINN(2, 2, box, activation="gelu", embedding=2, hidden=(16, 16)).double()(inputs)


def test_jets_of_every_field_equal_nested_autograd(inputs, rand, nested, close):
    points = rand(2, 9, 2)
    for field in fields(inputs):
        assert isinstance(field, Field)
        assert field.capabilities.taylor
        jet = field.taylor(points, SPACE)
        for a in SPACE.lower:
            assert close(jet[a], nested(field, points, a)) < 1e-10
        for name, form in SPACE.operators.items():
            assert (
                close(jet[name], sum(c * nested(field, points, a) for a, c in form.items())) < 1e-10
            )


@pytest.mark.parametrize("periodic", [(False, False), (True, False)])
def test_the_interpolant_passes_through_the_grid(periodic, inputs, randn):
    model = fno(periodic)
    grid = model.lattice.first(1).points(torch.float64)
    field = model(OperatorInput(grid.expand(2, -1, -1), inputs.values, None, wave, ANSATZ))
    nodes = field.capabilities.grid.points(torch.float64).expand(2, -1, -1)
    assert torch.allclose(
        field(nodes).mT.unflatten(2, (12, 15)), field.on_grid(), rtol=0, atol=1e-12
    )


def test_a_periodic_interpolant_is_periodic(inputs, rand):
    field = fno((True, False))(OperatorInput(inputs.points, inputs.values, None, wave))
    x = rand(2, 7, 2)
    assert torch.allclose(
        field(x), field(x + torch.tensor([1.0, 0.0], dtype=torch.float64)), rtol=0, atol=1e-12
    )


def test_a_grid_function_is_faded_into_a_periodic_one():
    v = torch.arange(6, dtype=torch.float64).reshape(1, 1, 6)
    wide = extend(v, (5,))
    assert torch.equal(wide[..., :6], v)
    assert (wide.diff() < 0)[..., 5:].all()
    assert wide[..., 5:].max() <= 5
    assert extend(v, (0,)) is v


def test_an_fno_reads_its_grid_and_nothing_else(inputs, rand, randn):
    model = fno((True, True))
    with pytest.raises(
        ValueError, match="reads its input at the 12 nodes of its grid in row-major order"
    ):
        model(OperatorInput(inputs.points + 0.02, inputs.values, None, wave))
    with pytest.raises(ValueError, match="use GINO"):
        model(OperatorInput(rand(2, 30, 1), randn(2, 30, 1), None, wave))
    with pytest.raises(ValueError, match="reads 1 channels"):
        model(OperatorInput(inputs.points, randn(2, 12, 2), None, wave))
    with pytest.raises(ValueError, match="4 modes on axis 1 with 6 nodes"):
        FNO(1, 1, 2, (12, 6), periodic=(True, True), modes=4)


def test_an_fno_commutes_with_translation_on_a_periodic_grid(randn):
    model = FNO(1, 1, 1, (16,), periodic=(True,), hidden=5, modes=4, layers=2).double()
    with torch.no_grad():
        model.trunk.lift.weight[:, :2] = 0  # its own place channels know where they are
    nodes = model.lattice.points(torch.float64)[None]
    values = randn(1, 16, 1)
    one = model(OperatorInput(nodes, values)).on_grid()
    moved = model(OperatorInput(nodes, values.roll(5, 1))).on_grid()
    assert torch.allclose(one.roll(5, 2), moved, rtol=0, atol=1e-12)


def test_a_transolver_mixes_its_points_and_says_so(inputs, rand):
    model = Transolver(1, 2, 1, hidden=16, layers=2, heads=4, slices=8).double()
    field = model(OperatorInput(inputs.points, inputs.values, None, wave))
    points = rand(2, 20, 2)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(field(points)[:, order], field(points[:, order]), rtol=0, atol=1e-12)
    assert not torch.allclose(field(points)[:, :10], field(points[:, :10]), rtol=0, atol=1e-9)
    assert not field.capabilities.pointwise
    assert not field.capabilities.taylor
    with pytest.raises(ValueError, match="16 channels do not split into 3 heads"):
        Transolver(1, 2, hidden=16, heads=3)


def test_a_plain_callable_is_a_pointwise_field_without_jets():
    assert capabilities(torch.sin) == Capabilities(pointwise=True, taylor=False)


def test_an_ansatz_on_jets_is_the_ansatz_on_values(inputs, rand, nested, close):
    points = rand(2, 5, 2)
    constant = Ansatz(lambda p: torch.ones_like(p[..., :1]), lambda p: p[..., :1] * 0 + 2)
    network = PINN(3, 2, hidden=(8,)).double()
    for ansatz in (ANSATZ, constant):
        field = network(OperatorInput(inputs.points, inputs.values, None, None, ansatz))
        jet = field.taylor(points, SPACE)
        assert (
            close(
                jet["biharmonic"],
                sum(c * nested(field, points, a) for a, c in SPACE.operators["biharmonic"].items()),
            )
            < 1e-10
        )
        assert jet["biharmonic"].shape == (2, 5, 3)


def test_channels_that_are_positive_are_so_with_their_jets(inputs, rand, nested, close):
    """u_k = s softplus(z / s) for the channels named, whatever the weights."""
    points, size = rand(2, 5, 2), 0.3
    network = PINN(2, 2, hidden=(8,)).double()
    with torch.no_grad():
        network.network.layers[-1].bias -= 5.0
    plain, positive = (
        network(replace(inputs, ansatz=replace(ANSATZ, positive=channels)))
        for channels in ((), ((1, size),))
    )
    below, above = plain(points), positive(points)
    assert below.min() < 0 and above[..., 1].min() > 0
    torch.testing.assert_close(above[..., 0], below[..., 0], rtol=0, atol=0)
    torch.testing.assert_close(above[..., 1], size * torch.log1p((below[..., 1] / size).exp()))
    jet = positive.taylor(points, SPACE)
    total = sum(c * nested(positive, points, a) for a, c in SPACE.operators["biharmonic"].items())
    assert close(jet["biharmonic"], total) < 1e-10


def test_jets_of_a_callable_keep_a_graph_only_where_something_needs_it(rand):
    points, scale = rand(1, 4, 2), torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    plain = jet_of(lambda p: torch.sin(p), points, SPACE)
    assert not any(v.requires_grad for _, v in plain.items())
    scaled = jet_of(lambda p: torch.sin(p * scale), points, SPACE)
    slope = torch.autograd.grad(scaled["laplacian"].sum(), scale)[0]
    s = points * scale.detach()
    expected = (
        -2 * scale.detach() * torch.sin(s) - scale.detach() ** 2 * points * torch.cos(s)
    ).sum()
    assert torch.allclose(slope, expected)
    moving = (points * scale).sin()  # points that move with a shape
    slope = torch.autograd.grad(jet_of(lambda p: p**3, moving, SPACE)["laplacian"].sum(), scale)[0]
    assert torch.allclose(slope, (6 * torch.cos(s) * points).sum())
    with torch.no_grad():
        assert not jet_of(lambda p: torch.sin(p * scale), points, SPACE).value.requires_grad


def test_the_graph_of_a_jet_grows_with_its_columns_not_with_their_powers(rand):
    points, space = rand(1, 2, 2), JetSpace.closure({(3, 0)}, {})
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)

    def size(columns: int) -> int:
        def function(p):
            return torch.stack([(k + scale * p[..., 0]).sin() for k in range(columns)], -1)

        seen, left = set(), [jet_of(function, points, space)[3, 0].grad_fn]
        while left:
            if (node := left.pop()) is not None and node not in seen:
                seen.add(node)
                left += [each for each, _ in node.next_functions]
        return len(seen)

    assert size(8) < 64 * size(1)  # 8^3 times as much if every order went through all columns


def test_inputs_of_wrong_shape_raise(rand):
    with pytest.raises(ValueError, match=r"points must be \(b, n, d\) and values \(b, n, c\)"):
        OperatorInput(rand(3, 4, 2), rand(3, 5, 1))
    with pytest.raises(ValueError, match=r"measure must be \(3, 4\)"):
        OperatorInput(rand(3, 4, 2), rand(3, 4, 1), rand(3, 5))


def test_inputs_move_to_a_dtype(inputs):
    moved = inputs.to(torch.float32)
    assert (moved.points.dtype, moved.values.dtype) == (torch.float32, torch.float32)
    assert moved.features is inputs.features


def test_a_pinn_with_an_odd_network_has_no_jets(inputs, rand):
    model = PINN(1, 2).double()
    model.network = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)).double()
    field = model(inputs)
    assert not field.capabilities.taylor
    assert "BatchNorm1d" in field.capabilities.reason
    with pytest.raises(ValueError, match=r"takes points \(b, n, 2\), got 3 coordinates"):
        field(rand(2, 4, 3))
