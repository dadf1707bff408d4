"""Recognises vector operators in components: `nu*lap(v)` instead of six second derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sympy as sp

from pdespec import calculus
from pdespec.coordinates import Coordinate
from pdespec.symbols import InputField, Scalar, UnknownField
from pdespec.text.syntax import ast as t
from pdespec.text.write.terms import differentiated, signed

Express = Any  # pdespec.text.write.express.Express, which calls this module


def declared(entry: Any) -> Any:
    """The declaration of a param or of a component of a field, None for anything else."""
    if isinstance(entry, (UnknownField, InputField)):
        return entry.func.declaration
    return entry.declaration if isinstance(entry, Scalar) else None


def is_negative(expression: sp.Expr) -> bool:
    """Whether a term is written with a minus sign: its numerical factor is negative. (A sum of
    negative terms is none: its sign is theirs.)"""
    return bool(expression.as_coeff_Mul()[0].is_negative)


def scaled(factor: sp.Expr, node: t.Node, express: Express) -> tuple[str, t.Node]:
    """A sign and a multiple of an operator: `-` and `2/Re*lap(v)`."""
    return (
        ("-", times(-factor, node, express))
        if is_negative(factor)
        else ("+", times(factor, node, express))
    )


def times(factor: sp.Expr, node: t.Node, express: Express) -> t.Node:
    """A multiple of an operator."""
    if factor == 1:
        return node
    written = express(factor)
    if isinstance(written, t.Product):
        return t.Product(written.first, (*written.rest, ("*", node)))
    return t.Product(written, (("*", node),))


# ---- scalars


def operators(
    terms: Sequence[sp.Expr], express: Express
) -> tuple[list[tuple[str, t.Node]], list[sp.Expr]]:
    """The Laplacians and divergences among the terms of a sum, as signed nodes, and the terms
    left over."""
    left, found = list(terms), []
    for term in terms:
        coefficient, inner = term.as_coeff_Mul()
        if (
            term not in left
            or not isinstance(inner, sp.Derivative)
            or not isinstance(inner.variables[0], Coordinate)
        ):
            continue
        frame = inner.variables[0].coordinates
        if len(frame) == 1 or frame[0].system:
            continue
        parts, made = _operator(inner, coefficient, left, frame, express)
        if made is not None:
            left = [each for each in left if each not in parts]
            found.append(scaled(coefficient, made, express))
    return found, left


def _operator(
    inner: Any, coefficient: Any, terms: list[Any], frame: tuple[Any, ...], express: Express
) -> tuple[list[Any], t.Node | None]:
    if inner.variables == (frame[0], frame[0]):
        parts = [coefficient * sp.Derivative(inner.expr, x, x) for x in frame]
        return parts, t.Call("lap", (express(inner.expr),)) if all(
            part in terms for part in parts
        ) else None
    if inner.variables == (frame[0],):
        return _divergence(inner.expr, coefficient, terms, frame, express)
    return [], None


def _divergence(
    flux: Any, coefficient: Any, terms: list[Any], frame: tuple[Any, ...], express: Express
) -> tuple[list[Any], t.Node | None]:
    """`div(k*grad(w))` or `div(v)` among terms, where `flux` is what the first coordinate
    differentiates."""
    for slope in sorted(flux.atoms(sp.Derivative), key=sp.default_sort_key):
        factor = flux / slope
        if slope.variables != (frame[0],) or factor.has(slope):
            continue
        parts = [
            coefficient * sp.Derivative(factor * sp.Derivative(slope.expr, x), x) for x in frame
        ]
        if all(part in terms for part in parts):
            gradient = t.Call("grad", (express(slope.expr),))
            return parts, t.Call("div", (times(factor, gradient, express),))
    declaration = declared(flux)
    if isinstance(flux, (UnknownField, InputField)) and declaration.rank == "vector":
        parts = [
            coefficient * sp.Derivative(each, x)
            for each, x in zip(declaration.symbol, frame, strict=True)
        ]
        if all(part in terms for part in parts):
            return parts, t.Call("div", (express.name(declaration.name),))
    return [], None


# ---- vectors and tensors


def tensor_gradient(expression: sp.MatrixBase, express: Express) -> t.Node | None:
    """`grad(v)`, when a tensor is that."""
    for declaration in _fields(expression, ("vector",)):
        if expression == calculus.grad(declaration.symbol):
            return t.Call("grad", (express.name(declaration.name),))
    return None


def vector_operators(expression: sp.MatrixBase, express: Express) -> t.Node | None:
    """A vector as a sum of multiples of known operators and a bracket of what is left, when
    there are any."""
    if expression.rows == 1:
        return None
    rows = [list(sp.Add.make_args(entry)) for entry in expression]
    found = []
    for node, operator in _candidates(expression, express):
        for factor in _factors(operator[0], rows[0]):
            parts = [list(sp.Add.make_args(factor * entry)) for entry in operator]
            if all(part in row for each, row in zip(parts, rows, strict=True) for part in each):
                rows = [
                    [term for term in row if term not in each]
                    for each, row in zip(parts, rows, strict=True)
                ]
                found.append(scaled(factor, node, express))
                break
    if not found:
        return None
    if any(rows):
        found.append(("+", t.Bracket(tuple(express(sp.Add(*row)) for row in rows))))
    return signed(found)


def _candidates(
    expression: sp.MatrixBase, express: Express
) -> Iterator[tuple[t.Node, sp.MatrixBase]]:
    """Operators of the fields of a vector that have its size."""
    vectors, scalars = _fields(expression, ("vector",)), _fields(expression, ("scalar",))
    for field in vectors:
        name, symbol = express.name(field.name), field.symbol
        time = field_time(field)
        for order in (1, 2) if time is not None else ():
            yield differentiated(name, (time.name,) * order, express), calculus.dt(symbol, order)
        for velocity in vectors:
            yield (
                t.Call("advect", (express.name(velocity.name), name)),
                calculus.advect(velocity.symbol, symbol),
            )
        yield t.Call("lap", (name,)), calculus.lap(symbol)
    for field in scalars:
        yield t.Call("grad", (express.name(field.name),)), calculus.grad(field.symbol)
    for field in vectors:
        yield express.name(field.name), field.symbol


def field_time(field: Any) -> Any:
    """The time a declared field depends on."""
    return getattr(field, "time", None)


def _fields(expression: sp.MatrixBase, ranks: Iterable[str]) -> list[Any]:
    """Declared fields of an expression that span as many dimensions as it has rows, by name."""
    fields: Any = expression.atoms(UnknownField, InputField)
    found = {
        field.func.declaration for field in fields if field.func.declaration.rank in tuple(ranks)
    }
    return sorted(
        (each for each in found if len(each.region.coordinates) == expression.rows),
        key=lambda each: each.name,
    )


def _factors(operator: sp.Expr, terms: list[sp.Expr]) -> Iterator[sp.Expr]:
    """What an operator's first component may be multiplied by in one of the terms of a sum."""
    parts = sp.Add.make_args(operator)
    for term in terms:
        for part in {parts[0], operator}:
            if term == part or (term.is_Mul and part in term.args):
                factor = term / part
                if not factor.has(sp.Derivative) and (
                    len(parts) == 1 or part == operator or factor.is_Rational
                ):
                    yield factor
            elif term.is_Mul and part.is_Mul and set(part.args) <= set(term.args):
                factor = term / part
                if factor.is_Rational:
                    yield factor
