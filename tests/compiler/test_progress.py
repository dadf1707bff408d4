"""What a run shows: plain lines with terms, validation and time left; a bar in a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from compiler.training.progress import (
    Bar,
    Lines,
    clock,
    terms_text,
    validation_text,
)

ROW = {"step": 5, "a": 0.25, "b": 1e-7}


def test_plain_lines_come_at_validations_at_the_end_and_otherwise_rarely():
    text = io.StringIO()
    display = Lines(Console(file=text, width=200), seconds=1e9)
    display.start("tiny", 0, 20)
    for step in range(1, 21):
        display.step(
            {**ROW, "step": step, **({"validation": 0.5, "error": 0.0123} if step == 10 else {})},
            ("a", "b"),
        )
    lines = text.getvalue().splitlines()
    assert lines[0] == "tiny: steps 0 to 20"
    assert [line.split()[0] for line in lines[1:]] == ["1/20", "10/20", "20/20"]
    assert "a 2.50e-01  b 1.00e-07  validation 5.00e-01  relative error 1.23 %" in lines[2]


def test_the_time_left_is_told_from_the_steps_of_this_session(monkeypatch):
    now = iter([100.0, 110.0])
    monkeypatch.setattr("compiler.training.progress.time.monotonic", lambda: next(now))
    text = io.StringIO()
    display = Lines(Console(file=text, width=200))
    display.start("tiny", 50, 100)
    display.step({**ROW, "step": 60}, ("a",))
    assert "60/100  0:40 left" in text.getvalue()


def test_a_bar_shows_the_terms_and_the_last_validation():
    text = io.StringIO()
    display = Bar(Console(file=text, width=200, force_terminal=True))
    display.start("tiny", 0, 2)
    display.step({**ROW, "step": 1, "validation": 0.5}, ("a", "b"))
    display.step({**ROW, "step": 2}, ("a", "b"))
    display.stop()
    assert (
        "a 2.50e-01  b 1.00e-07 validation 5.00e-01" in text.getvalue() and "2/2" in text.getvalue()
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (75.2, "1:15"), (3700, "1:01:40"), (59.7, "1:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_nothing_is_said_where_nothing_was_measured():
    assert validation_text({"step": 1}) == ""
    assert terms_text({"step": 1}, ()) == ""
