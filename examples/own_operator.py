"""An operator of one's own: a module from `OperatorInput` to a field, a function of points. Here
one that reads the mean of its input."""

import torch
from torch import Tensor, nn

import compiler
import pdespec
from operators import OperatorInput

TEXT = """
problem line
space    x
param    a ~ uniform(1, 2)
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: -dxx(u) = a
on boundary(L): u = 0
"""


class MeanOperator(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1 + channels, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, inputs: OperatorInput):
        mean = inputs.values.mean(1, keepdim=True)  # (b, 1, c)
        # (b, n, d) -> (b, n, 1)
        return lambda points: self.net(
            torch.cat([points, mean.expand(-1, points.shape[1], -1)], -1)
        )


def main() -> Tensor:
    problem = pdespec.parse(TEXT)
    batch = compiler.sample(problem, size=4, generator=torch.Generator().manual_seed(0))
    terms = compiler.compile(problem)(
        MeanOperator(batch.inputs.values.shape[-1])(batch.inputs), batch
    )
    print({label: float(value) for label, value in terms.items()})
    return terms.total  # terms.total.backward() as usual, or compiler.train(problem, model)


if __name__ == "__main__":
    main()
