"""Memory and time of a training on a family that stays in its file: solutions of -a lap(u) = f on a
grid, in float32.

    python benchmarks/streaming.py --samples 12000 --nodes 128

Prints the size of the file and of its numbers in float64, the CPU seconds of reading it once, those
of a step, and the largest memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

import compiler
import pdespec
from compiler.measurements.measured import measurements

TEXT = """problem plates
space x, y
domain D = rectangle([0, 0], [1, 1])
param a ~ uniform(1, 2), b ~ uniform(-1, 1)
unknown u : scalar on D
in D: -a*lap(u) = 2*pi^2*sin(pi*x)*sin(pi*y) + 5*b*pi^2*sin(2*pi*x)*sin(pi*y)
on boundary(D): u = 0
data u on D from "u.h5"
"""


def written(path: Path, samples: int, nodes: int) -> None:
    """The family: u = (sin(pi x) + b sin(2 pi x)) sin(pi y)/a."""
    x = np.linspace(0, 1, nodes)
    first, second = (np.outer(np.sin(k * np.pi * x), np.sin(np.pi * x)) for k in (1, 2))
    random = np.random.default_rng(0)
    a, b = random.uniform(1, 2, samples), random.uniform(-1, 1, samples)
    with h5py.File(path, "w") as file:
        file["x"], file["y"], file["a"], file["b"] = x, x, a, b
        u = file.create_dataset("u", (samples, nodes, nodes), "f4")
        for k in range(samples):
            u[k] = (first + b[k] * second) / a[k]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=12000)
    parser.add_argument("--nodes", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plates.pde"
        path.write_text(TEXT, encoding="utf-8")
        written(path.parent / "u.h5", given.samples, given.nodes)
        problem = pdespec.load(path)
        start = time.process_time()
        measurements(problem)
        read = time.process_time() - start
        model = compiler.build(problem, "gino", latent=(16, 16), modes=6, hidden=16, layers=2)
        options = compiler.TrainOptions(
            steps=given.steps, batch=8, held_out=16, validation=8, physics=False,
            points={"operator": 256}, validate_every=given.steps, log_every=1,
        )  # fmt: skip
        start = time.process_time()
        run = compiler.train(problem, model, options, path.parent / "run")
        step = (time.process_time() - start) / given.steps
        first, last = (run.history[k]["data.u"] for k in (0, -1))
        size = (path.parent / "u.h5").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    numbers = 8 * given.samples * given.nodes**2
    print(f"file {size / 2**30:.2f} GiB, its numbers in float64 {numbers / 2**30:.2f} GiB")
    print(f"read once {read:.1f} s, a step with set-up {step:.3f} s, peak {peak / 2**30:.2f} GiB")
    print(f"data.u {first:.3g} -> {last:.3g}")


if __name__ == "__main__":
    main()
