"""What the experiments on Burgers' equation share (tables 1 to 5 of Lin et al., arXiv 2504.08277):
instances with their truth, operators trained on the family, and how one is trained further on one
instance, from points of a grid, from data of it, or from both.

A fit is a case: `operator`; `derivatives`, a backend; `on` physics, data or both; `points` of the
physics, "grid" or how many of the grid are drawn, anew in every step or once where they are `kept`;
`grid`, its nodes in x and t; `data`, strides of the paper's grid; `noise`, its level as in equation
15; `instance` and `seed`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiment import example
from torch import Tensor, nn

import compiler
import pdespec
from compiler.chance import seeded
from compiler.training.instances import Instances

GRID = 128, 26  # the paper's: x without the end of the period, t with both ends
TEST = 128, 101  # where errors are measured
PROBES = 4096  # random points at which the residual is measured
NODES = 1024  # of the spline by which a data file gives the initial state
BURGERS = "burgers"
DATA = 'data u on L from "{path}"\n'
READ = {"interior": 1, "initial": 1, "operator": 1024}
USUAL = {
    "operator": "fno_gno",
    "derivatives": "taylor",
    "on": "physics",
    "points": "grid",
    "kept": False,
    "grid": None,
    "data": None,
    "noise": 0.0,
}
Case = Mapping[str, Any]


@dataclass(frozen=True)
class Scale:
    """`family` steps of training on the law's samples, then `steps` on each of `instances`, with
    `data` the weight of a squared error of u; `model` by operator."""

    family: int
    steps: int
    instances: int
    model: Mapping[str, Mapping[str, Any]]
    grid: tuple[int, int] = GRID
    batch: int = 4
    rate: float = 2e-3
    data: float = 100.0


DECODED = {"kernel": "polynomial", "kernel_options": {"degree": 1}}
SCALES = {
    "demo": Scale(
        1,
        1,
        1,
        {
            "fno_gno": {"latent": (12, 10), "hidden": 4, "modes": 2, "layers": 1, **DECODED},
            "fno": {"grid": (16, 6), "hidden": 4, "modes": 2, "layers": 1},
            "transolver": {"hidden": 4, "layers": 1, "heads": 1, "slices": 2},
        },
        (16, 6),
    ),
    "small": Scale(
        300,
        100,
        2,
        {
            "fno_gno": {"latent": (32, 16), "hidden": 24, "modes": (10, 6), "layers": 4, **DECODED},
            "fno": {"grid": (32, 16), "hidden": 24, "modes": (10, 6), "layers": 4},
            "transolver": {"hidden": 32, "layers": 3, "heads": 4, "slices": 16},
        },
    ),
    # sizes of the library's earlier configuration for this data set, not those of the paper, which
    # are lost: 5 layers of 24 channels with 15 x 15 modes, weights of Tucker form
    "paper": Scale(
        20_000,
        2_000,
        800,
        {
            "fno_gno": {
                "latent": (64, 40),
                "hidden": 24,
                "modes": 15,
                "layers": 5,
                "rank": 0.5,
                "weight": "half_cos",
                "kernel": "mlp",
            },
            "fno": {"grid": GRID, "hidden": 24, "modes": (15, 12), "layers": 5, "rank": 0.5},
            "transolver": {"hidden": 128, "layers": 8, "heads": 8, "slices": 64},
        },
    ),
}


def points_of(shape: tuple[int, int]) -> Tensor:
    """Nodes of a grid. Shapes: -> "1 n 2", float64."""
    x = torch.arange(shape[0], dtype=torch.float64) / shape[0]
    t = torch.linspace(0, 1, shape[1], dtype=torch.float64)
    return torch.stack(torch.meshgrid(x, t, indexing="ij"), -1).reshape(1, -1, 2)


@dataclass(frozen=True)
class OnGrid(Instances):
    """Given samples, whose physics is taken at `points`, or at `count` of these that are drawn anew
    in every step. What the operator reads is the same in all steps, and when it is measured: the
    amplitude of its output hangs on the points that it is read at."""

    points: Tensor | None = None
    count: int | None = None

    def __call__(
        self, problem: Any, size: int, points: Any = None, generator: Any = None, **own: Any
    ):
        batch = super().__call__(problem, size, points, seeded(0, "operator", 0), **own)
        return on_grid(batch, self.points, self.count, generator)


@dataclass(frozen=True)
class FamilyOnGrid:
    """The law's samples, with the physics at `points`."""

    points: Tensor

    def __call__(
        self, problem: Any, size: int, points: Any = None, generator: Any = None, **own: Any
    ):
        return on_grid(compiler.sample(problem, size, points, generator, **own), self.points)


def on_grid(batch: Any, points: Tensor | None, count: int | None = None, generator: Any = None):
    """The batch with the collocation points of a grid, or `count` of them."""
    if points is None:
        return batch
    start = points[:, points[0, :, 1] == 0]
    start = start if start.shape[1] else torch.zeros(1, 1, 2, dtype=points.dtype)
    if count is not None:
        points = points[:, torch.randperm(points.shape[1], generator=generator)[:count]]
    own = batch.points["L"].points
    placed = {"L": points, "L@0": start}
    return batch.with_points(
        {key: each.to(own).expand(batch.size, -1, -1) for key, each in placed.items()}
    )


# --------------------------------------------------------------------------------------------------
# instances


@dataclass(frozen=True, eq=False)
class Instance:
    """One sample of the law with its truth by Cole and Hopf."""

    batch: Any
    truth: Any

    def start(self, points: Tensor) -> Tensor:
        """The initial state. Shapes: "b n 1" -> "b n 1"."""
        return self.batch.evaluate("u0", points.double()).to(points.dtype)


@lru_cache(maxsize=64)
def instance(number: int) -> Instance:
    """Samples that no training on the family draws."""
    problem = example(BURGERS)
    generator = seeded(0, "burgers tables", number)
    batch = compiler.sample(problem, 1, {"interior": 1}, generator, dtype=torch.float64)
    return Instance(batch, compiler.solve(problem, batch, method="cole_hopf"))


def observed(case: Case, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Points of the data of a case, values without noise and with it. Shapes: "n 2", "n", "n"."""
    every = case["data"] or (1, 1)
    grid = points_of(shape).reshape(*shape, 2)[:: every[0], :: every[1]].reshape(-1, 2)
    clean = instance(case["instance"]).truth(grid[None])[0, :, 0]
    fine = instance(case["instance"]).truth(points_of(TEST)).abs().mean()
    noise = torch.randn(clean.shape, generator=seeded(case["seed"], "noise", 0)).double()
    return grid, clean, clean + case["noise"] * float(fine) * noise


def stated(case: Case, shape: tuple[int, int], folder: Path) -> Any:
    """The problem of a case: the example's, with measured data where they are seen."""
    if case["on"] == "physics":
        return example(BURGERS)
    points, _, values = observed(case, shape)
    x = np.arange(NODES) / NODES
    start = instance(case["instance"]).start(torch.from_numpy(x)[None, :, None])[0, :, 0]
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / "data.npz").resolve()
    columns = dict(zip(("x", "t"), points.numpy().T, strict=True))
    given = {"u0/x": x, "u0/u0": start.numpy()}
    np.savez(path, u=values.numpy(), **columns, **given)
    return pdespec.parse(
        example(BURGERS).to_dsl() + DATA.format(path=path.name), source=str(folder / "case.pde")
    )


# --------------------------------------------------------------------------------------------------
# training


def built(scale: Scale, operator: str, seed: int) -> nn.Module:
    """An untrained operator for the family."""
    return compiler.build(example(BURGERS), operator, **scale.model[operator], seed=seed)


def pretrained(scale: Scale, operator: str, seed: int, folder: Path) -> Path:
    """The run of an operator trained on the family by physics alone, with derivatives that suit
    it: exact ones at random points, or differences on the grid where it has no others."""
    directory = folder / f"{operator}-{seed}"
    if directory.is_dir():
        history = compiler.open_run(directory).history
        if history and history[-1]["step"] >= scale.family:
            return directory  # another table's, which may be at work
    exact = operator != "transolver"
    options = compiler.TrainOptions(
        steps=scale.family,
        batch=scale.batch,
        seed=seed,
        optimizer="soap",
        lr=6e-3 if exact else 2e-3,
        schedule_options={"warmup": min(50, scale.family // 4), "floor": 0.005},
        dual="auto" if exact and scale.family > 1 else None,
        causal="auto" if exact else None,
        derivatives="auto" if exact else "finite_difference",
        points={**READ, "interior": 512 if scale.family > 1 else 16},
        validation=0,
        checkpoint_every=100,
    )
    sampler = None if exact else FamilyOnGrid(points_of(scale.grid))
    compiler.train(
        example(BURGERS),
        built(scale, operator, seed),
        options,
        directory,
        resume=True,
        sampler=sampler,
    )
    return directory


def fitted(scale: Scale, case: Case, start: Path, folder: Path) -> tuple[nn.Module, float]:
    """The operator of a run trained further on the instance of a case, and the seconds of the
    processor that took."""
    problem = stated(case, scale.grid, folder)
    model = compiler.load_run(start).model
    own, whole = instance(case["instance"]), case["points"] == "grid"
    options = compiler.TrainOptions(
        steps=scale.steps,
        batch=1,
        seed=case["seed"],
        optimizer="soap",
        lr=scale.rate,
        schedule_options={"floor": 0.005},
        derivatives=case["derivatives"],
        physics=case["on"] != "data",
        weights={"data": scale.data} if case["on"] != "physics" else {},
        points=READ,
        rows=None,
        validation=0,
        checkpoint_every=scale.steps,
    )
    points, count = points_of(case["grid"] or scale.grid), None if whole else case["points"]
    if case["kept"]:
        chosen = torch.randperm(points.shape[1], generator=seeded(case["seed"], "kept", 0))
        points, count = points[:, chosen[:count]], None
    sampler = OnGrid({}, {"u0": own.start}, points=points, count=count)
    began = time.process_time()
    run = compiler.train(problem, model.train(), options, folder / "fit", sampler=sampler)
    return run.model.eval(), time.process_time() - began


def measured(scale: Scale, case: Case, model: nn.Module) -> dict[str, float]:
    """Relative L2 error of u against the truth on the test grid, and against the data where there
    are any; mean squared residual at random points, by exact derivatives but for an operator that
    has none, whose own differences are taken on the grid."""
    problem, own = example(BURGERS), instance(case["instance"])
    batch = OnGrid({}, {"u0": own.start})(problem, 1, READ)
    field = model(batch.inputs)
    test = points_of(TEST)
    with torch.no_grad():
        values, expected = field(test.float()).double(), own.truth(test)
    found = {"error": float((values - expected).norm() / expected.norm())}
    if case["on"] != "physics":
        at, _, noisy = observed(case, scale.grid)
        with torch.no_grad():
            seen = field(at[None].float()).double()[0, :, 0]
        found["misfit"] = float((seen - noisy).norm() / noisy.norm())
    exact = case["operator"] != "transolver"
    at = torch.rand(1, PROBES, 2, generator=seeded(0, "probes", 0)) if exact else test.float()
    loss = compiler.compile(problem, "auto" if exact else "finite_difference")
    residual = loss.residuals(field, at, inputs={"u0": own.start})["eq1"]
    return found | {"residual": float(residual.detach().double().square().mean())}


def truncation(case: Case, shape: tuple[int, int]) -> dict[str, float]:
    """Mean squared residual that a kind of derivatives leaves of the truth on a grid: what a field
    without residual is wrong by."""
    own, loss = instance(case["instance"]), compiler.compile(example(BURGERS), case["derivatives"])
    points = points_of(case["grid"] or shape)
    residual = loss.residuals(own.truth, points, inputs={"u0": own.start})["eq1"]
    return {"residual": float(residual.square().mean())}


def measure(given: Any, case: Case) -> dict[str, float]:
    """A row: fitted in a folder that is not kept, then measured. Operators trained on the family
    are kept beside the tables, which share them."""
    if case["operator"] == "truth":
        return truncation(case, SCALES[given.scale].grid)
    scale, family = SCALES[given.scale], given.out.parent / f"{BURGERS}-{given.scale}"
    scale = replace(scale, steps=getattr(given, "steps", 0) or scale.steps)
    start = pretrained(scale, case["operator"], case["seed"], family)
    if case["derivatives"] == "none":  # as it was trained on the family
        run = compiler.load_run(start)
        return measured(scale, case, run.model)
    with tempfile.TemporaryDirectory() as folder:
        model, seconds = fitted(scale, case, start, Path(folder))
    return {**measured(scale, case, model), "seconds": seconds}


def cases(given: Any, rows: Iterable[Case]) -> list[dict[str, Any]]:
    """Each row for every instance and seed; what a row leaves out is the paper's: exact derivatives
    of the decoded operator at the whole grid, physics alone."""
    count = SCALES[given.scale].instances
    return [
        {**USUAL, **row, "instance": k, "seed": seed}
        for seed in range(given.seeds)
        for row in rows
        for k in range(count)
    ]


def gathered(rows: Iterable[Case], key: str, by: Sequence[str]) -> dict[tuple, list[float]]:
    """What was measured of all instances and seeds, by the other fields of a case."""
    found: dict[tuple, list[float]] = {}
    for row in rows:
        if key in row:
            name = tuple(tuple(v) if isinstance(v := row[each], list) else v for each in by)
            found.setdefault(name, []).append(row[key])
    return found
