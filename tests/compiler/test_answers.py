"""A trained operator as a function of a design: shapes, kinds of inputs, batches, gradients,
files and warnings."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch
from typer.testing import CliRunner

import compiler
import pdespec
from compiler.cli import app
from compiler.measurements.interpolation import gridded, scattered
from compiler.measurements.readers import read
from compiler.prediction.answers import OutsideWarning, load
from compiler.prediction.columns import write_columns
from compiler.prediction.differenced import differenced
from pdespec import ProblemError

DOUBLE = torch.float64
TEXT = """
problem drum
space    x, y
param    c ~ uniform(0.8, 1.2), k = 1
domain   Omega = disk(radius = c)
input    f : scalar on Omega ~ gaussians(count = 2)
unknown  u : scalar on Omega, v : vector on Omega
in Omega:
    lap(u) = k*f
    lap(v) = [f, u]
on boundary(Omega): u = 0; v = 0
output mean := integral(u, Omega)
output flux := -grad(u)
"""
POINTS = np.array([[0.1, 0.2], [-0.3, 0.4], [0.0, 0.0]])


@pytest.fixture(scope="module")
def operator(tmp_path_factory):
    problem = pdespec.parse(TEXT)
    model = compiler.build(problem, "gino", latent=(8, 8), hidden=4, modes=2, layers=1)
    options = compiler.TrainOptions(
        steps=1,
        batch=1,
        points={"interior": 8, "boundary": 8, "operator": 32},
        validation=0,
        precision="float64",
    )
    run = compiler.train(problem, model, options, tmp_path_factory.mktemp("run") / "drum")
    return load(run.directory)


def f(x):
    return x[:, 0] ** 2 + 1


def test_one_sample_answers_by_name_component_and_output(operator):
    answer = operator(params={"c": 1.0}, inputs={"f": f})
    u, v = answer.u(POINTS), answer.v(POINTS)
    assert isinstance(u, np.ndarray) and u.shape == (3,) and v.shape == (3, 2)
    assert np.array_equal(answer["v.y"](POINTS), v[:, 1]) and np.array_equal(answer["u"](POINTS), u)
    assert isinstance(answer["mean"], float)
    assert answer["flux"](POINTS).shape == (3, 2)
    batch = compiler.instance(
        operator.problem,
        {"c": 1.0},
        {"f": sp.Symbol("x", real=True) ** 2 + 1},
        {"operator": 32},
        dtype=DOUBLE,
    )
    assert compiler.outputs(operator.problem, answer.field, batch)["mean"].item() == pytest.approx(
        answer["mean"], rel=1e-6
    )


def test_a_batch_is_the_samples_one_by_one(operator):
    c = np.array([0.9, 1.0, 1.1])
    together = operator(
        params={"c": c}, inputs={"f": [f, lambda x: x[:, 1:], lambda x: 0 * x[:, 0] + 2]}
    )
    assert (
        together.u(POINTS).shape == (3, 3)
        and together.v(POINTS).shape == (3, 3, 2)
        and together["mean"].shape == (3,)
    )
    for k, each in enumerate([f, lambda x: x[:, 1:], 2]):
        alone = operator(params={"c": c[k]}, inputs={"f": each})
        assert alone.u(POINTS) == pytest.approx(together.u(POINTS)[k], rel=1e-9, abs=1e-12)
        assert alone["mean"] == pytest.approx(together["mean"][k], rel=1e-9, abs=1e-12)


def test_every_kind_of_input_gives_the_same_answer(operator):
    x, y = np.linspace(-3, 3, 81), np.linspace(-3, 3, 31)  # the network looks beyond the domain
    xarray = pytest.importorskip("xarray")
    grid = xarray.DataArray(
        np.cos(x)[None] * np.ones((31, 1)), dims=("y", "x"), coords={"x": x, "y": y}
    )
    places = np.random.default_rng(0).uniform(-3, 3, (1500, 2))
    kinds = {
        "numpy": lambda p: np.cos(np.asarray(p)[:, 0]),
        "torch": lambda p: torch.cos(p[:, :1]),
        "expression": sp.cos(sp.Symbol("x", real=True)),
        "grid": grid,
        "points": (places, np.cos(places[:, 0])),
    }
    found = {
        name: operator(params={"c": 1.0}, inputs={"f": kind}).u(POINTS)
        for name, kind in kinds.items()
    }
    for name in kinds:
        # some nodes lie beyond the values given
        tolerance = 1e-3 if name in ("points", "grid") else 1e-10
        assert found[name] == pytest.approx(
            found["torch"], abs=tolerance * abs(found["torch"]).max()
        ), name


def test_torch_in_torch_out_with_gradients_that_equal_differences(operator):
    points = torch.tensor(POINTS)

    def value(c, amplitude):
        return (
            operator(params={"c": c}, inputs={"f": lambda p: amplitude * f(p)})
            .u(points)
            .square()
            .sum()
        )

    at = [torch.tensor(number, dtype=DOUBLE, requires_grad=True) for number in (1.0, 1.5)]
    slopes = torch.autograd.grad(value(*at), at)
    for k, slope in enumerate(slopes):
        low, high = (
            [each.item() + sign * 1e-5 * (i == k) for i, each in enumerate(at)] for sign in (-1, 1)
        )
        with torch.no_grad():
            difference = (
                value(*(torch.tensor(v, dtype=DOUBLE) for v in high))
                - value(*(torch.tensor(v, dtype=DOUBLE) for v in low))
            ) / 2e-5
        assert float(slope) == pytest.approx(float(difference), rel=1e-6)


def test_outside_of_the_law_and_of_the_domain_is_said(operator):
    with pytest.warns(OutsideWarning, match="`c` is 2; the operator was trained on 0.8 to 1.2"):
        answer = operator(params={"c": 2.0}, inputs={"f": 1})
    with pytest.warns(OutsideWarning, match="1 of 2 points lie outside of the domain"):
        answer.u([[0.0, 0.0], [3.0, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        operator(params={"c": 1.2}, inputs={"f": 1}).u([[1.2, 0.0]])


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (lambda o: o({"q": 1}, {"f": 1}), "S01", "no param `q`"),
        (lambda o: o({"c": 1}, {"g": 1}), "S01", "no input `g`"),
        (lambda o: o({"c": 1}), "B03", "input `f` was not given"),
        (
            lambda o: o({"c": [1, 1, 1]}, {"f": [f, f]}),
            "B01",
            "the numbers of samples differ: `c` 3, `f` 2",
        ),
        (lambda o: o({"c": 1}, {"f": lambda p: p}), "B01", "returned shape"),
        (lambda o: o({"c": 1}, {"f": (POINTS, np.full(3, np.nan))}), "B01", "not finite"),
        (lambda o: o({"c": 1}, {"f": 1}).u(np.zeros((4, 3))), "B01", "`u` takes (n, 2): x, y"),
        (lambda o: o({"c": 1}, {"f": 1}).u([[np.nan, 0]]), "B01", "not finite"),
        (lambda o: o({"c": 1}, {"f": 1}).u([[1j, 0]]), "B02", "points are torch.complex128"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_code(operator, call, code, words):
    with pytest.raises(ProblemError) as caught:
        call(operator)
    assert caught.value.diagnostics[0].code == code and words in str(caught.value)


def test_a_misspelt_name_gets_the_nearest(operator):
    answer = operator({"c": 1.0}, {"f": 1})
    with pytest.raises(AttributeError, match="the answer has no `w`"):
        answer.w  # noqa: B018
    with pytest.raises(KeyError, match="did you mean 'mean'"):
        answer["maen"]


def test_grids_files_and_pictures(operator, tmp_path):
    xarray, meshio = pytest.importorskip("xarray"), pytest.importorskip("meshio")
    answer = operator({"c": np.array([0.9, 1.1])}, {"f": 1})
    data = answer.to_xarray(17)
    assert (
        isinstance(data, xarray.Dataset)
        and data.u.dims == ("sample", "x", "y")
        and data.v.dims[-1] == "v_component"
    )
    here = data.isel(sample=1).sel(x=0.0, y=0.0, method="nearest")
    assert float(here.u) == pytest.approx(answer.u([[float(here.x), float(here.y)]])[1])
    assert np.isnan(data.u.values[:, 0, 0]).all()
    files = answer.to_vtk(tmp_path / "out", resolution=6)
    mesh = meshio.read(files[1])
    assert mesh.point_data["u"] == pytest.approx(
        answer["u"].at(torch.tensor(mesh.points[None, :, :2]).expand(2, -1, -1))[1]
    )
    assert mesh.point_data["v"].shape == (len(mesh.points), 3)
    answer.plot("v").savefig(tmp_path / "v.png")
    assert (tmp_path / "v.png").stat().st_size > 1000


def test_an_answer_knows_how_wrong_it_is_and_can_be_corrected(operator):
    radii = np.array([0.9, 1.1])
    # lap(u) = 1: u = (r^2 - c^2)/4; the operator is all but untrained
    answer = operator(params={"c": radii}, inputs={"f": 1})
    points = np.random.default_rng(0).uniform(-0.6, 0.6, (300, 2))
    exact = (np.square(points).sum(1) - radii[:, None] ** 2) / 4
    true = np.linalg.norm(answer.u(points) - exact, axis=1) / np.linalg.norm(exact, axis=1)
    # on the whole disk, where `true` has seen a part
    assert answer.error["u"].shape == (2,) and true.min() > 0.1
    assert isinstance(answer.error["u"], np.ndarray) and isinstance(answer.error.guard, np.ndarray)
    in_torch = operator(params={"c": torch.tensor(radii)}, inputs={"f": 1})
    assert isinstance(in_torch.error.bar["u"], torch.Tensor)
    better = answer.corrected()
    assert np.abs(better.u(points) - exact).max() < 1e-4 * np.abs(exact).max()
    assert better["mean"] == pytest.approx(-np.pi * radii**4 / 8, rel=1e-3)
    assert better.error["u"].max() < 1e-3 * answer.error["u"].min()


def test_the_page_on_answers_runs_as_it_is_written(tmp_path, monkeypatch):
    problem = pdespec.load(Path(__file__).parents[2] / "examples" / "nonlinear_poisson.pde")
    model = compiler.build(problem, "gino", latent=(8, 8), hidden=4, modes=2, layers=1)
    options = compiler.TrainOptions(
        steps=1, batch=1, points={"interior": 8, "boundary": 8, "operator": 32}, validation=0
    )
    compiler.train(problem, model, options, tmp_path / "runs" / "demo")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "answers.md").read_text()
    exec(
        compile(
            "\n".join(re.findall(r"```python\n(.*?)```", page, re.S)), "docs/answers.md", "exec"
        ),
        {},
    )


def test_the_command_line_predicts_from_and_to_files(operator, tmp_path):
    places = np.random.default_rng(0).uniform(-1.3, 1.3, (60, 2))
    write_columns(
        tmp_path / "f.csv", {"x": places[:, 0], "y": places[:, 1], "f": 1 + 2 * places[:, 0]}
    )
    write_columns(tmp_path / "at.npz", {"x": POINTS[:, 0], "y": POINTS[:, 1]})
    words = [
        "predict",
        str(operator.run.directory),
        "--params",
        "c=1",
        "--inputs",
        f"f={tmp_path / 'f.csv'}",
    ]
    found = CliRunner().invoke(
        app, [*words, "--points", str(tmp_path / "at.npz"), "--out", str(tmp_path / "u.h5")]
    )
    assert found.exit_code == 0, found.output
    # a spline holds what is linear
    expected = operator({"c": 1.0}, {"f": lambda p: 1 + 2 * p[:, 0]})
    columns = read(tmp_path / "u.h5").values
    assert columns["u"] == pytest.approx(expected.u(POINTS), rel=1e-8) and columns[
        "v.y"
    ] == pytest.approx(expected.v(POINTS)[:, 1], rel=1e-8)
    assert f"mean = {expected['mean']:.6f}"[:12] in found.output
    grid = CliRunner().invoke(app, [*words, "--points", "grid:9", "--out", str(tmp_path / "u.csv")])
    assert (
        grid.exit_code == 0
        and np.hypot(*(read(tmp_path / "u.csv").values[name] for name in "xy")).max() <= 1 + 1e-9
    )
    for wrong, words_ in (
        (["--inputs", "f=missing.csv"], "there is no file missing.csv"),
        (["--params", "c=one"], "'one' is not a number"),
        (["--out", "u.doc"], "write .vtu, .png or one of"),
    ):
        refused = CliRunner().invoke(app, [*words, *wrong])
        assert refused.exit_code in (1, 2) and words_ in refused.output


def test_splines_are_exact_at_their_points_and_converge():
    def function(x, y):
        return torch.sin(3 * x) * torch.cos(2 * y)

    at = torch.rand(
        1, 40, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE
    ).requires_grad_()
    errors = []
    for count in (11, 21):
        axes = [torch.linspace(0, 1, count, dtype=DOUBLE)] * 2
        x, y = torch.meshgrid(*axes, indexing="ij")
        nodes = torch.stack([x.flatten(), y.flatten()], -1)
        for spline in (
            gridded(axes, function(x, y)[None, ..., None]),
            scattered(nodes, function(x, y).reshape(1, -1, 1)),
        ):
            assert spline(nodes[None])[0, :, 0].tolist() == pytest.approx(
                function(*nodes.T).tolist(), abs=1e-10
            )
        grid = gridded(axes, function(x, y)[None, ..., None])
        (slope,) = torch.autograd.grad(grid(at).sum(), at)
        errors.append(
            (slope[..., 0] - 3 * torch.cos(3 * at[..., 0]) * torch.cos(2 * at[..., 1]))
            .abs()
            .max()
            .item()
        )
    assert math.log2(errors[0] / errors[1]) > 2.5  # cubic splines: order three in the slope


CARRIED = """
problem carried
space    x
time     t in [0, 1]
domain   ring = interval(0, 1)
periodic x
input    v : scalar on ring ~ grf(length = 0.3)
unknown  u : scalar on ring
in ring:  dt(u) + dx(u) = 0.01*dxx(u)
at t = 0: u = v
"""


@pytest.mark.parametrize("kind", ("array", "float64", "column"))
def test_a_function_in_numpy_has_derivatives_too(tmp_path, kind):
    """The operator is told of the residual of its lift, here v' - v''/100: NumPy takes a tensor
    without a word, and its derivatives are lost."""
    problem = pdespec.parse(CARRIED)
    model = compiler.build(problem, "gino", latent=(8, 8), hidden=4, modes=2, layers=1)
    options = compiler.TrainOptions(
        steps=2, batch=1, points={"interior": 16, "operator": 16}, validation=0
    )
    compiler.train(problem, model, options, tmp_path)
    operator = compiler.load(tmp_path)

    def in_numpy(points):
        points = np.asarray(points) if kind == "array" else points
        x = points[:, :1] if kind == "column" else points[:, 0]
        return np.sin(2 * np.pi * x) + np.cos(4 * np.pi * x)

    def in_torch(points):
        x = 2 * torch.pi * points[:, 0]
        return x.sin() + (2 * x).cos()

    at = np.random.default_rng(0).random((40, 2))
    found, expected = (operator(inputs={"v": each}).u(at) for each in (in_numpy, in_torch))
    assert np.abs(expected - in_torch(torch.as_tensor(at)).numpy()).max() > 1e-2
    assert np.abs(found - expected).max() < 1e-5


def test_derivatives_of_a_function_in_numpy_are_those_of_its_closed_form():
    points = torch.rand(30, 2, dtype=torch.float64, requires_grad=True)

    def wave(x):
        return np.stack([np.sin(3 * x[:, 0]) * np.exp(x[:, 1]), x[:, 0] ** 2 * x[:, 1]], 1)

    values = differenced(wave, points, (1.0, 1.0), "f")
    x, y = points.unbind(1)
    exact = torch.stack([(3 * x).sin() * y.exp(), x**2 * y], 1)
    assert torch.allclose(values, exact)
    for axes, tolerance in (((0,), 1e-11), ((1, 0), 1e-9), ((0, 0, 1), 1e-6), ((0, 0, 0, 0), 1e-3)):
        found, truth = values[:, 0].sum() + values[:, 1].sum(), exact.sum()
        for axis in axes:
            (found,) = torch.autograd.grad(found.sum(), points, create_graph=True)
            (truth,) = torch.autograd.grad(truth.sum(), points, create_graph=True)
            found, truth = found[:, axis], truth[:, axis]
        assert float((found - truth).abs().max()) < tolerance * float(truth.abs().max()), axes


def test_a_function_in_numpy_without_values_beside_a_point_is_refused():
    def root(x):
        with np.errstate(invalid="ignore"):
            return np.sqrt(x[:, 0])

    points = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    values = differenced(root, points, (1.0,), "f")
    with pytest.raises(ProblemError, match="just beside a point"):
        torch.autograd.grad(values.sum(), points)
