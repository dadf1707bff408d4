"""Summary of a problem and what is derived from it: the output of `pdespec check`, `explain` and
`new`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdespec.statements.natural import natural_conditions
from pdespec.statements.normalise import fields_of
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.printer import text
from pdespec.text.write.express import Express
from pdespec.text.write.written import abbreviations, statements_of

if TYPE_CHECKING:
    from pdespec.jets import MultiIndex
    from pdespec.statements.problem import Problem

GIVEN = (
    ("domains", "domain"),
    ("boundaries", "boundary"),
    ("unknowns", "unknown"),
    ("inputs", "input"),
    ("params", "param"),
    ("trainables", "trainable"),
    ("constants", "const"),
)

Rows = list[tuple[str, list[str]]]  # a title and its lines

STAGES = ("residuals", "variation", "derivatives")


def summary(problem: Problem) -> Rows:
    """What a problem consists of, title by title, in the user's own notation. Titles without
    lines are left out."""
    statements = statements_of(problem)
    given: dict[str, list[str]] = {}
    for statement in statements:
        if isinstance(statement, t.Declaration):
            given.setdefault(statement.kind, []).extend(text(item) for item in statement.items)
    blocks = [statement for statement in statements if isinstance(statement, t.Block)]
    rows = [
        ("problem", [problem.name]),
        (
            "space",
            [text(each).split(maxsplit=1)[1] for each in statements if isinstance(each, t.Space)],
        ),
        (
            "time",
            [text(each).split(maxsplit=1)[1] for each in statements if isinstance(each, t.Time)],
        ),
        (
            "periodic",
            [
                text(each).split(maxsplit=1)[1]
                for each in statements
                if isinstance(each, t.Periodic)
            ],
        ),
        *((title, given.get(kind, [])) for title, kind in GIVEN),
        ("definitions", [text(each) for each in statements if isinstance(each, t.Definition)]),
        (
            "equations",
            [line for block in blocks if block.head.kind == "in" for line in _members(block)],
        ),
        ("energies", [text(each) for each in statements if isinstance(each, t.Extremum)]),
        (
            "conditions",
            [line for block in blocks if block.head.kind != "in" for line in _members(block)],
        ),
        (
            "requirements",
            [
                text(each).removeprefix("require ")
                for each in statements
                if isinstance(each, t.Require)
            ],
        ),
        (
            "known solution",
            [
                text(each).removeprefix("reference ")
                for each in statements
                if isinstance(each, t.Reference)
            ],
        ),
        (
            "outputs",
            [text(each).split(maxsplit=1)[1] for each in statements if isinstance(each, t.Output)],
        ),
        (
            "data",
            [text(each).split(maxsplit=1)[1] for each in statements if isinstance(each, t.Data)],
        ),
        ("derivatives", derivative_lines(problem)),
    ]
    return [(title, lines) for title, lines in rows if lines]


def statements(problem: Problem) -> dict[str, str]:
    """Equations and conditions by label, as the problem states them."""
    lines = dict(summary(problem))
    found: dict[str, str] = {}
    for part, labels in (("equations", problem.equations), ("conditions", problem.conditions)):
        own = lines.get(part, [])
        if len(own) == len(labels):
            found |= dict(zip(labels, own, strict=True))
    return found


def _members(block: t.Block) -> list[str]:
    return [f"{text(block.head)}: {text(member)}" for member in block.members]


def explain(problem: Problem, stage: str) -> list[str]:
    """The lines of one stage: "residuals", "variation" or "derivatives"."""
    return {
        "residuals": residual_lines,
        "variation": variation_lines,
        "derivatives": derivative_lines,
    }[stage](problem)


def residual_lines(problem: Problem) -> list[str]:
    """What a network has to make zero: every equation with its derivatives expanded, vectors
    component by component."""
    return [
        line
        for label, residual in problem.residuals().items()
        for line in _lines(label, residual, "", problem)
    ]


def variation_lines(problem: Problem) -> list[str]:
    """The Euler-Lagrange equations and the natural boundary conditions of the energies, in
    conservative form."""
    if not problem.functionals:
        return ["no energy is made minimal or stationary"]
    found = []
    for kind, derived in (("in", problem.stationarity), ("on", natural_conditions(problem))):
        for label, each in derived.items():
            found += _lines(label, each.lhs - each.rhs, f" {kind} {each.region.name}", problem)
    return found


def _lines(label: str, expression: Any, where: str, problem: Problem) -> list[str]:
    express = Express(
        tuple(variable.name for variable in problem.variables), abbreviations(problem)
    )
    if not hasattr(expression, "shape"):
        return [f"{label}{where}: {text(express(expression))} = 0"]
    axes = [x.name for x in problem.coordinates]
    if (
        any(field.func.declaration.complex for field in fields_of(expression))
        and expression.shape[1] == 1
    ):
        whole = [""] if expression.rows == 2 else [f"{axis}." for axis in axes]
        axes = [each + part for each in whole for part in ("re", "im")]
    suffixes = axes if expression.shape[1] == 1 else [a + b for a in axes for b in axes]
    return [
        f"{label}.{suffix}{where}: {text(express(entry))} = 0"
        for suffix, entry in zip(suffixes, expression, strict=True)
    ]


def derivative_lines(problem: Problem) -> list[str]:
    """The derivatives of every unknown component that the residuals hold, by their order: `u: u,
    dx(u), dxx(u)`."""
    lines, express = [], Express(tuple(variable.name for variable in problem.variables))
    written = {
        field.func.__name__: text(express(field))
        for unknown in problem.unknowns.values()
        for field in unknown.fields
    }
    for component, found in problem.derivatives().items():
        name = written[component]
        ordered = sorted(found, key=lambda index: (sum(index), tuple(-order for order in index)))
        lines.append(
            f"{name}: {', '.join(_derivative(name, index, problem) for index in ordered) or 'none'}"
        )
    return lines


def _derivative(name: str, index: MultiIndex, problem: Problem) -> str:
    letters = "".join(
        variable.name * order for variable, order in zip(problem.variables, index, strict=True)
    )
    return f"d{letters}({name})" if letters else name


def template(name: str) -> str:
    """A commented problem to start from: what `pdespec new NAME` writes."""
    return TEMPLATE.replace("NAME", name)


TEMPLATE = """\
# A heat equation to start from. `pdespec check NAME.pde` says what is wrong,
# docs/language.md what else can be written.
problem NAME

# Where and when. Three marks carry the meaning: `=` is fixed, `~` is drawn anew for every
# sample, `:=` defines.
space    x, y
time     t in [0, 1]
domain   Omega = rectangle([0, 0], [1, 1])   # also: interval disk star polygon box; + - & combine
boundary hot = side(Omega, x = 0), walls = rest(Omega)

# What is given. What is drawn is an input of the operator that is trained.
const    rho = 1
param    T_hot ~ uniform(0.5, 1.5)                   # one number a sample
input    q : scalar on Omega ~ gaussians(count = 2, width = 0.3)   # one function a sample

# What is to be found.
unknown  T : scalar on Omega

# Definitions, with or without arguments.
k(T) := 0.1 + T^2/100
flux := -k(T)*grad(T)

# Equations inside, conditions on the boundary and at the start. Labels are optional.
in Omega:
    energy: rho*dt(T) + div(flux) = q
on hot:   T = T_hot*(1 - exp(-10*t))
on walls: dot(flux, n) = 0                           # n: the outward unit normal
at t = 0: T = 0

output mean := integral(T, Omega)
"""
