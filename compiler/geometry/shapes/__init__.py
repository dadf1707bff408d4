"""The numerics of shapes: one module per family, each registering `bind` for its shapes. Every
module of this folder is loaded."""

import importlib
import pkgutil

from compiler.geometry.shapes.body import (
    Ambient,
    Body,
    Selection,
    bind,
    everything,
    extent,
)
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import Piece

__all__ = ["Body", "Numbers", "Piece", "Selection", "Ambient", "bind", "everything", "extent"]

for _each in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_each.name}")
