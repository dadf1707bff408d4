"""Immutable mappings from names to values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pdespec.errors import nearest


class Table(Mapping[str, Any]):
    """A mapping that cannot change and can be hashed. Keeps its order; equality ignores it."""

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self._items = dict(items)
        self._hash: int | None = None

    def __getitem__(self, name: str) -> Any:
        if name not in self._items:
            near = nearest(str(name), self._items)
            raise KeyError(
                f"{name!r}; did you mean {near!r}?"
                if near
                else f"{name!r}; there are {', '.join(self._items) or 'none'}"
            )
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def get(self, name: str, default: Any = None) -> Any:
        return self._items.get(name, default)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._items.items()))
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._items,)  # without the hash, which another process has its own of

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """From a pickle of a build before tables kept their hash."""
        self.__init__(state[1]["_items"])

    def __repr__(self) -> str:
        return repr(self._items)


class Channels(Table):
    """A table whose order counts: that of the unknowns is the order of a field's channels."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        same_order = list(self) == list(other) if isinstance(other, Channels) else True
        return same_order and super().__eq__(other)

    def __hash__(self) -> int:
        return super().__hash__()
