#!/usr/bin/env bash
# torch.logcumsumexp: the third derivative by autograd is NaN everywhere; values and two derivatives are right, and logsumexp is right at all.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import math
import torch


def cumulative(x):  # log(1 + e^x), as the last of two partial sums
    return torch.logcumsumexp(torch.stack([torch.zeros_like(x), x]), 0)[1]


def whole(x):
    return torch.logsumexp(torch.stack([torch.zeros_like(x), x]), 0)


def derivatives(function, x):
    value, found = function(x), []
    for _ in range(3):
        (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        found.append(value.tolist())
    return found


x = torch.tensor([-2.0, -0.5, 0.3, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
s = torch.sigmoid(x.detach())
true = [s, s * (1 - s), s * (1 - s) * (1 - 2 * s)]
found, plain = derivatives(cumulative, x), derivatives(whole, x)
print("torch", torch.__version__)
for order in range(3):
    for words, values in (("logcumsumexp", found[order]), ("logsumexp", plain[order]), ("true", true[order].tolist())):
        print(f"order {order + 1} {words:12s}", [f"{v:.6g}" for v in values])
near = lambda a, b: all(abs(p - q) < 1e-12 for p, q in zip(a, b.tolist()))
as_seen = all(near(found[k], true[k]) for k in (0, 1)) and all(near(plain[k], true[k]) for k in range(3))
as_seen = as_seen and all(map(math.isnan, found[2]))
print("NaN from the third derivative on" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
