"""The command line: what each command does, and one clear message with the right exit code for
every mistake."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler.commands import call, contents

EXAMPLES = Path(__file__).parents[2] / "examples"
POISSON = str(EXAMPLES / "nonlinear_poisson.pde")
TINY = [
    f"--set={word}"
    for word in (
        "model.latent=[10,10] model.modes=3 model.hidden=4 model.layers=1 points.interior=16"
        " points.boundary=8 points.operator=32 batch=2 validation=2 references=1 steps=4"
        " validate_every=2 checkpoint_every=1"
    ).split()
]
BROKEN = """problem broken
space x
domain L = interval(0, 1)
unknown u : scalar on L
in L:
    lap(u) = nuu
on boundary(L): u = 0
"""
SQUARE = """problem square
space x, y
domain S = rectangle([0, 0], [1, 1])
unknown u : scalar on S
in S: lap(u) = 4
on boundary(S): u = x^2 + y^2
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "poisson"
    result = call("train", POISSON, "--out", directory, *TINY)
    assert result.exit_code == 0, result.stderr
    return directory


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_problem_is_trained_and_evaluated_from_the_command_line(trained):
    result = call("evaluate", trained, "--samples", 2)
    assert result.exit_code == 0, result.stderr
    assert "relative L2 error" in result.stdout and "report.html" in result.stdout
    stored = json.loads((trained / "evaluation.json").read_text())
    assert stored["samples"] == 2 and 0 < stored["relative_l2"]["mean"] < 10
    assert {each.name for each in trained.iterdir()} >= {
        "problem.pde",
        "run.json",
        "history.csv",
        "checkpoints",
        "pictures",
        "report.html",
    }
    record = json.loads((trained / "run.json").read_text())
    assert record["preset"] == "demo" and record["model"]["options"]["latent"] == [10, 10]


def test_a_finished_run_resumes_to_nothing(trained):
    before = contents(trained / "checkpoints")
    result = call("train", POISSON, "--out", trained, "--resume")
    assert result.exit_code == 0, result.stderr
    assert contents(trained / "checkpoints") == before


def test_control_c_saves_says_how_to_go_on_and_ends_with_130(workplace, monkeypatch):
    loop = importlib.import_module("compiler.training.loop")

    def interrupting(training, state):
        if state.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return take_step(training, state)

    take_step = loop.take_step
    with monkeypatch.context() as patched:
        patched.setattr(loop, "take_step", interrupting)
        result = call(
            "train", POISSON, *TINY, "--set=validation=0", "--set=references=0", "--set=dual=none"
        )
    assert result.exit_code == 130
    assert "stopped at step 3 of 4; runs/nonlinear_poisson continues with --resume" in result.stderr
    result = call("train", POISSON, "--resume")
    assert result.exit_code == 0, result.stderr
    assert "trained 4 of 4 steps" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["check", "missing.pde"], 1, "missing.pde: No such file"),
        (["train", "missing.pde"], 1, "missing.pde: No such file"),
        (["train", "broken.pde"], 1, "broken.pde:6:14: error S01"),
        (["solve", "broken.pde"], 1, "error S01"),
        (["explain", "broken.pde"], 1, "error S01"),
        (
            ["explain", POISSON, "--derivatives", "tailor"],
            2,
            "no derivative backend 'tailor'; did you mean 'taylor'?",
        ),
        (["train", POISSON, "--preset", "dmo"], 2, "unknown preset 'dmo'; did you mean 'demo'?"),
        (
            ["train", POISSON, "--set", "stpes=3"],
            2,
            "unknown option 'stpes'; did you mean 'steps'?",
        ),
        (["train", POISSON, "--set", "steps"], 2, "--set steps: write --set key=value"),
        (["train", POISSON, "--set", "steps=soon"], 2, "option steps = 'soon' should be int"),
        (["train", POISSON, "--set", "model.latnt=[8,8]"], 2, "`latnt`; did you mean `latent`?"),
        (["train", POISSON, "--set", "operator=gnio"], 2, "did you mean 'gino'"),
        (["train", POISSON, "--set", "optimizer=adamm"], 2, "no optimizer 'adamm'"),
        (
            ["train", POISSON, "--set", "weights.eq9=2"],
            2,
            "no term and no kind of term is called `eq9`",
        ),
        (["train", POISSON, "--set", "model.modes=40"], 2, "modes"),
        (
            ["train", POISSON, "--set", "model.latent=8"],
            2,
            "latent = 8 should be a list, a number of nodes for each axis",
        ),
        (
            ["train", POISSON, "--set", "model.hidden=0"],
            2,
            "hidden = 0 should be a whole number from 1",
        ),
        (
            ["train", POISSON, "--set", "model.layers=-1"],
            2,
            "layers = -1 should be a whole number from 1",
        ),
        (["train", POISSON, "--set", "model.box=[[0, 0], [1, 1]]"], 2, "does not hold the domain"),
        (["train", POISSON, "--set", "optimizer_options.betas=3"], 2, "betas = 3"),
        (
            ["train", POISSON, "--set", "schedule_options.floor=nan"],
            2,
            "floor is a number from 0 to 1",
        ),
        (["train", POISSON, "--set", "schedule_options.floor=NaN"], 2, "should be a finite number"),
        (["check", "/dev/zero"], 1, "/dev/zero is not a regular file"),
        (["train", POISSON, "--derivatives", "tailor"], 2, "taylor"),
        (["train", POISSON, "--out", "full"], 1, "full is not empty"),
        (["explain", POISSON, "--stage", "grph"], 2, "did you mean 'graph'?"),
        (["evaluate", "nothing"], 1, "nothing holds no run (run.json is missing)"),
        (["evaluate", "full"], 1, "full holds no run"),
        (["compare", "missing.pde"], 1, "missing.pde: No such file"),
        (["evaluate", "full", "--checkpoint", "first"], 2, "unknown checkpoint 'first'"),
        (["new", "3bodies"], 2, "'3bodies' is not a name for a problem"),
        (["new", "broken"], 2, "broken.pde exists already"),
        (["frobnicate"], 2, "No such command"),
        (["train"], 2, "Missing argument"),
    ],
)
def test_a_mistake_gives_one_message_and_its_exit_code_and_changes_nothing(
    words, code, message, workplace
):
    (workplace / "full").mkdir()
    (workplace / "full" / "notes.txt").write_text("mine")
    (workplace / "broken.pde").write_text(BROKEN)
    before = contents(workplace)
    result = call(*words)
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert message in result.stderr
    assert result.stdout == "" and "Traceback" not in result.stderr
    assert contents(workplace) == before


def test_a_taken_directory_is_named_with_the_way_out(trained):
    before = contents(trained)
    result = call("train", POISSON, "--out", trained)
    assert (
        result.exit_code == 1 and "already holds a run; continue it with --resume" in result.stderr
    )
    assert contents(trained) == before


def test_what_cannot_change_on_resuming_is_refused(trained):
    assert (
        "was started with preset demo, not small"
        in call("train", POISSON, "--out", trained, "--resume", "--preset", "small").stderr
    )
    result = call("train", POISSON, "--out", trained, "--resume", "--set", "model.hidden=8")
    assert (
        result.exit_code == 2
        and "model.hidden cannot change when a run is resumed" in result.stderr
    )
    result = call("train", EXAMPLES / "burgers.pde", "--out", trained, "--resume")
    assert result.exit_code == 1 and "trains another problem than this `burgers`" in result.stderr
    before = contents(trained)
    result = call("train", POISSON, "--out", trained, "--resume", "--set", "optimizer=adam")
    assert (
        result.exit_code == 2
        and "optimizer cannot change when a run is resumed: it was 'soap', not 'adam'"
        in result.stderr
    )
    assert contents(trained) == before
    result = call(
        "train",
        POISSON,
        "--out",
        trained,
        "--resume",
        "--set",
        "optimizer=soap",
        "--set",
        "model.hidden=4",
    )
    assert result.exit_code == 0, result.stderr


def test_damaged_files_of_a_run_are_named(trained, tmp_path):
    import shutil

    for name, message in (
        ("checkpoints/last.safetensors", "last.safetensors is damaged"),
        ("run.json", "run.json is damaged"),
        ("problem.pde", "problem.pde:1:1: error S02"),
    ):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(trained, copy)
        (copy / name).write_bytes(b"\x00" + (copy / name).read_bytes()[:-7])
        before = contents(copy)
        for words in (["evaluate", copy], ["train", POISSON, "--out", copy, "--resume"]):
            result = call(*words)
            assert result.exit_code == 1, (words, result.stderr)
            assert message in result.stderr
        assert contents(copy) == before


def test_check_says_what_a_problem_is():
    result = call("check", POISSON)
    assert result.exit_code == 0, result.stderr
    for expected in (
        "nonlinear_poisson",
        "u : scalar on Omega",
        "f : scalar on Omega",
        "c1 ~ uniform(-0.2, 0.2)",
        "u, dx(u), dy(u), dxx(u), dyy(u)",
        r"\nabla",
    ):
        assert expected in result.stdout


@pytest.mark.parametrize(
    "name", ["burgers", "lid_cavity", "hyperelastic_pores", "inverse_diffusivity"]
)
def test_check_knows_time_systems_energies_and_trainables(name):
    result = call("check", EXAMPLES / f"{name}.pde")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--degree", "1", "--cell", "brick"], 0, "solved"),
        (
            ["--degree", "3", "--cell", "brick"],
            1,
            "no Lagrange element of degree 3 on a quadrilateral",
        ),
        (["--cell", "quad"], 1, "cell is 'simplex' or 'brick', not 'quad'"),
        (["--mesh", "none.msh"], 1, "no mesh file none.msh"),
    ],
)
def test_solve_takes_the_elements_asked_for(workplace, words, code, says):
    Path("square.pde").write_text(SQUARE)
    result = call("solve", "square.pde", "--resolution", "2", *words)
    assert result.exit_code == code
    assert says in result.stdout + result.stderr


def test_solve_takes_the_scheme_asked_for(workplace):
    asked = ["--resolution", 4, "--steps", 2, "--scheme"]
    assert "scheme is one of" in call("solve", EXAMPLES / "heat.pde", *asked, "euler").stderr
    assert call("solve", EXAMPLES / "heat.pde", *asked, "midpoint").exit_code == 0


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("residuals", "dxx(u)"),
        ("derivatives", "u: u, dx(u)"),
        ("plan", "streams"),
        ("graph", "return"),
        ("variation", "no energy"),
        ("weak", "u: P_k, continuous of the main degree"),
        ("weak", "DirichletBC(V, project(g, V), part(lambda x: True), 1)"),
    ],
)
def test_explain_shows_a_stage(stage, expected):
    result = call("explain", POISSON, "--stage", stage)
    assert result.exit_code == 0, result.stderr
    assert expected in result.stdout


def test_explain_derives_the_natural_conditions_of_an_energy():
    result = call("explain", EXAMPLES / "hyperelastic_pores.pde", "--stage", "variation")
    assert result.exit_code == 0, result.stderr
    assert "n.X*P.XX + n.Y*P.XY = 0" in result.stdout


def test_backends_are_compared_on_a_run(trained):
    result = call("compare", trained, "--derivatives", "autograd,taylor")
    assert result.exit_code == 0, result.stderr
    assert (
        "autograd" in result.stdout and "taylor" in result.stdout and "fourier" not in result.stdout
    )
    result = call("compare", trained, "--derivatives", "autograd,tailor")
    assert result.exit_code == 2 and "did you mean 'taylor'?" in result.stderr


def test_a_new_problem_checks_and_solves(workplace):
    assert call("new", "plate").exit_code == 0
    result = call("check", "plate.pde")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    result = call("solve", "plate.pde", "--resolution", 8)
    assert result.exit_code == 0, result.stderr
    assert (workplace / "runs" / "plate-reference" / "solution.png").stat().st_size > 10_000


SMALL = """problem small
space x
domain L = interval(0, 1)
param K ~ uniform(1.2345e-7, 1.2346e-7) [m^2/s]
unknown h : scalar on L
in L: -div(K*grad(h)) = K*exp(-((x - 0.5)/0.02)^2)*1e3
on boundary(L): h = 0
"""


def test_solve_says_small_params_by_their_digits_and_what_to_do_about_a_coarse_mesh(workplace):
    (workplace / "small.pde").write_text(SMALL)
    coarse = call("solve", "small.pde", "--resolution", 8)
    assert coarse.exit_code == 0, coarse.stderr
    assert re.search(r"^K = 1\.234\d+e-07 \[m\^2/s\]$", coarse.stdout, re.M), coarse.stdout
    assert "--tolerance 0.01" in coarse.stderr
    fine = call("solve", "small.pde", "--tolerance", 0.01)
    assert fine.exit_code == 0 and "--tolerance" not in fine.stderr, fine.stdout


LID = """problem lid
space x, y
time t in [0, 0.1]
domain D = rectangle([0, 0], [1, 1])
boundary top = side(D, y = 1), walls = rest(D)
unknown v : vector on D, p : scalar on D
in D: dt(v) + advect(v, v) + grad(p) = 0.1*lap(v); div(v) = 0
on top: v = [1, 0]
on walls: v = 0
at t = 0: v = 0
require integral(p, D) = 0
"""


def test_a_coarse_mesh_of_a_solver_without_tolerances_is_told_of_resolution_alone(workplace):
    (workplace / "lid.pde").write_text(LID)
    coarse = call("solve", "lid.pde", "--resolution", 16, "--method", "auto")
    assert coarse.exit_code == 0, coarse.stderr
    assert "by --resolution\n" in coarse.stderr and "--tolerance" not in coarse.stderr


def test_a_warning_of_ours_is_about_the_problem_and_others_say_where_they_are_from(tmp_path):
    said = script(
        "import sys, warnings, compiler.cli as cli\n"
        "from compiler.fem.errors import SolverWarning\n"
        "def warned():\n"
        "    warnings.warn('it is doubtful', SolverWarning)\n"
        "    warnings.warn('it is old', DeprecationWarning)\n"
        "warnings.simplefilter('always')\n"
        "sys.stderr = cli.err.file = sys.stdout\n"
        "cli.app = warned\ncli.main()\n",
        tmp_path,
    )
    assert said.splitlines()[0] == "warning: it is doubtful"
    assert "DeprecationWarning: it is old" in said


def test_what_an_answer_needs_is_asked_for_in_words_of_the_command_line(trained):
    for name in ("predict", "finetune"):
        result = call(name, trained, "--params", "c1=0.1", "--inputs", "g=0")
        assert result.exit_code == 2
        assert "add --params c2=.. --inputs f=.." in result.stderr, result.stderr


def test_solve_writes_a_picture_and_the_solution_for_paraview(workplace):
    meshio = pytest.importorskip("meshio")
    (workplace / "square.pde").write_text(SQUARE)
    result = call("solve", "square.pde", "--out", "out", "--resolution", 4)
    assert result.exit_code == 0, result.stderr
    assert "out/solution.png, out/solution.vtu" in result.stdout
    read = meshio.read(workplace / "out" / "solution.vtu")
    x, y, _ = read.points.T
    assert read.point_data["u"].ravel() == pytest.approx(x**2 + y**2, abs=1e-8)


def script(code: str, folder: Path) -> str:
    """What a Python program prints in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_solving_loads_what_it_needs_and_draws_after_it_has_answered(tmp_path):
    """No training, statistics, splines, file formats, meshers or scenes; garbage is collected."""
    (tmp_path / "p.pde").write_text(
        "problem p\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
        "in L: -dxx(u) = 1\non boundary(L): u = 0\noutput mean := integral(u, L)\n"
    )
    said = script(
        "import gc, sys\nfrom importlib.abc import MetaPathFinder\n"
        "class Watch(MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'matplotlib': print('matplotlib is loaded', flush=True)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "sys.argv = ['pdespec', 'solve', 'p.pde', '--out', 'found']\n"
        "import compiler.cli\n"
        "try: compiler.cli.main()\nexcept SystemExit as end: assert not end.code\n"
        "unneeded = {'lightning_fabric', 'torch._dynamo', 'torch._inductor', 'scipy.stats',"
        " 'scipy.interpolate', 'scipy.optimize', 'h5py', 'pandas', 'xarray', 'meshio', 'netgen',"
        " 'vtk', 'pyvista', 'optuna', 'onnx', 'compiler.training.loop'}\n"
        "assert not unneeded & set(sys.modules), unneeded & set(sys.modules)\n"
        "assert gc.isenabled()",
        tmp_path,
    )
    assert said.index("mean = 0.0833") < said.index("error of u") < said.index("matplotlib is")
    assert said.rstrip().endswith("found/solution.png, found/solution.vtu")
    assert (tmp_path / "found" / "solution.png").is_file()


def test_garbage_is_not_collected_while_packages_are_loaded(tmp_path):
    """And what was loaded is hidden from the collector in the command's own process alone."""
    said = script(
        "import gc, compiler.cli as cli\n"
        "def seen():\n"
        "    with cli._loading():\n"
        "        with cli._loading(): inner = gc.isenabled()\n"
        "        outer = gc.isenabled()\n"
        "    return inner, outer, gc.isenabled(), gc.get_freeze_count() > 0\n"
        "print(seen()); cli._alone = True; print(seen())",
        tmp_path,
    )
    assert said.splitlines() == ["(False, False, True, False)", "(False, False, True, True)"]


def test_check_and_help_load_no_torch():
    script = (
        "import sys; from typer.testing import CliRunner; from compiler.cli import app\nassert"
        f" CliRunner().invoke(app, ['check', {POISSON!r}]).exit_code == 0\nassert"
        " CliRunner().invoke(app, ['train', '--help']).exit_code == 0\nassert not {'torch',"
        " 'matplotlib', 'skfem', 'lightning_fabric'} & set(sys.modules), 'loaded'"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_version_is_said_with_those_of_the_libraries():
    found = call("--version")
    assert found.exit_code == 0
    assert found.output.startswith("pdespec 0.1.0, torch ") and "sympy" in found.output
