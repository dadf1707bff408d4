"""W08: shapes that a law can turn inside out."""

from __future__ import annotations

from collections.abc import Iterator

from pdespec.admissible import counterexample, needed
from pdespec.analysis import Analysis, rule
from pdespec.calculus import short
from pdespec.errors import Diagnostic


@rule("W08")
def shapes_have_an_inside(analysis: Analysis) -> Iterator[Diagnostic]:
    """Radii and sides are positive for every number that the laws of the params reach."""
    for domain in analysis.problem.domains.values():
        for need in needed(domain.shape):
            found = counterexample(need)
            if found is None:
                continue
            values, result = found
            drawn = {symbol.name: symbol.declaration for symbol in need.scalars if symbol.declaration.law is not None}
            at = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
            message = f"{need.name} {short(need.value)} in `{domain.name}` is {result:.6g}" + (f" at {at}" if at else "")
            names = ", ".join(f"`{name}`" for name in dict.fromkeys(each.name for each in drawn.values()))
            hint = f"restrict the law of {names}, so that {need.name} stays positive" if names else f"give a positive {need.name[4:]}"
            cause = "a shape without an inside has no points"
            yield Diagnostic("W08", message, hint, cause, label=domain.name)
