"""Layouts of published data: each is written as its makers do, from a known function that tells
every axis from every other, converted, and read by a problem that names it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

import compiler
import pdespec
from compiler.geometry.shapes.piece import whole
from compiler.measurements.layouts import LAYOUTS, centres, convert, ends, left
from compiler.measurements.measured import measurements
from compiler.measurements.readers import read
from pdespec.errors import ProblemError

EXAMPLES = Path(__file__).parents[3] / "examples"
SAMPLES = np.array([1.0, 2.0])
NX, NY, NT = 6, 5, 4


def u(x, y=0.0, t=0.0, s=1.0):
    return s * (np.sin(3 * x) + 10 * y - 100 * t * x)


def over(*axes):
    return np.meshgrid(*axes, indexing="ij")


def rows(path, value="u", axes="xt"):
    """Every value that a problem finds in a converted file is that of the function."""
    time = "time t in [0, 10]\n" if "t" in axes else ""
    space = [each for each in axes if each != "t"]
    low, high = [-10] * len(space), [10] * len(space)
    domain = "interval(-10, 10)" if len(space) == 1 else f"rectangle({low}, {high})"
    dt = f"dt({value}) = " if time else "0 = "
    text = f"""problem p
space {", ".join(space)}
{time}domain D = {domain}
param k ~ uniform(0, 9)
unknown {value} : scalar on D
in D: {dt}k*lap({value})
on boundary(D): {value} = 0
{f"at t = 0: {value} = 0" if time else ""}
data {value} on D from "{path}"
"""
    with h5py.File(path, "a") as file:
        if "k" not in file:
            file["k"] = SAMPLES[: len(file[value])] if file[value].ndim > len(axes) else 1.0
    return measurements(pdespec.parse(text)).terms[0].table


def same(table, axes):
    points = {name: table.points[:, k] for k, name in enumerate(axes)}
    scale = SAMPLES[table.samples]
    np.testing.assert_allclose(table.values[:, 0], u(**points, s=scale), atol=1e-5)


def test_pdebench_in_one_dimension_has_time_before_x_and_a_time_too_many(tmp_path):
    x, t = centres(NX), np.linspace(0, 1, NT + 1)
    with h5py.File(tmp_path / "1D_Burgers_Sols_Nu0.01.hdf5", "w") as file:
        own = np.stack([u(*over(x, [0.0], t[:-1]), s=s)[:, 0].T for s in SAMPLES])
        file["tensor"], file["x-coordinate"], file["t-coordinate"] = own.astype("f4"), x, t
        file.attrs["Nu"] = 0.01
    path = convert(tmp_path / "1D_Burgers_Sols_Nu0.01.hdf5", tmp_path / "b.h5", "pdebench_1d")
    found = rows(path)
    assert len(found) == 2 * NX * NT and found.points[:, 1].max() == t[-2]
    same(found, "xt")
    assert read(path).values["Nu"].tolist() == [0.01, 0.01]
    assert (
        len(LAYOUTS["pdebench_1d"](tmp_path / "1D_Burgers_Sols_Nu0.01.hdf5", samples=1)["u"]) == 1
    )


def test_pdebench_darcy_has_an_axis_of_one_and_cell_centres(tmp_path):
    x, y = centres(NX), centres(NY)
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        file["x-coordinate"], file["y-coordinate"] = x, y
        file["tensor"] = np.stack([u(*over(x, y), s=s)[None] for s in SAMPLES])
        file["nu"] = np.ones((2, NX, NY))
        file.attrs["beta"] = 0.1
    path = convert(tmp_path / "d.hdf5", tmp_path / "e.h5", "pdebench_darcy", {"nu": "a"})
    same(rows(path, axes="xy"), "xy")
    assert read(path).values["a"].shape == (2, NX, NY)
    with pytest.raises(ProblemError, match="D02.*no `mu`"):
        convert(tmp_path / "d.hdf5", tmp_path / "e.h5", "pdebench_darcy", {"mu": "a"})


def test_the_well_leaves_out_the_axes_that_do_not_vary(tmp_path):
    x, y, t = ends(NX), ends(NY), np.linspace(0, 1, NT)
    with h5py.File(tmp_path / "w.hdf5", "w") as file:
        file.attrs["n_trajectories"] = 2
        dims = file.create_group("dimensions")
        dims.attrs["spatial_dims"] = ["x", "y"]
        dims["x"], dims["y"], dims["time"] = x, y, np.stack([t, t])
        fields = file.create_group("t0_fields")
        fields["u"] = np.stack([np.moveaxis(u(*over(x, y, t), s=s), 2, 0) for s in SAMPLES])
        fields["u"].attrs.update(sample_varying=True, time_varying=True, dim_varying=[True, True])
        fields["m"] = 1 + x
        fields["m"].attrs.update(
            sample_varying=False, time_varying=False, dim_varying=[True, False]
        )
        vectors = file.create_group("t1_fields")
        vectors["v"] = np.zeros((2, NT, NX, NY, 2))
        file.create_group("scalars")["G"] = np.array([3.0, 4.0])
    path = convert(tmp_path / "w.hdf5", tmp_path / "c.h5", "the_well")
    same(rows(path, axes="xyt"), "xyt")
    found = read(path).values
    assert found["G"].tolist() == [3, 4] and found["v"].shape == (2, NX, NY, NT, 2)
    np.testing.assert_array_equal(found["m"][1, :, 3, 2], 1 + x)


def test_fno_burgers_leaves_the_end_of_the_period_out(tmp_path):
    x = np.linspace(0, 1, NX + 1)[:-1]
    a, end = (np.stack([u(x, t=t, s=s) for s in SAMPLES]) for t in (0, 1))
    savemat(tmp_path / "burgers_data_R10.mat", {"a": a, "u": end})
    path = convert(tmp_path / "burgers_data_R10.mat", tmp_path / "b.h5", "fno_burgers")
    found = rows(path)
    assert set(found.points[:, 1]) == {1.0} and found.points[:, 0].max() < 0.9
    same(found, "xt")


@pytest.mark.parametrize("version", [5, 7.3])
def test_fno_navier_stokes_begins_after_the_start(tmp_path, version):
    x, y, t = left(NX), left(NY), np.array([0.5, 1.0, 1.5, 2.0])
    a = np.stack([u(*over(x, y), s=s) for s in SAMPLES])
    w = np.stack([u(*over(x, y, t), s=s) for s in SAMPLES])
    if version == 5:
        savemat(tmp_path / "ns.mat", {"a": a, "u": w, "t": t})
    else:  # as h5py sees MATLAB's file: (t, y, x, sample)
        with h5py.File(tmp_path / "ns.mat", "w") as file:
            file["a"], file["u"], file["t"] = a.T, w.T, t[:, None]
    path = convert(tmp_path / "ns.mat", tmp_path / "ns.h5", "fno_navier_stokes", {"w": "u"})
    same(rows(path, axes="xyt"), "xyt")
    np.testing.assert_array_equal(read(path).values["w0"], a)


@pytest.mark.parametrize(("grid", "nodes"), [("centres", centres), ("ends", ends)])
def test_fno_darcy_lies_on_cell_centres_unless_it_is_said(tmp_path, grid, nodes):
    sol = np.stack([u(*over(nodes(NX), nodes(NY)), s=s) for s in SAMPLES])
    savemat(tmp_path / "piececonst.mat", {"coeff": sol * 0 + 3, "sol": sol})
    given = {} if grid == "centres" else {"grid": grid}
    path = convert(tmp_path / "piececonst.mat", tmp_path / "d.h5", "fno_darcy", **given)
    same(rows(path, axes="xy"), "xy")
    with pytest.raises(ProblemError, match="no grid is called 'middle'"):
        convert(tmp_path / "piececonst.mat", tmp_path / "d.h5", "fno_darcy", grid="middle")


def test_geo_fno_has_samples_last_and_channels_second(tmp_path):
    xy = np.random.default_rng(0).uniform(size=(7, 2, 2))
    np.save(tmp_path / "Random_UnitCell_XY_10.npy", xy)
    np.save(tmp_path / "Random_UnitCell_sigma_10.npy", SAMPLES * u(xy[:, 0], xy[:, 1]))
    path = convert(tmp_path, tmp_path / "e.h5", "geo_fno_elasticity", {"stress": "u"})
    same(rows(path, axes="xy"), "xy")

    # round an airfoil: at j = 0 the first and the last node of the wake coincide
    x, y = over(np.array([2.0, 1, 0, 1.5, 2]), np.array([0.0, 1, 2]))
    y[-2:, 1:] *= -1
    for name, each in (("X", x), ("Y", y)):
        np.save(tmp_path / f"NACA_Cylinder_{name}.npy", np.stack([each, each]))
    q = np.stack([np.stack([u(x, y, s=s) + k for k in range(5)]) for s in SAMPLES])
    np.save(tmp_path / "NACA_Cylinder_Q.npy", q)
    path = convert(tmp_path, tmp_path / "a.h5", "geo_fno_airfoil", {"rho": "u"})
    found = rows(path, axes="xy")
    assert len(found) == 2 * (15 - 1)
    same(found, "xy")


def test_the_displacements_of_geo_fno_sections_follow_from_their_nodes(tmp_path):
    problem = pdespec.load(EXAMPLES / "airfoil_euler.pde")
    d = (
        torch.rand(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) / 10
        - 0.05
    )
    batch = compiler.instance(problem, {"d": d}, size=3, dtype=torch.float64)
    (piece,) = batch.geometry["Omega"].pieces(problem.boundaries["foil"])
    share = torch.linspace(0, 1, 121, dtype=torch.float64)[:-1].expand(3, -1)
    line = whole(piece).chart(share[..., None])[0].numpy()
    line = np.concatenate([line, line[:, :1]], 1)  # both sides of the edge
    for name, each in zip("XY", np.moveaxis(line, 2, 0), strict=True):
        np.save(tmp_path / f"NACA_Cylinder_{name}.npy", np.stack([each, 2 * each], -1))
    np.save(tmp_path / "NACA_Cylinder_Q.npy", np.ones((3, 5, 121, 2)))
    names = {"vx": "v_x", "vy": "v_y"}
    path = convert(tmp_path, tmp_path / "airfoils.h5", "geo_fno_airfoil", names)
    with h5py.File(path) as file:
        assert np.allclose(file["d"], d.numpy(), atol=1e-9)


def test_neuraloperator_files_are_tensors_on_left_nodes(tmp_path):
    x = left(NX)
    inside = torch.rand(2, NX, NX, generator=torch.Generator().manual_seed(0)) > 0.5
    y = np.stack([u(*over(x, x), s=s) for s in SAMPLES])
    torch.save({"x": inside, "y": torch.as_tensor(y, dtype=torch.float32)}, tmp_path / "d.pt")
    path = convert(tmp_path / "d.pt", tmp_path / "d.h5", "neuralop_darcy")
    same(rows(path, axes="xy"), "xy")
    assert set(np.unique(read(path).values["a"])) == {0.02, 0.36}

    t = np.linspace(0, 0.96, 17)
    both = np.stack([u(*over(x, [0.0], t), s=s)[:, 0].T for s in SAMPLES])
    tensors = {"x": both[:, 0], "y": both, "visc": np.array([[0.01]])}
    torch.save({name: torch.as_tensor(each) for name, each in tensors.items()}, tmp_path / "b.pt")
    path = convert(tmp_path / "b.pt", tmp_path / "b.h5", "neuralop_burgers")
    same(rows(path), "xt")
    assert read(path).values["nu"].tolist() == [0.01, 0.01]
    torch.save({"x": inside, "more": compiler.TrainOptions()}, tmp_path / "c.pt")
    with pytest.raises(ProblemError, match="D01.*more than tensors"):
        convert(tmp_path / "c.pt", tmp_path / "c.h5", "neuralop_darcy")


def test_classic_examples_have_their_axes_either_way(tmp_path):
    x, t = np.linspace(-1, 1, NX), np.linspace(0, 0.99, NT)
    one = u(*over(x, [0.0], t))[:, 0]
    np.savez(tmp_path / "Burgers.npz", x=x[:, None], t=t[:, None], usol=one)
    savemat(tmp_path / "Allen_Cahn.mat", {"x": x, "t": t, "u": one.T})
    for name, options in (("Burgers.npz", {}), ("Allen_Cahn.mat", {"value": "u"})):
        path = convert(tmp_path / name, tmp_path / f"{name}.h5", "deepxde", **options)
        same(rows(path), "xt")
    square = u(*over(x, [0.0], x + 1))[:, 0]
    np.savez(tmp_path / "square.npz", x=x, t=x + 1, usol=square.T)
    with pytest.raises(ProblemError, match="D02.*is square"):
        convert(tmp_path / "square.npz", tmp_path / "s.h5", "deepxde")
    same(rows(convert(tmp_path / "square.npz", tmp_path / "s.h5", "deepxde", order="tx")), "xt")


def probes(times, places, heading, vector=False):
    lines = [*heading, "# Time"]
    for t in times:
        own = [-1e300 if x > 5 else float(u(x, y, t)) for x, y, _ in places]
        cells = [f"({each!r} 0 0)" if vector else repr(each) for each in own]
        lines.append(f"{t} {' '.join(cells)}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_openfoam_probes_overlap_after_restarts_and_may_lie_outside(tmp_path, vector, old):
    places = [(0.1, 0.2, 0.0), (0.3, 0.1, 0.0), (9.0, 0.0, 0.0)]
    heading = [f"# Probe {k} ({x} {y} {z})" for k, (x, y, z) in enumerate(places)]
    if old:
        heading = [f"# {n} " + " ".join(str(p[k]) for p in places) for k, n in enumerate("xyz")]
    for start, times in (("0", [0.0, 0.5, 1.0]), ("0.5", [0.5, 0.75])):
        (tmp_path / start).mkdir()
        (tmp_path / start / "U").write_text(probes(times, places, heading, vector))
    path = convert(tmp_path, tmp_path / "p.h5", "openfoam_probes", {"U": "u"}, field="U")
    with h5py.File(path, "a") as file:
        if vector:
            values = file["u"][:, 0]
            del file["u"]
            file["u"] = values
    found = rows(path, axes="xyt")
    assert found.left_out == 3 and len(found) == 6  # two probes at 0, 0.5, 0.75
    assert sorted(set(found.points[:, 2])) == [0, 0.5, 0.75]
    same(found, "xyt")


@pytest.mark.parametrize("mark", ["  ", ","])
def test_comsol_tables_are_wide_in_time_and_names_hold_blanks(tmp_path, mark):
    x, y = (each.ravel() for each in over(ends(3), ends(2)))
    heading = mark.join(["% x", "y", "u (K) @ t=0", "u (K) @ t=0.5"])
    body = [
        mark.join(map(repr, map(float, (p, q, u(p, q, 0), u(p, q, 0.5)))))
        for p, q in zip(x, y, strict=True)
    ]
    body[0] = mark.join([repr(float(x[0])), repr(float(y[0])), "NaN", "NaN"])
    text = ["% Model: rod.mph", "% Length unit: m", heading, *body]
    (tmp_path / "t.txt").write_text("\n".join(text) + "\n")
    found = rows(convert(tmp_path / "t.txt", tmp_path / "t.h5", "comsol", value="u"), axes="xyt")
    assert found.left_out == 2 and len(found) == 10
    same(found, "xyt")
    with pytest.raises(ProblemError, match="D02: no column is called `T`"):
        convert(tmp_path / "t.txt", tmp_path / "t.h5", "comsol", value="T")


def test_a_layout_that_is_none_is_named_with_the_nearest(tmp_path):
    with pytest.raises(KeyError, match="did you mean 'pdebench_1d'"):
        convert(tmp_path / "a.h5", tmp_path / "b.h5", "pdebench1d")
    with pytest.raises(ProblemError, match="D01: there is no file"):
        convert(tmp_path / "a.h5", tmp_path / "b.h5", "pdebench_1d")
    np.savez(tmp_path / "a.npz", x=[1.0])
    with pytest.raises(ProblemError, match="D02.*no `t`; it has x"):
        convert(tmp_path / "a.npz", tmp_path / "b.h5", "deepxde")
