"""Texts: examples with words, characters, lines and numbers changed."""

from __future__ import annotations

import random
import time

import pdespec
from tests.fuzz.run import SECONDS
from tests.generated.mutate import EXAMPLES, mutate

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
    text = (
        mutate(rng)
        if rng.random() < 0.5
        else EXAMPLES[rng.randrange(len(EXAMPLES))].read_text(encoding="utf-8")
    )
    for _ in range(rng.choice([0, 1, 1, 2, 4, 12])):
        place = rng.randrange(len(text) + 1)
        cut = rng.choice([0, 0, 1, 2, 8])
        patch = rng.choice(
            [rng.choice(CHARACTERS), rng.choice(FRAGMENTS), "", text[place : place + 30]]
        )
        text = text[:place] + patch + text[place + cut :]
    return text


def attempt(rng: random.Random) -> str:
    text, began = text_of(rng), time.process_time()
    try:
        problem = pdespec.parse(text)
    except pdespec.ProblemError as error:
        assert str(error) and all(
            character.isprintable() or character in "\n\t" for character in str(error)
        )
        result = f"refused {error.diagnostics[0].code}"
    else:
        result = "accepted"
    taken = time.process_time() - began
    assert taken < SECONDS, f"{taken:.1f} s"
    if result == "accepted":
        assert pdespec.parse(problem.to_dsl()) == problem, "another problem after to_dsl"
    return result
