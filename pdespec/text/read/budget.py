"""A bound on the work that reading a text may take, counted rather than timed: short texts of
nested powers or derivatives of energies can keep SymPy busy for hours."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from sympy.core.cache import clear_cache

MOST = 6_000_000
"""Calls of functions and returns from them: about two seconds. The largest of the examples,
elasticity in space, takes 3 million, most take less than 0.5 million."""

A_CHARACTER = 40
"""What finding the statements of a text takes beforehand, at most, for each of its characters."""


Answer = TypeVar("Answer")


class Spent(BaseException):
    """The work is used up. No `Exception`: nothing on the way may take it for its own."""


def bounded(work: Callable[[], Answer], most: int) -> Answer:
    """`work()`, ended with `Spent` after so many calls and returns.

    Python tells one observer a thread of them: under a profiler nothing is bounded.
    """
    if sys.getprofile() is not None:
        return work()
    left: float = most
    tracer = sys.gettrace()

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            sys.settrace(again)
            raise Spent

    def again(frame: Any, event: str, argument: Any) -> None:
        # Python drops an observer that raises, and what finalizers and callbacks of the garbage
        # collector raise is lost: two observers put each other back until one is heard
        sys.setprofile(count)
        raise Spent

    # a function in Python would be seen itself, and raise again
    lost: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, lost.append
    sys.setprofile(count)
    try:
        answer = work()
        spent = left < 0
    except Spent:
        spent = True
    finally:
        left = math.inf  # the calls below are seen too
        sys.setprofile(None)
        sys.settrace(tracer)
        sys.unraisablehook = hook
        for each in lost:
            if each.exc_type is not Spent:
                hook(each)
    if spent:
        clear_cache()  # of what is half done
        raise Spent
    return answer
