"""How much less wrong an operator is for one sample after it was trained further on it.

    OMP_NUM_THREADS=1 python benchmarks/finetuning.py runs/darcy --set steps=100
    OMP_NUM_THREADS=1 python benchmarks/finetuning.py runs/darcy --set steps=8 --set optimizer=lbfgs

The sample is drawn with another seed than the run's; error: relative L2 error of all components at
1024 points against the reference solver. Processor seconds are those of the training alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

import compiler
from compiler.training.options import TrainOptions, with_settings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seed", type=int, default=77, help="of the sample")
    given = parser.parse_args()
    words = dict(each.split("=", 1) for each in given.set)
    options = with_settings(TrainOptions(), words)
    options = {name: getattr(options, name) for name in {each.split(".")[0] for each in words}}

    operator = compiler.load(given.run)
    problem = operator.problem
    generator = torch.Generator().manual_seed(given.seed)
    sample = compiler.sample(problem, 1, generator=generator, dtype=torch.float64)
    params = {name: float(sample.params[name]) for name in problem.params}
    inputs = {
        name: lambda x, name=name: sample.evaluate(name, x.double()[None])[0].to(x.dtype)
        for name in problem.inputs
    }
    points = sample.inputs.points
    truth = compiler.solve(problem, sample)(points)

    def error(asked: object) -> float:
        found = asked(params, inputs).field(points.float()).detach().double()
        return float((found - truth).norm() / truth.norm())

    before = error(operator)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        found = operator.finetuned(params, inputs, Path(folder) / "run", **options)
        seconds = time.process_time() - began
    print(f"{problem.name} {params}: {100 * before:.3g} % to {100 * error(found):.2g} %,", end=" ")
    print(f"{found.run.step} steps, {seconds:.0f} CPU s")


if __name__ == "__main__":
    main()
