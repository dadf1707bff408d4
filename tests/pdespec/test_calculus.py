import pytest
import sympy as sp

import pdespec
from pdespec import (
    Integral,
    ProblemError,
    advect,
    avg,
    boundary,
    const,
    cross,
    curl,
    d,
    det,
    div,
    dot,
    dt,
    dtt,
    grad,
    identity,
    inner,
    input_function,
    integral,
    inv,
    jump,
    lap,
    outer,
    param,
    rectangle,
    skew,
    space,
    sym,
    time,
    tr,
    transpose,
    uniform,
    unit_normal,
    unknown,
)
from pdespec.calculus import rank, split_derivative

from .closed_form import closed, same

x, y = space("x y")
t = time("t", 0, 1)
Omega = rectangle(x, y)
u = unknown("u", Omega, time=t)
v, w = unknown("v", Omega, "vector", time=t), unknown("w", Omega, "vector", time=t)
T, S = unknown("T", Omega, "tensor"), unknown("S", Omega, "tensor")
A, B, C = space("a b c")
Cube = pdespec.box(A, B, C)
p = unknown("p", Cube)
q, r = unknown("q", Cube, "vector"), unknown("r", Cube, "vector")

plane = {
    u: sp.sin(x) * sp.exp(y * t),
    v: [x**2 * y, sp.cos(x * y) + t],
    w: [y**3, x - y],
    T: [[x, y], [x * y, 1]],
    S: [[1, x], [y, x**2]],
}
cube = {p: A**2 * B * C**3, q: [sp.sin(B), A * C**2, A * B * C], r: [C, A**2, sp.exp(B)]}


def holds(left, right):
    fields, variables = (
        (cube, (A, B, C)) if (sp.Matrix([left]).free_symbols & {A, B, C}) else (plane, (x, y, t))
    )
    return same(closed(left, fields), closed(right, fields), variables)


def test_derivatives_stay_as_they_are_written():
    k = 1 + u**2
    assert div(k * grad(u)) == sp.Derivative(k * sp.Derivative(u, x), x) + sp.Derivative(
        k * sp.Derivative(u, y), y
    )


def test_the_gradient_of_a_vector_has_the_derivative_index_last():
    assert closed(grad(v), plane)[0, 1] == sp.diff(plane[v][0], y)
    assert closed(grad(v), plane)[1, 0] == sp.diff(plane[v][1], x)


def test_the_divergence_of_a_tensor_contracts_its_last_index():
    assert closed(div(T), plane)[0] == sp.diff(x, x) + sp.diff(y, y)
    assert closed(div(T), plane)[1] == sp.diff(x * y, x) + sp.diff(1, y)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (div(grad(u)), lap(u)),
        (div(u * v), u * div(v) + dot(grad(u), v)),
        (div(outer(v, w)), v * div(w) + advect(w, v)),
        (div(transpose(grad(v))), grad(div(v))),
        (advect(v, u), dot(v, grad(u))),
        (advect(v, w), grad(w) * v),
        (tr(grad(v)), div(v)),
        (sym(grad(v)) + skew(grad(v)), grad(v)),
        (inner(sym(T), skew(S)), 0),
        (curl(curl(u)), -lap(u)),
        (div(curl(u)), 0),
        (curl(grad(u)), 0),
        (dot(grad(u), curl(u)), 0),
        (curl(curl(q)), grad(div(q)) - lap(q)),
        (div(curl(q)), 0),
        (curl(grad(p)), sp.zeros(3, 1)),
        (div(cross(q, r)), dot(r, curl(q)) - dot(q, curl(r))),
        (curl(p * q), cross(grad(p), q) + p * curl(q)),
        (grad(dot(q, q)) / 2, cross(q, curl(q)) + advect(q, q)),
        (dt(u * v), u * dt(v) + dt(u) * v),
        (dtt(u), dt(dt(u))),
        (d(u, x, y), d(u, y, x)),
        (d(u, x, t), dt(d(u, x))),
        (lap(v), div(grad(v))),
        (lap(lap(u)), d(u, x, x, x, x) + 2 * d(u, x, x, y, y) + d(u, y, y, y, y)),
    ],
)
def test_identities_of_vector_calculus_hold(left, right):
    assert holds(left, right)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_det_and_inv_agree_with_elimination(size):
    symbols = sp.Matrix(size, size, lambda i, j: sp.Symbol(f"m{i}{j}"))
    numbers = {s: sp.Rational(k * k % 7 + 1, k + 2) for k, s in enumerate(symbols)}
    assert det(symbols).subs(numbers) == symbols.subs(numbers).det()
    assert inv(symbols).subs(numbers) == symbols.subs(numbers).inv() or size == 1
    assert (inv(symbols) * symbols).subs(numbers) == sp.eye(size)


def test_a_transpose_swaps_rows_and_columns():
    assert transpose(T) == T.T
    assert inner(T, S) == tr(transpose(T) * S)


def test_the_cross_product_of_the_plane_is_a_scalar():
    assert cross(v, w) == v[0] * w[1] - v[1] * w[0]


def test_lists_are_vectors():
    assert dot([1, 2], v) == v[0] + 2 * v[1]
    assert advect([1, 0], u) == sp.Derivative(u, x)


def test_numbers_in_operators_become_exact():
    assert grad(0.1 * u)[0] == sp.Derivative(u / 10, x)


def test_derivative_operators_are_found_by_name():
    assert pdespec.dx(u) == sp.Derivative(u, x)
    assert pdespec.dxxy(u) == sp.Derivative(u, x, x, y)
    assert pdespec.dxt(u) == sp.Derivative(u, x, t)
    with pytest.raises(ProblemError, match="B04"):
        pdespec.dz(u)
    with pytest.raises(AttributeError, match="did you mean 'grad'"):
        pdespec.gard  # noqa: B018


def test_a_derivative_name_splits_into_the_longest_coordinates():
    assert split_derivative("dxxt", ("x", "t")) == ("x", "x", "t")
    assert split_derivative("dthetat", ("t", "theta")) == ("theta", "t")
    assert split_derivative("dxq", ("x", "y")) is None
    assert split_derivative("d", ("x",)) is None


def test_the_rank_is_read_from_the_shape():
    assert [rank(e) for e in (u, v, T)] == ["scalar", "vector", "tensor"]
    with pytest.raises(ProblemError, match="T01"):
        rank(sp.zeros(2, 3))


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda: div(u), "T02", "did you mean lap(u)"),
        (lambda: curl(T), "T02", "`T` is a tensor"),
        (lambda: curl(unknown("s", Cube)), "T02", "did you mean grad"),
        (lambda: det(u), "T02", "`u` is a scalar"),
        (lambda: det(v), "T02", "`v` is a vector (2)"),
        (lambda: tr(v), "T02", "grad(v)"),
        (lambda: sym(u), "T02", "grad(v)"),
        (lambda: grad(T), "T02", "did you mean div"),
        (lambda: dot(v, grad(v)), "T03", "advect(v, v)"),
        (lambda: dot(T, v), "T03", "T*v"),
        (lambda: dot(u, v), "T02", "use * to scale"),
        (lambda: dot(T, S), "T02", "use inner"),
        (lambda: dot(v, q), "T01", "a vector (2) and a vector (3)"),
        (lambda: inner(v, T), "T01", "same rank"),
        (lambda: outer(u, v), "T02", "outer"),
        (lambda: cross(T, T), "T02", "cross"),
        (lambda: advect(u, v), "T02", "velocity"),
        (lambda: inv(identity(2) * 0), "V03", "determinant is zero"),
        (lambda: det(identity(4)), "T02", "at most 3 by 3"),
        (lambda: inv(identity(4)), "T02", "at most 3 by 3"),
        (lambda: d(u, sp.Symbol("x")), "T02", "diff(psi, F)"),
        (lambda: integral(u, "Omega"), "V01", "name the region"),
        (lambda: div(sp.Matrix([x, y, 1])), "T02", "x, y"),
    ],
)
def test_wrong_ranks_are_explained(make, code, says):
    with pytest.raises(ProblemError) as caught:
        make()
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: dt(unknown("s", Omega)),
        lambda: dt(const("nu", 1) * x),
        lambda: d(input_function("f", boundary(pdespec.interval(*space("x")))), y),
        lambda: grad(param("c", uniform(0, 1))),
        lambda: lap(const("nu", 1)),
    ],
)
def test_the_derivative_of_what_does_not_depend_on_the_variable_is_diagnosed(make):
    with pytest.raises(ProblemError, match="B04"):
        make()


def test_an_integral_does_not_vary_from_point_to_point():
    total = integral(x * u, Omega)
    assert total.free_symbols == {t}
    assert isinstance(total, Integral)
    assert total.region == Omega
    assert total.density == x * u
    assert integral(v, Omega)[1] == Integral(v[1], Omega)
    assert integral(0, Omega) == 0
    assert str(total) == "integral(x*u(x, y, t), Omega)"


def test_the_derivative_of_an_integral_by_a_param_goes_inside():
    k = param("k", 1)
    assert integral(k**2 * u, Omega).diff(k) == Integral(2 * k * u, Omega)


def test_jumps_and_averages_act_entry_by_entry():
    assert jump(v).shape == (2, 1)
    assert avg(u).args == (u,)


def test_an_operator_needs_no_field_when_the_normal_gives_the_frame():
    n = unit_normal(Omega)
    assert dot(n, n) == n[0] ** 2 + n[1] ** 2
