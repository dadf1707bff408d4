import pytest
import torch
from torch import nn

from operators import ACTIVATIONS, MLP, JetSpace
from operators.jets.jet import cat, compose, coordinates, linear
from operators.layers.jet_rules import (
    NoJetRule,
    Residual,
    apply,
    missing,
    rule,
)
from operators.layers.mlp import Activation, Linear, Sinusoidal
from operators.models.pinn import Siren

SPACE = JetSpace.closure([(2, 1), (1, 2)], {"laplacian": {(2, 0): 1, (0, 2): 1}})

MODULES = {
    "mlp": lambda: MLP((2, 6, 6, 1), "gelu"),
    "siren": lambda: Siren((2, 6, 6, 1), omega=3.0, first=3.0),
    "torch": lambda: nn.Sequential(
        nn.Linear(2, 6), nn.GELU(), nn.Linear(6, 6), nn.Tanh(), nn.Identity(), nn.Linear(6, 1)
    ),
    "more torch": lambda: nn.Sequential(
        nn.Linear(2, 6), nn.SiLU(), nn.Linear(6, 6), nn.Sigmoid(), nn.Softplus(), nn.Linear(6, 1)
    ),
    "residual": lambda: nn.Sequential(
        Linear(2, 6), Residual(nn.Sequential(Linear(6, 6), Activation("sin"))), Linear(6, 1)
    ),
    "embedded": lambda: nn.Sequential(Sinusoidal(2, 3, "octaves"), MLP((12, 6, 1))),
    "transformer embedding": lambda: nn.Sequential(Sinusoidal(2, 16), MLP((64, 6, 1))),
    "dropout at rest": lambda: nn.Sequential(
        nn.Linear(2, 6), nn.Dropout(0.5), nn.Tanh(), nn.Linear(6, 1)
    ).eval(),
}


@pytest.mark.parametrize("name", MODULES)
def test_jets_through_modules_equal_nested_autograd(name, rand, nested, close):
    torch.manual_seed(0)
    module = MODULES[name]().double()
    points = rand(5, 2)
    assert missing(module) == ""
    jet = apply(module, cat(coordinates(points, SPACE)))
    for a in SPACE.lower:
        assert close(jet[a], nested(module, points, a)) < 1e-10
    laplacian = nested(module, points, (2, 0)) + nested(module, points, (0, 2))
    assert close(jet["laplacian"], laplacian) < 1e-10
    assert torch.equal(apply(module, points), module(points))


def test_jets_through_layer_norm_equal_nested_autograd_of_its_formula(rand, randn, nested, close):
    """torch's own LayerNorm cannot be the oracle: its third derivative by nested autograd is
    wrong."""
    norm, weight, points = nn.LayerNorm(6).double(), randn(6, 2), rand(5, 2)
    torch.nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(0))

    def formula(x):
        x = torch.sin(x @ weight.mT)
        centred = x - x.mean(-1, keepdim=True)
        return (
            centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight
            + norm.bias
        )

    x = cat(coordinates(points, SPACE))
    jet = apply(norm, compose(ACTIVATIONS["sin"], linear(x, weight)))
    for a in SPACE.lower:
        assert close(jet[a], nested(formula, points, a)) < 1e-10
    assert close(norm(torch.sin(points @ weight.mT)), formula(points)) < 1e-12


def test_a_module_without_a_rule_is_named():
    module = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
    with pytest.raises(NoJetRule, match="no jet rule for torch.nn.modules.batchnorm.BatchNorm1d"):
        apply(module, cat(coordinates(torch.zeros(3, 2), SPACE)))
    assert "BatchNorm1d" in missing(module)


def test_a_subclass_that_computes_something_else_has_no_rule():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    class Renamed(nn.Linear):
        pass

    assert "Doubled" in missing(Doubled(2, 2))
    assert missing(Renamed(2, 2)) == ""


@pytest.mark.parametrize(
    "module",
    [nn.GELU(approximate="tanh"), nn.Dropout(0.5), nn.Softplus(beta=2.0)],
    ids=lambda m: type(m).__name__,
)
def test_a_setting_without_a_table_raises(module):
    assert missing(module)
    with pytest.raises(NoJetRule, match=type(module).__name__):
        apply(module, cat(coordinates(torch.zeros(3, 2), SPACE)))


def hooked(register: str):
    module = nn.Linear(2, 2)
    getattr(module, register)(lambda module, *values: None)
    return module


def replaced():
    module = nn.Linear(2, 2)
    module.forward = lambda x: 2 * x
    return module


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: hooked("register_forward_hook"), "has a forward hook"),
        (lambda: hooked("register_forward_pre_hook"), "has a forward pre hook"),
        (lambda: hooked("register_full_backward_hook"), "has a backward hook"),
        (lambda: hooked("register_full_backward_pre_hook"), "has a backward pre hook"),
        # which renews the weight
        (lambda: nn.utils.spectral_norm(nn.Linear(2, 2)), "has a forward pre hook"),
        (replaced, "was given a forward of its own"),
    ],
)
def test_what_a_rule_would_pass_by_is_refused_at_any_depth(make, what):
    module = make()
    for whole in (module, nn.Sequential(nn.Tanh(), module), Residual(module)):
        assert (
            missing(whole)
            == f"torch.nn.modules.linear.Linear {what}, which its jet rule would pass by"
        )
    with pytest.raises(NoJetRule, match=what):
        apply(nn.Sequential(module), cat(coordinates(torch.zeros(3, 2), SPACE)))


def test_a_parametrized_weight_is_the_one_that_jets_see(rand, nested, close):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(2, 6), nn.Tanh(), nn.utils.parametrizations.weight_norm(nn.Linear(6, 1))
    ).double()
    with torch.no_grad():
        module[2].parametrizations.weight.original0.mul_(3)
    points = rand(5, 2)
    assert missing(module) == ""
    jet = apply(module, cat(coordinates(points, SPACE)))
    assert (
        close(jet["laplacian"], nested(module, points, (2, 0)) + nested(module, points, (0, 2)))
        < 1e-10
    )


def test_a_user_teaches_a_rule(rand, nested, close):
    class Square(nn.Module):
        def forward(self, x):
            return x * x

    @rule.register(Square)
    def _square(module, x):
        return x * x

    points = rand(4, 2)
    jet = apply(Square(), cat(coordinates(points, SPACE)))
    assert close(jet["laplacian"], torch.full((4, 2), 2.0, dtype=torch.float64)) < 1e-14


def test_activations_with_kinks_are_not_offered():
    with pytest.raises(KeyError, match="no smooth activation 'relu'"):
        MLP((2, 4, 1), "relu")


def test_initialisation_comes_from_the_generator_alone():
    torch.manual_seed(1)
    one = MLP((2, 4, 1), generator=torch.Generator().manual_seed(5)).state_dict()
    torch.manual_seed(2)
    other = MLP((2, 4, 1), generator=torch.Generator().manual_seed(5)).state_dict()
    third = MLP((2, 4, 1), generator=torch.Generator().manual_seed(6)).state_dict()
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert not torch.equal(one["layers.0.weight"], third["layers.0.weight"])
