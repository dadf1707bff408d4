"""The page of an evaluation: what it shows of samples, the numbers behind that, and that it works
in a browser."""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import io
import json
import math
import re
import subprocess
import sys
import types
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import compiler
import pdespec
from compiler.batches.sample import sample
from compiler.chance import seeded
from compiler.evaluation.result import Evaluation, Sample
from compiler.report.chart_data import numbers
from compiler.report.charts import training_picture
from compiler.report.frames import COUNT, frames, moments, packed, viewer
from compiler.report.labels import labelled
from compiler.report.over_time import errors_over_time
from compiler.report.page import _terms
from compiler.report.pictures import reference_picture
from compiler.report.plot_grid import raster
from compiler.report.samples import Shown, body_outside, write_vtk
from compiler.report.solid import PANEL, SCENE, solid_picture
from compiler.report.terms import described, terms
from operators.field import Capabilities
from pdespec.text.write.summary import statements
from tests.compiler.browser import CHROMIUM, opened

EXAMPLES = Path(__file__).parents[2] / "examples"
SPREADS = """problem spreads
space    x, y
time     t in [0, 2] [s]
param    a ~ uniform(1, 2) [m^2/s]
domain   S = rectangle([0, 0], [2, 1])
input    q : scalar on S [K/s] ~ grf(length = 0.5)
unknown  T : scalar on S [K]
in S:           dt(T) = a*lap(T) + q
on boundary(S): T = 0
at t = 0:       T = 0
output mean := integral(T, S)
"""
BALL = """problem ball
space    x, y, z
domain   B = ball(radius = 1)
unknown  u : scalar on B
in B: -lap(u) = 6
on boundary(B): u = 0
"""


class Known:
    """share * f(points), as field or reference."""

    capabilities = Capabilities()
    seconds = 0.1

    def __init__(self, function, share: float = 1.0) -> None:
        self.function, self.share = function, share

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        return (self.share * self.function(points))[..., None]


def heated(points):
    return points[..., 2] * torch.sin(math.pi * points[..., 1]) * points[..., 0]


def one(text: str, function, share: float) -> tuple[pdespec.Problem, Sample]:
    problem = pdespec.parse(text, source="p.pde")
    batch = sample(problem, 1, {"interior": 64}, seeded(0, "test", 0), dtype=torch.float64)
    truth = Known(function)
    return problem, Sample(0, batch, Known(function, share), truth, 0.01, {"T": 0.1}, 0.1, 0.1)


def decoded(text: str, span: list[float]) -> np.ndarray:
    """What the page's script reads from a picture, the lowest row first."""
    colours = matplotlib.image.imread(io.BytesIO(base64.b64decode(text)))[::-1]
    red, green, blue = np.round(255 * colours[..., :3]).transpose(2, 0, 1)
    values = span[0] + (256 * red + green) / 65535 * (span[1] - span[0])
    return np.where(blue > 0, values, np.nan)


def test_frames_are_the_fields_at_their_times():
    problem, shown = one(SPREADS, heated, 1.1)
    found = frames(problem, shown)
    drawn = viewer(found, problem, shown)
    assert found.across == "t" and drawn["at"] == pytest.approx(np.linspace(0, 2, COUNT))
    (operator, reference, gap), (given,) = drawn["rows"]
    assert [each["title"] for each in (operator, reference, gap, given)] == [
        "T [K], operator",
        "T [K], reference",
        "|error of T| [K]",
        "input q [K/s]",
    ]
    assert len(operator["frames"]) == COUNT and len(given["frames"]) == 1  # q does not change
    assert drawn["extent"] == [0, 2, 0, 1]
    for k in (3, COUNT - 1):
        values = decoded(operator["frames"][k], operator["range"])
        height, width = values.shape
        x, y = np.meshgrid(np.linspace(0, 2, width), np.linspace(0, 1, height))
        expected = 1.1 * drawn["at"][k] * np.sin(np.pi * y) * x
        known = np.isfinite(values)
        assert known.mean() > 0.85
        assert values[known] == pytest.approx(expected[known], abs=1e-4)
    assert gap["limits"][1] == pytest.approx(0.1 * 2 * 2, rel=0.02)


def test_what_is_drawn_has_its_unit():
    problem, shown = one(SPREADS.replace("x, y", "x, y [m]"), heated, 1.1)
    assert [labelled(name, problem) for name in ("x", "t", "T", "|T|", "q", "a")] == [
        "x [m]",
        "t [s]",
        "T [K]",
        "|T| [K]",
        "q [K/s]",
        "a [m^2/s]",
    ]
    assert labelled("mean", problem) == "mean [m^2*K]"
    axes = reference_picture(problem, shown.batch, shown.truth).axes[0]
    assert [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()] == ["T [K]", "x [m]", "y [m]"]


def test_outputs_have_the_units_that_follow_from_those_declared():
    text = """problem console
space    x, y [m]
const    E = 2e11 [Pa], nu = 0.3
domain   S = rectangle([0, 0], [2, 1])
unknown  u : vector on S [m]
sigma := E/(1 + nu)*sym(grad(u))
in S:           div(sigma) = 0
on boundary(S): u = 0
output sag := u(1, 0.5)
output stress := sigma
output pull := integral(sigma*n, side(S, x = 2))
output stored := integral(inner(sigma, grad(u)), S)
output share := integral(dot(u, u), S)/integral(1, S)/4
"""
    problem = pdespec.parse(text, source="p.pde")
    assert [labelled(name, problem) for name in problem.outputs] == [
        "sag [m]",
        "stress [Pa]",
        "pull [N/m]",
        "stored [N]",
        "share [m^2]",
    ]
    bare = pdespec.parse(text.replace(" [Pa]", ""), source="p.pde")
    assert labelled("stress", bare) == "stress"  # of a modulus without a unit nothing follows


def test_an_input_on_a_boundary_is_shown_at_its_points():
    declared = "boundary edge = boundary(S)\ninput g : scalar on edge [K] ~ grf(length = 1)\n"
    text = SPREADS.replace("on boundary(S): T = 0", "on edge: T = g")
    text = text.replace("unknown  T", f"{declared}unknown  T")
    problem, shown = one(text, heated, 1.0)
    found = frames(problem, shown)
    panel = viewer(found, problem, shown)["rows"][-1][0]
    assert panel["title"] == "input g on edge [K]" and panel["kind"] == "dots"
    places, (values,) = np.array(panel["places"]), panel["frames"]
    on_edge = np.minimum(np.abs(places - [0, 0]).min(1), np.abs(places - [2, 1]).min(1))
    assert on_edge == pytest.approx(0, abs=1e-6)
    points = torch.tensor(np.column_stack([places, np.ones(len(places))]))[None]
    expected = shown.batch.evaluate("g", points)[0, :, 0].numpy()
    assert values == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_body_is_shown_in_planes_and_a_curve_by_numbers():
    ball = pdespec.parse(BALL, source="ball.pde")
    batch = sample(ball, 1, {"interior": 8}, seeded(0, "test", 0), dtype=torch.float64)
    across, at = moments(ball, batch)
    assert across == "z" and at[COUNT // 2] == pytest.approx(0, abs=1e-9)
    for height, radius in ((0.0, 1.0), (0.6, 0.8)):
        grid = raster(ball, batch, 200, {"z": height})
        area = grid.inside.mean() * 4
        assert area == pytest.approx(math.pi * radius**2, rel=0.02)
        assert grid.points[..., 2].unique().tolist() == [height]

    text = "problem line\nspace x\ndomain L = interval(0, 2)\nunknown u : scalar on L\n"
    problem, shown = one(
        text + "in L: dxx(u) = 1\non boundary(L): u = 0\n", lambda points: points[..., 0] ** 2, 2.0
    )
    ((panel,),) = viewer(frames(problem, shown), problem, shown)["rows"]
    assert panel["kind"] == "curve" and panel["limits"][0] == pytest.approx(0, abs=1e-3)
    own, right = (each["frames"][0] for each in panel["lines"])
    x = np.array(panel["x"])
    assert own == pytest.approx(2 * x**2, rel=1e-4) and right == pytest.approx(x**2, rel=1e-4)


def test_numbers_are_packed_to_16_bits_and_absent_ones_said():
    grid = raster(*_square(), 20)
    shares = np.linspace(0, 1, int(grid.inside.sum()))
    shares[3] = np.nan
    values = decoded(base64.b64encode(packed(grid, shares)).decode(), [0.0, 1.0])
    found = values[grid.inside]
    assert np.isnan(found[3]) and np.isnan(values[~grid.inside]).all()
    assert np.delete(found, 3) == pytest.approx(np.delete(shares, 3), abs=1 / 65535)


def _square():
    problem = pdespec.parse(SPREADS, source="p.pde")
    return problem, sample(problem, 1, {"interior": 8}, seeded(0, "test", 0), dtype=torch.float64)


def test_the_error_over_time_is_that_of_each_time():
    problem, shown = one(SPREADS, heated, 1.0)

    class Grows(Known):
        def __call__(self, points):
            return super().__call__(points) * (1 + 0.1 * points[..., 2:])

    shown = Sample(0, shown.batch, Grows(heated), shown.truth, 0.01, {}, 0.1, 0.1)
    times, found = errors_over_time(problem, shown)
    late = times > 0.5  # before that the unknown is small beside its size over all times
    assert found["T"][late] == pytest.approx(0.1 * times[late], rel=1e-6)
    assert found["T"][0] == 0


def test_a_label_is_explained_by_what_the_problem_states():
    for path in sorted(EXAMPLES.glob("*.pde")):
        problem = pdespec.load(path)
        known = statements(problem)
        assert set(known) == {*problem.equations, *problem.conditions}, path.name
        for label, condition in problem.conditions.items():
            assert f" {condition.region.name}:" in known[label] or "at " in known[label], label
    stokes = pdespec.load(EXAMPLES / "stokes.pde")
    found = described(stokes, ["momentum", "outlet.p.v", "momentum.error", "weak"])
    assert found["momentum"] == "momentum (in channel: div(sigma) = 0)"
    assert found["outlet.p.v"] == "outlet.p.v (on outlet: sigma*n = 0)"
    assert "error in u that the residual causes" in found["momentum.error"]
    assert "dual norm" in found["weak"]


def test_the_page_shows_what_a_training_lowered(tmp_path):
    """The weak residual, though the physics has no term of that name, and what it weighs."""
    problem = pdespec.load(EXAMPLES / "darcy.pde")
    model = compiler.build(problem, "gino", latent=(10, 10), hidden=4, modes=2, layers=1)
    options = compiler.TrainOptions(steps=2, batch=1, dual=4, log_every=1, points={"operator": 32})
    run = compiler.train(problem, model, options, tmp_path / "run")
    assert "weak" in terms(run.history)
    evaluation = compiler.evaluate(run.directory, samples=1, report=False)
    legend = training_picture(evaluation, terms(run.history)).legends[0]
    shown = [each.get_text() for each in legend.get_texts()]
    assert "weak (weak residual, in its dual norm on a coarse mesh)" in shown
    (row,) = re.findall(r"<tr><td>weak</td>.*?</tr>", _terms(evaluation))
    cells = re.findall(r"<td>(.*?)</td>", row)
    assert float(cells[2]) == pytest.approx(run.history[0]["weak"], rel=0.01)
    assert float(cells[4]) == run.history[-1]["weight weak"]


def test_a_file_for_paraview_holds_operator_and_reference(tmp_path):
    meshio = pytest.importorskip("meshio")
    problem = pdespec.parse(BALL, source="ball.pde")
    batch = sample(problem, 1, {"interior": 8}, seeded(0, "test", 0), dtype=torch.float64)
    truth = compiler.solve(problem, batch, resolution=6)
    field = Known(lambda points: 1 - points.square().sum(-1))  # the solution itself
    write_vtk(problem, Sample(0, batch, field, truth, 0.0, {}, 0.1, 0.1), tmp_path / "ball.vtu")
    found = meshio.read(tmp_path / "ball.vtu")
    own, right = (found.point_data[name].reshape(-1) for name in ("u, operator", "u"))
    assert own == pytest.approx(1 - (found.points**2).sum(-1), abs=1e-6)
    assert right == pytest.approx(own, abs=0.05)


def solved(name: str, text: str, field, resolution: int) -> tuple[pdespec.Problem, Sample]:
    problem = pdespec.parse(text, source=f"{name}.pde")
    batch = sample(problem, 1, {"interior": 8}, seeded(0, "test", 0), dtype=torch.float64)
    truth = compiler.solve(problem, batch, resolution=resolution)
    return problem, Sample(0, batch, field, truth, 0.0, {}, 0.1, 0.1)


def test_a_body_that_moves_is_drawn_where_it_goes():
    class Sheared(Known):
        def __call__(self, points):
            return torch.stack([0.5 * points[..., 1], 0 * points[..., 1]], -1)

    text = (
        "problem shear\nspace x, y\ndomain S = rectangle([0, 0], [2, 1])\n"
        "unknown u : vector on S [m]\n"
        "minimize integral(inner(sym(grad(u)), sym(grad(u))), S)\non boundary(S): u = [y/4, 0]\n"
    )
    problem, shown = solved("shear", text, Sheared(None), 3)
    drawn = viewer(frames(problem, shown), problem, shown)
    ((own, right, gap),) = drawn["rows"]
    assert [each["title"] for each in (own, right, gap)] == [
        "|u| [m], operator",
        "|u| [m], reference",
        "|error of u| [m]",
    ]
    assert "true scale" in drawn["note"]

    def floats(text: str) -> np.ndarray:
        return np.frombuffer(base64.b64decode(text), "<f4")

    rest = floats(own["rest"]).reshape(-1, 2)
    for panel, share in ((own, 0.5), (right, 0.25), (gap, 0.25)):
        (frame,) = panel["frames"]
        places, values = floats(frame["points"]).reshape(-1, 2), floats(frame["values"])
        moved = rest + np.stack([share * rest[:, 1], 0 * rest[:, 1]], -1)
        assert places == pytest.approx(moved, abs=1e-5)
        assert values == pytest.approx(
            0.25 * rest[:, 1] if panel is gap else share * rest[:, 1], abs=1e-5
        )
    left, across, bottom, top = own["extent"]
    assert left < 0 < 2.5 < across and bottom < 0 < 1 < top


def test_a_body_in_space_is_seen_from_outside_and_without_pyvista_the_page_says_how(monkeypatch):
    field = Known(lambda points: 1 - points.square().sum(-1))
    problem, shown = solved("ball", BALL, field, 5)
    picture = solid_picture(problem, shown)
    if picture is not None:  # neither without PyVista nor on a machine where VTK cannot draw
        image = matplotlib.image.imread(io.BytesIO(picture))
        assert image.shape[1] == 3 * PANEL[0] and image.shape[0] == PANEL[1]
        assert np.ptp(image[..., :3], axis=(0, 1)).min() > 0.5  # something is drawn
        shown_as = Shown("worst", shown, {}, ())
        assert 'src="x.png"' in body_outside(problem, shown_as, {"solid_worst": "x.png"})
    monkeypatch.setattr("compiler.report.solid.has_pyvista", lambda: False)
    monkeypatch.setattr("compiler.report.samples.has_pyvista", lambda: False)
    assert solid_picture(problem, shown) is None
    assert "pip install" in body_outside(problem, Shown("worst", shown, {}, ()), {})


def test_the_program_that_draws_bodies_finds_the_standard_library():
    """It is run from its folder, where a module of the same name as one of Python's would be found
    first."""
    names = {each.stem for each in SCENE.parent.glob("*.py")}
    assert SCENE.name == "scene.py" and not names & set(sys.stdlib_module_names)


@pytest.mark.skipif(not importlib.util.find_spec("pyvista"), reason="needs pyvista")
def test_the_error_of_a_body_in_space_is_shown_by_its_size(monkeypatch):
    """Also where the operator is below the reference everywhere."""
    given = {}

    def drawn(*_, input, **__):
        given.update(np.load(io.BytesIO(input)))
        return subprocess.CompletedProcess((), 0, b"picture", b"")

    monkeypatch.setattr("compiler.report.solid.subprocess.run", drawn)
    problem, shown = solved("ball", BALL, Known(lambda points: -points.square().sum(-1)), 5)
    assert solid_picture(problem, shown) == b"picture"
    (row,) = json.loads(str(given["told"]))["rows"]
    assert given["values 0 2"] == pytest.approx(given["values 0 1"] - given["values 0 0"])
    assert row[2]["limits"] == [0.0, pytest.approx(given["values 0 2"].max())]
    assert given["values 0 2"].min() > 0.5


@pytest.fixture(scope="module")
def spreading(tmp_path_factory) -> Path:
    """A trained run in time, evaluated."""
    folder = tmp_path_factory.mktemp("page")
    problem = pdespec.parse(SPREADS, source="spreads.pde")
    model = compiler.build(
        problem,
        "gino",
        latent=(8, 8, 8),
        modes=2,
        hidden=4,
        layers=1,
        kernel_options={"hidden": (8,)},
    )
    options = compiler.TrainOptions(
        steps=2, batch=1, points={"interior": 8, "boundary": 8, "operator": 16}, validation=0
    )
    run = compiler.train(problem, model, options, folder / "run")
    compiler.evaluate(run.directory, samples=3, resolution=4)
    return run.directory


def test_the_numbers_behind_a_picture_are_those_of_operator_and_reference(spreading):
    with np.load(spreading / "pictures" / "worst.npz") as found:
        assert {"x", "y", "t", "operator T", "reference T", "input q", "param a"} <= set(found)
        assert len(found["x"]) == len(found["operator T"]) and 1 <= float(found["param a"]) <= 2
        answer = compiler.load(spreading)(
            {"a": float(found["param a"])}, {"q": 0.0}
        )  # its shape alone: another input
        points = np.stack([found[name][:3] for name in ("x", "y", "t")], -1)
        assert answer.T(points).shape == found["operator T"][:3].shape


def test_the_numbers_behind_charts_are_those_that_were_drawn(spreading):
    run = json.loads((spreading / "evaluation.json").read_text())
    with np.load(spreading / "pictures" / "errors.npz") as found:
        (heights,) = found.values()
        assert heights == pytest.approx(sorted(100 * each["relative_l2"] for each in run["each"]))
    with np.load(spreading / "pictures" / "over_time.npz") as found:
        names = {f"error of T over time, {rank}" for rank in ("best", "median", "worst")}
        assert set(found) == {f"{name}, {axis}" for name in names for axis in "xy"}
        assert found["error of T over time, worst, x"] == pytest.approx(np.linspace(0, 2, 33))


def test_the_numbers_of_a_map_are_its_values_outside_none():
    figure = Figure()
    axes, other = figure.subplots(1, 2)
    given = np.ma.masked_less(np.arange(12.0).reshape(3, 4), 3)
    figure.colorbar(axes.pcolormesh(given, shading="gouraud"), ax=axes)
    axes.set_title("k")
    other.plot([0, 1, 2], [3, 4, 5])
    other.plot([0, 2], [1, 1])  # a mark
    other.set_ylabel("q")
    found = numbers(figure)
    assert set(found) == {"k", "panel 2, q, x", "panel 2, q, y"}
    assert np.isnan(found["k"]).sum() == 3 and np.nanmax(found["k"]) == 11
    assert found["panel 2, q, y"].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("count", "names"),
    [(1, ["worst"]), (2, ["best", "worst"]), (3, ["best", "median", "worst"]), (4, None)],
)
def test_a_sample_is_shown_once(count, names):
    _, shown = one(SPREADS, heated, 1.0)
    samples = [dataclasses.replace(shown, squared_error=float(-k)) for k in range(count)]
    found = Evaluation.ranked(types.SimpleNamespace(samples=samples))
    assert list(found) == (names or ["best", "median", "worst"])
    assert len({id(each) for each in found.values()}) == len(found)
    assert found["worst"].squared_error == 0


def test_the_page_says_what_was_drawn(spreading):
    page = (spreading / "report.html").read_text()
    assert re.search(r"Params: a = [\d.]+ \[m\^2/s\]", page)
    assert "Output mean: " in page
    assert "over time" in page and "in S: dt(T) = a*lap(T) + q" in page
    data = json.loads(re.search(r'id="frames">(.*?)</script>', page, re.S)[1])
    assert set(data["samples"]) == {"best", "median", "worst"}


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_page_plays_zooms_and_says_values_in_a_browser(spreading, tmp_path):
    with opened(spreading / "report.html", tmp_path) as page:
        page.wait("document.querySelectorAll('[data-ready]').length === 3")
        assert page.value("document.querySelectorAll('.slices canvas').length") == 3 * 3 * 5
        page.value(
            """
            var box = document.querySelector('[data-viewer=worst]');
            var canvas = box.querySelector('.panels canvas'), slider = box.querySelector('input');
            var pixels = () => Array.from(
                canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
            ).reduce((a, v, k) => (31 * a + v) % 1000003, 7);
            var at = (name, more) => {
                const area = canvas.getBoundingClientRect();
                const x = area.left + area.width / 2, y = area.top + area.height / 2;
                const middle = {clientX: x, clientY: y};
                canvas.dispatchEvent(new (name === 'wheel' ? WheelEvent : MouseEvent)(
                    name, {...middle, ...more, bubbles: true, cancelable: true}));
            }; 0
            """
        )
        at_end, last = page.value("pixels()"), page.value("slider.value")
        page.value("box.querySelector('button').click()")
        page.wait(f"slider.value !== '{last}'")
        page.value("box.querySelector('button').click()")  # pause
        assert page.value("box.querySelector('button').textContent") == "play"
        assert page.value("pixels()") != at_end
        page.value("slider.value = 8; slider.dispatchEvent(new Event('input'))")
        assert "t = 1" in page.value("box.querySelector('.player output').textContent")
        before = page.value("pixels()")
        page.value("at('mousemove')")
        said = page.value("box.querySelector('.under').textContent")
        assert re.fullmatch(r"T \[K\], operator: x = \S+, y = \S+, value \S+", said), said
        page.value("at('wheel', {deltaY: -100})")
        assert page.value("pixels()") != before
        page.value("at('dblclick')")
        assert page.value("pixels()") == before
        links = page.value("[...document.querySelectorAll('a[download]')].map((a) => a.href)")
        assert all(Path(each.removeprefix("file://")).is_file() for each in links) and links
        assert (
            page.value(
                "[...document.querySelectorAll('section.card:not(.equations) > img')]"
                ".filter((each) => !each.parentElement.querySelector('a[download]')).length"
            )
            == 0
        )  # the numbers behind every picture
        assert page.complaints == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_body_in_space_is_gone_through_plane_by_plane_in_a_browser(tmp_path, monkeypatch):
    monkeypatch.setattr("compiler.report.solid.has_pyvista", lambda: False)
    monkeypatch.setattr("compiler.report.samples.has_pyvista", lambda: False)
    problem = pdespec.parse(BALL, source="ball.pde")
    model = compiler.build(
        problem,
        "gino",
        latent=(8, 8, 8),
        modes=2,
        hidden=4,
        layers=1,
        kernel_options={"hidden": (8,)},
    )
    points = {"interior": 8, "boundary": 8, "operator": 16}
    options = compiler.TrainOptions(steps=1, batch=1, points=points, validation=0)
    run = compiler.train(problem, model, options, tmp_path / "run")
    compiler.evaluate(run.directory, samples=1, resolution=4)
    with opened(tmp_path / "run" / "report.html", tmp_path / "profile") as page:
        page.wait("document.querySelectorAll('[data-ready]').length === 1")  # one sample, once
        said = "document.querySelector('.player output').textContent"
        assert page.value(said) in ("z = 0", "z = -0")  # the plane in the middle comes first
        page.value(
            "var slider = document.querySelector('.player input');"
            "slider.value = 0; slider.dispatchEvent(new Event('input'))"
        )
        assert float(page.value(said).removeprefix("z = ")) == pytest.approx(-16 / 17, abs=1e-3)
        assert page.value("document.querySelectorAll('.slices canvas').length") == 3 * 5
        links = page.value("[...document.querySelectorAll('a[download]')].map((a) => a.href)")
        assert {"worst.npz", "worst.vtu"} <= {each.rpartition("/")[2] for each in links}
        assert "pip install" in page.value("document.body.textContent")
        assert page.complaints == []
