"""Every operator of the language: its row says of rank, unit and LaTeX what the value itself, its
dimensions as a SymPy expression, and the display of a problem say."""

from __future__ import annotations

import pytest

import pdespec
from pdespec.calculus import entries, rank
from pdespec.rules.dimensions import measure, unit_of
from pdespec.units import ANY
from pdespec.vocabulary import CALLED, OPERATORS, WORDS, Word

TEXT = """
problem words
space x, y, z [m]
domain Omega = box([0, 0, 0], [1, 1, 1])
input v : vector on Omega [m/s]
input w : vector on Omega [m/s]
input s : scalar on Omega [Pa]
unknown psi : complex scalar on Omega [K]
unknown u : scalar on Omega [K]
unknown p : scalar on Omega [K]
T := s*sym(grad(w))
S := sym(grad(v))
output found := {usage}
in Omega:
    lap(u) = 0
    lap(p) = 0
    lap(psi) = 0
on boundary(Omega):
    u = 0
    p = 0
    psi = 0
"""
UNITS = {"v": "m/s", "w": "m/s", "s": "Pa", "psi": "K", "u": "K", "p": "K", "T": "Pa/s", "S": "1/s"}
RANKS = {"v": "vector", "w": "vector", "T": "tensor", "S": "tensor"}
INSTEAD = {
    "diff": "diff(u^2, u)",
    "variation": "variation(integral(p^2, Omega), p)",
    "arg": "arg(psi)",
    "conj": "conj(u)",
    "dirac": "dirac(u, 0.05)",
}
IN_SPACE = {"curl": "vector", "cross": "vector"}  # one number in the plane
WITH_VALUE = {name: word for name, word in OPERATORS.items() if word.function is not None}


def arguments(usage: str) -> list[str]:
    return usage.partition("(")[2].removesuffix(")").split(", ")


@pytest.mark.parametrize("name", sorted(set(WITH_VALUE) - {"jump", "avg", "variation"}))
def test_an_operator_has_the_rank_and_unit_of_its_row(name):
    word = WITH_VALUE[name]
    usage = INSTEAD.get(name, word.usage)
    problem = pdespec.parse(TEXT.format(usage=usage))
    found = problem.outputs["found"].value
    given = ["u^2", "u"] if name == "diff" else arguments(usage)
    expected = word.rank([RANKS.get(each, "scalar") for each in given])
    assert rank(found) == IN_SPACE.get(name, expected)
    units = [measure("K^2" if each == "u^2" else UNITS[each]) for each in given]
    unit, own = word.unit(units, measure("m"), 1), unit_of(entries(found)[1 % len(entries(found))])
    assert unit is None or own in (None, ANY) or unit == own
    assert r"found" in problem.to_latex()


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_typeset(name):
    assert OPERATORS[name].tex or name in ("dt", "entry", "integral", "arg")


def test_one_row_makes_a_word(monkeypatch):
    """What CONTRIBUTING says of a new operator."""
    row = Word("twice", "twice(u)", lambda u: 2 * u, tex=r"2\, %s", rank=WORDS["lap"].rank)
    for table in (WORDS, CALLED):
        monkeypatch.setitem(table, "twice", row)
    problem = pdespec.parse(TEXT.format(usage="twice(v)"))
    assert problem.outputs["found"].value == 2 * problem.inputs["v"].symbol
    assert r"2\, \boldsymbol{v}" in problem.to_latex()
    with pytest.raises(pdespec.ProblemError, match="takes 1 argument, 2 given"):
        pdespec.parse(TEXT.format(usage="twice(v, w)"))
