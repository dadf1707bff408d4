"""What a user, an editor and a type checker see of the three packages."""

from __future__ import annotations

import ast
import importlib
from dataclasses import replace
from pathlib import Path

import griffe
import numpy as np
import pytest
import torch

import compiler
import operators
import pdespec
from pdespec.vocabulary import OPERATORS
from tests.texts import LINE

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("package", [pdespec, operators, compiler])
def test_every_public_name_is_there_and_listed(package):
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(package.__all__) <= set(dir(package))
    assert (
        not {"importlib", "TYPE_CHECKING", "annotations", "pattern"} & set(dir(package))
        or package is operators
    )


def test_a_shape_of_one_file_and_an_operator_of_one_row_are_names_of_the_package(monkeypatch):
    row = replace(OPERATORS["sym"], name="dev")
    monkeypatch.setitem(OPERATORS, "dev", row)
    assert pdespec.dev is row.function and "dev" in dir(pdespec)
    for name in ("annulus", "ellipsoid"):
        made = vars(pdespec)[name]
        monkeypatch.delattr(pdespec, name)
        assert getattr(pdespec, name) is made and name in dir(pdespec)
    with pytest.raises(AttributeError, match="'entry'"):
        pdespec.entry  # noqa: B018


def test_type_checkers_see_the_names_that_are_loaded_on_first_use():
    tree = ast.parse(Path(compiler.__file__).read_text())
    typed = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(typed) == set(compiler.__all__)
    for name, module in typed.items():
        assert getattr(importlib.import_module(module), name) is getattr(compiler, name)


@pytest.mark.parametrize(
    ("package", "wrong", "right"), [(compiler, "complie", "compile"), (pdespec, "parze", "parse")]
)
def test_a_misspelt_name_gets_the_nearest(package, wrong, right):
    with pytest.raises(AttributeError, match=f"did you mean '{right}'"):
        getattr(package, wrong)


def test_errors_have_one_root():
    from compiler.fem import SolverError
    from compiler.training.options import OptionError
    from compiler.training.runs import RunError

    assert all(
        issubclass(each, pdespec.PdespecError)
        for each in (pdespec.ProblemError, OptionError, RunError, SolverError)
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheme": "midpoint"}, "has none"),
        ({"stps": 3}, "did you mean 'steps'"),
        ({"zz": 1}, "they are"),
    ],
)
def test_an_option_of_the_solver_that_does_not_apply_is_refused(options, said):
    problem = pdespec.parse(LINE)
    batch = compiler.sample(
        problem, 1, {"interior": 16, "operator": 16}, torch.Generator().manual_seed(0)
    )
    with pytest.raises(pdespec.PdespecError, match=said):
        compiler.solve(problem, batch, resolution=4, **options)


def test_public_objects_have_a_short_repr():
    problem = pdespec.parse(LINE)
    batch = compiler.sample(
        problem, 2, {"interior": 16, "operator": 16}, torch.Generator().manual_seed(0)
    )
    loss = compiler.compile(problem)
    models = [
        compiler.build(problem, "gino", latent=(8,)),
        compiler.build(problem, "fno"),
        compiler.build(problem, "transolver"),
    ]
    fields = [model(batch.inputs) for model in models]
    network = operators.NetworkField(torch.nn.Linear(1, 1), (0.0,), (1.0,), (False,))
    space = operators.JetSpace.closure([(2,)])
    lattice = operators.Lattice((0.0,), (1.0,), (8,))
    nodes = torch.rand(1, 5, 1)
    for each in (
        problem,
        *problem.domains.values(),
        *problem.unknowns.values(),
        *problem.params.values(),
        *problem.equations.values(),
        *problem.conditions.values(),
        batch,
        batch.inputs,
        batch.geometry["L"],
        loss,
        compiler.StepEngine(loss),
        compiler.solve(problem, batch, resolution=4),
        *fields,
        network,
        network.taylor(torch.rand(1, 3, 1), space),
        space,
        lattice,
        operators.NEIGHBORS["kdtree"](nodes, nodes, 0.2),
        models[0].recipe,
        compiler.TrainOptions(steps=5),
        *compiler.PRESETS.values(),
        compiler.Run(Path("runs/line"), problem, compiler.TrainOptions()),
        compiler.Estimate({"a": 1.0}, np.eye(1), {}, False, 3, {}),
    ):
        assert len(repr(each).splitlines()) <= 3 and len(repr(each)) < 300, repr(each)
    assert repr(compiler.TrainOptions(steps=5)) == "TrainOptions(steps=5)"
    assert "2 samples" in repr(batch) and "GINO" not in repr(batch)


@pytest.mark.parametrize("package", [pdespec, operators, compiler])
def test_every_public_name_is_explained_where_it_is_defined(package):
    sources = griffe.load(package.__name__, search_paths=[str(ROOT)], resolve_aliases=True)
    for name in package.__all__:
        docstring = sources[name].docstring
        first = docstring.value.partition("\n\n")[0].strip() if docstring else ""
        assert len(first) > 15 and first.endswith((".", ":")), f"{package.__name__}.{name}: {first}"
