"""Error against time, as figure 7 of Lin et al. (arXiv 2504.08277): a trained operator, Meta-PDE,
our finite elements and FEniCS.

    python benchmarks/paper/figure7.py --run runs/poisson --run runs/pores --meta runs/maml

of trained runs, those of `--meta` by benchmarks/paper/metapde.py; it writes results/NAME.*

A run is of `nonlinear_poisson` or `hyperelastic_pores`. Errors are relative squared L2 errors of u
at interior points of held-out samples, against the finest mesh of all (cubic elements for Poisson).
Times are of one thread: of a solver assembly and solve by Newton's method to a relative residual of
1e-10, without meshing and without compilation, which are told apart; of the operator everything
from the drawn numbers to values at 4096 points, one sample at a time or a batch of 16 at once.
FEniCS runs the exported form on the same straight meshes, where it is installed. Meta-PDE: after
its inner steps, then every `--every` of `--finetune` steps of Adam, on one set of points; its time
is that of the steps and of the values.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from matplotlib.ticker import NullFormatter

sys.path.insert(0, str(Path(__file__).parents[1]))
from measure import RESULTS, save
from metapde import DEPLOYED

import compiler
from compiler.chance import seeded
from compiler.fem import SolverError
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.export.fenics import available, solve_with_fenics
from compiler.fem.meshing.mesh import mesh_domain
from compiler.files import append
from compiler.geometry.metrics import domain, interior, squared_misfit
from compiler.training.checkpoint import dtype_of, load_run
from compiler.training.meta import MetaRun, load_meta

POINTS, BATCH = 4096, 16
FINEST: Mapping[str, Mapping[str, int]] = {
    "nonlinear_poisson": {"resolution": 64, "degree": 3},
    "hyperelastic_pores": {"resolution": 64, "degree": 2},
}
METAS = {"maml": "Meta-PDE (MAML)", "leap": "Meta-PDE (LEAP)"}
OURS, THEIRS, ONE, MANY = (
    "finite elements",
    "FEniCS",
    "operator, one sample",
    f"operator, batch of {BATCH}",
)

Row = dict[str, Any]


def draw(run: compiler.Run, size: int, index: int) -> Any:
    """Held-out samples: those of `pdespec evaluate`, in its dtype."""
    counts = {**run.options.points, "interior": POINTS}
    return compiler.sample(
        run.problem,
        size,
        counts,
        seeded(0, "evaluate", index),
        dtype=torch.float64,
        hard_conditions=run.options.hard_conditions,
    )


def operator_rows(
    run: compiler.Run, index: int, truth: Callable[[torch.Tensor], torch.Tensor]
) -> list[Row]:
    """One sample alone, and its share of the time of a batch."""
    batch = draw(run, 1, index).to(dtype_of(run.options))
    answer, alone = timed(lambda: run.model(batch.inputs)(interior(run.problem, batch)))
    error = float(squared_misfit(answer.double(), truth(interior(run.problem, batch)))[0])
    many = draw(run, BATCH, index).to(dtype_of(run.options))
    _, together = timed(lambda: run.model(many.inputs)(interior(run.problem, many)))
    return [
        {"method": ONE, "sample": index, "error": error, "seconds": alone},
        {"method": MANY, "sample": index, "error": error, "seconds": together / BATCH},
    ]


@torch.no_grad()
def timed(work: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """The better of two calls, the first of which also plans transforms."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - began)
    return found, min(seconds)


def solver_rows(
    run: compiler.Run, index: int, resolution: int, truth: Callable[[torch.Tensor], torch.Tensor]
) -> list[Row]:
    """Ours on curved cells; FEniCS on straight ones, where its nodal values are ours to
    rounding."""
    problem, batch = run.problem, draw(run, 1, index)
    points = interior(problem, batch)
    expected = truth(points)
    rows = []

    def row(method: str, solve: Callable[[], tuple[Any, float, float]]) -> None:
        try:
            field, seconds, meshing = solve()
        except SolverError as failure:
            rows.append(
                {
                    "method": method,
                    "sample": index,
                    "resolution": resolution,
                    "failed": str(failure)[:200],
                }
            )
            return
        error = float(squared_misfit(field(points), expected)[0])
        rows.append(
            {
                "method": method,
                "sample": index,
                "resolution": resolution,
                "error": error,
                "seconds": seconds,
                "meshing": meshing,
            }
        )

    def ours() -> tuple[Any, float, float]:
        found = compiler.solve(problem, batch, resolution=resolution)
        return found, found.phases["solve"], found.phases["mesh"]

    def theirs() -> tuple[Any, float, float]:
        region = domain(problem)
        mesh = mesh_domain(region, Coefficients(problem, batch).shape_values, resolution)
        return (
            compiler.solve(problem, batch, mesh=mesh),
            solve_with_fenics(problem, batch, mesh).seconds,
            0.0,
        )

    row(OURS, ours)
    if available():
        row(THEIRS, theirs)
    return rows


def meta_rows(
    meta: MetaRun,
    points: torch.Tensor,
    expected: torch.Tensor,
    index: int,
    steps: tuple[int, int],
) -> list[Row]:
    """The curve of one sample while its network is adapted."""
    options = meta.options
    batch = compiler.sample(
        meta.problem,
        1,
        DEPLOYED,
        seeded(0, "evaluate", index),
        dtype=options.dtype,
        hard_conditions=options.hard_conditions,
    )

    def look(field: Any) -> tuple[float, float]:
        values, seconds = timed(lambda: field(points.to(options.dtype)))
        return float(squared_misfit(values.double(), expected)[0]), seconds

    return [
        {
            "method": METAS[options.method],
            "sample": index,
            "resolution": count,
            "error": found[0],
            "seconds": seconds + found[1],
        }
        for count, seconds, found in meta.adapt(batch, steps[0], look, steps[1]).curve
    ]


def measured(
    run: compiler.Run,
    samples: int,
    resolutions: list[int],
    metas: Sequence[MetaRun] = (),
    steps: tuple[int, int] = (200, 20),
    kept: Path | None = None,
) -> list[Row]:
    """All methods on the same held-out samples; those in the file `kept` are not measured again."""
    rows = [json.loads(line) for line in _whole_lines(kept)]
    done = {row["sample"] for row in rows}
    compiler.solve(run.problem, draw(run, 1, 0), resolution=4)  # compiles what all samples share
    for meta in metas:  # so does the first step of every network
        meta.adapt(compiler.sample(run.problem, 1, DEPLOYED), 2)
    for index in range(samples):
        if index in done:
            continue
        truth = compiler.solve(run.problem, draw(run, 1, index), **FINEST[run.problem.name])
        found = operator_rows(run, index, truth)
        points = interior(run.problem, draw(run, 1, index))
        for meta in metas:
            found += meta_rows(meta, points, truth(points), index, steps)
        for resolution in resolutions:
            found += solver_rows(run, index, resolution, truth)
        rows += found
        if kept is not None:
            append(kept, "".join(json.dumps(row) + "\n" for row in found))
        print(f"{run.problem.name}: {index + 1} of {samples} samples", flush=True)
    return rows


def _whole_lines(path: Path | None) -> list[str]:
    """The lines of a file that its samples wrote whole: each sample writes at once."""
    if path is None or not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()


def curves(rows: list[Row]) -> dict[str, dict[str, Any]]:
    """Per method and resolution: mean seconds; mean, least and greatest error; how many samples
    failed."""
    found = {}
    for method in (OURS, THEIRS, *METAS.values(), ONE, MANY):
        for resolution in sorted(
            {r["resolution"] for r in rows if r["method"] == method and "resolution" in r}
        ) or [None]:
            own = [r for r in rows if r["method"] == method and r.get("resolution") == resolution]
            good = [r for r in own if "error" in r]
            if good:
                errors, seconds = [r["error"] for r in good], [r["seconds"] for r in good]
                found[method if resolution is None else f"{method}, {resolution}"] = {
                    "method": method,
                    "seconds": sum(seconds) / len(good),
                    "error": sum(errors) / len(good),
                    "least": min(errors),
                    "greatest": max(errors),
                    "failed": len(own) - len(good),
                }
    return found


def table(name: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        f"{name + ', relative squared error':34s}{'seconds':>10s}{'mean':>10s}"
        f"{'least':>10s}{'greatest':>10s}{'failed':>8s}"
    ]
    for label, c in found.items():
        lines.append(
            f"{label:34s}{c['seconds']:10.4f}"
            + "".join(f"{c[k]:10.1e}" for k in ("error", "least", "greatest"))
            + f"{c['failed']:8d}"
        )
    return "\n".join(lines)


def picture(panels: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """One panel a problem: mean error against time, with the band from the best to the worst
    sample."""
    figure, axes = plt.subplots(
        1, len(panels), figsize=(6 * len(panels), 4.4), squeeze=False, layout="constrained"
    )
    for each, (name, found) in zip(axes[0], panels.items(), strict=True):
        for k, method in enumerate((OURS, THEIRS, ONE, MANY, *METAS.values())):
            own = [c for c in found.values() if c["method"] == method]
            if own:
                seconds, error = [c["seconds"] for c in own], [c["error"] for c in own]
                low, high = [c["least"] for c in own], [c["greatest"] for c in own]
                each.plot(
                    seconds, error, "o-" if len(own) > 1 else "s", color=f"C{k}", label=method
                )
                if len(own) > 1:
                    each.fill_between(seconds, low, high, color=f"C{k}", alpha=0.15, lw=0)
                else:
                    each.vlines(seconds, low, high, color=f"C{k}", alpha=0.5)
        each.set(
            xscale="log",
            yscale="log",
            xlabel="seconds a sample, one thread",
            ylabel="relative squared error of u",
            title=name,
        )
        each.xaxis.set_minor_formatter(NullFormatter())
        each.set_xlim(min(each.get_xlim()[0], 5e-3), max(each.get_xlim()[1], 0.2))
        each.grid(alpha=0.25)
    handles = {
        label: handle
        for each in axes[0]
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=min(len(handles), 3 * len(panels)),
        fontsize=8,
    )
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="a trained run; give it once a problem",
    )
    parser.add_argument("--resolutions", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--meta", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--finetune", type=int, default=200, help="steps of Meta-PDE")
    parser.add_argument("--every", type=int, default=20, help="of them it is looked at")
    parser.add_argument(
        "--kept", type=Path, help="folder of rows, from which a stopped one goes on"
    )
    parser.add_argument("--name", default="figure7", help="of the results")
    options = parser.parse_args()
    metas = [load_meta(each) for each in options.meta]
    torch.set_num_threads(1)
    panels, text = {}, []
    for directory in options.run:
        run = load_run(directory)
        if run.problem.name not in FINEST:
            parser.error(
                f"{directory} is a run of {run.problem.name}; this figure is of"
                f" {' and '.join(FINEST)}"
            )
        own = [each for each in metas if each.problem == run.problem]
        if options.kept:
            options.kept.mkdir(parents=True, exist_ok=True)
        rows = measured(
            run,
            options.samples,
            options.resolutions,
            own,
            (options.finetune, options.every),
            options.kept and options.kept / f"{run.problem.name}.jsonl",
        )
        panels[run.problem.name] = curves(rows)
        text.append(table(run.problem.name, panels[run.problem.name]))
        print(text[-1], flush=True)
    save(options.name, panels, "\n\n".join(text))
    picture(panels, RESULTS / f"{options.name}.png")


if __name__ == "__main__":
    main()
