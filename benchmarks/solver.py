"""Time of the reference solver a sample, beside an older build of this project.

    git worktree add older REVISION
    OMP_NUM_THREADS=1 python benchmarks/solver.py --older older

Both solve the same samples of `hyperelastic_pores` at resolution 16 and of `nonlinear_poisson` at
32, one call of `compiler.solve` each, in processes of their own that take turns. Times are of one
thread of the processor, whole calls: meshing, symbolic tangent, assembly and factorisation.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

TURNS = 3
CASES = {"hyperelastic_pores": (16, 12), "nonlinear_poisson": (32, 24)}  # resolution, samples

CHILD = """
import json, sys, time
import numpy as np
import torch
import compiler, pdespec

name, resolution, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
problem, chance = pdespec.load(f"examples/{name}.pde"), np.random.default_rng(0)

def bumps(rows):
    return lambda x: sum(
        float(size) * torch.exp(-((x - x.new_tensor([a, b])) ** 2).sum(-1, keepdim=True))
        for a, b, size in rows
    )

def sample():
    if name == "hyperelastic_pores":
        return compiler.instance(problem, params={"s": float(chance.uniform(0.2, 1.1))})
    params = {each: float(chance.uniform(-0.2, 0.2)) for each in ("c1", "c2")}
    inputs = {"f": bumps(chance.normal(size=(2, 3))), "g": lambda x: x[..., :1] * x[..., 1:]}
    return compiler.instance(problem, params=params, inputs=inputs)

samples = [sample() for _ in range(count)]
compiler.solve(problem, samples[0], resolution=resolution)
seconds, values = [], []
for each in samples:
    start = time.process_time()
    truth = compiler.solve(problem, each, resolution=resolution)
    seconds.append(time.process_time() - start)
    middle = torch.full((1, 1, 2), 0.12, dtype=torch.float64)
    values.append(float(truth(middle)[0, 0, -1]))
print(json.dumps([seconds, values]))
"""


def timed(build: Path, name: str) -> tuple[list[float], list[float]]:
    """Seconds and one value of the solution, sample by sample, as a build gives them."""
    resolution, count = CASES[name]
    environment = {**os.environ, "PYTHONPATH": str(build), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, name, str(resolution), str(count)],
        cwd=build,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--older", type=Path, required=True, help="a checkout to compare with")
    here, there = Path(__file__).parents[1], parser.parse_args().older.resolve()
    from measure import save

    rows = {}
    for name, (resolution, count) in CASES.items():
        times: dict[Path, list[float]] = {here: [], there: []}
        for _ in range(TURNS):
            found = {build: timed(build, name) for build in times}
            for build, (seconds, _) in found.items():
                times[build] += seconds
        gap = max(abs(a - b) for a, b in zip(found[here][1], found[there][1], strict=True))
        new, old = (statistics.median(times[build]) for build in (here, there))
        rows[f"{name}, resolution {resolution}"] = {
            "samples": count,
            "seconds": new,
            "older": old,
            "ratio": new / old,
            "largest difference of u at a point": gap,
        }
    head = "| problem | samples | ms a sample | older build | ratio | largest difference of u |"
    lines = [head, "|---|---|---|---|---|---|"]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['samples']} | {1e3 * row['seconds']:.0f} | {1e3 * row['older']:.0f}"
            f" | {row['ratio']:.2f} | {row['largest difference of u at a point']:.0e} |"
        )
    print("\n".join(lines))
    save("solver", rows, "\n".join(lines))


if __name__ == "__main__":
    main()
