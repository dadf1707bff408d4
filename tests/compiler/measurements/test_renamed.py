"""Columns of a file under names of its own."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import pdespec
from compiler.data.from_files import splines_of
from compiler.measurements.measured import measurements, refuse_wrong_files

TEXT = """problem rod
space x
time t in [0, 1]
domain L = interval(0, 1)
input f : scalar on L from "f.npz" (x = "s", f = "source")
unknown v : vector on L
in L: dt(v.x) = dxx(v.x) + f
on boundary(L): v = 0
at t = 0: v = 0
data v on L from "run.csv" (x = "Position", t = "time s", v.x = "speed", sigma = "error")
reference v from "run.csv" (x = "Position", t = "time s", v.x = "speed")
"""
ROWS = "x;Position;time s;speed;error\n9;0.1;0.5;1.5;0.1\n9;0.7;0.2;2.5;0.2\n"


def write(tmp_path, text=TEXT, rows=ROWS):
    (tmp_path / "run.csv").write_text(rows)
    places = np.linspace(0, 1, 5)
    np.savez(tmp_path / "f.npz", s=places, source=2 * places, x=np.zeros(5), f=np.zeros(5))
    (tmp_path / "rod.pde").write_text(text)
    return pdespec.load(tmp_path / "rod.pde")


def test_columns_are_read_under_the_names_that_the_file_has(tmp_path):
    problem = write(tmp_path)
    table = measurements(problem).terms[0].table
    np.testing.assert_allclose(table.points, [[0.1, 0.5], [0.7, 0.2]])
    np.testing.assert_allclose(table.values, [[1.5], [2.5]])
    np.testing.assert_allclose(table.sigma, [0.1, 0.2])
    values = splines_of(problem.inputs["f"]).table.values
    np.testing.assert_allclose(values[:, 0], 2 * np.linspace(0, 1, 5))
    refuse_wrong_files(problem)


def test_the_names_are_part_of_the_problem(tmp_path):
    problem = write(tmp_path)
    assert '(x = "s", f = "source")' in problem.to_dsl()
    assert pdespec.parse(problem.to_dsl()) == problem
    again = problem.revised(written=None).to_dsl()
    assert 'v.x = "speed", sigma = "error")' in again and pdespec.parse(again) == problem
    other = pdespec.parse(TEXT.replace('"speed", sigma', '"rate", sigma'))
    assert other != problem


def test_names_that_are_not_there_are_refused(tmp_path):
    problem = write(tmp_path, TEXT.replace('"Position"', '"Positon"'))
    with pytest.raises(pdespec.ProblemError, match="D02.*no column `Positon` for `x`") as error:
        measurements(problem)
    assert "did you mean `Position`" in str(error.value)
    problem = write(tmp_path, TEXT.replace("sigma =", "sigmas ="))
    with pytest.raises(pdespec.ProblemError, match="D02.*`sigmas` is not a column"):
        measurements(problem)


@pytest.mark.parametrize("column", ["time s", "time s (s)", "time s [s]"])
def test_a_column_is_named_with_or_without_the_unit_of_its_heading(tmp_path, column):
    text, rows = TEXT.replace('"time s"', f'"{column}"'), ROWS.replace("time s;", "time s [s];")
    table = measurements(write(tmp_path, text, rows)).terms[0].table
    np.testing.assert_allclose(table.points, [[0.1, 0.5], [0.7, 0.2]])


def test_greek_names_and_names_in_backticks_are_those_of_columns_too(tmp_path):
    text = "problem p\nspace ξ\ndomain L = interval(0, 1)\nunknown `in` : scalar on L\n"
    text += "in L: ddξ(`in`) = 0\non boundary(L): `in` = 0\n".replace("ddξ(`in`)", "lap(`in`)")
    text += (
        'data `in` on L from "run.csv" (`in` = "speed")\ndata d(`in`, ξ) on L from "slope.csv"\n'
    )
    (tmp_path / "slope.csv").write_text('ξ,"d(`in`, ξ)"\n0.5,2.5\n')
    problem = write(tmp_path, text, "ξ;speed\n0.1;1.5\n0.7;2.5\n")
    assert pdespec.parse(problem.to_dsl()) == problem
    assert pdespec.parse(problem.revised(written=None).to_dsl()) == problem
    value, slope = (each.table for each in measurements(problem).terms)
    np.testing.assert_allclose(value.points, [[0.1], [0.7]])
    np.testing.assert_allclose((*value.values.ravel(), *slope.values.ravel()), [1.5, 2.5, 2.5])


def test_files_of_complex_and_of_steady_unknowns(tmp_path):
    """In the Python form, and without a time where nothing depends on it."""
    (x,), t = pdespec.space("x"), pdespec.time("t", 1, 2)
    line = pdespec.interval(x, 0, 1, name="L")
    psi = pdespec.unknown("psi", line, time=t, complex=True)
    w = pdespec.unknown("w", line)
    problem = pdespec.Problem(
        "p",
        {"one": (sp.I * psi.diff(t), psi.diff(x, 2)), "two": (w.diff(x, 2), 1)},
        [
            pdespec.on(pdespec.boundary(line), psi),
            pdespec.on(pdespec.boundary(line), w),
            pdespec.at(t, 1, (psi, 0)),
        ],
        data=[pdespec.Data(w, line, str(tmp_path / "w.csv"), columns=(("w", "deflection"),))],
        reference={"psi": pdespec.Data(psi, line, "psi.csv", columns=(("x", "s"),))},
    )
    assert pdespec.parse(problem.to_dsl()) == problem
    assert 'reference psi from "psi.csv" (x = "s")' in problem.to_dsl()
    (tmp_path / "w.csv").write_text("x,deflection\n0.5,-0.125\n")
    (stated,) = measurements(problem).terms
    np.testing.assert_allclose(stated.table.points, [[0.5, 1.0]])
