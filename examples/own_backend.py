"""A derivative backend of one's own: central differences, three values for each derivative."""

from dataclasses import dataclass

import torch

import compiler
import pdespec
from compiler.derivatives import DERIVATIVES, answer, parts

REFUSAL = pdespec.Diagnostic("P01", "`central` knows u_x and u_xx along an axis", "take taylor")


@DERIVATIVES.register("central")
@dataclass(frozen=True)
class Central:
    step: float = 1e-3

    def refuse(self, request, capabilities, layout):
        indices = set().union(*parts(request).values())
        return REFUSAL if any(sum(n) > 2 or sum(n) != max(n) for n in indices) else None

    def points_per_query(self, request):
        return 3

    def evaluate(self, field, points, request, layout=None):
        h, found = self.step, {}
        for component, index in ((c, n) for c, indices in parts(request).items() for n in indices):
            shift = h * torch.tensor([float(n > 0) for n in index], dtype=points.dtype)
            left, at, right = (field(points + s * shift)[..., component] for s in (-1, 0, 1))
            differences = (at, (right - left) / (2 * h), (left - 2 * at + right) / h**2)
            found[component, index] = differences[sum(index)]
        return answer(found, request)


problem = pdespec.load("examples/heat.pde")
points, given = torch.rand(2, 50, 2, dtype=torch.float64), {"params": {"a": torch.zeros(2)}}
losses = [compiler.compile(problem, d) for d in ("central", "autograd")]
found = [each.residuals(lambda x: x.prod(-1, True).sin(), points, **given) for each in losses]
print((found[0]["eq1"] - found[1]["eq1"]).abs().max().item())
