"""Meshes that the user gives, as scikit-fem values or as files that meshio reads."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import skfem
from numpy.typing import NDArray

from .failure import SolverError


def given_mesh(given: skfem.Mesh | str | Path) -> tuple[skfem.Mesh, Mapping[str, NDArray[np.int64]]]:
    """The mesh and its named boundary facets.

    Raises: SolverError when meshio is not installed or cannot read the file.
    """
    if isinstance(given, skfem.Mesh):
        mesh = given
    else:
        try:
            import meshio  # pyright: ignore[reportMissingImports]
        except ImportError as missing:
            raise SolverError("mesh files are read by meshio: pip install 'pdespec[mesh]'") from missing
        if not Path(given).is_file():
            raise SolverError(f"no mesh file {given}")
        said = io.StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                mesh = skfem.Mesh.load(str(given))
        except SystemExit as failure:  # meshio's answer to a file it cannot read
            raise SolverError(f"cannot read the mesh {given}: {said.getvalue().strip() or 'unknown format'}") from failure
        except (meshio.ReadError, KeyError, ValueError, NotImplementedError) as failure:
            raise SolverError(f"cannot read the mesh {given}: {failure}") from failure
    return mesh, {name: np.asarray(facets, dtype=np.int64) for name, facets in (mesh.boundaries or {}).items()}
