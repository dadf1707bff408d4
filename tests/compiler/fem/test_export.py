"""The weak form as LaTeX and UFL: read back by independent means, and run by FEniCS where it is
installed."""

from __future__ import annotations

import subprocess

import pytest
import sympy as sp
import torch

from compiler import solve
from compiler.fem.errors import SolverError
from compiler.fem.export.fenics import PYTHON, available, solve_with_fenics
from compiler.fem.export.latex import to_latex
from compiler.fem.export.ufl import integrals, to_ufl, unknowns
from compiler.fem.export.ufl_words import identifiers
from compiler.fem.forms.weak import weak_form
from compiler.fem.meshing.mesh import mesh_domain
from pdespec import (
    Problem,
    ball,
    boundary,
    box,
    det,
    disk,
    div,
    dot,
    dt,
    grad,
    identity,
    inner,
    integral,
    lap,
    lattice,
    on,
    outer,
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
from pdespec import at as at_time
from pdespec import time as time_axis

from .cases import GivenBatch

x, y = space("x y")
SQUARE = rectangle(x, y)
TOP = side(SQUARE, name="top", y=1)


def poisson(domain) -> Problem:
    u = unknown("u", domain)
    source = 5 * sp.sin(3 * x) + y
    return Problem(
        "poisson",
        {"balance": (div((1 + u**2 / 10) * grad(u)), source)},
        [on(boundary(domain, name="Gamma"), (u, x * y + 1))],
    )


def pores() -> Problem:
    body = rectangle(x, y) - lattice(disk(x, y, radius=sp.Rational(11, 100)), 3, 3)
    u = unknown("u", body, "vector")
    mu, lame = sp.Rational(5, 13), sp.Rational(15, 26)  # E = 1, nu = 0.3
    F = identity(2) + grad(u)
    psi = mu / 2 * (tr(F.T * F) - 2 - 2 * sp.log(det(F))) + lame / 2 * sp.log(det(F)) ** 2
    pressed = sp.Matrix([0, -sp.Rational(1, 10)])
    return Problem(
        "pores",
        conditions=[on(side(body, y=0), (u, 0)), on(side(body, y=1), (u, pressed))],
        minimize=integral(psi, body),
    )


def test_latex_shows_integrals_tests_and_essential_conditions():
    text = to_latex(weak_form(poisson(SQUARE)))
    assert r"\int_{\Omega}" in text
    assert r"\partial_{x} \delta u" in text
    assert r"u = x y + 1 \text{ on } \Gamma" in text


def test_ufl_runs_against_stand_ins_and_gives_the_integrand_sympy_gives():
    """The text is executed with SymPy in the part of UFL, and compared with a form written by
    hand."""
    u, k = unknown("u", SQUARE), param("k", uniform(1, 2))
    robin = on(TOP, (k * dot(grad(u), unit_normal(SQUARE)), u**2))
    form = weak_form(
        Problem(
            "p",
            {"balance": (-div(k * grad(u)), sp.exp(x) / 3)},
            [on(rest(SQUARE, TOP), (u, 0)), robin],
        )
    )

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
    names = identifiers(form)
    exec("\n".join([*unknowns(form, names, 2, "triangle"), integrals(form, names)]), scope)  # noqa: S102
    field, w, area, top, k_ = (sp.Symbol(n) for n in ("u", "w", "dx", "ds1", "k"))
    by_hand = -sp.exp(sp.Symbol("x")) / 3 * w * area - field**2 * w * top
    by_hand += (
        k_ * (sp.Symbol("u_0") * sp.Symbol("w_0") + sp.Symbol("u_1") * sp.Symbol("w_1")) * area
    )
    plain = scope["F"].xreplace({s: sp.Symbol(s.name) for s in scope["F"].free_symbols})
    assert sp.simplify(plain - by_hand) == 0


def test_mixed_elements_are_named():
    v, p = unknown("v", SQUARE, "vector"), unknown("p", SQUARE)
    stress = 2 * sym(grad(v)) - p * identity(2)
    condition = [on(rest(SQUARE, TOP), (v, 0)), on(TOP, (stress * unit_normal(SQUARE), 0))]
    text = to_ufl(
        weak_form(Problem("stokes", {"momentum": div(stress), "continuity": div(v)}, condition))
    )
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
        "p",
        {"e": lap(u)},
        [on(boundary(SQUARE), (dot(grad(u), unit_normal(SQUARE)), 0))],
        require=[sp.Eq(integral(u, SQUARE), 0)],
    )
    with pytest.raises(SolverError, match="carries stationary problems"):
        solve_with_fenics(problem, GivenBatch(), mesh_domain(SQUARE, {}, 2))


def need_fenics() -> None:
    if not available():
        pytest.skip("FEniCS is not installed for the system's Python (Debian: apt install fenics)")


@pytest.mark.parametrize("which", ["poisson", "pores"])
def test_fenics_agrees_on_the_same_mesh(which):
    """Nodal values; of the pores (3 x 3, pressed by a tenth) also the stored energy and the
    force on top."""
    need_fenics()
    if which == "pores":
        pytest.importorskip("netgen.occ", reason="the mesher netgen is an optional extra")
    problem = (
        pores()
        if which == "pores"
        else poisson(star(x, y, radius=lambda theta: 1 + sp.cos(4 * theta) / 5))
    )
    theirs, ours = both(problem, mesh_domain(next(iter(problem.unknowns.values())).region, {}, 12))
    if which == "pores":
        # straight cells: larger than what is left of round pores
        assert ours.energy == pytest.approx(0.00397, rel=0.05)
        assert theirs.energy == pytest.approx(ours.energy, rel=1e-6)
        force = "side(Omega, y = 1)", "u.y"
        assert theirs.reactions[force] == pytest.approx(ours.reactions[force], rel=1e-6)


def both(problem, mesh, batch=None):
    """What FEniCS finds and what we find, equal in the nodes."""
    batch = batch or GivenBatch()
    theirs, ours = (
        solve_with_fenics(problem, batch, mesh),
        solve(problem, batch, mesh=mesh).samples[0],
    )
    for component in ours.components:
        mine = ours.vectors[0, ours.spaces.numbers(component)]
        assert abs(mine - theirs.values[component]).max() < 1e-9 * abs(mine).max()
    return theirs, ours


def test_fenics_takes_any_name_any_function_and_any_element():
    """Names that mean something to Python, UFL or the script itself, functions that dolfin leaves
    out, numbers such as e.

    The flux is discontinuous, and no value of it is fixed.
    """
    need_fenics()
    W, n, c0 = unknown("W", SQUARE, "vector"), param("n", uniform(1, 2)), param("c0", uniform(1, 2))
    p, reserved = unknown("p", SQUARE), param("lambda", uniform(1, 2)) * param("dx", uniform(1, 2))
    source = (
        sp.E * sp.pi * sp.Max(x, y, 1 - x)
        + sp.tanh(p)
        + sp.atan2(y, x + 1)
        + sp.Piecewise((1, x < sp.Rational(1, 2)), (0, True))
    )
    inside = {"law": (W, -n * grad(p)), "balance": (div(W) + c0 * p, reserved * source)}
    conditions = [on(rest(SQUARE, TOP), (p, x)), on(TOP, (dot(W, unit_normal(SQUARE)), 1))]
    values = {
        name: torch.tensor([1.5], dtype=torch.float64) for name in ("n", "c0", "lambda", "dx")
    }
    both(Problem("names", inside, conditions), mesh_domain(SQUARE, {}, 4), GivenBatch(1, values))


def run_script(*lines: str) -> float:
    """The number that a script prints last, run by the system's Python."""
    done = subprocess.run(
        [PYTHON, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split()[-1])


def exported(problem: Problem, mesh: str) -> tuple[str, str]:
    """The script up to the place where what is given stands, with its mesh, and the rest."""
    head, marker, tail = to_ufl(weak_form(problem)).partition("# given here: mesh\n")
    assert marker
    return f"{head}set_log_level(LogLevel.ERROR)\nmesh = {mesh}", tail


def test_the_script_is_solved_by_fenics_as_it_stands():
    """u = x^2 + x y lies in the space, so that nothing but rounding is left."""
    need_fenics()
    u, exact = unknown("u", SQUARE), x**2 + x * y
    robin = on(TOP, ((1 + u) * dot(grad(u), unit_normal(SQUARE)) + u, (1 + exact) * x + exact))
    source = sp.expand(div((1 + exact) * sp.Matrix([sp.diff(exact, x), sp.diff(exact, y)])).doit())
    problem = Problem(
        "poisson",
        {"e": (div((1 + u) * grad(u)), source)},
        [on(rest(SQUARE, TOP), (u, exact)), robin],
    )
    error = "print(assemble((u - X[0]**2 - X[0]*X[1])**2*dx)**0.5)"
    assert (
        run_script(*exported(problem, "UnitSquareMesh(3, 3)"), "solve(F == 0, U, bcs)", error)
        < 1e-9
    )


def test_the_script_of_a_problem_in_time_steps_by_itself():
    """u = x^2 + x y + t: the backward Euler method is exact for it."""
    need_fenics()
    t = time_axis("t", 0, 1)
    u = unknown("u", SQUARE, time=t)
    out = on(
        boundary(SQUARE),
        (dot(grad(u), unit_normal(SQUARE)), dot(sp.Matrix([2 * x + y, x]), unit_normal(SQUARE))),
    )
    problem = Problem("heat", {"e": (dt(u) - lap(u), -1)}, [out, at_time(t, 0, (u, x**2 + x * y))])
    steps = (
        "for _ in range(4):\n    t.assign(float(t) + float(step))\n    solve(F == 0, U, bcs)\n   "
        " U_old.assign(U)"
    )
    error = "print(assemble((u - X[0]**2 - X[0]*X[1] - t)**2*dx)**0.5)"
    assert run_script(*exported(problem, "UnitSquareMesh(3, 3)"), steps, error) < 1e-9


def test_what_the_script_has_no_word_for_is_a_comment():
    v, p = unknown("v", SQUARE, "vector"), unknown("p", SQUARE)
    normal = dot(v, sp.Matrix([x, 2]))
    problem = Problem(
        "slip",
        {"momentum": (lap(v), grad(p)), "continuity": div(v)},
        [on(rest(SQUARE, TOP), (v, 0)), on(TOP, (normal, 0), (sp.Derivative(v[0], y), 0))],
        require=[sp.Eq(integral(p, SQUARE), 0)],
    )
    text = to_ufl(weak_form(problem))
    assert "# integral of p over Omega = 0: by a multiplier" in text
    assert "# (X[0])*v_x + (2)*v_y = 0 on top: DirichletBC has no word for this" in text
    assert text.count("DirichletBC(V.sub") == 2


def test_the_cell_and_what_is_given_are_said():
    a, b, c = space("a b c")
    body = box(a, b, c) - ball(a, b, c, radius=sp.Rational(1, 3), center=(sp.Rational(1, 2),) * 3)
    u, k = unknown("u", body), param("k", uniform(1, 2))
    hole = inner(body, name="hole")
    text = to_ufl(
        weak_form(
            Problem(
                "p",
                {"e": (k * lap(u), 1)},
                [on(hole, (u, 0)), on(outer(body), (dot(grad(u), unit_normal(body)), 1))],
            )
        )
    )
    assert 'FiniteElement("Lagrange", tetrahedron, 2)' in text
    assert (
        "given here: mesh, k (number), outer_Omega (facet function, 1 on outer(Omega)), hole (facet"
        " function, 1 on hole)" in text
    )
