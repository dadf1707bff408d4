"""What an answer of the `demo` operator and a step of its training cost, beside an older build.

    git worktree add ../older 6f6e0a0
    OMP_NUM_THREADS=1 python benchmarks/answers.py ../older --rounds 9

Nonlinear Poisson, untrained weights: params and torch functions in, u at 1024 points out, for one
sample and for a batch of 64; the older build knows no batch of a caller's samples, so there these
are drawn. Both builds are loaded in this process and run in turns; times are of all threads of the
processor, medians. `--exported` adds this build's operator as a compiled program (`to="aoti"`, some
minutes each), which takes the functions as values on a grid. Writes results/answers.json and .md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from measure import Step, save

from compiler.comparison.timing import seconds

ROOMS = ("pdespec", "operators", "compiler")
OPTIONS = {"hidden": 32, "modes": 8, "layers": 4, "kernel": "polynomial"}  # of `demo`
COUNTS = {"interior": 1, "boundary": 1, "initial": 1, "operator": 1024}


class Build:
    """The packages of one checkout, beside those of others in the same process."""

    def __init__(self, root: Path) -> None:
        self.root, self.modules = root.resolve(), {}
        with self.active():
            self.compiler: Any = importlib.import_module("compiler")
            if self.root not in Path(self.compiler.__file__).parents:
                raise RuntimeError(f"{self.compiler.__file__} is not below {self.root}")
            text = self.root / "examples" / "nonlinear_poisson.pde"
            self.problem = importlib.import_module("pdespec").load(text)
            self.older = not hasattr(self.compiler, "load")
            room = "compiler.presets" if self.older else "compiler.training.presets"
            self.preset = importlib.import_module(room).preset("demo")

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """While this lasts, an import finds the modules of this build."""
        others = {name: m for name, m in sys.modules.items() if name.partition(".")[0] in ROOMS}
        for name in others:
            del sys.modules[name]
        sys.modules.update(self.modules)
        finders, path = list(sys.meta_path), list(sys.path)
        # those of editable installs know one checkout alone
        sys.meta_path[:] = [
            f for f in finders if "editable" not in getattr(f, "__name__", "").lower()
        ]
        sys.path.insert(0, str(self.root))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            own = {name: m for name, m in sys.modules.items() if name.partition(".")[0] in ROOMS}
            self.modules = own
            for name in own:
                del sys.modules[name]
            sys.modules.update(others)
            sys.meta_path[:], sys.path[:] = finders, path

    def model(self) -> Any:
        torch.manual_seed(0)
        return self.compiler.build(self.problem, "gino", **OPTIONS, kernel_options={"degree": 1})

    def given(self, size: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Params and functions."""
        c1, c2 = torch.linspace(-0.15, 0.15, size), torch.linspace(0.1, -0.1, size)
        batch = {"c1": c1, "c2": c2}
        single = {name: float(each[0]) for name, each in batch.items()}
        return single if size == 1 else batch, {"f": _source, "g": _boundary}

    def operator(self) -> Any:
        """An untrained one; to be called while this build is active."""
        answers = importlib.import_module("compiler.prediction.answers")
        runs = importlib.import_module("compiler.training.runs")
        options, model = self.preset.options, self.model()
        return answers.TrainedOperator(runs.Run(Path(), self.problem, options, None, "demo", model))

    def answer(self, size: int) -> Step:
        """u at 1024 points, from params and functions; to be called while this build is active."""
        points, given = _points(), self.given(size)
        with self.active():
            model, sampled = self.model(), self.compiler

        def older() -> None:
            with torch.no_grad():
                generator = torch.Generator().manual_seed(0)
                batch = (
                    sampled.instance(self.problem, *given, COUNTS, generator)
                    if size == 1
                    else sampled.sample(self.problem, size, COUNTS, generator)
                )
                model(batch.inputs)(points.expand(size, -1, -1))

        if self.older:
            return older
        with self.active():
            operator = self.operator()

        def newer() -> None:
            with torch.no_grad():
                operator(*given).u(points)

        return newer

    def exported(self, size: int, folder: Path) -> Step:
        """The same answer by a compiled program, from params and functions, which are put on its
        grids."""
        with self.active():
            operator = self.operator()
            file = folder / f"{size}.pt2"
            interface = operator.export(file, "aoti", samples=size)
        program = torch._inductor.aoti_load_package(str(file))
        params, functions = self.given(size)
        points = _points().expand(size, -1, -1).contiguous()
        grids = {
            each.name: torch.cartesian_prod(*(torch.linspace(*a) for a in each.axes.values()))
            for each in interface.inputs
            if each.axes
        }

        def arrays() -> Iterator[torch.Tensor]:
            for each in interface.inputs:
                if each.name == "points":
                    yield points
                elif each.axes:
                    values = functions[each.name](grids[each.name])
                    yield values.reshape(1, *each.shape[1:]).expand(size, -1, -1).contiguous()
                else:
                    yield torch.as_tensor(params[each.name]).reshape(size)

        return lambda: program(*arrays())

    def steps(self, count: int) -> list[float]:
        """CPU seconds of each of some steps of `demo`, the first three left out."""
        begun: list[float] = []

        def note(module: torch.nn.Module, given: object) -> None:
            if type(module).__name__ == "Objective":
                begun.append(time.process_time())

        hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
        try:
            with self.active(), tempfile.TemporaryDirectory() as folder:
                options = replace(
                    self.preset.options,
                    steps=count + 4,
                    validation=0,
                    references=0,
                    checkpoint_every=10**6,
                )
                model = self.compiler.build(self.problem, self.preset.operator, **self.preset.model)
                self.compiler.train(self.problem, model, options, Path(folder) / "run")
        finally:
            hook.remove()
        return [b - a for a, b in zip(begun[3:], begun[4:], strict=False)]


def alternate(steps: Mapping[str, tuple[Build, Step]], rounds: int) -> dict[str, float]:
    """Median seconds of steps of several builds, run in turns; that a build is made active does
    not count."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(-1, rounds):
        for name, (build, step) in steps.items():
            with build.active():
                spent = seconds(step, "cpu")
            if k >= 0:
                times[name].append(spent)
    return {name: statistics.median(found) for name, found in times.items()}


def _points() -> torch.Tensor:
    """Points within the smallest of the domains. Shapes: "n 2"."""
    cube = torch.rand(1024, 2, generator=torch.Generator().manual_seed(0))
    angle, radius = 2 * torch.pi * cube[:, 0], 0.6 * cube[:, 1].sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


def _source(x: torch.Tensor) -> torch.Tensor:
    return (-x.square().sum(-1, keepdim=True)).exp()


def _boundary(x: torch.Tensor) -> torch.Tensor:
    return 0.3 * x[..., :1] * x[..., 1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("older", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-rounds", type=int, default=3)
    parser.add_argument("--exported", action="store_true", help="compiled programs, too")
    parser.add_argument("--steps", type=int, default=12, help="of training, in each of three turns")
    given = parser.parse_args()
    torch.set_num_threads(1)
    older, newer = Build(given.older), Build(Path(__file__).parents[1])
    rows: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size, rounds in ((1, given.rounds), (64, given.batch_rounds)):
            steps = {"older": (older, older.answer(size)), "this": (newer, newer.answer(size))}
            if given.exported:
                steps["exported"] = newer, newer.exported(size, Path(folder))
            found = alternate(steps, rounds)
            name = "answer, one sample" if size == 1 else f"answer, a sample of {size}"
            for kind, after in found.items():
                if kind != "older":
                    row = name if kind == "this" else f"{name}, compiled program"
                    rows[row] = found["older"] / size, after / size
                    print(row, *rows[row], flush=True)
    spent: dict[str, list[float]] = {"older": [], "this": []}
    for _ in range(3):
        spent["older"] += older.steps(given.steps)
        spent["this"] += newer.steps(given.steps)
    rows["step of training"] = (
        statistics.median(spent["older"]),
        statistics.median(spent["this"]),
    )
    lines = ["| | older, CPU ms | this, CPU ms | ratio |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {1000 * before:.1f} | {1000 * after:.1f} | {after / before:.2f} |"
        for name, (before, after) in rows.items()
    ]
    figures = {name: {"older": a, "this": b, "ratio": b / a} for name, (a, b) in rows.items()}
    save("answers", {"seconds of the processor": figures}, "\n".join(lines))


if __name__ == "__main__":
    main()
