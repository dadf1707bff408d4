"""What strong residuals and balances say of the solver's own flow at a shock: mean squares over
cells and over control volumes near a section, on finer and finer grids, with a shock and without.

    OMP_NUM_THREADS=1 python benchmarks/airfoil/conservation.py

Writes `benchmarks/results/airfoil_conservation.json`: about a CPU minute.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

import compiler
import pdespec
from compiler.loss.conservation import ConservationLoss, at_nodes, blocks
from operators.field import Capabilities

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "airfoil_conservation.json"
TEXT = (ROOT / "examples" / "airfoil_euler.pde").read_text()
D = [0.01, 0.0, -0.02, -0.015, 0.01, 0.0, 0.005]
NEAR = 5 / 8  # of the rows of cells: to about two chords
COARSEST = 16


def flow(mach: float, resolution: int):
    """The problem, the sample, the nodes "1 j i 2" and the fields "1 j i 4" of its solution."""
    problem = pdespec.parse(TEXT.replace("M = 0.8", f"M = {mach}"))
    batch = compiler.instance(problem, {"d": torch.tensor(D)}, dtype=torch.float64)
    truth = compiler.solve(problem, batch, resolution, settled=1e-6)
    (sample,) = truth.samples
    rows, around = 2 * resolution + 1, 8 * resolution
    nodes = torch.from_numpy(sample.spaces.mesh.p.T.copy()).reshape(1, rows, around, 2)
    values = torch.from_numpy(sample.vectors.reshape(4, rows, around).copy())
    kept = round(NEAR * 2 * resolution) + 1
    return problem, batch, nodes[:, :kept], values.permute(1, 2, 0)[None, :kept]


def strong(problem, batch, nodes: torch.Tensor, values: torch.Tensor) -> dict[str, float]:
    """Mean squares of the residuals in the middle of cells, where the fields are bilinear."""

    def cells(each: torch.Tensor) -> torch.Tensor:  # j i corner c
        beside = each.roll(-1, 2)
        corners = each[:, :-1], beside[:, :-1], beside[:, 1:], each[:, 1:]
        return torch.stack(corners, 3).flatten(1, 2)[0]

    at, u = cells(nodes), cells(values)
    sides = nodes.new_tensor([[-1.0, 1, 1, -1], [-1, -1, 1, 1]]) / 2
    jacobian = torch.einsum("ak,nkx->nax", sides, at)
    slope = torch.linalg.solve(jacobian, torch.einsum("ak,nkc->nac", sides, u))  # n x c
    middle, mean, area = at.mean(1), u.mean(1), torch.linalg.det(jacobian).abs()

    def field(points: torch.Tensor) -> torch.Tensor:
        return (mean + torch.einsum("nx,nxc->nc", points[0] - middle, slope))[None]

    field.capabilities = Capabilities(
        taylor=True
    )  # nothing to be tried: pieces of a bilinear field
    loss = compiler.compile(problem, "autograd")
    found = loss.residuals(field, middle[None], params=batch.params)
    return {
        name: float((area[:, None] * each[0].detach().square()).sum() / area.sum())
        for name, each in found.items()
    }


def main() -> None:
    rows = []
    for mach in (0.8, 0.4):
        for resolution in (16, 32, 64, 96):
            problem, batch, nodes, values = flow(mach, resolution)
            volumes, number = blocks(nodes, 2 * resolution // COARSEST)
            loss = ConservationLoss(problem)
            field = at_nodes(values.flatten(1, 2), number)
            weak = {k: float(v) for k, v in loss.means(field, volumes, batch).items()}
            row = {"mach": mach, "resolution": resolution, "balance": weak}
            rows.append(row | {"strong": strong(problem, batch, nodes, values)})
            print(rows[-1], flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
