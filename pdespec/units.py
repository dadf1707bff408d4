"""Units of measurement: their names, prefixes and products."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from pdespec.errors import fail, nearest

BASE = ("m", "kg", "s", "A", "K", "mol", "cd")


@dataclass(frozen=True, slots=True)
class Measure:
    """A product of powers of the base units with a factor."""

    factor: Fraction = Fraction(1)
    powers: tuple[Fraction, ...] = (Fraction(0),) * len(BASE)

    def __mul__(self, other: Measure) -> Measure:
        return Measure(
            self.factor * other.factor,
            tuple(a + b for a, b in zip(self.powers, other.powers, strict=True)),
        )

    def __pow__(self, exponent: Fraction) -> Measure | None:
        if exponent.denominator != 1 and self.factor != 1:
            return None
        factor = self.factor**exponent.numerator if self.factor != 1 else self.factor
        return Measure(Fraction(factor), tuple(a * exponent for a in self.powers))

    def __str__(self) -> str:
        named = list(zip(BASE, self.powers, strict=True))
        above = [power_text(name, power) for name, power in named if power > 0]
        below = [power_text(name, -power) for name, power in named if power < 0]
        factor = [] if self.factor == 1 and above else [str(self.factor)]
        return "[" + "/".join(["*".join(factor + above), *below]) + "]"


def power_text(name: str, power: Fraction) -> str:
    """A unit and its power: `m`, `m^2`, `m^(1/2)`."""
    if power == 1:
        return name
    return f"{name}^{power}" if power.denominator == 1 else f"{name}^({power})"


def disagreement(a: Measure, b: Measure, what: str) -> tuple[str, str]:
    """What to say of two units that should be one, and the cure."""
    message = f"units disagree in {what}: left is {a}, right is {b}"
    if a.powers != b.powers:
        return message, "check the factors; numbers take any unit, names keep theirs"
    ratio = float(a.factor / b.factor)
    return message, (
        f"one quantity in two units, the left one {ratio:g} times the right; numbers are not"
        " converted: keep to one unit of length, of time and of mass, or write the factor out"
    )


ONE = Measure()
ANY = Measure(Fraction(0))  # a bare number: takes the unit its context needs

Unit = Measure | None
"""That of an expression: `ANY` for a number, None where it is not known."""


def times(a: Unit, b: Unit) -> Unit:
    """The unit of a product."""
    if a is None or b is None:
        return None
    return b if a is ANY else a if b is ANY else a * b


def power(a: Unit, exponent: Fraction) -> Unit:
    """The unit of a power."""
    return a if a is None or a is ANY else a**exponent


def agree(a: Unit, b: Unit) -> tuple[Unit, bool]:
    """The unit that two quantities share, and whether they do: what is known on both sides must
    be equal."""
    if a is None or a is ANY:
        return (b if a is None or b is not None else a), True
    return a, b is None or b is ANY or a == b


def _of(factor: str, **powers: int) -> Measure:
    return Measure(Fraction(factor), tuple(Fraction(powers.get(name, 0)) for name in BASE))


PREFIXES = {
    "Q": 30, "R": 27, "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2,
    "da": 1,
    "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
    "r": -27, "q": -30,
}  # fmt: skip
PREFIXED: dict[str, Measure] = {
    **{name: _of("1", **{name: 1}) for name in BASE if name != "kg"},
    "g": _of("1/1000", kg=1),
    "rad": ONE,
    "sr": ONE,
    "Hz": _of("1", s=-1),
    "N": _of("1", kg=1, m=1, s=-2),
    "Pa": _of("1", kg=1, m=-1, s=-2),
    "J": _of("1", kg=1, m=2, s=-2),
    "W": _of("1", kg=1, m=2, s=-3),
    "C": _of("1", A=1, s=1),
    "V": _of("1", kg=1, m=2, s=-3, A=-1),
    "F": _of("1", kg=-1, m=-2, s=4, A=2),
    "Ohm": _of("1", kg=1, m=2, s=-3, A=-2),
    "S": _of("1", kg=-1, m=-2, s=3, A=2),
    "Wb": _of("1", kg=1, m=2, s=-2, A=-1),
    "T": _of("1", kg=1, s=-2, A=-1),
    "H": _of("1", kg=1, m=2, s=-2, A=-2),
    "lm": _of("1", cd=1),
    "lx": _of("1", cd=1, m=-2),
    "Bq": _of("1", s=-1),
    "Gy": _of("1", m=2, s=-2),
    "Sv": _of("1", m=2, s=-2),
    "kat": _of("1", mol=1, s=-1),
    "L": _of("1/1000", m=3),
    "l": _of("1/1000", m=3),
    "bar": _of("100000", kg=1, m=-1, s=-2),
    "eV": _of("1.602176634e-19", kg=1, m=2, s=-2),
    "Wh": _of("3600", kg=1, m=2, s=-2),
    "cal": _of("4.184", kg=1, m=2, s=-2),
    "M": _of("1000", mol=1, m=-3),
    "P": _of("1/10", kg=1, m=-1, s=-1),
    "D": _of("9.869233e-13", m=2),
}
"""Units that take a prefix: the base and named units of the SI (BIPM, SI Brochure, 9th edition,
tables 2, 4 and 8), and the litre, bar, electronvolt, watt-hour, calorie, mole a litre, poise and
darcy.
"""
PLAIN: dict[str, Measure] = {
    "1": ONE,
    # its size; a temperature in degrees Celsius is one in kelvins less 273.15
    "degC": _of("1", K=1),
    "min": _of("60", s=1),
    "h": _of("3600", s=1),
    "hour": _of("3600", s=1),
    "day": _of("86400", s=1),
    "week": _of("604800", s=1),
    "year": _of("31557600", s=1),
    "t": _of("1000", kg=1),
    "u": _of("1.66053906892e-27", kg=1),
    "ha": _of("10000", m=2),
    "atm": _of("101325", kg=1, m=-1, s=-2),
    "Torr": _of("101325/760", kg=1, m=-1, s=-2),
    "mmHg": _of("133.322387415", kg=1, m=-1, s=-2),
    "psi": _of("6894.757293168", kg=1, m=-1, s=-2),
    "angstrom": _of("1e-10", m=1),
    "inch": _of("0.0254", m=1),
    "ft": _of("0.3048", m=1),
    "mile": _of("1609.344", m=1),
    "lb": _of("0.45359237", kg=1),
    "lbf": _of("4.4482216152605", kg=1, m=1, s=-2),
    "deg": _of("0.017453292519943295"),
    "rpm": _of("0.10471975511965977", s=-1),
    "knot": _of("1852/3600", m=1, s=-1),
    "Gal": _of("1/100", m=1, s=-2),
    "G": _of("1/10000", kg=1, s=-2, A=-1),
}
"""Units that take none. Degrees, in radians, are rounded."""


class Units(Mapping[str, Measure]):
    """Every unit under every name: what is written without a prefix goes before what a prefix
    would make of the same letters."""

    def __getitem__(self, name: str) -> Measure:
        for table in (PLAIN, PREFIXED):
            if name in table:
                return table[name]
        for prefix, power in PREFIXES.items():
            if name.startswith(prefix) and name[len(prefix) :] in PREFIXED:
                return Measure(Fraction(10) ** power) * PREFIXED[name[len(prefix) :]]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(
            dict.fromkeys(
                [*PLAIN, *PREFIXED, *(prefix + name for prefix in PREFIXES for name in PREFIXED)]
            )
        )

    def __len__(self) -> int:
        return len(list(iter(self)))


UNITS = Units()
EXAMPLES = (
    "m kg s A K mol cd, N Pa J W Hz C V T F S H Ohm, g L bar eV min h day degC, and prefixes as in"
    " mm, kPa, GHz"
)


class WrittenUnit(Protocol):
    """A unit as it is written: the names of its factors and their powers."""

    @property
    def factors(self) -> tuple[tuple[str, Fraction], ...]: ...


@dataclass(frozen=True, slots=True)
class Product:
    """A written unit that is not a part of a text."""

    factors: tuple[tuple[str, Fraction], ...]


def measure(unit: WrittenUnit | None) -> Measure | None:
    """The meaning of a written unit; None when there is none or it is unknown."""
    if unit is None or any(name not in UNITS for name, _ in unit.factors):
        return None
    result: Measure | None = ONE
    for name, power in unit.factors:
        part = UNITS[name] ** power
        result = result * part if result is not None and part is not None else None
    return result


def unknown_unit(unit: WrittenUnit) -> tuple[str, str] | None:
    """The first name of a unit that is none, and what to write instead."""
    for name, power in unit.factors:
        if name not in UNITS:
            near = nearest(name, (*PLAIN, *PREFIXED)) or nearest(name, UNITS)
            return name, f"did you mean `{near}`?" if near else f"units are {EXAMPLES}"
        if abs(power) > 12 or power.denominator > 12:
            return f"{name}^{power}", "powers of units are small numbers"
    return None


FACTOR = re.compile(r"\s*([*/]?)\s*([A-Za-z]+|1)(?:\^(-?\d+(?:\.\d+)?)|\^\((-?\d+/\d+)\))?\s*")


def product_of(text: str | None) -> Product | None:
    """The factors of a unit given as text, such as `kg*m/s^2`.

    Raises: S01 for what is not a product of units.
    """
    if text is None:
        return None
    factors, place = [], 0
    while place < len(text):
        found = FACTOR.match(text, place)
        if found is None or (place > 0) != bool(found[1]):
            raise fail("S01", f"{text!r} is not a unit", 'write a product of units, "kg*m/s^2"')
        sign, name, power, root = found.groups()
        factors.append((name, Fraction(power or root or 1) * (-1 if sign == "/" else 1)))
        place = found.end()
    return Product(tuple(factors))
