#!/usr/bin/env bash
# torch.Tensor.scatter_reduce with "prod": the tangent by jvp is zero where the derivative is not.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import torch


def function(t):
    values = torch.stack([t, 2 * t, t * t])
    return torch.ones(2, dtype=t.dtype).scatter_reduce(0, torch.tensor([0, 0, 1]), values, "prod").sum()  # 2 t^2 + t^2


t = torch.tensor(0.37, dtype=torch.float64, requires_grad=True)
print("torch", torch.__version__)
(reverse,) = torch.autograd.grad(function(t), t)
_, tangent = torch.func.jvp(function, (t.detach(),), (torch.ones_like(t),))
print("d/dt 3 t^2 at 0.37: exact", 6 * 0.37, "autograd", reverse.item(), "jvp", tangent.item())
as_seen = abs(reverse.item() - 6 * 0.37) < 1e-12 and tangent.item() == 0
print("forward mode gives zero, without an error" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
