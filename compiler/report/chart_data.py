"""The numbers behind a chart, as it was drawn, and the links to them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from compiler.arrays import Array


def numbers(figure: Figure) -> dict[str, Array]:
    """What the panels of a figure show, by the panel's title and the label of the curve, or of the
    axis where there is one curve: ends in `, x` and `, y` of curves, in `, heights` of bars; maps
    by their title alone."""
    found: dict[str, Array] = {}
    for k, axes in enumerate(figure.axes):
        if axes.get_label() == "<colorbar>":
            continue
        panel = axes.get_title() or f"panel {k + 1}"
        for line in axes.lines:
            x, y = (np.asarray(each, dtype=float) for each in line.get_data())
            label = str(line.get_label())
            if label.startswith("_"):  # matplotlib's own: without a name
                label = axes.get_ylabel()
            if x.size > 2:  # others are marks
                found[f"{panel}, {label}, x"], found[f"{panel}, {label}, y"] = x, y
        for bars in axes.containers:
            if isinstance(bars, BarContainer):
                heights = [each.get_height() for each in bars.patches]
                found[f"{panel}, heights"] = np.array(heights)
        for drawn in (*axes.images, *axes.collections):
            values = drawn.get_array()
            if values is not None:
                found[panel] = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)
    return found


def links(files: Iterable[str], text: str = "The numbers behind this picture") -> str:
    """A line of the page that offers files next to it for download."""
    found = ", ".join(f'<a href="{file}" download>{file.rpartition("/")[2]}</a>' for file in files)
    return f'<p class="files">{text}: {found}</p>'
