"""Whether training lowers the loss of every example and every problem of the pages, in float32 and
float64: 50 steps without R01, and after them a lower loss on held-out samples than after the first.

    python -m tests.trained.falls --out falls.txt

One line a problem and precision: `name precision ok first last`, or `FAIL ..`. Each is tried with
an operator so small that a step takes a moment, and where the loss does not fall with that, with
the operator and options of the preset `demo` (`demo` in its line). What is in the file is not tried
again; `--share K N` tries every N-th from the K-th.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import torch

import compiler
from compiler.training.options import TrainOptions
from compiler.training.presets import preset
from pdespec import Problem
from pdespec.errors import PdespecError
from tests.trained.small import OPTIONS, operator, problems

STEPS = 50
RATE = {"lr": 3e-3, "schedule": "constant"}


def falls(problem: Problem, precision: str) -> str:
    """`ok FIRST LAST`, the validation losses after the first and the last step, or `FAIL ..`."""
    small = TrainOptions(**{**OPTIONS, **RATE})
    found = _tried(problem, operator(problem), small, precision)
    if found.startswith("ok"):
        return found
    demo = preset("demo")
    torch.manual_seed(0)
    model = compiler.build(problem, demo.operator, **demo.model)
    options = dataclasses.replace(demo.options, references=0, schedule_options={"warmup": 5})
    return f"{_tried(problem, model, options, precision)} demo, small {found}"


def _tried(problem: Problem, model: torch.nn.Module, options: TrainOptions, precision: str) -> str:
    with tempfile.TemporaryDirectory() as place:
        try:
            for steps in (1, STEPS):
                given = dataclasses.replace(
                    options,
                    steps=steps,
                    precision=precision,
                    validate_every=STEPS,
                    checkpoint_every=STEPS,
                )
                directory = Path(place) / "run"
                run = compiler.train(problem, model, given, directory, resume=steps > 1)
            first, last = (row["validation"] for row in run.history if "validation" in row)
        except (PdespecError, RuntimeError) as error:
            return f"FAIL {type(error).__name__} {' '.join(str(error).split())[:200]}"
    return f"{'ok' if last < first else 'FAIL'} {first:.6g} {last:.6g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1))
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    done, began = {tuple(line.split()[:2]) for line in lines}, time.monotonic()
    with options.out.open("a", encoding="utf-8") as out:
        first, every = options.share
        for name, problem in list(problems().items())[first::every]:
            for precision in ("float32", "float64"):
                if (name, precision) not in done:
                    lines.append(f"{name} {precision} {falls(problem, precision)}")
                    out.write(lines[-1] + "\n")
                    out.flush()
    failed = [line for line in lines if " FAIL " in line]
    print(
        f"{len(lines)} runs of {STEPS} steps, {len(failed)} failed, "
        f"{time.monotonic() - began:.0f} s"
    )
    print("\n".join(failed))


if __name__ == "__main__":
    main()
