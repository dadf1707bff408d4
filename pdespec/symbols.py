"""Parameters, unknown and input fields as real SymPy expressions.

A declaration (`Unknown`, `Input`, `Param`) is a frozen value; its `.symbol` is the SymPy expression
that stands for it in equations. Structure is never read out of a name: a component function leads
back to its declaration by `.func.declaration` and to its place in it by `.func.component`.
"""

from __future__ import annotations

import copyreg
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction

from pdespec.coordinates import (
    RANKS,
    Coordinate,
    Declaration,
    Time,
    as_exact,
    check_name,
    is_finite_number,
)
from pdespec.errors import fail, suggestion
from pdespec.geometry import Boundary, Domain
from pdespec.laws import Gaussian, Law

# --------------------------------------------------------------------------------------------------
# declarations


@dataclass(frozen=True)
class Param(Declaration):
    """A number of the problem.

    `kind` is "const" (fixed when the problem is compiled), "param" (one value per sample; drawn
    when `law` is given) or "trainable" (to be found; `value` is the first guess). With `size` it is
    a vector of that many numbers.
    """

    name: str
    kind: str
    value: sp.Expr | None = None
    law: Law | None = None
    size: int | None = None
    unit: str | None = None

    @property
    def components(self) -> tuple[str, ...]:
        """The name, or `name[0]`, `name[1]`, .. of a vector of numbers."""
        return (
            (self.name,)
            if self.size is None
            else tuple(f"{self.name}[{i}]" for i in range(self.size))
        )

    @property
    def symbol(self) -> sp.Expr | sp.ImmutableMatrix:
        """What stands for it in an expression: a symbol, or a column of them."""
        if self.size is None:
            return Scalar(self)
        return sp.ImmutableMatrix([Scalar(self, i) for i in range(self.size)])


class Scalar(sp.Symbol):
    """The symbol of a `Param`, or of its component `index` when that is sized. A positive
    constant knows that it is positive."""

    __slots__ = ("declaration", "index")
    declaration: Param
    index: int

    def __new__(cls, declaration: Param, index: int = 0) -> Scalar:
        positive = (
            declaration.kind == "const"
            and declaration.value is not None
            and declaration.value.is_positive
        )
        self = sp.Symbol.__xnew__(
            cls,
            declaration.components[index],
            **({"positive": True} if positive else {"real": True}),
        )
        self.declaration, self.index = declaration, index
        return self

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.declaration)

    def __getnewargs_ex__(self) -> tuple:
        return (self.declaration, self.index), {}


@dataclass(frozen=True)
class Unknown(Declaration):
    """A field to be found on `region`, depending on time when `time` is given. `positive` asks for
    an output transform.

    A `complex` one has two real components for each of its own, named `psi.re` and `psi.im`.
    """

    name: str
    rank: str
    region: Domain
    time: Time | None = None
    positive: bool = False
    unit: str | None = None
    complex: bool = False

    @property
    def components(self) -> tuple[str, ...]:
        """The names of its real scalar parts: `v.x`, `v.y` of a vector."""
        return component_names(self.name, self.rank, self.region.coordinates, self.complex)

    @property
    def fields(self) -> tuple[Any, ...]:
        """The applied real components, in the order of `components`."""
        return _components(self, UnknownField)

    @property
    def symbol(self) -> sp.Expr | sp.ImmutableMatrix:
        """What stands for it in an expression: a function of its coordinates, or a matrix of
        them."""
        return _applied(self, UnknownField)

    @property
    def test(self) -> sp.Expr | sp.ImmutableMatrix:
        """The test function of the unknown in weak forms."""
        return _applied(self, TestField)


@dataclass(frozen=True)
class Input(Declaration):
    """A field given for every sample: drawn from `law`, read from the file `source`, or passed
    by the caller when neither is set. `folder`: what the path `source` is relative to, that of the
    text which names it; it does not count in equality."""

    name: str
    rank: str
    region: Domain | Boundary
    law: Law | None = None
    source: str | None = None
    time: Time | None = None
    unit: str | None = None
    complex: bool = False
    folder: str = field(default="", compare=False, repr=False)
    columns: tuple[tuple[str, str], ...] = ()  # names of the problem, and what the file calls them

    @property
    def components(self) -> tuple[str, ...]:
        """The names of its real scalar parts: `v.x`, `v.y` of a vector."""
        return component_names(self.name, self.rank, self.region.coordinates, self.complex)

    @property
    def symbol(self) -> sp.Expr | sp.ImmutableMatrix:
        """What stands for it in an expression: a function of its coordinates, or a matrix of
        them."""
        return _applied(self, InputField)


class UnknownField(AppliedUndef):
    """Base of the applied component functions of unknowns: `isinstance(u, UnknownField)`,
    `u.func.declaration`."""

    declaration: ClassVar[Any]
    component: ClassVar[int]


class InputField(AppliedUndef):
    """Base of the applied component functions of inputs."""

    declaration: ClassVar[Any]
    component: ClassVar[int]


class FoundField(InputField):
    """Base of the applied functions of trainable fields (see `pdespec.trainable_fields`): known as
    inputs are, as far as a statement is concerned."""


class TestField(AppliedUndef):
    """Base of the test functions of a weak form: `test.u` is the variation of the component `u`."""

    declaration: ClassVar[Any]
    component: ClassVar[int]


class FieldFunction(UndefinedFunction):
    """The class of one component function, such as `v.x`: an undefined SymPy function that knows
    its declaration."""

    declaration: Unknown | Input
    component: int

    def __eq__(cls, other: object) -> bool:
        return cls is other or super().__eq__(other)

    def __ne__(cls, other: object) -> bool:
        return not cls == other

    def __hash__(cls) -> int:
        return hash(cls.__name__)


@lru_cache(maxsize=4096)
def component_function(
    declaration: Unknown | Input, component: int, base: type[AppliedUndef]
) -> Any:
    """The function class of one component of a field. One object per value, so that comparing
    two of them costs nothing."""
    positive = getattr(declaration, "positive", False)
    assumptions = {"positive": True} if positive and base is not TestField else {"real": True}
    if base is FoundField:
        name = declaration.name
    elif base is TestField:
        name = f"test.{declaration.components[component]}"
    else:
        name = declaration.components[component]
    return FieldFunction(
        name, bases=(base,), declaration=declaration, component=component, **assumptions
    )


def _reduce_function(function: FieldFunction) -> tuple:
    return component_function, (function.declaration, function.component, function.__bases__[0])


copyreg.pickle(FieldFunction, _reduce_function)


def component_names(
    name: str, rank: str, coordinates: Sequence[Coordinate], complex: bool = False
) -> tuple[str, ...]:
    """`u`; `v.x v.y`; `T.xx T.xy T.yx T.yy`, row by row; of complex fields `psi.re psi.im`,
    `E.x.re E.x.im ..`."""
    if complex:
        return tuple(
            f"{each}.{part}"
            for each in component_names(name, rank, coordinates)
            for part in ("re", "im")
        )
    axes = [coordinate.name for coordinate in coordinates]
    if rank == "scalar":
        return (name,)
    if rank == "vector":
        return tuple(f"{name}.{i}" for i in axes)
    return tuple(f"{name}.{i}{j}" for i in axes for j in axes)


def _applied(
    declaration: Unknown | Input, base: type[AppliedUndef]
) -> sp.Expr | sp.ImmutableMatrix:
    entries: Sequence[Any] = _components(declaration, base)
    if declaration.complex:
        entries = [
            real + sp.I * imaginary
            for real, imaginary in zip(entries[::2], entries[1::2], strict=True)
        ]
    if declaration.rank == "scalar":
        return entries[0]
    rows = len(declaration.region.coordinates)
    return sp.ImmutableMatrix(rows, len(entries) // rows, entries)


def _components(declaration: Unknown | Input, base: type[AppliedUndef]) -> tuple[Any, ...]:
    arguments = (
        *declaration.region.coordinates,
        *((declaration.time,) if declaration.time is not None else ()),
    )
    return tuple(
        component_function(declaration, i, base)(*arguments)
        for i in range(len(declaration.components))
    )


# --------------------------------------------------------------------------------------------------
# constructors


def unknown(
    name: str,
    region: Domain,
    rank: str = "scalar",
    time: Time | None = None,
    positive: bool = False,
    unit: str | None = None,
    complex: bool = False,
) -> Any:
    """The expression of an unknown field: `u = unknown("u", Omega)`, `v = unknown("v", Omega,
    "vector", time=t)`.

    That of a `complex` one is its real component plus `sp.I` times its imaginary one.
    """
    check_name(name, "an unknown")
    _check_rank(name, rank)
    check_region(name, region, on_boundaries=False)
    check_tensor(name, rank, region.coordinates)
    check_time(name, time)
    check_sign(name, positive, complex)
    return Unknown(name, rank, region, time, positive, unit, complex).symbol


def check_sign(name: str, positive: bool, complex: bool) -> None:
    """Raises: T05 for a complex field that is declared positive."""
    if positive and complex:
        raise fail(
            "T05",
            f"`{name}` is complex and declared positive",
            "only real fields have a sign",
            label=name,
        )


def input_function(  # noqa: PLR0913 (a public call: its options are keywords)
    name: str,
    region: Domain | Boundary,
    law: Law | None = None,
    rank: str = "scalar",
    source: str | None = None,
    time: Time | None = None,
    unit: str | None = None,
    complex: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Any:
    """The expression of a field given per sample: `f = input_function("f", Omega,
    gaussians(count=2))`."""
    check_name(name, "an input")
    _check_rank(name, rank)
    check_region(name, region, on_boundaries=True)
    check_tensor(name, rank, region.coordinates)
    check_time(name, time)
    _check_law(name, law, "function")
    if law is not None and source is not None:
        raise fail(
            "S02",
            f"input `{name}` has a law and a source",
            "it is drawn or read, so give one of them",
            label=name,
        )
    called = tuple((columns or {}).items())
    return Input(name, rank, region, law, source, time, unit, complex, columns=called).symbol


def param(name: str, value: Any = None, size: int | None = None, unit: str | None = None) -> Any:
    """A number given per sample: `Re = param("Re", 500)`, or drawn per sample: `c = param("c",
    uniform(0, 1))`."""
    if isinstance(value, Law):
        _check_law(name, value, "number")
        return _scalar(name, "param", None, value, size, unit)
    return _scalar(name, "param", value, None, size, unit)


def const(name: str, value: Any, unit: str | None = None) -> Any:
    """A number fixed when the problem is compiled: `nu = const("nu", 0.01)`."""
    return _scalar(name, "const", value, None, None, unit)


def trainable(name: str, value: Any = 1, size: int | None = None, unit: str | None = None) -> Any:
    """A number to be found from data; `value` is the first guess, `k = trainable("k", 1)`, or the
    prior, whose mean is the first guess then: `k = trainable("k", normal(1, 0.2))`."""
    if isinstance(value, Law):
        _check_law(name, value, "number")
        return _scalar(name, "trainable", check_prior(name, value).mean, value, size, unit)
    return _scalar(name, "trainable", value, None, size, unit)


def _scalar(
    name: str, kind: str, value: Any, law: Law | None, size: int | None, unit: str | None
) -> Any:
    check_name(name, f"a {kind}")
    if value is not None:
        value = as_exact(value)
        if not is_finite_number(value):
            hint = (
                "give a finite number such as 1/2 or 2*sp.pi; an expression of other parameters"
                " needs no declaration of its own"
            )
            raise fail(
                "S02", f"the value of {kind} `{name}` is not a number: {value}", hint, label=name
            )
    if size is not None and (not isinstance(size, int) or size < 1):
        raise fail(
            "S02",
            f"{kind} `{name}` has size {size!r}",
            "size counts its numbers: 1, 2, ..",
            label=name,
        )
    return Param(name, kind, value, law, size, unit).symbol


def check_tensor(name: str, rank: str, frame: Sequence[Coordinate]) -> None:
    """Raises: T06 for a tensor field about an axis, whose hoop entry no component names."""
    if rank == "tensor" and frame[0].system:
        hint = (
            "declare its entries as scalars, the hoop entry among them: unknown Trr : scalar on"
            " Omega, .."
        )
        raise fail(
            "T06", f"`{name}` is a tensor in {frame[0].system} coordinates", hint, label=name
        )


def _check_rank(name: str, rank: str) -> None:
    if rank not in RANKS:
        hint = suggestion(str(rank), RANKS, f"one of {', '.join(RANKS)}", quote="'")
        raise fail("S01", f"unknown rank {rank!r} of `{name}`", hint, label=name)


def check_region(name: str, region: object, on_boundaries: bool) -> None:
    """Raises: ProblemError T05 where a field is declared on what is no region of its kind."""
    if not isinstance(region, (Domain, Boundary) if on_boundaries else Domain):
        wanted = "domain or boundary" if on_boundaries else "domain"
        hint = f"a field lives on a {wanted}, such as rectangle(x, y, [0, 0], [1, 1])"
        raise fail(
            "T05", f"`{name}` is declared on {region!r}, which is no {wanted}", hint, label=name
        )


def check_time(name: str, time: object) -> None:
    """Raises: ProblemError T05 where the time of a field is no time."""
    if time is not None and not isinstance(time, Time):
        raise fail(
            "T05", f"`{name}` is given time={time!r}", 't = time("t", 0, 1) makes one', label=name
        )


def check_prior(name: str, law: Law) -> Gaussian:
    """The law of a trainable number. Raises: T05 where it is not normal."""
    if not isinstance(law, Gaussian):
        raise fail(
            "T05",
            f"the prior of the trainable `{name}` is not a normal law",
            f"write {name} ~ normal(1, 0.2); of a positive number give the logarithm one, and use"
            " its exponential",
            "Laplace's approximation takes the logarithm of a prior for a parabola",
            label=name,
        )
    return law


def _check_law(name: str, law: object, draws: str) -> None:
    if law is None:
        return
    examples = {
        "number": "uniform(0, 1) or normal(0, 1)",
        "function": "grf(length=0.5) or gaussians(count=2)",
    }
    if not isinstance(law, Law):
        raise fail(
            "T05",
            f"`{name}` is drawn from {law!r}, which is not a law",
            f"write for example {examples[draws]}",
            label=name,
        )
    if law.draws != draws:
        raise fail(
            "T05",
            f"`{name}` is a {draws}, the law draws a {law.draws}",
            f"write for example {examples[draws]}",
            label=name,
        )
