"""Every operator that can be built for a problem: its shapes, its loss, its recipe, and what it
refuses."""

from __future__ import annotations

import math

import pytest
import torch

import compiler
import operators
import pdespec
from compiler.batches.build import OPERATORS, latent_grid, lengths_across
from compiler.scales import scaled
from pdespec import ProblemError

SMALL = {
    "gino": {"latent": (9, 9), "hidden": 6, "modes": 3, "layers": 1},
    "fno_gno": {"latent": (9, 9), "hidden": 6, "modes": 3, "layers": 1},
    "fno": {"grid": (12, 12), "hidden": 6, "modes": 3, "layers": 1},
    "deeponet": {"sensors": (6, 6), "basis": 8, "branch": (12,), "trunk": (12,)},
    "meta_pinn": {"hidden": (12, 12)},
    "pinn": {"hidden": (12, 12)},
    "transolver": {"hidden": 8, "layers": 1, "heads": 2, "slices": 4},
}
# of the weights, by which the output is far from zero and its softplus not yet zero: a product of
# two networks, or features that no encoder averages, need less
FACTORS = {"deeponet": 3, "fno_gno": 3, "fno": 3}
POINTS = {"interior": 30, "boundary": 20, "operator": 40}

DRAWN = """problem drawn
space x, y
param k ~ uniform(1, 2)
domain D = disk(radius = 1)
input f : scalar on D ~ gaussians(count = 2, width = 1)
unknown u : scalar on D
in D: balance: k*lap(u) = f
on boundary(D): u = x
"""
FIXED = """problem fixed
space x, y
const k = 2
domain D = disk(radius = 1)
unknown u : scalar on D
f := sin(x)
in D: balance: k*lap(u) = f
on boundary(D): u = x
"""


def made(name: str, **options: object):
    problem = pdespec.parse(FIXED if name == "pinn" else DRAWN)
    return problem, compiler.build(problem, name, **{**SMALL[name], **options})


def drawn(problem, size: int = 2, **options: object) -> compiler.Batch:
    return compiler.sample(problem, size, POINTS, torch.Generator().manual_seed(0), **options)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_a_function_of_position_that_has_a_loss(name):
    problem, model = made(name)
    batch = drawn(problem)
    field = model(batch.inputs)
    assert field(batch.points["D"].points).shape == (2, 30, 1)
    terms = compiler.compile(problem, "least_squares" if name == "transolver" else "auto")(
        field, batch
    )
    terms.total.backward()
    assert terms["balance"].isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", OPERATORS)
def test_a_built_in_condition_holds_whatever_the_weights(name):
    problem, model = made(name)
    (points,) = (each.points for key, each in drawn(problem).points.items() if key != "D")
    torch.testing.assert_close(
        model(drawn(problem).inputs)(points), points[..., :1], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("hard_conditions", [True, False])
@pytest.mark.parametrize("name", OPERATORS)
def test_an_unknown_that_is_declared_positive_is_so_whatever_the_weights(name, hard_conditions):
    """Also where the problem is computed in other units than it is written in."""
    text = (FIXED if name == "pinn" else DRAWN).replace("u : scalar on D", "u : scalar on D > 0")
    for far in ("x", "1e6*(2 + x)"):
        problem = pdespec.parse(text.replace("u = x", f"u = {far}"))
        model = compiler.build(problem, name, **SMALL[name])
        with torch.no_grad():
            for each in model.parameters():
                each.mul_(FACTORS.get(name, 30))
        batch = drawn(problem, hard_conditions=hard_conditions)
        values = model(batch.inputs)(batch.points["D"].points)
        assert (values > 0).all() and values.std() > 0


@pytest.mark.parametrize("name", OPERATORS)
def test_a_recipe_builds_the_same_weights_again(name):
    problem, model = made(name, seed=3)
    again = compiler.build(problem, model.recipe.operator, **model.recipe.options)
    other = compiler.build(problem, name, **{**model.recipe.options, "seed": 4})
    pairs = list(zip(model.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs, _ in pairs)
    assert any(not torch.equal(ours, theirs) for ours, _, theirs in pairs)


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - {"pinn", "meta_pinn"}))
def test_an_operator_is_told_what_is_drawn(name):
    problem, model = made(name)
    with torch.no_grad():
        for parameter in model.parameters():  # away from the small start
            parameter.mul_(2)
        values = model(drawn(problem, hard_conditions=False).inputs)(torch.zeros(2, 1, 2))
    assert (values[0] - values[1]).abs().max() > 1e-6


@pytest.mark.parametrize("name", ["gino", "fno", "deeponet", "pinn"])
def test_an_operator_learns(name, tmp_path):
    problem, model = made(name)
    options = compiler.TrainOptions(
        steps=40, batch=2, points=POINTS, lr=1e-2, validation=2, validate_every=20, log_every=20
    )
    rows = compiler.train(problem, model, options, tmp_path / name).history
    assert rows[-1]["validation"] < 0.7 * drawn_loss(name)
    assert rows[-1]["step"] == 40


def drawn_loss(name: str) -> float:
    """The validation loss before the first step: that of a run of a rate too small to move."""
    problem, model = made(name)
    options = compiler.TrainOptions(
        steps=1, batch=2, points=POINTS, lr=1e-12, validation=2, validate_every=1
    )
    return compiler.train(problem, model, options).history[-1]["validation"]


def test_a_pinn_refuses_what_is_drawn_for_every_sample():
    with pytest.raises(
        ValueError,
        match=(
            r"one function of position, but `drawn` draws k, f anew .* build gino, fno or"
            r" transolver"
        ),
    ):
        compiler.build(pdespec.parse(DRAWN), "pinn")


def test_attention_over_points_is_refused_by_exact_derivatives():
    problem, model = made("transolver")
    batch = drawn(problem)
    for backend in ("autograd", "taylor"):
        with pytest.raises(ProblemError, match="P04"):
            compiler.compile(problem, backend)(model(batch.inputs), batch)


def test_an_fno_with_a_decoder_is_a_gino_without_an_encoder():
    problem, model = made("fno_gno")
    assert model.encoder is None and model(drawn(problem).inputs).capabilities.taylor
    with pytest.raises(TypeError, match="no encoder"):
        made("fno_gno", encoder={"channels": 2})


def test_a_recipe_of_an_older_run_builds_the_same_weights():
    problem, _ = made("gino")
    old, new = (
        compiler.build(problem, "gino", latent=(10, 10), hidden=4, layers=1, **{name: 2.2})
        for name in ("cells", "radius_in_spacings")
    )
    assert old.lattice == new.lattice
    assert all(map(torch.equal, old.parameters(), new.parameters()))


@pytest.mark.parametrize("name", OPERATORS)
def test_misspelt_operators_and_options_are_refused_with_the_nearest(name):
    problem, _ = made(name)
    wrong, right = ("brnch", "branch") if name == "deeponet" else ("hiden", "hidden")
    with pytest.raises(TypeError, match=f"no option `{wrong}`; did you mean `{right}`"):
        compiler.build(problem, name, **{wrong: 3})
    with pytest.raises(KeyError, match="no operator 'gnio'"):
        compiler.build(problem, "gnio")


SHAKEN = """
problem shaken
space    x
time     t in [0, {end}]
domain   L = interval(0, 1)
input    q : scalar on L over t ~ {law}
unknown  u : scalar on L
in L: dt(u) = dxx(u)/50 + q
on boundary(L): u = 0
at t = 0: u = 0
"""


@pytest.mark.parametrize("end", [2, 20, 200])
@pytest.mark.parametrize("law", ["grf(length = 0.25)", "gaussians(count = 3, width = 0.025)"])
def test_nodes_lie_by_the_lengths_of_what_is_drawn(end, law):
    problem = scaled(pdespec.parse(SHAKEN.format(end=end, law=law), source="shaken.pde"))[1]
    # in lengths of the law, along x and t; a width of 0.025 means half the sides
    fits = (4, 4 * end) if "grf" in law else (80, 80)
    assert lengths_across(problem) == pytest.approx(fits)
    nodes = latent_grid(problem)
    model = compiler.build(problem, "gino", modes=8, hidden=4, layers=1)
    assert model.lattice.shape == nodes
    if max(fits) <= 25 or fits[0] == fits[1]:  # 25 spacings of the usual grid lie across
        assert nodes == (32, 32)
        return
    assert math.prod(nodes) == pytest.approx(1024, rel=0.1)
    across = [n - 7 for n in nodes]  # a decoder's radius beyond the domain on both sides
    assert across[0] == 3 or across[1] / across[0] == pytest.approx(fits[1] / fits[0], rel=0.2)
    kept = [min(n // 2 - 1, round(8 * n / 32)) for n in nodes]
    assert list(model.trunk.blocks[0].spectral.modes) == kept


def test_modes_follow_the_nodes_by_default_and_in_a_record_too():
    problem = pdespec.parse(SHAKEN.format(end=20, law="grf(length = 0.25)"), source="shaken.pde")
    for modes, given in (
        (operators.GINOOptions().modes, {"hidden": 4, "layers": 1}),
        (8, {"options": operators.GINOOptions(modes=8, hidden=4, layers=1)}),
    ):
        asked = compiler.build(problem, "gino", modes=modes, hidden=4, layers=1)
        found = compiler.build(problem, "gino", **given).trunk.blocks[0].spectral.modes
        assert found == asked.trunk.blocks[0].spectral.modes and found[1] > modes


def test_a_grid_that_is_asked_for_stands():
    problem = pdespec.parse(SHAKEN.format(end=20, law="grf(length = 0.25)"), source="shaken.pde")
    model = compiler.build(problem, "gino", latent=(16, 16), modes=3, hidden=4, layers=1)
    assert model.lattice.shape == (16, 16)
    assert model.trunk.blocks[0].spectral.modes == (3, 3)
