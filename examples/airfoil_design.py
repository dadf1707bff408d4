"""A better wing at Mach 0.8: least drag over lift by the solver alone, slopes by differences, and
what a finer grid says of the wing that was found. Needs numba."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

import compiler
import pdespec

WING = pdespec.load(Path(__file__).with_name("airfoil_euler.pde"))
START = np.array([0.0, 0.0, -0.01, -0.01, 0.0, 0.0, 0.0])  # the rear bent down: some lift
SHIFTS = 1e-3 * np.eye(8, 7, k=-1)  # of each displacement, none first


def flows(d: np.ndarray, resolution: int, start=None):
    batch = compiler.instance(WING, {"d": torch.tensor(d)}, size=len(d), dtype=torch.float64)
    truth = compiler.solve(WING, batch, resolution, settled=1e-5, start=start)
    return truth, np.array([list(each.reactions.values()) for each in truth.samples])


def main(resolution=16, finer=48, steps=20, weight=0.01, least=0.0) -> tuple[np.ndarray, int]:
    solved = [flows(START[None], resolution)[0]]

    def cost(d: np.ndarray):  # (drag / lift)^2 + weight |d| + 10 (least - lift)^2, and its gradient
        near = replace(solved[-1], samples=solved[-1].samples[:1] * 8)
        truth, ((drag, lift), *moved) = flows(d + SHIFTS, resolution, near)
        solved.append(truth)
        ratio, size, short = drag / lift, max(np.linalg.norm(d), 1e-12), max(0.0, least - lift)
        toward = 2 * ratio / lift, -2 * ratio**2 / lift - 20 * short  # in drag and in lift
        slope = (np.array(moved) - (drag, lift)) / SHIFTS.max() @ toward + weight * d / size
        return ratio**2 + weight * size + 10 * short**2, slope

    limits = {"bounds": [(-0.05, 0.05)] * 7, "options": {"maxiter": steps, "maxfun": 2 * steps}}
    d = minimize(cost, START, jac=True, **limits).x
    found = np.concatenate([flows(d[None], n)[1] for n in (resolution, finer)])
    print(f"{d.round(4)}, {8 * len(solved) - 7} flows; drag, lift {found[0]}, finer {found[1]}")
    return found, 8 * len(solved) - 7


if __name__ == "__main__":
    main()
