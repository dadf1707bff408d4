"""The name and options from which a model can be rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is built again: `compiler.build(problem, operator, **options)`."""

    operator: str
    options: Mapping[str, Any]


PLACINGS = ("sobol", "uniform", "mesh")
