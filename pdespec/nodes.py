"""What an expression is made of. Expressions share their parts: each is looked at once."""

from __future__ import annotations

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
