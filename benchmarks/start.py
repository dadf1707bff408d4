"""What the commands of the first minute cost: CPU seconds of whole processes, beside what the
libraries take that they stand on.

    OMP_NUM_THREADS=1 python benchmarks/start.py

The median over a few runs, after one that writes the compiled modules. Of `solve` also the CPU
seconds up to its last line of numbers, before it draws the picture (from /proc, Linux alone).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
POISSON = str(EXAMPLES / "nonlinear_poisson.pde")
FLOOR = "import torch, sympy, scipy.sparse.linalg, skfem"
ROUNDS = 5
CASES = {
    "import torch": ["-c", "import torch"],
    "torch, sympy, scipy, scikit-fem": ["-c", FLOOR],
    "the same, garbage not collected": ["-c", f"import gc; gc.disable(); {FLOOR}; gc.freeze()"],
    "pdespec --version": ["-m", "compiler", "--version"],
    "pdespec --help": ["-m", "compiler", "--help"],
    "pdespec check": ["-m", "compiler", "check", POISSON],
    "pdespec solve": ["-m", "compiler", "solve", POISSON, "--out", "found"],
}


def seconds(words: list[str], folder: str) -> tuple[float, float]:
    """CPU seconds of a Python process, and those before it said how far off the answer is."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    answered = 0.0
    assert process.stdout
    for line in process.stdout:
        if line.startswith("error of"):
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            answered = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, words
    return used.ru_utime + used.ru_stime, answered


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, words in CASES.items():
            seconds(words, folder)
            found = [seconds(words, folder) for _ in range(ROUNDS)]
            whole, answered = (statistics.median(each) for each in zip(*found, strict=True))
            until = f", {answered:.2f} until it has answered" if answered else ""
            print(f"{name:34}{whole:5.2f}{until}", flush=True)


if __name__ == "__main__":
    main()
