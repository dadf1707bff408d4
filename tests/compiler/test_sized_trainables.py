"""A trainable of several numbers: each entry stands where it is written, is set and read by its
name, and has a gradient."""

from __future__ import annotations

import pytest
import torch

import compiler
import pdespec

PROBLEM = pdespec.parse("""problem inverse
space x
domain L = interval(0, 1)
trainable c = 0, size = 2
unknown u : scalar on L
in L: dxx(u) = entry(c, 0) + entry(c, 1)*x^2
on boundary(L): u = 0
""")


def cubic(points):
    return points**2 * (points - 1)  # u'' = 6 x - 2


def test_each_entry_of_a_sized_trainable_stands_where_it_is_written():
    loss = compiler.compile(PROBLEM).double()
    assert loss.found() == {"c[0]": 0.0, "c[1]": 0.0}
    loss.take({"c[0]": 0.5, "c[1]": -3.0})
    x = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)[None, :, None]
    residual = loss.residuals(cubic, x)["eq1"]
    assert torch.allclose(residual, 6 * x - 2 - 0.5 + 3 * x**2, atol=1e-12)
    residual.sum().backward()
    assert loss.trainables["c"].grad.tolist() == pytest.approx([-9, -float((x**2).sum())])


def test_values_that_are_given_stand_in_for_trainables():
    loss = compiler.compile(PROBLEM).double()
    x = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)[None, :, None]
    residual = loss.residuals(cubic, x, params={"c": [1.0, 2.0]})["eq1"]
    assert torch.allclose(residual, 6 * x - 2 - 1 - 2 * x**2, atol=1e-12)
