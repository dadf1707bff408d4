#!/usr/bin/env bash
# torch.linalg.det, slogdet and solve: the second derivative by jvp of jvp is wrong, as is that by grad of jvp.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import torch
from torch.func import grad


def nested(function, at, order):
    """Derivatives of a function of one number by torch.autograd.grad of autograd.grad, orders 1 to `order`."""
    t = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    value, found = function(t), []
    for _ in range(order):
        (value,) = torch.autograd.grad(value, t, create_graph=True)
        found.append(value.item())
    return found


def forward(function, at, order):
    """The same by torch.func.jvp of jvp."""
    found, inner = [], function
    t = torch.tensor(at, dtype=torch.float64)
    for _ in range(order):
        inner = lambda s, f=inner: torch.func.jvp(f, (s,), (torch.ones_like(s),))[1]
        found.append(inner(t).item())
    return found


A = torch.tensor([[3.0, 1.0, 0.0], [1.0, 4.0, 0.5], [0.2, 0.5, 5.0]], dtype=torch.float64)
B = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [0.5, 0.0, 1.0]], dtype=torch.float64)
b = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
FUNCTIONS = {
    "det": lambda t: torch.linalg.det(A + t * B),
    "slogdet": lambda t: torch.linalg.slogdet(A + t * B)[1],
    "solve": lambda t: torch.linalg.solve(A + t * B, b).sum(),
    "inv": lambda t: torch.linalg.inv(A + t * B).sum(),
}
print("torch", torch.__version__)
at, h = 0.37, 1e-3
wrong = []
for name, function in FUNCTIONS.items():
    value = lambda s: function(torch.tensor(s, dtype=torch.float64)).item()
    central = (value(at + h) - 2 * value(at) + value(at - h)) / h**2
    reverse, twice = nested(function, at, 2)[1], forward(function, at, 2)[1]
    once = lambda s: torch.func.jvp(function, (s,), (torch.ones_like(s),))[1]
    mixed = grad(once)(torch.tensor(at, dtype=torch.float64)).item()
    print(f"{name:8} second derivative: grad of grad {reverse:.10g}, jvp of jvp {twice:.10g}, grad of jvp {mixed:.10g}, differences {central:.6g}")
    assert abs(reverse - central) < 1e-4 * abs(central)
    wrong += [name] * (abs(twice - reverse) > 1e-6 * abs(reverse) and abs(mixed - reverse) > 1e-6 * abs(reverse))
as_seen = wrong == ["det", "slogdet", "solve"]
print("wrong for " + ", ".join(wrong) + ", without an error" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
