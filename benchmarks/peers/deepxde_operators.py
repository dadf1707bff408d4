"""DeepXDE's physics-informed DeepONet beside our operator, on the families of poisson_family.pde
and advection_diffusion_family.pde.

    python -m venv peers && peers/bin/pip install deepxde==1.15.0 torch==2.13.0
    export OMP_NUM_THREADS=1
    peers/bin/python benchmarks/peers/deepxde_operators.py --theirs --out runs/peers
    python benchmarks/peers/deepxde_operators.py --out runs/peers

Networks, points, functions and optimisers are those of DeepXDE's demonstrations "Poisson equation
in 1D" (L-BFGS) and "advection equation, aligned points" (Adam, features of the circle), here with a
diffusion of 0.005; derivatives are those of its zero coordinate shift, which is several times
faster. Both train for at most `--seconds` of one processor, ours by a preset with its own number of
steps. The error is the relative L2 error at 100 points (of 100 x 100 in time) of 64
functions that neither has seen, drawn by DeepXDE's laws; the truth is a closed form (the second
antiderivative; a Fourier series).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

FAMILIES = ("poisson", "advection_diffusion")
COUNT, NODES, KAPPA = 64, 100, 0.005
DEGREE = 4  # coefficients of a load
SENSORS = {"poisson": 10, "advection_diffusion": 50}
Array = np.ndarray


def held_out(family: str) -> Array:
    """The functions: coefficients of powers of x; values at NODES points of the ring.
    Shapes: "64 k"."""
    chance = np.random.default_rng(2024)
    if family == "poisson":
        return chance.uniform(-1, 1, (COUNT, DEGREE))
    x = np.linspace(0, 1, NODES, endpoint=False)
    kernel = np.exp(-2 * np.sin(np.pi * (x[:, None] - x)) ** 2)
    factor = np.linalg.cholesky(kernel + 1e-10 * np.eye(NODES))
    return chance.standard_normal((COUNT, NODES)) @ factor.T


def truth(family: str, functions: Array) -> tuple[Array, Array]:
    """Points and the solution there. Shapes: "n D", "64 n"."""
    x = np.linspace(0, 1, NODES, endpoint=family == "poisson")
    if family == "poisson":
        powers = np.arange(DEGREE)
        weights = functions / ((powers + 1) * (powers + 2))
        return x[:, None], weights @ (x - x ** (powers[:, None] + 2))
    t = np.linspace(0, 1, NODES)
    wave = 2 * np.pi * np.fft.rfftfreq(NODES, 1 / NODES)
    decay = np.exp(-(1j * wave + KAPPA * wave**2) * t[:, None])  # "t k"
    values = np.fft.irfft(np.fft.rfft(functions)[:, None] * decay, NODES)  # "64 t x"
    points = np.stack(np.meshgrid(x, t), -1).reshape(-1, 2)
    return points, values.reshape(len(functions), -1)


def sensed(family: str, functions: Array, at: Array) -> Array:
    """The functions at points of space. Shapes: at "m" -> "64 m"."""
    if family == "poisson":
        return functions @ at ** np.arange(DEGREE)[:, None]
    wave = 2 * np.pi * np.fft.rfftfreq(NODES, 1 / NODES)
    modes = np.fft.rfft(functions) / NODES
    modes[:, 1:-1] *= 2
    return (modes @ np.exp(1j * wave[:, None] * at)).real


def error(found: Array, expected: Array) -> dict[str, float]:
    each = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    return {"mean": float(each.mean()), "median": float(np.median(each)), "max": float(each.max())}


def theirs(family: str, seconds: float, seed: int) -> dict[str, Any]:
    os.environ["DDE_BACKEND"] = "pytorch"
    import deepxde as dde
    import torch

    torch.set_num_threads(1)
    dde.config.set_random_seed(seed)
    began = time.process_time()

    class Until(dde.callbacks.Callback):
        def on_epoch_end(self) -> None:
            self.model.stop_training |= time.process_time() - began > seconds

    sensors, ring = SENSORS[family], family != "poisson"
    line = dde.geometry.Interval(0, 1)
    if ring:
        domain = dde.geometry.GeometryXTime(line, dde.geometry.TimeDomain(0, 1))

        def carried(x: Any, y: Any, v: Any) -> Any:
            slopes = dde.zcs.LazyGrad(x, y)
            rate, slope, bend = map(slopes.compute, ((0, 1), (1, 0), (2, 0)))
            return rate + slope - KAPPA * bend

        start = dde.icbc.IC(domain, lambda x, v: v, lambda _, initial: initial)
        pde = dde.data.TimePDE(domain, carried, start, num_domain=250, num_initial=50)
        space = dde.data.GRF(kernel="ExpSineSquared", length_scale=1)
        at = np.linspace(0, 1, sensors)[:, None]
        data = dde.zcs.PDEOperatorCartesianProd(
            pde, space, at, 1000, function_variables=[0], batch_size=32
        )
        hidden, width, inputs = [128, 128], 128, 5
    else:
        ends = dde.icbc.DirichletBC(line, lambda _: 0, lambda _, boundary: boundary)
        pde = dde.data.PDE(
            line,
            lambda x, y, f: -dde.zcs.LazyGrad(x, y).compute((2,)) - f,
            ends,
            num_domain=100,
            num_boundary=2,
        )
        at = line.uniform_points(sensors, boundary=True)
        space = dde.data.PowerSeries(N=DEGREE)
        data = dde.zcs.PDEOperatorCartesianProd(pde, space, at, num_function=100)
        hidden, width, inputs = [32], 32, 1
    net = dde.nn.DeepONetCartesianProd(
        [sensors, *hidden, width], [inputs, *hidden, width], "tanh", "Glorot normal"
    )
    if ring:

        def circle(points: Any) -> Any:
            angle, t = 2 * np.pi * points[:, :1], points[:, 1:]
            waves = [f(k * angle) for k in (1, 2) for f in (torch.cos, torch.sin)]
            return torch.cat([*waves, t], 1)

        net.apply_feature_transform(circle)
    model = dde.zcs.Model(data, net)
    if ring:
        model.compile("adam", lr=0.0005)
        model.train(iterations=10**6, display_every=10**6, callbacks=[Until()])
    else:
        dde.optimizers.set_LBFGS_options(maxiter=1000)
        dde.optimizers.LBFGS_options["iter_per_step"] = 10  # between which the time is looked at
        last = float("inf")
        while time.process_time() - began < seconds:
            model.compile("L-BFGS")
            _, state = model.train(display_every=1000, callbacks=[Until()])
            if not state.best_loss_train < 0.999 * last:
                break  # its line search finds no further step
            last = state.best_loss_train
    spent = time.process_time() - began
    functions = held_out(family)
    points, expected = truth(family, functions)
    values = sensed(family, functions, at[:, 0]).astype(np.float32)
    found = model.predict((values, points.astype(np.float32)))
    return {"seconds": spent, "steps": int(model.train_state.step), **error(found, expected)}


def ours(family: str, seconds: float, seed: int, name: str, out: Path) -> dict[str, Any]:
    from dataclasses import replace

    import torch

    import compiler
    import pdespec
    from compiler.training.presets import preset

    torch.set_num_threads(1)
    problem = pdespec.load(Path(__file__).parent / f"{family}_family.pde")
    chosen = preset(name)
    options = replace(chosen.options, seed=seed, validation=0, references=0)
    torch.manual_seed(seed)
    began = time.process_time()
    model = compiler.build(problem, chosen.operator, **chosen.model)
    compiler.train(problem, model, options, out / f"{family}-{name}-{seed}", resume=True)
    spent = time.process_time() - began
    if spent > seconds:
        raise SystemExit(f"{family}: {spent:.0f} s are more than {seconds:.0f} s")
    functions = held_out(family)
    points, expected = truth(family, functions)
    operator = compiler.load(out / f"{family}-{name}-{seed}")
    found = []
    for row in functions:
        if family == "poisson":
            answer = operator(params={f"a{k}": float(value) for k, value in enumerate(row)})
        else:

            def state(x: Array, row: Array = row) -> Array:
                return sensed(family, row[None], np.asarray(x)[:, 0])[0]

            answer = operator(inputs={"v": state})
        found.append(np.asarray(answer.u(points)).reshape(-1))
    return {
        "preset": name,
        "seconds": spent,
        "steps": options.steps,
        **error(np.stack(found), expected),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--theirs", action="store_true")
    parser.add_argument("--family", nargs="*", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--seconds", type=float, default=300.0, help="of one processor")
    parser.add_argument("--preset", default="small", help="of ours")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/peers"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "deepxde_operators.jsonl").open("a") as file:
        for family in given.family:
            for seed in given.seeds:
                who = "deepxde 1.15.0" if given.theirs else "pdespec"
                found = (
                    theirs(family, given.seconds, seed)
                    if given.theirs
                    else ours(family, given.seconds, seed, given.preset, given.out)
                )
                row = {"family": family, "library": who, "seed": seed, **found}
                print(row, flush=True)
                file.write(json.dumps(row) + "\n")
                file.flush()


if __name__ == "__main__":
    main()
