"""What belongs to a shape as a whole, such as the box around it, computed once for each shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

Found = TypeVar("Found", Tensor, tuple[Tensor, Tensor])


def remembered(function: Callable[[Any], Found]) -> Callable[[Any], Found]:
    """A function of a shape alone, its tensors kept with the shape.

    Kept is only what hangs on no graph, for calls with gradients only what has none to anything,
    and nothing while a program is traced or in inference mode: gradients are the function's own.
    """
    name = function.__qualname__

    @wraps(function)
    def asked(shape: Any) -> Found:
        if get_proxy_mode() is not None or torch.is_inference_mode_enabled():
            return function(shape)
        kept: dict[str, tuple[Found, bool]] = shape.__dict__.setdefault("_remembered", {})
        recording = torch.is_grad_enabled()
        if name in kept and (kept[name][1] or not recording):
            return kept[name][0]
        with torch.enable_grad():
            found = function(shape)
        attached = any(e.requires_grad for e in (found if isinstance(found, tuple) else (found,)))
        if attached and not recording:
            found = tuple(e.detach() for e in found) if isinstance(found, tuple) else found.detach()
        if not (attached and recording):
            kept[name] = found, not attached
        return found

    return asked
