"""Programs as files: one writer for each format, and what the program takes in a JSON file next to
it."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram

from compiler.files import write_atomically
from compiler.prediction.export.interface import Interface
from compiler.prediction.export.program import ExportError, Program, program
from operators.registry import Registry

if TYPE_CHECKING:
    from compiler.prediction.answers import TrainedOperator

ENTRY = "interface.json"  # of a program's metadata, in every format


@dataclass(frozen=True)
class Format:
    """How a program is written to a file, and what the file's name ends with."""

    write: Callable[[Program, ExportedProgram, Path], None]
    name: str
    suffix: str


FORMATS: Registry[Format] = Registry("format", Format)


def export(
    operator: TrainedOperator,
    path: str | Path,
    to: str = "torch",
    *,
    samples: int = 1,
    nodes: int | Mapping[str, int] | None = None,
) -> Interface:
    """Writes an operator as a program of one file, and `path`.json with what it takes and gives.

    Raises: ExportError for what cannot be exported, and for a name that is none of the format's;
    KeyError with the nearest name for an unknown format.
    """
    kind, path = FORMATS[to], Path(path)
    if path.suffix != kind.suffix:
        raise ExportError(f"a file of format {to} is called NAME{kind.suffix}, not {path.name}")
    if samples < 1:
        raise ExportError(f"a program answers for 1 or more samples at once, not {samples}")
    made = program(operator, samples, nodes)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as place, _quiet():
        first, *others = made.example
        sizes = {"arrays": ({1: torch.export.Dim("n", max=2**31)}, *(None for _ in others))}
        exported = torch.export.export(made.module, (first, *others), dynamic_shapes=sizes)
        file = Path(place) / path.name
        kind.write(made, exported, file)
        os.replace(file, path)
    write_atomically(path.with_name(f"{path.name}.json"), made.interface.to_json().encode())
    return made.interface


@FORMATS.register("torch", suffix=".pt2")
def _torch(made: Program, exported: ExportedProgram, path: Path) -> None:
    """For `torch.export.load`, which gives a module back."""
    torch.export.save(exported, path, extra_files={ENTRY: made.interface.to_json()})


@FORMATS.register("aoti", suffix=".pt2")
def _aoti(made: Program, exported: ExportedProgram, path: Path) -> None:
    """A shared library, for machines like this one: `torch._inductor.aoti_load_package`, or C++."""
    from torch._inductor import aoti_compile_and_package

    options = {"aot_inductor.metadata": {ENTRY: made.interface.to_json()}}
    try:
        aoti_compile_and_package(exported, package_path=str(path), inductor_configs=options)
    except Exception as error:  # a code generator and a C++ compiler can fail in any way
        raise ExportError(
            f"this operator cannot be compiled ahead of time: {_first_lines(error)}"
        ) from error


@FORMATS.register("onnx", suffix=".onnx")
def _onnx(made: Program, exported: ExportedProgram, path: Path) -> None:
    """Standard operators alone; inputs and outputs have their names in the interface."""
    try:
        import onnxscript  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ExportError(
            "ONNX files need onnx and onnxscript: pip install 'pdespec[export]'"
        ) from error
    try:
        found = torch.onnx.export(
            exported,
            dynamo=True,
            optimize=False,
            verbose=False,
            input_names=[each.name for each in made.interface.inputs],
            output_names=[each.name for each in made.interface.outputs],
        )
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(
            f"this operator has no form in ONNX: {_first_lines(error.__cause__ or error)}"
        ) from error
    if found is None:
        raise ExportError("torch.onnx gave no model")
    found.model.metadata_props[ENTRY] = made.interface.to_json()
    found.save(path)


def _first_lines(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of the exporters on their own packages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
