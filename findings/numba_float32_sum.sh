#!/usr/bin/env bash
# numba: sum, mean and var of a float32 array add one by one in float32: the mean of 20 million values 0.1 is 0.10486 (numpy, pairwise: 0.1).
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import numba
import numpy as np


def statistics(a):
    return a.sum(), a.mean(), a.var()


values = np.full(20_000_000, 0.1, dtype=np.float32)
plain = [float(v) for v in statistics(values)]
compiled = [float(v) for v in numba.njit(statistics)(values)]
relaxed = [float(v) for v in numba.njit(fastmath=True)(statistics)(values)]
print("numba", numba.__version__, "numpy", np.__version__)
for words, found in (("numpy", plain), ("njit", compiled), ("njit, fastmath", relaxed)):
    print(f"{words:15s} sum {found[0]:.1f}, mean {found[1]:.6f}, variance {found[2]:.3g}")
as_seen = compiled[0] == 2.0**21 and abs(plain[0] - 2e6) < 1 and compiled[1] > 0.1045
print("sums stop at 2^21, where another 0.1 is rounded away" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
