"""A model as a program of fixed shapes in real arithmetic, for what traces and exports it: no shape
depends on a value, and there is neither a fast transform nor a complex tensor."""

from __future__ import annotations

from copy import deepcopy

from torch import nn

from operators.layers.spectral import RealSpectralConv, SpectralConv


def fixed_shapes(model: nn.Module) -> nn.Module:
    """A copy that gives the same field up to rounding. A graph layer reads every node of a box
    around a query, and leaves out by a mask what is not in its ball; a spectral layer is products
    with matrices. Its weights are in the copy, and the copy is not trained."""
    copy = deepcopy(model).eval().requires_grad_(False)
    for part in list(copy.modules()):
        if hasattr(part, "fixed_shapes"):
            part.fixed_shapes = True
        for name, child in part.named_children():
            if isinstance(child, SpectralConv):
                setattr(part, name, RealSpectralConv(child))
    return copy
