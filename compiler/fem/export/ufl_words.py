"""Names and expressions of a weak form as UFL writes them."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import sympy as sp
from sympy.printing.str import StrPrinter

from compiler.fem.errors import NoWeakForm
from compiler.fem.forms.weak import WeakForm
from compiler.lowering.terms import JetVariable
from pdespec.coordinates import Coordinate, Normal
from pdespec.geometry import Boundary

FUNCTIONS = {"log": "ln", "Abs": "abs", "Max": "max_value", "Min": "min_value", "atan2": "atan_2"}
FUNCTIONS |= {
    name: name for name in "exp sin cos tan sinh cosh tanh asin acos atan erf sign".split()
}
FUNCTIONS |= {f"bessel{family.lower()}": f"bessel_{family}" for family in "JYIK"}
BY_OTHERS: dict[Any, Callable[..., sp.Expr]] = {
    sp.cot: lambda s: sp.cos(s) / sp.sin(s), sp.sec: lambda s: 1 / sp.cos(s),
    sp.csc: lambda s: 1 / sp.sin(s),
    sp.coth: lambda s: 1 / sp.tanh(s), sp.sech: lambda s: 1 / sp.cosh(s),
    sp.csch: lambda s: 1 / sp.sinh(s),
    sp.acot: lambda s: sp.pi * (sp.Heaviside(s, 1) - sp.Rational(1, 2)) - sp.atan(s),
    sp.asec: lambda s: sp.acos(1 / s), sp.acsc: lambda s: sp.asin(1 / s),
    sp.asinh: lambda s: sp.log(s + sp.sqrt(s**2 + 1)),
    sp.acosh: lambda s: sp.log(s + sp.sqrt(s - 1) * sp.sqrt(s + 1)),
    sp.atanh: lambda s: sp.log((1 + s) / (1 - s)) / 2,
    sp.acoth: lambda s: sp.log((s + 1) / (s - 1)) / 2,
    sp.asech: lambda s: sp.log(1 / s + sp.sqrt(1 / s - 1) * sp.sqrt(1 / s + 1)),
    sp.acsch: lambda s: sp.log(1 / s + sp.sqrt(1 / s**2 + 1)),
    sp.erfc: lambda s: 1 - sp.erf(s), sp.sinc: lambda s: sp.Piecewise((1, sp.Eq(s, 0)),
    (sp.sin(s) / s, True)),
    sp.jn: lambda n, s: sp.sqrt(sp.pi / (2 * s)) * sp.besselj(n + sp.Rational(1, 2), s),
    sp.Heaviside: lambda s, zero: sp.Piecewise((1, s > 0), (zero, sp.Eq(s, 0)), (0, True)),
}  # fmt: skip
"""Functions that UFL lacks, by others that it has."""
OWN = (
    "F Pi U V W X And AutoSubDomain Constant DirichletBC FacetNormal FiniteElement Function"
    " FunctionSpace Measure MeshFunction"
)
OWN += (
    " MixedElement Not Or SpatialCoordinate TestFunction assign bcs conditional ds dx element eq ge"
    " gt le lt marks mesh n ne part pi"
)
OWN += " project solve split sqrt step And Or Not"
RESERVED = {*keyword.kwlist, *OWN.split(), *FUNCTIONS.values()}


def identifiers(form: WeakForm) -> dict[str, str]:
    """How the names of a problem are written in Python, one to one: `v.x` -> `v_x`, `lap(u)` ->
    `lap_u`, `lambda` -> `lambda_`."""
    regions = [e.region.name for e in form.essentials] + [b.name for b in boundaries(form)]
    symbols = [
        s.component if isinstance(s, JetVariable) else s.name for s in needed(form, is_given)
    ]
    times = [form.time.name] if form.time is not None else []
    table: dict[str, str] = {}
    for name in dict.fromkeys((*form.components, *times, *symbols, *regions)):
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        plain = plain if plain.isidentifier() else f"v{plain}"  # `_1`, or nothing at all
        while (
            plain in RESERVED
            or plain in table.values()
            or re.fullmatch(r"c\d+|w_.*|.*_t|.*_old", plain)
        ):
            plain += "_"
        table[name] = plain
    return table


class Ufl(StrPrinter):
    """Expressions over jet variables as UFL."""

    def __init__(self, form: WeakForm, names: Mapping[str, str]) -> None:
        super().__init__()
        self.form, self.names = form, names

    def _print_JetVariable(self, jet: JetVariable) -> str:
        space = jet.index[: len(self.form.coordinates)]
        rate = "_t" * sum(jet.index[len(space) :])
        return (
            self.names[jet.component]
            + rate
            + "".join(f".dx({j})" * count for j, count in enumerate(space))
        )

    def _print_Normal(self, normal: Normal) -> str:
        return f"n[{self.form.coordinates.index(normal.coordinate)}]"

    def _print_Coordinate(self, symbol: Coordinate) -> str:
        return f"X[{self.form.coordinates.index(symbol)}]"

    def _print_Symbol(self, symbol: sp.Symbol) -> str:
        return self.names.get(symbol.name, symbol.name)

    def _print_Rational(self, number: sp.Rational) -> str:
        return f"({number.p}/{number.q})"

    def _print_Float(self, number: sp.Float) -> str:
        return repr(float(number))

    def _print_Exp1(self, number: sp.Expr) -> str:
        return repr(float(sp.E))

    def _print_Pow(self, power: sp.Pow, rational: bool = False) -> str:
        return f"({self._print(power.base)})**({self._print(power.exp)})"

    def _print_Function(self, function: sp.Function) -> str:
        name = function.func.__name__
        if function.func in BY_OTHERS:
            return f"({self._print(BY_OTHERS[function.func](*function.args))})"
        if name not in FUNCTIONS:
            raise NoWeakForm(f"UFL has no function {name}, which `{function}` needs")
        first, *others = [self._print(a) for a in function.args]
        if name in ("Max", "Min"):  # of any number of arguments here, of two there
            for other in others:
                first = f"{FUNCTIONS[name]}({first}, {other})"
            return first
        return f"{FUNCTIONS[name]}({', '.join([first, *others])})"

    _print_Max = _print_Min = _print_Abs = _print_Heaviside = _print_Function

    def _print_Piecewise(self, pieces: sp.Piecewise) -> str:
        # what no condition covers is refused before (V05): the last one holds where no other does
        *branches, (last, _) = pieces.args
        text = self._print(last)
        for value, condition in reversed(branches):
            text = f"conditional({self._print(condition)}, {self._print(value)}, {text})"
        return text

    def _print_And(self, condition: sp.And) -> str:
        return self._joined(condition, "And")

    def _print_Or(self, condition: sp.Or) -> str:
        return self._joined(condition, "Or")

    def _joined(self, condition: Any, word: str) -> str:
        first, *others = sorted(self._print(each) for each in condition.args)
        return reduce(lambda left, right: f"{word}({left}, {right})", others, first)

    def _print_Not(self, condition: sp.Not) -> str:
        return f"Not({self._print(condition.args[0])})"

    def _print_Xor(self, condition: sp.Xor) -> str:
        return self._print(sp.to_nnf(condition, simplify=False))

    def _print_Relational(self, relation: sp.core.relational.Relational) -> str:
        word = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}[
            relation.rel_op
        ]
        return f"{word}({self._print(relation.lhs)}, {self._print(relation.rhs)})"


def boundaries(form: WeakForm) -> list[Boundary]:
    """The regions of boundary integrals, in the order of their numbers."""
    regions = [*(i.region for i in form.integrands), *(region for _, region in form.energy)]
    return list(dict.fromkeys(region for region in regions if isinstance(region, Boundary)))


def needed(form: WeakForm, kind: Callable[[sp.Symbol], bool]) -> list[sp.Symbol]:
    """Symbols of a kind that integrals and conditions read, by name."""
    read = [i.coefficient for i in form.integrands] + [density for density, _ in form.energy]
    read += [c.value for c in (*form.essentials, *form.initials)] + [
        f for e in form.essentials for _, f in e.coefficients
    ]
    found = set().union(*(sp.sympify(expression).free_symbols for expression in read))
    return sorted((s for s in found if kind(s)), key=lambda s: s.name)


def is_given(symbol: sp.Symbol) -> bool:
    """Whether the script takes a symbol from outside: an input, a parameter or the time."""
    if isinstance(symbol, JetVariable):
        return symbol.known
    return not isinstance(symbol, (Coordinate, Normal))
