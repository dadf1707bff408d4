"""The processes of a training: how they are launched, and what they must agree on."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

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


BEAT = 0.2  # seconds
LOG_LEVEL = "TORCH_CPP_LOG_LEVEL"


class LostProcess(RunError):
    """Another process has ended, which a third one says."""

    said = True


def launch(options: TrainOptions, roll: RollCall) -> Fabric:
    """Under torchrun the processes that it started, else `options.devices` of them, started
    here. From then on each answers to the roll call."""
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
    for name in ("distributed", "rank_zero"):  # each process would announce itself
        logging.getLogger(f"lightning_fabric.utilities.{name}").setLevel(logging.WARNING)
    with _quiet_copies():
        fabric.launch()
    roll.begin(fabric)
    return fabric


@contextlib.contextmanager
def _quiet_copies() -> Iterator[None]:
    """Of processes that are started meanwhile, torch's C++ parts tell errors alone: what they warn
    of, the first process says. (Each reads this when it imports torch.)"""
    before = os.environ.get(LOG_LEVEL)
    os.environ.setdefault(LOG_LEVEL, "ERROR")
    try:
        yield
    finally:
        if before is None:
            del os.environ[LOG_LEVEL]


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


class RollCall:
    """Who of the processes still answers: each counts on in a store that the first one holds, from
    a thread of its own, for as long as it lives."""

    def __init__(self) -> None:
        self.store: TCPStore | None = None
        self.over = threading.Event()

    def begin(self, fabric: Fabric) -> None:
        """To be called by all processes at once."""
        self.rank, self.count = fabric.global_rank, fabric.world_size
        if self.count == 1:
            return
        host = os.environ.get("MASTER_ADDR", "127.0.0.1")
        held = TCPStore(host, 0, is_master=True, wait_for_workers=False) if not self.rank else None
        port = fabric.broadcast(held.port if held else None)
        store = self.store = held or TCPStore(host, port, wait_for_workers=False)
        store.set(f"place {self.rank}", f"{platform.node()}, process id {os.getpid()}")
        threading.Thread(target=self._beat, args=(store,), daemon=True).start()

    def _beat(self, store: TCPStore) -> None:
        with contextlib.suppress(RuntimeError):  # the first process is gone
            while not self.over.wait(BEAT):
                store.add(f"beats {self.rank}", 1)

    def gone(self) -> tuple[str, bool]:
        """The processes that no longer answer, in words, and whether it is this one's turn to say
        so. The one who asks first does, and all others say the same."""
        store = self.store
        if store is None:
            return "another process", True
        try:
            if store.add("asked", 1) > 1:
                # a `get` that waits holds the store, and this process would fall silent
                while not store.check(["gone"]):
                    time.sleep(BEAT)
                return store.get("gone").decode(), False
            counts = [f"beats {rank}" for rank in range(self.count)]
            before = [store.add(each, 0) for each in counts]
            time.sleep(10 * BEAT)
            silent = [
                f"process {rank} ({store.get(f'place {rank}').decode()})"
                for rank, each in enumerate(counts)
                if store.add(each, 0) == before[rank]
            ]
            found = ", ".join(silent) or "another process"
            store.set("gone", found)
            time.sleep(2 * BEAT if self.rank else 10 * BEAT)  # who holds it lets the others read
            return found, True
        except RuntimeError:
            return "process 0", self.rank == 1


@contextlib.contextmanager
def lost_process(directory: Path, timeout: float) -> Iterator[RollCall]:
    """Raises: RunError in place of what gloo and NCCL raise when they wait for a process that is
    gone: LostProcess where another process says it."""
    roll = RollCall()
    try:
        yield roll
    except RuntimeError as error:
        if not (torch.distributed.is_initialized() and any(word in str(error) for word in LOST)):
            raise
        gone, own_turn = roll.gone()
        last = runs.checkpoint_path(directory, "last")
        kept = f"; continue {directory} with --resume" if last.is_file() else ""
        raise (RunError if own_turn else LostProcess)(
            f"{gone} of this run has ended, or did not answer in {timeout:g} s{kept}"
        ) from error
    finally:
        roll.over.set()


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
