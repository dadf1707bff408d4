"""The steps of benchmarks/ do the same work: what is timed side by side has the same gradient."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    sys.path.insert(0, BENCHMARKS)
    yield
    sys.path.remove(BENCHMARKS)


@pytest.fixture
def steps(benchmarks):
    import steps

    return steps


@pytest.fixture
def whole(benchmarks):
    import whole

    return whole


@pytest.mark.parametrize("setting", ["poisson", "navier_stokes", "kdv"])
def test_exact_steps_of_a_decoder_have_one_gradient(steps, setting):
    cases = steps.decoder_cases(setting)
    expected = cases["nested autograd"](True)()
    assert max(float(each.abs().max()) for each in expected) > 0
    for name in ("jets", "jets in blocks"):  # the captured ones are checked where they are captured
        for found, exact in zip(cases[name](True)(), expected, strict=True):
            torch.testing.assert_close(
                found, exact, rtol=2e-4, atol=2e-4 * float(exact.abs().max())
            )


def test_differences_run_on_grid_and_stencil(steps):
    cases = steps.decoder_cases("poisson")
    for name in ("differences on the grid", "differences by stencil"):
        assert all(each.isfinite().all() for each in cases[name](True)())


def test_blocks_do_not_change_the_gradient_of_the_whole_operator(whole):
    expected, blocks = whole.own_step(40)(), whole.own_step(40, 16)()
    for found, exact in zip(blocks, expected, strict=True):
        if exact is not None:
            torch.testing.assert_close(
                found, exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max())
            )


@pytest.mark.skipif(
    importlib.util.find_spec("neuralop") is None, reason="the peer is in the extra [bench]"
)
def test_patching_the_peer_does_not_change_its_gradient(whole):
    shipped, patched = whole.peer_step(24, patched=False)(), whole.peer_step(24, patched=True)()
    for found, exact in zip(patched, shipped, strict=True):
        if exact is not None:
            torch.testing.assert_close(
                found, exact, rtol=1e-3, atol=1e-3 * float(exact.abs().max())
            )


@pytest.mark.skipif(
    importlib.util.find_spec("neuralop") is None, reason="the peer is in the extra [bench]"
)
def test_our_decoder_with_the_weights_of_the_peer_is_the_peer(whole):
    sample = whole.work(30)
    peer = whole.Peer(patched=True, dtype=torch.float64)
    points = sample.points.double()
    torch.testing.assert_close(
        peer.as_field(sample)(points[None])[0, :, 0], peer(sample, points), rtol=1e-12, atol=1e-12
    )


def test_the_report_gives_ratios_to_the_rows_named(steps):
    import measure

    costs = {"fast": measure.Cost(0.01, 0.009, 1e6), "slow": measure.Cost(0.05, 0.04, 4e6)}
    text = measure.report("title", costs, {"fast": "fast", "missing": "none"})
    assert text.splitlines()[2].split() == ["slow", "50.0", "40.0", "5.00", "4", "4.00"]
    assert math.isnan(measure.Cost(1.0, 1.0).memory)


def test_gallery_and_accuracy_page_say_one_error(benchmarks):
    import zoo

    rows = zoo.rows_of(Path(BENCHMARKS) / "results" / zoo.TABLE)
    page = zoo.page(rows, {}, "images/accuracy").splitlines()
    cells = [line.strip("| ").split(" | ") for line in page if line.startswith("| ")]
    means = {row[0]: row[2] for row in cells if len(row) > 2 and row[2].endswith("%")}
    errors = zoo.measured(rows)
    assert len(errors) > 20 and set(errors) == set(means)
    for name, error in errors.items():
        assert error.startswith(f"{means[name]} (preset demo, "), name


def test_the_page_of_pairs_has_the_table_of_their_rows(benchmarks):
    import pairs
    import zoo

    rows = zoo.rows_of(Path(BENCHMARKS) / "results" / pairs.TABLE)
    text = (Path(BENCHMARKS).parent / "docs/notes/pairs.md").read_text(encoding="utf-8")
    assert text.split("<!-- pairs -->\n")[1] == pairs.page(rows) and len(rows) > 4


def test_an_inverse_problem_is_solved_as_its_page_says(benchmarks):
    import inverse

    (known,) = (
        each
        for each in inverse.lines()
        if (each["problem"], each["method"], each["seed"]) == ("source", "estimate", 0)
    )
    found = inverse.solved("source", "estimate", 0)
    for name in ("a", "b"):
        assert found[name]["found"] == pytest.approx(known[name]["found"], abs=1e-5)
        assert (
            found[name]["inside"] and found[name]["truth"] == inverse.CASES["source"].values[name]
        )
    assert len(list(inverse.rows(inverse.lines()))) == 26


def test_the_problems_of_the_first_hour_are_read_and_asked_for_what_they_declare(benchmarks):
    import first_hour

    import pdespec

    files = sorted(first_hour.PROBLEMS.glob("*.pde"))
    assert [each.stem for each in files] == sorted(first_hour.ASKED) and len(files) > 10
    for each in files:
        assert set(first_hour.ASKED[each.stem]) == set(pdespec.load(each).params), each.stem
