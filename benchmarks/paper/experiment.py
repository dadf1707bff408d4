"""What the experiments on the paper's tables and figures share: scales, rows that are computed
once, held-out samples, and where results go."""

from __future__ import annotations

import argparse
import csv
import io
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from measure import save

import compiler
import pdespec
from compiler.chance import seeded
from compiler.files import append
from compiler.geometry.metrics import interior, squared_misfit
from compiler.training.progress import Lines

ROOT = Path(__file__).parents[2]
EXAMPLES, IMAGES = ROOT / "examples", ROOT / "docs" / "images" / "paper"
SCALES = ("demo", "small", "paper")
Row = dict[str, Any]


def arguments(
    description: str, name: str, argv: Sequence[str] | None = None, scales: Any = None, **more: Any
) -> Any:
    """The command line of an experiment: --scale, one of `scales`, --out, --seeds, --publish, and
    `more` options with their defaults."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=tuple(scales or SCALES), default="demo")
    parser.add_argument("--out", type=Path, help=f"runs/paper/{name}-SCALE by default")
    parser.add_argument("--seeds", type=int, default=1, help="repetitions, with their spread")
    parser.add_argument(
        "--publish", action="store_true", help="also into benchmarks/results and docs/images/paper"
    )
    parser.add_argument(
        "--measured", action="store_true", help="table and picture of the rows that are there"
    )
    for key, value in more.items():
        parser.add_argument(f"--{key}", type=type(value), default=value)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    given.name = name
    given.out = given.out or Path("runs/paper") / f"{name}-{given.scale}"
    given.out.mkdir(parents=True, exist_ok=True)
    mark = given.out / "scale"
    if mark.is_file() and mark.read_text() != given.scale:
        parser.error(f"{given.out} holds rows of the scale {mark.read_text()}; name another --out")
    mark.write_text(given.scale)
    return given


def computed(given: Any, cases: Iterable[Row], measure: Callable[[Row], Row | None]) -> list[Row]:
    """A row for every case, from OUT/rows.jsonl where it is there, else measured and kept: an
    experiment that was stopped goes on. Cases measured as None are left out."""
    path = given.out / "rows.jsonl"
    known: dict[str, Row] = {}
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        for line in text[: text.rfind("\n") + 1].splitlines():  # one cut short is measured again
            row = json.loads(line)
            known[json.dumps(row["case"], sort_keys=True)] = row["found"]
        path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    rows = []
    for case in cases:
        key = json.dumps(case, sort_keys=True)
        if key not in known and given.measured:
            continue
        if key not in known:
            known[key] = measure(case)
            append(path, json.dumps({"case": case, "found": known[key]}) + "\n")
            print(f"{given.name}: {case} {_brief(known[key])}", flush=True)
        if known[key] is not None:
            rows.append({**case, **known[key]})
    return rows


def _brief(row: Row | None) -> str:
    return ", ".join(f"{k} {v:.3g}" for k, v in (row or {}).items() if isinstance(v, (int, float)))


def finished(given: Any, rows: Sequence[Row], text: str, figure: Figure | None = None) -> None:
    """Writes table.md, rows.csv and figure.png into OUT, and where they are published; prints the
    table."""
    print(text)
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (given.out / "rows.csv").write_text(table.getvalue(), encoding="utf-8")
    (given.out / "table.md").write_text(f"```\n{text}\n```\n", encoding="utf-8")
    if figure is not None:
        figure.savefig(given.out / "figure.png", dpi=110)
    if given.publish:
        save(given.name, {given.scale: {str(k): row for k, row in enumerate(rows)}}, text)
        if figure is not None:
            IMAGES.mkdir(parents=True, exist_ok=True)
            with Image.open(
                given.out / "figure.png"
            ) as picture:  # 256 colours: a third of the size
                small = picture.convert("RGB").quantize(256)
            small.save(IMAGES / f"{given.name}.png", optimize=True)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns of text, numbers to three digits."""
    cells = [list(header)] + [[_cell(each) for each in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            c.rjust(w) if k else c.ljust(w) for k, (c, w) in enumerate(zip(r, widths, strict=True))
        )
        for r in cells
    )


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def spread(values: Sequence[float]) -> str:
    """Mean of some seeds with their standard deviation where there are several; a dash for none."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{statistics.mean(values):.3g} ± {statistics.stdev(values):.1g}"


@dataclass(frozen=True)
class HeldOut:
    """Samples that no training draws, with their reference at `count` points each: those of
    `pdespec evaluate` for `purpose` "evaluate"."""

    problem: Any
    samples: int
    count: int = 1024
    resolution: int | None = None
    purpose: str = "evaluate"

    def batch(self, index: int, **options: Any) -> Any:
        """One sample, with other points and options of `compiler.sample` where asked."""
        points = options.pop("points", {"interior": self.count})
        chosen = {"dtype": torch.float64, **options}
        return compiler.sample(self.problem, 1, points, seeded(0, self.purpose, index), **chosen)

    @cached_property
    def references(self) -> list[tuple[Tensor, Tensor]]:
        """Points and reference values of each sample. Shapes: "1 n D", "1 n c"."""
        chosen = {} if self.resolution is None else {"resolution": self.resolution}
        found = []
        for index in range(self.samples):
            batch = self.batch(index)
            points = interior(self.problem, batch)
            found.append((points, compiler.solve(self.problem, batch, **chosen)(points)))
        return found

    def error(self, index: int, field: Callable[[Tensor], Tensor]) -> float:
        """Relative squared L2 error of a field on a sample."""
        points, expected = self.references[index]
        dtype = field.dtype if hasattr(field, "dtype") else torch.float32
        with torch.no_grad():
            return float(squared_misfit(field(points.to(dtype)).double(), expected)[0])


def trained(
    problem: Any, model: Mapping[str, Any], options: Any, directory: Path, **more: Any
) -> Any:
    """An operator trained in a directory to its last step, going on where it was stopped; `start`:
    other first weights than those of its seed."""
    made = compiler.build(problem, more.pop("operator", "gino"), **model)
    if (start := more.pop("start", None)) is not None:
        made.load_state_dict(start)
    return compiler.train(
        problem, made, options, directory, resume=True, display=Lines(_console(), 60), **more
    )


def _console() -> Any:
    from rich.console import Console

    return Console()


def example(name: str) -> Any:
    """A problem of examples/."""
    return pdespec.load(EXAMPLES / f"{name}.pde")
