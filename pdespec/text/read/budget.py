"""A bound on the work that reading a text may take, counted rather than timed: short texts of
nested powers or derivatives of energies can keep SymPy busy for hours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sympy.core.cache import clear_cache

MOST = 6_000_000
"""Calls of functions and returns from them: about two seconds. The largest of the examples,
elasticity in space, takes 3 million, most take less than 0.5 million."""


class Spent(BaseException):
    """The work is used up. No `Exception`: nothing on the way may take it for its own."""


@contextmanager
def bounded(most: int) -> Iterator[None]:
    """Ends what is done inside with `Spent` after so many calls and returns.

    Python tells one observer a thread of them: under a profiler nothing is bounded.
    """
    if sys.getprofile() is not None:
        yield
        return
    left = most

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Spent

    sys.setprofile(count)
    try:
        yield
    except Spent:
        clear_cache()  # of what is half done
        raise
    finally:
        sys.setprofile(None)
