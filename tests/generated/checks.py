"""What must hold of every declared problem. A check returns notes of what was refused, or raises
`Finding`."""

from __future__ import annotations

import csv
import random
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import compiler
import operators
import pdespec
from compiler.evaluation.reference_files import against_files
from compiler.training.data_terms import Share, data_terms
from tests.generated.declared import Declared, Flux, Measured, Shape, to_python, to_text
from tests.generated.language import text as expression
from tests.generated.oracle import (
    Jet,
    Oracle,
    Rows,
    Waves,
    components,
    jets_by_autograd,
    jets_of_waves,
    waves,
)
from tests.generated.regions import box_of, inside, measure, midpoints

EXACT = 1e-10  # relative, of exact derivatives in float64
LATENT = {1: (9,), 2: (8, 8), 3: (6, 6, 6), 4: (6, 6, 6, 6)}


class Finding(AssertionError):
    """Something that must hold does not."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.detail = kind, detail


class Degenerate(Exception):
    """Terms have cancelled so that nothing pins an unknown, and the problem is rightly refused."""


class Refused(Exception):
    """SymPy takes so much work that the problem is refused, with a code."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Turns what is raised inside into a finding: a refusal of what is well posed, or an error
    that has no code."""
    try:
        yield
    except (Finding, Degenerate, Refused):
        raise
    except pdespec.ProblemError as error:
        codes = "+".join(sorted({each.code for each in error.diagnostics}))
        raise Finding(f"{name} refuses {codes}", str(error)) from error
    except Exception as error:
        raise Finding(f"{name} raises {type(error).__name__}", str(error)[:600]) from error


@dataclass
class Checked:
    """A problem in all its forms, as far as the checks have come."""

    declared: Declared
    rng: random.Random
    text: str
    problem: Any = None
    oracle: Any = None

    def __post_init__(self) -> None:
        self.oracle = Oracle(self.declared)


# --------------------------------------------------------------------------------------------------
# (a), (b) forms


def forms(case: Checked, thorough: bool = True) -> list[str]:
    """Text and Python form are one value, both come back from their print, LaTeX renders, and
    nothing is found wrong with them."""
    with stage("parse"):
        try:
            case.problem = pdespec.parse(case.text)
        except pdespec.ProblemError as error:
            wrong = {each.code for each in error.diagnostics if each.severity == "error"}
            if case.oracle.degenerate and wrong <= {"W05", "W06"}:
                raise Degenerate from error
            too_much = ("takes too much work", "levels deep")
            if wrong == {"S02"} and any(each in str(error) for each in too_much):
                raise Refused("reading S02") from error
            raise
    with stage("python"):
        built = to_python(case.declared)
    if case.problem != built:
        raise Finding("text and python differ", differing(case.problem, built))
    # as its author wrote it, and as pdespec would
    printed_ones = [("text", case.problem), ("python", built)]
    for which, problem in printed_ones if thorough else [case.rng.choice(printed_ones)]:
        with stage(f"to_dsl of {which}"):
            printed = problem.to_dsl()
        with stage(f"parse of to_dsl of {which}"):
            again = pdespec.parse(printed)
        if again != problem:
            raise Finding(
                f"to_dsl of {which} is another problem", differing(again, problem) + "\n" + printed
            )
        with stage(f"latex of {which}"):
            latex = problem.to_latex()
        if latex.replace(r"\{", "").replace(r"\}", "").count("{") != latex.replace(
            r"\{", ""
        ).replace(r"\}", "").count("}"):
            raise Finding("latex braces", latex)
    found = ()
    if thorough:
        with stage("check"):
            found = pdespec.check(built)
    for each in found:
        if each.severity == "error":
            raise Finding(f"check of python alarms {each.code}", str(each))
    given = {each.code for each in (*case.problem.warnings, *found)}
    # not every trainable that is drawn is used
    if unexpected := given - case.declared.expected - {"W11"}:
        shown = next(each for each in (*case.problem.warnings, *found) if each.code in unexpected)
        raise Finding(f"check warns {'+'.join(sorted(unexpected))}", str(shown))
    return [f"warned {code}" for code in sorted(given)]


def differing(a: Any, b: Any) -> str:
    names = [name for name in a.__dataclass_fields__ if name not in ("warnings", "written")]
    return "\n".join(
        f"{name}:\n  {getattr(a, name)}\n  {getattr(b, name)}"
        for name in names
        if getattr(a, name) != getattr(b, name)
    )[:2000]


# --------------------------------------------------------------------------------------------------
# (c) closed forms


def values_of_params(case: Checked, size: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(case.rng.randrange(2**32))
    sizes = {each.name: each.size for each in case.declared.numbers}
    numbers = {
        name: draw.uniform(0.5, 1.5, (size, sizes[name]) if sizes[name] else size)
        for name in case.oracle.params
        if name in sizes
    }
    return numbers | {
        each.name: draw.uniform(-0.4, 0.4, (size, each.size)) for each in case.declared.found
    }


def sought(declared: Declared) -> set[str]:
    """The numbers and functions that are to be found."""
    numbers = {each.name for each in declared.numbers if each.kind == "trainable"}
    return numbers | {each.name for each in declared.found}


def of_a_family(declared: Declared) -> bool:
    """Whether samples differ."""
    return bool(declared.inputs) or any(
        each.law and each.kind == "param" for each in declared.numbers
    )


def compiled(
    case: Checked, backend: Any, params: Mapping[str, np.ndarray]
) -> tuple[Any, dict[str, Tensor]]:
    """The loss with its trainables set, and the params that are given to it."""
    loss = compiler.compile(case.problem, backend).double()
    trainables = sought(case.declared)
    with torch.no_grad():
        for name in trainables:
            loss.trainables[name].copy_(torch.as_tensor(params[name][0]))
    return loss, {
        name: torch.as_tensor(value) for name, value in params.items() if name not in trainables
    }


def shared_trainables(case: Checked, params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A trainable is one number for all samples."""
    trainables = sought(case.declared)
    return {
        name: np.broadcast_to(value[:1], value.shape).copy() if name in trainables else value
        for name, value in params.items()
    }


def closed_fields(case: Checked) -> dict[str, Waves]:
    """A closed form for every input and unknown."""
    found = {}
    for each in (*case.declared.inputs, *case.declared.unknowns):
        dim = len(case.declared.space) + bool(case.declared.time and each.in_time)
        found[each.name] = waves(case.rng, components(each, len(case.declared.space)), dim)
    return found


def unknown_field(case: Checked, fields: Mapping[str, Waves]) -> Callable[[Tensor], Tensor]:
    """All unknowns as one field of (space..., time)."""
    own = [fields[each.name] for each in case.declared.unknowns]
    return lambda points: torch.cat(
        [each(points[..., : each.frequency.shape[-1]]) for each in own], -1
    )


def points_for(case: Checked, batch: int, n: int) -> Tensor:
    draw = np.random.default_rng(case.rng.randrange(2**32))
    return torch.as_tensor(draw.uniform(0.1, 0.9, (batch, n, len(case.declared.variables))))


def strong(case: Checked) -> list[tuple[str, Rows]]:
    """Label and residual of every equation, the Euler-Lagrange equations of an energy last."""
    labels = [label for label in case.problem.residuals() if label in case.problem.equations]
    found = list(zip(labels, case.oracle.equations, strict=True))
    if case.declared.energy:
        found.append(("", case.oracle.stationary))
    return found


def same(
    what: str, ours: np.ndarray, theirs: np.ndarray, tolerance: float = EXACT, size: float = 0.0
) -> None:
    if ours.shape != theirs.shape:
        raise Finding(f"{what}: shape", f"{ours.shape}, SymPy says {theirs.shape}")
    finite = np.isfinite(theirs)
    if (np.isfinite(ours) != finite).any():
        raise Finding(
            f"{what}: not finite where SymPy is",
            f"{ours[np.isfinite(ours) != finite][:3]} / {theirs[np.isfinite(ours) != finite][:3]}",
        )
    ours, theirs = ours[finite], theirs[finite]
    scale = max(1.0, size, float(np.abs(theirs).max(initial=0.0)))
    gap = float(np.abs(ours - theirs).max(initial=0.0))
    if gap > tolerance * scale:
        k = int(np.abs(ours - theirs).argmax())
        raise Finding(f"{what}: value", f"{ours.flat[k]!r}, SymPy says {theirs.flat[k]!r}")


def residuals(case: Checked, thorough: bool = True) -> list[str]:
    """The residuals of closed forms are those that lambdify gives, by `auto`; those of a network
    by jets and nested autograd too."""
    with stage("residuals()"):
        expected = strong(case)
    fields = closed_fields(case)
    inputs = {each.name: fields[each.name] for each in case.declared.inputs}
    params = shared_trainables(case, values_of_params(case, 2))
    points = points_for(case, 2, 5)
    compare(
        case,
        "closed form",
        "auto",
        expected,
        unknown_field(case, fields),
        At(points, params, inputs, fields),
    )
    if thorough:
        by_params(case, unknown_field(case, fields), points, params, inputs)
    dim, channels = (
        len(case.declared.variables),
        sum(components(each, len(case.declared.space)) for each in case.declared.unknowns),
    )
    generator = torch.Generator().manual_seed(case.rng.randrange(2**31))
    with stage("pinn"):
        box = ((0.0,) * dim, (1.0,) * dim)
        activation = case.rng.choice(["tanh", "sin", "gelu"])
        model = operators.PINN(
            channels, dim, box, hidden=(5, 5), activation=activation, generator=generator
        ).double()
        with torch.no_grad():  # an unknown declared `> 0` is, as the closed forms are
            model.network.layers[-1].bias += 3.0
        seen = torch.zeros(2, 1, dim, dtype=torch.float64)
        field = model(operators.OperatorInput(seen, seen[..., :1]))
    for backend in ("taylor", "autograd") if thorough else ("taylor",):
        compare(
            case,
            f"pinn {backend}",
            backend,
            expected,
            field,
            At(points, params, inputs, fields),
            jets=True,
        )
    return []


def by_params(
    case: Checked,
    field: Any,
    points: Tensor,
    params: Mapping[str, np.ndarray],
    inputs: Mapping[str, Any],
) -> None:
    """The slope of the squared residuals in the params, against central differences."""
    loss, given = compiled(case, "auto", params)
    given = {name: value.clone().requires_grad_() for name, value in given.items()}

    def total() -> Tensor:
        return torch.stack(
            [each.square().mean() for each in loss.residuals(field, points, inputs, given).values()]
        ).sum()

    leaves = [*given.values(), *loss.trainables.parameters()]
    if not leaves:
        return
    with stage("gradient by params"):
        found = torch.autograd.grad(total(), leaves, allow_unused=True, materialize_grads=True)
    for leaf, slope in zip(leaves, found, strict=True):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                leaf.add_(sign * 1e-5)
            ends.append(float(total().detach()))
            with torch.no_grad():
                leaf.sub_(sign * 1e-5)
        difference = (ends[0] - ends[1]) / 2e-5
        if abs(float(slope.sum()) - difference) > 1e-5 * (abs(difference) + abs(ends[0]) + 1):
            raise Finding(
                "gradient by params", f"{float(slope.sum())!r}, by differences {difference!r}"
            )


@dataclass
class At:
    """Where residuals are compared: points, values of the params, inputs, and the closed forms."""

    points: Tensor
    params: Mapping[str, np.ndarray]
    inputs: Mapping[str, Any]
    fields: Mapping[str, Waves]


def compare(
    case: Checked,
    what: str,
    backend: Any,
    expected: list[tuple[str, Rows]],
    field: Any,
    at: At,
    jets: bool = False,
) -> None:
    points, params, inputs, fields = at.points, at.params, at.inputs, at.fields
    with stage(f"compile {what}"):
        loss, given = compiled(case, backend, params)
    with stage(f"residuals {what}"):
        found = loss.residuals(field, points, inputs, given)
    needed = list(dict.fromkeys(jet for _, rows in expected for jet in rows.jets))
    own = [
        jet
        for jet in needed
        if not jets or jet[0] not in {each.name for each in case.declared.unknowns}
    ]
    values = jets_of_waves(case.oracle, fields, own, points.numpy())
    if jets:
        values |= jets_by_autograd(field, channels_of(case), needed, points)
    if len(found) != len(expected):
        raise Finding(
            f"{what}: equations", f"{list(found)}, declared {[label for label, _ in expected]}"
        )
    theirs = [rows(points.numpy(), params, values) for _, rows in expected]
    for (label, exact), ours in zip(
        zip([label for label, _ in expected], theirs, strict=True), found.values(), strict=True
    ):
        same(f"residual {what}", ours.detach().numpy(), exact, size=magnitude(values))
        del label


def magnitude(values: Mapping[Jet, np.ndarray]) -> float:
    """The size of the largest derivative: what is subtracted from one another has its rounding."""
    finite = [np.abs(each[np.isfinite(each)]).max(initial=0.0) for each in values.values()]
    return float(max(finite, default=0.0))


def channels_of(case: Checked) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    for each in case.declared.unknowns:
        for component in range(components(each, len(case.declared.space))):
            found[each.name, component] = len(found)
    return found


def basic(declared: Declared, seed: int) -> list[str]:
    """The cheap checks; every fourth seed takes all of them."""
    case = Checked(declared, random.Random(seed), to_text(declared))
    thorough = seed % 4 == 0
    try:
        return forms(case, thorough) + residuals(case, thorough) + compared(case)
    except Degenerate:
        return ["degenerate"]
    except Refused as refused:
        return [f"refused {refused}"]


# ------------------------------------------------------------------------------------------------
# (c) whole losses of operators


POINTS = {"interior": 6, "boundary": 5, "initial": 4, "operator": 24}
SMALL: dict[str, dict[str, Any]] = {
    "gino": {"modes": 2, "hidden": 4, "layers": 1, "projection": 4, "cells": 1.6},
    "fno": {"modes": 2, "hidden": 4, "layers": 1, "projection": 4},
    "pinn": {"hidden": (5,)},
}


def batch_of(case: Checked, size: int) -> Any:
    """Samples of the problem, or one with closed forms for inputs that no law draws."""
    generator = torch.Generator().manual_seed(case.rng.randrange(2**31))
    if all(each.law for each in case.declared.inputs):
        with stage("sample"):
            return compiler.sample(case.problem, size, POINTS, generator, dtype=torch.float64)
    fields = closed_fields(case)
    params = values_of_params(case, 1)
    given = {name: value[0] for name, value in params.items() if name in case.problem.params}
    given = {
        name: value.tolist() if np.ndim(value) else float(value) for name, value in given.items()
    }
    inputs = {}
    for each in case.declared.inputs:
        if case.rng.random() < 0.3:
            value = case.rng.uniform(1, 2)
            rank = components(each, len(case.declared.space))
            inputs[each.name] = value if rank == 1 else fields[each.name]
        else:
            inputs[each.name] = fields[each.name]
    with stage("instance"):
        return compiler.instance(
            case.problem, given, inputs, POINTS, generator, dtype=torch.float64
        )


def model_of(case: Checked, operator: str) -> Any:
    """A tiny operator fitted to the problem, or None where the problem is none for it."""
    options = dict(SMALL[operator])
    dim = len(case.declared.variables)
    order = max(
        (sum(index) for found in case.problem.derivatives().values() for index in found), default=0
    )
    if operator == "gino":
        options["latent"] = LATENT[dim]
        options["weight"] = case.rng.choice(["bump"] if order > 3 else ["bump", "quadweight"])
    if operator == "fno":
        options["grid"] = LATENT[dim]
    if operator == "pinn" and of_a_family(case.declared):
        return None  # one solution
    drawn = all(each.law for each in case.declared.inputs)
    try:
        return compiler.build(
            case.problem, operator, seed=case.rng.randrange(1000), **options
        ).double()
    except pdespec.ProblemError as error:
        if not drawn and {each.code for each in error.diagnostics} == {"B03"}:
            return None  # what the operator will read is not known
        raise Finding(
            f"build of {operator} refuses {error.diagnostics[0].code}", str(error)
        ) from error
    except Exception as error:
        raise Finding(
            f"build of {operator} raises {type(error).__name__}", str(error)[:600]
        ) from error


def expected_terms(case: Checked, loss: Any, batch: Any, field: Any) -> dict[str, float]:
    """The value of every term by its label, from SymPy's residuals on the model's own
    derivatives by nested autograd."""
    declared, oracle = case.declared, case.oracle
    params = {name: value.detach().numpy() for name, value in batch.params.items()}
    params |= {
        name: np.stack([value.detach().numpy()] * batch.size)
        for name, value in loss.trainables.items()
    }
    params = {name: params[name] for name in oracle.params}
    fields = {each.name: each for each in declared.inputs}
    places = channels_of(case)

    def at(rows: Rows, points: Any, side: float = 0.0) -> np.ndarray:
        """Shapes: "b n rows". `side`: how far beyond the points, along their normals."""
        normals = None if points.normals is None else points.normals.detach()
        space = points.points.detach().clone()
        if side:
            space[..., : len(declared.space)] += side * normals
        values = jets_by_autograd(field, places, rows.jets, space)
        for name in {jet[0] for jet in rows.jets} & set(fields):
            each, dim = fields[name], len(declared.space)
            own = {(name, k): k for k in range(components(each, dim))}
            in_time = bool(declared.time) and each.in_time

            def given(x, name=name, width=None if in_time else dim):
                return batch.evaluate(name, x[..., :width])

            values |= jets_by_autograd(given, own, rows.jets, space)
        for name, component, index in set(rows.jets) - set(values):
            word, inner = oracle.two_sided(name)
            plus, minus = (at(inner, points, side)[..., 0] for side in (BESIDE, -BESIDE))
            values[name, component, index] = plus - minus if word == "jump" else (plus + minus) / 2
        return rows(space.numpy(), params, values, None if normals is None else normals.numpy())

    def mean(found: np.ndarray, points: Any) -> np.ndarray:
        """Over the points of a sample. Shapes: "b n" -> "b"."""
        return (found if points.weights is None else points.weights.numpy() * found).mean(-1)

    def around(points: Any) -> np.ndarray:
        return circumference(declared.system, points.points[..., 0].detach().numpy())

    expected: dict[str, float] = {}
    keys = {term.label: term.points for term in loss.terms}
    labels = [label for label in case.problem.residuals() if label in case.problem.equations]
    for label, rows in zip(
        [*labels, *case.problem.conditions], [*oracle.equations, *oracle.conditions], strict=True
    ):
        points = batch.points[keys[label]]
        found = at(rows, points)
        if declared.system and label in labels:
            r = points.points[..., :1].detach().numpy()
            found = found * r ** np.array(oracle.radii(rows))
        expected[label] = float(mean((found**2).sum(-1), points).mean())
    for each in declared.fluxes:
        points = batch.points[keys[each.label]]
        expected[each.label] = float(mean(broken(case, each, points, at), points).mean())
    if declared.energy:
        total = 0.0
        for node, where in declared.energy.terms:
            key = (
                where
                if isinstance(where, str)
                else next(
                    t.points
                    for t in loss.terms
                    if t.kind == "energy" and t.points not in declared_domains(case)
                )
            )
            points = batch.points[key]
            density = at(oracle.integrand(node), points)[..., 0] * around(points)
            total += float((points.measure.numpy() * mean(density, points)).mean())
        expected["energy"] = total
    for number, each in enumerate(declared.requirements, 1):
        label = f"require{number}"
        points = batch.points[keys[label]]
        if each.op == "=":
            density = at(oracle.integrand(each.lhs), points)[..., 0] * around(points)
            target, measure_of = float(oracle.value(each.rhs)[0]), points.measure.numpy()
            missed = measure_of * mean(density, points) - target
            expected[label] = float(((missed / (abs(target) or measure_of)) ** 2).mean())
        else:
            sign = 1 if each.op in (">", ">=") else -1
            rows = oracle.rows([sign * (oracle.value(each.lhs)[0] - oracle.value(each.rhs)[0])])
            found = at(rows, points)[..., 0]
            expected[label] = float(mean(np.maximum(-found, 0) ** 2, points).mean())
    return expected


BESIDE = 1e-12  # how far from an interface its sides are taken


def broken(
    case: Checked, flux: Flux, points: Any, at: Callable[[Rows, Any, float], np.ndarray]
) -> np.ndarray:
    """The square of the jump of a normal flux. Shapes: "b n"."""
    first, second = (case.oracle.across(each) for each in (flux.first, flux.second))
    if flux.within is None:
        return (at(second, points, BESIDE)[..., 0] - at(first, points, -BESIDE)[..., 0]) ** 2
    domains = dict(case.declared.domains)
    dim = len(case.declared.space)
    beyond = (points.points[..., :dim] + 1e-6 * points.normals).detach().numpy()
    ahead = inside(domains[flux.within[1]], beyond.reshape(-1, dim), {}, domains)
    if points.weights is not None:
        ahead = ahead[points.weights.numpy().ravel() > 0]
    sign = 1 if ahead.all() else -1
    if not (ahead if sign > 0 else ~ahead).all():
        raise Finding("normals of an interface", "some point into either side")
    gap = at(second, points, sign * BESIDE) - at(first, points, -sign * BESIDE)
    return gap[..., 0] ** 2


def declared_domains(case: Checked) -> set[str]:
    return {name for name, _ in case.declared.domains}


def losses(case: Checked, operator: str) -> list[str]:
    """Every term of the loss of an operator, by every backend that does not refuse; its
    gradients, finite and equal to differences."""
    notes = []
    batch = batch_of(case, 2)
    places_hold(case, batch)
    outputs(case, batch)
    model = model_of(case, operator)
    if model is None:
        return [f"{operator} is not for this problem"]
    with stage(f"{operator} of batch.inputs"):
        field = model(batch.inputs)
    reference = None
    for backend in (
        "autograd",
        "taylor",
        "finite_difference",
        "least_squares",
        "fourier",
        "fourier_continuation",
    ):
        loss = compiler.compile(case.problem, backend).double()
        guessed(case, loss)
        try:
            terms = loss(field, batch)
        except pdespec.ProblemError as error:
            notes += [f"{operator} {backend} refused {each.code}" for each in error.diagnostics]
            continue
        except Exception as error:
            raise Finding(
                f"loss of {operator} by {backend} raises {type(error).__name__}", str(error)[:600]
            ) from error
        values = {label: float(value.detach()) for label, value in terms.items()}
        if bad := [label for label, value in values.items() if not np.isfinite(value)]:
            raise Finding(
                f"loss of {operator} by {backend} is not finite", f"{bad[0]}: {values[bad[0]]}"
            )
        if backend not in ("autograd", "taylor"):
            notes.append(f"{operator} {backend} answered")
            continue
        if reference is None:
            with stage("oracle of the loss"):
                reference = expected_terms(case, loss, batch, field)
        for label, value in reference.items():
            if label not in values:
                raise Finding("loss: a term is missing", f"{label} of {list(values)}")
            if abs(values[label] - value) > 1e-9 * max(1.0, abs(value)):
                kind = next(
                    (term.kind for term in loss.terms if term.name == label or term.label == label),
                    "",
                )
                raise Finding(
                    f"loss of {operator} by {backend}: {kind}",
                    f"{label}: {values[label]!r}, SymPy says {value!r}",
                )
        slopes(case, f"{operator} {backend}", loss, model, batch)
    return notes


def guessed(case: Checked, loss: Any) -> None:
    """Functions to be found away from their first guess, where only one mode would be seen."""
    with torch.no_grad():
        for each in case.declared.found:
            numbers = 0.3 * torch.cos(torch.arange(each.size, dtype=torch.float64))
            loss.trainables[each.name].copy_(numbers)


def slopes(case: Checked, what: str, loss: Any, model: Any, batch: Any) -> None:
    """The gradient of the total by weights and trainables, along one direction, against central
    differences."""
    parameters = [*model.parameters(), *loss.trainables.parameters()]

    def total() -> Tensor:
        return loss(model(batch.inputs), batch).total

    with stage(f"gradient of {what}"):
        found = torch.autograd.grad(total(), parameters, allow_unused=True, materialize_grads=True)
    if not all(torch.isfinite(each).all() for each in found):
        raise Finding(f"gradient of {what} is not finite")
    generator = torch.Generator().manual_seed(case.rng.randrange(2**31))
    directions = [_direction(each, generator) for each in parameters]
    slope = sum(_real_product(g, d) for g, d in zip(found, directions, strict=True))
    step, ends = 1e-5, []
    for sign in (1, -1):
        with torch.no_grad():
            for each, direction in zip(parameters, directions, strict=True):
                each.add_(sign * step * direction)
        ends.append(float(total().detach()))
        with torch.no_grad():
            for each, direction in zip(parameters, directions, strict=True):
                each.sub_(sign * step * direction)
    difference = (ends[0] - ends[1]) / (2 * step)
    if abs(slope - difference) > 1e-5 * (abs(difference) + abs(ends[0]) + 1):
        raise Finding(
            f"gradient of {what}", f"{slope!r}, by differences {difference!r}, loss {ends[0]!r}"
        )


def outputs(case: Checked, batch: Any) -> None:
    """Declared integrals of closed forms over the domain and over sides of boxes, against sums
    over a fine grid."""
    declared = case.declared
    if not declared.outputs or declared.inputs or sought(declared):
        return
    fields = closed_fields(case)
    field = unknown_field(case, fields)
    with stage("outputs"):
        found = compiler.outputs(case.problem, field, batch)
    for own, density, where in declared.outputs:
        rows = case.oracle.integrand(density)
        for k in range(batch.size):
            params = {
                name: value[k : k + 1].detach().numpy() for name, value in batch.params.items()
            }
            grid = _grid_over(case, where, params, batch.geometry["Omega"].box(), k)
            if grid is None:
                continue
            places, weight = grid
            points = places[None]
            if declared.time:
                points = np.concatenate(
                    [points, np.full_like(points[..., :1], float(declared.time[2]))], -1
                )
            values = rows(
                points,
                {name: params[name] for name in case.oracle.params},
                jets_of_waves(case.oracle, fields, rows.jets, points),
            )[..., 0]
            values = values * circumference(declared.system, points[..., 0])
            expected = float(values.sum() * weight)
            scale = float(np.abs(values).sum() * weight)
            if np.isfinite(expected) and abs(float(found[own][k]) - expected) > 0.03 * scale + 1e-9:
                raise Finding("output", f"{own}: {float(found[own][k])!r}, counted {expected!r}")


def circumference(system: str, r: np.ndarray) -> np.ndarray:
    """The circle or sphere that a point at a distance r from an axis or centre stands for."""
    return {"": 1 + 0 * r, "axisymmetric": 2 * np.pi * r, "spherical": 4 * np.pi * r**2}[system]


def _grid_over(
    case: Checked, where: Any, params: Mapping[str, np.ndarray], box: tuple[Tensor, Tensor], k: int
) -> tuple[np.ndarray, float] | None:
    """Points of the domain, or of a side of a box, and what each of them stands for; None for
    other boundaries."""
    domains = dict(case.declared.domains)
    shape, names = domains["Omega"], case.declared.space
    if where == "Omega":
        numbers = case.declared.numbers
        known = {each.name: float(each.value) for each in numbers if each.kind == "const"}
        known |= {name: float(value[0]) for name, value in params.items() if value.ndim == 1}
        low, high = (corner.detach().numpy().astype(float) for corner in box)
        low, high = (corner[k] if corner.ndim > 1 else corner for corner in (low, high))
        grid, volume = midpoints(shape, known, domains, low, high)
        return grid, volume / len(grid)
    if where.kind != "side" or shape.word not in ("interval", "rectangle", "box"):
        return None
    low, high = ([float(each.what[0]) for each in corner] for corner in shape.points)
    axis, value = names.index(where.coordinate), float(where.value.what[0])
    count = {1: 1, 2: 2000, 3: 60}[len(names)]
    ranges = dict(zip(names, zip(low, high, strict=True), strict=True))
    if where.within:
        along, *ends = where.within
        ranges[along] = tuple(float(each.what[0]) for each in ends)
    axes = [
        np.array([value]) if i == axis else a + (np.arange(count) + 0.5) / count * (b - a)
        for i, (a, b) in enumerate(ranges.values())
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(names))
    area = np.prod([b - a for i, (a, b) in enumerate(ranges.values()) if i != axis])
    return grid, float(area) / len(grid)


def approximations(case: Checked) -> list[str]:
    """Finite differences on a grid converge with their order, Fourier is exact on a periodic
    one."""
    declared = case.declared
    smooth = not declared.features & ROUGH
    dim = len(declared.variables)
    if declared.energy or declared.inputs or not smooth or dim > 2:
        return []
    if "interface" in declared.features:  # no field of its problem is smooth
        return []
    expected = strong(case)
    params = shared_trainables(case, values_of_params(case, 1))
    shape = dict(declared.domains)["Omega"]
    lengths: list[float | None] = [None] * dim
    for axis in range(len(declared.space)):
        if declared.space[axis] in declared.periodic:
            lengths[axis] = float(shape.points[1][axis].what[0] - shape.points[0][axis].what[0])
    fields = {}
    for each in declared.unknowns:
        own = lengths if each.in_time or not declared.time else lengths[: len(declared.space)]
        fields[each.name] = waves(case.rng, components(each, len(declared.space)), len(own), own)
    notes = []
    for backend in ("finite_difference", "fourier"):
        gaps = []
        for n in (24, 48) if backend == "finite_difference" else (24,):
            axes = [
                np.arange(n) / n * length if length else np.linspace(0.1, 0.9, n)
                for length in lengths
            ]
            points = torch.as_tensor(
                np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(1, -1, dim)
            )
            loss, given = compiled(case, backend, params)
            try:
                found = loss.residuals(unknown_field(case, fields), points, {}, given)
            except pdespec.ProblemError as error:
                notes += [f"grid {backend} refused {each.code}" for each in error.diagnostics]
                break
            except Exception as error:
                raise Finding(
                    f"{backend} on a grid raises {type(error).__name__}", str(error)[:600]
                ) from error
            jets = list(dict.fromkeys(jet for _, rows in expected for jet in rows.jets))
            values = jets_of_waves(case.oracle, fields, jets, points.numpy())
            theirs = [rows(points.numpy(), params, values) for _, rows in expected]
            pairs = list(zip(found.values(), theirs, strict=True))
            scale = max(1.0, max(float(np.abs(b).max()) for _, b in pairs))
            gaps.append(max(float(np.abs(a.detach().numpy() - b).max()) for a, b in pairs) / scale)
        if backend == "fourier" and gaps:
            notes.append("fourier on a grid")
            if gaps[0] > 1e-8:
                raise Finding("fourier on a periodic grid", f"off by {gaps[0]:.2g}")
        if backend == "finite_difference" and len(gaps) == 2:
            notes.append("finite differences on a grid")
            if gaps[1] > max(0.4 * gaps[0], 1e-6):
                raise Finding(
                    "finite differences on a grid",
                    f"{gaps[0]:.2g} at 24 points an axis, {gaps[1]:.2g} at 48",
                )
    return notes


ROUGH = {f"function {word}" for word in "abs min max sign step floor ceil frac mod".split()} | {
    "if"
}


def _direction(each: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(each.shape, generator=generator, dtype=each.dtype)


def _real_product(a: Tensor, b: Tensor) -> float:
    """The real inner product, in which torch gives gradients of complex parameters."""
    return float((a.conj() * b).real.sum())


def places_hold(case: Checked, batch: Any) -> None:
    """Interior points lie inside, boundary points between inside and outside along unit normals,
    measures are those counted on a grid."""
    domains = dict(case.declared.domains)
    dim = len(case.declared.space)
    sized = {each.name for each in case.declared.numbers if each.size}
    for k in range(batch.size):
        params = {
            name: float(value[k]) for name, value in batch.params.items() if name not in sized
        }
        params |= {
            each.name: float(each.value) for each in case.declared.numbers if each.kind == "const"
        }
        for key, each in batch.points.items():
            points = each.points[k, :, :dim].detach().numpy()
            shape, other = where_of(case, key)
            if each.normals is None:
                if not inside(shape, points, params, domains).all():
                    raise Finding(
                        "points outside of the domain",
                        f"{key}: {points[~inside(shape, points, params, domains)][:2]}",
                    )
                continue
            normals = each.normals[k].detach().numpy()
            if np.abs(np.linalg.norm(normals, axis=1) - 1).max() > 1e-9:
                raise Finding("normals are no unit vectors", str(normals))
            within, beyond = (
                inside(shape, points + sign * 1e-6 * normals, params, domains) for sign in (-1, 1)
            )
            if other is not None:
                # something lies on both sides of it
                beyond = ~inside(other, points + 1e-6 * normals, params, domains)
            kept = True if each.weights is None else each.weights[k].numpy() > 0
            if not (within & ~beyond | ~np.asarray(kept)).all():
                raise Finding(
                    "boundary points or normals",
                    f"{key}: {points[~(within & ~beyond)][:2]}, {normals[~(within & ~beyond)][:2]}",
                )
        for name in {each.on for each in case.declared.unknowns if not case.declared.system}:
            geometry = batch.geometry[name]
            low, high = (corner.detach().numpy().astype(float) for corner in geometry.box())
            low, high = (corner[k] if corner.ndim > 1 else corner for corner in (low, high))
            found = float(geometry.measure()[k])
            counted = measure(domains[name], params, domains, low, high)
            if abs(found - counted) > (0.08 if dim == 3 else 0.03) * counted:
                raise Finding("measure of the domain", f"{found!r}, counted {counted!r}")


def where_of(case: Checked, key: str) -> tuple[Shape, Shape | None]:
    """The shape that a set of points belongs to, and what lies beyond an interface."""
    domains, name = dict(case.declared.domains), key.split("@")[0]
    if name in domains:
        return domains[name], None
    for place in case.declared.places:
        if place.name == name:
            beyond = place.part if place.kind == "interface" else None
            return domains[place.domain], domains[beyond] if beyond else None
    first, *others = re.findall(r"\w+", name.partition("(")[2])
    if not name.startswith("interface("):
        return domains[first], None
    return domains[first], domains[others[0] if others[0] in domains else first]


# --------------------------------------------------------------------------------------------------
# files with measured and known values


def with_files(case: Checked, folder: Path) -> Any:
    """The problem, read from a folder with the files that it names; None where such files would
    have to hold functions or vectors of numbers of every sample."""
    if not (rows := written(case)):
        return None
    for each, columns in rows:
        separator = "\t" if each.file.endswith("tsv") else ","
        names = dict(each.called)
        with (folder / each.file).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, delimiter=separator)
            table.writerow([names.get(own, own) for own in columns])
            table.writerows(zip(*columns.values(), strict=True))
    (folder / "p.pde").write_text(case.text, encoding="utf-8")
    with stage("load with files"):
        return pdespec.load(folder / "p.pde")


OF_ROWS = {"sigma", "weight", "sample"}  # what files call other things so


def written(case: Checked) -> list[tuple[Measured, dict[str, list[Any]]]]:
    """The columns of every file, by the names of the problem: places inside of the domain, values
    at random, and of a family two samples with numbers of their own."""
    declared = case.declared
    drawn = [each for each in declared.numbers if each.kind == "param" and each.law]
    called = {each.name for each in (*declared.numbers, *declared.unknowns)} | {*declared.variables}
    if declared.inputs or any(each.size for each in drawn) or called & OF_ROWS:
        return []
    random_ = np.random.default_rng(len(case.text))
    shape, known = (
        dict(declared.domains)["Omega"],
        {each.name: float(each.value) for each in declared.numbers if each.kind == "const"},
    )
    low, high = (np.array(corner, dtype=float) for corner in box_of(shape) or ((), ()))
    found = []
    for each in declared.measured:
        points = random_.uniform(low + 1e-3, high - 1e-3, (400, len(low)))
        points = points[inside(shape, points, known, dict(declared.domains))][:9]
        columns: dict[str, list[Any]] = dict(zip(declared.space, points.T.tolist(), strict=True))
        count = len(points)
        if declared.time and _timed(case, each):
            columns[declared.time[0]] = random_.uniform(
                *map(float, declared.time[1:]), count
            ).tolist()
        for own in value_columns(case, each):
            columns[own] = random_.normal(1.5, 0.5, count).tolist()
        if (weigh := len(found) % 3) < 2:
            columns[("sigma", "weight")[weigh]] = random_.uniform(0.5, 2, count).tolist()
        if drawn:
            own = np.arange(count) % 2
            columns["sample"] = [("one", "two")[k] for k in own]
            for each_number in drawn:
                values = random_.uniform(0.5, 1.5, 2)
                columns[each_number.name] = values[own].tolist()
        found.append((each, columns))
    return found


def _timed(case: Checked, stated: Measured) -> bool:
    names = {node.what for node in stated.value.walk() if node.word == "name"}
    return any(each.in_time for each in case.declared.unknowns if each.name in names)


def value_columns(case: Checked, stated: Measured) -> list[str]:
    """What the columns of values are called."""
    value, space = stated.value, case.declared.space
    if value.word != "name":
        return [expression(value, case.declared.spell)]
    unknown = next(each for each in case.declared.unknowns if each.name == value.what)
    if unknown.complex:
        return [f"{value.what}.re", f"{value.what}.im"]
    axes = {
        "scalar": [""],
        "vector": [f".{x}" for x in space],
        "tensor": [f".{x}{y}" for x in space for y in space],
    }[value.rank]
    return [value.what + axis for axis in axes]


def compared(case: Checked) -> list[str]:
    """The terms of measured values of closed forms, those of priors, and the errors against known
    values, are what NumPy says of the rows."""
    if not case.declared.measured:
        return []
    rows = written(case)
    fields = closed_fields(case)
    field = unknown_field(case, fields)
    with tempfile.TemporaryDirectory() as folder:
        problem = with_files(case, Path(folder))
        if problem is None:
            return ["files of a family of functions"]
        form = compiler.TrainOptions().ansatz
        with stage("data terms"):
            terms = data_terms(problem, None, 0, 16, 0, form)
            near = against_files(problem, lambda batch: field, form)
            numbers = {
                name: torch.full((each.size or 1,), 0.7, dtype=torch.float64)
                for name, each in problem.trainables.items()
            }
            values = (
                terms.validating(lambda inputs: field, numbers, 10**6, Share()).tolist()
                if terms
                else []
            )
    labels = dict(zip(terms.labels if terms else (), map(float, values), strict=True))
    measured = [each for each, _ in rows if not each.reference]
    for each, columns in rows:
        gap, truth, weights = misses(case, each, columns, fields)
        own = np.array(columns.get("sample", ["one"] * len(weights)))
        if each.reference:
            expected = np.sqrt(
                (weights * (gap**2).sum(1)).sum() / (weights * (truth**2).sum(1)).sum()
            )
            (found,) = near.values()
        else:
            size = terms.terms[measured.index(each)].sizes.numpy()
            square = weights * ((gap / size) ** 2).sum(1)
            expected = np.mean([square[own == which].mean() for which in dict.fromkeys(own)])
            found = labels[terms.labels[measured.index(each)]]
        if not abs(found - expected) < 1e-10 * max(1, expected):
            kind = "reference" if each.reference else "data"
            raise Finding(f"{kind} of a file", f"{each}: {found!r}, NumPy says {expected!r}")
    return ["files"] + (priors(case, labels, terms, rows) if terms else [])


def priors(case: Checked, labels: Mapping[str, float], terms: Any, rows: Any) -> list[str]:
    """The terms of priors at 0.7: s^2/n times the sum of ((c - m)/t)^2."""
    laws = {
        each.name: (float(dict(each.law.arguments)["mean"]), float(dict(each.law.arguments)["std"]))
        for each in case.declared.numbers
        if each.kind == "trainable" and each.law
    }
    sizes = {each.name: each.size or 1 for each in case.declared.numbers}
    sizes |= {each.name: each.size for each in case.declared.found}
    laws |= {each.name: (0.0, 1.0) for each in case.declared.found if each.law}
    (stated, columns) = next(each for each in rows if not each[0].reference)
    count = len(value_columns(case, stated))
    values = len(columns[case.declared.space[0]]) * count
    if "sigma" in columns:
        weights = np.array(columns["sigma"]) ** -2.0
        noise = float((terms.terms[0].sizes.numpy() ** -2.0).sum() / weights.mean())
    else:
        noise = labels[terms.labels[0]]
    expected = {
        f"prior.{name}": noise / values * sizes[name] * ((0.7 - mean) / std) ** 2
        for name, (mean, std) in laws.items()
    }
    found = {label: value for label, value in labels.items() if label.startswith("prior.")}
    if set(found) != set(expected):
        raise Finding("priors: terms", f"{sorted(found)}, declared {sorted(expected)}")
    for label, value in expected.items():
        if not abs(found[label] - value) < 1e-10 * max(1, value):
            raise Finding("priors: value", f"{label}: {found[label]!r}, NumPy says {value!r}")
    return ["priors"] if expected else []


def misses(
    case: Checked, stated: Measured, columns: Mapping[str, Any], fields: Mapping[str, Waves]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gap between closed forms and the values of a file, these, and the weights of its rows, of
    mean one. Shapes: "n c", "n c", "n"."""
    declared = case.declared
    points = np.array([columns[x] for x in declared.space]).T
    if declared.time:
        time = columns.get(declared.time[0], [float(declared.time[1])] * len(points))
        points = np.concatenate([points, np.array(time)[:, None]], 1)
    rows = case.oracle.rows(case.oracle.value(stated.value), parts=_is_complex(case, stated))
    params = {
        name: np.ones((1, *np.shape(each)[1:])) for name, each in values_of_params(case, 1).items()
    }
    jets = jets_of_waves(case.oracle, fields, rows.jets, points[None])
    found = rows(points[None], params, jets)[0]
    values = np.array([columns[each] for each in value_columns(case, stated)]).T
    weights = np.ones(len(points))
    if "sigma" in columns:
        weights = np.array(columns["sigma"]) ** -2.0
    if "weight" in columns:
        weights = np.array(columns["weight"])
    return found - values, values, weights / weights.mean()


def _is_complex(case: Checked, stated: Measured) -> bool:
    names = {node.what for node in stated.value.walk() if node.word == "name"}
    return any(each.complex and each.name in names for each in case.declared.unknowns)


# --------------------------------------------------------------------------------------------------
# (e) a step of training


def training(case: Checked, operator: str) -> list[str]:
    """One step is taken, saved, loaded and gone on from."""
    model = model_of(case, operator)
    if model is None:
        return []
    every = dict.fromkeys(("log_every", "validate_every", "checkpoint_every"), 1)
    options: dict[str, Any] = {
        "points": POINTS,
        "batch": 2,
        "validation": 2,
        "precision": "float64",
        **every,
    }
    drawn = all(each.law for each in case.declared.inputs)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "run"
        problem = case.problem
        if case.declared.measured:
            problem = with_files(case, Path(folder)) or pdespec.parse(
                to_text(replace(case.declared, measured=()))
            )
        try:
            compiler.train(problem, model, compiler.TrainOptions(steps=1, **options), where)
        except pdespec.ProblemError as error:
            if not drawn and {each.code for each in error.diagnostics} == {"B03"}:
                return ["training refused B03"]
            raise Finding(f"training refuses {error.diagnostics[0].code}", str(error)) from error
        except Exception as error:
            raise Finding(f"training raises {type(error).__name__}", str(error)[:600]) from error
        if not drawn:
            raise Finding("training draws an input without a law")
        with stage("load_run"):
            loaded = compiler.load_run(where)
        for (name, ours), theirs in zip(
            loaded.model.state_dict().items(), model.state_dict().values(), strict=True
        ):
            if not torch.equal(ours, theirs):
                raise Finding("a loaded model differs", name)
        with stage("resumed training"):
            run = compiler.train(
                problem,
                loaded.model,
                compiler.TrainOptions(steps=2, **options),
                where,
                resume=True,
            )
        if run.step != 2:
            raise Finding("resumed training", f"at step {run.step}, not 2")
    return []


def deep(declared: Declared, seed: int) -> list[str]:
    """All checks, with one of the operators."""
    case = Checked(declared, random.Random(seed), to_text(declared))
    try:
        notes = forms(case) + residuals(case) + compared(case)
    except Degenerate:
        return ["degenerate"]
    except Refused as refused:
        return [f"refused {refused}"]
    operator = ("gino", "fno", "pinn")[seed % 3]
    if operator == "pinn" and of_a_family(declared):
        operator = "gino"
    notes += approximations(case) + losses(case, operator)
    return notes + training(case, operator)
