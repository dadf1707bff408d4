"""Families that are left in their file: the same rows, losses and errors as in memory."""

from __future__ import annotations

import itertools

import h5py
import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.data.from_files import Splines
from compiler.estimation import estimate
from compiler.measurements import layouts, readers
from compiler.measurements.layouts import convert
from compiler.measurements.readers import Axes, read
from compiler.measurements.streamed import Streamed, rows_of
from compiler.measurements.table import Columns
from compiler.training.loop import train
from compiler.training.options import TrainOptions
from pdespec.errors import ProblemError

X, Y, T = np.linspace(0, 1, 5), np.linspace(0, 2, 4), np.linspace(0, 1, 3)
RANDOM = np.random.default_rng(0)
GRID = Columns(Axes(("x", "y"), "t"), ("v.x", "v.y"), "v")


@pytest.fixture
def small(monkeypatch):
    """Everything with a first axis is too large for memory, and read three samples at a time."""

    def set_(bytes_=0):
        monkeypatch.setattr(readers, "IN_MEMORY", bytes_)
        monkeypatch.setattr(layouts, "IN_MEMORY", bytes_)
        monkeypatch.setattr("compiler.measurements.stored.BLOCK", 3 * 8 * 60 * 2)

    return set_


def written(path, **arrays):
    labels = arrays.pop("labels", {})
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            values = np.asarray(values)
            file[name] = values.astype(bytes) if values.dtype.kind == "U" else values
            for k, label in enumerate(labels.get(name, ())):
                file[name].dims[k].label = label
    return path


def both(path, columns, small):
    """The rows in memory, and those left in the file."""
    held = rows_of(read(path, axes=columns.axes), columns, path.name)
    small()
    left = rows_of(read(path, axes=columns.axes), columns, path.name)
    assert isinstance(left, Streamed) and not isinstance(held, Streamed)
    return held, left


def same(held, left):
    assert (held.keys, held.width, len(held)) == (left.keys, left.width, len(left))
    assert (held.left_out, dict(held.units)) == (left.left_out, dict(left.units))
    for name in ("low", "high"):
        np.testing.assert_array_equal(getattr(held, name), getattr(left, name))
    np.testing.assert_allclose(held.square, left.square, rtol=1e-14)
    points, values = left.read(range(len(held.keys)))
    for k in range(len(held.keys)):
        own = held.sample(k)
        np.testing.assert_array_equal(points[k], own.points)
        np.testing.assert_array_equal(values[k], own.values)
        np.testing.assert_allclose(left.weights, own.weights, rtol=1e-14)
        np.testing.assert_array_equal(left.sample(k).values, own.values)
        np.testing.assert_array_equal(left.points_of(k), held.points_of(k))
        assert (own.sigma is None) == (left.sigma is None)
        if own.sigma is not None:
            np.testing.assert_array_equal(own.sigma, left.sigma)


V = RANDOM.normal(size=(7, 5, 4, 3, 2))


def test_components_on_a_grid_come_by_name_or_along_a_last_axis(tmp_path, small):
    parts = {"v.x": V[..., 0], "v_y": V[..., 1]}
    same(*both(written(tmp_path / "a.h5", x=X, y=Y, t=T, **parts), GRID, small))
    small(2**20)
    whole = written(tmp_path / "b.h5", x=X, y=Y, time=T, v=V, sample=np.arange(10, 17))
    same(*both(whole, GRID, small))


def test_axes_that_the_file_names_are_put_in_order(tmp_path, small):
    turned = {"v": V.transpose(0, 3, 2, 1, 4)}
    labels = {"v": ("sample", "time", "y", "x", "c")}
    path = written(tmp_path / "a.h5", x=X, y=Y, t=T, labels=labels, **turned)
    held, left = both(path, GRID, small)
    same(held, left)
    np.testing.assert_array_equal(left.read([2])[1][0], V[2].reshape(-1, 2))


@pytest.mark.parametrize("shared", [True, False])
def test_points_may_be_those_of_all_samples_or_of_each(tmp_path, small, shared):
    columns = Columns(Axes(("x", "y")), ("u",))
    x, y, u = RANDOM.uniform(size=(3, 6, 9))
    places = {"x": x[0], "y": y[0]} if shared else {"x": x, "y": y}
    path = written(tmp_path / "a.h5", u=u, **places, sample=[f"s{k}" for k in range(6)])
    held, left = both(path, columns, small)
    same(held, left)
    assert left.shared == shared


def test_points_without_numbers_are_left_out_and_weights_are_those_of_points(tmp_path, small):
    u = RANDOM.normal(size=(6, 5))
    u[:, 2] = np.nan
    columns = Columns(Axes(("x",)), ("u",))
    path = written(tmp_path / "a.h5", x=X, u=u)
    same(*both(path, columns, small))
    sigma = np.array([1, 2, 3, 4, 5.0])
    found = rows_of(read(written(path, x=X, u=u, sigma=sigma)), columns, "a.h5")
    np.testing.assert_array_equal(found.sigma, sigma[[0, 1, 3, 4]])
    weights = found.sigma**-2.0
    np.testing.assert_allclose(found.weights, weights / weights.mean(), rtol=1e-14)


@pytest.mark.parametrize("labelled", [("sigma", "v"), ("v",)])
def test_deviations_of_points_lie_as_the_axes_that_the_file_names(tmp_path, small, labelled):
    sigma = 1 + RANDOM.uniform(size=(5, 4, 3))  # over x, y, t
    names = ("sample", "time", "y", "x", "c")
    labels = {"v": names, "sigma": names[1:4]}
    arrays = {"v": V.transpose(0, 3, 2, 1, 4), "sigma": sigma.transpose(2, 1, 0)}
    labels = {name: labels[name] for name in labelled}
    path = written(tmp_path / "a.h5", x=X, y=Y, t=T, labels=labels, **arrays)
    small()
    found = rows_of(read(path, axes=GRID.axes), GRID, path.name)
    assert isinstance(found, Streamed)
    np.testing.assert_array_equal(found.sigma, sigma.ravel())
    path = written(tmp_path / "b.h5", x=X, y=Y, t=T, v=V, sigma=sigma.transpose(2, 1, 0))
    with pytest.raises(ProblemError, match="D08: b.h5 has sigma in shape"):
        rows_of(read(path, axes=GRID.axes), GRID, path.name)


def test_some_samples_in_another_order_are_found_by_their_names(tmp_path, small):
    small()
    columns = Columns(Axes(("x",)), ("u",))
    u = RANDOM.normal(size=(4, 5))
    path = written(tmp_path / "a.h5", x=X, u=u, sample=["a", "b", "c", "d"])
    found = rows_of(read(path), columns, "a.h5").numbered(("d", "b"))
    np.testing.assert_array_equal(found.read([0, 1])[1][..., 0], u[[3, 1]])
    node = torch.tensor([[[0.25]]], dtype=torch.float64)
    assert float(Splines(found, "f", (None,))[1](node)) == pytest.approx(u[1, 1], rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": [[1, 2, 3, 4, 5.0], [1, 2, 3, 4, 5]]}, "D06: samples 0 and 1 of a.h5 are the same"),
        ({"u": [[1, 2, 3, 4, 5.0], [1, 2, np.nan, 4, 6]]}, "D03: sample 1 .* than sample 0"),
        ({"u": [[1, 2, np.nan, 4, 6], [1, 2, 3, 4, 5.0]]}, "D03: sample 1 .* than sample 0"),
        ({"u": np.full((2, 5), np.nan)}, "D03: sample 0 of a.h5 has no numbers"),
        ({"sample": ["a"]}, "D07: a.h5 names 1 samples and holds 2"),
        ({"sample": ["a", "a"]}, "D06: a.h5 holds sample a twice"),
        ({"x": [0, 0.5, 0.5, 0.7, 1]}, "D06: a.h5 holds places along x twice"),
        ({"sigma": [[1.0] * 5] * 2}, "D08: a.h5 has sigma in shape"),
        ({"sigma": [1.0, 0, 1, 1, 1]}, "D08: `sigma` in a.h5 must be positive"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, small, change, message):
    small()
    arrays = {"x": X, "u": [[1, 2, 3, 4, 5.0], [1, 2, 3, 4, 6]], **change}
    path = written(tmp_path / "a.h5", **arrays)
    with pytest.raises(ProblemError, match=message):
        rows_of(read(path), Columns(Axes(("x",)), ("u",)), "a.h5")


def test_what_is_no_family_is_read_where_it_fits(tmp_path, small, monkeypatch):
    small()
    columns = Columns(Axes(("x", "y")), ("u",))
    path = written(tmp_path / "a.h5", x=X, y=X, u=RANDOM.normal(size=(5, 5)))  # as well a family
    assert not rows_of(read(path), columns, "a.h5").family
    monkeypatch.setattr(readers, "LARGEST", 100)
    with pytest.raises(ProblemError, match="(?s)D01: a.h5 cannot be read: its arrays.*first"):
        rows_of(read(path), columns, "a.h5")


RODS = """problem rods
space x
domain L = interval(0, 1)
param a ~ uniform(1, 2)
input f : scalar on L ~ grf(length = 0.3)
unknown u : scalar on L
in L: -a*dxx(u) = f
on boundary(L): u = 0
data u on L from "u.h5"
reference u from "u.h5"
"""


def rods(tmp_path):
    a, c = np.linspace(1, 2, 6), np.linspace(-1, 1, 6)
    shape = c[:, None] * X**2 / 2 + (1 - c[:, None] / 2) * X
    u = (shape - X**2) / a[:, None]
    f = np.broadcast_to(2 - c[:, None], u.shape) + 0 * X
    names = [f"s{k}" for k in range(6)]
    arrays = {"x": X, "u": u, "a": a, "sample": names}
    written(tmp_path / "u.h5", **arrays, **{"f/x": X, "f/f": f, "f/sample": names})
    (tmp_path / "rods.pde").write_text(RODS)
    return pdespec.load(tmp_path / "rods.pde")


def test_a_training_is_that_of_rows_in_memory_bit_for_bit(tmp_path, small):
    histories, errors = [], []
    for name in ("held", "left"):
        (tmp_path / name).mkdir()
        problem = rods(tmp_path / name)
        options = TrainOptions(
            steps=6, batch=3, rows=3, held_out=2, validation=2, validate_every=3, log_every=1,
            points={"interior": 8, "operator": 16}, precision="float64",
        )  # fmt: skip
        model = compiler.build(problem, "gino", latent=(8,), modes=3, hidden=4, layers=1, seed=0)
        run = train(problem, model, options, tmp_path / name / "run")
        histories.append([{k: v for k, v in row.items() if k != "seconds"} for row in run.history])
        errors.append(compiler.evaluate(tmp_path / name / "run", samples=1).files)
        small()
    assert len(histories[0]) == 6 and histories[0] == histories[1]
    assert errors[0] == pytest.approx(errors[1], rel=1e-12) and errors[0]["u"] > 0


def test_what_needs_all_rows_says_so(tmp_path, small):
    small()
    (tmp_path / "rod.pde").write_text(
        "problem rod\nspace x\ndomain L = interval(0, 1)\nparam a ~ uniform(1, 2)\n"
        "trainable k = 1\nunknown u : scalar on L\nin L: -k*dxx(u) = a\non boundary(L): u = 0\n"
        'data u on L from "u.h5"\n'
    )
    u = np.arange(1, 3)[:, None] * (X - X**2) / 2
    written(tmp_path / "u.h5", x=X, u=u, a=np.array([1.0, 2.0]))
    problem = pdespec.load(tmp_path / "rod.pde")
    with pytest.raises(ProblemError, match="D01.*`data.u` in u.h5 do not fit in memory"):
        estimate(problem)


def test_published_sets_are_converted_block_by_block(tmp_path, small):
    tensor = RANDOM.normal(size=(7, 3, 5)).astype("f4")
    with h5py.File(tmp_path / "p.hdf5", "w") as file:
        file["tensor"], file["x-coordinate"] = tensor, X
        file["t-coordinate"] = np.append(T, 1.5)
        file.attrs["Nu"] = 0.01
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        file["tensor"], file["nu"] = tensor[:, None], np.abs(tensor)
        file["x-coordinate"], file["y-coordinate"] = T, X
    with h5py.File(tmp_path / "w.hdf5", "w") as file:
        file.attrs["n_trajectories"] = 7
        dims = file.create_group("dimensions")
        dims.attrs["spatial_dims"] = ["x"]
        dims["x"], dims["time"] = X, T
        file["t0_fields/u"] = tensor
        file["t1_fields/v"] = np.stack([tensor, 2 * tensor], -1)
    found = {}
    for _, (name, layout) in itertools.product(
        range(2), {"p": "pdebench_1d", "d": "pdebench_darcy", "w": "the_well"}.items()
    ):
        target = convert(tmp_path / f"{name}.hdf5", tmp_path / f"{name}.h5", layout)
        with h5py.File(target) as file:
            held = {key: file[key][()] for key in file}
        if name in found:
            assert held.keys() == found[name].keys()
            for key, values in held.items():
                np.testing.assert_array_equal(values, found[name][key])
        found[name] = held
        small() if name == "w" else None
    few = convert(tmp_path / "p.hdf5", tmp_path / "few.h5", "pdebench_1d", samples=2)
    with h5py.File(few) as file:
        np.testing.assert_array_equal(file["u"], tensor[:2].transpose(0, 2, 1))
