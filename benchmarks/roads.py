"""How many functions a problem is passed into by `sample`, `train` and `solve`.

    python benchmarks/roads.py [--names]

A function counts once, and where one of its arguments is the problem, or another form of it;
methods of `Problem` do not. Nonlinear Poisson is read, sampled, trained and solved in turn, as in a
program of a user; then the same once more: what follows from the problem alone is kept with it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

import compiler
import pdespec

ROOT = Path(pdespec.__file__).parents[1]
ROOMS = tuple(f"{ROOT / name}/" for name in ("compiler", "operators", "pdespec"))
SMALL = {"latent": (10, 10), "modes": 3, "hidden": 4, "layers": 1}
OPTIONS = compiler.TrainOptions(
    steps=2,
    batch=2,
    points={"interior": 16, "boundary": 8, "operator": 32},
    validation=2,
    references=1,
    validate_every=1,
    checkpoint_every=1,
)


def stops(call: Callable[[], Any]) -> set[CodeType]:
    """The functions of the project that are called with a problem while `call` runs."""
    seen: set[CodeType] = set()

    def look(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code in seen or not code.co_filename.startswith(ROOMS):
            return
        several = bool(code.co_flags & 4) + bool(code.co_flags & 8)  # *args and **names
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + several]
        given = [frame.f_locals.get(name) for name in names if name != "self"]
        if any(isinstance(value, pdespec.Problem) for value in given):
            seen.add(code)

    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen


def on_the_way() -> list[tuple[str, set[CodeType], set[CodeType]]]:
    """The stops of each road, and those when it is taken once more."""
    problem = pdespec.load(ROOT / "examples" / "nonlinear_poisson.pde")

    def sample() -> Any:
        return compiler.sample(problem, 1, generator=torch.Generator().manual_seed(0))

    def train() -> Any:
        model = compiler.build(problem, "gino", **SMALL)
        with tempfile.TemporaryDirectory() as folder:
            return compiler.train(problem, model, OPTIONS, Path(folder) / "run")

    def solve() -> Any:
        return compiler.solve(problem, batch)

    first = [stops(sample), stops(train)]
    batch = sample()
    first.append(stops(solve))
    roads = (sample, train, solve)
    return [(road.__name__, found, stops(road)) for road, found in zip(roads, first, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--names", action="store_true", help="the functions, by file")
    asked = parser.parse_args()
    for name, first, again in on_the_way():
        print(f"{name:8s}{len(first):5d} functions the first time,{len(again):5d} once more")
        by_file: dict[str, list[str]] = {}
        for code in first if asked.names else ():
            file = str(Path(code.co_filename).relative_to(ROOT))
            by_file.setdefault(file, []).append(code.co_name)
        for file in sorted(by_file):
            print(f"    {file}: {', '.join(sorted(by_file[file]))}")


if __name__ == "__main__":
    main()
