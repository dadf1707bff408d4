#!/usr/bin/env bash
# scikit-fem: refined() of a second-order mesh (MeshTri2, MeshQuad2, MeshTet2) straightens its cells without a warning; so does its JSON file.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-fem==12.0.2 meshio==5.3.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import logging
import warnings

import numpy as np
import skfem
from skfem.io.json import from_file, to_file

logging.disable(logging.CRITICAL)  # a warning of any mesh of this kind: no places of global degrees of freedom


def measure(mesh):
    element = skfem.ElementTetP1() if mesh.dim() == 3 else skfem.ElementTriP1()
    return float(skfem.Basis(mesh, element, intorder=6).dx.sum())


print("scikit-fem", skfem.__version__)
disk, ball = skfem.MeshTri2.init_circle(2), skfem.MeshTet2.init_ball(1)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    once, twice, finer_ball = disk.refined(1), disk.refined(2), ball.refined(1)
off = {f"disk, {m.nelements} cells": measure(m) - np.pi for m in (disk, once, twice)}
off |= {f"ball, {m.nelements} cells": measure(m) - 4 * np.pi / 3 for m in (ball, finer_ball)}
for name, value in off.items():
    print(f"{name:18s} measure off by {value:+.2e}")
edge = np.hypot(*once.p[:, np.intersect1d(once.boundary_nodes(), np.unique(once.t))])
print(f"nodes of the refined disk's boundary lie up to {abs(edge - 1).max():.3f} off the circle; warnings: {len(said)}")
to_file(disk, "disk.json")
loaded = from_file("disk.json")
print(f"from its JSON file: {type(loaded).__name__}, off by {measure(loaded) - np.pi:+.2e}")
first, finer, finest, *balls = off.values()
as_seen = abs(first) < 2e-4 < 0.05 < abs(finer) and abs(finest - finer) < 1e-9 and abs(balls[1]) > 10 * abs(balls[0])
as_seen = as_seen and not said and type(loaded) is skfem.MeshTri1
print("finer cells are those of the mesh with straight edges" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
