"""How good the estimated error of a trained operator is: the certificate against the true error on
held-out samples.

    OMP_NUM_THREADS=1 python benchmarks/certificate.py runs/poisson runs/darcy \\
        --samples 200 --out benchmarks/results/certificate

Effectivity is the estimated over the true relative L2 error of an unknown, true being the distance
to elements of degree 3 on a mesh of `--resolution`. Samples are the first of the seed that no
training draws. Writes a row a run to OUT.json, with all samples, and OUT.md; goes on with what
OUT.json holds, so that `--seconds` may end it and the same line go on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path

import torch

import compiler
from compiler.chance import seeded
from compiler.fem import SolverError
from compiler.geometry.metrics import domain, misfit
from compiler.prediction.error_equation import TRUSTED, Corrected, certificate


def measure(directory: str, samples: int, resolution: int, rows: list[dict], end: float) -> dict:
    """Adds to the rows until there is one for each sample, or so much processor time is spent."""
    run = compiler.load(directory).run
    problem = run.problem
    for index in range(len(rows), samples):
        if time.process_time() > end:
            break
        counts = {**run.options.points, "interior": 2048}
        batch = compiler.sample(
            problem,
            1,
            counts,
            seeded(0, "certificate", index),
            hard_conditions=run.options.hard_conditions,
        )
        points = batch.points[domain(problem).name].points
        with torch.no_grad():
            field = run.model(batch.inputs)
            values = field(points).double()
        try:
            truth = compiler.solve(problem, batch, resolution, degree=3)(points.double())
        except SolverError as reason:
            rows.append({"failed": str(reason)})
            continue
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = certificate(problem, field, batch)
        row: dict = {
            "seconds": time.process_time() - began,
            "guard": float(found.guard),
            "steps": int(found.steps),
            "unknowns": {},
        }
        if found.reasons[0] is not None:
            rows.append({**row, "reason": found.reasons[0]})
            continue
        better = Corrected(field, found.correction)(points).double()
        true, left = (
            misfit(problem, points.double(), each, truth).squared().sqrt()[0]
            for each in (values, better)
        )
        for k, name in enumerate(problem.unknowns):
            estimate = float(found[name])
            row["unknowns"][name] = {
                "true": float(true[k]),
                "effectivity": estimate / float(true[k]),
                "gain": float(true[k] / left[k]),
                "bar": float(found.bar[name]),
            }
        rows.append(row)
    return {
        "run": Path(directory).name,
        "problem": problem.name,
        "step": run.step,
        "resolution": resolution,
        "samples": rows,
    }


def table(results: list[dict]) -> list[str]:
    lines = [
        "| problem, steps | unknown | truth at | samples | guard failed | no estimate |"
        " true error, mean | effectivity, 5 to 95 % | 0.95 to 1.05 |"
        " corrected is better by | CPU ms |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|---|---|")
    for result in results:
        rows = [each for each in result["samples"] if "failed" not in each]
        good = [each for each in rows if each.get("unknowns")]
        for name in good[0]["unknowns"] if good else []:
            each = [row["unknowns"][name] for row in good]
            spread = sorted(one["effectivity"] for one in each)
            promised = sum(0.95 <= one["effectivity"] <= 1.05 for one in each)
            doubted = sum(not row["guard"] <= TRUSTED for row in rows)
            low, high = spread[int(0.05 * len(spread))], spread[int(0.95 * (len(spread) - 1))]
            gains = statistics.median(one["gain"] for one in each)
            mean = statistics.mean(one["true"] for one in each)
            cost = 1000 * statistics.median(row["seconds"] for row in good)
            lines.append(
                f"| {result['problem']}, {result['step']} | {name} | {result['resolution']} |"
                f" {len(rows)} | {doubted} | {len(rows) - len(good)} | {100 * mean:.2f} % |"
                f" {low:.3f} to {high:.3f} | {promised} | {gains:.0f} | {cost:.0f} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--resolution", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of the processor")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/certificate"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = given.out.with_suffix(".json")
    known = {each["run"]: each for each in json.loads(file.read_text())} if file.exists() else {}
    for each in given.runs:
        name = Path(each).name
        rows = known[name]["samples"] if name in known else []
        known[name] = measure(each, given.samples, given.resolution, rows, given.seconds)
        file.write_text(json.dumps(list(known.values()), indent=1))
    results = list(known.values())
    words = (
        f"{given.samples} held-out samples a run at most, truth of degree 3 at the resolution said,"
        " one thread, milliseconds of the processor for one estimate."
    )
    given.out.with_suffix(".md").write_text(
        "\n".join(["# The certificate", "", words, "", *table(results), ""])
    )
    print(given.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
