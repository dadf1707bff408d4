"""Every example is solved, or refused with its reason; the table in docs/solver.md is what this
test sees."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.fem.errors import SolverError
from compiler.fem.export import latex as export
from compiler.fem.export.latex import element_name
from compiler.fem.forms.weak import WeakForm, weak_form
from compiler.solvers import candidates

from .cases import closed_form

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.pde"))
COARSE = {"neo_hookean_3d": 2, "kuramoto_sivashinsky": 24, "kdv": 16, "hyperelastic_pores": 8}
# relative error in the maximum norm against the stated solution, at resolution 16
ACCURACY = {
    "advection_diffusion": 2e-3,
    "biharmonic_plate": 1e-3,
    "burgers_2d": 1e-5,
    "heat": 1e-3,
    "maxwell_te": 3e-2,
    "poisson_ball": 1e-3,
    "schroedinger": 0.15,
    "wave": 1e-3,
}


def load(path: Path):
    problem = pdespec.load(path)
    points = {"interior": 64, "boundary": 16, "initial": 16, "operator": 64}
    return problem, compiler.sample(
        problem, 1, points=points, generator=torch.Generator().manual_seed(0)
    )


@cache
def row(path: Path) -> str:
    """One line of the table: the problem, its form, its elements, and what `solve` says."""
    problem, batch = load(path)
    resolution = COARSE.get(path.stem, 4)
    method = candidates(problem)[0]
    if method == "finite_volumes":
        truth = compiler.solve(problem, batch, resolution=8)
        assert truth(next(iter(batch.points.values())).points).isfinite().all()
        return f"| {path.stem} | {kind(problem)} | {method} | solved |"
    try:
        form = weak_form(problem)
        steps = None if path.stem in COARSE else 4
        truth = compiler.solve(
            problem,
            batch,
            resolution=resolution,
            **({"steps": steps} if problem.time is not None else {}),
        )
    except SolverError as refusal:
        return f"| {path.stem} | {kind(problem)} | | refused: {refusal} |"
    points = next(iter(batch.points.values())).points
    assert np.isfinite(truth.samples[0].vectors).all()
    assert truth(points).shape == (1, points.shape[1], len(problem.components))
    return f"| {path.stem} | {kind(problem)} | {elements(form)} | solved |"


def kind(problem) -> str:
    what = "energy" if problem.functionals else "strong form"
    return what if problem.time is None else f"{what}, in time"


def elements(form: WeakForm) -> str:
    """`v: P_k, p: P_(k-1)`: one entry an unknown."""
    return ", ".join(
        f"{name}: {element_name(space)}" for name, space in export.elements(form).items()
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_solved_or_refused_with_a_reason(path):
    assert row(path).endswith("solved |") or len(row(path)) > 60


def test_the_table_in_the_docs_is_what_the_solver_does():
    page = ROOT / "docs" / "solver.md"
    head, _, rest = page.read_text().partition("<!-- table: begin -->\n\n")
    _, _, tail = rest.partition("<!-- table: end -->")
    table = "\n".join(
        [
            "| example | given as | elements | `solve` |",
            "|---|---|---|---|",
            *(row(path) for path in EXAMPLES),
        ]
    )
    wanted = f"{head}<!-- table: begin -->\n\n{table}\n<!-- table: end -->{tail}"
    if os.environ.get("PDESPEC_WRITE_DOCS"):
        page.write_text(wanted)
    hint = "rewrite it: PDESPEC_WRITE_DOCS=1 python -m pytest tests/compiler/fem/test_zoo.py"
    assert page.read_text() == wanted, hint


@pytest.mark.parametrize("name", ACCURACY)
def test_stated_solutions_are_found(name):
    problem, batch = load(ROOT / "examples" / f"{name}.pde")
    batch = batch.to(torch.float64)
    values = {d.symbol: batch.params[d.name].item() for d in problem.params.values()}
    values |= {d.symbol: d.value for d in problem.constants.values()}
    stated = [problem.references[unknown] for unknown in problem.unknowns]
    entries = [
        entry for each in stated for entry in (each if isinstance(each, sp.MatrixBase) else [each])
    ]
    exact = closed_form([entry.subs(values) for entry in entries], problem.variables)
    points = next(iter(batch.points.values())).points
    expected = exact(points)
    error = (
        compiler.solve(problem, batch, resolution=16)(points) - expected
    ).abs().max() / expected.abs().max()
    assert error < ACCURACY[name]
