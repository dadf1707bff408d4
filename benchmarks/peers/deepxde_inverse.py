"""DeepXDE on the permeability of benchmarks/inverse.py: the same noisy pressures, as many seconds.

    python -m venv peers && peers/bin/pip install deepxde==1.15.0 torch==2.13.0
    python benchmarks/peers/deepxde_inverse.py --write runs/peers             # in ours: the data
    DDE_BACKEND=pytorch OMP_NUM_THREADS=1 \\
        peers/bin/python benchmarks/peers/deepxde_inverse.py --train runs/peers

The pressure and the permeability are two outputs of a network of parallel parts (`PFNN`), as in
DeepXDE's demonstration "Inverse problem for the Poisson equation with unknown forcing field": 20
neurons each in three layers, tanh, Glorot weights, as many points as in ours, Adam at 1e-3,
loss weights 1, 100 and 1000 there; here the boundary is built in, as in ours, and the data weigh
100 or 1000. The permeability is the exponential of its output, so that it stays positive. Training
ends after the seconds that ours took (benchmarks/results/inverse.jsonl). Errors are the relative
L2 errors at the same points.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parents[1] / "results"
SEEDS = 3


def write(folder: Path) -> None:
    """The data and the truth of each seed, and how long ours took."""
    import sys

    import torch

    sys.path.insert(0, str(Path(__file__).parents[1]))
    import inverse

    ours = {
        r["seed"]: r for r in inverse.lines() if (r["problem"], r["method"]) == ("darcy", "train")
    }
    for seed in range(SEEDS):
        own = folder / str(seed)
        own.mkdir(parents=True, exist_ok=True)
        _, truth, _ = inverse.measured("darcy", seed, own)
        points = inverse.places("k")
        pressure = truth(torch.as_tensor(points)[None])[0, :, 0].numpy()
        np.savez(
            own / "truth.npz",
            points=points,
            k=inverse.permeability(points),
            p=pressure,
            seconds=ours[seed]["seconds"],
        )


def train(folder: Path, seed: int, weight: float) -> dict:
    import deepxde as dde
    import torch

    torch.set_num_threads(1)
    dde.config.set_random_seed(seed)
    data, truth = (np.load(folder / str(seed) / f"{name}.npz") for name in ("data", "truth"))
    measured = np.stack([data["x"], data["y"]], 1).astype(np.float32)

    def equation(x, y):
        """-div(k grad p) - 10, k = exp(y_1)."""
        k = torch.exp(y[:, 1:2])
        px, py = (dde.grad.jacobian(y, x, i=0, j=j) for j in (0, 1))
        lap = dde.grad.hessian(y, x, component=0, i=0, j=0) + dde.grad.hessian(
            y, x, component=0, i=1, j=1
        )
        gx, gy = (dde.grad.jacobian(y, x, i=1, j=j) for j in (0, 1))
        return -k * (lap + gx * px + gy * py) - 10

    square = dde.geometry.Rectangle([0, 0], [1, 1])
    observed = dde.icbc.PointSetBC(
        measured, data["u" if "u" in data else "p"][:, None], component=0
    )
    problem = dde.data.PDE(square, equation, [observed], num_domain=512, anchors=measured)
    net = dde.nn.PFNN([2, [20, 20], [20, 20], [20, 20], 2], "tanh", "Glorot uniform")

    def zero_on_the_boundary(x, y):
        factor = 16 * (x[:, :1] * (1 - x[:, :1]) * x[:, 1:] * (1 - x[:, 1:]))
        return torch.cat([factor * y[:, :1], y[:, 1:2]], 1)

    net.apply_output_transform(zero_on_the_boundary)
    model = dde.Model(problem, net)
    model.compile("adam", lr=1e-3, loss_weights=[1, weight])

    class Until(dde.callbacks.Callback):
        def on_train_begin(self):
            self.began = time.process_time()

        def on_epoch_end(self):
            if time.process_time() - self.began > float(truth["seconds"]):
                self.model.stop_training = True

    began = time.process_time()
    history, state = model.train(
        iterations=10**6, display_every=10**5, callbacks=[Until()], verbose=0
    )
    seconds, found = time.process_time() - began, model.predict(truth["points"])
    k = np.exp(found[:, 1])
    errors = {
        "k": float(np.linalg.norm(k - truth["k"]) / np.linalg.norm(truth["k"])),
        "p": float(np.linalg.norm(found[:, 0] - truth["p"]) / np.linalg.norm(truth["p"])),
    }
    return {"seed": seed, "weight": weight, "seconds": seconds, "steps": state.step, **errors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path)
    parser.add_argument("--train", type=Path)
    asked = parser.parse_args()
    if asked.write:
        write(asked.write)
    if asked.train:
        path = RESULTS / "deepxde_inverse.jsonl"
        done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        for weight in (100.0, 1000.0):
            for seed in range(SEEDS):
                if not any((r["seed"], r["weight"]) == (seed, weight) for r in done):
                    record = train(asked.train, seed, weight)
                    with path.open("a") as file:
                        file.write(json.dumps(record) + "\n")
                    print(record, flush=True)


if __name__ == "__main__":
    main()
