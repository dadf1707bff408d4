"""Coverage-guided fuzzing of `pdespec.parse`: any exception but `ProblemError`, or an input that
takes more than ten seconds, is a find.

    pip install atheris
    python benchmarks/fuzz_text.py corpus -max_total_time=600 -timeout=10 -dict=corpus/words.dict

The corpus begins with the example problems and grows by what reaches new code. Not part of the test
suite: `tests/text/test_safety.py` holds the finds and a short random search.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["pdespec", "lark"]):
    import pdespec
    from pdespec.text.read.elaborate import problem_of  # noqa: F401 - instrumented with all it imports
    from pdespec.words import (
        BUILTINS,
        FUNCTIONS,
        PARTICLES,
        RANKS,
        REGIONS,
        SHAPES,
        STATEMENTS,
    )


def check(data: bytes) -> None:
    """One input."""
    text = data.decode("utf-8", errors="ignore")
    try:
        problem = pdespec.parse(text)
    except pdespec.ProblemError as error:
        str(error)
        return
    problem.to_latex()
    if pdespec.parse(problem.to_dsl()) != problem:
        raise AssertionError("the problem does not come back from its text")


def corpus(folder: Path) -> None:
    """Writes the first inputs and the dictionary of words."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "examples").glob("*.pde"):
        lines = [
            line.split("#")[0].rstrip() for line in path.read_text(encoding="utf-8").splitlines()
        ]
        (folder / path.name).write_text(
            "\n".join(line for line in lines if line) + "\n", encoding="utf-8"
        )
    words = [
        *STATEMENTS,
        *PARTICLES,
        *RANKS,
        *SHAPES,
        *REGIONS,
        *FUNCTIONS,
        *sorted(BUILTINS),
        ":=",
        "~",
        "^",
        "'",
        "Omega",
        "dxx(u)",
    ]
    (folder / "words.dict").write_text(
        "".join(f'"{word}"\n' for word in dict.fromkeys(words)), encoding="utf-8"
    )


if __name__ == "__main__":
    corpus(
        Path(sys.argv[1])
        if len(sys.argv) > 1 and not sys.argv[1].startswith("-")
        else Path("corpus")
    )
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
