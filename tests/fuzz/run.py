"""Tries many spoilt inputs and writes down what came of each, one line a seed: `seed outcome`.

    python -m tests.fuzz.run texts --count 100000 --start 0 --out texts.txt

Kinds: texts, words (options), runs (damaged directories), files (meshes and tables), kills (SIGKILL
while training). What is in the file already is not tried again, so that shares can be run anywhere
and put together. An outcome is `accepted`, `refused CODE`, or `FAIL ..`, which must not occur.
`--show SEED` tries one and lets its exception through. `--record FILE` adds a line of counts once a
share is done; `python -m tests.fuzz.run total --record FILE` adds up those of all shares:

    python -m tests.fuzz.run texts --start 2757 --count 5000 --record benchmarks/results/fuzz.jsonl
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

KINDS = ("texts", "words", "runs", "files", "kills")


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


def share(name: str, seeds: range, lines: list[str], slowest: tuple[float, int]) -> dict:
    """The counts of a share whose seeds are all done, with the build, the CPU seconds of the
    slowest that was tried now and the most memory that the process took, in megabytes."""
    own = [line.split()[1] for line in lines if int(line.split()[0]) in seeds]
    counts = collections.Counter(own)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "kind": name,
        "build": _build(),
        "from": seeds.start,
        "to": seeds.stop - 1,
        "accepted": counts["accepted"],
        "refused": counts["refused"],
        "else": len(own) - counts["accepted"] - counts["refused"],
        "slowest": [round(slowest[0], 2), slowest[1]],
        "megabytes": round(memory / (2**20 if sys.platform == "darwin" else 2**10)),
    }


def _build() -> str:
    """The commit of this checkout."""
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def total(path: Path) -> str:
    """The shares of a file added up, a line a kind. Raises: SystemExit where two shares of a kind
    hold the same seed."""
    shares = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = []
    for name in dict.fromkeys(each["kind"] for each in shares):
        own = [each for each in shares if each["kind"] == name]
        for k, one in enumerate(own):
            if any(max(one["from"], o["from"]) <= min(one["to"], o["to"]) for o in own[k + 1 :]):
                raise SystemExit(f"{path}: two shares of {name} hold seed {one['from']} or later")
        counts = {key: sum(each[key] for each in own) for key in ("accepted", "refused", "else")}
        told = ", ".join(f"{count} {key}" for key, count in counts.items())
        slowest, most = max(o["slowest"] for o in own), max(o["megabytes"] for o in own)
        rows.append(
            f"{name}: {sum(counts.values())} tried, {told}; the slowest {slowest[0]} CPU s, seed"
            f" {slowest[1]}; {most} MB"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=[*KINDS, "total"])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", type=int)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    if options.kind == "total":
        print(total(options.record))
        return
    attempt = kind(options.kind)
    if options.show is not None:
        print(attempt(random.Random(options.show)))
        return
    path = options.out or Path(f"{options.kind}.txt")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    done, began, slowest = {int(line.split()[0]) for line in lines}, time.monotonic(), (0.0, 0)
    seeds = range(options.start, options.start + options.count)
    with path.open("a", encoding="utf-8") as out:
        for seed in seeds:
            if seed not in done:
                before = time.process_time()
                lines.append(f"{seed} {outcome(attempt, seed)}")
                slowest = max(slowest, (time.process_time() - before, seed))
                out.write(lines[-1] + "\n")
                out.flush()
    if options.record is not None:
        with options.record.open("a", encoding="utf-8") as record:
            record.write(json.dumps(share(options.kind, seeds, lines, slowest)) + "\n")
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
