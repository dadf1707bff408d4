"""A function of tensors as one compiled graph, the gradients it takes inside included.

`torch.compile` cannot differentiate twice through what it compiled, and a residual loss is
differentiated twice. So the whole step, residual and parameter gradient, is first traced by
`make_fx` to one flat graph of plain operations, which any compiler can take. Shapes and Python
numbers are fixed in the graph; whatever changes from call to call must be a tensor argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

Function = Callable[..., tuple[Tensor, ...]]

# of norms: a thousand roundings, since a fused sum is taken in another order
AGREEMENT = {torch.float64: 1e-9, torch.float32: 1e-3}
COARSE = 0.1  # where autocast computes in 8 bits of mantissa


class CaptureError(RuntimeError):
    """A function cannot be captured; the text says why."""


def capture(
    function: Function,
    arguments: Sequence[Shaped[Tensor, "*_"]],
    expected: Sequence[Float[Tensor, "*_"]],
    backend: str,
    graphs: bool = True,
) -> Function:
    """`function` traced on `arguments` and compiled by a `backend` of `torch.compile`, once its
    results agree with the `expected` ones.

    On CUDA, with `graphs`, Inductor's kernels are replayed as a CUDA graph: results are then good
    until the next call. Every call must pass tensors of the same shapes, dtypes and devices. Run
    the function once before, so that whatever it caches is real. Raises: CaptureError where the
    trace or the compiler fails, or where the results differ.
    """
    try:
        with torch.no_grad():
            graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*arguments)
        replayed = graphs and backend == "inductor" and any(each.is_cuda for each in arguments)
        compiled = torch.compile(
            graph,
            dynamic=False,
            backend=backend,
            options={"triton.cudagraphs": True} if replayed else None,
        )
        with torch.no_grad():
            found = compiled(*arguments)
    except Exception as error:  # a tracer, a code generator and a C++ compiler can fail in any way
        raise CaptureError(f"{type(error).__name__}: {_summary(error)}") from error
    check(found, expected)

    def run(*arguments: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return compiled(*arguments)

    return run


def check(found: Sequence[Float[Tensor, "*_"]], expected: Sequence[Float[Tensor, "*_"]]) -> None:
    """Raises: CaptureError where two results are not the same up to rounding."""
    scale = max((_norm(each) for each in expected), default=0.0)
    for k, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        autocast = torch.is_autocast_enabled(theirs.device.type)
        tolerance = COARSE if autocast else AGREEMENT.get(theirs.dtype, COARSE)
        size = max(_norm(theirs), 1e-6 * scale)  # a gradient that vanishes has no relative error
        error = _norm(ours.to(theirs.dtype) - theirs)
        if not error <= tolerance * size:
            raise CaptureError(
                f"result {k} of the compiled graph is off by"
                f" {error / size if size else math.inf:.1e}"
            )


def _norm(values: Tensor) -> float:
    return float(values.detach().double().square().sum().sqrt())


def _summary(error: Exception) -> str:
    """The first lines of its message: a compiler's own wrap those of what went wrong inside."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or "no message"
