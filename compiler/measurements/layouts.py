"""Layouts of data that others publish, put into the one that problems read.

Each reader knows what the files of its layout do not say: the order of axes, where grid points and
times lie, and which numbers are not values. `convert` writes what it gives as HDF5. What is known
of each layout stands at its reader; real files are larger than what the tests make."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from compiler.arrays import Array
from compiler.files import replacing
from compiler.measurements.readers import numbers, read
from compiler.measurements.stored import IN_MEMORY, Stored, blocks
from operators.registry import Registry
from pdespec.errors import fail

Arrays = dict[str, Any]  # arrays, or `Stored` ones that are large
LAYOUTS: Registry[Callable[..., Arrays]] = Registry("layout")
"""Layouts of others by name: functions of a path that give arrays by name, as `convert` writes
them."""
# what OpenFOAM writes for a probe outside of its mesh, in each component, has this size at least
OUTSIDE = 1e299


def convert(
    source: str | Path,
    target: str | Path,
    layout: str,
    names: Mapping[str, str] | None = None,
    **options: Any,
) -> Path:
    """Writes a file of another layout as HDF5 that a problem can name. `names` renames its arrays
    to what the problem calls them; options are those of the reader in `LAYOUTS`.

    Raises: KeyError with the nearest name for a layout that is none; ProblemError D01 and D02 for
    files that are missing or of another layout.
    """
    found, names, target = LAYOUTS[layout](Path(source), **options), names or {}, Path(target)
    for name in names:
        if name not in found:
            raise fail("D02", f"{source} has no `{name}`", f"it has {', '.join(found)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as out, h5py.File(out, "w") as file:
        for name, values in found.items():
            called = names.get(name, name)
            if isinstance(values, Stored):
                dataset = file.create_dataset(called, values.shape, "f8")
                for some in blocks(values.shape):
                    dataset[some] = values[some]
            else:
                file[called] = values.astype(bytes) if values.dtype.kind == "U" else values
    return target


def _need(found: Mapping[str, Any], names: Sequence[str], path: Path) -> list[NDArray[Any]]:
    """Raises: ProblemError D02 where one is absent."""
    for name in names:
        if name not in found:
            raise fail(
                "D02",
                f"{path} has no `{name}`; it has {', '.join(found) or 'nothing'}",
                "it is of another layout",
            )
    return [found[name] for name in names]


def left(count: int, length: float = 1.0) -> Array:
    """Nodes i h, the end not repeated: of periodic grids."""
    return np.arange(count) * length / count


def centres(count: int, length: float = 1.0) -> Array:
    """Nodes (i + 1/2) h: of cells."""
    return (np.arange(count) + 0.5) * length / count


def ends(count: int, length: float = 1.0) -> Array:
    """Nodes with both ends."""
    return np.linspace(0, length, count)


GRIDS: dict[str, Callable[..., Array]] = {"left": left, "centres": centres, "ends": ends}


def _grid(name: str) -> Callable[..., Array]:
    if name not in GRIDS:
        raise fail("D02", f"no grid is called {name!r}", f"one of {', '.join(GRIDS)}")
    return GRIDS[name]


# --------------------------------------------------------------------------------------------------
# benchmarks of operators


@LAYOUTS.register("pdebench_1d")
def pdebench_1d(path: Path, samples: int | None = None) -> Arrays:
    """PDEBench: advection, Burgers, reaction-diffusion in one dimension: `u` over (x, t).

    `tensor` is (samples, time, x), x are cell centres, and `t-coordinate` has one time more than
    there are levels: the last is dropped. Params are attributes (`beta`, `Nu`, `rho`); Burgers'
    equation there is u_t + (u^2/2)_x = Nu/pi u_xx.
    """
    with _h5(path) as file:
        tensor, x, t = _need(file, ("tensor", "x-coordinate", "t-coordinate"), path)
        u = _left(path, tensor, samples, (0, 2, 1))
        x, t = numbers(x[()]), numbers(t[()])[: u.shape[2]]
        params = {
            name: np.full(len(u), float(np.ravel(value)[0]))
            for name, value in file.attrs.items()
            if not isinstance(value, (str, bytes, h5py.Empty)) and np.size(value) == 1
        }
    return {"x": x, "t": t, "u": u, **params}


@LAYOUTS.register("pdebench_darcy")
def pdebench_darcy(path: Path, samples: int | None = None) -> Arrays:
    """PDEBench: Darcy flow: `u` and the coefficient `nu` over (x, y), the source `beta`.

    Axes are (x, y) on cell centres. The solution is a relaxed transient with u = 0 half a cell
    outside of the unit square.
    """
    with _h5(path) as file:
        tensor, nu, x, y = _need(file, ("tensor", "nu", "x-coordinate", "y-coordinate"), path)
        u, nu = (_left(path, each, samples) for each in (tensor, nu))
        found = {"x": numbers(x[()]), "y": numbers(y[()]), "u": u, "nu": nu}
        if "beta" in file.attrs:
            found["beta"] = np.full(len(u), float(np.ravel(file.attrs["beta"])[0]))
    return found


@LAYOUTS.register("the_well")
def the_well(path: Path, samples: int | None = None) -> Arrays:
    """The Well: every field of `t0_fields`, `t1_fields` over (x, .., t), components last.

    Axes that do not vary are absent in the file and are repeated; scalars become params. A time for
    each run must be the same in all of them.
    """
    with _h5(path) as file:
        (dimensions,) = _need(file, ("dimensions",), path)
        space = [_text(each) for each in np.ravel(dimensions.attrs["spatial_dims"])]
        places = {name: numbers(dimensions[name][()]) for name in space}
        time = numbers(dimensions["time"][()])
        if time.ndim == 2:
            if not np.allclose(time, time[0]):
                raise fail(
                    "D02", f"the runs of {path} have times of their own", "convert each alone"
                )
            time = time[0]
        runs = int(file.attrs["n_trajectories"])
        runs = runs if samples is None else min(runs, samples)
        found: Arrays = {**places, "t": time}
        shape = (runs, len(time), *(len(places[name]) for name in space))
        for rank, group in ((0, "t0_fields"), (1, "t1_fields")):
            for name, each in file.get(group, {}).items():
                turned = (0, *range(2, 2 + len(space)), 1, *range(2 + len(space), each.ndim))
                found[name] = (
                    _left(path, each, runs, turned)
                    if each.ndim == len(shape) + rank
                    and each.shape[1 : len(shape)] == shape[1:]
                    and len(each) >= runs
                    else np.moveaxis(_whole(each, shape, rank), 1, 1 + len(space))
                )
        for name, each in file.get("scalars", {}).items():
            value = numbers(each[()])
            if value.ndim == 0 or each.attrs.get("time_varying", False) in (False, 0):
                found[name] = np.broadcast_to(value.ravel()[:runs], (runs,)).copy()
    return found


def _whole(dataset: Any, shape: tuple[int, ...], rank: int) -> NDArray[Any]:
    """A field with all its axes: sample, time, space, components."""
    values = numbers(dataset[()])
    varying = [bool(dataset.attrs.get("sample_varying", True))]
    varying += [bool(dataset.attrs.get("time_varying", True))]
    varying += [bool(each) for each in np.ravel(dataset.attrs.get("dim_varying", True))]
    varying += [True] * (len(shape) - len(varying))
    for axis, there in enumerate(varying):
        if not there:
            values = np.expand_dims(values, axis)
    wanted = (*shape, *values.shape[len(shape) :])
    if values.ndim != len(shape) + rank:
        raise fail("D02", f"`{dataset.name}` has {values.ndim} axes", "its layout is another")
    return np.broadcast_to(values[: shape[0]], wanted)


def _left(
    path: Path, dataset: Any, samples: int | None, order: tuple[int, ...] | None = None
) -> Any:
    """The first samples of a dataset with its axes in another order, none of an axis of one channel
    behind the samples; in its file where that is large."""
    single = order is None and dataset.ndim == 4 and dataset.shape[1] == 1

    def cleaned(values: NDArray[Any]) -> NDArray[Any]:
        found = numbers(values)[:, 0] if single else numbers(values)
        return found if order is None else found.transpose(order)

    count = len(dataset) if samples is None else min(samples, len(dataset))
    if 8 * dataset.size // max(1, len(dataset)) * count <= IN_MEMORY:
        return cleaned(dataset[:count])
    shape = tuple(dataset.shape[k] for k in order or range(dataset.ndim) if k > 0)
    return Stored(path, dataset.name, (count, *shape[int(single) :]), cleaned)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _h5(path: Path) -> Any:
    read(path, lambda name: False)  # whether it is there, and HDF5
    return h5py.File(path, "r")


@LAYOUTS.register("fno_burgers")
def fno_burgers(path: Path, end: float = 1.0, grid: str = "left") -> Arrays:
    """Burgers' equation of the Fourier neural operator: `u0` and `u` over (x, t) at the time
    `end`. The generator leaves the end of the period out (`grid="left"`)."""
    found = read(path).values
    a, u = _need(found, ("a", "u"), path)
    x = _grid(grid)(a.shape[1])
    return {"x": x, "t": np.array([end]), "u0": a, "u": u[:, :, None]}


@LAYOUTS.register("fno_navier_stokes")
def fno_navier_stokes(path: Path) -> Arrays:
    """Vorticity of the Fourier neural operator: `w0` at t = 0 and `w` over (x, y, t), periodic with
    period 1.

    The first level of `u` is not the start but t = T/steps, as `t` says. In files of version 7.3,
    which h5py shows with their axes reversed, they are (sample, x, y, t) again.
    """
    found = read(path).values
    a, u = _need(found, ("a", "u"), path)
    t = np.ravel(found["t"]) if "t" in found else np.arange(1, u.shape[3] + 1.0)
    x = left(a.shape[1])
    return {"x": x, "y": left(a.shape[2]), "t": t, "w0": a, "w": u}


@LAYOUTS.register("fno_darcy")
def fno_darcy(path: Path, grid: str = "centres") -> Arrays:
    """Darcy flow of the Fourier neural operator: `a` and `u` over (x, y). The generator returns
    cell centres; many readers take ends, `grid="ends"`."""
    a, u = _need(read(path).values, ("coeff", "sol"), path)
    nodes = _grid(grid)
    return {"x": nodes(a.shape[1]), "y": nodes(a.shape[2]), "a": a, "u": u}


@LAYOUTS.register("geo_fno_elasticity")
def geo_fno_elasticity(path: Path) -> Arrays:
    """Geo-FNO: `stress` at a cloud of points for each sample. `path` holds
    `Random_UnitCell_XY_10.npy` and `Random_UnitCell_sigma_10.npy`, samples last in both."""
    xy = _npy(path / "Random_UnitCell_XY_10.npy")  # n 2 samples
    stress = _npy(path / "Random_UnitCell_sigma_10.npy")  # n samples
    names = np.array([str(k) for k in range(xy.shape[-1])])
    return {"x": xy[:, 0].T, "y": xy[:, 1].T, "stress": stress.T, "sample": names}


@LAYOUTS.register("geo_fno_airfoil")
def geo_fno_airfoil(path: Path) -> Arrays:
    """Geo-FNO: `rho`, `vx`, `vy`, `p` and `mach` on a C-grid round an airfoil, as points.

    `path` holds `NACA_Cylinder_X.npy`, `_Y.npy` and `_Q.npy`, channels second. On the innermost
    line the wake lies on both sides of its cut: nodes that coincide are kept once. The seven
    displacements `d` of NACA 0012 follow from where the section lies.
    """
    x, y, q = (_npy(path / f"NACA_Cylinder_{each}.npy") for each in "XYQ")
    kept = np.ones(x.shape[1:], dtype=bool)
    count = x.shape[1]
    same = np.isclose(x[:, :, 0], x[:, ::-1, 0]) & np.isclose(y[:, :, 0], y[:, ::-1, 0])
    kept[:, 0] = ~(same.all(0) & (np.arange(count) > count // 2))
    found = {"x": x[:, kept], "y": y[:, kept]}
    found |= {
        name: q[:, k][:, kept]
        for k, name in enumerate(("rho", "vx", "vy", "p", "mach")[: q.shape[1]])
    }
    if (d := _displacements(x[:, :, 0], y[:, :, 0])) is not None:
        found["d"] = d
    return {**found, "sample": np.array([str(k) for k in range(len(x))])}


def _displacements(x: Array, y: Array) -> Array | None:
    """The free displacements of the design element from nodes of the innermost line, which are
    those of NACA 0012 moved upwards; None where they are not. Shapes: "s n" both -> "s 7".

    y - y_0 = sum_k d_k L_k(x) N_k(y_0) on both surfaces: cubic in x, linear in y_0.
    """
    nodes, rows = np.array([-0.25, 0.25, 0.75, 1.25]), np.array([-0.1, 0.1])
    free = ((1, 0), (2, 0), (3, 0), (3, 1), (2, 1), (1, 1), (0, 1))  # as in the shape `airfoil`
    count, found = x.shape[1], []
    wake = np.isclose(x, x[:, ::-1]) & np.isclose(y, y[:, ::-1])
    for own, place, height in zip(~wake, x, y, strict=True):
        s = np.clip(place, 0, 1)
        half = 0.2969 * np.sqrt(s) - 0.126 * s - 0.3516 * s**2 + 0.2843 * s**3 - 0.1036 * s**4
        best, gap = None, np.inf
        for first in (1, -1):  # the surface that the line begins with
            base = 0.6 * half * np.where(np.arange(count) < np.argmin(place), first, -first)
            basis = np.stack(
                [
                    np.prod([(place - n) / (nodes[c] - n) for n in np.delete(nodes, c)], 0)
                    * (base - rows[1 - r]) / (rows[r] - rows[1 - r])
                    for c, r in free
                ],
                -1,
            )  # fmt: skip
            solved = np.linalg.lstsq(basis[own], (height - base)[own], rcond=None)[0]
            missed = np.abs(basis @ solved + base - height)[own].max(initial=0)
            best, gap = (solved, missed) if missed < gap else (best, gap)
        if best is None or own.sum() < 16 or gap > 1e-3:
            return None
        found.append(best)
    return np.stack(found)


def _npy(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise fail("D01", f"there is no file {path}", "name the folder that holds it")
    return numbers(np.load(path, allow_pickle=False))


@LAYOUTS.register("neuralop_darcy")
def neuralop_darcy(path: Path, values: tuple[float, float] = (0.02, 0.36)) -> Arrays:
    """Darcy flow of neuraloperator's `.pt`: `u` and the coefficient `a` over (x, y).

    `x` says where a is large; of the files in the wheels a = 0.36 there and 0.02 elsewhere, for a
    source of 1. Nodes are i/n: the first row and column lie on the boundary, the last inside.
    """
    x, y = _need(_pt(path), ("x", "y"), path)
    a = np.where(x > 0.5, values[1], values[0])
    return {"x": left(x.shape[1]), "y": left(x.shape[2]), "a": a, "u": y}


@LAYOUTS.register("neuralop_burgers")
def neuralop_burgers(path: Path, end: float = 0.96) -> Arrays:
    """Burgers' equation of neuraloperator's `.pt`: `u0` and `u` over (x, t), the viscosity `nu`.
    The levels of the small files in the wheels are t = 0, 0.06, .. 0.96, not to 1."""
    found = _pt(path)
    names = ("x", "y") if "x" in found else ("input", "output")
    start, u = _need(found, names, path)  # s n, s t n
    result = {"x": left(start.shape[1]), "t": np.linspace(0, end, u.shape[1]), "u0": start}
    result["u"] = u.transpose(0, 2, 1)
    if "visc" in found:
        result["nu"] = np.full(len(u), float(np.ravel(found["visc"])[0]))
    return result


def _pt(path: Path) -> Arrays:
    """Tensors by name; nothing else is unpickled."""

    if not path.is_file():
        raise fail("D01", f"there is no file {path}", "name the file")
    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise fail(
            "D01",
            f"{path} holds more than tensors, or is damaged",
            "save a dict of tensors",
            str(error).splitlines()[0],
        ) from error
    if not isinstance(found, dict):
        raise fail("D02", f"{path} holds no dict of tensors", "it is of another layout")
    return {
        str(name): each.double().numpy() for name, each in found.items() if torch.is_tensor(each)
    }


@LAYOUTS.register("deepxde")
def deepxde(path: Path, value: str = "usol", order: str = "") -> Arrays:
    """Reference solutions of classic PINN examples, `.npz` or `.mat`: `u` over (x, t).

    Some files are (x, t), Burgers.npz, others (t, x), Allen_Cahn.mat. The lengths of `x` and `t`
    tell which; where they are equal say `order="xt"` or "tx".
    """
    found = read(path).values
    x, t = (np.ravel(each) for each in _need(found, ("x", "t"), path))
    (u,) = _need(found, (value,), path)
    if u.shape not in ((len(x), len(t)), (len(t), len(x))):
        raise fail("D02", f"`{value}` in {path} has shape {u.shape}", "it is of another layout")
    if len(x) == len(t) and order not in ("xt", "tx"):
        raise fail(
            "D02",
            f"`{value}` in {path} is square: its shape does not say which axis is the time",
            'say order="xt" or order="tx", by its initial row',
        )
    turned = order == "tx" or (not order and u.shape != (len(x), len(t)))
    return {"x": x, "t": t, "u": u.T if turned else u}


# --------------------------------------------------------------------------------------------------
# solvers


@LAYOUTS.register("openfoam_probes")
def openfoam_probes(path: Path, field: str = "p") -> Arrays:
    """Probes of OpenFOAM: `field` at (x, y, z, t) as points; a vector has a last axis.

    `path` is `postProcessing/NAME`, with a folder for each start. Where runs overlap after a
    restart the later start counts. Probes outside of the mesh, of -VGREAT, are not values.
    """
    starts = [each for each in path.iterdir() if (each / field).is_file()] if path.is_dir() else []
    if not starts:
        raise fail("D01", f"{path} holds no probes of {field}", "name postProcessing/NAME")
    rows: dict[float, Array] = {}
    places = np.zeros((0, 3))
    for folder in sorted(starts, key=lambda each: float(each.name)):
        places, own = _probes((folder / field).read_text(encoding="utf-8"))
        first = min(own, default=np.inf)
        rows = {time: values for time, values in rows.items() if time < first} | own
    t = np.array(list(rows))
    values = np.stack(list(rows.values()))  # t probes [c]
    values[np.abs(values) > OUTSIDE] = np.nan
    shape = values.shape[:2]
    columns = {n: np.broadcast_to(places[:, k], shape).ravel() for k, n in enumerate("xyz")}
    columns["t"] = np.broadcast_to(t[:, None], shape).ravel()
    return {**columns, field: values.reshape(-1, *values.shape[2:])}


PROBE = re.compile(r"#\s*Probe\s+\d+\s+\(([^)]*)\)")


def _probes(text: str) -> tuple[Array, dict[float, Array]]:
    """Places "n 3" and, by time, values "n" or "n c"."""
    lines = text.splitlines()
    places = [list(map(float, found[1].split())) for found in map(PROBE.match, lines) if found]
    if not places:  # older versions: rows of x, y, z
        axes = [line for line in lines if re.match(r"#\s+[xyz]\s", line)]
        places = np.array([list(map(float, line.split()[2:])) for line in axes]).T.tolist()
    rows = {}
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        time, rest = line.split(None, 1)
        groups = re.findall(r"\(([^)]*)\)", rest)
        values = [list(map(float, each.split())) for each in groups] if groups else rest.split()
        rows[float(time)] = np.array(values, dtype=float)
    return np.array(places), rows


@LAYOUTS.register("comsol")
def comsol(path: Path, value: str) -> Arrays:
    """A table that COMSOL exports as text: `value` at (x, .., t) as points, with wide columns
    `T (K) @ t=0.1` for each time turned into rows. NaN outside of the geometry."""
    if not path.is_file():
        raise fail("D01", f"there is no file {path}", "name the exported text")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    notes = [line.lstrip("% ") for line in lines if line.startswith("%")]
    rows = [line for line in lines if line.strip() and not line.startswith("%")]
    if not notes or not rows:
        raise fail("D02", f"{path} has no heading after %", "export it with its header")
    space, times = _comsol_heading(notes[-1], value)
    table = np.array([list(map(float, re.split(r"[,;\s]+", row.strip()))) for row in rows])
    if not times or table.shape[1] != len(space) + len(times):
        raise fail(
            "D02",
            f"{path} has {table.shape[1]} columns under {len(space)} coordinates and"
            f" {len(times)} of `{value}`",
            "export one expression, at all times",
        )
    places = {name: np.repeat(table[:, k], len(times)) for k, name in enumerate(space)}
    values = table[:, len(space) :].ravel()
    if times != [None]:
        places["t"] = np.tile(np.array(times, dtype=float), len(table))
    return {**places, value: values}


def _comsol_heading(heading: str, value: str) -> tuple[list[str], list[float | None]]:
    """Coordinates, and the times of the columns of a value, None where there is no time. Names of
    values hold blanks."""
    first = re.search(rf"(?:^|[\s,;]){re.escape(value)}(?=[\s,;]|$)", heading)
    if first is None:
        raise fail("D02", f"no column is called `{value}`: {heading}", "name the expression")
    space = re.findall(r"[A-Za-z]\w*", re.sub(r"\([^)]*\)", "", heading[: first.start()]))
    rest = heading[first.start() :]
    moments = re.findall(r"@\s*t\s*=\s*([-+.\deE]+)", rest)
    return space, [float(each) for each in moments] if moments else [None]
