"""A bound on the work that reading a text may take, counted rather than timed: short texts of
nested powers or derivatives of energies can keep SymPy busy for hours.

Being counted more than doubles what reading takes. A text is therefore not counted for the first
`HEAD_START`, in which reading makes no more than `UNSEEN` calls and returns. Where it takes more
than `AFTERWARDS` from then on, it is read again, counted from the start, without what SymPy's cache
has of the first reading. The clock says how a text is read, and not whether it is accepted:
near the bound that hangs on what the process has imported before, some 5 % of the count.
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sympy.core.cache import clear_cache

MOST = 6_000_000
"""Calls of functions and returns from them: about two seconds. The largest of the examples,
elasticity in space, takes 3 million, most take less than 0.5 million."""

A_CHARACTER = 40
"""What finding the statements of a text takes beforehand, at most, for each of its characters."""

HEAD_START = 0.05
"""CPU seconds that are not counted: most problems have been read by then."""

UNSEEN = 4_000_000
"""Calls and returns that reading makes in that time, at most: 80 million a second, where it makes 7
million (a loop of `abs(0)` and nothing else makes 100 million)."""

AFTERWARDS = 1_000_000
"""Counted calls and returns after that time, some 0.3 seconds, beyond which a text is read again:
all that is lost by the head start of a text that is refused."""

Answer = TypeVar("Answer")


class Spent(BaseException):
    """The work is used up. No `Exception`: nothing on the way may take it for its own."""


def bounded(work: Callable[[], Answer], most: int) -> Answer:
    """`work()`, ended with `Spent` after so many calls and returns. It begins anew each time that
    it is called, which may be twice.

    Python tells one observer a thread of them: under a profiler nothing is bounded.
    """
    if sys.getprofile() is not None:
        return work()
    if most >= UNSEEN + AFTERWARDS and _timer_is_free():
        with contextlib.suppress(Spent):
            return _counted(work, AFTERWARDS, head_start=True)
    return _counted(work, most, head_start=False)


def _counted(work: Callable[[], Answer], most: int, head_start: bool) -> Answer:
    """Raises: `Spent`, in place of what the work makes of it too."""
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

    def begin(*_: Any) -> None:
        sys.setprofile(count)

    # a function in Python would be seen itself, and raise again
    lost: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, lost.append
    try:
        if head_start:
            signal.signal(signal.SIGVTALRM, begin)
            signal.setitimer(signal.ITIMER_VIRTUAL, HEAD_START)
        else:
            begin()
        answer = work()
    except (Spent, Exception):
        if left >= 0:
            raise
    finally:
        spent = left < 0
        left = math.inf  # the calls below are seen too
        sys.settrace(tracer)
        if head_start:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        sys.setprofile(None)
        sys.unraisablehook = hook
        for each in lost:
            if each.exc_type is not Spent:
                hook(each)
    if spent:
        clear_cache()  # of what is half done
        raise Spent
    return answer


def _timer_is_free() -> bool:
    """Whether the timer of this process's CPU time can be had: from the main thread alone, where
    nobody else has it, and where its signal gets through."""
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL
        and signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
        and signal.SIGVTALRM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    )
