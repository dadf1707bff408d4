"""B03: data fields."""

from __future__ import annotations

from collections.abc import Iterator

from pdespec.errors import Diagnostic
from pdespec.jets import jets_of
from pdespec.rules.registry import Analysis, rule
from pdespec.symbols import Input, InputField


@rule("B03")
def data_are_not_differentiated(analysis: Analysis) -> Iterator[Diagnostic]:
    """No derivative of a field that is read from a file."""
    seen: set[Input] = set()
    for row in (*analysis.equations, *analysis.conditions):
        for jet in jets_of(row.form, InputField):
            source = jet.field.func.declaration
            if source.source is None or not any(jet.index) or source in seen:
                continue
            seen.add(source)
            message = f"derivative of `{source.name}`, which is data from {source.source!r}"
            hint = (
                "interpolate or mollify the data first, give its expression, or introduce an"
                " unknown for the flux"
            )
            yield row.report("B03", message, hint, "values at points have no derivative")
