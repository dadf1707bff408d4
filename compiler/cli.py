"""The command line. Torch is imported by the commands that compute, so that `check` and `--help`
answer at once.

Exit codes: 0 done, 1 the problem or its data is wrong, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from compiler.prediction.answers import Answer
    from compiler.training.dry_run import Rehearsal
    from compiler.training.progress import Display
    from compiler.training.start import Start
    from pdespec.statements.problem import Problem

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Layer = Mapping[str, Any]  # options by the keys of --set

COARSE = 0.02  # estimated relative error of a solution that is worth a remark
STAGES = ("residuals", "variation", "weak", "derivatives", "graph", "plan")

File = Annotated[Path, typer.Argument(metavar="FILE", help="a problem, as text (.pde)")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="the directory of a run")]
Workers = Annotated[
    int, typer.Option(min=1, metavar="N", help="processes that share the solving of samples")
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="of a Dask scheduler, whose workers are taken instead"),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="of solving, e.g. finite_elements; by default the first that takes the problem",
    ),
]
Params = Annotated[
    list[str] | None,
    typer.Option("--params", metavar="NAME=NUMBER", help="a param, once for each"),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--inputs",
        metavar="NAME=NUMBER|FILE",
        help="an input function: a number, or a file (docs/data.md)",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="an option of the run or model.NAME"),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="continue the run in DIR where there is one")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="plain lines instead of a progress bar")]


def _version(asked: bool) -> None:
    from importlib.metadata import version

    if asked:
        names = ("pdespec", "torch", "sympy", "scikit-fem")
        out.print(", ".join(f"{name} {version(name)}" for name in names), markup=False)
        raise typer.Exit


@app.callback()
def _before(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="of this and of the libraries below"
        ),
    ] = False,
) -> None:
    """Declare a partial differential equation, train a neural operator on it, and measure how wrong
    it is."""


class Usage(Exception):
    """The command was called in a way it cannot be; the text says how it can."""


def _solver(method: str | None) -> str | None:
    """The name of a reference solver. Raises: Usage where there is none of it."""
    if method not in (None, "auto"):
        from compiler.solvers import SOLVERS

        try:
            SOLVERS[method]
        except KeyError as reason:
            raise Usage(str(reason.args[0])) from None
    return method


_alone = False  # whether this process is the command, and ends with it


def main() -> None:
    """The `pdespec` command."""
    global _alone
    _alone = True
    if os.environ.get("RANK", "0") != "0":  # under torchrun; torch reads it when it is imported
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    shown = warnings.showwarning

    def say(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        """Our own warnings are about the problem, not about a line of this program."""
        if category.__module__.partition(".")[0] in ("pdespec", "operators", "compiler"):
            _say(f"warning: {message}")
        else:
            shown(message, category, *place, **more)

    warnings.showwarning = say
    try:
        app()
    finally:
        gc.freeze()  # what ends with the process need not be searched for what could be freed


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """For imports: the collector of garbage rests, which otherwise looks through all that was
    loaded, again and again, a fifth of the time of `solve`; what is loaded then stays out of its
    sight."""
    resting = not gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _alone:
            gc.freeze()
        if not resting:
            gc.enable()


def command(name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command whose mistakes end as one message on stderr and an exit code."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def guarded(*arguments: Any, **options: Any) -> None:
            from compiler.training.options import OptionError
            from pdespec.errors import PdespecError, ProblemError

            # what all processes of a node find is said by the first of them
            say = _say if os.environ.get("LOCAL_RANK", "0") == "0" else _hush
            try:
                function(*arguments, **options)
            except KeyboardInterrupt as stopped:
                say(str(stopped) or "interrupted")
                raise typer.Exit(130) from None
            except (OptionError, Usage) as error:
                say(f"usage: {error}")
                raise typer.Exit(2) from None
            except ProblemError as error:
                say(str(error))
                raise typer.Exit(1) from None
            except PdespecError as error:
                if not getattr(error, "said", False):  # by another process
                    _say(f"error: {error}")
                raise typer.Exit(1) from None
            except OSError as error:
                _say(
                    f"error: {error.filename or ''}: {error.strerror or error}".replace(
                        "error: : ", "error: "
                    )
                )
                raise typer.Exit(1) from None

        return app.command(name)(guarded)

    return register


def _load(file: Path) -> Problem:
    """The problem in a file. Symbolic mathematics is loaded first."""
    with _loading():
        import pdespec

        return pdespec.load(file)


def _hush(text: str) -> None:
    """Says nothing."""


def _say(text: str) -> None:
    from pdespec.errors import visible

    err.print(visible(text), markup=False)


def _display(quiet: bool) -> Display:
    from compiler.training.progress import Bar, Lines

    return Bar(err) if err.is_terminal and not quiet else Lines(err)


@command()
def check(file: File) -> None:
    """Read a problem and say everything that is wrong with it, or what it is."""
    with _loading():
        from pdespec.text.write.summary import summary

        problem = _load(file)
    for warning in problem.warnings:
        _say(f"{warning}\n")
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, lines in (*summary(problem), *_meshes(problem), *_files(problem)):
        table.add_row(title, Text("\n".join(lines)))
    out.print(table)
    out.print()
    out.print(problem.to_latex(), markup=False)


def _meshes(problem: Problem) -> list[tuple[str, list[str]]]:
    """What mesh files hold; without one nothing that computes is loaded."""
    from pdespec.geometry import meshes

    if not any(meshes(domain.shape) for domain in problem.domains.values()):
        return []
    from compiler.fem.meshing import mesh_report

    lines = mesh_report.report(problem)
    for warning in mesh_report.warnings(problem):
        _say(f"{warning}\n")
    return [("meshes", lines)]


def _files(problem: Problem) -> list[tuple[str, list[str]]]:
    """What files of measured values hold, or that they are not there."""
    from compiler.measurements.named import sources

    if not sources(problem):
        return []
    from compiler.measurements.measured import report

    return [("files", report(problem))]


@command()
def explain(
    file: File,
    stage: Annotated[
        str | None, typer.Option(help=f"one of {', '.join(STAGES)}; all of them by default")
    ] = None,
    derivatives: Annotated[str, typer.Option(help="the derivative backend to plan for")] = "auto",
) -> None:
    """Show what the compiler makes of a problem: residuals, variations, weak form, derivatives,
    residual graph, derivative plan."""
    from pdespec.errors import suggestion

    if stage is not None and stage not in STAGES:
        raise Usage(
            f"unknown stage {stage!r}; "
            + suggestion(stage, STAGES, f"stages: {', '.join(STAGES)}", quote="'")
        )
    problem = _load(file)
    if derivatives != "auto":
        _known_backends([derivatives])
    for each in STAGES if stage is None else (stage,):
        lines = _explain(problem, each, derivatives)
        if stage is None:
            out.print(f"[bold]{each}[/bold]")
        out.print("\n".join(lines) + "\n" * (stage is None), markup=False)


def _known_backends(names: list[str]) -> None:
    from compiler.lowering.selection import backend_name

    try:
        for each in names:
            backend_name(each)
    except KeyError as error:
        raise Usage(str(error)) from error


def _explain(problem: Problem, stage: str, derivatives: str) -> list[str]:
    from pdespec.text.write.summary import STAGES as SYMBOLIC
    from pdespec.text.write.summary import explain as explained

    if stage in SYMBOLIC:
        return explained(problem, stage)
    if stage == "weak":
        from compiler.fem import NoWeakForm, weak_form
        from compiler.fem.export.ufl import report

        try:
            return report(weak_form(problem))
        except NoWeakForm as missing:
            return [f"no weak form: {missing}", *_reference(problem)]
    from compiler.loss.physics import compile

    loss = compile(problem, derivatives)
    if stage == "plan":
        return [str(loss.plan())]
    return [loss.explain(), *_reference(problem), *_data_terms(problem)]


def _reference(problem: Problem) -> list[str]:
    """The solver that makes reference solutions, where it is not that of finite elements."""
    from compiler.solvers import FINITE_ELEMENTS, candidates

    first = candidates(problem)[0]
    return [] if first == FINITE_ELEMENTS else [f"\nreference solution by method={first!r}"]


def _data_terms(problem: Problem) -> list[str]:
    """What training adds to the terms of the loss for measured data."""
    from compiler.measurements.measured import labels

    return [
        f"\n{label}: mean over rows of weight |found - measured|^2 / size^2 on"
        f" {each.region.name}, from {each.source}"
        for label, each in zip(labels(problem), problem.data, strict=True)
    ]


@command()
def train(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="a problem (.pde), or a run as a file (.toml)")
    ],
    out_: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="where the run goes; runs/NAME by default"),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="demo (the default), small, paper or none")
    ] = None,
    derivatives: Annotated[str | None, typer.Option(help="auto, or a derivative backend")] = None,
    settings: Settings = None,
    resume: Resume = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="say every option and where it is from; train nothing"),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train an operator on the physics of a problem alone."""
    with _loading():
        from compiler.training.runs import refuse_occupied

    words = _pairs("--set", settings or [])
    if derivatives is not None:
        words["derivatives"] = derivatives
    problem, directory, name, given = _asked(file, preset, words, out_)
    begun = _resumed(directory, preset, given) if resume else None
    if begun is None:
        if _is_rank_zero():
            refuse_occupied(directory)
        begun = name, _started(name, given)
    name, start = begun

    with _loading():
        from compiler.measurements.measured import refuse_wrong_files
        from compiler.training.loop import train as run_training
        from compiler.training.progress import Silent

    refuse_wrong_files(problem)
    model = _built(problem, start.operator, {"seed": start.options.seed, **start.model})
    display = _display(quiet) if _is_rank_zero() and not dry_run else Silent()
    with _worded():
        if dry_run:
            from compiler.training.dry_run import rehearse

            _print_rehearsal(rehearse(problem, model, start, directory, display))
            return
        from compiler.batches.recipe import Recipe

        run = run_training(
            problem,
            model,
            start.options,
            directory,
            resume=resume,
            recipe=Recipe(start.operator, start.model),
            preset=name,
            display=display,
        )
    if _is_rank_zero():
        options = start.options
        state = "trained" if run.finished else "stopped; --resume continues:"
        if not run.finished and options.seconds is not None:
            state = f"stopped; --resume continues, with more `seconds` than {options.seconds:g}:"
        out.print(
            f"{state} {run.step} of {options.steps} steps; next: pdespec evaluate {directory}",
            markup=False,
        )


def _asked(
    file: Path, preset: str | None, words: Layer, out_: Path | None
) -> tuple[Problem, Path, str, dict[str, Layer]]:
    """What a command and the file it may name ask for: the problem, the directory, the preset, and
    options by where they come from."""
    from compiler.training.run_file import read_run_file
    from compiler.training.start import COMMAND_LINE

    if file.suffix != ".toml":
        problem = _load(file)
        return problem, out_ or Path("runs") / problem.name, preset or "demo", {COMMAND_LINE: words}
    asked = read_run_file(file)
    problem = asked.load()
    directory = out_ or asked.out or Path("runs") / problem.name
    layers = {str(file): asked.settings, COMMAND_LINE: words}
    return problem, directory, preset or asked.preset or "demo", layers


def _started(name: str, layers: dict[str, Layer]) -> Start:
    """What a new run begins with."""
    from compiler.training.presets import preset
    from compiler.training.start import start

    return start(preset(name), f"preset {name}", layers)


def _resumed(
    directory: Path, preset: str | None, layers: dict[str, Layer]
) -> tuple[str | None, Start] | None:
    """The preset of the run in a directory, and what it goes on with; None where there is none."""
    from compiler.training.checkpoint import as_begun
    from compiler.training.presets import Preset
    from compiler.training.runs import RunError, holds_run, open_run
    from compiler.training.start import start

    if not holds_run(directory):
        return None
    run = as_begun(open_run(directory))
    if run.recipe is None:
        raise RunError(
            f"{directory} was trained from Python and does not say how its model was built;"
            " resume it there"
        )
    if preset is not None and run.preset != preset:
        raise Usage(
            f"{directory} was started with preset {run.preset}, not {preset}; leave --preset"
            " out to resume it"
        )
    basis = Preset("", run.recipe.operator, run.recipe.options, run.options)
    found = start(basis, f"run {directory}", layers)
    if found.operator != run.recipe.operator:
        raise Usage(f"operator cannot change when a run is resumed: it is {run.recipe.operator}")
    for key, value in found.model.items():
        if key not in run.recipe.options or run.recipe.options[key] != value:
            raise Usage(
                f"model.{key} cannot change when a run is resumed: it is"
                f" {run.recipe.options.get(key, 'not given')}"
            )
    return run.preset, found


@contextlib.contextmanager
def _worded() -> Iterator[None]:
    """Turns the KeyError of a term or a backend that does not exist into a fault of the command;
    another one is a fault of the program."""
    try:
        yield
    except KeyError as error:
        if " " not in str(error.args[0]):
            raise
        raise Usage(str(error.args[0])) from error


def _print_rehearsal(found: Rehearsal) -> None:
    """Every option with its value and where it comes from, then what is fitted by rule."""
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    for title in ("option", "value", "from"):
        table.add_column(title, overflow="fold", no_wrap=title == "option")
    for row in found.rows:
        value = "none" if row.value is None else str(row.value)
        table.add_row(row.key, value, f"{row.origin}{': ' * bool(row.rule)}{row.rule}")
    out.print(table)
    for subject, rule in found.rules.items():
        out.print(f"{subject}: {rule}", markup=False)
    out.print("nothing was trained: --dry-run", markup=False)


@command()
def options(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="all by default")
    ] = None,
) -> None:
    """Say what the options of a training are for, and what they are by default."""
    import dataclasses

    from compiler.training.field_texts import field_texts
    from compiler.training.options import TrainOptions, renamed, with_settings

    texts, defaults = field_texts(TrainOptions), dataclasses.asdict(TrainOptions())
    asked = list(renamed(dict.fromkeys(name.partition(".")[0] for name in names or texts)))
    if {"model", "operator"} & set(asked):
        raise Usage(
            "`operator` and `model.NAME` are what `compiler.build` takes, by operator: see"
            " docs/operators.md; `pdespec train FILE --dry-run` prints them all for a problem"
        )
    for name in asked:
        with_settings(TrainOptions(), {name: defaults.get(name)})  # refuses what does not exist
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("option", "default", "what it is"):
        table.add_column(title, overflow="fold", no_wrap=title == "option")
    for name in asked:
        default = defaults[name]
        table.add_row(name, "none" if default is None else str(default), texts[name])
    out.print(table)


def _built(problem: Problem, operator: str, options: dict[str, Any]) -> Any:
    """`compiler.build`, whose complaints about options are about the command's words."""
    from compiler.batches.build import build

    try:
        return build(problem, operator, **options)
    except (KeyError, TypeError) as error:
        raise Usage(str(error.args[0])) from error
    except (RuntimeError, ArithmeticError, IndexError, AttributeError, MemoryError) as error:
        given = ", ".join(
            f"model.{name} = {value!r}" for name, value in options.items() if name != "seed"
        )
        raise Usage(
            f"no {operator} can be built with {given or 'these options'}:"
            f" {error or type(error).__name__}"
        ) from error
    except ValueError as error:
        from pdespec.errors import ProblemError

        if isinstance(error, ProblemError):
            raise
        raise Usage(str(error)) from error


def _is_rank_zero() -> bool:
    from compiler.training.runs import is_rank_zero

    return is_rank_zero()


@command()
def evaluate(
    directory: Directory,
    samples: Annotated[int, typer.Option(min=1, help="held-out samples")] = 32,
    checkpoint: Annotated[str, typer.Option(help="last, best or step-N")] = "last",
    resolution: Annotated[int | None, typer.Option(min=1, help="of the reference solver")] = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
) -> None:
    """Measure a run against the reference solver on held-out samples; write evaluation.json,
    pictures and report.html."""
    from compiler.training.runs import open_run

    if not re.fullmatch(r"last|best|step-\d+", checkpoint):
        raise Usage(f"unknown checkpoint {checkpoint!r}; it is last, best or step-N")
    open_run(directory)  # says what is missing before torch is loaded
    with _loading():
        from compiler.evaluation.evaluate import rows, shown
        from compiler.report.page import evaluate as run_evaluation
        from compiler.workers import Workers

    found = run_evaluation(
        directory,
        samples,
        checkpoint=checkpoint,
        resolution=resolution,
        display=_display(quiet),
        workers=Workers(workers, scheduler),
    )
    table = Table(
        title=f"{found.run.problem.name}, {len(found.samples)} held-out samples",
        title_justify="left",
    )
    for title in ("", "mean", "median", "max"):
        table.add_column(title, justify="left" if not title else "right")
    for title, values in rows(found).items():
        table.add_row(title, *(shown(title, values[key]) for key in ("mean", "median", "max")))
    out.print(table)
    seconds = found.seconds
    times = (
        f"{1e3 * seconds['operator']:.1f} ms a sample, reference"
        f" {1e3 * seconds['reference']:.0f} ms"
    )
    out.print(
        f"operator {times} ({seconds['reference'] / seconds['operator']:.2g} times as long)",
        markup=False,
    )
    for index, text in found.failures.items():
        _say(f"sample {index} was left out: {text}")
    for index, text in found.alarms.items():
        _say(f"sample {index}: {text}")
    if found.doubt:
        _say(f"warning: {found.doubt}")
    for remark in found.remarks:
        _say(f"warning: {remark}")
    out.print(f"report: {directory / 'report.html'}", markup=False)


@command()
def compare(
    target: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="a problem or a run")],
    derivatives: Annotated[
        str | None, typer.Option(help="backends, separated by commas; all by default")
    ] = None,
    out_: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="also write table and pictures there"),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="of the sample, and of the weights where no run is given")
    ] = 0,
) -> None:
    """Compare derivative backends on one problem and one field: error, time, memory."""
    if target.is_dir():
        from compiler.training.checkpoint import load_run

        run = load_run(target)
        _say_notes(run)
        problem, model = run.problem, run.model
    else:
        problem = _load(target)
        model = _built(problem, "gino", {"seed": seed})
    import torch

    from compiler.batches.sample import sample
    from compiler.comparison.compare import compare as run_comparison
    from compiler.derivatives import DERIVATIVES

    names = (
        list(DERIVATIVES)
        if derivatives is None
        else [each.strip() for each in derivatives.split(",")]
    )
    _known_backends(names)
    batch = sample(
        problem,
        1,
        generator=torch.Generator().manual_seed(seed),
        dtype=next(model.parameters()).dtype,
    )
    field = model(batch.inputs)
    table = run_comparison(problem, field, batch, derivatives=names)
    out.print(str(table), markup=False)
    if out_ is not None:
        from compiler.comparison.pictures import write_comparison

        write_comparison(out_, table, problem, field, batch)
        out.print(f"table and pictures: {out_}", markup=False)


@command("compare-runs")
def compare_runs(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="those of runs")],
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, by part, name and run")] = False,
) -> None:
    """Compare runs side by side: options that differ, losses, errors and times."""
    import json

    from compiler.evaluation.compare_runs import ABSENT
    from compiler.evaluation.compare_runs import compare_runs as run_comparison
    from compiler.training.progress import percent

    found = run_comparison(directories)
    if as_json:
        out.print(json.dumps(found.as_json(), indent=2, default=list), markup=False)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in found.runs:
        table.add_column(Text(name), overflow="fold", justify="right")
    for name, values in found.options.items():
        table.add_row(name, *(Text(ABSENT if v is None else str(v)) for v in values))
    table.add_section()
    for name, values in found.results.items():
        shown = percent if "error" in name else "{:.4g}".format
        table.add_row(name, *(ABSENT if v is None else shown(v) for v in values))
    out.print(table)


@command()
def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="a run as a file (.toml) with a [sweep.space]")
    ],
    out_: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="where trials go; runs/NAME-sweep by default"),
    ] = None,
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Train a problem many times, with options chosen by optuna from the space that the file
    states. Called again it goes on."""
    from compiler.training.run_file import read_run_file
    from compiler.training.start import COMMAND_LINE

    asked = read_run_file(file)
    problem, words = asked.load(), _pairs("--set", settings or [])
    name = asked.preset or "demo"
    directory = out_ or asked.out or Path("runs") / f"{problem.name}-sweep"
    layers = {str(file): asked.settings, COMMAND_LINE: words}

    def begin(chosen: Layer) -> Start:
        return _started(name, {**layers, "sweep.space": chosen})

    from compiler.measurements.measured import refuse_wrong_files
    from compiler.training.sweep import Sweep, shown, space_of

    space = space_of(asked.sweep)
    first = begin(space.first())
    refuse_wrong_files(problem)
    _built(problem, first.operator, {"seed": first.options.seed, **first.model})
    with _worded():
        trials = Sweep(problem, directory, space, begin, name).run(_display(quiet))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("trial", "relative error", "", *space.options):
        table.add_column(title, justify="left" if title == "trial" else "right")
    for each in trials:
        error = "-" if each.error is None else f"{100 * each.error:.3g} %"
        values = (shown(each.settings[option]) for option in space.options)
        table.add_row(each.directory.name, error, each.state, *values)
    out.print(table)
    if trials and trials[0].state == "complete":
        out.print(f"next: pdespec evaluate {trials[0].directory}", markup=False)


@command()
def finetune(
    directory: Directory,
    params: Params = None,
    inputs: Inputs = None,
    out_: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="where the run goes; DIR-finetuned by default"),
    ] = None,
    settings: Settings = None,
    checkpoint: Annotated[str, typer.Option(help="last, best or step-N")] = "last",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Train a trained operator further on one sample alone, for an answer that is less wrong."""
    from compiler.prediction.answers import load
    from compiler.training.instances import further
    from compiler.training.options import OptionError, with_settings

    words = _pairs("--set", settings or [])
    if made := [name for name in words if name == "operator" or name.startswith("model.")]:
        raise OptionError(f"{made[0]} cannot change when an operator is trained further")
    operator = load(directory, checkpoint)
    _say_notes(operator.run)
    given = _given(operator.problem, params, inputs)
    options = with_settings(further(operator.run.options, 1, bool(operator.problem.data)), words)
    asked = {name.partition(".")[0] for name in words}
    before = operator(*given)
    found = operator.finetuned(
        *given,
        out_,
        resume=resume,
        display=_display(quiet),
        **{name: getattr(options, name) for name in asked},
    )
    out.print(f"before: {_estimated(before)}", markup=False)
    out.print(f"after:  {_estimated(found(*given))}", markup=False)
    run = found.run
    out.print(
        f"trained {run.step} of {run.options.steps} steps; next: pdespec predict {run.directory}",
        markup=False,
    )


@command()
def predict(
    directory: Directory,
    params: Params = None,
    inputs: Inputs = None,
    points: Annotated[
        str, typer.Option(help="grid:N, or a file with a column for each coordinate (docs/data.md)")
    ] = "grid:64",
    out_: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help=".vtu (on a mesh), .csv, .npz, .h5 or .png; DIR/prediction.npz by default",
        ),
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="last, best or step-N")] = "last",
    error: Annotated[
        bool, typer.Option(help="estimate how wrong the answer is, without a reference")
    ] = True,
) -> None:
    """Ask a trained operator for an answer, write it to a file, and say how wrong it is."""
    with _loading():
        from compiler.prediction.answers import OutsideWarning, load

    operator = load(directory, checkpoint)
    _say_notes(operator.run)
    given = _given(operator.problem, params, inputs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OutsideWarning)
        answer = operator(*given)
        target = out_ or directory / "prediction.npz"
        files = _write_answer(answer, points, target)
        for each in caught:
            if issubclass(each.category, OutsideWarning):
                err.print(f"warning: {each.message}", markup=False)
    for name in operator.problem.outputs:
        value = answer[name]
        if not callable(value):
            out.print(f"{name} = {value}{_unit(name, operator.problem)}", markup=False)
    if error:
        out.print(_estimated(answer), markup=False)
    if operator.problem.reference_files:
        from compiler.evaluation.reference_files import run_against_files

        _print_against(run_against_files(operator.run, operator.parameter.device))
    out.print(", ".join(str(file) for file in files), markup=False)


@command()
def export(
    directory: Directory,
    to: Annotated[str, typer.Option(help="torch, aoti or onnx")] = "torch",
    out_: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help=".pt2 or .onnx; DIR/operator-FORMAT.pt2 by default"
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="that are answered at once")] = 1,
    nodes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N|NAME=N", help="of the grids of inputs along each axis, for all or one"
        ),
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="last, best or step-N")] = "last",
) -> None:
    """Write a trained operator as a program that runs without this project."""
    from compiler.prediction.answers import load
    from compiler.prediction.export.formats import FORMATS

    try:
        suffix = FORMATS[to].suffix
    except KeyError as error:
        raise Usage(str(error)) from error
    target = out_ or directory / f"operator-{to}{suffix}"
    operator = load(directory, checkpoint)
    _say_notes(operator.run)
    found = operator.export(target, to, samples=samples, nodes=_nodes(nodes or []))
    out.print(str(found), markup=False)
    out.print(f"{target}, {target}.json", markup=False)


def _nodes(words: list[str]) -> int | dict[str, int] | None:
    """`65` for all inputs, or `f=65` for some."""
    if len(words) == 1 and words[0].isdigit():
        return int(words[0])
    found = {}
    for name, text in _pairs("--nodes", words).items():
        if not text.isdigit():
            raise Usage(f"--nodes {name}={text}: {text!r} is not a whole number")
        found[name] = int(text)
    return found or None


def _estimated(answer: Answer) -> str:
    """The estimated error of an answer in a line, or why there is none."""
    from compiler.fem import SolverError
    from compiler.prediction.error_equation import TRUSTED, NoEstimateWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoEstimateWarning)
            found = answer.error
    except SolverError as reason:
        return f"no estimate of the error: {reason}"
    reason = next((each for each in found.reasons if each is not None), None)
    if reason is not None:
        return f"no estimate of the error: {reason}"
    parts = [
        f"{name} {100 * float(each.max()):.2g} % (give or take"
        f" {100 * float(found.bar[name].max()):.1g} % of that)"
        for name, each in found.relative.items()
    ]
    far = ", Newton's method had a long way to go" if float(found.guard.max()) > TRUSTED else ""
    return f"estimated error: {', '.join(parts)}{far}"


def _say_notes(run: Any) -> None:
    for note in run.notes:
        _say(f"note: {note}")


def _numbers(option: str, words: list[str]) -> dict[str, Any]:
    """`c=0.1` and, for a param of several numbers, `d=0.1,0.2`."""
    found: dict[str, Any] = {}
    for name, text in _pairs(option, words).items():
        try:
            numbers = [float(each) for each in text.split(",")]
        except ValueError:
            raise Usage(f"{option} {name}={text}: {text!r} is not a number") from None
        found[name] = numbers[0] if len(numbers) == 1 else numbers
    return found


def _given(
    problem: Problem, params: list[str] | None, inputs: list[str] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Params and inputs of one sample. Raises: Usage where some are missing, all of them at
    once."""
    numbers, functions = _numbers("--params", params or []), _functions(problem, inputs or [])
    missing = [
        f"--params {name}=.."
        for name, each in problem.params.items()
        if name not in numbers and each.value is None
    ]
    missing += [
        f"--inputs {name}=.."
        for name, each in problem.inputs.items()
        if name not in functions and not each.source
    ]
    if missing:
        raise Usage(f"an answer is for one sample: add {' '.join(missing)}")
    return numbers, functions


def _functions(problem: Problem, words: list[str]) -> dict[str, Any]:
    """Input functions: numbers and files."""
    found: dict[str, Any] = {}
    for name, text in _pairs("--inputs", words).items():
        if name not in problem.inputs:
            found[name] = 0.0  # the operator says what there is
            continue
        try:
            found[name] = float(text)
        except ValueError:
            found[name] = text
    return found


def _pairs(option: str, words: list[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    for (key, equals, _), word in zip(pairs, words, strict=True):
        if not (key and equals):
            raise Usage(f"{option} {word}: write {option} key=value")
    return {key: value for key, _, value in pairs}


def _write_answer(answer: Any, points: str, target: Path) -> list[Path]:
    """An answer at points, in a file of the kind that its name says."""
    import numpy as np

    from compiler.prediction.columns import KINDS, read_points, write_columns

    grid = re.fullmatch(r"grid:([1-9]\d{0,3})", points)
    if target.suffix in (".vtu", ".pvd"):
        return list(answer.to_vtk(target, int(grid[1]) if grid else 32))
    if target.suffix == ".png":
        answer.plot(resolution=int(grid[1]) if grid else 128).savefig(target)
        return [target]
    if target.suffix not in KINDS:
        raise Usage(f"--out {target}: write .vtu, .png or one of {', '.join(KINDS)}")
    problem = answer.problem
    names = [each.name for each in problem.variables]
    if grid:
        axes = answer.axes(int(grid[1]), 16)
        places = np.stack(np.meshgrid(*axes.values(), indexing="ij"), -1).reshape(-1, len(axes))
        places = places[answer.contains(places)]
    else:
        places = read_points(Path(points), names)
    found = {name: answer[name](places) for name in problem.components}
    write_columns(target, {**dict(zip(names, places.T, strict=True)), **found})
    return [target]


@command()
def dataset(
    file: File,
    out_: Annotated[Path, typer.Option("--out", metavar="DIR", help="where the files go")],
    samples: Annotated[int, typer.Option(min=1, help="how many")] = 1000,
    seed: Annotated[int, typer.Option(help="of the samples")] = 0,
    points: Annotated[int, typer.Option(min=1, help="of each sample, uniform")] = 4096,
    at: Annotated[
        str, typer.Option(help="uniform, or nodes: those of the reference solution's mesh")
    ] = "uniform",
    resolution: Annotated[
        int | None, typer.Option(min=1, help="cells along the longest side; 32 by default")
    ] = None,
    degree: Annotated[
        int | None, typer.Option(min=1, max=3, help="of the elements; 2 by default")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="of time")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="of the relative error in L2 of each sample")
    ] = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    method: Method = None,
    quiet: Quiet = False,
) -> None:
    """Draw and solve many samples of a problem; write them as HDF5. Called again it goes on."""
    problem = _load(file)
    with _loading():
        from compiler.datasets import dataset as make
        from compiler.workers import Workers

    asked = {"resolution": resolution, "degree": degree, "steps": steps, "tolerance": tolerance}
    asked |= {"method": _solver(method)}
    display = _display(quiet)
    begun = False

    def shown(done: int) -> None:
        nonlocal begun
        if not begun:
            display.start(f"solve {problem.name}", done, samples, "samples")
            begun = True
        else:
            display.step({"step": done}, ())

    try:
        made = make(
            problem,
            samples,
            out_,
            seed=seed,
            points=points,
            at=at,
            workers=Workers(workers, scheduler),
            display=shown,
            **{name: value for name, value in asked.items() if value is not None},
        )
    finally:
        if begun:
            display.stop()
    solved = doubted = 0
    for number in range(samples):
        each = made[number]
        if each.failed:
            _say(f"sample {number} has no solution: {each.failed}")
        solved += not each.failed
        doubted += bool(each.warnings)
    doubt = f", {doubted} with a warning" if doubted else ""
    out.print(f"{solved} of {samples} samples{doubt} in {out_ / made.key}-*.h5", markup=False)


@command()
def solve(
    file: File,
    params: Params = None,
    inputs: Inputs = None,
    out_: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="where pictures and VTK go; runs/NAME-reference by default"
        ),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(min=1, help="cells along the longest side; 32 by default")
    ] = None,
    degree: Annotated[
        int | None, typer.Option(min=1, max=3, help="of the elements; 2 by default")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="simplex (the default) or brick")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="of time")] = None,
    scheme: Annotated[
        str | None, typer.Option(help="of time: sdirk4 (the default) or midpoint")
    ] = None,
    mesh: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="a mesh file that meshio reads, instead of one that is made"
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="of the relative error in L2, kept by smaller cells and steps"),
    ] = None,
    error: Annotated[bool, typer.Option(help="estimate the error, from coarser solutions")] = True,
    seed: Annotated[
        int, typer.Option(help="of the sample, of which what is not given is drawn")
    ] = 0,
    method: Method = None,
) -> None:
    """Solve one sample of a problem by the solver that takes it, finite elements for most; write a
    picture and a VTK file."""
    problem = _load(file)
    with _loading():
        import torch

        from compiler.batches.completed import completed
        from compiler.batches.sample import sample
        from compiler.solvers import solve as run_solver

    if params or inputs:
        from compiler.prediction.given_inputs import input_function

        functions = {
            name: input_function(problem.inputs[name], problem, value, None)
            if name in problem.inputs
            else value
            for name, value in _functions(problem, inputs or []).items()
        }
        batch = completed(problem, _numbers("--params", params or []), functions, seed)
    else:
        generator = torch.Generator().manual_seed(seed)
        batch = sample(problem, 1, generator=generator, dtype=torch.float64)
    asked = {
        "resolution": resolution,
        "degree": degree,
        "cell": cell,
        "steps": steps,
        "scheme": scheme,
        "mesh": mesh,
    }
    asked |= {"tolerance": tolerance, "method": _solver(method)}
    chosen = {name: value for name, value in asked.items() if value is not None}
    with err.status(f"solving {problem.name}"):  # on a terminal
        truth = run_solver(problem, batch, **chosen)
    for name, value in batch.params.items():
        numbers = ", ".join(f"{each:.7g}" for each in value[0].reshape(-1).tolist())
        out.print(f"{name} = {numbers}{_unit(name, problem)}", markup=False)
    if truth.energy is not None:
        out.print(f"energy {float(truth.energy[0]):.10g}", markup=False)
    _print_outputs(problem, truth, batch)
    if error:
        with err.status("estimating the error"):
            _print_error(truth, _refines(problem, chosen))
    if problem.reference_files:
        from compiler.evaluation.reference_files import against_files

        answer = lambda each: run_solver(problem, each, **chosen)  # noqa: E731
        _print_against(against_files(problem, answer, {"hard_conditions": False}))
    directory = out_ or Path("runs") / f"{problem.name}-reference"
    files = _write_solution(problem, truth, batch, directory)
    out.print(f"solved in {truth.seconds:.2f} s; {', '.join(map(str, files))}", markup=False)


def _print_against(found: Mapping[str, float]) -> None:
    for name, value in found.items():
        out.print(f"{name} differs from its reference file by {value:.3g}", markup=False)


def _write_solution(problem: Problem, truth: Any, batch: Any, directory: Path) -> list[Path]:
    """A picture and a file for ParaView, after what was found has been said: drawing takes as long
    as solving."""
    with _loading():
        from compiler.fem.export.vtk import save_vtk
        from compiler.files import write_atomically
        from compiler.report.pictures import png, reference_picture

    directory.mkdir(parents=True, exist_ok=True)
    picture = directory / "solution.png"
    write_atomically(picture, png(reference_picture(problem, batch, truth)))
    return [picture, save_vtk(truth, directory / "solution")[-1]]


def _print_outputs(problem: Problem, truth: Any, batch: Any) -> None:
    """The values of declared outputs, or why there are none."""
    if not problem.outputs:
        return
    from compiler.fem import SolverError
    from compiler.functionals.outputs import FieldOutput, outputs

    for name, each in problem.outputs.items():
        try:
            (value,) = outputs(problem.revised(outputs={name: each}), truth, batch).values()
        except SolverError as reason:
            out.print(f"{name} is not known of the reference: {reason}", markup=False)
            continue
        if not isinstance(value, FieldOutput):
            numbers = ", ".join(f"{each:.6g}" for each in value[0].reshape(-1).tolist())
            out.print(f"{name} = {numbers}{_unit(name, problem)}", markup=False)


def _unit(name: str, problem: Problem) -> str:
    """That of a param or output in brackets, after a space, where it is known."""
    from compiler.report.labels import unit_of

    unit = unit_of(name, problem)
    return f" [{unit}]" if unit else ""


def _refines(problem: Problem, chosen: Layer) -> bool:
    """Whether the solver that these options come to takes a tolerance."""
    from compiler.solvers import SOLVERS, candidates

    name = chosen.get("method", "auto")
    if name == "auto":
        name = candidates(problem, set(chosen) - {"method"})[0]
    return "tolerance" in SOLVERS[name].options


def _print_error(truth: Any, refines: bool) -> None:
    """The estimated error of every unknown and what lowers a large one, or why there is none."""
    from compiler.fem import SolverError

    try:
        for name, each in truth.error.items():
            out.print(f"error of {name}: about {each}", markup=False)
    except SolverError as reason:
        out.print(f"error not known: {reason}", markup=False)
        return
    if float(truth.relative_error.max()) > COARSE:
        more = (
            ", or --tolerance 0.01, which refines until the error is as small as that"
            if refines
            else ""
        )
        _say(f"warning: more than {100 * COARSE:g} % off; take a finer mesh by --resolution{more}")


@command()
def new(
    name: Annotated[str, typer.Argument(help="the name of the problem; NAME.pde is written")],
) -> None:
    """Write a commented problem to start from."""
    from pdespec.text.write.summary import template

    path = Path(name if name.endswith(".pde") else f"{name}.pde")
    stem = path.stem
    if not re.fullmatch(r"[A-Za-z_]\w*", stem):
        raise Usage(
            f"{stem!r} is not a name for a problem: letters, digits and _, not beginning with"
            " a digit"
        )
    if path.exists():
        raise Usage(f"{path} exists already")
    path.write_text(template(stem))
    out.print(f"{path}; next: pdespec check {path}", markup=False)
