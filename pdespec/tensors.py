"""Products and invariants of vectors and tensors, entry by entry and with their ranks checked."""

from __future__ import annotations

from typing import Any

import sympy as sp

from pdespec.calculus import Expression, coordinates_of, describe, needs, prepare, rank
from pdespec.curvilinear import angles, hooped
from pdespec.errors import fail
from pdespec.geometry import Domain
from pdespec.geometry import inner as inner_boundary
from pdespec.geometry import outer as outer_boundary
from pdespec.notation import short


def dot(a: Expression, b: Expression) -> sp.Expr:
    """The scalar product of two vectors."""
    a, b = prepare(a, b)
    kinds = rank(a), rank(b)
    if kinds == ("vector", "tensor") and a.shape != b.shape:
        message = f"dot of a vector and a tensor, {short(a)} and {short(b)}"
        raise fail("T03", message, _which_contraction(a, b), "either index could be meant")
    if kinds == ("tensor", "vector") and a.shape != b.shape:
        message = f"dot of a tensor and a vector, {short(a)} and {short(b)}"
        raise fail(
            "T03", message, "write the matrix product T*v, or T'*v", "either index could be meant"
        )
    if kinds != ("vector", "vector"):
        hint = "use inner for two tensors" if kinds == ("tensor", "tensor") else "use * to scale"
        raise fail(
            "T02",
            f"dot needs two vectors, {short(a)} is {describe(a)} and {short(b)} {describe(b)}",
            hint,
        )
    _same_shape("dot", a, b)
    return sp.Add(*(left * right for left, right in zip(a, b, strict=True)))


def _which_contraction(a: sp.MatrixBase, b: sp.MatrixBase) -> str:
    if all(isinstance(entry, sp.Derivative) or entry == 0 for entry in b):
        field = next((entry.expr for entry in b if isinstance(entry, sp.Derivative)), None)
        declaration = getattr(getattr(field, "func", None), "declaration", None)
        if declaration is not None:
            return f"write advect({short(a)[1:-1]}, {declaration.name})"
    return "write advect(v, w) for (v . grad) w, or a matrix product: T*v, T'*v"


def inner(a: Expression, b: Expression = None, name: str | None = None, where: Any = ()) -> Any:
    """The sum of products of all entries of two scalars, vectors or tensors; `inner(Omega)` is
    the boundary of the holes of a domain."""
    if isinstance(a, Domain):
        return inner_boundary(a, name, where)
    a, b = prepare(a, b)
    if rank(a) == rank(b) == "scalar":
        return a * b
    _same_shape("inner", a, b)
    return sp.Add(*(left * right for left, right in zip(a, b, strict=True)))


def outer(a: Expression, b: Expression = None, name: str | None = None, where: Any = ()) -> Any:
    """The tensor a_i b_j of two vectors; `outer(Omega)` is the boundary of a domain without its
    holes."""
    if isinstance(a, Domain):
        return outer_boundary(a, name, where)
    a, b = prepare(a, b)
    for each in (a, b):
        needs("outer", each, ("vector",), "outer(v, w)[i, j] = v[i]*w[j]")
    product = sp.ImmutableMatrix(a.rows, b.rows, lambda i, j: a[i] * b[j])
    frame = coordinates_of(a) or coordinates_of(b)
    return (
        hooped(product, frame)
        if angles(frame) and product.shape == (len(frame), len(frame))
        else product
    )


def cross(a: Expression, b: Expression) -> Any:
    """The vector product: a vector in space, the scalar a.x b.y - a.y b.x in the plane."""
    a, b = prepare(a, b)
    for each in (a, b):
        needs("cross", each, ("vector",), "cross takes two vectors")
    _same_shape("cross", a, b)
    if a.rows == 2:
        turned = angles(coordinates_of(a) or coordinates_of(b))  # (r, z, angle) is left-handed
        return a[1] * b[0] - a[0] * b[1] if turned else a[0] * b[1] - a[1] * b[0]
    if a.rows == 3:
        return sp.ImmutableMatrix([a[j] * b[k] - a[k] * b[j] for j, k in ((1, 2), (2, 0), (0, 1))])
    raise fail(
        "T02", f"cross of {describe(a)}", "vectors of the plane or of space have a cross product"
    )


def _same_shape(function: str, a: Any, b: Any) -> None:
    if getattr(a, "shape", ()) != getattr(b, "shape", ()):
        raise fail(
            "T01",
            f"{function} of {describe(a)} and {describe(b)}",
            f"{function} needs two of the same rank and size",
        )


def transpose(a: Expression) -> sp.ImmutableMatrix:
    """The transpose of a tensor."""
    (a,) = prepare(a)
    needs("transpose", a, ("tensor",), "dot(v, w) and outer(v, w) need no transpose")
    return a.T


def tr(a: Expression) -> sp.Expr:
    """The trace of a tensor."""
    (a,) = prepare(a)
    needs("tr", a, ("tensor",), "tr sums the diagonal of a tensor such as grad(v)")
    return sp.Add(*(a[i, i] for i in range(a.rows)))


def sym(a: Expression) -> sp.ImmutableMatrix:
    """The symmetric part (T + T')/2 of a tensor."""
    (a,) = prepare(a)
    needs("sym", a, ("tensor",), "sym takes a tensor such as grad(v)")
    return sp.ImmutableMatrix(
        a.rows, a.cols, lambda i, j: a[i, j] if i == j else (a[i, j] + a[j, i]) / 2
    )


def skew(a: Expression) -> sp.ImmutableMatrix:
    """The skew part (T - T')/2 of a tensor."""
    (a,) = prepare(a)
    needs("skew", a, ("tensor",), "skew takes a tensor such as grad(v)")
    return sp.ImmutableMatrix(
        a.rows, a.cols, lambda i, j: sp.S.Zero if i == j else (a[i, j] - a[j, i]) / 2
    )


def det(a: Expression) -> sp.Expr:
    """The determinant of a tensor, by the formula of its size, so that nothing is expanded or
    divided."""
    (a,) = prepare(a)
    needs("det", a, ("tensor",), "det takes a tensor such as F = I + grad(u)")
    if a.rows > 3:
        raise fail("T02", f"det and inv of {describe(a)}", "tensors of space are at most 3 by 3")
    if a.rows == 1:
        return a[0, 0]
    return sp.Add(*(a[0, j] * _cofactor(a, 0, j) for j in range(a.cols)))


def inv(a: Expression) -> sp.ImmutableMatrix:
    """The inverse of a tensor, cofactors over the determinant."""
    (a,) = prepare(a)
    needs("inv", a, ("tensor",), "1/s inverts a scalar")
    determinant = det(a)
    if determinant == 0:
        raise fail(
            "V03",
            f"inv of {short(a)}, whose determinant is zero",
            "the tensor has no inverse anywhere",
        )
    return sp.ImmutableMatrix(a.rows, a.cols, lambda i, j: _cofactor(a, j, i) / determinant)


def _cofactor(a: sp.MatrixBase, i: int, j: int) -> sp.Expr:
    if a.rows == 1:
        return sp.S.One
    rows, columns = ([k for k in range(a.rows) if k != skipped] for skipped in (i, j))
    sign = (-1) ** (i + j)
    if a.rows == 2:
        return sign * a[rows[0], columns[0]]
    (p, q), (r, s) = rows, columns
    minor = a[p, r] * a[q, s] - a[p, s] * a[q, r]
    return minor if sign > 0 else a[p, s] * a[q, r] - a[p, r] * a[q, s]


def identity(dim: int) -> sp.ImmutableMatrix:
    """The unit tensor, `I` of the text form."""
    return sp.ImmutableMatrix.eye(dim)
