"""Assembles the parts of a problem from its statements: declarations are collected and names
checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from pdespec.calculus import Integral
from pdespec.coordinates import Coordinate, Normal, Time, check_name
from pdespec.errors import Diagnostic, ProblemError, Span, fail
from pdespec.geometry import Boundary, Domain, Region, shape_symbols
from pdespec.jets import Jet
from pdespec.nodes import nodes_of
from pdespec.statements.normalise import (
    condition_label,
    declaration_of,
    fields_of,
    free_label,
    to_condition,
    to_data,
    to_equation,
    to_functional,
    to_output,
    to_reference,
    to_reference_file,
    to_requirement,
)
from pdespec.statements.statements import (
    Condition,
    Data,
    Equation,
    Functional,
    IntegralRequirement,
    Requirement,
    Stated,
)
from pdespec.symbols import Input, Param, Scalar, Unknown
from pdespec.table import Channels, Table
from pdespec.trainable_fields import TrainableField


class Collector:
    """Gathers diagnostics so that all of them are reported at once."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []

    def attempt(
        self, action: Callable[..., Any], *arguments: Any, label: str = "", span: Span | None = None
    ) -> Any:
        """The result of the action, or None when it failed with diagnostics, which are kept with
        their place."""
        try:
            return action(*arguments)
        except ProblemError as error:
            self.diagnostics += [diagnostic.at(span, label) for diagnostic in error.diagnostics]
            return None

    def close(self) -> None:
        """Raises: ProblemError with all that was gathered, each once."""
        if self.diagnostics:
            raise ProblemError(dict.fromkeys(self.diagnostics))


@dataclass(frozen=True, kw_only=True)
class Sections:
    """The sections of a problem as its caller gives them: statements, then declarations that no
    statement need name."""

    equations: Any
    conditions: Any
    minimize: Any
    stationary: Any
    require: Any
    output: Any
    data: Any
    reference: Mapping[Any, Any]
    unknowns: Iterable[Any]
    inputs: Iterable[Any]
    params: Iterable[Any]
    regions: Iterable[Region]
    coordinates: Sequence[Coordinate] | None
    time: Time | None


def assemble(name: str, given: Sections) -> dict[str, Any]:
    """The attributes of a `Problem`, by name.

    Raises: `ProblemError` with every diagnostic found.
    """
    collector = Collector()
    collector.attempt(check_name, name, "a problem")
    stated = {
        "equations": _equations(given.equations, collector),
        "conditions": _conditions(given.conditions, collector),
        "functionals": _functionals(given.minimize, given.stationary, collector),
        "requirements": _requirements(given.require, collector),
        "outputs": _outputs(given.output, collector),
        "data": _data(given.data, collector),
    }
    _check_labels(stated, collector)
    collector.close()
    found = _Declared(collector)
    for each in (*given.unknowns, *given.inputs, *given.params):
        found.add_declaration(declaration_of(each))
    for region in given.regions:
        found.add_region(region)
    for coordinate in given.coordinates or ():
        found.add_symbol(coordinate)
    if given.time is not None:
        found.add_symbol(given.time)
    for expression, regions_of_it in _walk(stated):
        found.add_expression(expression)
        for region in regions_of_it:
            found.add_region(region)
    named = {
        found.named.get(key) if isinstance(key, str) else key: value
        for key, value in given.reference.items()
    }
    files = {key: value for key, value in named.items() if isinstance(value, (str, Data))}
    solutions = {key: value for key, value in named.items() if key not in files}
    references = _references(solutions, found.named, collector)
    read = [
        collector.attempt(to_reference_file, *pair, label="reference") for pair in files.items()
    ]
    read = tuple(each for each in read if each is not None)
    for value in references.values():
        found.add_expression(value)
    collector.close()
    return {
        "name": name,
        **found.tables(),
        **stated,
        "references": references,
        "reference_files": read,
    }


# --------------------------------------------------------------------------------------------------
# statements


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
            collector.diagnostics.append(
                Diagnostic("S05", message, "give one of them another label", label=label)
            )


def _spread(given: Any) -> list[tuple[str | None, Any, Stated | None]]:
    """The statements with `inside`, `on` and `at` taken apart: (label or None, equation, where
    it was stated)."""
    result = []
    for label, each in _named(given):
        if label is not None and not (
            isinstance(label, str) and label and label.isprintable() and '"' not in label
        ):
            raise fail(
                "S03",
                f"{label!r} is not a label",
                "labels are text without quotes and control characters: {'momentum': ..}",
            )
        stated = each if isinstance(each, Stated) else None
        for count, equation in enumerate(stated.equations if stated is not None else (each,)):
            result.append((f"{label}{count + 1}" if label and count else label, equation, stated))
    return result


def _equations(given: Any, collector: Collector) -> Table:
    result: dict[str, Equation] = {}
    for label, each, stated in collector.attempt(_spread, given, label="equations") or ():
        label = label or free_label("eq", result)
        equation = collector.attempt(
            to_equation, each, stated, label=label, span=getattr(each, "span", None)
        )
        if equation is not None:
            collector.attempt(_enter, label, equation, result)
    return Table(result)


def _conditions(given: Any, collector: Collector) -> Table:
    result: dict[str, Condition] = {}
    for label, each, stated in collector.attempt(_spread, given, label="conditions") or ():
        condition = collector.attempt(
            to_condition,
            each,
            stated,
            label=label or "conditions",
            span=getattr(each, "span", None),
        )
        if condition is not None:
            collector.attempt(
                _enter, label or condition_label(condition, result), condition, result
            )
    return Table(result)


def _enter(label: str, statement: Any, result: dict[str, Any]) -> None:
    if label in result:
        raise fail(
            "S05",
            f"two statements are labeled `{label}`",
            "give one of them another label",
            label=label,
        )
    result[label] = statement


def _functionals(minimize: Any, stationary: Any, collector: Collector) -> tuple[Functional, ...]:
    given = [("minimize", each) for each in _listed(minimize)] + [
        ("stationary", each) for each in _listed(stationary)
    ]
    found = [
        collector.attempt(to_functional, kind, each, label=kind, span=getattr(each, "span", None))
        for kind, each in given
    ]
    return tuple(functional for functional in found if functional is not None)


def _listed(given: Any) -> list[Any]:
    """Functionals are given one, several or none; a tuple is one with the unknowns it varies by."""
    return given if isinstance(given, list) else [] if given is None else [given]


def _requirements(
    given: Any, collector: Collector
) -> tuple[Requirement | IntegralRequirement, ...]:
    found = [
        collector.attempt(to_requirement, each, label="require", span=getattr(each, "span", None))
        for _, each in _named(given)
    ]
    return tuple(requirement for requirement in found if requirement is not None)


def _outputs(given: Any, collector: Collector) -> Table:
    found = [
        collector.attempt(to_output, label, each, label=label or "output")
        for label, each in _named(given)
    ]
    return Table((output.name, output) for output in found if output is not None)


def _data(given: Any, collector: Collector) -> tuple[Data, ...]:
    found = [collector.attempt(to_data, each, label="data") for each in given]
    return tuple(data for data in found if data is not None)


def _references(given: Mapping[Any, Any], known: Mapping[str, Any], collector: Collector) -> Table:
    """The known solutions, given by unknown or by its name."""
    pairs = (
        (known.get(key) if isinstance(key, str) else key, value) for key, value in given.items()
    )
    found = [collector.attempt(to_reference, *pair, label="reference") for pair in pairs]
    return Table(pair for pair in found if pair is not None)


# --------------------------------------------------------------------------------------------------
# declarations


def _walk(stated: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[Region, ...]]]:
    """Every expression of the statements with the regions it is stated on, in order of
    appearance."""
    for equation in stated["equations"].values():
        yield equation.lhs, (equation.region,)
        yield equation.rhs, ()
    for functional in stated["functionals"]:
        for density, region in functional.terms:
            yield density, (region,)
    for condition in stated["conditions"].values():
        yield condition.lhs, (condition.region,)
        yield condition.rhs, ()
        for each in condition.place:
            yield each, ()
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
        for node in sorted(nodes_of(expression, Integral), key=sp.default_sort_key):
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
                names = " and ".join(
                    ", ".join(each.name for each in given) for given in (self.coordinates, frame)
                )
                self.report(
                    "T06",
                    f"coordinates of two spaces meet in one problem: {names}",
                    'write x, y = space("x y") once',
                )
            self.coordinates = self.coordinates or frame
        elif isinstance(symbol, Time):
            if self.time is not None and symbol != self.time:
                self.report(
                    "S05",
                    f"two times: {self.time} on [{self.time.start}, {self.time.end}] and {symbol}",
                    "declare time once",
                )
            self.time = self.time or symbol
        elif isinstance(symbol, Scalar):
            self.add_declaration(symbol.declaration)
        elif (
            isinstance(symbol, sp.Symbol)
            and not isinstance(symbol, Jet)
            and not hasattr(symbol, "region")
        ):
            hint = (
                f'declare it: {symbol} = const("{symbol}", 1), param("{symbol}", uniform(0, 1)) or'
                " a coordinate"
            )
            self.report("S01", f"`{symbol}` is a plain SymPy symbol, not declared", hint)

    def add_declaration(self, declaration: Unknown | Input | Param | TrainableField) -> None:
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
            symbols = set()
            if region.value is not None:
                self.add_expression(region.value)
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
            example = (
                f' with name=".." in {type(value).__name__.lower()}(..)'
                if isinstance(value, (Domain, Boundary))
                else ""
            )
            self.report(
                "S05",
                f"`{name}` names two things: {kinds}",
                f"give one of them another name{example}",
            )
        return False

    def report(self, code: str, message: str, hint: str) -> None:
        self.collector.diagnostics.append(Diagnostic(code, message, hint))

    def tables(self) -> dict[str, Any]:
        def of(of_type: type | tuple[type, ...], kind: str | None = None) -> Table:
            items = (
                (name, value) for name, value in self.named.items() if isinstance(value, of_type)
            )
            return Table(
                (name, value) for name, value in items if kind is None or value.kind == kind
            )

        return {
            "coordinates": self.coordinates,
            "time": self.time,
            "domains": of(Domain),
            "boundaries": of(Boundary),
            "unknowns": Channels(of(Unknown)),
            "inputs": of(Input),
            "params": of(Param, kind="param"),
            "constants": of(Param, kind="const"),
            "trainables": of((Param, TrainableField), kind="trainable"),
        }


def _kind(value: Any) -> str:
    if isinstance(value, (Param, TrainableField)):
        return f"a {value.kind}"
    return {Domain: "a domain", Boundary: "a boundary", Unknown: "an unknown", Input: "an input"}[
        type(value)
    ]
