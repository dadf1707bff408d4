import math

import pytest
import torch

from operators import GNO, KERNELS, NEIGHBORS, WEIGHTS, JetSpace, Lattice
from operators.graph.kernels import exponents
from operators.jets.jet import coordinates

SPACE = JetSpace.closure([(2, 1), (1, 2)], {"laplacian": {(2, 0): 1, (0, 2): 1}})
BUILT_IN = [name for name in WEIGHTS if not name.startswith("test_")]


SHAPES = ("ragged", "padded", "filled")


def shaped(edges, shape):
    return {
        "ragged": lambda: edges,
        "padded": edges.padded,
        "filled": lambda: edges.filled(len(edges) + 11),
    }[shape]()


def decode(layer, x, y, values, measure=None, shape="ragged"):
    """G(v)(x) with neighbours by k-d tree. Shapes: x (n, d), y (m, d), values (m, c)."""
    edges = NEIGHBORS["kdtree"](x[None], y[None], layer.radius, layer.period)
    return layer(x, y, values, shaped(edges, shape), measure)


def slow(layer, x, y, values, measure):
    """All pairs, one at a time, with the kernel evaluated as what it says it is."""
    rows = []
    for point in x:
        terms, total, count = [], 0.0, 0
        for node, value, mu in zip(y, values, measure, strict=True):
            z = (point - node) / torch.tensor(layer.radius, dtype=torch.float64)
            s = (z * z).sum()
            if s < 1:
                w = 1.0 if layer.weight is None else layer.weight(s)
                terms.append((w, _kernel_times_value(layer, point, node, z, value), mu))
                total, count = total + w * mu, count + 1
        out = torch.zeros(layer.outputs, dtype=torch.float64)
        for w, term, mu in terms:
            share = {
                "sum": 1.0,
                "mean": 1 / count,
                "shepard": mu / total,
                "integral": mu / layer.mass,
            }[layer.reduction]
            out = out + w * share * term
        rows.append(out)
    return torch.stack(rows)


def _kernel_times_value(layer, point, node, z, value):
    kernel = layer.kernel
    if isinstance(kernel, KERNELS["polynomial"]):
        hidden = kernel.inner(value)
        basis = torch.stack(
            [(z ** torch.tensor(b)).prod() for b in exponents(len(z), kernel.degree)]
        )
        return kernel.outer.weight @ torch.outer(basis, hidden).flatten()
    first = kernel.of_offset.weight @ z + kernel.of_node(
        kernel.embedding(node) if kernel.embedding else node
    )
    if kernel.of_value is not None:
        first = first + kernel.of_value(value)
    if kernel.of_query is not None:
        first = first + kernel.of_query(kernel.embedding(point))
    out = kernel.rest(kernel.activation(first))
    return out * value if kernel.multiply else out


CASES = [
    {"kernel": "mlp", "transform": t, "reduction": r, "weight": w}
    for t, r, w in [
        ("linear", "integral", "half_cos"),
        ("nonlinear", "sum", "octic"),
        ("linear_kernel_only", "shepard", "bump"),
        ("nonlinear_kernel_only", "mean", "quartic"),
        ("linear", "mean", None),
        ("linear", "shepard", None),
        ("linear", "integral", None),
    ]
] + [
    {"kernel": "mlp", "embedding": 3},
    {"kernel": "polynomial", "degree": 3},
    {
        "kernel": "polynomial",
        "degree": 1,
        "transform": "nonlinear_kernel_only",
        "reduction": "shepard",
    },
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", CASES, ids=str)
def test_the_layer_is_the_sum_it_says_it_is(options, shape, rand, randn, generator):
    layer = GNO(3, 3, 2, (0.4, 0.3), generator=generator, **options).double()
    layer.outputs = 3
    x, y, values, measure = rand(7, 2), rand(30, 2), randn(30, 3), rand(30)
    x[0] = 5.0  # without neighbours
    assert torch.allclose(
        decode(layer, x, y, values, measure, shape),
        slow(layer, x, y, values, measure),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [c for c in CASES if c.get("weight", "half_cos")], ids=str)
def test_jets_through_the_layer_equal_nested_autograd(
    options, shape, rand, randn, generator, nested, close
):
    layer = GNO(3, 3, 2, (0.4, 0.3), generator=generator, **options).double()
    x, y, values, measure = rand(9, 2), rand(30, 2), randn(30, 3), rand(30)
    edges = NEIGHBORS["kdtree"](x[None], y[None], layer.radius)
    edges = shaped(edges, shape)
    jet = layer.integrate(coordinates(x, SPACE), y, layer.prepare(y, values), edges, measure)

    def function(points):
        return layer(points, y, values, edges, measure)

    for a in SPACE.lower:
        assert close(jet[a], nested(function, x, a)) < 1e-10
    assert (
        close(jet["laplacian"], nested(function, x, (2, 0)) + nested(function, x, (0, 2))) < 1e-10
    )


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_permuting_the_nodes_changes_nothing(kernel, rand, randn, generator):
    layer = GNO(3, 3, 2, 0.4, kernel=kernel, generator=generator).double()
    x, y, values, measure = rand(9, 2), rand(40, 2), randn(40, 3), rand(40)
    order = torch.randperm(40, generator=generator)
    one, other = (
        decode(layer, x, y, values, measure),
        decode(layer, x, y[order], values[order], measure[order]),
    )
    assert torch.allclose(one, other, rtol=0, atol=1e-13)


PROMISED = {
    "half_cos": 3,
    "quartic": 3,
    "octic": 4,
    "octic_distance": 4,
    "triweight": 4,
    "quadweight": 5,
    "bump": 3.5,
}
PROMISED |= {"wendland_c2": 4, "wendland_c4": 6, "wendland_c6": 6}


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("kernel", list(KERNELS))
def test_refining_the_latent_grid_converges_at_the_order_of_the_weight(kernel, name, generator):
    """A sum over a lattice is a midpoint rule: its error falls as the Fourier transform of w at
    1/h, by h^(k + 2) for a weight of class C^k (in two dimensions by half an order more), until it
    meets the rounding of float64.
    """
    layer = GNO(2, 2, 2, 0.3, weight=name, kernel=kernel, generator=generator).double()
    x = torch.rand(40, 2, generator=generator, dtype=torch.float64) * 0.4 + 0.3
    errors, finest = [], None
    for n in (193, 65, 33, 17):
        lattice = Lattice((0.0, 0.0), (1.0, 1.0), (n, n))
        y = lattice.points(torch.float64)
        values = torch.stack(
            [torch.sin(3 * y[:, 0] + y[:, 1]), torch.cos(2 * y[:, 0] * y[:, 1])], -1
        )
        edges = NEIGHBORS["lattice"](x[None], lattice, layer.radius)
        found = layer(x, y, values, edges, lattice.cell)
        finest = found if finest is None else finest
        errors.append(((found - finest).norm() / finest.norm()).item())
    fine, middle, coarse = errors[1:]
    order = math.log2(coarse / fine) / 2
    assert coarse < 0.2
    assert order > min(PROMISED[name], 5) - 0.3 or fine < 1e-9, (coarse, middle, fine)


def test_the_integral_of_one_is_one(generator):
    layer = GNO(
        1, 1, 2, 0.3, weight="octic", kernel="polynomial", degree=0, generator=generator
    ).double()
    torch.nn.init.ones_(layer.kernel.outer.weight)
    lattice = Lattice((0.0, 0.0), (1.0, 1.0), (65, 65))
    y = lattice.points(torch.float64)
    edges = NEIGHBORS["lattice"](torch.full((1, 1, 2), 0.47, dtype=torch.float64), lattice, 0.3)
    assert layer(
        torch.full((1, 2), 0.47, dtype=torch.float64),
        y,
        torch.ones(65**2, 1, dtype=torch.float64),
        edges,
        lattice.cell,
    ).item() == (pytest.approx(1, abs=1e-5))


def test_shepard_reproduces_constants_on_scattered_points(rand, generator):
    layer = GNO(
        1, 1, 2, 0.4, kernel="polynomial", reduction="shepard", degree=0, generator=generator
    ).double()
    torch.nn.init.ones_(layer.kernel.outer.weight)
    out = decode(
        layer, rand(20, 2), rand(60, 2), torch.full((60, 1), 2.5, dtype=torch.float64), rand(60)
    )
    assert torch.allclose(out, torch.full_like(out, 2.5))


def test_a_periodic_layer_does_not_see_the_seam(rand, randn, generator):
    layer = GNO(2, 2, 2, 0.2, period=(1.0, math.inf), generator=generator).double()
    lattice = Lattice((0.0, 0.0), (1.0, 1.0), (12, 13), (True, False))
    y, values = lattice.points(torch.float64), randn(lattice.size, 2)
    x = rand(10, 2)
    x[:, 0] = torch.linspace(-0.01, 0.01, 10, dtype=torch.float64)
    one = layer(x, y, values, NEIGHBORS["lattice"](x[None], lattice, 0.2), lattice.cell)
    moved = x + torch.tensor([1.0, 0.0], dtype=torch.float64)
    other = layer(moved, y, values, NEIGHBORS["lattice"](moved[None], lattice, 0.2), lattice.cell)
    assert torch.allclose(one, other, rtol=0, atol=1e-12)
    assert one.abs().min() > 0


def test_digits_survive_far_from_the_origin(generator):
    layer = GNO(2, 2, 2, 0.3, box=((0.0, 0.0), (1.0, 1.0)), generator=generator)
    far = GNO(
        2,
        2,
        2,
        0.3,
        box=((4096.0, 4096.0), (4097.0, 4097.0)),
        generator=torch.Generator().manual_seed(1),
    )
    far.load_state_dict(layer.state_dict())
    # exact in float32 after the shift too
    x, y = (torch.rand(n, 2, generator=generator).mul(512).round() / 512 for n in (20, 200))
    values = torch.randn(200, 2, generator=generator)
    near = layer(x, y, values, NEIGHBORS["kdtree"](x[None], y[None], 0.3), 0.01)
    away = far(
        x + 4096, y + 4096, values, NEIGHBORS["kdtree"](x[None] + 4096, y[None] + 4096, 0.3), 0.01
    )
    assert torch.allclose(near, away, rtol=1e-5, atol=1e-6)


def test_smoothness_is_that_of_weight_and_reduction(generator):
    assert GNO(1, 1, 2, 0.1, weight="octic").smoothness == 2
    assert GNO(1, 1, 2, 0.1, weight=None).smoothness == -1
    assert GNO(1, 1, 2, 0.1, weight="bump", reduction="mean").smoothness == -1


def test_names_that_are_not_known_raise():
    with pytest.raises(KeyError, match="did you mean 'half_cos'"):
        GNO(1, 1, 2, 0.1, weight="half_cosine")
    with pytest.raises(KeyError, match="no kernel 'polynom'; did you mean 'polynomial'"):
        GNO(1, 1, 2, 0.1, kernel="polynom")
    with pytest.raises(ValueError, match="no transform 'affine'; known: linear, nonlinear"):
        GNO(1, 1, 2, 0.1, transform="affine")
    with pytest.raises(ValueError, match="no reduction 'max'"):
        GNO(1, 1, 2, 0.1, reduction="max")
    with pytest.raises(
        ValueError,
        match=(
            "multiplies 3 input channels by as many kernel channels, not by 4; use"
            " 'linear_kernel_only'"
        ),
    ):
        GNO(3, 4, 2, 0.1)
    with pytest.raises(ValueError, match="radius has 3 entries for 2 axes"):
        GNO(1, 1, 2, (0.1, 0.1, 0.1))


def test_the_integral_without_a_measure_raises(rand, randn):
    layer = GNO(2, 2, 2, 0.4).double()
    with pytest.raises(ValueError, match="'integral' reduction needs the measure"):
        decode(layer, rand(3, 2), rand(9, 2), randn(9, 2))
