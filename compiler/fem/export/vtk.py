"""Reference solutions as VTK files, for ParaView: cells with their own nodes, curved and
quadratic where the elements are."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.arrays import Array
from compiler.fem.errors import SolverError
from compiler.fem.meshing.elements import cell_of
from compiler.fem.solution import SampleSolution, Solution
from compiler.files import write_atomically

Corners = Sequence[tuple[float, ...]]


def with_middles(corners: Corners, *groups: tuple[int, ...]) -> Array:
    """Corners, then the middles of groups of them.  Shapes: -> "d n"."""
    points = np.array(corners, dtype=float)
    return (
        np.concatenate((points, [points[list(group)].mean(axis=0) for group in groups])).T
        if groups
        else points.T
    )


LINE, TRIANGLE = ((0,), (1,)), ((0, 0), (1, 0), (0, 1))
SQUARE = ((0, 0), (1, 0), (1, 1), (0, 1))
TETRAHEDRON = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
CUBE = (*((x, y, 0) for x, y in SQUARE), *((x, y, 1) for x, y in SQUARE))
RING = ((0, 1), (1, 2), (2, 3), (3, 0))
# VTK cell type and its nodes in reference coordinates, by cell and degree
VTK = {
    ("interval", 1): (3, with_middles(LINE)),
    ("interval", 2): (21, with_middles(LINE, (0, 1))),
    ("triangle", 1): (5, with_middles(TRIANGLE)),
    ("triangle", 2): (22, with_middles(TRIANGLE, (0, 1), (1, 2), (2, 0))),
    ("quadrilateral", 1): (9, with_middles(SQUARE)),
    ("quadrilateral", 2): (28, with_middles(SQUARE, *RING, (0, 1, 2, 3))),
    ("tetrahedron", 1): (10, with_middles(TETRAHEDRON)),
    ("tetrahedron", 2): (
        24,
        with_middles(TETRAHEDRON, (0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)),
    ),
    ("hexahedron", 1): (12, with_middles(CUBE)),
}


def save_vtk(truth: Solution, path: str | Path, sample: int = 0) -> tuple[Path, ...]:
    """Write one sample as `path`.vtu; with time as one file a level and `path`.pvd. Returns the
    files written.

    Raises: SolverError for a sample that is not there.
    """
    if not 0 <= sample < len(truth.samples):
        raise SolverError(f"there are samples 0 to {len(truth.samples) - 1}, not {sample}")
    solution, stem = truth.samples[sample], Path(path).with_suffix("")
    stem.parent.mkdir(parents=True, exist_ok=True)
    if solution.times is None:
        return (write(solution, 0, stem.with_suffix(".vtu")),)
    files = [
        write(solution, k, stem.with_name(f"{stem.name}_{k:04d}.vtu"))
        for k in range(len(solution.times))
    ]
    levels = [(float(t), file) for t, file in zip(solution.times, files, strict=True)]
    return (*files, collect(levels, stem.with_suffix(".pvd")))


def collect(levels: Sequence[tuple[float, Path]], path: Path) -> Path:
    """The files of times, in the folder of `path`, as one series."""
    entries = "".join(f'<DataSet timestep="{t:.10g}" file="{file.name}"/>\n' for t, file in levels)
    head = '<?xml version="1.0"?>\n<VTKFile type="Collection" version="0.1">\n<Collection>\n'
    write_atomically(path, f"{head}{entries}</Collection>\n</VTKFile>\n".encode())
    return path


def write(
    solution: SampleSolution,
    level: int,
    path: Path,
    beside: Callable[[Array], Mapping[str, Array]] | None = None,
) -> Path:
    """One level as an unstructured grid in XML; `beside` it other fields at the same points.
    Shapes: points "n d" -> "n c" each."""
    mesh = solution.spaces.mesh
    cell = cell_of(mesh)
    highest = max(basis.elem.maxdeg for basis in solution.spaces.bases.values())
    degree = 2 if highest > 1 and (cell, 2) in VTK else 1
    kind, nodes = VTK[cell, degree]
    places = mesh.mapping().F(nodes)  # "d e n"
    count = places.shape[1] * places.shape[2]
    points = np.zeros((count, 3))
    points[:, : mesh.dim()] = places.reshape(mesh.dim(), -1).T
    width = nodes.shape[1]
    fields = {
        name: field_values(solution, level, components, nodes)
        for name, components in fields_of(solution.components).items()
    }
    fields |= beside(places.reshape(mesh.dim(), -1).T) if beside is not None else {}
    kinds = np.full(places.shape[1], kind)
    cells = {
        "connectivity": np.arange(count),
        "offsets": width * np.arange(1, len(kinds) + 1),
        "types": kinds,
    }
    body = [
        f'<UnstructuredGrid><Piece NumberOfPoints="{count}" NumberOfCells="{places.shape[1]}">',
        "<Points>" + array("Points", points, 3) + "</Points>",
        "<Cells>" + "".join(array(name, values) for name, values in cells.items()) + "</Cells>",
        "<PointData>"
        + "".join(array(name, values, values.shape[1]) for name, values in fields.items())
        + "</PointData>",
        "</Piece></UnstructuredGrid>",
    ]
    head = (
        '<?xml version="1.0"?>\n<VTKFile type="UnstructuredGrid" version="1.0"'
        ' byte_order="LittleEndian" header_type="UInt64">\n'
    )
    write_atomically(path, (head + "\n".join(body) + "\n</VTKFile>\n").encode())
    return path


def fields_of(components: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Components gathered by unknown: `v.x`, `v.y` are the field `v`."""
    fields: dict[str, tuple[str, ...]] = {}
    for component in components:
        name = component.partition(".")[0]
        fields[name] = (*fields.get(name, ()), component)
    return fields


def field_values(
    solution: SampleSolution, level: int, components: tuple[str, ...], nodes: Array
) -> Array:
    """Values of one field at the nodes of every cell; plane vectors get a third component zero.
    Shapes: -> "e*n c"."""
    columns = []
    for component in components:
        basis = solution.spaces.bases[component]
        vector = solution.vectors[level, solution.spaces.numbers(component)]
        axis = solution.spaces.axes.get(component)
        local = [
            np.asarray(basis.elem.gbasis(basis.mapping, nodes, k)[0]) for k in range(basis.Nbfun)
        ]
        local = local if axis is None else [phi[axis] for phi in local]
        columns.append(
            sum(phi * vector[basis.element_dofs[k]][:, None] for k, phi in enumerate(local)).ravel()
        )
    if 1 < len(columns) < 3:
        columns.append(np.zeros_like(columns[0]))
    return np.stack(columns, axis=1)


def array(name: str, values: NDArray, components: int = 1) -> str:
    """An array in base64, led by its size in bytes: no digit is lost, and little time."""
    kind = "Float64" if np.issubdtype(values.dtype, np.floating) else "Int64"
    data = np.ascontiguousarray(values, dtype="<f8" if kind == "Float64" else "<i8").tobytes()
    text = base64.b64encode(len(data).to_bytes(8, "little") + data).decode()
    return (
        f'<DataArray type="{kind}" Name="{name}" NumberOfComponents="{components}"'
        f' format="binary">{text}</DataArray>\n'
    )
