"""An operator of one's own, from `OperatorInput` to a function of points: it reads a mean."""

import torch
from torch import Tensor, nn

import compiler
import pdespec
from operators import OperatorInput

PROBLEM = pdespec.parse("""
problem line
space    x
param    a ~ uniform(1, 2)
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: -dxx(u) = a
on boundary(L): u = 0
""")


class MeanOperator(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1 + channels, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, inputs: OperatorInput):
        mean = inputs.values.mean(1, keepdim=True)  # (b, 1, c)
        return lambda x: self.net(torch.cat([x, mean.expand(-1, x.shape[1], -1)], -1))  # (b, n, 1)


def main() -> Tensor:
    batch = compiler.sample(PROBLEM, size=4)
    model = MeanOperator(batch.inputs.values.shape[-1])
    terms = compiler.compile(PROBLEM)(model(batch.inputs), batch)
    print({label: value.item() for label, value in terms.items()})
    return terms.total  # terms.total.backward() as usual, or compiler.train(PROBLEM, model)


if __name__ == "__main__":
    main()
