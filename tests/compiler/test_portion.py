"""Parts of sides and of curves: points, measures, factors, facets and a solved problem, against
closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch
from skfem import Basis, ElementTetP1, ElementTriP1, FacetBasis

import compiler
import pdespec
from compiler.fem.errors import SolverError
from compiler.fem.meshing.facets import aligned, facets_of
from compiler.fem.meshing.mesh import mesh_domain
from compiler.geometry.domain import Geometry
from pdespec import (
    ProblemError,
    boundary,
    box,
    disk,
    param,
    rectangle,
    rest,
    rotated,
    side,
    space,
    uniform,
)
from pdespec.statements.boundary_parts import domain_parts, parts

D = torch.float64
x, y = space("x y")
a, b, c = space("a b c")
r = param("r", uniform(0.1, 0.4))
third = sp.Rational(3, 10)
Q, DISK, BLOCK = rectangle(x, y), disk(x, y, 2), box(a, b, c)
TURNED = rotated(rectangle(x, y), sp.pi / 4)
INLET = side(Q, y=1, where=(x > third) & (x < 2 * third))
PARTS = {  # a part and its measure; what is left has the rest
    "interval": (INLET, 0.3, 4),
    "half a circle": (boundary(DISK, where=x > 0), 2 * np.pi, 4 * np.pi),
    "arc": (boundary(DISK, where=(x > 1) & (y > -1)), 2 * (np.pi / 3 + np.pi / 6), 4 * np.pi),
    "corner": (boundary(Q, where=x + y < sp.S.Half), 1, 4),
    "turned": (boundary(TURNED, where=x < 0), 2, 4),
    "round inlet": (
        side(BLOCK, c=0, where=(a - sp.S.Half) ** 2 + (b - sp.S.Half) ** 2 < sp.Rational(1, 9)),
        np.pi / 9,
        6,
    ),
}


def on(region) -> Geometry:
    return Geometry(region.domain, {}, 1, D)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_and_what_is_left_have_their_measures_points_and_factors(name):
    part, measure, total = PARTS[name]
    shape, left = on(part), rest(part.domain, part)
    assert shape.measure(part).item() == pytest.approx(measure, rel=1e-10)
    assert shape.measure(left).item() == pytest.approx(total - measure, rel=1e-10)
    points, normals = shape.boundary(part, 500, torch.Generator().manual_seed(0))
    others, _ = shape.boundary(left, 500, torch.Generator().manual_seed(1))
    names = [coordinate.name for coordinate in part.coordinates]
    for where, inside in ((points, True), (others, False)):
        values = dict(zip(names, where[0].unbind(-1), strict=True))
        tests = [
            sp.lambdify(part.coordinates, each.gts - each.lts, "numpy")(*values.values())
            for each in part.where
        ]
        held = torch.stack([torch.as_tensor(each) > 0 for each in tests]).all(0)
        on_base = shape.factor(part, where)[0] < 1e-9
        assert (
            (held.all() and on_base.all())
            if inside
            else not (on_base & (shape.factor(left, where)[0] > 1e-9)).any()
        )
    assert shape.signed_distance(points).abs().max() < 1e-12 and torch.allclose(
        normals.norm(dim=-1), torch.ones(1, 500, dtype=D)
    )
    inner_points = shape.interior(1000, torch.Generator().manual_seed(2))
    assert (
        shape.factor(part, points).abs().max() < 1e-9
        and shape.factor(left, others).abs().max() < 1e-9
    )
    for region in (part, left):
        assert shape.factor(region, inner_points).min() > 0
        slope = shape.factor(
            region,
            (points if region is part else others)
            - 1e-6 * shape.normal(points if region is part else others),
        )
        assert (slope / 1e-6).quantile(0.1) > 0.1 and (slope / 1e-6).max() < 3
    assert shape.factor(part, others)[0].quantile(0.2) > 0.01  # only the part is a zero
    both = shape.factor([part, left], torch.cat([points, others], 1))
    assert both.abs().max() < 1e-9


@pytest.mark.parametrize("name", PARTS)
def test_facets_of_a_part_have_its_measure(name):
    part, measure, total = PARTS[name]
    left = rest(part.domain, part)
    mesh = aligned(mesh_domain(part.domain, {}, 16, 2), [part, left], {}, 2)
    element, accuracy = (ElementTriP1(), 1e-4) if part.domain.dim == 2 else (ElementTetP1(), 0.2)
    found = [
        FacetBasis(mesh, element, facets=facets_of(each, mesh, {}), intorder=4).dx.sum()
        for each in (part, left)
    ]
    assert found[0] == pytest.approx(measure, rel=accuracy) and sum(found) == pytest.approx(
        total, rel=1e-4
    )


@pytest.mark.parametrize("name", ["interval", "corner", "turned"])
@pytest.mark.parametrize("resolution", [1, 2])
def test_a_side_of_fewer_facets_than_the_ends_of_its_part_is_cut_there(name, resolution):
    part, measure, total = PARTS[name]
    left = rest(part.domain, part)
    mesh = aligned(mesh_domain(part.domain, {}, resolution, 2), [part, left], {}, 2)
    lengths = [
        FacetBasis(mesh, ElementTriP1(), facets=facets_of(each, mesh, {})).dx.sum()
        for each in (part, left)
    ]
    assert lengths == pytest.approx([measure, total - measure], rel=1e-9)
    assert Basis(mesh, ElementTriP1()).dx.sum() == pytest.approx(1, rel=1e-9)
    assert mesh.is_valid()


def test_a_side_of_quadrilaterals_without_a_vertex_to_move_is_refused():
    squares = mesh_domain(Q, {}, 1, 1, "brick")
    with pytest.raises(SolverError, match="take more cells, or simplices"):
        aligned(squares, [INLET], {}, 1)


def test_the_measure_of_a_part_is_differentiable_in_params():
    part = boundary(disk(x, y, r), where=x > third / 3)
    radius = torch.tensor([0.2], dtype=D, requires_grad=True)
    length = Geometry(part.domain, {"r": radius}, 1, D).measure(part)
    (slope,) = torch.autograd.grad(length.sum(), radius)
    assert length.item() == pytest.approx(2 * 0.2 * np.arccos(0.5), rel=1e-12)
    assert slope.item() == pytest.approx(
        2 * np.arccos(0.5) + 2 * 0.2 * (0.1 / 0.04) / np.sqrt(1 - 0.25), rel=1e-9
    )
    moving = side(Q, y=1, where=x < r)
    assert Geometry(Q, {"r": radius}, 1, D).measure(moving).item() == pytest.approx(0.2)


def test_parts_divide_a_side_into_cells_that_cover_it_once():
    among = (INLET, rest(Q, INLET))
    assert [str(each) for each in parts(INLET)] == ["y = 1 where x > 3/10, x < 3/5"]
    own, left = (set(parts(each, among)) for each in among)
    assert own.isdisjoint(left) and own | left == set(domain_parts(Q, among))


TEXT = """
problem p
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
boundary inlet = side(Q, y = 1, 0.3 < x < 0.6)
boundary wall = rest(Q)
unknown  u : scalar on Q
in Q:     lap(u) = 0
on inlet: u = 1
on wall:  u = 0
"""


def test_a_part_of_a_side_is_written_read_and_the_same_in_python():
    problem = pdespec.parse(TEXT)
    assert problem.boundaries["inlet"].where == INLET.where
    revised = problem.revised(name="q")
    assert pdespec.parse(problem.to_dsl()) == problem and pdespec.parse(revised.to_dsl()) == revised
    assert "0.3 < x" in problem.to_latex()
    named = side(problem.domains["Q"], y=1, where=[x > 0.3, x < 0.6])
    assert named.where == INLET.where and named.name == "side(Q, y = 1, 3/10 < x, x < 3/5)"


def test_the_reference_solver_takes_a_part_of_a_side():
    problem = pdespec.parse(
        TEXT.replace("on inlet: u = 1", "on inlet: u = 100*(x - 0.3)*(0.6 - x)")
    )
    truth = compiler.solve(problem, compiler.instance(problem), resolution=32)
    at = torch.tensor([[0.5, 0.5], [0.2, 0.7], [0.45, 0.9]], dtype=D)
    k, s = np.arange(1, 200)[:, None], np.linspace(0.3, 0.6, 20001)
    weights = 2 * np.trapezoid(100 * (s - 0.3) * (0.6 - s) * np.sin(k * np.pi * s), s)[:, None]
    px, py = at[:, 0].numpy(), at[:, 1].numpy()
    rise = (
        np.exp(k * np.pi * (py - 1))
        * (1 - np.exp(-2 * k * np.pi * py))
        / (1 - np.exp(-2 * k * np.pi))
    )
    exact = (weights * np.sin(k * np.pi * px) * rise).sum(0)
    assert np.allclose(truth(at[None])[0, :, 0].numpy(), exact, atol=2e-4)


def test_conditions_of_two_kinds_meet_on_a_side():
    text = TEXT.replace("on wall:  u = 0", "on wall: dot(grad(u), n) = 0").replace(
        "lap(u) = 0", "-lap(u) = 1"
    )
    problem = pdespec.parse(text)
    batch = compiler.sample(
        problem,
        1,
        {"interior": 64, "boundary": 64, "operator": 64},
        torch.Generator().manual_seed(0),
        dtype=D,
    )
    assert batch.imposed["u"].labels == ("inlet.u",)
    factor = batch.inputs.ansatz.factor
    inlet, wall = (factor(batch.points[name].points) for name in ("inlet", "wall"))
    assert inlet.abs().max() < 1e-9 * wall.median() and wall.min() > 0


def test_on_the_boundary_of_a_domain_that_the_unknown_does_not_fill():
    text = """
problem p
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
domain   body = Q - disk(radius = 0.2, center = [0.5, 0.5])
unknown  u : scalar on body
in body: -lap(u) = 1
on boundary(Q): u = 0
on inner(body): u = 0
"""
    with pytest.raises(ProblemError, match=r"(?s)T06.*boundary\(Q\).*boundary\(body, Q\)"):
        pdespec.parse(text)
    assert pdespec.parse(text.replace("on boundary(Q)", "on boundary(body, Q)")).conditions


@pytest.mark.parametrize(
    "make",
    [
        lambda: side(Q, y=1, where=True),
        lambda: side(Q, y=1, where=(x > 0) | (x < 1)),
        lambda: boundary(Q, where=r > 0),
        lambda: boundary(Q, where=pdespec.unknown("u", Q) > 0),
    ],
)
def test_what_is_no_inequality_of_position_is_refused(make):
    with pytest.raises(ProblemError, match="T05"):
        make()
