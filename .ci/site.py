"""Pages of the site that are made when it is built: the front page, the project's own texts, and
the gallery of `examples/`, and the notebooks as they were last executed."""

from __future__ import annotations

import base64
import importlib.util
import itertools
import json
import re
from html import escape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

import pdespec

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PICTURES = ("images/gallery", "images/accuracy")  # the reference alone, or beside an operator
TEXTS = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
}
"""Page of the site -> file of the project."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the made pages, and the pictures of `benchmarks` that notes show."""
    for name, source in TEXTS.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=linked(text)))
    files.append(File.generated(config, "gallery.md", content=gallery()))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        text, pictures = notebook(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, data in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=data))
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.png")):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links from `docs/notes` to what lies beside `docs` lead to its copy in the site, and blocks
    that the tests tell apart by a second word have one."""
    markdown = markdown.replace("](../../benchmarks/", "](../benchmarks/")
    return markdown.replace("```pde wrong\n", "```pde\n")


def linked(text: str) -> str:
    """A text of the project with links as the site has them."""
    for page, source in TEXTS.items():
        text = text.replace(f"]({source})", f"]({page})")
    text = re.sub(
        r"\[docs/(?:notes/)?(\w+)\.md\]", lambda found: f"[{found[1].replace('_', ' ')}]", text
    )
    return text.replace("](docs/", "](").replace(".ipynb)", ".md)")


def gallery() -> str:
    """Every example: its equations, a picture, its lines, and the error where one was measured."""
    errors = measured()
    parts = [
        "# Gallery\n\nEvery problem in `examples/`: equations and lines as declared, one sample "
        "as the reference solver has it (or prediction, reference and error of the median one), "
        "and the mean relative L2 error of a trained operator on held-out samples, where it was "
        "[measured](accuracy.md).\n"
    ]
    parts += [example(path, errors.get(path.stem)) for path in sorted(EXAMPLES.glob("*.pde"))]
    parts.append("## Scripts\n\nThe same from Python, each run by the tests.\n")
    for path in sorted(EXAMPLES.glob("*.py")):
        parts.append(f"### {path.name}\n\n{fenced('python', path.read_text(encoding='utf-8'))}")
    return "\n".join(parts)


def measured() -> dict[str, str]:
    """The errors of the accuracy page, by problem: both are made from the same rows."""
    spec = importlib.util.spec_from_file_location("zoo", ROOT / "benchmarks" / "zoo.py")
    assert spec and spec.loader
    zoo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zoo)
    return zoo.measured(zoo.rows_of(ROOT / "benchmarks" / "results" / zoo.TABLE))


def example(path: Path, error: str | None) -> str:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    about, code = " ".join(line.lstrip("# ") for line in head), lines[len(head) :]
    pictures = [f"{folder}/{path.stem}.png" for folder in PICTURES]
    drawn = [each for each in pictures if (ROOT / "docs" / each).is_file()]
    source = fenced("pde", "\n".join(code))
    equations = mathml(pdespec.parse(text, source=str(path)).to_latex())
    return f"""## {path.stem.replace("_", " ")}

{escape(about)}

{f"![one sample of {path.stem}]({drawn[0]}){{ loading=lazy }}" if drawn else ""}

<div class="equations">{equations}</div>

Error of a trained operator: {error or "not measured"}. `examples/{path.name}`, {len(code)} lines:

{source}"""


def notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as a page, formulas as browsers show them by themselves, and its pictures."""
    parts, pictures = [], {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(formulas(source).replace(".ipynb)", ".md)") + "\n")
            continue
        parts.append(fenced("python", source))
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![what this cell draws]({name})\n")
            elif output.get("name") == "stdout":
                parts.append(fenced("text", "".join(output["text"])))
    parts.append(f"The notebook itself: `docs/notebooks/{path.name}`.\n")
    return "\n".join(parts), pictures


def formulas(text: str) -> str:
    """Markdown with `$$..$$` and `$..$` as MathML."""
    text = re.sub(
        r"\$\$(.+?)\$\$",
        lambda found: f'<div class="equations">{convert(found[1].strip(), display="block")}</div>',
        text,
        flags=re.S,
    )
    return re.sub(r"\$(.+?)\$", lambda found: convert(found[1]), text, flags=re.S)


def mathml(latex: str) -> str:
    """The lines of an `aligned` block as a table that browsers show by themselves."""
    for old, new in (
        (r"\begin{aligned}", r"\begin{array}{rlll}"),
        (r"\end{aligned}", r"\end{array}"),
        (":=", "≔"),
        ("&&", "&"),
    ):
        latex = latex.replace(old, new)
    found = convert(latex, display="block").replace("<mi>≔</mi>", "<mo>≔</mo>")
    # browsers know the variant `normal` alone
    return found.replace('mathvariant="bold-italic"', 'style="font-weight: bold"')


def fenced(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"
