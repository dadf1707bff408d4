"""Pores from data, from the energy, and from both, as table 9 of Lin et al. (arXiv 2504.08277):
error of u and energy on held-out radii.

    OMP_NUM_THREADS=1 python benchmarks/paper/table9.py --steps 1500 --out runs/table9

All rows take the same number of steps of the small preset from the same first weights. Data are
`--solutions` samples solved by the reference solver. The energy of what an operator says is taken
on the reference's mesh and told relative to the reference's: what data alone leave open. Rows are
trained in `--out`; called again, it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
from measure import save

import compiler
import pdespec
from compiler.training.presets import preset
from compiler.training.progress import Lines

PROBLEM = Path(__file__).parents[2] / "examples" / "hyperelastic_pores.pde"


def rows(solutions: int) -> Mapping[str, Mapping[str, Any]]:
    """Options of each row. The hybrid's weight makes a relative squared error of 1 count as some
    ten times the energy of a sample."""
    return {
        "data": {"physics": False, "solutions": solutions, "references": 2},
        "hybrid": {"solutions": solutions, "weights": {"data": 0.05}},
        "physics": {},
    }


def trained(name: str, given: argparse.Namespace) -> Path:
    """The directory of a row's run, trained to its end."""
    problem, chosen, directory = pdespec.load(PROBLEM), preset("small"), Path(given.out) / name
    points = {**chosen.options.points, "interior": 512}
    common = {
        "steps": given.steps,
        "points": points,
        "error_estimate": False,
        "weights": {},
        "references": 0,
        "validate_every": given.steps,
    }
    options = replace(chosen.options, **{**common, **rows(given.solutions)[name]})
    model = compiler.build(problem, "gino", **chosen.model)
    compiler.train(problem, model, options, directory, resume=True, display=Lines(Console(), 60))
    return directory


def measured(directory: Path, samples: int, solver: Callable[..., Any]) -> dict[str, Any]:
    """One row: seconds of training without the solves, errors and energy gap."""
    found = compiler.evaluate(directory, samples, solver=solver, report=False)
    gaps = {f"{key} energy gap": value for key, value in (found.energy_gap or {}).items()}
    return {"seconds": found.run.history[-1]["seconds"], **found.relative_l2, **gaps}


def remembering(solver: Callable[..., Any]) -> Callable[..., Any]:
    """The solver, which solves a sample once: all rows are measured on the same."""
    known: dict[float, Any] = {}

    def solve(problem: Any, batch: Any) -> Any:
        key = float(batch.params["s"][0])
        known[key] = known[key] if key in known else solver(problem, batch)
        return known[key]

    return solve


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        f"{'trained on':12s}{'s':>7s}{'mean':>10s}{'median':>10s}{'worst':>10s}"
        f"{'energy gap: median':>20s}{'mean':>10s}"
    ]
    for name, row in found.items():
        errors = "".join(f"{100 * row[key]:8.2f} %" for key in ("mean", "median", "max"))
        lines.append(
            f"{name:12s}{row['seconds']:7.0f}{errors}"
            f"{row['median energy gap']:20.3f}{row['mean energy gap']:10.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/table9", help="where the rows are trained")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--solutions", type=int, default=64)
    parser.add_argument("--samples", type=int, default=16, help="held out")
    given = parser.parse_args()
    torch.set_num_threads(1)
    solver, found = remembering(compiler.solve), {}
    for name in rows(given.solutions):
        found[name] = measured(trained(name, given), given.samples, solver)
        print(table(found), flush=True)
        save("table9", {"hyperelastic_pores": found}, table(found))


if __name__ == "__main__":
    main()
