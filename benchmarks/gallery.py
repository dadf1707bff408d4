"""Draws the pictures of the gallery: one sample of every example, solved by finite elements.

    OMP_NUM_THREADS=1 python benchmarks/gallery.py [NAME ...]

Each is solved in a process of its own, and left out with its reason where it takes longer than
`--limit` seconds or is refused.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images" / "gallery"
RESOLUTION = {1: 48, 2: 24, 3: 6}
DPI, COLOURS = 64, 64


def draw(name: str) -> bytes:
    """A small PNG of the reference solution of the first sample of seed 0."""
    import torch
    from PIL import Image

    import compiler
    import pdespec
    from compiler.report.pictures import reference_picture

    problem = pdespec.load(ROOT / "examples" / f"{name}.pde")
    generator = torch.Generator().manual_seed(0)
    batch = compiler.sample(problem, 1, generator=generator, dtype=torch.float64)
    truth = compiler.solve(problem, batch, resolution=RESOLUTION[len(problem.coordinates)])
    figure = reference_picture(problem, batch, truth)
    drawn, out = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    picture = Image.open(drawn).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="examples; all by default")
    parser.add_argument("--limit", type=float, default=240, help="seconds for one")
    parser.add_argument("--here", action="store_true", help="draw one in this process")
    given = parser.parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    names = given.names or sorted(path.stem for path in (ROOT / "examples").glob("*.pde"))
    for name in names:
        if given.here:
            (PICTURES / f"{name}.png").write_bytes(draw(name))
            continue
        command = [sys.executable, __file__, name, "--here"]
        try:
            found = subprocess.run(command, timeout=given.limit, capture_output=True, text=True)
            said = found.stderr.strip().splitlines()[-1] if found.returncode else "drawn"
        except subprocess.TimeoutExpired:
            said = f"not solved in {given.limit:g} seconds"
        print(f"{name}: {said}", flush=True)


if __name__ == "__main__":
    main()
