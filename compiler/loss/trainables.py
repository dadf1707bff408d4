"""Trainable numbers as parameters of a module."""

from __future__ import annotations

from torch import nn


class Trainables(nn.ParameterDict):
    """Parameters by name. Names that a module needs for itself, such as `values` or `training`,
    are kept apart (see `attribute`)."""

    def _key_to_attr(self, key: str) -> str:
        return attribute(key)


def attribute(name: str) -> str:
    """Under which attribute, and part of a checkpoint's keys, a trainable is stored: its name,
    after a colon where that is taken."""
    return f":{name}" if hasattr(nn.ParameterDict(), name) else name
