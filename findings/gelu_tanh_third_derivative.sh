#!/usr/bin/env bash
# gelu(x, approximate="tanh"): the third derivative by autograd is NaN for |x| >= 15 in float32 (about 30 in float64), where it is 0.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import math
import torch
import torch.nn.functional as F


def written_out(x):  # the same function, of torch.tanh
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def third(function, x):
    value = function(x)
    for _ in range(3):
        (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    return value.tolist()


places = {torch.float32: [-20.0, -15.0, 1.0, 12.0, 15.0, 20.0], torch.float64: [-30.0, 1.0, 25.0, 30.0]}
print("torch", torch.__version__)
as_seen = True
for dtype, at in places.items():
    x = torch.tensor(at, dtype=dtype, requires_grad=True)
    found, plain, exact = (third(f, x) for f in (lambda z: F.gelu(z, approximate="tanh"), written_out, F.gelu))
    for words, values in (("gelu, tanh", found), ("written out", plain), ("gelu, erf", exact)):
        print(dtype, f"{words:12s}", dict(zip(at, [f"{v:.3g}" for v in values])))
    edge = 15 if dtype == torch.float32 else 30
    as_seen &= all(math.isnan(v) == (abs(place) >= edge) for place, v in zip(at, found))
    as_seen &= all(math.isfinite(v) for v in plain + exact)
print("NaN from its third derivative on, once its tanh is 1" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
