"""Reading stays quick, and its cost grows with the length of the text and no faster."""

from __future__ import annotations

import time

import pdespec


def reactors(count):
    """A text of `count` coupled reaction-diffusion equations, seven lines each."""
    each = range(count)
    lines = ["problem reactors", "space x, y", "time t in [0, 1]", "domain B = rectangle([0, 0], [1, 1])", "periodic x, y"]
    lines += [f"const    D{i} = 0.0{i + 1}" for i in each]
    lines += [f"param    k{i} ~ uniform({i}, {i + 1})" for i in each]
    lines += [f"input    start{i} : scalar on B ~ grf(length = 0.{i + 1})" for i in each]
    lines += [f"unknown  u{i} : scalar on B" for i in each]
    lines += [f"r{i} := k{i}*u{i}*u{(i + 1) % count}/(1 + u{i}^2)" for i in each]
    lines += ["in B:"] + [f"    species{i}: dt(u{i}) = D{i}*lap(u{i}) - r{i} + r{(i + 1) % count}" for i in each]
    lines += ["at t = 0:"] + [f"    u{i} = start{i}" for i in each]
    return "\n".join(lines) + "\n"


def seconds(text, repeats=5):
    """Processor time of reading a text, the best of several."""
    pdespec.parse(text)
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        pdespec.parse(text)
        times.append(time.process_time() - begun)
    return min(times)


def test_a_hundred_lines_are_read_in_a_blink():
    text = reactors(14)
    assert text.count("\n") >= 100
    assert seconds(text) < 0.15  # 0.04 s on the machine this was written on


def test_twice_the_text_takes_no_more_than_thrice_the_time():
    assert seconds(reactors(16)) < 3 * seconds(reactors(8)) + 0.01
