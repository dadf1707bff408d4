import math

import pytest
import torch
from torch import nn

from operators import GINO, WEIGHTS, Ansatz, EncoderOptions, JetSpace, OperatorInput

POISSON = JetSpace.closure([(1, 0), (0, 1)], {"laplacian": {(2, 0): 1, (0, 2): 1}})
FOURTH = JetSpace.closure(
    [(2, 1), (1, 2)],
    {"laplacian": {(2, 0): 1, (0, 2): 1}, "biharmonic": {(4, 0): 1, (2, 2): 2, (0, 4): 1}},
)
ANSATZ = Ansatz(
    lambda p: p[..., :1] ** 2 * p[..., 1:],
    lambda p: torch.sin(p[..., :1]) * torch.cos(p[..., 1:]) + 2,
)
BUILT_IN = [name for name in WEIGHTS if not name.startswith("test_")]
SMALL = {
    "latent": (14, 15),
    "box": ((-1.0, -1.0), (1.0, 1.5)),
    "feature_channels": 1,
    "hidden": 6,
    "modes": 3,
    "layers": 1,
    "projection": 8,
}


def distance(points):
    return points.square().sum(-1, keepdim=True).sqrt() - 0.7


def build(kernel="polynomial", weight="octic", outputs=2, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return GINO(
        3, outputs, 2, weight=weight, kernel=kernel, generator=generator, **{**SMALL, **options}
    ).double()


@pytest.fixture
def inputs(rand, randn):
    return OperatorInput(rand(3, 50, 2) * 2 - 1, randn(3, 50, 3), rand(3, 50), distance, ANSATZ)


@pytest.fixture
def points(rand):
    return rand(3, 11, 2) * 2 - 1


# ---- exactness


@pytest.mark.parametrize("weight", BUILT_IN)
@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_jets_equal_nested_autograd_up_to_fourth_order(
    kernel, weight, inputs, points, nested, close
):
    field = build(kernel, weight)(inputs)
    jet = field.taylor(points, FOURTH)
    assert field.capabilities.taylor
    assert field.capabilities.smoothness == WEIGHTS[weight].smoothness
    for a in FOURTH.lower:
        assert close(jet[a], nested(field, points, a)) < 1e-10
    for name, form in FOURTH.operators.items():
        assert close(jet[name], sum(c * nested(field, points, a) for a, c in form.items())) < 1e-9


def central(field, x, h):
    """u, its slopes and its Laplacian by differences of step h, two more evaluations per axis."""
    step = h * torch.eye(2, dtype=x.dtype)
    value = field(x)
    ahead, behind = [field(x + e) for e in step], [field(x - e) for e in step]
    slopes = [(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)]
    return torch.stack(
        [*slopes, sum(a - 2 * value + b for a, b in zip(ahead, behind, strict=True)) / h**2]
    )


def away_from_rims(field, x, reach):
    """Points whose difference stencil crosses no circle |x - y| = r, where weights of low class
    have jumps in their derivatives."""
    y = field.lattice.points(x.dtype)
    radius = field.decoder.radius[0]
    gap = ((x[:, :, None] - y).square().sum(-1).sqrt() - radius).abs().amin(-1)
    return x[:, gap.amin(0) > reach][:, :6]


@pytest.mark.parametrize("where", ["inside", "at the rim of the box", "on nodes"])
@pytest.mark.parametrize("weight", BUILT_IN)
def test_autograd_agrees_with_central_differences_at_their_order(
    weight, where, inputs, rand, nested
):
    field = build(
        "mlp", weight, outputs=1, radius=0.5, latent=(14, 14), box=((-1.0, -1.0), (1.0, 1.0))
    )(inputs)
    h = 2e-3
    x = rand(3, 400, 2) * 2 - 1
    if where == "at the rim of the box":
        x[..., 1] = -1.0
    if where == "on nodes":
        x = field.lattice.points(torch.float64)[16:120].expand(3, -1, -1)
    x = away_from_rims(field, x, 3 * h)
    assert x.shape[1] >= 3
    exact = torch.stack(
        [
            nested(field, x, (1, 0)),
            nested(field, x, (0, 1)),
            nested(field, x, (2, 0)) + nested(field, x, (0, 2)),
        ]
    )
    with torch.no_grad():
        errors = [
            (central(field, x, step) - exact).square().mean((1, 2, 3)).sqrt()
            for step in (2 * h, h, h / 2)
        ]
    order = (torch.log2(errors[0] / errors[2]) / 2).tolist()
    # |x - y|^3 at its centre: differences lose an order there
    kink = where == "on nodes" and weight == "wendland_c2"
    for found, promised in zip(order, (2, 2, 1 if kink else 2), strict=True):
        assert abs(found - promised) < 0.25
    assert (errors[2] / exact.square().mean((1, 2, 3)).sqrt()).max() < (0.2 if kink else 0.01)


def test_a_weight_of_low_class_makes_the_laplacian_jump_where_the_field_says_so(inputs):
    for weight, jumps in (("half_cos", True), ("quadweight", False)):
        field = build("mlp", weight, outputs=1, radius=0.45)(inputs)
        node = field.lattice.points(torch.float64)[100]
        rim = node + torch.tensor([field.decoder.radius[0], 0.0], dtype=torch.float64)
        step = torch.tensor([1e-6, 0.0], dtype=torch.float64)
        sides = torch.stack([rim - step, rim + step]).expand(3, -1, -1)
        laplacian = field.taylor(sides, POISSON)["laplacian"]
        jump = (laplacian[:, 1] - laplacian[:, 0]).abs().max() / laplacian.abs().max()
        assert (jump > 1e-2) == jumps
        assert (field.capabilities.smoothness < 2) == jumps


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_the_loss_passes_gradcheck_through_jets(kernel, inputs, points, close):
    model = build(
        kernel,
        outputs=1,
        kernel_options={"hidden": (5, 5)} if kernel == "mlp" else {"degree": 2},
        hidden=3,
        modes=2,
    )
    field = model(inputs)
    names, values = zip(
        *[(n, p) for n, p in model.named_parameters() if n.startswith(("decoder", "projection"))],
        strict=True,
    )
    latent = tuple(v.detach() for v in field.latent)
    parts = nn.ModuleDict({"decoder": model.decoder, "projection": model.projection})

    def loss(*values):
        def run(_):
            jet = field.with_latent(latent).taylor(points[:, :4], POISSON)
            return (
                ((1 + 0.1 * jet.value**2) * jet["laplacian"] + jet[(1, 0)] * jet.value)
                .square()
                .sum()
            )

        return torch.func.functional_call(
            _Call(parts, run), {f"parts.{n}": v for n, v in zip(names, values, strict=True)}, (0,)
        )

    assert torch.autograd.gradcheck(
        loss, tuple(v.detach().requires_grad_() for v in values), fast_mode=True
    )


class _Call(nn.Module):
    def __init__(self, parts, run):
        super().__init__()
        self.parts, self.run = parts, run

    def forward(self, x):
        return self.run(x)


def test_parameter_gradients_by_jets_equal_those_by_nested_autograd(inputs, points, nested, close):
    model = build("mlp", outputs=1)
    jet = model(inputs).taylor(points, POISSON)
    one = torch.autograd.grad(
        (jet["laplacian"] * jet.value + jet[(1, 0)]).square().sum(), list(model.parameters())
    )
    field = model(inputs)
    laplacian = nested(field, points, (2, 0)) + nested(field, points, (0, 2))
    other = torch.autograd.grad(
        (laplacian * field(points) + nested(field, points, (1, 0))).square().sum(),
        list(model.parameters()),
    )
    assert all(close(a, b) < 1e-9 for a, b in zip(one, other, strict=True))


# ---- the operator


def test_permuting_the_input_points_changes_nothing(inputs, points, generator):
    model, order = build(), torch.randperm(50, generator=generator)
    moved = OperatorInput(
        inputs.points[:, order], inputs.values[:, order], inputs.measure[:, order], distance, ANSATZ
    )
    assert torch.allclose(model(inputs)(points), model(moved)(points), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_a_batch_of_differing_samples_equals_one_by_one(kernel, inputs, points):
    model = build(kernel)
    together, jets = model(inputs)(points), model(inputs).taylor(points, POISSON)
    for i in range(3):
        alone = OperatorInput(
            *(t[i : i + 1] for t in (inputs.points, inputs.values, inputs.measure)),
            distance,
            ANSATZ,
        )
        field = model(alone)
        assert torch.allclose(field(points[i : i + 1]), together[i : i + 1], rtol=0, atol=1e-13)
        jet = field.taylor(points[i : i + 1], POISSON)["laplacian"]
        assert torch.allclose(jet, jets["laplacian"][i : i + 1], rtol=0, atol=1e-11)


def test_points_of_measure_zero_are_padding(inputs, points, rand, randn):
    model = build()
    wide = OperatorInput(
        torch.cat([inputs.points, rand(3, 9, 2)], 1),
        torch.cat([inputs.values, randn(3, 9, 3)], 1),
        torch.cat([inputs.measure, torch.zeros(3, 9, dtype=torch.float64)], 1),
        distance,
        ANSATZ,
    )
    assert torch.allclose(model(wide)(points), model(inputs)(points), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_the_field_depends_smoothly_on_input_points_and_values(kernel, inputs, points):
    encoder = EncoderOptions(weight="bump", kernel=kernel, channels=3)
    model = build(encoder=encoder, outputs=1)
    x, values = (
        inputs.points[:1, :20].clone().requires_grad_(),
        inputs.values[:1, :20].clone().requires_grad_(),
    )

    def call(x, values):
        return model(OperatorInput(x, values, None, distance))(points[:1])

    assert torch.autograd.gradcheck(call, (x, values), fast_mode=True, atol=1e-6)
    assert torch.autograd.gradgradcheck(call, (x, values), fast_mode=True, atol=1e-5)


def test_the_field_depends_on_shape_parameters_through_features_and_ansatz(inputs, points, nested):
    model = build(outputs=1)
    radius = torch.tensor([0.7, 0.8, 0.9], dtype=torch.float64, requires_grad=True)

    def laplacian(radius):
        def signed(p):
            return p.square().sum(-1, keepdim=True) - radius[:, None, None] ** 2

        moved = OperatorInput(
            inputs.points, inputs.values, None, signed, Ansatz(lambda p: p[..., :1], signed)
        )
        return model(moved).taylor(points, POISSON)["laplacian"]

    assert torch.autograd.gradcheck(laplacian, (radius,), fast_mode=True)


def test_essential_conditions_hold_exactly(inputs, points):
    circle = Ansatz(lambda p: p[..., :1] * 3, lambda p: 1 - p.square().sum(-1, keepdim=True))
    angle = torch.linspace(0, 2 * math.pi, 9, dtype=torch.float64)
    rim = torch.stack([angle.cos(), angle.sin()], -1).expand(3, -1, -1)
    field = build(outputs=1)(OperatorInput(inputs.points, inputs.values, None, distance, circle))
    assert torch.allclose(field(rim), 3 * rim[..., :1], rtol=0, atol=1e-14)
    assert not torch.allclose(field(0.5 * rim), 1.5 * rim[..., :1])


def test_time_is_the_last_axis_of_the_latent_grid(rand, randn, nested, close):
    model = GINO(
        1,
        1,
        3,
        latent=(12, 11, 10),
        box=((-1.0, -1.0, 0.0), (1.0, 1.0, 2.0)),
        weight="octic",
        kernel="polynomial",
        input_dim=2,
        modes=(3, 3, 2),
        hidden=4,
        layers=1,
        radius_in_spacings=1.5,
    ).double()
    points = rand(2, 6, 3)
    inputs = OperatorInput(rand(2, 30, 2), randn(2, 30, 1))
    encoded = model.encoder(inputs.points, inputs.values, None).unflatten(1, (12 * 11, 10))
    # a function of space, the same at all times
    assert torch.equal(encoded, encoded[:, :, :1].expand_as(encoded))
    assert not torch.equal(encoded[:, 60], encoded[:, 61])
    field = model(inputs)
    space = JetSpace.closure([(0, 0, 1)], {"laplacian": {(2, 0, 0): 1, (0, 2, 0): 1}})
    jet = field.taylor(points, space)
    assert close(jet[(0, 0, 1)], nested(field, points, (0, 0, 1))) < 1e-10
    assert (
        close(jet["laplacian"], nested(field, points, (2, 0, 0)) + nested(field, points, (0, 2, 0)))
        < 1e-10
    )


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_a_periodic_field_is_periodic(kernel, rand, randn):
    model = build(kernel, periodic=(True, False), modes=3, feature_channels=0)
    field = model(OperatorInput(rand(2, 30, 2), randn(2, 30, 3)))
    x = rand(2, 9, 2) * 2 - 1
    moved = x + torch.tensor([2.0, 0.0], dtype=torch.float64)
    one, other = field.taylor(x, POISSON), field.taylor(moved, POISSON)
    assert field.capabilities.periodic == (True, False)
    for key in POISSON.streams:
        assert torch.allclose(one[key], other[key], rtol=0, atol=1e-9)


def test_without_an_encoder_the_features_are_the_input(rand, points):
    model = GINO(0, 1, 2, **SMALL).double()
    empty = torch.zeros(3, 0, 2, dtype=torch.float64)
    one = model(OperatorInput(empty, empty, features=distance))(points)
    other = model(OperatorInput(empty, empty, features=lambda p: distance(p) * 2))(points)
    assert one.shape == (3, 11, 1)
    assert not torch.allclose(one, other)


# ---- what a step engine needs


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_blocks_of_queries_accumulate_the_whole_gradient(kernel, inputs, points, close):
    model = build(kernel, outputs=1)
    parameters = list(model.parameters())

    def loss(jet):
        return (jet["laplacian"] * jet.value).square().sum()

    whole = torch.autograd.grad(loss(model(inputs).taylor(points, POISSON)), parameters)
    field = model(inputs)
    leaves = tuple(v.detach().requires_grad_() for v in field.latent)
    decoder = [p for p in parameters if p.requires_grad]
    total = [torch.zeros_like(p) for p in decoder]
    back = [torch.zeros_like(v) for v in leaves]
    for block in points.split(4, 1):
        found = torch.autograd.grad(
            loss(field.with_latent(leaves).taylor(block, POISSON)),
            [*decoder, *leaves],
            allow_unused=True,
        )
        for sum_, g in zip([*total, *back], found, strict=True):
            sum_ += 0 if g is None else g
    through_trunk = torch.autograd.grad(field.latent, parameters, back, allow_unused=True)
    for a, b, c in zip(whole, total, through_trunk, strict=True):
        assert close(b if c is None else b + c, a) < 1e-10


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_neighbours_found_once_serve_every_call(kernel, inputs, points):
    field = build(kernel)(inputs)
    edges = field.plan(points)
    assert torch.equal(field(points, edges), field(points))
    assert torch.equal(
        field.taylor(points, POISSON, edges)["laplacian"],
        field.taylor(points, POISSON)["laplacian"],
    )


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_a_whole_step_can_be_captured_as_one_graph(kernel, inputs, points):
    from torch.fx.experimental.proxy_tensor import make_fx

    field = build(kernel, outputs=1)(inputs)
    edges = field.plan(points)
    parameters = [p for n, p in field.decoder.named_parameters() if "of_node" not in n] + [
        *field.projection.parameters()
    ]

    def step(latent, points):
        leaf = latent.detach().requires_grad_()
        jet = field.with_latent((leaf, *field.latent[1:])).taylor(points, POISSON, edges)
        loss = (jet["laplacian"] + jet.value**2).square().mean()
        return (loss, *torch.autograd.grad(loss, [leaf, *parameters]))

    eager = step(field.latent[0].detach(), points)
    graph = make_fx(step, tracing_mode="fake", _allow_non_fake_inputs=True)(
        field.latent[0].detach(), points
    )
    captured = graph(field.latent[0].detach(), points)
    assert all(
        torch.allclose(a, b, rtol=1e-12, atol=1e-14) for a, b in zip(eager, captured, strict=True)
    )
    again = graph(field.latent[0].detach() + 0.1, points)
    assert torch.allclose(again[0], step(field.latent[0].detach() + 0.1, points)[0])


def test_many_queries_are_decoded_in_blocks_where_no_graph_is_kept(inputs, rand, monkeypatch):
    from operators.models import gino

    points, field = rand(3, 50, 2) * 2 - 1, build("mlp")(inputs)
    whole = field(points)
    monkeypatch.setattr(gino, "BLOCK", 21)
    with torch.no_grad():
        assert torch.allclose(field(points), whole, rtol=0, atol=1e-14)


def test_weights_survive_a_safetensors_file(inputs, points, tmp_path):
    from safetensors.torch import load_file, save_file

    model, other = build("mlp", rank=0.5), build("mlp", rank=0.5, seed=3)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    assert not torch.equal(other(inputs)(points), model(inputs)(points))
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(other(inputs)(points), model(inputs)(points))


def test_a_projection_without_a_jet_rule_is_told(inputs, points):
    class Odd(nn.Module):
        def forward(self, x):
            return x[..., :1].sinh()

    field = build(outputs=1, projection=Odd())(inputs)
    assert not field.capabilities.taylor
    assert "Odd" in field.capabilities.reason
    assert field(points).shape == (3, 11, 1)
    with pytest.raises(TypeError, match="no jet rule for .*Odd"):
        field.taylor(points, POISSON)


@pytest.mark.parametrize("search", ["kdtree", "cells"])
def test_every_neighbour_search_gives_the_same_field(search, inputs, points):
    assert torch.equal(build("mlp", search=search)(inputs)(points), build("mlp")(inputs)(points))


def test_a_model_in_float32_stays_in_float32(inputs, points):
    model = build("mlp").float()
    found = model(inputs.to(torch.float32))(points.float())
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), build("mlp")(inputs)(points), rtol=1e-3, atol=1e-4)


# ---- mistakes


def test_inputs_that_do_not_fit_raise(inputs, points):
    model = build()
    with pytest.raises(ValueError, match="reads values with 3 channels"):
        model(OperatorInput(inputs.points, inputs.values[..., :2], None, distance))
    with pytest.raises(ValueError, match="needs 1 feature channels; the input has no features"):
        model(OperatorInput(inputs.points, inputs.values))
    with pytest.raises(ValueError, match=r"features must give \(3, 210, 1\), got \(3, 210, 2\)"):
        model(OperatorInput(inputs.points, inputs.values, None, lambda p: p))
    with pytest.raises(ValueError, match=r"takes points \(3, n, 2\), got \(2, 11, 2\)"):
        model(inputs)(points[:2])
    with pytest.raises(ValueError, match=r"takes points \(3, n, 2\), got \(3, 11, 1\)"):
        model(inputs)(points[..., :1])


def test_a_model_that_cannot_be_raises():
    with pytest.raises(ValueError, match="8 modes on axis 0 with 14 nodes"):
        build(modes=8)
    with pytest.raises(ValueError, match="needs a latent grid of 2 axes"):
        build(latent=(14, 14, 14))
    with pytest.raises(ValueError, match="can miss every node"):
        build(radius=0.05)


# ---- without a graph


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
@pytest.mark.parametrize("periodic", [(False, False), (True, False)])
def test_what_is_read_without_a_graph_is_what_is_read_with_one(kernel, periodic, inputs, rand):
    model, points = build(kernel, periodic=periodic), rand(3, 40, 2) * 2 - 1
    with_graph = model(inputs)(points)
    assert with_graph.requires_grad
    with torch.no_grad():
        without = model(inputs)(points)
    torch.testing.assert_close(without, with_graph.detach(), rtol=1e-12, atol=1e-12)


def test_it_is_read_without_a_graph_in_autocast_too(inputs, points):
    model = build().float()
    moved = inputs.to(torch.float32)
    with torch.no_grad():
        full = model(moved)(points.float())
        with torch.autocast("cpu", torch.bfloat16):
            narrow = model(moved)(points.float())
    assert 0 < float((narrow - full).norm() / full.norm()) < 0.03


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_forward_mode_needs_no_graph(kernel, inputs, rand):
    model, points, way = build(kernel), rand(3, 40, 2) * 2 - 1, rand(3, 40, 2)
    at = points.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(inputs)(at).sum(), at)
    with torch.no_grad():
        _, along = torch.func.jvp(model(inputs), (points,), (way,))
    torch.testing.assert_close(along.sum(-1), (slope * way).sum(-1), rtol=1e-10, atol=1e-10)
