#!/usr/bin/env bash
# torch.optim.LBFGS with strong_wolfe: a NaN ends in a step of 1e17, and step() returns the loss from before it.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import numpy as np
import torch
from scipy.optimize import minimize

print("torch", torch.__version__)
x = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.LBFGS([x], line_search_fn="strong_wolfe")
seen = []


def closure():
    """(sqrt(x - 1) - 0.1)^2 + 3 x, defined for x >= 1, least at x = 1."""
    optimizer.zero_grad()
    loss = ((torch.sqrt(x - 1) - 0.1) ** 2 + 3 * x).sum()
    loss.backward()
    seen.append((x.item(), loss.item()))
    return loss


returned = optimizer.step(closure).item()
print(f"{len(seen)} values, of them NaN: {sum(np.isnan(f) for _, f in seen)}")
print(f"step() returned {returned:.4f}, the loss at the start; x is now {x.item():.3g}")
with np.errstate(invalid="ignore"):
    other = minimize(lambda z: (np.sqrt(z[0] - 1) - 0.1) ** 2 + 3 * z[0], [2.0], method="L-BFGS-B")
print(f"scipy's L-BFGS-B from there: x {other.x[0]:.3g}, success {other.success}, {other.message}")
as_seen = returned == seen[0][1] and abs(x.item()) > 1e16 and np.isnan(seen[-1][1])
print("it takes NaN for a better value, and goes on outward" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
