"""Derivatives of a field at points: one question (`Request`), many ways to answer it
(`DERIVATIVES`).

Every module of this folder is loaded, so that a new backend is one file.
"""

import importlib
import pkgutil
from collections.abc import Callable

from torch import Tensor

from compiler.derivatives.autograd import Autograd
from compiler.derivatives.finite_difference import FiniteDifference
from compiler.derivatives.fourier import Fourier, low_pass
from compiler.derivatives.fourier_continuation import FourierContinuation
from compiler.derivatives.interface import (
    DERIVATIVES,
    Backend,
    Form,
    Key,
    MultiIndex,
    Request,
    answer,
    order,
    parts,
    spell,
)
from compiler.derivatives.layout import Axes, GriddedPoints, Layout, ScatteredPoints, recognise
from compiler.derivatives.least_squares import LeastSquares
from compiler.derivatives.pino import PINO
from compiler.derivatives.taylor import Taylor
from operators.field import capabilities

__all__ = [
    "DERIVATIVES",
    "Autograd",
    "Axes",
    "Backend",
    "FiniteDifference",
    "Form",
    "Fourier",
    "FourierContinuation",
    "GriddedPoints",
    "Key",
    "Layout",
    "PINO",
    "LeastSquares",
    "MultiIndex",
    "Request",
    "ScatteredPoints",
    "Taylor",
    "answer",
    "exact",
    "low_pass",
    "order",
    "parts",
    "recognise",
    "spell",
]

for _each in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_each.name}")


def exact(field: Callable[[Tensor], Tensor], points: Tensor, request: Request) -> dict[Key, Tensor]:
    """Derivatives of a field to rounding: its own where it has them, as a reference solution
    does; else by jets, else by autograd."""
    own = getattr(field, "derivatives", None)
    if own is not None:
        return own(points, request)
    return (Taylor() if capabilities(field).taylor else Autograd()).evaluate(field, points, request)
