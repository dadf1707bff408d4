"""NACA four-digit sections, deformed through the design element of the Geo-FNO airfoil set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
import torch
from torch import Tensor

from compiler.geometry.shapes.body import Ambient, Selection, bind, extent
from compiler.geometry.shapes.curve import TABLE, Arc, arcs, signed_distance
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import FullBoundary
from pdespec.geometry import Airfoil

AREA = 1e-7  # relative error of Simpson's rule with the root at the leading edge
NODES_X = (sp.Rational(-1, 4), sp.Rational(1, 4), sp.Rational(3, 4), sp.Rational(5, 4))
NODES_Y = (sp.Rational(-1, 10), sp.Rational(1, 10))
# Columns and rows of the free nodes, counterclockwise; the lower left one is fixed.
FREE = ((1, 0), (2, 0), (3, 0), (3, 1), (2, 1), (1, 1), (0, 1))
# root of the chordwise position, in which both surfaces are smooth up to the leading edge
S = sp.Symbol("s", nonnegative=True)


@dataclass(frozen=True)
class Section:
    """The inside of an airfoil: `surfaces` from the leading to the trailing edge, the upper
    first."""

    surfaces: tuple[Arc, Arc]
    shape: Airfoil

    def distance(self, x: Tensor) -> Tensor:
        """Exact, by Newton's method on the closest point."""
        return signed_distance(self.surfaces, x)

    def inside(self, x: Tensor) -> Tensor:
        """Between the surfaces at the same chordwise position."""
        heights = [self._height(arc, x[..., 0]) for arc in self.surfaces]
        return (
            (x[..., 0] > 0) & (x[..., 0] < 1) & (x[..., 1] < heights[0]) & (x[..., 1] > heights[1])
        )

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """Minus the signed distance: smooth on the outside, where airfoils are used, but for the
        fan behind the trailing edge (C^1)."""
        return self.approximate_distance(x) if any(map(selected, self.pieces())) else None

    def pieces(self) -> tuple[FullBoundary]:
        lengths = torch.stack([arc.length() for arc in self.surfaces])
        return (
            FullBoundary(
                2,
                lengths.sum(0),
                self._chart,
                self.approximate_distance,
                (self.shape,),
                cells=TABLE,
                panels=64,
                height=self.distance,
                error=AREA,
            ),
        )

    def bounds(self) -> tuple[Tensor, Tensor]:
        (lower, upper), (other_lower, other_upper) = (arc.bounds() for arc in self.surfaces)
        return torch.minimum(lower, other_lower), torch.maximum(upper, other_upper)

    def reach(self, directions: Tensor) -> Tensor:
        return torch.maximum(*(arc.reach(directions) for arc in self.surfaces))

    def feature_size(self) -> Tensor:
        return extent(self)

    def center(self) -> Tensor:
        """The middle of the chord."""
        upper, lower = (arc.point(arc.nodes(2)).mean(1) for arc in self.surfaces)
        return (upper + lower) / 2

    def measure(self) -> Tensor:
        return self.surfaces[0].area() + self.surfaces[1].area()

    def draw(self, cube: Tensor) -> None:
        return None

    @torch.no_grad()
    def _height(self, arc: Arc, position: Tensor) -> Tensor:
        """Height of a surface above a chordwise position. The parameter is its root, up to
        camber: a few Newton steps."""
        s = position.clamp(0, 1).sqrt()
        for _ in range(6 if self.shape.digits[0] else 0):
            x, _, dx, _, _, _ = arc.function(s)
            s = (s - (x - position) / dx.clamp_min(1e-3)).clamp(0, 1)
        return arc.function(s)[1]

    def approximate_distance(self, x: Tensor) -> Tensor:
        return -self.distance(x)

    def _chart(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Counterclockwise from the trailing edge: the upper surface backwards, then the lower
        one."""
        upper, lower = self.surfaces
        first, second = upper.length()[:, None], lower.length()[:, None]
        travelled = u[..., 0] * (first + second)
        on_upper = travelled < first
        s = upper.at_share((1 - travelled / first).clamp(0, 1))
        t = lower.at_share(((travelled - first) / second).clamp(0, 1))
        points = torch.where(on_upper[..., None], upper.point(s), lower.point(t))
        return points, torch.where(on_upper[..., None], upper.normal(s), lower.normal(t))


@bind.register
def _(shape: Airfoil, numbers: Numbers, around: Ambient) -> Section:
    ways = [_surface(shape, side) for side in (1, -1)]
    upper, lower = arcs(ways, S, (0.0, 1.0), [-1, 1], False, numbers)
    return Section((upper, lower), shape)


@lru_cache(maxsize=32)
def _surface(shape: Airfoil, side: int) -> tuple[sp.Expr, sp.Expr]:
    """Upper (1) or lower (-1) surface: camber line and half thickness normal to it, then the
    displacement of the design element.

    Half thickness `5 t (0.2969 s - 0.126 s^2 - 0.3516 s^4 + 0.2843 s^6 - 0.1036 s^8)`, s^2 = x/c,
    the last coefficient of the variant with a closed trailing edge. Source: Jacobs, Ward,
    Pinkerton, NACA report 460, 1933.
    """
    camber, place, thickness = (
        sp.Rational(shape.digits[0], 100),
        sp.Rational(shape.digits[1], 10),
        sp.Rational(shape.digits[2], 100),
    )
    x = S**2
    half = 5 * thickness * (
        sp.Rational(2969, 10000) * S - sp.Rational(126, 1000) * x - sp.Rational(3516, 10000) * x**2
        + sp.Rational(2843, 10000) * x**3 - sp.Rational(1036, 10000) * x**4
    )  # fmt: skip
    if camber == 0 or not 0 < place < 1:
        return x, _displaced(shape, x, side * half)
    front, back = (
        camber / place**2 * (2 * place * x - x**2),
        camber / (1 - place) ** 2 * (1 - 2 * place + 2 * place * x - x**2),
    )
    line = sp.Piecewise((front, x < place), (back, True))
    slope = sp.Piecewise(
        (sp.cancel(front.diff(S) / (2 * S)), x < place), (sp.cancel(back.diff(S) / (2 * S)), True)
    )
    across = 1 / sp.sqrt(1 + slope**2)
    x, y = x - side * half * slope * across, line + side * half * across
    return x, _displaced(shape, x, y)


def _displaced(shape: Airfoil, x: sp.Expr, y: sp.Expr) -> sp.Expr:
    """Height after the vertical displacement `sum d_ij L_i(x) N_j(y)`: cubic Lagrange polynomials
    in x, linear in y, on an element of four by two nodes around the chord. Source: Li, Huang, Liu,
    Anandkumar, Fourier neural operator with learned deformations, JMLR 2023.
    """
    result = y
    for value, (column, row) in zip(shape.displacement, FREE, strict=False):
        along = sp.prod(
            (x - other) / (NODES_X[column] - other) for other in NODES_X if other != NODES_X[column]
        )
        above = (y - NODES_Y[1 - row]) / (NODES_Y[row] - NODES_Y[1 - row])
        result += value * along * above
    return result
