"""Closed forms as fields, with their derivatives by SymPy: an oracle that shares no code with
the backends."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import sympy as sp
import torch
from torch import Tensor

from compiler.derivatives import Axes, recognise
from pdespec.errors import ProblemError

TORCH = {"sin": torch.sin, "cos": torch.cos, "exp": torch.exp}


@dataclass(frozen=True)
class ClosedForm:
    """Components as SymPy expressions of some variables; called with points it is a field."""

    variables: tuple[sp.Symbol, ...]
    components: tuple[sp.Expr, ...]

    def evaluate(self, expression: sp.Expr, points: Tensor) -> Tensor:
        function = sp.lambdify(self.variables, expression, modules=[TORCH, "math"])
        return function(*points.unbind(-1)) + torch.zeros_like(points[..., 0])

    def __call__(self, points: Tensor) -> Tensor:
        return torch.stack([self.evaluate(component, points) for component in self.components], -1)

    def derivative(self, points: Tensor, component: int, index: tuple[int, ...]) -> Tensor:
        return self.evaluate(
            sp.diff(self.components[component], *zip(self.variables, index, strict=True)),
            points.double(),
        )


def closed_form(names: str, *components: str) -> ClosedForm:
    """`closed_form("x y", "exp(x)*sin(y)", ...)`."""
    return ClosedForm(sp.symbols(names, seq=True), tuple(map(sp.sympify, components)))


def mesh(*axes: Tensor, batch: int = 1) -> Tensor:
    """Grid points (b, n, D) in C order."""
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(1, -1, len(axes))
    return points.repeat(batch, 1, 1)


def slope(spacings: list[float], errors: list[float]) -> float:
    """Order of convergence, fitted to log error against log spacing."""
    h, e = (
        torch.tensor(spacings, dtype=torch.float64).log(),
        torch.tensor(errors, dtype=torch.float64).log(),
    )
    return float(((h - h.mean()) * (e - e.mean())).sum() / (h - h.mean()).square().sum())


def cloud(n: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """n scrambled Sobol points (1, n, dim) of the unit box."""
    return (
        torch.quasirandom.SobolEngine(dim, scramble=True, seed=seed)
        .draw(n, dtype=torch.float64)
        .to(dtype)[None]
    )


def refusal(backend, points, request, *known) -> str:
    """Code and text of what a backend raises for points whose periods and names are `known`."""
    with pytest.raises(ProblemError) as error:
        backend.evaluate(lambda p: p[..., :1], points, request, recognise(points, Axes(*known)))
    return f"{error.value.diagnostics[0].code} {error.value}"
