"""Method of manufactured solutions: sources and data are derived from a chosen solution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import mpmath
import sympy as sp

from pdespec.calculus import entries, grad
from pdespec.coordinates import Coordinate, as_exact, unit_normal
from pdespec.errors import Diagnostic, ProblemError, fail
from pdespec.geometry import Boundary, Domain, cut_from
from pdespec.jets import Jet, jet_form, jets_of, sympy_form, total_derivative
from pdespec.notation import short
from pdespec.probe import vanishes
from pdespec.statements.integrals import integrated
from pdespec.statements.membership import points, typical, values_of
from pdespec.statements.natural import corner_forces, naturals
from pdespec.statements.normalise import declaration_of, gathered, known_solution
from pdespec.statements.problem import Problem
from pdespec.statements.statements import Condition, Functional, IntegralRequirement, Output
from pdespec.statements.variation import euler_lagrange
from pdespec.symbols import InputField, Param, Unknown, UnknownField
from pdespec.tensors import dot


def manufacture(problem: Problem, solution: Mapping[Any, Any]) -> Problem:
    """The problem whose solution is the given one, as close to the original as possible.

    What must change for `solution` to satisfy every statement is derived and put in as a closed
    form, in this order of preference: an input that occurs alone in an equation or condition (`.. =
    f`) is replaced by its expression; otherwise the remainder is added to the right-hand side of an
    equation, and the right-hand side of a condition is set. Energies get a body load `- b*u` and,
    where nothing is prescribed, a surface load `- h*u`. Integral requirements get their value. The
    result has `references` set and none of the replaced inputs: outputs and requirements too hold
    their closed forms.

    `solution` maps each unknown (the expression or its name) to an expression of the coordinates,
    time and params. A trainable may be given its true value: the derived data then hold that
    number, the equations keep the symbol.

    Raises: `ProblemError` S01 when an unknown is left out or a name is unknown, T01 for another
    rank, W04 when the solution is not periodic where the domain is, V03 when it breaks a
    requirement or is not positive where an unknown is declared so, V01 when it needs forces at
    corners or has an integral that is not known.
    """
    chosen, truths = _solution(problem, solution)
    derivation = _Derivation(problem, _Known(problem, chosen, truths))
    equations = {
        label: derivation.balanced(equation, {}) for label, equation in problem.equations.items()
    }
    conditions = {
        label: derivation.condition(condition) for label, condition in problem.conditions.items()
    }
    functionals = [derivation.functional(functional) for functional in problem.functionals]
    requirements = [
        _met(each, derivation.known) if isinstance(each, IntegralRequirement) else each
        for each in problem.requirements
    ]
    _refuse_broken(problem, derivation.known)
    close, gone = derivation.close, {field.func.declaration for field in derivation.closed}
    return Problem(
        problem.name,
        {label: close(equation) for label, equation in equations.items()},
        {label: close(condition) for label, condition in conditions.items()},
        minimize=[close(each) for each in functionals if each.kind == "minimize"],
        stationary=[close(each) for each in functionals if each.kind == "stationary"],
        require=[close(each) for each in requirements],
        output=[close(each) for each in problem.outputs.values()],
        data=problem.data,
        reference={problem.unknowns[name].symbol: value for name, value in chosen.items()},
        unknowns=problem.unknowns.values(),
        inputs=[declared for declared in problem.inputs.values() if declared not in gone],
        params=[
            *problem.params.values(),
            *problem.constants.values(),
            *problem.trainables.values(),
        ],
        regions=[*problem.domains.values(), *problem.boundaries.values()],
        coordinates=problem.coordinates,
        time=problem.time,
    )


def _solution(
    problem: Problem, solution: Mapping[Any, Any]
) -> tuple[dict[str, Any], dict[Any, sp.Expr]]:
    """The chosen unknowns by name, and the true values of trainables by symbol. All mistakes are
    reported together."""
    chosen: dict[str, Any] = {}
    truths: dict[Any, sp.Expr] = {}
    wrong: list[Diagnostic] = []
    for key, value in solution.items():
        try:
            declared = _named(problem, key)
            value = as_exact(value)
            if isinstance(declared, Param):
                truths[declared.symbol] = value
            else:
                chosen[declared.name] = _fitting(problem, declared, value)
        except ProblemError as error:
            wrong += error.diagnostics
    missing = [name for name in problem.unknowns if name not in chosen]
    if missing and not wrong:
        hint = f"give an expression for each: {{{', '.join(missing)}: ..}}"
        wrong.append(
            Diagnostic(
                "S01",
                f"no solution is given for {', '.join(f'`{name}`' for name in missing)}",
                hint,
            )
        )
    if wrong:
        raise ProblemError(wrong)
    return {name: chosen[name] for name in problem.unknowns}, truths


def _named(problem: Problem, key: Any) -> Unknown | Param:
    if isinstance(key, str):
        tables: dict[str, Any] = {**problem.unknowns, **problem.trainables}
        if key not in tables:
            raise fail(
                "S01",
                f"`{key}` is not an unknown of `{problem.name}`",
                f"its unknowns are {', '.join(tables)}",
            )
        return tables[key]
    declared = declaration_of(key)
    if declared not in (*problem.unknowns.values(), *problem.trainables.values()):
        raise fail(
            "S01",
            f"`{declared.name}` is not an unknown of `{problem.name}`",
            f"its unknowns are {', '.join(problem.unknowns)}",
        )
    return declared  # type: ignore[return-value]


def _fitting(problem: Problem, declared: Unknown, value: Any) -> Any:
    value = known_solution(declared, value)
    if any(
        isinstance(field, UnknownField)
        for entry in entries(value)
        for field in entry.atoms(UnknownField)
    ):
        raise fail(
            "T05",
            f"the solution {short(value)} holds an unknown",
            "give it in terms of coordinates, time and params",
        )
    domain = declared.region
    for coordinate in domain.coordinates:
        if coordinate.name not in domain.periodic:
            continue
        axis = domain.coordinates.index(coordinate)
        box = cut_from(domain.shape)
        ends = [{coordinate: end[axis]} for end in (box.lower, box.upper)] if box else []
        for entry in entries(value):
            for order in range(max(2, _order(problem, declared, coordinate))):
                slope = total_derivative(jet_form(entry), *[coordinate] * order)
                if not vanishes(slope.xreplace(ends[0]) - slope.xreplace(ends[1])):
                    message = (
                        f"the solution {short(entry)} of `{declared.name}` is not periodic in"
                        f" {coordinate}"
                    )
                    raise fail(
                        "W04", message, f"`{domain.name}` is periodic: the solution repeats with it"
                    )
    return value


def _order(problem: Problem, unknown: Unknown, coordinate: Coordinate) -> int:
    """The highest derivative of an unknown along a coordinate that a problem holds; of an energy
    twice as many, those of its Euler-Lagrange equation."""
    found = 0
    for factor, expressions in (
        (1, [row for e in problem.equations.values() for row in entries(e.lhs - e.rhs)]),
        (2, [density for f in problem.functionals for density, _ in f.terms]),
    ):
        for expression in expressions:
            for jet in jets_of(problem.derivative_form(expression), UnknownField):
                if jet.field.func.declaration == unknown:
                    found = max(found, factor * jet.over((coordinate,))[0])
    return found


PROBES = 200  # points of the box of a domain at which requirements are looked at


def _refuse_broken(problem: Problem, known: _Known) -> None:
    """Raises: V03 for a solution that breaks a requirement or the sign of an unknown, at one of
    some points of the domain and times, for the middle of the laws of params."""
    wanted = [
        (each.region, (each.lhs - each.rhs) * (1 if each.op in (">", ">=") else -1), _text(each))
        for each in problem.requirements
        if not isinstance(each, IntegralRequirement)
    ]
    wanted += [
        (unknown.region, field, f"{unknown.name} > 0")
        for unknown in problem.unknowns.values()
        if unknown.positive
        for field in unknown.fields
    ]
    for region, expression, text in wanted:
        if not isinstance(region, Domain):
            continue
        value = sp.sympify(known.at(expression))
        variables = [*region.coordinates, *([problem.time] if problem.time is not None else [])]
        if value.atoms(InputField, UnknownField):
            continue
        numbers = values_of([s for s in value.free_symbols if s not in variables])
        evaluate = sp.lambdify(variables, value.subs(numbers), "mpmath")
        for point in points(region, PROBES, typical(region)) or ():
            for time in _times(problem):
                at = (*point, *time)
                number = mpmath.mpmathify(evaluate(*at))
                if mpmath.im(number) == 0 and number < -1e-9:
                    place = ", ".join(f"{x} = {a:.3g}" for x, a in zip(variables, at, strict=True))
                    raise fail(
                        "V03",
                        f"the solution breaks `{text}` at {place}",
                        "choose one that meets it everywhere",
                    )


def _text(requirement: Any) -> str:
    return f"{short(requirement.lhs)} {requirement.op} {short(requirement.rhs)}".replace("`", "")


def _times(problem: Problem) -> list[tuple[float, ...]]:
    if problem.time is None:
        return [()]
    ends = [
        sp.sympify(each).subs(values_of(sp.sympify(each).free_symbols))
        for each in (problem.time.start, problem.time.end)
    ]
    start, end = map(float, ends)
    return [(start + share * (end - start),) for share in (0.0, 0.37, 1.0)]


class _Known:
    """Expressions evaluated at the chosen solution."""

    def __init__(
        self, problem: Problem, chosen: Mapping[str, Any], truths: Mapping[Any, sp.Expr]
    ) -> None:
        pairs = [(problem.unknowns[name], value) for name, value in chosen.items()]
        self.values = {
            field: entry
            for unknown, value in pairs
            for field, entry in zip(unknown.fields, entries(value), strict=True)
        }
        self.truths = dict(truths)

    def at(self, expression: sp.Expr) -> sp.Expr:
        """A scalar expression with every unknown replaced by its solution, derivatives
        expanded."""
        jets = jet_form(expression)
        slopes = {}
        for jet in jets_of(jets, UnknownField):
            along = [
                variable
                for variable, order in zip(jet.field.args, jet.index, strict=True)
                for _ in range(order)
            ]
            slopes[jet] = total_derivative(jet_form(self.values[jet.field]), *along)
        return sympy_form(jets.xreplace(slopes).xreplace(self.truths))


def _replaceable(problem: Problem) -> set[Any]:
    """Input components that occur in one statement only, so that giving them a closed form
    touches nothing else."""
    statements: list[Iterable[Any]] = [
        (each.lhs, each.rhs) for each in (*problem.equations.values(), *problem.conditions.values())
    ]
    statements += [
        [density for density, _ in functional.terms] for functional in problem.functionals
    ]
    seen: dict[Any, int] = {}
    for statement in statements:
        for field in {
            field
            for expression in statement
            for entry in entries(expression)
            for field in entry.atoms(InputField)
        }:
            seen[field] = seen.get(field, 0) + 1
    return {field for field, count in seen.items() if count == 1}


def _source(row: sp.Expr, taken: set[Any]) -> tuple[Any, sp.Expr] | None:
    """An input component that a row holds plainly, linearly and nowhere else, with its
    coefficient."""
    form = jet_form(row)
    jets = jets_of(form, InputField)
    for jet in jets:
        slope = form.diff(jet)
        alone = (
            jet.field in taken
            and not any(jet.index)
            and all(each is jet or each.field != jet.field for each in jets)
        )
        if alone and slope != 0 and not slope.atoms(Jet):
            return jet.field, slope
    return None


class _Derivation:
    """The closed forms of replaced inputs, growing from statement to statement."""

    def __init__(self, problem: Problem, known: _Known) -> None:
        self.problem, self.known, self.taken = problem, known, _replaceable(problem)
        self.closed: dict[Any, Any] = {}

    def remainder(self, row: Any, place: Mapping[Any, Any]) -> Any:
        """What is left of a row at the solution; nothing when an input takes it up."""
        source = _source(row, self.taken)
        if source is None:
            return self.known.at(row).xreplace(dict(place))
        field, slope = source
        self.closed[field] = (
            -self.known.at(row.xreplace({field: sp.S.Zero})) / slope.xreplace(self.known.truths)
        ).xreplace(dict(place))
        return sp.S.Zero

    def balanced(self, statement: Any, place: Mapping[Any, Any]) -> Any:
        """An equation or condition with a right-hand side that the solution meets."""
        added = [self.remainder(row, place) for row in entries(statement.lhs - statement.rhs)]
        rhs = statement.rhs
        rhs = rhs + (
            sp.ImmutableMatrix(*rhs.shape, added) if isinstance(rhs, sp.MatrixBase) else added[0]
        )
        return replace(statement, rhs=rhs, written=None)

    def condition(self, condition: Condition) -> Condition:
        place: dict[Any, Any] = {} if condition.at is None else {self.problem.time: condition.at}
        if isinstance(condition.region, Boundary) and condition.region.kind == "side":
            place |= {
                x: condition.region.value
                for x in condition.region.coordinates
                if x.name == condition.region.coordinate
            }
        return self.balanced(condition, place)

    def functional(self, functional: Functional) -> Functional:
        """The functional with the body and surface loads under which the solution makes it
        stationary."""
        loads: list[tuple[sp.Expr, Any]] = []
        for name in functional.unknowns:
            for component in self.problem.unknowns[name].fields:
                body = self.remainder(euler_lagrange(self.problem, functional, component), {})
                loads.append((-body * component, self.problem.unknowns[name].region))
        for natural in naturals(self.problem, functional):
            surface = self.remainder(natural.flux, {})
            moved = (
                natural.component
                if natural.normal_order == 0
                else dot(grad(natural.component), unit_normal(natural.region))
            )
            loads.append((-surface * moved, natural.region))
        self._refuse_corner_forces(functional)
        return replace(functional, terms=gathered([*functional.terms, *loads]), written=None)

    def _refuse_corner_forces(self, functional: Functional) -> None:
        """Raises: V01 for a solution that forces at free corners would have to hold: no integral
        states them."""
        for name in functional.unknowns:
            for component in self.problem.unknowns[name].fields:
                for force, corner in corner_forces(self.problem, functional, component):
                    if not vanishes(jet_form(self.known.at(force).xreplace(corner))):
                        place = ", ".join(str(each) for each in corner.values())
                        raise fail(
                            "V01",
                            f"the solution of `{name}` needs a force at the corner ({place}), where"
                            " it is free",
                            "choose one whose mixed second derivative vanishes there, or prescribe"
                            " it on a side",
                        )

    def close(self, statement: Any) -> Any:
        """A statement with the replaced inputs in closed form."""
        if isinstance(statement, Functional):
            return replace(
                statement,
                terms=gathered(
                    (density.xreplace(self.closed), region) for density, region in statement.terms
                ),
            )
        parts = (
            ("density", "value")
            if isinstance(statement, IntegralRequirement)
            else (("value",) if isinstance(statement, Output) else ("lhs", "rhs"))
        )
        new = {each: self._closed(getattr(statement, each)) for each in parts}
        if all(new[each] == getattr(statement, each) for each in parts):
            return statement
        return replace(statement, written=None, **new)

    def _closed(self, expression: Any) -> Any:
        if isinstance(expression, sp.MatrixBase):
            return sp.ImmutableMatrix(expression).applyfunc(self._closed)
        return expression.xreplace(self.closed)


def _met(requirement: IntegralRequirement, known: _Known) -> IntegralRequirement:
    """The requirement with the integral of the solution as its value."""
    value = integrated(known.at(requirement.density), requirement.region)
    return replace(requirement, value=value, written=None)
