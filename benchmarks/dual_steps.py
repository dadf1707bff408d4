"""What a step costs that measures the weak residual in its dual norm, beside one of the strong
residual: the preset `demo` with `dual=auto` and with `dual=none`, in one process, one after the
other.

    OMP_NUM_THREADS=1 python benchmarks/dual_steps.py darcy wave

CPU seconds of whole windows of steps, meshes, coarse solutions and draws among them: the mean over
the windows of a run after its first one, the median over the rounds. Peak memory is that of the
process, after both.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

import compiler
import pdespec
from compiler.training.callbacks import Moment
from compiler.training.dual import REUSE, WINDOW
from compiler.training.presets import preset

EXAMPLES = Path(__file__).parents[1] / "examples"
STEPS, ROUNDS = WINDOW * REUSE, 3


def seconds(name: str, dual: str | None) -> float:
    """CPU seconds a step of the second window."""
    problem, chosen = pdespec.load(EXAMPLES / f"{name}.pde"), preset("demo")
    options = replace(
        chosen.options, steps=2 * STEPS, validation=0, references=0, dual=dual, error_estimate=False
    )
    times: list[float] = []

    class Clock(compiler.Callback):
        def on_step(self, moment: Moment) -> None:
            times.append(time.process_time())

    torch.manual_seed(0)
    model = compiler.build(problem, chosen.operator, **chosen.model)
    with tempfile.TemporaryDirectory() as folder:
        compiler.train(problem, model, options, Path(folder) / "run", callbacks=[Clock()])
    return (times[-1] - times[STEPS - 1]) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("examples", nargs="+")
    torch.set_num_threads(1)
    for name in parser.parse_args().examples:
        found = {dual: [] for dual in ("auto", None)}
        for _ in range(ROUNDS):
            for dual, rows in found.items():
                rows.append(seconds(name, dual))
        weak, strong = (statistics.median(found[dual]) for dual in ("auto", None))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{name:22s}{1000 * weak:8.0f} ms{1000 * strong:8.0f} ms  ratio {weak / strong:.2f}"
            f"  peak {peak:.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
