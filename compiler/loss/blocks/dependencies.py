"""The tensors that a result depends on through autograd."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def leaves(result: Float[Tensor, "*_"]) -> tuple[Float[Tensor, "*_"], ...]:
    """The parameters that a result was computed from, in the order of its graph."""
    found: dict[int, Tensor] = {}
    stack, seen = [result.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)  # of a node that accumulates a leaf's gradient
        if variable is not None:
            found.setdefault(id(variable), variable)
        stack += [parent for parent, _ in node.next_functions]
    return tuple(found.values())
