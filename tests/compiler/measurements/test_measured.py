"""Files held against the problem that names them: samples, params and inputs beside the values,
places, units; and what is said of them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import pdespec
from compiler.cli import app
from compiler.measurements.measured import labels, measurements, report
from pdespec.errors import ProblemError

ROD = """problem rod
space x [m]
time t in [0, 1]
domain L = interval(0, 2)
param a ~ uniform(1, 2), b ~ uniform(0, 1, size = 2), m = 3
input f : scalar on L ~ grf(length = 1)
unknown u : scalar on L [K]
in L: dt(u) = a*dxx(u) + m*f + entry(b, 0)
on boundary(L): u = entry(b, 1)
at t = 0: u = 0
data u on L from "rod.{}"
"""
ROWS = {"sample": [1, 1, 2, 2], "x": [0.5, 1, 0.5, 1], "t": [1, 1, 1, 0.5], "u": [1, 2, 3, 4]}
NUMBERS = {"a": [1.5, 1.5, 1.6, 1.6], "b[0]": [0, 0, 1, 1], "b[1]": [2, 2, 3, 3]}


def rod(tmp_path, kind="csv", text=ROD):
    (tmp_path / "rod.pde").write_text(text.replace("{}", kind))
    return pdespec.load(tmp_path / "rod.pde")


def csv(path, **columns):
    lines = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")


def test_params_and_inputs_stand_beside_the_values(tmp_path):
    csv(tmp_path / "rod.csv", **ROWS, **NUMBERS, f=[7, 8, 9, 10])
    found = measurements(rod(tmp_path))
    assert found.keys == ("1", "2") and found.params["a"].tolist() == [1.5, 1.6]
    assert found.params["b"].tolist() == [[0, 2], [1, 3]] and "m" not in found.params
    (term,) = found.terms
    assert term.label == "data.u" and term.direct and term.table.samples.tolist() == [0, 0, 1, 1]
    assert found.inputs["f"].sample(1).points.tolist() == [[0.5], [1]]
    assert found.inputs["f"].sample(1).values.tolist() == [[9], [10]]


def test_files_that_give_one_param_agree(tmp_path):
    csv(tmp_path / "rod.csv", **ROWS, **NUMBERS, f=[7, 8, 9, 10])
    csv(tmp_path / "other.csv", **ROWS, a=NUMBERS["a"])
    both = ROD + 'data dx(u) on L from "other.csv" (`dx(u)` = "u")\n'
    assert measurements(rod(tmp_path, text=both)).params["a"].tolist() == [1.5, 1.6]
    csv(tmp_path / "other.csv", **ROWS, a=[1.6, 1.6, 1.5, 1.5])
    with pytest.raises(ProblemError, match="D07.*`a` in other.csv is not what another file"):
        measurements(rod(tmp_path, text=both))


def test_an_input_has_a_group_of_its_own(tmp_path):
    with h5py.File(tmp_path / "rod.h5", "w") as file:
        file.update({name: np.array(each) for name, each in ROWS.items()})
        file.update({"a": np.array([1.5, 1.6]), "b": np.array([[0, 2], [1, 3]])})
        file.update({"f/x": np.linspace(0, 2, 5), "f/f": np.arange(10.0).reshape(2, 5)})
        file["f/sample"] = np.array([2, 1])
    found = measurements(rod(tmp_path, "h5"))
    assert found.params["b"].tolist() == [[0, 2], [1, 3]]
    assert found.inputs["f"].sample(0).values[:, 0].tolist() == [5, 6, 7, 8, 9]  # that of "1"


def test_an_input_from_a_file_goes_by_the_same_names(tmp_path):
    text = ROD.replace("~ grf(length = 1)", 'from "load.csv"')
    csv(tmp_path / "rod.csv", **ROWS, **NUMBERS)
    csv(tmp_path / "load.csv", sample=[3, 3, 2, 2, 1, 1], x=[0, 2] * 3, f=[0, 1, 2, 3, 4, 5])
    found = measurements(rod(tmp_path, text=text))
    assert found.inputs["f"].sample(0).values.tolist() == [[4], [5]]
    csv(tmp_path / "load.csv", x=[0, 2], f=[0, 1])
    with pytest.raises(ProblemError, match="D07: load.csv holds one sample, the data 2 samples"):
        measurements(rod(tmp_path, text=text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": [1.5, 1.4, 1.6, 1.6]}, "D07: `a` in rod.csv is not one number in sample 1"),
        ({"a": None}, "D09: the data from rod.csv do not say which `a`"),
        ({"f": None}, "(?s)D09: .* which `f`.*a group `f` or as a column"),
        ({"t": [1, 1, 1, 1.5]}, "D04: 1 of 4 rows of rod.csv lie outside of the time 0 to 1"),
        ({"x": [0.5, 1, 0.5, 3]}, "D04: 1 of 2 rows .* outside of `L`, one 1 away .* of sample 2"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(tmp_path, change, message):
    columns = {**ROWS, **NUMBERS, "f": [7, 8, 9, 10], **change}
    csv(tmp_path / "rod.csv", **{name: each for name, each in columns.items() if each})
    with pytest.raises(ProblemError, match=message) as error:
        measurements(rod(tmp_path))
    assert error.value.diagnostics[0].line == 11


def test_points_of_a_boundary_lie_on_it_and_of_a_drawn_shape_in_their_own(tmp_path):
    text = """problem disk
space x, y
param r ~ uniform(1, 2)
domain D = disk(radius = r)
unknown u : scalar on D
in D: lap(u) = 0
on boundary(D): dn(u) = x
require integral(u, D) = 0
data u on {} from "disk.csv"
"""
    csv(tmp_path / "disk.csv", sample=[1, 2], r=[1, 2], x=[0.6, 1.6], y=[0.8, 1.2], u=[1, 2])
    for region in ("boundary(D)", "D"):
        (tmp_path / "disk.pde").write_text(text.replace("{}", region))
        measurements(pdespec.load(tmp_path / "disk.pde"))
    csv(tmp_path / "disk.csv", sample=[1, 2], r=[1, 2], x=[0.6, 0.6], y=[0.8, 0.8], u=[1, 2])
    measurements(pdespec.load(tmp_path / "disk.pde"))
    (tmp_path / "disk.pde").write_text(text.replace("{}", "boundary(D)"))
    with pytest.raises(ProblemError, match="D04.*one 1 away at x = 0.6, y = 0.8, of sample 2"):
        measurements(pdespec.load(tmp_path / "disk.pde"))


def test_units_are_compared_where_both_are_known(tmp_path):
    text = ROD.replace("param a ~ uniform(1, 2), b ~ uniform(0, 1, size = 2), m = 3\n", "")
    text = text.replace("input f : scalar on L ~ grf(length = 1)\n", "")
    text = text.replace("a*dxx(u) + m*f + entry(b, 0)", "dxx(u)").replace("entry(b, 1)", "0")
    for heading, fits in (("x [m],t,u [K]", 1), ("x [m],t [h],u [wombats]", 1), ("x [mm],t,u", 0)):
        (tmp_path / "rod.csv").write_text(f"{heading}\n1,1,2\n")
        if fits:
            assert measurements(rod(tmp_path, text=text)).terms[0].table.values.tolist() == [[2]]
            continue
        with pytest.raises(ProblemError, match="D05: `x` is in mm in rod.csv, and in m in the pro"):
            measurements(rod(tmp_path, text=text))


def test_an_input_must_cover_its_domain(tmp_path):
    text = ROD.replace("~ grf(length = 1)", 'from "load.csv"')
    csv(tmp_path / "load.csv", x=[0.1, 1.2], f=[0, 1])
    with pytest.raises(
        ProblemError, match="(?s)D04: `f` is given .* 0.1 to 1.2, and needed from 0"
    ):
        report(rod(tmp_path, text=text.replace('data u on L from "rod.{}"\n', "")))


def test_terms_are_named_by_what_is_measured():
    text = """problem plate
space x, y
domain Q = rectangle([0, 0], [1, 1])
unknown v : vector on Q, p : scalar on Q
in Q: -lap(v) + grad(p) = 0; div(v) = 0
on boundary(Q): v = 0
require integral(p, Q) = 0
data v on Q from "a.csv"
data v.x on Q from "b.csv"
data p on Q from "c.csv"
data p on side(Q, x = 0) from "d.csv"
data dx(p) + p on Q from "e.csv"
"""
    assert labels(pdespec.parse(text)) == (
        "data.v", "data.v.x", "data.p", "data.p.2", "data.dx(p) + p",
    )  # fmt: skip


def test_check_says_what_files_hold(tmp_path):
    problem = rod(tmp_path)
    assert report(problem) == ["rod.csv: not there"]
    csv(tmp_path / "rod.csv", **ROWS, **NUMBERS, f=[7, 8, 9, 10])
    assert report(problem) == [
        "rod.csv: u, 4 rows of 2 samples, x 0.5 to 1, t 0.5 to 1, u 1 to 4; with a, b, f"
    ]


def test_explain_names_the_terms_of_data(tmp_path):
    rod(tmp_path)
    found = CliRunner().invoke(app, ["explain", str(tmp_path / "rod.pde"), "--stage", "graph"])
    assert found.exit_code == 0, found.stderr
    assert (
        "data.u: mean over rows of weight |found - measured|^2 / size^2 on L, from" in found.stdout
    )


@pytest.mark.parametrize("kind", ["csv", "h5"])
def test_params_belong_to_the_samples_that_their_own_file_names(tmp_path, kind):
    """Another file, or the alphabet, may have the samples in another order."""
    order, known = ["b", "c", "a"], {"a": 1.0, "b": 2.0, "c": 3.0}
    if kind == "csv":  # one row of each sample
        rows = "".join(f"{each},0.5,{10 * known[each]},{known[each]}\n" for each in order)
        (tmp_path / "w.csv").write_text(f"sample,x,w,k\n{rows}")
    else:
        with h5py.File(tmp_path / "w.h5", "w") as file:
            file["x"], file["w"] = [0.25, 0.5], [[known[e], 10 * known[e]] for e in order]
            file["sample"], file["k"] = order, [known[each] for each in order]
    rows = "".join(f"{each},0.5,{known[each]}\n" for each in known)
    (tmp_path / "u.csv").write_text(f"sample,x,u\n{rows}")
    text = (
        "problem p\nspace x\nparam k\ndomain L = interval(0, 1)\n"
        "unknown u : scalar on L, w : scalar on L\nin L: lap(u) = k; lap(w) = k\n"
        'on boundary(L): u = 0; w = 0\n{}data w on L from "w.{}"\n'
    )
    for other in ("", 'data u on L from "u.csv"\n'):
        (tmp_path / "p.pde").write_text(text.format(other, kind))
        found = measurements(pdespec.load(tmp_path / "p.pde"))
        assert dict(zip(found.keys, found.params["k"].tolist(), strict=True)) == known
        for number, key in enumerate(found.keys):
            assert found.terms[-1].table.sample(number).values[-1, 0] == 10 * known[key]
