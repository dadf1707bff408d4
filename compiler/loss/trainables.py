"""Trainable numbers as parameters of a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class Trainables(nn.ParameterDict):
    """Parameters by name. Names that a module needs for itself, such as `values` or `training`,
    are kept apart (see `attribute`). While they are `held`, what is computed of them has no
    gradient in them."""

    held = False

    def __getitem__(self, key: str) -> nn.Parameter | Tensor:
        value = super().__getitem__(key)
        # a gradient of zero, not none: processes expect one of each
        return value.detach() + 0 * value if self.held else value

    @contextmanager
    def holding(self, held: bool) -> Iterator[None]:
        """Sets `held` for as long as the block lasts."""
        self.held = held
        try:
            yield
        finally:
            self.held = False

    def _key_to_attr(self, key: str) -> str:
        return attribute(key)


def attribute(name: str) -> str:
    """Under which attribute, and part of a checkpoint's keys, a trainable is stored: its name,
    after a colon where that is taken."""
    return f":{name}" if hasattr(nn.ParameterDict(), name) else name
