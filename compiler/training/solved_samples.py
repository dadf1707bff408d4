"""Labelled samples, used as training data in addition to the physics or in its place: drawn and
solved once, saved with the run."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from compiler.fem import SampleError
from compiler.geometry.metrics import Misfit, interior, misfit
from compiler.solvers import solve
from compiler.training.checkpoint import load_tree, save_tree
from compiler.training.progress import Display
from compiler.training.runs import SOLUTIONS as FILE
from compiler.training.runs import SOLVED, RunError, refuse_unlike
from pdespec.statements.problem import Problem

LABEL = "data"  # of the term, also in `TrainOptions.weights`
POINTS = 1024  # of each solved sample; a step takes as many of them as it has interior points


@dataclass(frozen=True)
class Solutions:
    """Solved samples. Shapes: values "s m c", at the interior points of the batch of s samples."""

    problem: Problem
    batch: Any
    values: Tensor

    def misfit(
        self,
        model: Callable[[Any], Callable[[Tensor], Tensor]],
        samples: Sequence[int],
        points: Tensor,
    ) -> Tensor:
        """Mean over samples and unknowns of the squared relative error (see
        `compiler.geometry.metrics`) over some of the points, numbered by `points` "k". Shapes: ->
        "".
        """
        batch, expected = self.batch.select(samples), self.values[list(samples)][:, points]
        at = interior(self.problem, batch)[:, points]
        return (
            misfit(self.problem, at, model(batch.inputs)(at), expected).squared(self.scale).mean()
        )

    @cached_property
    def scale(self) -> dict[str, Tensor]:
        """The mean square of each unknown over all samples."""
        found: Misfit = misfit(
            self.problem, interior(self.problem, self.batch), self.values, self.values
        )
        return found.scale()

    def to(self, dtype: torch.dtype, device: torch.device) -> Solutions:
        return Solutions(
            self.problem, self.batch.to(dtype).to(device), self.values.to(device, dtype)
        )


def solve_unless_saved(
    problem: Problem,
    draw: Callable[[int], Any],
    count: int,
    directory: Path,
    display: Display,
    fabric: Fabric,
) -> None:
    """Solves the samples `draw(count)`, unless `directory` holds their values already. To be
    called by all processes at once.

    Raises: RunError where the solver failed on all of them.
    """
    path = directory / FILE
    if fabric.broadcast(path.is_file()):
        return
    kept = Kept(directory, LABEL)
    found = solved_together(problem, draw(count).to(torch.float64), count, kept, display, fabric)
    if fabric.is_global_zero:
        values = torch.stack(list(found.values()))
        save_tree(path, {"count": count, "samples": list(found), "values": values})
        kept.forget()
    fabric.barrier()


@dataclass(frozen=True)
class Kept:
    """Where solved samples are put down one by one as they come, under a name."""

    directory: Path
    name: str

    def path(self, sample: int) -> Path:
        """The file of a sample."""
        return self.directory / SOLVED / f"{self.name}-{sample}.safetensors"

    def read(self, sample: int, digest: str) -> Tensor | str | None:
        """The values of a sample, or why it has none; None where it is not solved, or was drawn
        otherwise. Shapes: -> "m c"."""
        path = self.path(sample)
        if not path.is_file():
            return None
        saved = load_tree(path)
        refuse_unlike(saved, {"digest": str, "outcome": (Tensor, str)}, path)
        return saved["outcome"] if saved["digest"] == digest else None

    def write(self, sample: int, digest: str, outcome: Tensor | str) -> None:
        """Puts down the solution of a sample, or the solver's words where it gave up; `digest` says
        of what it is."""
        path = self.path(sample)
        path.parent.mkdir(exist_ok=True)
        save_tree(path, {"digest": digest, "outcome": outcome})

    def forget(self) -> None:
        """Deletes all of this name."""
        for path in (self.directory / SOLVED).glob(f"{self.name}-*.safetensors"):
            path.unlink()
        with contextlib.suppress(OSError):  # not there, or not empty
            (self.directory / SOLVED).rmdir()


def solved_together(
    problem: Problem, batch: Any, count: int, kept: Kept | None, display: Display, fabric: Fabric
) -> dict[int, Tensor]:
    """The values of `count` samples at the interior points of their batch, by number, without
    those that the solver gave up on. To be called by all processes at once.

    Each process solves its share, one sample after the other, and they meet after each: they wait
    for one another no longer than one sample takes, and a stop loses no more. Shapes: -> "m c".
    Raises: RunError where the solver gave all of them up.
    """
    points, first = interior(problem, batch), fabric.is_global_zero
    digests = [_digest(batch, points, k) for k in range(count)] if kept else [""] * count
    found: dict[int, Tensor | str] = {}
    for k in range(count if kept and first else 0):
        if kept and (known := kept.read(k, digests[k])) is not None:
            found[k] = known
    found = fabric.broadcast(found)
    left = [k for k in range(count) if k not in found]
    with contextlib.ExitStack() as cleanup:
        if first and left:
            display.start(f"solve {problem.name}", len(found), count, "samples")
            cleanup.callback(display.stop)
        for begin in range(0, len(left), fabric.world_size):
            share, own = left[begin : begin + fabric.world_size], None
            if fabric.global_rank < len(share):
                own = _attempt(problem, batch, points, share[fabric.global_rank])
            for source, k in enumerate(share):
                found[k] = fabric.broadcast(own, src=source)
                if kept and first:
                    kept.write(k, digests[k], found[k])
            if first:
                display.step({"step": len(found)}, ())
    values = {k: each for k, each in sorted(found.items()) if isinstance(each, Tensor)}
    if not values:
        if kept and first:
            kept.forget()
        last = [each for _, each in sorted(found.items())][-1]
        raise RunError(f"the reference solver failed on all {count} samples, last with: {last}")
    return values


def _attempt(problem: Problem, batch: Any, points: Tensor, k: int) -> Tensor | str:
    """The values of sample k, or why the solver gave it up."""
    try:
        return solve(problem, batch.select([k]))(points[k : k + 1])[0].detach().cpu()
    except SampleError as error:
        return str(error)


def _digest(batch: Any, points: Tensor, k: int) -> str:
    """Of what a sample is drawn as: another seed, law or number of points gives another one."""
    drawn = [points[k], *(value[k] for _, value in sorted(batch.params.items()))]
    found = hashlib.sha256()
    for each in drawn:
        found.update(each.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def load_solutions(
    problem: Problem, draw: Callable[[int], Any], count: int, directory: Path
) -> Solutions:
    """The samples that `solve_unless_saved` solved, without those the solver gave up on. Raises:
    RunError where there are others."""
    saved = load_tree(directory / FILE)
    refuse_unlike(saved, {"count": int, "samples": [int], "values": Tensor}, directory / FILE)
    if not all(0 <= k < saved["count"] for k in saved["samples"]) or saved["values"].dim() != 3:
        raise RunError(f"{directory / FILE} is damaged: its samples are {saved['samples'][:8]}")
    if saved["count"] != count:
        raise RunError(
            f"{directory / FILE} holds {saved['count']} solved samples, the run asks for {count};"
            " name another directory"
        )
    return Solutions(problem, draw(count).select(saved["samples"]), saved["values"])
