"""What exact derivatives cost beside their competitors, in one command:

    OMP_NUM_THREADS=1 python benchmarks/derivatives.py            # all of it, some minutes
    OMP_NUM_THREADS=1 python benchmarks/derivatives.py decoder    # or: peer, queries, neighbours

Figures are CPU times of one thread, steps run in turns, and the rise of resident memory at its peak in a process of its own.
Only ratios matter. `peer` needs the extra [bench].
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from measure import Build, Cost, Step, alternate, peak, peak_of, report
from steps import BLOCK, SETTINGS, decoder_cases, own_operator, own_step, peer_step

from operators.lattice import Lattice
from operators.neighbors import NEIGHBORS

Cases = Mapping[str, Build]


def decoder(rounds: int) -> None:
    """Residual and gradient of a decoder: Poisson, Navier-Stokes, Korteweg-de Vries."""
    for name in SETTINGS:
        costs = measured(f"decoder/{name}", decoder_cases(name), rounds)
        print(report(f"{name}, decoder step", costs, {"FD": "differences on the grid", "nested": "nested autograd"}), flush=True)


def peer(rounds: int) -> None:
    """The whole operator with 714,692 parameters, beside neuraloperator as shipped and with its reduction and search replaced."""
    parameters = sum(p.numel() * (2 if p.is_complex() else 1) for p in own_operator().parameters())
    print(f"own operator: {parameters} real parameters, peer: 714692")
    if importlib.util.find_spec("neuralop") is None:
        print("neuraloperator is not installed: pip install -e .[bench]; our own figures only\n")
    for count in (1024, 4096):
        costs = measured(f"peer/{count}", peer_cases(count), rounds)
        print(report(f"whole operator, {count} queries", costs, {"shipped": "peer as shipped", "patched": "peer patched"}), flush=True)


def peer_cases(count: int) -> Cases:
    def of(step: Callable[..., Step], *options: object) -> Build:
        return lambda small: step(16 if small else count, *options)

    cases: dict[str, Build] = {}
    if importlib.util.find_spec("neuralop") is not None:
        if count <= 1024:  # memory grows with the square of the queries: some 75 GB at 4096
            cases["peer as shipped"] = of(peer_step, False)
        cases["peer patched"] = of(peer_step, True)
    cases["jets"] = of(own_step)
    cases["jets in blocks"] = of(own_step, BLOCK)
    return cases


def query_cases(count: int) -> Cases:
    return {"jets in blocks": lambda small: own_step(16 if small else count, 4 * BLOCK)}


def queries(rounds: int) -> None:
    """Time and memory against the number of queries: the first should grow in proportion, the second not at all."""
    for count in (1_000, 10_000, 100_000, 1_000_000):
        times = max(1, min(rounds, 10_000 // count))
        cost = measured(f"queries/{count}", query_cases(count), times)["jets in blocks"]
        a_query = 1e6 * cost.minimum / count
        print(f"{count:>8} queries: {cost.minimum:8.2f} CPU s, {a_query:6.1f} us a query, {cost.memory / 1e6:6.0f} MB", flush=True)
    print()


def neighbours(rounds: int) -> None:
    """Neighbour search alone, against 64 x 64 nodes."""
    lattice = Lattice((0.0, 0.0), (1.0, 1.0), (64, 64))
    nodes = lattice.points(torch.float32)[None]
    radius = 2.4 / 63
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
        print(report(f"neighbours of {count} queries among 4096 nodes", alternate(steps, rounds), {"lattice": "lattice"}), flush=True)


def measured(section: str, cases: Cases, rounds: int) -> dict[str, Cost]:
    """Times in this process, memory in one of its own for each case."""
    times = alternate({name: build(False) for name, build in cases.items()}, rounds)
    return {name: replace(cost, memory=peak_of(__file__, f"{section}/{name}")) for name, cost in times.items()}


def case(path: str) -> Build:
    """A case by its path: decoder/poisson/jets."""
    section, setting, name = path.split("/")
    if section == "decoder":
        return decoder_cases(setting)[name]
    return (peer_cases if section == "peer" else query_cases)(int(setting))[name]


SECTIONS: Mapping[str, Callable[[int], None]] = {"decoder": decoder, "peer": peer, "queries": queries, "neighbours": neighbours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--rounds", type=int, default=9, help="steps of each kind")
    parser.add_argument("--memory", metavar="CASE", help="print the peak of one case, in bytes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        print(peak(case(options.memory)))
        return
    for name in options.sections or SECTIONS:
        if name not in SECTIONS:
            parser.error(f"no section {name!r}: {', '.join(SECTIONS)}")
        SECTIONS[name](options.rounds)


if __name__ == "__main__":
    main()
