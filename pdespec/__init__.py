"""pdespec: a symbolic language for partial differential equations.

A problem is written with SymPy (`Problem`) or as text (`parse`, `load`); both give the same frozen
value.
"""

from __future__ import annotations

from re import compile as pattern
from sys import modules
from typing import TYPE_CHECKING, Any

from pdespec import notation
from pdespec.calculus import (
    Integral,
    advect,
    avg,
    curl,
    d,
    derivative_operator,
    dirac,
    div,
    dn,
    dt,
    dtt,
    grad,
    integral,
    jump,
    lap,
)
from pdespec.complexes import abs2, arg, conj, im, re
from pdespec.coordinates import space, time, unit_normal
from pdespec.domains import (
    airfoil,
    ball,
    box,
    cylinder,
    disk,
    exterior,
    extruded,
    interval,
    lattice,
    mesh,
    moved,
    polygon,
    rectangle,
    rotated,
    scaled,
    star,
)
from pdespec.errors import Diagnostic, PdespecError, ProblemError, nearest
from pdespec.geometry import Boundary, Domain, boundary, group, interface, periodic, rest, side
from pdespec.jets import value_at
from pdespec.laws import fourier, gaussians, grf, loguniform, normal, uniform
from pdespec.rules.check import check
from pdespec.shapes.annulus import annulus
from pdespec.shapes.described import SHAPES
from pdespec.shapes.ellipse import ellipse, ellipsoid
from pdespec.statements.manufacture import manufacture
from pdespec.statements.natural import natural_conditions
from pdespec.statements.problem import Problem
from pdespec.statements.statements import (
    Condition,
    Data,
    Equation,
    Functional,
    IntegralRequirement,
    Output,
    Requirement,
    at,
    inside,
    on,
)
from pdespec.statements.variation import diff, first_variation, variation, weak_form
from pdespec.symbols import const, input_function, param, trainable, unknown
from pdespec.tensors import cross, det, dot, identity, inner, inv, outer, skew, sym, tr, transpose
from pdespec.trainable_fields import trainable_field
from pdespec.vocabulary import OPERATORS

if TYPE_CHECKING:
    from pdespec.text import load, parse

# the parser is loaded when first used: lark takes longer to import than a problem to build
_TEXT = ("parse", "load")
# dx, dxx, dxt, ..; d(u, r, r) for coordinates of other names
_OPERATOR = pattern(r"d[xyzXYZt]{1,8}")

# shapes and operators of one file and one row are names of this package without a line here, which
# tells editors and type checkers their arguments
# fmt: off
__all__ = [
    "abs2", "advect", "airfoil", "annulus", "arg", "at", "avg", "ball", "Boundary", "boundary",
    "box", "check", "Condition",
    "conj", "const", "cross", "curl", "cylinder", "d", "Data", "det", "Diagnostic", "diff", "dirac",
    "disk", "div",
    "dn", "Domain", "dot", "dt", "dtt", "ellipse", "ellipsoid", "Equation", "exterior", "extruded",
    "first_variation",
    "fourier", "Functional", "gaussians", "grad", "grf", "group", "identity", "im", "inner",
    "input_function",
    "inside", "Integral", "integral", "IntegralRequirement", "interface", "interval", "inv", "jump",
    "lap", "lattice",
    "load", "loguniform", "manufacture", "mesh", "moved", "natural_conditions", "normal", "on",
    "outer", "Output",
    "param", "parse", "PdespecError", "periodic", "polygon", "Problem", "ProblemError", "re",
    "rectangle",
    "Requirement", "rest", "rotated", "scaled", "side", "skew", "space", "star", "sym", "time",
    "tr", "trainable", "trainable_field",
    "transpose", "uniform", "unit_normal", "unknown", "value_at", "variation",
    "weak_form",
]
# fmt: on


def __dir__() -> list[str]:
    words = (word.name for word in OPERATORS.values() if word.function is not None)
    return sorted({*__all__, *SHAPES, *words})


def _text() -> Any:
    from pdespec.text import front

    return front


def _plain(expression: Any) -> str:
    from pdespec.text.write.express import plain

    return plain(expression)


notation.register("expression", _plain)
notation.register("dsl", lambda problem: _text().to_dsl(problem))
notation.register("latex", lambda problem: _text().to_latex(problem))


def __getattr__(name: str) -> Any:
    if name in _TEXT:
        from pdespec import text

        return getattr(text, name)
    if _OPERATOR.fullmatch(name):
        return derivative_operator(name)
    if name in SHAPES:
        return getattr(modules[SHAPES[name].__module__], name)
    if name in OPERATORS and OPERATORS[name].function is not None:
        return OPERATORS[name].function
    near = nearest(name, __dir__())
    raise AttributeError(
        f"module 'pdespec' has no attribute {name!r}"
        + (f"; did you mean {near!r}?" if near else "")
    )
