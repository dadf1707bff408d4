"""The weak form as LaTeX and UFL: read back by independent means, and run by FEniCS where it is installed."""

from __future__ import annotations

import pytest
import sympy as sp

from compiler import solve
from compiler.fem.export import to_latex, to_ufl
from compiler.fem.failure import SolverError
from compiler.fem.fenics import available, solve_with_fenics
from compiler.fem.mesh import mesh_domain
from compiler.fem.weak import weak_form
from pdespec import (
    Problem,
    boundary,
    det,
    disk,
    div,
    dot,
    grad,
    identity,
    integral,
    lap,
    lattice,
    on,
    param,
    rectangle,
    rest,
    side,
    space,
    star,
    sym,
    tr,
    uniform,
    unit_normal,
    unknown,
)

from .cases import GivenBatch

x, y = space("x y")
SQUARE = rectangle(x, y)
TOP = side(SQUARE, name="top", y=1)


def poisson(domain) -> Problem:
    u = unknown("u", domain)
    source = 5 * sp.sin(3 * x) + y
    return Problem("poisson", {"balance": (div((1 + u**2 / 10) * grad(u)), source)}, [on(boundary(domain, name="Gamma"), (u, x * y + 1))])


def pores() -> Problem:
    body = rectangle(x, y) - lattice(disk(x, y, radius=sp.Rational(11, 100)), 3, 3)
    u = unknown("u", body, "vector")
    mu, lame = sp.Rational(5, 13), sp.Rational(15, 26)  # E = 1, nu = 0.3
    F = identity(2) + grad(u)
    psi = mu / 2 * (tr(F.T * F) - 2 - 2 * sp.log(det(F))) + lame / 2 * sp.log(det(F)) ** 2
    pressed = sp.Matrix([0, -sp.Rational(1, 10)])
    return Problem("pores", conditions=[on(side(body, y=0), (u, 0)), on(side(body, y=1), (u, pressed))], minimize=integral(psi, body))


def test_latex_shows_integrals_tests_and_essential_conditions():
    text = to_latex(weak_form(poisson(SQUARE)))
    assert r"\int_{\Omega}" in text
    assert r"\partial_{x} \delta u" in text
    assert r"u = x y + 1 \text{ on } \Gamma" in text


def test_ufl_runs_against_stand_ins_and_gives_the_integrand_sympy_gives():
    """The text is executed with SymPy in the part of UFL, and compared with a form written by hand."""
    u, k = unknown("u", SQUARE), param("k", uniform(1, 2))
    robin = on(TOP, (k * dot(grad(u), unit_normal(SQUARE)), u**2))
    form = weak_form(Problem("p", {"balance": (-div(k * grad(u)), sp.exp(x) / 3)}, [on(rest(SQUARE, TOP), (u, 0)), robin]))

    class Field(sp.Symbol):
        def dx(self, j):
            return Field(f"{self.name}_{j}")

    scope = {
        "FiniteElement": lambda *a: a,
        "triangle": "triangle",
        "FunctionSpace": lambda *a: a,
        "mesh": None,
        "Function": lambda space: Field("u"),
        "TestFunction": lambda space: Field("w"),
        "SpatialCoordinate": lambda mesh: sp.symbols("x y"),
        "FacetNormal": lambda mesh: sp.symbols("n0 n1"),
        "dx": sp.Symbol("dx"),
        "ds": lambda k: sp.Symbol(f"ds{k}"),
        "exp": sp.exp,
        "k": sp.Symbol("k"),
    }
    exec(to_ufl(form), scope)  # noqa: S102
    field, w, area, top, k_ = (sp.Symbol(n) for n in ("u", "w", "dx", "ds1", "k"))
    by_hand = -sp.exp(sp.Symbol("x")) / 3 * w * area - field**2 * w * top
    by_hand += k_ * (sp.Symbol("u_0") * sp.Symbol("w_0") + sp.Symbol("u_1") * sp.Symbol("w_1")) * area
    plain = scope["F"].xreplace({s: sp.Symbol(s.name) for s in scope["F"].free_symbols})
    assert sp.simplify(plain - by_hand) == 0


def test_mixed_elements_are_named():
    v, p = unknown("v", SQUARE, "vector"), unknown("p", SQUARE)
    stress = 2 * sym(grad(v)) - p * identity(2)
    condition = [on(rest(SQUARE, TOP), (v, 0)), on(TOP, (stress * unit_normal(SQUARE), 0))]
    text = to_ufl(weak_form(Problem("stokes", {"momentum": div(stress), "continuity": div(v)}, condition)))
    assert text.count('FiniteElement("Lagrange", triangle, 2)') == 2
    assert text.count('FiniteElement("Lagrange", triangle, 1)') == 1
    assert "split(U)" in text


def test_problems_the_bridge_does_not_carry_are_refused():
    if not available():
        with pytest.raises(SolverError, match="apt install fenics"):
            solve_with_fenics(poisson(SQUARE), GivenBatch(), mesh_domain(SQUARE, {}, 2))
        return
    u = unknown("u", SQUARE)
    problem = Problem(
        "p", {"e": lap(u)}, [on(boundary(SQUARE), (dot(grad(u), unit_normal(SQUARE)), 0))], require=[sp.Eq(integral(u, SQUARE), 0)]
    )
    with pytest.raises(SolverError, match="carries stationary problems"):
        solve_with_fenics(problem, GivenBatch(), mesh_domain(SQUARE, {}, 2))


@pytest.mark.parametrize("which", ["poisson", "pores"])
def test_fenics_agrees_on_the_same_mesh(which):
    if not available():
        pytest.skip("FEniCS is not installed for the system's Python (Debian: apt install fenics)")
    if which == "pores":
        pytest.importorskip("netgen.occ", reason="the mesher netgen is an optional extra")
    problem = pores() if which == "pores" else poisson(star(x, y, radius=lambda theta: 1 + sp.cos(4 * theta) / 5))
    mesh = mesh_domain(next(iter(problem.unknowns.values())).region, {}, 12)
    theirs = solve_with_fenics(problem, GivenBatch(), mesh)
    ours = solve(problem, GivenBatch(), mesh=mesh).samples[0]
    for component in ours.components:
        mine = ours.vectors[0, ours.spaces.numbers(component)]
        assert abs(mine - theirs.values[component]).max() < 1e-9 * abs(mine).max()
