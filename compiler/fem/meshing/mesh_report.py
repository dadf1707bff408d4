"""The mesh files of a problem, in words: what was read, and what its conditions leave."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from compiler.fem.meshing.bodies import numbers_of
from compiler.geometry.domain import Geometry, restricted
from compiler.geometry.shapes.meshfile import absent, read
from pdespec.errors import Diagnostic, Span, placed
from pdespec.geometry import Boundary, Domain, group, meshes
from pdespec.statements.membership import typical
from pdespec.statements.problem import Problem
from pdespec.text.syntax import ast as t
from pdespec.text.write.written import statements_of
from pdespec.words import bare

MEASURES = {1: "length", 2: "area", 3: "volume"}


def report(problem: Problem) -> list[str]:
    """A line for each mesh file and for each of its groups. Raises: ProblemError M01 to M08 for
    what is wrong with a file."""
    lines = []
    for domain in _files(problem):
        with placed(_place(problem, "domain", domain.name), domain.name):
            lines += _described(domain)
        conditions = [(c.region, c.span) for c in problem.conditions.values()]
        declared = [
            (each, _place(problem, "boundary", name)) for name, each in problem.boundaries.items()
        ]
        for boundary, span in (*declared, *conditions):
            if isinstance(boundary, Boundary) and boundary.domain == domain:
                with placed(span, boundary.name):
                    _absent(domain, boundary)
    return lines


def _place(problem: Problem, kind: str, name: str) -> Span | None:
    """Where a domain or boundary is declared."""
    declared = (
        each
        for each in statements_of(problem)
        if isinstance(each, t.Declaration) and each.kind == kind
    )
    items = (item for each in declared for item in each.items if isinstance(item, t.Region))
    return next((item.value.span for item in items if bare(item.name.name) == name), None)


def _described(domain: Domain) -> list[str]:
    (mesh,) = meshes(domain.shape)
    data, geometry = read(mesh), _bare(domain)
    cell, facet = ("triangles", "edges") if data.dim == 2 else ("tetrahedra", "triangles")
    cells = "a closed surface" if data.cells is None else f"{len(data.cells)} {cell}"
    area, around = (
        float(geometry.measure()),
        sum(float(piece.measure) for piece in geometry.body.pieces()),
    )
    measured = f"{MEASURES[data.dim]} {area:.6g}, boundary {around:.6g}"
    lines = [
        f"{domain.name}: {mesh.path}, {cells}, {len(data.points)} points, {len(data.facets)}"
        f" boundary {facet}; {measured}"
    ]
    for name, members in data.groups.items():
        own = float(geometry.measure(group(domain, name)))
        lines.append(
            f'  group "{name}": {len(members)} {facet}, {MEASURES[data.dim - 1]} {own:.6g}'
        )
    return lines


def warnings(problem: Problem) -> Iterator[Diagnostic]:
    """W02, as a warning, for what the groups that conditions name leave of the boundary of a
    mesh file: nothing else can know of it."""
    for domain in _files(problem):
        geometry = _bare(domain)
        stated = [
            c.region
            for c in problem.conditions.values()
            if isinstance(c.region, Boundary) and c.region.domain == domain
        ]
        plain = [region for region in stated if not restricted(region)]
        if (
            problem.functionals
            or len(plain) < len(stated)
            or not any(region.kind == "group" for region in plain)
        ):
            continue
        left = [
            p
            for p in geometry.body.pieces()
            if all(geometry.portion(region, p) is None for region in plain)
        ]
        if left:
            (mesh,) = meshes(domain.shape)
            share = sum(float(piece.measure) for piece in left)
            size = f"{MEASURES[domain.dim - 1]} {share:.6g}"
            what = (
                f"{size} of the boundary of `{domain.name}` has no condition: no group that is"
                " named holds it"
            )
            hint = f"state one on rest({domain.name}), if the equation needs it there"
            yield Diagnostic(
                "W02",
                what,
                hint,
                f"as read from {mesh.path}",
                label=domain.name,
                severity="warning",
            )


def _files(problem: Problem) -> list[Domain]:
    return [domain for domain in problem.domains.values() if meshes(domain.shape)]


def _bare(domain: Domain) -> Geometry:
    """The domain in one sample, its params at one."""
    values = {symbol: float(value) for symbol, value in typical(domain).items()}
    return Geometry(domain, numbers_of(domain.shape, values), 1, torch.float64)


def _absent(domain: Domain, boundary: Boundary) -> None:
    if boundary.group is not None:
        absent(domain, boundary.group)
    for other in boundary.others:
        _absent(domain, other)
