"""Better wings at Mach 0.8: least drag over lift by an operator, which the solver checks where it
is unsure of itself, from several starts; lift, thickness and smoothness are held. Needs numba, and
a folder of samples and weights: `airfoil_design.py DIR`, see benchmarks/airfoil/operator.py."""

import sys
from pathlib import Path

import numpy as np
import torch

import compiler
import pdespec
from compiler.datasets import Dataset
from compiler.finite_volume.design import Asked, Wings, improve, limits
from compiler.finite_volume.moving import Grids
from compiler.finite_volume.operator import SectionOperator, forces

WING = pdespec.load(Path(__file__).with_name("airfoil_euler.pde"))
RESOLUTION, ROWS = 32, 40
GRIDS, SHAPE = Grids(WING, RESOLUTION, ROWS), (2 * RESOLUTION + 1, 8 * RESOLUTION)
START = np.array([0.0, 0.0, -0.01, -0.01, 0.0, 0.0, 0.0])  # the rear bent down: some lift


def flow(d: np.ndarray, resolution=RESOLUTION, rows=ROWS) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes "j i 2" and density, velocity and pressure "j i 4" by the solver."""
    batch = compiler.instance(WING, {"d": torch.tensor(d)}, dtype=torch.float64)
    (truth,) = compiler.solve(WING, batch, resolution, settled=1e-5).samples
    values = torch.tensor(truth.vectors).reshape(4, 2 * resolution + 1, -1).permute(1, 2, 0)
    return torch.tensor(truth.spaces.mesh.p.T).reshape(*values.shape[:2], 2)[:rows], values[:rows]


def load(folder: Path, count: int) -> tuple[Wings, np.ndarray, np.ndarray]:
    operator = SectionOperator((ROWS, SHAPE[1]))
    operator.load_state_dict(torch.load(folder / "wing.pt", weights_only=True)["wing"])
    known = list(Dataset(folder, next(folder.glob("*-000000.h5")).name.split("-")[0], count))
    nodes = np.stack([each.points.reshape(*SHAPE, 2)[:ROWS] for each in known])
    fields = [np.c_[tuple(each.unknowns.values())].reshape(*SHAPE, 4)[:ROWS] for each in known]
    past = torch.tensor(nodes).float(), torch.tensor(np.stack(fields)).float()
    found = forces(past[0], past[1][:, 0, :, 3]).double().numpy()
    return Wings(operator, GRIDS, flow, past), np.stack([e.params["d"] for e in known]), found


def main(folder, weight=1.0, starts=3, asks=10, samples=48, finer=64, **held):
    """The best way by the cost of Li et al. (2023), drag and lift at its end on a finer grid."""
    wings, drawn, known = load(Path(folder), samples)
    asked = Asked(
        lambda f, d: (f[0] / f[1]) ** 2 + weight * (d @ d + 1e-12).sqrt(),
        limits(GRIDS, **{"lift": 0.02, **held}),
    )
    merits = [asked.merit(*each) for each in zip(known, drawn, strict=True)]
    begun = [START, *drawn[np.argsort(merits)]][:starts]
    best = min((improve(wings, asked, d, asks=asks) for d in begun), key=lambda p: p[-1].cost)
    nodes, fields = flow(best[-1].d, finer, rows=1)
    found = forces(nodes[None], fields[None, 0, :, 3])[0].numpy()
    print(f"{best[-1].d.round(4)}: drag, lift {found}, ratio {found[0] / found[1]:.4f}")
    return best, found, wings


if __name__ == "__main__":
    main(sys.argv[1])
