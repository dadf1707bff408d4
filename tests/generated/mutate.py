"""The texts of `examples/` with something changed in them: whatever comes of it is a problem or
a refusal with a code."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import compiler
import pdespec
from tests.generated.checks import Finding, stage

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.pde"))
TOKEN = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?(?:e-?\d+)?|:=|[^\s\w]")
WORD = re.compile(r"[A-Za-z_]\w*")
DIGITS = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")
OPERATORS = "grad div curl lap dt dx dxx dy sin exp log sqrt abs tr det inv sym".split()
NUMBERS = "0 1 2 -1 1/3 0.1 1e-3 1e6 pi".split()
DECLARING = "const param trainable input unknown".split()
STATING = "in on at minimize require output reference"
SIGNS = "+ - * / ^ = ~ :=".split()


def lines_of(path: Path) -> list[str]:
    """The statements of an example, without comments."""
    lines = [line.split("#")[0].rstrip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line]


def mutate(rng: random.Random) -> str:
    """One example with one to three changes."""
    lines = lines_of(EXAMPLES[rng.randrange(len(EXAMPLES))])
    for _ in range([1, 1, 1, 2, 3][rng.randrange(5)]):
        if lines:
            CHANGES[rng.randrange(len(CHANGES))](lines, rng)
    return "\n".join(lines) + "\n"


def _replaced(
    lines: list[str],
    rng: random.Random,
    pattern: re.Pattern[str],
    options: list[str],
    only: str = "",
) -> None:
    """One match of a pattern, in some line (or one that begins with a word of `only`), becomes
    one of the options."""
    chosen = [
        k
        for k, line in enumerate(lines)
        if not only or line[0] == " " or line.split()[0] in only.split()
    ]
    places = [(k, found) for k in chosen for found in pattern.finditer(lines[k])]
    if places:
        k, found = places[rng.randrange(len(places))]
        lines[k] = (
            lines[k][: found.start()]
            + options[rng.randrange(len(options))]
            + lines[k][found.end() :]
        )


def _number(lines: list[str], rng: random.Random) -> None:
    _replaced(lines, rng, DIGITS, NUMBERS)


def _name(lines: list[str], rng: random.Random) -> None:
    _replaced(lines, rng, WORD, sorted(set(WORD.findall(" ".join(lines)))))


def _quantity(lines: list[str], rng: random.Random) -> None:
    """A quantity in a statement becomes another one that is declared."""
    declared = re.findall(
        r"(?:^|, )(\w+) (?:=|~|:) ",
        "\n".join(line.split(maxsplit=1)[-1] for line in lines if line.split()[0] in DECLARING),
    )
    space = next((line.split()[1:] for line in lines if line.startswith("space")), [])
    options = [*declared, *(each.strip(",") for each in space)]
    if options:
        _replaced(
            lines,
            rng,
            re.compile("|".join(rf"\b{re.escape(each)}\b(?!\()" for each in options)),
            options,
            STATING,
        )


def _coefficient(lines: list[str], rng: random.Random) -> None:
    """A factor before an operator, such as 2*lap(u)."""
    _replaced(
        lines,
        rng,
        re.compile(r"(?=\b(?:lap|div|grad|dt|d[xyz]+)\()"),
        ["2*", "0.3*", "x*", "(1 + x^2)*"],
        STATING,
    )


def _kind(lines: list[str], rng: random.Random) -> None:
    """const, param and trainable in place of one another."""
    _replaced(
        lines, rng, re.compile(r"^(?:const|param|trainable)\b"), ["const", "param", "trainable"]
    )


def _flux(lines: list[str], rng: random.Random) -> None:
    """The normal derivative in place of a value."""
    places = [k for k, line in enumerate(lines) if re.search(r"^on [^:]+: *\w+ *= ", line)]
    if places:
        k = places[rng.randrange(len(places))]
        lines[k] = re.sub(r"^(on [^:]+: *)(\w+)( *= )", r"\1dn(\2)\3", lines[k])


def _function(lines: list[str], rng: random.Random) -> None:
    """A function around a factor of a statement."""
    words = "sin exp tanh abs sqrt log step sign erf atan".split()
    places = [
        (k, found)
        for k, line in enumerate(lines)
        if line[0] == " " or line.split()[0] in STATING.split()
        for found in re.finditer(r"\b[a-z]\b(?!\()", line)
    ]
    if places:
        k, found = places[rng.randrange(len(places))]
        lines[k] = (
            f"{lines[k][: found.start()]}{words[rng.randrange(len(words))]}"
            f"({found.group()}){lines[k][found.end() :]}"
        )


def _operator(lines: list[str], rng: random.Random) -> None:
    _replaced(lines, rng, re.compile(r"\b(?:" + "|".join(OPERATORS) + r")\b(?=\()"), OPERATORS)


def _sign(lines: list[str], rng: random.Random) -> None:
    _replaced(lines, rng, re.compile(r":=|[-+*/^=~]"), SIGNS)


def _token(lines: list[str], rng: random.Random) -> None:
    _replaced(lines, rng, TOKEN, [""])


def _wrapped(lines: list[str], rng: random.Random) -> None:
    """A name becomes a call of an operator on it."""
    places = [(k, found) for k, line in enumerate(lines) for found in WORD.finditer(line)]
    k, found = places[rng.randrange(len(places))]
    word = OPERATORS[rng.randrange(len(OPERATORS))]
    lines[k] = f"{lines[k][: found.start()]}{word}({found.group()}){lines[k][found.end() :]}"


def _delete(lines: list[str], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines))]


def _duplicate(lines: list[str], rng: random.Random) -> None:
    k = rng.randrange(len(lines))
    lines.insert(rng.randrange(len(lines) + 1), lines[k])


def _swap(lines: list[str], rng: random.Random) -> None:
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def _borrow(lines: list[str], rng: random.Random) -> None:
    """A statement of another example."""
    other = lines_of(EXAMPLES[rng.randrange(len(EXAMPLES))])
    lines.insert(rng.randrange(len(lines) + 1), other[rng.randrange(len(other))])


CHANGES = [
    *[_number, _quantity, _coefficient, _function] * 3,
    *[_kind, _flux, _operator, _sign] * 2,
    *[_name, _token, _wrapped, _delete, _duplicate, _swap, _borrow],
]
POINTS = {"interior": 4, "boundary": 3, "initial": 3, "operator": 16}


def survives(text: str) -> list[str]:
    """A mutant is refused with a code, or is a problem: it comes back from its text, compiles,
    and its residuals are numbers."""
    try:
        problem = pdespec.parse(text)
    except pdespec.ProblemError as error:
        with stage("rendering of diagnostics"):
            str(error)
        if not error.diagnostics or any(not each.code for each in error.diagnostics):
            raise Finding("a refusal without a code", str(error)) from error
        return [f"refused {each.code}" for each in error.diagnostics]
    except Exception as error:
        raise Finding(f"parse raises {type(error).__name__}", str(error)[:600]) from error
    with stage("to_dsl"):
        printed = problem.to_dsl()
    with stage("parse of to_dsl"):
        again = pdespec.parse(printed)
    if again != problem:
        raise Finding("to_dsl is another problem", printed)
    with stage("latex"):
        problem.to_latex()
    return ["parsed", *_lowered(problem)]


def _ramp(count: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """An input that nobody draws: one plus the sum of the coordinates, in every component."""
    return lambda x: x.sum(-1, keepdim=True).expand(*x.shape[:-1], count) + 1


def _lowered(problem: pdespec.Problem) -> list[str]:
    """What the compiler makes of it; what it refuses, with a code, is noted."""
    channels = len(problem.components)
    weights = torch.as_tensor(
        np.random.default_rng(0).uniform(0.2, 1.0, (len(problem.variables), channels))
    )

    def field(points: torch.Tensor) -> torch.Tensor:
        return 1.5 + 0.3 * torch.sin(points @ weights.to(points))

    try:
        loss = compiler.compile(problem).double()
        generator = torch.Generator().manual_seed(0)
        if all(each.law for each in problem.inputs.values()) and all(
            p.law or p.value is not None for p in problem.params.values()
        ):
            batch = compiler.sample(problem, 1, POINTS, generator, dtype=torch.float64)
        else:
            params = {
                name: [1.0] * each.size if each.size else 1.0
                for name, each in problem.params.items()
            }
            inputs = {name: _ramp(len(each.components)) for name, each in problem.inputs.items()}
            batch = compiler.instance(
                problem, params, inputs, POINTS, generator, dtype=torch.float64
            )
        terms = loss(field, batch)
    except pdespec.ProblemError as error:
        if any(not each.code for each in error.diagnostics):
            raise Finding("a refusal without a code", str(error)) from error
        return [f"lowering refused {each.code}" for each in error.diagnostics]
    except Exception as error:
        raise Finding(f"lowering raises {type(error).__name__}", str(error)[:600]) from error
    bad = [label for label, value in terms.items() if not torch.isfinite(value)]
    warned = {each.code for each in problem.warnings}
    if bad and "V03" not in warned:
        raise Finding("a loss is not finite, without a warning", f"{bad[0]}: {terms[bad[0]]}")
    return ["lowered"]
