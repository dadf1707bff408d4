"""Shapes as smooth images of the unit cube, for rules of integration.

`Body.draw` preserves measure, for which a ball takes the root of a parameter and a star a table of
its area by angle. What integrates needs a map that is analytic instead, and its density.
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from compiler.geometry.shapes.axis_box import AxisBox
from compiler.geometry.shapes.ellipse import Ellipses
from compiler.geometry.shapes.placed import Placed
from compiler.geometry.shapes.prism import Prism
from compiler.geometry.shapes.sphere import Sphere, direction
from compiler.geometry.shapes.star import StarBody


@singledispatch
def parametrise(body: Any, cube: Tensor) -> tuple[Tensor, Tensor] | None:
    """The points of a body from those of the unit cube, and the measure per unit of the cube; None
    where there is no such map that is smooth.

    Shapes: cube "b n d" -> "b n d", "b n".
    """
    return None


@singledispatch
def turns(body: Any) -> bool:
    """Whether the first parameter of `parametrise` is an angle, in which everything repeats."""
    return True


@turns.register
def _(body: AxisBox) -> bool:
    return False


@turns.register(Prism)
def _(body: Prism) -> bool:
    return turns(body.base)


@turns.register(Placed)
def _(body: Placed) -> bool:
    return turns(body.body)


@parametrise.register
def _(body: AxisBox, cube: Tensor) -> tuple[Tensor, Tensor]:
    return body.draw(cube), body.measure()[:, None].expand(cube.shape[:2])


@parametrise.register
def _(body: StarBody, cube: Tensor) -> tuple[Tensor, Tensor]:
    """r = R(theta) s, dA = R^2 s ds dtheta."""
    theta = 2 * math.pi * cube[..., 0]
    radius = body.radius(theta)[0]
    r = radius * cube[..., 1]
    points = body.middle[:, None] + torch.stack([r * theta.cos(), r * theta.sin()], -1)
    return points, 2 * math.pi * radius.square() * cube[..., 1]


@parametrise.register(Sphere)
@parametrise.register(Ellipses)
def _(body: Sphere | Ellipses, cube: Tensor) -> tuple[Tensor, Tensor]:
    """Shells of radius s, d s^(d-1) ds of the measure each."""
    d, s = cube.shape[-1], cube[..., -1:]
    radii = body.radii if isinstance(body, Ellipses) else body.radius[:, None].expand(-1, d)
    points = body.middle[:, None] + radii[:, None] * s * direction(cube[..., :-1])
    return points, body.measure()[:, None] * d * s[..., 0] ** (d - 1)


@parametrise.register
def _(body: Prism, cube: Tensor) -> tuple[Tensor, Tensor] | None:
    flat = parametrise(body.base, cube[..., :2])
    if flat is None:
        return None
    points, density = flat
    above = cube[..., 2:] * body.height[:, None, None]
    return torch.cat([points, above], -1), density * body.height[:, None]


@parametrise.register
def _(body: Placed, cube: Tensor) -> tuple[Tensor, Tensor] | None:
    own = parametrise(body.body, cube)
    if own is None:
        return None
    points, density = own
    return body.image(points), density * body.scale[:, None] ** cube.shape[-1]
