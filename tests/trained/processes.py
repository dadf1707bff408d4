"""Several processes against one, in float64: every example, all balancers, schedules and
optimisers, runs that go on with another number of processes, and a process that is killed.

    python -m tests.trained.processes --out processes.txt

One line a case: its name, then for 2 and for 4 processes the largest difference of a weight after
the last step, relative to the largest weight of its tensor; or `FAIL ..`. What is in the file is
not tried again; `--count N` ends after N new ones. Processes are forked from this one: nothing is
imported anew.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import compiler
from compiler.training.balancers import BALANCERS
from compiler.training.checkpoint import load_tree
from compiler.training.optimizers import OPTIMIZERS, SCHEDULES
from compiler.training.runs import holds_run
from pdespec import Problem
from tests.compiler import tiny
from tests.trained.forked import REFUSED, forked
from tests.trained.small import OPTIONS, operator, problems

TINY = {"batch": 4, "points": {"interior": 8}, "validation": 4, "validate_every": 2, "log_every": 1}
TINY |= {"precision": "float64", "lr": 1e-2, "steps": 6, "checkpoint_every": 2}
GIVEN = {"plateau": {"patience": 1, "factor": 0.5}}
COUNTS = (2, 4)
CLOSE = 1e-11  # what a difference may be: sums in another order, six steps later
Work = Callable[[Path], object]


def trained(problem: Any, model: Any, options: Mapping[str, Any], directory: Path, **more: Any):
    """One run; where it is there already, it is resumed."""
    made = compiler.TrainOptions(**options)
    compiler.train(problem, model, made, directory, resume=holds_run(directory), **more)


def tiny_case(changes: Mapping[str, Any], nudged: float = 0.0) -> Work:
    """`nudged`: by which share of themselves the first weights are off."""

    def work(directory: Path) -> None:
        model = tiny.Operator().double()
        with torch.no_grad():
            for each in model.parameters():
                each *= 1 + nudged
        options = {**TINY, **changes}
        trained(tiny.problem(), model, options, directory, sampler=tiny.sample)

    return work


def problem_case(problem: Problem, changes: Mapping[str, Any]) -> Work:
    def work(directory: Path) -> None:
        trained(problem, operator(problem), {**OPTIONS, "steps": 3, **changes}, directory)

    return work


class Idle(tiny.Operator):
    """With a layer that no answer hangs on: parameters without a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = torch.nn.Parameter(torch.ones(2, 2))


def unused(directory: Path) -> None:
    trained(tiny.problem(), Idle(), TINY, directory, sampler=tiny.sample)


def cases() -> dict[str, Work]:
    found: dict[str, Work] = {
        f"{balancer}, {schedule}": tiny_case(
            {
                "balancer": balancer,
                "schedule": schedule,
                "schedule_options": GIVEN.get(schedule, {}),
            }
        )
        for balancer in BALANCERS
        for schedule in SCHEDULES
    }
    found |= {"averaged weights": tiny_case({"ema": 0.9}), "in blocks": tiny_case({"block": 3})}
    found["parameters without a gradient"] = unused
    return found


def of_problems() -> dict[str, Work]:
    """Every example, and two ways of training on one."""
    examples = {k: each for k, each in problems().items() if k.startswith("examples/")}
    alone = {"physics": False, "solutions": 3, "references": 3, "validate_every": 1}
    alone |= {"schedule": "plateau", "schedule_options": {"patience": 0, "factor": 0.5}}
    poisson = examples["examples/nonlinear_poisson"]
    found = {"data alone, plateau": problem_case(poisson, alone)}
    found["in two parts each"] = problem_case(poisson, {"accumulate": 2, "batch": 8})
    return found | {name: problem_case(each, {}) for name, each in examples.items()}


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


def compared(work: Work, place: Path) -> str:
    """The differences of a case on several processes from one."""
    work(place / "1")
    found = []
    for count in COUNTS:
        codes = forked(count, lambda rank, n=count: work(place / str(n)), place / "said")
        if any(codes):
            said = place / "said"
            return f"FAIL {codes} {said.read_text().strip()[:300] if said.exists() else ''}"
        found.append(difference(place / "1", place / str(count)))
    ok = all(each < CLOSE for each in found)
    return f"{'ok' if ok else 'FAIL'} {' '.join(f'{each:.1e}' for each in found)}"


def rounded(changes: Mapping[str, Any], place: Path) -> str:
    """The differences, and that of one process whose first weights are one rounding off: SOAP
    divides by gradients that are nothing but rounding, and a line search turns at a threshold."""
    found = compared(tiny_case(changes), place)
    if found.startswith("ok") or len(found.split()) != 1 + len(COUNTS):
        return found
    tiny_case(changes, torch.finfo(torch.float64).eps)(place / "nudged")
    own = difference(place / "1", place / "nudged")
    gaps = [float(each) for each in found.split()[1:]]
    word = "ok" if max(gaps) < 10 * own else "FAIL"
    return f"{word} {' '.join(found.split()[1:])}, by one rounding of the weights {own:.1e}"


def gone_on(first: int, then: int, place: Path, changes: Mapping[str, Any]) -> str:
    """A run that is begun on so many processes and goes on with others, against one that is not
    interrupted."""
    tiny_case(changes)(place / "1")
    directory = place / "other"
    for count, more in ((first, {"seconds": 1e-9}), (then, {"seconds": None})):
        codes = forked(
            count,
            lambda rank, more=more: tiny_case({**changes, **more})(directory),
            place / "said",
        )
        if any(codes):
            return f"FAIL {codes} {(place / 'said').read_text().strip()[:300]}"
    gap = difference(place / "1", directory)
    return f"{'ok' if gap < CLOSE else 'FAIL'} {gap:.1e}"


def killed(place: Path, count: int = 2) -> str:
    """What the others of a run say whose second process is killed: one message. Resumed, it ends
    with the weights of one that was not killed."""
    tiny_case({})(place / "1")
    directory, said, calls = place / "run", place / "said", []

    def sample(*arguments: Any, **keywords: Any) -> Any:
        calls.append(None)
        if os.environ["RANK"] == "1" and len(calls) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return tiny.sample(*arguments, **keywords)

    def work(rank: int) -> None:
        trained(tiny.problem(), tiny.Operator(), TINY, directory, sampler=sample)

    codes = forked(count, work, said)
    lines = said.read_text().splitlines() if said.exists() else []
    if codes != [-signal.SIGKILL if rank == 1 else REFUSED for rank in range(count)]:
        return f"FAIL {codes} {lines}"
    if len(lines) != 1 or "process 1 (" not in lines[0] or "with --resume" not in lines[0]:
        return f"FAIL {lines}"
    if any(forked(count, lambda rank: tiny_case({})(directory), said)):
        return f"FAIL resumed: {said.read_text()}"
    gap = difference(place / "1", directory)
    message = lines[0].split(" ", 1)[1].replace(str(directory), "DIR")
    return f"{'ok' if gap < CLOSE else 'FAIL'} {gap:.1e} {message}"


def against_one(works: Mapping[str, Work]) -> dict[str, Callable[[Path], str]]:
    return {name: (lambda place, work=work: compared(work, place)) for name, work in works.items()}


def attempts() -> dict[str, Callable[[Path], str]]:
    """Those of a problem so small that a step takes a moment."""
    found = against_one(cases())
    for name in OPTIMIZERS:
        found[f"optimiser {name}"] = lambda place, n=name: rounded({"optimizer": n}, place)
    plateau = {"balancer": "gradnorm", "schedule": "plateau", "schedule_options": GIVEN["plateau"]}
    for kind, changes in (("fixed, cosine", {}), ("gradnorm, plateau", plateau)):
        for first in (1, 2, 4):
            for then in (1, 2, 4):
                if first != then:
                    found[f"begun on {first}, gone on with {then}: {kind}"] = (
                        lambda place, a=first, b=then, c=changes: gone_on(a, b, place, c)
                    )
    for count in COUNTS:
        found[f"one of {count} killed"] = lambda place, n=count: killed(place, n)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    done, began = {line.split("\t")[0] for line in lines}, time.monotonic()
    with options.out.open("a", encoding="utf-8") as out:
        left = [
            (name, attempt)
            for name, attempt in (attempts() | against_one(of_problems())).items()
            if name not in done
        ]
        for name, attempt in left[: options.count]:
            with tempfile.TemporaryDirectory() as place:
                lines.append(f"{name}\t{attempt(Path(place))}")
            out.write(lines[-1] + "\n")
            out.flush()
    failed = [line for line in lines if "\tFAIL" in line]
    print(f"{len(lines)} cases, {len(failed)} failed, {time.monotonic() - began:.0f} s")
    print("\n".join(failed))


if __name__ == "__main__":
    main()
