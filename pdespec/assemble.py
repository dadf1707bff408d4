"""From statements to the parts of a problem: sides split, labels given, declarations found, names checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanAtom

from pdespec.calculus import Integral, rank, short
from pdespec.errors import Diagnostic, ProblemError, Span, fail
from pdespec.geometry import Boundary, Domain, Region, shape_symbols
from pdespec.jets import Jet
from pdespec.problem import (
    Channels,
    Condition,
    Data,
    Equation,
    Functional,
    IntegralRequirement,
    Output,
    Requirement,
    Stated,
    Table,
    promote,
    sides,
)
from pdespec.symbols import Coordinate, Input, InputField, Normal, Param, Scalar, Time, Unknown, UnknownField, check_name, exact

COMPARISONS = {sp.StrictGreaterThan: ">", sp.GreaterThan: ">=", sp.StrictLessThan: "<", sp.LessThan: "<="}


class Collector:
    """Gathers diagnostics so that all of them are reported at once."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []

    def attempt(self, action: Callable[[], Any], label: str = "", span: Span | None = None) -> Any:
        """The result of `action`, or None when it failed with diagnostics, which are kept with their place."""
        try:
            return action()
        except ProblemError as error:
            self.diagnostics += [diagnostic.at(span, label) for diagnostic in error.diagnostics]
            return None

    def close(self) -> None:
        if self.diagnostics:
            raise ProblemError(dict.fromkeys(self.diagnostics))


def assemble(
    name: str,
    *,
    equations: Any,
    conditions: Any,
    minimize: Any,
    stationary: Any,
    require: Any,
    output: Any,
    data: Any,
    reference: Mapping[Any, Any],
    unknowns: Iterable[Any],
    inputs: Iterable[Any],
    params: Iterable[Any],
    regions: Iterable[Region],
    coordinates: Sequence[Coordinate] | None,
    time: Time | None,
) -> dict[str, Any]:
    """The attributes of a `Problem`, by name.

    Raises: `ProblemError` with every diagnostic found.
    """
    collector = Collector()
    collector.attempt(lambda: check_name(name, "a problem"))
    stated = {
        "equations": _equations(equations, collector),
        "conditions": _conditions(conditions, collector),
        "functionals": _functionals(minimize, stationary, collector),
        "requirements": _requirements(require, collector),
        "outputs": _outputs(output, collector),
        "data": _data(data, collector),
    }
    _check_labels(stated, collector)
    collector.close()
    found = _Declared(collector)
    for each in (*unknowns, *inputs, *params):
        found.add_declaration(declaration_of(each))
    for region in regions:
        found.add_region(region)
    for coordinate in coordinates or ():
        found.add_symbol(coordinate)
    if time is not None:
        found.add_symbol(time)
    for expression, regions_of_it in _walk(stated):
        found.add_expression(expression)
        for region in regions_of_it:
            found.add_region(region)
    references = _references(reference, found.named, collector)
    for value in references.values():
        found.add_expression(value)
    collector.close()
    return {"name": name, **found.tables(), **stated, "references": references}


# --------------------------------------------------------------------------------------------------------------------- statements


def _named(given: Any) -> Iterator[tuple[str | None, Any]]:
    """(label or None, statement) of a mapping, a sequence, or one statement alone."""
    if isinstance(given, Mapping):
        yield from given.items()
    elif isinstance(given, (list, tuple)):
        yield from ((None, each) for each in given)
    else:
        yield None, given


def _check_labels(stated: Mapping[str, Any], collector: Collector) -> None:
    """Equations and conditions are terms of one loss, so no label may stand for two of them."""
    for label in stated["equations"]:
        if label in stated["conditions"]:
            message = f"an equation and a condition are both labeled `{label}`"
            collector.diagnostics.append(Diagnostic("S05", message, "give one of them another label", label=label))


def _spread(given: Any) -> Iterator[tuple[str | None, Any, Stated | None]]:
    """The statements with `inside`, `on` and `at` taken apart: (label or None, equation, where it was stated)."""
    for label, each in _named(given):
        if label is not None and not (isinstance(label, str) and label):
            raise fail("S03", f"{label!r} is no label", "labels are text: {'momentum': ..}")
        if isinstance(each, Stated):
            for count, equation in enumerate(each.equations):
                yield (label if count == 0 or label is None else f"{label}{count + 1}"), equation, each
        else:
            yield label, each, None


def _equations(given: Any, collector: Collector) -> Table:
    result: dict[str, Equation] = {}
    for label, each, stated in collector.attempt(lambda: list(_spread(given)), "equations") or ():
        label = label or _next("eq", result)
        span = getattr(each, "span", None)
        equation = collector.attempt(lambda: _equation(each, stated), label, span)  # noqa: B023 - called at once
        if equation is not None:
            result[label] = equation
    return Table(result)


def _equation(each: Any, stated: Stated | None) -> Equation:
    if isinstance(each, Equation):
        return each
    if stated is not None and stated.kind != "equation":
        raise fail("T05", "a condition stands among the equations", "what on(..) and at(..) return belongs in conditions=")
    lhs, rhs = sides(each)
    return Equation(lhs, rhs, _home(lhs, rhs) if stated is None else stated.region.domain)


def _home(*expressions: Any) -> Domain:
    """The domain on which the fields of an equation live."""
    fields = [field for expression in expressions for field in fields_of(expression)]
    domains = dict.fromkeys(field.func.declaration.region.domain for field in fields if isinstance(field, UnknownField))
    if not domains:
        raise fail("W06", f"no unknown in {' = '.join(short(each) for each in expressions)}", "an equation determines an unknown")
    if len(domains) > 1:
        names = ", ".join(domain.name for domain in domains)
        raise fail("T05", f"the unknowns of the equation live on several domains: {names}", "say where it holds: inside(Omega, ..)")
    return next(iter(domains))


def _conditions(given: Any, collector: Collector) -> Table:
    result: dict[str, Condition] = {}
    for label, each, stated in collector.attempt(lambda: list(_spread(given)), "conditions") or ():
        span = getattr(each, "span", None)
        condition = collector.attempt(lambda: _condition(each, stated), label or "conditions", span)  # noqa: B023 - called at once
        if condition is not None:
            result[label or _condition_label(condition, result)] = condition
    return Table(result)


def _condition(each: Any, stated: Stated | None) -> Condition:
    if isinstance(each, Condition):
        return each
    if stated is None or stated.kind == "equation":
        raise fail("T05", f"{each} does not say where it holds", "write on(Gamma, ..) or at(t, 0, ..)")
    lhs, rhs = sides(each)
    region = stated.region if stated.region is not None else _home(lhs, rhs)
    return Condition(lhs, rhs, region, stated.kind, stated.at)


def _condition_label(condition: Condition, taken: Mapping[str, Any]) -> str:
    """`Gamma.u`, `initial.u`: the place and the unknowns of an unlabeled condition. Holds a dot, as no user's label can."""
    place = condition.region.name if condition.kind == "boundary" else "initial"
    fields = (*fields_of(condition.lhs), *fields_of(condition.rhs))
    names = dict.fromkeys(field.func.declaration.name for field in fields if isinstance(field, UnknownField))
    label = ".".join([place, *names])
    return label if label not in taken else _next(label + ".", taken, start=2)


def _next(prefix: str, taken: Mapping[str, Any], start: int = 1) -> str:
    number = start
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"


def _functionals(minimize: Any, stationary: Any, collector: Collector) -> tuple[Functional, ...]:
    result = []
    for kind, given in (("minimize", minimize), ("stationary", stationary)):
        for each in given if isinstance(given, list) else [] if given is None else [given]:
            span = getattr(each, "span", None)
            functional = collector.attempt(lambda: _functional(kind, each), kind, span)  # noqa: B023 - called at once
            if functional is not None:
                result.append(functional)
    return tuple(result)


def _functional(kind: str, given: Any) -> Functional:
    if isinstance(given, Functional):
        return given
    energy, over = given if isinstance(given, tuple) else (given, ())
    terms = energy_terms(energy, kind)
    held = [field.func.declaration.name for density, _ in terms for field in fields_of(density) if isinstance(field, UnknownField)]
    names = [declaration_of(each).name for each in (over if isinstance(over, (list, tuple)) else [over])] if over != () else held
    for name in names:
        if name not in held:
            raise fail("V01", f"the functional to {kind} does not depend on `{name}`", "vary it by the unknowns it holds")
    return Functional(kind, terms, tuple(dict.fromkeys(names)))


def energy_terms(energy: Any, kind: str = "minimize") -> tuple[tuple[sp.Expr, Region], ...]:
    """The (density, region) terms of a sum of integrals, factors and signs drawn into the densities.

    Raises: V01 when the energy is not scalar, or a part of it has no region.
    """
    energy = exact(energy)
    if isinstance(energy, sp.MatrixBase):
        raise fail("V01", f"the energy to {kind} is {rank(energy)}, not scalar", "an energy is one number: integral(psi, Omega)")
    nodes = sorted(energy.atoms(Integral), key=sp.default_sort_key)
    dummies = [sp.Dummy(f"integral{k}") for k in range(len(nodes))]  # so that the densities stay as they are written
    back: dict[Any, Any] = dict(zip(dummies, nodes, strict=True))
    terms = []
    for term in sp.Add.make_args(sp.expand_mul(energy.xreplace(dict(zip(nodes, dummies, strict=True))))):
        integrals = [factor for factor in sp.Mul.make_args(term) if factor in back]
        if len(integrals) != 1 or (term / integrals[0]).has(*dummies):
            what = "is a product of integrals" if term.has(*dummies) else "is not integrated over a region"
            message = f"{short(term.xreplace(back))} in the energy to {kind} {what}"
            raise fail("V01", message, f"write {kind} integral(psi, Omega)")
        coefficient = term / integrals[0]
        if fields_of(coefficient):
            raise fail("V01", f"{short(term.xreplace(back))}: a field multiplies an integral", "move the field into the density")
        node = back[integrals[0]]
        terms.append((coefficient * node.density, node.region))
    return tuple(terms)


def _requirements(given: Any, collector: Collector) -> tuple[Requirement | IntegralRequirement, ...]:
    result = []
    for _, each in _named(given):
        requirement = collector.attempt(lambda: _requirement(each), "require", getattr(each, "span", None))  # noqa: B023 - called at once
        if requirement is not None:
            result.append(requirement)
    return tuple(result)


def _requirement(each: Any) -> Requirement | IntegralRequirement:
    if isinstance(each, (Requirement, IntegralRequirement)):
        return each
    relation, region = each if isinstance(each, tuple) and len(each) == 2 and isinstance(each[1], (Domain, Boundary)) else (each, None)
    if isinstance(relation, (bool, BooleanAtom)):
        raise fail("T05", f"the requirement has been folded to {bool(relation)} before it arrived", "a requirement holds a field")
    if isinstance(relation, Relational) and type(relation) in COMPARISONS:
        lhs, rhs = (exact(side) for side in relation.args)
        return Requirement(lhs, COMPARISONS[type(relation)], rhs, region or _home(lhs, rhs))
    lhs, rhs = sides(relation)
    terms = [term for term in sp.Add.make_args(lhs - rhs) if term.atoms(Integral)]
    if isinstance(lhs, sp.MatrixBase) or not terms:
        hint = "write integral(p, Omega) = 0, or (J > 0, Omega)"
        raise fail("T05", f"cannot require {short(lhs)} = {short(rhs)}", hint, "what must hold at every point is an equation")
    densities = [energy_terms(term, "require")[0] for term in terms]
    if len({region for _, region in densities}) > 1:
        raise fail("T05", "the integrals of a requirement are over several regions", "state one requirement a region")
    value = -sp.Add(*(term for term in sp.Add.make_args(lhs - rhs) if not term.atoms(Integral)))
    return IntegralRequirement(sp.Add(*(density for density, _ in densities)), densities[0][1], value)


def _outputs(given: Any, collector: Collector) -> Table:
    result: dict[str, Output] = {}
    for label, each in _named(given):
        name = each.name if isinstance(each, Output) else label
        if name is None:
            collector.diagnostics.append(Diagnostic("T05", "an output has no name", 'write output={"P": diff(psi, F)}', label="output"))
        else:
            result[name] = each if isinstance(each, Output) else Output(name, exact(each))
    return Table(result)


def _data(given: Any, collector: Collector) -> tuple[Data, ...]:
    result = []
    for each in given:
        if isinstance(each, Data):
            result.append(each)
        elif isinstance(each, tuple) and len(each) == 3 and isinstance(each[1], (Domain, Boundary)) and isinstance(each[2], str):
            result.append(Data(exact(each[0]), each[1], each[2]))
        else:
            collector.diagnostics.append(Diagnostic("T05", f"{each!r} is no data", 'write data=[(p, foil, "airfoils.h5")]', label="data"))
    return tuple(result)


def _references(given: Mapping[Any, Any], known: Mapping[str, Any], collector: Collector) -> Table:
    """The known solutions, given by unknown or by its name."""
    result: dict[str, Any] = {}
    for key, value in given.items():
        pair = collector.attempt(lambda: _reference(known.get(key) if isinstance(key, str) else key, value), "reference")  # noqa: B023
        if pair is not None:
            result.update([pair])
    return Table(result)


def _reference(key: Any, value: Any) -> tuple[str, Any]:
    declared = None if key is None else declaration_of(key)
    if not isinstance(declared, Unknown):
        raise fail("T05", f"reference of {declared.name if declared else 'an unknown name'}, which is no unknown", "name an unknown")
    return declared.name, promote(declared.symbol, exact(value))[1]


# ------------------------------------------------------------------------------------------------------------------- declarations


def fields_of(expression: Any) -> tuple[Any, ...]:
    """The applied unknown and input components in an expression, by name."""
    found = {field for field in expression.atoms(AppliedUndef) if hasattr(field.func, "declaration")}
    return tuple(sorted(found, key=lambda field: (field.func.__name__, sp.default_sort_key(field))))


def declaration_of(expression: Any) -> Unknown | Input | Param:
    """The declaration behind a symbol, a field or a whole vector of them."""
    if isinstance(expression, (Unknown, Input, Param)):
        return expression
    if isinstance(expression, sp.MatrixBase) and expression.shape != (0, 0):
        declaration = declaration_of(expression[0])
        if declaration.symbol == expression:
            return declaration
    elif isinstance(expression, Scalar):
        return expression.declaration
    elif isinstance(expression, (UnknownField, InputField)):
        return expression.func.declaration
    raise fail("T05", f"{expression} is no declared field or param", "give what unknown(..), input_function(..) or param(..) returned")


def _walk(stated: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[Region, ...]]]:
    """Every expression of the statements with the regions it is stated on, in order of appearance."""
    for equation in stated["equations"].values():
        yield equation.lhs, (equation.region,)
        yield equation.rhs, ()
    for functional in stated["functionals"]:
        for density, region in functional.terms:
            yield density, (region,)
    for condition in stated["conditions"].values():
        yield condition.lhs, (condition.region,)
        yield condition.rhs, ()
    for requirement in stated["requirements"]:
        if isinstance(requirement, Requirement):
            yield requirement.lhs, (requirement.region,)
            yield requirement.rhs, ()
        else:
            yield requirement.density, (requirement.region,)
            yield requirement.value, ()
    for output in stated["outputs"].values():
        yield output.value, ()
    for data in stated["data"]:
        yield data.value, (data.region,)


class _Declared:
    """What the statements of a problem mention, in order of appearance, each name once."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.coordinates: tuple[Coordinate, ...] = ()
        self.time: Time | None = None
        self.named: dict[str, Any] = {}

    def add_expression(self, expression: Any) -> None:
        for node in sorted(expression.atoms(Integral), key=sp.default_sort_key):
            self.add_region(node.region)
            self.add_expression(node.density)
        for field in fields_of(expression):
            self.add_declaration(field.func.declaration)
        for symbol in sorted(expression.free_symbols, key=sp.default_sort_key):
            self.add_symbol(symbol)

    def add_symbol(self, symbol: Any) -> None:
        if isinstance(symbol, Normal):
            symbol = symbol.coordinate
        if isinstance(symbol, Coordinate):
            frame = symbol.coordinates
            if self.coordinates and frame != self.coordinates:
                names = " and ".join(", ".join(each.name for each in given) for given in (self.coordinates, frame))
                self.report("T06", f"coordinates of two spaces meet in one problem: {names}", 'write x, y = space("x y") once')
            self.coordinates = self.coordinates or frame
        elif isinstance(symbol, Time):
            if self.time is not None and symbol != self.time:
                self.report("S05", f"two times: {self.time} on [{self.time.start}, {self.time.end}] and {symbol}", "declare time once")
            self.time = self.time or symbol
        elif isinstance(symbol, Scalar):
            self.add_declaration(symbol.declaration)
        elif isinstance(symbol, sp.Symbol) and not isinstance(symbol, Jet) and not hasattr(symbol, "region"):
            hint = f'declare it: {symbol} = const("{symbol}", 1), param("{symbol}", uniform(0, 1)) or a coordinate'
            self.report("S01", f"`{symbol}` is a plain SymPy symbol, not declared", hint)

    def add_declaration(self, declaration: Unknown | Input | Param) -> None:
        if not self._take(declaration.name, declaration):
            return
        if isinstance(declaration, Param):
            return
        self.add_region(declaration.region)
        for coordinate in declaration.region.coordinates:
            self.add_symbol(coordinate)
        if declaration.time is not None:
            self.add_symbol(declaration.time)

    def add_region(self, region: Region) -> None:
        if not self._take(region.name, region):
            return
        if isinstance(region, Boundary):
            self.add_region(region.domain)
            for other in region.others:
                self.add_region(other)
            symbols = region.value.free_symbols if region.value is not None else set()
        else:
            symbols = shape_symbols(region.shape)
            for coordinate in region.coordinates:
                self.add_symbol(coordinate)
        for symbol in sorted(symbols, key=sp.default_sort_key):
            self.add_symbol(symbol)

    def _take(self, name: str, value: Any) -> bool:
        """True when the value is new; reports another value of the same name."""
        if name not in self.named:
            self.named[name] = value
            return True
        if self.named[name] != value:
            kinds = " and ".join(_kind(each) for each in (self.named[name], value))
            example = f' with name=".." in {type(value).__name__.lower()}(..)' if isinstance(value, (Domain, Boundary)) else ""
            self.report("S05", f"`{name}` names two things: {kinds}", f"give one of them another name{example}")
        return False

    def report(self, code: str, message: str, hint: str) -> None:
        self.collector.diagnostics.append(Diagnostic(code, message, hint))

    def tables(self) -> dict[str, Any]:
        def of(of_type: type, kind: str | None = None) -> Table:
            items = ((name, value) for name, value in self.named.items() if isinstance(value, of_type))
            return Table((name, value) for name, value in items if kind is None or value.kind == kind)

        return {
            "coordinates": self.coordinates,
            "time": self.time,
            "domains": of(Domain),
            "boundaries": of(Boundary),
            "unknowns": Channels(of(Unknown)),
            "inputs": of(Input),
            "params": of(Param, kind="param"),
            "constants": of(Param, kind="const"),
            "trainables": of(Param, kind="trainable"),
        }


def _kind(value: Any) -> str:
    if isinstance(value, Param):
        return f"a {value.kind}"
    return {Domain: "a domain", Boundary: "a boundary", Unknown: "an unknown", Input: "an input"}[type(value)]
