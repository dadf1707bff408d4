"""Tries many spoilt inputs and writes down what came of each, one line a seed: `seed outcome`.

    python -m tests.fuzz.run texts --count 100000 --start 0 --out texts.txt

Kinds: texts, words (options), runs (damaged directories), files (meshes and tables), kills (SIGKILL
while training). What is in the file already is not tried again, so that shares can be run anywhere
and put together. An outcome is `accepted`, `refused CODE`, or `FAIL ..`, which must not occur.
`--show SEED` tries one and lets its exception through.
"""

from __future__ import annotations

import argparse
import collections
import random
import time
import traceback
from collections.abc import Callable
from pathlib import Path


def kind(name: str) -> Callable[[random.Random], str]:
    """The function of a kind: from a generator of random numbers to an outcome. What it raises
    is a finding."""
    if name == "texts":
        from tests.fuzz.texts import attempt
    elif name == "words":
        from tests.fuzz.words import attempt
    elif name == "runs":
        from tests.fuzz.runs import attempt
    elif name == "files":
        from tests.fuzz.files import attempt
    else:
        from tests.fuzz.kills import attempt
    return attempt


def outcome(attempt: Callable[[random.Random], str], seed: int) -> str:
    try:
        return attempt(random.Random(seed))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"FAIL {type(error).__name__} {' '.join(str(error).split())[:160]} at"
            f" {Path(where.filename).name}:{where.lineno}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["texts", "words", "runs", "files", "kills"])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", type=int)
    options = parser.parse_args()
    attempt = kind(options.kind)
    if options.show is not None:
        print(attempt(random.Random(options.show)))
        return
    path = options.out or Path(f"{options.kind}.txt")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    done, began, slowest = {int(line.split()[0]) for line in lines}, time.monotonic(), (0.0, 0)
    with path.open("a", encoding="utf-8") as out:
        for seed in range(options.start, options.start + options.count):
            if seed not in done:
                before = time.process_time()
                lines.append(f"{seed} {outcome(attempt, seed)}")
                slowest = max(slowest, (time.process_time() - before, seed))
                out.write(lines[-1] + "\n")
                out.flush()
    counts = collections.Counter(
        line.split(" ", 1)[1] if "FAIL" not in line else "FAIL" for line in lines
    )
    print(
        f"{len(lines)} tried, {time.monotonic() - began:.0f} s; the slowest of them now took"
        f" {slowest[0]:.2f} CPU s, seed {slowest[1]}"
    )
    if options.kind == "kills":
        counts = collections.Counter()
        for line in lines:
            words = line.split()[2:] if " accepted " in line else []
            counts.update({word: int(n) for n, word in zip(words[::2], words[1::2], strict=False)})
    print("\n".join(f"{count:7d} {what}" for what, count in counts.most_common()))
    print("\n".join(line for line in lines if "FAIL" in line))


if __name__ == "__main__":
    main()
