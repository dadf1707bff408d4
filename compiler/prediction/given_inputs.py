"""Input functions as callers give them: callables, values at points or on grids, files; each as a
function of points in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from compiler.data.samples import from_file
from compiler.geometry.domain import box
from compiler.loss.verify import Asking
from compiler.measurements.interpolation import gridded, scattered
from compiler.prediction.differenced import differenced
from pdespec.errors import fail
from pdespec.statements.problem import Problem
from pdespec.symbols import Input


def input_function(declared: Input, problem: Problem, value: Any, size: int | None) -> Any:
    """An input of any kind that an operator takes, as `compiler.instance` takes it."""
    name, count = declared.name, len(declared.components)
    if isinstance(value, (str, Path)):
        named = replace(declared, law=None, source=str(value), folder="")
        return from_file(named, size or 1, torch.device("cpu"))
    if isinstance(value, list):
        return _each([input_function(declared, problem, each, None) for each in value], name)
    if hasattr(value, "dims") and hasattr(value, "coords"):
        return _of_grid(declared, problem, value)
    if isinstance(value, tuple) and len(value) == 2:
        points, values = (
            each if isinstance(each, Tensor) else torch.as_tensor(np.asarray(each, dtype=float))
            for each in value
        )
        points = points[:, None] if points.ndim == 1 else points
        if values.ndim == 1:
            values = values[None, :, None]
        elif values.ndim == 2:
            values = (
                values[None]
                if values.shape[0] == len(points) and values.shape[1] == count
                else values[..., None]
            )
        if values.shape[-1] != count:
            raise fail(
                "B01",
                f"`{name}` has {values.shape[-1]} components at each point, {count} are declared",
                "",
            )
        return _wide(scattered(points, values, name))
    if callable(value) and not isinstance(value, sp.Basic):
        return _Asked(value, name, count, _extents(declared))
    return value


def _extents(declared: Input) -> tuple[float, ...]:
    """Of the box in which an input is asked, along its coordinates and time."""
    lower, upper = box(declared.region.domain)
    found = tuple(high - low for low, high in zip(lower, upper, strict=True))
    time = declared.time
    return found if time is None else (*found, float(time.end - time.start))


def _each(functions: Sequence[Any], name: str) -> Callable[[Tensor], Tensor]:
    for each in functions:
        if not callable(each) or isinstance(each, sp.Basic):
            raise fail(
                "B01",
                f"input `{name}` is a list of {type(each).__name__}",
                "a list holds one callable of points a sample",
            )
    return lambda points: torch.cat([each(points[k : k + 1]) for k, each in enumerate(functions)])


def _wide(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A spline of one sample for all, where the batch has more."""
    return lambda points: function(points).expand(points.shape[0], -1, -1)


def _of_grid(declared: Input, problem: Problem, array: Any) -> Callable[[Tensor], Tensor]:
    variables = [each.name for each in problem.coordinates] + (
        [problem.time.name] if declared.time is not None else []
    )
    for name in variables:
        if name not in array.dims or name not in array.coords:
            raise fail(
                "B01",
                f"the array of input `{declared.name}` has no coordinate `{name}`",
                f"its dimensions are {', '.join(array.dims)}",
            )
    others = [each for each in array.dims if each not in (*variables, "sample")]
    if len(others) > 1:
        raise fail(
            "B01",
            f"the array of input `{declared.name}` has the further dimensions {', '.join(others)}",
            "select one of each",
        )
    ordered = array.sortby(variables).transpose(
        *(["sample"] if "sample" in array.dims else []), *variables, *others
    )
    values = torch.as_tensor(np.array(ordered.values, dtype=float))
    values = values if "sample" in array.dims else values[None]
    values = values if others else values[..., None]
    if values.shape[-1] != len(declared.components):
        raise fail(
            "B01",
            f"`{declared.name}` has {values.shape[-1]} components, {len(declared.components)} are"
            " declared",
            "",
        )
    return _wide(
        gridded(
            [
                torch.as_tensor(np.sort(np.asarray(array.coords[each].values, dtype=float)))
                for each in variables
            ],
            values,
            declared.name,
        )
    )


class _Asked(Asking):
    """A caller's function of points (n, d) for all samples: in torch, or in NumPy where it takes no
    tensors that require grad or returns none; its derivatives are then those of differences."""

    def __init__(
        self, function: Callable[[Any], Any], name: str, count: int, extents: Sequence[float]
    ) -> None:
        self.function = self.__wrapped__ = function
        self.name, self.count, self.extents = name, count, extents
        self.knows_torch: bool | None = None

    def __call__(self, points: Tensor) -> Tensor:
        flat = points.reshape(-1, points.shape[-1])
        if self.knows_torch is None:
            self.knows_torch = self._takes_tensors(flat)
        if self.knows_torch:
            values = torch.as_tensor(self.function(flat))
        else:
            values = differenced(self.function, flat, self.extents, self.name)
        values = values.to(points.device, points.dtype)
        if values.ndim == 0:
            values = values.expand(len(flat))
        shape, count = tuple(values.shape), self.count
        if shape not in ((len(flat),), (len(flat), count)) or (len(shape) == 1 and count > 1):
            one = f"({len(flat)},) or ({len(flat)}, 1)"
            raise fail(
                "B01",
                f"input `{self.name}` returned shape {shape} for points {tuple(flat.shape)},"
                f" {one if count == 1 else (len(flat), count)} is needed",
                "",
            )
        return values.reshape(*points.shape[:-1], count)

    def _takes_tensors(self, points: Tensor) -> bool:
        """A tensor that requires grad is refused by NumPy, where another one is taken without a
        word and loses its derivatives."""
        try:
            values = self.function(points.detach().requires_grad_())
        except (TypeError, AttributeError, RuntimeError):
            return False
        return isinstance(values, (Tensor, int, float))
