"""The part of the page on each sample that is shown: what was drawn, pictures, frames, and files
of what they show."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compiler.arrays import Array
from compiler.evaluation.result import Evaluation, Sample
from compiler.fem.export.vtk import fields_of, write
from compiler.files import write_atomically
from compiler.report.chart_data import links
from compiler.report.frames import as_arrays, frames, npz, palette, viewer
from compiler.report.labels import labelled, unit_of
from compiler.report.solid import MISSING, has_pyvista, is_solid, solid_picture
from compiler.training.progress import percent
from compiler.training.runs import PICTURES
from pdespec.statements.problem import Problem

PALETTES = ("viridis", "magma")


@dataclass(frozen=True)
class Shown:
    """A sample on the page: its rank, what the page's script draws of it, and its files, relative
    to the page."""

    rank: str
    sample: Sample
    drawn: Mapping[str, Any]
    files: tuple[str, ...]


def prepare(evaluation: Evaluation) -> list[Shown]:
    """Samples as the page shows them, and with their pictures the numbers that these show."""
    run, found = evaluation.run, []
    for rank, sample in evaluation.ranked().items():
        made = frames(run.problem, sample)
        names = [f"{PICTURES}/{rank}.npz"]
        write_atomically(run.directory / names[0], npz(as_arrays(made, run.problem, sample)))
        # a file is tens of megabytes: one of them
        if is_solid(run.problem, sample) and rank == "worst":
            names.append(f"{PICTURES}/{rank}.vtu")
            write_vtk(run.problem, sample, run.directory / names[-1])
        found.append(Shown(rank, sample, viewer(made, run.problem, sample), tuple(names)))
    return found


def solid_pictures(evaluation: Evaluation) -> dict[str, bytes]:
    """A view of the worst sample's body in space from outside, as `solid_worst`; none where
    PyVista is not there. Without a graphics card one takes ten seconds: not for every sample."""
    problem = evaluation.run.problem
    drawn = {
        f"solid_{rank}": solid_picture(problem, sample)
        for rank, sample in evaluation.ranked().items()
        if rank == "worst" and is_solid(problem, sample)
    }
    return {name: data for name, data in drawn.items() if data is not None}


def write_vtk(problem: Problem, sample: Sample, path: Path) -> None:
    """The reference of a sample, and with it the operator, for ParaView; at the last time, where
    there is time."""
    own = sample.batch.points[next(iter(sample.batch.points))].points

    @torch.no_grad()
    def operator(points: Array) -> dict[str, Array]:
        at = torch.from_numpy(points)
        if problem.time is not None:
            at = torch.cat([at, torch.full_like(at[:, :1], float(problem.time.end))], -1)
        values = sample.field(at[None].to(own))[0].double().cpu().numpy()
        names = list(problem.components)
        return {
            f"{name}, operator": values[:, [names.index(each) for each in components]]
            for name, components in fields_of(problem.components).items()
        }

    write(sample.truth.samples[0], -1, path, operator)


def sections(evaluation: Evaluation, shown: list[Shown], pictures: Mapping[str, str]) -> str:
    """The HTML of the samples; `pictures` are the sources of the images, by rank."""
    return "".join(_section(evaluation, each, pictures) for each in shown)


def _section(evaluation: Evaluation, shown: Shown, pictures: Mapping[str, str]) -> str:
    sample, rank = shown.sample, shown.rank
    errors = ", ".join(f"{name} {percent(value)}" for name, value in sample.unknowns.items())
    problem, what = evaluation.run.problem, "operator, reference, error and residual"
    line = is_line(problem)
    picture = (
        f'<img alt="{rank} held-out sample: {"error and residual" if line else what}"'
        f' src="{pictures[rank]}">{body_outside(problem, shown, pictures)}'
    )
    viewer = f'<div class="viewer" data-viewer="{rank}"></div>'
    return (
        f'<section class="card"><h3>The {rank} sample, number {sample.index}</h3>'
        f"<p>Relative L2 error: {html.escape(errors)}</p>{_drawn(problem, sample)}"
        f"{viewer + picture if line else picture + viewer}"
        f"{links(shown.files, 'The numbers behind these pictures')}</section>"
    )


def is_line(problem: Problem) -> bool:
    """Whether samples are curves, which the page's script draws."""
    return len(problem.variables) == 1


def body_outside(problem: Problem, shown: Shown, pictures: Mapping[str, str]) -> str:
    """A body in space from outside, or how to have that."""
    if shown.rank != "worst" or not is_solid(problem, shown.sample):
        return ""
    source = pictures.get(f"solid_{shown.rank}")
    if source is None:
        why = "PyVista could not draw on this machine." if has_pyvista() else MISSING
        return f"<p>{why}</p>"
    return f'<img alt="{shown.rank} held-out sample: the body from outside" src="{source}">'


def _drawn(problem: Problem, sample: Sample) -> str:
    """Params and outputs of a sample in a line each."""
    lines = []
    params = [
        _quantity(name, sample.batch.params[name][0].double().cpu().numpy(), problem)
        for name in problem.params
    ]
    if params:
        lines.append(f"Params: {'; '.join(params)}")
    for name, each in sample.outputs.items():
        if each.operator is not None and each.reference is not None:
            own, right = (_numbers(np.asarray(v)) for v in (each.operator, each.reference))
            title = labelled(name, problem)
            lines.append(f"Output {title}: {own} by the operator, {right} by the reference")
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _quantity(name: str, values: Array, problem: Problem) -> str:
    """`load = 5e5 [Pa]`"""
    unit = unit_of(name, problem)
    return f"{name} = {_numbers(values)}" + (f" [{unit}]" if unit else "")


def _numbers(values: Array) -> str:
    return ", ".join(f"{v:.5g}" for v in np.asarray(values, dtype=float).reshape(-1))


def script_data(shown: list[Shown]) -> str:
    """What the page's script reads, safe within a page."""
    data = {
        "palettes": {name: palette(name) for name in PALETTES},
        "samples": {each.rank: each.drawn for each in shown},
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace("$", "\\u0024")
