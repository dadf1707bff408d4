"""The time of a step of a loss and its gradient, in blocks of queries of several sizes.

    OMP_NUM_THREADS=1 python benchmarks/blocks.py --rounds 3

Nonlinear Poisson and the operator of `demo`; residual, error estimate left out, and the gradient in
all parameters. Writes results/blocks.json and .md: what `compiler.loss.blocks.engine.BLOCK` says.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from measure import Bench, Cost, Step, alternate

import compiler
import pdespec

SIZES = ((1, 1024), (4, 1024), (4, 4096))  # samples, points
BLOCKS = (256, 1024, 4096, 16384)


def step(samples: int, count: int, block: int | None, device: str) -> Step:
    """Terms and gradient; without blocks where there is no number of queries in one."""
    problem = pdespec.load(Path(__file__).parents[1] / "examples" / "nonlinear_poisson.pde")
    torch.manual_seed(0)
    model = compiler.build(
        problem, "gino", hidden=32, modes=8, layers=4, kernel="polynomial",
        kernel_options={"degree": 1},
    ).to(device)  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    batch = compiler.sample(problem, samples, {"interior": count}, generator, device=device)
    loss = compiler.compile(problem)
    evaluate = loss if block is None else compiler.StepEngine(loss, block)
    parameters = list(model.parameters())

    def once() -> None:
        total = evaluate(model(batch.inputs), batch).total
        torch.autograd.grad(total, parameters, allow_unused=True)

    return once


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, dict[str, Cost]] = {}
    lines = []
    for samples, count in SIZES:
        kinds: dict[str, int | None] = {"whole": None}
        kinds |= {str(block): block for block in BLOCKS if block <= samples * count}
        steps = {name: step(samples, count, block, given.device) for name, block in kinds.items()}
        found = alternate(steps, given.rounds, given.device)
        results[f"{samples} x {count} points"] = found
        whole = found["whole"].median
        lines.append(f"{samples} x {count} points: whole {1000 * whole:.0f} ms; in blocks of")
        lines += [
            f"  {name:>6} queries {1000 * cost.median:7.0f} ms, {cost.median / whole:.2f} of it"
            for name, cost in found.items()
            if name != "whole"
        ]
        print(*lines[-1 - len(BLOCKS) :], sep="\n", flush=True)
    Bench("benchmarks/blocks.py", given.rounds, given.device).save(
        "blocks", results, "\n".join(lines)
    )


if __name__ == "__main__":
    main()
