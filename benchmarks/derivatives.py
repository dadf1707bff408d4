"""What exact derivatives cost beside their competitors, in one command:

    OMP_NUM_THREADS=1 python benchmarks/derivatives.py            # all of it, some minutes
    OMP_NUM_THREADS=1 python benchmarks/derivatives.py decoder    # or: neighbours

Figures are CPU times of one thread, steps run in turns, and the rise of resident memory at its peak in a process of its own.
Only ratios matter. The whole operator beside neuraloperator is in peer.py.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Mapping, Sequence

import torch
from measure import Build, Step, alternate, measured, peak, report, save
from steps import SETTINGS, decoder_cases

from operators.lattice import Lattice
from operators.neighbors import NEIGHBORS


def decoder(rounds: int, settings: Sequence[str] = tuple(SETTINGS)) -> None:
    """Residual and gradient of a decoder: Poisson, Navier-Stokes, Korteweg-de Vries."""
    tables, text = {}, []
    for name in settings:
        tables[name] = measured(__file__, f"decoder/{name}", decoder_cases(name), rounds)
        text.append(report(f"{name}, decoder step", tables[name], {"FD": "differences on the grid", "nested": "nested autograd"}))
        print(text[-1], flush=True)
    save("decoder", tables, "\n".join(text))


def neighbours(rounds: int) -> None:
    """Neighbour search alone, against 64 x 64 nodes."""
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
        if importlib.util.find_spec("neuralop") is not None and count <= 10_000:  # a dense matrix of distances
            from neuralop.layers.neighbor_search import native_neighbor_search

            steps["peer"] = lambda points=points: native_neighbor_search(nodes[0], points[0], radius)
        title = f"neighbours of {count} queries among 4096 nodes"
        tables[title] = alternate(steps, rounds)
        text.append(report(title, tables[title], {"lattice": "lattice"}))
        print(text[-1], flush=True)
    save("neighbours", tables, "\n".join(text))


def case(path: str) -> Build:
    """A case by its path: decoder/poisson/jets."""
    _, setting, name = path.split("/")
    return decoder_cases(setting)[name]


SECTIONS: Mapping[str, Callable[[int], None]] = {"decoder": decoder, "neighbours": neighbours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--rounds", type=int, default=9, help="steps of each kind")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS), help="of the decoder section")
    parser.add_argument("--memory", metavar="CASE", help="print the peak of one case, in bytes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        print(peak(case(options.memory)))
        return
    for name in options.sections or SECTIONS:
        if name not in SECTIONS:
            parser.error(f"no section {name!r}: {', '.join(SECTIONS)}")
        if name == "decoder":
            decoder(options.rounds, options.settings)
        else:
            SECTIONS[name](options.rounds)


if __name__ == "__main__":
    main()
