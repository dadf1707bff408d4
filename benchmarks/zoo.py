"""Every example trained alike and measured against the reference solver: error of each unknown on
held-out samples.

    OMP_NUM_THREADS=1 python benchmarks/zoo.py --steps 1000 --samples 32 --seed 0 --out runs/zoo

Each example is trained by a preset, in a process of its own, so that one that fails or takes longer
than `--limit` seconds does not keep the others. Rows are appended to `zoo.jsonl` in `--out`; called
again, only what is not there yet is run. Without `--steps` the preset's number of steps is taken.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
COLUMNS = ("mean", "median", "max")


def run(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """One example, trained and measured in this process."""
    from dataclasses import replace

    import torch

    import compiler
    import pdespec
    from compiler.training.presets import preset

    problem, chosen = pdespec.load(EXAMPLES / f"{name}.pde"), preset(given.preset)
    steps = given.steps or chosen.options.steps
    options = replace(
        chosen.options,
        steps=steps,
        seed=given.seed,
        validation=0,
        references=0,
        checkpoint_every=steps,
    )
    torch.manual_seed(given.seed)
    model = compiler.build(problem, chosen.operator, **chosen.model)
    directory = Path(given.out) / f"{name}-{given.preset}-{steps}-{given.seed}"
    trained = compiler.train(problem, model, options, directory, resume=True)
    row: dict[str, Any] = {
        "seconds": trained.history[-1]["seconds"],
        "loss": trained.history[-1]["total"],
    }
    found = compiler.evaluate(directory, given.samples, report=False).as_json()
    return {
        **row,
        **found["relative_l2"],
        "unknowns": found["unknowns"],
        "failures": len(found["failures"]),
    }


def guarded(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """The same in a process of its own, with the reason where it fails."""
    options = {
        "preset": given.preset,
        "steps": given.steps,
        "samples": given.samples,
        "seed": given.seed,
        "out": given.out,
    }
    words = [f"--{key}={value}" for key, value in options.items() if value is not None]
    words = [sys.executable, __file__, "--child", "--only", name, *words]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=given.limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"longer than {given.limit:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def line(name: str, row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"{name:26s}{row['failed'][:100]}"
    errors = "".join(f"{100 * row[key]:9.2f} %" for key in COLUMNS)
    parts = ", ".join(
        f"{unknown} {100 * each['mean']:.2f} %" for unknown, each in row["unknowns"].items()
    )
    return f"{name:26s}{row['seconds']:7.0f} s{errors}   {parts}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=3600)
    parser.add_argument("--out", default="runs/zoo")
    parser.add_argument(
        "--only", nargs="*", default=[path.stem for path in sorted(EXAMPLES.glob("*.pde"))]
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(run(given.only[0], given)))
        return
    table = Path(given.out) / "zoo.jsonl"
    table.parent.mkdir(parents=True, exist_ok=True)
    key = {
        "preset": given.preset,
        "steps": given.steps,
        "seed": given.seed,
        "samples": given.samples,
    }
    rows = [json.loads(each) for each in table.read_text().splitlines()] if table.exists() else []
    for name in given.only:
        kept = next(
            (
                row
                for row in rows
                if row["problem"] == name and all(row[each] == key[each] for each in key)
            ),
            None,
        )
        row = kept or {"problem": name, **key, **guarded(name, given)}
        if kept is None:
            with table.open("a") as file:
                file.write(json.dumps(row) + "\n")
        print(line(name, row), flush=True)


if __name__ == "__main__":
    main()
