"""L-BFGS: some iterations on the loss of one batch at each step of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

FAR = 1e6  # what a loss that is not a number counts as, over one and the loss before


class LBFGS(torch.optim.Optimizer):
    """Limited-memory BFGS with a line search (Liu and Nocedal 1989, doi 10.1007/BF01589116), by
    SciPy's L-BFGS-B in float64.

    A step takes at most `iterations` iterations on the function that its closure evaluates, and
    forgets its `memory` of gradient pairs at the end: every step of a training has a loss of its
    own, and a run that was killed goes on with the same bits. The length of a step is found by the
    search; `lr` scales nothing. A loss or gradient that is not a number, where the search went too
    far, counts as a large one; what is kept is the lowest finite loss met, so that no step makes
    the loss of its batch larger.
    """

    searches = True  # for its step length: it has to be given a closure

    def __init__(
        self, params: Any, lr: float = 1.0, iterations: int = 20, memory: int = 20
    ) -> None:
        for name, value in (("iterations", iterations), ("memory", memory)):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10**6:
                raise ValueError(f"{name} is a whole number from 1, not {value!r}")
        super().__init__(params, {"lr": lr, "iterations": iterations, "memory": memory})

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor:  # type: ignore[override]
        """closure: clears gradients, puts new ones in place, returns the loss. Returns that of the
        weights which the step leaves. Raises: TypeError without a closure."""
        if closure is None:
            raise TypeError("L-BFGS evaluates the loss several times a step: give it a closure")
        group = self.param_groups[0]
        weights = [each for group in self.param_groups for each in group["params"]]
        best: list[Any] = [np.inf, _flat(weights)]

        def function(x: np.ndarray) -> tuple[float, np.ndarray]:
            _put(weights, x)
            with torch.enable_grad():
                loss = float(closure().detach())
            slope = _flat([torch.zeros_like(w) if w.grad is None else w.grad for w in weights])
            if not (np.isfinite(loss) and np.isfinite(slope).all()):
                start = best[0] if np.isfinite(best[0]) else 0.0
                return FAR * (1 + abs(start)), np.zeros_like(x)
            if loss < best[0]:
                best[:] = loss, x.copy()
            return loss, slope

        options = {"maxiter": group["iterations"], "maxcor": group["memory"]}
        minimize(
            function, best[1], jac=True, method="L-BFGS-B", options=options | {"ftol": 0, "gtol": 0}
        )
        _put(weights, best[1])
        return torch.tensor(best[0], dtype=torch.float64)


@torch.no_grad()
def _flat(tensors: list[Tensor]) -> np.ndarray:
    return torch.cat([_real(each).reshape(-1).double() for each in tensors]).cpu().numpy()


@torch.no_grad()
def _put(weights: list[Tensor], values: np.ndarray) -> None:
    own = [_real(each) for each in weights]
    parts = torch.from_numpy(values).split([each.numel() for each in own])
    for weight, part in zip(own, parts, strict=True):
        weight.copy_(part.reshape(weight.shape))


def _real(tensor: Tensor) -> Tensor:
    """Its numbers as real ones, in the same memory."""
    tensor = tensor.detach()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
