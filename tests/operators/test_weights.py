import math

import pytest
import torch

from operators import WEIGHTS, Weight
from operators.graph.weights import unit_ball
from operators.jets.jet import JetSpace, coordinates

# name: the k of C^k, and the formula written anew in rho = |x - y| / r with s = rho^2
KNOWN = {
    "half_cos": (1, lambda p: 0.5 * (1 + math.cos(math.pi * p**2))),
    "quartic": (1, lambda p: 1 - 2 * p**4 + p**8),
    "octic": (2, lambda p: 1 - 6 * p**8 + 8 * p**12 - 3 * p**16),
    "octic_distance": (2, lambda p: 1 - 6 * p**4 + 8 * p**6 - 3 * p**8),
    "triweight": (2, lambda p: (1 - p**2) ** 3),
    "quadweight": (3, lambda p: (1 - p**2) ** 4),
    "bump": (math.inf, lambda p: math.exp(1 - 1 / (1 - p**4))),
    "wendland_c2": (2, lambda p: (1 - p) ** 4 * (4 * p + 1)),
    "wendland_c4": (4, lambda p: (1 - p) ** 6 * (35 * p**2 + 18 * p + 3) / 3),
    "wendland_c6": (6, lambda p: (1 - p) ** 8 * (32 * p**3 + 25 * p**2 + 8 * p + 1)),
}
CLASS = {name: smoothness for name, (smoothness, _) in KNOWN.items()}
CLOSED = {name: formula for name, (_, formula) in KNOWN.items()}
BUILT_IN = tuple(KNOWN)


def test_every_weight_of_the_registry_is_tested_here():
    assert {name for name in WEIGHTS if not name.startswith("test_")} == set(KNOWN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_values_are_those_of_the_formula(name):
    rho = [0.0, 1e-9, 0.1, 0.35, 0.5, 0.77, 0.9, 0.99]
    s = torch.tensor([p**2 for p in rho], dtype=torch.float64)
    expected = torch.tensor([CLOSED[name](p) for p in rho], dtype=torch.float64)
    assert torch.allclose(WEIGHTS[name](s), expected, rtol=1e-12, atol=1e-14)
    assert WEIGHTS[name](torch.tensor([0.0, 1.0, 1.5])).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_table_entry_is_the_slope_of_the_one_before(name):
    s = torch.linspace(0.03, 0.93, 31, dtype=torch.float64)
    h = 1e-4
    table = WEIGHTS[name].derivatives(s, 6)
    for k in range(6):
        near = [WEIGHTS[name].derivatives(s + d * h, k)[k] for d in (-2, -1, 1, 2)]
        slope = (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * h)
        assert torch.allclose(
            table[k + 1], slope, rtol=1e-6, atol=1e-7 * float(slope.abs().max()) + 1e-8
        )


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_table_can_be_differentiated(name):
    s = torch.linspace(0.05, 1.2, 24, dtype=torch.float64, requires_grad=True)
    table = WEIGHTS[name].derivatives(s, 4)
    for k in range(4):
        slope = torch.autograd.grad(table[k].sum(), s, retain_graph=True, allow_unused=True)[0]
        assert torch.allclose(
            torch.zeros_like(s) if slope is None else slope, table[k + 1], rtol=1e-9, atol=1e-9
        )


def _jumps(weight, at, order):
    """|d^k w(x^2)| right of `at` minus left of it, k = 0..order."""
    x = torch.tensor([[at - 1e-7], [at + 1e-7]], dtype=torch.float64)
    (jet,) = coordinates(x, JetSpace.closure([(order,)]))
    jet = (jet * jet).compose(weight)
    return [(jet[(k,)][1] - jet[(k,)][0]).abs().item() for k in range(order + 1)]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_declared_class_is_where_the_first_derivative_jumps(name):
    weight = WEIGHTS[name]
    assert weight.smoothness == CLASS[name]
    order = 8 if math.isinf(weight.smoothness) else int(weight.smoothness) + 1
    jumps = [
        max(pair)
        for pair in zip(_jumps(weight, 1.0, order), _jumps(weight, 0.0, order), strict=True)
    ]
    smooth = jumps if math.isinf(weight.smoothness) else jumps[:-1]
    assert max(smooth) < 1e-1
    if not math.isinf(weight.smoothness):
        assert jumps[-1] > 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BUILT_IN)
def test_centre_rim_and_outside_are_finite_to_all_orders(name, dtype):
    eps = torch.finfo(dtype).eps
    s = torch.tensor(
        [0.0, eps**2, eps, 0.5, 1 - 1e-2, 1 - 1e-3, 1 - eps, 1.0, 1 + eps, 2.0, 1e6],
        dtype=dtype,
        requires_grad=True,
    )
    table = WEIGHTS[name].derivatives(s, 3 if name.startswith("wendland") else 6)
    assert all(torch.isfinite(row).all() for row in table)
    assert all((row[7:] == 0).all() for row in table)
    value = WEIGHTS[name](s)
    for _ in range(2 if name.startswith("wendland") else 4):
        value = torch.autograd.grad(value.sum(), s, create_graph=True)[0]
        assert torch.isfinite(value).all()
        assert (value[7:] == 0).all()


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_mass_is_the_integral_over_the_unit_ball(name, dim):
    n = 4000
    rho = [(i + 0.5) / n for i in range(n)]
    shell = {1: 2.0, 2: 2 * math.pi, 3: 4 * math.pi}[dim]
    midpoint = sum(shell * p ** (dim - 1) * CLOSED[name](p) for p in rho) / n
    assert WEIGHTS[name].mass(dim) == pytest.approx(midpoint, rel=1e-6)


def test_masses_with_a_closed_form():
    assert WEIGHTS["half_cos"].mass(2) == pytest.approx(math.pi / 2, rel=1e-13)
    assert WEIGHTS["quartic"].mass(1) == pytest.approx(64 / 45, rel=1e-13)
    assert WEIGHTS["wendland_c2"].mass(2) == pytest.approx(math.pi / 7, rel=1e-13)
    assert unit_ball(3) == pytest.approx(4 * math.pi / 3)


def test_a_users_weight_gets_its_table_from_autograd():
    @WEIGHTS.register("test_cube", smoothness=2)
    def cube(s):
        return (1 - s) ** 3

    s = torch.tensor([0.0, 0.4, 1.3], dtype=torch.float64)
    assert isinstance(cube, Weight)
    assert cube.smoothness == 2
    rows = torch.stack(cube.derivatives(s, 4))
    expected = [[1, 0.216, 0], [-3, -1.08, 0], [6, 3.6, 0], [-6, -6, 0], [0, 0, 0]]
    assert torch.allclose(rows, torch.tensor(expected, dtype=torch.float64))
    assert not rows.requires_grad
    assert cube.mass(2) == pytest.approx(math.pi / 4)
