"""Optimisers and schedules: closed forms, convergence, and states that come back bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from compiler.training.checkpoint import load_tree, save_tree
from compiler.training.optimizers import OPTIMIZERS, SCHEDULES, Progress
from compiler.training.soap import SOAP


def factors(schedule, steps, validations=()):
    state, found, validations = schedule.init(), [], dict(validations)
    for step in range(steps):
        factor, state = schedule.update(Progress(step, steps, validations.get(step)), state)
        found.append(factor)
    return found


def test_cosine_warms_up_linearly_and_ends_at_its_floor():
    found = factors(SCHEDULES["cosine"](warmup=4, floor=0.1), 105)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[4] == 1.0
    assert found[54] == pytest.approx(0.55)  # half-way: the mean of 1 and the floor
    assert found[-1] == pytest.approx(0.1)


def test_constant_stays():
    assert factors(SCHEDULES["constant"](), 3) == [1, 1, 1]


def test_plateau_waits_then_lowers():
    validations = {1: 1.0, 2: 0.5, 3: 0.5, 4: 0.6, 5: 0.55, 6: 0.4}
    found = factors(SCHEDULES["plateau"](factor=0.1, patience=2), 8, validations)
    # best at 2, then three without: lowered at the third
    assert found == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1, 0.1])


def quadratic(optimizer_name, steps=400, **options):
    """An ill-conditioned quadratic in a rotated frame: |A W B - C|^2."""
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
        for _ in range(2)
    )
    scale = torch.logspace(0, 2, 6, dtype=torch.float64)
    target = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    w = torch.zeros(6, 6, dtype=torch.float64, requires_grad=True)
    optimizer = OPTIMIZERS[optimizer_name]([w], **options)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((scale[:, None] * (a @ w @ b) - target) ** 2).sum()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_soap_beats_adam_on_an_ill_conditioned_rotated_quadratic():
    assert quadratic("soap", lr=0.02) < 1e-2 * quadratic("adam", lr=0.02)


def test_soap_is_adam_where_nothing_is_turned():
    value = torch.linspace(-1, 1, 5, dtype=torch.float64)
    mine, reference = value.clone().requires_grad_(), value.clone().requires_grad_()
    soap, adam = (
        SOAP([mine], lr=0.1, betas=(0.9, 0.99)),
        torch.optim.Adam([reference], lr=0.1, betas=(0.9, 0.99)),
    )
    for step in range(6):
        mine.grad = torch.sin(mine.detach() + step)
        soap.step()
        if step:  # SOAP's first step only fills its preconditioner
            reference.grad = torch.sin(reference.detach() + step)
            adam.step()
    assert torch.allclose(mine, reference, rtol=1e-12, atol=0)


def along(tensor, matrix, axis):
    """The product with a matrix along an axis."""
    return np.moveaxis(np.tensordot(matrix, tensor, (1, axis)), 0, axis)


def slow_soap(value, gradients, axes, lr, beta1, beta2, frequency):
    """Algorithm 3 of Vyas et al. 2024 along some axes of a tensor, in NumPy and word by word."""
    mean, square, bases = np.zeros_like(value), np.zeros_like(value), {}

    def gram(g, axis):
        rows = np.moveaxis(g, axis, 0).reshape(g.shape[axis], -1)
        return rows @ rows.T

    def turned(tensor, back=False):
        for axis, basis in bases.items():
            tensor = along(tensor, basis if back else basis.T, axis)
        return tensor

    for step, g in enumerate(gradients):
        if step == 0:
            grams = {axis: (1 - beta2) * gram(g, axis) for axis in axes}
            bases = {axis: np.linalg.eigh(each)[1][:, ::-1] for axis, each in grams.items()}
            continue
        mean = beta1 * mean + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * turned(g) ** 2
        move = turned(mean) / (1 - beta1**step) / (np.sqrt(square / (1 - beta2**step)) + 1e-8)
        value = value - lr * turned(move, back=True)
        grams = {k: beta2 * each + (1 - beta2) * gram(g, k) for k, each in grams.items()}
        for axis, basis in bases.items() if step % frequency == 0 else ():
            order = np.argsort(-np.diag(basis.T @ grams[axis] @ basis), kind="stable")
            square = np.take(square, order, axis)
            bases[axis] = np.linalg.qr(grams[axis] @ basis[:, order])[0]
    return value


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((4, 3), (0, 1)),
        ((2, 5, 3, 5), (1, 3)),  # of four axes the longest
        ((3, 4, 2, 4, 2), (1, 3)),
        ((4, 4, 4), (1, 2)),  # of equal ones the later
    ],
)
def test_soap_agrees_with_the_published_algorithm_along_the_longest_axes(shape, axes):
    random = np.random.default_rng(0)
    scale = np.logspace(0, 1, shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    gradients = [  # whose eigenvalues change places
        scale[random.permutation(shape[0])] * random.normal(size=shape) for _ in range(40)
    ]
    value = random.normal(size=shape)
    parameter = torch.tensor(value, requires_grad=True)
    optimizer = SOAP([parameter], lr=0.1, betas=(0.9, 0.8), frequency=2)
    for each in gradients:
        parameter.grad = torch.tensor(each)
        optimizer.step()
    expected = slow_soap(value, gradients, axes, 0.1, 0.9, 0.8, 2)
    assert np.allclose(parameter.detach().numpy(), expected, rtol=0, atol=1e-6)


def test_soap_goes_on_with_the_axes_that_its_state_turns():
    """States of earlier builds turn every axis."""
    random, shape, axes = np.random.default_rng(1), (3, 4, 2, 5), range(4)
    gradients = [random.normal(size=shape) for _ in range(12)]
    value = random.normal(size=shape)
    parameter = torch.tensor(value, requires_grad=True)
    optimizer = SOAP([parameter], lr=0.1, betas=(0.9, 0.8), frequency=2)
    parameter.grad = torch.tensor(gradients[0])
    optimizer.step()
    state = optimizer.state[parameter]
    for axis in axes:
        rows = np.moveaxis(gradients[0], axis, 0).reshape(shape[axis], -1)
        state[f"gram{axis}"] = torch.tensor((1 - 0.8) * rows @ rows.T)
        basis = np.linalg.eigh(state[f"gram{axis}"].numpy())[1][:, ::-1]
        state[f"basis{axis}"] = torch.tensor(basis.copy())
    for each in gradients[1:]:
        parameter.grad = torch.tensor(each)
        optimizer.step()
    expected = slow_soap(value, gradients, axes, 0.1, 0.9, 0.8, 2)
    assert np.allclose(parameter.detach().numpy(), expected, rtol=0, atol=1e-6)


def test_soap_does_not_follow_roundoff_where_gradients_are_of_low_rank():
    def run(noise: float) -> torch.Tensor:
        random = np.random.default_rng(0)
        parameter = torch.zeros(8, 6, dtype=torch.float64, requires_grad=True)
        optimizer = SOAP([parameter], lr=0.1, frequency=2)
        for _ in range(8):
            gradient = np.outer(random.normal(size=8), random.normal(size=6))
            parameter.grad = torch.tensor(gradient * (1 + noise * random.normal(size=(8, 6))))
            optimizer.step()
        return parameter.detach()

    assert (run(0.0) - run(1e-16)).abs().max() < 1e-5 * run(0.0).abs().max()


def test_soap_turns_complex_parameters_as_real_ones():
    z = torch.zeros(3, 2, dtype=torch.complex64, requires_grad=True)
    target = torch.tensor([[1 + 2j, 3j], [2, -1j], [0.5, 1 - 1j]])
    optimizer = SOAP([z], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (z - target).abs().square().sum().backward()
        optimizer.step()
    assert torch.allclose(z, target, atol=1e-2)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_stored_and_restored_optimiser_goes_on_bit_for_bit(name, tmp_path):
    def loss(parameters, step):
        """sum |w|^2/2 + Re(conj(a) w), a of the step, with its gradient."""
        generator, total = torch.Generator().manual_seed(step), torch.zeros(())
        for each in parameters:
            value = each.detach()
            a = torch.randn(each.shape, generator=generator, dtype=each.dtype)
            each.grad = a + value
            total = total + (value.abs().square() / 2 + (a.conj() * value).real).sum()
        return total

    def fresh():
        generator = torch.Generator().manual_seed(7)
        return [
            torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()
            for shape, dtype in shapes
        ]

    shapes = [((4, 3), torch.float32), ((5,), torch.float32), ((2, 3, 2), torch.complex64)]
    through = fresh()
    optimizer = OPTIMIZERS[name](through, lr=1e-2)
    for step in range(30):
        optimizer.step(lambda step=step: loss(through, step))
        if step == 14:
            save_tree(
                tmp_path / "half", {"optimizer": optimizer.state_dict(), "values": list(through)}
            )
    saved = load_tree(tmp_path / "half")
    again = fresh()
    for each, value in zip(again, saved["values"], strict=True):
        each.data.copy_(value)
    optimizer = OPTIMIZERS[name](again, lr=1e-2)
    optimizer.load_state_dict(saved["optimizer"])
    for step in range(15, 30):
        optimizer.step(lambda step=step: loss(again, step))
    assert all(torch.equal(a, b) for a, b in zip(through, again, strict=True))


def test_the_learning_rate_of_half_a_cosine_sums_to_half():
    found = factors(SCHEDULES["cosine"](floor=0.0), 1001)
    assert math.fsum(found) / 1001 == pytest.approx(0.5, abs=1e-3)


def test_soap_refuses_the_state_of_its_earlier_form():
    parameter = torch.nn.Parameter(torch.ones(2, 3))
    optimizer = SOAP([parameter])
    parameter.grad = torch.ones(2, 3)
    optimizer.step()
    saved = optimizer.state_dict()
    SOAP([parameter]).load_state_dict(saved)
    saved["state"][0]["mean"] = saved["state"][0].pop("momentum")
    with pytest.raises(ValueError, match="earlier SOAP"):
        SOAP([parameter]).load_state_dict(saved)


def rosenbrock(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


@pytest.mark.parametrize(
    ("function", "start", "found"),
    [
        (rosenbrock, (-1.2, 1.0), (1.0, 1.0)),
        # no number where the search goes too far: x > 0 alone has a logarithm
        (lambda w: (w[0] - 1e-3 * w[0].log()) ** 2 + w[1].square(), (1e-4, 3.0), None),
    ],
)
def test_lbfgs_searches_for_its_step_and_keeps_the_lowest_finite_loss(function, start, found):
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = OPTIMIZERS["lbfgs"]([w], iterations=100)
    met = []

    def closure():
        optimizer.zero_grad()
        loss = function(w)
        loss.backward()
        met.append(float(loss.detach()))
        return loss

    left = optimizer.step(closure)
    assert float(function(w).detach()) == float(left) == np.nanmin(met) < met[0]
    if found is not None:
        assert w.tolist() == pytest.approx(found, rel=1e-6)
    else:
        assert np.isnan(met).any() and w.isfinite().all()


def test_lbfgs_says_what_it_needs():
    w = torch.zeros(2, requires_grad=True)
    with pytest.raises(TypeError, match="give it a closure"):
        OPTIMIZERS["lbfgs"]([w]).step()
    with pytest.raises(ValueError, match="memory is a whole number from 1, not 0"):
        OPTIMIZERS["lbfgs"]([w], memory=0)
