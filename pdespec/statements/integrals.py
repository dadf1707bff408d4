"""Integrals of known functions over regions: in closed form where that is quick, or as numbers."""

from __future__ import annotations

from typing import Any

import mpmath
import sympy as sp

from pdespec.coordinates import Coordinate
from pdespec.errors import fail
from pdespec.geometry import (
    Boundary,
    Box,
    Disk,
    Domain,
    Interval,
    Rectangle,
    Star,
    shape_symbols,
)
from pdespec.notation import short
from pdespec.symbols import InputField


def integrated(density: sp.Expr, region: Any) -> sp.Expr:
    """The integral over a box, done for sums of products of functions of one coordinate each; of
    polynomials over a disk; otherwise, where no params are held, a number by quadrature.

    Raises: V01 for what is none of these.
    """
    shape = region.domain.shape
    if density == 0:
        return density
    if isinstance(region, Domain) and isinstance(shape, Disk):
        return _over_disk(density, region) or _computed(density, region)
    if isinstance(region, Boundary) or not isinstance(shape, (Interval, Rectangle, Box)):
        return _computed(density, region)
    total = []
    for term in sp.Add.make_args(sp.expand(density)):
        value, left = sp.S.One, term
        for x, low, high in zip(region.coordinates, shape.lower, shape.upper, strict=True):
            left, factor = left.as_independent(x, as_Add=False)
            if factor.atoms(Coordinate) - {x} or (factor.has(x) and not _elementary(factor, x)):
                return _computed(density, region)
            value *= sp.integrate(factor, (x, low, high))
        total.append(left * value)
    return sp.Add(*total)


def _over_disk(density: sp.Expr, region: Domain) -> sp.Expr | None:
    """The integral of a polynomial: of X^a Y^b over a disk about the origin
    2 R^(a + b + 2) B((a + 1)/2, (b + 1)/2) / (a + b + 2), for even a and b."""
    shape = region.shape
    moved = density.xreplace(
        {x: x + c for x, c in zip(region.coordinates, shape.center, strict=True)}
    )
    if not moved.is_polynomial(*region.coordinates):
        return None
    total = []
    for (a, b), factor in sp.Poly(moved, *region.coordinates).terms():
        if a % 2 == b % 2 == 0:
            beta = sp.gamma(sp.Rational(a + 1, 2)) * sp.gamma(sp.Rational(b + 1, 2))
            beta /= sp.gamma(sp.Rational(a + b + 2, 2))
            total.append(factor * 2 * shape.radius ** (a + b + 2) * beta / (a + b + 2))
    return sp.Add(*total)


def _computed(density: sp.Expr, region: Any) -> sp.Float:
    """The integral by quadrature, over boxes, disks and stars without params.

    Raises: V01 for what is none of these.
    """
    shape = region.domain.shape
    places = tuple(region.coordinates)
    known = not (sp.sympify(density).free_symbols | set(shape_symbols(shape))) - set(places)
    if isinstance(region, Boundary) or not known or density.atoms(InputField):
        kind = "boundary" if isinstance(region, Boundary) else type(shape).__name__.lower()
        raise fail(
            "V01",
            f"the integral of {short(density)} over `{region.name}`, a {kind}, is not known",
            "require integrals of polynomials, or over boxes and disks without params",
        )
    call = sp.lambdify(places, density, "mpmath")
    if isinstance(shape, (Interval, Rectangle, Box)):
        ends = [list(map(float, each)) for each in zip(shape.lower, shape.upper, strict=True)]
        return sp.Float(float(mpmath.quad(call, *ends)))
    if isinstance(shape, (Disk, Star)):
        a, b = map(float, shape.center)
        angle = shape.angle if isinstance(shape, Star) else sp.Dummy()
        reach = sp.lambdify(angle, shape.radius, "mpmath")

        def polar(share: Any, t: Any) -> Any:
            r = reach(t)
            return call(a + share * r * mpmath.cos(t), b + share * r * mpmath.sin(t)) * share * r**2

        turn = [k * mpmath.pi / 4 for k in range(9)]
        return sp.Float(float(mpmath.quad(polar, [0, 1], turn)))
    raise fail(
        "V01",
        f"the integral of {short(density)} over `{region.name}` is not known",
        "require integrals over boxes, disks and stars",
    )


def _elementary(factor: Any, x: Coordinate) -> bool:
    """Whether a factor is a polynomial in x times powers of sin, cos and exp of linear functions
    of x: quick to integrate."""
    waves = factor.atoms(sp.sin, sp.cos, sp.exp)
    linear = all(wave.args[0].diff(x, 2) == 0 for wave in waves)
    return linear and factor.xreplace({wave: sp.Dummy() for wave in waves}).is_polynomial()
