"""A declared problem as a value, written as text and built in Python form.

Everything in it is made of names, numbers and trees (`language.Node`), so that both forms, and the
oracle, start from the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

import pdespec
from pdespec import domains, geometry
from tests.generated.language import Node, meaning, python_algebra, text


@dataclass(frozen=True)
class Law:
    """`uniform(0, 1)`: a call with numbers, by name or by place."""

    name: str
    arguments: tuple[tuple[str, sp.Rational], ...]

    def text(self) -> str:
        return f"{self.name}({', '.join(f'{key} = {value}' for key, value in self.arguments)})"

    def python(self) -> Any:
        return getattr(pdespec, self.name)(**dict(self.arguments))


@dataclass(frozen=True)
class Number:
    """A const, param or trainable."""

    name: str
    kind: str
    value: sp.Rational | None = None
    law: Law | None = None
    size: int | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Function:
    """An input or unknown field; `on` names its region."""

    name: str
    kind: str
    rank: str
    on: str
    law: Law | None = None
    in_time: bool = True
    positive: bool = False
    complex: bool = False
    unit: str | None = None


@dataclass(frozen=True)
class Found:
    """A function that is to be found: a sum of `modes` along each of `axes`, which are those along
    which its region extends. Of a positive one its logarithm is the sum."""

    name: str
    on: str
    axes: tuple[str, ...]
    modes: int
    first: sp.Rational | None = None
    law: Law | None = None
    in_time: bool = False
    positive: bool = False
    unit: str | None = None

    @property
    def size(self) -> int:
        return self.modes ** len(self.axes)


@dataclass(frozen=True)
class Measured:
    """`data value on where from file` with these columns, or a `reference` of an unknown. `called`
    are names of the problem and what the file calls them."""

    value: Node
    where: Any  # a domain's name or a Place
    file: str
    called: tuple[tuple[str, str], ...] = ()
    reference: bool = False


LAID = {"moved": ("vector",), "rotated": ("angle",), "scaled": ("factor",), "extruded": ("height",)}
"""Shapes made of another, and which of their arguments come by place."""


@dataclass(frozen=True)
class Shape:
    """A shape with its numbers as trees: `disk(radius = r, center = [0, 1])`; `word` is +, - or
    & for two shapes."""

    word: str
    parts: tuple[Shape, ...] = ()
    points: tuple[tuple[Node, ...], ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()

    def text(self, spell: dict[str, str]) -> str:
        def listed(values: Any) -> str:
            return (
                f"[{', '.join(text(each, spell) for each in values)}]"
                if isinstance(values, tuple)
                else text(values, spell)
            )

        if self.word in "+-&":
            left, right = (
                (
                    each.text(spell)
                    if not each.parts or each.word == "lattice"
                    else f"({each.text(spell)})"
                )
                for each in self.parts
            )
            return f"{left} {self.word} {right}"
        if self.word == "named":
            return spell.get(self.keywords[0][1], self.keywords[0][1])
        if self.word == "lattice":
            return (
                f"lattice({self.parts[0].text(spell)}, {self.keywords[0][1]},"
                f" {self.keywords[1][1]})"
            )
        if self.word in LAID:
            given = [
                listed(value) if key in LAID[self.word] else f"{key} = {listed(value)}"
                for key, value in self.keywords
            ]
            return f"{self.word}({', '.join([self.parts[0].text(spell), *given])})"
        if self.word == "exterior":
            return f"exterior({self.parts[0].text(spell)}, farfield = {self.parts[1].text(spell)})"
        if self.word == "interval":
            return f"interval({text(self.points[0][0], spell)}, {text(self.points[1][0], spell)})"
        keywords = (f"{key} = {listed(value)}" for key, value in self.keywords)
        return f"{self.word}({', '.join([*map(listed, self.points), *keywords])})"

    def plane(self, algebra: Any) -> Any:
        """A plane shape without a domain, to be drawn out."""
        if self.word == "rectangle":
            return domains.make_box(
                *([meaning(each, algebra) for each in corner] for corner in self.points), 2
            )
        return domains.make_disk(meaning(dict(self.keywords)["radius"], algebra))

    def python(self, algebra: Any) -> Any:
        def value(values: Any) -> Any:
            return (
                [meaning(each, algebra) for each in values]
                if isinstance(values, tuple)
                else meaning(values, algebra)
            )

        if self.word in "+-&":
            a, b = (each.python(algebra) for each in self.parts)
            return a + b if self.word == "+" else a - b if self.word == "-" else a & b
        if self.word == "lattice":
            return pdespec.lattice(
                self.parts[0].python(algebra), self.keywords[0][1], self.keywords[1][1]
            )
        if self.word in LAID:
            given = [value(each) for key, each in self.keywords if key in LAID[self.word]]
            named = {key: value(each) for key, each in self.keywords if key not in LAID[self.word]}
            if self.word == "extruded":
                return domains.extruded(*algebra.space, self.parts[0].plane(algebra), *given)
            return getattr(domains, self.word)(self.parts[0].python(algebra), *given, **named)
        if self.word == "exterior":
            return pdespec.exterior(*(each.python(algebra) for each in self.parts))
        if self.word == "interval":
            return pdespec.interval(
                *algebra.space, value(self.points[0])[0], value(self.points[1])[0]
            )
        points = [value(each) for each in self.points]
        points = [points] if self.word == "polygon" else points
        return getattr(pdespec, self.word)(
            *algebra.space, *points, **{key: value(each) for key, each in self.keywords}
        )


@dataclass(frozen=True)
class Place:
    """A boundary: all, side (x, value), rest (others), inner, outer, of (a part), interface (with
    another domain, the part) or level (where the value vanishes). Unnamed ones are written where
    they are used."""

    kind: str
    domain: str
    name: str | None = None
    coordinate: str | None = None
    value: Node | None = None
    others: tuple[str, ...] = ()
    part: str | None = None
    within: tuple[str, Node, Node] | None = None  # a coordinate between two numbers

    def text(self, spell: dict[str, str]) -> str:
        domain = spell.get(self.domain, self.domain)
        if self.kind == "all":
            return f"boundary({domain})"
        if self.kind == "side":
            within = ""
            if self.within:
                along, low, high = self.within
                within = f", {text(low, spell)} < {spell.get(along, along)} < {text(high, spell)}"
            return (
                f"side({domain}, {spell.get(self.coordinate, self.coordinate)} ="
                f" {text(self.value, spell)}{within})"
            )
        if self.kind == "rest":
            return f"rest({', '.join([domain, *(spell.get(each, each) for each in self.others)])})"
        if self.kind == "of":
            return f"boundary({domain}, {spell.get(self.part, self.part)})"
        if self.kind == "interface":
            return f"interface({domain}, {spell.get(self.part, self.part)})"
        if self.kind == "level":
            return f"interface({domain}, {text(self.value, spell)})"
        return f"{self.kind}({domain})"

    def python(self, domains: dict[str, Any], places: dict[str, Any], algebra: Any) -> Any:
        domain = domains[self.domain]
        if self.kind == "all":
            return geometry.boundary(domain, name=self.name)
        if self.kind == "side":
            place = {self.coordinate: meaning(self.value, algebra)}
            if self.within:
                along, low, high = self.within
                x = algebra.names[along]
                place["where"] = sp.And(
                    sp.Lt(meaning(low, algebra), x), sp.Lt(x, meaning(high, algebra))
                )
            return geometry.side(domain, self.name, **place)
        if self.kind == "rest":
            return geometry.rest(domain, *(places[each] for each in self.others), name=self.name)
        if self.kind == "of":
            return geometry.boundary(domain, domains[self.part], name=self.name)
        if self.kind == "interface":
            return geometry.interface(domain, domains[self.part], name=self.name)
        if self.kind == "level":
            return geometry.interface(domain, meaning(self.value, algebra), name=self.name)
        return (geometry.inner if self.kind == "inner" else geometry.outer)(domain, name=self.name)


@dataclass(frozen=True)
class Statement:
    """lhs = rhs: an equation in the domain `where`, a condition on a place, or one at the time
    `at`."""

    lhs: Node
    rhs: Node
    where: Any  # a domain's name or a Place
    label: str | None = None
    at: sp.Rational | None = None


@dataclass(frozen=True)
class Energy:
    """minimize the integrals of densities over regions, a domain's name or a Place."""

    terms: tuple[tuple[Node, Any], ...]


@dataclass(frozen=True)
class Requirement:
    """lhs op rhs in a domain; `op` "=" means that the integral of lhs is rhs."""

    lhs: Node
    op: str
    rhs: Node
    where: str


@dataclass(frozen=True)
class Flux:
    """What is derived where a coefficient jumps or two subdomains meet: the normal component of
    `second` beyond it is that of `first` before it. `within` names the subdomains of both."""

    label: str
    first: Node
    second: Node
    within: tuple[str, str] | None = None


@dataclass(frozen=True)
class Declared:
    """A whole problem. `expected` are the codes of warnings that may be given."""

    name: str
    space: tuple[str, ...]
    domains: tuple[tuple[str, Shape], ...]
    time: tuple[str, sp.Rational, sp.Rational] | None = None
    periodic: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    inputs: tuple[Function, ...] = ()
    unknowns: tuple[Function, ...] = ()
    places: tuple[Place, ...] = ()
    equations: tuple[Statement, ...] = ()
    conditions: tuple[Statement, ...] = ()
    initial: tuple[Statement, ...] = ()
    energy: Energy | None = None
    requirements: tuple[Requirement, ...] = ()
    outputs: tuple[tuple[str, Node, Any], ...] = ()  # name, density, region
    spelling: tuple[tuple[str, str], ...] = ()
    units: tuple[str | None, str | None] = (None, None)  # of space and time
    system: str = ""  # axisymmetric, spherical
    returns: bool = False  # after the time interval
    fluxes: tuple[Flux, ...] = ()
    found: tuple[Found, ...] = ()
    measured: tuple[Measured, ...] = ()
    expected: frozenset[str] = frozenset()
    features: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def spell(self) -> dict[str, str]:
        return dict(self.spelling)

    @property
    def variables(self) -> tuple[str, ...]:
        return (*self.space, *((self.time[0],) if self.time else ()))


def _unit(unit: str | None) -> str:
    return f" [{unit}]" if unit else ""


def to_text(problem: Declared) -> str:
    """The problem as a user would write it."""
    spell = problem.spell

    def w(name: str) -> str:
        return spell.get(name, name)

    def region(where: Any) -> str:
        return (
            w(where)
            if isinstance(where, str)
            else w(where.name)
            if where.name
            else where.text(spell)
        )

    lines = [
        f"problem {problem.name}",
        (
            "space"
            f" {', '.join(map(w, problem.space))}{f' {problem.system}' * bool(problem.system)}"
            f"{_unit(problem.units[0])}"
        ),
    ]
    if problem.time:
        t, start, end = problem.time
        lines.append(f"time {w(t)} in [{start}, {end}]{_unit(problem.units[1])}")
    drawn = [each for each in problem.numbers if each.kind == "param"]
    for each in [*drawn, *(each for each in problem.numbers if each.kind != "param")]:
        if each.law is not None:
            law = each.law.text()
            law = law if each.size is None else f"{law[:-1]}, size = {each.size})"
            lines.append(f"{each.kind} {w(each.name)} ~ {law}{_unit(each.unit)}")
        else:
            size = f", size = {each.size}" if each.size else ""
            lines.append(f"{each.kind} {w(each.name)} = {each.value}{size}{_unit(each.unit)}")
    lines += [f"domain {w(name)} = {shape.text(spell)}" for name, shape in problem.domains]
    if repeats := [
        *problem.periodic,
        *([problem.time[0]] if problem.time and problem.returns else []),
    ]:
        lines.append(f"periodic {', '.join(map(w, repeats))}")
    lines += [
        f"boundary {w(place.name)} = {place.text(spell)}" for place in problem.places if place.name
    ]
    lines += [_found(each, problem) for each in problem.found]
    for each in problem.inputs:
        over = f" over {w(problem.time[0])}" if problem.time and each.in_time else ""
        law = f" ~ {each.law.text()}" if each.law else ""
        lines.append(
            f"input {w(each.name)} : {each.rank} on {w(each.on)}{_unit(each.unit)}{over}{law}"
        )
    for each in problem.unknowns:
        steady = " steady" if problem.time and not each.in_time else ""
        kind = f"{'complex ' * each.complex}{each.rank}"
        marks = f"{steady}{' > 0' * each.positive}{_unit(each.unit)}"
        lines.append(f"unknown {w(each.name)} : {kind} on {w(each.on)}{marks}")
    lines += definitions(problem)
    if problem.energy:
        terms = " + ".join(
            f"integral({text(density, spell)}, {region(where)})"
            for density, where in problem.energy.terms
        )
        lines.append(f"minimize {terms}")
    for each in problem.equations:
        label = f"{each.label}: " if each.label else ""
        lines.append(
            f"in {w(each.where)}: {label}{text(each.lhs, spell)} = {text(each.rhs, spell)}"
        )
    for each in problem.conditions:
        lines.append(f"on {region(each.where)}: {text(each.lhs, spell)} = {text(each.rhs, spell)}")
    for each in problem.initial:
        lines.append(
            f"at {w(problem.time[0])} = {each.at}: {text(each.lhs, spell)} ="
            f" {text(each.rhs, spell)}"
        )
    for each in problem.requirements:
        left = text(each.lhs, spell)
        if each.op == "=":
            lines.append(f"require integral({left}, {w(each.where)}) = {text(each.rhs, spell)}")
        else:
            lines.append(f"require {left} {each.op} {text(each.rhs, spell)} in {w(each.where)}")
    lines += [
        f"output {w(name)} := integral({text(density, spell)}, {region(where)})"
        for name, density, where in problem.outputs
    ]
    for each in problem.measured:
        called = ", ".join(f'{w(own)} = "{theirs}"' for own, theirs in each.called)
        stated = f"{text(each.value, spell)}{'' if each.reference else f' on {region(each.where)}'}"
        word = "reference" if each.reference else "data"
        lines.append(f'{word} {stated} from "{each.file}"{f" ({called})" * bool(called)}')
    return "\n".join(lines) + "\n"


def _found(each: Found, problem: Declared) -> str:
    spell = problem.spell
    own, on = (spell.get(name, name) for name in (each.name, each.on))
    first = f" = {each.first}" if each.first is not None else ""
    time = problem.time[0] if problem.time else ""
    over = f" over {spell.get(time, time)}" if each.in_time else ""
    law = f" ~ {each.law.text()}" if each.law else ""
    marks = f"{' > 0' * each.positive}{_unit(each.unit)}{over}{law}"
    return f"trainable {own}{first} : scalar on {on}{marks}, modes = {each.modes}"


def trees(problem: Declared) -> list[Node]:
    """All expressions of the statements, in the order in which they are written."""
    found = [density for density, _ in problem.energy.terms] if problem.energy else []
    for each in (*problem.equations, *problem.conditions, *problem.initial, *problem.requirements):
        found += [each.lhs, each.rhs]
    return found + [density for _, density, _ in problem.outputs]


def definitions(problem: Declared) -> list[str]:
    """The definitions that the trees use, each after those it uses itself."""
    spell, found = problem.spell, {}

    def collect(node: Node) -> None:
        for each in node.args:
            collect(each)
        if node.word == "defined":
            found.setdefault(
                node.what, f"{spell.get(node.what, node.what)} := {text(node.args[0], spell)}"
            )
        if node.word == "applied":
            own, parameter = node.what
            found.setdefault(
                own, f"{spell.get(own, own)}({parameter}) := {text(node.args[0], spell)}"
            )

    for tree in trees(problem):
        collect(tree)
    return list(found.values())


def to_python(problem: Declared) -> pdespec.Problem:
    """The same problem from SymPy expressions and pdespec's constructors."""
    space = pdespec.space(" ".join(problem.space), unit=problem.units[0], system=problem.system)
    names: dict[str, Any] = dict(zip(problem.space, space, strict=True))
    time = None
    if problem.time:
        time = names[problem.time[0]] = pdespec.time(
            *problem.time, unit=problem.units[1], periodic=problem.returns
        )
    for each in problem.numbers:
        if each.kind == "param":
            given = each.law.python() if each.law else each.value
            names[each.name] = pdespec.param(each.name, given, size=each.size, unit=each.unit)
        else:
            size = {"size": each.size} if each.size else {}
            given = each.law.python() if each.law else each.value
            names[each.name] = getattr(pdespec, each.kind)(each.name, given, unit=each.unit, **size)
    names.setdefault("theta", geometry.THETA)
    algebra = python_algebra(names, space)
    made: dict[str, Any] = {}
    for name, shape in problem.domains:
        made[name] = replace(_based(shape, made, algebra), name=name)
    main = {each.on for each in problem.unknowns}
    for name in main:
        if problem.periodic:
            made[name] = geometry.periodic(made[name], *problem.periodic)
    names.update({f"domain {name}": domain for name, domain in made.items()})
    places: dict[str, Any] = {}
    for place in problem.places:
        places[place.name] = place.python(made, places, algebra)

    def region(where: Any) -> Any:
        if isinstance(where, str):
            return made[where] if where in made else places[where]
        return places[where.name] if where.name else where.python(made, places, algebra)

    for each in problem.found:
        names[each.name] = pdespec.trainable_field(
            each.name,
            region(each.on),
            each.law.python() if each.law else None,
            each.first,
            each.positive,
            each.modes,
            time if each.in_time else None,
            each.unit,
        )
    declared: dict[str, list[Any]] = {"input": [], "unknown": []}
    for each in (*problem.inputs, *problem.unknowns):
        own = {"time": time if each.in_time else None, "unit": each.unit}
        where = region(each.on)
        if each.kind == "input":
            symbol = pdespec.input_function(
                each.name, where, each.law.python() if each.law else None, each.rank, **own
            )
        else:
            symbol = pdespec.unknown(
                each.name, where, each.rank, positive=each.positive, complex=each.complex, **own
            )
        names[each.name] = symbol
        declared[each.kind].append(symbol)

    def value(node: Node) -> Any:
        return meaning(node, algebra)

    several = len(made) > 1
    equations = {}
    for each in problem.equations:
        pair = (value(each.lhs), value(each.rhs))
        label = each.label or next(f"eq{k}" for k in range(1, 99) if f"eq{k}" not in equations)
        equations[label] = pdespec.inside(made[each.where], pair) if several else pair
    conditions = [
        pdespec.on(region(each.where), (value(each.lhs), value(each.rhs)))
        for each in problem.conditions
    ]
    conditions += [
        pdespec.at(time, each.at, (value(each.lhs), value(each.rhs)), region=made[each.where])
        for each in problem.initial
    ]
    require = []
    for each in problem.requirements:
        if each.op == "=":
            require.append((pdespec.integral(value(each.lhs), made[each.where]), value(each.rhs)))
        else:
            relation: Callable[..., Any] = {">": sp.Gt, ">=": sp.Ge, "<": sp.Lt, "<=": sp.Le}[
                each.op
            ]
            require.append(
                (relation(value(each.lhs), value(each.rhs), evaluate=False), made[each.where])
            )
    minimize = None
    if problem.energy:
        minimize = sp.Add(
            *(
                pdespec.integral(value(density), region(where))
                for density, where in problem.energy.terms
            )
        )
    data, reference = [], {}
    for each in problem.measured:
        if each.reference:
            own = {each.value.what: each.file}
            if each.called:
                field = names[each.value.what]
                home = made[next(u.on for u in problem.unknowns if u.name == each.value.what)]
                own = {each.value.what: pdespec.Data(field, home, each.file, columns=each.called)}
            reference |= own
        elif each.called:
            stated = (value(each.value), region(each.where), each.file)
            data.append(pdespec.Data(*stated, columns=each.called))
        else:
            data.append((value(each.value), region(each.where), each.file))
    return pdespec.Problem(
        problem.name,
        equations,
        conditions,
        minimize=minimize,
        require=require,
        output={
            name: pdespec.integral(value(density), region(where))
            for name, density, where in problem.outputs
        },
        data=data,
        reference=reference,
        unknowns=declared["unknown"],
        inputs=declared["input"],
        params=[names[each.name] for each in (*problem.numbers, *problem.found)],
        regions=[*made.values(), *places.values()],
        coordinates=space,
        time=time,
    )


def _based(shape: Shape, domains: dict[str, Any], algebra: Any) -> Any:
    """A shape as a domain; a name of an earlier domain stands for its shape."""
    if shape.word == "named":
        return domains[shape.keywords[0][1]]
    if shape.word in "+-&":
        a, b = (_based(each, domains, algebra) for each in shape.parts)
        return a + b if shape.word == "+" else a - b if shape.word == "-" else a & b
    return shape.python(algebra)
