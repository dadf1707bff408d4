"""Domains of every kind with numbers for two samples, and what NumPy alone knows of them: dense
boundaries and inside tests.

Nothing here uses the compiler: coordinates are written out again, in the simplest way there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import sympy as sp
from matplotlib.path import Path
from scipy.interpolate import lagrange

from pdespec import (
    airfoil,
    annulus,
    ball,
    box,
    cylinder,
    disk,
    ellipse,
    ellipsoid,
    exterior,
    extruded,
    interval,
    lattice,
    moved,
    param,
    polygon,
    rectangle,
    rotated,
    scaled,
    space,
    star,
    uniform,
)
from pdespec.domains import make_box, make_disk, make_polygon
from pdespec.geometry import Domain

DENSE = 40_000  # points of a dense boundary


@dataclass(frozen=True)
class Truth:
    """A domain, its params in two samples, and per sample: dense boundary loops (outer and
    holes) and an inside test."""

    domain: Domain
    params: dict[str, np.ndarray]
    loops: Callable[[dict[str, float]], list[np.ndarray]]
    inside: Callable[[np.ndarray, dict[str, float]], np.ndarray] | None = None
    exact: bool = True
    samples: list[dict[str, float]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "samples",
            [{name: value[i] for name, value in self.params.items()} for i in range(2)],
        )

    def contains(self, points: np.ndarray, numbers: dict[str, float]) -> np.ndarray:
        """By the definition where there is one, else by the winding of every 16th point of the
        loop, corners among them."""
        return (
            self.inside(points, numbers)
            if self.inside
            else Path(self.loops(numbers)[0][::16]).contains_points(points)
        )


def circle(radius: float, centre=(0.0, 0.0), count: int = DENSE) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], -1)


def chain(corners, count: int = DENSE) -> np.ndarray:
    """Points along the edges of a polygon, equally many on each."""
    corners = np.asarray(corners, float)
    share = np.linspace(0, 1, count // len(corners) // 16 * 16, endpoint=False)[:, None]
    return np.concatenate(
        [a + share * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
    )


def square(low: float, high: float, count: int = DENSE) -> np.ndarray:
    return chain([(low, low), (high, low), (high, high), (low, high)], count)


def lengths(loop: np.ndarray) -> np.ndarray:
    """Lengths of the closed polyline's segments."""
    return np.linalg.norm(np.roll(loop, -1, 0) - loop, axis=1)


def shoelace(loop: np.ndarray) -> float:
    following = np.roll(loop, -1, 0)
    return abs((loop[:, 0] * following[:, 1] - loop[:, 1] * following[:, 0]).sum()) / 2


def radius_of_star(angle, numbers):
    return 1 + numbers["c1"] * np.cos(4 * angle) + numbers["c2"] * np.cos(8 * angle)


def star_loop(numbers, centre=(0.0, 0.0)):
    angle = np.linspace(0, 2 * np.pi, DENSE, endpoint=False)
    r = radius_of_star(angle, numbers)
    return np.stack([centre[0] + r * np.cos(angle), centre[1] + r * np.sin(angle)], -1)


def shifted_radius(angle, numbers):
    return 0.8 + numbers["c1"] * np.cos(angle) + 0.3 * numbers["c2"] * np.sin(3 * angle)


def airfoil_loop(digits, displacement) -> np.ndarray:
    """NACA report 460 by hand, displaced by the eight-node design element; counterclockwise from
    the trailing edge."""
    m, p, t = digits[0] / 100, digits[1] / 10, digits[2] / 100
    x = (np.linspace(0, 1, DENSE // 2)) ** 2
    thickness = (
        5 * t * (0.2969 * np.sqrt(x) - 0.1260 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1036 * x**4)
    )
    camber, slope = np.zeros_like(x), np.zeros_like(x)
    if m:
        front = x < p
        camber = np.where(
            front, m / p**2 * (2 * p * x - x**2), m / (1 - p) ** 2 * (1 - 2 * p + 2 * p * x - x**2)
        )
        slope = np.where(front, 2 * m / p**2 * (p - x), 2 * m / (1 - p) ** 2 * (p - x))
    tilt = np.arctan(slope)
    upper = np.stack([x - thickness * np.sin(tilt), camber + thickness * np.cos(tilt)], -1)
    lower = np.stack([x + thickness * np.sin(tilt), camber - thickness * np.cos(tilt)], -1)
    loop = np.concatenate([upper[::-1], lower[1:-1]])
    nodes = np.array([-0.25, 0.25, 0.75, 1.25])
    # column, sign of y: nodes 2..8 of the element
    order = [(1, -1), (2, -1), (3, -1), (3, 1), (2, 1), (1, 1), (0, 1)]
    shift = sum(
        value * lagrange(nodes, np.eye(4)[column])(loop[:, 0]) * (1 + row * loop[:, 1] / 0.1) / 2
        for value, (column, row) in zip(displacement, order, strict=False)
    )
    return loop + np.stack([np.zeros(len(loop)), shift * np.ones(len(loop))], -1)


def kept(loop: np.ndarray, test: np.ndarray) -> np.ndarray:
    return loop[test]


x, y = space("x y")
c1, c2 = param("c1", uniform(-0.2, 0.2)), param("c2", uniform(-0.2, 0.2))
r = param("r", uniform(0.1, 0.4))
d = param("d", uniform(-0.05, 0.05), size=7)
STAR = {"c1": np.array([0.2, -0.12]), "c2": np.array([0.15, 0.19])}
RADIUS = {"r": np.array([0.17, 0.33])}
ELL = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
DISPLACEMENT = np.array(
    [[0.04, -0.03, 0.02, 0.05, -0.01, 0.03, -0.05], [-0.02, 0.05, -0.04, 0.01, 0.03, -0.05, 0.02]]
)
PORES = [(i / 4, j / 4) for i in range(5) for j in range(5)]


def in_square(points, low=0.0, high=1.0):
    return ((points > low) & (points < high)).all(-1)


def in_disk(points, radius, centre=(0.0, 0.0)):
    return np.linalg.norm(points - np.asarray(centre), axis=-1) < radius


def in_pores(points, radius):
    return np.any([in_disk(points, radius, centre) for centre in PORES], axis=0)


def pore_loops(numbers):
    radius = 0.35 * numbers["r"]
    pores = np.concatenate([circle(radius, centre, 4000) for centre in PORES])
    return [kept(square(0, 1), ~in_pores(square(0, 1), radius)), kept(pores, in_square(pores))]


def union_loops(numbers):
    a, b = square(0, 1), circle(2 * numbers["r"], (1, 1))
    return [
        np.concatenate([kept(a, ~in_disk(a, 2 * numbers["r"], (1, 1))), kept(b, ~in_square(b))])
    ]


def intersection_loops(numbers):
    a, b = square(0, 1), circle(2 * numbers["r"], (1, 1))
    return [np.concatenate([kept(a, in_disk(a, 2 * numbers["r"], (1, 1))), kept(b, in_square(b))])]


def ellipse_loop(radii, centre=(0.0, 0.0), turn=0.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, DENSE, endpoint=False)
    return turned(
        np.stack([radii[0] * np.cos(angle), radii[1] * np.sin(angle)], -1), turn
    ) + np.asarray(centre)


def turned(points, angle, centre=(0.0, 0.0)) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return (np.asarray(points) - np.asarray(centre)) @ np.array([[c, s], [-s, c]]) + np.asarray(
        centre
    )


def in_ellipse(points, radii, centre=(0.0, 0.0)):
    return (((points - np.asarray(centre)) / np.asarray(radii)) ** 2).sum(-1) < 1


def bitten_loops(numbers):
    a, b = ellipse_loop((1, 0.6)), square(0, 1) + np.array([numbers["r"], 0])
    inside = (b[:, 0] - numbers["r"] > -1e-12) & in_ellipse(b, (1, 0.6))
    cut = (a[:, 0] > numbers["r"]) & (a[:, 1] > 0)
    return [np.concatenate([kept(a, ~cut), kept(b, inside)])]


LEAVES = {
    "rectangle": Truth(
        rectangle(x, y, (-r, 0), (1, 1 + r)), RADIUS,
        lambda v: [chain([(-v["r"], 0), (1, 0), (1, 1 + v["r"]), (-v["r"], 1 + v["r"])])],
    ),
    "disk": Truth(disk(x, y, radius=r, center=(r, sp.Rational(1, 2))), RADIUS,
    lambda v: [circle(v["r"], (v["r"], 0.5))]),
    "polygon": Truth(
        polygon(x, y, [(a + r if a == 2 else a, b) for a, b in ELL]), RADIUS,
        lambda v: [chain([(a + v["r"] if a == 2 else a, b) for a, b in ELL])],
    ),
    "star": Truth(star(x, y,
    radius=lambda theta: 1 + c1 * sp.cos(4 * theta) + c2 * sp.cos(8 * theta)), STAR,
    lambda v: [star_loop(v)]),
    "airfoil": Truth(airfoil(x, y, (0, 0, 12), displacement=d), {"d": DISPLACEMENT},
    lambda v: [airfoil_loop((0, 0, 12), v["d"])]),
    "ellipse": Truth(
        ellipse(x, y, (1, r), center=(r, sp.Rational(1, 2)), angle=2 * r), RADIUS,
        lambda v: [ellipse_loop((1, v["r"]), (v["r"], 0.5), 2 * v["r"])],
    ),
    "rotated": Truth(rotated(polygon(x, y, ELL), r, (1, 1)), RADIUS,
    lambda v: [turned(chain(ELL), v["r"], (1, 1))]),
    "scaled": Truth(
        scaled(moved(star(x, y,
        radius=lambda theta: 1 + c1 * sp.cos(4 * theta) + c2 * sp.cos(8 * theta)), (1, c1)), 2 + c2,
        (1, 0)), STAR,
        lambda v: [np.array([1.0, 0.0]) + (2 + v["c2"]) * (star_loop(v,
        (1, v["c1"])) - np.array([1.0, 0.0]))],
    ),
    "cambered": Truth(airfoil(x, y, (4, 4, 15)), {}, lambda v: [airfoil_loop((4, 4, 15), ())]),
}  # fmt: skip
COMBINED = {
    "pores": Truth(
        rectangle(x, y) - lattice(disk(x, y, radius=sp.Rational(35, 100) * r), 5, 5), RADIUS,
        pore_loops,
        lambda points, v: in_square(points) & ~in_pores(points, 0.35 * v["r"]), exact=False,
    ),
    "union": Truth(
        rectangle(x, y) + disk(x, y, radius=2 * r, center=(1, 1)), RADIUS, union_loops,
        lambda points, v: in_square(points) | in_disk(points, 2 * v["r"], (1, 1)), exact=False,
    ),
    "intersection": Truth(
        rectangle(x, y) & disk(x, y, radius=2 * r, center=(1, 1)), RADIUS, intersection_loops,
        lambda points, v: in_square(points) & in_disk(points, 2 * v["r"], (1, 1)), exact=False,
    ),
    "bitten": Truth(
        ellipse(x, y, (1, sp.Rational(3, 5))) - moved(rectangle(x, y), (r, 0)), RADIUS,
        bitten_loops,
        lambda points, v: in_ellipse(points, (1, 0.6)) & ~in_square(points - np.array([v["r"], 0])),
        exact=False,
    ),
    "annulus": Truth(
        annulus(x, y, r, 1, (r, 0)), RADIUS,
        lambda v: [circle(1, (v["r"], 0)), circle(v["r"], (v["r"], 0))],
        lambda points, v: in_disk(points, 1, (v["r"], 0)) & ~in_disk(points, v["r"], (v["r"], 0)),
        exact=False,
    ),
    "exterior": Truth(
        exterior(airfoil(x, y, (0, 0, 12), displacement=d), disk(x, y, radius=3)),
        {"d": DISPLACEMENT},
        lambda v: [circle(3), airfoil_loop((0, 0, 12), v["d"])],
        lambda points, v: in_disk(points,
        3) & ~Path(airfoil_loop((0, 0, 12), v["d"])[::16]).contains_points(points), exact=False,
    ),
}  # fmt: skip
PLANE = {**LEAVES, **COMBINED}

(z,) = space("z")
X, Y, Z = space("X Y Z")
LINE = interval(z, -r, 2)
BRICK = box(X, Y, Z, (0, 0, 0), (1, 1 + r, 2))
BALL = ball(X, Y, Z, radius=r, center=(0, r, 1))
HOLLOW = box(X, Y, Z) - ball(X, Y, Z, radius=r, center=(1, sp.Rational(1, 2), sp.Rational(1, 2)))


half = sp.Rational(1, 2)
SOLIDS = {  # a domain with r, its volume and the area of its boundary
    "ellipsoid": (ellipsoid(X, Y, Z, (2 * r, 2 * r, 2 * r), (0, r, 1)),
    lambda r: 32 / 3 * np.pi * r**3, lambda r: 16 * np.pi * r**2),
    "spheroid": (
        ellipsoid(X, Y, Z, (1, 1, r), (0, r, 1)), lambda r: 4 / 3 * np.pi * r,
        lambda r: 2 * np.pi * (1 + r**2 / np.sqrt(1 - r**2) * np.arctanh(np.sqrt(1 - r**2))),
    ),
    "cylinder": (
        cylinder(X, Y, Z, r, 2, (1, 1, 1), (1, 1, 0)), lambda r: 2 * np.pi * r**2,
        lambda r: 4 * np.pi * r + 2 * np.pi * r**2,
    ),
    "wedge": (
        extruded(X, Y, Z, make_polygon([(0, 0), (1, 0), (0, 1)]), 1 + r), lambda r: (1 + r) / 2,
        lambda r: 1 + (1 + r) * (2 + np.sqrt(2)),
    ),
    "plate": (
        extruded(X, Y, Z, make_box((0, 0), (1, 1), 2) - make_disk(r, (half, half)), half),
        lambda r: (1 - np.pi * r**2) / 2,
        lambda r: 2 * (1 - np.pi * r**2) + (4 + 2 * np.pi * r) / 2,
    ),
    "turned": (rotated(BRICK, r, (1, 0, 0), axis=(1, 2, 3)), lambda r: 2 * (1 + r),
    lambda r: 4 + 6 * (1 + r)),
    "drilled": (
        box(X, Y, Z) - cylinder(X, Y, Z, r, 2, (half, half, -half)), lambda r: 1 - np.pi * r**2,
        lambda r: 6 - 2 * np.pi * r**2 + 2 * np.pi * r,
    ),
    "post": (
        box(X, Y, Z) + cylinder(X, Y, Z, r, 1, (half, half, 1)), lambda r: 1 + np.pi * r**2,
        lambda r: 6 + 2 * np.pi * r,
    ),
}  # fmt: skip
