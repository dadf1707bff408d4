"""Reading stays quick, and its effort grows with the length of the text and no faster."""

from __future__ import annotations

import pdespec
from tests.effort import calls


def reactors(count):
    """A text of `count` coupled reaction-diffusion equations, seven lines each."""
    each = range(count)
    lines = [
        "problem reactors",
        "space x, y",
        "time t in [0, 1]",
        "domain B = rectangle([0, 0], [1, 1])",
        "periodic x, y",
    ]
    lines += [f"const    D{i} = 0.0{i + 1}" for i in each]
    lines += [f"param    k{i} ~ uniform({i}, {i + 1})" for i in each]
    lines += [f"input    start{i} : scalar on B ~ grf(length = 0.{i + 1})" for i in each]
    lines += [f"unknown  u{i} : scalar on B" for i in each]
    lines += [f"r{i} := k{i}*u{i}*u{(i + 1) % count}/(1 + u{i}^2)" for i in each]
    lines += ["in B:"] + [
        f"    species{i}: dt(u{i}) = D{i}*lap(u{i}) - r{i} + r{(i + 1) % count}" for i in each
    ]
    lines += ["at t = 0:"] + [f"    u{i} = start{i}" for i in each]
    return "\n".join(lines) + "\n"


def effort(text):
    """Calls made in reading a text, once the grammar is loaded."""
    pdespec.parse(reactors(1))
    return calls(lambda: pdespec.parse(text))


def test_a_hundred_lines_are_read_in_a_blink():
    text = reactors(14)
    assert text.count("\n") >= 100
    assert effort(text) < 3_000_000  # 1.1 million calls when this was written, 0.04 s there


def test_twice_the_text_takes_no_more_than_thrice_the_effort():
    assert effort(reactors(16)) < 3 * effort(reactors(8))
