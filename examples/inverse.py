"""An inverse problem: conduction and loss of a rod, with error bars, from noisy temperatures."""

import numpy as np
import torch
from scipy.optimize import curve_fit

import compiler
import pdespec

ROD = pdespec.parse("""
problem rod
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
param    k ~ uniform(0.01, 1), loss ~ uniform(0, 2)
unknown  u : scalar on L
in L: dt(u) = k*dxx(u) - loss*u
on boundary(L): dx(u) = 0
at t = 0: u = 1 + cos(pi*x)
""")


def temperature(points: np.ndarray, k: float, loss: float) -> np.ndarray:
    batch = compiler.instance(ROD, {"k": k, "loss": loss}, dtype=torch.float64)
    return compiler.solve(ROD, batch, resolution=8)(torch.tensor(points)[None])[0, :, 0].numpy()


def main() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x, t = points = random.uniform(size=(2, 200))
    exact = np.exp(-t / 2) * (1 + np.exp(-0.1 * np.pi**2 * t) * np.cos(np.pi * x))
    measured = random.normal(exact, 0.05)
    found, covariance = curve_fit(temperature, points.T, measured, p0=(0.3, 1), bounds=(0, 2))
    bars = np.sqrt(covariance.diagonal())
    print(f"k = {found[0]:.3f} ± {bars[0]:.3f} (0.1), loss = {found[1]:.3f} ± {bars[1]:.3f} (0.5)")
    return found, bars


if __name__ == "__main__":
    main()
