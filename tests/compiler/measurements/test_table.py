"""Arrays as rows: points and grids, families, components, weights; what does not fit together."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.measurements.readers import Arrays, Axes
from compiler.measurements.table import Columns, refuse_alike, tabulated
from pdespec.errors import ProblemError

PLANE = Columns(Axes(("x", "y")), ("u",))
X, Y = np.linspace(0, 1, 3), np.linspace(0, 1, 4)


def arrays(dims=None, **values):
    found = {name.replace("__", "."): np.asarray(each) for name, each in values.items()}
    return Arrays(found, tuple(found), {}, dims or {})


def rows(table):
    return {
        (table.keys[s], *map(float, p)): float(v)
        for s, p, v in zip(table.samples, table.points, table.values[:, 0], strict=True)
    }


def test_a_family_is_the_same_in_every_layout():
    u = np.arange(24.0).reshape(2, 3, 4)
    expected = {
        (key, x, y): u[s, i, j]
        for s, key in enumerate("ab")
        for i, x in enumerate(X)
        for j, y in enumerate(Y)
    }
    mesh = [each.ravel() for each in np.meshgrid(X, Y, indexing="ij")]
    keys = np.array(["a", "b"])
    layouts = [
        arrays(x=X, y=Y, u=u, sample=keys),
        arrays(x=mesh[0], y=mesh[1], u=u.reshape(2, 12), sample=keys),
        arrays(
            x=np.tile(mesh[0], (2, 1)), y=np.tile(mesh[1], (2, 1)), u=u.reshape(2, 12), sample=keys
        ),
        arrays(
            x=np.tile(mesh[0], 2), y=np.tile(mesh[1], 2), u=u.ravel(), sample=np.repeat(keys, 12)
        ),
    ]
    for each in layouts:
        found = tabulated(each, PLANE, "f")
        assert rows(found) == expected and found.family
        assert [len(own) for own in found.rows] == [12, 12]


def test_samples_without_names_are_numbered():
    found = tabulated(arrays(x=X, y=Y, u=np.arange(24.0).reshape(2, 3, 4)), PLANE, "f")
    assert found.keys == ("0", "1")


def test_a_square_of_as_many_samples_as_points_is_told_by_the_names():
    x, y, u = np.arange(3.0), np.arange(3.0) ** 2, np.arange(9.0).reshape(3, 3)
    assert len(tabulated(arrays(x=x, y=y, u=u), PLANE, "f").keys) == 1  # a grid
    named = tabulated(arrays(x=x, y=y, u=u, sample=[5, 6, 7]), PLANE, "f")
    assert named.keys == ("5", "6", "7") and named.sample(1).points.tolist() == [
        [0, 0],
        [1, 1],
        [2, 4],
    ]


def test_axes_in_another_order_are_named_not_turned():
    with pytest.raises(ProblemError, match=r"(?s)D02.*shape \(4, 3\).*its axes are \(y, x\)"):
        tabulated(arrays(x=X, y=Y, u=np.zeros((4, 3))), PLANE, "f")


def test_axes_that_the_file_names_are_put_in_order():
    u, v = np.arange(24.0).reshape(2, 3, 4), np.arange(24.0).reshape(4, 3, 1, 2)
    expected = rows(tabulated(arrays(x=X, y=Y, u=u), PLANE, "f"))
    dims = {"u": ("y", "sample", "x"), "sigma": ("x", "y", "sample")}
    turned = arrays(dims, x=X, y=Y, u=u.transpose(2, 0, 1), sigma=1 + u.transpose(1, 2, 0))
    found = tabulated(turned, PLANE, "f")
    assert rows(found) == expected
    np.testing.assert_array_equal(found.sigma, 1 + found.values[:, 0])
    vector = arrays({"v": ("y", "x", "level", "component")}, x=X, y=Y, v=v)
    found = tabulated(vector, Columns(Axes(("x", "y")), ("v.x", "v.y"), "v"), "f")
    np.testing.assert_array_equal(found.values.reshape(3, 4, 2), v[:, :, 0].transpose(1, 0, 2))
    square = arrays({"u": ("y", "x")}, x=X, y=X, u=np.arange(9.0).reshape(3, 3))
    assert rows(tabulated(square, PLANE, "f"))["0", 1.0, 0.5] == 5
    with pytest.raises(ProblemError, match="D02: `u` in f has an axis level"):
        tabulated(arrays({"u": ("level", "x", "y")}, x=X, y=Y, u=u), PLANE, "f")


def test_components_come_by_name_or_along_a_last_axis():
    v = np.random.default_rng(0).normal(size=(5, 2))
    x, y = np.random.default_rng(1).normal(size=(2, 5))
    columns = Columns(Axes(("x", "y")), ("v.x", "v.y"), "v")
    for each in (
        arrays(x=x, y=y, v__x=v[:, 0], v__y=v[:, 1]),
        arrays(x=x, y=y, v_x=v[:, 0], v_y=v[:, 1]),
        arrays(x=x, y=y, v=v),
        arrays(x=x, y=y, v=np.pad(v, ((0, 0), (0, 1)))),  # as formats of meshes have it
    ):
        np.testing.assert_array_equal(tabulated(each, columns, "f").values, v)
    psi = Columns(Axes(("x", "y")), ("psi.re", "psi.im"), "psi")
    found = tabulated(arrays(x=x, y=y, psi=v[:, 0] + 1j * v[:, 1]), psi, "f")
    np.testing.assert_array_equal(found.values, v)


def test_weights_have_mean_one_and_standard_deviations_weigh_by_their_square():
    x = np.arange(3.0)
    one = Columns(Axes(("x",)), ("u",))
    sigma = tabulated(arrays(x=x, u=x, sigma=[1, 2, 2]), one, "f")
    np.testing.assert_allclose(sigma.weights, [2, 0.5, 0.5])
    np.testing.assert_allclose(sigma.sigma, [1, 2, 2])
    weight = tabulated(arrays(x=x, u=x, weight=[0, 1, 3]), one, "f")
    np.testing.assert_allclose(weight.weights, [0, 0.75, 2.25])
    points = tabulated(arrays(x=x, u=[x, x + 1], sigma=[1, 2, 2], sample=["a", "b"]), one, "f")
    np.testing.assert_allclose(points.sigma, [1, 2, 2, 1, 2, 2])
    for given in ({"weight": [1, -1, 1]}, {"sigma": [1, 0, 1]}, {"weight": x, "sigma": x + 1}):
        with pytest.raises(ProblemError, match="D08"):
            tabulated(arrays(x=x, u=x, **given), one, "f")


def test_rows_without_a_number_are_left_out_and_counted():
    one = Columns(Axes(("x",)), ("u",))
    nan = np.nan
    found = tabulated(
        arrays(x=[0, 1, nan, 3], u=[1, nan, 2, 3], sample=["a", "b", "b", "c"]), one, "f"
    )
    assert (
        found.left_out == 2
        and found.keys == ("a", "c")
        and rows(found)
        == {
            ("a", 0.0): 1.0,
            ("c", 3.0): 3.0,
        }
    )
    with pytest.raises(ProblemError, match="D03: none of 1 rows"):
        tabulated(arrays(x=[0], u=[nan]), one, "f")


def test_what_is_there_twice_is_refused():
    one, x = Columns(Axes(("x",)), ("u",)), np.arange(4.0)
    with pytest.raises(ProblemError, match="D06.*holds 1 rows twice"):
        tabulated(arrays(x=[0, 1, 1], u=[0, 2, 2]), one, "f")
    assert len(tabulated(arrays(x=[0, 1, 1], u=[0, 2, 2.5]), one, "f")) == 3  # two readings
    with pytest.raises(ProblemError, match="D06: f holds places along x twice"):
        tabulated(arrays(x=[0, 1, 1], y=Y, u=np.zeros((3, 4))), PLANE, "f")
    with pytest.raises(ProblemError, match="D06: samples 0 and 1 of f are the same"):
        refuse_alike(tabulated(arrays(x=x, u=np.stack([x, x])), one, "f"), "f")
    with pytest.raises(ProblemError, match="D06: f holds sample 7 twice"):
        tabulated(arrays(x=x, u=np.stack([x, 2 * x]), sample=[7, 7]), one, "f")


def test_names_and_lengths_that_do_not_fit_are_said():
    with pytest.raises(ProblemError, match=r"(?s)D02: f has no `y`; it has x, yy, u.*`yy`"):
        tabulated(arrays(x=X, yy=Y, u=np.zeros((3, 4))), PLANE, "f")
    with pytest.raises(ProblemError, match=r"D02.*values of shape \(5,\)"):
        tabulated(arrays(x=X, y=Y, u=np.zeros(5)), PLANE, "f")
    with pytest.raises(ProblemError, match="D07: f names 3 samples and holds 2"):
        tabulated(arrays(x=X, y=Y, u=np.zeros((2, 3, 4)), sample=[1, 2, 3]), PLANE, "f")
