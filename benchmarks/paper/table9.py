"""Pores from data, from the energy, and from both, as table 9 of Lin et al. (arXiv 2504.08277): error of u and energy on held-out radii.

    OMP_NUM_THREADS=1 python benchmarks/paper/table9.py --steps 800 --solutions 64

All rows take the same number of steps of the small preset from the same first weights. Data are `--solutions` samples solved by the
reference solver. The energy of what an operator says is taken on the reference's mesh and told relative to the reference's: what data
alone leave open.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
from measure import save

import compiler
import pdespec
from compiler.presets import preset
from compiler.progress import Lines

PROBLEM = Path(__file__).parents[2] / "examples" / "hyperelastic_pores.pde"


def rows(solutions: int) -> Mapping[str, Mapping[str, Any]]:
    """Options of each row. The hybrid's weight makes a relative squared error of 1 count as some ten times the energy of a sample."""
    return {
        "data": {"physics": False, "solutions": solutions, "references": 2},
        "hybrid": {"solutions": solutions, "weights": {"data": 0.05}},
        "physics": {},
    }


def measured(options: Mapping[str, Any], steps: int, samples: int, directory: Path) -> dict[str, Any]:
    """One row: seconds of training without the solves, errors and energy gap."""
    problem, chosen = pdespec.load(PROBLEM), preset("small")
    points = {**chosen.options.points, "interior": 512}
    common = {"steps": steps, "points": points, "estimate": False, "weights": {}, "references": 0, "validate_every": steps}
    model = compiler.build(problem, "gino", **chosen.model)
    run = compiler.train(problem, model, replace(chosen.options, **{**common, **options}), directory, display=Lines(Console(), 60))
    found = compiler.evaluate(run.directory, samples, report=False)
    gaps = {f"{key} energy gap": value for key, value in (found.energy_gap or {}).items()}
    return {"seconds": run.history[-1]["seconds"], **found.relative_l2, **gaps}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"{'trained on':12s}{'s':>7s}{'mean':>10s}{'median':>10s}{'worst':>10s}{'energy gap: median':>20s}{'mean':>10s}"]
    for name, row in found.items():
        errors = "".join(f"{100 * row[key]:8.2f} %" for key in ("mean", "median", "max"))
        lines.append(f"{name:12s}{row['seconds']:7.0f}{errors}{row['median energy gap']:20.3f}{row['mean energy gap']:10.3f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--solutions", type=int, default=64)
    parser.add_argument("--samples", type=int, default=16, help="held out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, row in rows(options.solutions).items():
            began = time.perf_counter()
            found[name] = measured(row, options.steps, options.samples, Path(folder) / name)
            print(table(found), f"\n({time.perf_counter() - began:.0f} s in all)", flush=True)
    save("table9", {"hyperelastic_pores": found}, table(found))


if __name__ == "__main__":
    main()
