"""Effort of pure Python, counted rather than timed: the same on any machine, under any load."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sympy.core.cache import clear_cache


def calls(function: Callable[[], object]) -> int:
    """How many calls and returns `function` makes, SymPy's cache being empty at first; within 2
    % the same each time."""
    count = 0

    def one_more(*_: object) -> None:
        nonlocal count
        count += 1

    clear_cache()
    before = sys.getprofile()
    sys.setprofile(one_more)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count
