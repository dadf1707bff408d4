"""Bodies as the mesher netgen builds them: a face in the plane, a solid in space."""

from __future__ import annotations

from functools import reduce, singledispatch
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from compiler.fem.errors import SolverError
from compiler.geometry.shapes.axis_box import AxisBox
from compiler.geometry.shapes.combine import Combined
from compiler.geometry.shapes.ellipse import Ellipses
from compiler.geometry.shapes.lattice import LatticeBody
from compiler.geometry.shapes.placed import Placed
from compiler.geometry.shapes.polygon import PolygonBody
from compiler.geometry.shapes.prism import Prism
from compiler.geometry.shapes.sphere import Sphere
from compiler.geometry.shapes.star import StarBody

RING = 256  # points of a spline around a star


@singledispatch
def solid(body: Any) -> Any:
    """The shape with netgen's own boolean operations still to be done by its parts."""
    raise SolverError(
        f"no mesh of a shape of the kind {type(body.shape).__name__.lower()}; give solve(..,"
        " mesh=..) a mesh"
    )


def numbers(tensor: torch.Tensor) -> tuple[float, ...]:
    """The numbers of the one sample."""
    return tuple(tensor[0].tolist())


@solid.register
def _(body: AxisBox):
    from netgen.occ import Box, MoveTo, Pnt  # pyright: ignore[reportMissingImports]

    lower, upper = numbers(body.lower), numbers(body.upper)
    if len(lower) == 2:
        return MoveTo(*lower).Rectangle(*(b - a for a, b in zip(lower, upper, strict=True))).Face()
    return Box(Pnt(*lower), Pnt(*upper))


@solid.register
def _(body: Sphere):
    from netgen.occ import Circle, Pnt, Sphere  # pyright: ignore[reportMissingImports]

    center, radius = numbers(body.middle), float(body.radius[0])
    return Circle(center, radius).Face() if len(center) == 2 else Sphere(Pnt(*center), radius)


@solid.register
def _(body: Ellipses):
    from netgen.occ import (
        Axes,
        Ellipsoid,
        Pnt,
        WorkPlane,
        X,
        Y,
        Z,
    )  # pyright: ignore[reportMissingImports]

    center, radii = numbers(body.middle), numbers(body.radii)
    if len(center) == 3:
        return Ellipsoid(Axes(Pnt(*center), n=Z, h=X), *radii)
    long, short = max(radii), min(radii)  # netgen's ellipse lies along its plane's first direction
    plane = Axes(Pnt(*center, 0), n=Z, h=X if radii[0] >= radii[1] else Y)
    return WorkPlane(plane).Ellipse(long, short).Face()


@solid.register
def _(body: PolygonBody):
    from netgen.occ import MoveTo  # pyright: ignore[reportMissingImports]

    first, *others = body.points[0].tolist()
    path = MoveTo(*first)
    for corner in others:
        path = path.LineTo(*corner)
    return path.Close().Face()


@solid.register
def _(body: StarBody):
    from netgen.occ import (
        Face,
        Pnt,
        SplineInterpolation,
        Wire,
    )  # pyright: ignore[reportMissingImports]

    ring = body.boundary.point(body.boundary.nodes(RING + 1))[0, :-1].tolist()
    return Face(Wire([SplineInterpolation([Pnt(x, y, 0) for x, y in ring], periodic=True)]))


@solid.register
def _(body: LatticeBody):
    from netgen.occ import Vec  # pyright: ignore[reportMissingImports]

    one = solid(body.body)
    moves = [(*shift, 0.0)[:3] for shift in body.origins()[0].tolist()]
    return reduce(lambda a, b: a + b, (one.Move(Vec(*by)) for by in moves))


@solid.register
def _(body: Combined):
    first, second = solid(body.a), solid(body.b)
    if body.kind == "union":
        return first + second
    return first - second if body.kind == "difference" else first * second


@solid.register
def _(body: Prism):
    from netgen.occ import Z  # pyright: ignore[reportMissingImports]

    return solid(body.base).Extrude(float(body.height[0]) * Z)


@solid.register
def _(body: Placed):
    from netgen.occ import Axis, Pnt, Vec, Z  # pyright: ignore[reportMissingImports]

    dim = body.shape.dim
    turn, shift, scale = np.eye(3), np.zeros(3), float(body.scale[0])
    turn[:dim, :dim], shift[:dim] = body.turn[0].numpy(), body.shift[0].numpy()
    angle = Rotation.from_matrix(turn).as_rotvec()
    made = solid(body.body)
    if scale != 1:
        made = made.Scale(Pnt(0, 0, 0), scale)
    if np.any(angle):
        size = np.linalg.norm(angle)
        made = made.Rotate(
            Axis(Pnt(0, 0, 0), Vec(*(angle / size)) if dim == 3 else np.sign(angle[2]) * Z),
            np.degrees(size),
        )
    return made.Move(Vec(*shift)) if np.any(shift) else made
