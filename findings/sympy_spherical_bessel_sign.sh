#!/usr/bin/env bash
# SymPy evaluates the spherical Bessel functions jn(n, x) and yn(n, x) of a negative number x with the wrong sign, for every n;
# with a symbol in place of the number, and by their closed forms, the sign is right. SciPy's spherical_jn agrees with the closed forms.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sympy==1.14.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import sympy
from scipy.special import spherical_jn

x, z = sympy.Rational(-3, 4), sympy.Symbol("z")
print("sympy", sympy.__version__, "at x = -3/4")
as_seen = True
for name, function in {"jn": sympy.jn, "yn": sympy.yn}.items():
    for n in range(4):
        number = float(function(n, x))
        closed = float(sympy.expand_func(function(n, z)).subs(z, x))
        note = f", scipy {spherical_jn(n, -0.75):.12f}" if name == "jn" else ""
        print(f"{name}({n}, x): number {number:.12f}, closed form {closed:.12f}{note}")
        as_seen &= abs(number + closed) < 1e-12 * abs(closed)
print("the number has the other sign each time" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
