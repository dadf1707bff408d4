#!/usr/bin/env bash
# torch.nn.functional.layer_norm: the second derivative by jvp of jvp is wrong, where that by autograd of autograd is right.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import torch
import torch.nn.functional as F


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


rate = torch.tensor([0.7, 1.3, 2.1, 0.4], dtype=torch.float64)
weight = torch.tensor([0.5, -1.0, 2.0, 1.5], dtype=torch.float64)


def fused(t):
    return (weight * F.layer_norm(torch.sin(rate * t), (4,))).sum()


def written_out(t):
    x = torch.sin(rate * t)
    centred = x - x.mean()
    return (weight * centred / torch.sqrt(centred.square().mean() + 1e-5)).sum()


print("torch", torch.__version__)
print("value          ", fused(torch.tensor(0.6, dtype=torch.float64)).item(), written_out(torch.tensor(0.6, dtype=torch.float64)).item())
reverse, right, forwards = nested(fused, 0.6, 2), nested(written_out, 0.6, 2), forward(fused, 0.6, 2)
print("orders 1, 2 by autograd of layer_norm       ", reverse)
print("orders 1, 2 by jvp of layer_norm            ", forwards)
print("orders 1, 2 by autograd of the same, written", right)
close = lambda a, b: abs(a - b) < 1e-9 * abs(b)
as_seen = close(reverse[0], right[0]) and close(reverse[1], right[1])
as_seen = as_seen and close(forwards[0], right[0]) and not close(forwards[1], right[1])
print("the second derivative by jvp is wrong, without an error" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
