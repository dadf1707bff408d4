"""The words of the language, in one table for the parser, the checks, the editors and the
documentation."""

from __future__ import annotations

import re

from pdespec import vocabulary
from pdespec.calculus import split_derivative
from pdespec.functions import TABLE
from pdespec.shapes.described import SHAPES as DESCRIBED

STATEMENTS = (
    "problem space time periodic domain boundary const param trainable input unknown "
    "in on at minimize stationary require output data reference"
).split()
"""Words that open a statement. None of them can be a name."""

PARTICLES = "over from steady and or not".split()
"""Words inside a statement. None of them can be a name."""

RANKS = "scalar vector tensor".split()

COMPLEX = "complex"
"""Before a rank, or in place of `scalar`: the field has complex values."""

OPERATORS = list(vocabulary.OPERATORS)

FUNCTIONS = [*vocabulary.NUMERIC, *(name for name, entry in TABLE.items() if entry.own)]

CONDITIONS = "if equal xor".split()
"""A choice by conditions, and conditions that have no sign."""

YIELDING = [*CONDITIONS, *(name for name, entry in TABLE.items() if not entry.own)]
"""Functions whose name a declaration may take, which then hides them: `const gamma = 1.4`."""

CONSTANTS = "I n pi".split()
"""Identity tensor, unit outward normal, circle constant."""

SHAPES = [
    *"interval rectangle box disk ball polygon star cylinder extruded moved".split(),
    *"rotated scaled airfoil naca lattice exterior mesh".split(),
    *DESCRIBED,
]

REGIONS = "boundary side rest inner outer interface group".split()

RESERVED = frozenset(STATEMENTS + PARTICLES)
BUILTINS = frozenset(OPERATORS + FUNCTIONS + CONSTANTS)
"""Names that cannot be declared, unless in backticks."""

GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψωΑΒΓΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ",
        (
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi"
            " rho sigma tau upsilon phi chi psi omega Alpha Beta Gamma Epsilon Zeta Eta Theta Iota"
            " Kappa Lambda Mu Nu Xi Omicron Pi Rho Sigma Tau Upsilon Phi Chi Psi Omega"
        ).split(),
        strict=True,
    )
) | {
    "ς": "sigma",
    "ϑ": "theta",
    "ϕ": "phi",
    "ϵ": "epsilon",
    "\N{MICRO SIGN}": "mu",
    "\N{OHM SIGN}": "Omega",
}
"""Greek letters that may be written for their English names."""

_SPELLING = str.maketrans(GREEK | dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)))


def spell(name: str) -> str:
    """The name in ASCII: `Ω` is `Omega`, `u₀` is `u0`."""
    return name if name.isascii() else name.translate(_SPELLING)


PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
IDENTIFIER = re.compile(r"[^\W\d]\w*")


def bare(name: str) -> str:
    """A written name without its backticks."""
    return name[1:-1] if name.startswith("`") else name


def key(name: str, variables: tuple[str, ...]) -> str:
    """The name under which a written one is known: backticks stay only where they keep it apart
    from a word or an operator."""
    inner = bare(name)
    return name if name == inner or inner in YIELDING or taken(inner, variables) else inner


def taken(name: str, variables: tuple[str, ...]) -> bool:
    """Whether a user's own name must be written in backticks."""
    return (
        name in RESERVED
        or name in BUILTINS
        or not PLAIN.fullmatch(name)
        or split_derivative(name, variables) is not None
    )
