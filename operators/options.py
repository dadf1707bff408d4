"""Records of options of operators.

A record is a frozen dataclass of keywords with a comment at each field. An operator takes it as
`options`, its fields as keywords of its own, or both: a keyword overrides the record's field.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from operators.registry import closest

Record = TypeVar("Record")
Model = TypeVar("Model", bound=type)


@dataclass(frozen=True, slots=True)
class Bound:
    """What the numbers of an option must be: whole numbers from `least`, or positive where that is
    None."""

    least: int | None = None


Count = Annotated[int, Bound(1)]
Counts = Annotated[int | Sequence[int], Bound(1)]  # one for all axes, or one each
Widths = Annotated[Sequence[int], Bound(1)]
Positive = Annotated[float, Bound()]
Lengths = Annotated[float | Sequence[float], Bound()]  # one for all axes, or one each

RENAMED = {"cells": "radius_in_spacings"}
"""Names of options that older runs hold, and those of today."""


def renamed(names: Mapping[str, Any]) -> dict[str, Any]:
    """Options by today's names."""
    return {RENAMED.get(name, name): value for name, value in names.items()}


def filled(record: type[Record], given: object, names: Mapping[str, Any], owner: str) -> Record:
    """The record given to an operator, or its defaults, with keywords in place of fields.

    `owner`: the operator's name, for messages. Raises: TypeError for a keyword that is not a field
    of the record, with the nearest one, and for a record of another operator."""
    if given is None:
        given = record()
    if not isinstance(given, record):
        raise TypeError(
            f"{owner} takes options of type {record.__name__}, got {type(given).__name__}"
        )
    names = renamed(names)
    refuse_unknown(names, [each.name for each in fields(record)], owner)  # type: ignore[arg-type]
    return replace(given, **names)  # type: ignore[type-var]


def refuse_unknown(names: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Raises: TypeError with the nearest name for an option that is not known."""
    known = list(known)
    for name in names:
        if name not in known:
            raise TypeError(f"{owner} has no option `{name}`; {closest(name, known, '`')}")


def bounds(record: type) -> dict[str, Bound]:
    """What the numbers of a record's fields must be, by name."""
    hints = get_type_hints(record, include_extras=True)
    found = {name: _bound(hint) for name, hint in hints.items()}
    return {name: bound for name, bound in found.items() if bound is not None}


def _bound(hint: Any) -> Bound | None:
    """The bound in a hint, or in a part of a union."""
    for each in (hint, *get_args(hint)):
        for note in getattr(each, "__metadata__", ()):
            if isinstance(note, Bound):
                return note
    return None


def takes(record: type) -> Callable[[Model], Model]:
    """Class decorator: the class takes the fields of `record` as keywords, and its signature says
    so, for `help`, completion and checks of names. `record` is then its attribute `Options`."""

    def decorate(cls: Model) -> Model:
        signature = inspect.signature(cls)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        of_record = inspect.signature(record).parameters.values()
        cls.Options = record  # type: ignore[attr-defined]
        cls.__signature__ = signature.replace(parameters=[*own, *of_record])  # type: ignore[attr-defined]
        return cls

    return decorate
