"""The symbols of a problem: coordinates, time, parameters, unknown and input fields, as real SymPy expressions.

A declaration (`Unknown`, `Input`, `Param`) is a frozen value; its `.symbol` is the SymPy expression that stands for it in
equations. Structure is never read out of a name: a component function leads back to its declaration by `.func.declaration`
and to its place in it by `.func.component`.
"""

from __future__ import annotations

import copyreg
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral as WholeNumber
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.function import AppliedUndef, UndefinedFunction

from pdespec.curvilinear import DIMENSIONS, SYSTEMS
from pdespec.errors import fail, nearest

if TYPE_CHECKING:
    from pdespec.geometry import Boundary, Domain
    from pdespec.laws import Law

RANKS = ("scalar", "vector", "tensor")
NAME = re.compile(r"[^\W\d]\w*")
NOT_FINITE = tuple(type(each) for each in (sp.nan, sp.zoo, sp.oo, -sp.oo))
BINDING = (ExprWithLimits, sp.Limit)
SUSPECT = (sp.Float, *NOT_FINITE, *BINDING, sp.DiracDelta, sp.ITE, sp.Mod)  # what `exact` replaces or refuses


class Mod(sp.Mod):
    """a - b floor(a/b), evaluated for numbers alone.

    SymPy's own divides a and b by their common factor as dense polynomials, which for exp(10^8 x) have 10^8 terms: it runs out of memory.
    """

    @classmethod
    def eval(cls, p: Any, q: Any) -> Any:
        found = sp.Mod(p, q) if p.is_number and q.is_number else None
        return None if isinstance(found, sp.Mod) else found


def exact(value: Any) -> Any:
    """The SymPy form of a number, expression or array of them, with every float replaced by the rational it was written as.

    `0.1` means 1/10, not the nearest binary fraction: `Rational(repr(value))`. Text is refused: turning it into an expression
    would evaluate it, and texts belong to `pdespec.parse`.

    Raises: T05 for what is no expression, V03 for what has no finite real value.
    """
    if isinstance(value, sp.MatrixBase):
        return sp.ImmutableMatrix(value).applyfunc(_exact_scalar)
    if isinstance(value, sp.Expr):
        return _exact_scalar(value)
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy and its kin
        value = value.tolist()
    if isinstance(value, WholeNumber) and not isinstance(value, bool):
        return sp.Integer(int(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        return _rational(float(value))
    if isinstance(value, complex):
        return _rational(value.real) + sp.I * _rational(value.imag)
    if isinstance(value, (list, tuple)) and value:
        return sp.ImmutableMatrix([list(row) if isinstance(row, (list, tuple)) else [row] for row in value]).applyfunc(_exact_scalar)
    hint = "build it from symbols and numbers, or write the problem as text for pdespec.parse"
    raise fail("T05", f"{value!r} is no expression", hint)


def is_scalar(value: Any) -> bool:
    """Whether a value is a scalar expression. (An immutable matrix is an `Expr` to SymPy.)"""
    return isinstance(value, sp.Expr) and not isinstance(value, sp.MatrixBase)


def is_finite_number(value: Any) -> bool:
    """Whether a value is a finite real number."""
    return is_scalar(value) and bool(value.is_number and value.is_real and value.is_finite)


def _exact_scalar(expression: sp.Expr) -> Any:
    suspects = expression.atoms(*SUSPECT)
    if not suspects:
        return expression
    if bound := [each for each in suspects if isinstance(each, BINDING)]:
        hint = "carry it out first: expression.doit(); integral(psi, Omega) is the integral over a region"
        raise fail("T05", f"{bound[0]} binds a symbol", hint, "statements are evaluated point by point")
    if peaks := [each for each in suspects if isinstance(each, sp.DiracDelta)]:
        hint = f"give it a width that the mesh or the points resolve: dirac({peaks[0].args[0]}, 0.05)"
        raise fail(
            "N01", f"{peaks[0]} is a point source without width, which has no value", hint, "statements are evaluated point by point"
        )
    if any(isinstance(each, sp.ITE) for each in suspects):  # SymPy's form of a choice inside of a condition
        return _exact_scalar(expression.replace(sp.ITE, lambda c, a, b: sp.Or(sp.And(c, a), sp.And(sp.Not(c), b))))
    if any(type(each) is sp.Mod for each in suspects):
        return _exact_scalar(expression.replace(sp.Mod, Mod))
    if any(isinstance(each, NOT_FINITE) for each in suspects):
        raise fail("V03", f"{expression} has no finite value", "look for a division by zero or a number that has overflowed")
    return expression.xreplace({each: _rational(float(each)) for each in suspects if each.is_Float})


def _rational(value: float) -> sp.Expr:
    if value != value or value in (float("inf"), float("-inf")):
        raise fail("V03", f"{value} cannot stand in a problem", "numbers are finite")
    return sp.Rational(repr(value))


# ---------------------------------------------------------------------------------------------------------------- coordinates


class Coordinate(sp.Symbol):
    """A space coordinate. `frame` names all space coordinates of its problem in order, so that `div` knows what to sum over.

    `system` is "" for Cartesian coordinates, "axisymmetric" or "spherical" (see `curvilinear.py`).
    """

    __slots__ = ("frame", "system", "unit")
    frame: tuple[str, ...]
    unit: str | None
    system: str

    def __new__(cls, name: str, frame: Iterable[str] | None = None, unit: str | None = None, system: str = "") -> Coordinate:
        self = sp.Symbol.__xnew__(cls, name, real=True)
        self.frame = tuple(frame) if frame is not None else (name,)
        self.unit, self.system = unit, system
        return self

    @property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """All coordinates of the frame, in order."""
        return tuple(self if name == self.name else Coordinate(name, self.frame, self.unit, self.system) for name in self.frame)

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.frame, self.unit or "", self.system)

    def __getnewargs_ex__(self) -> tuple:
        return (self.name, self.frame, self.unit, self.system), {}


class Time(sp.Symbol):
    """The time coordinate on [start, end]; fields repeat after that when it is `periodic`."""

    __slots__ = ("start", "end", "periodic", "unit")
    start: sp.Expr
    end: sp.Expr
    unit: str | None

    periodic: bool

    def __new__(cls, name: str, start: Any = 0, end: Any = 1, unit: str | None = None, periodic: bool = False) -> Time:
        self = sp.Symbol.__xnew__(cls, name, real=True)
        self.start, self.end, self.unit, self.periodic = exact(start), exact(end), unit, periodic
        return self

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.start, self.end, self.unit or "", self.periodic)

    def __getnewargs_ex__(self) -> tuple:
        return (self.name, self.start, self.end, self.unit, self.periodic), {}


class Normal(sp.Symbol):
    """One component of the outward unit normal, named `n.x`, `n.y`, .."""

    __slots__ = ("coordinate",)
    coordinate: Coordinate

    def __new__(cls, coordinate: Coordinate) -> Normal:
        self = sp.Symbol.__xnew__(cls, f"n.{coordinate.name}", real=True)
        self.coordinate = coordinate
        return self

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.coordinate)

    def __getnewargs_ex__(self) -> tuple:
        return (self.coordinate,), {}


def space(names: str, unit: str | None = None, system: str = "") -> tuple[Coordinate, ...]:
    """The space coordinates of a problem, `x, y = space("x y")`. Names are separated by spaces or commas.

    `r, z = space("r z", system="axisymmetric")` and `r, = space("r", system="spherical")` are those of bodies of revolution and balls.
    """
    frame = tuple(names.replace(",", " ").split())
    if not 1 <= len(frame) <= 3:
        raise fail("S02", f"space takes one to three coordinates, {len(frame)} given", 'write x, y = space("x y")')
    if len(set(frame)) < len(frame):
        raise fail("S05", f"a coordinate is named twice in {names!r}", "give every coordinate its own name")
    for name in frame:
        check_name(name, "coordinate")
    check_system(system, len(frame))
    return tuple(Coordinate(name, frame, unit, system) for name in frame)


def check_system(system: str, dim: int) -> None:
    """Raises: S01 for an unknown system of coordinates, T06 where it has another number of them."""
    if system and system not in SYSTEMS:
        near = nearest(system, SYSTEMS)
        hint = f"did you mean `{near}`?" if near else f"coordinates are separated by commas; systems are {', '.join(SYSTEMS)}"
        raise fail("S01", f"unknown system of coordinates `{system}`", hint)
    if system and dim not in DIMENSIONS[system]:
        wanted = " or ".join(map(str, DIMENSIONS[system]))
        hint = "write space r, z axisymmetric, or space r spherical"
        raise fail("T06", f"{system} coordinates are {wanted}, {dim} given", hint, "fields do not depend on the angles")


def time(name: str = "t", start: Any = 0, end: Any = 1, unit: str | None = None, periodic: bool = False) -> Time:
    """The time coordinate of a problem, `t = time("t", 0, 10)`; with `periodic` fields repeat after it, and nothing is initial."""
    check_name(name, "time")
    result = Time(name, start, end, unit, periodic)
    if (result.end - result.start).is_positive is not True:
        raise fail("S02", f"time {name} runs from {result.start} to {result.end}", "the end comes after the start", label=name)
    return result


def unit_normal(region: Any) -> sp.ImmutableMatrix:
    """The outward unit normal of a region, or of the space of given coordinates, as a vector: `dot(grad(u), unit_normal(Omega))`."""
    coordinates = getattr(region, "coordinates", region)
    return sp.ImmutableMatrix([Normal(coordinate) for coordinate in coordinates])


def check_name(name: str, what: str) -> None:
    """Raises S03 unless `name` is an identifier: a letter or underscore, then letters, digits and underscores."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise fail("S03", f"{name!r} cannot name {what}", "a name is a letter followed by letters, digits or underscores")


# ---------------------------------------------------------------------------------------------------------------- declarations


class Declaration:
    """What declared values share: an order among themselves, which SymPy needs to sort symbols of one name."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return repr(self) < repr(other)

    def __gt__(self, other: object) -> bool:
        return repr(self) > repr(other)


@dataclass(frozen=True)
class Param(Declaration):
    """A number of the problem.

    `kind` is "const" (fixed when the problem is compiled), "param" (one value per sample; drawn when `law` is given) or
    "trainable" (to be found; `value` is the first guess). With `size` it is a vector of that many numbers.
    """

    name: str
    kind: str
    value: sp.Expr | None = None
    law: Law | None = None
    size: int | None = None
    unit: str | None = None

    @property
    def components(self) -> tuple[str, ...]:
        return (self.name,) if self.size is None else tuple(f"{self.name}[{i}]" for i in range(self.size))

    @property
    def symbol(self) -> sp.Expr | sp.ImmutableMatrix:
        if self.size is None:
            return Scalar(self)
        return sp.ImmutableMatrix([Scalar(self, i) for i in range(self.size)])


class Scalar(sp.Symbol):
    """The symbol of a `Param`, or of its component `index` when that is sized. A positive constant knows that it is positive."""

    __slots__ = ("declaration", "index")
    declaration: Param
    index: int

    def __new__(cls, declaration: Param, index: int = 0) -> Scalar:
        positive = declaration.kind == "const" and declaration.value is not None and declaration.value.is_positive
        self = sp.Symbol.__xnew__(cls, declaration.components[index], **({"positive": True} if positive else {"real": True}))
        self.declaration, self.index = declaration, index
        return self

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.declaration)

    def __getnewargs_ex__(self) -> tuple:
        return (self.declaration, self.index), {}


@dataclass(frozen=True)
class Unknown(Declaration):
    """A field to be found on `region`, depending on time when `time` is given. `positive` asks for an output transform.

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
        return component_names(self.name, self.rank, self.region.coordinates, self.complex)

    @property
    def fields(self) -> tuple[Any, ...]:
        """The applied real components, in the order of `components`."""
        return _components(self, UnknownField)

    @property
    def symbol(self) -> sp.Expr | sp.ImmutableMatrix:
        return _applied(self, UnknownField)

    @property
    def test(self) -> sp.Expr | sp.ImmutableMatrix:
        """The test function of the unknown in weak forms."""
        return _applied(self, TestField)


@dataclass(frozen=True)
class Input(Declaration):
    """A field given for every sample: drawn from `law`, read from the file `source`, or passed by the caller when neither is set."""

    name: str
    rank: str
    region: Domain | Boundary
    law: Law | None = None
    source: str | None = None
    time: Time | None = None
    unit: str | None = None
    complex: bool = False

    @property
    def components(self) -> tuple[str, ...]:
        return component_names(self.name, self.rank, self.region.coordinates, self.complex)

    @property
    def symbol(self) -> sp.Expr | sp.ImmutableMatrix:
        return _applied(self, InputField)


class UnknownField(AppliedUndef):
    """Base of the applied component functions of unknowns: `isinstance(u, UnknownField)`, `u.func.declaration`."""

    declaration: ClassVar[Any]
    component: ClassVar[int]


class InputField(AppliedUndef):
    """Base of the applied component functions of inputs."""

    declaration: ClassVar[Any]
    component: ClassVar[int]


class TestField(AppliedUndef):
    """Base of the test functions of a weak form: `test.u` is the variation of the component `u`."""

    declaration: ClassVar[Any]
    component: ClassVar[int]


class FieldFunction(UndefinedFunction):
    """The class of one component function, such as `v.x`: an undefined SymPy function that knows its declaration."""

    declaration: Unknown | Input
    component: int

    def __eq__(cls, other: object) -> bool:
        return cls is other or super().__eq__(other)

    def __ne__(cls, other: object) -> bool:
        return not cls == other

    def __hash__(cls) -> int:
        return hash(cls.__name__)


@lru_cache(maxsize=4096)
def component_function(declaration: Unknown | Input, component: int, base: type[AppliedUndef]) -> Any:
    """The function class of one component of a field. One object per value, so that comparing two of them costs nothing."""
    positive = getattr(declaration, "positive", False)
    assumptions = {"positive": True} if positive and base is not TestField else {"real": True}
    name = declaration.components[component] if base is not TestField else f"test.{declaration.components[component]}"
    return FieldFunction(name, bases=(base,), declaration=declaration, component=component, **assumptions)


def _reduce_function(function: FieldFunction) -> tuple:
    return component_function, (function.declaration, function.component, function.__bases__[0])


copyreg.pickle(FieldFunction, _reduce_function)


def component_names(name: str, rank: str, coordinates: Sequence[Coordinate], complex: bool = False) -> tuple[str, ...]:
    """`u`; `v.x v.y`; `T.xx T.xy T.yx T.yy`, row by row; of complex fields `psi.re psi.im`, `E.x.re E.x.im ..`."""
    if complex:
        return tuple(f"{each}.{part}" for each in component_names(name, rank, coordinates) for part in ("re", "im"))
    axes = [coordinate.name for coordinate in coordinates]
    if rank == "scalar":
        return (name,)
    if rank == "vector":
        return tuple(f"{name}.{i}" for i in axes)
    return tuple(f"{name}.{i}{j}" for i in axes for j in axes)


def _applied(declaration: Unknown | Input, base: type[AppliedUndef]) -> sp.Expr | sp.ImmutableMatrix:
    entries: Sequence[Any] = _components(declaration, base)
    if declaration.complex:
        entries = [real + sp.I * imaginary for real, imaginary in zip(entries[::2], entries[1::2], strict=True)]
    if declaration.rank == "scalar":
        return entries[0]
    rows = len(declaration.region.coordinates)
    return sp.ImmutableMatrix(rows, len(entries) // rows, entries)


def _components(declaration: Unknown | Input, base: type[AppliedUndef]) -> tuple[Any, ...]:
    arguments = (*declaration.region.coordinates, *((declaration.time,) if declaration.time is not None else ()))
    return tuple(component_function(declaration, i, base)(*arguments) for i in range(len(declaration.components)))


# ---------------------------------------------------------------------------------------------------------------- constructors


def unknown(
    name: str,
    region: Domain,
    rank: str = "scalar",
    time: Time | None = None,
    positive: bool = False,
    unit: str | None = None,
    complex: bool = False,
) -> Any:
    """The expression of an unknown field: `u = unknown("u", Omega)`, `v = unknown("v", Omega, "vector", time=t)`.

    That of a `complex` one is its real component plus `sp.I` times its imaginary one.
    """
    check_name(name, "an unknown")
    _check_rank(name, rank)
    _check_region(name, region, on_boundaries=False)
    check_tensor(name, rank, region.coordinates)
    _check_time(name, time)
    check_sign(name, positive, complex)
    return Unknown(name, rank, region, time, positive, unit, complex).symbol


def check_sign(name: str, positive: bool, complex: bool) -> None:
    """Raises: T05 for a complex field that is declared positive."""
    if positive and complex:
        raise fail("T05", f"`{name}` is complex and declared positive", "only real fields have a sign", label=name)


def input_function(
    name: str,
    region: Domain | Boundary,
    law: Law | None = None,
    rank: str = "scalar",
    source: str | None = None,
    time: Time | None = None,
    unit: str | None = None,
    complex: bool = False,
) -> Any:
    """The expression of a field given per sample: `f = input_function("f", Omega, gaussians(count=2))`."""
    check_name(name, "an input")
    _check_rank(name, rank)
    _check_region(name, region, on_boundaries=True)
    check_tensor(name, rank, region.coordinates)
    _check_time(name, time)
    _check_law(name, law, "function")
    if law is not None and source is not None:
        raise fail("S02", f"input `{name}` has a law and a source", "it is drawn or read, so give one of them", label=name)
    return Input(name, rank, region, law, source, time, unit, complex).symbol


def param(name: str, value: Any = None, size: int | None = None, unit: str | None = None) -> Any:
    """A number given per sample: `Re = param("Re", 500)`, or drawn per sample: `c = param("c", uniform(0, 1))`."""
    from pdespec.laws import Law

    if isinstance(value, Law):
        _check_law(name, value, "number")
        return _scalar(name, "param", None, value, size, unit)
    return _scalar(name, "param", value, None, size, unit)


def const(name: str, value: Any, unit: str | None = None) -> Any:
    """A number fixed when the problem is compiled: `nu = const("nu", 0.01)`."""
    return _scalar(name, "const", value, None, None, unit)


def trainable(name: str, value: Any = 1, size: int | None = None, unit: str | None = None) -> Any:
    """A number to be found from data; `value` is the first guess: `k = trainable("k", 1)`."""
    return _scalar(name, "trainable", value, None, size, unit)


def _scalar(name: str, kind: str, value: Any, law: Law | None, size: int | None, unit: str | None) -> Any:
    check_name(name, f"a {kind}")
    if value is not None:
        value = exact(value)
        if not is_finite_number(value):
            hint = "give a finite number such as 1/2 or 2*sp.pi; an expression of other parameters needs no declaration of its own"
            raise fail("S02", f"the value of {kind} `{name}` is not a number: {value}", hint, label=name)
    if size is not None and (not isinstance(size, int) or size < 1):
        raise fail("S02", f"{kind} `{name}` has size {size!r}", "size counts its numbers: 1, 2, ..", label=name)
    return Param(name, kind, value, law, size, unit).symbol


def check_tensor(name: str, rank: str, frame: Sequence[Coordinate]) -> None:
    """Raises: T06 for a tensor field about an axis, whose hoop entry no component names."""
    if rank == "tensor" and frame[0].system:
        hint = "declare its entries as scalars, the hoop entry among them: unknown Trr : scalar on Omega, .."
        raise fail("T06", f"`{name}` is a tensor in {frame[0].system} coordinates", hint, label=name)


def _check_rank(name: str, rank: str) -> None:
    if rank not in RANKS:
        near = nearest(str(rank), RANKS)
        hint = f"did you mean {near!r}?" if near else f"one of {', '.join(RANKS)}"
        raise fail("S01", f"unknown rank {rank!r} of `{name}`", hint, label=name)


def _check_region(name: str, region: object, on_boundaries: bool) -> None:
    from pdespec.geometry import Boundary, Domain

    if not isinstance(region, (Domain, Boundary) if on_boundaries else Domain):
        wanted = "domain or boundary" if on_boundaries else "domain"
        hint = f"a field lives on a {wanted}, such as rectangle(x, y, [0, 0], [1, 1])"
        raise fail("T05", f"`{name}` is declared on {region!r}, which is no {wanted}", hint, label=name)


def _check_time(name: str, time: object) -> None:
    if time is not None and not isinstance(time, Time):
        raise fail("T05", f"`{name}` is given time={time!r}", 't = time("t", 0, 1) makes one', label=name)


def _check_law(name: str, law: object, draws: str) -> None:
    from pdespec.laws import Law

    if law is None:
        return
    examples = {"number": "uniform(0, 1) or normal(0, 1)", "function": "grf(length=0.5) or gaussians(count=2)"}
    if not isinstance(law, Law):
        raise fail("T05", f"`{name}` is drawn from {law!r}, which is no law", f"write for example {examples[draws]}", label=name)
    if law.draws != draws:
        raise fail("T05", f"`{name}` is a {draws}, the law draws a {law.draws}", f"write for example {examples[draws]}", label=name)
