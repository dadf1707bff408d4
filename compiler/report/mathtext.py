"""A problem's LaTeX as one picture, set by matplotlib: reports need no TeX and no network."""

from __future__ import annotations

import io
import re

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

SIZE = 12.0  # points
DPI = 72.0
GAP = 7.0  # points between an entry and its sign, three times as much before a region
LEADING = 9.0  # points between rows
CASES = re.compile(
    r"\\begin\{cases\}((?:(?!\\begin\{cases\}).)*?)\\end\{cases\}", re.S
)  # without another inside


def rows(latex: str) -> list[list[str]]:
    """The rows of an `aligned` display, and the cells of each. Column vectors, matrices and
    choices become one-line ones."""
    body = re.sub(r"\\begin\{pmatrix\}(.*?)\\end\{pmatrix\}", _in_line, latex, flags=re.S)
    while (flat := CASES.sub(_cases, body)) != body:  # the innermost first
        body = flat
    body = body.replace(":=", r":\!=")
    body = re.sub(r"\\(begin|end)\{(aligned|gathered|split|align)\*?\}", "", body)
    found = [
        [cell.strip() for cell in line.split("&")]
        for line in re.split(r"\\\\(?:\[[^\]]*\])?", body)
    ]
    return [[cell for k, cell in enumerate(line) if cell or k == 0] for line in found if any(line)]


def _in_line(matrix: re.Match[str]) -> str:
    """`a \\\\ b` -> (a, b)^T, `a & b \\\\ c & d` -> (a, b; c, d)."""
    lines = [[_entry(cell.strip()) for cell in line.split("&")] for line in matrix[1].split(r"\\")]
    if all(len(line) == 1 for line in lines):
        return r"\left(" + r",\, ".join(line[0] for line in lines) + r"\right)^{\mathsf{T}}"
    return r"\left(" + r";\;\; ".join(r",\, ".join(line) for line in lines) + r"\right)"


def _cases(choice: re.Match[str]) -> str:
    """`a & b \\\\ c & \\text{otherwise}` -> {a if b; c otherwise."""
    found = []
    for line in choice[1].split(r"\\"):
        value, _, condition = (each.strip() for each in line.partition("&"))
        word = "" if condition.startswith(r"\text") else r"\text{if}\;"
        found.append(rf"{value}\;\; {word}{condition}")
    return r"\left\{" + r";\;\; ".join(found) + r"\right."


def _entry(cell: str) -> str:
    """An entry whose leading minus is a sign, not a difference."""
    return "{-}" + cell[1:] if cell.startswith("-") else cell


def display(latex: str) -> bytes:
    """The display as SVG, its signs of equality under each other; a cell that cannot be
    set stands there as its source."""
    figure = Figure(figsize=(1, 1), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    texts = [
        [figure.text(0, 0, content(cell), fontsize=SIZE, math_fontfamily="cm") for cell in line]
        for line in rows(latex)
    ]
    renderer = canvas.get_renderer()
    sizes = [
        [
            renderer.get_text_width_height_descent(each.get_text(), each.get_fontproperties(), True)
            for each in line
        ]
        for line in texts
    ]
    lefts = [0.0]  # of the columns; what ends a row may be as long as it likes
    for k in range(max(map(len, texts)) - 1):
        lefts.append(
            lefts[-1]
            + max(line[k][0] for line in sizes if len(line) > k + 1)
            + (GAP if k == 0 else 3 * GAP)
        )
    signs = lefts[1] - GAP if len(lefts) > 1 else 0.0  # where the left-hand sides end
    ascents = [max(height - depth for _, height, depth in line) for line in sizes]
    depths = [max(depth for _, _, depth in line) for line in sizes]
    height = sum(ascents) + sum(depths) + LEADING * len(texts)
    width = max(lefts[len(line) - 1] + line[-1][0] for line in sizes)
    figure.set_size_inches(width / DPI, height / DPI)
    baseline = height
    for line, measured, ascent, depth in zip(texts, sizes, ascents, depths, strict=True):
        baseline -= ascent + LEADING / 2
        for k, (text, (own, _, _)) in enumerate(zip(line, measured, strict=True)):
            text.set_position(
                ((max(0.0, signs - own) if k == 0 else lefts[k]) / width, baseline / height)
            )
        baseline -= depth + LEADING / 2
    out = io.BytesIO()
    figure.savefig(
        out,
        format="svg",
        transparent=True,
        dpi=3 * DPI,
        metadata={"Date": None},
    )
    return out.getvalue()


def content(cell: str) -> str:
    """The cell between dollars where matplotlib can set it, otherwise its source."""
    if not cell:
        return ""
    try:
        MathTextParser("path").parse(f"${cell}$")
    except ValueError:
        return cell.replace("$", r"\$")
    return f"${cell}$"
