"""Bodies of revolution and balls: operators against Cartesian ones of the revolved field, the
solver and the loss against closed forms."""

from __future__ import annotations

import math

import pytest
import sympy as sp
import torch

import compiler
import pdespec
from pdespec import ProblemError, curl, div, grad, lap, rectangle, space, sym, unknown
from pdespec.jets import expand_derivatives

F64 = torch.float64
SQUARE = "space r, z axisymmetric\ndomain Q = rectangle([0, 0], [1, 1])\n"


# ---- operators, against those of Cartesian space

x, y, z = sp.symbols("x y z", real=True)
RADIUS = sp.sqrt(x**2 + y**2)
(R, Z), (S,) = space("r z", system="axisymmetric"), space("s", system="spherical")
Q, B = rectangle(R, Z, [0, 0], [1, 1]), pdespec.interval(S, 0, 1)
POINT = {x: sp.Rational(3, 10), y: sp.Rational(2, 5), z: sp.Rational(7, 10)}
U, V = R**2 * sp.exp(Z) + Z, (R * sp.cos(Z) + R**3, R**2 * Z)


def at_point(expression, fields):
    """A derived expression with its fields put in, at r = 1/2 (or s) and z = 7/10."""
    replaced = expand_derivatives(expression).subs(fields).doit()
    return replaced.subs(
        {R: sp.Rational(1, 2), Z: POINT[z], S: sp.sqrt(sp.Rational(1, 4) + POINT[z] ** 2)}
    )


def revolved(expression):
    return expression.subs({R: RADIUS, Z: z}, simultaneous=True)


def test_the_operators_are_those_of_the_revolved_field():
    u, v = unknown("u", Q), unknown("v", Q, "vector")
    fields = {u: U, v[0]: V[0], v[1]: V[1]}
    full = sp.Matrix([revolved(V[0]) * x / RADIUS, revolved(V[0]) * y / RADIUS, revolved(V[1])])
    axes = (x, y, z)
    jacobian = full.jacobian(axes)

    def same(found, cartesian):
        assert abs(sp.N(at_point(found, fields) - cartesian.subs(POINT))) < 1e-12

    same(lap(u), sum(sp.diff(revolved(U), s, 2) for s in axes))
    same(div(v), jacobian.trace())
    strain, wanted = sym(grad(v)), (jacobian + jacobian.T) / 2
    same(pdespec.inner(strain, strain), sum(entry**2 for entry in wanted))
    same(pdespec.tr(strain), wanted.trace())
    same(pdespec.det(grad(v)), jacobian.det())
    outward = sp.Matrix([x / RADIUS, y / RADIUS, 0])
    laplacian = sp.Matrix([sum(sp.diff(entry, s, 2) for s in axes) for entry in full])
    same(lap(v)[0], (laplacian.T * outward)[0])
    same(lap(v)[1], laplacian[2])
    stress = wanted * (1 + revolved(U)) + sp.eye(3) * revolved(U)
    divergence = sp.Matrix(
        [sum(sp.diff(stress[i, j], s) for j, s in enumerate(axes)) for i in range(3)]
    )
    found = div(strain * (1 + u) + pdespec.identity(3) * u)
    same(found[0], (divergence.T * outward)[0])
    same(found[1], divergence[2])
    swirl = sp.Matrix(
        [sp.diff(full[0], z) - sp.diff(full[2], x), sp.diff(full[2], y) - sp.diff(full[1], z)]
    )
    same(curl(v), swirl[0] * x / RADIUS - swirl[1] * y / RADIUS)


def test_the_operators_about_a_centre_are_those_of_the_ball():
    v = unknown("v", B, "vector")
    size = sp.sqrt(x**2 + y**2 + z**2)
    profile = S**3 + sp.sin(S)
    full = sp.Matrix([profile.subs(S, size) * s / size for s in (x, y, z)])
    wanted = full.jacobian((x, y, z))
    laplacian = sum(sp.diff(full[0], s, 2) for s in (x, y, z)) * size / x
    for found, cartesian in (
        (div(v), wanted.trace()),
        (lap(v)[0], laplacian),
        (pdespec.det(grad(v)), wanted.det()),
    ):
        assert abs(sp.N(at_point(found, {v[0]: profile}) - cartesian.subs(POINT))) < 1e-12


# ---- the reference solver

CASES = {
    "pipe flow is Poiseuille's": (
        SQUARE
        + "unknown u : scalar on Q\nin Q: -lap(u) = 4\non side(Q, r = 1): u = 0\non rest(Q, side(Q,"
        " r = 1)): dn(u) = 0\n",
        lambda p: 1 - p[..., :1] ** 2,
        1e-12,
    ),
    "an energy has its measure": (
        SQUARE
        + "unknown u : scalar on Q\nminimize integral(dot(grad(u), grad(u))/2 - 4*u, Q)\non side(Q,"
        " r = 1): u = 0\n",
        lambda p: 1 - p[..., :1] ** 2,
        1e-12,
    ),
    "a variable conductivity": (
        SQUARE + "unknown u : scalar on Q\nk := 1 + r^2 + z\nin Q: div(k*grad(u)) = 4*k*cosh(2*z) +"
        " 2*sinh(2*z) - 4*k - 4*r^2\non boundary(Q): u = cosh(2*z) - r^2\n",
        lambda p: torch.cosh(2 * p[..., 1:]) - p[..., :1] ** 2,
        None,
    ),
    "a ball that is heated": (
        (
            "space r spherical\ndomain Q = interval(0, 1)\nunknown u : scalar on Q\nin Q: -lap(u) ="
            " 6 + 20*r^2\non side(Q, r = 1): u = 0\n"
        ),
        lambda p: 2 - p**2 - p**4,
        None,
    ),
    "a thick tube under pressure, with its hoop stress": (
        (
            "space r axisymmetric\ndomain Q = interval(1, 2)\nunknown u : vector on Q\ne :="
            " sym(grad(u))\nin Q: div(tr(e)*I + 2*e) = 0\non side(Q, r = 1): u = [1]\non side(Q, r"
            " = 2): u = 0\n"
        ),
        lambda p: (4 / (1 + p) - (1 + p)) / 3,  # Lame: A r + B / r, at r = 1 + p
        None,
    ),
    "Stokes flow in a pipe": (
        SQUARE
        + "unknown v : vector on Q, p : scalar on Q\nin Q: div(-p*I + 2*sym(grad(v))) = 0; div(v) ="
        " 0\non side(Q, r = 1): v = 0\non rest(Q, side(Q, r = 1)): v = [0, 1 - r^2]\nrequire"
        " integral(p, Q) = 0\n",
        lambda p: torch.stack([0 * p[..., 0], 1 - p[..., 0] ** 2, 2 - 4 * p[..., 1]], -1),
        1e-10,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_reference_solver_finds(name):
    text, exact, bound = CASES[name]
    problem = pdespec.parse("problem p\n" + text)
    assert (
        pdespec.parse(problem.to_dsl())
        == problem
        == pdespec.parse(problem.revised(written=None).to_dsl())
    )
    batch = compiler.instance(problem, dtype=F64)
    points = torch.rand(
        1, 100, len(problem.coordinates), dtype=F64, generator=torch.Generator().manual_seed(0)
    )
    shifted = points + 1 if "interval(1, 2)" in text else points
    errors = [
        float((compiler.solve(problem, batch, resolution=n)(shifted) - exact(points)).abs().max())
        for n in (6, 12)
    ]
    if bound is not None:
        assert max(errors) < bound
    else:
        assert errors[1] < 2e-4 and math.log2(errors[0] / errors[1]) > 2.5


# ---- the loss


def test_residuals_are_those_of_cylinder_coordinates_and_the_loss_is_finite_on_the_axis():
    problem = pdespec.parse(
        "problem p\n" + SQUARE + "unknown u : scalar on Q, v : vector on Q\n"
        "in Q: lap(u) + div(u*v) = 0; lap(v) = 0\non boundary(Q): u = 0; v = 0\n"
    )
    v = V[0] + R, V[1]

    def laplacian(f):
        return sp.diff(R * sp.diff(f, R), R) / R + sp.diff(f, Z, 2)

    by_hand = [
        laplacian(U) + sp.diff(R * U * v[0], R) / R + sp.diff(U * v[1], Z),
        laplacian(v[0]) - v[0] / R**2,
        laplacian(v[1]),
    ]
    loss = compiler.compile(problem)
    compiled = [sp.lambdify((R, Z), each, "torch") for each in (U, *v)]
    points = 0.1 + 0.8 * torch.rand(1, 50, 2, dtype=F64, generator=torch.Generator().manual_seed(0))

    def field(points):
        return torch.stack([function(*points.unbind(-1)) for function in compiled], -1)

    found = torch.cat(list(loss.residuals(field, points).values()), -1)
    wanted = torch.stack(
        [
            sp.lambdify((R, Z), each, "torch")(*points.unbind(-1)) + 0 * points[..., 0]
            for each in by_hand
        ],
        -1,
    )
    assert torch.allclose(found, wanted, rtol=1e-10, atol=1e-10)
    on_axis = torch.cat([torch.zeros(1, 9, 1, dtype=F64), torch.rand(1, 9, 1, dtype=F64)], -1)
    batch = compiler.instance(problem, dtype=F64)
    batch.points["Q"].points[:, :9] = on_axis
    terms = loss(field, batch)
    assert all(term.isfinite() for term in terms.values())
    tilted = loss(
        lambda p: torch.stack([p[..., 0], 1 + 0 * p[..., 0], 0 * p[..., 0]], -1) + 0 * field(p),
        batch,
    )
    # dr(u) = 0 and v.r = 0 on the axis
    assert float(tilted["eq1"].detach()) > 0.1 and float(tilted["eq2"].detach()) > 0.1


def test_the_axis_is_no_boundary_and_integrals_are_over_the_whole_body():
    problem = pdespec.parse(
        "problem p\n" + CASES["an energy has its measure"][0] + "output volume := integral(1, Q)\n"
    )
    batch = compiler.instance(problem, dtype=F64, points={"interior": 20000})
    loss = compiler.compile(problem)
    energy = loss(lambda p: 1 - p[..., :1] ** 2, batch)["energy"]
    # int (2 r^2 - 4 (1 - r^2)) r dr
    assert float(energy.detach()) == pytest.approx(2 * math.pi * (0.5 - 4 * 0.25), rel=1e-3)
    assert problem.outputs["volume"].value.density == 2 * sp.pi * problem.coordinates[0]
    whole = pdespec.parse("problem p\n" + CASES["a variable conductivity"][0])
    edges = compiler.instance(whole, dtype=F64).points["boundary(Q)"]
    assert float(edges.measure) == pytest.approx(3) and float(edges.points[..., 0].min()) >= 0
    assert not (
        (edges.points[..., 0] == 0) & (edges.points[..., 1] > 0) & (edges.points[..., 1] < 1)
    ).any()


def test_the_euler_lagrange_equation_is_that_of_the_body():
    problem = pdespec.parse("problem p\n" + CASES["an energy has its measure"][0])
    u, (r, z) = problem.unknowns["u"].symbol, problem.coordinates
    by_hand = -sp.Derivative(u, (r, 2)) - sp.Derivative(u, r) / r - sp.Derivative(u, (z, 2)) - 4
    assert sp.expand(problem.residuals()["stationarity"] - by_hand) == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("space r, z axisymetric\n", "S01"),
        ("space x, y, z axisymmetric\n", "T06"),
        ("space r, z spherical\n", "T06"),
        (
            (
                "space r, z axisymmetric\ndomain Q = rectangle([-1, 0], [1, 1])\nunknown u : scalar"
                " on Q\nin Q: lap(u) = u\n"
            ),
            "T06",
        ),
        (SQUARE + "unknown T : tensor on Q\n", "T06"),
        (SQUARE + "unknown v : vector on Q\nin Q: div(lap(grad(v))) = 0\n", "T02"),
        (SQUARE + "unknown u : scalar on Q\nin Q: lap(u) = 0\n", "W02"),
    ],
)
def test_what_is_wrong_about_an_axis_is_told(text, code):
    with pytest.raises(ProblemError) as caught:
        pdespec.parse("problem p\n" + text)
    assert code in {each.code for each in caught.value.diagnostics}
    assert not any(
        "r = 0" in each.message for each in caught.value.diagnostics if each.code == "W02"
    )


def test_a_body_of_revolution_trains_a_step():
    problem = pdespec.parse("problem p\n" + CASES["a variable conductivity"][0])
    batch = compiler.sample(
        problem,
        1,
        {"interior": 64, "boundary": 32, "operator": 32},
        torch.Generator().manual_seed(0),
    )
    model = compiler.build(problem, "pinn", hidden=(8, 8))
    compiler.compile(problem)(model(batch.inputs), batch).total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
