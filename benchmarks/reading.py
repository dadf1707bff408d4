"""What reading and checking a text costs: every example, this build and another one in turn, in one
process.

    OMP_NUM_THREADS=1 python benchmarks/reading.py --old ../other_checkout

A line an example: medians in CPU milliseconds and their ratio; then the medians over all of them.
Without `--old` this build alone.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.pde"))
ROUNDS = 7


class Build:
    """The package of the checkout at a path. Of several, one at a time is what imports find."""

    def __init__(self, path: Path) -> None:
        self.modules: dict[str, ModuleType] = {}
        self._enter()
        sys.path.insert(0, str(path))
        self.parse: Callable[[str], object] = importlib.import_module("pdespec").parse
        for example in EXAMPLES:  # imports what is imported late, and fills SymPy's cache
            self.parse(example.read_text(encoding="utf-8"))
        sys.path.remove(str(path))
        self.modules = _loaded()

    def _enter(self) -> None:
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(self.modules)

    def seconds(self, text: str) -> float:
        self._enter()
        before = time.process_time()
        self.parse(text)
        return time.process_time() - before


def _loaded() -> dict[str, ModuleType]:
    return {n: module for n, module in sys.modules.items() if n.partition(".")[0] == "pdespec"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--old", type=Path)
    given = parser.parse_args()
    builds = [Build(path.resolve()) for path in (given.old, ROOT) if path is not None]
    found = []
    for example in EXAMPLES:
        text = example.read_text(encoding="utf-8")
        rounds = [[each.seconds(text) for each in builds] for _ in range(ROUNDS)]
        medians = [statistics.median(each) for each in zip(*rounds, strict=True)]
        found.append(medians)
        print(f"{example.stem:24}" + _row(medians), flush=True)
    print(f"{'median':24}" + _row([statistics.median(each) for each in zip(*found, strict=True)]))
    print(f"{'all':24}" + _row([sum(each) for each in zip(*found, strict=True)]))


def _row(medians: list[float]) -> str:
    ratio = f"{medians[0] / medians[1]:8.2f}" if len(medians) > 1 else ""
    return "".join(f"{1e3 * each:10.1f}" for each in medians) + ratio


if __name__ == "__main__":
    main()
