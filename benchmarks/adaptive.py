"""Adaptive points against points drawn as ever.

python benchmarks/adaptive.py front             # a layer of width 0.02, one solution, a pinn
python benchmarks/adaptive.py family            # advection_diffusion.pde by a GINO
python benchmarks/adaptive.py cost              # a step of each strategy over one without
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import compiler
import pdespec
from compiler.training.loop import take_step
from compiler.training.processes import RollCall
from compiler.training.progress import Silent
from compiler.training.runs import Run
from compiler.training.set_up import set_up

EXAMPLES = Path(__file__).parents[1] / "examples"
EPS = 0.02
FRONT = f"""
problem front
space    x
domain   L = interval(0, 1)
const    eps = {EPS}
unknown  u : scalar on L
in L: transport: dx(u) - eps*dxx(u) = 1
on boundary(L): u = 0
"""
WAYS: dict[str, dict[str, Any]] = {
    "sobol": {},
    "rad": {"adaptive": "rad"},
    "r3": {"adaptive": "r3"},
    "rar_d": {"adaptive": "rar_d"},
    "rad, every 10": {"adaptive": "rad", "adaptive_options": {"every": 10}},
    "mesh": {"sampling": "mesh"},
    "uniform": {"sampling": "uniform"},
}


def error(run: Run, truth: Callable[[Any], torch.Tensor], samples: int) -> float:
    """Mean over samples of the relative L2 error of u at 4096 points."""
    generator = torch.Generator().manual_seed(1)
    points = {"interior": 4096, "operator": run.options.points["operator"]}
    dtype = next(run.model.parameters()).dtype
    batch = compiler.sample(run.problem, samples, points, generator, dtype=dtype)
    with torch.no_grad():
        found = run.model(batch.inputs)(next(iter(batch.points.values())).points)
    expected = truth(batch)
    gap = (found - expected).square().sum((1, 2)) / expected.square().sum((1, 2))
    return float(gap.sqrt().mean())


def front(steps: int, seeds: list[int], points: int, only: list[str]) -> None:
    problem = pdespec.parse(FRONT)

    def truth(batch: Any) -> torch.Tensor:
        x = batch.points["L"].points.double()
        gone = torch.exp(torch.tensor(-1 / EPS).double())
        return x - (torch.exp((x - 1) / EPS) - gone) / (1 - gone)

    for seed in seeds:
        for name in only:
            changes = WAYS[name]
            model = compiler.build(problem, "pinn", seed=seed, hidden=(32, 32))
            options = compiler.TrainOptions(
                steps=steps,
                batch=1,
                points={"interior": points, "operator": 16},
                optimizer="lbfgs",
                optimizer_options={"iterations": 60},
                precision="float64",
                seed=seed,
                validation=0,
                **changes,
            )
            began = time.process_time()
            found = error(trained(problem, model, options), truth, 1)
            seconds = time.process_time() - began
            print(f"seed {seed}, {name}: {100 * found:.2f} %, {seconds:.0f} CPU s", flush=True)


def family(steps: int, seeds: list[int], points: int, more: float) -> None:
    """`more`: as many steps the training without adaptive points takes, in the same CPU time."""
    problem = pdespec.load(EXAMPLES / "advection_diffusion.pde")

    def truth(batch: Any) -> torch.Tensor:
        x, t = batch.points["ring"].points.double().unbind(-1)
        a, pi = batch.params["a"].double()[:, None], torch.pi
        return (torch.exp(-4 * pi**2 * 0.005 * t) * torch.sin(2 * pi * (x - a * t)))[..., None]

    ways = {"sobol": (steps, {}), "sobol, equal time": (round(more * steps), {})}
    ways |= {"rad": (steps, WAYS["rad"]), "rar_d": (steps, WAYS["rar_d"])}
    demo = compiler.PRESETS["demo"]
    for name, (count, changes) in ways.items():
        found, seconds = [], []
        for seed in seeds:
            model = compiler.build(problem, demo.operator, **{**demo.model, "seed": seed})
            options = compiler.TrainOptions(
                steps=count,
                batch=4,
                points={"interior": points, "operator": 512},
                optimizer="soap",
                lr=6e-3,
                schedule_options={"warmup": 20, "floor": 0.005},
                seed=seed,
                validation=0,
                **changes,
            )
            began = time.process_time()
            run = trained(problem, model, options)
            seconds.append(time.process_time() - began)
            found.append(error(run, truth, 16))
        errors = " ".join(f"{100 * e:.2f} %" for e in found)
        print(f"{name}, {count} steps: {errors}; CPU s {seconds}", flush=True)


def trained(problem: Any, model: Any, options: Any) -> Run:
    with tempfile.TemporaryDirectory() as directory:
        return compiler.train(problem, model, options, Path(directory) / "run")


def cost(points: int, rounds: int) -> None:
    """CPU time of a step over that of one without adaptive points: medians of steps of all taken in
    turn."""
    demo = compiler.PRESETS["demo"]
    cases: Mapping[str, Any] = {
        "front, pinn": (pdespec.parse(FRONT), "pinn", {}, 1, WAYS),
        "advection_diffusion, gino": (
            pdespec.load(EXAMPLES / "advection_diffusion.pde"),
            demo.operator,
            demo.model,
            4,
            {name: WAYS[name] for name in ("sobol", "rad", "rar_d")},
        ),
    }
    for case, (problem, operator, given, batch, ways) in cases.items():
        going = {}
        for name, changes in ways.items():
            options = compiler.TrainOptions(
                batch=batch, points={"interior": points, "operator": 512}, validation=0, **changes
            )
            model = compiler.build(problem, operator, **given)
            with tempfile.TemporaryDirectory() as directory:
                run = Run(Path(directory) / "run", problem, options, None, None, model)
                going[name] = set_up(run, False, None, None, Silent(), RollCall())
        times: dict[str, list[float]] = {name: [] for name in going}
        for _ in range(rounds):
            for name, (training, state) in going.items():
                began = time.process_time()
                for _ in range(10 if "every 10" in name else 1):
                    take_step(training, state)
                share = 10 if "every 10" in name else 1
                times[name].append((time.process_time() - began) / share)
        medians = {name: statistics.median(each[1:]) for name, each in times.items()}
        print(f"{case}: sobol {1e3 * medians['sobol']:.1f} ms", end="")
        for name, median in medians.items():
            print(f"; {name} {median / medians['sobol']:.2f}", end="")
        print(flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("front", "family", "cost"))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(WAYS), help="ways of `front`")
    parser.add_argument("--points", type=int)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--more", type=float, default=1.5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.what == "front":
        front(asked.steps or 12, asked.seeds, asked.points or 32, asked.only)
    elif asked.what == "family":
        family(asked.steps or 150, asked.seeds, asked.points or 64, asked.more)
    else:
        cost(asked.points or 64, asked.rounds)
