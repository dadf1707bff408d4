"""The training step in blocks of queries, eager or captured: `StepEngine`."""

from compiler.engine.engine import StepEngine

__all__ = ["StepEngine"]
