"""Holds the Python blocks of README.md and docs/*.md to pyright: each page is one program, its
blocks one after the other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def program(page: Path) -> str:
    """The Python blocks of a page, each on the lines where it stands in the page."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside and line.strip() in ("```python", "```py")
            lines.append("")
        else:
            lines.append(line if inside else "")
    return "\n".join(lines) + "\n"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        settings = {"extraPaths": [str(ROOT)], "typeCheckingMode": "basic", "pythonVersion": "3.10"}
        (Path(folder) / "pyrightconfig.json").write_text(json.dumps(settings))
        for page in PAGES:
            text = program(page)
            # docs go on from what the reader has
            given = "" if page.name == "README.md" else "# pyright: reportUndefinedVariable=false"
            (Path(folder) / f"page_{page.stem}.py").write_text(
                text.replace("\n", given + "\n", 1), encoding="utf-8"
            )
        command = [
            sys.executable,
            "-m",
            "pyright",
            "-p",
            folder,
            "--pythonpath",
            sys.executable,
            "--level",
            "error",
        ]
        found = subprocess.run(command, capture_output=True, text=True)
        print(re.sub(re.escape(folder) + r"/page_(\w+)\.py", r"\1.md", found.stdout).strip())
    return found.returncode


if __name__ == "__main__":
    sys.exit(main())
