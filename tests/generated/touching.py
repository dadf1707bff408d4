"""Draws two bodies that touch, each with an unknown of its own, equal values and equal fluxes where
they meet, and solves them on two meshes: the error of either falls at the order of the elements.

    python -m tests.generated.touching --problems 100 --start 0

The solution is made: w in the first body and, k and l being the conductivities, w_0 + k/l (w - w_0)
in the second, where w_0 is w where they meet; what is missing in the equations is worked out by
SymPy. Where the bodies meet along a curve the meshes are three times as fine, not twice.
"""

from __future__ import annotations

import argparse
import collections
import random
import warnings
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch

import compiler
import pdespec
from compiler.fem.errors import SolverError
from pdespec.errors import ProblemError

x, y, t = sp.symbols("x y t", real=True)
NAMES = [("a", "b"), ("T", "theta"), ("u_1", "u_2"), ("lambda", "is")]
SLACK = 0.7  # by which an observed order may fall short on coarse meshes
ROUNDING = 1e-7


@dataclass(frozen=True)
class Pair:
    """A problem as text, its solutions by name, and random points of either body. Shapes: points
    "n d"."""

    text: str
    solutions: dict[str, sp.Expr]
    points: tuple[np.ndarray, np.ndarray]
    time: float | None
    curved: bool


def drawn(seed: int) -> Pair:
    """Two bodies."""
    rng = random.Random(seed)
    shape = rng.choice(["rods", "slabs", "slabs", "inclusion"])
    own, other = rng.choice(NAMES)
    moving = rng.random() < 0.3
    k = sp.Integer(rng.choice([1, 2, 5]))
    m = sp.Integer(rng.choice([1, 3, 20]))
    random_ = np.random.default_rng(seed)
    if shape == "inclusion":
        radius = sp.Rational(rng.choice([3, 4, 5]), 10)
        first, second = f"disk(radius = {radius})", "rectangle([-1, -1], [1, 1]) - A"
        shift = (1 + sp.sin(rng.randint(1, 2) * x) * y / 4) * (x**2 + y**2 - radius**2)
        one = 1 + shift / k
        two = 1 + shift / m
        points = random_.uniform(-0.95, 0.95, (400, 2))
        within = (points**2).sum(1) < float(radius) ** 2
        places = points[within][:40], points[~within][:40]
    else:
        at = sp.Rational(rng.choice([1, 2, 3]), 4)
        flat = shape == "slabs"
        across = y if flat else sp.S.Zero
        wave = sp.sin(rng.randint(1, 3) * x + across) + sp.cos(rng.randint(1, 2) * across) * x / 3
        one, meets = wave, wave.subs(x, at)
        if rng.random() < 0.3:
            k = 1 + sp.Symbol("W") ** 2  # of the solution itself
        ratio = k.subs(sp.Symbol("W"), meets) / m
        two = meets + ratio * (wave - meets)
        low, high = ("[0, 0]", "[1, 1]") if flat else ("0", "1")
        ends = (f"[{at}, 1]", f"[{at}, 0]") if flat else (str(at), str(at))
        word = "rectangle" if flat else "interval"
        first, second = f"{word}({low}, {ends[0]})", f"{word}({ends[1]}, {high})"
        dim = 2 if flat else 1
        points = random_.uniform(0.02, 0.98, (40, dim))
        scale = np.array([float(at)] + [1.0] * (dim - 1))
        rest = np.array([1 - float(at)] + [1.0] * (dim - 1))
        places = points * scale, points * rest + np.array([float(at)] + [0.0] * (dim - 1))
    if moving:
        if k.free_symbols:
            k = sp.Integer(2)
            ratio = k / m
            two = meets + ratio * (wave - meets)
        one, two = (each * (1 + t) for each in (one, two))
    return Pair(
        _text(rng, (first, second), (own, other), (one, two), (k, m), moving, shape == "rods"),
        {own: one, other: two},
        places,
        0.25 if moving else None,
        shape == "inclusion",
    )


def _text(
    rng: random.Random,
    shapes: tuple[str, str],
    names: tuple[str, str],
    solutions: tuple[sp.Expr, sp.Expr],
    conducts: tuple[sp.Expr, sp.Expr],
    moving: bool,
    line: bool,
) -> str:
    space = (x,) if line else (x, y)
    lines = ["problem touching", f"space {', '.join(map(str, space))}"]
    lines += ["time t in [0, 1/4]"] * moving
    lines += [f"domain A = {shapes[0]}", f"domain B = {shapes[1]}", "boundary M = interface(A, B)"]
    lines += ["boundary P = rest(A, M)"] * ("disk" not in shapes[0]) + ["boundary Q = rest(B, M)"]
    lines += [f"unknown {name} : scalar on {body}" for name, body in zip(names, "AB", strict=True)]
    held = []
    for name, body, exact, k in zip(names, "AB", solutions, conducts, strict=True):
        conduct = _written(k.subs(sp.Symbol("W"), sp.Symbol(name)))
        real = k.subs(sp.Symbol("W"), exact)
        c = rng.choice([0, 1, 3])
        missing = c * exact - sum(sp.diff(real * sp.diff(exact, z), z) for z in space)
        missing += sp.diff(exact, t) if moving else 0
        written = f"{f'dt({name}) ' * moving}-div(({conduct})*grad({name}))"
        lines.append(f"in {body}: {written} + {c}*{name} = {_written(missing)}")
        held.append((name, conduct, exact))
    (one, k, u), (two, m, v) = held
    fluxes = rng.choice(
        [
            f"({k})*dn({one}) = ({m})*dn({two})",
            f"dot(({k})*grad({one}) - ({m})*grad({two}), n) = 0",
            f"({m})*dn({two}) - ({k})*dn({one}) = 0",
        ]
    )
    values = rng.choice([f"{one} = {two}", f"{two} - {one} = 0", f"2*{one} = 2*{two}"])
    lines += [f"on M: {'; '.join(rng.sample([values, fluxes], 2))}"]
    if "disk" not in shapes[0]:
        lines.append(f"on P: {one} = {_written(u)}")
    lines.append(f"on Q: {two} = {_written(v)}")
    if moving:
        lines += [f"at t = 0: {one} = {_written(u.subs(t, 0))}"]
        lines += [f"at t = 0: {two} = {_written(v.subs(t, 0))}"]
    return "\n".join(lines) + "\n"


def _written(value: sp.Expr) -> str:
    return str(sp.sympify(value)).replace("**", "^")


def outcome(seed: int) -> str:
    """`solved ORDERS`, `refused: REASON` or `WRONG ..`."""
    pair = drawn(seed)
    meshes = (8, 24) if pair.curved else (8, 16)
    try:
        problem = pdespec.parse(pair.text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [errors(pair, problem, resolution) for resolution in meshes]
    except (ProblemError, SolverError) as refusal:
        return f"refused: {' '.join(str(refusal).split())[:200]}"
    told = []
    fine = True
    for coarse, better in zip(*found, strict=True):
        order = np.log(coarse / max(better, 1e-16)) / np.log(meshes[1] / meshes[0])
        fine &= better < ROUNDING or (order > 3 - SLACK and better < 0.02)
        told.append(f"order {order:.2f} error {better:.1e}")
    return f"{'solved' if fine else 'WRONG'} {', '.join(told)}"


def errors(pair: Pair, problem: pdespec.Problem, resolution: int) -> list[float]:
    """Root mean square errors of the unknowns over points of their bodies, relative."""
    truth = compiler.solve(problem, compiler.instance(problem), resolution)
    found = []
    for k, (exact, points) in enumerate(zip(pair.solutions.values(), pair.points, strict=True)):
        at = points
        if pair.time is not None:
            at = np.column_stack((points, np.full(len(points), pair.time)))
        value = truth(torch.from_numpy(np.ascontiguousarray(at))[None])[0, :, k].numpy()
        variables = [x, y][: points.shape[1]] + ([t] if pair.time is not None else [])
        true = sp.lambdify(variables, exact, "numpy")(*at.T) + 0 * at[:, 0]
        found.append(float(np.sqrt(np.mean((value - true) ** 2) / np.mean(true**2))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--start", type=int, default=0)
    chosen = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    for seed in range(chosen.start, chosen.start + chosen.problems):
        found = outcome(seed)
        counts[found.partition(" ")[0].rstrip(":")] += 1
        print(seed, found, flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
