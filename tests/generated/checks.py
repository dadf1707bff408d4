"""What must hold of every declared problem. A check returns notes of what was refused, or raises `Finding`."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import compiler
import operators
import pdespec
from tests.generated.declared import Declared, to_python, to_text
from tests.generated.oracle import Jet, Oracle, Rows, Waves, components, jets_by_autograd, jets_of_waves, waves

EXACT = 1e-10  # relative, of exact derivatives in float64
LATENT = {1: (9,), 2: (8, 8), 3: (6, 6, 6), 4: (6, 6, 6, 6)}


class Finding(AssertionError):
    """Something that must hold does not."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.detail = kind, detail


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Turns what is raised inside into a finding: a refusal of what is well posed, or an error that has no code."""
    try:
        yield
    except Finding:
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


# ------------------------------------------------------------------------------------------------------------------- (a), (b) forms


def forms(case: Checked) -> list[str]:
    """Text and Python form are one value, both come back from their print, LaTeX renders, and nothing is found wrong with them."""
    with stage("parse"):
        case.problem = pdespec.parse(case.text)
    with stage("python"):
        built = to_python(case.declared)
    if case.problem != built:
        raise Finding("text and python differ", differing(case.problem, built))
    for which, problem in (("text", case.problem), ("python", built)):
        with stage(f"to_dsl of {which}"):
            printed = problem.to_dsl()
        with stage(f"parse of to_dsl of {which}"):
            again = pdespec.parse(printed)
        if again != problem:
            raise Finding(f"to_dsl of {which} is another problem", differing(again, problem) + "\n" + printed)
        with stage(f"latex of {which}"):
            latex = problem.to_latex()
        if latex.replace(r"\{", "").replace(r"\}", "").count("{") != latex.replace(r"\{", "").replace(r"\}", "").count("}"):
            raise Finding("latex braces", latex)
    with stage("check"):
        found = pdespec.check(built)
    for each in found:
        if each.severity == "error":
            raise Finding(f"check of python alarms {each.code}", str(each))
    given = {each.code for each in (*case.problem.warnings, *found)}
    if unexpected := given - case.declared.expected:
        shown = next(each for each in (*case.problem.warnings, *found) if each.code in unexpected)
        raise Finding(f"check warns {'+'.join(sorted(unexpected))}", str(shown))
    return [f"warned {code}" for code in sorted(given)]


def differing(a: Any, b: Any) -> str:
    names = [name for name in a.__dataclass_fields__ if name not in ("warnings", "written")]
    return "\n".join(f"{name}:\n  {getattr(a, name)}\n  {getattr(b, name)}" for name in names if getattr(a, name) != getattr(b, name))[:2000]


# --------------------------------------------------------------------------------------------------------------- (c) closed forms


def values_of_params(case: Checked, size: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(case.rng.randrange(2**32))
    sizes = {each.name: each.size for each in case.declared.numbers}
    return {name: draw.uniform(0.5, 1.5, (size, sizes[name]) if sizes[name] else size) for name in case.oracle.params}


def compiled(case: Checked, backend: Any, params: Mapping[str, np.ndarray]) -> tuple[Any, dict[str, Tensor]]:
    """The loss with its trainables set, and the params that are given to it."""
    loss = compiler.compile(case.problem, backend).double()
    trainables = {each.name for each in case.declared.numbers if each.kind == "trainable"}
    with torch.no_grad():
        for name in trainables:
            loss.trainables[name].fill_(float(params[name][0]))
    return loss, {name: torch.as_tensor(value) for name, value in params.items() if name not in trainables}


def shared_trainables(case: Checked, params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A trainable is one number for all samples."""
    trainables = {each.name for each in case.declared.numbers if each.kind == "trainable"}
    return {name: np.full_like(value, value.flat[0]) if name in trainables else value for name, value in params.items()}


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
    return lambda points: torch.cat([each(points[..., : each.frequency.shape[-1]]) for each in own], -1)


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


def same(what: str, ours: np.ndarray, theirs: np.ndarray, tolerance: float = EXACT, size: float = 0.0) -> None:
    if ours.shape != theirs.shape:
        raise Finding(f"{what}: shape", f"{ours.shape}, SymPy says {theirs.shape}")
    finite = np.isfinite(theirs)
    if (np.isfinite(ours) != finite).any():
        raise Finding(f"{what}: not finite where SymPy is", f"{ours[np.isfinite(ours) != finite][:3]} / {theirs[np.isfinite(ours) != finite][:3]}")
    ours, theirs = ours[finite], theirs[finite]
    scale = max(1.0, size, float(np.abs(theirs).max(initial=0.0)))
    gap = float(np.abs(ours - theirs).max(initial=0.0))
    if gap > tolerance * scale:
        k = int(np.abs(ours - theirs).argmax())
        raise Finding(f"{what}: value", f"{ours.flat[k]!r}, SymPy says {theirs.flat[k]!r}")


def residuals(case: Checked) -> list[str]:
    """The residuals of closed forms are those that lambdify gives, by `auto`; those of a network by jets and nested autograd too."""
    with stage("residuals()"):
        expected = strong(case)
    fields = closed_fields(case)
    inputs = {each.name: fields[each.name] for each in case.declared.inputs}
    params = shared_trainables(case, values_of_params(case, 2))
    points = points_for(case, 2, 5)
    compare(case, "closed form", "auto", expected, unknown_field(case, fields), points, params, inputs, fields)
    dim, channels = len(case.declared.variables), sum(components(each, len(case.declared.space)) for each in case.declared.unknowns)
    generator = torch.Generator().manual_seed(case.rng.randrange(2**31))
    with stage("pinn"):
        box = ((0.0,) * dim, (1.0,) * dim)
        activation = case.rng.choice(["tanh", "sin", "gelu"])
        model = operators.PINN(channels, dim, box, hidden=(5, 5), activation=activation, generator=generator).double()
        seen = torch.zeros(2, 1, dim, dtype=torch.float64)
        field = model(operators.OperatorInput(seen, seen[..., :1]))
    for backend in ("taylor", "autograd"):
        compare(case, f"pinn {backend}", backend, expected, field, points, params, inputs, fields, jets=True)
    return []


def compare(
    case: Checked,
    what: str,
    backend: Any,
    expected: list[tuple[str, Rows]],
    field: Any,
    points: Tensor,
    params: Mapping[str, np.ndarray],
    inputs: Mapping[str, Any],
    fields: Mapping[str, Waves],
    jets: bool = False,
    tolerance: float = EXACT,
) -> None:
    with stage(f"compile {what}"):
        loss, given = compiled(case, backend, params)
    with stage(f"residuals {what}"):
        found = loss.residuals(field, points, inputs, given)
    needed = list(dict.fromkeys(jet for _, rows in expected for jet in rows.jets))
    own = [jet for jet in needed if not jets or jet[0] not in {each.name for each in case.declared.unknowns}]
    values = jets_of_waves(case.oracle, fields, own, points.numpy())
    if jets:
        values |= jets_by_autograd(field, channels_of(case), needed, points)
    if len(found) != len(expected):
        raise Finding(f"{what}: equations", f"{list(found)}, declared {[label for label, _ in expected]}")
    theirs = [rows(points.numpy(), params, values) for _, rows in expected]
    for (label, exact), ours in zip(zip([label for label, _ in expected], theirs, strict=True), found.values(), strict=True):
        same(f"residual {what}", ours.detach().numpy(), exact, tolerance, magnitude(values))
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
    """The cheap checks."""
    case = Checked(declared, random.Random(seed), to_text(declared))
    if case.oracle.degenerate:
        return ["degenerate"]
    return forms(case) + residuals(case)
