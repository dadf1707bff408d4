"""Shapes in annotations are held to by every call while the tests run; what several tests share."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook, jaxtyped

CHECK = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float
SHAPE = re.compile(r"\b(Float|Int|Bool|Complex)\[")


def shapes(function: Any) -> Any:
    """A function whose annotations give shapes, checked. Others are left alone: messages about
    wrong arguments are the project's own, and tested; protocols, which a loss takes, are not for
    isinstance."""
    written = getattr(function, "__annotations__", {})
    shaped = {name: hint for name, hint in written.items() if SHAPE.search(str(hint))}
    if not shaped:
        return function
    if function.__module__.startswith("compiler."):
        function.__annotations__ = shaped
    return CHECK(function)


# of the loss those modules whose tensors have shapes of their own
LOSS = (
    "barrier",
    "blocks",
    "causality",
    "compiled_terms",
    "conservation",
    "error_estimate",
    "hard_conditions",
    "residual_size",
)
# the hook wraps every function of a module, closures too, and `compiler.loss.verify` tells fields
# apart by their closures: of these two modules what has a name is wrapped
BY_NAME = ("compiler.loss.physics", "compiler.loss.verify")

install_import_hook(
    ["operators", *(f"compiler.loss.{name}" for name in LOSS)], "tests.conftest.shapes"
)


def pytest_collection_finish() -> None:
    """Holds functions and methods of `BY_NAME` to their shapes."""
    for module in (sys.modules[name] for name in BY_NAME if name in sys.modules):
        own = [each for each in vars(module).values() if getattr(each, "__module__", "") in BY_NAME]
        for owner in (module, *(each for each in own if isinstance(each, type))):
            for name, member in list(vars(owner).items()):
                if isinstance(member, FunctionType) and member.__module__ in BY_NAME:
                    written = map(str, member.__annotations__.values())
                    if any(map(SHAPE.search, written)):
                        setattr(owner, name, jaxtyped(member, typechecker=shapes))


@pytest.fixture(scope="module")
def paper() -> Any:
    """Imports an experiment on the paper by name."""
    folder = str(Path(__file__).parents[1] / "benchmarks" / "paper")
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tables of a module go, so that they share the operators that are trained."""
    return tmp_path_factory.mktemp("paper")
