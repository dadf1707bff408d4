"""Nodes of expressions. Equal subexpressions are visited once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp


def nodes_of(expression: Any, *kinds: type) -> set[Any]:
    """The nodes of the given kinds in a scalar or matrix, as `expression.atoms(*kinds)` finds them
    in the tree, which an energy in space makes a hundred times as large as its different parts."""
    todo = list(expression.flat()) if isinstance(expression, sp.MatrixBase) else [expression]
    seen, found = set(), set()
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += node.args
            if isinstance(node, kinds):
                found.add(node)
    return found


def rebuilt(node: Any, arguments: Iterable[Any]) -> Any:
    """A node with other arguments, simplified as SymPy does. A `Piecewise` whose conditions SymPy
    1.14 orders without end is built as it is."""
    try:
        return node.func(*arguments)
    except RecursionError:
        if not isinstance(node, sp.Piecewise):
            raise
        return sp.Piecewise(*arguments, evaluate=False)


def replaced(expression: sp.Basic, table: Mapping[Any, Any]) -> Any:
    """`expression.xreplace(table)`, for any `Piecewise` in it (see `rebuilt`)."""
    try:
        return expression.xreplace(table)
    except RecursionError:
        done = dict(table)

    def visit(node: Any) -> Any:
        if node not in done:
            arguments = tuple(visit(each) for each in node.args)
            done[node] = node if arguments == node.args else rebuilt(node, arguments)
        return done[node]

    return visit(expression)
