"""Where a problem and an operator meet: losses with exact derivatives, training, reference
solutions, comparison.

The public names are loaded on first use (PEP 562), so that `pdespec check` needs no torch; type
checkers and editors see them below.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pdespec.errors import suggestion

if TYPE_CHECKING:
    from compiler.batches.build import build
    from compiler.batches.recipe import Recipe
    from compiler.batches.sample import Batch, instance, sample
    from compiler.comparison.compare import compare
    from compiler.datasets import Dataset, dataset
    from compiler.derivatives import DERIVATIVES
    from compiler.estimation import Estimate, estimate, uncertainty
    from compiler.functionals.outputs import outputs
    from compiler.geometry.domain import Geometry
    from compiler.loss.blocks import StepEngine
    from compiler.loss.conservation import ConservationLoss
    from compiler.loss.physics import PhysicsLoss, compile
    from compiler.measurements.layouts import LAYOUTS, convert
    from compiler.prediction.answers import load
    from compiler.prediction.error_equation import certificate
    from compiler.report.page import evaluate
    from compiler.solvers import SOLVERS, solve
    from compiler.training.adaptive import ADAPTIVE
    from compiler.training.balancers import BALANCERS
    from compiler.training.callbacks import CALLBACKS, Callback
    from compiler.training.checkpoint import load_run
    from compiler.training.loop import TrainOptions, train
    from compiler.training.meta import MetaOptions, MetaRun, load_meta, meta_train
    from compiler.training.optimizers import OPTIMIZERS, SCHEDULES
    from compiler.training.presets import PRESETS
    from compiler.training.runs import Run, open_run
    from compiler.workers import Workers

__all__ = [
    "ADAPTIVE",
    "BALANCERS",
    "Batch",
    "CALLBACKS",
    "Callback",
    "ConservationLoss",
    "DERIVATIVES",
    "Dataset",
    "Estimate",
    "Geometry",
    "LAYOUTS",
    "OPTIMIZERS",
    "MetaOptions",
    "MetaRun",
    "PRESETS",
    "PhysicsLoss",
    "Recipe",
    "Run",
    "SCHEDULES",
    "SOLVERS",
    "StepEngine",
    "TrainOptions",
    "Workers",
    "build",
    "certificate",
    "compare",
    "compile",
    "convert",
    "dataset",
    "estimate",
    "evaluate",
    "instance",
    "load",
    "load_meta",
    "load_run",
    "meta_train",
    "open_run",
    "outputs",
    "sample",
    "solve",
    "train",
    "uncertainty",
]

_HOME = {
    "compile": "loss.physics",
    "PhysicsLoss": "loss.physics",
    "ConservationLoss": "loss.conservation",
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
    "solve": "solvers",
    "SOLVERS": "solvers",
    "dataset": "datasets",
    "Dataset": "datasets",
    "Workers": "workers",
    "convert": "measurements.layouts",
    "LAYOUTS": "measurements.layouts",
    "estimate": "estimation",
    "uncertainty": "estimation",
    "Estimate": "estimation",
    "outputs": "functionals.outputs",
    "compare": "comparison.compare",
    "DERIVATIVES": "derivatives",
    "ADAPTIVE": "training.adaptive",
    "BALANCERS": "training.balancers",
    "CALLBACKS": "training.callbacks",
    "Callback": "training.callbacks",
    "MetaOptions": "training.meta",
    "MetaRun": "training.meta",
    "load_meta": "training.meta",
    "meta_train": "training.meta",
    "OPTIMIZERS": "training.optimizers",
    "SCHEDULES": "training.optimizers",
    "Geometry": "geometry.domain",
}
"""Public name -> the module that defines it, under `compiler`."""


def __dir__() -> list[str]:
    return sorted(__all__)


# for a type checker the imports above are all there is: it reports a misspelt name
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            hint = suggestion(name, __all__, f"it has {', '.join(__all__)}", quote="'")
            raise AttributeError(f"module 'compiler' has no attribute {name!r}; {hint}")
        value = getattr(importlib.import_module(f"compiler.{_HOME[name]}"), name)
        globals()[name] = value
        return value
