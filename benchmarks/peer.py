"""A whole training step of a graph operator with 714,692 parameters beside neuraloperator's:
sections of derivatives.py.

`answers` asks whether both compute the same, and how many digits are right, against float64;
`steps` measures what a step costs; `queries` takes our step to a million queries.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping

import torch
from measure import Bench, Build, Step, measured, report, save
from steps import BLOCKS
from torch import Tensor
from whole import Peer, own_operator, own_step, peer_step, work

from compiler.derivatives import Autograd, Backend, Form, Request, Taylor
from operators.field import OperatorInput
from operators.models.gino import DecodedField

INSTALLED = importlib.util.find_spec("neuralop") is not None
PARAMETERS = 714_692

SECOND_ORDER = Request(
    {0: frozenset({(0, 0), (1, 0), (0, 1)})},
    {"laplacian": Form({(2, 0): 1.0, (0, 2): 1.0}, frozenset({0}))},
)


def answers(_: Bench) -> None:
    """Relative errors of u, its gradient and its Laplacian against float64, and of one library
    against the other."""
    sample = work(512)
    points = sample.points
    rows = {
        "jets, float32 against nested autograd, float64": errors(
            own_derivatives(points), own_derivatives(points.double(), Autograd())
        )
    }
    if INSTALLED:
        double = Peer(patched=True, dtype=torch.float64)
        exact = double.derivatives(sample, points.double())
        for name, patched in (("as shipped", False), ("patched", True)):
            rows[f"peer {name}, float32 against float64"] = errors(
                Peer(patched).derivatives(sample, points), exact
            )
        ours = derivatives_of(double.as_field(sample), points.double(), Taylor())
        rows["jets on the peer's weights against the peer, float64"] = errors(ours, exact)
    lines = [
        f"{'relative error of':56s}" + "".join(f"{name:>11s}" for name in next(iter(rows.values())))
    ]
    lines += [
        f"{name:56s}" + "".join(f"{error:11.1e}" for error in row.values())
        for name, row in rows.items()
    ]
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
    return {
        "u": found[0, (0, 0)][0].detach(),
        "gradient": gradient.detach(),
        "Laplacian": found[0, "laplacian"][0].detach(),
    }


def errors(found: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> dict[str, float]:
    """Relative root mean square errors."""
    return {
        name: float((found[name].double() - each).norm() / each.norm())
        for name, each in exact.items()
    }


def steps(bench: Bench) -> None:
    """The step at 1024 and 4096 queries; the peer as shipped at 1024 alone: its memory grows
    with their square, to some 75 GB at 4096."""
    found = sum(p.numel() * (2 if p.is_complex() else 1) for p in own_operator().parameters())
    text = [f"real parameters: {found} ours, {PARAMETERS} the peer's\n"]
    print(text[0], flush=True)
    tables = {}
    for count in (1024, 4096):
        title = f"whole operator, {count} queries"
        tables[title] = measured(bench, f"steps/{count}", step_cases(count, bench.device))
        text.append(
            report(title, tables[title], {"shipped": "peer as shipped", "patched": "peer patched"})
        )
        print(text[-1], flush=True)
    bench.save("peer_steps", tables, "\n".join(text))


def step_cases(count: int, device: str = "cpu") -> dict[str, Build]:
    block = BLOCKS[device]

    def of(step: Callable[..., Step], *options: object) -> Build:
        return lambda small: step(16 if small else count, *options, device=device)

    cases = {"peer as shipped": of(peer_step, False)} if INSTALLED and count <= 1024 else {}
    cases |= {"peer patched": of(peer_step, True)} if INSTALLED else {}
    cases |= {
        "jets": of(own_step),
        "jets in blocks": of(own_step, block),
        "jets in blocks, captured": of(own_step, block, "captured"),
    }
    return cases | (
        {"jets in blocks, CUDA graphs": of(own_step, block, "graphs")} if device == "cuda" else {}
    )


def queries(bench: Bench) -> None:
    """Time and memory against the number of queries: the first grows in proportion, the second
    with the points' own coordinates alone."""
    tables, lines = {}, []
    for count in (1_000, 10_000, 100_000, 1_000_000):
        case = {
            name: build
            for name, build in step_cases(count, bench.device).items()
            if name == "jets in blocks, captured"
        }
        (cost,) = measured(bench, f"steps/{count}", case, max(1, 20_000 // count)).values()
        tables[str(count)] = {"jets in blocks, captured": cost}
        a_query = 1e6 * cost.minimum / count
        lines.append(
            f"{count:>8} queries: {cost.minimum:8.4f} s, {a_query:6.1f} us a query,"
            f" {cost.memory / 1e6:6.0f} MB"
        )
        print(lines[-1], flush=True)
    print()
    bench.save("peer_queries", tables, "\n".join(lines))
