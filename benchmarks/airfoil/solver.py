"""How right the finite volumes of `examples/airfoil_euler.pde` are, and what they cost: grid
convergence at Mach 0.8 and 1.25 degrees, the distance of the far field, d'Alembert's paradox, the
order of the error in entropy, and samples of the design space against a finer grid.

    OMP_NUM_THREADS=1 python benchmarks/airfoil/solver.py [--quick]

Writes `benchmarks/results/airfoil_solver.json`. CPU seconds are of one thread, without the time
that numba needs once to compile.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import compiler
import pdespec
from compiler.finite_volume.flow import flow as declared
from compiler.finite_volume.solve import FlowOptions, Request
from compiler.finite_volume.steady import steady
from compiler.finite_volume.stream import Stream
from compiler.geometry.shapes.piece import whole

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "examples" / "airfoil_euler.pde").read_text()
RESULTS = ROOT / "benchmarks" / "results" / "airfoil_solver.json"
GAMMA = 1.4


def problem_at(mach: float, degrees: float, radius: float = 40.0):
    """The example's flow about NACA 0012 itself at another Mach number and angle of attack."""
    text = TEXT.replace("M = 0.8", f"M = {mach}").replace("radius = 40", f"radius = {radius}")
    angle = math.radians(degrees)
    speeds = f"[M*sqrt(gamma)*cos({angle!r}), M*sqrt(gamma)*sin({angle!r})]"
    text = text.replace("[M*sqrt(gamma), 0]", speeds)
    return pdespec.parse(text)


def flow(mach: float, degrees: float, resolution: int, radius: float = 40.0, **options):
    """Lift and drag coefficients, positions of the shocks above and below, cycles, CPU seconds."""
    problem = problem_at(mach, degrees, radius)
    batch = compiler.instance(problem, {"d": torch.zeros(1, 7)}, dtype=torch.float64)
    begun = time.process_time()
    truth = compiler.solve(problem, batch, resolution, **options)
    seconds = time.process_time() - begun
    (sample,) = truth.samples
    lift, drag = coefficients(sample, mach, degrees)
    upper, lower = shocks(problem, batch, truth)
    return {
        "resolution": resolution,
        "cl": lift,
        "cd": drag,
        "upper shock": upper,
        "lower shock": lower,
        "cycles": sample.steps,
        "seconds": seconds,
    }


def coefficients(sample, mach: float, degrees: float) -> tuple[float, float]:
    x, y = (each / (GAMMA / 2 * mach**2) for each in sample.reactions.values())
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return y * c - x * s, x * c + y * s


def shocks(problem, batch, truth) -> tuple[float | None, float | None]:
    """Where the pressure coefficient rises through its sonic value, on both sides, in chords;
    None where it does not."""
    (piece,) = batch.geometry["Omega"].pieces(problem.boundaries["foil"])
    share = torch.linspace(0, 1, 4001, dtype=torch.float64)[1:-1]
    points, _ = whole(piece).chart(share[None, :, None])
    p, x = truth(points)[0, :, 3].numpy(), points[0, :, 0].numpy()
    sonic = (2 / (GAMMA + 1) * (1 + (GAMMA - 1) / 2 * mach_of(problem) ** 2)) ** (
        GAMMA / (GAMMA - 1)
    )
    nose = int(np.argmin(x))
    found: list[float | None] = []
    for side in (slice(0, nose), slice(nose, None)):
        ps, xs = p[side], x[side]
        order = np.argsort(xs)
        ps, xs = ps[order], xs[order]
        rises = np.flatnonzero((ps[:-1] < sonic) & (ps[1:] >= sonic) & (xs[:-1] > 0.05))
        if len(rises) == 0:
            found.append(None)
            continue
        k = rises[-1]
        t = (sonic - ps[k]) / (ps[k + 1] - ps[k])
        found.append(float(xs[k] + t * (xs[k + 1] - xs[k])))
    return found[0], found[1]


def mach_of(problem) -> float:
    return float(problem.constants["M"].value)


def richardson(values: list[float], ratios: list[float]) -> tuple[float, float]:
    """The limit and the order of three values on grids each finer than the one before."""
    coarse, middle, fine = values
    low, high = 0.1, 4.0
    for _ in range(80):  # (r12^p - 1)/(1 - r23^-p) = (coarse - middle)/(middle - fine)
        order = (low + high) / 2
        found = (ratios[0] ** order - 1) / (1 - ratios[1] ** -order)
        low, high = (order, high) if found < (coarse - middle) / (middle - fine) else (low, order)
    return fine - (middle - fine) / (ratios[1] ** order - 1), order


def circle(cells: int, mach: float = 0.2) -> float:
    """Root mean square error of the entropy about a circle, on a polar grid, `cells` round it."""
    angle = np.linspace(0, -2 * np.pi, cells + 1)
    radius = np.exp(np.linspace(0, np.log(30), cells // 2 + 1))[:, None]
    nodes = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    nodes[:, -1] = nodes[:, 0]
    stream = Stream(1.0, (mach * math.sqrt(GAMMA), 0.0), 1.0, GAMMA, (0.0, 0.0))
    level = steady(nodes, stream, settled=1e-8, cycles=250).level
    error = level.p[2:-2, 2:-2] / level.cells[0] ** GAMMA - 1
    near = slice(0, cells // 4)
    return float(np.sqrt((error**2 * level.volume)[near].sum() / level.volume[near].sum()))


def mass_balance(resolution: int = 32) -> float:
    """The net flux of mass through the outermost sides over the flux that enters there."""
    problem = problem_at(0.8, 1.25)
    batch = compiler.instance(problem, {"d": torch.zeros(1, 7)}, dtype=torch.float64)
    request = Request(problem, declared(problem), batch, FlowOptions(resolution))
    nodes, stream = request.setting(batch, 0)
    level = steady(nodes, stream, settled=1e-9, cycles=300).level
    out = (level.w[1:3, -2, 2:-2] * level.sj[:, -3, 2:-2]).sum(0)
    return float(abs(out.sum()) / -out[out < 0].sum())


def samples(count: int, resolution: int, finest: int) -> dict:
    """Sections of the design space: CPU seconds, and errors against a finer grid."""
    problem = pdespec.parse(TEXT)
    generator = torch.Generator().manual_seed(11)
    batch = compiler.sample(problem, count, generator=generator, dtype=torch.float64)
    seconds, forces, fields = [], [], []
    for k in range(count):
        own = batch.select([k])
        begun = time.process_time()
        truth = compiler.solve(problem, own, resolution)
        seconds.append(time.process_time() - begun)
        fine = compiler.solve(problem, own, finest)
        unit = GAMMA / 2 * 0.8**2
        pair = [np.array(list(each.samples[0].reactions.values())) / unit for each in (truth, fine)]
        forces.append((pair[1] - pair[0]).tolist() + pair[1].tolist())
        nodes = truth.samples[0].spaces.mesh.p
        inner = np.flatnonzero((np.abs(nodes[0] - 0.5) < 1.5) & (np.abs(nodes[1]) < 1))
        points = torch.from_numpy(nodes[:, inner].T[None].copy())
        a, b = truth(points)[0, :, 3], fine(points)[0, :, 3]
        fields.append(float((a - b).norm() / b.norm()))
    table = np.array(forces)
    return {
        "samples": count,
        "resolution": resolution,
        "finest": finest,
        "seconds": {"median": statistics.median(seconds), "max": max(seconds)},
        "drag error": {
            "median": float(np.median(np.abs(table[:, 0]))),
            "spread": float(table[:, 2].std()),
        },
        "lift error": {
            "median": float(np.median(np.abs(table[:, 1]))),
            "spread": float(table[:, 3].std()),
        },
        "pressure at nodes near the section, relative L2": statistics.fmean(fields),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="coarse grids only")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    flow(0.8, 1.25, 8)  # compiles
    sizes = [16, 32] if quick else [16, 24, 32, 48, 64, 96]
    found: dict = {"transonic": [flow(0.8, 1.25, n, settled=5e-6) for n in sizes]}
    print(*found["transonic"], sep="\n", flush=True)
    if not quick:
        rows = [row for row in found["transonic"] if row["resolution"] in (24, 48, 96)]
        found["limit"] = {
            name: richardson([row[name] for row in rows], [2.0, 2.0]) for name in ("cl", "cd")
        }
        print(found["limit"], flush=True)
    found["far field"] = [
        {"radius": r} | flow(0.8, 1.25, 16 if quick else 32, r) for r in (10, 20, 40, 100)
    ]
    print(*found["far field"], sep="\n", flush=True)
    found["alembert"] = [
        flow(0.3, 0.0, n, settled=5e-6) for n in (16, 32) + (() if quick else (64,))
    ]
    print(*found["alembert"], sep="\n", flush=True)
    errors = {n: circle(n) for n in ((32, 64) if quick else (32, 64, 128, 256))}
    pairs = zip(errors.values(), list(errors.values())[1:], strict=False)
    found["entropy about a circle"] = {
        "cells": list(errors),
        "errors": list(errors.values()),
        "orders": [math.log2(a / b) for a, b in pairs],
    }
    print(found["entropy about a circle"], flush=True)
    found["mass balance"] = mass_balance()
    found["design space"] = samples(2 if quick else 8, 32, 32 if quick else 64)
    print(found["mass balance"], found["design space"], flush=True)
    if not quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
