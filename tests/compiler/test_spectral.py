"""Viscous Burgers by Cole and Hopf: recognised however it is written, and held to an ETDRK4 of the
test's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.derivatives import Request
from compiler.fem import SampleError, SolverError, SolverWarning
from compiler.fem.errors import WrongOption
from compiler.solvers import candidates
from compiler.spectral.burgers import viscous_burgers

BURGERS = """
problem b
space   x
time    t in [0, 1]
domain  L = interval({low}, {high})
periodic x
const   nu = {nu}
input   u0 : scalar on L
unknown u : scalar on L
in L:     {equation}
at t = 0: u = u0
"""
STANDARD = "dt(u) + u*dx(u) = nu*dxx(u)"


def burgers(equation: str = STANDARD, nu: float = 0.01, low: float = 0, high: float = 1):
    return pdespec.parse(BURGERS.format(equation=equation, nu=nu, low=low, high=high))


def wave(length: float = 1.0, mean: float = 0.0):
    """A state of three harmonics. Shapes: "b n 1" -> "b n 1"."""

    def state(x):
        s = 2 * np.pi * x / length
        return mean + 0.2 * s.sin() - 0.1 * (2 * s).cos() + 0.05 * (3 * s + 1).sin()

    return state


def etdrk4(state, length: float, nu: float, end: float, count: int = 256, steps: int = 1600):
    """v_t + (v^2 / 2)_x = nu v_xx from 0 to `end` in Fourier space, products by 3/2 as many modes.

    Source: A.-K. Kassam, L. N. Trefethen (2005), Fourth-order time stepping for stiff PDEs, (2.7)
    and the contour integrals of section 3. Shapes: state "n" -> "n".
    """
    k, h = 2 * np.pi / length * np.arange(count // 2 + 1), end / steps
    linear, wide = -nu * k**2, 3 * count // 2
    circle = np.exp(1j * np.pi * (np.arange(1, 33) - 0.5) / 32)
    z = h * linear[:, None] + circle
    half, full = np.exp(h * linear / 2), np.exp(h * linear)
    q = h * np.mean((np.exp(z / 2) - 1) / z, 1).real
    f1 = h * np.mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3, 1).real
    f2 = h * np.mean((2 + z + np.exp(z) * (z - 2)) / z**3, 1).real
    f3 = h * np.mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3, 1).real

    def steepening(v):
        plain = np.fft.irfft(v, wide) * wide / count
        return -0.5j * k * np.fft.rfft(plain**2)[: count // 2 + 1] * count / wide

    v = np.fft.rfft(state(length * np.arange(count) / count))
    for _ in range(steps):
        n0 = steepening(v)
        a = half * v + q * n0
        na = steepening(a)
        b = half * v + q * na
        nb = steepening(b)
        c = half * a + q * (2 * nb - n0)
        v = full * v + f1 * n0 + 2 * f2 * (na + nb) + f3 * steepening(c)
    return np.fft.irfft(v, count)


def at_time(places, t: float):
    """Points of one sample. Shapes: "n" -> "1 n 2"."""
    return torch.from_numpy(np.stack([places, np.full_like(places, t)], -1))[None]


@pytest.mark.parametrize(
    ("nu", "length", "mean"), [(0.01, 1.0, 0.0), (0.004, 1.0, 0.3), (0.05, 2.5, -0.4)]
)
def test_the_solution_is_that_of_a_time_stepper(nu, length, mean):
    problem, state = burgers(nu=nu, low=-1, high=length - 1), wave(length, mean)
    batch = compiler.instance(problem, inputs={"u0": lambda x: state(x + 1)}, dtype=torch.float64)
    truth = compiler.solve(problem, batch)
    places = length * np.arange(256) / 256
    stepped = etdrk4(lambda x: state(torch.from_numpy(x)).numpy(), length, nu, 1.0)
    found = truth(at_time(places - 1, 1.0))[0, :, 0].numpy()
    assert np.abs(found - stepped).max() < 1e-9
    begun = truth(at_time(places - 1, 0.0))[0, :, 0].numpy()
    assert np.abs(begun - state(torch.from_numpy(places)).numpy()).max() < 1e-9
    assert float(truth.relative_error) < 1e-9


def test_drawn_samples_agree_with_the_time_stepper():
    problem = pdespec.load("examples/burgers.pde")
    generator = torch.Generator().manual_seed(3)
    batch = compiler.sample(problem, 2, generator=generator, dtype=torch.float64)
    truth = compiler.solve(problem, batch)
    places = np.arange(256) / 256
    for k in range(2):
        one = batch.select([k])

        def state(x, one=one):
            return one.evaluate("u0", torch.from_numpy(x)[None, :, None])[0, :, 0].numpy()

        stepped = etdrk4(state, 1.0, 0.01, 0.5)
        found = truth.samples[k].evaluate(at_time(places, 0.5)[0].numpy())[:, 0]
        assert np.abs(found - stepped).max() < 1e-9


def test_finite_elements_come_nearer_to_it_with_their_order():
    problem = burgers()
    batch = compiler.instance(problem, inputs={"u0": wave()}, dtype=torch.float64)
    truth, points = compiler.solve(problem, batch), at_time(np.linspace(0, 1, 97), 0.8)
    gaps = [
        float(
            (
                compiler.solve(problem, batch, n, method="finite_elements")(points) - truth(points)
            ).norm()
        )
        for n in (16, 32)
    ]
    assert gaps[1] < gaps[0] / 6 and gaps[1] < 1e-3


def test_derivatives_fulfil_the_equation_and_match_differences():
    problem = burgers(nu=0.01)
    batch = compiler.instance(problem, inputs={"u0": wave(mean=0.2)}, dtype=torch.float64)
    truth = compiler.solve(problem, batch)
    points = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(0)).double()
    orders = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1)]
    found = truth.derivatives(points, Request({0: frozenset(orders)}))
    u, ux, ut, uxx, uxt = (found[0, order] for order in orders)
    assert float((ut + u * ux - 0.01 * uxx).abs().max()) < 1e-10
    h = torch.tensor([1e-5, 0.0], dtype=torch.float64)
    assert torch.allclose((truth(points + h) - truth(points - h))[..., 0] / 2e-5, ux, atol=1e-6)
    ahead, behind = (
        truth.derivatives(points + s * h, Request({0: frozenset([(0, 1)])}))[0, (0, 1)]
        for s in (1, -1)
    )
    assert torch.allclose((ahead - behind) / 2e-5, uxt, atol=1e-5)


def test_before_the_start_there_is_no_solution():
    problem = burgers()
    truth = compiler.solve(problem, compiler.instance(problem, inputs={"u0": wave()}))
    assert truth(at_time(np.array([0.5]), -0.1)).isnan().all()


@pytest.mark.parametrize(
    ("equation", "terms"),
    [
        ("dt(u) + dx(u^2)/2 = nu*dxx(u)", "1 1 0 nu"),
        ("2*dt(u) = 3*nu*dxx(u) - 4*u*dx(u) - 5*dx(u)", "2 4 5 3*nu"),
        ("nu*dxx(u) = dt(u) + u*dx(u)", "-1 -1 0 -nu"),
    ],
)
def test_it_is_recognised_however_it_is_written(equation, terms):
    found = viscous_burgers(burgers(equation))
    stated = " ".join(
        str(each) for each in (found.inertia, found.steepening, found.drift, found.diffusion)
    )
    assert stated == terms


def test_factors_and_drift_are_taken_into_account():
    """v = 2 u + 5/2 of 2 u_t + (4 u + 5) u_x = 3 nu u_xx solves the standard equation."""
    problem = burgers("2*dt(u) = 3*nu*dxx(u) - 4*u*dx(u) - 5*dx(u)")
    truth = compiler.solve(problem, compiler.instance(problem, inputs={"u0": wave()}))
    stepped = etdrk4(
        lambda x: 2 * wave()(torch.from_numpy(x)).numpy() + 2.5, 1.0, 0.015, 0.25, steps=1600
    )
    found = truth(at_time(np.arange(256) / 256, 0.25))[0, :, 0].numpy()
    assert np.abs(2 * found + 2.5 - stepped).max() < 1e-9


@pytest.mark.parametrize(
    ("equation", "reason"),
    [
        ("dt(u) + u*dx(u) = nu*dxx(u) + sin(t)", "terms other than"),
        ("dt(u) + u^2*dx(u) = nu*dxx(u)", "terms other than"),
        ("dt(u) + u*dx(u) = nu*(1 + x*x)*dxx(u)", "depend on position or time"),
        ("dt(u) + u*dx(u) = nu*u0*dxx(u)", "depend on position or time"),
        ("dt(u) = nu*dxx(u)", "no term u u_x"),
        ("dt(u) + u*dx(u) = nu*dxx(u) - dxxx(u)", "terms other than|not a polynomial|depend"),
        ("dt(u) + u*dx(u) + sin(u) = nu*dxx(u)", "not a polynomial|depend|other"),
    ],
)
def test_others_are_left_to_finite_elements(equation, reason):
    problem = burgers(equation)
    assert candidates(problem) == ["finite_elements"]
    batch = compiler.instance(problem, inputs={"u0": wave()})
    with pytest.raises(SolverError, match=reason):
        compiler.solve(problem, batch, method="cole_hopf")


def test_options_of_a_mesh_ask_finite_elements():
    problem = burgers()
    assert candidates(problem) == ["cole_hopf", "finite_elements"]
    assert candidates(problem, ["resolution"]) == ["finite_elements"]
    batch = compiler.instance(problem, inputs={"u0": wave()})
    with pytest.raises(WrongOption, match="no option 'degree'; it takes tolerance, workers"):
        compiler.solve(problem, batch, method="cole_hopf", degree=2)
    with pytest.raises(KeyError, match="did you mean 'cole_hopf'"):
        compiler.solve(problem, batch, method="cole_hop")


def test_a_viscosity_that_is_too_small_is_told_and_left_to_finite_elements():
    problem = burgers(nu=3e-4)
    batch = compiler.instance(problem, inputs={"u0": wave()})
    with pytest.raises(SampleError, match="viscosity 0.0003 is too small"):
        compiler.solve(problem, batch, method="cole_hopf")
    with pytest.warns(SolverWarning, match="which is done here"):
        found = compiler.solve(problem, batch)
    assert found.samples[0].spaces.mesh.nelements == 32


def test_a_state_with_a_jump_is_refused():
    problem = burgers()
    batch = compiler.instance(problem, inputs={"u0": lambda x: (x > 0.5).to(x) + 0 * x})
    with pytest.raises(SampleError, match="jump"):
        compiler.solve(problem, batch, method="cole_hopf")


def test_a_data_set_holds_it(tmp_path):
    problem = pdespec.load("examples/burgers.pde")
    found = compiler.dataset(problem, 2, tmp_path, points=32)
    by_elements = compiler.dataset(problem, 2, tmp_path, points=32, resolution=64)
    assert found.key != by_elements.key
    gap = found[1].unknowns["u"] - by_elements[1].unknowns["u"]
    assert 0 < np.abs(gap).max() < 1e-3


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("at t = 0:", "at t = 1/2:", "not at the start"),
        ("const   nu = 0.01", "trainable nu = 0.01", "to be found"),
    ],
)
def test_a_state_at_another_time_and_numbers_to_be_found_are_left_to_others(old, new, reason):
    problem = pdespec.parse(
        BURGERS.format(equation=STANDARD, nu=0.01, low=0, high=1).replace(old, new)
    )
    assert reason in viscous_burgers(problem)


def test_a_tolerance_and_workers_change_nothing():
    problem = burgers()
    batch = compiler.instance(problem, inputs={"u0": wave()})
    at = torch.tensor([[[0.3, 0.5]]], dtype=torch.float64)
    one = compiler.solve(problem, batch)(at)
    assert float(compiler.solve(problem, batch, tolerance=1e-3, workers=2)(at)) == float(one)
