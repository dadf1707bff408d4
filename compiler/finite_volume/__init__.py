"""Steady flows of an ideal gas about sections, by finite volumes on an O-grid."""

from __future__ import annotations

from compiler.finite_volume.solve import OPTIONS, solve, why_not

__all__ = ["OPTIONS", "solve", "why_not"]
