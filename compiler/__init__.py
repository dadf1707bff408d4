"""Where a problem and an operator meet: losses with exact derivatives, training, reference solutions, comparison.

The public names are loaded on first use, so that `pdespec check` needs no torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_HOME = {
    "compile": "loss.physics",
    "PhysicsLoss": "loss.physics",
    "build": "batches.build",
    "sample": "batches.sample",
    "instance": "batches.sample",
    "Batch": "batches.sample",
    "StepEngine": "loss.blocks",
    "train": "training.loop",
    "TrainOptions": "training.loop",
    "Run": "training.runs",
    "Recipe": "batches.recipe",
    "open_run": "training.runs",
    "load_run": "training.checkpoint",
    "evaluate": "report.page",
    "load": "prediction.answers",
    "certificate": "prediction.error_equation",
    "PRESETS": "training.presets",
    "solve": "fem",
    "outputs": "functionals.outputs",
    "compare": "comparison.compare",
    "DERIVATIVES": "derivatives",
    "BALANCERS": "training.balancers",
    "OPTIMIZERS": "training.optimizers",
    "SCHEDULES": "training.optimizers",
    "Geometry": "geometry.domain",
}

__all__ = sorted(_HOME)


class _Package(ModuleType):
    """Loads a public name on first use. No module under `compiler` bears such a name, except as the room of another."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str):
        if name not in _HOME:
            raise AttributeError(f"module 'compiler' has no attribute {name!r}; it has {', '.join(__all__)}")
        value = getattr(importlib.import_module(f"compiler.{_HOME[name]}"), name)
        setattr(self, name, value)
        return value


sys.modules[__name__].__class__ = _Package
