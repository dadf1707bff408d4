#!/usr/bin/env bash
# With L-BFGS and the PyTorch backend DeepXDE calls its callbacks once in 1000 iterations: a Timer stops late, whatever time it allows.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 deepxde==1.15.0
cd "$folder"
DDE_BACKEND=pytorch "$folder/venv/bin/python" - <<'PROGRAM'
import time

import deepxde as dde
import torch

torch.set_num_threads(1)
ALLOWED = 0.06  # seconds


class Counted(dde.callbacks.Callback):
    calls = 0

    def on_epoch_end(self):
        self.calls += 1


def trained(optimizer, **options):
    dde.config.set_random_seed(0)
    line = dde.geometry.Interval(0, 1)
    ends = dde.icbc.DirichletBC(line, lambda x: 0, lambda _, boundary: boundary)
    data = dde.data.PDE(line, lambda x, y: dde.grad.hessian(y, x) + torch.exp(torch.sin(9 * x)), ends, 30, 2)
    model = dde.Model(data, dde.nn.FNN([1, 20, 20, 1], "tanh", "Glorot normal"))
    model.compile(optimizer, **options)
    counted, began = Counted(), time.perf_counter()
    given = {"iterations": 3000} if options else {}
    model.train(callbacks=[dde.callbacks.Timer(ALLOWED / 60), counted], display_every=10**6, verbose=0, **given)
    return int(model.train_state.step), counted.calls, time.perf_counter() - began


print("deepxde", dde.__version__, "torch", torch.__version__, ", a Timer of", ALLOWED, "s")
dde.optimizers.set_LBFGS_options(maxiter=3000, ftol=0, gtol=0)
late = trained("L-BFGS")
soon = trained("adam", lr=1e-3)
for name, (steps, calls, seconds) in (("L-BFGS", late), ("Adam", soon)):
    print(f"{name}: {steps} iterations, on_epoch_end called {calls} times, {seconds:.2f} s")
as_seen = late[1] == 1 and late[0] > 50 and soon[1] == soon[0]
print("callbacks see L-BFGS every 1000 iterations, Adam after every one" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
