import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import pdespec
from pdespec import (
    Problem,
    ProblemError,
    boundary,
    box,
    const,
    d,
    det,
    diff,
    disk,
    div,
    dot,
    first_variation,
    grad,
    identity,
    inner,
    input_function,
    integral,
    inv,
    natural_conditions,
    on,
    param,
    rectangle,
    side,
    space,
    sym,
    tr,
    uniform,
    unit_normal,
    unknown,
    variation,
    weak_form,
)
from pdespec.coordinates import Normal
from pdespec.statements.curvature import curvature
from pdespec.statements.natural import naturals
from pdespec.tensors import transpose

from .closed_form import closed, same
from .zoo import ZOO

x, y = space("x y")
Omega = rectangle(x, y, (0, 0), (2, 1))
u, v = unknown("u", Omega), unknown("v", Omega, "vector")
f = input_function("f", Omega)
mu = const("mu", 0.5)
A, B, C = space("a b c")
q = unknown("q", box(A, B, C), "vector")
U, V, W = (
    x**2 * y + x / 3,
    [x * y**2 - x, y**2 + x**3 / 5],
    x * y * (2 - x) * (1 - y) * (1 + x - y) + y,
)


# ---- diff


def test_the_stress_is_the_derivative_of_the_energy_by_the_deformation_gradient():
    F = identity(2) + grad(v)
    J = det(F)
    neo_hooke = mu / 2 * (tr(F.T * F) - 2 - 2 * sp.log(J)) + (J - 1) ** 2
    # d J / d F = J F^-T
    by_hand = mu * (F - transpose(inv(F))) + 2 * (J - 1) * J * transpose(inv(F))
    small = {v: [x * y / 7, x**2 / 9]}
    assert same(closed(diff(neo_hooke, F), small), closed(by_hand, small), (x, y))


def test_the_stress_in_three_dimensions_agrees_with_the_cofactor_formula():
    F = identity(3) + grad(q)
    small = {q: [A * B / 7, B * C / 5 + A**2 / 9, A * B * C / 11]}
    cofactor = closed(F, small).cofactor_matrix()
    assert same(closed(diff(det(F), F), small), cofactor, (A, B, C))


def test_the_derivative_by_a_symmetric_strain_is_the_symmetric_stress():
    eps = sym(grad(v))
    stress = diff(tr(eps) ** 2 / 2 + mu * inner(eps, eps), eps)
    assert same(
        closed(stress, {v: V}), closed(tr(eps) * identity(2) + 2 * mu * eps, {v: V}), (x, y)
    )


def test_the_derivative_by_a_nonlinear_strain_finds_it_inside():
    F = identity(2) + grad(v)
    E = (F.T * F - identity(2)) / 2
    stress = diff(tr(E) ** 2 / 2 + inner(E, E), E)
    assert same(closed(stress, {v: V}), closed(tr(E) * identity(2) + 2 * E, {v: V}), (x, y))


def test_diff_holds_everything_else_fixed():
    psi = u**2 * dot(grad(u), grad(u)) + f * u
    assert diff(psi, u) == 2 * u * dot(grad(u), grad(u)) + f
    assert diff(psi, grad(u)) == 2 * u**2 * grad(u)
    assert diff(psi, d(u, x)) == 2 * u**2 * d(u, x)
    assert diff(mu * u**2, mu) == u**2
    assert diff(u * v, u) == v
    assert diff(3 * (2 * u + 1) ** 2, 2 * u + 1) == 6 * (2 * u + 1)


def test_the_gradient_of_a_function_is_its_derivative_by_an_affine_map():
    by = sp.Matrix([u + 2 * v[0], u - v[0]])
    slopes = diff(by[0] ** 2 + 3 * by[0] * by[1], by)
    assert same(
        closed(slopes, {u: U, v: V}),
        closed(sp.Matrix([2 * by[0] + 3 * by[1], 3 * by[0]]), {u: U, v: V}),
        (x, y),
    )


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: diff(u**2, x), "T05"),
        (lambda: diff(u**2, sp.Integer(1)), "T05"),
        (lambda: diff(d(v[0], x) ** 2, sym(grad(v))[0, 1] * 1), "ok"),
        (lambda: diff(d(v[0], y) ** 2, sym(grad(v))), "T05"),
        (lambda: diff(d(u, x), dot(grad(u), grad(u))), "T05"),
        (lambda: diff(v, grad(v)), "T02"),
    ],
)
def test_what_is_no_function_of_the_argument_is_refused(make, code):
    if code == "ok":
        assert make() == 0
        return
    with pytest.raises(ProblemError) as caught:
        make()
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]


# ---- variations


def test_the_variational_derivative_is_in_divergence_form():
    k = 1 + u**2
    E = integral(k * dot(grad(u), grad(u)) / 2 - f * u, Omega)
    by_hand = u * dot(grad(u), grad(u)) - f - div(k * grad(u))
    assert variation(E, u) == by_hand


def test_the_variation_by_a_vector_is_a_vector():
    E = integral(dot(v, v) / 2 + inner(grad(v), grad(v)) / 2, Omega)
    assert variation(E, v) == v - div(grad(v))


def test_higher_derivatives_alternate_in_sign():
    E = integral(d(u, x, x) ** 2 / 2 + d(u, x, x, y) ** 2 / 2, Omega)
    by_hand = U.diff(x, 4) - U.diff(x, 4, y, 2)
    assert same(
        closed(variation(E, u), {u: U + x**5 * y**3}),
        closed(by_hand, {}) + (x**5 * y**3).diff(x, 4) - (x**5 * y**3).diff(x, 4, y, 2),
        (x, y),
    )


def test_factors_and_sums_of_integrals_are_linear():
    first, second = integral(u**2, Omega), integral(dot(grad(u), grad(u)), Omega)
    combined = variation(2 * first - 3 * (second + first), u)
    apart = 2 * variation(first, u) - 3 * (variation(second, u) + variation(first, u))
    assert same(closed(combined, {u: U}), closed(apart, {u: U}), (x, y))


def test_boundary_integrals_do_not_enter_the_equation():
    assert variation(integral(u, boundary(Omega)), u) == 0


@pytest.mark.parametrize(
    "make", [lambda: variation(u**2, u), lambda: variation(integral(v, Omega), v)]
)
def test_an_energy_without_region_or_rank_is_refused(make):
    with pytest.raises(ProblemError, match="V01"):
        make()


def test_variations_are_by_unknowns():
    with pytest.raises(ProblemError, match="T05"):
        variation(integral(u * f, Omega), f)


densities = st.recursive(
    st.sampled_from(
        [u, d(u, x), d(u, y), v[0], d(v[0], y), d(v[1], x), d(u, x, y), f, x, sp.Rational(1, 2)]
    ),
    lambda children: st.one_of(
        st.tuples(children, children).map(lambda p: p[0] + p[1]),
        st.tuples(children, children).map(lambda p: p[0] * p[1]),
        children.map(lambda e: sp.exp(sp.sin(e) / 2)),
        children.map(lambda e: sp.sqrt(1 + e**2)),
        children.map(lambda e: sp.log(2 + e**2)),
    ),
    max_leaves=5,
)


@settings(max_examples=30, deadline=None)
@given(densities)
def test_the_first_variation_is_the_gateaux_derivative(density):
    energy = integral(density, Omega)
    if not energy:
        return
    e = sp.Symbol("e")
    shifts = {u: W, v: [x - y**2, x * y]}
    moved = {u: U + e * W, v: [V[0] + e * (x - y**2), V[1] + e * x * y], f: x - y}
    by_definition = closed(density, moved).diff(e).subs(e, 0)
    varied = first_variation(energy, u, v)
    density_of_it = sum(term.density for term in sp.Add.make_args(varied)) if varied else 0
    tests = {u.func.declaration.test: shifts[u], v[0].func.declaration.test: shifts[v]}
    assert same(
        closed(closed(density_of_it, {**moved, **tests}).subs(e, 0), {}), by_definition, (x, y)
    )


def over_square(expression):
    return sp.integrate(sp.integrate(sp.expand(expression), (x, 0, 2)), (y, 0, 1))


SIDES = [
    ({x: 0}, (-1, 0), y, 1),
    ({x: 2}, (1, 0), y, 1),
    ({y: 0}, (0, -1), x, 2),
    ({y: 1}, (0, 1), x, 2),
]


def around_square(expression):
    """The integral over the four sides, unit normal and place put in side by side."""
    n = [Normal(s) for s in (x, y)]
    return sum(
        sp.integrate(
            sp.expand(expression.subs(dict(zip(n, normal, strict=True))).subs(place)),
            (along, 0, length),
        )
        for place, normal, along, length in SIDES
    )


ENERGIES = {
    "quadratic": (dot(grad(u), grad(u)) / 2 - f * u, u),
    "nonlinear": (u**2 * d(u, x) ** 2 + d(u, y) ** 3 / 3 + x * u**3, u),
    "elastic": (tr(sym(grad(v))) ** 2 + inner(grad(v), grad(v)) * v[0], v),
    "plate": (inner(grad(grad(u)), grad(grad(u))) / 2 + dot(grad(u), grad(u)) - u * f, u),
    "bending": (d(u, x, x) ** 2 * u + 3 * d(u, x, y) * d(u, y) + d(u, x, x) * d(u, y, y), u),
}


@pytest.mark.parametrize("name", ENERGIES)
def test_integration_by_parts_leaves_the_natural_conditions_on_the_boundary(name):
    """integral(weak form) = integral(strong form * w) + boundary terms, for polynomials exactly;
    w vanishes at the corners."""
    density, field = ENERGIES[name]
    load = u**2 * y / 3 if field is u else v[1] * x
    problem = Problem(
        "p", minimize=integral(density, Omega) + integral(load, boundary(Omega, name="Gamma"))
    )
    vector = field is v
    bump = x * (2 - x) * (1 + y) + y * (1 - y) * (2 + x)
    test = [bump, bump * (x - y)] if vector else [bump]
    values = {u: U, v: V, f: x * y}
    directions = {
        field[0].func.declaration.test if vector else field.func.declaration.test: test
        if vector
        else test[0]
    }
    weak = weak_form(problem)["stationarity"]
    inside = over_square(
        sum(
            closed(term.density, {**values, **directions})
            for term in weak.args
            if term.region == Omega
        )
    )
    surface = around_square(
        sum(
            closed(term.density, {**values, **directions})
            for term in weak.args
            if term.region != Omega
        )
    )
    strong = closed(sp.Matrix([problem.residuals()["stationarity"]]), values)
    remainder = (
        inside + surface - over_square(sum(row * w for row, w in zip(strong, test, strict=True)))
    )

    boundary_terms = 0
    n = unit_normal(Omega)
    for label, condition in natural_conditions(problem).items():
        forces = closed(sp.Matrix([condition.lhs]), values)
        slopes = [dot(grad(w), n).doit() for w in test] if label.endswith("moment") else test
        boundary_terms += around_square(
            sum(force * slope for force, slope in zip(forces, slopes, strict=True))
        )
    assert remainder != 0
    assert sp.simplify(remainder - boundary_terms) == 0


def test_natural_conditions_stand_where_nothing_is_prescribed():
    problem = ZOO["hyperelastic_pores"]()
    ((_, condition),) = natural_conditions(problem).items()
    assert condition.region.kind == "rest"
    assert {other.name for other in condition.region.others} == {"bottom", "top"}
    X, Y = problem.coordinates
    n = unit_normal(problem.domains["body"])
    small = {problem.unknowns["u"].symbol: [X * Y / 9, X**2 / 8]}
    stress = problem.outputs["P"].value
    assert same(closed(condition.lhs, small), closed(stress * n, small), (X, Y))


def test_a_component_alone_is_free_where_the_other_is_prescribed():
    roller = side(Omega, x=0, name="roller")
    eps = sym(grad(v))
    problem = Problem("p", minimize=integral(inner(eps, eps), Omega), conditions=[on(roller, v[0])])
    found = {
        (c.region.name, getattr(c.lhs, "shape", ())) for c in natural_conditions(problem).values()
    }
    assert found == {("rest(Omega, roller)", ()), ("boundary(Omega)", ())}


def test_nothing_is_natural_where_everything_is_prescribed():
    assert natural_conditions(ZOO["minimal_surface"]()) == {}


def test_a_clamped_side_of_a_plate_has_no_natural_moment():
    problem = ZOO["plate_energy"]()
    regions = [condition.region.name for condition in natural_conditions(problem).values()]
    assert regions == ["rest(Omega, side(Omega, x = 0))"]


def test_natural_conditions_of_third_order_are_refused():
    problem = Problem("p", minimize=integral(d(u, x, x, x) ** 2, Omega))
    with pytest.raises(ProblemError, match="V01"):
        natural_conditions(problem)


def test_the_second_variation_is_symmetric():
    from pdespec.jets import jet_form

    energy = integral(u**4 + u**2 * d(u, x) ** 2 + sp.exp(d(u, y)), Omega)
    twice = first_variation(first_variation(energy, u), u)
    density = jet_form(twice.density)
    by_hand = jet_form(12 * u**2 + 2 * d(u, x) ** 2)
    test = jet_form(u.func.declaration.test)
    assert sp.expand(density).coeff(test, 2) == sp.expand(by_hand)


def test_a_disk_keeps_its_normal_symbolic():
    D = disk(*space("x y"), radius=1, name="D")
    w = unknown("w", D)
    n = unit_normal(D)
    h = param("h", uniform(0, 1))
    energy = integral(dot(grad(w), grad(w)) / 2, D) - integral(h * w, boundary(D))
    (condition,) = natural_conditions(Problem("p", minimize=energy)).values()
    assert condition.lhs == dot(grad(w), n) - h
    assert condition.region == boundary(D)


def test_stationary_functionals_give_equations_too():
    p = unknown("p", Omega)
    lagrangian = integral(inner(grad(v), grad(v)) / 2 - p * div(v), Omega)
    problem = Problem("stokes", stationary=lagrangian, conditions=[on(boundary(Omega), (v, 0))])
    residuals = problem.residuals()
    assert set(residuals) == {"stationarity.v", "stationarity.p"}
    assert same(closed(residuals["stationarity.p"], {v: V}), -closed(div(v), {v: V}), (x, y))
    q = x * y**2
    assert same(
        closed(residuals["stationarity.v"], {v: V, p: q}),
        closed(-pdespec.lap(v) + grad(p), {v: V, p: q}),
        (x, y),
    )


DISK_PLATE = """problem plate
space x, y
const nu = 0.3
domain D = disk(radius = 2, center = [1, 0])
unknown w : scalar on D
minimize integral((lap(w)^2 - 2*(1-nu)*(dxx(w)*dyy(w) - dxy(w)^2) + w^2)/2, D)
"""


def test_moment_and_shear_on_a_curved_edge_are_those_of_polar_coordinates():
    """M = w_rr + nu (w_r/r + w_tt/r^2), V = -d_r lap(w) - (1 - nu)/r d_t (w_rt/r - w_t/r^2)."""
    problem = pdespec.parse(DISK_PLATE)
    x, y = problem.coordinates
    w, nu = x**3 * y + y**2 * sp.sin(x) + x**2, sp.Rational(3, 10)
    r, t = sp.symbols("r t", positive=True)
    polar = {x: 1 + r * sp.cos(t), y: r * sp.sin(t)}
    along = w.xreplace(polar)
    laplacian = (sp.diff(w, x, 2) + sp.diff(w, y, 2)).xreplace(polar)
    twist = sp.diff(along, r, t) / r - sp.diff(along, t) / r**2
    by_hand = (
        -sp.diff(laplacian, r) - (1 - nu) / r * sp.diff(twist, t),
        sp.diff(along, r, 2) + nu * (sp.diff(along, r) / r + sp.diff(along, t, 2) / r**2),
    )
    derived = manufactured_fluxes(problem, w)
    for angle in (0.3, 1.1, 2.5, 4.0):
        n = dict(zip(map(Normal, (x, y)), (np.cos(angle), np.sin(angle)), strict=True))
        at = n | {x: 1 + 2 * np.cos(angle), y: 2 * np.sin(angle)}
        for order in (0, 1):
            expected = float(by_hand[order].subs({r: 2, t: angle}))
            assert float(derived[order].xreplace(at)) == pytest.approx(expected, rel=1e-9)


def manufactured_fluxes(problem, solution):
    """The natural fluxes by normal order with a solution put in, derivatives carried out."""
    field = next(iter(problem.unknowns.values())).symbol
    numbers = {c.symbol: c.value for c in problem.constants.values()}
    return {
        each.normal_order: each.flux.xreplace({field: solution}).doit().xreplace(numbers)
        for each in naturals(problem, problem.functionals[0])
    }


@pytest.mark.parametrize(
    ("shape", "edge", "place", "expected"),
    [
        (
            "rectangle([0, 0], [1, 1]) - disk(radius = 0.2)",
            "inner(D): u = 0\non outer(D)",
            (0.2, 0),
            -5,
        ),
        ("moved(disk(radius = 4), vector = [1, 2])", "boundary(D)", (5, 2), 1 / 4),
        ("ellipse([3, 2])", "boundary(D)", (3, 0), 3 / 4),
        ("star(radius = 1 + cos(3*theta)/10)", "boundary(D)", (1.1, 0), 1 / 1.1 + 0.9 / 1.1**2),
        ("polygon([0, 0], [1, 0], [0, 1])", "boundary(D)", (0.5, 0.5), 0),
    ],
)
def test_the_curvature_of_boundaries(shape, edge, place, expected):
    """Positive where the body is convex; a / b^2 at the end of an axis, and for r(t) with r' = 0
    there (r - r'')/r^2."""
    problem = pdespec.parse(
        f"problem p\nspace x, y\ndomain D = {shape}\nunknown u : scalar on D\n"
        f"in D: -lap(u) = 0\non {edge}: u = 0\n"
    )
    region = next(iter(problem.conditions.values())).region
    at = dict(zip(problem.coordinates, place, strict=True))
    assert float(curvature(region).subs(at)) == pytest.approx(expected)


def test_curvatures_that_differ_are_not_one():
    problem = pdespec.parse(
        DISK_PLATE.replace(
            "disk(radius = 2, center = [1, 0])", "disk(radius = 2) - disk(radius = 1)"
        )
    )
    with pytest.raises(ProblemError, match="V01"):
        natural_conditions(problem)
