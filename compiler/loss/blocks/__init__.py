"""The training step in blocks of queries, eager or captured: `StepEngine`."""

from compiler.loss.blocks.engine import StepEngine

__all__ = ["StepEngine"]
