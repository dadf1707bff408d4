"""Files of every kind hold the same rows; what is not a number, and what would run code, is no
value."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import netcdf_file, savemat

from compiler.measurements import readers
from compiler.measurements.readers import Axes, read
from compiler.measurements.table import Columns, Table, tabulated
from pdespec.errors import ProblemError

AXES = Axes(("x", "y"), "t")
COLUMNS = Columns(AXES, ("v.x", "v.y"), "v")
X, Y, T = np.linspace(0, 1, 3), np.linspace(0, 2, 4), np.array([0.0, 0.5])
GRID = np.stack(np.meshgrid(X, Y, T, indexing="ij"), -1)  # 3 4 2 3
V = np.stack([GRID[..., 0] + 10 * GRID[..., 1], GRID[..., 2] - GRID[..., 0]], -1)
ROWS = np.concatenate([GRID, V], -1).reshape(-1, 5)


def table(path: Path, columns: Columns = COLUMNS) -> Table:
    return tabulated(read(path, columns.names().__contains__, columns.axes), columns, path.name)


def columns_of(path: Path) -> None:
    names = ("x", "y", "t", "v_x", "v_y")
    np.savez(path, **dict(zip(names, ROWS.T, strict=True)))


def csv(path: Path, mark: str = ",", point: str = ".") -> None:
    lines = [mark.join(("x", "y", "t", "v.x", "v.y"))]
    lines += [mark.join(repr(float(each)).replace(".", point) for each in row) for row in ROWS]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


def german(path: Path) -> None:
    csv(path, ";", ",")


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.update({"x": X, "y": Y, "t": T, "v.x": V[..., 0], "v.y": V[..., 1]})


def matlab(path: Path) -> None:
    savemat(path, {"x": X, "y": Y, "t": T, "v": V})


def matlab_73(path: Path) -> None:
    """As MATLAB writes it: a block of 512 bytes, all axes reversed, rows as columns."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.update({"x": X[:, None], "y": Y[:, None], "t": T[:, None], "v": V.T})
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))


def netcdf(path: Path) -> None:
    """Named axes, as CF advises the time first; in seconds since a date it stays a number."""
    with netcdf_file(path, "w") as file:
        for name, values in (("x", X), ("y", Y), ("t", T)):
            file.createDimension(name, len(values))
            file.createVariable(name, "d", (name,))[:] = values
        file.variables["t"].units = "s since 2020-01-01"
        for k, name in enumerate(("v_x", "v_y")):
            file.createVariable(name, "d", ("t", "y", "x"))[:] = V[..., k].T


def parquet(path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    names = ["x", "y", "t", "v_x", "v_y"]
    write_table(pyarrow.table(dict(zip(names, ROWS.T, strict=True))), path)


def series(path: Path) -> None:
    """One mesh, values at its points at two times; vectors have three components."""
    import meshio

    points = GRID[:, :, 0, :2].reshape(-1, 2)
    cells = [("vertex", np.arange(len(points))[:, None])]
    with meshio.xdmf.TimeSeriesWriter(path) as writer:
        writer.write_points_cells(points, cells)
        for k, time in enumerate(T):
            v = np.pad(V[:, :, k].reshape(-1, 2), ((0, 0), (0, 1)))
            writer.write_data(float(time), point_data={"v": v})


def collection(path: Path) -> None:
    import meshio

    points = np.pad(GRID[:, :, 0, :2].reshape(-1, 2), ((0, 0), (0, 1)))
    cells = [("vertex", np.arange(len(points))[:, None])]
    sets = []
    for k, time in enumerate(T):
        v = np.pad(V[:, :, k].reshape(-1, 2), ((0, 0), (0, 1)))
        meshio.write(path.with_name(f"{k}.vtu"), meshio.Mesh(points, cells, point_data={"v": v}))
        sets.append(f'<DataSet timestep="{time}" file="{k}.vtu"/>')
    path.write_text(f"<VTKFile><Collection>{''.join(sets)}</Collection></VTKFile>")


KINDS = {
    "a.csv": csv, "b.txt": german, "c.npz": columns_of, "d.h5": hdf5, "e.mat": matlab,
    "f.mat": matlab_73, "g.nc": netcdf, "h.parquet": parquet, "i.xdmf": series, "j.pvd": collection,
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_holds_the_same_rows(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where meshio writes the arrays of a series
    KINDS[name](tmp_path / name)
    found = table(tmp_path / name)
    rows = np.column_stack([found.points, found.values])
    order = np.lexsort(rows[:, :3].T[::-1])
    np.testing.assert_allclose(rows[order], ROWS, atol=1e-12)
    assert not found.family and found.left_out == 0


def test_values_at_cells_lie_at_their_middles(tmp_path):
    import meshio

    points = np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [3, 3, 0]])
    mesh = meshio.Mesh(points, [("triangle", [[0, 1, 2], [1, 3, 2]])], cell_data={"u": [[1.0, 2]]})
    meshio.write(tmp_path / "cells.vtu", mesh)
    found = table(tmp_path / "cells.vtu", Columns(Axes(("x", "y")), ("u",)))
    np.testing.assert_allclose(found.points, [[1, 1], [2, 2]])
    np.testing.assert_allclose(found.values[:, 0], [1, 2])


def test_units_stand_in_the_heading_or_in_a_row_below(tmp_path):
    one = Columns(Axes(("x",), "t"), ("u",))
    (tmp_path / "a.csv").write_text("x [mm],time (s),u\n0,1,2\n")
    (tmp_path / "b.csv").write_text("x;t;u\nmm;s;[K]\n0,5;1;2,5\n")
    (tmp_path / "c.txt").write_text("# x t u\n0 1 2\n1 1 3\n")
    assert table(tmp_path / "a.csv", one).units == {"x": "mm", "t": "s"}
    assert table(tmp_path / "b.csv", one).units == {"x": "mm", "t": "s", "u": "K"}
    assert table(tmp_path / "b.csv", one).values.tolist() == [[2.5]]
    assert table(tmp_path / "c.txt", one).points.tolist() == [[0, 1], [1, 1]]


def test_what_stands_for_no_value_is_none(tmp_path):
    one = Columns(Axes(("x",)), ("u",))
    (tmp_path / "a.csv").write_text("x,u\n0,\n1,NaN\n2,n/a\n3,4\n")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"], file["u"] = np.arange(3.0), np.array([-999, 1, 9.969209968386869e36])
        file["u"].attrs["_FillValue"] = -999.0
        file["u"].attrs["units"] = "K"
    for name, left, value in (("a.csv", 3, 4), ("b.h5", 2, 1)):
        found = table(tmp_path / name, one)
        assert found.left_out == left and found.values.tolist() == [[value]]
    assert table(tmp_path / "b.h5", one).units == {"u": "K"}


def test_packed_values_are_unpacked(tmp_path):
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        file.createDimension("x", 2)
        file.createVariable("x", "d", ("x",))[:] = [0, 1]
        u = file.createVariable("u", "h", ("x",))
        u.scale_factor, u.add_offset = 0.5, 10.0
        u[:] = [2, 4]
    found = table(tmp_path / "a.nc", Columns(Axes(("x",)), ("u",)))
    assert found.values[:, 0].tolist() == [11, 12]


def test_nothing_that_runs_code_is_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.savez(tmp_path / "a.npz", x=np.array([Trap(), 1], dtype=object), u=np.arange(2.0))
    with pytest.raises(ProblemError, match="D01.*Python objects.*runs code"):
        table(tmp_path / "a.npz", Columns(Axes(("x",)), ("u",)))
    assert not (tmp_path / "ran").exists()


def test_what_is_no_file_is_said(tmp_path, monkeypatch):
    (tmp_path / "measured.csv").write_text("x,u\n1,2,3\n")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "a.pkl").touch()
    (tmp_path / "b.h5").write_bytes(b"no file of that kind")
    for name, text in {
        "mesured.csv": "there is no file .*did you mean measured.csv",
        "folder.csv": "not a regular file",
        "a.pkl": "of no kind that is read",
        "b.h5": "cannot be read as h5",
        "measured.csv": "row 1 has 3 cells under 2 names",
    }.items():
        with pytest.raises(ProblemError, match=f"(?s)D01.*{text}"):
            read(tmp_path / name)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "c.parquet").touch()
    with pytest.raises(ProblemError, match=r"(?s)D01.*pyarrow.*pip install 'pdespec\[data\]'"):
        read(tmp_path / "c.parquet")


def test_arrays_too_large_to_load_are_refused_before(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LARGEST", 1000)
    np.savez_compressed(tmp_path / "a.npz", u=np.zeros(10**4))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("u", (10**4,), "f8", compression="gzip")
    savemat(tmp_path / "c.mat", {"u": np.zeros(10**4)}, do_compression=True)
    for name in ("a.npz", "b.h5", "c.mat"):
        with pytest.raises(ProblemError, match="D01.*GiB, more than"):
            read(tmp_path / name)
        assert read(tmp_path / name, lambda name: False).names == ("u",)
