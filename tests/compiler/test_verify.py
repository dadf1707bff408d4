"""Functions of the caller's whose derivatives autograd has wrong, or cannot have, are told from
those that are right."""

from __future__ import annotations

import dataclasses
import logging
import math
import re
import sys
from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

import compiler
import pdespec
from compiler.derivatives import Request
from compiler.loss.blocks.block import summand
from compiler.loss.verify import Doubled, verify
from operators import Capabilities
from pdespec import ProblemError

POINTS = torch.rand(1, 40, 2, generator=torch.Generator().manual_seed(0))
ORDERS = {1: {(1, 0), (0, 1)}, 2: {(2, 0), (0, 2)}, 3: {(3, 0), (1, 2)}, 4: {(4, 0), (2, 2)}}


def network(activation: Callable[[], nn.Module], norm: bool = False) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    layers: list[nn.Module] = []
    for wide in (2, 12):
        layers += [nn.Linear(wide, 12), *([nn.LayerNorm(12)] if norm else []), activation()]
    made = nn.Sequential(*layers, nn.Linear(12, 1))
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(
                torch.randn(weight.shape, generator=generator)
                * (1 if weight.ndim < 2 else 2 / math.sqrt(weight.shape[1]))
            )
    return made


def tried(function: Callable[[Tensor], Tensor], order: int, points: Tensor = POINTS) -> list[str]:
    """The warnings' messages."""
    request = Request({0: frozenset(ORDERS[order])})
    return [warning.message for warning in verify(function, points, request, ("x", "y"), ("u",))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus])
def test_a_smooth_network_is_let_pass_in_any_precision(activation, order, dtype):
    model = network(activation).to(dtype)
    assert tried(lambda x: model(x), order, POINTS.to(dtype)) == []
    assert all(weight.dtype == dtype for weight in model.parameters())


SMOOTH = {
    "a shock": lambda x: torch.tanh((x[..., :1] - 0.37) * 2000),
    "fast waves": lambda x: torch.sin(60 * x[..., :1] + 20 * x[..., 1:]),
    "a root that ends at the edge": lambda x: (1 - x.square().sum(-1, keepdim=True) / 2).sqrt(),
    "a singular corner": lambda x: x.square().sum(-1, keepdim=True) ** (1 / 3),
    "a constant": lambda x: 0 * x[..., :1] + 3,
    "a line": lambda x: 2 * x[..., :1] + 3,
    "a jump in the third derivative": lambda x: (x[..., :1] - 0.5).abs() ** 3,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_steep_or_singular_functions_raise_no_false_alarm(name):
    assert tried(SMOOTH[name], 2) == []


def test_neither_large_nor_small_coordinates_do():
    far = POINTS.double() + torch.tensor([5e5, 5e6]).double()
    assert tried(lambda x: torch.sin(3 * (x[..., :1] - 5e5)), 4, far) == []
    assert tried(lambda x: torch.sin(3e9 * x[..., :1]), 4, POINTS.double() * 1e-9) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layer_norm_is_refused_from_the_third_derivative_on(dtype):
    model = network(nn.Tanh, norm=True).to(dtype)
    assert tried(model, 2, POINTS.to(dtype)) == []
    for order in (3, 4):
        with pytest.raises(
            ProblemError,
            match=(
                r"P06: d\w{3}\(u\) by autograd is .*, but the slope of d\w{2}\(u\) along \w is .*,"
                r" at x = "
            ),
        ):
            tried(model, order, POINTS.to(dtype))


def test_a_term_that_is_detached_is_refused_at_the_first_derivative():
    with pytest.raises(
        ProblemError, match=r"P06: dx\(u\) by autograd is .*, but the slope of u along x is "
    ):
        tried(lambda x: x[..., :1] + torch.special.bessel_j0(x[..., :1]), 2)


@pytest.mark.parametrize(
    ("function", "order", "told"),
    [
        (network(nn.ReLU), 2, r"d[xy]{2}\(u\) by autograd is zero everywhere, while d[xy]\("),
        (network(nn.ELU), 3, r"d[xy]{2}\(u\) jumps by"),
        (
            lambda x: (x[..., :1] - 0.5).abs(),
            2,
            r"dxx\(u\) by autograd is zero everywhere, while dx\(u\) jumps by 2 at x = 0.5, ",
        ),
        (
            lambda x: (x[..., :1] - 0.5).abs() + x[..., :1] ** 2,
            2,
            r"dx\(u\) jumps by 2 at x = 0.5, .*: dxx\(u\) holds a delta there",
        ),
        (
            lambda x: x[..., :1] + (x[..., :1] > 0.37),
            1,
            r"u jumps by 1 at x = 0.37, .*: dx\(u\) holds a delta there",
        ),
        (lambda x: (x[..., :1] - 0.5).abs() ** 3, 4, r"dxxx\(u\) jumps by 12 at x = 0.5,"),
    ],
)
def test_a_jump_that_a_derivative_does_not_see_is_told_with_its_place(function, order, told):
    (message,) = tried(function, order)
    assert re.search(told, message), message


@pytest.mark.parametrize("order", [1, 2])
def test_a_kink_is_no_matter_below_the_order_that_it_breaks(order):
    assert tried(lambda x: (x[..., :1] - 0.5).abs() ** order, order) == []


def test_what_cannot_be_asked_in_another_precision_is_asked_in_its_own():
    def own(x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise TypeError("float32 alone")
        return torch.sin(2 * x[..., :1])

    assert tried(own, 2) == []
    with pytest.raises(ProblemError, match="P06"):
        tried(lambda x: own(x) + 3 * torch.special.bessel_j0(x[..., :1].float()), 1)
    assert tried(lambda x: torch.as_tensor(x.numpy()), 2) == []  # for the loss to refuse


def test_doubled_computes_in_float64_whatever_is_written():
    layer = nn.Linear(2, 1)
    with Doubled():
        assert (
            layer(torch.rand(3, 2).float() + torch.ones(2, dtype=torch.float32)).dtype
            == torch.float64
        )
    assert layer.weight.dtype == torch.float32


THIRD = (
    "problem p\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\nin L: d(u, x, x, x) ="
    " 1\non boundary(L): u = 0\n"
)


class Declared:
    """A field of the caller's that declares what it can do."""

    capabilities = Capabilities()

    def __init__(self, network: nn.Module) -> None:
        self.network, self.asked = network, 0

    def __call__(self, points: Tensor) -> Tensor:
        self.asked += 1
        return self.network(points.expand(*points.shape[:-1], 2))


def test_the_loss_refuses_such_a_field_declared_or_not():
    problem = pdespec.parse(THIRD, source="p.pde")
    points = torch.rand(1, 30, 1)
    for loss in (compiler.compile(problem), compiler.compile(problem, "autograd")):
        field = Declared(network(nn.Tanh, norm=True))
        for given in (field, lambda x, field=field: field.network(x.expand(*x.shape[:-1], 2))):
            for _ in range(2):  # not only the first time
                with pytest.raises(ProblemError, match="P06: dxxx"):
                    loss.residuals(given, points)


def test_a_field_is_tried_once_also_where_its_closure_is_made_anew():
    problem = pdespec.parse(THIRD, source="p.pde")
    loss, model, points = compiler.compile(problem), network(nn.Tanh), torch.rand(1, 30, 1)
    asked = []
    model.register_forward_hook(lambda *_: asked.append(1))

    def field(scale: float) -> Callable[[Tensor], Tensor]:
        return lambda x: scale * model(x.expand(*x.shape[:-1], 2))

    counts = []
    for k in range(3):
        before = len(asked)
        loss.residuals(field(1.0 + k), points)
        counts.append(len(asked) - before)
    assert counts[0] > counts[1] == counts[2]
    declared = Declared(model)
    for _ in range(3):
        loss.residuals(declared, points)
    first = declared.asked
    loss.residuals(Declared(model), points)
    loss.residuals(declared, points)
    assert declared.asked == first + 1


POISSON = """
problem p
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
input    g : scalar on boundary(Q) ~ fourier(modes = 2)
unknown  u : scalar on Q
in Q: lap(u) = 1
on boundary(Q): u = g
"""


def test_an_input_that_is_built_in_must_have_the_derivatives_of_its_component(caplog):
    problem = pdespec.parse(POISSON, source="p.pde")
    with pytest.raises(ProblemError, match=r"P06: dx\(g\) by autograd is"):
        compiler.instance(
            problem, inputs={"g": lambda x: x[..., :1] ** 2 + torch.special.bessel_j0(x[..., :1])}
        )
    with caplog.at_level(logging.WARNING):
        compiler.instance(problem, inputs={"g": lambda x: (x[..., :1] - 0.4).abs()})
    assert "input `g` of `p`: warning P03: dx(g) jumps by 2 at x = 0.4" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        compiler.instance(problem, inputs={"g": lambda x: (3 * x[..., :1]).sin()})
    assert not caplog.text


def test_places_and_slopes_are_told_in_the_units_of_the_user(caplog):
    """Computed in millimetres from 1e6 metres and in hundreds of a unit."""
    text = "problem p\nspace x [m]\ndomain L = interval(1000000, 1000000.001)\nunknown u : scalar"
    text += " on L\nin L: dxx(u) = 300000000\non boundary(L): u = 0\n"
    problem = pdespec.parse(text)
    points = 1e6 + 1e-3 * torch.linspace(0.02, 0.97, 64, dtype=torch.float64)[None, :, None]
    loss = compiler.compile(problem)
    with pytest.raises(
        ProblemError, match=r"dx\(u\) by autograd is 3, .* is 5.00.*, at x = 1000000.0003"
    ):
        loss.residuals(lambda x: 3 * x + 2 * (x - 1e6).detach() - 3e6, points)
    with caplog.at_level(logging.WARNING):
        loss.residuals(lambda x: (x - 1000000.0004).abs() + (x - 1e6) ** 2, points)
    assert "dx(u) jumps by 2 at x = 1000000.0004" in caplog.text


@pytest.mark.parametrize("place", [0.05, 0.4, 0.7, 0.93])
def test_a_kink_anywhere_along_points_in_order_is_told(place):
    points = torch.linspace(0, 1, 40, dtype=torch.float64)[None, :, None]
    request = Request({0: frozenset({(2,)})})
    (told,) = verify(lambda x: (x - place).abs(), points, request, ("x",), ("u",))
    assert f"jumps by 2 at x = {place}" in told.message


LINE = "problem p\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"


def test_a_field_without_second_derivatives_is_refused_where_the_equation_takes_them(caplog):
    points = torch.linspace(0.02, 0.97, 64, dtype=torch.float64)[None, :, None]
    kinked = lambda x: (3 * x - 1).relu() + (x - 0.7).abs()  # noqa: E731
    problem = pdespec.parse(LINE + "in L: dxx(u) = 1\non boundary(L): u = 0\n")
    loss = compiler.compile(problem)
    with pytest.raises(ProblemError, match=r"P09: dxx\(u\) by autograd is zero everywhere"):
        loss.residuals(kinked, points)
    loss = compiler.compile(problem)
    loss.refusing = False
    with caplog.at_level(logging.WARNING):
        loss.residuals(kinked, points)
    assert "warning P09: dxx(u)" in caplog.text
    first = pdespec.parse(LINE + "in L: dx(u) = 1\non side(L, x = 0): u = 0\n")
    compiler.compile(first).residuals(kinked, points)
    energy = LINE + "minimize integral(dx(u)^2/2 - u, L)\non boundary(L): u = 0\n"
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        compiler.compile(pdespec.parse(energy)).residuals(kinked, points)
    assert "warning P09" in caplog.text
    straight = lambda x: 2 * x + 1  # noqa: E731
    compiler.compile(problem).residuals(straight, points)


def test_a_network_without_second_derivatives_may_learn_from_solutions_alone(tmp_path):
    problem = pdespec.parse(LINE + "in L: dxx(u) = 1\non boundary(L): u = 0\n")
    options = compiler.TrainOptions(
        steps=1,
        batch=1,
        points={"interior": 64},
        hard_conditions=False,
        physics=False,
        solutions=1,
        validation=1,
        references=1,
    )
    generator = torch.Generator().manual_seed(0)
    kinked = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 1))
    for each in kinked.parameters():
        nn.init.normal_(each, generator=generator)
    compiler.train(problem, kinked, options, tmp_path / "run")
    physics = dataclasses.replace(options, physics=True, solutions=0, references=0)
    with pytest.raises(ProblemError, match="P09"):
        compiler.train(problem, kinked, physics, tmp_path / "physics")


def test_shapes_in_annotations_of_the_loss_are_held_to_while_tests_run():
    loss = compiler.compile(pdespec.parse(THIRD, source="p.pde"))
    with pytest.raises(TypeCheckError, match="totals"):
        loss.gathered({"equation": torch.zeros(2)}, {})
    with pytest.raises(TypeCheckError, match="points"):
        sys.modules["compiler.loss.verify"].verify(
            torch.sin, POINTS[0], Request({0: frozenset({(1, 0)})}), ("x", "y"), ("u",)
        )
    with pytest.raises(TypeCheckError, match="value"):
        summand("equation", torch.zeros(3))
