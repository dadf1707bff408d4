"""SOAP: Adam run in the slowly turning eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

SHIFT = 1e-8  # of the mean eigenvalue: above float64's roundoff, below what float32 resolves
Parameters = Iterable[Tensor] | Iterable[dict]


class SOAP(Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner.

    For a parameter and its gradient G, keep for two axes k the EMA of the unfolding product (G
    G^T)_k and Q_k, its eigenvectors; turn the gradient, G' = G x_k Q_k^T x_l Q_l^T, take Adam's
    step in that frame and turn it back. Every `frequency` steps the basis follows by one power
    iteration and a QR factorisation. Axes longer than `max_size`, and vectors, keep the identity,
    which is Adam. The first step only fills the preconditioner.

    Unlike there, of more than two axes the two longest are turned, of equal ones the later: the
    others are Fourier modes, whose coefficients are next to uncorrelated as they are. Directions
    without any gradient so far are chosen by rule, not by roundoff, so that several processes
    follow one; and the momentum is kept in the turned frame and turned on with it, the same number
    by fewer products. A state in which other axes are turned goes on with these.

    Source: Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson and Kakade 2024 (arXiv
    2409.11321), algorithm 3. Complex parameters count as real ones with one more axis of length
    two.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        shampoo_beta: float | None = None,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        frequency: int = 10,
        max_size: int = 2048,
    ) -> None:
        if lr < 0 or not all(0 <= beta < 1 for beta in betas) or frequency < 1:
            raise ValueError(
                f"SOAP needs lr >= 0, betas in [0, 1) and frequency >= 1; got lr={lr},"
                f" betas={betas}, frequency={frequency}"
            )
        shampoo_beta = betas[1] if shampoo_beta is None else shampoo_beta
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "shampoo_beta": shampoo_beta,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__(parameters, {**defaults, "frequency": frequency, "max_size": max_size})

    def load_state_dict(self, state_dict: dict) -> None:
        """Raises: ValueError for the state of an earlier form, which kept its momentum in the
        unturned frame."""
        if any("mean" in each for each in state_dict["state"].values()):
            raise ValueError(
                "it was written by an earlier SOAP, whose momentum was kept otherwise; start the"
                " run anew"
            )
        super().load_state_dict(state_dict)

    @torch.no_grad()
    def step(self, closure=None):  # type: ignore[override]
        """One step of all groups; the loss if a closure was given, as for every torch optimiser."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _update(_real(parameter), _real(parameter.grad), self.state[parameter], group)
        return loss


def _update(value: Tensor, gradient: Tensor, state: dict, group: dict) -> None:
    if not state:
        state["step"] = 0
        # Contiguous, here and in the bases, as a checkpoint stores them: BLAS sums in another order
        # for another layout.
        state["momentum"] = torch.zeros_like(value, memory_format=torch.contiguous_format)
        state["square"] = torch.zeros_like(value, memory_format=torch.contiguous_format)
        for axis in _turned(gradient, group["max_size"]):
            rows = gradient.movedim(axis, 0).flatten(1)
            state[f"gram{axis}"] = (1 - group["shampoo_beta"]) * (rows @ rows.T)
            state[f"basis{axis}"] = _eigenvectors(state[f"gram{axis}"])
        return
    bases = {k: state[f"basis{k}"] for k in range(gradient.dim()) if f"basis{k}" in state}
    beta1, beta2 = group["betas"]
    state["step"] += 1
    momentum, square, count = state["momentum"], state["square"], state["step"]

    grams: dict[int, Tensor] = {}
    turned = _turn(gradient, bases, grams)
    momentum.lerp_(turned, 1 - beta1)
    square.mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
    correction = (1 - beta2**count) ** 0.5 / (1 - beta1**count)
    move = momentum / square.sqrt().add_(group["eps"] * (1 - beta2**count) ** 0.5)
    value.mul_(1 - group["lr"] * group["weight_decay"])
    value.add_(
        _turn(move, {axis: basis.T for axis, basis in bases.items()}),
        alpha=-group["lr"] * correction,
    )

    for axis, gram in grams.items():
        state[f"gram{axis}"].lerp_(gram, 1 - group["shampoo_beta"])
    if bases and count % group["frequency"] == 0:
        change = {}
        for axis, basis in bases.items():
            state[f"basis{axis}"], order = _follow(state[f"gram{axis}"], basis)
            change[axis] = basis.T @ state[f"basis{axis}"]
            square.copy_(square.index_select(axis, order))
        momentum.copy_(_turn(momentum, change))


def _follow(gram: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """One power iteration from the old basis, its columns first sorted by their Rayleigh quotients;
    and that order.

    Directions that no gradient has had yet are left as they were.
    """
    image = gram @ basis
    order = torch.argsort((basis * image).sum(0), descending=True)
    image = image + SHIFT * gram.diagonal().mean() * basis
    return torch.linalg.qr(image[:, order])[0].contiguous(), order


def _eigenvectors(gram: Tensor) -> Tensor:
    """Eigenvectors, largest eigenvalue first; in float64, where a Gram matrix of low rank does not
    upset LAPACK.

    Directions that the first gradient lacks are distinguished by a ramp, so that they do not depend
    on roundoff."""
    matrix = gram.double()
    ramp = torch.linspace(1, 0, len(matrix), dtype=matrix.dtype, device=matrix.device)
    return (
        torch.linalg.eigh(matrix + torch.diag(SHIFT * matrix.diagonal().mean() * ramp))[1]
        .flip(1)
        .to(gram.dtype)
        .contiguous()
    )


def _turned(gradient: Tensor, max_size: int) -> list[int]:
    """The axes that have a basis of their own."""
    if gradient.dim() < 2:
        return []
    longest = sorted(range(gradient.dim()), key=lambda axis: (gradient.shape[axis], axis))[-2:]
    return sorted(axis for axis in longest if 1 < gradient.shape[axis] <= max_size)


def _turn(
    tensor: Tensor, bases: dict[int, Tensor], grams: dict[int, Tensor] | None = None
) -> Tensor:
    """The tensor times a basis along every axis that has one. `grams` receives the unfolding
    products (G G^T)_k of the tensor itself: axes that are turned already do not change the product
    of those to come, their bases being orthogonal.
    """
    shape = tensor.shape
    for axis, basis in bases.items():
        behind = shape[axis + 1 :].numel()
        if behind == 1:  # one product of all rows, which is faster than many
            rows = tensor.reshape(-1, shape[axis])  # "m k"
            gram, tensor = grams is not None and rows.T @ rows, rows @ basis
        else:
            parts = tensor.reshape(-1, shape[axis], behind)  # "m k n", the axes before and behind
            gram, tensor = grams is not None and (parts @ parts.mT).sum(0), basis.T @ parts
        if grams is not None:
            grams[axis] = gram
    return tensor.reshape(shape)


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
