"""Pictures of samples: what stands in which panel, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch

import compiler
from compiler.batches.sample import sample
from compiler.evaluation.result import Evaluation, Sample
from compiler.report.pictures import reference_picture, residual, sample_picture
from compiler.training.options import TrainOptions
from compiler.training.runs import Run
from operators.field import Capabilities
from pdespec import Problem, boundary, lap, on, parse, rectangle, space, unknown
from tests.compiler import tiny

x, y = space("x y")
SQUARE = rectangle(x, y)


@dataclass(frozen=True)
class Stretch:
    """u = (share x, 0)."""

    share: float
    capabilities = Capabilities()

    def __call__(self, points):
        return torch.stack([self.share * points[..., 0], 0 * points[..., 1]], -1)


def pulled(share: float):
    """A square pulled to twice its width, and a field that says by which share of it."""
    u = unknown("u", SQUARE, "vector")
    problem = Problem("pull", {"balance": lap(u)}, [on(boundary(SQUARE), (u, sp.Matrix([x, 0])))])
    batch = sample(
        problem, 1, {"interior": 16}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    truth = compiler.solve(problem, batch, resolution=3)
    one = Sample(0, batch, Stretch(share), truth, (1 - share) ** 2, {}, 0.1, 0.1)
    return Evaluation(Run(Path(), problem, TrainOptions()), (one,), "last", "cpu"), one


def panels(figure):
    """Title -> axes, without the bars of colours."""
    return {axes.get_title(): axes for axes in figure.axes if axes.axison}


def shades(axes):
    """What is shaded in a panel, and the corners of the box it fills."""
    (shown,) = [each for each in axes.collections if each.get_array() is not None]
    corners = np.concatenate([path.vertices for path in shown.get_paths()])
    return shown, [*corners.min(0), *corners.max(0)]


def test_a_prediction_stands_on_the_body_as_predicted_and_its_error_on_the_body_as_solved():
    evaluation, one = pulled(share=0.7)
    drawn = panels(
        sample_picture(evaluation, one, "worst", compiler.compile(evaluation.run.problem))
    )
    assert list(drawn) == ["|u|, operator", "|u|, reference", "|error of u|", "log10 |residual|"]
    widths = {title: shades(axes)[1] for title, axes in drawn.items()}
    assert widths["|u|, operator"] == pytest.approx([0, 0, 1.7, 1])
    for title in ("|u|, reference", "|error of u|", "log10 |residual|"):
        assert widths[title] == pytest.approx([0, 0, 2, 1])


def test_colours_are_those_of_the_reference_and_an_error_is_the_length_of_a_difference():
    evaluation, one = pulled(share=1.4)
    drawn = panels(
        sample_picture(evaluation, one, "worst", compiler.compile(evaluation.run.problem))
    )
    operator, reference, error = (
        shades(drawn[title])[0] for title in ("|u|, operator", "|u|, reference", "|error of u|")
    )
    assert operator.get_array().max() == pytest.approx(1.4)
    assert operator.get_clim() == reference.get_clim() == pytest.approx((0, 1))
    assert operator.colorbar.extend == "max" and reference.colorbar.extend == "neither"
    assert error.get_array().max() == pytest.approx(0.4) and error.get_clim()[0] == 0


def test_a_title_says_that_the_body_is_deformed_and_by_what_scale():
    evaluation, one = pulled(share=0.5)
    figure = sample_picture(evaluation, one, "best", compiler.compile(evaluation.run.problem))
    assert figure.get_suptitle() == "best: relative L2 error 50.00 % (deformed body, true scale)"


def test_a_reference_shows_its_mesh_and_the_deformed_body():
    evaluation, one = pulled(share=1)
    drawn = panels(reference_picture(evaluation.run.problem, one.batch, one.truth))
    assert list(drawn) == ["mesh of 18 cells", "|u|"]
    (sides,) = drawn["mesh of 18 cells"].collections
    assert len(sides.get_segments()) == 33
    assert shades(drawn["|u|"])[1] == pytest.approx([0, 0, 2, 1])


def test_other_unknowns_are_drawn_component_by_component_in_their_place():
    v, p = unknown("v", SQUARE, "vector"), unknown("p", SQUARE)
    problem = Problem(
        "pair", {"a": lap(v), "b": lap(p)}, [on(boundary(SQUARE), (v, sp.Matrix([x, 0])), (p, y))]
    )
    batch = sample(
        problem, 1, {"interior": 16}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    drawn = panels(reference_picture(problem, batch, compiler.solve(problem, batch, resolution=3)))
    assert list(drawn) == ["mesh of 18 cells", "v.x", "v.y", "p"]
    assert all(
        shades(drawn[title])[1] == pytest.approx([0, 0, 1, 1]) for title in ("v.x", "v.y", "p")
    )


def test_the_residual_of_a_picture_is_that_of_the_equation():
    problem = tiny.problem()
    batch = tiny.sample(
        problem, 1, {"interior": 8}, torch.Generator().manual_seed(0), torch.float64
    )
    a = batch.params["a"]

    class Larger:
        capabilities = Capabilities()

        def __call__(self, points):
            return 1.1 * 0.5 * a[:, None, None] * points * (points - 1)

    one = Sample(0, batch, Larger(), tiny.solve(problem, batch), 0.01, {}, 0.1, 0.1)
    points = torch.linspace(0.1, 0.9, 5, dtype=torch.float64).reshape(1, 5, 1)
    values = residual(compiler.compile(problem), one, points, {}, block=2)
    assert torch.allclose(values, (0.1 * a).expand(5), rtol=1e-9)  # 1.1 a - a


def test_the_residual_of_a_mode_holds_the_multiplier_of_its_prescribed_integral():
    text = (
        "problem mode\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
        "minimize integral(dx(u)^2, L)\non boundary(L): u = 0\nrequire integral(u^2, L) = 1\n"
    )
    problem = parse(text, source="mode.pde")
    batch = sample(problem, 1, {"interior": 8}, dtype=torch.float64)

    class Sine:
        capabilities = Capabilities()

        def __init__(self, spoilt: float = 0.0) -> None:
            self.spoilt = spoilt

        def __call__(self, points):
            return torch.sin(math.pi * points) + self.spoilt * torch.sin(2 * math.pi * points)

    points = torch.linspace(0, 1, 102, dtype=torch.float64)[1:-1].reshape(1, -1, 1)
    loss = compiler.compile(problem)
    one = Sample(0, batch, Sine(), None, 0.0, {}, 0.1, 0.1)
    assert residual(loss, one, points, {}).abs().max() < 1e-9
    # -2 u'' + 2 m u, m nearest: those of the modes 1 and 2 are 2 (pi^2 + m) and 2 (4 pi^2 + m)
    m = -(math.pi**2) * (1 + 0.1**2 * 4) / (1 + 0.1**2)
    x = points[0, :, 0]
    expected = 2 * (math.pi**2 + m) * torch.sin(math.pi * x)
    expected += 0.2 * (4 * math.pi**2 + m) * torch.sin(2 * math.pi * x)
    one = Sample(0, batch, Sine(0.1), None, 0.0, {}, 0.1, 0.1)
    assert torch.allclose(residual(loss, one, points, {}, block=7), expected.abs(), rtol=1e-3)
