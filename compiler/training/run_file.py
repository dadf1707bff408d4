"""A run as a file: the problem, the preset and every option in TOML. What `pdespec train run.toml`
reads, and what a run keeps of itself so that it can be repeated. No torch here.

    problem = "poisson.pde"      # paths are relative to the file
    preset = "demo"
    out = "runs/poisson"

    [options]
    steps = 500
    weights.boundary = 10.0

    [model]
    latent = [48, 48]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pdespec
from compiler.training.options import OptionError, TrainOptions, option_names, renamed
from pdespec.errors import suggestion
from pdespec.statements.problem import Problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

LONGEST = 2**20  # bytes of a file that somebody writes by hand
KINDS = {
    "problem": str,
    "preset": str,
    "operator": str,
    "out": str,
    "files": str,
    "options": dict,
    "model": dict,
    "sweep": dict,
}
"""What may stand at the top of a file."""


@dataclass(frozen=True)
class RunFile:
    """What a file says of a run. `problem`, `out` and `files`, the folder of the files that the
    problem reads where it is not the problem's own, are paths; `settings` are options by the keys
    of `--set`; `sweep` is for `pdespec sweep` and of no meaning to a run.
    """

    path: Path
    problem: Path
    preset: str | None = None
    out: Path | None = None
    files: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Problem:
        """Raises: ProblemError for a problem that is wrong."""
        if self.files is None:
            return pdespec.load(self.problem)
        text = self.problem.read_text(encoding="utf-8")
        return pdespec.parse(text, source=str(self.files / self.problem.name))


def read_run_file(path: Path) -> RunFile:
    """The file at a path. Raises: OptionError for what is not TOML, and for a key that does not
    exist, with the nearest one."""
    if path.stat().st_size > LONGEST:
        raise OptionError(f"{path} is longer than {LONGEST} bytes: no file of a run")
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path} is not TOML: {error}") from error
    for key, value in found.items():
        if key not in KINDS:
            raise OptionError(f"{path}: {_unknown(key)}")
        if not isinstance(value, KINDS[key]):
            wanted = "a table" if KINDS[key] is dict else "text in quotes"
            raise OptionError(f"{path}: {key} = {value!r} should be {wanted}")
    if "problem" not in found:
        raise OptionError(f'{path} names no problem; write problem = "name.pde"')
    settings = {"operator": found["operator"]} if "operator" in found else {}
    settings |= flattened(found.get("options", {}))
    settings |= {f"model.{name}": value for name, value in found.get("model", {}).items()}
    placed = {
        name: path.parent / found[name] if name in found else None
        for name in ("problem", "out", "files")
    }
    return RunFile(
        path, **placed, preset=found.get("preset"), settings=settings, sweep=found.get("sweep", {})
    )


def _unknown(key: str) -> str:
    """What is said of a key that may not stand at the top."""
    if key in option_names():
        return f"{key!r} is an option of the run; write it below [options]"
    return f"unknown key {key!r}; " + suggestion(key, KINDS, f"keys: {', '.join(KINDS)}", quote="'")


def flattened(options: Mapping[str, Any]) -> dict[str, Any]:
    """The table of options by the keys of `--set`: entries of a mapping one by one."""
    mappings = {each.name for each in fields(TrainOptions) if str(each.type).startswith("Mapping")}
    found: dict[str, Any] = {}
    for name, value in renamed(options).items():
        if name in mappings and isinstance(value, Mapping):
            found |= {f"{name}.{key}": each for key, each in value.items()}
        else:
            found[name] = value
    return found


def repeated(
    preset: str | None,
    operator: str,
    model: Mapping[str, Any],
    options: Mapping[str, Any],
    files: str | None,
) -> str:
    """The text of a file that repeats a run, next to its problem: every option is in it, whatever
    presets and defaults become."""
    began = f", begun with the preset {preset}" if preset else ""
    lines = [f"# every option of this run{began}", 'problem = "problem.pde"', 'preset = "none"']
    lines += [f"operator = {toml(operator)}"]
    lines += [f"files = {toml(files)}"] if files is not None else []
    for title, values in (("options", options), ("model", model)):
        lines += ["", f"[{title}]", *(f"{_key(name)} = {toml(v)}" for name, v in values.items())]
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    """A value as TOML, in one line; what holds a None, which TOML does not have, as JSON in a
    string: a file's text is read as that of `--set` is."""
    plain = json.loads(json.dumps(value, default=list))
    if plain is None:
        return '"none"'
    if _holds_none(plain):
        return toml(json.dumps(plain))
    if isinstance(plain, dict):
        return "{" + ", ".join(f"{_key(name)} = {toml(each)}" for name, each in plain.items()) + "}"
    if isinstance(plain, list):
        return "[" + ", ".join(map(toml, plain)) + "]"
    # strings, numbers, true and false are written as in JSON, but for one control character
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")


def _holds_none(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_holds_none, inner))


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else json.dumps(name)
