"""B02: what meets in one computation has one dtype and lies on one device. Torch would say so in
the words of some inner product. B01: a field and a batch are of the same samples, a batch and a
loss of the same domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from operators.field import OperatorInput
from pdespec.errors import fail

DEEPEST = 4  # levels of values in values at which the tensors of a field are looked for


def need_points(points: Any, what: str = "points") -> None:
    """Raises: B02 for what is not a tensor of real floating-point numbers."""
    if not isinstance(points, Tensor):
        kind = f"{type(points).__module__}.{type(points).__name__}"
        raise fail(
            "B02",
            f"{what} are given as {kind}, a tensor is needed",
            "write torch.as_tensor(..), in the dtype of the field",
        )
    if not points.is_floating_point():
        raise fail(
            "B02",
            f"{what} are {points.dtype}, real floating-point numbers are needed",
            f"convert them: {what}.to(torch.float64)",
        )


def need_alike(values: Tensor, points: Tensor, name: str) -> None:
    """Raises: B02 for values of an input in another dtype or on another device than the points."""
    if values.dtype != points.dtype or values.device != points.device:
        raise fail(
            "B02",
            f"input `{name}` is {values.dtype} on {values.device}, the points are {points.dtype} on"
            f" {points.device}",
        )


def number(value: Any, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A param as a tensor of a dtype.

    Raises: B02 for complex numbers and for what torch takes for no number.
    """
    try:
        tensor = torch.as_tensor(value, device=device)
        if tensor.is_complex() or tensor.dtype == torch.bool:
            raise fail(
                "B02",
                f"param `{name}` is {tensor.dtype}, a real number is needed",
                "give its real part",
            )
        return torch.as_tensor(value, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        if type(error).__name__ == "ProblemError":
            raise
        raise fail(
            "B02",
            f"param `{name}` is {value!r}, which is not a number",
            "give a number, or a tensor or array of them",
        ) from None


@contextmanager
def told(field: Any, points: Tensor) -> Iterator[None]:
    """Turns the error that a field of another dtype or device causes at some points into B02;
    any other error passes."""
    try:
        yield
    except RuntimeError as error:
        for tensor in tensors(field):
            if tensor.is_floating_point() and (
                tensor.dtype != points.dtype or tensor.device != points.device
            ):
                message = (
                    f"the field holds {tensor.dtype} on {tensor.device}, the points are"
                    f" {points.dtype} on {points.device}"
                )
                hint = f"convert one of them: model.to({points.dtype}), batch.to({tensor.dtype})"
                raise fail("B02", message, hint) from error
        raise


def tensors(value: Any, depth: int = DEEPEST) -> Iterator[Tensor]:
    """Tensors that a field is made of: parameters of its modules, entries of its values, what its
    functions have closed over or call by a global name."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
        yield from value.buffers()
    elif depth and dataclasses.is_dataclass(value) and not isinstance(value, type):
        for each in dataclasses.fields(value):
            yield from tensors(getattr(value, each.name, None), depth - 1)
    elif depth and isinstance(value, (list, tuple)):
        for each in value:
            yield from tensors(each, depth - 1)
    elif depth and isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # not filled yet
                yield from tensors(cell.cell_contents, depth - 1)
        for name in value.__code__.co_names:
            if isinstance(named := value.__globals__.get(name), (Tensor, nn.Module)):
                yield from tensors(named)
    elif depth and isinstance(value, MethodType):
        yield from tensors(value.__self__, depth - 1)


def refuse_other_input(model: nn.Module, arguments: tuple[Any, ...]) -> None:
    """A hook before a model's forward. Raises: B02 where its input has another dtype or device
    than its weights."""
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    given = next((each for each in arguments if isinstance(each, OperatorInput)), None)
    if weight is None or given is None or torch.is_autocast_enabled(given.values.device.type):
        return
    if given.values.dtype != weight.dtype or given.values.device != weight.device:
        message = (
            f"the input is {given.values.dtype} on {given.values.device}, the model {weight.dtype}"
            f" on {weight.device}"
        )
        raise fail(
            "B02",
            message,
            f"convert one of them: model.to({given.values.dtype}), batch.to({weight.dtype})",
        )


def remember_input(model: nn.Module, arguments: tuple[Any, ...], field: Any) -> None:
    """A hook after a model's forward: the field knows the input that it was made from."""
    given = next((each for each in arguments if isinstance(each, OperatorInput)), None)
    if given is not None:
        with suppress(AttributeError, TypeError):  # a field without attributes of its own
            object.__setattr__(field, "made_from", given.values)


def refuse_other_samples(problem: Any, field: Any, batch: Any) -> None:
    """Raises: B01 for a batch of another problem's domains, and for a field that was made from the
    input of other samples."""
    other = getattr(getattr(batch, "draws", None), "problem", problem)
    if other is not problem and other.domains != problem.domains:
        raise fail(
            "B01",
            f"the batch is of `{other.name}`, on other domains than `{problem.name}`, whose loss"
            " is taken",
            "draw it with compiler.sample of that problem",
        )
    made, given = getattr(field, "made_from", None), getattr(batch, "inputs", None)
    given = getattr(given, "values", None)
    if made is None or given is None or made is given:
        return
    made, given = made.detach().to(given), given.detach()
    if made.shape != given.shape or (made - given).abs().max() > 1e-2 * given.abs().max():
        raise fail(
            "B01",
            "the field was made from other samples than those of the batch",
            "write loss(model(batch.inputs), batch)",
        )
