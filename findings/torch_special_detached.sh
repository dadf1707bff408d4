#!/usr/bin/env bash
# Bessel functions, airy_ai and the orthogonal polynomials of torch.special return tensors that do not require grad.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import torch

special = torch.special
one = ["airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0"]
one += ["modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "spherical_bessel_j0"]
two = ["chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w", "hermite_polynomial_h"]
two += ["hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p", "shifted_chebyshev_polynomial_t"]
x = torch.tensor([0.4, 0.7], dtype=torch.float64, requires_grad=True)
print("torch", torch.__version__)
detached = []
for name in one:
    detached += [name] * (not getattr(special, name)(x).requires_grad)
for name in two:
    detached += [name] * (not getattr(special, name)(x, 3).requires_grad)
print("do not require grad for an argument that does:", ", ".join(detached))
u = x + special.bessel_j0(x)
(slope,) = torch.autograd.grad(u.sum(), x)
print("d/dx (x + J0(x)) by autograd", slope.tolist(), "; 1 - J1(x) is", (1 - special.bessel_j1(x)).tolist())
print("special.i0, which has a derivative, requires grad:", special.i0(x).requires_grad)
as_seen = len(detached) == len(one) + len(two) and bool((slope == 1).all()) and special.i0(x).requires_grad
print("a sum with such a term has a wrong derivative, without an error" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
