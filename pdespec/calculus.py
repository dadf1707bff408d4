"""Vector calculus on SymPy expressions: scalars are expressions, vectors column matrices, tensors
square matrices (`tensors.py`).

Ranks are checked when an operator is applied. Derivatives are kept as written (`div(k*grad(u))`
stays in divergence form); `Problem.residuals()` carries them out. Convention: `grad(v)[i, j] = d
v_i / d x_j`, and a divergence contracts the last index. In one dimension a vector of one component
and a tensor are the same 1 by 1 matrix and are read as a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sympy as sp

from pdespec.complexes import split
from pdespec.coordinates import Coordinate, Normal, Time, as_exact, is_scalar
from pdespec.curvilinear import angles, hooped, measure, power
from pdespec.errors import fail
from pdespec.geometry import Boundary, Domain, Region
from pdespec.notation import plain, short

Expression = Any  # a SymPy scalar or ImmutableMatrix, or what `as_exact` turns into one


# --------------------------------------------------------------------------------------------------
# rank and coordinates


def rank(expression: Expression) -> str:
    """ "scalar", "vector" or "tensor".

    Raises: T01 for a matrix of any other shape.
    """
    if not isinstance(expression, sp.MatrixBase):
        return "scalar"
    rows, columns = expression.shape
    if columns == 1:
        return "vector"
    if rows == columns:
        return "tensor"
    hint = "a vector is one column, v.T its row; v*w.T is outer(v, w), v.T*w is dot(v, w)"
    raise fail("T01", f"a {rows} by {columns} matrix is neither a vector nor a tensor", hint)


def describe(expression: Expression) -> str:
    """The rank in words, with the size: "a vector (2)"."""
    kind = rank(expression)
    if kind == "scalar":
        return "a scalar"
    return (
        f"a vector ({expression.rows})"
        if kind == "vector"
        else f"a tensor ({expression.rows} by {expression.cols})"
    )


def entries(expression: Expression) -> list[Any]:
    """The entries of a vector or tensor row by row, or the scalar alone."""
    return expression.flat() if isinstance(expression, sp.MatrixBase) else [expression]


def coordinates_of(expression: Expression) -> tuple[Coordinate, ...]:
    """All space coordinates of the frame an expression lives in; empty when it holds none."""
    for symbol in sorted(_free_symbols(expression), key=sp.default_sort_key):
        if isinstance(symbol, Normal):
            symbol = symbol.coordinate
        if isinstance(symbol, Coordinate):
            return symbol.coordinates
    return ()


def time_of(expression: Expression) -> Time | None:
    """The time an expression depends on."""
    return next(
        (
            symbol
            for symbol in sorted(_free_symbols(expression), key=sp.default_sort_key)
            if isinstance(symbol, Time)
        ),
        None,
    )


def _free_symbols(expression: Expression) -> set[sp.Basic]:
    return expression.free_symbols


def prepare(*expressions: Expression) -> tuple[Any, ...]:
    """The arguments of an operator as exact SymPy expressions."""
    return tuple(as_exact(each) for each in expressions)


def _frame(
    function: str, expression: Expression, coordinates: Sequence[Coordinate] | None
) -> tuple[Coordinate, ...]:
    found = tuple(coordinates) if coordinates else coordinates_of(expression)
    if not found:
        hint = (
            f"{function} differentiates fields and coordinates; the derivative of a constant is 0"
        )
        raise fail(
            "B04", f"{function} of {expression}, which does not depend on the coordinates", hint
        )
    return found


def needs(function: str, expression: Expression, kinds: Iterable[str], hint: str) -> str:
    """The rank of an argument.

    Raises: T02 when it is none of `kinds`.
    """
    kinds = tuple(kinds)
    kind = rank(expression)
    if kind == "vector" and "tensor" in kinds and expression.shape == (1, 1):
        return "tensor"
    if kind not in kinds:
        raise fail(
            "T02",
            f"{function} needs a {' or '.join(kinds)}, {short(expression)} is"
            f" {describe(expression)}",
            hint,
        )
    return kind


# --------------------------------------------------------------------------------------------------
# derivatives


def d(expression: Expression, *variables: sp.Symbol) -> Any:
    """The partial derivative by the given coordinates or time, in any number and order: `d(u, x,
    x, y)`."""
    (expression,) = prepare(expression)
    for variable in variables:
        if not isinstance(variable, (Coordinate, Time)):
            hint = "write d(u, x, x); diff(psi, F) differentiates by an expression"
            raise fail("T02", f"{variable} is neither a coordinate nor time", hint)
        expression = _partial_checked(expression, variable)
    return expression


def _partial_checked(expression: Expression, variable: sp.Symbol) -> Any:
    free = _free_symbols(expression)
    if free and variable not in free:
        message = (
            f"derivative by {variable} of {short(expression)}, which does not depend on {variable}"
        )
        raise fail("B04", message, "it is zero: leave it out")
    return partial(expression, variable)


def partial(expression: Expression, variable: sp.Symbol) -> Any:
    """The derivative by one variable, not expanded; zero where the expression does not depend
    on it."""
    if isinstance(expression, sp.MatrixBase):
        return sp.ImmutableMatrix(expression).applyfunc(lambda entry: partial(entry, variable))
    return sp.Derivative(expression, variable) if variable in expression.free_symbols else sp.S.Zero


def dt(expression: Expression, order: int = 1) -> Any:
    """The time derivative of an expression."""
    (expression,) = prepare(expression)
    variable = time_of(expression)
    if variable is None:
        hint = (
            'declare the unknown with time: u = unknown("u", Omega, time=t), or the problem with'
            " `time t in [0, 1]`"
        )
        raise fail("B04", f"dt of {short(expression)}, which does not depend on time", hint)
    for _ in range(order):
        expression = partial(expression, variable)
    return expression


def dtt(expression: Expression) -> Any:
    """The second time derivative of an expression."""
    return dt(expression, 2)


def grad(
    expression: Expression, coordinates: Sequence[Coordinate] | None = None
) -> sp.ImmutableMatrix:
    """The gradient of a scalar (a vector), or of a vector (a tensor, `grad(v)[i, j] = d v_i / d
    x_j`)."""
    (expression,) = prepare(expression)
    kind = rank(expression)
    if kind == "tensor":
        raise fail(
            "T02",
            f"grad needs a scalar or vector, {short(expression)} is {describe(expression)}",
            "did you mean div?",
        )
    frame = _frame("grad", expression, coordinates)
    if kind == "scalar":
        return sp.ImmutableMatrix([partial(expression, x) for x in frame])
    slopes = sp.ImmutableMatrix([[partial(entry, x) for x in frame] for entry in expression])
    if not angles(frame):
        return slopes
    _along_frame("grad", expression, frame)
    return hooped(slopes, frame, [expression[0] / frame[0]] * angles(frame))


def dn(expression: Expression, coordinates: Sequence[Coordinate] | None = None) -> Any:
    """The derivative along the outward unit normal: dot(grad(u), n) of a scalar, grad(v)*n of a
    vector."""
    (expression,) = prepare(expression)
    frame = _frame("dn", expression, coordinates)
    slopes = grad(expression, frame)

    def along(row: Iterable[sp.Expr]) -> sp.Expr:
        return sp.Add(*(slope * Normal(x) for slope, x in zip(row, frame, strict=True)))

    if rank(expression) == "scalar":
        return along(slopes)
    return sp.ImmutableMatrix([along(slopes[i, : len(frame)]) for i in range(len(frame))])


def div(expression: Expression, coordinates: Sequence[Coordinate] | None = None) -> Any:
    """The divergence of a vector (a scalar), or of a tensor (a vector, `div(T)[i] = sum_j d T_ij
    / d x_j`)."""
    (expression,) = prepare(expression)
    kind = rank(expression)
    if kind == "scalar":
        hint = f"did you mean lap({plain(expression)}) or grad?"
        raise fail("T02", f"div needs a vector or tensor, {short(expression)} is a scalar", hint)
    frame = _frame("div", expression, coordinates)
    if angles(frame):
        return _divergence(expression, frame)
    if expression.cols not in (1, len(frame)) or (
        kind == "vector" and expression.rows != len(frame)
    ):
        raise fail(
            "T02",
            f"div of {describe(expression)} in {len(frame)}D",
            f"the sum runs over {', '.join(x.name for x in frame)}",
        )
    if kind == "vector":
        return sp.Add(*(partial(entry, x) for entry, x in zip(expression, frame, strict=True)))
    return sp.ImmutableMatrix(
        [
            sp.Add(*(partial(expression[i, j], x) for j, x in enumerate(frame)))
            for i in range(expression.rows)
        ]
    )


def _along_frame(function: str, vector: Any, frame: Sequence[Coordinate]) -> None:
    if vector.shape != (len(frame), 1):
        names = ", ".join(x.name for x in frame)
        raise fail(
            "T02",
            f"{function} of {describe(vector)} in {frame[0].system} coordinates",
            f"vectors have the components {names}",
        )


def _spread(flux: Any, frame: Sequence[Coordinate]) -> sp.Expr:
    """r^-k d_r(r^k flux_r) + d_z flux_z"""
    radial = partial(power(frame) * flux[0], frame[0]) / power(frame)
    return sp.Add(
        radial, *(partial(entry, x) for entry, x in zip(flux[1:], frame[1:], strict=True))
    )


def _divergence(expression: Any, frame: Sequence[Coordinate]) -> Any:
    """The divergence about an axis or a centre (see `curvilinear.py`)."""
    if expression.cols == 1:
        _along_frame("div", expression, frame)
        return _spread(list(expression), frame)
    dim = len(frame)
    if expression.rows not in (dim, dim + angles(frame)):
        raise fail(
            "T02",
            f"div of {describe(expression)} in {frame[0].system} coordinates",
            f"tensors are {dim + angles(frame)} by as many",
        )
    full = hooped(expression, frame)
    rows = [_spread([full[i, j] for j in range(dim)], frame) for i in range(dim)]
    rows[0] -= sp.Add(*(full[dim + k, dim + k] for k in range(angles(frame)))) / frame[0]
    return sp.ImmutableMatrix(rows)


def curl(expression: Expression, coordinates: Sequence[Coordinate] | None = None) -> Any:
    """The curl: of a 3D vector a vector; in the plane of a vector the scalar dv.y/dx - dv.x/dy,
    of a scalar s the vector (s_y, -s_x)."""
    (expression,) = prepare(expression)
    kind = needs("curl", expression, ("scalar", "vector"), "take the curl of its rows one by one")
    frame = _frame("curl", expression, coordinates)
    if angles(frame) and len(frame) == 2:  # about the axis: the one component left, along the angle
        r, z = frame
        if kind == "scalar":
            return sp.ImmutableMatrix([-partial(expression, z), partial(r * expression, r) / r])
        _along_frame("curl", expression, frame)
        return partial(expression[0], z) - partial(expression[1], r)
    if len(frame) == 2 and kind == "scalar":
        return sp.ImmutableMatrix([partial(expression, frame[1]), -partial(expression, frame[0])])
    if kind == "scalar" or len(frame) == 1 or expression.rows != len(frame):
        raise fail(
            "T02",
            f"curl needs a vector, {short(expression)} is {describe(expression)} in {len(frame)}D",
            "did you mean grad?",
        )
    if len(frame) == 2:
        return partial(expression[1], frame[0]) - partial(expression[0], frame[1])
    return sp.ImmutableMatrix(
        [
            partial(expression[k], frame[j]) - partial(expression[j], frame[k])
            for j, k in ((1, 2), (2, 0), (0, 1))
        ]
    )


def lap(expression: Expression, coordinates: Sequence[Coordinate] | None = None) -> Any:
    """The Laplacian, of vectors and tensors entry by entry."""
    (expression,) = prepare(expression)
    frame = _frame("lap", expression, coordinates)
    if angles(frame) and isinstance(expression, sp.MatrixBase):
        if expression.cols != 1:
            raise fail(
                "T02",
                f"lap of {describe(expression)} in {frame[0].system} coordinates",
                "write div(grad(..)) of its entries",
            )
        _along_frame("lap", expression, frame)
        rows = [_laplacian(entry, frame) for entry in expression]
        return sp.ImmutableMatrix(
            [rows[0] - angles(frame) * expression[0] / frame[0] ** 2, *rows[1:]]
        )
    if isinstance(expression, sp.MatrixBase):
        return sp.ImmutableMatrix(expression).applyfunc(lambda entry: _laplacian(entry, frame))
    return _laplacian(expression, frame)


def _laplacian(expression: sp.Expr, frame: Sequence[Coordinate]) -> sp.Expr:
    if angles(frame):
        return _spread([partial(expression, x) for x in frame], frame)
    return sp.Add(*(partial(partial(expression, x), x) for x in frame))


def advect(
    velocity: Expression, expression: Expression, coordinates: Sequence[Coordinate] | None = None
) -> Any:
    """Transport by a velocity, (v . grad) of a scalar or of each component of a vector:
    `advect(v, v)[i] = sum_j v_j d v_i / d x_j`."""
    velocity, expression = prepare(velocity, expression)
    needs("advect", velocity, ("vector",), "the first argument is the velocity: advect(v, T)")
    frame = _frame("advect", expression, coordinates or coordinates_of(velocity))
    if velocity.rows != len(frame):
        raise fail(
            "T02",
            f"advect by {describe(velocity)} in {len(frame)}D",
            "the velocity has one component a coordinate",
        )

    def transport(entry: sp.Expr) -> sp.Expr:
        return sp.Add(
            *(component * partial(entry, x) for component, x in zip(velocity, frame, strict=True))
        )

    return (
        sp.ImmutableMatrix(expression).applyfunc(transport)
        if isinstance(expression, sp.MatrixBase)
        else transport(expression)
    )


def split_derivative(name: str, coordinates: tuple[str, ...]) -> tuple[str, ...] | None:
    """The coordinates of a derivative name: `dxxy` is ("x", "x", "y"); None when it is not one.

    Longer coordinate names are tried first, so that `dtheta` is one derivative when `theta` and `t`
    both exist.
    """
    if not name.startswith("d") or len(name) == 1:
        return None
    order = sorted(coordinates, key=len, reverse=True)
    stack: list[tuple[int, tuple[str, ...]]] = [(1, ())]
    seen: set[int] = set()
    while stack:
        position, found = stack.pop()
        if position == len(name):
            return found
        if position not in seen:
            seen.add(position)
            stack.extend(
                (position + len(c), (*found, c))
                for c in reversed(order)
                if name.startswith(c, position)
            )
    return None


def derivative_operator(name: str) -> Callable[[Expression], Any]:
    """The operator of a name such as `dxx` or `dxt`; the variables are looked up in the frame
    and time of what it is applied to."""

    def apply(expression: Expression) -> Any:
        (expression,) = prepare(expression)
        frame, time = coordinates_of(expression), time_of(expression)
        variables = {variable.name: variable for variable in (*frame, *((time,) if time else ()))}
        names = split_derivative(name, tuple(variables))
        if names is None:
            hint = f"{short(expression)} depends on {', '.join(variables) or 'no coordinate'}"
            raise fail("B04", f"{name} of {short(expression)}", hint)
        return d(expression, *(variables[each] for each in names))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"The partial derivative {name}, `{name}(u)`."
    return apply


# --------------------------------------------------------------------------------------------------
# point sources, integrals


def dirac(distance: Expression, width: Expression = None) -> sp.Expr:
    """A point source of total 1, spread as a normal density of the given standard deviation:
    `dirac(x - 1/2, 0.02)`.

    In several dimensions the distance is a vector, `dirac([x - 1/2, y - 1/2], 0.02)`: exp(-|s|^2/(2
    w^2)) / (sqrt(2 pi) w)^d.

    Raises: N01 without a width, as a source at a point has no value; S02 for one that is not
    positive.
    """
    (distance,) = prepare(distance)
    needs(
        "dirac",
        distance,
        ("scalar", "vector"),
        "its argument vanishes where the source is: dirac(x - 1/2, 0.02)",
    )
    if width is None:
        hint = (
            "give it a width that the mesh or the points resolve, a second argument: dirac(x - 1/2,"
            " 0.05)"
        )
        raise fail(
            "N01",
            f"dirac({plain(distance)}) is a point source without width, which has no value",
            hint,
        )
    (width,) = prepare(width)
    if not is_scalar(width) or width.is_nonpositive:
        raise fail("S02", f"dirac of the width {short(width)}", "a width is a positive number")
    parts = entries(distance)
    square = sp.Add(*(part**2 for part in parts))
    return sp.exp(-square / (2 * width**2)) / (sp.sqrt(2 * sp.pi) * width) ** len(parts)


class RegionSymbol(sp.Symbol):
    """A region as an argument of a SymPy node."""

    __slots__ = ("region",)
    region: Region

    def __new__(cls, region: Region) -> RegionSymbol:
        self = sp.Symbol.__xnew__(cls, region.name)
        self.region = region
        return self

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.region)

    def __getnewargs_ex__(self) -> tuple:
        return (self.region,), {}


class Integral(sp.Expr):
    """The integral of a scalar density over a region: a number (or a function of time), not a
    field."""

    is_commutative = True
    is_extended_real = True

    def __new__(cls, density: Any, region: Region | RegionSymbol) -> Integral:
        region = region if isinstance(region, RegionSymbol) else RegionSymbol(region)
        return sp.Expr.__new__(cls, sp.sympify(density, strict=True), region)

    @property
    def density(self) -> sp.Expr:
        """What is integrated."""
        return self.args[0]  # type: ignore[return-value]

    @property
    def region(self) -> Region:
        """The domain or boundary over which it is integrated."""
        return self.args[1].region  # type: ignore[attr-defined]

    @property
    def free_symbols(self) -> set[sp.Basic]:
        """The symbols of the density but for the coordinates, over which it is integrated."""
        return {
            symbol
            for symbol in self.density.free_symbols
            if not isinstance(symbol, (Coordinate, Normal))
        }

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        return Integral(self.density.diff(symbol), self.region)

    def _sympystr(self, printer: Any) -> str:
        return f"integral({printer._print(self.density)}, {self.region.name})"


def integral(density: Expression, region: Region) -> Any:
    """The integral of a density over a domain or boundary, of vectors and tensors entry by entry.

    About an axis or a centre the density is multiplied by the measure, 2 pi r or 4 pi r^2: the
    integral is over the whole body."""
    (density,) = prepare(density)
    if not isinstance(region, (Domain, Boundary)):
        hint = "name the region: integral(psi, Omega)"
        raise fail(
            "V01", f"integral over {region!r}", hint, "an integral is over a domain or a boundary"
        )
    if isinstance(density, sp.MatrixBase):
        return sp.ImmutableMatrix(density).applyfunc(lambda entry: integral(entry, region))
    parts = [
        sp.S.Zero if part == 0 else Integral(part, region)
        for part in split(measure(region.coordinates) * density)
    ]
    return parts[0] + sp.I * parts[1]


class TwoSided(sp.Function):
    """A combination of the two one-sided values of a scalar on an interface; derivatives go
    inside."""

    nargs = 1


class Jump(TwoSided):
    """The value on the side the normal points to (the plus side) minus the value on the other."""

    @classmethod
    def eval(cls, value: sp.Expr) -> sp.Expr | None:
        return sp.S.Zero if value.is_number else None


class Average(TwoSided):
    """The mean of the two values."""

    @classmethod
    def eval(cls, value: sp.Expr) -> sp.Expr | None:
        return value if value.is_number else None


class Plus(TwoSided):
    """The value on the side the normal points to."""


class Minus(TwoSided):
    """The value on the side the normal comes from."""


def jump(expression: Expression) -> Any:
    """The jump across an interface, the value on the side the normal points to minus the other,
    entry by entry."""
    (expression,) = prepare(expression)
    return (
        sp.ImmutableMatrix(expression).applyfunc(Jump)
        if isinstance(expression, sp.MatrixBase)
        else Jump(expression)
    )


def avg(expression: Expression) -> Any:
    """The mean of both one-sided values on an interface, entry by entry."""
    (expression,) = prepare(expression)
    return (
        sp.ImmutableMatrix(expression).applyfunc(Average)
        if isinstance(expression, sp.MatrixBase)
        else Average(expression)
    )
