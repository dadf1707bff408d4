"""What SymPy alone says of a declared problem: its residuals as functions of points, parameters and
derivatives of its fields.

The trees of the problem are read with ordinary symbols and undefined functions (`language.Plain`),
every derivative is carried out by `diff`, and `sympy.lambdify` turns the result into NumPy. Nothing
of pdespec or the compiler is used.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.special
import sympy as sp
import torch
from sympy.core.function import AppliedUndef
from torch import Tensor

from tests.generated.declared import Declared, Found, Function, Statement
from tests.generated.language import Node, meaning, plain_algebra
from tests.generated.regions import box_of

Jet = tuple[str, int, tuple[int, ...]]  # field, component, multi-index over (space..., time)


NUMERIC = {
    "frac": lambda s: s - np.floor(s),
    "loggamma": scipy.special.gammaln,
    "jn": lambda k, s: scipy.special.spherical_jn(int(k), s),
    "cot": lambda s: 1 / np.tan(s),
    "sec": lambda s: 1 / np.cos(s),
    "csc": lambda s: 1 / np.sin(s),
    "acot": lambda s: np.arctan(1 / s),
    "asec": lambda s: np.arccos(1 / s),
    "acsc": lambda s: np.arcsin(1 / s),
    "coth": lambda s: 1 / np.tanh(s),
    "sech": lambda s: 1 / np.cosh(s),
    "csch": lambda s: 1 / np.sinh(s),
    "acoth": lambda s: np.arctanh(1 / s),
    "asech": lambda s: np.arccosh(1 / s),
    "acsch": lambda s: np.arcsinh(1 / s),
}
"""What lambdify has no NumPy word for."""


@dataclass(frozen=True)
class Rows:
    """Scalar expressions as one NumPy function of everything they read."""

    expressions: tuple[sp.Expr, ...]
    dim: int
    jets: tuple[Jet, ...]
    function: Callable[..., Sequence[Any]]

    def __call__(
        self,
        points: np.ndarray,
        params: Mapping[str, np.ndarray],
        jets: Mapping[Jet, np.ndarray],
        normals: Any = None,
    ) -> np.ndarray:
        """Shapes: points "b n D", params "b" or "b k", jets "b n", normals "b n d" -> "b n
        rows"."""
        known = [points[..., i] for i in range(points.shape[-1])]
        columns = [
            column
            for each in params.values()
            for column in (each.T if np.ndim(each) == 2 else [each])
        ]
        given = [np.broadcast_to(np.asarray(each)[:, None], points.shape[:-1]) for each in columns]
        sides = [np.nan if normals is None else normals[..., i] for i in range(self.dim)]
        with np.errstate(all="ignore"):
            values = self.function(known, given, sides, [jets[each] for each in self.jets])
        return np.stack(
            [np.broadcast_to(np.asarray(each, dtype=float), points.shape[:-1]) for each in values],
            -1,
        )


class Oracle:
    """A declared problem in ordinary SymPy. `params` are the numbers that are given per sample
    or found, in order."""

    def __init__(self, problem: Declared) -> None:
        self.problem = problem
        self.variables = {
            each: sp.Symbol(f"X{i}", real=True) for i, each in enumerate(problem.variables)
        }
        self.space = tuple(self.variables[each] for each in problem.space)
        names: dict[str, Any] = {**self.variables, "theta": sp.Symbol("theta", real=True)}
        names |= {f"domain {name}": None for name, _ in problem.domains}
        self.params: dict[str, Any] = {}
        for each in problem.numbers:
            if each.kind == "const":
                names[each.name] = each.value
                continue
            size = each.size or 1
            own = [sp.Symbol(f"P{len(self.params)}_{k}", real=True) for k in range(size)]
            names[each.name] = self.params[each.name] = (
                sp.ImmutableMatrix(own) if each.size else own[0]
            )
        for each in problem.found:
            own = [sp.Symbol(f"P{len(self.params)}_{k}", real=True) for k in range(each.size)]
            self.params[each.name] = sp.ImmutableMatrix(own)
            names[each.name] = sum_of_modes(each, own, problem, self.variables)
        self.fields = {each.name: each for each in (*problem.inputs, *problem.unknowns)}
        self.functions: dict[Any, tuple[str, int]] = {}
        for k, each in enumerate(self.fields.values()):
            arguments = (
                *self.space,
                *((self.variables[problem.time[0]],) if problem.time and each.in_time else ()),
            )
            entries = []
            for component in range(components(each, len(self.space))):
                function = sp.Function(f"F{k}_{component}", real=True)
                self.functions[function] = (each.name, component)
                entries.append(function(*arguments))
            if each.complex:
                names[each.name] = entries[0] + sp.I * entries[1]
                continue
            size = len(self.space)
            shape = {"scalar": None, "vector": (size, 1), "tensor": (size, size)}[each.rank]
            names[each.name] = entries[0] if shape is None else sp.ImmutableMatrix(*shape, entries)
        self.normal = tuple(sp.Symbol(f"N{i}", real=True) for i in range(len(self.space)))
        self.algebra = plain_algebra(names, self.space, self.normal, problem.space, problem.system)

    def value(self, node: Node) -> list[sp.Expr]:
        found = meaning(node, self.algebra)
        return list(found) if isinstance(found, sp.MatrixBase) else [sp.sympify(found)]

    def difference(self, statement: Statement) -> list[sp.Expr]:
        """lhs - rhs entry by entry; the number zero stands for a vector of zeros."""
        left, right = self.value(statement.lhs), self.value(statement.rhs)
        right = right * len(left) if len(right) == 1 else right
        left = left * len(right) if len(left) == 1 else left
        return [(a - b).doit() for a, b in zip(left, right, strict=True)]

    @cached_property
    def equations(self) -> list[Rows]:
        return [
            self.rows(self.difference(each), self.is_complex(each))
            for each in self.problem.equations
        ]

    def is_complex(self, statement: Statement) -> bool:
        """Whether a statement is about a complex field: it is two then, its real and imaginary
        part."""
        names = {
            node.what
            for side in (statement.lhs, statement.rhs)
            for node in side.walk()
            if node.word == "name"
        }
        return any(each.complex and each.name in names for each in self.problem.unknowns)

    @cached_property
    def conditions(self) -> list[Rows]:
        """Of boundary conditions and then initial ones."""
        return [
            self.rows(self.difference(each), self.is_complex(each))
            for each in (*self.problem.conditions, *self.problem.initial)
        ]

    @cached_property
    def stationary(self) -> Rows:
        """The Euler-Lagrange equations of the energy: sum over a of (-1)^|a| d^a (d density / d
        u_a), a component each."""
        assert self.problem.energy
        (density,) = (
            self.value(node)[0] for node, where in self.problem.energy.terms if where == "Omega"
        )
        fields = [
            entry
            for each in self.problem.unknowns
            for entry in _entries(self.algebra.names[each.name])
        ]
        result = [self.algebra.operators.variation(density, entry) for entry in fields]
        return self.rows(result)

    def _streams(
        self, expressions: Sequence[sp.Expr]
    ) -> tuple[dict[Any, sp.Symbol], dict[sp.Symbol, Jet]]:
        """Every derivative of a field in some expressions with a symbol in its place, and which
        one that is."""
        variables = list(self.variables.values())
        table: dict[Any, sp.Symbol] = {}
        found: dict[sp.Symbol, Jet] = {}
        nodes = set().union(*(e.atoms(sp.Derivative, AppliedUndef) for e in expressions))
        nodes = sorted(
            nodes - {n.expr for n in nodes if isinstance(n, sp.Derivative)} | _bare(expressions),
            key=sp.default_sort_key,
        )
        for node in nodes:
            applied = node.expr if isinstance(node, sp.Derivative) else node
            if not isinstance(applied, AppliedUndef):
                raise NotImplementedError(f"SymPy leaves {node} as it is")
            counts = dict(node.variable_count) if isinstance(node, sp.Derivative) else {}
            name, component = self.functions[applied.func]
            symbol = table[node] = sp.Symbol(f"J{len(table)}", real=True)
            found[symbol] = (name, component, tuple(int(counts.get(x, 0)) for x in variables))
        return table, found

    def rows(self, expressions: Sequence[sp.Expr], parts: bool = False) -> Rows:
        """A function of the expressions, or of their real and imaginary `parts`. What stands on
        both sides of an interface counts as a jet, by the name of its symbol."""
        expressions = [sp.sympify(each) for each in expressions]
        table, found = self._streams(expressions)
        for symbol in self.algebra.operators.sided:
            if any(symbol in each.free_symbols for each in expressions):
                table[symbol], found[symbol] = symbol, (symbol.name, 0, ())
        params = [
            symbol
            for each in self.params.values()
            for symbol in (each if isinstance(each, sp.MatrixBase) else [each])
        ]
        plain = [each.xreplace(table) for each in expressions]
        if parts:
            plain = [part for each in plain for part in sp.expand_complex(each).as_real_imag()]
        arguments = [list(self.variables.values()), params, list(self.normal), list(table.values())]
        function = sp.lambdify(arguments, plain, modules=[NUMERIC, "scipy", "numpy"], cse=True)
        return Rows(
            tuple(plain),
            len(self.space),
            tuple(found[symbol] for symbol in table.values()),
            function,
        )

    @cached_property
    def degenerate(self) -> bool:
        """Whether terms cancel so that an unknown has lost its value in all equations: nothing
        pins it, and it is right to say so."""
        if self.problem.energy:
            return False
        held = {jet[:2] for rows in self.equations for jet in rows.jets if not any(jet[2])}
        return any(
            (each.name, k) not in held
            for each in self.problem.unknowns
            for k in range(components(each, len(self.space)))
        )

    def integrand(self, node: Node) -> Rows:
        return self.rows(self.value(node))

    def two_sided(self, name: str) -> tuple[str, Rows]:
        """`jump` or `avg`, and what it is taken of."""
        word, value = self.algebra.operators.sided[sp.Symbol(name, real=True)]
        return word, self.rows([sp.sympify(value).doit()])

    def across(self, node: Node) -> Rows:
        """The normal component of a vector."""
        return self.rows([self.algebra.operators.dot(self.value(node), self.normal).doit()])

    def radii(self, rows: Rows) -> list[int]:
        """By how many powers of the distance from an axis or centre every row is multiplied so
        that no division by it is left."""
        r = self.space[0]
        return [
            max(
                (
                    int(-power.exp)
                    for power in sp.expand_mul(each).atoms(sp.Pow)
                    if power.base == r and power.exp.is_Integer and power.exp < 0
                ),
                default=0,
            )
            for each in rows.expressions
        ]


def sum_of_modes(
    field: Found, numbers: Sequence[sp.Symbol], problem: Declared, variables: Mapping[str, Any]
) -> sp.Expr:
    """A function to be found as docs/language.md says it: eigenfunctions of the Laplacian on a box,
    of norm 1 there under a law and of size 1 without one, times their standard deviations."""
    axes = [(variables[each], *ends_of(field, each, problem)) for each in field.axes]
    total = sp.S.Zero
    for number, orders in zip(
        numbers, itertools.product(range(field.modes), repeat=len(axes)), strict=True
    ):
        mode, eigenvalue = sp.S.One, sp.S.Zero
        for order, (x, low, high, repeats) in zip(orders, axes, strict=True):
            length = high - low
            wave = 2 * sp.pi * ((order + 1) // 2) / length if repeats else sp.pi * order / length
            odd = repeats and order and order % 2 == 0
            mode *= (sp.sin if odd else sp.cos)(wave * (x - low))
            if field.law is not None:
                mode *= sp.sqrt((2 if order else 1) / length)
            eigenvalue += wave**2
        total += number * spread(field, eigenvalue) * mode
    first = field.first if field.first is not None else sp.Integer(int(field.positive))
    return first * sp.exp(total) if field.positive else first + total


def ends_of(field: Found, axis: str, problem: Declared) -> tuple[sp.Rational, sp.Rational, bool]:
    """Where the box of a function to be found begins and ends along an axis, and whether it repeats
    there. Under a law by its length it is longer by one length at either end."""
    if problem.time and axis == problem.time[0]:
        low, high, repeats = *problem.time[1:], problem.returns
    else:
        k = problem.space.index(axis)
        corners = box_of(dict(problem.domains)["Omega"])
        assert corners is not None
        low, high = (corner[k] for corner in corners)
        repeats = axis in problem.periodic
    given = dict(field.law.arguments) if field.law else {}
    beyond = 0 if repeats else given.get("length", 0)
    return low - beyond, high + beyond, repeats


def spread(field: Found, eigenvalue: sp.Expr) -> sp.Expr:
    """The standard deviation of a mode: the root of what the covariance operator of the law has at
    its eigenvalue."""
    if field.law is None:
        return sp.S.One
    given = dict(field.law.arguments)
    sigma, length = given.get("sigma", 1), given.get("length")
    if length is not None:
        density = (2 * sp.pi * length**2) ** sp.Rational(len(field.axes), 2)
        return sigma * sp.sqrt(density * sp.exp(-(length**2) * eigenvalue / 2))
    return sigma * (eigenvalue + given["tau"] ** 2) ** (-given["alpha"] / 2)


def _entries(field: Any) -> list[sp.Expr]:
    return list(field) if isinstance(field, sp.MatrixBase) else [field]


def _bare(expressions: Sequence[sp.Expr]) -> set[sp.Expr]:
    """The applied functions that stand in expressions by themselves, not only inside of
    derivatives."""
    hidden = [
        e.replace(lambda n: isinstance(n, sp.Derivative), lambda n: sp.Dummy()) for e in expressions
    ]
    return set().union(*(e.atoms(AppliedUndef) for e in hidden))


def components(field: Function, dim: int) -> int:
    return 2 if field.complex else {"scalar": 1, "vector": dim, "tensor": dim * dim}[field.rank]


# --------------------------------------------------------------------------------------------------
# fields


@dataclass(frozen=True)
class Waves:
    """u_c = offset + sum_k amplitude_k sin(w_k . x + phase_k): closed forms, whose derivatives
    anybody can write down.

    Shapes: frequency "c k D", amplitude and phase "c k", offset "c".
    """

    frequency: np.ndarray
    amplitude: np.ndarray
    phase: np.ndarray
    offset: np.ndarray

    def __call__(self, points: Tensor) -> Tensor:
        """Shapes: "b n D" -> "b n c"."""
        w, a, p, o = (
            torch.as_tensor(each, dtype=points.dtype)
            for each in (self.frequency, self.amplitude, self.phase, self.offset)
        )
        return (a * torch.sin(torch.einsum("bnd,ckd->bnck", points, w) + p)).sum(-1) + o

    def derivative(self, points: np.ndarray, component: int, index: Sequence[int]) -> np.ndarray:
        """Shapes: "b n D" -> "b n"."""
        w, order = self.frequency[component], sum(index)
        angle = points @ w.T + self.phase[component] + order * math.pi / 2
        scale = self.amplitude[component] * np.prod(w ** np.asarray(index), axis=-1)
        return (scale * np.sin(angle)).sum(-1) + (self.offset[component] if order == 0 else 0)


def waves(rng: Any, count: int, dim: int, lengths: Sequence[float | None] = ()) -> Waves:
    """Closed forms for `count` components; with `lengths` (None where nothing repeats) of those
    periods."""
    draw = np.random.default_rng(rng.randrange(2**32))
    frequency = draw.uniform(-1.5, 1.5, (count, 2, dim))
    for axis, length in enumerate(lengths):
        if length is not None:
            frequency[..., axis] = 2 * math.pi / length * draw.integers(-1, 2, (count, 2))
    return Waves(
        frequency,
        draw.uniform(0.1, 0.3, (count, 2)),
        draw.uniform(0, 6, (count, 2)),
        draw.uniform(1.2, 2.0, count),
    )


def jets_of_waves(
    oracle: Oracle, fields: Mapping[str, Waves], needed: Sequence[Jet], points: np.ndarray
) -> dict[Jet, np.ndarray]:
    """The derivatives needed, of closed forms."""
    found = {}
    for name, component, index in needed:
        field = fields[name]
        dim = field.frequency.shape[-1]
        found[name, component, index] = field.derivative(points[..., :dim], component, index[:dim])
    return found


def jets_by_autograd(
    function: Callable[[Tensor], Tensor],
    places: Mapping[tuple[str, int], int],
    needed: Sequence[Jet],
    points: Tensor,
) -> dict[Jet, np.ndarray]:
    """The derivatives needed of some function of points by plain nested `torch.autograd`.
    `places`: channel of each component."""
    leaf = points.detach().clone().requires_grad_()
    with torch.enable_grad():
        values = function(leaf)
        return {
            (name, component, index): (
                nested(values[..., places[name, component]], leaf, index).detach().numpy()
            )
            for name, component, index in needed
            if (name, component) in places
        }


def nested(value: Tensor, leaf: Tensor, index: Sequence[int]) -> Tensor:
    """d^index value, axis by axis."""
    for axis in itertools.chain.from_iterable([k] * count for k, count in enumerate(index)):
        if not value.requires_grad:
            return torch.zeros_like(value)
        (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=True, allow_unused=True)
        value = torch.zeros_like(value) if slope is None else slope[..., axis]
    return value
