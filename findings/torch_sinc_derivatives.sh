#!/usr/bin/env bash
# torch.sinc: higher derivatives by autograd lose all digits near 0, NaN at 0; in float32 the second one is 5.96 at x = 1e-4, where it is -3.29.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import math
import torch


def series(x, order):  # of sin(pi x)/(pi x) = sum (-1)^k (pi x)^(2k) / (2k+1)!, whole for |x| <= 0.1
    total = 0.0
    for k in range(12):
        power = 2 * k
        if power >= order:
            total += (-1) ** k * math.pi**power / math.factorial(power + 1) * math.perm(power, order) * x ** (power - order)
    return total


places = [0.0, 1e-8, 1e-4, 1e-3, 1e-2, 0.1]
print("torch", torch.__version__)
seen = {}
for dtype in (torch.float32, torch.float64):
    x = torch.tensor(places, dtype=dtype, requires_grad=True)
    value = torch.sinc(x)
    for order in range(1, 4):
        (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        seen[dtype, order] = value.tolist()
        print(dtype, "order", order, [f"{v:.4g}" for v in seen[dtype, order]], "true", [f"{series(v, order):.4g}" for v in places])
as_seen = (
    math.isnan(seen[torch.float64, 2][0])
    and abs(seen[torch.float64, 1][1] / series(1e-8, 1) - 1) > 0.3
    and abs(seen[torch.float64, 2][1] / series(1e-8, 2) - 1) > 0.3
    and abs(seen[torch.float32, 2][2] - series(1e-4, 2)) > 5
    and abs(seen[torch.float32, 3][3]) > 100
    and abs(seen[torch.float64, 2][5] / series(0.1, 2) - 1) < 1e-9
)
print("differences of nearly equal numbers near 0, no series" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
