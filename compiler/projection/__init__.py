"""Incompressible flows in closed rectangles, by a projection method on a staggered grid."""

from __future__ import annotations

from compiler.projection.solve import OPTIONS, solve, why_not

__all__ = ["OPTIONS", "solve", "why_not"]
