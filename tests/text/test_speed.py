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


PATCHED = """
problem patched
space x, y, z
domain Q = box([0, 0, 0], [2, 2, 2])
boundary p = side(Q, y = 0, 2/3 < x < 4/3)
boundary q = rest(Q, p)
unknown u : scalar on Q
unknown v : vector on Q
in Q: -lap(u) = 1
in Q: v - div(sym(grad(v))) = [1, 2, 3]
on p: u = 3
on q: u = x
on p: v = [1, x, z]
on q: grad(v)*n = 0
"""


def test_a_boundary_is_cut_into_its_pieces_once_for_all_rules():
    assert effort(PATCHED) < 2_500_000  # 1.7 million; 3.7 where every rule cut it anew
