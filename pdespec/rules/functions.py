"""V04, V05, V06: derivatives of jumps, branches that leave points without a value, functions
that no lowering knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.inference import satisfiable

from pdespec.calculus import entries
from pdespec.errors import Diagnostic, ProblemError, Span
from pdespec.functions import unknown_functions
from pdespec.geometry import shape_symbols
from pdespec.jets import jet_form, jets_of, sympy_form, total_derivative
from pdespec.jumps import SPECIAL, surfaces
from pdespec.notation import short
from pdespec.rules.registry import Analysis, rule
from pdespec.statements.problem import Problem
from pdespec.statements.statements import IntegralRequirement
from pdespec.symbols import FoundField, Scalar, UnknownField

Stated = tuple[str, Span | None, Any]  # label, place, scalar expression


@rule("V04")
def jumps_are_not_differentiated(analysis: Analysis) -> Iterator[Diagnostic]:
    """No derivative of something that jumps, whose value on the surface of the jump no point
    sees."""
    return differentiated_jumps(analysis.problem)


@rule("V05")
def branches_cover_all_points(analysis: Analysis) -> Iterator[Diagnostic]:
    """Every choice has a value everywhere."""
    return uncovered_branches(analysis.problem)


@rule("V06")
def functions_are_known(analysis: Analysis) -> Iterator[Diagnostic]:
    """Every function can be evaluated by the lowerings."""
    return unevaluable_functions(analysis.problem)


@rule("W11")
def trainables_are_used(analysis: Analysis) -> Iterator[Diagnostic]:
    """Every number or function to be found occurs in a statement or in a shape."""
    problem = analysis.problem
    kinds = (Scalar, FoundField)
    found = set().union(*(expression.atoms(*kinds) for _, _, expression in stated(problem)))
    found |= set().union(
        *(entry.atoms(*kinds) for each in problem.data for entry in entries(each.value))
    )
    found |= set().union(*(shape_symbols(domain.shape) for domain in problem.domains.values()))
    used = {each.declaration.name for each in found if isinstance(each, Scalar)}
    used |= {each.func.declaration.name for each in found if isinstance(each, FoundField)}
    for name in problem.trainables:
        if name not in used:
            message = f"the trainable `{name}` appears in no statement"
            yield Diagnostic(
                "W11",
                message,
                "leave it out, or state where it counts",
                "nothing tells what it is",
                None,
                name,
                "warning",
            )


def refuse_unusable(problem: Problem) -> None:
    """Raises: ProblemError V04, V05 or V06 for what no lowering can evaluate."""
    found = [
        *differentiated_jumps(problem),
        *uncovered_branches(problem),
        *unevaluable_functions(problem),
    ]
    if found:
        raise ProblemError(dict.fromkeys(found))


def differentiated_jumps(problem: Problem) -> Iterator[Diagnostic]:
    """V04 for each statement. A flux that holds an unknown and jumps on a fixed surface may be
    differentiated once: an interface."""
    for label, each in (*problem.equations.items(), *problem.conditions.items()):
        for side in (*entries(each.lhs), *entries(each.rhs)):
            for node in sorted(side.atoms(sp.Derivative), key=sp.default_sort_key):
                if (found := _differentiated_jump(node)) is not None:
                    what, variable, where = found
                    message = (
                        f"the derivative by {variable} of {short(what)}, which jumps where"
                        f" {short(where)} is 0"
                    )
                    hint = (
                        "smooth the jump, (1 + tanh(s/width))/2 for step(s), or state the equation"
                        " on each side of it"
                    )
                    yield Diagnostic(
                        "V04",
                        message,
                        hint,
                        "it is infinite there, and zero or missing everywhere else",
                        each.span,
                        label,
                    )


def _differentiated_jump(node: sp.Derivative) -> tuple[Any, sp.Symbol, sp.Expr] | None:
    """The part of a derivative that jumps, the variable it is differentiated by and the surface;
    None where there is none."""
    if not node.expr.has(*SPECIAL, sp.Abs, sp.Min, sp.Max):
        return None
    try:
        inner = jet_form(node.expr)
        for count, variable in enumerate(node.variables, 1):
            for level in surfaces(inner):
                jets = jets_of(level, UnknownField)
                depends = variable in level.free_symbols or any(
                    variable in jet.field.args for jet in jets_of(level)
                )
                interface = (
                    not jets and jets_of(inner, UnknownField) and count == len(node.variables)
                )
                if depends and not interface:
                    return sympy_form(inner), variable, sympy_form(level)
            inner = total_derivative(inner, variable)
    except ProblemError:  # said where derivatives are expanded
        return None
    return None


def uncovered_branches(problem: Problem) -> Iterator[Diagnostic]:
    """V05 for each statement."""
    for label, span, expression in stated(problem):
        for node in sorted(expression.atoms(sp.Piecewise), key=sp.default_sort_key):
            if not covers(node):
                conditions = " or ".join(str(condition) for _, condition in node.args)
                message = f"a Piecewise has no value where {conditions} does not hold"
                yield Diagnostic(
                    "V05",
                    message,
                    "give the value everywhere else: Piecewise(.., (value, True))",
                    "",
                    span,
                    label,
                )
                break


def covers(node: sp.Piecewise) -> bool:
    """Whether the conditions of a choice leave no point out, as far as logic and intervals of
    one variable tell."""
    either = sp.Or(*(condition for _, condition in node.args))
    if either == sp.true:
        return True
    symbols = either.free_symbols
    if len(symbols) == 1:
        try:
            return either.as_set() == sp.S.Reals
        except (NotImplementedError, AttributeError, TypeError, ValueError):
            pass
    atoms: dict[Any, Any] = {}
    for each in sorted(either.atoms(Relational), key=sp.default_sort_key):
        if each.negated.canonical in atoms:
            atoms[each.canonical] = sp.Not(atoms[each.negated.canonical])
        else:
            atoms.setdefault(each.canonical, sp.Symbol(f"condition{len(atoms)}"))
    logic = either.xreplace({each: atoms[each.canonical] for each in either.atoms(Relational)})
    return not satisfiable(sp.Not(logic))


def unevaluable_functions(problem: Problem) -> Iterator[Diagnostic]:
    """V06 for each statement."""
    for label, span, expression in stated(problem):
        for node, reason in unknown_functions(expression):
            hint = "write it by functions of the language, or give its values as an input"
            yield Diagnostic("V06", f"{reason}: {node}", hint, "", span, label)


def stated(problem: Problem) -> Iterator[Stated]:
    """Every scalar expression of a problem's statements."""
    for label, each in (*problem.equations.items(), *problem.conditions.items()):
        yield from (
            (label, each.span, entry) for side in (each.lhs, each.rhs) for entry in entries(side)
        )
    for functional in problem.functionals:
        yield from ((functional.kind, functional.span, density) for density, _ in functional.terms)
    for each in problem.requirements:
        whole = isinstance(each, IntegralRequirement)
        sides = (each.density, each.value) if whole else (each.lhs, each.rhs)
        yield from (("require", each.span, side) for side in sides)
    for name, each in problem.outputs.items():
        yield from ((name, each.span, entry) for entry in entries(each.value))
    for name, value in problem.references.items():
        yield from ((name, None, entry) for entry in entries(value))
