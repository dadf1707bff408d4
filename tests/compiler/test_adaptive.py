"""Points by the residual: what is chosen has the density declared, what is kept is what the paper
keeps, and a run is the same whatever interrupts or divides it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scipy.stats import chi2

import compiler
import pdespec
from compiler.chance import Chance
from compiler.loss.residual_size import residual_size
from compiler.training.adaptive import ADAPTIVE, Places, chosen, density
from compiler.training.checkpoint import load_tree, save_tree
from compiler.training.instances import Instances
from compiler.training.options import OptionError, TrainOptions
from compiler.training.placement import Placement
from tests.compiler import tiny
from tests.compiler.test_train import same, state

ROOT = Path(__file__).parents[2]
DRAWN = tiny.problem()
FIXED = pdespec.parse(tiny.TEXT.replace("param    a ~ uniform(1, 2)", "const a = 1"))
SMALL = TrainOptions(
    steps=7,
    batch=4,
    points={"interior": 12, "operator": 32},
    validation=0,
    checkpoint_every=2,
    log_every=1,
    precision="float64",
    schedule="constant",
)


def peak(x):
    """A residual in closed form, of mean sqrt(pi)/20 erf(10) on (-1, 1)."""
    return torch.exp(-((10 * x[..., 0]) ** 2))


def places(count: int, size=peak, samples: int = 1, kept=None, drawn=None, seed: int = 0) -> Places:
    """Points of (-1, 1) for a strategy, candidates independent and uniform."""
    chance = Chance(torch.Generator().manual_seed(seed), samples)

    def candidates(m: int):
        return 2 * chance.uniform(m, 1) - 1

    drawn = candidates(count) if drawn is None else drawn
    return Places(count, drawn, kept, candidates, size, chance)


def statistic(points, k: float, c: float, bins: int = 16) -> float:
    """Pearson's, of points against the density r^k/mean(r^k) + c by a sum over a fine grid."""
    grid = (torch.arange(160000, dtype=torch.float64)[:, None] + 0.5) / 80000 - 1
    power = peak(grid) ** k
    share = (power / power.mean() + c).reshape(bins, -1).sum(1)
    expected = points.numel() * share / share.sum()
    found = torch.histc(points, bins, -1, 1)
    return float(((found - expected).square() / expected).sum())


@pytest.mark.parametrize(("name", "k", "c"), [("rad", 1, 1), ("rad", 2, 0.5), ("rar_d", 2, 0.2)])
def test_chosen_points_have_the_density_that_is_declared(name, k, c):
    update = ADAPTIVE[name](candidates=32, k=k, c=c).update
    points = []
    for seed in range(4):
        given = places(64, samples=64, seed=seed)
        if name == "rar_d":
            given = dataclasses.replace(given, drawn=given.drawn[:, :1])
        points.append(update(given)[:, name == "rar_d" :].reshape(-1))
    found = torch.cat(points)
    assert statistic(found, k, c) < chi2.ppf(0.99, 15)
    assert statistic(found, k, c + 0.2) > chi2.ppf(0.9999, 15)
    assert statistic(found, 3 - k, c) > chi2.ppf(0.9999, 15)


def test_a_candidate_is_chosen_as_often_as_its_weight_says_up_to_one():
    generator = torch.Generator().manual_seed(3)
    weights = torch.rand(5, 40, generator=generator, dtype=torch.float64) ** 4
    weights[:, 7] = 0
    pool = torch.arange(40.0).expand(5, 40)[..., None]
    expected = 25 * weights / weights.sum(1, keepdim=True)
    for seed in range(20):
        found = chosen(pool, weights, 25, Chance(torch.Generator().manual_seed(seed), 5))[..., 0]
        counts = torch.stack([torch.bincount(row.long(), minlength=40) for row in found])
        assert ((counts - expected).abs() < 1).all() and not counts[:, 7].any()
        assert torch.equal(found, found.sort(-1).values)


def test_equal_weights_leave_no_part_of_a_sobol_sequence_out():
    """Every fourth of its points lies in the same quarter of the domain."""
    geometry = compiler.sample(DRAWN, 2, generator=torch.Generator().manual_seed(0)).geometry["L"]
    pool = geometry.interior(256, torch.Generator().manual_seed(0))
    found = chosen(pool, torch.ones(2, 256).double(), 64, Chance(torch.Generator(), 2))
    assert (torch.stack([torch.histc(row, 4, 0, 1) for row in found]) > 8).all()


def test_residuals_of_no_size_choose_evenly_and_those_that_are_no_numbers_are_seen():
    assert torch.equal(density(torch.zeros(1, 3), 2.0, 0.0), torch.ones(1, 3).double())
    assert torch.equal(
        density(torch.tensor([[1.0, torch.nan, torch.inf]]), 1.0, 1.0),
        torch.tensor([[0.0, 1.0, 1.0]]).double(),
    )
    tiny_ones = density(torch.tensor([[1e-30, 3e-30]]), 2.0, 0.0)
    assert torch.allclose(tiny_ones, torch.tensor([[0.2, 1.8]]).double())


def test_r3_keeps_exactly_the_points_above_the_mean_and_their_number():
    r3, kept = ADAPTIVE["r3"]().update, None
    for step in range(5):
        given = places(50, samples=3, kept=kept, seed=step)
        found = r3(given)
        assert found.shape == (3, 50, 1)
        if kept is not None:
            size = peak(kept)
            retained = size > size.mean(1, keepdim=True)
            assert torch.equal(found == kept, retained[..., None])
            for sample in range(3):  # the others are some of those just drawn, each once
                anew = found[sample, ~retained[sample], 0].tolist()
                assert len(set(anew)) == len(anew)
                assert set(anew) <= set(given.drawn[sample, :, 0].tolist())
        kept = found
    assert float(peak(kept).mean()) > 2 * 0.0886  # it gathers at the peak


@pytest.mark.parametrize(("share", "expected"), [(0.5, 10), (0.25, 15), (0.99, 1), (0.01, 20)])
def test_rar_d_adds_its_share_to_points_drawn_as_ever(share, expected):
    strategy = ADAPTIVE["rar_d"](share=share)
    drawn = strategy.drawn(20)
    assert drawn == expected
    given = places(20, drawn=torch.linspace(-1, 1, drawn).double()[None, :, None])
    found = strategy.update(given)
    assert found.shape == (1, 20, 1) and torch.equal(found[:, :drawn], given.drawn)


def test_the_size_of_a_residual_is_the_weighted_sum_of_squares_of_all_equations():
    problem = pdespec.parse("""
problem two
space    x
domain   L = interval(0, 1)
unknown  u : scalar on L
unknown  v : scalar on L
in L:
    first: dxx(u) = v
    second: dx(v) = 3*u
on boundary(L): u = 0
""")
    loss = compiler.compile(problem)
    batch = compiler.sample(problem, 2, generator=torch.Generator().manual_seed(0))

    def field(x):
        return torch.cat([torch.sin(3 * x), x**2], -1)

    residuals = loss.residuals(field, batch.points["L"].points)
    first, second = (residuals[label] / loss.sizes[label] for label in ("first", "second"))
    expected = (2 * first.square() + 0.5 * second.square())[..., 0].sqrt()
    points = (batch.local or batch).points["L"].points
    for block in (None, 7):
        weights = {"first": 2.0, "second": 0.5}
        found = residual_size(loss, field, batch, "L", points, weights, block)
        assert torch.allclose(found, expected, rtol=1e-4)


def model(problem=DRAWN):
    options = {} if problem is FIXED else {"latent": (16,), "modes": 4, "layers": 1, "hidden": 4}
    return compiler.build(problem, "pinn" if problem is FIXED else "gino", **options)


VARIANTS = {
    "rad": (DRAWN, {"adaptive": "rad"}),
    "rar_d": (DRAWN, {"adaptive": "rar_d", "adaptive_options": {"share": 0.3}}),
    "r3": (FIXED, {"adaptive": "r3"}),
    "rad kept": (FIXED, {"adaptive": "rad", "adaptive_options": {"every": 3}}),
    "r3 in parts": (FIXED, {"adaptive": "r3", "accumulate": 2}),
    "balanced": (DRAWN, {"adaptive": "rad", "balancer": "softadapt"}),
}


class PowerCut(compiler.Callback):
    def on_step(self, moment):
        if moment.step == 5:
            raise OSError("the machine lost power")


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_killed_between_steps_goes_on_bit_for_bit(name, tmp_path):
    problem, changes = VARIANTS[name]
    options = dataclasses.replace(SMALL, **changes)
    compiler.train(problem, model(problem), options, tmp_path / "through")
    with pytest.raises(OSError, match="power"):
        compiler.train(
            problem, model(problem), options, tmp_path / "killed", callbacks=[PowerCut()]
        )
    assert state(tmp_path / "killed")["step"] == 4
    compiler.train(problem, model(problem), options, tmp_path / "killed", resume=True)
    assert same(state(tmp_path / "through"), state(tmp_path / "killed"))


def test_a_checkpoint_from_before_points_were_kept_is_gone_on_with(tmp_path):
    compiler.train(FIXED, model(FIXED), dataclasses.replace(SMALL, steps=3), tmp_path)
    last = tmp_path / "checkpoints" / "last.safetensors"
    saved = load_tree(last)
    assert "placement" not in saved
    options = dataclasses.replace(SMALL, steps=5, adaptive="r3")
    compiler.train(FIXED, model(FIXED), options, tmp_path, resume=True)
    saved = load_tree(last)
    assert saved["placement"]["points"]["L"].shape == (4, 12, 1)
    fewer = dataclasses.replace(options, steps=6, points={"interior": 6, "operator": 32})
    compiler.train(FIXED, model(FIXED), fewer, tmp_path, resume=True)
    assert load_tree(last)["placement"]["points"]["L"].shape == (4, 6, 1)
    save_tree(last, {**saved, "placement": {"points": 3}})
    with pytest.raises(compiler.training.runs.RunError, match="placement.points"):
        compiler.train(FIXED, model(FIXED), fewer, tmp_path, resume=True)


@pytest.mark.parametrize(("problem", "name"), [(DRAWN, "rad"), (FIXED, "r3")])
def test_parts_and_blocks_take_the_same_steps(problem, name, tmp_path):
    found = {}
    for way, changes in {"whole": {}, "parts": {"accumulate": 2}, "blocks": {"block": 5}}.items():
        options = dataclasses.replace(SMALL, adaptive=name, **changes)
        compiler.train(problem, model(problem), options, tmp_path / way)
        found[way] = state(tmp_path / way)["objective"]
    for way in ("parts", "blocks"):
        for key, value in found["whole"].items():
            assert torch.allclose(value, found[way][key], rtol=1e-7, atol=1e-10), (way, key)


SCRIPT = """
import dataclasses, sys
sys.path.insert(0, sys.argv[1])
import torch, compiler
from tests.compiler.test_adaptive import SMALL, VARIANTS, model
torch.set_num_threads(1)
for name in ("rad", "r3"):
    problem, changes = VARIANTS[name]
    options = dataclasses.replace(SMALL, **changes)
    compiler.train(problem, model(problem), options, sys.argv[2] + "/" + name)
"""


def test_two_processes_place_the_points_of_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *launcher, str(script), str(ROOT), str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert finished.returncode == 0, finished.stderr
    for name in ("rad", "r3"):
        problem, changes = VARIANTS[name]
        options = dataclasses.replace(SMALL, **changes)
        compiler.train(problem, model(problem), options, tmp_path / f"{name} alone")
        one, two = state(tmp_path / f"{name} alone"), state(tmp_path / name)
        for key, value in one["objective"].items():
            assert torch.allclose(value, two["objective"][key], rtol=1e-7, atol=1e-10), key
        for key, value in one["placement"]["points"].items():
            assert torch.allclose(value, two["placement"]["points"][key], rtol=1e-12), key


def test_points_stay_the_same_within_a_step_whatever_the_weights(tmp_path):
    """A line search asks for the loss of a step several times."""
    asked = []

    class Watched(Placement):
        def _placed(self, *arguments):
            asked.append(arguments[0])
            return super()._placed(*arguments)

    options = dataclasses.replace(SMALL, steps=2, adaptive="rad", optimizer="lbfgs", lr=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compiler.training.placement.Placement", Watched)
        compiler.train(DRAWN, model(), options, tmp_path)
    assert asked == [0, 1]


def test_points_are_those_of_the_users_domain_where_the_problem_is_scaled(tmp_path):
    text = tiny.TEXT.replace("interval(0, 1)", "interval(0, 1e-6)")
    problem, seen = pdespec.parse(text), []
    with_points = compiler.Batch.with_points

    def watched(batch, found):
        seen.append((batch, with_points(batch, found)))
        return seen[-1][1]

    options = dataclasses.replace(SMALL, steps=1, adaptive="rad")
    small = compiler.build(problem, "gino", latent=(16,), modes=4, layers=1, hidden=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler.Batch, "with_points", watched)
        compiler.train(problem, small, options, tmp_path)
    before, after = next(each for each in seen if each[0].local is not None)
    outer, inner = after.points["L"].points, after.local.points["L"].points
    assert torch.allclose(outer, 1e-6 * inner, rtol=1e-9)
    assert ((outer > 0) & (outer < 1e-6)).all()
    assert not torch.equal(outer, before.points["L"].points)
    assert torch.equal(after.points["ends"].points, before.points["ends"].points)


INTEGRAL = tiny.TEXT + "require integral(u, L) = 1\n"
ENERGY = tiny.TEXT.replace("in L:\n    balance: dxx(u) = a", "minimize integral(dx(u)^2 - a*u, L)")


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (tiny.TEXT, {"adaptive": "rda"}, "no adaptive strategy 'rda'; did you mean 'rad'?"),
        (
            tiny.TEXT,
            {"adaptive": "rad", "adaptive_options": {"candidate": 3}},
            "'rad' takes no option 'candidate'; did you mean 'candidates'?",
        ),
        (
            tiny.TEXT,
            {"adaptive": "rad", "adaptive_options": {"candidates": 0}},
            "candidates is a whole number from 1 to 4096, not 0",
        ),
        (
            tiny.TEXT,
            {"adaptive": "rar_d", "adaptive_options": {"share": 1}},
            "share is a part of the points between 0 and 1, not 1",
        ),
        (tiny.TEXT, {"adaptive": "r3"}, "keeps points from step to step, but `tiny` draws a anew"),
        (
            tiny.TEXT,
            {"adaptive": "rad", "adaptive_options": {"every": 2}},
            "adaptive = 'rad' with every = 2 keeps points",
        ),
        (INTEGRAL, {"adaptive": "rad"}, "a requirement is an integral over L"),
        (ENERGY, {"adaptive": "rad"}, "follows the residual of an equation, and none is lowered"),
        (
            tiny.TEXT,
            {"adaptive": "rad", "error_estimate": True},
            "error_estimate=false leaves it out",
        ),
    ],
)
def test_what_a_strategy_cannot_do_is_refused_before_anything_is_written(
    text, changes, message, tmp_path
):
    options = dataclasses.replace(SMALL, **changes)
    with pytest.raises(OptionError) as error:
        compiler.train(pdespec.parse(text, source="tiny.pde"), model(), options, tmp_path / "run")
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


def test_options_that_adaptive_points_do_not_go_with_are_refused():
    for changes, message in (
        ({"sampling": "mesh"}, "take sampling=sobol or uniform"),
        ({"physics": False, "solutions": 4}, "physics=false lowers none"),
        ({"causal": 5.0}, "set causal=none or adaptive=none"),
        ({"adaptive": None, "adaptive_options": {"k": 2}}, "set adaptive, e.g. adaptive=rad"),
    ):
        with pytest.raises(OptionError, match=message):
            TrainOptions(**{"adaptive": "rad", **changes})
    assert TrainOptions(adaptive="rad", causal="auto").causal == "auto"


def test_samplers_and_operators_without_a_residual_at_a_point_are_refused(tmp_path):
    options = dataclasses.replace(SMALL, adaptive="rad")
    with pytest.raises(OptionError, match="this sampler gives Batch"):
        compiler.train(DRAWN, tiny.Operator(), options, tmp_path / "a", sampler=tiny.sample)
    mixed = compiler.build(DRAWN, "transolver", hidden=8, layers=1)
    with pytest.raises(OptionError, match="derivatives by least_squares are taken of all of them"):
        compiler.train(DRAWN, mixed, options, tmp_path / "b")


def test_given_samples_keep_their_points(tmp_path):
    options = dataclasses.replace(SMALL, adaptive="r3", batch=2)
    given = Instances({"a": torch.tensor([1.0, 2.0])}, {}, 2)
    compiler.train(DRAWN, model(), options, tmp_path, sampler=given)
    assert state(tmp_path)["placement"]["points"]["L"].shape == (2, 12, 1)


def test_a_strategy_of_ones_own_is_one_function(tmp_path):
    from compiler.training.adaptive import Strategy

    @ADAPTIVE.register("own")
    def largest(candidates: int = 2) -> Strategy:
        def update(places: Places):
            pool = places.candidates(candidates * places.count)
            index = places.size(pool).topk(places.count).indices
            return pool.gather(1, index[..., None].expand(-1, -1, pool.shape[-1]))

        return Strategy(update, "those with the largest residual")

    try:
        options = dataclasses.replace(SMALL, steps=1, adaptive="own")
        assert compiler.train(DRAWN, model(), options, tmp_path).finished
    finally:
        del ADAPTIVE._entries["own"]
