"""Cost of a computation: CPU seconds, and peak memory of its tensors."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def seconds(work: Callable[[], Any], device: torch.device | str = "cpu") -> float:
    """CPU seconds of this process for one run, which a loaded machine hardly changes; wall
    seconds to the end of the queue on CUDA."""
    if torch.device(device).type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


class PeakMemory(TorchDispatchMode):
    """Bytes of all tensors that operations inside the block made and something still holds: saved
    for backward or in flight.

    `with PeakMemory() as memory: ...; memory.peak`. Counted from the life of each storage, so the
    figure is the same on every run and machine; buffers inside one operation (FFT plans, GEMM
    packing) are not seen. Units: bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple = (), keywords: dict | None = None
    ) -> Any:
        keywords = keywords or {}
        for tensor in tree_leaves((arguments, keywords)):
            if isinstance(tensor, Tensor):
                self._meet(tensor, made_here=False)
        result = operation(*arguments, **keywords)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._meet(tensor, made_here=True)
        return result

    def _meet(self, tensor: Tensor, made_here: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:  # a view, or an argument met before
            return
        self._sizes[key] = storage.nbytes() if made_here else 0
        self.live += self._sizes[key]
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.live -= self._sizes.pop(key, 0)
