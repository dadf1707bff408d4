"""A mollified GINO learns the flow about deformed sections from solved samples, `TRAINED` of them;
the others are held out. Resumable: a share of the minutes at a time, until all are spent.

    pdespec dataset examples/airfoil_euler.pde --at nodes --samples 1200 --out DIR
    OMP_NUM_THREADS=1 python benchmarks/airfoil/operator.py DIR --minutes 24 --share 6
    OMP_NUM_THREADS=1 python benchmarks/airfoil/operator.py DIR --measure --write

Writes DIR/wing.pt, and `benchmarks/results/airfoil_operator.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import fields as names_of
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.stats import spearmanr

import compiler
import pdespec
from compiler.finite_volume.design import Wings
from compiler.finite_volume.moving import Grids
from compiler.finite_volume.operator import SectionOperator, forces
from compiler.loss.conservation import ConservationLoss, Volumes, at_nodes, blocks

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "airfoil_operator.json"
PROBLEM = pdespec.load(ROOT / "examples" / "airfoil_euler.pde")
AROUND, OUTWARDS, KEPT = 256, 64, 40  # cells; rows of nodes that are learnt: to about two chords
TRAINED, BATCH, RATE = 1000, 4, 4e-3
BLOCK, ASKED = 2, 96  # cells of a side of a control volume; volumes a step
LAWS = ConservationLoss(PROBLEM)
SAMPLE = compiler.instance(PROBLEM, {"d": torch.zeros(7)}, points={"interior": 1, "operator": 1})
Samples = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def read(folder: Path, first: int, last: int) -> Samples:
    """Displacements "s 7", nodes "s j i 2" and fields "s j i 4" of the samples that were solved,
    from number `first` to before `last`."""
    rows, shape = [], (OUTWARDS + 1, AROUND)
    for path in sorted(folder.glob("*-*.h5")):
        with h5py.File(path, "r") as file:
            for key in sorted(file, key=int):
                group = file[key]
                if "failed" in group.attrs or not first <= int(key) < last:
                    continue
                unknowns = [np.asarray(group[f"unknowns/{n}"]) for n in ("rho", "v", "p")]
                fields = np.concatenate([u.reshape(len(u), -1) for u in unknowns], 1)
                at = np.asarray(group["points"]).reshape(*shape, 2)[:KEPT]
                flow = fields.reshape(*shape, 4)[:KEPT].astype(np.float32)
                rows.append((np.asarray(group["params/d"]), at, flow))
    return tuple(torch.from_numpy(np.stack(each)) for each in zip(*rows, strict=True))  # type: ignore


def train(folder: Path, minutes: float, share: float, physics: float) -> None:
    """Adam on mean squared errors at random nodes and of the forces, in units of their spreads."""
    _, nodes, fields = read(folder, 0, TRAINED)
    nodes, wing = nodes.float(), SectionOperator((KEPT, AROUND))
    optimizer, path = torch.optim.Adam(wing.parameters(), lr=RATE), folder / "wing.pt"
    generator, kept = torch.Generator().manual_seed(1), {"seconds": 0.0, "steps": 0}
    if path.exists():
        kept = torch.load(path, weights_only=True)
        wing.load_state_dict(kept.pop("wing"))
        optimizer.load_state_dict(kept.pop("optimizer"))
        generator.set_state(kept["chance"])
    else:
        wing.standardise(nodes, fields)
    print(f"{len(nodes)} samples, {kept['steps']} steps done", flush=True)
    already = kept["seconds"] - time.process_time()
    end = min(60 * minutes, kept["seconds"] + 60 * share)
    while kept["seconds"] < end:
        gone = kept["seconds"] / (60 * minutes)
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, 20 * gone + 0.05) * (1 - gone) ** 1.5
        own = torch.randint(len(nodes), (BATCH,), generator=generator)
        loss = wing.misfit(nodes[own], fields[own], generator)
        if physics:
            loss = loss + physics * lacked(wing, nodes[own], generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kept |= {"steps": kept["steps"] + 1, "seconds": already + time.process_time()}
        if kept["steps"] % 200 == 0:
            print(kept["steps"], f"{float(loss.detach()):.5f} {kept['seconds']:.0f} s", flush=True)
            _save(path, kept, wing, optimizer, generator)
    _save(path, kept | {"samples": len(nodes), "physics": physics}, wing, optimizer, generator)


def lacked(wing: SectionOperator, nodes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The mean square of `lacking` over some random blocks, all laws together."""
    rows, around = nodes.shape[1:3]
    many = (rows - 1) // BLOCK * (around // BLOCK)
    chosen = torch.randperm(many, generator=generator)[:ASKED]
    _, number = blocks(nodes[:1], BLOCK)
    asked, place = number[chosen].unique(return_inverse=True)
    values = wing.answers(nodes, asked)[0]
    volumes, _ = blocks(nodes, BLOCK)
    volumes = Volumes(*(each[:, chosen] for each in _parts(volumes)))
    found = LAWS.balances(at_nodes(values, place), volumes, SAMPLE)
    area = volumes.measure.sqrt()[..., None]
    return torch.stack([(v * area).square().sum(-1).mean() for v in found.values()]).sum()


def _parts(volumes: Volumes) -> list[torch.Tensor]:
    """Its tensors, weights of one place inside "b m r" too."""
    return [getattr(volumes, each.name) for each in names_of(volumes)]


def _save(
    path: Path,
    kept: dict,
    wing: SectionOperator,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    state = {"chance": generator.get_state(), "wing": wing.state_dict()}
    torch.save({**kept, **state, "optimizer": optimizer.state_dict()}, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


@torch.no_grad()
def measured(wing: SectionOperator, nodes: torch.Tensor, fields: torch.Tensor) -> dict:
    """Relative L2 errors at all nodes by field, and errors of forces over their spread."""
    found = torch.cat([wing(each) for each in nodes.split(4)])
    flat = fields.flatten(1, 2)
    relative = (found - flat).norm(dim=1) / flat.norm(dim=1)  # s 4
    true = forces(nodes, fields[:, 0, :, 3])
    gap = forces(nodes, found[:, :AROUND, 3]) - true
    names = ("rho", "v.x", "v.y", "p")
    return {
        "relative L2, mean": dict(zip(names, relative.mean(0).tolist(), strict=True)),
        "relative L2, worst": dict(zip(names, relative.amax(0).tolist(), strict=True)),
        "rms error of drag and lift": gap.square().mean(0).sqrt().tolist(),
        "spread": true.std(0).tolist(),
        "rms share of the spread": (gap.square().mean(0).sqrt() / true.std(0)).tolist(),
        "mean share of the spread": (gap.abs().mean(0) / true.std(0)).tolist(),
    }


@torch.no_grad()
def balances(wing: SectionOperator, nodes: torch.Tensor, fields: torch.Tensor) -> dict:
    """Root mean squares of what the blocks of `BLOCK` cells lack, by law, of the operator's fields
    and of the solved ones."""
    found = {"operator": wing(nodes).double(), "solver": fields.flatten(1, 2).double()}
    return {
        who: {k: float(v.square().mean().sqrt()) for k, v in lacking(values, nodes).items()}
        for who, values in found.items()
    }


def lacking(
    values: torch.Tensor, nodes: torch.Tensor, chosen: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Balances of blocks of cells times the root of their areas, of fields known at nodes, "b n 4";
    of some of the blocks. Shapes: -> "b m k"."""
    volumes, number = blocks(nodes.to(values), BLOCK)
    if chosen is not None:
        volumes = Volumes(*(each[:, chosen] for each in _parts(volumes)))
        number = number[chosen]
    found = LAWS.balances(at_nodes(values, number), volumes, SAMPLE)
    return {k: v * volumes.measure.sqrt()[..., None] for k, v in found.items()}


@torch.no_grad()
def doubts(wing: SectionOperator, nodes: torch.Tensor, fields: torch.Tensor) -> dict:
    """How well the gap to the mirror image tells the error, of pressure on the section and of
    forces: rank correlations over samples, and medians."""
    at = torch.arange(AROUND)
    parts = [torch.stack(wing.answers(n, at))[..., 3] for n in nodes.split(8)]
    both, true = torch.cat(parts, 1), fields[:, 0, :, 3]  # 2 s i
    error = (both.mean(0) - true).square().mean(1).sqrt()
    gap = (both - both.mean(0)).square().mean((0, 2)).sqrt()
    force = torch.stack([forces(nodes, each) for each in (*both, true)])
    missed, apart = force[:2].mean(0) - force[2], force[0] - force[1]
    pairs = [(gap, error), *zip(apart.abs().T, missed.abs().T, strict=True)]
    names = ("pressure", "drag", "lift")
    return {
        name: {
            "rank correlation": float(spearmanr(*pair).statistic),
            "median gap and error": [float(each.median()) for each in pair],
        }
        for name, pair in zip(names, pairs, strict=True)
    }


def slopes(wing: SectionOperator, d: torch.Tensor) -> dict:
    """d(force)/d(displacement) by autograd, against differences of the operator in float64 by
    Richardson's rule from steps h and h/2, and against the solver."""
    wings = Wings(wing, Grids(PROBLEM, AROUND // 8, KEPT), lambda d: None, dtype=torch.float64)
    at, generator = torch.arange(AROUND), torch.Generator().manual_seed(0)
    gaps: dict[str, list[float]] = {f"{h:g}": [] for h in (2e-3, 1e-3, 5e-4, 1e-4)}
    agreement, cosines = [], []
    for each in d:
        exact = torch.from_numpy(wings.predicted(each.numpy())[1])
        along = torch.randn(7, generator=generator, dtype=torch.float64)
        along /= along.norm()

        @torch.no_grad()
        def change(h: float, each=each, along=along) -> torch.Tensor:
            nodes = wings.grids.nodes(torch.stack([each + h * along, each - h * along]))
            high, low = forces(nodes, wings.operator(nodes, at)[..., 3])
            return (high - low) / (2 * h)

        for h in map(float, gaps):
            found = (4 * change(h / 2) - change(h)) / 3
            gaps[f"{h:g}"].append(float((found / (exact @ along) - 1).abs().max()))
        moved = torch.cat([each + 1e-3 * torch.eye(7), each - 1e-3 * torch.eye(7)])
        batch = compiler.instance(PROBLEM, {"d": moved}, size=14, dtype=torch.float64)
        truth = compiler.solve(PROBLEM, batch, AROUND // 8, settled=5e-6)
        f = torch.tensor([list(s.reactions.values()) for s in truth.samples])
        solver = ((f[:7] - f[7:]) / 2e-3).T
        agreement.append((exact - solver).norm(dim=1) / solver.norm(dim=1))
        cosines.append(torch.cosine_similarity(exact, solver, dim=1))
        print(agreement[-1], {k: v[-1] for k, v in gaps.items()}, flush=True)
    return {
        "against differences of the operator, worst, by step": {k: max(v) for k, v in gaps.items()},
        "against the solver, median": torch.stack(agreement).quantile(0.5, dim=0).tolist(),
        "against the solver, every": torch.stack(agreement).tolist(),
        "cosine, median": torch.stack(cosines).quantile(0.5, dim=0).tolist(),
    }


def report(folder: Path, sections: int) -> dict:
    kept = torch.load(folder / "wing.pt", weights_only=True)
    wing = SectionOperator((KEPT, AROUND))
    wing.load_state_dict(kept["wing"])
    d, nodes, fields = read(folder, TRAINED, 2 * TRAINED)
    _, known, flows = read(folder, 0, 100)
    found = {"samples": kept["samples"], "held out": len(d), "steps": kept["steps"]}
    found |= {"CPU minutes": kept["seconds"] / 60, "physics": kept.get("physics", 0.0)}
    found["weights"] = sum(p.numel() for p in wing.parameters())
    gap = (fields - wing.mean)[..., 3].flatten(1).norm(dim=1)
    found["mean alone, p"] = float((gap / fields[..., 3].flatten(1).norm(dim=1)).mean())
    found["test"] = measured(wing, nodes.float(), fields)
    found["training"] = measured(wing, known.float(), flows)
    found["balances"] = balances(wing, nodes[:40].float(), fields[:40])
    found["doubt"] = doubts(wing, nodes.float(), fields)
    print(json.dumps(found, indent=1), flush=True)
    if sections:
        found["slopes"] = slopes(wing, d[:sections])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=24, help="of CPU time, all shares")
    parser.add_argument("--share", type=float, default=60, help="of them, this time")
    parser.add_argument("--measure", action="store_true", help="the operator on held-out samples")
    parser.add_argument("--sections", type=int, default=6, help="at which slopes are measured")
    parser.add_argument("--physics", type=float, default=0.0, help="weight of the balances")
    parser.add_argument("--write", action="store_true", help="the results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.measure:
        found = report(given.folder, given.sections)
        print(json.dumps(found, indent=1))
        if given.write:
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    else:
        train(given.folder, given.minutes, given.share, given.physics)


if __name__ == "__main__":
    main()
