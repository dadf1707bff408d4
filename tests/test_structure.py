"""The folders: no circle of imports, those inside functions counted, and no import inside a
function without a reason."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pdespec", "operators", "compiler")
# they hand out names of the rooms above when these are first asked for
FRONT_DOORS = {"pdespec", "compiler"}

LATE = {
    "compiler.cli": "`pdespec check` and `--help` load no torch",
    "compiler.finite_volume.solve": "only flows need numba",
    "compiler.data.points": "only points on a mesh need the finite-element library",
    "compiler.functionals.integration": (
        "only integrals over a domain from a mesh file need the finite-element library"
    ),
    "pdespec": "lark takes longer to import than a problem to build",
    "pdespec.text.front": "lark takes longer to import than a problem to build",
}
"""Modules that import another one of ours inside a function, and what loading it late saves."""

PRIVATE = {
    "compiler.chance": "draws real numbers while a program is traced; held by test_laws",
    "compiler.comparison.timing": "a dispatch mode sees the tensors of every operation",
    "compiler.loss.verify": "a function mode sees the arguments of every function",
    "compiler.prediction.export.formats": "packages of AOTInductor, which torch documents so",
    "compiler.prediction.export.program": "traces without numbers; held by test_export",
    "operators.jets.forward": "asks whether a program is traced; held by test_forward",
}
"""Modules that call torch by names it does not promise to keep, what for, and what tests it."""

MOST = 8  # parameters of a constructor; more are fields of a record of options
WIDE = {
    "pdespec.statements.problem.Problem": (
        "its keywords are the sections of the language: `Problem(name, equations=..., ...)` reads"
        " as the text does"
    ),
}
"""Classes whose constructor takes more, and why."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
}


def imports(module: str) -> set[tuple[str, bool]]:
    """(module of ours, whether inside a function) for every import outside of `if
    TYPE_CHECKING`."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[tuple[str, bool]] = set()

    def targets(node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if not isinstance(node, ast.ImportFrom):
            return []
        above = package.split(".")[: 1 - node.level or None] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        return [
            f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
            for alias in node.names
        ]

    def walk(node: ast.AST, late: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            found.update((target, late) for target in targets(child) if target in MODULES)
            walk(
                child,
                late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)),
            )

    walk(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle():
    assert len(MODULES) > 150
    graph = {
        module: {target for target, late in imports(module) if not (late and module in FRONT_DOORS)}
        for module in MODULES
    }
    graph = {module: targets - {module} for module, targets in graph.items()}
    assert cycle(graph) == []


def test_a_circle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_inside_functions_are_those_with_a_reason(package):
    late = {
        module
        for module in MODULES
        if module.split(".")[0] == package and any(late for _, late in imports(module))
    }
    assert late == {module for module in LATE if module.split(".")[0] == package}


def test_constructors_take_few_parameters():
    wide = {
        f"{module}.{cls.name}"
        for module, path in MODULES.items()
        for cls in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(cls, ast.ClassDef)
        for method in cls.body
        if isinstance(method, ast.FunctionDef) and method.name in ("__init__", "__new__")
        if len([*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]) - 1 > MOST
    }
    assert wide == set(WIDE)


def private(module: str) -> set[str]:
    """Names of torch with a part that starts with one underscore, which a module imports or
    reads."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
    return {
        name
        for name in found
        if re.fullmatch(r"torch(\.\w+)+", name)
        and any(part[:1] == "_" and part[:2] != "__" for part in name.split("."))
    }


def test_private_names_of_torch_are_called_where_a_reason_is_given():
    assert {module for module in MODULES if private(module)} == set(PRIVATE)
