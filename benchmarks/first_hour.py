"""The first hour of a new user: problems that are in no example, each checked, solved, trained for
some steps, measured and asked, by the commands of the documentation.

    OMP_NUM_THREADS=1 python benchmarks/first_hour.py --steps 100 dam bracket

CPU seconds of each command, what `solve` says of its error, and the relative errors of `evaluate`.
What was seen: docs/notes/first_hour.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROBLEMS = ROOT / "benchmarks" / "first_hour"
ASKED = {
    "beam": {"k": 2e7, "P": 7e4, "a": 5},
    "block": {"load": 5e5},
    "bracket": {"dT": 1},
    "capacitor": {"er": 4, "V": 1},
    "convection": {"Ra": 5e3},
    "dam": {"H": 8, "K": 1e-5},
    "dish": {"r": 1, "D": 0.02},
    "drum": {"a": 0.8},
    "heatsink": {"h": 100, "q": 1e4},
    "plume": {"U": 3, "K": 7, "S": 1},
    "room": {"f": 80, "beta": 0.5},
    "well": {"Q": 0.02, "xw": 400, "yw": 500},
}
"""Params of the sample that the operator is asked for; inputs are 1."""


def command(*words: object) -> tuple[float, str]:
    """CPU seconds of a command, and what it says. Exits with its message where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "compiler", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, done.stdout + done.stderr


def hour(name: str, steps: int, samples: int, out: Path) -> str:
    """A line on one problem."""
    file, run = PROBLEMS / f"{name}.pde", out / name
    checked, _ = command("check", file)
    solved, said = command("solve", file, "--out", run / "solved")
    error = re.search(r"error of \w+: about (\S+ %)", said)
    trained, _ = command(
        "train",
        file,
        "--preset",
        "demo",
        "--set",
        f"steps={steps}",
        "--resume",
        "--out",
        run / "run",
    )
    measured, _ = command("evaluate", run / "run", "--samples", samples)
    found = json.loads((run / "run" / "evaluation.json").read_text())["relative_l2"]["mean"]
    given = [word for key, value in ASKED[name].items() for word in ("--params", f"{key}={value}")]
    given += ["--inputs", "c0=1"] if name == "dish" else []
    asked, _ = command("predict", run / "run", *given)
    spent = "".join(f"{each:9.1f}" for each in (checked, solved, trained, measured, asked))
    return f"{name:12}{spent}   {error[1] if error else '-':>9} {100 * found:9.2g} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("names", nargs="*", default=sorted(ASKED))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("runs/first_hour"))
    given = parser.parse_args()
    print("CPU seconds     check    solve    train evaluate  predict   off, solve  off, operator")
    for name in given.names:
        print(hour(name, given.steps, given.samples, given.out), flush=True)


if __name__ == "__main__":
    main()
