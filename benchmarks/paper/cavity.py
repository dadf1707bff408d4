"""What the experiments on the lid-driven cavity share (table 10 of Lin et al., arXiv 2504.08277):
its solution, measured values of it, operators trained on them, and errors.

The operator reads coordinates in which walls, corners and the start have more room: x and y are
tanh maps of (X, Y), t = 10 s^2. Its field is `lift + factor N`: right at the walls, with the flow
of Stokes in both corners of the lid, where the speed jumps, and at rest at the start (`Lidded`). In
squared residuals a factor q leaves out what is nearer to these corners than about 0.05.

A fit is a case: `physics`, points of the equations drawn anew in every step, or "grid", the nodes
of a grid; None without equations. `data`, measured velocities drawn anew in every step, or "grid",
the same ones of a grid in all; None without. `walls`, "built in" as above, or "in the loss": the
problem of the example, in x, y, t, with its conditions as terms. `derivatives`, a backend; `seed`.
"""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cavity_lift import Lidded
from experiment import example
from torch import Tensor, nn

import compiler
import pdespec
from compiler.chance import seeded

CAVITY = "lid_cavity"
DATA = '\ndata v on Omega from "{}"\n'
STRETCH = 1.6  # of the tanh maps
# The cavity in stretched coordinates: a = dX/dx, c = dY/dy, and 4 s times the rate and the rest of
# the balance of momentum, since dt = 20 s ds.
STRETCHED = """
problem lid_cavity_stretched
space    X, Y
time     s in [0, 1]
domain   Omega = rectangle([0, 0], [1, 1])
boundary lid = side(Omega, Y = 1), walls = rest(Omega)
param    Re {reynolds}
const    b = {stretch}
unknown  v : vector on Omega, p : scalar on Omega
x := (1 + tanh(b*(2*X - 1))/tanh(b))/2
y := (1 + tanh(b*(2*Y - 1))/tanh(b))/2
a := tanh(b)*cosh(b*(2*X - 1))^2/b
c := tanh(b)*cosh(b*(2*Y - 1))^2/b
q := (1 - exp(-(x^2 + (1 - y)^2)/0.0025))*(1 - exp(-((1 - x)^2 + (1 - y)^2)/0.0025))
ux := a*d(v.X, X)
uy := c*d(v.X, Y)
wx := a*d(v.Y, X)
wy := c*d(v.Y, Y)
in Omega:
    along:  q*d(v.X, s)/5 + 4*s*q*(v.X*ux + v.Y*uy + a*d(p, X) - (a*d(ux, X) + c*d(uy, Y))/Re) = 0
    upward: q*d(v.Y, s)/5 + 4*s*q*(v.X*wx + v.Y*wy + c*d(p, Y) - (a*d(wx, X) + c*d(wy, Y))/Re) = 0
    continuity: q*(ux + wy) = 0
on lid:   v = [1, 0]
on walls: v = 0
at s = 0: v = 0
require integral(p, Omega) = 0
"""
LATE = 5.0  # the paper learns t in [5, 10]: errors are given there too
CORNER = 0.1  # from the corners of the lid, and as long after its start: residuals beyond it are
BLOCK = 20_000  # points at which a solution or an operator is asked at once
USUAL = {"physics": 1000, "data": 1000, "walls": "built in", "derivatives": "auto"}
Case = Mapping[str, Any]


@dataclass(frozen=True)
class Scale:
    """`cells` of the solution; `pool` measured values to draw from; a fixed grid of `measured`
    ones, one of `nodes` for differences; errors at `test` middles of cells and times; `weights` of
    data, physics and conditions."""

    cells: int
    pool: int
    measured: tuple[int, int, int]
    nodes: tuple[int, int, int]
    test: tuple[int, int, int]
    probes: int
    steps: int
    model: Mapping[str, Any]
    boundary: int = 256  # where the walls are in the loss, and half as many at the start
    rate: float = 3e-3
    weights: Mapping[str, float] = field(default_factory=dict)


DECODED = {"kernel": "polynomial", "kernel_options": {"degree": 1}}
WEIGHTS = {"data": 100.0, "along": 4.0, "upward": 4.0, "momentum": 400.0}  # of t = 10, scaled to 1
SCALES = {
    "demo": Scale(
        12,
        200,
        (4, 4, 3),
        (4, 4, 3),
        (6, 6, 3),
        50,
        2,
        {
            "latent": (8, 8, 6),
            "radius_in_spacings": 1.5,
            "hidden": 4,
            "modes": 2,
            "layers": 1,
            **DECODED,
        },
        boundary=8,
    ),
    "small": Scale(
        96,
        100_000,
        (16, 16, 10),
        (16, 16, 10),
        (64, 64, 50),
        8192,
        400,
        {"latent": (20, 20, 10), "hidden": 20, "modes": (8, 8, 4), "layers": 4, **DECODED},
        weights=WEIGHTS,
    ),
    "paper": Scale(
        192,
        1_000_000,
        (64, 64, 50),
        (32, 32, 20),
        (128, 128, 100),
        100_000,
        20_000,
        {
            "latent": (64, 64, 50),
            "hidden": 32,
            "modes": (16, 16, 12),
            "layers": 4,
            "rank": 0.5,
            "weight": "half_cos",
            "kernel": "mlp",
        },
        boundary=4096,
        weights=WEIGHTS,
    ),
}


# --------------------------------------------------------------------------------------------------
# truth


def middles(shape: Sequence[int]) -> np.ndarray:
    """Middles of the cells of a grid in the unit square, by times from the first to t = 10, all
    places of a time together. Shapes: -> "n 3"."""
    t, x, y = np.meshgrid(
        10 * (np.arange(shape[2]) + 1) / shape[2],
        *((np.arange(n) + 0.5) / n for n in shape[:2]),
        indexing="ij",
    )
    return np.stack((x.ravel(), y.ravel(), t.ravel()), -1)


def solved(reynolds: float, cells: int, points: np.ndarray) -> np.ndarray:
    """(u, v, p) of the flow at points. Shapes: "n 3" -> "n 3"."""
    problem = example(CAVITY)
    batch = compiler.instance(problem, params={"Re": float(reynolds)}).to(torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compiler.solve(problem, batch, resolution=cells, method="projection")
    parts = torch.from_numpy(points).split(BLOCK)
    return np.concatenate([found(part[None])[0].numpy() for part in parts])


def truth(scale: Scale, folder: Path, reynolds: float = 500) -> dict[str, np.ndarray]:
    """Measured values at random points and on the fixed grid, and what errors are taken to, solved
    once for all tables. Shapes: "n 6" each: x, y, t, u, v, p."""
    path = folder / f"truth-{reynolds:g}.npz"
    if not path.is_file():
        random = np.random.default_rng(0)
        places = {
            "pool": random.random((scale.pool, 3)) * (1, 1, 10),
            "grid": middles(scale.measured),
            "test": middles(scale.test),
        }
        values = solved(reynolds, scale.cells, np.concatenate(list(places.values())))
        ends = np.cumsum([len(each) for each in places.values()])[:-1]
        found = zip(places.items(), np.split(values, ends), strict=True)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{key: np.hstack((at, each)) for (key, at), each in found})
    return _loaded(path)


@lru_cache(maxsize=2)
def _loaded(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


# --------------------------------------------------------------------------------------------------
# training


@dataclass(frozen=True)
class AtNodes:
    """The problem's one sample, its equations taken at given points. Shapes: "1 n 3"."""

    points: Tensor

    def __call__(
        self, problem: Any, size: int, points: Any = None, generator: Any = None, **own: Any
    ):
        batch = compiler.sample(problem, size, points, generator, **own)
        placed = self.points.to(batch.points["Omega"].points).expand(size, -1, -1)
        return batch.with_points({"Omega": placed})


def nodes(shape: Sequence[int], end: float) -> Tensor:
    """Of a uniform grid with its ends, in the order of its axes. Shapes: -> "1 n 3"."""
    axes = [torch.linspace(0, last, n) for n, last in zip(shape, (1.0, 1.0, end), strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(1, -1, 3)


def problem_of(walls: str, reynolds: str = "= 500", data: Path | None = None) -> Any:
    """The problem that is trained on, with measured velocities in the file `data`."""
    if walls == "built in":
        text = STRETCHED.format(reynolds=reynolds, stretch=STRETCH)
    else:
        text = example(CAVITY).to_dsl()
    if data is None:
        return pdespec.parse(text)
    return pdespec.parse(text + DATA.format(data.name), source=str(data.with_name("case.pde")))


def coordinates(walls: str, points: np.ndarray) -> np.ndarray:
    """Those that an operator reads, of places x, y and times t. Shapes: "n 3" -> "n 3"."""
    if walls != "built in":
        return points
    x, t = points[:, :2], points[:, 2:]
    first = (1 + np.arctanh((2 * x - 1) * np.tanh(STRETCH)) / STRETCH) / 2
    return np.hstack((first, np.sqrt(t / 10)))


def keep(walls: str, rows: np.ndarray, path: Path, **columns: np.ndarray) -> Path:
    """A file of measured velocities. Shapes: rows "n 5" or more: x, y, t, u, v."""
    names = ("X", "Y", "s") if walls == "built in" else ("x", "y", "t")
    places = dict(zip(names, coordinates(walls, rows[:, :3]).T, strict=True))
    speeds = {f"v.{names[k]}": rows[:, 3 + k] for k in (0, 1)}
    np.savez(path, **places, **speeds, **columns)
    return path


def built(scale: Scale, problem: Any, walls: str, seed: int, nu: float = 1 / 500) -> nn.Module:
    model = compiler.build(problem, "fno_gno", **scale.model, seed=seed)
    return Lidded(model, STRETCH, nu) if walls == "built in" else model


def fitted(
    scale: Scale, case: Case, folder: Path, known: Mapping[str, np.ndarray]
) -> tuple[nn.Module, float]:
    """An operator trained on a case, and the seconds of the processor that took."""
    walls, data, physics = case["walls"], case["data"], case["physics"]
    rows, file = known["grid" if data == "grid" else "pool"], folder / "data.npz"
    file = None if data is None else file if file.is_file() else keep(walls, rows, file)
    problem = problem_of(walls, data=file)
    model = built(scale, problem, walls, case["seed"])
    soft = walls == "in the loss"
    labels = [*problem.equations] if physics is not None else []
    labels += [] if data is None else ["data"]
    options = compiler.TrainOptions(
        steps=scale.steps,
        batch=1,
        seed=case["seed"],
        optimizer="soap",
        lr=scale.rate,
        schedule_options={"warmup": min(30, scale.steps // 4), "floor": 0.005},
        physics=physics is not None,
        weights={key: weight for key, weight in scale.weights.items() if key in labels},
        derivatives=case["derivatives"] if physics is not None else "auto",
        points={
            "interior": physics if isinstance(physics, int) else 16,
            "boundary": scale.boundary if soft else 8,
            "initial": scale.boundary // 2 if soft else 8,
            "operator": 16,
        },
        rows=None if data == "grid" else data or 1,
        validation=0,
        checkpoint_every=100,
    )
    end = 10.0 if soft else 1.0
    sampler = AtNodes(nodes(scale.nodes, end)) if physics == "grid" else compiler.sample
    began = time.process_time()
    run = compiler.train(
        problem, model, options, folder / "run", sampler=sampler, resume=(folder / "run").is_dir()
    )
    return run.model.eval(), time.process_time() - began


# --------------------------------------------------------------------------------------------------
# errors


def field_of(model: nn.Module, problem: Any, params: Mapping[str, float] | None = None) -> Any:
    counts = {"interior": 1, "boundary": 1, "initial": 1, "operator": 16}
    return model(
        compiler.instance(problem, params or {}, {}, counts, seeded(0, "operator", 0)).inputs
    )


def asked(field: Any, walls: str, points: np.ndarray) -> np.ndarray:
    """(u, v, p) at places x, y and times t. Shapes: "n 3" -> "n 3"."""
    at = torch.from_numpy(coordinates(walls, points)).float()
    with torch.no_grad():
        return np.concatenate([field(part[None])[0].double().numpy() for part in at.split(BLOCK)])


def errors(found: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """Relative L2 errors of the velocity, over all times and from LATE on, and of the pressure
    without its mean at each time. Shapes: "n 3", "n 6" in blocks of equal times."""
    t, expected = rows[:, 2], rows[:, 3:]
    late = t >= LATE
    gap = found - expected
    times = len(np.unique(t))
    p, q = (a[:, 2].reshape(times, -1) for a in (gap, expected))
    p, q = p - p.mean(1, keepdims=True), q - q.mean(1, keepdims=True)
    return {
        "error": _ratio(gap[:, :2], expected[:, :2]),
        "late": _ratio(gap[late, :2], expected[late, :2]),
        "pressure": _ratio(p, q),
    }


def _ratio(gap: np.ndarray, size: np.ndarray) -> float:
    return float(np.linalg.norm(gap) / np.linalg.norm(size))


@dataclass(frozen=True)
class Physical:
    """A field of the coordinates that an operator reads, as one of x, y and t."""

    field: Any
    walls: str

    def __call__(self, points: Tensor) -> Tensor:
        if self.walls != "built in":
            return self.field(points)
        x, t = points[..., :2], points[..., 2:]
        first = (1 + torch.atanh((2 * x - 1) * math.tanh(STRETCH)) / STRETCH) / 2
        return self.field(torch.cat((first, torch.sqrt(t / 10)), -1))


def residuals(field: Any, walls: str, scale: Scale) -> dict[str, float]:
    """Mean squared residuals of momentum and mass in x, y and t, together, by exact derivatives:
    at random points, and at those away from the corners of the lid and from its start."""
    loss = compiler.compile(example(CAVITY), "autograd")
    points = torch.rand(1, scale.probes, 3, generator=seeded(0, "probes", 0))
    points = points * torch.tensor([1, 1, 10])
    squares = []
    for part in points.split(2048, dim=1):
        found = loss.residuals(Physical(field, walls), part).values()
        squares.append(sum(each[0].detach().double().square().sum(-1) for each in found))
    square = torch.cat(squares)
    x, y, t = points[0].double().unbind(-1)
    corners = [torch.hypot(x - c, y - 1) > CORNER for c in (0.0, 1.0)]
    away = corners[0] & corners[1] & (t > CORNER)
    return {"residual": float(square.mean()), "residual_away": float(square[away].mean())}


def measured(
    scale: Scale, case: Case, model: nn.Module, known: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Errors at the test points, misfit of the data that were seen, residuals at random points."""
    walls, rows = case["walls"], known["test"]
    field = field_of(model, problem_of(walls))
    found = errors(asked(field, walls, rows[:, :3]), rows)
    if case["data"] is not None:
        seen = known["grid" if case["data"] == "grid" else "pool"][:BLOCK]
        gap = asked(field, walls, seen[:, :3])[:, :2] - seen[:, 3:5]
        found["misfit"] = _ratio(gap, seen[:, 3:5])
    return found | residuals(field, walls, scale)


def measure(given: Any, case: Case) -> dict[str, float]:
    """A row: fitted in a folder that is kept until it is measured, so that a fit that was stopped
    goes on; its seconds are then those of its last part."""
    scale, folder = SCALES[given.scale], given.out.parent / f"cavity-{given.scale}"
    scale = replace(scale, steps=getattr(given, "steps", 0) or scale.steps)
    known = truth(scale, folder)
    name = "-".join(str(each).replace(" ", "_") for each in case.values())
    place = given.out / "fits" / name
    place.mkdir(parents=True, exist_ok=True)
    model, seconds = fitted(scale, case, place, known)
    found = {**measured(scale, case, model, known), "seconds": seconds}
    shutil.rmtree(place)
    return found
