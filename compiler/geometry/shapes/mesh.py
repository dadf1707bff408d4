"""Domains read from mesh files: distance, normals, points and a boundary-defining function from the
facets themselves.

The function that vanishes on facets is `f = pi / sum_e q_e`. In the plane `q_e = int_e ds / r^2`,
the angle that the edge e subtends over the height of the point above it; in space `q_e = int_e dA /
(2 r^3)`, half of the solid angle over the height; r is the distance from the point. Every q_e is
positive, analytic off its facet, and tends to pi/height at it. So f is positive and analytic
inside, zero on the facets alone, with slope 1 on each; in the middle of a disk or ball it is half
the radius. Being an integral, it does not depend on how a flat side is divided: facets in one plane
are joined first. At corners f is homogeneous of degree one: its second derivatives grow as
1/distance there.

Sources: A. Belyaev, P.-A. Fayolle, A. Pasko, Signed Lp-distance fields, Computer-Aided Design 45
(2013), for normalised potentials; A. van Oosterom, J. Strackee, The solid angle of a plane
triangle, IEEE Trans. Biomed. Eng. 30 (1983).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from compiler.arrays import Array, IntArray
from compiler.geometry.shapes.blend import norm
from compiler.geometry.shapes.body import Ambient, Selection, bind
from compiler.geometry.shapes.meshfile import MeshData, flattened, read
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import FAR, FullBoundary, Function, Piece
from pdespec.geometry import Mesh, Plane

SMALL = 0.05  # of a tangent: below it the arc tangent over it is a series
TERMS = 6  # of that series: to rounding in double precision
BLOCK = 1 << 20  # pairs of points and facets at once, where no graph is kept
TOUCHING = 1e-12  # of the extent: as near to a corner as a point is that lies in it
OFF = 1e-6  # by which the place of a facet is off its middle, lest it lie on the limit of a part


@dataclass(frozen=True)
class Facets:
    """Facets of a boundary, the same in all samples, by the numbers of their corners among
    points. Shapes: points "p d", index "f d"."""

    points: Tensor
    index: Tensor

    @cached_property
    def corners(self) -> Tensor:
        """Corner by corner. Shapes: "f d d"."""
        return self.points[self.index]

    @cached_property
    def area(self) -> Tensor:
        """Outward normals, lengths of edges or twice the areas of triangles long. Shapes: "f d"."""
        edges = self.corners[:, 1:] - self.corners[:, :1]
        if edges.shape[-1] == 2:
            return torch.stack([edges[:, 0, 1], -edges[:, 0, 0]], -1)
        return torch.linalg.cross(edges[:, 0], edges[:, 1])

    @cached_property
    def weight(self) -> Tensor:
        """Lengths, or twice areas. Shapes: "f"."""
        return self.area.norm(dim=-1)

    @cached_property
    def normals(self) -> Tensor:
        """Unit normals. Shapes: "f d"."""
        return self.area / self.weight[:, None]

    @property
    def dim(self) -> int:
        """The number of coordinates of space."""
        return self.points.shape[-1]

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def middle(self) -> Tensor:
        """A point from which coordinates are counted, so that none is large."""
        return (self.points.amin(0) + self.points.amax(0)) / 2

    @cached_property
    def extent(self) -> float:
        """The longest side of the box around the points."""
        return float((self.points.amax(0) - self.points.amin(0)).amax())

    @cached_property
    def products(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Vectors w, "d f", and numbers w . (corner - middle), "f": for the normals and the first
        corners, then for the edges from each corner (the first alone in the plane) and that corner.
        With them w . (corner - x) is a product of matrices.
        """
        local = self.corners - self.middle
        edges = local.roll(-1, 1) - local
        vectors = [(self.normals, local[:, 0])] + [
            (edges[:, k], local[:, k]) for k in range(1 if self.dim == 2 else 3)
        ]
        return tuple((vector.mT, (vector * corner).sum(-1)) for vector, corner in vectors)

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From points, of every facet: the height above it, inward; what the tangent of its angle
        is the height times its weight over. And the distance of the nearest corner of all. Shapes:
        "n d" -> "n f" twice, "n".

        Of two rays a, b to the ends of an edge a . b = |a|^2 + a . (b - a): as exact as a itself,
        near either end.
        """
        local = x - self.middle
        squares = (self.points - self.middle - local[:, None]).square().sum(-1)
        positive = squares > 0
        lengths = torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0)
        height, *along = (constant - local @ vector for vector, constant in self.products)
        dots = [squares[:, self.index[:, k]] + product for k, product in enumerate(along)]
        nearest = lengths.detach().amin(-1)
        if self.dim == 2:
            return height, dots[0], nearest
        a, b, c = (lengths[:, self.index[:, k]] for k in range(3))
        return height, a * b * c + dots[0] * c + dots[1] * a + dots[2] * b, nearest


def potential(height: Tensor, weight: Tensor, across: Tensor) -> Tensor:
    """The angle over the height, positive; a series where both are small, so that it is smooth
    across the plane next to a facet."""
    smallest = torch.finfo(height.dtype).tiny ** 0.25
    size = torch.where(height < 0, -height, height)
    tangent = size * weight
    flat = (across > 0) & (tangent < SMALL * across)
    ratio = torch.where(flat, tangent / torch.where(flat, across, 1), 0).square()
    series = torch.zeros_like(ratio)
    for k in reversed(range(TERMS)):
        series = series * ratio + (-1) ** k / (2 * k + 1)
    direct = _angle(tangent, across, flat) / torch.where(flat, 1, size).clamp_min(smallest)
    return torch.where(flat, weight / torch.where(flat, across, 1) * series, direct)


def _angle(tangent: Tensor, across: Tensor, flat: Tensor) -> Tensor:
    """The angle with a tangent of tangent/across, 0 to pi; pi on the rim of a facet, where both
    vanish."""
    lost = (tangent == 0) & (across == 0)
    return torch.atan2(
        torch.where(flat, 1, tangent), torch.where(flat | lost, -torch.ones_like(across), across)
    )


def boundary_function(facets: Facets, x: Tensor, inside: Tensor) -> Tensor:
    """The function that vanishes on facets, below zero behind them where `inside` is false.
    Shapes: x "n d", inside "n" -> "n"."""
    if len(facets) == 0:
        return torch.full_like(x[:, 0], FAR)
    height, across, corner = facets.seen(x)
    weight = facets.weight
    every = potential(height, weight, across)
    with torch.no_grad():
        nearest = every.argmax(-1, keepdim=True)
    own_height, own_across = height.gather(1, nearest)[:, 0], across.gather(1, nearest)[:, 0]
    own_weight = weight[nearest[:, 0]]
    # the others' potential without the nearest, which grows beyond all bounds at it: its own is put
    # in multiplied by the height
    mask = torch.zeros_like(every, dtype=torch.bool).scatter(1, nearest, True)
    others = torch.where(mask, 0, every).sum(-1)
    own = potential(
        torch.where(own_across <= 0, 1, own_height),
        own_weight,
        torch.where(own_across <= 0, 1, own_across),
    )
    beside = math.pi / (own + others)
    over = own_across <= 0
    flat = ~over
    size = torch.where(own_height < 0, -own_height, own_height)
    front = math.pi * size / (_angle(size * own_weight, own_across, flat) + size * others)
    # behind it the function goes on as it is in front, where that stays away from its pole
    behind_angle = 2 * math.pi - _angle(size * own_weight, own_across, flat)
    pole = behind_angle - size * others
    good = pole > math.pi / 4
    behind = torch.where(good, -math.pi * size / torch.where(good, pole, 1), -front)
    value = torch.where(
        over,
        torch.where(inside | (own_height >= 0), front, behind),
        torch.where(inside, beside, -beside),
    )
    touching = corner <= TOUCHING * facets.extent
    return torch.where(touching, 0, value)


@dataclass(frozen=True)
class Meshed:
    """What a closed set of facets encloses; `cells` "c d+1 d", corner by corner, where the file has
    them.

    All samples are the same. `sides` are the facets with those in one plane joined, `classes` the
    numbers of facets in pieces: the groups they are in and whether they lie in the plane where the
    first coordinate is zero.
    """

    data: MeshData
    size: int
    like: Tensor
    shape: Mesh

    def tensor(self, values: Array) -> Tensor:
        """Numbers of the file in the dtype and on the device of the samples."""
        return torch.as_tensor(values, dtype=self.like.dtype, device=self.like.device)

    @cached_property
    def sides(self) -> Facets:
        """All boundary facets."""
        return self.facets(np.arange(len(self.data.facets)))

    def facets(self, own: IntArray) -> Facets:
        """Some facets, those in one plane joined."""
        joined = flattened(self.data.points, self.data.facets[own])
        used, index = np.unique(joined, return_inverse=True)
        numbers = torch.as_tensor(index.reshape(joined.shape), device=self.like.device)
        return Facets(self.tensor(self.data.points[used]), numbers)

    @cached_property
    def cells(self) -> Tensor | None:
        """The corners of every cell, None for a closed surface. Shapes: "c d+1 d"."""
        return None if self.data.cells is None else self.tensor(self.data.points[self.data.cells])

    def distance(self, x: Tensor) -> Tensor:
        """Exact: along the normal of the nearest facet, to its nearest edge or corner."""
        flat = x.flatten(0, 1)
        with torch.no_grad():
            parts = [
                self._gaps(part, self.sides).argmin(-1)
                for part in _parts(flat.detach(), len(self.sides))
            ]
            nearest = torch.cat(parts)
        corners, normal = self.sides.corners[nearest], self.sides.normals[nearest]
        height = ((flat - corners[:, 0]) * normal).sum(-1)
        gap, over = _to_rim(flat, corners, normal)
        sign = torch.where(self._inside(flat), -1, 1)
        return torch.where(over, height, sign * gap).view(x.shape[:2])

    def inside(self, x: Tensor) -> Tensor:
        """By the angle that the boundary subtends: 2 pi, in space 4 pi, from inside, nothing
        from outside."""
        return self._inside(x.flatten(0, 1)).view(x.shape[:2])

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        chosen = [k for k, piece in enumerate(self.pieces()) if selected(piece)]
        if not chosen:
            return None
        facets = self.sides if len(chosen) == len(self.classes) else self._of(tuple(chosen))
        return self._boundary_function(facets, x)

    def approximate_distance(self, x: Tensor) -> Tensor:
        return self._boundary_function(self.sides, x)

    def pieces(self) -> tuple[Piece, ...]:
        return self._pieces

    @cached_property
    def _pieces(self) -> tuple[Piece, ...]:
        return tuple(self._piece(groups, own, axis) for groups, own, axis in self.classes)

    @cached_property
    def classes(self) -> tuple[tuple[frozenset[str], IntArray, bool], ...]:
        """The facets by the groups that they belong to, those on the axis x = 0 apart: (groups,
        numbers of facets, whether they lie on the axis)."""
        on_axis = (
            np.abs(self.data.points[self.data.facets][:, :, 0]).max(-1) <= 1e-9 * self.data.extent
        )
        found = [
            (groups, own[on_axis[own] == axis], axis)
            for groups, own in self.data.classes
            for axis in (False, True)
        ]
        return tuple((groups, own, axis) for groups, own, axis in found if len(own))

    def bounds(self) -> tuple[Tensor, Tensor]:
        corners = self.tensor(self.data.points[self.data.facets]).flatten(0, 1)
        return tuple(each.expand(self.size, -1) for each in (corners.amin(0), corners.amax(0)))  # type: ignore[return-value]

    def reach(self, directions: Tensor) -> Tensor:
        corners = self.sides.corners.flatten(0, 1)
        return (directions @ corners.mT).amax(-1)

    def feature_size(self) -> Tensor:
        return self.sides.weight.min().expand(self.size) ** (1 / (self.shape.space - 1))

    def center(self) -> Tensor:
        """The centroid (divergence theorem, cones from the middle of the box)."""
        corners = self.sides.corners
        apex = corners.flatten(0, 1).mean(0)
        volume = ((corners[:, 0] - apex) * self.sides.area).sum(-1)
        middles = (corners.sum(1) + apex) / (self.shape.space + 1)
        return ((volume[:, None] * middles).sum(0) / volume.sum()).expand(self.size, -1)

    def measure(self) -> Tensor:
        """By the divergence theorem, from the middle of the points so that far from the origin
        nothing is lost."""
        corners = self.sides.corners
        apex = corners.flatten(0, 1).mean(0)
        return (
            ((corners[:, 0] - apex) * self.sides.area).sum() / math.factorial(self.shape.space)
        ).expand(self.size)

    def draw(self, cube: Tensor) -> Tensor | None:
        """A cell by its share of the measure, and a point of it."""
        if self.cells is None:
            return None
        volume = torch.linalg.det(self.cells[:, 1:] - self.cells[:, :1]).abs()
        return _spread(self.cells, volume, cube.to(self.like.dtype))

    def _boundary_function(self, facets: Facets, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        return boundary_function(facets, flat, self._inside(flat)).view(x.shape[:2])

    @torch.no_grad()
    def _inside(self, x: Tensor) -> Tensor:
        found = []
        for part in _parts(x.detach(), len(self.sides)):
            height, across, _ = self.sides.seen(part)
            turned = torch.atan2(height * self.sides.weight, across).sum(-1)
            found.append(turned > math.pi)
        return torch.cat(found)

    @staticmethod
    def _gaps(x: Tensor, facets: Facets) -> Tensor:
        """Distances from points to facets. Shapes: "n d" -> "n f"."""
        count = len(facets)
        corners, normals = facets.corners.repeat(len(x), 1, 1), facets.normals.repeat(len(x), 1)
        points = x.repeat_interleave(count, 0)
        gap, over = _to_rim(points, corners, normals)
        height = ((points - corners[:, 0]) * normals).sum(-1).abs()
        return torch.where(over, height, gap).view(len(x), count)

    def _of(self, chosen: tuple[int, ...]) -> Facets:
        if chosen not in self._joined:
            self._joined[chosen] = self.facets(np.concatenate([self.classes[k][1] for k in chosen]))
        return self._joined[chosen]

    @cached_property
    def _joined(self) -> dict[tuple[int, ...], Facets]:
        return {}

    def _piece(self, groups: frozenset[str], own: IntArray, axis: bool) -> FullBoundary:
        facets = self.facets(own)
        dim = self.shape.space
        total = (facets.weight.sum() / (dim - 1)).expand(self.size)

        def chart(u: Tensor) -> tuple[Tensor, Tensor]:
            points, normals = _spread(facets.corners, facets.weight, u, facets.normals)
            return points, normals

        def carrier(x: Tensor) -> Tensor:
            return self._boundary_function(facets, x)

        def select(function: Function) -> Piece:
            places = self._places(own)
            kept = (function(places.expand(self.size, -1, -1))[0] > 0).cpu().numpy()
            return self._piece(groups, own[kept], axis)

        zero = (sp.S.Zero,) * (dim - 1)
        plane = Plane((sp.S.One, *zero), sp.S.Zero) if axis else None
        return FullBoundary(
            dim,
            total,
            chart,
            carrier,
            (self.shape,),
            plane,
            flat=True,
            groups=groups,
            select=select,
        )

    def _places(self, own: IntArray) -> Tensor:
        """A point of each facet, all but its middle. Shapes: "1 f d"."""
        shares = np.full(self.shape.space, 1 / self.shape.space)
        shares[0] += OFF
        shares[-1] -= OFF
        corners = self.data.points[self.data.facets[own]]
        return self.tensor((shares[:, None] * corners).sum(1))[None]


def _to_rim(x: Tensor, corners: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """The distance to the nearest edge or end of a facet, one for each point, and whether the
    foot lies on the facet. Shapes: "n" both."""
    if x.shape[-1] == 2:
        edge, ray = corners[:, 1] - corners[:, 0], x - corners[:, 0]
        along = (ray * edge).sum(-1) / edge.square().sum(-1)
        return norm(ray - along.clamp(0, 1)[:, None] * edge), (along > 0) & (along < 1)
    gaps, over = [], torch.ones_like(x[:, 0], dtype=torch.bool)
    for k in range(3):
        edge, ray = corners[:, (k + 1) % 3] - corners[:, k], x - corners[:, k]
        along = (ray * edge).sum(-1) / edge.square().sum(-1)
        gaps.append(norm(ray - along.clamp(0, 1)[:, None] * edge))
        over = over & ((torch.linalg.cross(edge, ray) * normal).sum(-1) > 0)
    return torch.stack(gaps, -1).amin(-1), over


def _parts(x: Tensor, count: int) -> Iterator[Tensor]:
    """Points in blocks that with all facets fill the memory of one."""
    yield from x.split(max(1, BLOCK // max(1, count)))


def _spread(
    corners: Tensor, weight: Tensor, cube: Tensor, normals: Tensor | None = None
) -> tuple[Tensor, Tensor] | Tensor:
    """Points uniform over simplices from points of the unit cube: which simplex by the first
    number, the rest of it and the others where.

    Shapes: corners "c k+1 d", cube "b n k" -> "b n d", and the normals of the simplices there.
    """
    total = weight.cumsum(0)
    target = cube[..., 0].clamp(0, 1) * total[-1]
    index = torch.searchsorted(total, target.contiguous(), right=True).clamp_max(len(weight) - 1)
    first = ((target - (total - weight)[index]) / weight[index]).clamp(0, 1)
    shares = torch.cat([first[..., None], cube[..., 1:]], -1)
    k = shares.shape[-1]
    point, left = torch.zeros_like(corners[index][..., 0, :]), torch.ones_like(first)
    # what is left of the barycentric coordinates after each: a power of its number
    for place in range(k):
        own = shares[..., place] ** (1 / (k - place))
        point = point + (left * (1 - own))[..., None] * corners[index][..., place, :]
        left = left * own
    point = point + left[..., None] * corners[index][..., k, :]
    return point if normals is None else (point, normals[index])


@bind.register
def _(shape: Mesh, numbers: Numbers, around: Ambient) -> Meshed:
    return Meshed(
        read(shape),
        numbers.size,
        torch.zeros((), dtype=numbers.dtype, device=numbers.device),
        shape,
    )
