"""What exact derivatives cost beside their competitors, in one command:

    OMP_NUM_THREADS=1 python benchmarks/derivatives.py                  # all of it, half an hour
    OMP_NUM_THREADS=1 python benchmarks/derivatives.py decoder steps # or others

Figures are CPU times of one thread, steps run in turns, and the rise of resident memory at its peak
in a process of its own. Only ratios matter. The peer, neuraloperator, needs the extra [bench].
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import peer
import torch
from measure import Bench, Build, Step, alternate, measured, peak, report, save
from steps import BLOCKS, SETTINGS, decoder_cases

import compiler
import pdespec
from compiler.scales import scaled
from operators.field import followed, nested
from operators.graph.grid import Lattice
from operators.graph.neighbors import NEIGHBORS
from operators.jets.jet import JetSpace

EXAMPLES = Path(__file__).parents[1] / "examples"


def decoder(bench: Bench) -> None:
    """Residual and gradient of a decoder: Poisson, Navier-Stokes, Korteweg-de Vries."""
    tables, text = {}, []
    for name in (name for name, setting in SETTINGS.items() if bench.device in setting.devices):
        tables[name] = measured(bench, f"decoder/{name}", decoder_cases(name, bench.device))
        text.append(
            report(
                f"{name}, decoder step",
                tables[name],
                {"FD": "differences on the grid", "nested": "nested autograd"},
            )
        )
        print(text[-1], flush=True)
        bench.save("decoder", tables, "\n".join(text))


def neighbours(bench: Bench) -> None:
    """Neighbour search alone, against 64 x 64 nodes, on the processor."""
    lattice = Lattice((0.0, 0.0), (1.0, 1.0), (64, 64))
    nodes = lattice.points(torch.float32)[None]
    radius = 2.4 / 63
    tables, text = {}, []
    for count in (1_000, 10_000, 100_000):
        points = torch.rand(1, count, 2, generator=torch.Generator().manual_seed(0))
        steps: dict[str, Step] = {
            "lattice": lambda points=points: NEIGHBORS["lattice"](points, lattice, radius),
            "cells": lambda points=points: NEIGHBORS["cells"](points, nodes, radius),
            "kdtree": lambda points=points: NEIGHBORS["kdtree"](points, nodes, radius),
        }
        if peer.INSTALLED and count <= 10_000:  # a dense matrix of distances
            from neuralop.layers.neighbor_search import native_neighbor_search

            steps["peer"] = lambda points=points: native_neighbor_search(
                nodes[0], points[0], radius
            )
        title = f"neighbours of {count} queries among 4096 nodes"
        tables[title] = alternate(steps, bench.rounds)
        text.append(report(title, tables[title], {"lattice": "lattice"}))
        print(text[-1], flush=True)
    save("neighbours", tables, "\n".join(text))


def lifts(bench: Bench) -> None:
    """Offset and factor of the ansatz with their derivatives up to the second, at 4 x 256 points:
    followed forward, and by nested autograd."""
    tables, text = {}, []
    for name in ("nonlinear_poisson", "stokes", "pillar_channel", "heat", "burgers"):
        problem = scaled(pdespec.load(EXAMPLES / f"{name}.pde"))[1]
        chance = torch.Generator().manual_seed(0)
        batch = compiler.sample(problem, 4, {"interior": 256}, chance)
        points, built = next(iter(batch.points.values())).points, batch.inputs.ansatz
        axes = range(points.shape[-1])
        space = JetSpace.closure([tuple(2 * (i == k) for i in axes) for k in axes])
        ways = {"nested autograd": nested, "forward": followed}
        tables[name] = alternate(
            {
                way: lambda f=f, x=points, s=space, b=built: [
                    f(e, x, s) for e in (b.offset, b.factor)
                ]
                for way, f in ways.items()
            },
            bench.rounds,
        )
        text.append(report(f"{name}, lift", tables[name], {"nested": "nested autograd"}))
        print(text[-1], flush=True)
    save("lifts", tables, "\n".join(text))


def case(path: str) -> Build:
    """A case by its path: decoder/poisson/jets, or steps/1024/jets."""
    section, size, name = path.split("/")
    return decoder_cases(size)[name] if section == "decoder" else peer.step_cases(int(size))[name]


SECTIONS: Mapping[str, Callable[[Bench], None]] = {
    "decoder": decoder,
    "neighbours": neighbours,
    "lifts": lifts,
    "answers": peer.answers,
    "steps": peer.steps,
    "queries": peer.queries,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default"
    )
    parser.add_argument("--rounds", type=int, default=9, help="steps of each kind")
    parser.add_argument(
        "--device",
        default="cpu",
        choices=list(BLOCKS),
        help="cuda times decoder, steps and queries by the clock",
    )
    parser.add_argument("--memory", metavar="CASE", help="print the peak of one case, in bytes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        print(peak(case(options.memory)))
        return
    if not peer.INSTALLED:
        print("neuraloperator is not installed (pip install -e .[bench]): our own figures only\n")
    for name in options.sections:
        if name not in SECTIONS:
            parser.error(f"no section {name!r}: {', '.join(SECTIONS)}")
    names = options.sections or list(SECTIONS)
    if len(names) == 1:
        SECTIONS[names[0]](Bench(__file__, options.rounds, options.device))
        return
    # in a process each: memory that an allocator has kept from one makes the next faster
    for name in names:
        subprocess.run(
            [
                sys.executable,
                __file__,
                name,
                "--rounds",
                str(options.rounds),
                "--device",
                options.device,
            ],
            check=True,
        )


if __name__ == "__main__":
    main()
