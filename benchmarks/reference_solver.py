"""Error against time of the reference solver and of FEniCS on the same straight meshes: nonlinear Poisson on a star, pressed pores.

    python benchmarks/reference_solver.py [--resolutions 8 16 32] [--samples 3] [--out runs/reference_solver.json]

Times are assembly and solve alone, without meshing and without FEniCS's compilation. Errors are relative L2 at interior points against
our cubic elements on a mesh half as coarse again as the finest one is fine.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

import compiler
import pdespec
from compiler.fem.fenics import available, solve_with_fenics
from compiler.fem.known import Known
from compiler.fem.mesh import mesh_domain

EXAMPLES = Path(__file__).parents[1] / "examples"
PROBLEMS = {"nonlinear_poisson": ("Omega", {}), "hyperelastic_pores": ("body", {"s": 0.8})}


def measure(name: str, resolutions: list[int], samples: int) -> list[dict]:
    problem = pdespec.load(EXAMPLES / f"{name}.pde")
    region, given = PROBLEMS[name]
    rows = []
    for sample in range(samples):
        generator = torch.Generator().manual_seed(sample)
        batch = compiler.instance(problem, params=given) if given else compiler.sample(problem, 1, generator=generator)
        batch = batch.to(torch.float64)
        points = batch.geometry[region].interior(500, generator)
        best = compiler.solve(problem, batch, resolution=3 * max(resolutions) // 2, degree=3)(points)
        for resolution in resolutions:
            values = Known(problem, batch).shape_values
            mesh = mesh_domain(problem.domains[region], values, resolution)
            truth = compiler.solve(problem, batch, resolution=resolution)
            error = ((truth(points) - best).norm() / best.norm()).item()
            row = {"problem": name, "sample": sample, "resolution": resolution, "error": error, "seconds": truth.phases["solve"]}
            if available():
                straight = compiler.solve(problem, batch, mesh=mesh)
                theirs = solve_with_fenics(problem, batch, mesh)
                row |= {"fenics seconds": theirs.seconds, "straight seconds": straight.phases["solve"]}
                found = straight.samples[0]
                gaps = [np.abs(found.vectors[0, found.spaces.numbers(c)] - theirs.values[c]).max() for c in found.components]
                row["gap to fenics"] = float(max(gaps))
            rows.append(row)
            print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolutions", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/reference_solver.json"))
    options = parser.parse_args()
    rows = [row for name in PROBLEMS for row in measure(name, options.resolutions, options.samples)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
