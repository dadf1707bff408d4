"""A mollified GINO learns the flow about deformed sections from solved samples: pressure and the
other fields on held-out ones, forces by quadrature on the section, and their slopes in the design
displacements against differences of the operator and of the solver.

    pdespec dataset examples/airfoil_euler.pde --at nodes --samples 320 --out DIR
    OMP_NUM_THREADS=1 python benchmarks/airfoil/operator.py DIR --minutes 20

The operator reads where the nodes of a section's mesh lie, as a function of their place in the grid
(round the section, periodic, and outwards), with their distance from the section, and answers with
density, velocity and pressure there. Writes `benchmarks/results/airfoil_operator.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import h5py
import numpy as np
import torch

import compiler
import operators
import pdespec
from compiler.finite_volume.flow import flow
from compiler.finite_volume.solve import FlowOptions, Request
from operators.field import OperatorInput

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "airfoil_operator.json"
PROBLEM = pdespec.load(ROOT / "examples" / "airfoil_euler.pde")
AROUND, OUTWARDS, KEPT = 256, 64, 40  # cells; rows of nodes that are learnt: to about two chords


def read(folder: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Displacements "s 7", nodes "s j i 2" and fields "s j i 4" of the samples that were solved."""
    rows = []
    for path in sorted(folder.glob("*.h5")):
        with h5py.File(path, "r") as file:
            for key in sorted((k for k in file), key=int):
                group = file[key]
                if "failed" in group.attrs:
                    continue
                unknowns = [np.asarray(group[f"unknowns/{n}"]) for n in ("rho", "v", "p")]
                fields = np.concatenate([u.reshape(len(u), -1) for u in unknowns], 1)
                shape = (OUTWARDS + 1, AROUND)
                rows.append(
                    (
                        np.asarray(group["params/d"]),
                        np.asarray(group["points"]).reshape(*shape, 2)[:KEPT],
                        fields.reshape(*shape, 4)[:KEPT],
                    )
                )
    return tuple(torch.from_numpy(np.stack(each)) for each in zip(*rows, strict=True))  # type: ignore


def places() -> torch.Tensor:
    """Where nodes lie in the grid: [0, 1) round the section, [0, 1] outwards. Shapes: "j i 2"."""
    i, j = torch.arange(AROUND) / AROUND, torch.arange(KEPT) / (KEPT - 1)
    return torch.stack(torch.meshgrid(j, i, indexing="ij")[::-1], -1)


def model(width: int) -> operators.GINO:
    return operators.GINO(
        3,
        4,
        2,
        latent=(128, 20),
        box=((0.0, 0.0), (1.0, 1.0)),
        periodic=(True, False),
        hidden=width,
        modes=(24, 8),
        layers=4,
        weight="half_cos",
        kernel="polynomial",
        encoder={"weight": "half_cos"},
        generator=torch.Generator().manual_seed(0),
    )


class Wing(torch.nn.Module):
    """Nodes of meshes -> fields at places of the grid, in units of their spread."""

    def __init__(self, nodes: torch.Tensor, fields: torch.Tensor, width: int = 32) -> None:
        super().__init__()
        self.net = model(width)
        mean = nodes.mean(0)
        self.register_buffer("mean_nodes", mean)
        self.register_buffer("size", (nodes - mean).std() * torch.ones(()))
        self.register_buffer("mean", fields.mean(0))
        self.register_buffer("spread", (fields - fields.mean(0)).std((0, 1, 2)))
        self.register_buffer("places", places().to(nodes))

    def forward(self, nodes: torch.Tensor, at: torch.Tensor | None = None) -> torch.Tensor:
        """Fields at nodes "n" by number, all without. Shapes: nodes "b j i 2" -> "b n 4"."""
        moved = (nodes - self.mean_nodes) / self.size
        height = (nodes - nodes[:, :1]).square().sum(-1, keepdim=True).add(1e-12).sqrt()
        flat = self.places.flatten(0, 1)
        values = torch.cat([moved, height.log() / 4], -1)[:, ::2, ::2].flatten(1, 2)
        read = self.places[::2, ::2].flatten(0, 1).expand(len(nodes), -1, -1)
        queries = flat if at is None else flat[at]
        field = self.net(OperatorInput(read, values))
        found = field(queries.expand(len(nodes), -1, -1))
        mean = self.mean.flatten(0, 1)
        return (mean if at is None else mean[at]) + self.spread * found


def forces(nodes: torch.Tensor, pressure: torch.Tensor) -> torch.Tensor:
    """Of the pressure on the section by the trapezoidal rule. Shapes: "b j i 2", "b i" -> "b 2"."""
    wall, beyond = nodes[:, 0], nodes[:, 0].roll(-1, 1)
    mean = (pressure + pressure.roll(-1, 1)) / 2
    x, y = (beyond - wall).unbind(-1)  # clockwise: (-y, x) points outwards
    return torch.stack([(mean * y).sum(1), -(mean * x).sum(1)], -1)


def mesh(d: np.ndarray) -> np.ndarray:
    """Nodes "j i 2" of the mesh of a section."""
    batch = compiler.instance(PROBLEM, {"d": torch.tensor(d)[None]}, dtype=torch.float64)
    request = Request(PROBLEM, flow(PROBLEM), batch, FlowOptions(AROUND // 8))
    return request.setting(batch, 0)[0][:KEPT, :-1]


class Mesh(torch.autograd.Function):
    """Nodes of meshes as a differentiable function of the displacements, "b 7" -> "b j i 2". Its
    Jacobian is taken by central differences of the mesh, which is smooth."""

    STEP = 1e-4

    @staticmethod
    def forward(context, d: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(d)
        return torch.from_numpy(np.stack([mesh(each) for each in d.detach().numpy()]))

    @staticmethod
    def backward(context, slope: torch.Tensor) -> torch.Tensor:
        (d,) = context.saved_tensors
        rows = []
        for each, own in zip(d.numpy(), slope.numpy(), strict=True):
            steps = Mesh.STEP * np.eye(7)
            pairs = [(mesh(each + s) - mesh(each - s)) / (2 * Mesh.STEP) for s in steps]
            rows.append([float((own * jacobian).sum()) for jacobian in pairs])
        return torch.tensor(rows, dtype=d.dtype)


def train(wing: Wing, nodes: torch.Tensor, fields: torch.Tensor, minutes: float) -> int:
    """Adam on mean squared errors at random nodes, for so many minutes of CPU time."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(wing.parameters(), lr=4e-3)
    flat, begun, steps = fields.flatten(1, 2), time.process_time(), 0
    while (gone := (time.process_time() - begun) / (60 * minutes)) < 1:
        optimizer.param_groups[0]["lr"] = 4e-3 * min(1.0, 20 * gone + 0.05) * (1 - gone) ** 1.5
        own = torch.randint(len(nodes), (4,), generator=generator)
        # the section itself, and others
        at = torch.cat(
            [
                torch.randperm(AROUND, generator=generator)[:128],
                torch.randint(AROUND * KEPT, (512,), generator=generator),
            ]
        )
        gap = (wing(nodes[own], at) - flat[own][:, at]) / wing.spread
        loss = gap.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        if steps % 100 == 0:
            print(steps, f"{float(loss.detach()):.5f}", f"{gone:.3f}", flush=True)
    return steps


@torch.no_grad()
def measured(wing: Wing, nodes: torch.Tensor, fields: torch.Tensor) -> dict:
    """Relative L2 errors at all nodes by field, and errors of forces over their spread."""
    found = torch.cat([wing(each) for each in nodes.split(4)])
    flat = fields.flatten(1, 2)
    relative = (found - flat).norm(dim=1) / flat.norm(dim=1)  # s 4
    own = forces(nodes, found.unflatten(1, (KEPT, AROUND))[:, 0, :, 3])
    true = forces(nodes, fields[:, 0, :, 3])
    gap = (own - true).abs()
    return {
        "relative L2": dict(
            zip(("rho", "v.x", "v.y", "p"), relative.mean(0).tolist(), strict=True)
        ),
        "force error": gap.mean(0).tolist(),
        "force spread": true.std(0).tolist(),
        "share of the spread": (gap.mean(0) / true.std(0)).tolist(),
    }


def slopes(wing: Wing, d: torch.Tensor) -> dict:
    """d(force)/d(displacement) by autograd, by differences of the operator, and of the solver."""
    wing = wing.double()
    gaps, agreement = [], []
    for each in d:
        at = each[None].clone().requires_grad_(True)
        found = forces(Mesh.apply(at), _pressure(wing, Mesh.apply(at)))
        exact = torch.stack([torch.autograd.grad(f, at, retain_graph=True)[0][0] for f in found[0]])
        step, direction = 1e-4, torch.ones(7, dtype=torch.float64) / 7**0.5
        with torch.no_grad():
            pair = [
                forces(m, _pressure(wing, m))[0]
                for m in (Mesh.apply((each + s * direction)[None]) for s in (step, -step))
            ]
        gaps.append(
            float(((pair[0] - pair[1]) / (2 * step) - exact @ direction).abs().max())
            / float((exact @ direction).abs().max())
        )
        moved = torch.cat([each + 1e-3 * torch.eye(7), each - 1e-3 * torch.eye(7)])
        batch = compiler.instance(PROBLEM, {"d": moved}, size=14, dtype=torch.float64)
        truth = compiler.solve(PROBLEM, batch, AROUND // 8, settled=5e-6)
        f = torch.tensor([list(s.reactions.values()) for s in truth.samples])
        solver = ((f[:7] - f[7:]) / 2e-3).T
        agreement.append((exact - solver).norm(dim=1) / solver.norm(dim=1))
    return {
        "autograd against differences of the operator": max(gaps),
        "against the solver, median, drag and lift": torch.stack(agreement)
        .quantile(0.5, dim=0)
        .tolist(),
    }


def _pressure(wing: Wing, nodes: torch.Tensor) -> torch.Tensor:
    return wing(nodes, torch.arange(AROUND))[..., 3]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=20, help="of CPU time, for training")
    parser.add_argument("--write", action="store_true", help="the results")
    parser.add_argument("--weights", type=Path, help="of a wing trained before, as in wing.pt")
    parser.add_argument("--held-out", type=int, default=64)
    given = parser.parse_args()
    held_out = given.held_out
    torch.set_num_threads(1)
    d, nodes, fields = read(given.folder)
    print(len(d), "samples", flush=True)
    count = len(d) - held_out
    wing = Wing(nodes[:count].float(), fields[:count].float())
    if given.weights is None:
        steps = train(wing, nodes[:count].float(), fields[:count].float(), given.minutes)
    else:
        wing.load_state_dict(torch.load(given.weights, weights_only=True))
        steps = json.loads(RESULTS.read_text())["steps"]
    found = {
        "samples": count,
        "held out": held_out,
        "steps": steps,
        "CPU minutes": given.minutes,
        "weights": sum(p.numel() for p in wing.parameters()),
        "training": measured(wing, nodes[:held_out].float(), fields[:held_out].float()),
        "test": measured(wing, nodes[count:].float(), fields[count:].float()),
        "mean alone": float(
            ((fields[count:] - fields[:count].mean(0))[..., 3].flatten(1).norm(dim=1)
             / fields[count:, ..., 3].flatten(1).norm(dim=1)).mean()
        ),
    }  # fmt: skip
    print(json.dumps(found), flush=True)
    torch.save(wing.state_dict(), given.folder / "wing.pt")
    found["slopes"] = slopes(wing, d[count : count + 4])
    print(json.dumps(found, indent=1))
    if given.write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
