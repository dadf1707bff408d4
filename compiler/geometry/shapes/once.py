"""Cache of the values of a shape at the same points.

A piece of the boundary of a union is what the other part leaves of it, and so is each piece of that
part if it is a union itself: without this, of n shapes that touch, 4^n values are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

Shaped = TypeVar("Shaped")
_found: ContextVar[dict[Any, Any] | None] = ContextVar("found", default=None)


@contextmanager
def shared() -> Iterator[None]:
    """While this lasts, at its outermost, a value is computed once for the same shape and points:
    the same tensor, not an equal one."""
    if _found.get() is not None:
        yield
        return
    token = _found.set({})
    try:
        yield
    finally:
        _found.reset(token)


def once(method: Callable[[Shaped, Tensor], Tensor]) -> Callable[[Shaped, Tensor], Tensor]:
    """A method of points whose values are `shared`. Shapes: "b n d" -> "b n"."""

    @wraps(method)
    def asked(self: Shaped, x: Tensor) -> Tensor:
        with shared():
            found = _found.get()
            assert found is not None
            key = method.__name__, id(self), id(x), torch.is_grad_enabled()
            if key not in found:
                found[key] = method(self, x), self, x  # held, so that no other gets their ids
            return found[key][0]

    return asked
