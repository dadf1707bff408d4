"""A derivative backend of one's own: central differences at a fixed distance, three values for
each derivative up to the second order."""

from dataclasses import dataclass

import torch

import compiler
import pdespec
from compiler.derivatives import DERIVATIVES, answer, parts
from pdespec import Diagnostic


@DERIVATIVES.register("central")
@dataclass(frozen=True)
class Central:
    step: float = 1e-3

    def refuse(self, request, capabilities, layout):
        high = any(
            sum(index) > 2 or (sum(index) == 2 and max(index) < 2)
            for indices in parts(request).values()
            for index in indices
        )
        return (
            Diagnostic(
                "P01", "`central` knows first and second derivatives along an axis", "take taylor"
            )
            if high
            else None
        )

    def points_per_query(self, request):
        return 3

    def evaluate(self, field, points, request, layout=None):
        found = {}
        for component, indices in parts(request).items():
            for index in indices:
                shift = self.step * torch.tensor([float(n > 0) for n in index], dtype=points.dtype)
                left, middle, right = (
                    field(points + s * shift)[..., component] for s in (-1, 0, 1)
                )
                differences = (
                    middle,
                    (right - left) / (2 * self.step),
                    (left - 2 * middle + right) / self.step**2,
                )
                found[component, index] = differences[sum(index)]
        return answer(found, request)


problem = pdespec.load("examples/heat.pde")
points, given = torch.rand(2, 50, 2, dtype=torch.float64), {"params": {"a": torch.zeros(2)}}
found = [
    compiler.compile(problem, d).residuals(lambda x: x.prod(-1, True).sin(), points, **given)
    for d in ("central", "autograd")
]
print(float((found[0]["eq1"] - found[1]["eq1"]).abs().max()))
