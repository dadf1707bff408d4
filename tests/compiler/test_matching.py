"""B02: whatever has another dtype than the rest is told so in one sentence, wherever it is
handed in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.loss.blocks import StepEngine
from pdespec import ProblemError

PROBLEM = pdespec.parse(
    "problem p\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\nparam k = 2\ninput f : scalar on"
    " Q ~ gaussians(count = 1)\nunknown u : scalar on Q\nin Q: k*lap(u) = f\non boundary(Q): u"
    " = 0\n"
)
COUNTS = {"interior": 16, "boundary": 8, "operator": 32}


def batch(dtype):
    return compiler.sample(PROBLEM, 1, COUNTS, torch.Generator().manual_seed(0), dtype=dtype)


def field(points):
    return (points**2).sum(-1, keepdim=True)


POINTS = torch.rand(1, 5, 2)
LOSS = compiler.compile(PROBLEM)
NETWORK = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
ONE = {"f": torch.ones(1, 5, 1)}
CASES = {
    "points of numpy": lambda: LOSS.residuals(field, POINTS.numpy(), ONE),
    "whole points": lambda: LOSS.residuals(field, torch.ones(1, 5, 2, dtype=torch.int64), ONE),
    "complex points": lambda: LOSS.residuals(field, POINTS.to(torch.complex64), ONE),
    "input values in float64": lambda: LOSS.residuals(
        field, POINTS, {"f": torch.ones(1, 5, 1, dtype=torch.float64)}
    ),
    "input values of numpy": lambda: LOSS.residuals(field, POINTS, {"f": np.ones((1, 5, 1))}),
    "complex input values": lambda: LOSS.residuals(
        field, POINTS, {"f": lambda p: torch.ones(1, 5, 1, dtype=torch.complex64)}
    ),
    "points on another device": lambda: LOSS.residuals(NETWORK, POINTS.to("meta"), ONE),
    "a complex param": lambda: LOSS.residuals(field, POINTS, ONE, {"k": 1j}),
    "a param that is a word": lambda: LOSS.residuals(field, POINTS, ONE, {"k": "two"}),
    "a field in float64": lambda: LOSS.residuals(lambda p: field(p).double(), POINTS, ONE),
    "a model's field in float32 at points in float64": lambda: LOSS(
        compiler.build(PROBLEM, "gino", latent=(8, 8))(batch(torch.float32).inputs),
        batch(torch.float64),
    ),
    "a network in float32 at points in float64": lambda: LOSS.residuals(
        NETWORK, POINTS.double(), {"f": ONE["f"].double()}
    ),
    "a function of a network": lambda: LOSS.residuals(
        lambda p: NETWORK(p), POINTS.double(), {"f": ONE["f"].double()}
    ),
    "a function that has closed over a network": lambda: LOSS.residuals(
        (lambda network: lambda p: network(p))(NETWORK), POINTS.double(), {"f": ONE["f"].double()}
    ),
    "a model in float32, its input in float64": lambda: compiler.build(
        PROBLEM, "gino", latent=(8, 8)
    )(batch(torch.float64).inputs),
    "a complex param of an instance": lambda: compiler.instance(
        PROBLEM, params={"k": 1j}, inputs={"f": 1.0}
    ),
    "an instance's input in another dtype": lambda: compiler.instance(
        PROBLEM, inputs={"f": lambda p: field(p).to(torch.float16)}, points=COUNTS
    ),
    "a comparison": lambda: compiler.compare(
        PROBLEM,
        compiler.build(PROBLEM, "gino", latent=(8, 8))(batch(torch.float32).inputs),
        batch(torch.float64),
        derivatives=["autograd"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_another_dtype_is_refused(name):
    with pytest.raises(ProblemError, match="B02"):
        CASES[name]()


def test_an_error_of_the_field_itself_passes():
    def broken(points):
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        LOSS.residuals(broken, POINTS, ONE)


def test_a_field_of_other_samples_than_the_batch_is_refused():
    model = compiler.build(PROBLEM, "gino", latent=(8, 8))
    generator = torch.Generator().manual_seed(1)
    one, other = (compiler.sample(PROBLEM, 2, COUNTS, generator) for _ in range(2))
    for loss in (LOSS, StepEngine(LOSS, 8)):
        with pytest.raises(ProblemError, match="B01: the field was made from other samples"):
            loss(model(one.inputs), other)
        assert loss(model(one.inputs), one).total > 0
    double = model.double()(one.to(torch.float64).inputs)
    assert LOSS(double, one.to(torch.float64)).total > 0


def test_a_batch_of_another_domain_is_refused():
    other = pdespec.parse(PROBLEM.to_dsl().replace("[1, 1]", "[2, 1]"))
    with pytest.raises(ProblemError, match="on other domains than `p`"):
        compiler.compile(other)(field, batch(torch.float32))
