"""The domain of each component of the unknowns: one for all, or several that touch.

Unknowns on several domains that are no one unknown are solved on one mesh of the union, whose cells
do not reach across from one domain into another. Each has values, and equations, in the cells of
its own domain; across what two domains share each has its own value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp
from sympy.core.relational import Relational

from compiler.fem.errors import NoWeakForm
from pdespec.geometry import Boundary, Domain
from pdespec.rules.contact import Apart, domains_of_unknowns, neighbours, united
from pdespec.statements.membership import inside
from pdespec.statements.problem import Problem


@dataclass(frozen=True)
class ComponentDomains:
    """`whole` is what the mesh fills; `parts` the domain of each component, empty where there is
    but one; `beyond` the domain that lies on the other side of a boundary where a condition holds
    unknowns of both."""

    whole: Domain
    parts: Mapping[str, Domain] = field(default_factory=dict)
    beyond: Mapping[Boundary, Domain] = field(default_factory=dict)

    def domain_of(self, component: str) -> Domain:
        """The domain in which a component has its equation."""
        return self.parts.get(component, self.whole)

    def side(self, component: str, region: Boundary) -> int:
        """1 where the normal of a region points out of the domain of a component, -1 where it
        points into it, 0 where the region is no boundary of that."""
        own_domain = self.domain_of(component)
        if region.domain == own_domain:
            return 1
        return -1 if self.parts and self.beyond.get(region) == own_domain else 0

    @property
    def edges(self) -> tuple[sp.Expr, ...]:
        """Expressions that vanish on the boundaries of the parts. Raises: NoWeakForm for a shape
        without such."""
        every = (edge for part in dict.fromkeys(self.parts.values()) for edge in edges(part))
        return tuple(dict.fromkeys(every))


def component_domains(problem: Problem) -> ComponentDomains:
    """Raises: NoWeakForm for several domains one of which is periodic."""
    domains = domains_of_unknowns(problem)
    if len(domains) == 1:
        return ComponentDomains(domains[0])
    if any(each.periodic for each in domains):
        raise NoWeakForm(
            f"the unknowns live on {len(domains)} domains"
            f" ({', '.join(each.name for each in domains)}), one of them periodic; the reference"
            " solver takes several domains without periodic sides"
        )
    parts = {
        component: unknown.region
        for unknown in problem.unknowns.values()
        for component in unknown.components
    }
    try:
        beyond = neighbours(problem)
    except Apart as reason:
        names = ", ".join(each.name for each in domains)
        raise NoWeakForm(
            f"the unknowns live on {len(domains)} domains ({names}), and {reason}"
        ) from None
    return ComponentDomains(united(problem, domains), parts, beyond)


def edges(domain: Domain) -> tuple[sp.Expr, ...]:
    """Expressions that vanish on the boundary of a domain. Raises: NoWeakForm for a shape without
    such."""
    try:
        condition = inside(domain.shape, domain.coordinates)
    except NotImplementedError:
        raise NoWeakForm(
            f"the unknowns live on several domains, and no inequality tells the inside of"
            f" {domain.name}, a {type(domain.shape).__name__.lower()}"
        ) from None
    found = sorted(condition.atoms(Relational), key=sp.default_sort_key)
    return tuple(dict.fromkeys(each.lhs - each.rhs for each in found))
