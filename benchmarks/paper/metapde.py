"""Meta-PDE (Qin et al. 2022) trained on the problems of figure 7, with its published settings or
with settings tuned for minutes of one core.

    OMP_NUM_THREADS=1 python benchmarks/paper/metapde.py --method maml --out runs/meta

Published: sizes, steps and rates of the tables and scripts of its public code (sunnytqin/meta-pde),
boundary conditions as terms of weight 1. Tuned: conditions built in as ours are, and rates
from a short search (`--search`). Called again, it goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from experiment import HeldOut, example

import compiler

PROBLEMS = ("nonlinear_poisson", "hyperelastic_pores")
Setting = tuple[Mapping[str, Any], compiler.MetaOptions]
SOFT = {"hard_conditions": False}

# Poisson: layers x width 3 x 64 and 5 x 64; pores 8 x 64 and 10 x 128 (the scripts' sizes)
PUBLISHED: Mapping[tuple[str, str], Setting] = {
    ("nonlinear_poisson", "maml"): (
        {"hidden": (64,) * 3},
        compiler.MetaOptions(
            steps=120_000,
            lr=1e-5,
            rate_lr=0.5,
            batch=16,
            inner_steps=5,
            inner_lr=1e-4,
            points={"interior": 1024, "boundary": 1024},
            finetune_lr=1e-5,
            **SOFT,
        ),
    ),
    ("nonlinear_poisson", "leap"): (
        {"hidden": (64,) * 5},
        compiler.MetaOptions(
            method="leap",
            inner_optimizer="adam",
            steps=55_000,
            lr=5e-5,
            batch=8,
            inner_steps=60,
            inner_lr=2.5e-5,
            inner_clip=None,
            clip=None,
            points={"interior": 4096, "boundary": 4096},
            finetune_lr=2.5e-5,
            **SOFT,
        ),
    ),
    ("hyperelastic_pores", "maml"): (
        {"hidden": (64,) * 8},
        compiler.MetaOptions(
            steps=180_000,
            lr=1e-5,
            rate_lr=0.5,
            batch=8,
            inner_steps=5,
            inner_lr=1e-5,
            points={"interior": 1024, "boundary": 1024},
            weights={"boundary": 1000.0},
            finetune_lr=1e-5,
            **SOFT,
        ),
    ),
    ("hyperelastic_pores", "leap"): (
        {"hidden": (128,) * 10},
        compiler.MetaOptions(
            method="leap",
            inner_optimizer="adam",
            steps=140_000,
            lr=5e-6,
            batch=8,
            inner_steps=20,
            inner_lr=5e-6,
            inner_clip=1000.0,
            clip=1000.0,
            points={"interior": 2048, "boundary": 2048},
            weights={"boundary": 1000.0},
            finetune_lr=5e-6,
            **SOFT,
        ),
    ),
}
TUNED: Mapping[str, Setting] = {
    "maml": (
        {"hidden": (64,) * 3, "omega": 10.0, "scale": 0.3},
        compiler.MetaOptions(
            lr=1e-3,
            rate_lr=0.05,
            batch=2,
            inner_steps=5,
            inner_lr=1e-3,
            points={"interior": 256, "boundary": 32},
            finetune_lr=3e-3,
        ),
    ),
    "leap": (
        {"hidden": (64,) * 3, "omega": 10.0, "scale": 0.3},
        compiler.MetaOptions(
            method="leap",
            inner_optimizer="adam",
            lr=1e-3,
            batch=2,
            inner_steps=10,
            inner_lr=1e-3,
            points={"interior": 256, "boundary": 32},
            finetune_lr=3e-3,
        ),
    ),
}
# of a sample, while its network is adapted: with 128 inside, its error rises again after 100 steps
DEPLOYED = {"interior": 512, "boundary": 32}
SEARCHED = {"lr": (1e-3, 3e-3), "finetune_lr": (1e-3, 3e-3, 1e-2)}


def setting(problem: str, method: str, settings: str) -> Setting:
    """Options of the model and of its training."""
    return PUBLISHED[problem, method] if settings == "published" else TUNED[method]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", choices=PROBLEMS, default=PROBLEMS[0])
    parser.add_argument("--method", choices=("maml", "leap"), default="maml")
    parser.add_argument("--settings", choices=("tuned", "published"), default="tuned")
    parser.add_argument(
        "--steps", type=int, help="of the outer optimiser, instead of the setting's"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/meta")
    parser.add_argument("--search", action="store_true", help="rates, `--steps` steps each")
    given = parser.parse_args()
    torch.set_num_threads(1)
    problem = example(given.problem)
    model, options = setting(given.problem, given.method, given.settings)
    options = replace(options, seed=given.seed, steps=given.steps or options.steps)
    if given.search:
        search(problem, model, options, Path(given.out))
        return
    made = compiler.build(problem, "meta_pinn", seed=given.seed, **model)
    began = time.process_time()
    run = compiler.meta_train(problem, made, options, given.out, resume=True)
    print(f"{run}: {time.process_time() - began:.0f} CPU s, loss {run.history[-1]['loss']:.4g}")


def search(problem: Any, model: Mapping[str, Any], options: Any, out: Path) -> None:
    """Mean relative squared error after 100 steps of fine-tuning, for each rate of the start and
    each of fine-tuning, on samples that the comparison does not use."""
    held = HeldOut(problem, 4, purpose="search")
    for lr in SEARCHED["lr"]:
        made = compiler.build(problem, "meta_pinn", seed=options.seed, **model)
        run = compiler.meta_train(
            problem, made, replace(options, lr=lr), out / f"{lr}", resume=True
        )
        for rate in SEARCHED["finetune_lr"]:
            own = replace(run, options=replace(run.options, finetune_lr=rate))
            errors = [errors_while_adapted(own, held, k, 100, 50)[-1][2] for k in range(4)]
            mean = sum(errors) / len(errors)
            print(json.dumps({"lr": lr, "finetune_lr": rate, "error": mean}), flush=True)


def errors_while_adapted(
    run: compiler.MetaRun, held: HeldOut, index: int, steps: int, every: int = 10
) -> list[tuple[int, float, float]]:
    """(steps, seconds, relative squared error) of one sample: after the inner steps, then every
    `every` of Adam. Seconds are those of the steps alone."""
    options = run.options
    batch = held.batch(
        index, points=DEPLOYED, dtype=options.dtype, hard_conditions=options.hard_conditions
    )
    return run.adapt(batch, steps, lambda field: held.error(index, field), every).curve


if __name__ == "__main__":
    main()
