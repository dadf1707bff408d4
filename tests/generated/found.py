"""What is to be found, in problems that `draw` gives: some of their numbers become functions of
place and time, or get a prior, conditions hold a function on their boundary, and files with
measured and known values are named."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sympy as sp

from tests.generated.declared import Declared, Found, Law, Measured, Number, Place, trees
from tests.generated.draw import GREEK, NAMES, OWN, _names, draw
from tests.generated.language import Node, add, derivative, name
from tests.generated.regions import box_of

COLUMNS = ("Position", "Points:0", "time (s)", "T_measured", "value 1", "lambda", "Größe", "U")


def draw_found(rng: random.Random) -> Declared:
    """One declared problem with something to be found in it, or to be compared with."""
    while True:
        drawn = draw(rng)
        domains = dict(drawn.domains)
        if {each.on for each in drawn.unknowns} != {"Omega"} or box_of(domains["Omega"]) is None:
            continue
        made = Finder(drawn, rng).problem()
        if made is not None:
            return made


class Finder:
    """The state of one draw."""

    def __init__(self, drawn: Declared, rng: random.Random) -> None:
        self.drawn, self.rng = drawn, rng
        declared = (*drawn.numbers, *drawn.inputs, *drawn.unknowns, *drawn.places)
        self.taken = {each.name for each in declared} | {each for each, _ in drawn.domains}
        self.taken |= {each for each, *_ in drawn.outputs} | set(drawn.variables)
        for tree in trees(drawn):
            self.taken |= {
                _word(node.what) for node in tree.walk() if isinstance(node.what, (str, tuple))
            }
        # an equation without time knows no function of it
        self.in_time = drawn.time is not None and all(each.in_time for each in drawn.unknowns)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.rng.randrange(len(options))]

    def chance(self, share: float) -> bool:
        return self.rng.randrange(100) < 100 * share

    def problem(self) -> Declared | None:
        """The problem with its changes; None where it has none."""
        numbers, found = self.functions()
        conditions, on_boundary, spelling = self.on_boundaries()
        made = replace(
            self.drawn,
            numbers=tuple(map(self.with_prior, numbers)),
            found=(*found, *on_boundary),
            conditions=conditions,
            spelling=(*self.drawn.spelling, *spelling),
            measured=tuple(self.files()),
            expected=self.drawn.expected | {"W11"},
        )
        return made if made != replace(self.drawn, expected=made.expected) else None

    # ---- numbers and functions

    def functions(self) -> tuple[list[Number], list[Found]]:
        """Numbers that stay, and functions that take the place of others."""
        held = {node.what for _, shape in self.drawn.domains for node in _names(shape)}
        nodes = [node for tree in trees(self.drawn) for node in tree.walk()]
        parameters = {node.what[1] for node in nodes if node.word == "applied"}
        used = {node.what for node in nodes if node.word == "name"} - held - parameters
        free = [
            each
            for each in self.drawn.numbers
            if each.name in used and not each.law and not each.size
        ]
        chosen = [each for each in free if self.chance(0.7)][:2]
        kept = [each for each in self.drawn.numbers if each not in chosen]
        axes, time = self.drawn.space, self.drawn.time
        functions = []
        for each in chosen:
            over = self.in_time and self.chance(0.3)
            own = axes + ((time[0],) if over and time else ())
            positive = self.chance(0.7)
            first = self.pick([None, each.value])
            functions.append(
                self.function(each.name, "Omega", own, first, positive, over, each.unit)
            )
        return kept, functions

    def function(
        self,
        own: str,
        on: str,
        axes: tuple[str, ...],
        first: sp.Rational | None,
        positive: bool,
        over: bool,
        unit: str | None = None,
    ) -> Found:
        modes = self.pick([1, 2, 3] if len(axes) < 3 else [1, 2])
        length = sp.Rational(self.rng.randint(1, 4), 4)
        sigma = sp.Rational(self.rng.randint(1, 4), 4)
        tau, alpha = sp.Rational(self.rng.randint(1, 6), 2), sp.Integer(self.pick([2, 3, 4]))
        law = self.pick(
            [
                None,
                Law("grf", (("length", length),)),
                Law("grf", (("sigma", sigma), ("length", length))),
                Law("grf", (("sigma", sigma), ("tau", tau), ("alpha", alpha))),
            ]
        )
        return Found(own, on, axes, modes, first, law, over, positive, unit)

    def with_prior(self, each: Number) -> Number:
        if each.kind != "trainable" or self.chance(0.4):
            return each
        law = Law("normal", (("mean", each.value), ("std", sp.Rational(self.rng.randint(1, 8), 4))))
        return replace(each, law=law, value=None)

    def on_boundaries(self) -> tuple[tuple[Any, ...], list[Found], list[tuple[str, str]]]:
        """Conditions, some of them with a function of their boundary added, and these."""
        conditions, found, spelling = [], [], []
        for each in self.drawn.conditions:
            place: Any = each.where
            fits = (
                isinstance(place, Place) and place.name and place.kind not in ("level", "interface")
            )
            if not fits or each.lhs.rank != "scalar" or found or not self.chance(0.4):
                conditions.append(each)
                continue
            own, written = self.fresh()
            fixed = place.coordinate if place.kind == "side" else None
            over = self.in_time and self.chance(0.3)
            time = (self.drawn.time[0],) if over and self.drawn.time else ()
            axes = tuple(x for x in self.drawn.space if x != fixed) + time
            first = self.pick([None, sp.Rational(self.rng.randint(1, 5), 2)])
            found.append(self.function(own, place.name, axes, first, self.chance(0.4), over))
            spelling += [(own, written)] if own != written else []
            conditions.append(replace(each, rhs=add(each.rhs, name(own))))
        return tuple(conditions), found, spelling

    def fresh(self) -> tuple[str, str]:
        """A name that is not taken, and how it is written."""
        from pdespec.calculus import split_derivative
        from pdespec.words import BUILTINS, RESERVED

        for written in itertools.chain.from_iterable(
            self.rng.sample(each, len(each)) for each in self.rng.sample(list(NAMES.values()), 5)
        ):
            own = GREEK.get(written, OWN.get(written, written))
            derived = split_derivative(own, self.drawn.variables) is not None
            if own not in self.taken and (
                own in OWN.values() or not derived and own not in RESERVED | BUILTINS
            ):
                self.taken.add(own)
                return own, written
        raise RuntimeError("no name is left")

    # ---- files

    def files(self) -> list[Measured]:
        found = []
        if self.chance(0.5):
            field = self.pick(self.drawn.unknowns)
            value = name(field.name, field.rank)
            if field.rank == "scalar" and not field.complex and self.chance(0.3):
                value = derivative(value, (self.pick(self.drawn.space),))
            file = self.pick(["values.csv", "run 1.csv", "in.tsv"])
            found.append(Measured(value, "Omega", file, self.columns(value)))
        if self.chance(0.3):
            field = self.pick(self.drawn.unknowns)
            value = name(field.name, field.rank)
            found.append(Measured(value, "Omega", "known.csv", self.columns(value), reference=True))
        return found

    def columns(self, value: Node) -> tuple[tuple[str, str], ...]:
        """What a file calls some of the coordinates and values of an unknown."""
        if self.chance(0.5):
            return ()
        one = value.word == "name" and value.rank == "scalar"
        one = one and not any(each.complex for each in self.drawn.unknowns)
        held = {node.what for node in value.walk() if node.word == "name"}
        timed = any(each.in_time for each in self.drawn.unknowns if each.name in held)
        axes = self.drawn.variables if timed else self.drawn.space
        names = [*axes, *([value.what] if one else [])]
        # a heading's unit must be the declared one
        plain = [each for each in COLUMNS if "(" not in each]
        called = self.rng.sample(plain if any(self.drawn.units) else COLUMNS, len(names))
        pairs = [pair for pair in zip(names, called, strict=True) if self.chance(0.6)]
        return tuple(sorted(pairs))


def _word(what: Any) -> Any:
    return what if isinstance(what, str) else what[0] if what else None
