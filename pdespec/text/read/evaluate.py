"""Evaluation of expressions in a text: SymPy scalars and matrices.

Text is never handed to SymPy; every node is mapped to one known operation. Mistakes are reported in
the scope and yield BROKEN.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import reduce, singledispatch
from operator import add
from typing import Any

import sympy as sp
from sympy.logic.boolalg import Boolean

from pdespec import calculus, complexes, notation, tensors
from pdespec.calculus import split_derivative
from pdespec.coordinates import unit_normal
from pdespec.curvilinear import angles
from pdespec.errors import ProblemError, Span, nearest
from pdespec.geometry import Boundary, Domain, Shape
from pdespec.laws import Law
from pdespec.text.read.scope import (
    BROKEN,
    MAX_BITS,
    Broken,
    Function,
    Scope,
)
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.printer import text
from pdespec.vocabulary import CALLED
from pdespec.words import key

MAX_EXPONENT = 1000


def expression(node: t.Node, scope: Scope) -> Any:
    """The scalar, vector or tensor a node stands for; regions, shapes and laws are reported as
    out of place."""
    result = value(node, scope)
    if isinstance(result, (sp.Expr, sp.MatrixBase, Broken)):
        return result
    if isinstance(result, Function):
        arguments = ", ".join(result.parameters)
        return scope.fail(
            "T05",
            f"`{result.name}` is a function and is used here without arguments",
            node.span,
            f"write {result.name}({arguments})",
        )
    return scope.fail(
        "T05",
        f"{kind_of(result)} appears where an expression is expected",
        node.span,
        "expressions are made of numbers, fields and operators",
    )


def condition(node: t.Node, scope: Scope) -> Any:
    """The SymPy condition a node stands for."""
    result = value(node, scope)
    if isinstance(result, Broken) or (
        isinstance(result, Boolean) and not isinstance(result, sp.Symbol)
    ):
        return result
    return scope.fail(
        "T05",
        f"{kind_of(result)} appears where a condition is expected",
        node.span,
        "compare it: x < 1/2, or equal(x, 0)",
    )


def region(node: t.Node, scope: Scope, kinds: tuple[type, ...] = (Domain, Boundary)) -> Any:
    """The domain or boundary a node stands for."""
    result = value(node, scope)
    if isinstance(result, (Broken, *kinds)):
        return result
    wanted = " or ".join(kind.__name__.lower() for kind in kinds)
    names = [name for name, entry in scope.entries.items() if isinstance(entry.value, kinds)]
    hint = f"{wanted} in this problem: {', '.join(names)}" if names else f"declare a {wanted} first"
    if isinstance(result, Domain) and kinds == (Boundary,):
        hint = f"write boundary({result.name}) for all of its boundary"
    if isinstance(result, Boundary) and kinds == (Domain,):
        hint = f"`{result.name}` is a part of the boundary of `{result.domain.name}`"
    message = f"{kind_of(result)} appears where a {wanted} is expected"
    return scope.fail("T05", message, node.span, hint)


def kind_of(result: Any) -> str:
    """What a value is, in words, for messages."""
    if isinstance(result, (Domain, Boundary)):
        return f"the {type(result).__name__.lower()} `{result.name}`"
    if isinstance(result, Law):
        return "a law"
    if isinstance(result, Shape):
        return f"a shape ({type(result).__name__.lower()})"
    if isinstance(result, (sp.Expr, sp.MatrixBase)):
        return calculus.describe(result)
    if isinstance(result, Boolean):
        return "a condition"
    return f"a {type(result).__name__.lower()}"


# ---- one rule a node


@singledispatch
def value(node: t.Node, scope: Scope) -> Any:
    """The meaning of a node: SymPy scalar or matrix, domain, boundary, shape, law, user
    function, or BROKEN."""
    raise TypeError(f"{type(node).__name__} is not an expression")


@value.register
def _number(node: t.Number, scope: Scope) -> Any:
    exact = Fraction(node.text.removesuffix("i"))
    number = sp.Rational(exact.numerator, exact.denominator)
    return sp.I * number if node.text.endswith("i") else number


@value.register
def _quoted(node: t.Quoted, scope: Scope) -> Any:
    hint = 'quotes name a file or a group in it: mesh("part.msh"), group(Omega, "wall")'
    return scope.fail(
        "T05", "a text in quotes appears where an expression is expected", node.span, hint
    )


@value.register
def _name(node: t.Name, scope: Scope) -> Any:
    if node.name in scope.local or node.name in scope.entries or node.name.startswith("`"):
        return scope.lookup(node.name, node.span)
    if node.name == "pi":
        return sp.pi
    if node.name == "i":
        return sp.I
    if node.name in ("I", "n"):
        if not scope.coordinates:
            return scope.fail(
                "S01", f"`{node.name}` needs coordinates", node.span, "begin with `space x, y`"
            )
        frame = scope.coordinates
        return (
            tensors.identity(len(frame) + angles(frame)) if node.name == "I" else unit_normal(frame)
        )
    if not scope.declared(node.name) and (
        node.name in CALLED or split_derivative(node.name, scope.variables)
    ):
        usage = CALLED[node.name].usage if node.name in CALLED else f"{node.name}(u)"
        return scope.fail(
            "T05",
            f"the operator `{node.name}` is used here without argument",
            node.span,
            f"write {usage}",
        )
    return scope.lookup(node.name, node.span)


@value.register
def _component(node: t.Component, scope: Scope) -> Any:
    base = value(node.base, scope)
    if isinstance(base, Broken):
        return BROKEN
    axes = [x.name for x in scope.coordinates]
    if (
        isinstance(base, sp.MatrixBase)
        and base.cols == base.rows > len(axes)
        and angles(scope.coordinates)
    ):
        axes += ["hoop"]  # T.rr, T.rz, .. and T.hoophoop, which `hoop` stands for
        if node.name == "hoop":
            return base[len(axes) - 1, len(axes) - 1]
        if "hoop" not in node.name and node.name in {a + b for a in axes for b in axes}:
            i, j = next(
                (i, j) for i, a in enumerate(axes) for j, b in enumerate(axes) if a + b == node.name
            )
            return base[i, j]
        names = ", .".join(a + b for a in axes[:-1] for b in axes[:-1])
        message = f"{calculus.describe(base)} has no component `{node.name}`"
        return scope.fail("S01", message, node.span, f"its components are .{names} and .hoop")
    if isinstance(base, sp.MatrixBase) and base.rows == len(axes):
        rows = {axis: i for i, axis in enumerate(axes)}
        places = (
            {axis: (i, 0) for axis, i in rows.items()}
            if base.cols == 1
            else {a + b: (rows[a], rows[b]) for a in axes for b in axes}
        )
        if node.name in places:
            return base[places[node.name]]
        near = nearest(node.name, places)
        hint = f"did you mean `.{near}`?" if near else f"its components are .{', .'.join(places)}"
        return scope.fail(
            "S01", f"{calculus.describe(base)} has no component `{node.name}`", node.span, hint
        )
    what = calculus.describe(base) if isinstance(base, (sp.Expr, sp.MatrixBase)) else kind_of(base)
    return scope.fail(
        "T02",
        f"{what} has no component `.{node.name}`",
        node.span,
        "components belong to vectors (v.x) and tensors (T.xy)",
    )


@value.register
def _negative(node: t.Negative, scope: Scope) -> Any:
    operand = expression(node.operand, scope)
    return BROKEN if isinstance(operand, Broken) else -operand


@value.register
def _transpose(node: t.Transpose, scope: Scope) -> Any:
    return checked(tensors.transpose, [expression(node.operand, scope)], node.span, scope)


@value.register
def _power(node: t.Power, scope: Scope) -> Any:
    base, exponent = expression(node.base, scope), expression(node.exponent, scope)
    if isinstance(base, Broken) or isinstance(exponent, Broken):
        return BROKEN
    if isinstance(base, sp.MatrixBase):
        hint = (
            "write dot(v, v)"
            if calculus.rank(base) == "vector"
            else "write T*T for a product, inv(T) for the inverse"
        )
        return scope.fail(
            "T01", f"{calculus.describe(base)} cannot be raised to a power", node.span, hint
        )
    if isinstance(exponent, sp.MatrixBase):
        return scope.fail(
            "T01",
            f"{calculus.describe(exponent)} cannot be an exponent",
            node.exponent.span,
            "exponents are scalars",
        )
    if exponent.is_number:
        coefficient = abs(base.as_coeff_Mul()[0])
        size = max(scope.extent(coefficient).bits, scope.extent(base).bits if base.is_number else 0)
        if (
            abs(complex(exponent.evalf(15))) * max(size, 1) > MAX_BITS
            or abs(complex(exponent.evalf(15))) > MAX_EXPONENT
        ):
            return scope.fail(
                "S02",
                "this power is too large",
                node.span,
                f"exponents go to {MAX_EXPONENT}, numbers to {MAX_BITS} bits",
            )
        if base.is_zero and not exponent.is_nonnegative:
            return scope.fail("V03", "division by zero", node.span, "zero has no negative power")
    return scope.bounded(base**exponent, node.span)


@value.register
def _product(node: t.Product, scope: Scope) -> Any:
    if (spelled := _spelled_derivative(node, scope)) is not None:
        return scope.fail(
            "S02", f"`{spelled[0]}` is not a derivative here", node.span, f"write {spelled[1]}"
        )
    result, span = expression(node.first, scope), node.first.span
    for sign, factor in node.rest:
        right = expression(factor, scope)
        span = span.to(factor.span) if span and factor.span else node.span
        if isinstance(result, Broken) or isinstance(right, Broken):
            result = BROKEN
            continue
        result = scope.bounded(
            (
                _times(result, right, scope, span)
                if sign == "*"
                else _over(result, right, scope, span)
            ),
            span,
        )
    return result


def _spelled_derivative(node: t.Product, scope: Scope) -> tuple[str, str] | None:
    """`du/dx`, `d2u/dx2`, `du/dn` and `∂u/∂x` among the factors of a product, with what the
    language writes for it."""
    factors = (node.first, *(factor for _, factor in node.rest))
    for above, (sign, below) in zip(factors, node.rest, strict=False):
        top, bottom = (_differential(each) for each in (above, below))
        if sign != "/" or top is None or bottom is None:
            continue
        field, variable = (
            top[0] or top[1],
            re.sub(r"\d+$", "", bottom[1]) if bottom[1] not in scope.variables else bottom[1],
        )
        order = int(re.sub(r"\D", "", bottom[1][len(variable) :]) or 1)
        for name in (top[1], re.sub(r"^\d+", "", top[1])):
            known = name in scope.local or key(name, scope.variables) in scope.entries
            if known and (variable in scope.variables or variable == "n"):
                written = f"dn({name})" if variable == "n" else f"d{variable * order}({name})"
                return f"{_shown(above)}/{_shown(below)}", written if field else ""
    return None


def _differential(node: t.Node) -> tuple[str, str] | None:
    """("d" or "∂", what follows it)."""
    if isinstance(node, t.Name) and len(node.name) > 1 and node.name.startswith("d"):
        return "d", node.name[1:]
    if (
        isinstance(node, t.Call)
        and node.function == "boundary"
        and len(node.arguments) == 1
        and isinstance(node.arguments[0], t.Name)
    ):
        return "\u2202", node.arguments[0].name
    return None


def _shown(node: t.Node) -> str:
    head, tail = _differential(node) or ("", "")
    return head + tail


def _times(left: Any, right: Any, scope: Scope, span: Span | None) -> Any:
    if not (isinstance(left, sp.MatrixBase) and isinstance(right, sp.MatrixBase)):
        return left * right
    kinds = calculus.rank(left), calculus.rank(right)
    if left.shape == right.shape == (1, 1):
        return left * right
    if kinds == ("vector", "vector"):
        hint = "write dot(a, b) for the scalar product, outer(a, b) for the tensor"
        return scope.fail(
            "T01",
            f"vector times vector: {notation.short(left)} and {notation.short(right)}",
            span,
            hint,
        )
    dim = len(scope.coordinates)
    if (
        angles(scope.coordinates)
        and kinds == ("tensor", "vector")
        and left.rows > dim == right.rows
    ):
        return left[:dim, :dim] * right  # vectors have no component along the angle
    if left.cols == right.rows:
        return left * right
    hint = (
        "write T*v, or T'*v to contract the first index"
        if kinds == ("vector", "tensor")
        else "their sizes must agree"
    )
    return scope.fail(
        "T01", f"{calculus.describe(left)} times {calculus.describe(right)}", span, hint
    )


def _over(left: Any, right: Any, scope: Scope, span: Span | None) -> Any:
    if isinstance(right, sp.MatrixBase):
        hint = (
            "write inv(T)*v"
            if calculus.rank(right) == "tensor"
            else "divide by a component or by sqrt(dot(v, v))"
        )
        return scope.fail("T01", f"division by {calculus.describe(right)}", span, hint)
    if right.is_zero:
        return scope.fail("V03", "division by zero", span, "the divisor is zero everywhere")
    return left / right


@value.register
def _sum(node: t.Sum, scope: Scope) -> Any:
    if isinstance(first := value(node.first, scope), (Shape, Domain)):
        return _combine(first, node, scope)
    terms: list[Any] = [
        first
        if isinstance(first, (sp.Expr, sp.MatrixBase, Broken))
        else expression(node.first, scope)
    ]
    for i, (sign, term) in enumerate(node.rest):
        right = expression(term, scope)
        if isinstance(terms[0], Broken) or isinstance(right, Broken):
            terms = [BROKEN]
        elif getattr(terms[0], "shape", None) != getattr(right, "shape", None):
            terms = [scope.fail("T01", *_disagreement(terms[0], right, node, i))]
        else:
            terms.append(right if sign == "+" else -right)
    if isinstance(terms[0], Broken):
        return BROKEN
    total = reduce(add, terms) if isinstance(terms[0], sp.MatrixBase) else sp.Add(*terms)
    return scope.bounded(total, node.span)


def _disagreement(left: Any, right: Any, node: t.Sum, place: int) -> tuple[str, Span | None, str]:
    """Message, place and cure for a sum whose terms differ in rank or size."""
    sign, term = node.rest[place]
    before = text(t.Sum(node.first, node.rest[:place]) if place else node.first)
    message = (
        f"`{sign}` between {calculus.describe(left)} and {calculus.describe(right)}: `{before}` and"
        f" `{text(term)}`"
    )
    ranks = calculus.rank(left), calculus.rank(right)
    if "scalar" not in ranks:
        return message, term.span, "the terms of a sum have one rank and size"
    scalar, written = (right, text(term)) if ranks[1] == "scalar" else (left, before)
    if "tensor" in ranks:
        return message, term.span, f"did you mean {written}*I?"
    return (
        message,
        term.span,
        (
            f"write a vector, [{written}, ...]"
            if scalar.is_number
            else f"did you mean grad({written})?"
        ),
    )


def _combine(first: Any, node: t.Sum, scope: Scope) -> Any:
    """Union and difference of shapes."""
    result = first
    for sign, term in node.rest:
        right = shape(term, scope)
        if isinstance(result, Broken) or isinstance(right, Broken):
            result = BROKEN
            continue
        result = checked(
            (lambda a, b: a + b) if sign == "+" else (lambda a, b: a - b),
            [_bare(result), right],
            node.span,
            scope,
        )
    return result


@value.register
def _intersection(node: t.Intersection, scope: Scope) -> Any:
    left, right = shape(node.left, scope), shape(node.right, scope)
    return checked(lambda a, b: a & b, [left, right], node.span, scope)


def checked(
    function: Callable[..., Any], arguments: list[Any], span: Span | None, scope: Scope
) -> Any:
    """Calls an operator of the language core; what it finds wrong is reported at the span."""
    if any(isinstance(argument, Broken) for argument in arguments):
        return BROKEN
    try:
        result = function(*arguments)
    except ProblemError as error:
        return scope.adopt(error, span)
    except ZeroDivisionError:  # mod(u, 0)
        return scope.fail("V03", "division by zero", span, "the divisor is zero everywhere")
    except (TypeError, ValueError):  # SymPy's, of numbers such as step(log(-1))
        written = next((each for each in arguments if unreal(each)), None)
        if written is None:
            raise
        return _not_real(written, "an argument here", span, scope)
    return scope.bounded(result, span)


def unreal(value: Any) -> bool:
    """Whether a value is known to be no real number, or has an imaginary part."""
    return isinstance(value, sp.Expr) and (
        value.is_extended_real is False or complexes.is_complex(value)
    )


def _not_real(value: Any, what: str, span: Span | None, scope: Scope) -> Any:
    return scope.fail(
        "T02",
        f"{what} is {notation.short(value)}, which is not a real number",
        span,
        "take its real part, re(..), or abs(..); or look for a root or logarithm of a negative"
        " number",
    )


def shape(node: t.Node, scope: Scope) -> Any:
    """The shape a node stands for; a domain counts for its shape."""
    result = _bare(value(node, scope))
    if isinstance(result, (Shape, Broken)):
        return result
    return scope.fail(
        "T05",
        f"{kind_of(result)} appears where a shape is expected",
        node.span,
        "write a shape such as disk(radius = 1)",
    )


def _bare(result: Any) -> Any:
    return result.shape if isinstance(result, Domain) else result


COMPARISONS = {"<": sp.Lt, "<=": sp.Le, ">": sp.Gt, ">=": sp.Ge}


@value.register
def _comparison(node: t.Comparison, scope: Scope) -> Any:
    sides = [expression(side, scope) for side in (node.first, *(side for _, side in node.rest))]
    if any(isinstance(side, Broken) for side in sides):
        return BROKEN
    for side, written in zip(sides, (node.first, *(side for _, side in node.rest)), strict=True):
        if isinstance(side, sp.MatrixBase):
            hint = "compare components or lengths: v.x < 1, sqrt(dot(v, v)) < 1"
            return scope.fail("T02", f"{calculus.describe(side)} is compared", written.span, hint)
        if unreal(side):
            return _not_real(side, "what is compared", written.span, scope)
    pairs = zip(node.rest, sides, sides[1:], strict=False)
    return sp.And(*(_compared(COMPARISONS[sign], left, right) for (sign, _), left, right in pairs))


def _compared(relation: Any, left: Any, right: Any) -> Any:
    """A comparison of choices as one of their values, since SymPy 1.14 recurses without end over a
    choice by derivatives inside of a condition."""
    for side in (left, right):
        if isinstance(side, sp.Piecewise):
            (value, holds), *others = side.args
            rest = sp.Piecewise(*others)
            here, there = (
                ((value, right), (rest, right)) if side is left else ((left, value), (left, rest))
            )
            if holds == sp.true or not others:
                return _compared(relation, *here)
            return sp.Or(
                sp.And(holds, _compared(relation, *here)),
                sp.And(sp.Not(holds), _compared(relation, *there)),
            )
    return relation(left, right)


@value.register
def _not(node: t.Not, scope: Scope) -> Any:
    operand = condition(node.operand, scope)
    return BROKEN if isinstance(operand, Broken) else sp.Not(operand)


@value.register
def _logic(node: t.Logic, scope: Scope) -> Any:
    operands = [condition(operand, scope) for operand in node.operands]
    return (
        BROKEN
        if any(isinstance(each, Broken) for each in operands)
        else (sp.And if node.word == "and" else sp.Or)(*operands)
    )


@value.register
def _bracket(node: t.Bracket, scope: Scope) -> Any:
    rows = [expression(item, scope) for item in node.items]
    if any(isinstance(row, Broken) for row in rows):
        return BROKEN
    matrices = [isinstance(row, sp.MatrixBase) for row in rows]
    if not any(matrices):
        return sp.ImmutableMatrix(rows)
    if all(matrices) and len({row.shape for row in rows}) == 1 and rows[0].cols == 1:
        return sp.ImmutableMatrix([list(row) for row in rows])
    return scope.fail(
        "T01",
        "the rows of this bracket differ in length",
        node.span,
        "a vector is [a, b], a tensor [[a, b], [c, d]]",
    )
