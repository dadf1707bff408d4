"""Balancers against weights worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from compiler.training.balancers import BALANCERS, GradientStatistics, Signals, gradient_statistics


def losses(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def statistics(norm, maximum=(1, 1), mean=(1, 1), cosine=0.0) -> GradientStatistics:
    """Of two gradients with a cosine between them."""
    a, b = norm
    gram = torch.tensor([[a * a, a * b * cosine], [a * b * cosine, b * b]], dtype=torch.float64)
    return GradientStatistics(losses(*norm), losses(*maximum), losses(*mean), gram)


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
    given = statistics((1, 4), (3, 3), (0.1, 0.2), cosine=-0.5)
    first = balancer.init(2)
    _, state = balancer.update(Signals(losses(1, 2), 0, torch.Generator(), given), first)
    copies = [each.clone() if isinstance(each, torch.Tensor) else each for each in state]
    once = balancer.update(Signals(losses(3, 1), 1, torch.Generator().manual_seed(1), given), state)
    again = balancer.update(
        Signals(losses(3, 1), 1, torch.Generator().manual_seed(1), given), state
    )
    assert all(
        torch.equal(torch.as_tensor(a), torch.as_tensor(b))
        for a, b in zip(state, copies, strict=True)
    )
    assert torch.equal(once[0], again[0])


def test_fixed_never_changes():
    assert run(BALANCERS["fixed"](), (1, 2), (9, 1)) == [[1, 1], [1, 1]]


def test_relobralo_without_look_back_mixes_the_last_weights_with_the_latest_progress():
    # beta = 1: rho = 1. w(1) = alpha w(0) + (1 - alpha) 2 softmax(L(1) / L(0))
    weights = run(
        BALANCERS["relobralo"](alpha=0.75, beta=1.0, epsilon=0.0),
        (1, 2),
        (2, 2),
        (2, 4),
        generator=torch.Generator(),
    )
    e = math.e
    first = [0.75 + 0.25 * 2 * e**2 / (e**2 + e), 0.75 + 0.25 * 2 * e / (e**2 + e)]
    second = [
        0.75 * first[0] + 0.25 * 2 * e / (e + e**2),
        0.75 * first[1] + 0.25 * 2 * e**2 / (e + e**2),
    ]
    assert weights[1] == pytest.approx(first, rel=1e-14)
    assert weights[2] == pytest.approx(second, rel=1e-14)


def test_relobralo_with_look_back_compares_with_the_first_losses():
    # beta = 0: rho = 0 always, and alpha = 1 leaves bal(t, 0) alone
    weights = run(
        BALANCERS["relobralo"](alpha=1.0, beta=0.0, tau=2.0, epsilon=0.0),
        (1, 1),
        (7, 7),
        (2, 4),
        generator=torch.Generator(),
    )
    e = math.e
    assert weights[2] == pytest.approx([2 * e / (e + e**2), 2 * e**2 / (e + e**2)], rel=1e-14)


def test_relobralo_looks_back_as_often_as_beta_says():
    balancer, generator, looked = (
        BALANCERS["relobralo"](alpha=1.0, beta=0.9),
        torch.Generator().manual_seed(0),
        0,
    )
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
    weights = run(
        BALANCERS["softadapt"](beta=1.0, normalised=True, loss_weighted=True, epsilon=0.0),
        (1, 4),
        (2, 1),
    )
    top = [2 * math.exp(0.25), math.exp(-0.75)]
    assert weights[1] == pytest.approx([2 * each / sum(top) for each in top], rel=1e-12)


def test_gradnorm_moves_weight_from_the_larger_gradient_to_the_smaller():
    # norms (1, 3), equal progress: target 2 each, slopes (-1, +3); Adam's first step is the sign
    # times the rate
    weights = run(
        BALANCERS["gradnorm"](alpha=1.0, rate=0.25, epsilon=0.0),
        (5, 5),
        gradients=statistics((1, 3)),
    )
    assert weights[0] == pytest.approx([1.25, 0.75], rel=1e-9)


def test_gradnorm_asks_more_for_the_term_that_trains_slower():
    # equal gradients, but the second term fell to a quarter of the first's ratio: the first must
    # get more
    weights = run(
        BALANCERS["gradnorm"](alpha=1.0, rate=0.1), (1, 1), (1, 0.25), gradients=statistics((1, 1))
    )
    assert weights[1][0] > 1 > weights[1][1]
    assert sum(weights[1]) == pytest.approx(2)


def test_lr_annealing_matches_largest_and_mean_gradients():
    # w_2 = 0.5 * 1 + 0.5 * 6 / 0.2
    weights = run(
        BALANCERS["lr_annealing"](alpha=0.5, epsilon=0.0),
        (1, 1),
        gradients=statistics((1, 1), (6, 1), (0.5, 0.2)),
    )
    assert weights[0] == pytest.approx([1, 0.5 + 0.5 * 30])


def test_ntk_gives_every_term_the_same_rate():
    # L_i = c_i |theta - a_i|^2 / 2 has |grad sqrt(L_i)|^2 = c_i / 2: weights go as 1 / c_i
    theta, far, stiffness = (
        torch.zeros(3, dtype=torch.float64, requires_grad=True),
        losses(1, 2, -1),
        losses(8, 2),
    )
    terms = (
        stiffness
        * torch.stack([(theta - far).square().sum(), (theta + 2 * far).square().sum()])
        / 2
    )
    found = gradient_statistics(terms, [theta])
    weights, _ = BALANCERS["ntk"]().update(
        Signals(terms.detach(), 0, None, found), BALANCERS["ntk"]().init(2)
    )
    assert weights.tolist() == pytest.approx([2 * 1 / 5, 2 * 4 / 5], rel=1e-9)


def test_config_descends_on_every_term_at_one_cosine():
    # g_1 = (3, 0), g_2 = (-1, 1): the direction between the unit vectors, as long as both gradients
    # reach along it
    gradients = torch.tensor([[3.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    found = GradientStatistics(
        gradients.norm(dim=1), losses(3, 1), losses(1, 1), gradients @ gradients.T
    )
    weights, _ = BALANCERS["config"]().update(
        Signals(losses(1, 1), 0, None, found), BALANCERS["config"]().init(2)
    )
    step = weights @ gradients
    angle = 3 * math.pi / 8  # half of the 135 degrees between them
    toward = losses(math.cos(angle), math.sin(angle))
    assert step.tolist() == pytest.approx(
        (float((gradients @ toward).sum()) * toward).tolist(), rel=1e-12
    )
    cosines = gradients @ step / gradients.norm(dim=1) / step.norm()
    assert cosines[0] == pytest.approx(float(cosines[1]), rel=1e-12) and cosines[0] > 0


def test_config_leaves_out_a_term_without_gradient_and_survives_parallel_ones():
    found = statistics((2, 0))
    assert BALANCERS["config"]().update(
        Signals(losses(1, 1), 0, None, found), BALANCERS["config"]().init(2)
    )[0].tolist() == [1, 0]
    weights = BALANCERS["config"]().update(
        Signals(losses(1, 1), 0, None, statistics((1, 1), cosine=1.0)), None
    )[0]
    assert weights.tolist() == pytest.approx([1, 1])


def test_pcgrad_projects_conflicting_gradients_and_leaves_others_alone():
    # g_1 = (1, 0), g_2 = (-1, 1): g_1 - (g_1.g_2)/|g_2|^2 g_2 = (1/2, 1/2), g_2 - (g_2.g_1)/|g_1|^2
    # g_1 = (0, 1)
    gradients = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    found = GradientStatistics(
        gradients.norm(dim=1), losses(1, 1), losses(1, 1), gradients @ gradients.T
    )
    weights, _ = BALANCERS["pcgrad"]().update(
        Signals(losses(1, 1), 0, torch.Generator(), found), None
    )
    assert (weights @ gradients).tolist() == pytest.approx([0.5, 1.5])
    agreeing = BALANCERS["pcgrad"]().update(
        Signals(losses(1, 1), 0, torch.Generator(), statistics((1, 2), cosine=0.5)), None
    )[0]
    assert agreeing.tolist() == [1, 1]


def test_gradient_statistics_of_a_known_function():
    # L1 = 3 a0 + 4 a1, L2 = |z|^2 with z = 1 + 2i: gradient 2 z, as two reals
    a = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    z = torch.tensor([1 + 2j], dtype=torch.complex128, requires_grad=True)
    terms = torch.stack([3 * a[0] + 4 * a[1], (z * z.conj()).real.sum()])
    found = gradient_statistics(terms, [a, z])
    assert found.norm.tolist() == pytest.approx([5, math.sqrt(20)])
    assert found.maximum.tolist() == [4, 4]
    assert found.mean.tolist() == [7 / 4, 6 / 4]
    assert found.gram.tolist() == [[25, 0], [0, pytest.approx(20)]]
    assert found.scaled(losses(2, 3)).gram[1, 1] == pytest.approx(180)
    terms.sum().backward()  # the graph is still there
    assert a.grad.tolist() == [3, 4]


def test_a_share_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match="alpha = 1.5 must lie between 0 and 1"):
        BALANCERS["relobralo"](alpha=1.5)


def test_an_unknown_balancer_names_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'relobralo'"):
        BALANCERS["relobrallo"]
