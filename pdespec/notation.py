"""Written forms of problems and expressions: the ground floor of what `pdespec.text` does.

The writers lie above everything that calls them (they write its operators), so the front door names
them here and they are loaded when first used: `written("text", expression)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_WRITERS: dict[str, Callable[[Any], str]] = {}


def register(form: str, writer: Callable[[Any], str]) -> None:
    """Makes `writer` the one of a form: `expression`, `dsl` (a problem as text), `latex`."""
    _WRITERS[form] = writer


def written(form: str, value: Any) -> str:
    """A value in one of the registered forms."""
    return _WRITERS[form](value)


def plain(expression: Any) -> str:
    """An expression for a message, in the notation of the language."""
    return written("expression", expression)


def short(expression: Any, width: int = 60) -> str:
    """The expression for a message, in the notation of the language and cut to a width."""
    text = plain(expression)
    return f"`{text if len(text) <= width else text[: width - 4] + ' ...'}`"
