"""Energies where their requirements hold, at the margin, and beyond."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import sympy as sp
import torch
from torch import Tensor

import compiler
import pdespec
from compiler.loss.barrier import MARGIN, REACH, ExtrapolatedBarrier
from compiler.lowering.terms import Term
from pdespec import Problem, dot, grad, integral, rectangle, space, trainable, unknown

PORES = Path(__file__).parents[2] / "examples" / "hyperelastic_pores.pde"

BAR = """problem bar
space    X, Y
param    q ~ uniform(0.05, 0.1)
domain   body = rectangle([0, 0], [1, 1])
boundary held = side(body, X = 0), loaded = side(body, X = 1)
unknown  u : vector on body
F   := I + grad(u)
J   := det(F)
psi := (tr(F'*F) - 2)/2 - log(J) + log(J)^2/2
minimize integral(psi, body) + integral({load}, loaded)
on held: u = 0
require J > 0 in body
"""


def bar(load: str = "-q*u.X") -> Problem:
    return pdespec.parse(BAR.format(load=load), source="bar.pde")


def pores() -> Problem:
    """The example without its dead load: a density of the strain alone."""
    return pdespec.parse(PORES.read_text().replace(" - dot(nudge, u)", ""), source="pores.pde")


PROBLEMS = {"log of J": bar, "one over J": pores}


def energy(problem: Problem) -> Term:
    return next(t for t in compiler.compile(problem).terms if t.label == "energy")


def at_the_corner(guard: ExtrapolatedBarrier, strain: Tensor) -> dict[sp.Symbol, Tensor]:
    """What a density reads for displacement gradients, displacement and coordinates being zero.
    Shapes: "n 2 2" -> "1 n" each."""
    entry = {
        f"u.{c}_{x}": strain[None, :, i, j] for i, c in enumerate("XY") for j, x in enumerate("XY")
    }
    return {s: entry.get(s.name, torch.zeros_like(strain[None, :, 0, 0])) for s in guard.symbols}


def stored(guard: ExtrapolatedBarrier, strain: Tensor) -> Tensor:
    """The guarded density for displacement gradients. Shapes: "n 2 2" -> "n"."""
    values = at_the_corner(guard, strain)
    jets = {s: values.pop(s) for s in guard.jet_variables}
    return guard(jets, values, strain[None, :, 0, 0].detach())[0][0]


def strains(count: int, size: float) -> Tensor:
    return size * torch.randn(
        count, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )


def jacobian(strain: Tensor) -> Tensor:
    return torch.linalg.det(torch.eye(2, dtype=torch.float64) + strain)


def bent(a: float, b: float):
    """X is moved with the slope a before the middle and b behind it."""

    def field(x: Tensor) -> Tensor:
        moved = torch.where(x[..., 0] < 0.5, a * x[..., 0], a / 2 + b * (x[..., 0] - 0.5))
        return torch.stack([moved, 0 * moved], -1)

    return field


@pytest.mark.parametrize("make", PROBLEMS.values(), ids=PROBLEMS)
def test_an_inverted_field_scores_worse_than_compression_and_than_itself_scaled_back(
    make,
):
    problem = make()
    loss = compiler.compile(problem)
    batch = compiler.sample(
        problem,
        2,
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
        hard_conditions=False,
    )

    def score(before: float, behind: float) -> float:
        return float(loss(bent(before, behind), batch)["energy"].detach())

    assert score(-1.001, 0.0) > score(-0.5, -0.5) > score(0.0, 0.0)
    depths = [score(-slope, 0.0) for slope in (0.5, 0.9, 0.99, 1.0, 1.1, 2.0, 10.0, 1e3)]
    assert depths == sorted(depths)


@pytest.mark.parametrize("make", PROBLEMS.values(), ids=PROBLEMS)
def test_densities_are_what_they_were_to_the_last_bit_where_the_requirement_holds(make):
    strain = strains(2000, 0.5)
    strain = strain[jacobian(strain) > 2 * MARGIN].requires_grad_()
    assert len(strain) > 1000
    own = energy(make())
    guard = ExtrapolatedBarrier(own)
    values, found = at_the_corner(guard, strain), stored(guard, strain)
    names = {s: sp.Symbol(f"s{k}") for k, s in enumerate(values)}
    expected = sp.lambdify(list(names.values()), own.expressions[0].subs(names), torch)(
        *values.values()
    )
    torch.testing.assert_close(found, expected[0], rtol=1e-13, atol=1e-13)
    still = values | dict.fromkeys(guard.rays.values(), torch.zeros(1, 1, dtype=torch.float64))
    # the same graph, nothing around it
    unguarded = guard.density(still, found[None].detach())[0][0]
    assert torch.equal(found, unguarded)
    slopes = [
        torch.autograd.grad(v.sum(), strain, retain_graph=True)[0] for v in (found, unguarded)
    ]
    assert torch.equal(*slopes)


@pytest.mark.parametrize("make", PROBLEMS.values(), ids=PROBLEMS)
def test_value_and_slope_are_continuous_at_the_margin_and_the_slope_is_that_of_the_value(make):
    guard = ExtrapolatedBarrier(energy(make()))
    directions = strains(400, 2.0)
    shares = torch.linspace(0, 1, 4097, dtype=torch.float64)[1:]
    inside = torch.stack([jacobian(share * directions) >= MARGIN for share in shares])
    leaves = ~inside.all(0)
    first = shares[(~inside).double().argmax(0)[leaves]]
    directions = directions[leaves]
    # where det(I + t G) falls through the margin, by its own roots
    trace, det = directions.diagonal(dim1=1, dim2=2).sum(-1), torch.linalg.det(directions)
    disc = (trace**2 - 4 * det * (1 - MARGIN)).sqrt()
    roots = torch.stack([(-trace - disc) / (2 * det), (-trace + disc) / (2 * det)])
    share = roots.gather(0, (roots - first).abs().argmin(0, keepdim=True))[0]
    ends = []
    for factor in (1 - 1e-7, 1 + 1e-7):
        at = (share * factor)[:, None, None] * directions
        at.requires_grad_()
        value = stored(guard, at)
        ends.append((value.detach(), torch.autograd.grad(value.sum(), at)[0]))
    torch.testing.assert_close(ends[1][0], ends[0][0], rtol=1e-3, atol=1e-9)
    scale = ends[0][1].abs().amax((1, 2), keepdim=True)
    assert ((ends[1][1] - ends[0][1]).abs() / scale).max() < 1e-3

    deep = directions[jacobian(directions) < -0.1]
    assert len(deep) > 30
    deep.requires_grad_()
    (slope,) = torch.autograd.grad(stored(guard, deep).sum(), deep)
    turn = strains(len(deep), 1.0).roll(1, 0)
    step = 1e-6
    with torch.no_grad():
        difference = (stored(guard, deep + step * turn) - stored(guard, deep - step * turn)) / (
            2 * step
        )
    error = (difference - (slope * turn).sum((1, 2))).abs() / difference.abs()
    assert error.quantile(0.9) < 1e-5


@pytest.mark.parametrize("make", PROBLEMS.values(), ids=PROBLEMS)
def test_the_gradient_leads_back_to_where_the_requirement_holds(make):
    guard = ExtrapolatedBarrier(energy(make()))
    strain = strains(120, 2.0)
    strain = strain[jacobian(strain) < 0].requires_grad_()
    optimizer = torch.optim.Adam([strain], lr=0.05)
    back = torch.zeros(len(strain), dtype=torch.bool)
    for _ in range(120):
        optimizer.zero_grad()
        stored(guard, strain).sum().backward()
        assert strain.grad.isfinite().all()
        optimizer.step()
        back |= jacobian(strain.detach()) > 0
    assert len(back) > 30 and back.all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", PROBLEMS.values(), ids=PROBLEMS)
def test_no_field_of_any_size_makes_a_nan(make, dtype):
    guard = ExtrapolatedBarrier(energy(make()))
    for size in (1e-3, 1.0, 1e2, 1e5):
        strain = torch.cat(
            [
                strains(3000, size),
                -torch.eye(2, dtype=torch.float64).repeat(2, 1, 1),
                strains(8, 0.0),
            ]
        ).to(dtype)
        value = stored(guard, strain.requires_grad_())
        assert value.isfinite().all()
        assert torch.autograd.grad(value.sum(), strain)[0].isfinite().all()


def test_a_singular_density_on_a_boundary_is_guarded_by_its_domain_and_a_dead_load_is_left_alone():
    problem = bar("q*log(J)")
    loss = compiler.compile(problem)
    batch = compiler.sample(
        problem, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    strength = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    total = loss(lambda x: torch.stack([strength * x[..., 0], 0 * x[..., 0]], -1), batch).total
    # less stretch of -2, less energy: back
    assert total.isfinite() and torch.autograd.grad(total, strength)[0] < 0
    load = next(t for t in compiler.compile(bar()).terms if t.points == "loaded")
    assert load.guards == () and all(not any(s.index) for s in load.jet_variables())


def test_the_guard_stays_with_its_density_when_backends_differ():
    problem = bar()
    batch = compiler.sample(
        problem, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    field = bent(-2.0, -2.0)
    whole = compiler.compile(problem)(field, batch)
    split = compiler.compile(
        problem, derivatives={"energy": "finite_difference", "default": "autograd"}
    )(field, batch)
    torch.testing.assert_close(split["energy"], whole["energy"], rtol=1e-3, atol=0)


def test_where_zero_is_not_admissible_an_origin_is_found_and_trainables_keep_finite_gradients():
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    u, k = unknown("u", omega), trainable("k", 2)
    loss = compiler.compile(
        Problem("mixing", minimize=integral(-k * sp.log(u) + u**2, omega), require=[u > 0])
    ).double()
    batch = compiler.sample(
        loss.problem, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    level = torch.tensor(-0.3, dtype=torch.float64, requires_grad=True)
    value = loss(lambda q: level + 0 * q[..., :1], batch)["energy"]
    m = MARGIN * REACH  # the origin is u = REACH
    beyond = -2 * math.log(m) + m**2
    expected = beyond + (-2 / m + 2 * m) * (-0.3 - m) + beyond * (MARGIN + 3) ** 2  # h = u / REACH
    torch.testing.assert_close(
        value.detach(), torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0
    )
    slope, of_k = torch.autograd.grad(value, [level, loss.trainables["k"]])
    assert slope < 0 and of_k.isfinite()


def test_several_requirements_guard_together():
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    c = unknown("c", omega)
    mixing = c * sp.log(c) + (1 - c) * sp.log(1 - c) + dot(grad(c), grad(c)) / 100
    loss = compiler.compile(
        Problem("mixture", minimize=integral(mixing, omega), require=[c > 0, c < 1])
    )
    batch = compiler.sample(
        loss.problem, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )

    def score(level: float) -> float:
        return float(loss(lambda q: level + 0 * q[..., :1], batch)["energy"].detach())

    levels = [score(v) for v in (0.5, 1.1, 1.5, 3.0)], [score(v) for v in (0.5, -0.1, -0.5, -3.0)]
    assert all(each == sorted(each) for each in levels)
    torch.testing.assert_close(score(0.25), 0.25 * math.log(0.25) + 0.75 * math.log(0.75))


def test_a_field_that_is_nan_violates_every_requirement():
    problem = bar()
    batch = compiler.sample(
        problem, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    terms = compiler.compile(problem)(
        lambda x: x * torch.where(x[..., :1] < 0.5, torch.nan, 0.0), batch
    )
    nan = batch.points["body"].points[..., 0] < 0.5
    torch.testing.assert_close(terms.violations["require1"], nan.double().mean(-1))


def test_a_functional_over_several_regions_is_one_term_with_one_weight():
    problem = bar()
    batch = compiler.sample(
        problem, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    loss = compiler.compile(problem, weights={"energy": 3.0})
    terms = loss(bent(0.1, 0.1), batch)
    assert tuple(terms) == loss.labels == ("energy", "held.u", "require1")
    density = (1.1**2 - 1) / 2 - math.log(1.1) + math.log(1.1) ** 2 / 2
    work = batch.params["q"].mean() * 0.1
    torch.testing.assert_close(terms["energy"], density - work)
    torch.testing.assert_close(terms.total, 3 * (density - work))
    torch.testing.assert_close(
        compiler.StepEngine(loss, 50)(bent(0.1, 0.1), batch).total, terms.total
    )
    with pytest.raises(KeyError, match="no term and no kind of term is called `energy.loaded`"):
        compiler.compile(problem, weights={"energy.loaded": 2.0})
