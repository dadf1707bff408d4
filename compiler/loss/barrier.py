"""Extrapolated barrier: extends an energy density W, defined where its requirements g_i > 0 hold,
to all states; finite everywhere.

Let s be the jet variables of the field at a point, c admissible ones (those of the zero field,
where they are), h(s) = min_i g_i(s) / g_i(c) and m = `MARGIN`. Where h(s) >= m the density is W(s),
bit for bit. Elsewhere the ray from c to s is followed to p = c + t (s - c), the last tested point
with h(p) >= m, and the density is its tangent there, raised by a penalty of its own size:

    W(p) + max(0, grad W(p) . (s - p)) + |W(p)| (m - h(s))^2

W is evaluated at admissible jet variables only, so that logarithms and roots are finite with all
their derivatives. What is inadmissible never scores less than the admissible p it belongs to. Where
W rises towards the boundary, as stored energies do, the value is continuously differentiable across
it, and along the ray it grows as steeply beyond as before. Where W falls towards the boundary, the
value has a kink there and the penalty alone leads back. The gradient follows t by the implicit
function theorem: h(p) = m. All of it is pointwise and branches on no data.

Source: the extrapolated barriers of Ben-Tal and Zibulevsky, SIAM J. Optim. 7 (1997), there of a
logarithm in g; here along rays, since a density may hold g in any form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from compiler.lowering.graph import ResidualGraph, Source
from compiler.lowering.terms import Term
from pdespec.jumps import slope

# of g at the origin: a cell crushed to a hundredth of its volume is where an energy stops being
# trusted
MARGIN = 0.01
FAN = 16  # points tried on a ray at once, as often as t has hexadecimal digits
# in the units of g: how far inside an origin is looked for, halved in every sweep
REACH, SWEEPS = 0.1, 8

Values = Mapping[sp.Symbol, Tensor]


class ExtrapolatedBarrier:
    """The expressions of an energy term as a function of its jet variables that is finite for every
    finite field."""

    def __init__(self, term: Term):
        self.jet_variables = tuple(s for s in term.jet_variables() if not s.known)
        self.count = len(term.guards)
        self.rays = {s: sp.Symbol(f"ray of {s.name}", real=True) for s in self.jet_variables}
        source = Source(term.label, term.span.line if term.span else None)
        self.density = self._along(term.expressions, source)
        self.level = ResidualGraph(term.guards, [source] * self.count)
        self.descent = self._along(term.guards, source)
        slopes = [slope(g, s) for g in term.guards for s in self.jet_variables]
        self.ascent = ResidualGraph([*term.guards, *slopes], [source] * (self.count + len(slopes)))
        zero = dict.fromkeys(self.jet_variables, sp.S.Zero)
        at_zero = [g.xreplace(zero) for g in term.guards]
        self.rooted = all(g.is_number and g.is_positive for g in at_zero)
        used = (*self.density.symbols, *self.ascent.symbols)
        self.symbols = tuple(s for s in dict.fromkeys(used) if s not in self.rays.values())

    def __str__(self) -> str:
        return f"{self.density}\n  where positive:\n{self.level}"

    def _along(self, expressions: Sequence[sp.Expr], source: Source) -> ResidualGraph:
        """The expressions, then their derivatives along the ray."""
        slopes = [
            sum((slope(e, s) * ray for s, ray in self.rays.items()), sp.S.Zero) for e in expressions
        ]
        return ResidualGraph([*expressions, *slopes], [source] * (2 * len(expressions)))

    def __call__(
        self, jets: Values, known: Values, like: Float[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b n"], ...]:
        """The values of the expressions. Shapes: jet variables, `like` and values "b n", known "b
        n" or "b 1"."""
        origin = self._origin(known, like)
        roots = torch.stack(self.level(origin | known, like))  # (requirements, b, n)
        # elsewhere no field is known to meet the requirements, and nothing is guarded
        found = (roots > 0).all(0)
        roots = torch.where(found, roots, torch.ones_like(roots))

        height = self._height(jets | known, roots, like)
        holds = (height >= MARGIN) | ~found
        ray = {s: jets[s] - origin[s] for s in self.jet_variables}
        share = self._share(origin, ray, roots, known, like)
        at = {
            s: torch.where(holds, jets[s], origin[s] + share * ray[s]) for s in self.jet_variables
        }
        values = self.density(at | known | {self.rays[s]: v for s, v in ray.items()}, like)
        half = len(values) // 2
        return tuple(
            torch.where(
                holds,
                value,
                value + slope.relu() * (1 - share) + value.abs() * (MARGIN - height).square(),
            )
            for value, slope in zip(values[:half], values[half:], strict=True)
        )

    def _height(self, values: Values, roots: Float[Tensor, "g b n"], like: Tensor) -> Tensor:
        """h: the least of the requirements, each in units of its value at the origin."""
        return torch.stack(
            [g / root for g, root in zip(self.level(values, like), roots, strict=True)]
        ).amin(0)

    def _share(
        self,
        origin: Values,
        ray: Values,
        roots: Float[Tensor, "g b n"],
        known: Values,
        like: Float[Tensor, "b n"],
    ) -> Float[Tensor, "b n"]:
        """t of the last tested point of the ray with h >= MARGIN, differentiable where the ray
        leaves. Shapes: "b n"."""
        fixed, still = ({s: value.detach() for s, value in each.items()} for each in (known, ray))
        tried = torch.arange(FAN, dtype=like.dtype, device=like.device)[:, None, None]  # (f, 1, 1)
        low, width = torch.zeros_like(like), 1.0
        for _ in range(math.ceil(-math.log(torch.finfo(like.dtype).eps, FAN))):
            width /= FAN
            share = low + width * tried  # (f, b, n)
            good = (
                self._height(
                    {s: origin[s] + share * still[s] for s in self.jet_variables} | fixed,
                    roots,
                    share,
                )
                >= MARGIN
            )
            low = low + width * (good * tried).amax(0)
        at = {s: origin[s] + low * ray[s] for s in self.jet_variables} | {
            self.rays[s]: v for s, v in ray.items()
        }
        values = torch.stack(self.descent(at | known, like)) / roots.repeat(2, 1, 1)  # (2 g, b, n)
        heights, slopes = values.chunk(2)  # (g, b, n) each
        least = heights.argmin(0, keepdim=True)  # (1, b, n)
        height, slope = heights.gather(0, least)[0], slopes.gather(0, least)[0]  # (b, n) each
        # a ray that only grazes the boundary has no slope
        return low - (height - height.detach()) / slope.detach().clamp_max(-MARGIN)

    def _origin(self, known: Values, like: Tensor) -> dict[sp.Symbol, Tensor]:
        """Admissible jet variables: zero where that is known to do, else what Newton steps from
        zero find, up the slope of one requirement after another (Kaczmarz)."""
        origin = {s: torch.zeros_like(like) for s in self.jet_variables}
        if self.rooted:
            return origin
        for sweep in range(SWEEPS):
            target = REACH / 2**sweep
            for k in range(self.count):
                values = self.ascent(origin | known, like)
                slopes = values[self.count + k * len(self.jet_variables) :][
                    : len(self.jet_variables)
                ]
                square = torch.stack(slopes).square().sum(0)
                needed = (values[k] < target) & (square > 0)
                step = needed * (target - values[k]) / torch.where(needed, square, 1.0)
                origin = {
                    s: origin[s] + step * slope
                    for s, slope in zip(self.jet_variables, slopes, strict=True)
                }
        return origin
