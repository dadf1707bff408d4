"""Time of alternated steps and peak memory of single ones, for ratios that a loaded machine
hardly changes."""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from compiler.comparison.timing import seconds

RESULTS = Path(__file__).parent / "results"

Step = Callable[[], object]
Build = Callable[[bool], Step]  # True: of a small size; a captured step comes compiled


@dataclass(frozen=True)
class Cost:
    """Units: seconds of one step, of one processor or by the clock on CUDA; bytes of memory that
    it adds at its peak."""

    median: float
    minimum: float
    memory: float = math.nan


@dataclass(frozen=True)
class Bench:
    """How to measure: `script --memory SECTION/CASE` prints the peak of a case; `rounds` steps
    of each kind; "cpu" or "cuda"."""

    script: str
    rounds: int
    device: str

    def save(self, name: str, results: Mapping[str, Mapping[str, object]], text: str) -> None:
        """`save`, on a GPU under a name of its own."""
        save(name if self.device == "cpu" else f"{name}_cuda", results, text)


def alternate(steps: Mapping[str, Step], rounds: int, device: str = "cpu") -> dict[str, Cost]:
    """Time of every step, run in turns after warm-ups: of one thread of the processor (set
    OMP_NUM_THREADS=1), or by the clock on CUDA."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(1 if device == "cpu" else 3):
            step()
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds(step, device))
    return {name: Cost(statistics.median(found), min(found)) for name, found in times.items()}


def peak_on_gpu(build: Build) -> float:
    """Bytes of a GPU's memory that building a step and three runs of it reserve at their peak,
    what compiling took left out."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    step = build(False)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        step()
    return torch.cuda.max_memory_reserved() - before


def peak(build: Build) -> float:
    """Bytes by which resident memory rises at its peak in a process's first three steps, once a
    small step has loaded what any needs and what is compiled has been (Linux with glibc).

    Holes that the allocator leaves count, as they do for a user; the peak of live tensors alone is
    `compiler.comparison.timing.PeakMemory`.
    """
    build(True)()
    step = build(False)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = _status("VmRSS")
    for _ in range(3):
        step()
    return _status("VmHWM") - before


def peak_of(script: str, case: str, timeout: float = 3600) -> float:
    """`peak` of one case of a script, in a process of its own."""
    command = [sys.executable, script, "--memory", case]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    if answer.returncode:
        raise RuntimeError(f"{case} failed:\n{answer.stderr[-2000:]}")
    return float(answer.stdout.split()[-1])


def measured(
    bench: Bench, section: str, cases: Mapping[str, Build], rounds: int | None = None
) -> dict[str, Cost]:
    """Memory of every case, resident in a process of its own or of the GPU; times of all in
    turns."""
    on_gpu = bench.device == "cuda"
    memory = {
        name: peak_on_gpu(build) if on_gpu else peak_of(bench.script, f"{section}/{name}")
        for name, build in cases.items()
    }
    times = alternate(
        {name: build(False) for name, build in cases.items()}, rounds or bench.rounds, bench.device
    )
    return {name: replace(cost, memory=memory[name]) for name, cost in times.items()}


def save(name: str, results: Mapping[str, Mapping[str, object]], text: str) -> None:
    """Figures as `results/NAME.json`, with the command and the versions that gave them, and
    their tables as `results/NAME.md`."""
    results = {
        title: {key: asdict(v) if is_dataclass(v) else v for key, v in rows.items()}
        for title, rows in results.items()
    }
    command = " ".join(
        [
            "OMP_NUM_THREADS=1 python",
            str(Path(sys.argv[0]).resolve().relative_to(RESULTS.parents[1])),
            *sys.argv[1:],
        ]
    )
    versions = {
        package: version(package)
        for package in ("torch", "numpy", "neuraloperator")
        if _installed(package)
    }
    if torch.cuda.is_available():
        versions["device"] = torch.cuda.get_device_name()
    made = {
        "command": command,
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        **versions,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(
        json.dumps({"made": made, "results": results}, indent=1) + "\n"
    )
    heading = ", ".join(f"{key} {value}" for key, value in made.items() if key != "command")
    (RESULTS / f"{name}.md").write_text(
        f"# {name}\n\n`{command}` ({heading})\n\n```\n{text.rstrip()}\n```\n"
    )


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(
            f"/proc/self/status has no {name}: this benchmark reads memory on Linux only"
        )
    return 1024 * int(found[1])


def report(title: str, costs: Mapping[str, Cost], against: Mapping[str, str]) -> str:
    """A table of times and memory with their ratios to some of its rows, `against` by the
    heading of each ratio."""
    against = {heading: name for heading, name in against.items() if name in costs}
    known = not all(math.isnan(cost.memory) for cost in costs.values())
    ratios = [f"/ {heading}" for heading in against]
    lines = [[title, "ms", "least", *ratios, *(["MB", *ratios] if known else [])]]
    for name, cost in costs.items():
        times = [f"{cost.median / costs[other].median:.2f}" for other in against.values()]
        sizes = [
            f"{cost.memory / 1e6:.0f}",
            *(f"{cost.memory / costs[other].memory:.2f}" for other in against.values()),
        ]
        lines.append(
            [
                name,
                f"{1e3 * cost.median:.1f}",
                f"{1e3 * cost.minimum:.1f}",
                *times,
                *(sizes if known else []),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        [
            cell.rjust(w) if k else cell.ljust(w)
            for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    return "\n".join(["  ".join(row) for row in rows] + [""])
