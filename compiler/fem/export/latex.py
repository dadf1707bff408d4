"""The weak form as LaTeX, with the chosen finite elements and the reasons. `ufl.py` writes it
for FEniCS."""

from __future__ import annotations

import re

import sympy as sp
from sympy.printing.latex import LatexPrinter

from compiler.fem.forms.curvature import PENALTY, is_kink
from compiler.fem.forms.pairing import Space
from compiler.fem.forms.weak import Integrand, Region, WeakForm, by_region
from compiler.lowering.terms import JetVariable
from pdespec.coordinates import Normal
from pdespec.geometry import Domain
from pdespec.jets import MultiIndex


class WeakLatex(LatexPrinter):
    """Streams as indexed partial derivatives."""

    def __init__(self, form: WeakForm) -> None:
        super().__init__({"mul_symbol": None})
        self.form = form

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        return r"\eta" if expr == PENALTY else super()._print_Symbol(expr, style)

    def _print_JetVariable(self, jet: JetVariable) -> str:
        return derivative(component_latex(jet.component), jet.index, self.form)

    def _print_Normal(self, normal: Normal) -> str:
        return f"n_{{{normal.coordinate.name}}}"


def component_latex(name: str) -> str:
    r"""The name of a component as LaTeX: `u.x` as u_{x}, `lap(u)` as \Delta u."""
    base, _, part = name.partition(".")
    if match := re.fullmatch(r"lap\((.*)\)", name):
        return rf"\Delta {component_latex(match[1])}"
    return rf"{base}_{{{part}}}" if part else base


def derivative(what: str, index: MultiIndex, form: WeakForm) -> str:
    """`\\partial_{xx} u`, or `u` itself; the jump `[\\partial_n u]` between cells."""
    if is_kink(index):
        return rf"[\partial_n {what}]"
    letters = "".join(name * count for name, count in zip(form.names, index, strict=True))
    return rf"\partial_{{{letters}}} {what}" if letters else what


def to_latex(form: WeakForm) -> str:
    """`0 = int_Omega .. dx + int_Gamma .. ds`, one line a region, with the essential conditions
    and what they do to the test functions."""
    printer = WeakLatex(form)
    lines = []
    for region, integrands in by_region(form):
        terms = sum(
            (integrand.coefficient * test_symbol(integrand, form) for integrand in integrands),
            sp.S.Zero,
        )
        measure = r"\mathrm{d}x" if isinstance(region, Domain) else r"\mathrm{d}s"
        body = printer.doprint(sp.Add(*[sp.sympify(t) for t in sp.Add.make_args(terms)]))
        lines.append(rf"\int_{{{region_latex(region)}}} \left( {body} \right) {measure}")
    sides = []
    for condition in form.essentials:
        left = sum(
            (c * Named(component_latex(name)) for name, c in condition.coefficients), sp.S.Zero
        )
        sides.append(
            rf"{printer.doprint(left)} = {printer.doprint(condition.value)} \text{{ on }}"
            rf" {region_latex(condition.region)}"
        )
    for pin in form.pins:
        left = sum((c * Named(component_latex(name)) for name, c in pin.coefficients), sp.S.Zero)
        sides.append(
            rf"{printer.doprint(left)} = {printer.doprint(pin.value)} \text{{ at }}"
            rf" {printer.doprint(pin.place)}"
        )
    gauges = [
        rf"\int_{{{region_latex(g.region)}}} {printer.doprint(g.density)} ="
        rf" {printer.doprint(g.value)}"
        for g in form.gauges
    ]
    tests = ", ".join(rf"\delta {component_latex(c)}" for c in form.components)
    head = rf"0 = {' + '.join(lines)} \qquad \text{{for all }} {tests}"
    return r", \quad ".join([head, *sides, *gauges])


class Named(sp.Symbol):
    """A symbol that prints as the LaTeX it is named."""

    def _latex(self, printer: LatexPrinter) -> str:
        return self.name


def test_symbol(integrand: Integrand, form: WeakForm) -> Named:
    r"""The derivative of a test function, \delta u, by which an integrand is multiplied."""
    return Named(derivative(rf"\delta {component_latex(integrand.row)}", integrand.test, form))


def region_latex(region: Region) -> str:
    """The name of a region as LaTeX."""
    return (
        sp.latex(sp.Symbol(region.name))
        if re.fullmatch(r"\w+", region.name)
        else rf"\text{{{region.name}}}"
    )


def elements(form: WeakForm) -> dict[str, Space]:
    """The space of every unknown: one entry for all components of a vector, `lap(u)` apart."""
    return {c if "lap(" in c else c.partition(".")[0]: form.spaces[c] for c in form.components}


def element_name(space: Space) -> str:
    """`P_k`, `P_(k-1)`, `discontinuous P_(k-1)`."""
    order = f"(k{-space.below:+d})" if space.below else "k"
    return f"{'' if space.continuous else 'discontinuous '}P_{order}"
