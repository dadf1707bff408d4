"""The numerics of shapes: one module per family, each registering `bind` for its shapes."""

from compiler.geometry.shapes import (
    airfoil,
    axis_box,
    combine,
    ellipse,
    lattice,
    mesh,
    placed,
    polygon,
    prism,
    sphere,
    star,
)
from compiler.geometry.shapes.body import (
    Body,
    Selection,
    Surroundings,
    bind,
    everything,
    extent,
)
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import Piece

__all__ = [
    "Body", "Numbers", "Piece", "Selection", "Surroundings", "airfoil", "axis_box", "bind", "combine", "ellipse", "everything", "extent",
    "lattice", "mesh", "placed", "polygon", "prism", "sphere", "star",
]  # fmt: skip
