"""Every example, and every whole problem of the pages, with an operator and options so small that a
step takes a moment."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import skfem
import torch

import compiler
import pdespec
from compiler.measurements.named import path_of
from pdespec import Problem

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```pde\n(problem .*?)^```", re.M | re.S)
SIZES = {"latent": 8, "modes": 4, "hidden": 8, "layers": 1}
OPTIONS: dict[str, Any] = {
    "batch": 4,
    "points": {"interior": 16, "boundary": 8, "initial": 8, "operator": 16},
    "validation": 4,
    "precision": "float64",
    "log_every": 1,
}


def problems() -> dict[str, Problem]:
    """By file, with a number where a page has several. What a page shows in order to be refused
    is left out, measured data whose file is not there too."""
    place = _with_meshes()
    found = {
        f"examples/{path.stem}": pdespec.load(path)
        for path in sorted((ROOT / "examples").glob("*.pde"))
    }
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for k, text in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
            try:
                problem = pdespec.parse(text, source=str(place / page.name))
            except pdespec.ProblemError:
                continue
            if problem not in found.values():
                found[f"{page.relative_to(ROOT).with_suffix('')}/{k}"] = problem
    return {name: _without_absent(problem) for name, problem in found.items()}


@functools.cache
def _with_meshes() -> Path:
    """A folder with the mesh that a page names, in millimetres: a block, one side of it held by a
    bolt."""
    place, sides = Path(tempfile.mkdtemp()), [np.linspace(0, 100, 4)] * 3
    block = skfem.MeshTet.init_tensor(*sides).with_boundaries({"bolt": lambda x: x[0] < 1})
    block.save(place / "bracket.msh", file_format="gmsh")
    return place


def _without_absent(problem: Problem) -> Problem:
    there = tuple(each for each in problem.data if path_of(each).is_file())
    return problem if len(there) == len(problem.data) else problem.revised(data=there)


def operator(problem: Problem) -> torch.nn.Module:
    torch.manual_seed(0)
    latent = (SIZES["latent"],) * len(problem.variables)
    return compiler.build(problem, "gino", **{**SIZES, "latent": latent})
