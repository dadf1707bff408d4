"""Registries: a name, a decorator, one entry per file."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

Entry = TypeVar("Entry")


class UnknownName(KeyError):
    """A registry was asked for a name it does not hold."""

    def __str__(self) -> str:  # KeyError would print the message in quotes
        return str(self.args[0])


class DuplicateName(ValueError):
    """A registry was given a name it already holds."""


def closest(name: str, known: Iterable[str], quote: str = "'") -> str:
    """A hint for a name that is not known: the one most like it, or all of them.

    By `difflib`, since operators know no pdespec, whose `nearest` the language and the compiler
    use.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {quote}{close[0]}{quote}?" if close else f"known: {', '.join(known)}"


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Named entries of one kind, filled by a decorator.

    >>> SHAPES = Registry("shape")
    >>> @SHAPES.register("circle")
    ... def circle(): ...
    >>> SHAPES["circle"] is circle
    True

    `wrap(function, name, **attributes)` turns what is decorated into the stored entry; the
    decorated name keeps what was stored.
    """

    def __init__(self, kind: str, wrap: Callable[..., Entry] | None = None) -> None:
        self.kind = kind
        self._wrap = wrap
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, **attributes: Any) -> Callable[[Any], Entry]:
        """Decorator that stores its argument under `name`. Raises: DuplicateName; TypeError on
        attributes the kind does not have."""
        if name in self._entries:
            raise DuplicateName(
                f"the {self.kind} {name!r} is registered already; choose another name"
            )
        if attributes and self._wrap is None:
            raise TypeError(
                f"a {self.kind} takes no attributes, {name!r} was given"
                f" {', '.join(sorted(attributes))}"
            )

        def store(entry: Any) -> Entry:
            self._entries[name] = (
                entry if self._wrap is None else self._wrap(entry, name, **attributes)
            )
            return self._entries[name]

        return store

    def __getitem__(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(self._advice(name)) from None

    def _advice(self, name: str) -> str:
        return f"no {self.kind} {name!r}; {closest(str(name), self._entries)}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Registry({self.kind}: {', '.join(self._entries)})"
