import pytest
import sympy as sp

from pdespec import (
    ProblemError,
    airfoil,
    ball,
    boundary,
    box,
    const,
    cylinder,
    disk,
    ellipse,
    exterior,
    extruded,
    fourier,
    gaussians,
    grf,
    inner,
    input_function,
    interval,
    lattice,
    loguniform,
    moved,
    normal,
    outer,
    param,
    periodic,
    polygon,
    rectangle,
    rest,
    rotated,
    scaled,
    side,
    space,
    star,
    uniform,
    unknown,
)
from pdespec.geometry import (
    THETA,
    Difference,
    Disk,
    Intersection,
    Lattice,
    Rectangle,
    Star,
    Union,
    shape_symbols,
    subshapes,
)
from pdespec.statements.boundary_parts import domain_parts, parts

x, y = space("x y")
Omega = rectangle(x, y, (0, 0), (2, 1))


def names(pieces):
    return [str(piece) for piece in pieces]


def test_laws_keep_exact_arguments():
    assert uniform(-0.2, 0.2).arguments == {"low": -sp.Rational(1, 5), "high": sp.Rational(1, 5)}
    assert uniform(0, 1).support == (0, 1)
    assert normal(0, 1).support == (-sp.oo, sp.oo)
    assert loguniform(0.1, 10).draws == "number"
    assert grf(length=0.5).draws == gaussians().draws == fourier().draws == "function"
    assert grf(length=0.5).arguments == {"sigma": 1, "length": sp.Rational(1, 2)}


@pytest.mark.parametrize(
    "make",
    [
        lambda: uniform(1, 0),
        lambda: normal(0, 0),
        lambda: loguniform(0, 1),
        lambda: gaussians(count=0),
        lambda: gaussians(count=1.5),
        lambda: gaussians(width=-1),
        lambda: gaussians(spread=0),
        lambda: grf(),
        lambda: grf(length=1, tau=2, alpha=2),
        lambda: grf(tau=1),
        lambda: uniform(0, x),
        lambda: fourier(modes=10**9),
    ],
)
def test_a_law_with_impossible_arguments_is_refused(make):
    with pytest.raises(ProblemError, match="S02"):
        make()


def test_a_star_is_a_radius_in_the_polar_angle():
    c = param("c", uniform(0, 1))
    shape = star(x, y, radius=lambda theta: 1 + c * sp.cos(4 * theta)).shape
    assert shape == Star(1 + c * sp.cos(4 * THETA), THETA, (0, 0))
    assert shape_symbols(shape) == {c}


def test_operators_combine_domains_to_a_tree():
    hole = disk(x, y, radius=0.1, center=(1, 0.5))
    square = rectangle(x, y)
    assert (Omega - hole).shape == Difference(Omega.shape, hole.shape)

    assert ((Omega + square) & hole).shape == Intersection(
        Union(Omega.shape, square.shape), hole.shape
    )
    assert (Omega - hole).name == Omega.name
    assert list(subshapes((Omega - lattice(hole, 3, 2)).shape)) == [
        Difference(Omega.shape, Lattice(hole.shape, 3, 2)),
        Omega.shape,
        Lattice(hole.shape, 3, 2),
        hole.shape,
    ]


def test_shapes_are_exact_and_may_depend_on_params():
    s = param("s", uniform(0, 1))
    assert disk(x, y, radius=0.1 * s).shape == Disk(s / 10, (0, 0))
    assert rectangle(x, y, upper=(0.5, s)).shape == Rectangle((0, 0), (sp.Rational(1, 2), s))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: rectangle(x, y, (1, 0), (0, 1)), "S02"),
        (lambda: disk(x, y, radius=0), "S02"),
        (lambda: disk(x, y, radius=x), "T05"),
        (lambda: disk(x, y, center=(0, 0, 0)), "T06"),
        (lambda: polygon(x, y, [(0, 0), (1, 0)]), "S02"),
        (lambda: interval(x, 0, 1), "T06"),
        (lambda: rectangle(y, x), "T06"),
        (lambda: rectangle(sp.Symbol("x"), y), "T05"),
        (lambda: Omega - ball(*space("a b c")), "T06"),
        (lambda: Omega - 3, "T06"),
        (lambda: lattice(disk(x, y), 0, 5), "S02"),
        (lambda: airfoil(x, y, (0, 0, 90)), "S02"),
        (lambda: airfoil(x, y, displacement=[0.1, 0.2]), "S02"),
        (lambda: side(Omega, z=1), "S01"),
        (lambda: side(Omega), "S02"),
        (lambda: rest(Omega), "S02"),
        (lambda: rest(Omega, boundary(rectangle(x, y))), "T06"),
        (lambda: boundary(x), "T05"),
        (lambda: boundary(Omega, disk(x, y)), "S01"),
        (lambda: periodic(x), "T05"),
        (lambda: periodic(disk(x, y)), "T06"),
        (lambda: periodic(Omega, *space("z")), "S01"),
        (lambda: disk(x, y, name="my disk"), "S03"),
        (lambda: ellipse(x, y, (1, 2, 3)), "T06"),
        (lambda: ellipse(x, y, (1, -2)), "S02"),
        (lambda: scaled(disk(x, y), 0), "S02"),
        (lambda: moved(disk(x, y), (1,)), "T06"),
        (lambda: moved(3, (1, 0)), "T05"),
        (lambda: rotated(disk(x, y), 1, axis=(0, 0, 1)), "T06"),
        (lambda: cylinder(*space("a b c"), 1, 1, axis=(0, 0, 0)), "S02"),
        (lambda: extruded(*space("a b c"), ball(*space("a b c")).shape, 1), "T06"),
    ],
)
def test_an_impossible_shape_is_refused(make, code):
    with pytest.raises(ProblemError) as caught:
        make()
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
    assert caught.value.diagnostics[0].hint


def test_a_field_is_no_length():
    with pytest.raises(ProblemError, match="T05"):
        disk(x, y, radius=unknown("u", Omega))
    with pytest.raises(ProblemError, match="T05"):
        disk(x, y, radius=input_function("f", Omega))


def test_the_sides_of_a_rectangle_are_its_parts():
    assert names(domain_parts(Omega)) == ["x = 0", "x = 2", "y = 0", "y = 1"]
    assert names(parts(side(Omega, y=1))) == ["y = 1"]
    assert names(parts(rest(Omega, side(Omega, y=1)))) == ["x = 0", "x = 2", "y = 0"]
    assert parts(boundary(Omega)) == domain_parts(Omega)
    assert parts(side(Omega, y=7)) == ()


def test_periodic_sides_are_no_boundary():
    wrapped = periodic(Omega, x)
    assert wrapped.periodic == ("x",)
    assert names(domain_parts(wrapped)) == ["y = 0", "y = 1"]
    assert domain_parts(periodic(wrapped)) == ()


def test_holes_are_inner_and_the_rest_is_outer():
    pierced = Omega - disk(x, y, radius=0.1) - rectangle(x, y, (1, 0.25), (1.5, 0.75))
    assert names(parts(inner(pierced))) == [
        "the boundary of the disk",
        "x = 1",
        "x = 3/2",
        "y = 1/4",
        "y = 3/4",
    ]
    assert names(parts(outer(pierced))) == names(domain_parts(Omega))
    hole = disk(x, y, radius=0.1)
    assert names(parts(boundary(Omega - hole, hole))) == ["the boundary of the disk"]


def test_an_exterior_has_a_body_and_a_far_field():
    outside = exterior(airfoil(x, y), disk(x, y, radius=40))
    assert names(parts(inner(outside))) == ["the boundary of the airfoil"]
    assert names(parts(outer(outside))) == ["the boundary of the disk"]


def test_sides_match_by_value_not_by_form():
    s = param("s", uniform(1, 2))
    domain = rectangle(x, y, upper=(2 * s + 2, 1))
    assert names(parts(side(domain, x=2 * (s + 1)))) == ["x = 2*s + 2"]


def test_unnamed_boundaries_bear_the_text_that_declares_them():
    lid = side(Omega, y=1)
    assert boundary(Omega).name == "boundary(Omega)"
    assert lid.name == "side(Omega, y = 1)"
    assert rest(Omega, lid).name == "rest(Omega, side(Omega, y = 1))"
    assert side(Omega, y=0.5).name == "side(Omega, y = 1/2)"
    assert const("c", 1).name == "c"


def test_boxes_and_balls_live_in_space():
    a, b, c = space("a b c")
    assert box(a, b, c).dim == box(a, b, c).shape.dim == 3
    assert ball(a, b, c).coordinates == (a, b, c)
    assert len(domain_parts(box(a, b, c))) == 6


def test_straight_parts_are_sides_wherever_they_lie():
    ell = polygon(x, y, [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])
    assert names(domain_parts(ell)) == ["y = 0", "x = 2", "y = 1", "x = 1", "y = 2", "x = 0"]
    assert names(parts(side(ell, x=0))) == ["x = 0"]
    wedge = polygon(x, y, [(0, 0), (1, 0), (0, 1)])
    assert names(domain_parts(wedge)) == ["y = 0", "the slanted edges of the polygon", "x = 0"]
    turned = rotated(rectangle(x, y, (0, 0), (2, 1)), sp.pi / 2)
    assert names(domain_parts(turned)) == ["y = 0", "y = 2", "x = 0", "x = -1"]
    assert names(domain_parts(rotated(rectangle(x, y), 1))) == [
        "the boundary of the rotated rectangle"
    ]
    s = param("s", uniform(1, 2))
    assert names(parts(side(moved(scaled(rectangle(x, y), s), (s, 0)), x=2 * s))) == ["x = 2*s"]
    a, b, c = space("a b c")
    assert names(domain_parts(cylinder(a, b, c, 1, 2, (0, 0, 1), (1, 0, 0)))) == [
        "the side of the cylinder",
        "a = 0",
        "a = 2",
    ]
    plate = extruded(a, b, c, rectangle(x, y).shape - disk(x, y, radius=0.1).shape, 2)
    assert names(domain_parts(plate)) == [
        "a = 0",
        "a = 1",
        "b = 0",
        "b = 1",
        "the side of the extruded difference",
        "c = 0",
        "c = 2",
    ]
    assert names(parts(inner(plate))) == ["the side of the extruded difference"]
