"""Whether a problem is well posed: one rule for each diagnostic, all run, everything reported at once.

A rule is a function from the `Analysis` of a problem to diagnostics. Adding one is: write it, decorate it, add its malformed
example to the tests. Mistakes that keep a problem from being built at all (names, syntax, ranks) are found before, where it is
built; the rules here look at the finished value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp

from pdespec.analysis import Analysis, Row
from pdespec.assemble import fields_of
from pdespec.calculus import Integral, entries, short
from pdespec.dimensions import agree, unit_of
from pdespec.errors import Diagnostic, ProblemError
from pdespec.geometry import Boundary, Domain
from pdespec.jets import jet_form, jets_of, sympy_form, total_derivative
from pdespec.parts import Part, domain_parts, parts
from pdespec.probe import Elimination, follows, points, value, vanishes
from pdespec.problem import IntegralRequirement, Problem, Requirement
from pdespec.symbols import Coordinate, Input, InputField, Normal, Unknown, UnknownField
from pdespec.text.words import BUILTINS, CONSTANTS, RESERVED
from pdespec.variation import prescribed

Rule = Callable[["Analysis"], Iterable[Diagnostic]]
RULES: dict[str, list[Rule]] = {}


def rule(code: str) -> Callable[[Rule], Rule]:
    """Registers a rule under the code of the diagnostics it gives."""

    def register(function: Rule) -> Rule:
        RULES.setdefault(code, []).append(function)
        return function

    return register


def check(problem: Problem) -> tuple[Diagnostic, ...]:
    """Everything that is wrong or doubtful about a problem, errors first, in the order of its statements.

    Each diagnostic has a span when the problem was parsed and a label when it was built in Python.
    """
    analysis = Analysis(problem)
    found = [*analysis.failures, *(diagnostic for rules in RULES.values() for each in rules for diagnostic in each(analysis))]
    return tuple(sorted(dict.fromkeys(found), key=_order))


def _order(diagnostic: Diagnostic) -> tuple:
    place = (diagnostic.span.line, diagnostic.span.column) if diagnostic.span else (0, 0)
    return diagnostic.severity != "error", place


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


# --------------------------------------------------------------------------------------------------------------------------- names


@rule("S03")
def names_are_free(analysis: Analysis) -> Iterator[Diagnostic]:
    """No declared name is a coordinate, the time, a word of the language or an operator."""
    problem = analysis.problem
    variables = {variable.name: "a coordinate" if isinstance(variable, Coordinate) else "the time" for variable in problem.variables}
    operators = BUILTINS - set(CONSTANTS) - {"d"}  # I, n and d are free for fields built in Python
    tables = (problem.unknowns, problem.inputs, problem.params, problem.constants, problem.trainables, problem.domains, problem.boundaries)
    for name in dict.fromkeys(name for table in tables for name in table):
        if name in variables:
            yield Diagnostic("S03", f"`{name}` is also the name of {variables[name]}", "rename one of them", label=name)
        elif name in operators | RESERVED:
            what = "an operator" if name in operators else "a word"
            yield Diagnostic("S03", f"`{name}` is {what} of the language", f"rename it, for example `{name}_`", label=name)


@rule("T04")
def units_agree(analysis: Analysis) -> Iterator[Diagnostic]:
    """Both sides of every statement have one unit, where both are known. (What was parsed has been checked as it was written.)"""
    problem = analysis.problem
    for label, each in (*problem.equations.items(), *problem.conditions.items()):
        if each.span is not None:
            continue
        for left, right in zip(entries(each.lhs), entries(each.rhs), strict=True):
            try:
                agree(unit_of(left), unit_of(right), "this equation")
            except ProblemError as error:
                yield from (diagnostic.at(label=label) for diagnostic in error.diagnostics)


# ---------------------------------------------------------------------------------------------------------------------------- time


@rule("W01")
def initial_conditions_match_time_orders(analysis: Analysis) -> Iterator[Diagnostic]:
    """As many initial conditions as the highest time derivative has orders, for every component."""
    problem = analysis.problem
    if problem.time is None or analysis.failures:
        return
    given: dict[Any, set[int]] = {}
    shared = 0
    for row in analysis.initial_rows:
        fields = dict.fromkeys(jet.field for jet in row.unknown_jets)
        if len(fields) == 1:
            given.setdefault(next(iter(fields)), set()).add(max(sum(jet.over((problem.time,))) for jet in row.unknown_jets))
        else:
            shared += 1
    for unknown in problem.unknowns.values():
        seen = set()
        for component in entries(unknown.symbol):
            needed, have = analysis.order(component, problem.time), len(given.get(component, ()))
            if (needed, have) in seen or (have < needed and (shared or unknown.name in analysis.measured)):
                continue
            seen.add((needed, have))
            if have != needed:
                yield _initial_mismatch(analysis, unknown, component, needed, have)


def _initial_mismatch(analysis: Analysis, unknown: Unknown, component: Any, needed: int, have: int) -> Diagnostic:
    time: Any = analysis.problem.time
    name = unknown.name
    orders = ["without time derivative", "of first order in time", "of second order in time", "of third order in time"]
    order = orders[needed] if needed < len(orders) else f"of order {needed} in time"
    message = f"`{name}` is {order}: {_count(needed, 'initial condition')} needed, {have} given"
    missing = " and ".join(f"d{str(time) * k}({name})" if k else name for k in range(have, needed))
    surplus = f"leave out {_count(have - needed, 'condition')} `at {time} = ..`"
    hint = f"state {missing} `at {time} = {time.start}`" if have < needed else surplus
    cause = "a time derivative needs where to start from" if have < needed else "the equations determine it at every time"
    row = _first(analysis.equations if have < needed else reversed(analysis.initial_rows), component)
    return row.report("W01", message, hint, cause) if row else Diagnostic("W01", message, hint, cause, label=name)


def _first(rows: Iterable[Row], component: Any) -> Row | None:
    return next((row for row in rows if any(jet.field == component for jet in row.unknown_jets)), None)


# ------------------------------------------------------------------------------------------------------------------------ boundary


@rule("W02")
def conditions_cover_the_boundary(analysis: Analysis) -> Iterator[Diagnostic]:
    """On every part of the boundary as many conditions as half the order of the equations across it.

    Functionals imply natural conditions wherever nothing is prescribed, and first-order equations need conditions on a part of
    the boundary that depends on the solution: neither is reported. Conditions are counted for all unknowns together, since
    a condition on one may stand in for that of another (stream function and vorticity).
    """
    problem = analysis.problem
    if analysis.failures:
        return
    exempt = analysis.minimised | analysis.measured | _coupled(analysis)
    for domain in problem.domains.values():
        unknowns = [unknown for unknown in problem.unknowns.values() if unknown.region == domain and unknown.name not in exempt]
        uncovered: dict[tuple[str, int, int], list[Part]] = {}
        for part in domain_parts(domain):
            across = [x for x in domain.coordinates if part.coordinate in (None, x.name)]
            needs = {u.name: sum(analysis.order(c, *across, rows=analysis.stated) // 2 for c in entries(u.symbol)) for u in unknowns}
            rows = [row for row in analysis.boundary_rows if row.region.domain == domain and part in parts(row.region)]
            if sum(needs.values()) <= sum(1 for row in rows if any(u.name in needs for u in row.unknowns)):
                continue
            for name, needed in needs.items():
                have = sum(1 for row in rows if any(u.name == name for u in row.unknowns))
                if have < needed:
                    uncovered.setdefault((name, needed, have), []).append(part)
        for (name, needed, have), pieces in uncovered.items():
            yield _uncovered(analysis, domain, problem.unknowns[name], needed, have, pieces)


def _coupled(analysis: Analysis) -> set[str]:
    """Unknowns with a condition on the boundary of another domain: what an interface covers cannot be told from the shapes alone."""
    return {unknown.name for row in analysis.boundary_rows for unknown in row.unknowns if unknown.region.domain != row.region.domain}


def _uncovered(analysis: Analysis, domain: Domain, unknown: Unknown, needed: int, have: int, pieces: list[Part]) -> Diagnostic:
    where = ", ".join(str(piece) for piece in pieces)
    number = f"no condition on `{unknown.name}`" if have == 0 else f"{have} of {needed} conditions on `{unknown.name}`"
    place = f"rest({domain.name})" if len(pieces) < len(domain_parts(domain)) else f"boundary({domain.name})"
    hint = f"write `on {place}: {unknown.name} = 0`, or dot(grad({unknown.name}), n) = 0 where nothing crosses"
    row = _first(analysis.stated, entries(unknown.symbol)[0])
    message = f"part of the boundary of `{domain.name}` has {number}: {where}"
    cause = "an equation of second order needs one condition everywhere on the boundary, of fourth order two"
    return row.report("W02", message, hint, cause) if row else Diagnostic("W02", message, hint, cause, label=unknown.name)


@rule("W03")
def conditions_agree_where_they_overlap(analysis: Analysis) -> Iterator[Diagnostic]:
    """Two conditions that fix the same quantity at the same place fix it to the same value."""
    rows = [(row, *_fixed_value(row)) for row in analysis.conditions]
    for i, (row, quantity, fixed) in enumerate(rows):
        for other, other_quantity, other_value in rows[:i]:
            if quantity != other_quantity or quantity is None:
                continue
            where = _first_conflict(row, fixed, other, other_value)
            if where is not None:
                name = short(sympy_form(quantity))
                values = f"{short(sympy_form(other_value))} by `{other.label}` and {short(sympy_form(fixed))} by `{row.label}`"
                hint = "leave one out, or give them parts of the boundary that do not overlap: rest(..)"
                yield row.report("W03", f"{name} has two values at {where}: {values}", hint)


def _fixed_value(row: Row) -> tuple[Any, Any]:
    """What a row fixes and to which value: the part with unknowns, scaled to a leading coefficient of one, and the rest."""
    known, unknown = row.form.as_independent(*row.unknown_jets, as_Add=True) if row.unknown_jets else (row.form, sp.S.Zero)
    if unknown == 0:
        return None, known
    scale = unknown.diff(row.unknown_jets[0])
    if scale.is_number and scale != 0:
        return unknown / scale, -known / scale  # SymPy draws a number into a sum by itself
    return unknown, -known


def _first_conflict(row: Row, value: Any, other: Row, other_value: Any) -> str | None:
    """Where two conditions hold at once with different values."""
    first, second = row.condition, other.condition
    if first is None or second is None or first.kind != second.kind or first.region.domain != second.region.domain:
        return None
    if first.kind == "initial":
        same = first.at == second.at and first.region == second.region
        return f"the time {first.at}" if same and _differ(value, other_value, {}) else None
    for part in parts(first.region):
        if part in parts(second.region):
            place = {x: part.value for x in first.region.coordinates if x.name == part.coordinate}
            if _differ(value, other_value, place):
                return str(part)
    return None


def _differ(a: Any, b: Any, place: dict[Any, Any]) -> bool:
    return not vanishes((a - b).xreplace(place))


@rule("W04")
def glued_sides_have_no_conditions(analysis: Analysis) -> Iterator[Diagnostic]:
    """No condition stands on a side that periodicity has glued away, and every condition stands somewhere."""
    for label, condition in analysis.problem.conditions.items():
        region = condition.region
        if not isinstance(region, Boundary) or parts(region):
            continue
        domain = region.domain
        if domain.periodic and (region.coordinate in domain.periodic or region.kind != "side"):
            glued = ", ".join(domain.periodic)
            message = f"`{region.name}` is no boundary: `{domain.name}` is periodic in {glued}"
            yield Diagnostic("W04", message, "leave the condition out, or the coordinate out of `periodic`", "", condition.span, label)
        else:
            sides = ", ".join(str(part) for part in domain_parts(domain))
            message = f"`{region.name}` is empty: the boundary of `{domain.name}` consists of {sides}"
            yield Diagnostic("S01", message, "name a part that exists", "", condition.span, label)


# ----------------------------------------------------------------------------------------------------------------------- solvable


@rule("W05")
def the_solution_is_pinned(analysis: Analysis) -> Iterator[Diagnostic]:
    """No unknown may be shifted by a constant (or turned, or tilted) without anything noticing.

    Exact: a mode is reported only when every equation, condition, energy, requirement and measurement is unchanged by it, to
    first order, alone or together with other modes. Each statement, evaluated at generic points, is a row of a homogeneous linear
    system for the amplitudes of the modes; what remains free after elimination is the null space.
    """
    modes = [mode for unknown in analysis.problem.unknowns.values() for mode in _modes(analysis, unknown)]
    if analysis.failures or not analysis.equations:
        return
    system = Elimination(len(modes))
    for form, place in _noticing(analysis):
        if not system.free:
            return
        changes = [_change(form, mode.shift) for mode in modes]
        if any(change != 0 for change in changes):
            for point in points(len(modes) + 1, form, *changes):
                system.add([value(change, point | place) for change in changes])
    reported = set()
    for mode in (modes[column] for column in system.free):
        row = _first(analysis.equations, next(iter(mode.shift)))
        if row is not None and mode.unknown not in reported:
            reported.add(mode.unknown)
            message = f"`{mode.unknown.name}` is determined only up to {mode.name}"
            hint = f"add `require {mode.gauge} = 0`, or a condition that fixes its value"
            yield row.report("W05", message, hint, "the equations and conditions hold its derivatives only")


@dataclass(frozen=True)
class Mode:
    """A candidate for the null space: how it is called, component -> shift, and the integral that would pin it."""

    unknown: Unknown
    name: str
    shift: dict[Any, sp.Expr]
    gauge: str


def _modes(analysis: Analysis, unknown: Unknown) -> Iterator[Mode]:
    """Constants, and rotations of vectors and linear functions of scalars where nothing is periodic."""
    time, domain, fields = analysis.problem.time, unknown.region, entries(unknown.symbol)
    if time is not None and any(analysis.order(component, time) for component in fields):
        return  # pinned by its initial condition, or reported by W01
    for component in fields:
        yield Mode(unknown, "a constant", {component: sp.S.One}, f"integral({component.func.__name__}, {domain.name})")
    if domain.periodic:
        return
    x = domain.coordinates
    for i in range(domain.dim if unknown.rank == "vector" else 0):
        for j in range(i):
            turn = f"integral(d{x[j]}({fields[i].func.__name__}), {domain.name})"
            yield Mode(unknown, "a rotation", {fields[i]: x[j], fields[j]: -x[i]}, turn)
    for each in x if unknown.rank == "scalar" else ():
        yield Mode(unknown, "a linear function", {fields[0]: each}, f"integral(d{each}({unknown.name}), {domain.name})")


def _noticing(analysis: Analysis) -> Iterator[tuple[Any, dict[Any, Any]]]:
    """Every expression that may notice a mode, with where it is evaluated; short ones first, since most modes stop there."""
    for each in analysis.problem.requirements:
        if isinstance(each, IntegralRequirement):
            yield Integral(each.density, each.region), {}
    for row in analysis.conditions:
        yield row.form, _place(row.region)
    for data in analysis.problem.data:
        for entry in entries(data.value):
            yield jet_form(entry), _place(data.region)
    for density, _ in analysis.densities:
        yield density, {}
    for row in analysis.stated:
        yield row.form, {}


def _place(region: Any) -> dict[Any, Any]:
    """The coordinate that is fixed on a side."""
    if isinstance(region, Boundary) and region.kind == "side":
        return {x: region.value for x in region.coordinates if x.name == region.coordinate}
    return {}


def _change(form: Any, shift: dict[Any, sp.Expr]) -> Any:
    """The first-order change of an expression in jet form under a shift of its unknowns.

    The change of an integral is a number; that of its density at one fixed point stands in for it.
    """
    nodes = {node: sp.Symbol(f"integral{k}") for k, node in enumerate(sorted(form.atoms(Integral), key=sp.default_sort_key))}
    form = form.xreplace(nodes)
    change = []
    for jet in jets_of(form, UnknownField):
        if jet.field in shift:
            along = [variable for variable, order in zip(jet.field.args, jet.index, strict=True) for _ in range(order)]
            change.append(form.diff(jet) * total_derivative(shift[jet.field], *along))
    for node, symbol in nodes.items():
        there = {x: sp.sqrt(sp.prime(k + 2)) / 3 for k, x in enumerate(node.region.coordinates)}
        change.append(form.diff(symbol) * _change(jet_form(node.density), shift).xreplace(there))
    return sp.Add(*change)


@rule("W06")
def equations_match_unknowns(analysis: Analysis) -> Iterator[Diagnostic]:
    """As many scalar equations as unknown components."""
    problem = analysis.problem
    rows = sum(len(entries(equation.lhs)) for equation in problem.equations.values())
    varied = sum(len(problem.unknowns[name].components) for functional in problem.functionals for name in functional.unknowns)
    unknown, given = len(problem.components), rows + varied
    if unknown == given or (unknown == 0 and not problem.equations):
        return
    label, last = list(problem.equations.items())[-1] if problem.equations else (problem.name, None)
    names = ", ".join(problem.components)
    message = f"{_count(unknown, 'unknown component')} ({names}), {_count(given, 'equation')}"
    if given < unknown:
        held = {jet.field.func.__name__ for row in analysis.equations for jet in row.unknown_jets}
        free = [name for name in problem.components if name not in held]
        hint = f"`{free[0]}` stands in no equation" if free else f"state {_count(unknown - given, 'more equation')}"
        hint += ", or declare as input what is given"
        yield Diagnostic("W06", message, hint, "every component needs an equation", last.span if last else None, label)
    else:
        hint = "leave out an equation that follows from the others, or keep it if it is meant as an additional penalty"
        yield Diagnostic("W06", message, hint, "the system is overdetermined", last.span if last else None, label, "warning")


@rule("W07")
def equations_hold_everywhere(analysis: Analysis) -> Iterator[Diagnostic]:
    """No boundary quantity stands inside an equation of the interior. (Values at a point are found when derivatives are carried out.)"""
    for row in analysis.stated:
        normals = row.form.atoms(Normal)
        if normals:
            hint = "write it as a condition: `on boundary(Omega): ..`"
            yield row.report("W07", "the unit normal n stands in an equation of the interior", hint, "n is known on the boundary only")
        for jet in jets_of(row.form):
            region = jet.field.func.declaration.region
            if region != row.region:
                name = jet.field.func.declaration.name
                what = "boundary" if isinstance(region, Boundary) else "domain"
                hint = "use it in a condition with `on`" if what == "boundary" else "couple the domains by conditions on their interface"
                yield row.report("W07", f"`{name}` lives on the {what} `{region.name}`, the equation holds in `{row.region.name}`", hint)
                break


# -------------------------------------------------------------------------------------------------------------------- functionals


@rule("V01")
def functionals_have_a_minimiser(analysis: Analysis) -> Iterator[Diagnostic]:
    """Every functional depends on an unknown that is declared on its region."""
    for functional in analysis.problem.functionals:
        if not functional.unknowns:
            hint = "the density holds the unknown to be found: minimize integral(dot(grad(u), grad(u))/2 - f*u, Omega)"
            yield Diagnostic("V01", f"the functional to {functional.kind} holds no unknown", hint, "", functional.span, functional.kind)
        held = {field.func.declaration.name for density, _ in functional.terms for field in fields_of(density)}
        for name in functional.unknowns:
            if name not in held:
                message = f"the functional to {functional.kind} does not depend on `{name}`"
                yield Diagnostic("V01", message, "vary it by the unknowns it holds", "", functional.span, functional.kind)


@rule("V02")
def natural_conditions_stand_once(analysis: Analysis) -> Iterator[Diagnostic]:
    """A condition that a functional already implies is not stated again."""
    for row in analysis.boundary_rows:
        unknowns = [unknown for unknown in row.unknowns if unknown.name in analysis.minimised]
        if not unknowns or not any(sum(jet.index) for jet in row.unknown_jets):
            continue
        order = max(sum(jet.index) for density, _ in analysis.densities for jet in jets_of(density, UnknownField))
        fixed = {count for _, count in prescribed(row.condition)} if row.condition else set()
        if fixed and max(fixed) < order:
            continue  # a slope prescribed where the energy holds curvature is an essential condition
        hint = f"leave it out; put loads into the energy: - integral(h*{unknowns[0].components[0]}, {row.region.name})"
        message = f"the functional already gives the natural condition of `{unknowns[0].name}` on `{row.region.name}`"
        yield row.report("V02", message, hint, "boundary conditions with derivatives follow from an energy where nothing is prescribed")


@rule("V03")
def functions_stay_in_their_domain(analysis: Analysis) -> Iterator[Diagnostic]:
    """log, roots and divisions of unknowns have arguments that are provably, or required to be, inside their domain."""
    required = [_positive_quantity(each) for each in analysis.problem.requirements if isinstance(each, Requirement)]
    required = [each for each in required if each is not None]
    seen: set[sp.Expr] = set()
    rows = [(row.form, row.label, row.span) for row in (*analysis.stated, *analysis.conditions)]
    for functional in analysis.problem.functionals:
        for density, _ in functional.terms:
            rows.append((jet_form(density), functional.kind, functional.span))
    for form, label, span in rows:
        for node, argument, may_vanish in _partial_functions(form):
            if argument in seen or _proved(argument, required, may_vanish):
                continue
            seen.add(argument)
            what = {"log": "log", "Pow": "a division" if node.is_Pow and node.exp.is_integer else "a root"}[type(node).__name__]
            name = short(sympy_form(argument))
            region = next(iter(analysis.problem.domains))
            sign = ">=" if may_vanish else ">"
            message = f"{what} of {name}, which may leave its domain"
            hint = f"add `require {name[1:-1]} {sign} 0 in {region}`" + (f", or declare `{argument} > 0`" if argument.is_Symbol else "")
            yield Diagnostic("V03", message, hint, "a network passes through values that the solution never takes", span, label, "warning")


def _partial_functions(form: sp.Expr) -> Iterator[tuple[Any, sp.Expr, bool]]:
    """(node, argument, whether zero is allowed) for every function of unknowns that is not defined everywhere."""
    for node in sorted(form.atoms(sp.Pow, sp.log), key=sp.default_sort_key):
        argument = node.args[0]
        if not jets_of(argument, UnknownField):
            continue
        if isinstance(node, sp.log):
            yield node, argument, False
        elif node.exp.is_nonnegative and not node.exp.is_integer:
            yield node, argument, True
        elif not node.exp.is_nonnegative:
            yield node, argument, False


def _positive_quantity(requirement: Requirement) -> sp.Expr | None:
    """The expression that a requirement makes positive (or not negative)."""
    difference = requirement.lhs - requirement.rhs if requirement.op in (">", ">=") else requirement.rhs - requirement.lhs
    try:
        return jet_form(difference)
    except ProblemError:
        return None


def _proved(argument: Any, required: list[Any], may_vanish: bool) -> bool:
    """Whether an argument is positive (nonzero) by its form, by declarations, or by a requirement."""
    symbol = sp.Dummy("required", positive=True)
    for quantity in required:
        if follows(argument, quantity) or (follows(-argument, quantity) and not may_vanish):
            return True
        argument = argument.xreplace({quantity: symbol})
    return bool(argument.is_positive or (argument.is_nonnegative and may_vanish) or argument.is_negative)


# --------------------------------------------------------------------------------------------------------------------------- data


@rule("B03")
def data_are_not_differentiated(analysis: Analysis) -> Iterator[Diagnostic]:
    """No derivative of a field that is read from a file."""
    seen: set[Input] = set()
    for row in (*analysis.equations, *analysis.conditions):
        for jet in jets_of(row.form, InputField):
            source = jet.field.func.declaration
            if source.source is None or not any(jet.index) or source in seen:
                continue
            seen.add(source)
            message = f"derivative of `{source.name}`, which is data from {source.source!r}"
            hint = "interpolate or mollify the data first, give its expression, or introduce an unknown for the flux"
            yield row.report("B03", message, hint, "values at points have no derivative")


def with_warnings(problem: Problem) -> Problem:
    """The problem with the warnings of its check kept in it.

    Raises: `ProblemError` with all diagnostics when one of them is an error.
    """
    found = check(problem)
    if any(diagnostic.severity == "error" for diagnostic in found):
        raise ProblemError(found)
    return problem.revised(warnings=found)
