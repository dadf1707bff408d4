"""Draws problems with a known solution and solves them on two meshes, and on a third where these
leave a doubt: the error falls at the order of the elements, or the refusal says why.

    python -m tests.generated.solved --problems 100 --out solved.txt --seconds 600

`--out` keeps what was seen: a run that is started again goes on where it ended. `--summary FILE`
counts.
"""

from __future__ import annotations

import argparse
import collections
import random
import re
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sympy as sp
import torch

import compiler
import pdespec
from compiler.fem.errors import NoConvergence, Singular, SolverError
from pdespec.errors import ProblemError

SHAPES = {
    1: ["interval(0, 1)", "interval(-1, 2)"],
    2: [
        "rectangle([0, 0], [1, 1])",
        "rectangle([0, 0], [2, 1])",
        "disk(radius = 1)",
        "star(radius = 1 + cos(3*theta)/10)",
    ],
    3: ["box([0, 0, 0], [1, 1, 1])", "ball(radius = 1)"],
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
COUPLINGS = [
    ("dn(u) + u - v/2 = 0", "dn(v) + v - u/3 = 0"),
    ("u = 0", "dn(v) + v + u/4 = 0"),
    ("dn(u) + u = 0", "v = 0"),
    ("u = 0", "v = 0"),
]
MEETING = {
    1: [("interval(0, 1)", "interval(1, 3)")],
    2: [
        ("rectangle([0, 0], [1, 1])", "rectangle([1, 0], [3, 1])"),
        ("disk(radius = 1/2)", "rectangle([-1, -1], [1, 1]) - disk(radius = 1/2)"),
    ],
}
CONTACTS = [
    "a = b; 2*dn(a) = 3*dn(b)",
    "2*dn(a) = 3*(b - a); 2*dn(a) = 3*dn(b)",
    "3*dn(b) = b - a^3; 2*dn(a) = b - a",
]
TRACTIONS = ["w = 0", "s*n = 0", "s*n + w = 0", "dot(w, n) = 0; cross(n, s*n) = 0"]
KINDS = [
    *["equation"] * 4,
    *["energy"] * 3,
    *["time"] * 3,
    "sides",
    "sides",
    "system",
    "elastic",
    "flow",
    "periodic",
    "wave",
    "space",
    "third",
    "contact",
    "contact",
    "curl",
]
COARSE = {1: 8, 2: 6, 3: 2}
SLACK = 0.7  # by which an observed order may fall short on coarse meshes
ROUNDING = 1e-7
FAR = 0.3  # relative error, from which on another solution was found
SMALL = 0.02  # error that the finer mesh has at most
MOST_CELLS = {1: 64, 2: 24, 3: 8}  # along the longest side, of the third mesh


@dataclass(frozen=True)
class Drawn:
    """The text of a problem, and its solution by unknown component, as text in x, y, z and t."""

    kind: str
    text: str
    solution: dict[str, str]
    order: float = 3.0


def waves(rng: random.Random, space: str, whole: bool = False) -> str:
    """A sum of waves along each axis; `whole`: with period one."""
    found = []
    for k, x in enumerate(space):
        number = rng.randint(1, 3)
        inside = f"2*pi*{number}*{x}" if whole else f"{rng.randint(1, 3)}*{x}/2 + {k}"
        found.append(f"{rng.randint(1, 3)}*{rng.choice(('sin', 'cos'))}({inside})/3")
    product = "" if whole else f" + {rng.randint(0, 2)}*x*{space[-1]}/4"
    return " + ".join(found) + product


def drawn(seed: int) -> Drawn:
    rng = random.Random(seed)
    kind = rng.choice(KINDS)
    return globals()[f"_{kind}"](rng)


def _head(space: str, rest: str) -> str:
    return f"problem drawn\nspace {', '.join(space)}\n{rest}"


def _equation(rng: random.Random, dim: int = 0) -> Drawn:
    dim = dim or rng.choice((1, 2, 2))
    space = "xyz"[:dim]
    text = (
        f"domain D = {rng.choice(SHAPES[dim])}\nunknown u : scalar on D\n"
        f"k := {rng.choice(DIFFUSION)}\nin D: -div(k*grad(u)){rng.choice(REACTION)} = 0\n"
        f"on boundary(D): {rng.choice(CONDITIONS)}\n"
    )
    return Drawn("equation", _head(space, text), {"u": waves(rng, space)})


def _space(rng: random.Random) -> Drawn:
    return _equation(rng, 3)


def _sides(rng: random.Random) -> Drawn:
    """Another condition on one side than on the rest."""
    space = "xy"[: rng.choice((1, 2, 2))]
    shape = rng.choice(SHAPES[len(space)][:2])
    low = -1 if "-1" in shape else 0
    one, other = rng.sample(CONDITIONS, 2)
    text = (
        f"domain D = {shape}\nboundary low = side(D, x = {low})\nunknown u : scalar on D\n"
        f"k := {rng.choice(DIFFUSION)}\nin D: -div(k*grad(u)){rng.choice(REACTION)} = 0\n"
        f"on low: {one}\non rest(D, low): {other}\n"
    )
    return Drawn("sides", _head(space, text), {"u": waves(rng, space)})


def _energy(rng: random.Random) -> Drawn:
    dim = rng.choice((1, 2, 2))
    space = "xy"[:dim]
    density = rng.choice([*ENERGY, *([PLATE] if dim == 2 else [])])
    held = rng.choice(("", "u = 0"))
    slope = rng.choice(SLOPES) if held and "lap" in density else ""
    condition = f"on boundary(D): {held}{slope}\n" if held else ""
    text = (
        f"domain D = {rng.choice(SHAPES[dim])}\nunknown u : scalar on D\n"
        f"minimize integral({density}, D)\n{condition}"
    )
    return Drawn("energy", _head(space, text), {"u": waves(rng, space)})


def _time(rng: random.Random) -> Drawn:
    dim = rng.choice((1, 2, 2))
    space = "xy"[:dim]
    text = (
        f"time t in [0, 0.25]\ndomain D = {rng.choice(SHAPES[dim])}\nunknown u : scalar on D\n"
        f"k := {rng.choice(DIFFUSION)}\n"
        f"in D: dt(u) -div(k*grad(u)){rng.choice(REACTION)} = 0\n"
        f"on boundary(D): {rng.choice(CONDITIONS)}\nat t = 0: u = 0\n"
    )
    return Drawn("time", _head(space, text), {"u": f"({waves(rng, space)})*(1 + t^2)"})


def _wave(rng: random.Random) -> Drawn:
    dim = rng.choice((1, 2))
    space = "xy"[:dim]
    text = (
        f"time t in [0, 0.25]\ndomain D = {rng.choice(SHAPES[dim])}\nunknown u : scalar on D\n"
        f"k := {rng.choice(DIFFUSION[:2])}\n"
        f"in D: dtt(u) -div(k*grad(u)){rng.choice(REACTION[:3])} = 0\n"
        f"on boundary(D): {rng.choice(CONDITIONS)}\nat t = 0: u = 0; dt(u) = 0\n"
    )
    return Drawn("wave", _head(space, text), {"u": f"({waves(rng, space)})*(1 + t + t^2)"})


def _periodic(rng: random.Random) -> Drawn:
    space = "xy"[: rng.choice((1, 2))]
    every = rng.random() < 0.5 or len(space) == 1
    shape = "interval(0, 1)" if len(space) == 1 else "rectangle([0, 0], [1, 1])"
    text = (
        f"periodic {', '.join(space) if every else 'x'}\n"
        f"domain D = {shape}\nunknown u : scalar on D\nk := {rng.choice(DIFFUSION[2:])}\n"
        f"in D: -div(k*grad(u)) + u{rng.choice(REACTION[2:5])} = 0\n"
    )
    if not every:
        text += f"on boundary(D): {rng.choice(CONDITIONS)}\n"
    return Drawn("periodic", _head(space, text), {"u": waves(rng, space, whole=True)}, 2.7)


def _system(rng: random.Random) -> Drawn:
    dim = rng.choice((1, 2))
    space = "xy"[:dim]
    one, other = rng.choice(COUPLINGS)
    text = (
        f"domain D = {rng.choice(SHAPES[dim])}\nunknown u : scalar on D, v : scalar on D\n"
        f"in D: -lap(u){rng.choice((' + u', ' + u*v', ' + u - v'))} = 0\n"
        f"in D: -lap(v){rng.choice((' + v', ' + u', ' + v*dx(u)/4 + v'))} = 0\n"
        f"on boundary(D): {one}; {other}\n"
    )
    return Drawn("system", _head(space, text), {"u": waves(rng, space), "v": waves(rng, space)})


def _elastic(rng: random.Random) -> Drawn:
    condition = rng.choice(TRACTIONS)
    text = (
        f"domain D = {rng.choice(SHAPES[2])}\nunknown w : vector on D\n"
        f"s := 2*sym(grad(w)) + {rng.randint(1, 3)}*tr(grad(w))*I\nin D: -div(s) + w = [0, 0]\n"
        f"on boundary(D): {condition}\n"
    )
    if "dot" in condition:  # along a side and across it: at corners both act
        text = text.replace(text.split("domain D = ")[1].split("\n")[0], rng.choice(SHAPES[2][2:]))
    return Drawn("elastic", _head("xy", text), {"w.x": waves(rng, "xy"), "w.y": waves(rng, "xy")})


def _flow(rng: random.Random) -> Drawn:
    """A flow without divergence."""
    a, b = rng.randint(1, 2), rng.randint(1, 2)
    advected = rng.choice(("", " + advect(w, w)"))
    condition = rng.choice(("w = 0", "s*n = 0"))
    text = (
        f"domain D = {rng.choice(SHAPES[2])}\nunknown w : vector on D, p : scalar on D\n"
        f"s := 2*sym(grad(w)) - p*I\nin D: -div(s) + w{advected} = [0, 0]\nin D: div(w) = 0\n"
        f"on boundary(D): {condition}\n"
    )
    if condition == "w = 0":
        text += "require integral(p, D) = 0\n"
    flow = {
        "w.x": f"sin({a}*x + 1)*cos({b}*y)*{b}",
        "w.y": f"-cos({a}*x + 1)*sin({b}*y)*{a}",
        "p": waves(rng, "xy"),
    }
    return Drawn("flow", _head("xy", text), flow, 3.0 if condition == "w = 0" else 2.0)


def _third(rng: random.Random) -> Drawn:
    """Fourth order, simply supported or clamped, as an equation."""
    dim = rng.choice((1, 2))
    space = "xy"[:dim]
    condition = rng.choice(("u = 0; lap(u) = 0", "u = 0; dn(u) = 0"))
    text = (
        f"domain D = {rng.choice(SHAPES[dim])}\nunknown u : scalar on D\n"
        f"in D: lap(lap(u)) + u = 0\non boundary(D): {condition}\n"
    )
    return Drawn("fourth", _head(space, text), {"u": waves(rng, space)})


def _contact(rng: random.Random) -> Drawn:
    """Two unknowns on two domains, and what is said where they meet."""
    dim = rng.choice((1, 2))
    space = "xy"[:dim]
    one, other = rng.choice(MEETING[dim])
    timed = rng.random() < 0.3
    rate = [f"dt({u}) - " if timed else "-" for u in "ab"]
    text = (
        f"{'time t in [0, 0.25]' if timed else ''}\ndomain A = {one}, B = {other}\n"
        "boundary meet = interface(A, B)\nunknown a : scalar on A, b : scalar on B\n"
        f"in A: {rate[0]}div(2*grad(a)){rng.choice(REACTION[:3]).replace('u', 'a')} = 0\n"
        f"in B: {rate[1]}div(3*grad(b)) + b = 0\n"
    )
    if "disk" not in one:
        text += f"on rest(A, meet): {rng.choice(('a = 0', '2*dn(a) + a = 0'))}\n"
    text += f"on rest(B, meet): {rng.choice(('b = 0', '3*dn(b) + b = 0'))}\n"
    text += f"on meet: {rng.choice(CONTACTS)}\n"
    text += "at t = 0: a = 0; b = 0\n" if timed else ""
    growth = "*(1 + t^2)" if timed else ""
    solution = {name: f"({waves(rng, space)}){growth}" for name in "ab"}
    return Drawn("contact", _head(space, text), solution, 2.7 if "disk" not in one else 2.0)


def _curl(rng: random.Random) -> Drawn:
    """Maxwell's equations of one frequency, in the plane."""
    text = (
        f"domain D = {rng.choice(SHAPES[2])}\nunknown w : vector on D\n"
        f"in D: curl({rng.choice(('1', '(2 + x)'))}*curl(w)) + {rng.choice(('1', '3', '-2'))}*w"
        " = [0, 0]\n"
        f"on boundary(D): {rng.choice(('cross(n, w) = 0', 'curl(w) = 0'))}\n"
    )
    return Drawn("curl", _head("xy", text), {"w.x": waves(rng, "xy"), "w.y": waves(rng, "xy")}, 2.0)


def outcome(seed: int) -> str:
    """`KIND solved ORDER`, `KIND warned ORDER` where the order falls short and the solver said that
    it is in doubt, `KIND elsewhere ORDER` where it found another solution, or none, and this one
    where it started there, `KIND refused: REASON`, or `KIND WRONG ..`.
    """
    chosen = drawn(seed)
    try:
        problem = pdespec.parse(chosen.text)
        names = {str(v): v for v in problem.variables}
        exact = {
            component: sp.sympify(text.replace("^", "**"), locals=names)
            for component, text in chosen.solution.items()
        }
        whole = {
            name: [exact[c] for c in unknown.components]
            if len(unknown.components) > 1
            else exact[unknown.components[0]]
            for name, unknown in problem.unknowns.items()
        }
        made = pdespec.manufacture(problem, whole)
        known = [exact[component] for component in problem.components]
        if "flow" in chosen.kind and problem.requirements:
            known = known[:-1]  # the pressure up to the mean that was required
        start = None
        try:
            errors, warned = ladder(made, known, chosen.order, None)
        except (NoConvergence, Singular):
            errors, warned = [np.inf], False
        if errors[-1] > FAR and problem.time is None and len(problem.domains) == 1:
            start = dict(zip(problem.components, known, strict=False))
            start = {name: value for name, value in start.items() if name in problem.unknowns}
            errors, warned = ladder(made, known, chosen.order, start)
    except (ProblemError, SolverError) as refusal:
        return f"{chosen.kind} refused: {' '.join(str(refusal).split())[:200]}"
    order = float(np.log2(errors[-2] / errors[-1])) if errors[-1] > 0 else np.inf
    found = f"order {order:.2f} errors {' '.join(f'{each:.1e}' for each in errors)}"
    good = "solved" if start is None else "elsewhere"
    verdict = good if fine(errors, chosen.order) else "warned" if warned else "WRONG"
    return f"{chosen.kind} {verdict} {found}"


def ladder(made, known: list[sp.Expr], order: float, start) -> tuple[list[float], bool]:
    """Errors on two meshes, on three where these leave a doubt; whether the solver is in doubt."""
    dim = len(made.coordinates)
    errors, resolution, warned = [], COARSE[dim], False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while len(errors) < 3:
            truth = compiler.solve(made, compiler.instance(made), resolution, start=start)
            errors.append(relative_error(truth, known, made.variables))
            warned |= bool(truth.warnings)
            if len(errors) == 2 and (fine(errors, order) or 2 * resolution > MOST_CELLS[dim]):
                break
            resolution *= 2
    return errors, warned


def fine(errors: list[float], order: float) -> bool:
    """Whether the last two errors fall as they should, and are small."""
    if errors[-1] < ROUNDING:
        return True
    return np.log2(errors[-2] / errors[-1]) > order - SLACK and errors[-1] < SMALL


def relative_error(truth, exact: list[sp.Expr], variables) -> float:
    """In L2 at the quadrature points, at the last time; of the worst of the components given."""
    sample = truth.samples[0]
    place = next(p for p in sample.spaces.places.values() if p.normals is None)
    points, weights = place.points.reshape(len(place.points), -1).T, place.weights.ravel()
    if sample.times is not None:
        points = np.column_stack((points, np.full(len(points), sample.times[-1])))
    found = truth(torch.from_numpy(np.ascontiguousarray(points))[None])[0].numpy()
    worst = 0.0
    for k, expression in enumerate(exact):
        value = found[:, k]
        true = sp.lambdify(variables, expression, "numpy")(*points.T) + 0 * value
        there = ~np.isnan(value)
        assert there.any()
        gap = np.sum((weights * (value - true) ** 2)[there])
        worst = max(worst, float(np.sqrt(gap / np.sum((weights * true**2)[there]))))
    return worst


def counted(lines: list[str]) -> str:
    """How many were solved, refused and wrong, by kind, and the reasons of refusals."""
    verdicts: collections.Counter[tuple[str, str]] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    for line in lines:
        _, kind, verdict, *rest = line.split(maxsplit=3)
        verdicts[kind, verdict.rstrip(":")] += 1
        if verdict.startswith("refused"):
            reasons[re.sub(r"\d[\d.]*(e[-+]?\d+)?", "#", " ".join(rest))[:150]] += 1
    total = collections.Counter()
    for (_, verdict), number in verdicts.items():
        total[verdict] += number
    table = [f"{len(lines)} tried: " + ", ".join(f"{n} {v}" for v, n in sorted(total.items()))]
    for kind in sorted({kind for kind, _ in verdicts}):
        each = ", ".join(f"{n} {v}" for (k, v), n in sorted(verdicts.items()) if k == kind)
        table.append(f"  {kind}: {each}")
    return "\n".join([*table, *(f"  {n} x {reason}" for reason, n in reasons.most_common())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--summary", type=Path)
    chosen = parser.parse_args()
    if chosen.summary:
        print(counted(chosen.summary.read_text().splitlines()))
        return
    lines = chosen.out.read_text().splitlines() if chosen.out and chosen.out.exists() else []
    done, begun = {int(line.split()[0]) for line in lines}, time.perf_counter()
    for seed in range(chosen.start, chosen.start + chosen.problems):
        if seed in done:
            continue
        if time.perf_counter() - begun > chosen.seconds:
            break
        lines.append(f"{seed} {outcome(seed)}")
        print(lines[-1], flush=True)
        if chosen.out:
            chosen.out.write_text("\n".join(lines) + "\n")
    print(counted(lines))


if __name__ == "__main__":
    main()
