"""The weak form in other hands: LaTeX to read, UFL to run in FEniCS."""

from __future__ import annotations

import re
from collections.abc import Callable

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

from compiler.lower import Stream
from pdespec.geometry import Boundary
from pdespec.symbols import Coordinate, Normal, Time

from .weak import Integrand, Region, WeakForm


def identifier(name: str) -> str:
    """A component's name as Python spells it: `v.x` -> `v_x`, `lap(u)` -> `lap_u`."""
    return re.sub(r"\W+", "_", name).strip("_")


# ---------------------------------------------------------------------------------------------------------------------------- LaTeX


class WeakLatex(LatexPrinter):
    """Streams as indexed partial derivatives."""

    def __init__(self, form: WeakForm) -> None:
        super().__init__({"mul_symbol": None})
        self.form = form

    def _print_Stream(self, stream: Stream) -> str:
        return derivative(component_latex(stream.component), stream.index, self.form)

    def _print_Normal(self, normal: Normal) -> str:
        return f"n_{{{normal.coordinate.name}}}"


def component_latex(name: str) -> str:
    base, _, part = name.partition(".")
    if match := re.fullmatch(r"lap\((.*)\)", name):
        return rf"\Delta {component_latex(match[1])}"
    return rf"{base}_{{{part}}}" if part else base


def derivative(what: str, index: tuple[int, ...], form: WeakForm) -> str:
    """`\\partial_{xx} u`, or `u` itself."""
    letters = "".join(name * count for name, count in zip(form.names, index, strict=True))
    return rf"\partial_{{{letters}}} {what}" if letters else what


def to_latex(form: WeakForm) -> str:
    """`0 = int_Omega .. dx + int_Gamma .. ds`, one line a region, with the essential conditions and what they do to the test functions."""
    printer = WeakLatex(form)
    lines = []
    for region, integrands in by_region(form):
        terms = sum((integrand.coefficient * test_symbol(integrand, form) for integrand in integrands), sp.S.Zero)
        measure = r"\mathrm{d}s" if isinstance(region, Boundary) else r"\mathrm{d}x"
        body = printer.doprint(sp.Add(*[sp.sympify(t) for t in sp.Add.make_args(terms)]))
        lines.append(rf"\int_{{{region_latex(region)}}} \left( {body} \right) {measure}")
    sides = []
    for condition in form.essentials:
        left = sum((c * Named(component_latex(name)) for name, c in condition.coefficients), sp.S.Zero)
        sides.append(rf"{printer.doprint(left)} = {printer.doprint(condition.value)} \text{{ on }} {region_latex(condition.region)}")
    gauges = [rf"\int_{{{region_latex(g.region)}}} {printer.doprint(g.density)} = {printer.doprint(g.value)}" for g in form.gauges]
    tests = ", ".join(rf"\delta {component_latex(c)}" for c in form.components)
    head = rf"0 = {' + '.join(lines)} \qquad \text{{for all }} {tests}"
    return r", \quad ".join([head, *sides, *gauges])


class Named(sp.Symbol):
    """A symbol that prints as the LaTeX it is named."""

    def _latex(self, printer: LatexPrinter) -> str:
        return self.name


def test_symbol(integrand: Integrand, form: WeakForm) -> Named:
    return Named(derivative(rf"\delta {component_latex(integrand.row)}", integrand.test, form))


def region_latex(region: Region) -> str:
    return sp.latex(sp.Symbol(region.name)) if re.fullmatch(r"\w+", region.name) else rf"\text{{{region.name}}}"


def by_region(form: WeakForm) -> list[tuple[Region, list[Integrand]]]:
    regions = list(dict.fromkeys(i.region for i in form.integrands))
    return [(region, [i for i in form.integrands if i.region == region]) for region in regions]


# ------------------------------------------------------------------------------------------------------------------------------ UFL

UFL_FUNCTIONS = {"log": "ln", "Abs": "abs", "Max": "max_value", "Min": "min_value", "atan2": "atan_2"}


class Ufl(StrPrinter):
    """Expressions over streams as UFL."""

    def __init__(self, form: WeakForm) -> None:
        super().__init__()
        self.form = form

    def _print_Stream(self, stream: Stream) -> str:
        space = stream.index[: len(self.form.coordinates)]
        rate = "_t" * sum(stream.index[len(space) :])
        return identifier(stream.component) + rate + "".join(f".dx({j})" * count for j, count in enumerate(space))

    def _print_Normal(self, normal: Normal) -> str:
        return f"n[{self.form.coordinates.index(normal.coordinate)}]"

    def _print_Coordinate(self, symbol: Coordinate) -> str:
        return f"X[{self.form.coordinates.index(symbol)}]"

    def _print_Symbol(self, symbol: sp.Symbol) -> str:
        return identifier(symbol.name)

    def _print_Rational(self, number: sp.Rational) -> str:
        return f"({number.p}/{number.q})"

    def _print_Pow(self, power: sp.Pow, rational: bool = False) -> str:
        return f"({self._print(power.base)})**({self._print(power.exp)})"

    def _print_Function(self, function: sp.Function) -> str:
        name = UFL_FUNCTIONS.get(function.func.__name__, function.func.__name__)
        return f"{name}({', '.join(self._print(a) for a in function.args)})"

    _print_Max = _print_Min = _print_Abs = _print_Function


def to_ufl(form: WeakForm, degree: int = 2, cell: str = "triangle") -> str:
    """The weak form as UFL text, to be executed where `mesh` is known, and `U`, `W` are a function and a test function on `element`.

    Boundary integrals are numbered `ds(1)`, `ds(2)`, .. in the order of the comment. Inputs, parameters, rates `u_t` and the time keep
    their names and are given by the caller.
    """
    printer = Ufl(form)
    lines = [f"# weak form of {form.name}", f"element = {element(form, degree, cell)}"]
    names = [identifier(c) for c in form.components]
    lines += ["U, W = Function(FunctionSpace(mesh, element)), TestFunction(FunctionSpace(mesh, element))"]
    lines += [f"{', '.join(names)}{',' * (len(names) == 1)} = {'split(U)' if len(names) > 1 else '(U,)'}"]
    tests = [f"w_{name}" for name in names]
    lines += [f"{', '.join(tests)}{',' * (len(names) == 1)} = {'split(W)' if len(names) > 1 else '(W,)'}"]
    lines += ["X, n = SpatialCoordinate(mesh), FacetNormal(mesh)"]
    boundaries = [region for region, _ in by_region(form) if isinstance(region, Boundary)]
    lines += [f"# ds({k}): {region.name}" for k, region in enumerate(boundaries, 1)]
    shared, reduced = sp.cse([i.coefficient for i in form.integrands], symbols=(sp.Symbol(f"c{k}") for k in range(10**6)))
    lines += [f"{symbol.name} = {printer.doprint(value)}" for symbol, value in shared]
    terms = []
    for integrand, coefficient in zip(form.integrands, reduced, strict=True):
        measure = f"ds({boundaries.index(integrand.region) + 1})" if isinstance(integrand.region, Boundary) else "dx"
        test = f"w_{identifier(integrand.row)}" + "".join(f".dx({j})" for j, count in enumerate(integrand.test) if count)
        terms.append(f"({printer.doprint(coefficient)})*{test}*{measure}")
    return "\n".join([*lines, "F = " + " + \\\n    ".join(terms)]) + "\n"


def element(form: WeakForm, degree: int, cell: str) -> str:
    """The finite element as UFL."""
    parts = []
    for component in form.components:
        space = form.spaces[component]
        family = "Lagrange" if space.continuous and degree - space.below else "DG"
        parts.append(f'FiniteElement("{family}", {cell}, {degree - space.below})')
    return parts[0] if len(parts) == 1 else f"MixedElement([{', '.join(parts)}])"


def needed(form: WeakForm, kind: Callable[[sp.Symbol], bool]) -> list[sp.Symbol]:
    """Symbols of a kind that the integrands read, by name."""
    found = set().union(*(i.coefficient.free_symbols for i in form.integrands))
    return sorted((s for s in found if kind(s)), key=lambda s: s.name)


def is_given(symbol: sp.Symbol) -> bool:
    """Whether the caller of the UFL text gives a symbol: an input, a parameter or the time."""
    if isinstance(symbol, Stream):
        return symbol.known
    return not isinstance(symbol, (Coordinate, Normal)) or isinstance(symbol, Time)
