"""Figure 8 of Lin et al. (arXiv 2504.08277): a decoder that averages over its neighbours jumps on
circles around the latent nodes, one that sums with a quadrature weight does not.

    OMP_NUM_THREADS=1 python benchmarks/paper/figure8.py --scale small

The same small GINO is trained on solved samples of `nonlinear_poisson` alone, without conditions
built in, from the same first weights, once for each way of aggregating. Shown: u on
a patch around a latent node, its gradient by jets and by differences, and a cut. Measured: what
jumps on the circles of the cutoff radius, by one-sided values in float64 at places on circles
around nodes; and the residual by jets and by differences with a step of 1e-3.
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import arguments, computed, example, finished, table
from torch import Tensor

import compiler
from compiler.chance import seeded
from compiler.geometry.metrics import interior, squared_misfit
from operators import JetSpace

# solved samples, steps of the fit, points of a side of the patch, places on circles
SCALES = {"demo": (2, 4, 24, 12), "small": (48, 600, 241, 400), "paper": (7000, 200_000, 401, 4000)}
LATENT, RADIUS = 24, 2.3
KINDS = {
    "vanilla, mean": {"weight": None, "reduction": "mean"},
    "half_cos, mean": {"weight": "half_cos", "reduction": "mean"},
    "half_cos, integral": {"weight": "half_cos", "reduction": "integral"},
    "quadweight, integral": {"weight": "quadweight", "reduction": "integral"},
}
SPACE = JetSpace.closure([(1, 0), (0, 1)], {"laplacian": {(2, 0): 1, (0, 2): 1}})


def model_of(problem: Any, kind: str, seed: int) -> Any:
    """A small GINO with an aggregation."""
    return compiler.build(
        problem,
        "gino",
        seed=seed,
        latent=(LATENT, LATENT),
        hidden=16,
        modes=8,
        layers=3,
        radius_in_spacings=RADIUS,
        kernel="polynomial",
        kernel_options={"degree": 1},
        **KINDS[kind],
    )


def fitted(given: Any, kind: str, seed: int) -> tuple[Any, float]:
    """The operator trained on solved samples, and the mean relative squared error on a held-out
    one; kept on disk."""
    samples, steps, _, _ = SCALES[given.scale]
    problem, path = example("nonlinear_poisson"), given.out / f"{kind.replace(', ', '-')}-{seed}.pt"
    model, data = model_of(problem, kind, seed), solved(given, problem, samples, seed)
    points, values, batch = data
    held = compiler.sample(
        problem, 1, {"interior": 1024}, seeded(seed, "held out", 0), hard_conditions=False
    )
    if path.is_file():
        model.load_state_dict(torch.load(path, weights_only=True))
    else:
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 3e-5)
        for step in range(steps):
            chance = seeded(seed, "fit", step)
            chosen = torch.randint(samples, (min(4, samples),), generator=chance)
            some = torch.randperm(points.shape[1], generator=chance)[:256]
            field = model(batch.select(chosen.tolist()).inputs)
            loss = squared_misfit(field(points[chosen][:, some]), values[chosen][:, some]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        torch.save(model.state_dict(), path)
    truth = compiler.solve(problem, held.to(torch.float64))
    places = interior(problem, held)
    with torch.no_grad():
        found = model(held.inputs)(places).double()
    return model, float(squared_misfit(found, truth(places.double()))[0])


def solved(given: Any, problem: Any, samples: int, seed: int) -> tuple[Tensor, Tensor, Any]:
    """Points and reference values of the samples of training, and their batch."""
    path: Path = given.out / f"solved-{samples}-{seed}.pt"
    batch = compiler.sample(
        problem, samples, {"interior": 1024}, seeded(seed, "solutions", 0), hard_conditions=False
    )
    points = interior(problem, batch)
    if not path.is_file():
        torch.save(compiler.solve(problem, batch.to(torch.float64))(points.double()).float(), path)
    return points, torch.load(path, weights_only=True), batch


def double(model: Any, seed: int) -> Any:
    """The field of one held-out sample in float64."""
    batch = compiler.sample(
        example("nonlinear_poisson"),
        1,
        None,
        seeded(seed, "shown", 0),
        dtype=torch.float64,
        hard_conditions=False,
    )
    return model.double()(batch.inputs)


def jumps(field: Any, places: int, seed: int) -> dict[str, float]:
    """Root mean square of the jumps of u, of its gradient and of its Laplacian across circles of
    the cutoff radius, over the same of their sizes there. One-sided: 1e-7 of the radius off."""
    lattice, radius = field.lattice, field.decoder.radius[0]
    chance = seeded(seed, "circles", 0)
    nodes = lattice.points(torch.float64)
    near = nodes[(nodes.norm(dim=1) < 0.45)]
    chosen = near[torch.randint(len(near), (places,), generator=chance)]
    angle = 2 * math.pi * torch.rand(places, generator=chance, dtype=torch.float64)
    normal = torch.stack([angle.cos(), angle.sin()], 1)
    inside, outside = ((chosen + radius * (1 + s * 1e-7) * normal)[None] for s in (-1, 1))
    with torch.no_grad():
        one, other = field.taylor(inside, SPACE), field.taylor(outside, SPACE)
    found = {}
    for name, keys in {
        "u": [(0, 0)],
        "gradient": [(1, 0), (0, 1)],
        "laplacian": ["laplacian"],
    }.items():
        gap = torch.stack([one[k] - other[k] for k in keys])
        size = torch.stack([one[k] for k in keys])
        found[name] = float(gap.square().mean().sqrt() / size.square().mean().sqrt())
    return found


def residuals(model: Any, samples: int = 6, step: float = 1e-3) -> dict[str, float]:
    """Mean squared residual of (1 + u^2/10) lap u + u |grad u|^2 / 5 - f at points of held-out
    samples, by jets and by central differences of a step; medians over samples, float64."""
    problem, found = example("nonlinear_poisson"), {"jets": [], "differences": []}
    for k in range(samples):
        batch = compiler.sample(
            problem,
            1,
            {"interior": 512},
            seeded(0, "residual", k),
            dtype=torch.float64,
            hard_conditions=False,
        )
        field, x = model.double()(batch.inputs), interior(problem, batch)
        f = batch.evaluate("f", x)[..., 0]
        with torch.no_grad():
            jet = field.taylor(x, SPACE)
            u, slopes, lap = jet.value, (jet[(1, 0)], jet[(0, 1)]), jet["laplacian"]
            found["jets"].append(mean_square(u, slopes, lap, f))
            shifts = [step * torch.eye(2, dtype=torch.float64)[axis] for axis in (0, 1)]
            ahead, behind = ([field(x + sign * s) for s in shifts] for sign in (1, -1))
            slopes = tuple((a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True))
            lap = sum(a - 2 * u + b for a, b in zip(ahead, behind, strict=True)) / step**2
            found["differences"].append(mean_square(u, slopes, lap, f))
    return {f"residual by {way}": statistics.median(each) for way, each in found.items()}


def mean_square(u: Tensor, slopes: tuple[Tensor, ...], lap: Any, f: Tensor) -> float:
    squared = sum(s.square() for s in slopes)
    return float((((1 + u**2 / 10) * lap + u * squared / 5)[..., 0] - f).square().mean())


def patch(field: Any, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x and y of a square around the node nearest (0.2, 0.1), and on it u, |grad u| by jets and
    by central differences of neighbouring points. Shapes: (n,), (n,), then (n, n)."""
    lattice, h = field.lattice, field.lattice.spacing[0]
    nodes = lattice.points(torch.float64)
    centre = nodes[(nodes - torch.tensor([0.2, 0.1])).norm(dim=1).argmin()]
    t = torch.linspace(-1.25 * h, 1.25 * h, count, dtype=torch.float64)
    x, y = centre[0] + t, centre[1] + t
    grid = torch.stack(torch.meshgrid(x, y, indexing="ij"), -1).reshape(1, -1, 2)
    with torch.no_grad():
        jet = field.taylor(grid, SPACE)
    u = jet.value[0, :, 0].reshape(count, count).numpy()
    slope = torch.hypot(jet[(1, 0)], jet[(0, 1)])[0, :, 0].reshape(count, count).numpy()
    step = float(t[1] - t[0])
    return x.numpy(), y.numpy(), u, slope, np.hypot(*np.gradient(u, step, step))


def picture(fields: dict[str, Any], errors: dict[str, float], count: int) -> Any:
    """A row for each aggregation: u, its gradient by jets, by differences, and a cut."""
    rows = len(fields)
    figure, axes = plt.subplots(
        rows, 4, figsize=(13.6, 3.2 * rows + 0.5), layout="constrained", squeeze=False
    )
    shown = {kind: patch(field, count) for kind, field in fields.items()}
    smooth = shown[list(fields)[-1]]
    most = 1.6 * float(smooth[3].max())
    for row, (kind, (x, y, u, slope, differences)) in zip(axes, shown.items(), strict=True):
        field = fields[kind]
        extent = (x[0], x[-1], y[0], y[-1])
        drawn = {"origin": "lower", "extent": extent, "interpolation": "nearest"}
        row[0].imshow(u.T, cmap="viridis", **drawn)
        row[0].contour(x, y, u.T, 22, colors="w", linewidths=0.5)
        for axis, values in zip(row[1:3], (slope, differences), strict=True):
            image = axis.imshow(values.T, cmap="magma", vmin=0, vmax=most, **drawn)
        figure.colorbar(image, ax=row[2], shrink=0.85)
        circles(row[0], field, extent)
        for axis in row[:3]:
            axis.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
        row[0].set_ylabel(
            f"{kind}\n(error of u {100 * math.sqrt(errors[kind]):.0f} %)", fontsize=10
        )
        middle = count // 2 + count // 9
        rim = crossings(field, x, y[middle])
        for each in rim:
            row[3].axvline(each, color="tab:blue", lw=0.8, alpha=0.6)
        row[3].plot(x, u[:, middle], "k", lw=1.3)
        row[3].set(xlim=(x[0], x[-1]), xticks=[], ylabel="u")
        row[0].axhline(y[middle], color="k", lw=0.7, ls=":")
    for axis, title in zip(
        axes[0],
        (
            "u and its level lines",
            "|grad u|, exact",
            "|grad u|, differences of neighbours",
            "u along the dotted line",
        ),
        strict=True,
    ):
        axis.set_title(title, fontsize=10)
    figure.suptitle(
        "Blue: circles of the cutoff radius around latent nodes. A mean jumps there, an integral"
        " does not.",
        fontsize=11,
    )
    return figure


def circles(axis: Any, field: Any, extent: tuple[float, ...]) -> None:
    """The circles of the cutoff radius that cross the patch."""
    turn = np.linspace(0, 2 * np.pi, 400)
    for node in field.lattice.points(torch.float64).numpy():
        x, y = (node[k] + field.decoder.radius[k] * f(turn) for k, f in ((0, np.cos), (1, np.sin)))
        inside = (x > extent[0]) & (x < extent[1]) & (y > extent[2]) & (y < extent[3])
        if inside.any():
            axis.plot(np.where(inside, x, np.nan), y, color="deepskyblue", lw=0.7, alpha=0.8)
    axis.set(xlim=extent[:2], ylim=extent[2:])


def crossings(field: Any, x: np.ndarray, y: float) -> list[float]:
    """Where a horizontal line crosses circles."""
    found, radius = [], field.decoder.radius[0]
    for a, b in field.lattice.points(torch.float64).numpy():
        if abs(y - b) < radius:
            half = math.sqrt(radius**2 - (y - b) ** 2)
            found += [each for each in (a - half, a + half) if x[0] < each < x[-1]]
    return found


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "figure8", argv, SCALES)
    _, _, count, places = SCALES[given.scale]

    def measure(case: dict[str, Any]) -> dict[str, Any]:
        model, error = fitted(given, case["aggregation"], case["seed"])
        found = jumps(double(model, case["seed"]), places, case["seed"])
        return {"error": error, **found, **residuals(model)}

    cases = [{"aggregation": kind, "seed": s} for s in range(given.seeds) for kind in KINDS]
    rows = computed(given, cases, measure)
    fields = {kind: double(fitted(given, kind, 0)[0], 0) for kind in KINDS}
    errors = {kind: next(r["error"] for r in rows if r["aggregation"] == kind) for kind in KINDS}
    text = table(
        [
            *("decoder", "seed", "relative squared error", "jump of u", "of grad u", "of lap u"),
            *("squared residual by jets", "by differences"),
        ],
        [
            [r[k] for k in ("aggregation", "seed", "error", "u", "gradient", "laplacian")]
            + [r["residual by jets"], r["residual by differences"]]
            for r in rows
        ],
    )
    finished(given, rows, text, picture(fields, errors, count))
    return rows


if __name__ == "__main__":
    run()
