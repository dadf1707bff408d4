"""Text to problem, and problem to text or LaTeX."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pdespec.errors import Diagnostic, ProblemError, Source, Span
from pdespec.text.syntax.logical_lines import MAX_CHARACTERS
from pdespec.text.syntax.printer import document
from pdespec.text.write.display import problem_latex
from pdespec.text.write.written import statements_of

if TYPE_CHECKING:
    from pdespec.statements.problem import Problem


def load(path: str | os.PathLike[str]) -> Problem:
    """The problem in a `.pde` file.

    Raises: `ProblemError` as `parse` does, and for what is not a regular file or too long to be a
    problem; `OSError` when it cannot be read.
    """
    raw = _bytes(Path(path))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        source = Source(str(path), raw.decode("utf-8", errors="replace"))
        hint = "save the file as UTF-8 text; is this a .pde file?"
        raise ProblemError(
            Diagnostic(
                "S02", "the file is not text in UTF-8", hint, span=Span(source, line, 1, line, 2)
            )
        ) from None
    return parse(text, source=str(path))


def _bytes(path: Path) -> bytes:
    """What a file holds. Devices and pipes, which may never end, and files too long for a
    problem are not opened."""
    found = path.stat()
    what = (
        "" if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) else "not a regular file"
    )
    if not what and found.st_size > 4 * MAX_CHARACTERS:
        what = f"{found.st_size} bytes long, more than any problem"
    if what:
        raise ProblemError(Diagnostic("S02", f"{path} is {what}", "name a .pde file"))
    return path.read_bytes()


def parse(text: str, source: str = "<text>") -> Problem:
    """The problem a text states. Nothing of the text is executed.

    Raises: `ProblemError` with every mistake found, each with its place; also, with its cause, for
    a fault of this program.
    """
    if not isinstance(text, str):
        raise TypeError(
            f"parse takes the text of a problem, {type(text).__name__} given; load(path) reads a"
            " file"
        )
    # lark takes longer to import than a problem to build
    from pdespec.text.read.elaborate import problem_of

    named = Source(
        source, text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", " ").replace("\v", " ")
    )
    span = Span(named, 1, 1, 1, 2)
    try:
        return problem_of(named)
    except ProblemError:
        raise
    except RecursionError:
        message, hint = "the problem is nested too deeply", "name inner parts by definitions"
        raise ProblemError(Diagnostic("S02", message, hint, span=span)) from None
    except Exception as error:  # strangers' texts may end nothing but their own reading
        kind = type(error).__name__
        message = f"reading the problem failed within this program, with {kind}: {error}"
        hint = "please report it with the text; leaving statements out finds the one it hangs on"
        raise ProblemError(Diagnostic("S02", message, hint, span=span)) from error


def to_dsl(problem: Problem) -> str:
    """The problem as text: as it was written where it came from text, from its meaning
    otherwise."""
    return document(statements_of(problem))


def to_latex(problem: Problem) -> str:
    """The problem typeset."""
    return problem_latex(problem)
