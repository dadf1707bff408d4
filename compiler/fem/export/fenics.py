"""The exported weak form in FEniCS: an independent assembly and Newton's method, as a subprocess of
the system's Python.

FEniCS (Debian's package `fenics`) lives outside this environment; mesh, numbers and boundary values
go there and results come back as npz.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import skfem
import torch

from compiler.arrays import Array
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.discrete.constraints import constrain
from compiler.fem.discrete.spaces import Spaces, make_spaces
from compiler.fem.errors import SolverError
from compiler.fem.export.ufl import IMPORTS, integrals, unknowns
from compiler.fem.export.ufl_words import boundaries, identifiers, is_given, needed
from compiler.fem.forms.pairing import EDGE
from compiler.fem.forms.weak import WeakForm
from compiler.fem.meshing.elements import cell_of, lagrange
from compiler.fem.meshing.facets import facets_of
from compiler.fem.solve import prepare, reactions
from compiler.lowering.terms import JetVariable
from pdespec.statements.problem import Problem
from pdespec.symbols import Scalar

PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class FenicsResult:
    """What FEniCS found.

    values: of every component at our nodes. energy: of a problem that is one. reactions: as in
    `SampleSolution`. steps: of Newton's method. seconds: of assembly and solve, without
    compilation.
    """

    values: Mapping[str, Array]
    energy: float | None
    reactions: Mapping[tuple[str, str], float]
    steps: int
    seconds: float


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether the system's Python has FEniCS."""
    try:
        return (
            subprocess.run(
                [PYTHON, "-c", "import dolfin"], capture_output=True, timeout=120
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def solve_with_fenics(
    problem: Problem, batch, mesh: skfem.Mesh, degree: int = 2, timeout: float = 600
) -> FenicsResult:
    """One stationary sample on a straight simplicial mesh. Inputs go as interpolants at the nodes
    of the main element.

    Raises: SolverError without FEniCS, for what this bridge does not carry (time, integral
    requirements), or with FEniCS's own message.
    """
    if not available():
        raise SolverError(
            "FEniCS is not installed for the system's Python; on Debian: apt install fenics"
        )
    prepared = prepare(problem)
    form = prepared.form
    if (
        form.time is not None
        or form.gauges
        or form.pins
        or form.domain.periodic
        or form.component_domains
        or any(space is EDGE for space in form.spaces.values())
        or any(len(e.coefficients) > 1 for e in form.essentials)
    ):
        raise SolverError(
            "the bridge to FEniCS carries stationary problems with values fixed component by"
            " component"
        )
    known = Coefficients(problem, batch.to("cpu", torch.float64))
    regions, numbered, names = prepared.regions, boundaries(form), identifiers(form)
    named = {*numbered, *(e.region for e in form.essentials)}
    facets = {boundary: facets_of(boundary, mesh, known.shape_values) for boundary in named}
    marked = np.concatenate(
        [np.zeros(0, dtype=np.int64), *(facets[boundary] for boundary in numbered)]
    )
    if np.unique(marked).size < marked.size:
        raise SolverError(
            "the bridge to FEniCS numbers every facet once, but"
            f" {', '.join(b.name for b in numbered)} overlap"
        )
    spaces = make_spaces(form, mesh, facets, degree, regions)
    arrays: dict[str, Array] = {"points": mesh.p.T, "cells": mesh.t.T.astype(np.uint64)}
    for k, boundary in enumerate(numbered, 1):
        arrays[f"ds{k}"] = mesh.facets[:, facets[boundary]].T
    arrays |= fixed_values(form, names, spaces, known)
    nodes = skfem.CellBasis(mesh, lagrange(cell_of(mesh), degree)).doflocs
    for symbol in needed(form, is_given):
        if isinstance(symbol, JetVariable):
            arrays[f"input {names[symbol.component]}"] = known.field(symbol, nodes, 0.0)
        elif isinstance(symbol, Scalar):
            arrays[f"number {names[symbol.name]}"] = np.array(known.parameter(symbol))
    arrays["main"] = nodes.T
    for component in form.components:
        arrays[f"nodes {names[component]}"] = keyed_nodes(form, spaces, component).T
    text = "\n".join([*unknowns(form, names, degree, cell_of(mesh)), integrals(form, names)])
    out = run(text, arrays, [names[c] for c in form.components], degree, timeout)
    residual = np.concatenate([out[f"residual {names[c]}"] for c in form.components])
    return FenicsResult(
        {component: out[names[component]] for component in form.components},
        float(out["energy"]) if form.energy else None,
        reactions(form, spaces, residual),
        int(out["steps"]),
        float(out["seconds"]),
    )


def keyed_nodes(form: WeakForm, spaces: Spaces, component: str) -> Array:
    """Positions that tell the unknowns of a component apart: of a discontinuous one a quarter of
    the way to the middle of its cell."""
    nodes = spaces.nodes(component)
    if form.spaces[component].continuous:
        return nodes
    keyed, basis = nodes.copy(), spaces.bases[component]
    for dofs in basis.element_dofs:
        keyed[:, dofs] = 0.75 * nodes[:, dofs] + 0.25 * spaces.mesh.p[:, spaces.mesh.t].mean(axis=1)
    return keyed


def fixed_values(
    form: WeakForm, names: Mapping[str, str], spaces: Spaces, known: Coefficients
) -> dict[str, Array]:
    """Positions and values of the fixed unknowns, by component."""
    constraints = constrain(form, spaces, known)
    offset = constraints.offset(0.0)
    fixed = np.unique(
        np.concatenate([np.zeros(0, dtype=np.int64), *(each.solved for each in constraints.fixed)])
    )
    arrays = {}
    for component in form.components:
        part = spaces.numbers(component)
        mine = fixed[(fixed >= part.start) & (fixed < part.stop)]
        arrays[f"fixed {names[component]}"] = spaces.nodes(component)[:, mine - part.start].T
        arrays[f"value {names[component]}"] = offset[mine]
    return arrays


def run(
    ufl: str, arrays: Mapping[str, Array], names: list[str], degree: int, timeout: float
) -> dict[str, Array]:
    """What the driver wrote: nodal values and residuals by component, energy, steps, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.savez(place / "in.npz", **arrays)
        (place / "form.py").write_text(ufl)
        (place / "run.py").write_text(
            f"{IMPORTS}\n{DRIVER}".replace("DEGREE", str(degree)).replace("NAMES", repr(names))
        )
        try:
            done = subprocess.run(
                [PYTHON, "run.py"], cwd=place, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired as late:
            raise SolverError(f"FEniCS took more than {timeout:.0f} s") from late
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["failed without a message"]
            raise SolverError(f"FEniCS: {said[-1]}")
        with np.load(place / "out.npz") as out:
            return dict(out)


DRIVER = """
import time
import numpy as np

set_log_level(LogLevel.ERROR)
parameters["form_compiler"]["quadrature_degree"] = 2 * DEGREE + 1
parameters["form_compiler"]["optimize"] = True
names, data = NAMES, np.load("in.npz")
points, cells = data["points"], data["cells"]
kinds = {(1, 2): "interval", (2, 3): "triangle", (3, 4): "tetrahedron"}
kind = kinds[points.shape[1], cells.shape[1]]
mesh = Mesh()
editor = MeshEditor()
editor.open(mesh, kind, points.shape[1], points.shape[1])
editor.init_vertices(len(points))
editor.init_cells(len(cells))
for k, p in enumerate(points):
    editor.add_vertex(k, p)
for k, c in enumerate(cells):
    editor.add_cell(k, c)
editor.close()
marks = MeshFunction("size_t", mesh, mesh.topology().dim() - 1, 0)
marked = {k: data[f"ds{k}"].tolist() for k in range(1, 100) if f"ds{k}" in data}
wanted = {tuple(sorted(f)): k for k, facets in marked.items() for f in facets}
for facet in facets(mesh):
    marks[facet] = wanted.get(tuple(sorted(facet.entities(0).tolist())), 0)
ds = Measure("ds", domain=mesh, subdomain_data=marks)


def keys(where):  # the shift keeps binary fractions, of which grids are made, away from the halves
    return [tuple(row) for row in np.round(where * 1e7 + 0.3).astype(np.int64).tolist()]


def scattered(space, where, values):
    function = Function(space)
    table = dict(zip(keys(where), values))
    places = keys(space.tabulate_dof_coordinates())
    function.vector().set_local(np.array([table[key] for key in places]))
    return function


given = {}
for entry in data.files:
    role, _, name = entry.partition(" ")
    if role == "number":
        given[name] = Constant(float(data[entry]))
    elif role == "input":
        given[name] = scattered(FunctionSpace(mesh, "Lagrange", DEGREE), data["main"], data[entry])
scope = dict(globals(), **given)
exec(open("form.py").read(), scope)
F, U = scope["F"], scope["U"]
V = U.function_space()
coordinates = V.tabulate_dof_coordinates()
spaces = [V.sub(k) if len(names) > 1 else V for k in range(len(names))]
fixed = {}
for name, space in zip(names, spaces):
    dofs = np.array(space.dofmap().dofs())
    table = dict(zip(keys(data[f"fixed {name}"]), data[f"value {name}"]))
    pairs = zip(dofs.tolist(), keys(coordinates[dofs]))
    fixed.update({dof: table[key] for dof, key in pairs if key in table})
rows = np.array(sorted(fixed), dtype=np.int32)
goal = np.array([fixed[r] for r in rows.tolist()])
J = derivative(F, U)
matrix, vector = PETScMatrix(), PETScVector()
assemble(J, tensor=matrix)  # compiles, untimed
assemble(F, tensor=vector)
start, steps = time.perf_counter(), 0
change, first = Vector(MPI.comm_world, V.dim()), None
for steps in range(1, 41):
    assemble(J, tensor=matrix)
    assemble(F, tensor=vector)
    now = U.vector().get_local()
    right = -vector.get_local()
    matrix.ident(rows)
    right[rows] = goal - now[rows]
    load = Vector(MPI.comm_world, V.dim())
    load.set_local(right)
    LUSolver(matrix, "default").solve(change, load)
    step, size = 1.0, np.linalg.norm(right)
    while True:
        U.vector().set_local(now + step * change.get_local())
        new = assemble(F).get_local()
        new[rows] = goal - U.vector().get_local()[rows]
        better = np.linalg.norm(new) < size or step < 1e-3 or steps == 1
        if np.all(np.isfinite(new)) and better:
            break
        step /= 2
        if step < 1e-6:
            raise RuntimeError("Newton's method found no step")
    first = first or size
    moved = np.linalg.norm(step * change.get_local())
    if np.linalg.norm(new) < 1e-12 * max(first, 1e-300) or moved < 1e-12 * np.linalg.norm(now):
        break
seconds = time.perf_counter() - start
energy = assemble(scope["Pi"]) if "Pi" in scope else np.nan
found = {"steps": steps, "seconds": seconds, "energy": energy}
solution, residual, keyed = U.vector().get_local(), assemble(F).get_local(), coordinates.copy()
for space in spaces:
    if "Discontinuous" in space.ufl_element().family():
        for cell in range(len(cells)):
            own = space.dofmap().cell_dofs(cell)
            middle = points[cells[cell].astype(int)].mean(axis=0)
            keyed[own] = 0.75 * coordinates[own] + 0.25 * middle
for name, space in zip(names, spaces):
    dofs = np.array(space.dofmap().dofs())
    table = dict(zip(keys(keyed[dofs]), dofs.tolist()))
    ours = [table[key] for key in keys(data[f"nodes {name}"])]
    found[name], found[f"residual {name}"] = solution[ours], residual[ours]
np.savez("out.npz", **found)
"""
