"""A mollified GINO learns the flow about deformed sections from solved samples, `TRAINED` of them;
the others are held out. Resumable: a share of the minutes at a time, until all are spent.

    pdespec dataset examples/airfoil_euler.pde --at nodes --samples 1200 --out DIR
    OMP_NUM_THREADS=1 python benchmarks/airfoil/operator.py DIR --minutes 24 --share 6
    OMP_NUM_THREADS=1 python benchmarks/airfoil/operator.py DIR --measure --write

Writes DIR/wing.pt, and `benchmarks/results/airfoil_operator.json`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import h5py
import numpy as np
import torch

import pdespec
from compiler.finite_volume.operator import SectionOperator, forces

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "airfoil_operator.json"
PROBLEM = pdespec.load(ROOT / "examples" / "airfoil_euler.pde")
AROUND, OUTWARDS, KEPT = 256, 64, 40  # cells; rows of nodes that are learnt: to about two chords
TRAINED, BATCH, RATE = 1000, 4, 4e-3
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


def train(folder: Path, minutes: float, share: float) -> None:
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
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kept |= {"steps": kept["steps"] + 1, "seconds": already + time.process_time()}
        if kept["steps"] % 200 == 0:
            print(kept["steps"], f"{float(loss.detach()):.5f} {kept['seconds']:.0f} s", flush=True)
            _save(path, kept, wing, optimizer, generator)
    _save(path, kept | {"samples": len(nodes)}, wing, optimizer, generator)


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=24, help="of CPU time, all shares")
    parser.add_argument("--share", type=float, default=60, help="of them, this time")
    given = parser.parse_args()
    torch.set_num_threads(1)
    train(given.folder, given.minutes, given.share)


if __name__ == "__main__":
    main()
