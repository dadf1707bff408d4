"""Better wings by `examples/airfoil_design.py`: by an operator that asks the solver, and by the
same steps on the solver alone, whose slopes are differences; for several weights of the penalty,
with flows, CPU seconds and what a finer grid says.

    OMP_NUM_THREADS=1 python benchmarks/airfoil/design.py DIR [--cases ..] [--by operator solver]

Adds to `benchmarks/results/airfoil_design.json`; --page writes the search of the last case as a
page of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from compiler.finite_volume.design import Asked, Visited, Wings, improve, limits
from compiler.finite_volume.operator import forces
from compiler.report.search import Step, write_page

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "airfoil_design.json"
HELD = {"thick": 0.9, "bend": 1.5}
CASES = {
    "published": {"weight": 1.0},
    "0.1": {"weight": 0.1, **HELD},
    "0.01": {"weight": 0.01, **HELD},
    "lift": {"weight": 0.01, "lift": 0.25, **HELD},
}
COARSE, SHIFT = 16, 1e-3  # resolution and displacement of the differences


class Alone:
    """The solver in the operator's place: forces by it, slopes by forward differences."""

    def __init__(self, example) -> None:
        self.example, self.asked = example, 0

    def truth(self, d: np.ndarray) -> np.ndarray:
        self.asked += 1
        nodes, fields = self.example.flow(d, COARSE, 1)
        return forces(nodes[None], fields[None, 0, :, 3])[0].numpy()

    def predicted(self, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        found = self.truth(d)
        moved = [self.truth(d + SHIFT * unit) for unit in np.eye(7)]
        return found, (np.stack(moved) - found).T / SHIFT, 0.0

    def learn(self) -> None:
        """There is nothing to be learnt."""


def alone(example, weight: float, asks: int, **held) -> tuple[list[Visited], np.ndarray, Alone]:
    """The same search from the same start by the solver alone."""
    wings = Alone(example)
    asked = Asked(
        lambda f, d: (f[0] / f[1]) ** 2 + weight * (d @ d + 1e-12).sqrt(),
        limits(example.GRIDS, **{"lift": 0.02, **held}),
    )
    path = improve(wings, asked, example.START, asks=asks)  # type: ignore[arg-type]
    nodes, fields = example.flow(path[-1].d, 64, 1)
    return path, forces(nodes[None], fields[None, 0, :, 3])[0].numpy(), wings


def row(path: list[Visited], found: np.ndarray, wings, seconds: float) -> dict:
    last = path[-1]
    said = {"d": last.d.tolist(), "size": float(np.linalg.norm(last.d)), "cost": last.cost}
    said |= {"drag and lift": last.forces.tolist(), "on the finer grid": found.tolist()}
    said |= {"ratio": float(found[0] / found[1]), "flows": wings.asked, "seconds": seconds}
    if isinstance(wings, Wings):
        said |= {"operator": wings.asked_operator, "by": wings.seconds}
        said["taken unchecked"] = sum(each.by == "operator" for each in path)
    return said


def page(path: list[Visited], wings: Wings, title: str, where: Path) -> None:
    """The steps of a search with the operator's pressure."""
    steps = []
    for each in path:
        nodes = wings.grids.nodes(torch.tensor(each.d)[None])
        with torch.no_grad():
            pressure = wings.operator(nodes.to(wings.dtype))[0, :, 3].unflatten(0, nodes.shape[1:3])
        drag, lift = each.forces
        numbers = {"drag": drag, "lift": lift, "drag over lift": drag / lift, "cost": each.cost}
        steps.append(Step(nodes[0].numpy(), pressure.double().numpy(), numbers, each.by))
    lead = (
        f"{len(path)} sections on the way, {sum(e.by == 'solver' for e in path)} of them solved;"
        " the pressure is the operator's, forces are those of who is named in the table."
    )
    write_page(where, title, lead, steps)


def picture(example, where: Path) -> None:
    """The sections that were found by the operator, and the solver's pressure on them."""
    found = [e for e in json.loads(RESULTS.read_text()) if e.get("who") == "operator"]
    figure, axes = plt.subplots(2, len(found), figsize=(3.4 * len(found), 4.2), sharex=True)
    start = example.flow(np.zeros(7), 48, 1)
    for (above, below), each in zip(axes.T.reshape(-1, 2), found, strict=True):
        nodes, fields = example.flow(np.array(each["d"]), 48, 1)
        for at, colour in ((start[0], "0.7"), (nodes, "C0")):
            above.plot(*at[0].T, color=colour, lw=1.2)
        for (at, values), colour in ((start, "0.7"), ((nodes, fields), "C0")):
            below.plot(at[0, :, 0], values[0, :, 3], color=colour, lw=1)
        above.set_aspect("equal")
        above.set_ylim(-0.16, 0.16)
        above.set_title(f"{each['case']}: {each['ratio']:.4f}", fontsize=9)
        below.invert_yaxis()
        below.set_xlabel("x")
    axes.reshape(2, -1)[1, 0].set_ylabel("pressure")
    figure.tight_layout()
    figure.savefig(where, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--by", nargs="+", default=["operator", "solver"])
    parser.add_argument("--asks", type=int, default=10)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location("design", ROOT / "examples/airfoil_design.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.flow(example.START, 8, 1)  # compiles
    for name in given.cases:
        for who in given.by:
            begun = time.process_time()
            if who == "operator":
                found = example.main(
                    given.folder, **CASES[name], starts=given.starts, asks=given.asks
                )
            else:
                found = alone(example, asks=given.asks, **CASES[name])
            said = {"case": name, "who": who, **CASES[name]}
            said |= row(*found, time.process_time() - begun)
            print(said, flush=True)
            kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
            kept = [e for e in kept if (e.get("case", name), e.get("who", who)) != (name, who)]
            kept.append(said)
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
            if given.page and who == "operator":
                page(found[0], found[2], f"A search for less drag over lift: {name}", given.page)
    if given.picture:
        picture(example, given.picture)


if __name__ == "__main__":
    main()
