#!/usr/bin/env bash
# Bicubic grid_sample and interpolate do not reproduce a straight line: its slope swings between 0.75 and 1.5 where it is 1.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import torch
import torch.nn.functional as F

line = torch.arange(9, dtype=torch.float64).expand(1, 1, 9, 9)  # value = column, slope 1 a column
print("torch", torch.__version__)
slopes, values = [], []
for column in (4.0, 4.25, 4.5, 4.75):
    x = torch.tensor(column / 4 - 1, dtype=torch.float64, requires_grad=True)
    value = F.grid_sample(line, torch.stack([x, torch.zeros_like(x)]).reshape(1, 1, 1, 2), mode="bicubic", align_corners=True).sum()
    (slope,) = torch.autograd.grad(value, x)
    slopes.append(slope.item() / 4)
    values.append(value.item())
    print(f"at column {column}: value {values[-1]:.6f}, slope by autograd {slopes[-1]:.6f}")
up = F.interpolate(line, scale_factor=4, mode="bicubic", align_corners=False)[0, 0, 16, 12:24]
print("interpolate by 4, steps between neighbours (1/4 expected):", [round(v, 6) for v in up.diff().tolist()])
as_seen = abs(slopes[0] - 1.5) < 1e-9 and abs(slopes[2] - 0.75) < 1e-9 and abs(values[1] - 4.25) > 0.01
print("the kernel (a = -0.75) does not reproduce linear data" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
