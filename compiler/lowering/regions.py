"""Regions of a problem that need collocation points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from compiler.lowering.terms import points_key
from pdespec.geometry import Boundary, Region
from pdespec.rules.subdomains import subdomains
from pdespec.statements.interfaces import flux_conditions
from pdespec.statements.problem import Problem


@lru_cache(maxsize=64)
def regions(problem: Problem) -> Mapping[str, tuple[str, Region]]:
    """Where collocation points are needed: key -> (kind of points, region). The keys are those
    of the loss's terms."""
    found: dict[str, tuple[str, Region]] = {}

    def add(region: Region) -> None:
        found.setdefault(
            region.name, ("boundary" if isinstance(region, Boundary) else "interior", region)
        )

    for domain in subdomains(problem):
        add(domain)
    for equation in problem.equations.values():
        add(equation.region)
    for functional in problem.functionals:
        for _, region in functional.terms:
            add(region)
    for condition in (*problem.conditions.values(), *flux_conditions(problem).values()):
        if condition.kind == "boundary":
            add(condition.region)
        else:
            found.setdefault(points_key(condition), (condition.kind, condition.region))
    for requirement in problem.requirements:
        add(requirement.region)
    return MappingProxyType(found)
