"""What a history says: one made-up history for each remark, and a healthy one for none."""

from __future__ import annotations

import math

import pytest

from compiler.training.diagnosis import remarks


def history(loss, gradient=lambda k: 0.1, error=None, prediction=lambda k: 1.0, **more):
    """40 rows of 400 steps, validated at every second."""
    rows = []
    for k in range(40):
        row = {"step": 10.0 * (k + 1), "gradient": gradient(k), "total": loss(k), "weight eq1": 1.0}
        row |= {name: value(k) for name, value in more.items()}
        if k % 2:
            row |= {"validation": loss(k), "prediction": prediction(k)} | (
                {} if error is None else {"error": error(k)}
            )
        rows.append(row)
    return rows


def falling(k):
    return math.exp(-k / 5)


def test_a_run_whose_loss_and_error_fall_is_not_remarked_upon():
    assert remarks(history(falling, error=lambda k: 0.5 * math.exp(-k / 10))) == ()


def test_a_short_run_is_not_judged():
    assert remarks(history(lambda k: 1.0)[:5]) == ()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            history(lambda k: 1.0, gradient=lambda k: 4e-151),
            "the loss does not depend on the weights",
        ),
        (history(lambda k: 1e-12, gradient=lambda k: 3e-13), "solves the problem already"),
        (history(lambda k: 1 + 0.01 * math.sin(k)), "the loss has not fallen"),
        (history(lambda k: 1.0 + k), "the loss has not fallen"),
        (history(falling, prediction=lambda k: 1e-9), "the predictions are zero everywhere"),
        (history(falling, error=lambda k: 1.2 * math.exp(-k / 60)), "not learned in"),
        (history(falling, error=lambda k: 0.27), "the error did not (27 % to 27 %)"),
        (
            history(
                falling, error=lambda k: 0.3 * math.exp(-k / 40), **{"eq1.error": lambda k: 1e-8}
            ),
            "the measured one 11 %",
        ),
        (
            history(lambda k: 1e-3 if k == 5 else falling(k) + 0.1),
            "evaluate with --checkpoint best",
        ),
    ],
)
def test_each_doubt_is_said_with_what_to_try(rows, says):
    found = remarks(rows)
    assert any(says in each for each in found), found


def test_balanced_totals_are_not_compared():
    rows = history(lambda k: 1.0, **{"weight eq1": lambda k: 1.0 + k})
    for row in rows:
        row.pop("validation", None)
        row.pop("prediction", None)
    assert remarks(rows) == ()
