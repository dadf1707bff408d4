"""The problem as a picture: every formula of every example can be set, in rows and columns that
stand in line."""

from __future__ import annotations

import re
import xml.etree.ElementTree
from pathlib import Path

import pytest

import pdespec
from compiler.report.mathtext import content, display, rows

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.pde"))


def test_rows_and_cells_of_an_aligned_display():
    latex = (
        "\\begin{aligned}\n\\Delta u &= f && \\text{in } \\Omega && (\\text{a}) \\\\[2pt]\n x, y"
        " &\\quad \\text{periodic}\n\\end{aligned}"
    )
    assert rows(latex) == [
        ["\\Delta u", "= f", "\\text{in } \\Omega", "(\\text{a})"],
        ["x, y", "\\quad \\text{periodic}"],
    ]


def test_matrices_are_written_in_one_line():
    (row,) = rows(
        r"v &= \begin{pmatrix} -1 \\ x \end{pmatrix}, \begin{pmatrix} a & b \\ c & -d \end{pmatrix}"
    )
    assert row == [
        "v",
        r"= \left({-}1,\, x\right)^{\mathsf{T}}, \left(a,\, b;\;\; c,\, {-}d\right)",
    ]


def test_choices_are_written_in_one_line_and_can_be_set():
    (row,) = rows(
        r"e &:= \begin{cases} \mathrm{er} & \left|x\right| < 0.4\text{ and }y < 1 \\"
        r" \begin{cases} 2 & x > 1 \\ 3 & \text{otherwise} \end{cases} & \text{otherwise}"
        r" \end{cases} \\"
    )
    name, value = row
    assert name == "e" and "cases" not in value and "&" not in value
    assert value.count(r"\text{if}") == 2 and value.count(r"\text{otherwise}") == 2
    assert content(value) == f"${value}$"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_formula_of_the_examples_can_be_set(path):
    cells = [cell for row in rows(pdespec.load(path).to_latex()) for cell in row if cell]
    assert [cell for cell in cells if not content(cell).startswith("$")] == []


def test_what_cannot_be_set_stands_as_its_source():
    assert content(r"\begin{cases} 1 \end{cases}") == r"\begin{cases} 1 \end{cases}"
    assert display(r"a &= \begin{cases} 1 \end{cases}")


def test_a_display_is_wide_and_high_enough_for_its_rows():
    def size(latex):
        root = xml.etree.ElementTree.fromstring(display(latex))
        return tuple(float(re.match(r"[0-9.]+", root.get(name))[0]) for name in ("width", "height"))

    one, two = size(r"u &= 1"), size(r"u &= 1 \\ w &= 2")
    assert two[1] == pytest.approx(2 * one[1], rel=0.05)
    assert size(r"u &= 1 + 2 + 3 + 4")[0] > one[0] + 20
