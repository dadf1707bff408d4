"""Priors of trainables and functions to be found: in the estimate, its intervals, and the loss; and
what a run that finds a function keeps and says."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.estimation import estimate, uncertainty
from compiler.fem import NoWeakForm
from compiler.trainable_fields import basis, field_values
from compiler.training.checkpoint import load_tree
from compiler.training.data_terms import Share, data_terms
from compiler.training.progress import Silent

ROD = """problem rod
space x
domain L = interval(0, 1)
trainable f : scalar on L ~ grf(length = 0.3), modes = 6
trainable a {a}
unknown u : scalar on L
in L: -dxx(u) = f
on side(L, x = 0): u = a
on side(L, x = 1): dx(u) = 0
output flow := integral(f, L)
output peak := a + integral((x - x^2/2)*f, L)
data u on L from "u.npz"
"""
AT = np.linspace(0.05, 1, 12)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)
NODES, WEIGHTS = (NODES + 1) / 2, WEIGHTS / 2
# u(x) = a + int min(x, s) f(s) ds
GREEN = np.minimum(AT[:, None], NODES) * WEIGHTS


def declared(tmp_path, a="~ normal(1, 0.5)"):
    (tmp_path / "rod.pde").write_text(ROD.format(a=a))
    return pdespec.load(tmp_path / "rod.pde")


def measure(tmp_path, problem, seed, noise, **columns):
    """Data of a truth that is drawn from the priors: its coefficients and a."""
    random = np.random.default_rng(seed)
    numbers, a = random.normal(size=6), random.normal(1, 0.5)
    truth = field_values(problem.trainables["f"], numbers, NODES[:, None])
    u = random.normal(a + GREEN @ truth, noise)
    np.savez(tmp_path / "u.npz", x=AT, u=u, **columns)
    return truth, a, u


@lru_cache
def modes_at_nodes():
    return basis(pdespec.parse(ROD.format(a="= 1")).trainables["f"], NODES[:, None])


def knowing(problem, batch):
    """A solver that knows Green's function, of a field for `compiler.outputs` too."""
    values = modes_at_nodes() @ batch.params["f"][0].numpy()
    a = float(batch.params["a"][0])

    def truth(points):
        x = points[..., 0].detach().numpy()
        green = np.minimum(x[..., None], NODES) * WEIGHTS
        return torch.as_tensor(a + green @ values)[..., None]

    return truth


def test_the_estimate_is_the_mean_of_the_posterior_of_a_linear_problem(tmp_path):
    problem = declared(tmp_path)
    _, _, u = measure(tmp_path, problem, 0, 0.02, sigma=0.02)
    found = estimate(problem, solver=knowing)
    design = np.column_stack([GREEN @ basis(problem.trainables["f"], NODES[:, None]), np.ones(12)])
    precision = design.T @ design / 0.02**2 + np.diag([1.0] * 6 + [4.0])
    covariance = np.linalg.inv(precision)
    mean = covariance @ (design.T @ u / 0.02**2 + np.array([0] * 6 + [4.0]))
    np.testing.assert_allclose(list(found.values.values()), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-6)
    modes = basis(problem.trainables["f"], np.array([[0.3], [0.8]]))
    expected = np.sqrt(np.diag(modes @ covariance[:6, :6] @ modes.T))
    np.testing.assert_allclose(found["f"].std([0.3, 0.8]), expected, rtol=1e-6)
    weights = np.append(WEIGHTS @ basis(problem.trainables["f"], NODES[:, None]), 0)
    assert float(found["flow"].std) == pytest.approx(np.sqrt(weights @ covariance @ weights), 1e-4)
    assert found.known and found.numbers == ["a"] and "f: " in str(found)
    solved = uncertainty(problem, found.values, resolution=24)
    np.testing.assert_allclose(solved.covariance, covariance, rtol=1e-3, atol=1e-4)


def test_intervals_of_an_output_hold_the_truth_as_often_as_they_say(tmp_path):
    """Of 100 truths from the prior, each with fresh noise that the file does not say: u at the end,
    and the function at four places."""
    problem, inside, places = declared(tmp_path), 0, []
    for seed in range(100):
        truth, a, _ = measure(tmp_path, problem, seed, 0.05)
        found = estimate(problem, solver=knowing)
        low, high = found["peak"].interval(0.95)
        inside += low < a + np.sum(WEIGHTS * (NODES - NODES**2 / 2) * truth) < high
        low, high = found["f"].interval(NODES[5:40:9, None])
        places.append((low < truth[5:40:9]) & (truth[5:40:9] < high))
    assert 90 <= inside <= 97
    assert 0.90 <= np.mean(places) <= 0.97


def test_the_prior_is_a_term_of_the_loss_beside_the_data(tmp_path):
    """Data and priors are the negative logarithm of the posterior, times a number."""
    for sigma in (0.05, None):
        problem = declared(tmp_path)
        _, _, u = measure(tmp_path, problem, 3, 0.05, **({} if sigma is None else {"sigma": sigma}))
        terms = data_terms(problem, None, 0, 8, 0, {})
        assert terms.labels == ("data.u", "prior.f", "prior.a")
        numbers = torch.linspace(-1, 1, 6, dtype=torch.float64)
        trainables = {"f": numbers, "a": torch.tensor(1.7, dtype=torch.float64)}
        field = lambda inputs: lambda points: 0.9 + 0 * points[..., :1]  # noqa: E731
        data, f, a = terms.validating(field, trainables, 1, Share())
        gaps = np.sum((0.9 - u) ** 2)
        noise = sigma**2 if sigma else gaps / 12
        posterior = gaps / noise + float(numbers.square().sum()) + (0.7 / 0.5) ** 2
        scale = gaps / noise / float(data)
        assert scale * float(data + f + a) == pytest.approx(posterior, rel=1e-9)


def test_a_run_keeps_the_function_it_found_and_goes_on_bit_for_bit(tmp_path):
    problem = declared(tmp_path)
    measure(tmp_path, problem, 1, 0.01, sigma=0.01)
    points = {"interior": 16, "boundary": 4, "operator": 8}
    options = {"points": points, "validation": 1, "batch": 1, "lr": 1e-2, "schedule": "constant"}

    def train(steps, name, resume=False):
        model = compiler.build(problem, "pinn", hidden=(6,))
        chosen = compiler.TrainOptions(steps=steps, **options, log_every=2)
        return compiler.train(
            problem, model, chosen, tmp_path / name, display=display, resume=resume
        )

    said: list[str] = []
    display = Silent()
    display.message = said.append
    train(2, "parts")
    parts, whole = train(4, "parts", resume=True), train(4, "whole")
    states = [load_tree(run.checkpoint("last"))["objective"] for run in (parts, whole)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(value for name, value in whole.trainables.items() if name.startswith("f["))
    assert any(each.startswith("f: ") and "standard deviation" in each for each in said)
    assert {"prior.f", "prior.a", "data.u", "f[0]"} <= set(whole.history[-1])
    record = json.loads((whole.directory / "trainables.json").read_text())
    operator = compiler.load(whole.directory)
    found, at = operator.fields["f"], np.linspace(0, 1, 5)
    values = np.array([whole.trainables[f"f[{k}]"] for k in range(6)])
    np.testing.assert_allclose(found(at), basis(found.declared, at[:, None]) @ values)
    modes = basis(found.declared, at[:, None])
    covariance = np.array(record["covariance"])[:6, :6]
    np.testing.assert_allclose(found.std(at), np.sqrt(np.diag(modes @ covariance @ modes.T)))
    answer = operator()
    assert answer.u(at[:, None]).shape == (5,)
    assert float(answer["flow"]) == pytest.approx(np.sum(WEIGHTS * found(NODES)), rel=1e-4)
    compiler.evaluate(whole.directory, samples=1)
    assert (whole.directory / "pictures" / "found_f.png").stat().st_size > 4000
    page = (whole.directory / "report.html").read_text()
    assert 'alt="found f"' in page and "f: " in page


def test_the_dual_norm_is_refused_where_something_is_to_be_found(tmp_path):
    problem = declared(tmp_path)
    measure(tmp_path, problem, 1, 0.01)
    options = compiler.TrainOptions(steps=1, batch=1, validation=0, dual=4)
    model = compiler.build(problem, "pinn", hidden=(4,))
    with pytest.raises(NoWeakForm, match="dual = 4: f, a moves while it trains.*dual=none"):
        compiler.train(problem, model, options, tmp_path / "run")


def test_a_network_whose_load_is_still_to_be_found_has_an_output():
    text = ROD.replace("u = a", "u = 0").replace("trainable a {a}\n", "").replace("a + ", "")
    batch = compiler.sample(pdespec.parse(text), 1)
    assert 0.05 < float(batch.draws.amplitude) < 50
