"""Reference solutions in closed form, evaluated by fast transforms."""

from __future__ import annotations

from compiler.spectral.solve import solve, why_not

__all__ = ["solve", "why_not"]
