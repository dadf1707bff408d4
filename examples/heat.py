"""The heat equation in Python: SymPy in place of text, one family of initial temperatures."""

import sympy as sp
import torch

import compiler
import pdespec
from pdespec import at, boundary, dt, interval, lap, on, param, space, time, uniform, unknown


def heat() -> pdespec.Problem:
    (x,) = space("x")
    t = time("t", 0, 1)
    rod = interval(x, 0, 1, name="rod")
    a = param("a", uniform(-1, 1))
    u = unknown("u", rod, time=t)
    start = sp.sin(sp.pi * x) + a * sp.sin(2 * sp.pi * x)
    conditions = [on(boundary(rod), sp.Eq(u, 0)), at(t, 0, sp.Eq(u, start))]
    return pdespec.Problem("heat", [sp.Eq(dt(u), lap(u) / 20)], conditions)


def main(resolution: int = 32) -> float:
    problem = heat()
    print(problem.to_dsl())
    batch = compiler.sample(problem, size=2, generator=torch.Generator().manual_seed(0))
    points = batch.points["rod"].points
    a, (x, t) = batch.params["a"][:, None], points.double().unbind(-1)
    decay = torch.exp(-(torch.pi**2) / 20 * t)
    exact = decay * torch.sin(torch.pi * x) + a * decay**4 * torch.sin(2 * torch.pi * x)
    found = compiler.solve(problem, batch, resolution=resolution)(points)[..., 0]
    error = float((found - exact).norm() / exact.norm())
    print(f"finite elements, relative error: {error:.1e}")
    return error


if __name__ == "__main__":
    main()
