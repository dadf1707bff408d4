import pytest
import torch

from operators import ACTIVATIONS, WEIGHTS, JetSpace
from operators.jets.derivative_tables import (
    ERF,
    EXP,
    LOG,
    RECIPROCAL,
    SQRT,
    power,
)
from operators.jets.jet import (
    Jet,
    atan2,
    cat,
    compose,
    coordinates,
    gather,
    linear,
    segment_sum,
)

SPACE = JetSpace.closure(
    [(4, 0), (1, 2), (2, 1)],
    {
        "laplacian": {(2, 0): 1, (0, 2): 1},
        "biharmonic": {(4, 0): 1, (2, 2): 2, (0, 4): 1},
        "advection": {(1, 0): 2, (0, 1): -3},
        "third": {(3, 0): 1.0},
    },
)
FUNCTIONS = {
    **ACTIVATIONS,
    **{f"weight {n}": w for n, w in WEIGHTS.items()},
    "exp": EXP,
    "log": LOG,
    "erf": ERF,
    "sqrt": SQRT,
    "reciprocal": RECIPROCAL,
    "cube": power(3.0),
    "power 2.5": power(2.5),
}


def as_jet(function, points, space=SPACE):
    return function(cat(coordinates(points, space)))


def agree(function, points, nested, close, space=SPACE, tolerance=1e-10):
    """Every stream of the jet equals nested autograd."""
    found = as_jet(function, points, space)
    for a in space.lower:
        expected = nested(function, points, a)
        assert (
            close(found[a], expected) < tolerance or expected.norm() + found[a].norm() < tolerance
        ), a
    for name, form in space.operators.items():
        expected = sum(c * nested(function, points, a) for a, c in form.items())
        assert close(found[name], expected) < tolerance, name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_jets_equal_nested_autograd(name, rand, nested, close):
    mix = torch.tensor([[0.7, 0.4], [0.2, 0.9]], dtype=torch.float64)

    def function(x):
        z = linear(x, mix)
        z = linear(z * z, torch.ones(1, 2, dtype=torch.float64))
        return compose(FUNCTIONS[name], z)

    agree(function, rand(6, 2) * 0.4 + 0.2, nested, close)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_tables_equal_nested_autograd_far_out_too(name, close):
    z = torch.linspace(-9, 9, 61, dtype=torch.float64, requires_grad=True)
    table = ACTIVATIONS[name].derivatives(z, 5)
    value = ACTIVATIONS[name](z)
    for row in table:
        assert torch.allclose(row, value, rtol=1e-8, atol=1e-12)
        value = torch.autograd.grad(value.sum(), z, create_graph=True)[0]


def test_products_quotients_and_powers(rand, randn, nested, close):
    a, b = randn(3, 2), randn(3, 2)

    def function(x):
        f, g = compose(ACTIVATIONS["sin"], linear(x, a)), compose(EXP, linear(x, b))
        return f * g - 2 / (g + 1) + f / (3 + g * g) + (1 + g) ** 1.5 - f**2 * 0.5 + (1.0 - f)

    agree(function, rand(5, 2), nested, close)


def test_gather_segment_sum_and_cat(rand, randn, nested, close):
    weight, index = randn(3, 2), torch.tensor([0, 2, 2, 1, 3, 3, 3])

    def function(x):
        rows = gather(x, index)
        wide = cat(
            [
                rows,
                compose(ACTIVATIONS["tanh"], linear(rows, weight)),
                compose(ACTIVATIONS["sin"], rows),
            ]
        )
        return segment_sum(wide * wide, index, 4)

    agree(function, rand(4, 2), nested, close)


def test_constants_beside_jets(rand, randn, nested, close):
    constant = randn(4, 1)

    def function(x):
        return cat([compose(ACTIVATIONS["sin"], x), constant]) * 2.0 + constant

    agree(function, rand(4, 2), nested, close)


def test_the_polar_angle(rand, close, nested):
    points = rand(6, 2) - torch.tensor([1.5, 0.5], dtype=torch.float64)
    x, y = coordinates(points, SPACE)
    found = atan2(y, x)
    for a in SPACE.lower:
        expected = nested(lambda p: torch.atan2(p[:, 1:], p[:, :1]), points, a)
        assert close(found[a], expected) < 1e-10


def test_the_tangents_of_a_first_layer_stay_one_row(rand, randn):
    space = JetSpace.closure([], {"laplacian": {(2, 0): 1, (0, 2): 1}})
    first = gather(
        linear(cat(coordinates(rand(50, 2), space)), randn(7, 2)), torch.arange(50).repeat(3)
    )
    assert first.shape == (150, 7)
    assert first.lower[(1, 0)].shape == (1, 7)
    assert (first * first).operators["laplacian"].shape == (1, 7)


def test_a_collapsed_operator_is_one_stream():
    space = JetSpace.closure([], {"laplacian": {(2, 0): 1, (0, 2): 1}})
    assert len(space) == 4  # value, two slopes, laplacian: a Hessian would have six
    assert len(JetSpace.closure([], {"biharmonic": {(4, 0): 1, (2, 2): 2, (0, 4): 1}})) == 11
    kdv = JetSpace.closure([(1, 0)], {"third": {(0, 3): 1}})  # (t, x): u_t and u_xxx
    assert kdv.streams == ((0, 0), (0, 1), (1, 0), (0, 2), "third")


def test_a_space_that_lacks_a_divisor_raises():
    with pytest.raises(ValueError, match=r"missing \[\(0, 1\), \(1, 0\)\]"):
        JetSpace(((0, 0), (1, 1)))
    with pytest.raises(ValueError, match="must hold every divisor"):
        JetSpace(((0, 0),), {"laplacian": {(2, 0): 1, (0, 2): 1}})
    with pytest.raises(ValueError, match="same coordinates"):
        JetSpace(((0, 0), (0,)))
    with pytest.raises(ValueError, match="order 1 or more"):
        JetSpace(((0, 0),), {"mass": {(0, 0): 1}})


def test_a_stream_that_is_not_carried_raises_and_one_that_vanishes_is_zero(rand):
    jet = as_jet(lambda x: x, rand(3, 2), JetSpace.closure([(2, 0)]))
    assert torch.equal(jet[(2, 0)], torch.zeros(3, 2, dtype=torch.float64))
    assert torch.equal(jet[(1, 0)], torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(3, 2))
    with pytest.raises(KeyError, match=r"no stream \(0, 1\)"):
        jet[(0, 1)]
    with pytest.raises(KeyError, match="no stream 'laplacian'"):
        jet["laplacian"]
    with pytest.raises(ValueError, match="3 coordinates, the jet space has 2"):
        coordinates(rand(4, 3), SPACE)


def test_parameter_gradients_through_jets_equal_those_through_nested_autograd(
    rand, randn, nested, close
):
    parameters = [
        randn(8, 2).requires_grad_(),
        randn(8, 8).requires_grad_(),
        randn(1, 8).requires_grad_(),
    ]

    def function(x):
        for w in parameters[:-1]:
            x = compose(ACTIVATIONS["gelu"], linear(x, w))
        return linear(x, parameters[-1])

    points = rand(9, 2)
    space = JetSpace.closure([(1, 0)], {"laplacian": {(2, 0): 1, (0, 2): 1}})
    jet = as_jet(function, points, space)
    residual = jet["laplacian"] + jet.value * jet[(1, 0)]
    value, slope = function(points), nested(function, points, (1, 0))
    expected = nested(function, points, (2, 0)) + nested(function, points, (0, 2)) + value * slope
    pairs = zip(
        torch.autograd.grad(residual.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        strict=True,
    )
    assert all(close(a, b) < 1e-12 for a, b in pairs)


def test_a_loss_through_jets_passes_gradcheck(rand, randn):
    space = JetSpace.closure([(1, 0)], {"laplacian": {(2, 0): 1, (0, 2): 1}})
    points = rand(3, 2)

    def loss(w, v):
        jet = as_jet(lambda x: linear(compose(ACTIVATIONS["tanh"], linear(x, w)), v), points, space)
        return (jet["laplacian"] * jet[(1, 0)] + jet.value).square().sum()

    assert torch.autograd.gradcheck(
        loss, (randn(4, 2).requires_grad_(), randn(1, 4).requires_grad_())
    )


def test_jets_of_a_univariate_polynomial_are_its_derivatives():
    (x,) = coordinates(torch.tensor([[2.0]], dtype=torch.float64), JetSpace.closure([(4,)]))
    cubic = x * x * x * 5 - x * 7 + 1
    assert [cubic[(k,)].item() for k in range(5)] == [27, 53, 60, 30, 0]
    assert isinstance(cubic, Jet)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_of_a_table_can_be_differentiated_again(name, rand):
    z = (rand(4) * 4 - 2).requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda z: torch.stack(ACTIVATIONS[name].derivatives(z, 3)).square().sum(), (z,)
    )
