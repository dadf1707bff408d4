"""Derivatives of a field at points: one question (`Request`), many ways to answer it (`DERIVATIVES`).

Every module of this folder is loaded, so that a new backend is one file.
"""

import importlib
import pkgutil

from compiler.derivatives.autograd import Autograd
from compiler.derivatives.finite_difference import FiniteDifference
from compiler.derivatives.fourier import Fourier, low_pass
from compiler.derivatives.fourier_continuation import FourierContinuation
from compiler.derivatives.interface import DERIVATIVES, Backend, Form, Index, Key, Request, answer, order, parts, spell
from compiler.derivatives.layout import Axes, Grid, Layout, Scattered, recognise
from compiler.derivatives.least_squares import LeastSquares
from compiler.derivatives.taylor import Taylor

__all__ = [
    "DERIVATIVES",
    "Autograd",
    "Axes",
    "Backend",
    "FiniteDifference",
    "Form",
    "Fourier",
    "FourierContinuation",
    "Grid",
    "Index",
    "Key",
    "Layout",
    "LeastSquares",
    "Request",
    "Scattered",
    "Taylor",
    "answer",
    "low_pass",
    "order",
    "parts",
    "recognise",
    "spell",
]

for _each in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_each.name}")
