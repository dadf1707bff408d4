"""Where points lie, from the declaration of a shape alone: no code of the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from tests.generated.declared import Shape
from tests.generated.language import Node, meaning, plain_algebra


def number(node: Node, params: Mapping[str, Any], **known: np.ndarray) -> np.ndarray:
    """The value of a tree of numbers, params and `known` variables."""
    names = {
        **{each: sp.Symbol(each) for each in known},
        **{each: sp.Symbol(f"param_{each}") for each in params},
    }
    algebra = plain_algebra(names, (), (), ())
    values = [np.asarray(each) for each in (*known.values(), *params.values())]
    return np.asarray(
        sp.lambdify(list(names.values()), meaning(node, algebra), "numpy")(*values), dtype=float
    )


def inside(
    shape: Shape, points: np.ndarray, params: Mapping[str, float], domains: Mapping[str, Shape]
) -> np.ndarray:
    """Whether points of one sample lie in a shape. Shapes: "n d" -> "n"."""
    if shape.word == "named":
        return inside(domains[shape.keywords[0][1]], points, params, domains)
    if shape.word == "lattice":
        raise ValueError("a lattice has no box of its own")
    if shape.word in "+-&":
        a = inside(shape.parts[0], points, params, domains)
        b = (
            _copies(shape, points, params)
            if shape.parts[1].word == "lattice"
            else inside(shape.parts[1], points, params, domains)
        )
        return a | b if shape.word == "+" else a & ~b if shape.word == "-" else a & b
    if shape.word == "exterior":
        body, far = (inside(each, points, params, domains) for each in shape.parts)
        return far & ~body
    keywords = dict(shape.keywords)
    about = (
        np.array([float(number(each, params)) for each in keywords["center"]])
        if "center" in keywords
        else np.zeros(points.shape[1])
    )
    if shape.word == "moved":
        return inside(
            shape.parts[0],
            points - [float(number(each, params)) for each in keywords["vector"]],
            params,
            domains,
        )
    if shape.word == "scaled":
        return inside(
            shape.parts[0],
            about + (points - about) / number(keywords["factor"], params),
            params,
            domains,
        )
    if shape.word == "rotated":
        return inside(
            shape.parts[0],
            about + turned(points - about, -float(number(keywords["angle"], params))),
            params,
            domains,
        )
    if shape.word == "extruded":
        height = number(keywords["height"], params)
        return (
            inside(shape.parts[0], points[:, :2], params, domains)
            & (points[:, 2] > 0)
            & (points[:, 2] < height)
        )
    if shape.word in ("ellipse", "ellipsoid"):
        radii = [float(number(each, params)) for each in keywords["radii"]]
        gap = points - about
        gap = turned(gap, -float(number(keywords["angle"], params))) if "angle" in keywords else gap
        return ((gap / radii) ** 2).sum(1) < 1
    if shape.word == "cylinder":
        base, axis = (
            np.array([float(number(each, params)) for each in keywords[key]])
            for key in ("base", "axis")
        )
        axis = axis / np.linalg.norm(axis)
        along = (points - base) @ axis
        away = np.linalg.norm(points - base - along[:, None] * axis, axis=1)
        return (
            (along > 0)
            & (along < number(keywords["height"], params))
            & (away < number(keywords["radius"], params))
        )

    def at(values: tuple[Node, ...]) -> np.ndarray:
        return np.array([float(number(each, params)) for each in values])

    if shape.word in ("disk", "ball", "star"):
        gap = points - (at(keywords["center"]) if "center" in keywords else 0.0)
        theta = np.arctan2(gap[:, 1], gap[:, 0])
        return np.linalg.norm(gap, axis=1) < number(keywords["radius"], params, theta=theta)
    if shape.word == "polygon":
        corners = np.array([at(each) for each in shape.points])
        found = np.zeros(len(points), dtype=bool)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
            crosses = (y0 > points[:, 1]) != (y1 > points[:, 1])
            with np.errstate(divide="ignore", invalid="ignore"):
                found ^= crosses & (points[:, 0] < (x1 - x0) * (points[:, 1] - y0) / (y1 - y0) + x0)
        return found
    low, high = at(shape.points[0]), at(shape.points[1])
    return ((points > low) & (points < high)).all(1)


Corner = tuple[sp.Rational, ...]


def box_of(shape: Shape) -> tuple[Corner, Corner] | None:
    """The corners of the least box around a box, disk or ball, with or without a hole; None for
    other shapes, and for those that depend on more than numbers."""
    values = [*shape.points, *(value for _, value in shape.keywords)]
    nodes = [node for each in values for node in (each if isinstance(each, tuple) else (each,))]
    if any(not isinstance(node, Node) or node.word != "number" for node in nodes):
        return None
    if shape.word == "-":
        return box_of(shape.parts[0])
    if shape.word in ("interval", "rectangle", "box"):
        low, high = (tuple(each.what[0] for each in corner) for corner in shape.points)
        return low, high
    keywords = dict(shape.keywords)
    if shape.word not in ("disk", "ball"):
        return None
    zero = (sp.S.Zero,) * {"disk": 2, "ball": 3}[shape.word]
    center = tuple(each.what[0] for each in keywords["center"]) if "center" in keywords else zero
    radius = keywords["radius"].what[0]
    return tuple(c - radius for c in center), tuple(c + radius for c in center)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points turned about the origin, in space about the last axis."""
    x, y = points[:, 0], points[:, 1]
    plane = np.stack(
        [np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], 1
    )
    return np.concatenate([plane, points[:, 2:]], 1)


def _copies(shape: Shape, points: np.ndarray, params: Mapping[str, float]) -> np.ndarray:
    """The copies of a disk, centred on equally spaced points over the rectangle they are cut
    from."""
    lattice = shape.parts[1]
    low, high = (
        np.array([float(number(each, params)) for each in corner])
        for corner in shape.parts[0].points
    )
    radius = float(number(dict(lattice.parts[0].keywords)["radius"], params))
    found = np.zeros(len(points), dtype=bool)
    for x in np.linspace(low[0], high[0], lattice.keywords[0][1]):
        for y in np.linspace(low[1], high[1], lattice.keywords[1][1]):
            found |= np.hypot(points[:, 0] - x, points[:, 1] - y) < radius
    return found


def midpoints(
    shape: Shape,
    params: Mapping[str, float],
    domains: Mapping[str, Shape],
    low: np.ndarray,
    high: np.ndarray,
) -> tuple[np.ndarray, float]:
    """The midpoints of the cells of a fine grid over a box that lie in a shape, and the volume
    of these cells together."""
    count = {1: 4000, 2: 300, 3: 50}[len(low)]
    axes = [a + (np.arange(count) + 0.5) / count * (b - a) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(low))
    chosen = inside(shape, grid, params, domains)
    return grid[chosen], float(chosen.mean() * np.prod(high - low))


def measure(
    shape: Shape,
    params: Mapping[str, float],
    domains: Mapping[str, Shape],
    low: np.ndarray,
    high: np.ndarray,
) -> float:
    """Length, area or volume by counting the midpoints of a fine grid over a box."""
    return midpoints(shape, params, domains, low, high)[1]
