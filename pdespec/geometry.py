"""Domains and boundaries as values: a tree of shapes whose numbers are SymPy expressions and may
depend on params.

Nothing is computed here. A signed distance, a normal or a mesh is one rule per shape somewhere else
(`singledispatch`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache, singledispatch
from pathlib import Path
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from pdespec.coordinates import Coordinate, Declaration, as_exact
from pdespec.errors import fail, suggestion
from pdespec.notation import short

THETA = sp.Symbol("theta", real=True)  # the polar angle in which a star's radius is written


# --------------------------------------------------------------------------------------------------
# shapes


class Shape(Declaration):
    """A bounded region (or, for `Exterior`, a region between two boundaries). `a + b`, `a - b`,
    `a & b` combine shapes."""

    __slots__ = ()

    @property
    def dim(self) -> int:
        """The dimension of the space the shape lies in."""
        return _dim(self)

    def __add__(self, other: Domain | Shape) -> Shape:
        return _combine(Union, self, other)

    def __sub__(self, other: Domain | Shape) -> Shape:
        return _combine(Difference, self, other)

    def __and__(self, other: Domain | Shape) -> Shape:
        return _combine(Intersection, self, other)


Point = tuple[sp.Expr, ...]


@dataclass(frozen=True)
class Plane:
    """The points x with normal . x = offset: where a straight piece of a boundary lies."""

    normal: Point
    offset: sp.Expr

    @property
    def axis(self) -> tuple[int, sp.Expr] | None:
        """The coordinate that is constant on the plane, by its number, and its value; None for a
        slanted plane."""
        across = [
            i for i, component in enumerate(self.normal) if not coincide(component, sp.S.Zero)
        ]
        return (
            (across[0], sp.expand(self.offset / self.normal[across[0]]))
            if len(across) == 1
            else None
        )


@lru_cache(maxsize=4096)
def coincide(a: sp.Expr, b: sp.Expr) -> bool:
    """Whether two numbers of shapes are the same, numbers without params up to the rounding of a
    float (an angle given as math.pi/2)."""
    gap = sp.expand(a - b)
    return gap == 0 or (
        gap.is_number and bool(abs(gap.evalf()) < 1e-12 * (1 + abs(sp.sympify(b).evalf())))
    )


@dataclass(frozen=True)
class Interval(Shape):
    """start < x < end."""

    start: sp.Expr
    end: sp.Expr

    @property
    def lower(self) -> Point:
        return (self.start,)

    @property
    def upper(self) -> Point:
        return (self.end,)


@dataclass(frozen=True)
class Rectangle(Shape):
    """lower < (x, y) < upper in both components."""

    lower: Point
    upper: Point


@dataclass(frozen=True)
class Box(Shape):
    """lower < (x, y, z) < upper in all components."""

    lower: Point
    upper: Point


@dataclass(frozen=True)
class Disk(Shape):
    """|x - center| < radius in the plane."""

    radius: sp.Expr
    center: Point = (sp.S.Zero, sp.S.Zero)


@dataclass(frozen=True)
class Ball(Shape):
    """|x - center| < radius in space."""

    radius: sp.Expr
    center: Point = (sp.S.Zero, sp.S.Zero, sp.S.Zero)


@dataclass(frozen=True)
class Polygon(Shape):
    """The inside of a closed chain of straight edges through `points`, which does not cross
    itself."""

    points: tuple[Point, ...]

    @property
    def edges(self) -> tuple[Plane, ...]:
        """The line of each edge; edge k begins at point k."""
        pairs = zip(self.points, (*self.points[1:], self.points[0]), strict=True)
        return tuple(Plane((d - b, a - c), (d - b) * a + (a - c) * b) for (a, b), (c, d) in pairs)


@dataclass(frozen=True)
class Star(Shape):
    """|x - center| < radius(theta): a star-shaped region, radius an expression in the symbol
    `angle`."""

    radius: sp.Expr
    angle: sp.Symbol = THETA
    center: Point = (sp.S.Zero, sp.S.Zero)


@dataclass(frozen=True)
class Airfoil(Shape):
    """A four-digit NACA section of unit chord on [0, 1], deformed by the vertical displacements of
    its design nodes.

    `digits` are camber (percent), place of the camber (tenths) and thickness (percent).
    `displacement`: numbers of the seven free nodes of the design element of the Geo-FNO airfoil
    set, or empty.
    """

    digits: tuple[int, int, int]
    displacement: Point = ()


@dataclass(frozen=True)
class Lattice(Shape):
    """nx by ny copies of `shape`, centred on equally spaced points over the box of the shape it
    is cut from, its edges included."""

    shape: Shape
    nx: int
    ny: int


@dataclass(frozen=True)
class Exterior(Shape):
    """Outside `body` and inside `farfield`: boundary `inner` on the body, `outer` on the far
    field."""

    body: Shape
    farfield: Shape


@dataclass(frozen=True)
class Union(Shape):
    """In a or in b."""

    a: Shape
    b: Shape


@dataclass(frozen=True)
class Difference(Shape):
    """In a and not in b."""

    a: Shape
    b: Shape


@dataclass(frozen=True)
class Intersection(Shape):
    """In a and in b."""

    a: Shape
    b: Shape


@dataclass(frozen=True)
class Extruded(Shape):
    """(x, y) in the plane `shape`, 0 < z < height."""

    shape: Shape
    height: sp.Expr


@dataclass(frozen=True)
class Cylinder(Shape):
    """Nearer than `radius` to the segment of length `height` from `base` along `axis`, between
    the planes across its ends."""

    radius: sp.Expr
    height: sp.Expr
    base: Point = (sp.S.Zero, sp.S.Zero, sp.S.Zero)
    axis: Point = (sp.S.Zero, sp.S.Zero, sp.S.One)


@dataclass(frozen=True)
class Moved(Shape):
    """`shape`, every point moved by `vector`."""

    shape: Shape
    vector: Point


@dataclass(frozen=True)
class Rotated(Shape):
    """`shape`, turned counterclockwise by `angle` about `center`; in space about the line through
    `center` along `axis`, as seen against that.
    """

    shape: Shape
    angle: sp.Expr
    center: Point
    axis: Point = ()


@dataclass(frozen=True)
class Scaled(Shape):
    """`shape`, every distance from `center` multiplied by `factor`."""

    shape: Shape
    factor: sp.Expr
    center: Point


@dataclass(frozen=True)
class Mesh(Shape):
    """What the cells of a mesh file fill, or the closed surface in an STL encloses, every point x
    of the file laid at `scale * x + shift`.

    Only the name of the file is known here; the compiler reads it. A name that is not absolute is
    relative to `folder`, that of the text which names it, or the working directory; the folder does
    not count for equality, so that a text means the same wherever it lies.
    """

    path: str
    space: int
    scale: sp.Expr = sp.S.One
    shift: Point = ()
    folder: str = field(default="", compare=False)

    @property
    def file(self) -> Path:
        """Where the file lies."""
        return Path(self.folder) / self.path


@dataclass(frozen=True)
class Placement:
    """The map x -> scale * turn * x + shift of space, with an orthogonal matrix `turn`, its rows
    as tuples."""

    turn: tuple[Point, ...]
    shift: Point
    scale: sp.Expr = sp.S.One

    def point(self, x: Point) -> Point:
        """The image of a point."""
        return tuple(
            self.scale * each + by for each, by in zip(self.direction(x), self.shift, strict=True)
        )

    def direction(self, x: Point) -> Point:
        """The image of a vector of unit length."""
        return tuple(
            sum((a * b for a, b in zip(row, x, strict=True)), sp.S.Zero) for row in self.turn
        )

    def plane(self, plane: Plane) -> Plane:
        """The image of a plane."""
        normal = self.direction(plane.normal)
        across = sum((a * b for a, b in zip(normal, self.shift, strict=True)), sp.S.Zero)
        return Plane(normal, self.scale * plane.offset + across)


def placement(shape: Moved | Rotated | Scaled | Cylinder) -> Placement:
    """How a placed shape lies where it is; a cylinder, where its like along the z axis does."""
    same = tuple(tuple(sp.S(int(i == k)) for k in range(shape.dim)) for i in range(shape.dim))
    if isinstance(shape, Moved):
        return Placement(same, shape.vector)
    if isinstance(shape, Scaled):
        return Placement(
            same, tuple((1 - shape.factor) * each for each in shape.center), shape.factor
        )
    turn = _along(shape.axis) if isinstance(shape, Cylinder) else _turn(shape)
    if isinstance(shape, Cylinder):
        return Placement(turn, shape.base)
    image = Placement(turn, (sp.S.Zero,) * shape.dim).direction(shape.center)
    return Placement(turn, tuple(a - b for a, b in zip(shape.center, image, strict=True)))


def _turn(shape: Rotated) -> tuple[Point, ...]:
    """The matrix of a rotation (Rodrigues' formula in space)."""
    c, s = sp.cos(shape.angle), sp.sin(shape.angle)
    if shape.dim == 2:
        return ((c, -s), (s, c))
    x, y, z = axis = _unit(shape.axis)
    across = ((sp.S.Zero, -z, y), (z, sp.S.Zero, -x), (-y, x, sp.S.Zero))
    return tuple(
        tuple(c * int(i == k) + s * across[i][k] + (1 - c) * axis[i] * axis[k] for k in range(3))
        for i in range(3)
    )


def _along(axis: Point) -> tuple[Point, ...]:
    """A rotation that takes the z axis to `axis`."""
    x, y, z = _unit(axis)
    if x == 0 and y == 0:
        sign = sp.sign(z) if z.is_number else sp.S.One
        return (
            (sp.S.One, sp.S.Zero, sp.S.Zero),
            (sp.S.Zero, sign, sp.S.Zero),
            (sp.S.Zero, sp.S.Zero, sign),
        )
    wide = sp.sqrt(x**2 + y**2)
    first, second = (x * z / wide, y * z / wide, -wide), (-y / wide, x / wide, sp.S.Zero)
    return tuple(zip(first, second, (x, y, z), strict=True))


def _unit(vector: Point) -> Point:
    length = sp.sqrt(sum((each**2 for each in vector), sp.S.Zero))
    return tuple(each / length for each in vector)


@singledispatch
def _dim(shape: Shape) -> int:
    return 2


@_dim.register(Interval)
def _(shape: Interval) -> int:
    return 1


@_dim.register(Box)
@_dim.register(Ball)
@_dim.register(Extruded)
@_dim.register(Cylinder)
def _(shape: Shape) -> int:
    return 3


@_dim.register
def _(shape: Mesh) -> int:
    return shape.space


@_dim.register(Lattice)
@_dim.register(Moved)
@_dim.register(Rotated)
@_dim.register(Scaled)
def _(shape: Lattice | Moved | Rotated | Scaled) -> int:
    return shape.shape.dim


@_dim.register(Exterior)
def _(shape: Exterior) -> int:
    return shape.body.dim


@_dim.register(Union)
@_dim.register(Difference)
@_dim.register(Intersection)
def _(shape: Union | Difference | Intersection) -> int:
    return shape.a.dim


def _combine(kind: type[Shape], a: Shape, b: Any) -> Shape:
    if isinstance(b, Domain):
        b = b.shape
    if not isinstance(b, Shape):
        raise fail("T06", f"a shape cannot be combined with {b!r}", "+ - & combine two shapes")
    if a.dim != b.dim:
        raise fail(
            "T06",
            f"a {a.dim}D shape cannot be combined with a {b.dim}D one",
            "both shapes lie in the space of the problem",
        )
    for each in (a, b):
        no_mesh(each, "combined with another shape by + - &")
    return kind(a, b)  # type: ignore[call-arg]


def meshes(shape: Shape) -> tuple[Mesh, ...]:
    """The mesh files in a shape. Equality ignores their folders: keys of caches hold what this
    gives in addition to the shape."""
    return tuple(each for each in subshapes(shape) if isinstance(each, Mesh))


def no_mesh(shape: Shape, action: str) -> None:
    """Raises: ProblemError T06 for a mesh file in a shape, which cannot be done that to."""
    if found := meshes(shape):
        message = f'mesh("{found[0].path}") cannot be {action}'
        raise fail(
            "T06",
            message,
            "do it in the program that makes the mesh",
            "a mesh ends at its own facets",
        )


# --------------------------------------------------------------------------------------------------
# domains and boundaries


@dataclass(frozen=True)
class Domain(Declaration):
    """A named shape in the space of `coordinates`. `periodic` names the coordinates along which
    opposite sides are periodic."""

    name: str
    shape: Shape
    coordinates: tuple[Coordinate, ...]
    periodic: tuple[str, ...] = ()

    @property
    def dim(self) -> int:
        """The number of coordinates."""
        return len(self.coordinates)

    @property
    def domain(self) -> Domain:
        """The domain itself, as for a boundary."""
        return self

    def __add__(self, other: Domain | Shape) -> Domain:
        return replace(self, shape=self.shape + other)

    def __sub__(self, other: Domain | Shape) -> Domain:
        return replace(self, shape=self.shape - other)

    def __and__(self, other: Domain | Shape) -> Domain:
        return replace(self, shape=self.shape & other)


@dataclass(frozen=True)
class Boundary(Declaration):
    """A part of the boundary of `domain`.

    `kind` is "all"; "side" (where `coordinate` equals `value`); "rest" (all but `others`); "inner"
    or "outer" (of a region with a hole, or an exterior); "of" (what the boundary of the CSG part
    `part` contributes). Of it, only what meets all of `where` counts: inequalities `a < b` of
    position and params. "group" is the `group` of a mesh file. A surface inside of a domain is an
    interface: "level" (where the expression `value` of position vanishes, normal to where it is
    positive) or "interface" (what `domain` shares with the domain of `others`, normal into that).
    An unnamed boundary bears the text that would declare it, `side(Omega, y = 1)`.
    """

    name: str
    kind: str
    domain: Domain = field(repr=False)
    coordinate: str | None = None
    value: sp.Expr | None = None
    others: tuple[Boundary, ...] = ()
    part: Shape | None = None
    where: tuple[sp.StrictLessThan, ...] = ()
    group: str | None = None

    @property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """The coordinates of its domain."""
        return self.domain.coordinates

    @property
    def dim(self) -> int:
        """One less than that of its domain."""
        return self.domain.dim - 1


Region = Domain | Boundary


def boundary(
    domain: Domain, part: Domain | Shape | None = None, name: str | None = None, where: Any = ()
) -> Boundary:
    """The whole boundary of a domain, or what the boundary of its CSG part `part` contributes to
    it; with `where`, inequalities of position such as `x > 0` or several joined by &, what of it
    meets them.
    """
    _need_domain("boundary", domain)
    held = _inequalities("boundary", domain, where)
    if part is None:
        return Boundary(
            name or f"boundary({_listed(domain.name, held)})", "all", domain, where=held
        )
    shape = part.shape if isinstance(part, Domain) else part
    if shape not in set(combined(domain.shape)):
        hint = "give one of the shapes that + - & combined, as it stands there"
        message = f"the given shape is not a part of `{domain.name}`"
        raise fail("S01", message, hint, label=domain.name)
    label = part.name if isinstance(part, Domain) else type(shape).__name__.lower()
    return Boundary(
        name or f"boundary({_listed(domain.name, held, label)})",
        "of",
        domain,
        part=shape,
        where=held,
    )


def side(domain: Domain, name: str | None = None, where: Any = (), **place: Any) -> Boundary:
    """The straight parts of a boundary where one coordinate has a value, `side(Omega, y=1)`; of
    these, what lies where inequalities hold, `side(Omega, y=1, where=(x > 0.3) & (x < 0.6))`.
    """
    _need_domain("side", domain)
    names = [coordinate.name for coordinate in domain.coordinates]
    if len(place) != 1:
        raise fail(
            "S02",
            f"side takes one coordinate, {len(place)} given",
            f"write side({domain.name}, {names[-1]}=0)",
            label=domain.name,
        )
    ((coordinate, value),) = place.items()
    if coordinate not in names:
        hint = suggestion(coordinate, names, f"the coordinates are {', '.join(names)}")
        raise fail(
            "S01",
            f"unknown coordinate `{coordinate}` in side({domain.name}, {coordinate} = ..)",
            hint,
            label=domain.name,
        )
    value = as_exact(value)
    foreign = isinstance(value, sp.MatrixBase) or value.atoms(AppliedUndef)
    if foreign or any(not hasattr(each, "declaration") for each in value.free_symbols):
        hint = f"write side({domain.name}, {coordinate} = 0); sloping sides belong to a polygon"
        raise fail(
            "T05",
            f"side({domain.name}, {coordinate} = ..) takes a number, {value} is none",
            hint,
            label=domain.name,
        )
    _no_file("side", domain)
    held = _inequalities("side", domain, where)
    text = _listed(domain.name, held, f"{coordinate} = {sp.sstr(value)}")
    return Boundary(name or f"side({text})", "side", domain, coordinate, value, where=held)


def rest(domain: Domain, *others: Boundary, name: str | None = None) -> Boundary:
    """The boundary of a domain without the `others`, so that all of it is covered and nothing
    twice. An interface with another domain counts as what of the boundary lies on it."""
    _need_domain("rest", domain)
    if not others:
        raise fail(
            "S02",
            f"rest({domain.name}) of what?",
            f"write boundary({domain.name}) for all of it, or name what is left out:"
            f" rest({domain.name}, lid, inlet)",
            label=domain.name,
        )
    for other in others:
        if not isinstance(other, Boundary) or domain not in sharing(other):
            message = f"{getattr(other, 'name', other)!r} is not a boundary of `{domain.name}`"
            raise fail("T06", message, "rest leaves out boundaries of its own domain")
    own = tuple(_shared(domain, each) if each.kind == "interface" else each for each in others)
    arguments = ", ".join([domain.name, *(other.name for other in own)])
    return Boundary(name or f"rest({arguments})", "rest", domain, others=own)


def sharing(boundary: Boundary) -> tuple[Domain, ...]:
    """The domains of whose boundaries a boundary is a part: both that an interface lies between,
    of other boundaries its own."""
    both = boundary.others if boundary.kind == "interface" else ()
    return (boundary.domain, *(each.domain for each in both))


def _shared(domain: Domain, between: Boundary) -> Boundary:
    """What of the boundary of a domain lies on an interface with another: of boxes a side, as far
    as it reaches; of a hole the boundary of the shape that fills it.

    Raises: ProblemError T06 for other shapes.
    """
    (other,) = (each for each in sharing(between) if each != domain)
    if other.shape in set(combined(domain.shape)) - {domain.shape}:
        return boundary(domain, other)
    boxed = (Interval, Rectangle, Box)
    if isinstance(domain.shape, boxed) and isinstance(other.shape, boxed):
        ends = list(
            zip(
                domain.shape.lower,
                domain.shape.upper,
                other.shape.lower,
                other.shape.upper,
                strict=True,
            )
        )
        for k, (low, high, start, stop) in enumerate(ends):
            place = low if coincide(low, stop) else high if coincide(high, start) else None
            if place is None:
                continue
            within = []
            for i, (a, b, c, d) in enumerate(ends):
                x = domain.coordinates[i]
                if i != k:
                    within += [] if coincide(a, c) or (c - a).is_negative else [sp.Lt(c, x)]
                    within += [] if coincide(b, d) or (d - b).is_positive else [sp.Lt(x, d)]
            return side(domain, None, within, **{domain.coordinates[k].name: place})
    axis = domain.coordinates[-1]
    raise fail(
        "T06",
        f"`{between.name}` is not a side of `{domain.name}` that could be left out by its name",
        f"name what of the boundary of `{domain.name}` it covers: rest({domain.name},"
        f" side({domain.name}, {axis} = 1))",
    )


def inner(domain: Domain, name: str | None = None, where: Any = ()) -> Boundary:
    """The boundary of the holes of a domain, or of the body in an exterior; what of it lies
    where inequalities hold."""
    _need_domain("inner", domain)
    _no_file("inner", domain)
    held = _inequalities("inner", domain, where)
    return Boundary(name or f"inner({_listed(domain.name, held)})", "inner", domain, where=held)


def outer(domain: Domain, name: str | None = None, where: Any = ()) -> Boundary:
    """The boundary of a domain without its holes, or of the far field of an exterior; what of it
    lies where inequalities hold."""
    _need_domain("outer", domain)
    _no_file("outer", domain)
    held = _inequalities("outer", domain, where)
    return Boundary(name or f"outer({_listed(domain.name, held)})", "outer", domain, where=held)


def group(domain: Domain, group: str, name: str | None = None, where: Any = ()) -> Boundary:
    """The facets of a mesh file that bear a name, `group(Omega, "wall")`; of these, what lies
    where inequalities hold."""
    _need_domain("group", domain)
    usage = f'write group({domain.name}, "wall")'
    if not isinstance(group, str) or not group.strip() or '"' in group or not group.isprintable():
        raise fail("T05", f"group: {group!r} is not the name of a group", usage, label=domain.name)
    if not meshes(domain.shape):
        hint = (
            f"name its parts by side(..) or boundary({domain.name}, ..); groups are those of"
            ' mesh("part.msh")'
        )
        raise fail(
            "T05",
            f"`{domain.name}` is not read from a mesh file and has no groups",
            hint,
            label=domain.name,
        )
    held = _inequalities("group", domain, where)
    text = f'"{group}"'
    return Boundary(
        name or f"group({_listed(domain.name, held, text)})",
        "group",
        domain,
        where=held,
        group=group,
    )


def _no_file(function: str, domain: Domain) -> None:
    """Straight sides and holes of a mesh file are not known before it is read."""
    if meshes(domain.shape):
        axis = domain.coordinates[0].name
        where = f"boundary({domain.name}, {axis} < 0)"
        hint = (
            f'name a group of the file, group({domain.name}, "wall"), or the facets where'
            f" inequalities hold, {where}"
        )
        raise fail(
            "T06",
            f"{function}: which parts the boundary of `{domain.name}` has stands in its mesh file",
            hint,
            label=domain.name,
        )


def _listed(domain: str, held: tuple[Any, ...], *first: str) -> str:
    """The arguments of a boundary as text."""
    return ", ".join([domain, *first, *(sp.sstr(each) for each in held)])


def _inequalities(function: str, domain: Domain, where: Any) -> tuple[sp.StrictLessThan, ...]:
    """Inequalities that hold at once, each as `a < b`."""
    found: list[sp.StrictLessThan] = []
    for each in where if isinstance(where, (tuple, list)) else (where,):
        for part in each.args if isinstance(each, sp.And) else (each,):
            usage = (
                f"write {function}({domain.name}, where=({domain.coordinates[0]} > 0) &"
                f" ({domain.coordinates[0]} < 1))"
            )
            if not isinstance(
                part, (sp.StrictLessThan, sp.LessThan, sp.StrictGreaterThan, sp.GreaterThan)
            ):
                message = (
                    f"{function}: a part of a boundary is where inequalities hold at once, {part}"
                    " is none"
                )
                raise fail("T05", message, usage, label=domain.name)
            less, more = as_exact(part.lts), as_exact(part.gts)
            symbols = (more - less).free_symbols
            if not symbols & set(domain.coordinates):
                raise fail(
                    "T05",
                    f"{function}: {part} does not depend on the position",
                    usage,
                    label=domain.name,
                )
            others = [
                s
                for s in symbols
                if s not in domain.coordinates and not (hasattr(s, "declaration") and s.is_Symbol)
            ]
            if others or (more - less).atoms(AppliedUndef):
                unfit = f"{function}: {part} holds more than the position and params"
                raise fail(
                    "T05",
                    unfit,
                    "a part of a boundary does not depend on fields or time",
                    label=domain.name,
                )
            found.append(sp.StrictLessThan(less, more))
    return tuple(found)


def interface(domain: Domain, other: Any, name: str | None = None) -> Boundary:
    """The surface inside of a domain where an expression of position vanishes, `interface(Omega, y
    - 1)`, its normal pointing to where that is positive; or what two domains share, `interface(A,
    B)`, its normal pointing into B.
    """
    _need_domain("interface", domain)
    if isinstance(other, Domain):
        if other.coordinates != domain.coordinates or other == domain:
            hint = "give two domains of one space"
            raise fail(
                "T06",
                f"`{domain.name}` and `{other.name}` share no interface",
                hint,
                label=domain.name,
            )
        return Boundary(
            name or f"interface({domain.name}, {other.name})",
            "interface",
            domain,
            others=(boundary(other),),
        )
    if isinstance(other, (Boundary, Shape, sp.MatrixBase)):
        hint = (
            f"write interface({domain.name}, other) or interface({domain.name},"
            f" {domain.coordinates[0]} - 1/2)"
        )
        raise fail(
            "T05",
            f"interface({domain.name}, ..) needs another domain or a scalar expression",
            hint,
            label=domain.name,
        )
    level = as_exact(other)
    if not level.free_symbols & set(domain.coordinates):
        hint = f"write for example interface({domain.name}, {domain.coordinates[0]} - 1/2)"
        raise fail(
            "T05",
            f"{short(level)} does not depend on the position, so it vanishes on no interface",
            hint,
            label=domain.name,
        )
    return Boundary(
        name or f"interface({domain.name}, {short(level, 400)[1:-1]})", "level", domain, value=level
    )


def periodic(domain: Domain, *coordinates: Coordinate | str) -> Domain:
    """The domain with opposite sides periodic along `coordinates` (all when none is given): `L =
    periodic(interval(x, 0, 1), x)`."""
    if not isinstance(domain, Domain):
        hint = f"write L = periodic(interval({domain}, 0, 1), {domain}) and declare the fields on L"
        raise fail(
            "T05",
            "periodic takes the domain first",
            hint,
            "fields are periodic because the domain they live on is",
        )
    if cut_from(domain.shape) is None:
        raise fail(
            "T06",
            f"`{domain.name}` cannot be periodic",
            "only an interval, rectangle or box has opposite sides, and what is left of one where"
            " others are taken away; `periodic x on A` names the domain that is meant",
            label=domain.name,
        )
    known = [coordinate.name for coordinate in domain.coordinates]
    chosen = [str(coordinate) for coordinate in coordinates] or known
    for name in chosen:
        if name not in known:
            hint = f"its coordinates are {', '.join(known)}"
            raise fail(
                "S01", f"`{name}` is not a coordinate of `{domain.name}`", hint, label=domain.name
            )
    names = {*chosen, *domain.periodic}
    return replace(
        domain, periodic=tuple(each.name for each in domain.coordinates if each.name in names)
    )


def cut_from(shape: Shape) -> Interval | Rectangle | Box | None:
    """The interval, rectangle or box that a shape is, or is left of; None for all others."""
    while isinstance(shape, Difference):
        shape = shape.a
    return shape if isinstance(shape, (Interval, Rectangle, Box)) else None


def subshapes(shape: Shape) -> Iterator[Shape]:
    """The shape and all shapes it is combined from, outermost first."""
    yield shape
    if isinstance(shape, (Union, Difference, Intersection)):
        yield from subshapes(shape.a)
        yield from subshapes(shape.b)
    elif isinstance(shape, Exterior):
        yield from subshapes(shape.body)
        yield from subshapes(shape.farfield)
    elif isinstance(shape, (Lattice, Extruded, Moved, Rotated, Scaled)):
        yield from subshapes(shape.shape)


def combined(shape: Shape) -> Iterator[Shape]:
    """The shape and all shapes whose boundaries its boundary is made of, where they lie; of what
    is moved as a whole, the whole."""
    yield shape
    if isinstance(shape, (Union, Difference, Intersection)):
        yield from combined(shape.a)
        yield from combined(shape.b)
    elif isinstance(shape, Exterior):
        yield from combined(shape.body)
        yield from combined(shape.farfield)
    elif isinstance(shape, Lattice):
        yield from combined(shape.shape)


def shape_expressions(shape: Shape) -> Iterator[sp.Basic]:
    """The sizes, places and angles of a shape and of all shapes it is combined from."""
    for each in subshapes(shape):
        for value in vars(each).values():
            if not isinstance(value, Shape):
                yield from _expressions_in(value)


def shape_symbols(shape: Shape) -> set[Any]:
    """The parameters on which a shape depends."""
    found = set().union(*(each.free_symbols for each in shape_expressions(shape)))
    return found - {each.angle for each in subshapes(shape) if isinstance(each, Star)}


def _expressions_in(value: Any) -> Iterator[sp.Basic]:
    if isinstance(value, tuple):
        for each in value:
            yield from _expressions_in(each)
    elif isinstance(value, sp.Basic):
        yield value


def _need_domain(function: str, domain: object) -> None:
    if not isinstance(domain, Domain):
        raise fail(
            "T05",
            f"{function} needs a domain, {domain!r} given",
            f"write {function}(Omega) for a domain Omega",
        )


def in_place(region: Boundary) -> bool:
    """Whether a boundary bears the name that its expression gives it."""
    makers: dict[str, Any] = {
        "all": lambda: boundary(region.domain, where=region.where),
        "of": lambda: boundary(region.domain, region.part, where=region.where),
        "side": lambda: side(
            region.domain, None, region.where, **{str(region.coordinate): region.value}
        ),
        "rest": lambda: rest(region.domain, *region.others),
        "inner": lambda: inner(region.domain, where=region.where),
        "outer": lambda: outer(region.domain, where=region.where),
        "level": lambda: interface(region.domain, region.value),
        "interface": lambda: interface(region.domain, region.others[0].domain),
        "group": lambda: group(region.domain, region.group or "", where=region.where),
    }
    return makers[region.kind]() == region
