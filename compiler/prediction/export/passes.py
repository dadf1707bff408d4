"""Passes over a traced graph of plain operations: each takes a graph module and returns one that
computes the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

LARGEST = 2**18  # entries of a constant that is computed here and stored

aten = torch.ops.aten


def searchsorted(
    boundaries: Tensor, values: Tensor, *, out_int32: bool = False, right: bool = False, **_: Any
) -> Tensor:
    """By counting, which any format can: how many boundaries lie below each value. Shapes:
    boundaries ".. m", values ".. n" -> ".. n"."""
    below = boundaries[..., None, :] <= values[..., None]
    if not right:
        below = boundaries[..., None, :] < values[..., None]
    return below.sum(-1, dtype=torch.int32 if out_int32 else torch.int64)


DECOMPOSITIONS: Mapping[Any, Callable[..., Any]] = {aten.searchsorted.Tensor: searchsorted}


def simplified(module: GraphModule) -> GraphModule:
    """Without what changes its arguments, is computed twice, or does not depend on the arguments
    of all; for every format."""
    for each in (functional, folded, shared, with_exact_numbers):
        module = each(module)
        module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
    return module


def functional(module: GraphModule) -> GraphModule:
    """In-place operations, which derivatives of clamps have, as those that give a new tensor.
    Raises: NotImplementedError for one that has no such form."""
    for node in list(module.graph.nodes):
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable:
            continue
        name = node.target.__name__.partition(".")[0].removesuffix("_")
        changed = node.args[0]
        if not hasattr(aten, name) or len(node.kwargs) or not isinstance(changed, Node):
            raise NotImplementedError(f"{node.target} in a traced program")
        node.target = getattr(getattr(aten, name), node.target._overloadname)
        changed.replace_all_uses_with(node, delete_user_cb=lambda user, at=node: user > at)
    return module


def folded(module: GraphModule) -> GraphModule:
    """Constants computed once: those of the graph, and what follows from them."""
    values: dict[Node, Any] = {}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            values[node] = getattr(module, str(node.target)).detach()
            continue
        known = all(each in values for each in node.all_input_nodes)
        if node.op != "call_function" or not known:
            continue
        arguments = torch.fx.node.map_arg((node.args, dict(node.kwargs)), values.__getitem__)
        with torch.no_grad():
            found = node.target(*arguments[0], **arguments[1])
        if isinstance(found, Tensor) and found.numel() > LARGEST:
            continue
        values[node] = found
    for count, (node, value) in enumerate(values.items()):
        outside = [user for user in node.users if user not in values]
        if node.op == "get_attr" or not outside or not isinstance(value, Tensor):
            continue
        name = f"constant_{count}"
        module.register_buffer(name, value.detach().clone(memory_format=torch.contiguous_format))
        with module.graph.inserting_before(node):
            stored = module.graph.get_attr(name)
        stored.meta["val"] = node.meta.get("val")
        for user in outside:
            user.replace_input_with(node, stored)
    module.graph.eliminate_dead_code()
    return module


def shared(module: GraphModule) -> GraphModule:
    """Every operation once for the same arguments."""
    met: dict[Any, Node] = {}
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        key = _key((node.target, node.args, dict(node.kwargs)))
        if key in met:
            node.replace_all_uses_with(met[key])
            module.graph.erase_node(node)
        else:
            met[key] = node
    return module


def _key(value: Any) -> Any:
    """Arguments as something with a hash; 1, 1.0 and True differ."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_key, value))
    if isinstance(value, dict):
        return tuple((name, _key(each)) for name, each in sorted(value.items()))
    if isinstance(value, slice):
        return slice, _key((value.start, value.stop, value.step))
    return type(value), repr(value) if isinstance(value, float) else value


def with_exact_numbers(module: GraphModule) -> GraphModule:
    """Python numbers that meet float64 as constants of that type: ONNX export makes them
    float32."""
    for node in list(module.graph.nodes):
        value = node.meta.get("val")
        target = OF_TENSORS.get(node.target)
        if target is None or not isinstance(value, Tensor) or value.dtype != torch.float64:
            continue
        inexact = [
            isinstance(each, (int, float)) and float(torch.tensor(float(each))) != each
            for each in node.args
        ]
        if not any(inexact):
            continue
        arguments = [
            _stored(module, node, float(each)) if isinstance(each, (int, float)) else each
            for each in node.args
        ]
        if node.target is aten.rsub.Scalar:
            arguments = arguments[::-1]
        node.target, node.args = target, tuple(arguments)
    return module


def _stored(module: GraphModule, before: Node, number: float) -> Node:
    """A number as a constant of the graph."""
    name = f"number_{number.hex()}".replace(".", "_").replace("-", "m").replace("+", "p")
    if not hasattr(module, name):
        module.register_buffer(name, torch.tensor(number, dtype=torch.float64))
    with module.graph.inserting_before(before):
        return module.graph.get_attr(name)


# operations on two tensors, of those on a tensor and perhaps a number
OF_TENSORS = {
    **{each: each for each in (aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor, aten.div.Tensor)},
    aten.mul.Scalar: aten.mul.Tensor,
    aten.add.Scalar: aten.add.Tensor,
    aten.sub.Scalar: aten.sub.Tensor,
    aten.div.Scalar: aten.div.Tensor,
    aten.rsub.Scalar: aten.sub.Tensor,
    aten.pow.Tensor_Scalar: aten.pow.Tensor_Tensor,
}
