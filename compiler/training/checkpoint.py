"""Checkpoints: trees of tensors and plain values in one safetensors file, written whole or not
at all. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from compiler.batches.ansatz_residual import (
    bent,
    has_amplitude,
    nonlinear,
    reads_sources,
    starting,
)
from compiler.batches.build import build, latent_grid, usual_grid
from compiler.batches.level import has_level
from compiler.batches.own_model import as_operator
from compiler.files import write_atomically
from compiler.loss.hard_conditions import built_into_positive
from compiler.loss.trainables import attribute
from compiler.scales import scaled
from compiler.training.options import TrainOptions
from compiler.training.runs import FORMAT as CURRENT
from compiler.training.runs import RUN, Run, RunError, open_run, refuse_foreign, refuse_unlike
from pdespec.statements.problem import Problem

FORMAT = "pdespec-checkpoint-1"
TRAINABLES = "loss.trainables."
NUMBER = (int, float)
STATE = {
    "objective": {str: Tensor},
    "optimizer": {"state": dict, "param_groups": list},
    "step": int,
    "seconds": NUMBER,
    "best": NUMBER,
    "pending": (*NUMBER, type(None)),
    "ema": (dict, type(None)),
    "balance": tuple,
    "schedule": tuple,
}


def dtype_of(options: TrainOptions) -> torch.dtype:
    """That of parameters and points; bfloat16 is mixed, with parameters in float32."""
    return torch.float64 if options.precision == "float64" else torch.float32


def load_run(
    directory: str | Path,
    which: str = "last",
    model: nn.Module | None = None,
    device: str | torch.device = "cpu",
) -> Run:
    """The run in a directory with the weights of a checkpoint, averaged ones where the run keeps
    them, ready to be evaluated.

    `model` is needed only where the run was not built by `compiler.build`. Raises `RunError` for
    what is missing or does not fit.
    """
    run = as_begun(open_run(directory))
    refuse_older(run)
    saved = load_state(run.checkpoint(which))
    notes = refuse_foreign(run, saved.get("identity"), run.checkpoint(which))
    if model is None:
        if run.recipe is None:
            raise RunError(f"{run.directory} does not say how its model was built; pass the model")
        try:
            model = build(run.problem, run.recipe.operator, **run.recipe.options)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"the model that {run.directory / RUN} describes cannot be built: {error}"
            ) from error
    weights = {**saved["objective"], **(saved["ema"] or {})}
    own = {
        name.removeprefix("model."): value
        for name, value in weights.items()
        if name.startswith("model.")
    }
    try:
        model = as_operator(run.problem, model)
        model.to(dtype=dtype_of(run.options)).load_state_dict(own)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"checkpoint {run.checkpoint(which)} does not fit the model: {error}"
        ) from error
    kept = {name: TRAINABLES + attribute(name) for name in run.problem.trainables}
    values = {
        name: weights[key].reshape(-1).tolist() for name, key in kept.items() if key in weights
    }
    found = {
        each: number
        for name in values
        for each, number in zip(run.problem.trainables[name].components, values[name], strict=True)
    }
    refuse_infinite(
        {**own, **{name: weights[key] for name, key in kept.items() if key in weights}},
        run.checkpoint(which),
    )
    return replace(
        run, model=model.to(device).eval(), step=saved["step"], trainables=found, notes=notes
    )


def as_begun(run: Run) -> Run:
    """The run with the options of the build that began it: before format 6 no unknown had a level,
    which its weights answer without."""
    if run.format >= 6 or not run.options.level or not has_level(scaled(run.problem)[1]):
        return run
    return replace(run, options=replace(run.options, level=False))


def refuse_older(run: Run) -> None:
    """Raises: RunError for a run begun by a build that scaled the output of its network otherwise,
    built other conditions into it, told it less or laid its nodes elsewhere: its weights would
    answer wrongly."""
    if run.format == CURRENT:
        return
    problem, before = scaled(run.problem)[1], ""
    if run.format < 4 and run.options.hard_conditions and built_into_positive(problem):
        before = "left the conditions of positive unknowns to the loss"
    elif has_amplitude(problem) and (
        run.format < 2
        or (run.format < 3 and nonlinear(problem) != bent(problem))
        or (run.format < 6 and bool(starting(problem)))
    ):
        before = "scaled the output of a network otherwise"
    elif run.format < 5 and _told_less(run, problem):
        before = "told an operator nothing of the sources"
    elif run.format < 5 and _laid_otherwise(run, problem):
        before = "laid the nodes of an operator without regard to lengths of inputs"
    if before:
        raise RunError(
            f"{run.directory} is a run of an older build, which {before} in `{problem.name}`: its"
            " weights would answer wrongly; train anew"
        )


def _told_less(run: Run, problem: Problem) -> bool:
    """Whether an operator now reads sources that it did not; a function of position reads none."""
    if run.recipe is not None and run.recipe.operator in ("pinn", "meta_pinn"):
        return False
    return reads_sources(problem)


def _laid_otherwise(run: Run, problem: Problem) -> bool:
    """Whether an operator has the grid of the problem, and it lies by the lengths of inputs."""
    recipe = run.recipe
    if recipe is None or recipe.operator not in ("gino", "fno_gno") or "latent" in recipe.options:
        return False
    return latent_grid(problem) != usual_grid(problem)


def refuse_infinite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises: RunError for a checkpoint whose weights are not numbers."""
    for name, value in weights.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise RunError(
                f"checkpoint {path} holds weights that are not finite, first `{name}`: this run"
                " answers nothing; train anew"
            )


def save_tree(path: Path, tree: Any) -> None:
    """Writes a tree of dicts, lists, tuples, tensors, strings, numbers and None. Raises `TypeError`
    for anything else.

    The file at `path` is the old one or the new one, never half of one, also when the process is
    killed.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_flatten(tree, tensors))
    metadata = {"format": FORMAT, "tree": skeleton, "digest": _digest(skeleton, tensors)}
    write_atomically(path, save(tensors, metadata))


def load_tree(path: Path) -> Any:
    """The tree that `save_tree` wrote, its tensors on the CPU. Raises `RunError` for a missing
    or damaged file."""
    if not path.is_file():
        raise RunError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # A copy: where memory is aligned otherwise, matrix products round otherwise, and a
            # resumed run would not have the same bits.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"checkpoint {path} is damaged and cannot be read ({error})") from error
    if metadata.get("format") != FORMAT:
        raise RunError(
            f"{path} is not a checkpoint of this program (format {metadata.get('format')!r},"
            f" expected {FORMAT!r})"
        )
    if metadata.get("digest") != _digest(metadata.get("tree", ""), tensors):
        raise RunError(f"checkpoint {path} is damaged: its contents do not match their digest")
    try:
        return _unflatten(json.loads(metadata["tree"]), tensors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"checkpoint {path} holds no tree of this program ({error!r})") from error


def load_state(path: Path) -> dict[str, Any]:
    """The state of a training, as `compiler.training.loop` saves it. Raises: RunError for a file
    that is missing, damaged or another."""
    saved = load_tree(path)
    refuse_unlike(saved, STATE, path)
    if saved.get("ema") is not None:
        refuse_unlike(saved["ema"], {str: Tensor}, path, "ema")
    if saved.get("identity") is not None:
        refuse_unlike(
            saved["identity"],
            {"problem": str, "model": (dict, type(None)), "options": dict},
            path,
            "identity",
        )
    if saved.get("placement") is not None:
        held = {"points": {str: Tensor}, "weights": {str: NUMBER}}
        refuse_unlike(saved["placement"], held, path, "placement")
    if saved.get("growth") is not None:
        refuse_unlike(saved["growth"], {"active": [int]}, path, "growth")
    if saved["step"] < 0:
        raise RunError(f"checkpoint {path} is damaged: its step is {saved['step']}")
    return saved


def _flatten(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree as JSON, each tensor replaced by its name in `tensors`; `{"kind": ...}` marks
    what JSON lacks."""
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        value = tree.detach().cpu()
        # A copy: safetensors refuses tensors that share memory, and complex128.
        tensors[name] = (torch.view_as_real(value) if value.is_complex() else value).clone(
            memory_format=torch.contiguous_format
        )
        return {"kind": "complex" if value.is_complex() else "tensor", "name": name}
    if isinstance(tree, Mapping):
        return {
            "kind": "dict",
            "items": [
                [_flatten(key, tensors), _flatten(value, tensors)] for key, value in tree.items()
            ],
        }
    if isinstance(tree, tuple):
        return {"kind": "tuple", "items": [_flatten(each, tensors) for each in tree]}
    if isinstance(tree, list):
        return [_flatten(each, tensors) for each in tree]
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise TypeError(
        f"a checkpoint cannot hold {type(tree).__name__} {tree!r}; use tensors, numbers, strings,"
        " lists, tuples and dicts"
    )


def _unflatten(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(node, list):
        return [_unflatten(each, tensors) for each in node]
    if not isinstance(node, dict):
        return node
    if node["kind"] == "tensor":
        return tensors[node["name"]]
    if node["kind"] == "complex":
        return torch.view_as_complex(tensors[node["name"]])
    if node["kind"] == "tuple":
        return tuple(_unflatten(each, tensors) for each in node["items"])
    return {_unflatten(key, tensors): _unflatten(value, tensors) for key, value in node["items"]}


def _digest(skeleton: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(skeleton.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
