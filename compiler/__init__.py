"""Where a problem and an operator meet: losses with exact derivatives, training, reference solutions, comparison.

The public names are loaded on first use, so that `pdespec check` needs no torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_HOME = {
    "compile": "loss",
    "PhysicsLoss": "loss",
    "build": "build",
    "sample": "sample",
    "instance": "sample",
    "Batch": "sample",
    "StepEngine": "engine",
    "train": "train",
    "TrainOptions": "train",
    "Run": "runs",
    "Recipe": "runs",
    "open_run": "runs",
    "load_run": "checkpoint",
    "evaluate": "evaluate",
    "load": "answers",
    "PRESETS": "presets",
    "solve": "fem",
    "outputs": "outputs",
    "compare": "compare",
    "DERIVATIVES": "derivatives",
    "BALANCERS": "balance",
    "OPTIMIZERS": "optim",
    "SCHEDULES": "optim",
    "Geometry": "geometry",
}

__all__ = sorted(_HOME)


class _Package(ModuleType):
    """`compiler.train` is the function, also after `compiler/train.py` has been imported, which would bind the module to that name."""

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
