"""Steady flows against what is known of them; more of it in `benchmarks/airfoil/solver.py`."""

from __future__ import annotations

import importlib
import math
import warnings

import numpy as np
import pytest
import torch

import compiler
from compiler.fem.errors import NoWeakForm, SampleError, SolverError, SolverWarning, WrongOption
from compiler.finite_volume.steady import Diverged, steady
from compiler.finite_volume.stream import Stream
from compiler.solvers import candidates
from pdespec import parse

from .sections import TEXT, batch_of, flow_at, polar

UNIT = 0.7 * 0.8**2  # dynamic pressure at Mach 0.8


def coefficients(truth, mach: float, degrees: float) -> tuple[float, float]:
    x, y = (each / (0.7 * mach**2) for each in truth.samples[0].reactions.values())
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return y * c - x * s, x * c + y * s


@pytest.fixture(scope="module")
def transonic():
    problem = flow_at(0.8, 1.25)
    batch = batch_of(problem)
    return problem, batch, compiler.solve(problem, batch, 16)


def test_lift_and_drag_at_mach_08_are_those_that_are_published(transonic):
    # J. C. Vassberg, A. Jameson, Journal of Aircraft 47 (2010), table 5 and what it cites: 0.351 to
    # 0.363 and 0.0221 to 0.0230; the limit here is 0.3514 and 0.0226
    lift, drag = coefficients(transonic[2], 0.8, 1.25)
    assert lift == pytest.approx(0.3514, rel=0.02)
    assert drag == pytest.approx(0.0226, rel=0.02)


def test_the_output_is_the_force_of_the_solver(transonic):
    problem, batch, truth = transonic
    found = compiler.outputs(problem, truth, batch)["force"][0]
    expected = torch.tensor(list(truth.samples[0].reactions.values()), dtype=torch.float64)
    assert (found - expected).abs().max() < 3e-3 * UNIT


def test_a_field_has_values_all_over_the_domain_and_the_free_flow_far_away(transonic):
    problem, batch, truth = transonic
    values = truth(batch.points["Omega"].points)
    assert values.dtype == torch.float64
    assert values.isfinite().all()
    assert (values[..., [0, 3]] > 0).all()
    far = truth(torch.tensor([[[-28.0, 28.0], [39.9, 0.0]]], dtype=torch.float64))
    angle = math.radians(1.25)
    speed = 0.8 * math.sqrt(1.4)
    expected = torch.tensor([1, speed * math.cos(angle), speed * math.sin(angle), 1.0])
    assert (far - expected).abs().max() < 5e-3
    on = batch.points["foil"]
    # the section is a streamline
    through = (truth(on.points)[..., 1:3] * on.normals).sum(-1)
    assert through.square().mean().sqrt() < 0.03


def test_total_enthalpy_is_constant_through_shocks(transonic):
    problem, batch, truth = transonic
    nodes = truth.samples[0].spaces.mesh.p
    near = np.abs(nodes - [[0.5], [0.0]]).max(axis=0) < 1
    rho, u, v, p = truth(torch.from_numpy(nodes[:, near].T[None].copy()))[0].T
    found = 3.5 * p / rho + (u * u + v * v) / 2
    assert (found / (3.5 + 0.7 * 0.64) - 1).abs().max() < 0.03
    assert (found / (3.5 + 0.7 * 0.64) - 1).square().mean().sqrt() < 2e-3


def test_a_symmetric_section_without_shocks_has_neither_lift_nor_drag():
    problem = flow_at(0.3)
    lift, drag = coefficients(compiler.solve(problem, batch_of(problem), 16), 0.3, 0)
    assert abs(lift) < 1e-9
    assert abs(drag) < 6e-4  # 9e-5 on a grid twice as fine


def test_the_error_in_entropy_falls_with_the_second_order():
    stream = Stream(1.0, (0.2 * math.sqrt(1.4), 0.0), 1.0, 1.4, (0.0, 0.0))
    errors = []
    for cells in (32, 64, 128):
        level = steady(polar(cells), stream, settled=1e-6, cycles=120).level
        entropy = level.p[2:-2, 2:-2] / level.cells[0] ** 1.4 - 1
        near = slice(0, cells // 4)
        errors.append(math.sqrt((entropy**2 * level.volume)[near].sum() / level.volume[near].sum()))
    slopes = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert min(slopes) > 1.8


def test_a_start_saves_cycles_and_gives_the_same_flow(transonic, monkeypatch):
    problem, batch, truth = transonic
    flows = []

    def counted(*given, **options):
        flows.append(steady(*given, **options))
        return flows[-1]

    module = importlib.import_module("compiler.finite_volume.steady")
    monkeypatch.setattr(module, "steady", counted)
    moved = compiler.instance(problem, {"d": torch.full((1, 7), 2e-4)}, dtype=torch.float64)
    cold = compiler.solve(problem, moved, 16, settled=1e-6)
    warm = compiler.solve(problem, moved, 16, settled=1e-6, start=truth)
    assert flows[1].cycles < flows[0].cycles
    one, other = (list(each.samples[0].reactions.values()) for each in (cold, warm))
    assert one == pytest.approx(other, abs=2e-6)


def test_a_start_that_breaks_down_is_left(monkeypatch):
    problem = flow_at()
    batch = batch_of(problem)
    plain = compiler.solve(problem, batch, 8)
    module = importlib.import_module("compiler.finite_volume.steady")
    solved, begun_with = module._steady, []

    def breaks(grids, settled, cycles, begun, watch):
        begun_with.append(begun is not None)
        if begun is not None:
            raise Diverged
        return solved(grids, settled, cycles, begun, watch)

    monkeypatch.setattr(module, "_steady", breaks)
    again = compiler.solve(problem, batch, 8, start=plain)
    assert begun_with == [True, False]
    assert again.samples[0].reactions == plain.samples[0].reactions


def test_the_solver_is_known_by_the_equations_and_can_be_named():
    problem = flow_at()
    batch = batch_of(problem)
    assert candidates(problem)[0] == "finite_volumes"
    with pytest.raises(NoWeakForm, match="first derivatives alone"):
        compiler.solve(problem, batch, method="finite_elements")
    other = parse(TEXT.replace("airfoil(naca(0, 0, 12), displacement = d)", "disk(radius = 0.5)"))
    sample = compiler.sample(other, 1, generator=torch.Generator().manual_seed(0))
    assert "finite_volumes" not in candidates(other)
    with pytest.raises(SolverError, match="outside of an airfoil"):
        compiler.solve(other, sample, method="finite_volumes")


def test_a_sample_without_a_steady_flow_is_given_up_alone(monkeypatch):
    problem = flow_at()

    def broken(*args, **keywords):
        raise Diverged

    monkeypatch.setattr("compiler.finite_volume.steady._steady", broken)
    # not handed on to finite elements, which refuse the whole problem
    with pytest.raises(SampleError, match="no steady flow"):
        compiler.solve(problem, batch_of(problem), 8)


def test_options_and_free_flows_that_are_none_are_refused():
    problem = flow_at()
    batch = batch_of(problem)
    with pytest.raises(WrongOption, match="cycles"):
        compiler.solve(problem, batch, method="finite_volumes", cycle=3)
    with pytest.raises(SolverError, match="8 or more"):
        compiler.solve(problem, batch, 4)
    still = parse(TEXT.replace("[M*sqrt(gamma), 0]", "[0, 0]"))
    with pytest.raises(SolverError, match="motion"):
        compiler.solve(still, batch_of(still), 8)


def test_a_flow_that_has_not_settled_says_so():
    problem = flow_at()
    with pytest.warns(SolverWarning, match="still changed"):
        truth = compiler.solve(problem, batch_of(problem), 8, cycles=2)
    assert len(truth.warnings) == 1


def test_the_error_is_estimated_from_coarser_grids():
    problem = flow_at(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        truth = compiler.solve(problem, batch_of(problem), 16)
    assert set(truth.error) == {"rho", "v", "p"}
    assert 0 < truth.relative_error[0] < 0.01
    coarse = compiler.solve(problem, batch_of(problem), 8)
    with pytest.raises(SolverError, match="resolution of 16"):
        coarse.error  # noqa: B018
