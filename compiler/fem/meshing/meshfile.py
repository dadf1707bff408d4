"""Meshes that the user gives, as scikit-fem values or as files that meshio reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import skfem

from compiler.arrays import IntArray
from compiler.fem.errors import SolverError
from compiler.fem.meshing.bodies import Values, body_of, box_of
from compiler.fem.meshing.elements import cell_of
from compiler.geometry.shapes.meshfile import Unreadable, guarded
from pdespec.geometry import Difference, Domain, Intersection

SLACK = 0.05  # of the box: corners cut off a curved boundary by coarse straight cells


def given_mesh(
    given: skfem.Mesh | str | Path,
) -> tuple[skfem.Mesh, Mapping[str, IntArray]]:
    """The mesh and its named boundary facets.

    Raises: SolverError when meshio is not installed or cannot read the file.
    """
    if isinstance(given, skfem.Mesh):
        mesh = given
    else:
        try:
            if not Path(given).is_file():
                raise SolverError(f"no mesh file {given}")
            mesh = guarded(lambda: skfem.Mesh.load(str(given)))
        except ImportError as missing:
            raise SolverError(
                "mesh files are read by meshio: pip install 'pdespec[mesh]'"
            ) from missing
        except Unreadable as failure:
            raise SolverError(f"cannot read the mesh {given}: {failure}") from failure
    if cell_of(mesh) in ("triangle", "tetrahedron"):
        # elements of degree three agree on a side where both of its cells count its vertices alike
        mesh = replace(mesh, t=np.sort(mesh.t, axis=0))
    return mesh, {
        name: np.asarray(facets, dtype=np.int64) for name, facets in (mesh.boundaries or {}).items()
    }


def refuse_other_domain(mesh: skfem.Mesh, domain: Domain, values: Values) -> None:
    """Raises: SolverError for a mesh of another dimension, or whose box is not the box of the
    domain."""
    if mesh.dim() != len(domain.coordinates):
        raise SolverError(
            f"the mesh has {mesh.dim()} dimensions, {domain.name} has {len(domain.coordinates)}"
        )
    lower, upper = box_of(body_of(domain.shape, values))
    found = mesh.p.min(axis=1), mesh.p.max(axis=1)
    slack = SLACK * (upper - lower)
    outside = np.any(found[0] < lower - slack) or np.any(found[1] > upper + slack)
    # their true box may be smaller than the one that is known
    cut = isinstance(domain.shape, (Difference, Intersection))
    if (
        outside
        or not cut
        and (np.any(found[0] > lower + slack) or np.any(found[1] < upper - slack))
    ):
        boxes = [
            " x ".join(f"[{a:.3g}, {b:.3g}]" for a, b in zip(*box, strict=True))
            for box in (found, (lower, upper))
        ]
        raise SolverError(
            f"the mesh fills {boxes[0]}, but {domain.name} {boxes[1]}: it is a mesh of another"
            " domain, or in other units"
        )
