"""Random numbers of a batch, sample by sample: those of sample k depend on the seed and k only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes


class Chance:
    """One generator for every sample, on the CPU, and one for what all samples share; numbers go to
    the device of the caller's generator.

    The caller's generator gives one seed. So two batches drawn one after the other differ, and
    sample k of a seed is the same in a batch of any size, on any device; `first` is the number of
    the first one. With `alike` all samples have the numbers of the first.
    """

    def __init__(
        self, generator: torch.Generator, size: int, alike: bool = False, first: int = 0
    ) -> None:
        self.device = generator.device
        with untraced():
            seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        self.shared = _seeded(seed, "shared")
        self.size = size
        numbers = [first] if alike else range(first, first + size)
        self.samples = [_seeded(seed, k) for k in numbers]

    @staticmethod
    def of(generator: torch.Generator | Chance, size: int) -> Chance:
        """The same, or a new one from a generator. Raises: ValueError for one of another number
        of samples."""
        if not isinstance(generator, Chance):
            return Chance(generator, size)
        if generator.size != size:
            raise ValueError(f"random numbers of {generator.size} samples were asked for {size}")
        return generator

    def copy(self) -> Chance:
        """Another one, which gives the same numbers from here on."""
        found = object.__new__(Chance)
        found.device, found.size = self.device, self.size
        found.shared, *found.samples = (each.clone_state() for each in (self.shared, *self.samples))
        return found

    def uniform(self, *shape: int) -> Tensor:
        """Uniform on [0, 1) in float64. Shapes: -> "b .."."""
        return self._each(
            lambda generator: torch.rand(shape, generator=generator, dtype=torch.float64)
        )

    def normal(self, *shape: int) -> Tensor:
        """Standard normal in float64. Shapes: -> "b .."."""
        return self._each(
            lambda generator: torch.randn(shape, generator=generator, dtype=torch.float64)
        )

    def seeds(self) -> list[int]:
        """A seed for every sample."""
        with untraced():
            seeds = [int(torch.randint(2**62, (1,), generator=each)) for each in self.samples]
            return seeds * (self.size // len(seeds))

    def seed(self) -> int:
        """A seed that all samples share, for scrambled sequences."""
        with untraced():
            return int(torch.randint(2**31, (1,), generator=self.shared))

    def permutation(self, count: int) -> Tensor:
        """An order of `count` things that all samples share."""
        with untraced():
            return torch.randperm(count, generator=self.shared).to(self.device)

    def _each(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        with untraced():
            drawn = torch.stack([draw(generator) for generator in self.samples])
            return drawn.expand(self.size, *drawn.shape[1:]).to(self.device)


@contextmanager
def untraced() -> Iterator[None]:
    """Numbers are computed here and now, also where a function is traced: what follows from a
    seed alone is a constant of the program that comes of it."""
    with _disable_current_modes():
        yield


def _seeded(seed: int, what: object) -> torch.Generator:
    # torch's Mersenne twister takes 32 bits
    digest = hashlib.blake2b(f"{seed}/{what}".encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def seeded(seed: int, purpose: str, step: int) -> torch.Generator:
    """A generator for one purpose at one step: training, validation and evaluation never share
    numbers, and no stream need be stored."""
    return _seeded(seed, f"{purpose}/{step}")
