"""What belongs to a shape as a whole, such as the box around it, computed once for each shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

Found = TypeVar("Found", Tensor, tuple[Tensor, Tensor])


def remembered(function: Callable[[Any], Found]) -> Callable[[Any], Found]:
    """A function of a shape alone, its tensors kept with the shape.

    Kept is only what hangs on no graph, apart for calls with and without gradients, and nothing
    while a program is traced: so every gradient is that of the function itself.
    """

    @wraps(function)
    def asked(shape: Any) -> Found:
        if _get_current_dispatch_mode() is not None:
            return function(shape)
        kept = shape.__dict__.setdefault("_remembered", {})
        key = (function.__qualname__, torch.is_grad_enabled(), torch.is_inference_mode_enabled())
        if key in kept:
            return kept[key]
        found = function(shape)
        tensors = found if isinstance(found, tuple) else (found,)
        if not any(each.requires_grad for each in tensors):
            kept[key] = found
        return found

    return asked
