"""V03: arguments of functions that are not defined everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from pdespec.errors import Diagnostic, ProblemError
from pdespec.geometry import shape_expressions
from pdespec.jets import jet_form, jets_of, sympy_form
from pdespec.notation import short
from pdespec.probe import implied_lower_bound
from pdespec.rules.functions import Stated, stated
from pdespec.rules.registry import Analysis, rule
from pdespec.statements.problem import Problem
from pdespec.statements.statements import Requirement
from pdespec.symbols import UnknownField


@dataclass(frozen=True)
class PartialFunction:
    """A use of a function that is not defined everywhere: what it is called, the argument (or what
    of it, `shown`, has a sign where the function is defined), and which signs that may take."""

    name: str
    argument: Any
    zero: bool
    negative: bool
    shown: Any = None

    def allows(self, bound: sp.Expr, strict: bool) -> bool:
        """Whether the function is defined on all numbers above `bound` >= 0 (`bound` included
        unless `strict`)."""
        return self.zero or strict or bound > 0

    @property
    def proved(self) -> bool:
        """Whether the argument is inside the domain by its form and the declarations of its
        fields."""
        argument = self.argument
        return bool(
            argument.is_positive
            or (self.zero and argument.is_nonnegative)
            or (self.negative and argument.is_negative)
        )


@rule("V03")
def functions_stay_in_their_domain(analysis: Analysis) -> Iterator[Diagnostic]:
    """log, roots and divisions of unknowns have arguments that are provably, or required to be,
    inside their domain."""
    required = [
        quantity
        for each in analysis.problem.requirements
        if (quantity := _positive_quantity(each)) is not None
    ]
    seen: set[Any] = set()
    for row in (*analysis.stated, *analysis.conditions, *analysis.densities):
        for use, chosen in _partial_functions(row.form):
            if use.argument in seen or _proved(use, [*required, *chosen]):
                continue
            seen.add(use.argument)
            name = short(sympy_form(use.argument))
            region = next(iter(analysis.problem.domains))
            sign = ">=" if use.zero else ">"
            hint = f"add `require {name[1:-1]} {sign} 0 in {region}`"
            hint += f", or declare `{use.argument} > 0`" if use.argument.is_Symbol else ""
            shown = name if use.shown is None else short(sympy_form(use.shown))
            message = f"{use.name} of {shown}, which may leave its domain"
            yield row.report(
                "V03",
                message,
                hint,
                "a network passes through values that the solution never takes",
                "warning",
            )


@rule("V03")
def numbers_are_real(analysis: Analysis) -> Iterator[Diagnostic]:
    """Numbers such as (-8)^(1/3), which SymPy takes for the complex root that it is."""
    for label, span, expression in (*_of_regions(analysis.problem), *stated(analysis.problem)):
        for number in sorted(_numbers(expression), key=sp.default_sort_key):
            if not _is_real(number):
                message = f"{short(number)} is not a real number"
                hint = (
                    "a root or logarithm of a negative number is complex, as is asin or acos beyond"
                    " 1: write -8^(1/3) for the real root of -8"
                )
                yield Diagnostic("V03", message, hint, "", span, label)
                break


def _of_regions(problem: Problem) -> Iterator[Stated]:
    """The numbers of shapes and of the boundaries that lie by them."""
    for name, domain in problem.domains.items():
        yield from ((name, None, each) for each in shape_expressions(domain.shape))
    for name, part in problem.boundaries.items():
        yield from ((name, None, each) for each in (part.value, *part.where) if each is not None)


def _numbers(form: Any) -> Iterator[Any]:
    """The largest parts of an expression that are numbers and no rational ones."""
    if isinstance(form, sp.Expr) and form.is_number:
        if not form.is_Rational:
            yield form
        return
    for part in form.args:
        yield from _numbers(part)


def _is_real(number: Any) -> bool:
    if number.is_extended_real is not None:
        return bool(number.is_extended_real)
    value = complex(number.evalf(15))
    return abs(value.imag) <= 1e-12 * abs(value)


Bounds = list[tuple[Any, bool]]  # expressions that are positive (strictly or not)


def _partial_functions(form: Any) -> Iterator[tuple[PartialFunction, Bounds]]:
    """Every function of unknowns in an expression that is not defined everywhere, with what the
    branch it occurs in makes positive."""
    for branch, chosen in branches(form, []):
        for node in sorted(branch.atoms(sp.Pow, sp.log, *INSIDE), key=sp.default_sort_key):
            argument = node.args[0]
            if not jets_of(argument, UnknownField):
                continue
            if node.func in INSIDE:
                quantity, closed = INSIDE[node.func]
                within = size(argument)
                bounded = within is not None and (within < 1 or closed and within == 1)
                if not (bounded and node.func in (sp.asin, sp.acos, sp.atanh)):
                    name = f"`{node.func.__name__}`"
                    yield PartialFunction(name, quantity(argument), closed, False, argument), chosen
            elif isinstance(node, sp.log):
                yield PartialFunction("log", argument, zero=False, negative=False), chosen
            elif not node.exp.is_integer:
                yield (
                    PartialFunction(
                        "a root", argument, zero=bool(node.exp.is_nonnegative), negative=False
                    ),
                    chosen,
                )
            elif not node.exp.is_nonnegative:
                yield PartialFunction("a division", argument, zero=False, negative=True), chosen


INSIDE: dict[Any, tuple[Any, bool]] = {
    sp.asin: (lambda s: 1 - s**2, True),
    sp.acos: (lambda s: 1 - s**2, True),
    sp.atanh: (lambda s: 1 - s**2, False),
    sp.acosh: (lambda s: s - 1, True),
    sp.asech: (lambda s: 1 / s - 1, True),
    sp.acoth: (lambda s: s**2 - 1, False),
    sp.asec: (lambda s: s**2 - 1, True),
    sp.acsc: (lambda s: s**2 - 1, True),
}
"""What is positive where an inverse function is defined, and whether it may be zero there."""

UNIT = (sp.sin, sp.cos, sp.tanh, sp.erf, sp.sech, sp.sign, sp.Heaviside, sp.frac)


def size(form: Any) -> sp.Expr | None:
    """A bound of the absolute value of an expression over all values of its fields, as far as its
    form tells."""
    if form.is_number:
        return abs(form)
    if isinstance(form, UNIT):
        return sp.S.One
    parts = [size(each) for each in form.args] if isinstance(form, (sp.Add, sp.Mul)) else []
    if isinstance(form, sp.Pow) and form.exp.is_Integer and form.exp > 0:
        base = size(form.base)
        return None if base is None else base**form.exp
    if not parts or any(each is None for each in parts):
        return None
    return form.func(*parts)


def branches(form: Any, chosen: Bounds) -> Iterator[tuple[Any, Bounds]]:
    """The expression with its choices taken out, then the values of these."""
    choices = sorted(_outermost(form), key=sp.default_sort_key)
    yield form.xreplace({choice: sp.Dummy("choice", real=True) for choice in choices}), chosen
    for choice in choices:
        refused: Bounds = []
        for value, condition in choice.args:
            yield from branches(value, [*chosen, *refused, *_bounds(condition)])
            refused = [*refused, *_bounds(sp.Not(condition))]


def _outermost(form: Any) -> set[Any]:
    if isinstance(form, sp.Piecewise):
        return {form}
    return set().union(*map(_outermost, form.args)) if form.has(sp.Piecewise) else set()


def _bounds(condition: Any) -> Bounds:
    """What a condition makes positive."""
    parts = sp.And.make_args(condition)
    return [
        (each.gts - each.lts, isinstance(each, (sp.Gt, sp.Lt)))
        for each in parts
        if isinstance(each, (sp.Gt, sp.Ge, sp.Lt, sp.Le))
    ]


def _positive_quantity(requirement: Any) -> tuple[Any, bool] | None:
    """The expression that a requirement makes positive (strictly or not)."""
    if not isinstance(requirement, Requirement):
        return None
    difference = (
        requirement.lhs - requirement.rhs
        if requirement.op in (">", ">=")
        else requirement.rhs - requirement.lhs
    )
    try:
        return jet_form(difference), requirement.op in (">", "<")
    except ProblemError:
        return None


def _proved(use: PartialFunction, required: list[tuple[Any, bool]]) -> bool:
    """Whether a use is safe by its form, by declarations, or by a requirement on its argument or
    on a part of it."""
    for quantity, strict in required:
        for argument in (use.argument, -use.argument) if use.negative else (use.argument,):
            bound = implied_lower_bound(argument, quantity)
            if bound is not None and use.allows(bound, strict):
                return True
        stand_in = sp.Dummy("required", **({"positive": True} if strict else {"nonnegative": True}))
        use = replace(use, argument=use.argument.xreplace({quantity: stand_in}))
    return use.proved
