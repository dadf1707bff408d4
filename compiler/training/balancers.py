"""Weights of the loss terms, adapted while training: each balancer is a pure pair (init, update).

`state = balancer.init(m)` for `m` terms, then once a step `weights, state =
balancer.update(signals, state)`; the step minimises `sum_i weights_i L_i` with the weights held
constant. States are named tuples of float64 tensors, so that a checkpoint can hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from operators.registry import Registry

BALANCERS = Registry("balancer")
"""Rules that weigh the terms of a loss against each other, by name."""


@dataclass(frozen=True, slots=True)
class GradientStatistics:
    """What a balancer may know of the gradient of each unweighted term with respect to all
    parameters.

    Shapes: "m" each, gram "m m". `norm` is Euclidean, `maximum` and `mean` are of absolute values,
    `gram` holds the inner products.
    """

    norm: Tensor
    maximum: Tensor
    mean: Tensor
    gram: Tensor

    def scaled(self, factors: Tensor) -> GradientStatistics:
        """Those of the terms times positive numbers. Shapes: factors "m"."""
        return GradientStatistics(
            self.norm * factors,
            self.maximum * factors,
            self.mean * factors,
            self.gram * factors * factors[:, None],
        )


@dataclass(frozen=True, slots=True)
class Signals:
    """What a step tells its balancer.

    Shapes: losses "m", unweighted, float64 on the CPU. `gradients` is given at every
    `gradients_every`-th step only.
    """

    losses: Tensor
    step: int
    generator: torch.Generator | None = None
    gradients: GradientStatistics | None = None


@dataclass(frozen=True, slots=True)
class Balancer:
    """A pure pair.

    `gradients_every`: how often `update` wants gradient statistics, which cost a backward pass a
    term; 0 for never. `ratios`: whether losses are compared by ratio, which means something between
    positive ones only; energies may be negative. `direction`: whether the weights make up the
    direction of the step, which depends on the weights that terms have already; losses and
    gradients are then those of the weighted terms.
    """

    init: Callable[[int], Any]
    update: Callable[[Signals, Any], tuple[Tensor, Any]]
    gradients_every: int = 0
    ratios: bool = False
    direction: bool = False


class Weights(NamedTuple):
    """The state of a balancer that remembers its last weights only."""

    weights: Tensor


class Memory(NamedTuple):
    """The state of a balancer that compares losses with earlier ones."""

    first: Tensor
    previous: Tensor
    weights: Tensor


class Moments(NamedTuple):
    """The state of GradNorm: first losses, weights, and Adam's moments of their gradient."""

    first: Tensor
    weights: Tensor
    mean: Tensor
    square: Tensor
    steps: int


@BALANCERS.register("fixed")
def fixed() -> Balancer:
    """Every term unchanged: weights one, in addition to those that the loss itself was given."""

    def update(signals: Signals, state: Weights) -> tuple[Tensor, Weights]:
        return state.weights, state

    return Balancer(lambda m: Weights(_ones(m)), update)


@BALANCERS.register("relobralo")
def relobralo(
    alpha: float = 0.95, beta: float = 0.99, tau: float = 1.0, epsilon: float = 1e-8
) -> Balancer:
    """Relative loss balancing with random look-back.

    bal_i(t, t') = m softmax_i(L_i(t) / (tau L_i(t')))
    w_i(t) = alpha (rho w_i(t-1) + (1 - rho) bal_i(t, 0)) + (1 - alpha) bal_i(t, t-1),  rho ~
    Bernoulli(beta)

    Step 0 takes the plain sum and latches L(0).
    Source: Bischof and Kraus 2021 (arXiv 2110.09813), equations 8-10; defaults of PhysicsNeMo and
    of the neuraloperator library.
    """
    _check_fraction("alpha", alpha)
    _check_fraction("beta", beta)

    def balanced(now: Tensor, then: Tensor) -> Tensor:
        return len(now) * torch.softmax(now / (tau * then + epsilon), 0)

    def update(signals: Signals, state: Memory) -> tuple[Tensor, Memory]:
        losses = signals.losses
        if signals.step == 0:
            return state.weights, Memory(losses, losses, state.weights)
        look_back = torch.rand((), generator=signals.generator, dtype=torch.float64).item() >= beta
        history = balanced(losses, state.first) if look_back else state.weights
        weights = alpha * history + (1 - alpha) * balanced(losses, state.previous)
        return weights, Memory(state.first, losses, weights)

    return Balancer(_remember, update, ratios=True)


@BALANCERS.register("softadapt")
def softadapt(
    beta: float = 0.1, normalised: bool = True, loss_weighted: bool = False, epsilon: float = 1e-8
) -> Balancer:
    """More weight to the terms that fall slowest: w_i = m softmax_i(beta s_i), s_i = L_i(t) -
    L_i(t-1).

    `normalised` divides s by sum |s_j|; `loss_weighted` multiplies the exponentials by L_i(t)
    before they are normalised. Source: Heydari, Thompson and Mehmood 2019 (arXiv 1912.12355),
    algorithm 1 with its normalised and loss-weighted variants.
    """

    def update(signals: Signals, state: Memory) -> tuple[Tensor, Memory]:
        losses = signals.losses
        if signals.step == 0:
            return state.weights, Memory(losses, losses, state.weights)
        slope = losses - state.previous
        if normalised:
            slope = slope / (slope.abs().sum() + epsilon)
        score = beta * slope + (torch.log(losses + epsilon) if loss_weighted else 0)
        weights = len(losses) * torch.softmax(score, 0)
        return weights, Memory(state.first, losses, weights)

    return Balancer(_remember, update, ratios=loss_weighted)


@BALANCERS.register("gradnorm")
def gradnorm(
    alpha: float = 1.0, rate: float = 0.025, every: int = 1, epsilon: float = 1e-8
) -> Balancer:
    """Equal gradient norms, more for the terms that train slowest; the weights take one Adam step
    on

    sum_i | w_i |grad L_i| - mean_j(w_j |grad L_j|) r_i^alpha |,   r_i = (L_i / L_i(0)) / mean_j(L_j
    / L_j(0)),

    the target held constant, then are kept positive and scaled to sum to m. Gradients are those of
    all parameters. Source: Chen et al. 2018 (arXiv 1711.02257), algorithm 1; alpha as in
    PhysicsNeMo.
    """

    def init(m: int) -> Moments:
        return Moments(
            _ones(m),
            _ones(m),
            torch.zeros(m, dtype=torch.float64),
            torch.zeros(m, dtype=torch.float64),
            0,
        )

    def update(signals: Signals, state: Moments) -> tuple[Tensor, Moments]:
        first = signals.losses if signals.step == 0 else state.first
        if signals.gradients is None:
            return state.weights, state._replace(first=first)
        norm = signals.gradients.norm
        ratio = signals.losses / (first + epsilon)
        target = (state.weights * norm).mean() * (ratio / (ratio.mean() + epsilon)) ** alpha
        slope = norm * torch.sign(state.weights * norm - target)
        count = state.steps + 1
        mean = 0.9 * state.mean + 0.1 * slope
        square = 0.999 * state.square + 0.001 * slope**2
        move = mean / (1 - 0.9**count) / ((square / (1 - 0.999**count)).sqrt() + epsilon)
        weights = (state.weights - rate * move).clamp(min=epsilon)
        weights = weights * len(weights) / weights.sum()
        return weights, Moments(first, weights, mean, square, count)

    return Balancer(init, update, gradients_every=every, ratios=True)


@BALANCERS.register("lr_annealing")
def lr_annealing(alpha: float = 0.9, every: int = 10, epsilon: float = 1e-12) -> Balancer:
    """Each condition pulls as hard as the equation: w_i <- alpha w_i + (1 - alpha) max|grad L_1| /
    mean|grad L_i|, w_1 = 1.

    The first term, an equation of the interior, is the measure of the others.
    Source: Wang, Teng and Perdikaris 2021 (SIAM J. Sci. Comput. 43), algorithm 1; `every` as in the
    authors' code.
    """
    _check_fraction("alpha", alpha)

    def update(signals: Signals, state: Weights) -> tuple[Tensor, Weights]:
        if signals.gradients is None:
            return state.weights, state
        target = signals.gradients.maximum[0] / (signals.gradients.mean + epsilon)
        weights = alpha * state.weights + (1 - alpha) * target
        weights[0] = 1.0
        return weights, Weights(weights)

    return Balancer(lambda m: Weights(_ones(m)), update, gradients_every=every)


@BALANCERS.register("ntk")
def ntk(every: int = 10, epsilon: float = 1e-12) -> Balancer:
    """Terms that converge at one rate: w_i = sum_j tr(K_j) / tr(K_i), scaled to sum to m.

    K_i is the neural tangent kernel of the residuals r_i of a term L_i = |r_i|^2. Its trace
    |dr_i/dtheta|^2 would cost a backward pass a point; |grad sqrt(L_i)|^2 = |grad L_i|^2 / 4 L_i,
    the part of it that the residual of the moment sees, costs one a term. Source: Wang, Yu and
    Perdikaris 2022 (J. Comput. Phys. 449, 110768), equation 6.5; the square root as in PhysicsNeMo.
    """

    def update(signals: Signals, state: Weights) -> tuple[Tensor, Weights]:
        if signals.gradients is None:
            return state.weights, state
        trace = signals.gradients.norm**2 / (4 * signals.losses + epsilon)
        weights = trace.sum() / (trace + epsilon * trace.sum() + epsilon)
        weights = weights * len(weights) / weights.sum()
        return weights, Weights(weights)

    return Balancer(lambda m: Weights(_ones(m)), update, gradients_every=every, ratios=True)


@BALANCERS.register("config")
def config(epsilon: float = 1e-8) -> Balancer:
    """A step that lessens every term alike, conflict-free inverse gradients: its direction v has
    one cosine with each grad L_i,

    v ~ sum_i c_i u_i,   (u_i . u_j) c = 1,   u_i = grad L_i / |grad L_i|,   and the length sum_i
    grad L_i . v / |v|.

    Terms without a gradient take no part.
    Source: Liu, Chu and Thuerey 2025 (ICLR; arXiv 2408.11104), equations 2 and 3.
    """

    def update(signals: Signals, state: Weights) -> tuple[Tensor, Weights]:
        if signals.gradients is None:
            return state.weights, state
        norm, gram = signals.gradients.norm, signals.gradients.gram
        known = norm > 0
        if not known.any():
            return state.weights, state
        cosines = gram[known][:, known] / norm[known, None] / norm[known]
        inverse = torch.linalg.pinv(cosines, hermitian=True, rtol=epsilon)
        shares = inverse.sum(1) / norm[known]  # v = sum_i shares_i grad L_i
        pull = gram[known][:, known] @ shares  # grad L_i . v
        weights = torch.zeros_like(norm)
        weights[known] = shares * pull.sum() / (shares @ pull)
        return weights, Weights(weights)

    return Balancer(lambda m: Weights(_ones(m)), update, gradients_every=1, direction=True)


@BALANCERS.register("pcgrad")
def pcgrad() -> Balancer:
    """Conflicts projected away: each gradient, where it points against another grad L_j, loses its
    part along it, the others taken in a random order; the step is their sum, as weights of the
    plain gradients.

    Source: Yu et al. 2020 (NeurIPS; arXiv 2001.06782), algorithm 1.
    """

    def update(signals: Signals, state: Weights) -> tuple[Tensor, Weights]:
        if signals.gradients is None:
            return state.weights, state
        gram = signals.gradients.gram
        # row i: the i-th projected gradient in terms of the plain ones
        shares = torch.eye(len(gram), dtype=gram.dtype)
        for row in shares:
            for j in torch.randperm(len(gram), generator=signals.generator).tolist():
                along = row @ gram[:, j]
                if along < 0:
                    row[j] -= along / gram[j, j]
        weights = shares.sum(0)
        return weights, Weights(weights)

    return Balancer(lambda m: Weights(_ones(m)), update, gradients_every=1, direction=True)


def gradient_statistics(
    terms: Tensor,
    parameters: Sequence[Tensor],
    reduce: Callable[[Tensor], Tensor] = lambda gradient: gradient,
) -> GradientStatistics:
    """Statistics of the gradient of each of the terms; keeps the graph. `reduce` averages a
    gradient over processes.

    Shapes: terms "m".
    """
    rows, gradients = [], []
    for term in terms:
        parts = torch.autograd.grad(
            term, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        flat = reduce(
            torch.cat(
                [
                    torch.view_as_real(part).reshape(-1) if part.is_complex() else part.reshape(-1)
                    for part in parts
                ]
            )
        )
        gradients.append(flat.detach().double())
        size = gradients[-1].abs()
        rows.append(torch.stack([size.square().sum().sqrt(), size.max(), size.mean()]))
    norm, maximum, mean = torch.stack(rows).cpu().unbind(1)
    stacked = torch.stack(gradients)
    return GradientStatistics(norm, maximum, mean, (stacked @ stacked.T).cpu())


def _ones(m: int) -> Tensor:
    return torch.ones(m, dtype=torch.float64)


def _remember(m: int) -> Memory:
    return Memory(_ones(m), _ones(m), _ones(m))


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"balancer option {name} = {value} must lie between 0 and 1")
