"""Trainings of an example by an older build and by this one, side by side.

    git worktree add ../older 6f6e0a0
    OMP_NUM_THREADS=1 python benchmarks/pairs.py --old ../older --only kdv --seeds 1 2
    OMP_NUM_THREADS=1 python benchmarks/pairs.py --old ../older --only neo_hookean_3d --common 16 \
        --resolution 5

Each build trains the example of its own folder by the preset `demo` for `--steps` and evaluates it
on held-out samples of its own, which are others where laws are drawn otherwise; with `--common`,
for problems that params alone tell apart, both trained operators are asked for the same samples at
the same points and compared with the solver of this build. Called again, what is there is not run
again. Rows are appended to `pairs.jsonl`; `--page FILE` writes them as a table and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent.parent
TABLE = "pairs.jsonl"
COMMAND = "from compiler.cli import main; main()"
KEYS = ("problem", "steps", "seed", "samples", "resolution", "common")
ASKED = """
import sys, numpy as np, torch, compiler
try:
    from compiler.training.checkpoint import load_run
except ImportError:  # of the older build
    from compiler.checkpoint import load_run
given = np.load(sys.argv[2])
run, points = load_run(sys.argv[1]), torch.as_tensor(given["points"])[None]
names = [each for each in given.files if each != "points"]
answers = []
for row in zip(*(given[each] for each in names)):
    counts = {**run.options.points, "interior": 16}
    sample = dict(zip(names, map(float, row)))
    batch = compiler.instance(run.problem, sample, points=counts, dtype=torch.float64)
    with torch.no_grad():
        field = run.model(batch.to(dtype=torch.float32).inputs)
        answers.append(field(points.float())[0].double().numpy())
np.save(sys.argv[3], np.array(answers))
"""


def python(build: Path, *words: str) -> None:
    """A command of a build, from its own folder."""
    environment = {**os.environ, "PYTHONPATH": str(build)}
    subprocess.run([sys.executable, "-c", *words], cwd=build, env=environment, check=True)


def trained(build: Path, name: str, seed: int, given: argparse.Namespace, out: Path) -> Path:
    """The directory of a training, which goes on where it stopped."""
    directory = (out / f"{name}-{seed}").resolve()
    settings = {"steps": given.steps, "validation": 0, "references": 0, "seed": seed}
    words = [f"--set={key}={value}" for key, value in settings.items()]
    if not (directory / "done").exists():
        words += ["--resume"] if (directory / "checkpoints").exists() else []
        path = f"examples/{name}.pde"
        out_words = ["--quiet", "--out", str(directory)]
        python(build, COMMAND, "train", path, "--preset", "demo", *words, *out_words)
        (directory / "done").touch()
    return directory


def evaluated(build: Path, directory: Path, given: argparse.Namespace) -> dict[str, float]:
    """Mean, median and largest relative error on the build's own held-out samples."""
    words = ["--samples", str(given.samples), "--quiet"]
    words += ["--resolution", str(given.resolution)] if given.resolution else []
    if not (directory / "evaluation.json").exists():
        python(build, COMMAND, "evaluate", str(directory), *words)
    return json.loads((directory / "evaluation.json").read_text())["relative_l2"]


def together(directories: Mapping[str, Path], builds: Mapping[str, Path], given: Any) -> dict:
    """The same of both operators on common samples, against the solver of this build."""
    import numpy as np
    import torch

    import compiler
    import pdespec

    problem = pdespec.load(directories["new"] / "problem.pde")
    batch = compiler.sample(problem, given.common, {"interior": 1024}, dtype=torch.float64)
    domain = next(iter(problem.unknowns.values())).region.name
    points = batch.points[domain].points[0]
    folder = directories["new"]
    params = {name: value.numpy() for name, value in batch.params.items()}
    np.savez(folder / "common.npz", points=points.numpy(), **params)
    truths = []
    for k in range(given.common):
        own = compiler.instance(problem, {n: float(v[k]) for n, v in params.items()})
        truth = compiler.solve(problem, own, **_resolution(given))
        truths.append(truth(points[None])[0].numpy())
    found = {}
    for which, directory in directories.items():
        place = folder / f"{which}.npy"
        python(builds[which], ASKED, str(directory), str(folder / "common.npz"), str(place))
        errors = [
            float(np.linalg.norm(a - b) / np.linalg.norm(b))
            for a, b in zip(np.load(place), truths, strict=True)
        ]
        found[which] = {
            "mean": statistics.fmean(errors),
            "median": statistics.median(errors),
            "max": max(errors),
        }
    return found


def _resolution(given: argparse.Namespace) -> dict[str, int]:
    return {"resolution": given.resolution} if given.resolution else {}


def run(name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    builds = {"old": given.old.resolve(), "new": HERE.resolve()}
    directories = {
        which: trained(build, name, seed, given, given.out / which)
        for which, build in builds.items()
    }
    if given.common:
        return together(directories, builds, given)
    return {which: evaluated(builds[which], at, given) for which, at in directories.items()}


def page(rows: Iterable[Mapping[str, Any]]) -> str:
    """A row of the table each, in percent."""
    lines = [
        "| example | seed | samples | build 6f6e0a0: mean, median, worst | now |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda each: (each["problem"], each["seed"])):
        old, new = (
            ", ".join(
                f"{100 * row[which][key]:.3g}"
                for key in ("mean", "median", "max")
                if key in row[which]
            )
            for which in ("old", "new")
        )
        samples = f"{row['common']}, the same" if row["common"] else f"{row['samples']} each"
        lines.append(f"| {row['problem']} | {row['seed']} | {samples} | {old} % | {new} % |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, help="a checkout of the older build")
    parser.add_argument(
        "--only", nargs="+", default=sorted(p.stem for p in HERE.glob("examples/*.pde"))
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--common", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/pairs"))
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    table = (HERE / "benchmarks/results" if given.page else given.out) / TABLE
    rows = [json.loads(each) for each in table.read_text().splitlines()] if table.exists() else []
    if given.page:
        head, *rest = given.page.read_text().split("<!-- pairs -->\n")
        given.page.write_text(f"{head}<!-- pairs -->\n{page(rows)}<!-- pairs -->\n{rest[-1]}")
        return
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        for seed in given.seeds:
            key = {**vars(given), "problem": name, "seed": seed}
            key = {each: key[each] for each in KEYS}
            if any(all(row.get(k) == v for k, v in key.items()) for row in rows):
                continue
            rows.append({**key, **run(name, seed, given)})
            with table.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(page(rows[-1:]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
