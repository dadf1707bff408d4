"""T06: bodies of revolution lie on one side of their axis."""

from __future__ import annotations

from collections.abc import Iterator

from pdespec.errors import Diagnostic
from pdespec.geometry import Disk, Interval, Rectangle, subshapes
from pdespec.rules.registry import Analysis, rule


@rule("T06")
def bodies_stay_on_one_side_of_the_axis(analysis: Analysis) -> Iterator[Diagnostic]:
    """No domain about an axis or a centre reaches below r = 0, as far as the numbers of its
    outermost shape tell."""
    for domain in analysis.problem.domains.values():
        first = domain.coordinates[0]
        shape = next(subshapes(domain.shape))
        if not first.system or not isinstance(shape, (Interval, Rectangle, Disk)):
            continue
        least = shape.center[0] - shape.radius if isinstance(shape, Disk) else shape.lower[0]
        if least.is_negative:
            message = (
                f"`{domain.name}` reaches {first} = {least}, and {first} is the distance from the"
                f" {'axis' if domain.dim > 1 else 'centre'}"
            )
            hint = f"let it begin at {first} = 0: shapes are cut by `& rectangle([0, ..], ..)`"
            yield Diagnostic(
                "T06",
                message,
                hint,
                "the other half of the body is that of another angle",
                label=domain.name,
            )
