"""The processes of a training: how they are launched, and what they must agree on."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from compiler.training import runs
from compiler.training.options import OptionError, TrainOptions
from compiler.training.runs import RunError

FABRIC_PRECISION: dict[str, Literal["32-true", "bf16-mixed"]] = {
    "float32": "32-true",
    "float64": "32-true",
    "bfloat16": "bf16-mixed",
}  # "32-true" leaves dtypes alone
LOST = (
    "Connection closed",
    "Connection reset",
    "closed by peer",
    "Timed out",
    "timed out",
    "NCCL",
    "Broken pipe",
)
# how many a launcher has started
COPIES = {"SLURM_STEP_NUM_TASKS": "srun", "OMPI_COMM_WORLD_SIZE": "mpirun", "PMI_SIZE": "mpirun"}
VERSIONS = (
    "pdespec",
    "torch",
    "lightning-fabric",
    "safetensors",
    "sympy",
    "numpy",
    "scipy",
    "scikit-fem",
)


def launch(options: TrainOptions) -> Fabric:
    """Under torchrun the processes that it started, else `options.devices` of them, started
    here."""
    accelerator = options.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise OptionError(
            "accelerator = cuda, and this machine has no GPU that torch can use; leave it out, or"
            " take cpu"
        )
    _refuse_copies()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", options.devices))
    nodes = int(os.environ.get("WORLD_SIZE", local)) // local
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=nodes,
        strategy=(
            DDPStrategy(find_unused_parameters=True, timeout=timedelta(seconds=options.timeout))
            if local * nodes > 1
            else "auto"
        ),
        precision=FABRIC_PRECISION[options.precision],
    )
    _refuse_uneven(options, local * nodes)
    fabric.launch()
    return fabric


def _refuse_uneven(options: TrainOptions, processes: int) -> None:
    """Raises: OptionError where samples do not divide among processes and their parts."""
    for name, parts in (("batch", options.accumulate), ("validation", 1)):
        if getattr(options, name) % (processes * parts):
            among = [f"{parts} parts"] * (parts > 1) + [f"{processes} processes"] * (processes > 1)
            raise OptionError(
                f"{name} = {getattr(options, name)} does not divide among {' of '.join(among)}"
            )


def _refuse_copies() -> None:
    """Raises: OptionError where a launcher has started several copies of the program that know
    nothing of each other."""
    if "RANK" in os.environ or "LOCAL_RANK" in os.environ:
        return
    for name, launcher in COPIES.items():
        if os.environ.get(name, "1").isdigit() and int(os.environ.get(name, "1")) > 1:
            raise OptionError(
                f"{launcher} has started {os.environ[name]} copies of this run, each of which would"
                " train all of it; let it start one task a node, and that call torchrun"
                " (docs/running.md, several processes)"
            )


@contextlib.contextmanager
def lost_process(directory: Path, timeout: float) -> Iterator[None]:
    """Raises: RunError in place of what gloo and NCCL raise when they wait for a process that is
    gone."""
    try:
        yield
    except RuntimeError as error:
        if torch.distributed.is_initialized() and any(word in str(error) for word in LOST):
            kept = (
                f"; continue {directory} with --resume"
                if runs.checkpoint_path(directory, "last").is_file()
                else ""
            )
            raise RunError(
                f"another process of this run has ended, or did not answer in {timeout:g} s{kept}"
            ) from error
        raise


def mean(fabric: Fabric, value: Tensor) -> Tensor:
    """The mean over processes."""
    return cast(Tensor, fabric.all_reduce(value, reduce_op="mean"))


def any_process(fabric: Fabric, flag: bool) -> bool:
    """Whether any process says so: all of them must stop at the same step."""
    return flag if fabric.world_size == 1 else float(mean(fabric, torch.tensor(float(flag)))) > 0


def refuse_other_view(fabric: Fabric, directory: Path, own: tuple[bool, int | None]) -> None:
    """Raises: RunError on every process where one of them does not find the run that the first
    one finds."""
    if fabric.world_size > 1 and any_process(fabric, fabric.broadcast(own) != own):
        raise RunError(
            f"the processes do not see the same run in {directory}; put it where all nodes can"
            " read it"
        )


def refuse_parted(fabric: Fabric, objective: nn.Module, step: int) -> None:
    """Raises: RunError where the weights of the processes, which are equal bit for bit, have
    parted."""
    if fabric.world_size == 1:
        return
    with torch.no_grad():
        own = torch.stack(
            [each.detach().double().abs().sum() for each in objective.parameters()]
        ).cpu()
    if any_process(fabric, not torch.equal(fabric.broadcast(own), own)):
        raise RunError(
            f"the weights of the processes have parted by step {step}; this is a fault of the"
            " program, please report it"
        )


def session(fabric: Fabric, step: int) -> dict[str, Any]:
    """What is recorded of this session of a run: when, where, with which versions."""

    def found(name: str) -> str | None:
        with contextlib.suppress(PackageNotFoundError):
            return version(name)
        return None

    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "from_step": step,
        "processes": fabric.world_size,
        "device": str(fabric.device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: found(name) for name in VERSIONS},
    }
