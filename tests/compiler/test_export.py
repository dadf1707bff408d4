"""Trained operators as programs: files of every format answer as the operator does, in a process
that cannot import this project."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import compiler
import pdespec
from compiler.cli import app
from compiler.geometry.domain import Facts, Geometry, facts
from compiler.measurements.interpolation import gridded, uniform
from compiler.prediction.answers import load
from compiler.prediction.export.formats import FORMATS
from compiler.prediction.export.interface import Argument, Interface
from compiler.prediction.export.passes import searchsorted, simplified
from compiler.prediction.export.program import ExportError, program
from tests.texts import LINE

DOUBLE = torch.float64
DRUM = """
problem drum
space    x, y
param    c ~ uniform(0.8, 1.2), k = 2
domain   Omega = disk(radius = c)
boundary Gamma = boundary(Omega)
input    f : scalar on Omega ~ gaussians(count = 2)
input    g : scalar on Gamma ~ fourier(modes = 2, amplitude = 0.25)
unknown  u : scalar on Omega
in Omega: div((1 + u^2)*grad(u)) = k*f
on Gamma: u = g
"""
# fields of several components, time, a frame that is not trivial, kinks, and an unknown kept
# positive
OTHERS = {
    "vector": """
problem pair
space    x, y
domain   Omega = rectangle([0, 0], [2, 1])
input    f : scalar on Omega ~ gaussians(count = 2)
unknown  u : scalar on Omega, v : vector on Omega
in Omega:
    lap(u) = f
    lap(v) = [f, u]
on boundary(Omega): u = 0; v = 0
""",
    "small and slow": """
problem drift
space    x
time     t in [0, 5000]
domain   L = interval(2, 2.001)
periodic x
param    s ~ uniform(1e-7, 2e-7)
input    u0 : scalar on L ~ grf(sigma = 1, length = 2e-4)
unknown  u : scalar on L
in L: dt(u) + s*dx(u) = 1e-12*dxx(u)
at t = 0: u = u0
""",
    "layers": """
problem layers
space    x
param    a ~ uniform(1, 2)
domain   L = interval(0, 2)
unknown  u : scalar on L > 0
k := if(x > 1, 1, 4)
in L: div(k*grad(u)) = -a
on side(L, x = 0): u = 1
on side(L, x = 2): -k*dn(u) = 0
on interface(L, x - 1):
    jump(u) = 0
    jump(k*dn(u)) = 0
""",
    "ends": """
problem ends
space    x, y
param    r ~ uniform(0.5, 0.8), q ~ uniform(1, 2)
domain   Omega = ellipse(radii = [1, r])
unknown  u : scalar on Omega
in Omega: -lap(u) + u = q
on boundary(Omega): dn(u) = q
""",
    "hole": """
problem hole
space    x, y
param    r ~ uniform(0.1, 0.3)
domain   Omega = rectangle([0, 0], [1, 1]) - disk(radius = r, center = [0.5, 0.5])
unknown  u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega): u = 0
""",
}
# what any process can do that has torch, NumPy and onnxruntime
ELSEWHERE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pdespec", "operators", "compiler"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Absent())
import json
import numpy as np

kind, file, given, out = sys.argv[1:]
arrays = dict(np.load(given))
names = [each["name"] for each in json.load(open(file + ".json"))["inputs"]]
if kind == "onnx":
    import onnxruntime
    session = onnxruntime.InferenceSession(file)
    assert [each.name for each in session.get_inputs()] == names
    run = lambda arrays: dict(zip(
        [each.name for each in session.get_outputs()],
        session.run(None, {name: arrays[name] for name in names})))
else:
    import torch
    if kind == "torch":
        module = torch.export.load(file).module()
    else:
        from torch._inductor import aoti_load_package
        module = aoti_load_package(file)
    run = lambda arrays: {name: value.detach().numpy() for name, value in module(
        *(torch.from_numpy(arrays[name]) for name in names)).items()}
for k in range(2):  # another number of points each time
    points = arrays.pop(f"points_{k}")
    found = run({**arrays, "points": points})
    np.savez(f"{out}-{k}.npz", **found)
assert not any(name in sys.modules for name in ("pdespec", "operators", "compiler"))
"""


def trained(text: str, place: Path, operator: str = "gino", lift: int = 0, **options):
    """A run whose network is no small part of its answer."""
    problem = pdespec.parse(text)
    model = compiler.build(problem, operator, **options)
    with torch.no_grad():
        last = [each for each in model.modules() if hasattr(each, "weight")][-1]
        last.weight.mul_(20)
    train = compiler.TrainOptions(
        steps=1,
        batch=1,
        points={"interior": 8, "boundary": 8, "operator": 64},
        validation=0,
        lift=lift,
    )
    return load(compiler.train(problem, model, train, place / problem.name).directory)


@pytest.fixture(scope="module")
def drum(tmp_path_factory):
    place = tmp_path_factory.mktemp("drum")
    return trained(DRUM, place, latent=(10, 10), hidden=4, modes=3, layers=1)


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    return trained(LINE, tmp_path_factory.mktemp("line"), latent=(12,), hidden=4, modes=3, layers=1)


def elsewhere(kind: str, file: Path, arrays: dict, place: Path) -> list[dict]:
    """What a program answers to arrays in a process of its own, without this project."""
    script, given = place / "elsewhere.py", place / "given.npz"
    script.write_text(ELSEWHERE)
    np.savez(given, **arrays)
    subprocess.run(
        [sys.executable, "-I", str(script), kind, str(file), str(given), str(place / "out")],
        check=True,
        cwd=place,
    )
    return [dict(np.load(place / f"out-{k}.npz")) for k in range(2)]


def interface_in(file: Path) -> Interface:
    """What a program of `torch.export` says of itself."""
    extra = {"interface.json": ""}
    torch.export.load(file, extra_files=extra)
    told = json.loads(extra["interface.json"])
    assert told == json.loads(Path(f"{file}.json").read_text())
    inputs = tuple(
        Argument(**{**each, "range": each["range"] and tuple(each["range"])})
        for each in told["inputs"]
    )
    return Interface(**{**told, "inputs": inputs})


def inside(count: int, radius: float, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).uniform(-radius, radius, (4 * count, 2))
    return found[np.hypot(*found.T) < radius][:count].astype(np.float32)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_program_answers_as_its_operator_where_this_project_is_not(kind, drum, tmp_path):
    xarray = pytest.importorskip("xarray")
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    file = tmp_path / f"drum{'.onnx' if kind == 'onnx' else '.pt2'}"
    if kind == "torch":  # by the command, and from Python
        words = ["--out", str(file), "--nodes", "f=33", "--nodes", "g=17"]
        told = CliRunner().invoke(app, ["export", str(drum.run.directory), *words])
        assert told.exit_code == 0, told.output
        assert "in  c      float32 (1): the param c" in told.output
        found = interface_in(file)
    else:
        found = drum.export(file, kind, nodes={"f": 33, "g": 17})
    by_name = {each.name: each for each in found.inputs}
    assert list(by_name) == ["points", "c", "f", "g"] and by_name["c"].range == (0.8, 1.2)
    written = json.loads(Path(f"{file}.json").read_text())
    assert written["inputs"][2]["shape"] == [1, 33, 33] and written["constants"] == {"k": 2.0}

    functions = {"f": lambda x, y: np.exp(-x * x) - y, "g": lambda x, y: 0.2 * np.sin(x) + y / 9}
    arrays, grids = {}, {}
    for name, function in functions.items():
        axes = {axis: np.linspace(*nodes) for axis, nodes in by_name[name].axes.items()}
        values = function(*np.meshgrid(*axes.values(), indexing="ij")).astype(np.float32)
        arrays[name] = values[None]
        grids[name] = xarray.DataArray(values, dims=tuple(axes), coords=axes)
    points = [inside(5, 0.6, 0), inside(300, 0.6, 1)]
    arrays |= {"c": np.float32([1.1])} | {
        f"points_{k}": each[None] for k, each in enumerate(points)
    }
    answer = drum({"c": 1.1}, grids)
    for k, told in enumerate(elsewhere(kind, file, arrays, tmp_path)):
        wanted = answer.u(points[k])
        assert told["u"].shape == (1, len(points[k])) and told["u"].dtype == np.float32
        assert np.abs(told["u"][0] - wanted).max() < 1e-5 * np.abs(wanted).max()
    if kind == "onnx":
        import onnx

        model = onnx.load(file)
        assert {node.domain for node in model.graph.node} == {""} and not model.functions


def test_a_library_answers_as_its_operator_where_this_project_is_not(line, tmp_path):
    line.export(tmp_path / "line.pt2", "aoti", samples=2)
    points = [np.float32([[0.5], [0.25]]), np.linspace(0.1, 0.9, 50, dtype=np.float32)[:, None]]
    arrays = {f"points_{k}": np.stack([each, each[::-1]]) for k, each in enumerate(points)}
    told = elsewhere("aoti", tmp_path / "line.pt2", {**arrays, "a": np.float32([1, 2])}, tmp_path)
    answer = line({"a": [1.0, 2.0]})
    for k, found in enumerate(told):
        wanted = answer.u(arrays[f"points_{k}"])
        assert np.abs(found["u"] - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("name", OTHERS)
def test_every_kind_of_problem_is_traced_as_it_answers(name, tmp_path):
    dim = len(pdespec.parse(OTHERS[name]).variables)
    run = trained(OTHERS[name], tmp_path, latent=(8,) * dim, hidden=4, modes=2, layers=1)
    program(run, samples=2, nodes=9)  # compares with the operator itself


@pytest.mark.parametrize(
    ("operator", "options"),
    [
        ("fno", {"grid": (8,), "hidden": 4, "modes": (3,), "layers": 1}),
        ("transolver", {}),
    ],
)
def test_every_operator_is_traced_as_it_answers(operator, options, tmp_path):
    program(trained(LINE, tmp_path, operator, **options))


def test_what_cannot_be_exported_is_refused_with_the_reason(line, tmp_path):
    with pytest.raises(KeyError, match="did you mean 'onnx'"):
        line.export(tmp_path / "a.onnx", "onxx")
    with pytest.raises(ExportError, match=r"a file of format onnx is called NAME.onnx, not a.pt2"):
        line.export(tmp_path / "a.pt2", "onnx")
    with pytest.raises(ExportError, match="has no input 'f' to give nodes for"):
        line.export(tmp_path / "a.pt2", nodes={"f": 9})
    assert not list(tmp_path.iterdir())
    cut = OTHERS["hole"].replace("uniform(0.1, 0.3)", "uniform(0.4, 0.6)")
    run = trained(cut, tmp_path, latent=(8, 8), hidden=4, modes=2, layers=1)
    with pytest.raises(ExportError, match="cannot be exported: parts of its domain, which changes"):
        run.export(tmp_path / "a.pt2")
    assert not (tmp_path / "a.pt2").exists()


def test_a_coarse_lift_is_traced_where_it_is_one_system_of_equations(tmp_path):
    pytest.importorskip("onnxscript")
    run = trained(LINE, tmp_path / "linear", lift=4, latent=(8,), hidden=4, modes=2, layers=1)
    program(run)
    with pytest.raises(ExportError, match="has no form in ONNX: .*linalg_solve_ex"):
        run.export(tmp_path / "a.onnx", "onnx")
    curved = LINE.replace("-dxx(u) = a", "-dxx(u) + u^3 = a")
    run = trained(curved, tmp_path / "curved", lift=4, latent=(8,), hidden=4, modes=2, layers=1)
    with pytest.raises(ExportError, match="its coarse lift is found by steps"):
        run.export(tmp_path / "a.pt2")
    assert not list(tmp_path.glob("a.*"))


def test_points_are_found_among_a_fixed_number_or_not_at_all():
    domain = pdespec.parse(OTHERS["hole"]).domains["Omega"]
    plain = Geometry(domain, {"r": torch.tensor([0.1, 0.3], dtype=DOUBLE)}, 2, DOUBLE)
    known = facts(domain)
    assert known.apart and 1 - np.pi * 0.09 - 0.05 < known.share < 1 - np.pi * 0.09 + 0.05
    draw = lambda geometry: geometry.interior(100, torch.Generator().manual_seed(0))  # noqa: E731
    assert torch.equal(draw(plain), draw(replace(plain, facts=known)))
    many = draw(replace(plain, facts=Facts(4.0, True)))  # 114 are tried for 100
    assert many[0].isfinite().all() and many[1].isnan().all()


def test_the_command_line_refuses_words_it_does_not_know(line):
    for words in (["--to", "onxx"], ["--nodes", "f=x"], ["--samples", "0"]):
        told = CliRunner().invoke(app, ["export", str(line.run.directory), *words])
        assert told.exit_code == 2, told.output


@pytest.mark.parametrize("shape", [(4,), (8, 6), (5, 6, 7)])
def test_a_spline_on_equal_steps_is_the_one_of_scipy(shape):
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(2, *shape, 3, generator=draw, dtype=DOUBLE)
    axes = [torch.linspace(-1, 2, m, dtype=DOUBLE) for m in shape]
    at = 4 * torch.rand(2, 50, len(shape), generator=draw, dtype=DOUBLE) - 1.5  # beyond it too
    at.requires_grad_()
    ours, theirs = (
        each(at)
        for each in (uniform([-1] * len(shape), [2] * len(shape), values), gridded(axes, values))
    )
    assert ours.detach().numpy() == pytest.approx(theirs.detach().numpy(), abs=1e-12)
    for _ in range(2):
        ours, theirs = (
            torch.autograd.grad(each.sum(), at, create_graph=True)[0] for each in (ours, theirs)
        )
        assert ours.detach().numpy() == pytest.approx(theirs.detach().numpy(), abs=1e-10)


@pytest.mark.parametrize("right", [False, True])
def test_a_place_in_a_sorted_row_is_found_by_counting(right):
    rows = torch.tensor([[0.0, 1.0, 1.0, 3.0], [-1.0, 0.0, 5.0, 5.0]])
    values = torch.tensor([[1.0, -2.0, 9.0], [5.0, 0.0, 0.5]])
    assert torch.equal(
        searchsorted(rows, values, right=right), torch.searchsorted(rows, values, right=right)
    )


def test_a_simplified_graph_computes_the_same_with_less():
    from torch.fx.experimental.proxy_tensor import make_fx

    def function(x):
        table = torch.arange(5, dtype=DOUBLE) ** 2
        again = [(x[:, None] * table).sum(1) * 0.1 for _ in range(3)]
        return (torch.stack(again).sum(0).clamp(-1, 2),)

    at = torch.linspace(-0.1, 0.1, 7, dtype=DOUBLE)
    graph = make_fx(function)(at)
    before, wanted = len(graph.graph.nodes), graph(at)
    graph = simplified(graph)
    assert torch.equal(graph(at)[0], wanted[0]) and len(graph.graph.nodes) < before
    # 0.1 is no float32: ONNX export would round it
    numbers = [each for each in graph.buffers() if each.ndim == 0]
    assert [float(each) for each in numbers] == [0.1]


def test_every_format_has_a_file_name():
    assert {each.suffix for each in FORMATS.values()} == {".pt2", ".onnx"}
