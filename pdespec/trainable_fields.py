"""Functions that are to be found from data: a finite sum of smooth modes, whose coefficients are
trainable numbers.

`k = first + g`, or of a positive one `k = first exp(g)`, with `g = sum_j c_j s_j e_j(x)`: e_j the
eigenfunctions of the Laplacian on the box around the region (products of cosines; of sines and
cosines along periodic axes), s_j the standard deviation that the prior gives each, so that all c_j
are standard normal under it, and 0 at the first guess. Modes are smooth, so the residual may take
any derivative. Which e_j and s_j these are is the compiler's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from pdespec.coordinates import Declaration, Time, as_exact, check_name, is_finite_number
from pdespec.errors import fail
from pdespec.geometry import Boundary, Domain
from pdespec.laws import GRF, Law
from pdespec.symbols import FoundField, check_region, check_time, component_function

DEFAULT_MODES = {0: 1, 1: 8, 2: 6, 3: 4, 4: 3}  # along each axis, by the number of axes
MOST_MODES = 64  # along an axis
MOST_NUMBERS = 1024  # of one field


@dataclass(frozen=True)
class TrainableField(Declaration):
    """A scalar function to be found on `region`, over `time` where that is given, of `modes` along
    each axis (None: a default by the number of axes). `first` is what it is at first, and its
    median under the prior `law`; `positive` as of unknowns."""

    name: str
    region: Domain | Boundary
    law: GRF | None = None
    first: sp.Expr | None = None
    positive: bool = False
    modes: int | None = None
    time: Time | None = None
    unit: str | None = None

    kind = "trainable"
    rank = "scalar"
    complex = False
    value = sp.S.Zero  # of each coefficient, at first
    source = None  # it is not read from a file

    @property
    def axes(self) -> tuple[sp.Symbol, ...]:
        """The coordinates along which it varies: not the one that is fixed on a side."""
        fixed = getattr(self.region, "coordinate", None)
        space = tuple(x for x in self.region.coordinates if x.name != fixed)
        return (*space, *(() if self.time is None else (self.time,)))

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of modes along each of `axes`."""
        return (self.modes or DEFAULT_MODES[len(self.axes)],) * len(self.axes)

    @property
    def size(self) -> int:
        """The number of coefficients."""
        return int(sp.prod(self.counts))

    @property
    def components(self) -> tuple[str, ...]:
        """The names of its coefficients, `k[0]`, `k[1]`, .., the modes of the last axis fastest."""
        return tuple(f"{self.name}[{i}]" for i in range(self.size))

    @property
    def median(self) -> sp.Expr:
        """What it is at first."""
        return self.first if self.first is not None else sp.Integer(int(self.positive))

    @property
    def symbol(self) -> sp.Expr:
        """What stands for it in an expression: a function of its coordinates."""
        times = () if self.time is None else (self.time,)
        return component_function(self, 0, FoundField)(*self.region.coordinates, *times)


def trainable_field(
    name: str,
    region: Domain | Boundary,
    law: Law | None = None,
    first: Any = None,
    positive: bool = False,
    modes: int | None = None,
    time: Time | None = None,
    unit: str | None = None,
) -> Any:
    """The expression of a function to be found from data: `k = trainable_field("k", Omega,
    grf(length=0.3), first=1, positive=True)`. Raises: ProblemError S02, T05."""
    check_name(name, "a trainable")
    check_region(name, region, on_boundaries=True)
    check_time(name, time)
    if first is not None:
        first = as_exact(first)
        if not is_finite_number(first):
            hint = "give a number; a first guess that varies is added where the field is used"
            raise fail("S02", f"the first guess of `{name}` is not a number", hint, label=name)
    made = TrainableField(name, region, law, first, positive, modes, time, unit)  # type: ignore[arg-type]
    check_found(made)
    return made.symbol


def check_found(field: TrainableField) -> None:
    """Raises: T05 for a law that is no prior of a function, S02 for a first guess that is not
    positive where the field is, or for a number of modes."""
    name = field.name
    if field.law is not None and not isinstance(field.law, GRF):
        raise fail(
            "T05",
            f"the prior of the function `{name}` is not a Gaussian random field",
            "write ~ grf(length = 0.3) or ~ grf(sigma = 1, tau = 3, alpha = 2)",
            label=name,
        )
    if field.positive and field.median.is_positive is not True:
        raise fail(
            "S02",
            f"`{name}` is declared positive, its first guess is {field.median}",
            "give a positive first guess",
            label=name,
        )
    modes = field.modes
    if modes is not None and not (isinstance(modes, int) and 1 <= modes <= MOST_MODES):
        raise fail(
            "S02",
            f"`{name}` has modes {modes!r}",
            f"modes counts them along each axis: 1 to {MOST_MODES}",
            label=name,
        )
    if field.size > MOST_NUMBERS:
        raise fail(
            "S02",
            f"`{name}` would be {field.size} numbers",
            f"give fewer modes along each axis: at most {MOST_NUMBERS} numbers in all",
            label=name,
        )


__all__ = ["TrainableField", "check_found", "trainable_field"]
