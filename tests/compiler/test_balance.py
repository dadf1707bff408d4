"""Balancers against weights worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from compiler.balance import BALANCERS, GradientStatistics, Signals, gradient_statistics


def losses(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def run(balancer, *sequence, generator=None, gradients=None):
    """The weights of every step."""
    state, weights = balancer.init(len(sequence[0])), []
    for step, values in enumerate(sequence):
        found, state = balancer.update(Signals(losses(*values), step, generator, gradients), state)
        weights.append(found.tolist())
    return weights


@pytest.mark.parametrize("name", sorted(BALANCERS))
def test_every_balancer_starts_from_the_plain_sum_and_keeps_its_state_in_tensors_and_numbers(name):
    balancer = BALANCERS[name]()
    state = balancer.init(3)
    weights, after = balancer.update(Signals(losses(1, 2, 3), 0, torch.Generator()), state)
    assert weights.tolist() == [1, 1, 1]
    assert type(after) is type(state)
    assert all(isinstance(each, (torch.Tensor, int, float)) for each in after)


@pytest.mark.parametrize("name", sorted(BALANCERS))
def test_update_leaves_the_state_it_was_given_as_it_was(name):
    balancer = BALANCERS[name]()
    statistics = GradientStatistics(losses(1, 4), losses(3, 3), losses(0.1, 0.2))
    first = balancer.init(2)
    _, state = balancer.update(Signals(losses(1, 2), 0, torch.Generator(), statistics), first)
    copies = [each.clone() if isinstance(each, torch.Tensor) else each for each in state]
    once = balancer.update(Signals(losses(3, 1), 1, torch.Generator().manual_seed(1), statistics), state)
    again = balancer.update(Signals(losses(3, 1), 1, torch.Generator().manual_seed(1), statistics), state)
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(state, copies, strict=True))
    assert torch.equal(once[0], again[0])


def test_fixed_never_changes():
    assert run(BALANCERS["fixed"](), (1, 2), (9, 1)) == [[1, 1], [1, 1]]


def test_relobralo_without_look_back_mixes_the_last_weights_with_the_latest_progress():
    # beta = 1: rho = 1. w(1) = alpha w(0) + (1 - alpha) 2 softmax(L(1) / L(0))
    weights = run(BALANCERS["relobralo"](alpha=0.75, beta=1.0, epsilon=0.0), (1, 2), (2, 2), (2, 4), generator=torch.Generator())
    e = math.e
    first = [0.75 + 0.25 * 2 * e**2 / (e**2 + e), 0.75 + 0.25 * 2 * e / (e**2 + e)]
    second = [0.75 * first[0] + 0.25 * 2 * e / (e + e**2), 0.75 * first[1] + 0.25 * 2 * e**2 / (e + e**2)]
    assert weights[1] == pytest.approx(first, rel=1e-14)
    assert weights[2] == pytest.approx(second, rel=1e-14)


def test_relobralo_with_look_back_compares_with_the_first_losses():
    # beta = 0: rho = 0 always, and alpha = 1 leaves bal(t, 0) alone
    weights = run(BALANCERS["relobralo"](alpha=1.0, beta=0.0, tau=2.0, epsilon=0.0), (1, 1), (7, 7), (2, 4), generator=torch.Generator())
    e = math.e
    assert weights[2] == pytest.approx([2 * e / (e + e**2), 2 * e**2 / (e + e**2)], rel=1e-14)


def test_relobralo_looks_back_as_often_as_beta_says():
    balancer, generator, looked = BALANCERS["relobralo"](alpha=1.0, beta=0.9), torch.Generator().manual_seed(0), 0
    _, state = balancer.update(Signals(losses(1, 1), 0, generator), balancer.init(2))
    for step in range(1, 2001):
        weights, after = balancer.update(Signals(losses(1, 3), step, generator), state)
        looked += int(not torch.equal(weights, state.weights))
    assert looked == pytest.approx(200, abs=4 * math.sqrt(2000 * 0.09))


def test_relobralo_survives_a_loss_that_reaches_zero():
    weights = run(BALANCERS["relobralo"](), (1, 0), (1, 0), (1, 1e-3), generator=torch.Generator())
    assert all(math.isfinite(each) for each in weights[-1])


def test_softadapt_weighs_slopes():
    # s = (1, -1), beta = 1: 2 softmax(1, -1)
    weights = run(BALANCERS["softadapt"](beta=1.0, normalised=False), (1, 2), (2, 1))
    assert weights[1] == pytest.approx([2 / (1 + math.exp(-2)), 2 / (1 + math.exp(2))], rel=1e-12)


def test_softadapt_normalised_and_loss_weighted():
    # s = (1, -3) / 4; numerators L_i exp(s_i) with L = (2, 1)
    weights = run(BALANCERS["softadapt"](beta=1.0, normalised=True, loss_weighted=True, epsilon=0.0), (1, 4), (2, 1))
    top = [2 * math.exp(0.25), math.exp(-0.75)]
    assert weights[1] == pytest.approx([2 * each / sum(top) for each in top], rel=1e-12)


def test_gradnorm_moves_weight_from_the_larger_gradient_to_the_smaller():
    # norms (1, 3), equal progress: target 2 each, slopes (-1, +3); Adam's first step is the sign times the rate
    statistics = GradientStatistics(losses(1, 3), losses(1, 1), losses(1, 1))
    weights = run(BALANCERS["gradnorm"](alpha=1.0, rate=0.25, epsilon=0.0), (5, 5), gradients=statistics)
    assert weights[0] == pytest.approx([1.25, 0.75], rel=1e-9)


def test_gradnorm_asks_more_for_the_term_that_trains_slower():
    # equal gradients, but the second term fell to a quarter of the first's ratio: the first must get more
    statistics = GradientStatistics(losses(1, 1), losses(1, 1), losses(1, 1))
    weights = run(BALANCERS["gradnorm"](alpha=1.0, rate=0.1), (1, 1), (1, 0.25), gradients=statistics)
    assert weights[1][0] > 1 > weights[1][1]
    assert sum(weights[1]) == pytest.approx(2)


def test_lr_annealing_matches_largest_and_mean_gradients():
    # w_2 = 0.5 * 1 + 0.5 * 6 / 0.2
    statistics = GradientStatistics(losses(1, 1), losses(6, 1), losses(0.5, 0.2))
    weights = run(BALANCERS["lr_annealing"](alpha=0.5, epsilon=0.0), (1, 1), gradients=statistics)
    assert weights[0] == pytest.approx([1, 0.5 + 0.5 * 30])


def test_gradient_statistics_of_a_known_function():
    # L1 = 3 a0 + 4 a1, L2 = |z|^2 with z = 1 + 2i: gradient 2 z, as two reals
    a = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    z = torch.tensor([1 + 2j], dtype=torch.complex128, requires_grad=True)
    terms = torch.stack([3 * a[0] + 4 * a[1], (z * z.conj()).real.sum()])
    found = gradient_statistics(terms, [a, z])
    assert found.norm.tolist() == pytest.approx([5, math.sqrt(20)])
    assert found.maximum.tolist() == [4, 4]
    assert found.mean.tolist() == [7 / 4, 6 / 4]
    terms.sum().backward()  # the graph is still there
    assert a.grad.tolist() == [3, 4]


def test_a_share_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match="alpha = 1.5 must lie between 0 and 1"):
        BALANCERS["relobralo"](alpha=1.5)


def test_an_unknown_balancer_names_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'relobralo'"):
        BALANCERS["relobrallo"]
