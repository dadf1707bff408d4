"""Four inverse problems, each against its truth: a permeability from 50 noisy pressures, where a
source is, a wave speed, and the flux through a boundary.

    python benchmarks/inverse.py                      # all, three draws of noise; resumable
    python benchmarks/inverse.py --only darcy --method train --seeds 1
    python benchmarks/inverse.py --page               # the tables of docs/notes/inverse_problems.md

Each is solved twice: by least squares with the reference solver (`compiler.estimate`), and by a
PINN that is trained together with what is to be found (`compiler.train`). The truth is not drawn
from the prior, and where it is solved, on a finer mesh than the estimate sees. A line for each
problem, method and seed goes to benchmarks/results/inverse.jsonl; those that are there are not
done again. Seconds are of one processor.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch

import compiler
import pdespec
from compiler.estimation import Estimate, uncertainty
from compiler.training.progress import Silent

RESULTS = Path(__file__).parent / "results" / "inverse.jsonl"
FINE = 64  # cells along the longest side, of the truth
Array = np.ndarray

DARCY = """problem darcy_permeability
space    x, y
domain   Omega = rectangle([0, 0], [1, 1])
boundary right = side(Omega, x = 1)
{k}
unknown  p : scalar on Omega
in Omega: -div(k*grad(p)) = 10
on boundary(Omega): p = 0
output outflow := integral(-k*dx(p), right)
{data}
"""
SOURCE = """problem source_location
space    x, y
domain   Omega = rectangle([0, 0], [1, 1])
{k}
unknown  u : scalar on Omega
in Omega: -lap(u) = 60*exp(-((x - a)^2 + (y - b)^2)/(2*0.08^2))
on boundary(Omega): u = 0
{data}
"""
WAVE = """problem wave_speed
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
{k}
unknown  u : scalar on L
in L: dtt(u) = c^2*dxx(u)
on boundary(L): u = 0
at t = 0:
    u = sin(pi*x)
    dt(u) = 0
{data}
"""
FLUX = """problem boundary_flux
space    x, y
domain   Omega = rectangle([0, 0], [1, 1])
boundary left = side(Omega, x = 0)
{k}
unknown  u : scalar on Omega
in Omega: -lap(u) = 0
on left: dn(u) = q
on rest(Omega): u = 0
output total := integral(q, left)
{data}
"""


@dataclass(frozen=True)
class Case:
    """`found`: how what is sought is declared; `given`: the same for the truth, by definitions.
    `values` are the numbers to be found, `function` the function by its name and the truth of it;
    `noise` the standard deviation of the data over the largest of them."""

    text: str
    found: str
    given: str
    rows: int
    noise: float
    values: dict[str, float] = field(default_factory=dict)
    function: tuple[str, Callable[[Array], Array]] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    resolution: int = 16


def permeability(points: Array) -> Array:
    x, y = points.T
    return 1 + 1.5 * np.exp(-((x - 0.3) ** 2 + (y - 0.65) ** 2) / 0.08) - 0.5 * x * y


def flux(points: Array) -> Array:
    y = points[:, 1]
    return 4 * y * (1 - y) * (2 + np.sin(2 * np.pi * y))


TRAINING = {"steps": 1200, "batch": 1, "validation": 0, "lr": 3e-3, "weights": {"data": 100.0}}
CASES = {
    "darcy": Case(
        DARCY,
        "trainable k = 1 : scalar on Omega > 0 ~ grf(sigma = 0.6, length = 0.3), modes = 6",
        "k := 1 + 1.5*exp(-((x - 0.3)^2 + (y - 0.65)^2)/0.08) - 0.5*x*y",
        50,
        0.01,
        function=("k", permeability),
    ),
    "source": Case(
        SOURCE,
        "trainable a ~ normal(0.5, 0.3), b ~ normal(0.5, 0.3)",
        "const a = 0.3, b = 0.65",
        20,
        0.05,
        {"a": 0.3, "b": 0.65},
    ),
    "wave": Case(WAVE, "trainable c = 1", "const c = 1.3", 40, 0.05, {"c": 1.3}),
    "flux": Case(
        FLUX,
        "trainable q : scalar on left ~ grf(sigma = 2, length = 0.2), modes = 8",
        "q := 4*y*(1 - y)*(2 + sin(2*pi*y))",
        40,
        0.01,
        function=("q", flux),
    ),
}


def measured(name: str, seed: int, folder: Path) -> tuple[Any, Any, dict[str, float]]:
    """The problem with its data written to `folder`; the solved truth, and its outputs."""
    case = CASES[name]
    whole = pdespec.parse(case.text.format(k=case.given, data=""))
    batch = compiler.instance(whole, dtype=torch.float64)
    truth = compiler.solve(whole, batch, resolution=FINE)
    random = np.random.default_rng(seed)
    names = [each.name for each in whole.variables]
    points = random.uniform(0.05, 0.95, size=(case.rows, len(names)))
    exact = truth(torch.as_tensor(points)[None])[0, :, 0].numpy()
    sigma = case.noise * float(abs(exact).max())
    unknown = next(iter(whole.unknowns))
    columns = dict(zip(names, points.T, strict=True))
    values = random.normal(exact, sigma)
    np.savez(folder / "data.npz", **columns, **{unknown: values}, sigma=sigma)
    region = next(iter(whole.domains))
    data = f'data {unknown} on {region} from "data.npz"'
    (folder / "problem.pde").write_text(case.text.format(k=case.found, data=data))
    outputs = compiler.outputs(whole, truth, batch)
    numbers = {each: float(value) for each, value in outputs.items()}
    return pdespec.load(folder / "problem.pde"), truth, numbers


def judged(name: str, found: Estimate, outputs: dict[str, float]) -> dict[str, Any]:
    """How far what was found is from the truth, and whether 95 % intervals hold it."""
    case, record = CASES[name], {}
    intervals = found.interval(0.95)
    for each, value in case.values.items():
        low, high = intervals[each]
        record[each] = {"truth": value, "found": found.values[each], "std": found.std[each]}
        record[each]["inside"] = bool(low < value < high)
    if case.function is not None:
        label, exact = case.function
        points = places(label)
        value, (low, high) = found.fields[label](points), found.fields[label].interval(points)
        truth = exact(points)
        record[label] = {
            "relative_l2": float(np.linalg.norm(value - truth) / np.linalg.norm(truth)),
            "inside": float(np.mean((low < truth) & (truth < high))),
        }
    for each, value in outputs.items():
        low, high = found.outputs[each].interval(0.95)
        own = {"truth": value, "found": float(found.outputs[each].value)}
        record[each] = own | {"std": float(found.outputs[each].std)}
        record[each]["inside"] = bool(low < value < high)
    away = max(abs(found.step[each]) / found.std[each] for each in found.values)
    return record | {"away": float(away)}


def places(label: str) -> Array:
    """Points on which a function is compared: a grid of 33 along each axis."""
    line = np.linspace(0, 1, 33)
    if label == "q":
        return np.stack([0 * line, line], 1)
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


def solved(name: str, method: str, seed: int) -> dict[str, Any]:
    """One line of the results."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        problem, truth, outputs = measured(name, seed, folder)
        began = time.process_time()
        record: dict[str, Any] = {"problem": name, "method": method, "seed": seed}
        if method == "estimate":
            found = compiler.estimate(problem, resolution=case.resolution)
            record["seconds"] = time.process_time() - began
        else:
            model = compiler.build(problem, "pinn", hidden=(48, 48, 48), seed=seed)
            options = {**TRAINING, "seed": seed, "uncertainty": False, **case.options}
            points = {"interior": 512, "boundary": 128, "operator": 64}
            chosen = compiler.TrainOptions(**options, points=points)
            run = compiler.train(problem, model, chosen, folder / "run", display=Silent())
            record["seconds"] = time.process_time() - began
            found = uncertainty(problem, run.trainables, resolution=case.resolution)
            batch = compiler.instance(problem)
            at = torch.rand(1, 4096, len(problem.variables), generator=generator())
            with torch.no_grad():
                values = run.model.cpu()(batch.inputs)(at)[..., 0].double()
            exact = truth(at.double())[..., 0]
            record["solution_l2"] = float((values - exact).norm() / exact.norm())
        return record | judged(name, found, outputs)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def lines() -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    )


def rows(records: list[dict[str, Any]]) -> Iterator[str]:
    """The tables of the page."""
    yield "| problem | method | seed | what was found, truth in brackets | CPU seconds |"
    yield "|---|---|---|---|---|"
    for each in sorted(
        records, key=lambda r: (list(CASES).index(r["problem"]), r["method"], r["seed"])
    ):
        parts = []
        for name, value in each.items():
            if isinstance(value, dict) and "relative_l2" in value:
                inside = (
                    f", {value['inside']:.0%} of it inside of 95 %" if "inside" in value else ""
                )
                parts.append(f"{name} to {value['relative_l2']:.1%}{inside}")
            elif isinstance(value, dict):
                std = f" ± {value['std']:.2g}" if "std" in value else ""
                note = "" if value.get("inside", True) else ", outside of 95 %"
                parts.append(f"{name} = {value['found']:.4g}{std} ({value['truth']:.4g}{note})")
        if "solution_l2" in each:
            parts.append(f"solution to {each['solution_l2']:.1%}")
        yield (
            f"| {each['problem']} | {each['method']} | {each['seed']} | {'; '.join(parts)} |"
            f" {each['seconds']:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(CASES))
    parser.add_argument("--method", choices=["estimate", "train"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.page:
        print("\n".join(rows(lines())))
        return
    done = {(each["problem"], each["method"], each["seed"]) for each in lines()}
    for method in [asked.method] if asked.method else ["estimate", "train"]:
        for name in [asked.only] if asked.only else CASES:
            for seed in range(asked.seeds):
                if (name, method, seed) not in done:
                    record = solved(name, method, seed)
                    with RESULTS.open("a") as file:
                        file.write(json.dumps(record) + "\n")
                    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
