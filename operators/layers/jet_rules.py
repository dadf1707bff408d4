"""Rules by which jets pass through modules: one a module type; other types are refused with a
reason.

Rules are open: `@rule.register(MyModule)` on a function (module, x) teaches a type. A module
without a rule raises `NoJetRule`; a planner asks `missing` first and falls back to nested autograd,
telling the reason.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from operators.jets import jet
from operators.jets.derivative_tables import ACTIVATIONS, SQRT, Smooth
from operators.jets.jet import Jet, Streams
from operators.layers.mlp import MLP, Activation, Linear, Sinusoidal

# of nn.Module: run by its call, not by a rule
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class NoJetRule(TypeError):
    """A jet met a module that nobody taught it to pass."""


def _path(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


@functools.singledispatch
def rule(module: nn.Module, x: Jet) -> Jet:
    """The jet rule of a module type. Raises: NoJetRule where there is none."""
    raise NoJetRule(missing(module))


def apply(module: nn.Module, x: Streams) -> Streams:
    """module(x) for tensors and jets. Raises: NoJetRule naming the module that has no rule."""
    if isinstance(x, Tensor):
        return module(x)
    if not _known(module) or _refusal(module):
        raise NoJetRule(missing(module))
    return rule(module, x)


def missing(module: nn.Module) -> str:
    """Why no jet can pass this module or a part of it; empty where one can."""
    reasons = []
    for part in _parts(module):
        if not _known(part):
            reasons.append(
                f"no jet rule for {_path(part)}; teach one with"
                " operators.layers.jet_rules.rule.register"
            )
        elif why := _refusal(part):
            reasons.append(why)
    return "; ".join(dict.fromkeys(reasons))


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """A module and all inside of it, lists and parametrizations aside: the weight that a rule
    reads is the parametrized one."""
    if not isinstance(module, nn.ModuleList):
        yield module
    for name, child in module.named_children():
        if name != "parametrizations" or not is_parametrized(module):
            yield from _parts(child)


def _known(module: nn.Module) -> bool:
    """A rule for the type itself, or for a parent whose forward it kept: a subclass that
    computes something else has none."""
    taught = next(t for t in type(module).__mro__ if t in rule.registry)
    return taught is not object and (
        taught is type(module) or type(module).forward is taught.forward
    )


def _refusal(module: nn.Module) -> str:
    """Why a module that has a rule cannot use it: a setting, or something about its call that
    the rule would pass by."""
    if own := next((kind for kind in HOOKS if getattr(module, kind)), ""):
        kind = own.strip("_").removesuffix("s").replace("_", " ")
        return f"{_path(module)} has a {kind}, which its jet rule would pass by"
    if "forward" in vars(module):
        return f"{_path(module)} was given a forward of its own, which its jet rule would pass by"
    if isinstance(module, nn.Dropout) and module.training and module.p:
        return "Dropout in training mode is not a function of the point"
    if isinstance(module, nn.GELU) and module.approximate != "none":
        return "GELU(approximate='tanh') has no derivative table; use the exact one"
    if isinstance(module, nn.Softplus) and module.beta != 1:
        return f"Softplus(beta={module.beta}) has no derivative table; use beta=1"
    return ""


class Residual(nn.Module):
    """x + inner(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Streams) -> Streams:
        return x + apply(self.inner, x)


def _pointwise(module: nn.Module, x: Jet, function: Smooth) -> Jet:
    return x.compose(function)


for _own in (Linear, Activation, MLP, Sinusoidal, Residual):
    rule.register(_own, lambda module, x: module(x))  # written for tensors and jets alike

for _type, _name in {
    nn.GELU: "gelu",
    nn.Tanh: "tanh",
    nn.SiLU: "silu",
    nn.Sigmoid: "sigmoid",
    nn.Softplus: "softplus",
}.items():
    rule.register(_type, functools.partial(_pointwise, function=ACTIVATIONS[_name]))


@rule.register(nn.Linear)
def _linear(module: nn.Linear, x: Jet) -> Jet:
    return jet.linear(x, module.weight, module.bias)


@rule.register(nn.Sequential)
def _sequential(module: nn.Sequential, x: Jet) -> Jet:
    for part in module:
        x = apply(part, x)
    return x


@rule.register(nn.Identity)
@rule.register(nn.Dropout)
def _identity(module: nn.Module, x: Jet) -> Jet:
    return x


@rule.register(nn.LayerNorm)
def _layer_norm(module: nn.LayerNorm, x: Jet) -> Jet:
    """(x - mean) / sqrt(var + eps) over the last axes: right to every order, torch's module
    under nested autograd only to the second."""
    axes = tuple(range(-len(module.normalized_shape), 0))
    x = x.dense()
    centred = x - x.map(lambda v: v.mean(axes, keepdim=True))
    variance = (centred * centred).map(lambda v: v.mean(axes, keepdim=True))
    out = centred / (variance + module.eps).compose(SQRT)
    return (
        out
        if module.weight is None
        else out * module.weight + (0.0 if module.bias is None else module.bias)
    )
