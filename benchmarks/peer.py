"""A whole training step of a graph operator with 714,692 parameters beside neuraloperator's, in one command:

    OMP_NUM_THREADS=1 python benchmarks/peer.py            # all of it, half an hour
    OMP_NUM_THREADS=1 python benchmarks/peer.py answers    # or: steps, queries

`answers` asks whether both compute the same, and how many digits are right, against float64; `steps` measures CPU time of one thread, steps
run in turns, and the rise of resident memory in a process of its own; `queries` takes our step to a million queries. The peer needs the
extra [bench]; without it our own figures are printed.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Mapping

import torch
from measure import Build, Step, measured, peak, report, save
from steps import BLOCK
from torch import Tensor
from whole import Peer, own_operator, own_step, peer_step, work

from compiler.derivatives import Autograd, Backend, Form, Request, Taylor
from operators.field import OperatorInput
from operators.gino import DecodedField

INSTALLED = importlib.util.find_spec("neuralop") is not None
PARAMETERS = 714_692

SECOND_ORDER = Request({0: frozenset({(0, 0), (1, 0), (0, 1)})}, {"laplacian": Form({(2, 0): 1.0, (0, 2): 1.0}, frozenset({0}))})


def answers(_: int) -> None:
    """Relative errors of u, its gradient and its Laplacian against float64, and of one library against the other."""
    sample = work(512)
    points = sample.points
    rows = {"jets, float32 against nested autograd, float64": errors(own_derivatives(points), own_derivatives(points.double(), Autograd()))}
    if INSTALLED:
        double = Peer(patched=True, dtype=torch.float64)
        exact = double.derivatives(sample, points.double())
        for name, patched in (("as shipped", False), ("patched", True)):
            rows[f"peer {name}, float32 against float64"] = errors(Peer(patched).derivatives(sample, points), exact)
        ours = derivatives_of(double.as_field(sample), points.double(), Taylor())
        rows["jets on the peer's weights against the peer, float64"] = errors(ours, exact)
    lines = [f"{'relative error of':56s}" + "".join(f"{name:>11s}" for name in next(iter(rows.values())))]
    lines += [f"{name:56s}" + "".join(f"{error:11.1e}" for error in row.values()) for name, row in rows.items()]
    print("\n".join(lines) + "\n", flush=True)
    save("peer_answers", rows, "\n".join(lines))


def own_derivatives(points: Tensor, backend: Backend | None = None) -> dict[str, Tensor]:
    sample, model = work(1), own_operator().to(points.dtype)
    field = model(OperatorInput(sample.geometry[None].to(points), sample.values[None].to(points)))
    return derivatives_of(field, points, backend or Taylor())


def derivatives_of(field: DecodedField, points: Tensor, backend: Backend) -> dict[str, Tensor]:
    """u, its gradient and its Laplacian. Shapes: points (n, 2)."""
    found = backend.evaluate(field, points[None], SECOND_ORDER)
    gradient = torch.stack([found[0, (1, 0)][0], found[0, (0, 1)][0]], -1)
    return {"u": found[0, (0, 0)][0].detach(), "gradient": gradient.detach(), "Laplacian": found[0, "laplacian"][0].detach()}


def errors(found: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> dict[str, float]:
    """Relative root mean square errors."""
    return {name: float((found[name].double() - each).norm() / each.norm()) for name, each in exact.items()}


def steps(rounds: int) -> None:
    """The step at 1024 and 4096 queries; the peer as shipped at 1024 alone: its memory grows with their square, to some 75 GB at 4096."""
    found = sum(p.numel() * (2 if p.is_complex() else 1) for p in own_operator().parameters())
    text = [f"real parameters: {found} ours, {PARAMETERS} the peer's\n"]
    print(text[0], flush=True)
    tables = {}
    for count in (1024, 4096):
        title = f"whole operator, {count} queries"
        tables[title] = measured(__file__, str(count), step_cases(count), rounds)
        text.append(report(title, tables[title], {"shipped": "peer as shipped", "patched": "peer patched"}))
        print(text[-1], flush=True)
    save("peer_steps", tables, "\n".join(text))


def step_cases(count: int) -> dict[str, Build]:
    def of(step: Callable[..., Step], *options: object) -> Build:
        return lambda small: step(16 if small else count, *options)

    cases = {"peer as shipped": of(peer_step, False)} if INSTALLED and count <= 1024 else {}
    cases |= {"peer patched": of(peer_step, True)} if INSTALLED else {}
    return cases | {
        "jets": of(own_step),
        "jets in blocks": of(own_step, BLOCK),
        "jets in blocks, captured": of(own_step, BLOCK, "captured"),
    }


def queries(_: int) -> None:
    """Time and memory against the number of queries: the first grows in proportion, the second with the points' own coordinates alone."""
    tables, lines = {}, []
    for count in (1_000, 10_000, 100_000, 1_000_000):
        case = {name: build for name, build in step_cases(count).items() if name == "jets in blocks, captured"}
        (cost,) = measured(__file__, str(count), case, max(1, 20_000 // count)).values()
        tables[str(count)] = {"jets in blocks, captured": cost}
        a_query = 1e6 * cost.minimum / count
        lines.append(f"{count:>8} queries: {cost.minimum:8.2f} CPU s, {a_query:6.1f} us a query, {cost.memory / 1e6:6.0f} MB")
        print(lines[-1], flush=True)
    print()
    save("peer_queries", tables, "\n".join(lines))


SECTIONS: Mapping[str, Callable[[int], None]] = {"answers": answers, "steps": steps, "queries": queries}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--rounds", type=int, default=9, help="steps of each kind")
    parser.add_argument("--memory", metavar="CASE", help="print the peak of one case, in bytes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        count, name = options.memory.split("/", 1)
        print(peak(step_cases(int(count))[name]))
        return
    if not INSTALLED:
        print("neuraloperator is not installed (pip install -e .[bench]): our own figures only\n")
    for name in options.sections or SECTIONS:
        if name not in SECTIONS:
            parser.error(f"no section {name!r}: {', '.join(SECTIONS)}")
        SECTIONS[name](options.rounds)


if __name__ == "__main__":
    main()
