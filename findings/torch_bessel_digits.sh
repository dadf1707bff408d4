#!/usr/bin/env bash
# torch.special.bessel_j0, bessel_j1, bessel_y0 and bessel_y1 in float64 have only six to seven digits for arguments near 5.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 mpmath==1.3.0
"$folder/venv/bin/python" - <<'PROGRAM'
import mpmath
import torch

torch_functions = {"J0": torch.special.bessel_j0, "J1": torch.special.bessel_j1, "Y0": torch.special.bessel_y0, "Y1": torch.special.bessel_y1}
exact_functions = {
    "J0": lambda x: mpmath.besselj(0, x), "J1": lambda x: mpmath.besselj(1, x),
    "Y0": lambda x: mpmath.bessely(0, x), "Y1": lambda x: mpmath.bessely(1, x),
}
print("torch", torch.__version__, "mpmath", mpmath.__version__)
worst = {}
for name, function in torch_functions.items():
    errors = {}
    for x in (2.0, 4.5, 5.01, 6.0, 8.0, 30.0):
        errors[x] = abs(function(torch.tensor(x, dtype=torch.float64)).item() - float(exact_functions[name](mpmath.mpf(x))))
    worst[name] = errors[5.01]
    print(name, "absolute error in float64:", ", ".join(f"{error:.1e} at {x:g}" for x, error in errors.items()))
as_seen = all(1e-7 < error < 1e-5 for error in worst.values())
print("seven digits at 5.01, where float64 has sixteen" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
