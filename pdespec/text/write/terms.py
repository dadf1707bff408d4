"""Signs, sums and derivatives as syntax trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdespec.calculus import split_derivative
from pdespec.text.syntax import ast as t
from pdespec.words import BUILTINS

if TYPE_CHECKING:
    from pdespec.text.write.express import Express


def negative(node: t.Node) -> t.Node:
    """Minus an expression; in a product the sign goes to its first factor, unless that is a sum,
    whose terms would take it over."""
    if isinstance(node, t.Product) and not isinstance(node.first, t.Sum):
        return t.Product(t.Negative(node.first), node.rest)
    return t.Negative(node)


def differentiated(operand: t.Node, variables: tuple[str, ...], express: Express) -> t.Node:
    """`dxt(u)`, or `d(u, x, t)` where the letters would be read otherwise."""
    name = "d" + "".join(variables)
    if split_derivative(name, express.variables) == variables and (
        name not in BUILTINS or name == "dt"
    ):
        return t.Call(name, (operand,))
    return t.Call("d", (operand, *(express.name(variable) for variable in variables)))


def signed(terms: list[tuple[str, t.Node]]) -> t.Node:
    """A sum of terms with their signs."""
    (sign, first), *others = terms
    first = negative(first) if sign == "-" else first
    return t.Sum(first, tuple(others)) if others else first
