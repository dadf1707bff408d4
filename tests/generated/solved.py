"""Draws problems with a known solution and solves them on two meshes: the error falls at the order
of the elements, or the refusal says why.

    python -m tests.generated.solved --problems 100 --start 0
"""

from __future__ import annotations

import argparse
import collections
import random
import warnings

import numpy as np
import sympy as sp
import torch

import compiler
import pdespec
from compiler.fem.errors import SolverError
from pdespec.errors import ProblemError

SHAPES = {
    1: ["interval(0, 1)", "interval(-1, 2)"],
    2: [
        "rectangle([0, 0], [1, 1])",
        "rectangle([0, 0], [2, 1])",
        "disk(radius = 1)",
        "star(radius = 1 + cos(3*theta)/10)",
    ],
}
DIFFUSION = ["1", "2 + x", "1 + u^2", "2 + sin(u)", "1 + dot(grad(u), grad(u))/4"]
REACTION = ["", " + u", " + u^3", " + dx(u)/2", " + u*dx(u)", " + x*u"]
ENERGY = [
    "dot(grad(u), grad(u))/2 + u^2/2",
    "dot(grad(u), grad(u))/2 + u^4/4 + u^2/2",
    "sqrt(1 + dot(grad(u), grad(u))) + u^2/2",
    "lap(u)^2/2 + u^2/2",
    "lap(u)^2/2 + dot(grad(u), grad(u))/2 + u^2/2",
]
PLATE = "(lap(u)^2 - 1.4*(dxx(u)*dyy(u) - dxy(u)^2))/2 + u^2/2"
CONDITIONS = ["u = 0", "k*dn(u) = 0", "k*dn(u) + u = 0"]
SLOPES = ["", "; dn(u) = 0"]
COARSE = {1: 8, 2: 6}
SLACK = 0.7  # by which an observed order may fall short on coarse meshes
ROUNDING = 1e-7


def drawn(seed: int) -> tuple[str, str]:
    """The text of a problem, and its solution as an expression of x, y and t."""
    rng = random.Random(seed)
    dim = rng.choice((1, 2, 2))
    shape = rng.choice(SHAPES[dim])
    space = "xy"[:dim]
    waves = " + ".join(
        f"{rng.randint(1, 3)}*{rng.choice(('sin', 'cos'))}({rng.randint(1, 3)}*{x}/2 + {k})/3"
        for k, x in enumerate(space)
    )
    solution = f"{waves} + {rng.randint(0, 2)}*x*{space[-1]}/4"
    head = f"problem drawn\nspace {', '.join(space)}\n"
    kind = rng.choice(("equation", "equation", "energy", "time"))
    time = kind == "time"
    domain = f"domain D = {shape}\nunknown u : scalar on D\n"
    if kind == "energy":
        density = rng.choice([*ENERGY, *([PLATE] if dim == 2 else [])])
        held = rng.choice(("", "u = 0"))
        slope = rng.choice(SLOPES) if held and "lap" in density else ""
        condition = f"on boundary(D): {held}{slope}\n" if held else ""
        return f"{head}{domain}minimize integral({density}, D)\n{condition}", solution
    diffusion = rng.choice(DIFFUSION)
    equation = f"-div(k*grad(u)){rng.choice(REACTION)} = 0"
    start = "time t in [0, 0.25]\n" if time else ""
    if time:
        equation = f"dt(u) {equation}"
        solution = f"({solution})*(1 + t^2)"
    condition = CONDITIONS[0] if time else rng.choice(CONDITIONS)
    text = f"{head}{start}{domain}k := {diffusion}\nin D: {equation}\non boundary(D): {condition}\n"
    return text + ("at t = 0: u = 0\n" if time else ""), solution


def outcome(seed: int) -> str:
    """`solved ORDER`, `refused: REASON` or `WRONG ..`."""
    text, solution = drawn(seed)
    try:
        problem = pdespec.parse(text)
        names = {str(v): v for v in problem.variables}
        exact = sp.sympify(solution.replace("^", "**"), locals=names)
        made = pdespec.manufacture(problem, {"u": exact})
        dim = len(problem.coordinates)
        errors = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for resolution in (COARSE[dim], 2 * COARSE[dim]):
                truth = compiler.solve(made, compiler.instance(made), resolution)
                errors.append(relative_error(truth, exact, problem.variables))
    except (ProblemError, SolverError) as refusal:
        return f"refused: {' '.join(str(refusal).split())[:160]}"
    order = float(np.log2(errors[0] / errors[1])) if errors[1] > 0 else np.inf
    found = f"order {order:.2f} errors {errors[0]:.1e} {errors[1]:.1e}"
    fine = errors[1] < ROUNDING or (order > 3 - SLACK and errors[1] < 0.02)
    return f"solved {found}" if fine else f"WRONG {found}"


def relative_error(truth, exact: sp.Expr, variables) -> float:
    """In L2 at the quadrature points, at the last time."""
    sample = truth.samples[0]
    place = next(p for p in sample.spaces.places.values() if p.normals is None)
    points, weights = place.points.reshape(len(place.points), -1).T, place.weights.ravel()
    if sample.times is not None:
        points = np.column_stack((points, np.full(len(points), sample.times[-1])))
    value = truth(torch.from_numpy(np.ascontiguousarray(points))[None])[0, :, 0].numpy()
    true = sp.lambdify(variables, exact, "numpy")(*points.T) + 0 * value
    return float(np.sqrt(np.sum(weights * (value - true) ** 2) / np.sum(weights * true**2)))


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
