"""What the compiler refuses when numbers are known: one input a code, with the stored text of its
message, and every code has both and a line in docs/diagnostics.md.

`python -m tests.compiler.test_refusals` writes the messages anew; read the diff before committing.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import skfem
import torch
from torch import Tensor

import compiler
import pdespec
from compiler.derivatives import FiniteDifference, Fourier, LeastSquares
from compiler.fem import SolverError
from compiler.fem.meshing.mesh_report import report
from compiler.geometry.shapes import meshfile
from operators import Capabilities
from pdespec.errors import render_all
from tests.text.test_diagnostics import CODES, STATED

FOLDER = Path(__file__).parent / "refusals"
PAGE = (Path(__file__).parents[2] / "docs" / "diagnostics.md").read_text(encoding="utf-8")
LINE = "problem p\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
POISSON = LINE + "in L: -dxx(u) = 1\non boundary(L): u = 0\n"
TIME = LINE.replace("domain", "time t in [0, 1/10]\ndomain")
GRID = torch.linspace(0, 1, 9, dtype=torch.float64)[None, :, None]
CASES: dict[str, Callable[[], object]] = {}


def case(code: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    def register(provoke: Callable[[], object]) -> Callable[[], object]:
        assert code not in CASES
        CASES[code] = provoke
        return provoke

    return register


def residuals(text: str, field: Callable[[Tensor], Tensor], points: Tensor, backend="auto"):
    return compiler.compile(pdespec.parse(text), backend).residuals(field, points)


def solved(text: str) -> object:
    problem = pdespec.parse(text)
    return compiler.solve(problem, compiler.instance(problem), resolution=6)


@case("B01")
def _():
    residuals(POISSON, lambda x: torch.cat([x, x], -1), GRID)


@case("B02")
def _():
    residuals(POISSON, lambda x: x.float() ** 3, GRID)


@case("B03")
def _():
    compiler.instance(
        pdespec.parse(POISSON.replace("unknown", "param k\nunknown").replace("= 1", "= k"))
    )


@case("B04")
def _():
    residuals(POISSON, lambda x: torch.ones_like(x), GRID)


@case("F01")
def _():
    solved(
        LINE + "in L: -dxx(u) = 1\non side(L, x = 0): u = 1; dx(u) = 7\non side(L, x = 1): u = 0\n"
    )


@case("F02")
def _():
    solved(POISSON + "require integral(u, L) = 1\n")


@case("F03")
def _():
    solved(TIME + "in L: dt(u) = -dxx(u)\non boundary(L): u = 0\nat t = 0: u = sin(pi*x)\n")


@case("F04")
def _():
    solved(LINE + "minimize integral(dx(u)^2/2 - 20*u^2 - u, L)\n")


@case("M08")
def _():
    text = 'problem p\nspace x, y\ndomain D = mesh("round.vtk")\nunknown u : scalar on D\n'
    text += "in D: lap(u) = 1\non boundary(D): u = 0\n"
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        skfem.MeshTri.init_circle(2).save(Path(folder) / "round.vtk")
        patch.setattr(meshfile, "MOST_FACETS", 10)
        patch.chdir(folder)
        report(pdespec.parse(text, source="p.pde"))


@case("P01")
def _():
    points = torch.tensor([[[0.0], [0.1], [0.5], [1.0]]], dtype=torch.float64)
    residuals(POISSON, lambda x: x**3, points, FiniteDifference(mode="grid"))


@case("P02")
def _():
    residuals(POISSON, lambda x: x**3, GRID, Fourier())


@case("P03")
def _():
    def field(x: Tensor) -> Tensor:
        return x**3

    field.capabilities = Capabilities(smoothness=1, pointwise=True)
    residuals(POISSON.replace("dxx", "dxxx"), field, GRID)


@case("P04")
def _():
    residuals(POISSON, lambda x: x**3 * x.mean(), GRID)


@case("P05")
def _():
    residuals(POISSON, lambda x: x**3, torch.linspace(0, 1, 20000)[None, :, None], LeastSquares())


@case("P06")
def _():
    residuals(POISSON, lambda x: x**3 + x.detach() ** 2, GRID)


@case("P07")
def _():
    points = torch.rand(1, 12, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fourth = LINE + "in L: dxxxx(u) = 1\non boundary(L): u = 0; dx(u) = 0\n"
    residuals(fourth, lambda x: torch.sin(x), points, LeastSquares())


@case("P08")
def _():
    text = LINE + "in L: -d(if(x < 1/3, 1, 10)*dx(u), x) = 1\non boundary(L): u = 0\n"
    problem = pdespec.parse(text)
    batch = compiler.instance(problem, points={"interior": 9, "boundary": 2}, dtype=torch.float64)
    compiler.compile(problem, "finite_difference")(lambda x: x**2, batch)


@case("P09")
def _():
    residuals(POISSON, lambda x: (x - 0.3).relu(), GRID)


@case("R01")
def _():
    problem = pdespec.parse(POISSON)
    model = compiler.build(problem, "pinn", hidden=(4,))
    with torch.no_grad():
        next(iter(model.parameters())).fill_(torch.nan)
    with tempfile.TemporaryDirectory() as folder:
        options = compiler.TrainOptions(steps=1, batch=1, validation=0, points={"interior": 4})
        compiler.train(problem, model, options, Path(folder) / "run")


def message(code: str) -> str:
    """What is said of the input of a code."""
    with warnings.catch_warnings(), pytest.raises((pdespec.ProblemError, SolverError)) as error:
        warnings.simplefilter("ignore")
        CASES[code]()
    refused = error.value
    told = isinstance(refused, pdespec.ProblemError)
    return re.sub(r"/\S*/", "", render_all(refused.diagnostics) if told else str(refused)) + "\n"


@pytest.mark.parametrize("code", sorted(CASES))
def test_the_refusal_is_the_stored_one(code):
    found = message(code)
    assert f"{code}: " in found
    assert found == (FOLDER / f"{code}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", sorted({*CODES["pdespec"], *CODES["compiler"]}))
def test_every_code_has_a_stored_text_and_a_line_on_the_page(code):
    """Codes of text are those of tests/text/diagnostics."""
    assert code in STATED or (FOLDER / f"{code}.txt").exists()
    assert re.search(rf"^(### {code}: |\| {code} \|)", PAGE, re.MULTILINE)


def test_every_stored_refusal_has_its_input():
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(CASES)


if __name__ == "__main__":
    for each in sorted(CASES):
        (FOLDER / f"{each}.txt").write_text(message(each), encoding="utf-8")
