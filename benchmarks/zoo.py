"""Every example, and the problems of benchmarks/problems that are in none, trained alike and
measured against the reference solver.

    OMP_NUM_THREADS=1 python benchmarks/zoo.py --steps 1000 --seeds 0 1 2 --out runs/zoo
    python benchmarks/zoo.py --page docs/accuracy.md --out runs/zoo

Each problem is trained by a preset, in a process of its own, so that one that fails or takes longer
than `--limit` seconds does not keep the others. Rows are appended to `accuracy.jsonl` in `--out`,
pictures of the median sample put beside it; called again, only what is not there yet is run, and
what failed or took too long goes on from its last checkpoint.
Without `--steps` the preset's number of steps is taken. `--page` runs nothing and writes what the
rows say, with the remarks of benchmarks/problems/remarks.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILES = {
    path.stem: path
    for folder in (HERE.parent / "examples", HERE / "problems")
    for path in sorted(folder.glob("*.pde"))
}
TABLE = "accuracy.jsonl"
MEASURED = "inverse_diffusivity"  # the example that needs a file of data
WIDTH = 900  # of a picture, in pixels
KEYS = ("problem", "preset", "steps", "seed", "samples", "resolution")


def run(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """One problem, trained and measured in this process. `seconds` are those of the processor; None
    where an earlier process did a part."""
    from dataclasses import replace

    import torch

    import compiler
    import pdespec
    from compiler.training.presets import preset

    path = experiment(Path(given.out)) if name == MEASURED else FILES[name]
    problem, chosen = pdespec.load(path), preset(given.preset)
    steps, seed = given.steps or chosen.options.steps, given.seeds[0]
    options = replace(
        chosen.options, steps=steps, seed=seed, validation=0, references=0, checkpoint_every=50
    )
    torch.manual_seed(seed)
    model = compiler.build(problem, chosen.operator, **chosen.model)
    directory = Path(given.out) / f"{name}-{given.preset}-{steps}-{seed}"
    whole, began = not directory.exists(), time.process_time()
    trained = compiler.train(problem, model, options, directory, resume=True)
    seconds = time.process_time() - began
    found = compiler.evaluate(
        directory,
        given.samples,
        report=False,
        **({"resolution": given.resolution} if given.resolution else {}),
    )
    if seed == 0:
        _draw(found, Path(given.out) / f"{name}.png")
    words = found.as_json()
    return {
        "seconds": seconds if whole else None,
        "loss": trained.history[-1]["total"],
        **words["relative_l2"],
        "unknowns": words["unknowns"],
        "gradients": words.get("gradients", {}),
        "reference_error": words.get("reference_error"),
        "trainables": words.get("trainables", {}),
        "failures": len(words["failures"]),
    }


def experiment(folder: Path) -> Path:
    """The example that needs measured data, beside a file of them in the folder: 60 values at
    random places and times of c = exp(-r t) (1 + exp(-2 pi^2 k t) cos(pi x) cos(pi y)/2), which
    has kappa = k = 0.05 and rate = r = 0.6, with Gaussian noise of 0.01."""
    import shutil

    import h5py
    import numpy as np

    random, grid = np.random.default_rng(0), np.linspace(0, 1, 17)
    x, y, t = random.uniform(size=(3, 60))
    wave = np.exp(-2 * np.pi**2 * 0.05 * t) * np.cos(np.pi * x) * np.cos(np.pi * y) / 2
    c = random.normal(np.exp(-0.6 * t) * (1 + wave), 0.01)
    start = 1 + np.cos(np.pi * grid)[:, None] * np.cos(np.pi * grid) / 2
    with h5py.File(folder / "concentrations.h5", "w") as file:
        file.update({"x": x, "y": y, "t": t, "c": c, "sigma": 0.01})
        file.update({"c0/x": grid, "c0/y": grid, "c0/c0": start})
    return Path(shutil.copy(FILES[MEASURED], folder))


def _draw(evaluation: Any, path: Path) -> None:
    """The median sample."""
    import io

    from PIL import Image

    import compiler
    from compiler.report.pictures import png, sample_picture

    loss = compiler.compile(evaluation.run.problem)
    shown = evaluation.ranked()
    sample = shown.get("median", shown["worst"])
    picture = Image.open(io.BytesIO(png(sample_picture(evaluation, sample, "median sample", loss))))
    height = round(picture.height * WIDTH / picture.width)
    small = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    small.quantize(128).save(path, optimize=True)


def guarded(name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """The same in a process of its own, with the reason where it fails."""
    options = {"preset": given.preset, "steps": given.steps, "samples": given.samples}
    options |= {"seeds": seed, "out": given.out, "resolution": given.resolution}
    words = [f"--{key}={value}" for key, value in options.items() if value is not None]
    words = [sys.executable, __file__, "--child", "--only", name, *words]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=given.limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"longer than {given.limit:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def line(row: Mapping[str, Any]) -> str:
    if "failed" in row:
        return f"{row['problem']:26s}{row['failed'][:100]}"
    errors = "".join(f"{100 * row[key]:9.2f} %" for key in ("mean", "median", "max"))
    parts = ", ".join(
        f"{unknown} {100 * each['mean']:.2f} %" for unknown, each in row["unknowns"].items()
    )
    return f"{row['problem']:26s}{_seconds([row]):>7s} s{errors}   {parts}"


def rows_of(table: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in table.read_text().splitlines()] if table.exists() else []


# --------------------------------------------------------------------------------------------------
# The page


def page(rows: Iterable[Mapping[str, Any]], remarks: Mapping[str, str], images: str) -> str:
    """What the rows say, as Markdown: a table of every problem, and a picture each."""
    by_problem: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_problem.setdefault(row["problem"], []).append(row)
    good = {n: _longest(r for r in each if "failed" not in r) for n, each in by_problem.items()}
    means = {n: _mean(each, "mean") for n, each in good.items() if each}
    counts = ", ".join(
        f"{sum(value <= limit for value in means.values())} at most {100 * limit:g} %"
        for limit in (0.01, 0.02, 0.05, 0.1)
    )
    steps = sorted({(r["preset"], r["steps"] or 0) for each in good.values() for r in each})
    text = [
        "# Accuracy",
        "",
        "What a training reaches, problem by problem, on samples it never saw: relative L2 error",
        "of the worst unknown, mean, median and worst over the samples, and the mean of each",
        "unknown and of its gradient in space. `truth` is the estimated error of the finite",
        "element solution that all is measured against. Nothing is tuned by problem: every row is",
        "one preset. Written by `python benchmarks/zoo.py --page docs/accuracy.md --out",
        "benchmarks/results` from `accuracy.jsonl` there.",
        "",
        "Trainings: "
        + ", ".join(f"preset `{preset}`, {count or 'all'} steps" for preset, count in steps)
        + f". Of {len(means)} problems measured: {counts}.",
        "",
        "| problem | steps | mean | median | worst | unknowns | gradients | truth | CPU s |"
        " seeds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(good, key=lambda each: means.get(each, float("inf"))):
        text.append(_row(name, good[name]) if good[name] else _failed(name, by_problem[name]))
    absent = [name for name in sorted(FILES) if name not in by_problem and name in remarks]
    if absent:
        text += ["", "Not in the table:", ""]
        text += [f"- {name.replace('_', ' ')}: {remarks[name]}" for name in absent]
    text += ["", "## One by one", ""]
    for name in sorted(by_problem):
        text += [f"### {name.replace('_', ' ')}", ""]
        if name in remarks:
            text += [remarks[name], ""]
        if good[name]:
            text += [f"![{name}: the median sample]({images}/{name}.png)", ""]
    return "\n".join(text)


def measured(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The error of every problem that was measured, in a line: mean of the longest trainings."""
    good: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if "failed" not in row:
            good.setdefault(row["problem"], []).append(row)
    found = {}
    for name, each in good.items():
        longest = _longest(each)
        first, seeds = longest[0], len(longest)
        steps = f"{first['steps'] or 'all'} steps, {first['samples']} samples"
        more = f", {seeds} seeds" if seeds > 1 else ""
        error = _percent(_mean(longest, "mean"))
        found[name] = f"{error} (preset {first['preset']}, {steps}{more})"
    return found


def _longest(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of the trainings of one problem those with the most steps; None are all of the preset."""
    found = list(rows)
    most = max((each["steps"] or sys.maxsize for each in found), default=0)
    return [each for each in found if (each["steps"] or sys.maxsize) == most]


def _mean(rows: Iterable[Mapping[str, Any]], key: str) -> float:
    return statistics.fmean(row[key] for row in rows)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %" if value >= 0.1 else f"{100 * value:.2g} %"


def _seconds(rows: Iterable[Mapping[str, Any]]) -> str:
    """The mean over trainings that one process did whole."""
    known = [row["seconds"] for row in rows if row["seconds"] is not None]
    return f"{statistics.fmean(known):.0f}" if known else ""


def _row(name: str, rows: list[Mapping[str, Any]]) -> str:
    def of(part: str) -> str:
        found = [row[part] for row in rows if row.get(part)]
        names = found[0] if found else {}
        return ", ".join(
            f"{each} {_percent(statistics.fmean(row[each]['mean'] for row in found))}"
            for each in names
        )

    truth = rows[0].get("reference_error")
    cells = [
        name,
        ", ".join(dict.fromkeys(str(row["steps"] or "all") for row in rows)),
        *(_percent(_mean(rows, key)) for key in ("mean", "median")),
        _percent(max(row["max"] for row in rows)),
        of("unknowns"),
        of("gradients"),
        _percent(truth["mean"]) if truth else "",
        _seconds(rows),
        str(len(rows)),
    ]
    return f"| {' | '.join(cells)} |"


def _failed(name: str, rows: list[Mapping[str, Any]]) -> str:
    return f"| {name} | {rows[-1]['failed'][:80].replace('|', '/')} | | | | | | | | |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--resolution", type=int, help="of the reference solver")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--limit", type=float, default=3600)
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"))
    parser.add_argument("--only", nargs="*", default=list(FILES), choices=list(FILES))
    parser.add_argument("--page", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(run(given.only[0], given)))
        return
    table = given.out / TABLE
    if given.page:
        remarks = json.loads((HERE / "problems" / "remarks.json").read_text())
        given.page.write_text(page(rows_of(table), remarks, "images/accuracy"))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    done = [row for row in rows_of(table) if "failed" not in row]
    known = {tuple(row.get(key) for key in KEYS): row for row in done}
    for seed in given.seeds:
        for name in given.only:
            key = (name, given.preset, given.steps, seed, given.samples, given.resolution)
            if key not in known:
                known[key] = dict(zip(KEYS, key, strict=True)) | guarded(name, seed, given)
                with table.open("a") as file:
                    file.write(json.dumps(known[key]) + "\n")
            print(line(known[key]), flush=True)


if __name__ == "__main__":
    main()
