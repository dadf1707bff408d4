"""Several processes against one, in float64: every example, all balancers and schedules, runs that
go on with another number of processes, and a process that is killed.

    python -m tests.trained.processes --train 1 --out runs/processes
    torchrun --nproc-per-node=2 -m tests.trained.processes --train 2 --out runs/processes
    torchrun --nproc-per-node=4 -m tests.trained.processes --train 4 --out runs/processes
    python -m tests.trained.processes --out runs/processes --table benchmarks/results/processes.json

What is there already is not trained again. The table gives the largest difference of a weight after
the last step, relative to the largest weight of its tensor.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import compiler
from compiler.training.balancers import BALANCERS
from compiler.training.checkpoint import load_tree
from compiler.training.optimizers import OPTIMIZERS, SCHEDULES
from compiler.training.runs import holds_run
from tests.compiler import tiny
from tests.trained.small import OPTIONS, operator, problems

TINY = {"batch": 4, "points": {"interior": 8}, "validation": 4, "validate_every": 2, "log_every": 1}
TINY |= {"precision": "float64", "lr": 1e-2, "steps": 6, "checkpoint_every": 2}
GIVEN = {"schedule": {"plateau": {"patience": 1, "factor": 0.5}}}


def cases() -> dict[str, dict[str, Any]]:
    """Options by name; "problem" among them for an example."""
    found = {
        f"{balancer}, {schedule}": {
            "balancer": balancer,
            "schedule": schedule,
            "schedule_options": GIVEN["schedule"].get(schedule, {}),
        }
        for balancer in BALANCERS
        for schedule in SCHEDULES
    }
    found |= {f"optimiser {name}": {"optimizer": name} for name in OPTIMIZERS}
    found |= {"averaged weights": {"ema": 0.9}, "in blocks": {"block": 3}}
    return found


def trained(problem: Any, model: Any, options: Mapping[str, Any], directory: Path, **more: Any):
    """One run; where it is finished already, nothing."""
    resume = holds_run(directory)
    made = compiler.TrainOptions(**options)
    compiler.train(problem, model, made, directory, resume=resume, **more)


def run(place: Path, count: int) -> None:
    """All cases on this many processes."""
    tiny_problem = tiny.problem()
    for name, changes in cases().items():
        options = {**TINY, **changes}
        trained(
            tiny_problem, tiny.Operator(), options, place / str(count) / name, sampler=tiny.sample
        )
    for name, problem in problems().items():
        if name.startswith("examples/"):
            options = {**OPTIONS, "steps": 2}
            trained(problem, operator(problem), options, place / str(count) / Path(name).name)
    if count > 1:  # begun on one process, which has ended
        for name in ("fixed, cosine", "gradnorm, plateau"):
            options = {**TINY, **cases()[name]}
            trained(
                tiny_problem,
                tiny.Operator(),
                options,
                place / str(count) / f"begun on one: {name}",
                sampler=tiny.sample,
            )


def begun(place: Path, count: int) -> None:
    """The first half of the runs that go on with `count` processes."""
    for name in ("fixed, cosine", "gradnorm, plateau"):
        directory = place / str(count) / f"begun on one: {name}"
        if not holds_run(directory):
            options = {**TINY, **cases()[name], "seconds": 1e-9}
            trained(tiny.problem(), tiny.Operator(), options, directory, sampler=tiny.sample)


def difference(one: Path, other: Path) -> float:
    """The largest difference of two final states."""
    states = [load_tree(each / "checkpoints" / "last.safetensors") for each in (one, other)]
    assert states[0]["step"] == states[1]["step"]
    return max(
        float(
            (value - states[1]["objective"][name]).abs().max()
            / value.abs().max().clamp_min(torch.finfo(value.dtype).tiny)
        )
        for name, value in states[0]["objective"].items()
    )


def table(place: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for count in ("2", "4"):
        for directory in sorted((place / count).glob("*")) if (place / count).exists() else ():
            name = directory.name.removeprefix("begun on one: ")
            if (place / "1" / name / "checkpoints" / "last.safetensors").exists():
                gap = difference(place / "1" / name, directory)
                found.setdefault(directory.name, {})[count] = gap
    return found


KILLED = """
import os, signal, sys
import compiler
from compiler.training.runs import RunError
from tests.compiler import tiny
from tests.trained.processes import TINY
def sample(*arguments, **keywords):
    sample.calls += 1
    if os.environ["RANK"] == "1" and sample.calls == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return tiny.sample(*arguments, **keywords)
sample.calls = 0
try:
    compiler.train(tiny.problem(), tiny.Operator(), compiler.TrainOptions(**TINY), sys.argv[1],
                   sampler=sample)
except RunError as error:
    print("HEARD" if getattr(error, "said", False) else "SAID", error, flush=True)
    sys.exit(1)
"""


def killed(directory: Path, count: int = 2) -> list[str]:
    """What the other processes of a run say whose second one is killed. They are started one by
    one, as on several nodes: nobody ends them."""
    begun = []
    for rank in range(count):
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 29517}
        begun.append(
            subprocess.Popen(
                [sys.executable, "-c", KILLED, str(directory)],
                env={**os.environ, **{key: str(value) for key, value in own.items()}},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    said = [each.communicate(timeout=600)[0] for each in begun]
    assert begun[1].returncode == -signal.SIGKILL
    return [
        line.removeprefix("SAID ")
        for k, text in enumerate(said)
        for line in text.splitlines()
        if k != 1 and line.startswith("SAID ") and begun[k].returncode == 1
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int)
    parser.add_argument("--begin", type=int)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.begin:
        begun(options.out, options.begin)
    if options.train:
        run(options.out, options.train)
    if options.table:
        found = {"differences": table(options.out), "killed": killed(options.out / "killed")}
        options.table.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        worst = max(
            (gap, name) for name, row in found["differences"].items() for gap in row.values()
        )
        print(f"{len(found['differences'])} cases, largest difference {worst[0]:.1e} ({worst[1]})")
        print("\n".join(found["killed"]))


if __name__ == "__main__":
    main()
