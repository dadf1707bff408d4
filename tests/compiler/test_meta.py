"""Meta-learning against closed forms on quadratic tasks, finite differences through the physics,
and itself when it is interrupted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

import compiler
import pdespec
from compiler.training import meta
from compiler.training.inner_loop import Inner, Stepper, adapted, leap, maml
from compiler.training.options import OptionError
from compiler.training.runs import RunError

from . import tiny

TEXT = tiny.TEXT
SMALL = {"hidden": (8, 8), "omega": 5.0, "scale": 0.5}
POINTS = {"interior": 12, "boundary": 4}
FAST = {"batch": 3, "inner_steps": 2, "points": POINTS, "precision": "float64", "inner_lr": 1e-2}
MAML = compiler.MetaOptions(**FAST, steps=4)
STEPS = {"maml": 24, "leap": 10}
LEAP = dataclasses.replace(MAML, method="leap", inner_optimizer="adam")


def rng(seed=0):
    return np.random.default_rng(seed)


def quadratics(tasks=2, size=3):
    """Tasks L(phi) = phi.A phi / 2 - b.phi: A, b as arrays, and their sum as `losses`."""
    draws = rng()
    root = draws.normal(size=(tasks, size, size))
    a, b = root @ root.transpose(0, 2, 1) + np.eye(size), draws.normal(size=(tasks, size))
    ta, tb = torch.tensor(a), torch.tensor(b)

    def losses(_, rows):
        count = len(rows)
        return 0.5 * torch.einsum("bi,bij,bj->", rows, ta[:count], rows) - (tb[:count] * rows).sum()

    return a, b, losses


def test_maml_has_the_gradient_of_a_path_written_out():
    """phi_(t+1) = (1 - lr S_t A) phi_t + lr S_t b, S_t = diag(softplus(a_t)): the gradient of the
    discounted sum in the start and in the rates, by matrices."""
    a, b, losses = quadratics()
    inner, discount, lr = Inner("sgd", 0.05, 3), 0.1, 0.05
    start, rates = torch.tensor(rng(1).normal(size=3)), torch.tensor(rng(2).normal(size=(3, 3)))
    start.requires_grad_(), rates.requires_grad_()
    total = maml(losses, losses, start.expand(2, -1), rates, inner, discount)
    total.backward()
    scale = np.log1p(np.exp(rates.detach().numpy()))
    value, slope, of_rates = 0.0, np.zeros(3), np.zeros((3, 3))
    for k in range(2):
        phi, jacobian = start.detach().numpy(), np.eye(3)
        by_rates = np.zeros((3, 3, 3))  # d phi / d a_s
        for t in range(4):
            gradient = a[k] @ phi - b[k]
            weight = discount ** (3 - t)
            value += weight * (0.5 * phi @ a[k] @ phi - b[k] @ phi)
            slope += weight * jacobian.T @ gradient
            of_rates += weight * np.einsum("sij,i->sj", by_rates, gradient)
            if t == 3:
                break
            step = np.eye(3) - lr * np.diag(scale[t]) @ a[k]
            by_rates = np.einsum("ij,sjk->sik", step, by_rates)
            by_rates[t] -= lr * np.diag(gradient / (1 + np.exp(-rates[t].detach().numpy())))
            phi, jacobian = phi - lr * scale[t] * gradient, step @ jacobian
    assert abs(total.item() - value) < 1e-12 * abs(value)
    assert np.abs(start.grad.numpy() - slope).max() < 1e-12 * np.abs(slope).max()
    assert np.abs(rates.grad.numpy() - of_rates).max() < 1e-12 * np.abs(of_rates).max()


def test_leap_has_the_direction_of_a_path_written_out():
    a, b, losses = quadratics()
    start, inner = torch.tensor(rng(1).normal(size=3)), Inner("adam", 0.05, 4)
    found, met = leap(losses, start, inner)
    phi, m, v = start.numpy().copy(), np.zeros(3), np.zeros(3)
    loss = lambda x: 0.5 * x @ a[0] @ x - b[0] @ x  # noqa: E731
    expected, seen = np.zeros(3), [loss(phi)]
    for k in range(1, 5):
        g = a[0] @ phi - b[0]
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        after = phi - 0.05 * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.99**k)) + 1e-8)
        fell = abs(loss(after) - loss(phi))
        length = np.sqrt(((after - phi) ** 2).sum() + fell**2)
        expected += (phi - after + fell * g) / length
        phi = after
        seen.append(loss(phi))
    assert np.abs(found.numpy() - expected).max() < 1e-12
    assert np.allclose(met, seen, rtol=1e-12)


def test_a_gradient_is_clipped_by_task_after_its_rates():
    stepper = Stepper(Inner("sgd", 1.0, 1, clip=5.0))
    rows = torch.zeros(2, 2, dtype=torch.float64)
    gradient = torch.tensor([[3.0, 4.0], [30.0, 40.0]], dtype=torch.float64)
    after = stepper.step(rows, gradient, torch.tensor([2.0, 1.0], dtype=torch.float64))
    expected = -5 * np.array([[6, 4], [60, 40]]) / np.hypot([[6], [60]], [[4], [40]])
    assert np.allclose(after.numpy(), expected)


def made(problem=None, **options):
    problem = problem or tiny.problem()
    return problem, compiler.build(problem, "meta_pinn", **{**SMALL, **options})


def drawn(problem, size=3, seed=0, **options):
    chance = torch.Generator().manual_seed(seed)
    points = {"interior": 64, "boundary": 8}
    return compiler.sample(problem, size, points, chance, dtype=torch.float64, **options)


def test_the_second_order_gradient_through_the_physics_is_what_differences_find():
    problem, model = made()
    model.double()
    batch = drawn(problem, hard_conditions=False)
    parts = batch.in_parts(2, torch.Generator().manual_seed(0))
    loss = compiler.compile(problem).double()
    losses = meta._losses(loss, model, parts)
    rates = torch.zeros(1, model.theta.numel(), dtype=torch.float64)

    def outer(theta):
        return maml(losses, losses, theta.expand(3, -1), rates, Inner("sgd", 1e-3, 1), 0.1)

    theta = model.theta.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(outer(theta), theta)
    along = torch.tensor(rng(3).normal(size=theta.numel()))
    along /= along.norm()
    h = 1e-5
    with torch.enable_grad():
        ahead, behind = (outer((theta + s * h * along).detach().requires_grad_()) for s in (1, -1))
    slope = float((ahead - behind).detach()) / (2 * h)
    assert abs(float(gradient @ along) - slope) < 1e-6 * abs(slope)
    first_order = torch.autograd.grad(losses(1, theta.expand(3, -1)), theta)[0]
    assert abs(float(first_order @ along) - slope) > 1e-3 * abs(slope)  # the path counts


def test_parts_of_a_batch_are_the_same_samples_at_points_of_their_own():
    problem = tiny.problem()
    batch = drawn(problem)
    parts = batch.in_parts(4, torch.Generator().manual_seed(1))
    whole = torch.cat([part.points["L"].points for part in parts], 1)
    assert torch.equal(whole.sort(1).values, batch.points["L"].points.sort(1).values)
    assert all(torch.equal(part.params["a"], batch.params["a"]) for part in parts)
    with pytest.raises(ValueError, match="8 points on `ends` do not make 9 parts"):
        batch.in_parts(9, torch.Generator())


@pytest.mark.parametrize("options", [MAML, LEAP], ids=["maml", "leap"])
def test_a_stopped_run_goes_on_bit_for_bit(options, tmp_path):
    problem, model = made()
    whole = compiler.meta_train(problem, model, options, tmp_path / "whole")
    _, other = made()
    half = dataclasses.replace(options, steps=2)
    compiler.meta_train(problem, other, half, tmp_path / "parted")
    _, fresh = made(seed=5)
    fresh.recipe = model.recipe
    again = compiler.meta_train(problem, fresh, options, tmp_path / "parted", resume=True)
    assert again.step == 4 and torch.equal(again.model.theta, whole.model.theta)
    assert torch.equal(again.rates, whole.rates)
    loaded = compiler.load_meta(tmp_path / "parted")
    assert torch.equal(loaded.model.theta, whole.model.theta) and loaded.options == options
    fields = [run.adapt(drawn(problem), 3).field for run in (loaded, whole)]
    assert torch.equal(*(f(drawn(problem).points["L"].points) for f in fields))


def test_samples_are_adapted_as_if_each_were_alone(tmp_path):
    problem, model = made()
    run = compiler.meta_train(problem, model, MAML, tmp_path / "run")
    batch = drawn(problem)
    points = batch.points["L"].points
    together = run.adapt(batch, 7).field(points)
    for k in range(3):
        alone = run.adapt(batch.select([k]), 7).field(points[k : k + 1])
        torch.testing.assert_close(alone[0], together[k], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["maml", "leap"])
def test_a_learned_start_solves_a_family_in_its_inner_steps(method, tmp_path):
    """u'' = a, u = a x (x - 1) / 2 in closed form: some steps after the learned start come nearer
    than the same from the first one, whose network is as likely as any."""
    problem, model = made()
    options = dataclasses.replace(
        MAML if method == "maml" else LEAP, steps=STEPS[method], lr=1e-2, inner_steps=3
    )
    batch = drawn(problem, seed=9)
    x, a = batch.points["L"].points, batch.params["a"][:, None, None]
    exact = a * x * (x - 1) / 2

    def error(run):
        found = run.adapt(batch).field(x)
        return float((found - exact).norm() / exact.norm())

    one = dataclasses.replace(options, steps=1, lr=1e-9, rate_lr=1e-9)
    _, untrained = made()
    before = error(compiler.meta_train(problem, untrained, one, tmp_path / "before"))
    after = error(compiler.meta_train(problem, model, options, tmp_path / "after"))
    assert after < 0.6 * before and after < 0.5


def test_finetuning_is_adam_by_hand_and_is_looked_at_on_its_way(tmp_path):
    problem, model = made()
    run = compiler.meta_train(problem, model, MAML, tmp_path / "run")
    batch = drawn(problem, 1)
    looked = run.adapt(batch, 6, lambda field: field.latent[0].clone(), every=2)
    assert [steps for steps, _, _ in looked.curve] == [2, 4, 6, 8]
    assert all(b > a for (_, a, _), (_, b, _) in zip(looked.curve, looked.curve[1:], strict=False))
    loss = compiler.compile(problem).double()
    losses = meta._losses(loss, run.model, [batch])
    rows = adapted(losses, run.model.theta.detach()[None], MAML.inner, run.rates)
    torch.testing.assert_close(looked.curve[0][2], rows)
    rows = rows.clone().requires_grad_()
    adam = torch.optim.Adam([rows], lr=MAML.finetune_lr, betas=(0.9, 0.99))
    for _ in range(6):
        adam.zero_grad()
        losses(0, rows).backward()
        torch.nn.utils.clip_grad_norm_([rows], 100.0)
        adam.step()
    torch.testing.assert_close(looked.field.latent[0], rows.detach(), rtol=1e-9, atol=1e-12)


def test_a_start_whose_options_had_other_names_is_loaded(tmp_path):
    problem, model = made()
    compiler.meta_train(problem, model, MAML, tmp_path / "run")
    record = tmp_path / "run" / "meta.json"
    record.write_text(record.read_text().replace('"hard_conditions": ', '"hard": '))
    assert '"hard": true' in record.read_text()
    assert compiler.load_meta(tmp_path / "run").options == MAML


def test_what_cannot_be_is_refused(tmp_path):
    problem, model = made()
    with pytest.raises(OptionError, match="unknown method 'mamal'; did you mean 'maml'"):
        compiler.MetaOptions(method="mamal")
    with pytest.raises(OptionError, match="maml learns the rates of sgd steps"):
        compiler.MetaOptions(inner_optimizer="adam")
    with pytest.raises(OptionError, match="inner_steps = 0 should be a whole number"):
        compiler.MetaOptions(inner_steps=0)
    with pytest.raises(ValueError, match="a GINO is not adapted to samples"):
        compiler.meta_train(problem, compiler.build(problem, "gino", latent=(12,)))
    with pytest.raises(ValueError, match="compiler.meta_train learns where it begins"):
        compiler.train(problem, model, directory=tmp_path / "plain")
    compiler.meta_train(problem, model, MAML, tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run"):
        compiler.meta_train(problem, model, MAML, tmp_path / "run")
    other = dataclasses.replace(MAML, inner_lr=0.5)
    with pytest.raises(OptionError, match="inner_lr = 0.5 cannot change on resuming"):
        compiler.meta_train(problem, model, other, tmp_path / "run", resume=True)
    another = pdespec.parse(TEXT.replace("uniform(1, 2)", "uniform(1, 3)"))
    with pytest.raises(RunError, match="trains another problem"):
        compiler.meta_train(another, made(another)[1], MAML, tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="holds no meta-learned start"):
        compiler.load_meta(tmp_path)
    assert float(softplus(torch.ones(1))) > 1  # the rates begin above the given one
