"""Texts: examples, and the short problems of the pages, with words, characters, lines and numbers
changed."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pdespec
from tests.generated.mutate import EXAMPLES, mutate

PAGES = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
SHORT = [
    text
    for page in PAGES
    for text in re.findall(r"^```pde\n(problem .*?)^```", page.read_text("utf-8"), re.M | re.S)
]

CHARACTERS = "()[]{}'\"`^*/+-=~:;,.<>|&%#@!?\\ \t\n0123456789eEuxyt\x00\x1b\u200bé∂"
FRAGMENTS = (
    *(
        "9^9^9^9",
        "1e300",
        "1e-300",
        "log(log(1/2))",
        "---(33)",
        "if(u > 0, 1, 2)",
        "integral(u, D)",
        "diff(u, u)",
        "`sin`",
        "exp(exp(exp(9)))",
    ),
    *(
        "lap(lap(u))",
        "sqrt(-1)",
        "asin(2)",
        "side(D, x = y)",
        "0/0",
        "u^u^u",
        "[1, [2, 3]]",
        "det(grad(grad(u)))",
        "x'",
        "in D:",
        "on D:",
        "1i",
    ),
)


def text_of(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.15:
        text = mutate(rng)
    elif kind < 0.3:
        text = rng.choice(EXAMPLES).read_text(encoding="utf-8")
    else:
        text = rng.choice(SHORT)
    for _ in range(rng.choice([0, 1, 1, 2, 4, 12])):
        place = rng.randrange(len(text) + 1)
        cut = rng.choice([0, 0, 1, 2, 8])
        patch = rng.choice(
            [rng.choice(CHARACTERS), rng.choice(FRAGMENTS), "", text[place : place + 30]]
        )
        text = text[:place] + patch + text[place + cut :]
    return text


def attempt(rng: random.Random) -> str:
    text = text_of(rng)
    try:
        problem = pdespec.parse(text)
    except pdespec.ProblemError as error:
        if error.__cause__ is not None:  # a fault of the program
            raise error.__cause__ from None
        assert str(error) and all(
            character.isprintable() or character in "\n\t" for character in str(error)
        )
        return f"refused {error.diagnostics[0].code}"
    if rng.random() < 0.3:
        assert pdespec.parse(problem.to_dsl()) == problem, "another problem after to_dsl"
    return "accepted"
