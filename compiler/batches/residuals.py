"""Residuals of equations at known functions of position, such as a lift; without a loss or a
derivative plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import sympy as sp
import torch
from torch import Tensor

from compiler.data.samples import DrawnSamples
from compiler.derivatives import Request, Taylor
from compiler.lowering.coefficients import KnownValues, graph_of
from compiler.lowering.graph import ResidualGraph
from compiler.lowering.plan import indices
from compiler.lowering.terms import JetVariable, Term
from compiler.matching import told
from operators.field import Capabilities, PointFunction, followed
from operators.jets.jet import Jet, JetSpace
from pdespec.statements.problem import Problem


@dataclass(frozen=True)
class Shifted:
    """A function of position and what is added to its values, as a field. Shapes: points "b n D"
    -> "b n c"."""

    function: PointFunction
    added: Tensor | float = 0.0

    capabilities: ClassVar[Capabilities] = Capabilities(taylor=True)

    def __call__(self, points: Tensor) -> Tensor:
        # a constant, too, depends on its coordinates
        return self.function(points) + self.added + 0 * points[..., :1]

    def taylor(self, points: Tensor, space: JetSpace) -> Jet:
        """The jet of the sum, by following its operations. Shapes: points "b n D" -> streams "b n
        c"."""
        return followed(self, points, space)


@dataclass(frozen=True)
class Residuals:
    """Terms that read the same points, evaluated at a known function of position."""

    problem: Problem
    terms: tuple[Term, ...]

    @cached_property
    def graph(self) -> ResidualGraph:
        """The common graph of the terms' expressions, made once."""
        return graph_of(self.terms)

    @cached_property
    def request(self) -> Request:
        """The derivatives of each component that the terms hold."""
        found = {k: indices(self.terms, name) for k, name in enumerate(self.problem.components)}
        return Request({k: each for k, each in found.items() if each})

    def __call__(
        self, function: Shifted, points: Tensor, normals: Tensor | None, drawn: DrawnSamples
    ) -> dict[str, Tensor]:
        """The residuals of the terms by label, with params and inputs drawn; an input on another
        boundary has a value here too. Shapes: points "b n D", normals "b n d" -> "b n k" each.
        """
        with told(function, points):
            answers = Taylor().evaluate(function, points, self.request)
        position = {name: k for k, name in enumerate(self.problem.components)}
        jets = {s: answers[position[s.component], s.index] for s in self.jet_variables}
        values = jets | self.known(points, normals, drawn)
        found = iter(self.graph(values, points[..., 0].detach()))
        return {t.label: torch.stack([next(found) for _ in t.expressions], -1) for t in self.terms}

    @cached_property
    def jet_variables(self) -> tuple[JetVariable, ...]:
        """The derivatives of the unknowns that the terms hold."""
        found = (s for term in self.terms for s in term.jet_variables() if not s.known)
        return tuple(dict.fromkeys(found))

    def known(
        self, points: Tensor, normals: Tensor | None, drawn: DrawnSamples
    ) -> dict[sp.Symbol, Tensor]:
        """All that the terms contain in addition to the unknowns, at points. Shapes: points "b n
        D", normals "b n d" -> "b n" or "b 1" each."""
        # in the precision of a parameter, as the loss begins with
        trainables = {
            name: torch.full(
                () if p.size is None else (p.size,), float(1.0 if p.value is None else p.value)
            )
            for name, p in self.problem.trainables.items()
        }
        known = KnownValues(
            self.problem,
            trainables,
            points,
            normals,
            drawn.params,
            lambda name, x: drawn.evaluate(name, x, continued=True),
        )
        return known.values(self.graph.symbols)
