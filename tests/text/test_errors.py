"""Diagnostics point at the right place and guess the right name."""

from __future__ import annotations

import pickle

import pytest

from pdespec.errors import (
    Diagnostic,
    ProblemError,
    Source,
    Span,
    edit_distance,
    fail,
    nearest,
    render,
    suggestion,
)


def at(text, line, start, end):
    return Span(Source("file.pde", text), line, start, line, end)


def test_the_caret_stands_under_what_is_marked():
    lines = render(
        Diagnostic(
            "S01",
            "unknown name `nuu`",
            "did you mean `nu`?",
            "it is not declared",
            at("x\ndt(u) = nuu*u", 2, 9, 12),
        )
    ).split("\n")
    assert lines[0] == "file.pde:2:9: error S01: unknown name `nuu`"
    assert lines[1] == "    2 | dt(u) = nuu*u"
    assert lines[2] == "      |         ^~~"
    assert lines[3:] == ["  cause: it is not declared", "  fix:   did you mean `nu`?"]


def test_tabs_and_wide_letters_do_not_move_the_caret():
    assert (
        render(Diagnostic("S02", "m", span=at("\tu = ?", 1, 6, 7))).split("\n")[2]
        == "      | \t    ^"
    )
    assert (
        render(Diagnostic("S02", "m", span=at("\uff55\uff55 = ?", 1, 6, 7))).split("\n")[2]
        == "      |        ^"
    )


def test_a_long_line_is_cut_around_the_mark():
    shown = render(Diagnostic("S02", "m", span=at("a" * 500 + "?" + "b" * 500, 1, 501, 502))).split(
        "\n"
    )
    assert len(shown[1]) < 150
    assert shown[1][shown[2].index("^")] == "?"


def test_control_characters_are_not_sent_to_the_terminal():
    assert "\x1b" not in render(Diagnostic("S02", "m", span=at("u = \x1b[31m", 1, 5, 6)))


def test_without_a_place_the_label_says_where():
    assert (
        render(Diagnostic("T01", "ranks differ", label="momentum"))
        == "in `momentum`: error T01: ranks differ"
    )


def test_a_place_is_given_once():
    first, second = at("abc", 1, 1, 2), at("abc", 1, 2, 3)
    diagnostic = Diagnostic("S02", "m").at(first, "a").at(second, "b")
    assert (diagnostic.span, diagnostic.label) == (first, "a")


def test_an_error_carries_all_its_diagnostics_and_survives_pickling():
    error = ProblemError(
        [Diagnostic("S01", "one"), Diagnostic("S02", "two", span=at("abc", 1, 1, 2))]
    )
    assert [each.code for each in error.diagnostics] == ["S01", "S02"]
    assert "one" in str(error) and "two" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.diagnostics[1].line == 1
    assert fail("S01", "x").diagnostics[0].code == "S01"


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ("", "", 0),
        ("u", "v", 1),
        ("gard", "grad", 1),
        ("domian", "domain", 1),
        ("kitten", "sitting", 3),
        ("abc", "", 3),
    ],
)
def test_edit_distance(a, b, distance):
    assert edit_distance(a, b) == edit_distance(b, a) == distance


@pytest.mark.parametrize(
    ("name", "candidates", "best"),
    [
        ("nuu", ["nu", "mu"], "nu"),
        ("omega", ["Omega", "gamma"], "Omega"),
        ("x", ["y", "z"], None),
        ("fource", ["u", "v"], None),
        ("pressur", ["pressure", "velocity"], "pressure"),
        ("anything", [], None),
    ],
)
def test_the_nearest_name_is_near_or_none(name, candidates, best):
    assert nearest(name, candidates) == best


def test_a_hint_suggests_the_nearest_name_or_says_what_there_is():
    assert suggestion("pressur", ["pressure"], "it has none") == "did you mean `pressure`?"
    assert suggestion("pressur", ["pressure"], quote="'") == "did you mean 'pressure'?"
    assert suggestion("nothing", ["x"], "it has x") == "it has x"
