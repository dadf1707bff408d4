"""Shapes in annotations are held to by every call while the tests run."""

from __future__ import annotations

import re
from typing import Any

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

CHECK = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float
SHAPE = re.compile(r"\b(Float|Int|Bool|Complex)\[")


def shapes(function: Any) -> Any:
    """A function whose annotations give shapes, checked. Others are left alone: messages about
    wrong arguments are the project's own, and tested."""
    written = " ".join(map(str, getattr(function, "__annotations__", {}).values()))
    return CHECK(function) if SHAPE.search(written) else function


install_import_hook("operators", "tests.conftest.shapes")
