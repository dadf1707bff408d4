"""Reference solutions as legacy VTK files, for ParaView and its like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.fem import Solution, SolverError
from compiler.runs import write_atomically
from pdespec.problem import Problem

CELLS = {"One-dimensional": 3, "Triangular": 5, "Quadrilateral": 9, "Tetrahedral": 10, "Hexahedral": 12}  # VTK's numbers
HEX = [0, 3, 6, 2, 1, 5, 7, 4]  # scikit-fem's vertices of a brick, bottom face first and anticlockwise, as VTK wants them


def write_vtk(path: Path, problem: Problem, truth: Solution, sample: int = 0) -> None:
    """One sample of a reference solution at the vertices of its mesh, at the last time where there is one.

    Raises: SolverError for a mesh of cells that VTK's legacy format does not know.
    """
    mesh = truth.samples[sample].spaces.mesh
    kind = mesh.refdom.name
    if kind not in CELLS:
        raise SolverError(f"VTK's legacy format has no cell like those of this mesh ({kind})")
    count = mesh.nvertices
    points = np.asarray(mesh.p[:, :count].T, dtype=np.float64)
    cells = mesh.t[HEX] if kind == "Hexahedral" else mesh.t
    values = at_vertices(problem, truth, points, sample)
    lines = ["# vtk DataFile Version 3.0", problem.name, "ASCII", "DATASET UNSTRUCTURED_GRID", f"POINTS {count} double"]
    lines += _rows(_padded(points))
    width, number = cells.shape
    lines += [f"CELLS {number} {number * (width + 1)}", *(f"{width} " + " ".join(map(str, cell)) for cell in cells.T.tolist())]
    lines += [f"CELL_TYPES {number}", *[str(CELLS[kind])] * number, f"POINT_DATA {count}"]
    first = 0
    for name, unknown in problem.unknowns.items():
        own = values[:, first : first + len(unknown.components)]
        first += len(unknown.components)
        if unknown.rank == "vector":
            lines += [f"VECTORS {name} double", *_rows(_padded(own))]
        else:
            for component, column in zip(unknown.components, own.T, strict=True):
                lines += [f"SCALARS {component} double", "LOOKUP_TABLE default", *_rows(column[:, None])]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def at_vertices(problem: Problem, truth: Solution, points: NDArray[np.float64], sample: int = 0) -> NDArray[np.float64]:
    """Values of one sample at points, at the last time where there is one. Shapes: "n d" -> "n c"."""
    if problem.time is not None:
        points = np.column_stack([points, np.full(len(points), float(problem.time.end))])
    return truth.samples[sample].evaluate(points)


def _padded(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two or one coordinates as three."""
    return np.column_stack([columns, np.zeros((len(columns), 3 - columns.shape[1]))])


def _rows(values: NDArray[np.float64]) -> list[str]:
    return [" ".join(f"{value:.10g}" for value in row) for row in values.tolist()]
