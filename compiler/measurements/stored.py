"""Arrays of HDF5 files that are left where they are, and read a few samples at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.arrays import IntArray

IN_MEMORY = 2**28  # bytes of an array in float64 from which on it stays in its file
BLOCK = 2**26  # bytes that are read at once where all of an array is looked at


@dataclass(frozen=True)
class Stored:
    """A dataset with a first axis of samples. `stored[numbers]` reads samples and puts them through
    `cleaned`, which may turn the axes behind the first; `shape` is what that gives for all."""

    path: Path
    name: str
    shape: tuple[int, ...]
    cleaned: Callable[[NDArray[Any]], NDArray[Any]]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, samples: slice | Sequence[int] | IntArray) -> NDArray[Any]:
        import h5py

        with h5py.File(self.path, "r") as file:
            dataset = file[self.name]
            if isinstance(samples, slice):
                start, stop, step = samples.indices(len(self))
                return self.cleaned(dataset[start:stop:step])
            return self.cleaned(np.stack([dataset[int(k)] for k in samples]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Samples that are read together where all are looked at."""
    size = max(1, BLOCK // (8 * max(1, int(np.prod(shape[1:])))))
    for first in range(0, shape[0], size):
        yield slice(first, min(first + size, shape[0]))
