"""The best wings of `examples/airfoil_design.py` for several weights of the penalty, found by the
solver alone: ratio of drag to lift where they were found and on a grid three times as fine, flows
and CPU seconds.

    OMP_NUM_THREADS=1 python benchmarks/airfoil/design.py [--weights 1 0.1 0.01]
    OMP_NUM_THREADS=1 python benchmarks/airfoil/design.py --weights 0.01 --least 0.25

Writes `benchmarks/results/airfoil_design.json` after each weight; the second adds to it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "airfoil_design.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0, 0.1, 0.01])
    parser.add_argument("--least", type=float, default=0.0, help="lift, by a penalty")
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()
    spec = importlib.util.spec_from_file_location("design", ROOT / "examples/airfoil_design.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.flows(example.START[None], 8)  # compiles
    rows = json.loads(RESULTS.read_text()) if given.least and RESULTS.exists() else []
    for weight in given.weights:
        begun = time.process_time()
        found, count = example.main(16, 48, given.steps, weight, given.least)
        row = {"weight": weight, "least": given.least, "drag and lift": found[0].tolist()}
        row |= {"on the finer grid": found[1].tolist(), "flows": count}
        rows.append(row | {"seconds": time.process_time() - begun})
        print(rows[-1], flush=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
