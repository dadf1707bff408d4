"""Characteristic sizes of a problem: of its coordinates and params from domains and laws, of fields
and residuals by balance.

Sizes are found on a few draws of the problem in its local coordinates:

- an input is as large as its draws;
- an unknown is as large as makes its largest term, in some condition or equation, balance those
  without it: its data on boundaries and at the start, sources, and then the unknowns that are
  coupled to those found so far;
- in this balance a derivative of order m along an axis is (pi / L)^m times as large as the field, L
  the extent of its domain along that axis, and one in time T^-m: half a wave across, as in the
  lowest mode of an operator with values given on the boundary, whose eigenvalue for `lap^k` is
  (sum_i (pi / L_i)^2)^k;
- a residual is as large as its largest term, where derivatives are as large as the fields.

Everything is rounded to powers of ten. An unknown that nothing measures, as in an eigenvalue
problem, has size 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp
import torch
from torch import Tensor

from compiler.chance import Chance
from compiler.data.from_files import law_of
from compiler.data.points import place
from compiler.data.samples import DrawnSamples, drawn_symbols, probed
from compiler.geometry.domain import box
from compiler.lowering.coefficients import KnownValues
from compiler.lowering.essential import essential
from compiler.lowering.frame import EXTENT, Frame, _origin, around, decimal
from compiler.lowering.graph import ResidualGraph, Source
from compiler.lowering.regions import regions
from compiler.lowering.terms import JetVariable, Term, lower, strong_form
from pdespec.curvilinear import angles
from pdespec.geometry import Boundary
from pdespec.laws import LogUniform, NumberLaw, truncated_support
from pdespec.statements.interfaces import flux_conditions
from pdespec.statements.problem import Problem
from pdespec.symbols import Unknown
from pdespec.table import Table

# fields and params of these to ten times these sizes are left as they are, as most written in
# numbers of 1 are
FIELD, PARAM = 0.17, 0.24
# the same of several unknowns: no defect gives these a unit, so that their networks begin with
# noise in proportion to it
SEVERAL = 0.5
# the same of residuals, unless two of them lie closer around it than so many decades
RESIDUAL, CLOSE = 0.2, 0.33
DRAWN, POINTS = 8, 64  # samples, and points of each region, on which sizes are measured
SMALL_ENOUGH = 400  # operations up to which a residual is expanded, to see its terms
ROUNDS = 12  # of the search for the size that balances nonlinear terms
# how near a balance has to come, as a factor; sizes beyond are none, their products would leave the
# numbers
MET, LARGEST = 3.0, 1e50


def coordinates(problem: Problem) -> Frame:
    """The part of the frame that follows from domains, time and laws of params."""
    boxes = [
        box(domain)
        for domain in dict.fromkeys(unknown.region for unknown in problem.unknowns.values())
    ]
    lower = [min(low[k] for low, _ in boxes) for k in range(len(problem.coordinates))]
    upper = [max(high[k] for _, high in boxes) for k in range(len(problem.coordinates))]
    read = {symbol.declaration.name for symbol in drawn_symbols(problem)}
    params = {
        name: found
        for name, param in problem.params.items()
        if (found := _param(param.law, name in read)) is not None
    }
    frame = around(lower, upper)
    # about an axis: r = 0 stays where it is, and the element of an energy, 2 pi r, what it is
    if angles(problem.coordinates):
        length = sp.S.One if problem.functionals else frame.length
        frame = replace(frame, origin=(sp.S.Zero, *frame.origin[1:]), length=length)
    return replace(in_time(problem, frame), params=Table(params))


def in_time(problem: Problem, frame: Frame) -> Frame:
    """The frame with the time of a problem, if it has one."""
    if (t := problem.time) is None:
        return frame
    return replace(
        frame,
        start=_origin(float(t.start), float(t.end)),
        duration=decimal(t.end - t.start, EXTENT),
    )


def _param(law: object, read: bool) -> tuple[sp.Expr, sp.Expr] | None:
    """Offset and size of a param from its law; None where it is left as it is, as are those near
    zero that a network does not read."""
    if not isinstance(law, NumberLaw):
        return None
    low, high = truncated_support(law)
    offset = sp.S.Zero if isinstance(law, LogUniform) else _origin(low, high)
    if offset == 0 and not read:
        return None
    size = decimal(max(abs(low - float(offset)), abs(high - float(offset))), PARAM)
    return None if (offset, size) == (0, 1) else (offset, size)


# --------------------------------------------------------------------------------------------------
# by measuring


def input_sizes(problem: Problem) -> dict[str, sp.Expr]:
    """The sizes of the inputs that have a law or a file, by name."""
    drawn = _draws(problem)
    found = {}
    for name, declaration in problem.inputs.items():
        if law_of(declaration) is None:
            continue
        region = declaration.region
        points = _points(
            drawn, region.name, "boundary" if isinstance(region, Boundary) else "interior", region
        ).points
        found[name] = decimal(_root_mean_square(drawn.evaluate(name, points)), FIELD)
    return found


def field_and_residual_sizes(
    problem: Problem, inputs: Mapping[str, sp.Expr], length: sp.Expr
) -> Frame:
    """The rest of a frame: of unknowns, of equations and conditions by label, of functionals and of
    requirements.

    Where a flux crosses from one material to another it is divided by one size on both sides, and
    what drives it by the same: that of the softest material, which decides how large the solution
    is. What the solution then is, no balance at any one place says.
    """
    pieces = measured(problem, lower(problem))
    joined = joined_equations(problem)
    reasons: dict[str, str] = {}
    found = {} if joined else balanced(pieces, reasons)
    # no data: what the energy balances says its derivative
    if problem.functionals and len(found) < len(problem.unknowns):
        found = balanced([*pieces, *measured(problem, strong_form(problem))], reasons)
    lowest = FIELD if len(problem.components) == 1 else SEVERAL
    sizes = _residuals(problem, pieces, {**dict.fromkeys(problem.unknowns, 1.0), **found})
    energies = (
        ["energy"]
        if len(problem.functionals) == 1
        else [f"energy{k}" for k in range(1, 1 + len(problem.functionals))]
    )
    for group in joined:
        softest = decimal(
            min(piece.least() for piece in pieces if piece.term.label in group), RESIDUAL
        )
        fluxes = {
            t.label
            for t in lower(problem)
            if t.kind == "boundary" and any(any(s.index) for s in t.jet_variables())
        }
        sizes |= {
            **dict.fromkeys(group, softest),
            **dict.fromkeys(fluxes & set(problem.conditions), softest * length),
        }
    labels = [label for label in (*problem.equations, *problem.conditions) if label in sizes]
    return Frame(
        (),
        fields=Table({**inputs, **{name: decimal(size, lowest) for name, size in found.items()}}),
        statements=Table({label: sizes[label] for label in labels}),
        functionals=tuple(sizes.get(name, sp.S.One) for name in energies),
        requirements=tuple(
            sizes.get(f"require{k}", sp.S.One) for k in range(1, 1 + len(problem.requirements))
        ),
        reasons=Table({name: reasons[name] for name in found}),
    )


def joined_equations(problem: Problem) -> tuple[tuple[str, ...], ...]:
    """The equations that each derived flux condition joins: one whose coefficient jumps, or two
    on subdomains that meet."""
    found = {}
    for name in flux_conditions(problem):
        owners = tuple(label for label in problem.equations if label in name.split(".")[:-1])
        found[name] = owners
    return tuple(dict.fromkeys(found.values()))


def _residuals(
    problem: Problem, pieces: Sequence[Measured], unknowns: Mapping[str, float]
) -> dict[str, sp.Expr]:
    """The sizes of residuals, by name of the term. Values given on boundaries are mostly built
    in: they follow the others."""
    found: dict[str, float] = {}
    for piece in pieces:
        found[piece.term.name] = max(found.get(piece.term.name, 0.0), piece.largest(unknowns))
    given = {each.label for each in essential(problem)}
    positive = [size for name, size in found.items() if size > 0 and name not in given]
    lowest = start_of_decade(positive or [size for size in found.values() if size > 0])
    return {name: decimal(size, lowest) for name, size in found.items()}


def start_of_decade(sizes: Sequence[float]) -> float:
    """The size from which a decade begins, so that none begins between two sizes that are close in
    it: residuals that differ little keep their weights against each other, in whatever units they
    are stated.

    `RESIDUAL` where it lies in a wide gap between the sizes, else the middle of the widest gap.
    """
    default = math.log10(RESIDUAL) % 1
    places = sorted(math.log10(size) % 1 for size in sizes)
    if not places:
        return RESIDUAL
    gaps = list(zip(places, [*places[1:], places[0] + 1], strict=True))
    low, high = next(
        (gap for gap in gaps if gap[0] <= default < gap[1] or gap[0] <= default + 1 < gap[1]),
        gaps[-1],
    )
    if high - low < CLOSE:
        low, high = max(gaps, key=lambda gap: gap[1] - gap[0])
        default = (low + high) / 2
    return 10 ** (default % 1 - 1)


@dataclass(frozen=True)
class Measured:
    """One expression of a term, as a sum of summands that can be measured. `unknowns` are those
    that each summand holds."""

    term: Term
    graph: ResidualGraph
    unknowns: tuple[frozenset[str], ...]
    owners: Mapping[JetVariable, str]
    known: Mapping[sp.Symbol, Tensor]
    like: Tensor
    factor: float
    rates: Mapping[str, tuple[float, ...]]

    def sizes(self, of: Mapping[str, float], waves: bool = False) -> list[float]:
        """Root mean square of each summand where unknowns and their derivatives are normal numbers
        of the given sizes; with `waves`, derivatives as much larger as the rates of their axes say.
        """
        sized = {
            s: of[name] * (self._rate(s, name) if waves else 1.0) for s, name in self.owners.items()
        }
        jets = {s: size * _noise(k, self.like) for k, (s, size) in enumerate(sized.items())}
        return [
            self.factor * _root_mean_square(value)
            for value in self.graph({**self.known, **jets}, self.like)
        ]

    def _rate(self, jet: JetVariable, name: str) -> float:
        return math.prod(
            rate**order for rate, order in zip(self.rates[name], jet.index, strict=True)
        )

    def least(self) -> float:
        """The largest summand where all of them are smallest, but for a tenth of the points,
        unknowns and their derivatives being 1."""
        values = self.graph(
            {**self.known, **dict.fromkeys(self.owners, torch.ones_like(self.like))}, self.like
        )
        return float(
            torch.stack([value.detach().abs().broadcast_to(self.like.shape) for value in values])
            .amax(0)
            .quantile(0.1)
        )

    def largest(self, of: Mapping[str, float]) -> float:
        """The size of the largest summand for these sizes of the unknowns; 0 where there is
        none."""
        return max(self.sizes(of), default=0.0)


def measured(problem: Problem, terms: Iterable[Term]) -> list[Measured]:
    """The expressions of terms with what they need on a few draws."""
    drawn, places, found = _draws(problem), regions(problem), []
    trainables = {
        name: torch.full(
            () if p.size is None else (p.size,),
            float(1 if p.value is None else p.value),
            dtype=torch.float64,
        )
        for name, p in problem.trainables.items()
    }
    sets = {key: _points(drawn, key, kind, region) for key, (kind, region) in places.items()}
    changes = {name: rates(problem, unknown) for name, unknown in problem.unknowns.items()}
    for term in terms:
        if term.points not in sets:
            continue
        points = sets[term.points]
        known = KnownValues(
            problem, trainables, points.points, points.normals, drawn.params, drawn.evaluate
        )
        for expression in term.inner or term.expressions:  # of a jump, what jumps
            summands = list(
                sp.Add.make_args(
                    sp.expand(expression) if expression.count_ops() < SMALL_ENOUGH else expression
                )
            )
            if term.kind == "integral" and term.target != 0:
                summands.append(term.target / sp.Float(float(points.measure.mean())))
            try:
                graph = ResidualGraph(summands, [Source(term.label)] * len(summands))
            except (
                TypeError,
                ValueError,
            ):  # what has no rule, or no finite number, is refused where the loss is made of it
                continue
            own = {
                s: _owner(problem, s)
                for s in graph.symbols
                if isinstance(s, JetVariable) and not s.known
            }
            holds = tuple(
                frozenset(own[s] for s in each.free_symbols if s in own) for each in summands
            )
            given = known.values(tuple(s for s in graph.symbols if s not in own))
            factor = float(points.measure.mean()) if term.kind == "energy" else 1.0
            found.append(
                Measured(term, graph, holds, own, given, points.points[..., 0], factor, changes)
            )
    return found


def rates(problem: Problem, unknown: Unknown) -> tuple[float, ...]:
    """How fast an unknown changes along each of its variables: pi over the extent of its domain,
    around a circle 2 pi over it; in time one over the duration.
    """
    lower, upper = box(unknown.region)
    found = [
        (
            (2 if c.name in unknown.region.periodic else 1) * math.pi / (high - low)
            if 0 < high - low < math.inf
            else 1.0
        )
        for c, low, high in zip(problem.coordinates, lower, upper, strict=True)
    ]
    if (
        problem.time is not None
        and 0 < (duration := float(problem.time.end - problem.time.start)) < math.inf
    ):
        found.append(1 / duration)
    elif problem.time is not None:
        found.append(1.0)
    return tuple(found)


def balanced(pieces: Sequence[Measured], reasons: dict[str, str] | None = None) -> dict[str, float]:
    """The sizes of the unknowns that balances determine: first from data and sources, the largest
    that any of them asks for, and then from those found before, as the geometric mean of what the
    equations ask for: of dt(a) = w b, dt(b) = -w a one says b = a / (T w), the other b = T w a, and
    an oscillation has b = a.

    Where several have data, each also counts what the others drive it to: an imaginary part that
    begins at zero is no smaller than the real part that feeds it. `reasons` receives the labels of
    the statements that ask for most.
    """
    sizes: dict[str, float] = {}
    reasons = {} if reasons is None else reasons
    stated = [piece for piece in pieces if piece.term.kind not in ("energy", "requirement")]
    while True:
        asked: dict[str, list[float]] = {}
        most: dict[str, float] = {}
        for piece in stated:
            for name in set().union(*piece.unknowns) - set(sizes):
                size = balance(piece, name, sizes)
                asked.setdefault(name, []).append(size)
                if size > most.get(name, 0.0):
                    most[name], reasons[name] = size, piece.term.name
        found = {name: geometric_mean(each) if sizes else max(each) for name, each in asked.items()}
        found = {name: size for name, size in found.items() if size > 0}
        if not found:
            return sizes
        coupled = (
            {}
            if sizes
            else {
                name: geometric_mean(
                    [balance(each, name, found) for each in linking(stated, name, found)]
                )
                for name in found
            }
        )
        sizes |= {name: max(size, coupled.get(name, 0.0)) for name, size in found.items()}


def linking(pieces: Sequence[Measured], name: str, others: Iterable[str]) -> list[Measured]:
    """The pieces that hold an unknown and another of those given."""
    return [
        each
        for each in pieces
        if name in (held := set().union(*each.unknowns)) and held & (set(others) - {name})
    ]


def geometric_mean(sizes: Sequence[float]) -> float:
    """Of those that are positive; 0 where there is none."""
    logarithms = [math.log(size) for size in sizes if size > 0]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else 0.0


def balance(piece: Measured, name: str, sizes: Mapping[str, float]) -> float:
    """The size of an unknown for which its largest summand is as large as the largest without
    it; 0 where nothing says so."""
    held = [k for k, each in enumerate(piece.unknowns) if name in each and each <= {name, *sizes}]
    others = [k for k, each in enumerate(piece.unknowns) if name not in each and each <= set(sizes)]
    everything = {**dict.fromkeys(set().union(*piece.unknowns), 1.0), **sizes}

    def at(size: float, which: Sequence[int]) -> float:
        values = piece.sizes({**everything, name: size}, waves=True)
        return max((values[k] for k in which), default=0.0)

    aim = at(1.0, others)
    if not held or aim <= 0:
        return 0.0
    size = 1.0
    for _ in range(ROUNDS):  # secants on a logarithmic scale: one of them is enough for a power
        here, there = at(size, held), at(2 * size, held)
        if not 0 < here < math.inf or not 0 < there < math.inf or here == there:
            return 0.0
        power = min(max(math.log2(there / here), 0.25), 8.0)
        # neither 0 nor infinite
        step = math.exp(min(max((math.log(aim) - math.log(here)) / power, -700), 700))
        size *= step
        if not 1 / LARGEST < size < LARGEST:
            return 0.0
        if abs(step - 1) < 1e-3:
            break
    # a bounded term, such as sin(u), balances no larger one at any size
    return size if aim / MET < at(size, held) < aim * MET else 0.0


def _owner(problem: Problem, jet: JetVariable) -> str:
    return next(
        name for name, unknown in problem.unknowns.items() if jet.component in unknown.components
    )


def _noise(seed: int, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _draws(problem: Problem) -> DrawnSamples:
    return probed(problem, DRAWN)


def _points(drawn: DrawnSamples, key: str, kind: str, region):
    return place(
        drawn,
        key,
        kind,
        region,
        {kind: POINTS},
        Chance(torch.Generator().manual_seed(1), DRAWN),
        "sobol",
    )


def _root_mean_square(values: Tensor) -> float:
    """Over finite values."""
    finite = values.detach()[values.isfinite()]
    return float(finite.square().mean().sqrt()) if finite.numel() else 0.0
