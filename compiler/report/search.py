"""A page on a search for a better section: its shape with the pressure about it, the pressure on
it, and how drag, lift and cost came down, step by step; one HTML file that needs nothing but
itself."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from compiler.arrays import Array
from compiler.files import write_atomically
from compiler.report.frames import palette
from compiler.report.moved import packed

SHOWN = (-0.35, 1.45, -0.55, 0.55)  # of the plane about a section


@dataclass(frozen=True)
class Step:
    """One section of a search. Shapes: nodes "j i 2" of its O-grid, pressure "j i"; numbers that
    are drawn over the steps, by title; a word on it."""

    nodes: Array
    pressure: Array
    numbers: dict[str, float]
    said: str = ""


def write_page(path: str | Path, title: str, lead: str, steps: Sequence[Step]) -> None:
    """Writes the page. Raises: ValueError without steps; OSError."""
    if not steps:
        raise ValueError("a search without steps has nothing to show")
    page = Template(files("compiler.report").joinpath("search.html").read_text())
    style = files("compiler.report").joinpath("report.html").read_text()
    rows = "".join(
        f"<tr><td>{k}</td><td>{html.escape(step.said)}</td>"
        + "".join(f"<td>{value:.4g}</td>" for value in step.numbers.values())
        + "</tr>"
        for k, step in enumerate(steps)
    )
    data = {
        "palettes": {name: palette(name) for name in ("viridis", "magma")},
        "samples": {"search": _viewer(steps)},
    }
    text = page.substitute(
        title=html.escape(title),
        lead=html.escape(lead),
        style=style.partition("<style>")[2].partition("</style>")[0].replace("$$", "$"),
        head="".join(f"<th>{html.escape(name)}</th>" for name in steps[0].numbers),
        rows=rows,
        data=json.dumps(data).replace("<", "\\u003c"),
        script=files("compiler.report").joinpath("viewer.js").read_text(),
    )
    write_atomically(Path(path), text.encode())


def _viewer(steps: Sequence[Step]) -> dict[str, Any]:
    """What `viewer.js` reads."""
    count = len(steps)
    return {
        "axes": ["x", "y"],
        "extent": list(SHOWN),
        "across": "step",
        "at": list(range(count)),
        "start": count - 1,
        "note": "the pressure about the section; grey: the section at the start",
        "rows": [[_about(steps), _along(steps)], [_history(steps, n) for n in steps[0].numbers]],
    }


def _about(steps: Sequence[Step]) -> dict[str, Any]:
    """The grid about the section, every second column of it, where it is shown."""
    left, right, low, high = SHOWN
    around = steps[0].nodes.shape[1]
    kept = 2 + max(_rows_within(step.nodes) for step in steps)
    columns = around // 2
    number = np.arange(kept * columns).reshape(kept, columns)
    a, b = number[:-1], np.roll(number, -1, 1)[:-1]
    c, d = np.roll(number, -1, 1)[1:], number[1:]
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    pressures = [step.pressure[:kept, ::2].ravel() for step in steps]
    points = [step.nodes[:kept, ::2].reshape(-1, 2) for step in steps]
    return {
        "title": "pressure over that far away",
        "kind": "body",
        "limits": _limits(pressures),
        "extent": [left, right, low, high],
        "triangles": packed(triangles, "<u4"),
        "border": [[*range(columns), 0]],
        "rest": packed(points[0], "<f4"),
        "frames": [
            {"points": packed(at, "<f4"), "values": packed(p, "<f4")}
            for at, p in zip(points, pressures, strict=True)
        ],
    }


def _rows_within(nodes: Array) -> int:
    """The rows of nodes that reach into what is shown."""
    left, right, low, high = SHOWN
    x, y = nodes[..., 0], nodes[..., 1]
    shown = ((x > left) & (x < right) & (y > low) & (y < high)).any(1)
    return int(np.flatnonzero(shown).max(initial=0))


def _along(steps: Sequence[Step]) -> dict[str, Any]:
    """The pressure on both surfaces along the chord."""
    x = np.linspace(0, 1, 161)
    sides = [(_side(step, x, -1), _side(step, x, 1)) for step in steps]
    return {
        "title": "pressure on the section from nose to edge",
        "kind": "curve",
        "key": "thin blue: above; broad grey: below",
        "x": _rounded(x),
        "limits": _limits([each for pair in sides for each in pair]),
        "lines": [
            {"label": label, "frames": [_rounded(pair[k]) for pair in sides]}
            for k, label in enumerate(("above", "below"))
        ],
    }


def _side(step: Step, x: Array, sign: int) -> Array:
    """The pressure above (-1: the second half of the nodes, which run clockwise) or below."""
    at, p = step.nodes[0], step.pressure[0]
    nose = int(at[:, 0].argmin())
    place, value = (at[nose:, 0], p[nose:]) if sign < 0 else (at[: nose + 1, 0], p[: nose + 1])
    order = np.argsort(place)
    return np.interp(x, place[order], value[order])


def _history(steps: Sequence[Step], name: str) -> dict[str, Any]:
    values = np.array([step.numbers[name] for step in steps])
    many = max(2, len(steps))
    frames = []
    for k in range(len(steps)):
        shown = np.full(many, np.nan)
        shown[: k + 1] = values[: k + 1]
        frames.append(_rounded(shown))
    limits = _limits([values])
    return {
        "title": name,
        "kind": "curve",
        "x": list(range(many)),
        "limits": limits,
        "lines": [{"label": name, "frames": frames}],
    }


def _limits(values: Sequence[Array]) -> list[float]:
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    return [low, high if high > low else low + (abs(low) or 1.0) * 1e-6]


def _rounded(values: Array) -> list[float | None]:
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in values]
