"""Which derivative backend a user asked for: by the label of a term, by an unknown, by a region."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.derivatives import DERIVATIVES
from compiler.lowering.terms import Term
from pdespec.errors import nearest


def backend_name(backend: object) -> str:
    """The registered name of a backend, given by name or as an instance with its options; "auto" is
    the planner's choice.

    Raises: KeyError with the nearest name for a name that is unknown, or with what to give instead.
    """
    if isinstance(backend, str):
        if backend != "auto":
            DERIVATIVES[backend]  # raises with the nearest name
        return backend
    for name, kind in DERIVATIVES.items():
        if isinstance(backend, kind):
            return name
        if backend is kind:
            raise KeyError(
                f"derivatives: give an instance of {kind.__name__}, as {kind.__name__}(), or its"
                f" name {name!r}"
            )
    known = f"known: auto, {', '.join(DERIVATIVES)}"
    raise KeyError(f"derivatives: {backend!r} is not a backend; {known}")


def check_selection(derivatives: object, terms: tuple[Term, ...]) -> None:
    """What a selection names must exist, and no term may be given two backends.

    Raises: KeyError with the nearest name for a key that names nothing or a backend that does not
    exist; ValueError where two unknowns of one term ask for different backends.
    """
    if not isinstance(derivatives, Mapping):
        backend_name(derivatives)
        return
    components = {s.component for t in terms for s in t.jet_variables() if not s.known}
    parents = {component.split(".")[0] for component in components}
    known = (
        {"default"}
        | {t.label for t in terms}
        | {t.region.name for t in terms}
        | components
        | parents
    )
    for name, backend in derivatives.items():
        if name not in known:
            close = nearest(str(name), known)
            raise KeyError(
                f"derivatives: nothing is called `{name}`"
                + (f"; did you mean `{close}`?" if close else "")
            )
        backend_name(backend)
    for term in terms:
        choice(term, derivatives)


def choice(term: Term, derivatives: object) -> object:
    """The backend asked for a term: by its label, else by an unknown that it differentiates, else
    by its region, else the default.

    Raises: ValueError where two of its unknowns ask for different backends.
    """
    if not isinstance(derivatives, Mapping):
        return derivatives
    if term.label in derivatives:
        return derivatives[term.label]
    own = sorted(
        {s.component for s in term.jet_variables() if not s.known and (any(s.index) or s.form)}
    )
    keys = (component if component in derivatives else component.split(".")[0] for component in own)
    named = {key: derivatives[key] for key in keys if key in derivatives}
    if len(set(named.values())) > 1:
        both = " and ".join(f"`{key}`" for key in named)
        raise ValueError(
            f"derivatives: `{term.label}` differentiates {both}, which ask for different backends;"
            f" give one for `{term.label}`"
        )
    return next(
        iter(named.values()), derivatives.get(term.region.name, derivatives.get("default", "auto"))
    )
