"""The report of an evaluation: pictures as PNG, and one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from torch import nn

from compiler.evaluation.evaluate import compare_with_reference, rows, shown
from compiler.evaluation.result import Evaluation
from compiler.files import write_atomically
from compiler.loss.physics import compile as compile_loss
from compiler.report.chart_data import links, numbers
from compiler.report.charts import CHARTS
from compiler.report.frames import npz
from compiler.report.functions import function_picture
from compiler.report.labels import labelled
from compiler.report.mathtext import display
from compiler.report.over_time import errors_picture as errors_over_time
from compiler.report.pictures import png, sample_picture
from compiler.report.samples import Shown, is_line, prepare, script_data, sections, solid_pictures
from compiler.report.terms import WEIGHT, meanings, terms
from compiler.trainable_fields import found_fields
from compiler.training.found import found_functions, read_found
from compiler.training.progress import Display, percent
from compiler.training.runs import PICTURES, column, refuse_links, sessions
from compiler.workers import Workers

REPORT = "report.html"
OVER_TIME = "over_time"  # name of a picture
FOUND = "found_"  # with the name of a function: names of pictures


def evaluate(  # noqa: PLR0913 (a public call: its options are keywords)
    directory: str | Path,
    samples: int = 32,
    *,
    checkpoint: str = "last",
    model: nn.Module | None = None,
    resolution: int | None = None,
    sampler: Callable[..., Any] | None = None,
    solver: Callable[..., Any] | None = None,
    report: bool = True,
    display: Display | None = None,
    workers: Workers | int = 1,
) -> Evaluation:
    """Compares a run with the reference solver and writes evaluation.json, pictures and report.html
    into its directory.

    See `compiler.evaluation.evaluate.compare_with_reference`, which does all but the report.
    """
    evaluation = compare_with_reference(
        directory,
        samples,
        checkpoint=checkpoint,
        model=model,
        resolution=resolution,
        sampler=sampler,
        solver=solver,
        display=display,
        workers=workers,
    )
    if report:
        write_report(evaluation)
    return evaluation


def write_report(evaluation: Evaluation) -> None:
    """Writes DIR/pictures/*.png, the numbers behind them as DIR/pictures/*.npz, and
    DIR/report.html."""
    run = evaluation.run
    loss = compile_loss(run.problem)
    loss.refusing = False
    figures = {
        name: sample_picture(evaluation, sample, f"{name} sample", loss)
        for name, sample in evaluation.ranked().items()
    }
    if run.problem.time is not None:
        figures[OVER_TIME] = errors_over_time(run.problem, evaluation.ranked())
    figures |= {chart.name: chart.draw(evaluation, terms(run.history)) for chart in CHARTS}
    found = found_functions(run)
    figures |= {f"{FOUND}{name}": function_picture(each) for name, each in found.items()}
    others = {OVER_TIME, *(f"{FOUND}{name}" for name in found)}
    others |= {chart.name for chart in CHARTS if not chart.numbers}
    images = {name: png(figure) for name, figure in figures.items()}
    images |= solid_pictures(evaluation)
    refuse_links(run.directory)
    (run.directory / PICTURES).mkdir(exist_ok=True)
    for name, data in images.items():
        write_atomically(run.directory / PICTURES / f"{name}.png", data)
    for name in others & set(figures):
        write_atomically(run.directory / PICTURES / f"{name}.npz", npz(numbers(figures[name])))
    samples = prepare(evaluation)
    if is_line(run.problem):  # the curves themselves are those of the viewer
        for name, sample in evaluation.ranked().items():
            title = f"{name} sample"
            images[name] = png(sample_picture(evaluation, sample, title, loss, whole=False))
    write_atomically(run.directory / REPORT, page(evaluation, images, samples).encode())


def page(evaluation: Evaluation, images: dict[str, bytes], samples: list[Shown]) -> str:
    """The report as HTML, its images inside."""
    run = evaluation.run
    seconds, error = evaluation.seconds, evaluation.relative_l2
    operator = run.recipe.operator.upper() if run.recipe else type(run.model).__name__
    last = sessions(run.directory)[-1]
    trained = run.history[-1]["seconds"] if run.history else 0.0
    parts = ["physics"] if run.options.physics or run.options.dual else []
    parts += [f"{run.options.solutions} solved samples"] if run.options.solutions else []
    parts += ["measured data"] if run.problem.data else []
    seen = " and ".join(parts) if len(parts) > 1 else f"{parts[0]} alone"
    lead = (
        f"{operator}, trained from {seen} for {run.step} of {run.options.steps} steps"
        f" ({_duration(trained)}, {last['processes']} process, {last['device']}); compared with the"
        f" reference solver on {_samples(len(evaluation.samples))}."
    )
    headline = [
        (percent(error["mean"]), f"mean relative L2 error{_of_worst(evaluation)}", "first"),
        *_by_unknown(evaluation),
        (f"{evaluation.relative_squared_error['median']:.1e}", "median relative squared error", ""),
        (_duration(seconds["operator"]), "operator, a sample", ""),
        (_duration(seconds["reference"]), "reference solver, a sample", ""),
        (
            f"{seconds['reference'] / seconds['operator']:.2g}",
            "reference time over operator time",
            "",
        ),
    ]
    room = files("compiler.report")
    template = Template(room.joinpath("report.html").read_text())
    return template.substitute(
        name=html.escape(run.problem.name.replace("_", " ")),
        lead=html.escape(lead),
        figures="".join(
            f'<div class="{kind}"><b>{value}</b><span>{text}</span></div>'
            for value, text, kind in headline
        ),
        warnings=_warnings(evaluation),
        equations=(
            '<img alt="the problem in formulas"'
            f' src="{_uri(display(run.problem.to_latex()), "svg+xml")}">'
        ),
        text=html.escape(run.problem.to_dsl()),
        summary=_summary(evaluation) + _found(run.directory, images),
        errors=_charts("samples", images) + _over_time(images),
        samples=sections(evaluation, samples, {name: _uri(data) for name, data in images.items()}),
        data=script_data(samples),
        script=room.joinpath("viewer.js").read_text(),
        training=_charts("training", images) + _terms(evaluation),
        options=_options(evaluation),
        each=_each(evaluation) + _outputs(evaluation),
    )


def _samples(count: int) -> str:
    return f"{count} held-out sample" + ("s" if count != 1 else "")


def _charts(part: str, images: dict[str, bytes]) -> str:
    return "\n".join(
        _card(images[each.name], each.text, each.numbers or f"{PICTURES}/{each.name}.npz")
        for each in CHARTS
        if each.part == part
    )


def _card(image: bytes, text: str, file: str) -> str:
    """A picture in a box of its own, and the file with its numbers."""
    shown = f'<img alt="{html.escape(text)}" src="{_uri(image)}">'
    return f'<section class="card">{shown}{links([file])}</section>'


def _warnings(evaluation: Evaluation) -> str:
    run, notes = evaluation.run, []
    if not run.finished:
        notes.append(f"Training stopped at step {run.step} of {run.options.steps}.")
    for index, text in evaluation.failures.items():
        notes.append(f"The reference solver gave up on sample {index}, which is left out: {text}")
    for index, shares in evaluation.violations.items():
        found = ", ".join(
            f"{label} at {100 * share:.2g} % of the points" for label, share in shares.items()
        )
        notes.append(f"Sample {index} violates {found}.")
    notes += [f"{remark[0].upper()}{remark[1:]}." for remark in evaluation.remarks]
    notes += [f"Sample {index}: {text}." for index, text in evaluation.alarms.items()]
    notes += [f"{evaluation.doubt[:1].upper()}{evaluation.doubt[1:]}."] if evaluation.doubt else []
    for name, values in evaluation.outputs.items():
        if values is None:
            why = next(
                each.outputs[name].why for each in evaluation.samples if each.outputs[name].why
            )
            notes.append(f"Output {name} is not compared: {why}.")
    return "".join(f'<p class="warning">{html.escape(note)}</p>' for note in notes)


def _summary(evaluation: Evaluation) -> str:
    lines = [
        [text, *(shown(text, values[key]) for key in ("mean", "median", "max"))]
        for text, values in rows(evaluation).items()
    ]
    return table(["", "mean", "median", "max"], lines)


def _found(directory: Path, images: dict[str, bytes]) -> str:
    """What was found for trainable numbers and functions."""
    found = read_found(directory)
    pictures = [
        f'<img alt="{html.escape(name.replace("_", " "))}" src="{_uri(data)}">'
        + links([f"{PICTURES}/{name}.npz"])
        for name, data in images.items()
        if name.startswith(FOUND)
    ]
    return (table(["found"], [[line] for line in found]) if found else "") + "".join(pictures)


def _of_worst(evaluation: Evaluation) -> str:
    return f", worst unknown ({evaluation.worst_unknown})" if len(evaluation.unknowns) > 1 else ""


def _by_unknown(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    if len(evaluation.unknowns) == 1:
        return []
    return [
        (percent(values["mean"]), f"mean relative L2 error of {name}", "")
        for name, values in evaluation.unknowns.items()
    ]


def _terms(evaluation: Evaluation) -> str:
    """What the terms of the loss are, and what became of them."""
    run, history = evaluation.run, evaluation.run.history
    lines = [
        [
            label,
            text,
            *(f"{row[column(label)]:.2e}" for row in (history[0], history[-1])),
            f"{history[-1][f'{WEIGHT}{label}']:.3g}",
        ]
        for label, text in meanings(run.problem, terms(history)).items()
        if all(column(label) in row for row in (history[0], history[-1]))
    ]
    if not lines:
        return ""
    head = ["term of the loss", "what it is", "at first", "at the end", "weight at the end"]
    return f'<section class="card">{table(head, lines)}</section>'


def _over_time(images: dict[str, bytes]) -> str:
    if OVER_TIME not in images:
        return ""
    text = "relative error of the samples below, over time"
    return _card(images[OVER_TIME], text, f"{PICTURES}/{OVER_TIME}.npz")


def _each(evaluation: Evaluation) -> str:
    lines = [
        [str(each.index), percent(each.relative_l2), f"{each.squared_error:.2e}"]
        + [_duration(each.operator_seconds), _duration(each.reference_seconds)]
        for each in evaluation.samples
    ]
    return table(
        ["sample", "relative L2 error", "relative squared error", "operator", "reference"], lines
    )


def _outputs(evaluation: Evaluation) -> str:
    """The values of declared outputs in every sample, those that are numbers."""
    numbers = [
        name
        for name in evaluation.outputs
        if evaluation.samples[0].outputs[name].operator is not None
    ]
    if not numbers:
        return ""
    titles = [labelled(name, evaluation.run.problem) for name in numbers]
    lines = [
        [
            str(each.index),
            *(
                text
                for name in numbers
                for text in (
                    _number(each.outputs[name].operator),
                    _number(each.outputs[name].reference),
                )
            ),
        ]
        for each in evaluation.samples
    ]
    return table(
        ["sample", *(f"{title}, {who}" for title in titles for who in ("operator", "reference"))],
        lines,
    )


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else ", ".join(map(_number, value))


def _options(evaluation: Evaluation) -> str:
    run = evaluation.run
    parameters = sum(
        each.numel() * (2 if each.is_complex() else 1) for each in run.model.parameters()
    )
    values = {
        "parameters": parameters,
        **{name: getattr(run.options, name) for name in run.options.__slots__},
    }
    if run.recipe:
        values = {"operator": run.recipe.operator, **run.recipe.options, **values}
    inside = {c for each in found_fields(run.problem).values() for c in each.components}
    numbers = {name: value for name, value in run.trainables.items() if name not in inside}
    values |= {name: f"{value:.6g} (found)" for name, value in numbers.items()}
    values |= sessions(run.directory)[-1]["versions"]
    return table(["option", "value"], [[name, str(value)] for name, value in values.items()])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of text."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _uri(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _duration(seconds: float) -> str:
    """`0.0123` -> `12 ms`, `75` -> `1 min 15 s`."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
