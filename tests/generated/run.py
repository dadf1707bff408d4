"""Tries many generated problems and writes down what came of each, one line a problem: `seed
outcome`.

    python -m tests.generated.run --problems 20000 --start 0 --out generated.txt

What is in the file already is not tried again. `--kind found` puts functions to be found, priors
and files of values into such problems, `--kind mutants` spoils examples instead. Every
`--every`-th problem is checked deeply: all backends on an operator, gradients, a step of training.
`--show SEED` prints one problem and its finding in full.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import time
import traceback
from pathlib import Path

import torch

from tests.generated.checks import Finding, basic, deep
from tests.generated.declared import to_text
from tests.generated.draw import draw
from tests.generated.found import draw_found
from tests.generated.mutate import mutate, survives

DRAWN = {"problems": draw, "found": draw_found}


def outcome(kind: str, seed: int, every: int) -> str:
    """`ok`, with what was noted; or `FAIL kind: head of the detail`."""
    try:
        if kind == "mutants":
            notes = survives(mutate(random.Random(seed)))
        else:
            problem = DRAWN[kind](random.Random(seed))
            notes = (
                deep(problem, seed // every)
                if every and seed % every == 0
                else basic(problem, seed)
            )
    except Finding as found:
        return f"FAIL {found.kind}: {' '.join(found.detail.split())[:300]}"
    except Exception as error:  # of the generator itself
        return (
            f"FAIL machine {type(error).__name__}:"
            f" {' '.join(traceback.format_exc().split())[-300:]}"
        )
    return " ".join(["ok", *sorted({note.replace(" ", "_") for note in notes})])


def summary(lines: list[str]) -> str:
    """Counts by outcome, findings by kind with their first seeds."""
    counts: collections.Counter[str] = collections.Counter()
    seeds: dict[str, list[str]] = collections.defaultdict(list)
    notes: collections.Counter[str] = collections.Counter()
    for line in lines:
        seed, _, rest = line.partition(" ")
        if rest.startswith("FAIL"):
            kind = (
                rest[5:].split(":")[0]
                if not rest[5:].startswith("machine")
                else rest[5:].split(":")[0]
            )
            counts[f"FAIL {kind}"] += 1
            seeds[f"FAIL {kind}"].append(seed)
        else:
            words = rest.split()[1:]
            counts[
                (
                    "refused"
                    if words and all(word.startswith("refused") for word in words)
                    else "degenerate"
                    if "degenerate" in words
                    else "passed"
                )
            ] += 1
            notes.update(words)
    shown = [
        f"{count:6d} {what}" + (f"  seeds {', '.join(seeds[what][:6])}" if what in seeds else "")
        for what, count in counts.most_common()
    ]
    return "\n".join(
        [
            f"{len(lines):6d} tried",
            *shown,
            "",
            *(f"{count:6d} {note}" for note, count in notes.most_common()),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--kind", choices=["problems", "found", "mutants"], default="problems")
    parser.add_argument("--out", type=Path, default=Path("generated.txt"))
    parser.add_argument("--show", type=int)
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.show is not None:
        show(options.kind, options.show, options.every)
        return
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.exists() else []
    if not options.summary:
        done = {int(line.split()[0]) for line in lines}
        began = time.monotonic()
        with options.out.open("a", encoding="utf-8") as out:
            for seed in range(options.start, options.start + options.problems):
                if seed not in done:
                    lines.append(f"{seed} {outcome(options.kind, seed, options.every)}")
                    out.write(lines[-1] + "\n")
                    out.flush()
        print(f"{time.monotonic() - began:.0f} seconds")
    print(summary(lines))


def show(kind: str, seed: int, every: int) -> None:
    """One problem as text, and what came of it."""
    if kind == "mutants":
        print(text := mutate(random.Random(seed)))
        print(survives(text))
        return
    problem = DRAWN[kind](random.Random(seed))
    print(to_text(problem), file=sys.stdout)
    print(deep(problem, seed // every) if every and seed % every == 0 else basic(problem, seed))


if __name__ == "__main__":
    main()
