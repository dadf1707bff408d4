#!/usr/bin/env bash
# torch.special.polygamma(1, x) has nine digits in float64, where orders 0, 2 and 3 have sixteen: pi^2/6 at x = 1 is off by 4.8e-10.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 mpmath==1.3.0
"$folder/venv/bin/python" - <<'PROGRAM'
import mpmath
import torch

print("torch", torch.__version__)
worst = {}
for order in range(4):
    errors = []
    for x in (0.3, 1.0, 2.5, 10.0):
        found = float(torch.special.polygamma(order, torch.tensor(x, dtype=torch.float64)))
        errors.append(abs(found / float(mpmath.polygamma(order, x)) - 1))
    worst[order] = max(errors)
    print(f"polygamma({order}, x): relative error up to {worst[order]:.1e} at x = 0.3, 1, 2.5, 10")
as_seen = worst[1] > 1e-10 and all(worst[order] < 1e-14 for order in (0, 2, 3))
print("the trigamma function alone has nine digits" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
