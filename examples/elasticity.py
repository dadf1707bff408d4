"""Elasticity from an energy: the Euler-Lagrange equations, their natural conditions and the
solution follow from one line."""

import compiler
import pdespec

TEXT = """
problem elasticity
space    x, y
domain   beam = rectangle([0, 0], [4, 1])
boundary wall = side(beam, x = 0)
const    E = 1000, nu = 0.3
param    weight ~ uniform(0.5, 1)
unknown  u : vector on beam
strain := sym(grad(u))
energy := E/(2*(1 + nu))*(inner(strain, strain) + nu/(1 - 2*nu)*tr(strain)^2)
minimize integral(energy + weight*u.y, beam)
on wall: u = 0
output deflection := integral(u.y, beam)/4
"""


def main(resolution: int = 8) -> float:
    problem = pdespec.parse(TEXT)
    for label, residual in problem.residuals().items():
        print(label, residual)
    batch = compiler.instance(problem, params={"weight": 1.0})
    truth = compiler.solve(problem, batch, resolution=resolution)
    deflection = float(compiler.outputs(problem, truth, batch)["deflection"])
    print(f"mean deflection {deflection:.4f}, energy {float(truth.energy):.6f}")
    return deflection


if __name__ == "__main__":
    main()
