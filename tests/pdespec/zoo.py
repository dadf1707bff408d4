"""Well-posed problems of many kinds, in Python form: none of them may raise a diagnostic."""

from __future__ import annotations

import sympy as sp

import pdespec as pde
from pdespec import (
    Problem,
    advect,
    airfoil,
    at,
    ball,
    boundary,
    box,
    const,
    curl,
    det,
    diff,
    disk,
    div,
    dot,
    dt,
    dtt,
    exterior,
    fourier,
    gaussians,
    grad,
    grf,
    identity,
    inner,
    input_function,
    integral,
    interval,
    lap,
    lattice,
    on,
    outer,
    param,
    periodic,
    rectangle,
    rest,
    side,
    space,
    star,
    sym,
    time,
    tr,
    trainable,
    uniform,
    unit_normal,
    unknown,
    variation,
)

ZOO = {}


def problem(function):
    ZOO[function.__name__] = function
    return function


# ---- the six examples of the language


@problem
def nonlinear_poisson():
    x, y = space("x y")
    c1, c2 = param("c1", uniform(-0.2, 0.2)), param("c2", uniform(-0.2, 0.2))
    Omega = star(x, y, radius=lambda theta: 1 + c1 * sp.cos(4 * theta) + c2 * sp.cos(8 * theta))
    Gamma = boundary(Omega)
    u = unknown("u", Omega)
    f = input_function("f", Omega, gaussians(count=2))
    g = input_function("g", Gamma, fourier(modes=2, amplitude=0.25))
    return Problem(
        "nonlinear_poisson",
        equations={"balance": sp.Eq(div((1 + u**2 / 10) * grad(u)), f)},
        conditions=[on(Gamma, sp.Eq(u, g))],
    )


@problem
def burgers():
    (x,) = space("x")
    t = time("t", 0, 1)
    L = periodic(interval(x, 0, 1, name="L"), x)
    nu = const("nu", 0.01)
    u0 = input_function("u0", L, grf(sigma=625, tau=5, alpha=4))
    u = unknown("u", L, time=t)
    return Problem(
        "burgers", [sp.Eq(dt(u) + u * pde.dx(u), nu * pde.dxx(u))], [at(t, 0, sp.Eq(u, u0))]
    )


@problem
def lid_cavity():
    x, y = space("x y")
    t = time("t", 0, 10)
    Omega = rectangle(x, y, [0, 0], [1, 1])
    lid = side(Omega, y=1, name="lid")
    walls = rest(Omega, lid, name="walls")
    Re = param("Re", 500)
    v, p = unknown("v", Omega, "vector", time=t), unknown("p", Omega, time=t)
    sigma = -p * identity(2) + 2 / Re * sym(grad(v))
    return Problem(
        "lid_cavity",
        {"momentum": (dt(v) + advect(v, v), div(sigma)), "continuity": div(v)},
        [on(lid, (v, [1, 0])), on(walls, (v, 0)), at(t, 0, (v, 0))],
        require=[sp.Eq(integral(p, Omega), 0)],
    )


@problem
def hyperelastic_pores():
    X, Y = space("X, Y")
    s = param("s", uniform(0.2, 1.1))
    body = rectangle(X, Y, [0, 0], [1, 1], name="body") - lattice(
        disk(X, Y, radius=0.099736 * s), 5, 5
    )
    bottom, top = side(body, Y=0, name="bottom"), side(body, Y=1, name="top")
    mu, kappa, imperfection = (
        const("mu", 0.31653),
        const("kappa", 15.721),
        const("imperfection", 0.02),
    )
    u = unknown("u", body, "vector")
    F = identity(2) + grad(u)
    J = det(F)
    psi = mu / 2 * (tr(F.T * F) / J - 2) + kappa / 2 * (J - 1) ** 2
    nudge = imperfection * sp.Matrix(
        [
            sp.sin(4 * sp.pi * X) * sp.cos(4 * sp.pi * Y),
            -sp.cos(4 * sp.pi * X) * sp.sin(4 * sp.pi * Y),
        ]
    )
    return Problem(
        "hyperelastic_pores",
        minimize=integral(psi - dot(nudge, u), body),
        conditions=[on(bottom, (u, [0, 0])), on(top, (u, [0, -0.12]))],
        require=[(J > 0, body)],
        output={"P": diff(psi, F)},
    )


@problem
def airfoil_euler():
    x, y = space("x y")
    d = param("d", uniform(-0.05, 0.05), size=7)
    Omega = exterior(airfoil(x, y, (0, 0, 12), displacement=d), disk(x, y, radius=40))
    foil, far = inner(Omega, name="foil"), outer(Omega, name="far")
    gamma, M = const("gamma", 1.4), const("M", 0.8)
    rho, p = unknown("rho", Omega, positive=True), unknown("p", Omega, positive=True)
    v = unknown("v", Omega, "vector")
    E = p / (gamma - 1) + rho / 2 * dot(v, v)
    n = unit_normal(Omega)
    return Problem(
        "airfoil_euler",
        {
            "mass": div(rho * v),
            "momentum": div(rho * outer(v, v) + p * identity(2)),
            "energy": div((E + p) * v),
        },
        [on(foil, dot(v, n)), on(far, (rho, 1), (v, [M * sp.sqrt(gamma), 0]), (p, 1))],
        output={"force": integral(p * n, foil)},
        data=[(p, foil, "airfoils.h5")],
    )


@problem
def allen_cahn():
    x, y = space("x y")
    t = time("t", 0, 10)
    B = periodic(rectangle(x, y, [0, 0], [2 * sp.pi, 2 * sp.pi], name="B"))
    eps = const("eps", 0.1)
    u0 = input_function("u0", B, grf(length=0.5))
    u = unknown("u", B, time=t)
    E = integral(eps**2 / 2 * dot(grad(u), grad(u)) + (u**2 - 1) ** 2 / 4, B)
    return Problem("allen_cahn", [sp.Eq(dt(u), -variation(E, u))], [at(t, 0, sp.Eq(u, u0))])


# ---- parabolic, hyperbolic, dispersive


@problem
def heat():
    x, y = space("x y")
    t = time("t", 0, 1)
    Omega = disk(x, y, radius=1)
    u0 = input_function("u0", Omega, gaussians())
    u = unknown("u", Omega, time=t)
    return Problem("heat", [(dt(u), lap(u))], [on(boundary(Omega), u), at(t, 0, (u, u0))])


@problem
def insulated_heat():
    x, y, z = space("x y z")
    t = time("t", 0, 1)
    Omega = ball(x, y, z, radius=1)
    u0 = input_function("u0", Omega, gaussians())
    u = unknown("u", Omega, time=t)
    return Problem(
        "insulated_heat",
        [(dt(u), lap(u))],
        [on(boundary(Omega), dot(grad(u), unit_normal(Omega))), at(t, 0, (u, u0))],
    )


@problem
def wave():
    x, y = space("x y")
    t = time("t", 0, 2)
    Omega = rectangle(x, y)
    c = param("c", uniform(1, 2))
    u0 = input_function("u0", Omega, grf(length=0.2))
    u = unknown("u", Omega, time=t)
    return Problem(
        "wave", [(dtt(u), c**2 * lap(u))], [on(boundary(Omega), u), at(t, 0, (u, u0), dt(u))]
    )


@problem
def advection_diffusion():
    x, y = space("x y")
    t = time("t", 0, 1)
    Omega = rectangle(x, y, [0, 0], [2, 1])
    inlet, outlet = side(Omega, x=0, name="inlet"), side(Omega, x=2, name="outlet")
    D = const("D", 0.01)
    u0 = input_function("u0", Omega, gaussians())
    u = unknown("u", Omega, time=t)
    n = unit_normal(Omega)
    walls = rest(Omega, inlet, outlet)
    return Problem(
        "advection_diffusion",
        [(dt(u) + advect(sp.Matrix([1, 0]), u), D * lap(u))],
        [on(inlet, u), on(outlet, dot(grad(u), n)), on(walls, dot(grad(u), n)), at(t, 0, (u, u0))],
    )


@problem
def transport():
    (x,) = space("x")
    t = time("t", 0, 1)
    L = interval(x, 0, 1)
    u0 = input_function("u0", L, gaussians())
    u = unknown("u", L, time=t)
    return Problem("transport", [dt(u) + pde.dx(u)], [on(side(L, x=0), u), at(t, 0, (u, u0))])


@problem
def burgers_system():
    x, y = space("x y")
    t = time("t", 0, 1)
    Omega = periodic(rectangle(x, y))
    nu = const("nu", 0.01)
    v = unknown("v", Omega, "vector", time=t)
    v0 = input_function("v0", Omega, grf(length=0.3), rank="vector")
    return Problem("burgers_system", [(dt(v) + advect(v, v), nu * lap(v))], [at(t, 0, (v, v0))])


@problem
def korteweg_de_vries():
    (x,) = space("x")
    t = time("t", 0, 1)
    L = periodic(interval(x, -10, 10))
    u = unknown("u", L, time=t)
    u0 = input_function("u0", L, grf(length=2))
    return Problem(
        "korteweg_de_vries", [dt(u) + 6 * u * pde.dx(u) + pde.dxxx(u)], [at(t, 0, (u, u0))]
    )


@problem
def kuramoto_sivashinsky():
    (x,) = space("x")
    t = time("t", 0, 50)
    L = periodic(interval(x, 0, 22))
    u = unknown("u", L, time=t)
    u0 = input_function("u0", L, grf(length=2))
    return Problem(
        "kuramoto_sivashinsky",
        [dt(u) + u * pde.dx(u) + pde.dxx(u) + pde.dxxxx(u)],
        [at(t, 0, (u, u0))],
    )


@problem
def cahn_hilliard():
    x, y = space("x y")
    t = time("t", 0, 1)
    Omega = rectangle(x, y)
    eps = const("eps", 0.05)
    c, mu = unknown("c", Omega, time=t), unknown("mu", Omega, time=t)
    c0 = input_function("c0", Omega, grf(length=0.1))
    E = integral(eps**2 / 2 * dot(grad(c), grad(c)) + (c**2 - 1) ** 2 / 4, Omega)
    n = unit_normal(Omega)
    return Problem(
        "cahn_hilliard",
        {"mass": (dt(c), lap(mu)), "potential": (mu, variation(E, c))},
        [on(boundary(Omega), dot(grad(c), n), dot(grad(mu), n)), at(t, 0, (c, c0))],
    )


@problem
def gray_scott():
    x, y = space("x y")
    t = time("t", 0, 100)
    B = periodic(rectangle(x, y, [0, 0], [2.5, 2.5]))
    F, k = param("F", uniform(0.02, 0.06)), param("k", uniform(0.05, 0.065))
    a, b = unknown("a", B, time=t), unknown("b", B, time=t)
    a0, b0 = input_function("a0", B, grf(length=0.2)), input_function("b0", B, grf(length=0.2))
    r = a * b**2
    return Problem(
        "gray_scott",
        [(dt(a), 2e-5 * lap(a) - r + F * (1 - a)), (dt(b), 1e-5 * lap(b) + r - (F + k) * b)],
        [at(t, 0, (a, a0), (b, b0))],
    )


@problem
def schroedinger():
    (x,) = space("x")
    t = time("t", 0, 1)
    L = interval(x, -5, 5)
    p, q = unknown("p", L, time=t), unknown("q", L, time=t)
    p0 = input_function("p0", L, gaussians())
    V = x**2 / 2
    return Problem(
        "schroedinger",
        {"re": (dt(q), lap(p) / 2 - V * p), "im": (dt(p), -lap(q) / 2 + V * q)},
        [on(boundary(L), p, q), at(t, 0, (p, p0), q)],
    )


@problem
def maxwell_te():
    x, y = space("x y")
    t = time("t", 0, 1)
    Omega = periodic(rectangle(x, y))
    E, H = unknown("E", Omega, "vector", time=t), unknown("H", Omega, time=t)
    E0 = input_function("E0", Omega, grf(length=0.2), rank="vector")
    return Problem(
        "maxwell_te",
        {"faraday": (dt(H), -curl(E)), "ampere": (dt(E), curl(H))},
        [at(t, 0, (E, E0), H)],
    )


@problem
def shallow_water():
    x, y = space("x y")
    t = time("t", 0, 1)
    Omega = periodic(rectangle(x, y))
    g = const("g", 9.81)
    h = unknown("h", Omega, time=t, positive=True)
    v = unknown("v", Omega, "vector", time=t)
    h0 = input_function("h0", Omega, grf(length=0.2))
    return Problem(
        "shallow_water",
        {
            "mass": dt(h) + div(h * v),
            "momentum": dt(h * v) + div(h * outer(v, v) + g * h**2 / 2 * identity(2)),
        },
        [at(t, 0, (h, 1 + h0**2), v)],
    )


# ---- elliptic


@problem
def helmholtz():
    x, y = space("x y")
    Omega = rectangle(x, y)
    k = param("k", uniform(1, 5))
    u, f = unknown("u", Omega), input_function("f", Omega, gaussians())
    return Problem("helmholtz", [(lap(u) + k**2 * u, f)], [on(boundary(Omega), u)])


@problem
def darcy():
    x, y = space("x y")
    Omega = rectangle(x, y)
    a = input_function("a", Omega, grf(length=0.2))
    u = unknown("u", Omega)
    return Problem("darcy", [(-div(sp.exp(a) * grad(u)), 1)], [on(boundary(Omega), u)])


@problem
def darcy_mixed():
    x, y = space("x y")
    Omega = rectangle(x, y)
    a = input_function("a", Omega, source="perm.h5")
    u, q = unknown("u", Omega), unknown("q", Omega, "vector")
    return Problem("darcy_mixed", [(q, -a * grad(u)), (div(q), 1)], [on(boundary(Omega), u)])


@problem
def neumann_poisson():
    x, y = space("x y")
    Omega = disk(x, y, radius=1)
    u = unknown("u", Omega)
    return Problem(
        "neumann_poisson",
        [(lap(u), x * y)],
        [on(boundary(Omega), dot(grad(u), unit_normal(Omega)))],
        require=[(integral(u, Omega), 0)],
    )


@problem
def p_laplacian():
    x, y = space("x y")
    Omega = disk(x, y, radius=1)
    u = unknown("u", Omega)
    return Problem(
        "p_laplacian", [(-div(dot(grad(u), grad(u)) * grad(u)), 1)], [on(boundary(Omega), u)]
    )


@problem
def minimal_surface():
    x, y = space("x y")
    Omega = disk(x, y, radius=1)
    Gamma = boundary(Omega)
    g = input_function("g", Gamma, fourier(modes=3))
    u = unknown("u", Omega)
    return Problem(
        "minimal_surface",
        minimize=integral(sp.sqrt(1 + dot(grad(u), grad(u))), Omega),
        conditions=[on(Gamma, (u, g))],
    )


@problem
def clamped_plate():
    x, y = space("x y")
    Omega = rectangle(x, y)
    u, f = unknown("u", Omega), input_function("f", Omega, gaussians())
    return Problem(
        "clamped_plate",
        [(lap(lap(u)), f)],
        [on(boundary(Omega), u, dot(grad(u), unit_normal(Omega)))],
    )


@problem
def plate_energy():
    x, y = space("x y")
    Omega = rectangle(x, y)
    u, f = unknown("u", Omega), input_function("f", Omega, gaussians())
    H = grad(grad(u))
    n = unit_normal(Omega)
    energy = integral(inner(H, H) / 2 - f * u, Omega)
    return Problem(
        "plate_energy",
        minimize=energy,
        conditions=[on(boundary(Omega), u), on(side(Omega, x=0), dot(grad(u), n))],
    )


@problem
def elasticity():
    x, y = space("x y")
    Omega = rectangle(x, y)
    lam, mu = const("lam", 1), const("mu", 0.5)
    u = unknown("u", Omega, "vector")
    left, right = side(Omega, x=0, name="left"), side(Omega, x=1, name="right")
    eps = sym(grad(u))
    sigma = lam * tr(eps) * identity(2) + 2 * mu * eps
    n = unit_normal(Omega)
    return Problem(
        "elasticity",
        {"balance": div(sigma)},
        [
            on(left, (u, 0)),
            on(right, (sigma * n, [0.1, 0])),
            on(rest(Omega, left, right), (sigma * n, 0)),
        ],
    )


@problem
def elasticity_energy():
    x, y, z = space("x y z")
    Omega = box(x, y, z)
    u = unknown("u", Omega, "vector")
    eps = sym(grad(u))
    load = side(Omega, x=1, name="load")
    energy = integral(tr(eps) ** 2 / 2 + inner(eps, eps), Omega) - integral(u[2] / 10, load)
    return Problem("elasticity_energy", minimize=energy, conditions=[on(side(Omega, x=0), (u, 0))])


@problem
def neo_hookean_3d():
    x, y, z = space("x y z")
    Omega = box(x, y, z)
    u = unknown("u", Omega, "vector")
    mu, lam = const("mu", 1), const("lam", 10)
    F = identity(3) + grad(u)
    J = det(F)
    psi = mu / 2 * (tr(F.T * F) - 3) - mu * sp.log(J) + lam / 2 * sp.log(J) ** 2
    return Problem(
        "neo_hookean_3d",
        minimize=integral(psi, Omega),
        conditions=[on(side(Omega, x=0), (u, 0)), on(side(Omega, x=1), (u, [0.1, 0, 0]))],
        require=[(J > 0, Omega)],
    )


@problem
def stokes():
    x, y = space("x y")
    Omega = rectangle(x, y) - disk(x, y, radius=0.1, center=(0.5, 0.5))
    v, p = unknown("v", Omega, "vector"), unknown("p", Omega)
    f = input_function("f", Omega, gaussians(), rank="vector")
    return Problem(
        "stokes",
        {"momentum": (-lap(v) + grad(p), f), "continuity": div(v)},
        [on(boundary(Omega), (v, 0))],
        require=[(integral(p, Omega), 0)],
    )


@problem
def channel_stokes():
    x, y = space("x y")
    Omega = rectangle(x, y, [0, 0], [3, 1])
    inlet, outlet = side(Omega, x=0, name="inlet"), side(Omega, x=3, name="outlet")
    v, p = unknown("v", Omega, "vector"), unknown("p", Omega)
    sigma = -p * identity(2) + 2 * sym(grad(v))
    n = unit_normal(Omega)
    return Problem(
        "channel_stokes",
        {"momentum": div(sigma), "continuity": div(v)},
        [
            on(inlet, (v, [4 * y * (1 - y), 0])),
            on(outlet, (sigma * n, 0)),
            on(rest(Omega, inlet, outlet), (v, 0)),
        ],
    )


@problem
def vorticity():
    x, y = space("x y")
    Omega = rectangle(x, y)
    psi, w = unknown("psi", Omega), unknown("w", Omega)
    n = unit_normal(Omega)
    velocity = curl(psi)
    return Problem(
        "vorticity",
        [(lap(psi), -w), (advect(velocity, w), lap(w) / 100)],
        [on(boundary(Omega), psi, (dot(grad(psi), n), 1))],
    )


@problem
def two_materials():
    x, y = space("x y")
    inclusion = disk(x, y, radius=0.3, center=(0.5, 0.5), name="inclusion")
    matrix = rectangle(x, y, name="matrix") - inclusion
    interface = inner(matrix, name="interface")
    a, b = unknown("a", inclusion), unknown("b", matrix)
    n = unit_normal(matrix)
    return Problem(
        "two_materials",
        [lap(a) + 1, lap(b) + 1],
        [on(outer(matrix), b), on(interface, (a, b), (10 * dot(grad(a), n), dot(grad(b), n)))],
    )


@problem
def eikonal():
    x, y = space("x y")
    Omega = rectangle(x, y) - disk(x, y, radius=0.2, center=(0.5, 0.5))
    u = unknown("u", Omega)
    return Problem("eikonal", [(dot(grad(u), grad(u)), 1)], [on(inner(Omega), u)])


@problem
def inverse_diffusion():
    x, y = space("x y")
    Omega = rectangle(x, y)
    k = trainable("k", 1)
    f = input_function("f", Omega, gaussians())
    u = unknown("u", Omega)
    return Problem(
        "inverse_diffusion",
        [(-div((1 + k * x) * grad(u)), f)],
        [on(boundary(Omega), u)],
        data=[(u, Omega, "u.h5")],
    )


@problem
def hidden_boundary():
    x, y = space("x y")
    Omega = rectangle(x, y)
    u = unknown("u", Omega)
    return Problem("hidden_boundary", [lap(u)], data=[(u, Omega, "u.h5")])


@problem
def beltrami_3d():
    x, y, z = space("x y z")
    Omega = periodic(box(x, y, z, upper=[2 * sp.pi] * 3))
    t = time("t", 0, 1)
    v, p = unknown("v", Omega, "vector", time=t), unknown("p", Omega, time=t)
    v0 = input_function("v0", Omega, grf(length=1), rank="vector")
    return Problem(
        "beltrami_3d",
        {"momentum": (dt(v) + advect(v, v) + grad(p), lap(v)), "continuity": div(v)},
        [at(t, 0, (v, v0))],
        require=[(integral(p, Omega), 0)],
    )
