"""What the decoder's two kernels learn in equal CPU time: nonlinear Poisson and Burgers, error of u
on held-out samples.

    OMP_NUM_THREADS=1 python benchmarks/kernels.py --seconds 300

Everything else is the demo preset's: trunk, points, optimiser, weight function and radius of the
decoder. The number of steps is what fits into the time, from the CPU time of the same training's
first steps, so that the learning rate falls to its end in both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from measure import save

import compiler
import pdespec
from compiler.training.presets import preset
from pdespec.statements.problem import Problem

EXAMPLES = Path(__file__).parents[1] / "examples"
PROBLEMS = ("nonlinear_poisson", "burgers")
KERNELS: Mapping[str, Mapping[str, Any]] = {
    "mlp": {"hidden": (64, 64)},
    "polynomial": {"degree": 1},
}
PROBE = 8, 32  # steps of two short trainings whose difference is the cost of a step


def trained(
    problem: Problem, kernel: str, steps: int, directory: Path
) -> tuple[compiler.Run, float]:
    """A run of some steps and the CPU seconds it took."""
    chosen = preset("demo")
    options = replace(
        chosen.options,
        steps=steps,
        validation=2,
        references=0,
        validate_every=steps,
        checkpoint_every=steps,
    )
    model = compiler.build(
        problem, "gino", **{**chosen.model, "kernel": kernel, "kernel_options": KERNELS[kernel]}
    )
    began = time.process_time()
    return compiler.train(problem, model, options, directory), time.process_time() - began


def measured(
    problem: Problem, kernel: str, seconds: float, samples: int, folder: Path
) -> dict[str, Any]:
    """Steps, CPU seconds and errors of one kernel on one problem."""
    costs = [
        trained(problem, kernel, steps, folder / f"{problem.name}-{kernel}-probe-{steps}")[1]
        for steps in PROBE
    ]
    a_step = (costs[1] - costs[0]) / (PROBE[1] - PROBE[0])
    steps = round((seconds - costs[0]) / a_step) + PROBE[0]
    run, spent = trained(problem, kernel, steps, folder / f"{problem.name}-{kernel}")
    found = compiler.evaluate(run.directory, samples, report=False)
    parameters = sum(p.numel() * (2 if p.is_complex() else 1) for p in run.model.parameters())
    return {
        "steps": steps,
        "CPU s": spent,
        "parameters": parameters,
        "samples": samples,
        **found.relative_l2,
    }


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        f"{'':32s}{'steps':>7s}{'CPU s':>8s}{'parameters':>12s}"
        f"{'mean':>9s}{'median':>9s}{'worst':>9s}"
    ]
    for name, row in rows.items():
        errors = "".join(f"{100 * row[key]:7.2f} %" for key in ("mean", "median", "max"))
        lines.append(
            f"{name:32s}{row['steps']:7d}{row['CPU s']:8.0f}{row['parameters']:12d}{errors}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU time of each training")
    parser.add_argument("--samples", type=int, default=32, help="held out")
    parser.add_argument(
        "--problems",
        nargs="+",
        default=PROBLEMS,
        metavar="NAME",
        help=f"by default {', '.join(PROBLEMS)}",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.problems:
            problem = pdespec.load(EXAMPLES / f"{name}.pde")
            for kernel in KERNELS:
                rows[f"{name}, {kernel}"] = measured(
                    problem, kernel, options.seconds, options.samples, Path(folder)
                )
                print(table(rows), flush=True)
    save("kernels", rows, table(rows))


if __name__ == "__main__":
    main()
