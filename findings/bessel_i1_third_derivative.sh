#!/usr/bin/env bash
# torch.special.i0, i1: derivatives from the third of i0 and the second of i1 on lose their digits near 0; at 0 the third of i1 is 0, where it is 3/8.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import math
import torch


def series(x, n, order):  # derivatives of I_n(x) = sum (x/2)^(2k+n) / (k! (k+n)!)
    terms = ((2 * k + n, 0.5 ** (2 * k + n) / (math.factorial(k) * math.factorial(k + n))) for k in range(20))
    return sum(c * math.perm(p, order) * x ** (p - order) for p, c in terms if p >= order)


places = [0.0, 1e-8, 1e-6, 1e-2, 1.0]
print("torch", torch.__version__)
seen = {}
for dtype in (torch.float32, torch.float64):
    for n, function in enumerate((torch.special.i0, torch.special.i1)):
        x = torch.tensor(places, dtype=dtype, requires_grad=True)
        value = function(x)
        for order in range(1, 5 - n):
            (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
            seen[dtype, n, order] = value.tolist()
        for order in (3 - n, 4 - n):
            found = [f"{v:.4g}" for v in seen[dtype, n, order]]
            print(f"{dtype}, i{n}, order {order}:", found, "true", [f"{series(v, n, order):.4g}" for v in places])
double, single = torch.float64, torch.float32
as_seen = (
    seen[double, 1, 3][0] == 0
    and seen[double, 0, 4][0] == 0
    and abs(seen[double, 1, 3][1] - 0.375) > 1
    and abs(seen[single, 1, 3][2]) > 1e5
    and abs(seen[double, 1, 3][4] / series(1.0, 1, 3) - 1) < 1e-9
)
print("quotients by x, without a series at 0" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
