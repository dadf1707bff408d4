"""W08: shapes that a law can turn inside out. W10: shapes that are much thinner than long."""

from __future__ import annotations

from collections.abc import Iterator

from pdespec.errors import Diagnostic
from pdespec.geometry import Polygon, subshapes
from pdespec.notation import short
from pdespec.rules.admissible import counterexample, crossing, needed, sides
from pdespec.rules.registry import Analysis, rule

THIN = (
    # longest over shortest side from which a shape counts as thin: float32 has seven digits, of
    # which its second derivatives lose six
    1000
)


@rule("W08")
def shapes_have_an_inside(analysis: Analysis) -> Iterator[Diagnostic]:
    """Radii and sides are positive for every number that the laws of the params reach."""
    for domain in analysis.problem.domains.values():
        for need in needed(domain.shape):
            found = counterexample(need)
            if found is None:
                continue
            values, result = found
            drawn = {
                symbol.name: symbol.declaration
                for symbol in need.scalars
                if symbol.declaration.law is not None
            }
            at = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
            message = f"{need.name} {short(need.value)} in `{domain.name}` is {result:.6g}" + (
                f" at {at}" if at else ""
            )
            names = ", ".join(
                f"`{name}`" for name in dict.fromkeys(each.name for each in drawn.values())
            )
            hint = (
                f"restrict the law of {names}, so that {need.name} stays positive"
                if names
                else f"give a positive {need.name[4:]}"
            )
            cause = "a shape without an inside has no points"
            yield Diagnostic("W08", message, hint, cause, label=domain.name)


@rule("W08")
def sides_of_polygons_do_not_cross(analysis: Analysis) -> Iterator[Diagnostic]:
    """The sides of a polygon meet at its corners alone, in the middle of the laws of its params
    and at their ends."""
    for domain in analysis.problem.domains.values():
        found = next(
            (
                each
                for shape in subshapes(domain.shape)
                if isinstance(shape, Polygon) and (each := crossing(shape))
            ),
            None,
        )
        if found is not None:
            (a, b), (c, d), at = found
            message = (
                f"the sides {_place(a)} to {_place(b)} and {_place(c)} to {_place(d)} of the"
                f" polygon in `{domain.name}` cross or touch"
            )
            hint = (
                "give the corners in the order in which they follow one another around the polygon"
            )
            cause = "it has no inside otherwise, or two of them"
            yield Diagnostic(
                "W08", message + (f" at {at}" if at else ""), hint, cause, label=domain.name
            )


def _place(point: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{x:.6g}' for x in point)}]"


@rule("W10")
def shapes_are_not_much_thinner_than_long(analysis: Analysis) -> Iterator[Diagnostic]:
    """No side of a box is shorter than a thousandth of another: lengths are scaled all alike."""
    for domain in analysis.problem.domains.values():
        found = max(
            (lengths for each in subshapes(domain.shape) if (lengths := sides(each))),
            key=lambda s: max(s) / min(s),
            default=None,
        )
        if found is None or max(found) < THIN * min(found):
            continue
        written = " by ".join(f"{length:.6g}" for length in found)
        hint = (
            "average the equations over the short side, or measure the coordinates in units of"
            " their own"
        )
        cause = (
            "all coordinates are scaled alike: derivatives across exceed those along by that factor"
            " to the power of their order"
        )
        yield Diagnostic(
            "W10",
            f"`{domain.name}` is {written}, thin by a factor of {max(found) / min(found):.3g}",
            hint,
            cause,
            None,
            domain.name,
            "warning",
        )
