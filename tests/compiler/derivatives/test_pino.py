"""The derivatives of PINO against closed forms: exact along x, of declared order in t."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.derivatives import DERIVATIVES, Axes, Request

from .oracles import closed_form, mesh

REQUEST = Request({0: frozenset({(2, 0), (0, 1)})})


def errors(times: int, backend) -> tuple[float, float]:
    """Largest errors of d_xx and d_t of a wave that travels and fades, on 16 x `times` points."""
    field = closed_form("x t", "exp(-t)*sin(2*pi*(x - t)) + cos(6*pi*x)*t**2")
    axes = torch.arange(16, dtype=torch.float64) / 16, torch.linspace(0, 1, times).double()
    points = mesh(*axes, batch=1)
    found = backend.evaluate(field, points, REQUEST, Axes((1.0, None), ("x", "t")))
    exact = [field.derivative(points, 0, index) for index in ((2, 0), (0, 1))]
    return tuple(
        float((found[0, i] - e).abs().max()) for i, e in zip(((2, 0), (0, 1)), exact, strict=True)
    )


@pytest.mark.parametrize("order", [2, 4])
def test_spectral_along_what_repeats_and_of_its_order_along_time(order):
    counts = np.array([33, 65, 129])
    found = [errors(int(n), DERIVATIVES["pino"](order)) for n in counts]
    assert max(xx for xx, _ in found) < 1e-8
    slope = np.polyfit(np.log(1 / (counts - 1)), np.log([t for _, t in found]), 1)[0]
    assert abs(slope - order) < 0.25


def test_the_residual_of_burgers_equation_is_that_of_a_grid_written_out():
    """On the grid of a Fourier operator, by NumPy: rfft in x, central differences in t."""
    problem = pdespec.load("examples/burgers.pde")
    model = compiler.build(problem, "fno", grid=(16, 9), hidden=6, modes=3, layers=1).double()
    batch = compiler.sample(
        problem, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    x, t = torch.arange(16, dtype=torch.float64) / 16, torch.linspace(0, 1, 9).double()
    points = mesh(x, t, batch=1)
    field = model(batch.inputs)
    loss = compiler.compile(problem, "pino").double()
    (found,) = loss.residuals(
        field, points, {name: lambda p, n=name: batch.evaluate(n, p) for name in problem.inputs}
    ).values()
    u = field(points)[0, :, 0].detach().numpy().reshape(16, 9)
    wave = 2j * math.pi * np.arange(9)[:, None]
    spectrum = np.fft.rfft(u, axis=0)
    odd = np.where(np.arange(9)[:, None] < 8, wave, 0)  # the wave n/2 has no slope on the grid
    ux, uxx = (np.fft.irfft(f * spectrum, 16, axis=0) for f in (odd, wave**2))
    ut = np.gradient(u, 1 / 8, axis=1, edge_order=2)
    nu = float(problem.params["nu"].value if "nu" in problem.params else 0.01)
    expected = ut + u * ux - nu * uxx
    assert np.abs(found[0, :, 0].detach().numpy().reshape(16, 9) - expected).max() < 1e-9
