"""Mesh files: cells, facets and groups of facets, and the checks that they are a valid mesh.

meshio reads the file. Cells are triangles in the plane, tetrahedra in space; quadrilaterals are cut
in two. A file of triangles in space is the surface of the domain (an STL). Groups are the names
that the file gives to facets: physical groups of gmsh, cell sets, boundaries that scikit-fem saved,
solids of an STL in text; facets with a number alone form a group named by it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from compiler.arrays import Array, IntArray
from pdespec.errors import fail, nearest, suggestion
from pdespec.geometry import Domain, Mesh, Shape, meshes
from pdespec.statements.problem import Problem

MOST_CELLS = 2_000_000
# flat parts of the boundary: every point of every step is compared with each of them
MOST_FACETS = 5000
SAME = 1e-7  # of the extent: points of a surface that are one, in single precision as STL has them
# of the extent to the power of the dimension: a cell without volume; of the extent: facets in one
# plane
FLAT = 1e-9
TAGS = ("gmsh:physical", "medit:ref", "cell_tags", "flac3d:group")  # numbers of facets


class Unreadable(Exception):
    """meshio's answer to a file that it cannot read."""


def guarded(read: Callable[[], Any]) -> Any:
    """What meshio reads; it says what is wrong on stdout and ends the process. Raises:
    Unreadable, ImportError without meshio."""
    import meshio  # pyright: ignore[reportMissingImports]

    said = io.StringIO()
    try:
        # the size of an STL file given by its first bytes
        with redirect_stdout(said), redirect_stderr(said), np.errstate(over="ignore"):
            return read()
    except SystemExit as failure:
        raise Unreadable(said.getvalue().strip() or "unknown format") from failure
    except (
        meshio.ReadError,
        ArithmeticError,
        LookupError,
        MemoryError,
        ValueError,
        NotImplementedError,
        AssertionError,
        TypeError,
        EOFError,
    ) as failure:
        raise Unreadable(
            str(failure) or "damaged, or of another format than its name says"
        ) from failure


@dataclass(frozen=True, eq=False)
class MeshData:
    """A mesh file in numbers. `cells` is None for a surface. Facets are boundary facets, ordered so
    that their normals point outward.

    Shapes: points "p d", cells "c d+1", facets "f d"; groups hold numbers of facets.
    """

    points: Array
    cells: IntArray | None
    facets: IntArray
    groups: Mapping[str, IntArray]

    @property
    def dim(self) -> int:
        """The number of coordinates of space."""
        return self.points.shape[1]

    @cached_property
    def extent(self) -> float:
        """The longest side of the box around the points, in the unit of the file."""
        return float(np.ptp(self.points, axis=0).max())

    @cached_property
    def classes(self) -> tuple[tuple[frozenset[str], IntArray], ...]:
        """Facets by the groups they are in."""
        names = [[] for _ in self.facets]
        for name, members in self.groups.items():
            for k in members:
                names[k].append(name)
        sets = [frozenset(each) for each in names]
        order = dict.fromkeys(sets)
        return tuple(
            (each, np.array([k for k, own in enumerate(sets) if own == each], dtype=np.int64))
            for each in order
        )

    def placed(self, scale: float, shift: Sequence[float]) -> MeshData:
        """The mesh under x -> scale x + shift."""
        return MeshData(
            scale * self.points + np.asarray(shift), self.cells, self.facets, self.groups
        )


def contents(shape: Shape) -> tuple[tuple[str, int, int], ...]:
    """What tells the mesh files of a shape from others of the same name: place, size and time of
    change. Part of the keys of caches."""
    return tuple(_stamp(mesh) for mesh in meshes(shape))


def files(problem: Problem) -> tuple[Any, ...]:
    """The contents of all domains of a problem."""
    return tuple(contents(domain.shape) for domain in problem.domains.values())


def _stamp(mesh: Mesh) -> tuple[str, int, int]:
    path = mesh.file.resolve()
    if not path.is_file():
        near = nearest(
            mesh.file.name, (each.name for each in mesh.file.parent.glob("*") if each.is_file())
        )
        hint = (
            f"did you mean {near}?"
            if near
            else "paths are relative to the folder of the text that names them"
        )
        raise fail("M01", f"there is no mesh file {mesh.file}", hint)
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def read(mesh: Mesh) -> MeshData:
    """The file of a mesh, placed. Raises: ProblemError M01 to M03, M05 to M08."""
    data = _read(_stamp(mesh), mesh.space, mesh.path)
    if mesh.scale == 1 and not any(mesh.shift):
        return data
    return data.placed(float(mesh.scale), [float(each) for each in mesh.shift or (0,) * mesh.space])


def absent(domain: Domain, group: str) -> None:
    """Raises: ProblemError M04 for a group that the file of a domain does not have."""
    (mesh,) = meshes(domain.shape)
    data = read(mesh)
    if group in data.groups:
        return
    names = ", ".join(f'"{each}"' for each in data.groups) or "none"
    hint = suggestion(group, data.groups, f"its groups of boundary facets: {names}", quote='"')
    raise fail(
        "M04",
        f'{mesh.path} has no facets on its boundary in a group "{group}"',
        hint,
        label=domain.name,
    )


@lru_cache(maxsize=16)
def _read(stamp: tuple[str, int, int], dim: int, name: str) -> MeshData:
    path = Path(stamp[0])
    try:
        import meshio  # pyright: ignore[reportMissingImports]

        raw = guarded(lambda: meshio.read(path))
    except ImportError:
        raise fail(
            "M02",
            f"{name} is read by meshio, which is not installed",
            "pip install 'pdespec[mesh]'",
        ) from None
    except Unreadable as failure:
        hint = "give a file that meshio reads: .msh, .vtu, .mesh, .xdmf, .stl .."
        raise fail(
            "M02", f"cannot read the mesh {name}: {_said(failure, path, name)}", hint
        ) from failure
    points, blocks = _arrays(raw, name)
    if not np.isfinite(points).all():
        count = int((~np.isfinite(points)).any(axis=1).sum())
        raise fail("M07", f"{count} points of {name} are not finite numbers", "write the mesh anew")
    if sum(len(data) for _, data in blocks) > MOST_CELLS:
        total = sum(len(data) for _, data in blocks)
        raise fail(
            "M08",
            f"{name} has {total} cells, more than the {MOST_CELLS} that are read",
            "make a coarser mesh",
        )
    points = _in_space(points, blocks, dim, name)
    cells = _cells(blocks, points, dim, name)
    if cells is None:
        data = _surface(
            points,
            np.concatenate([data for kind, data in blocks if kind == "triangle"]),
            _solids(path),
            name,
        )
    else:
        points, cells, number = _used(points, cells)
        facets = _facets(points, cells, name)
        data = MeshData(points, cells, facets, _groups(raw, number, facets))
    merged = (
        sum(len(flattened(data.points, data.facets[own])) for _, own in data.classes)
        if len(data.facets) > MOST_FACETS
        else 0
    )
    if merged > MOST_FACETS:
        hint = (
            "make a coarser mesh, or name the shape by those of the language: every sample point is"
            " compared with every facet"
        )
        raise fail(
            "M08",
            f"the boundary in {name} has {merged} flat parts, more than the {MOST_FACETS} that are"
            " taken",
            hint,
        )
    return data


def _arrays(raw: Any, name: str) -> tuple[Array, list[tuple[str, IntArray]]]:
    """Points and cells of a file. Raises: ProblemError M02 where it holds none, or cells name
    points that it does not hold."""
    hint = "write the mesh anew"
    try:
        points = np.asarray(raw.points, dtype=np.float64)
        blocks = [(str(block.type), np.asarray(block.data, dtype=np.int64)) for block in raw.cells]
    except (TypeError, ValueError, OverflowError) as error:
        raise fail("M02", f"the mesh {name} holds no arrays of numbers: {error}", hint) from error
    if points.ndim != 2 or not points.size:
        raise fail("M02", f"the mesh {name} holds no points", hint)
    for kind, data in blocks:
        if data.ndim != 2 or (data.size and not 0 <= data.min() <= data.max() < len(points)):
            raise fail(
                "M02",
                f"cells of the kind {kind} in the mesh {name} name points that it does not hold",
                hint,
            )
    return points, blocks


def _said(failure: Unreadable, path: Path, name: str) -> str:
    """What meshio says of a file, on one line."""
    return " ".join(str(failure).split()).removeprefix("Error: ").replace(str(path), name)[:300]


def _in_space(points: Array, blocks: Sequence[tuple[str, IntArray]], dim: int, name: str) -> Array:
    """The coordinates of the problem; gmsh writes three for a plane mesh too."""
    if points.shape[1] < dim:
        raise fail(
            "M03",
            f"{name} is a mesh in {points.shape[1]}D, the space of the problem has {dim}"
            " dimensions",
        )
    used = np.unique(
        np.concatenate([data.ravel() for _, data in blocks] or [np.zeros(0, dtype=np.int64)])
    )
    beyond = points[used, dim:]
    if beyond.size and np.ptp(beyond, axis=0).max() > FLAT * np.ptp(points[used], axis=0).max():
        raise fail(
            "M03",
            f"{name} does not lie in a plane z = constant, the space of the problem has {dim}"
            " dimensions",
        )
    return points[:, :dim]


def _cells(
    blocks: Sequence[tuple[str, IntArray]], points: Array, dim: int, name: str
) -> IntArray | None:
    """The cells, all simplices; None for a surface."""
    kinds = sorted({kind for kind, _ in blocks})
    simplex, flat = ("triangle", ("triangle", "quad")) if dim == 2 else ("tetra", ("tetra",))
    lower = {"vertex", "line", *(("triangle", "quad") if dim == 3 else ())}
    others = [kind for kind in kinds if kind not in lower and kind not in flat]
    hint = (
        "save it with triangles, or quadrilaterals"
        if dim == 2
        else "save it with tetrahedra, or as a closed surface of triangles"
    )
    level = (
        dim == 3
        and len(points)
        and np.ptp(points, axis=0).min() <= FLAT * np.ptp(points, axis=0).max()
    )
    if others:
        raise fail(
            "M03",
            f"{name} has cells of the kind {', '.join(others)}, which are not taken",
            f"{hint}, of first order",
        )
    taken = [data for kind, data in blocks if kind == simplex]
    if dim == 2:
        taken += [_halves(points, data) for kind, data in blocks if kind == "quad"]
    if taken and sum(map(len, taken)):
        return np.concatenate(taken)
    if dim == 3 and not level and "triangle" in kinds and "quad" not in kinds:
        return None
    held = (", ".join(kinds) or "none") + (", in one plane" if level else "")
    raise fail("M03", f"{name} has no cells of dimension {dim}: its cells are {held}", hint)


def _halves(points: Array, quads: IntArray) -> IntArray:
    """Quadrilaterals cut along the diagonal that lies inside: of a quadrilateral that is not
    convex there is one."""
    first = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1)
    second = np.stack([quads[:, [0, 1, 3]], quads[:, [1, 2, 3]]], 1)
    along = np.sign(volumes(points, first.reshape(-1, 3))).reshape(-1, 2)
    return np.where((along[:, 0] == along[:, 1])[:, None, None], first, second).reshape(-1, 3)


def volumes(points: Array, cells: IntArray) -> Array:
    """Signed areas or volumes of simplices, times d!."""
    return np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]])


def _used(points: Array, cells: IntArray) -> tuple[Array, IntArray, IntArray]:
    """Points of cells alone, the cells in their numbers, and the new number of each old point,
    -1 for none."""
    used, inverse = np.unique(cells, return_inverse=True)
    number = np.full(len(points), -1)
    number[used] = np.arange(len(used))
    return points[used], inverse.reshape(cells.shape).astype(np.int64), number


def _facets(points: Array, cells: IntArray, name: str) -> IntArray:
    """Facets of one cell alone, with outward normals. Raises: ProblemError M06 for cells without
    volume or that lie over another."""
    dim = points.shape[1]
    volume = volumes(points, cells)
    lengths = np.linalg.norm(points[cells[:, 1:]] - points[cells[:, :1]], axis=-1).max(axis=-1)
    flat = np.flatnonzero(np.abs(volume) <= FLAT * lengths**dim)
    if flat.size:
        middle = ", ".join(f"{each:.3g}" for each in points[cells[flat[0]]].mean(axis=0))
        raise fail(
            "M06",
            f"{flat.size} cells of {name} have no volume, one near ({middle})",
            "mend or make the mesh anew",
        )
    every = np.concatenate([np.delete(cells, k, axis=1) for k in range(dim + 1)])
    apex = np.concatenate([cells[:, k] for k in range(dim + 1)])
    _, first, inverse, count = np.unique(
        np.sort(every, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    side = np.sign(volumes(points, np.column_stack([np.sort(every, axis=1), apex])))
    balance = np.bincount(inverse.ravel(), side, len(count))
    wrong = (count > 2) | ((count == 2) & (balance != 0))
    if wrong.any():
        middle = ", ".join(f"{each:.3g}" for each in points[every[first[wrong][0]]].mean(axis=0))
        hint = "cells that are turned over or lie over others count twice: mend the mesh"
        raise fail(
            "M06",
            f"cells of {name} lie on the same side of their common facet, at {int(wrong.sum())}"
            f" facets, such as ({middle})",
            hint,
        )
    alone = first[count == 1]
    facets, inner = every[alone], apex[alone]
    to_left = volumes(points, np.column_stack([facets, inner])) > 0  # of an edge; above a triangle
    return oriented(points, facets, to_left == (dim == 3))


def oriented(points: Array, facets: IntArray, turn: NDArray[np.bool_]) -> IntArray:
    """Facets with their first two points swapped where `turn` says so."""
    facets = facets.copy()
    facets[turn, 0], facets[turn, 1] = facets[turn, 1], facets[turn, 0].copy()
    return facets


def _solids(path: Path) -> list[str]:
    """The name of the solid of each triangle, of an STL that is text and names them; else
    nothing."""
    if (
        path.suffix.lower() != ".stl"
        or not path.read_bytes()[:5].isascii()
        or b"\0" in path.read_bytes()[:512]
    ):
        return []
    found, name = [], ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["solid"]:
            name = " ".join(words[1:])
        elif words[:1] == ["facet"]:
            found.append(name)
    return found


def _surface(points: Array, triangles: IntArray, solids: Sequence[str], name: str) -> MeshData:
    """A closed surface of triangles. Raises: ProblemError M05 where it is not closed, or its
    triangles differ in which side is outside."""
    points, triangles, kept = _joined(points, triangles)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    _, inverse, count = np.unique(
        np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    balance = np.bincount(inverse.ravel(), np.where(edges[:, 0] < edges[:, 1], 1, -1), len(count))
    opened = int((count % 2).sum())
    if opened or not len(triangles):
        where = (
            ", ".join(
                f"{each:.3g}"
                for each in points[edges[count[inverse.ravel()] % 2 == 1][0]].mean(axis=0)
            )
            if opened
            else ""
        )
        message = (
            f"the surface in {name} is not closed: {opened} edges belong to an odd number of"
            f" triangles, one near ({where})"
        )
        raise fail("M05", message, "close its holes, or give a mesh with tetrahedra")
    if balance.any():
        message = (
            f"the triangles of {name} do not agree which side is outside, at"
            f" {int((balance != 0).sum())} edges"
        )
        raise fail("M05", message, "orient its triangles alike")
    middle = points.mean(axis=0)
    inside = np.linalg.det(points[triangles] - middle).sum()
    if abs(inside) <= FLAT * np.ptp(points, axis=0).max() ** 3:
        raise fail(
            "M05", f"the surface in {name} encloses no volume", "give the closed surface of a body"
        )
    owner = (
        np.array(solids, dtype=object)[kept]
        if len(solids) == len(kept)
        else np.full(len(triangles), "")
    )
    groups = {each: np.flatnonzero(owner == each) for each in dict.fromkeys(owner.tolist()) if each}
    return MeshData(points, None, triangles if inside > 0 else triangles[:, ::-1].copy(), groups)


def _joined(points: Array, triangles: IntArray) -> tuple[Array, IntArray, NDArray[np.bool_]]:
    """Points that are one up to rounding made one; triangles that vanish by it are left out, the
    others identified by the last result."""
    near = cKDTree(points).query_pairs(SAME * np.ptp(points, axis=0).max(), output_type="ndarray")
    links = coo_array(
        (np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(points), len(points))
    )
    _, label = connected_components(links, directed=False)
    _, first = np.unique(label, return_index=True)
    cells = label[triangles].astype(np.int64)
    kept = (
        (cells[:, 0] != cells[:, 1]) & (cells[:, 1] != cells[:, 2]) & (cells[:, 2] != cells[:, 0])
    )
    points, cells, _ = _used(points[first], cells[kept])
    return points, cells, kept


def _groups(raw: Any, number: IntArray, facets: IntArray) -> dict[str, IntArray]:
    """The named groups of boundary facets; what a name has inside of the domain is left out."""
    size, place = (
        facets.shape[1],
        {tuple(sorted(facet)): k for k, facet in enumerate(facets.tolist())},
    )
    kind = {2: "line", 3: "triangle"}[size]
    found: dict[str, set[int]] = {}

    def put(name: str, members: IntArray) -> None:
        for each in number[members].tolist():
            if (k := place.get(tuple(sorted(each)))) is not None:
                found.setdefault(name, set()).add(k)

    names = (
        {(int(tag), int(dim)): name for name, (tag, dim) in raw.field_data.items()}
        if raw.field_data
        else {}
    )
    for index, block in enumerate(raw.cells):
        if block.type != kind:
            continue
        for key in TAGS:
            tags = (
                np.asarray(raw.cell_data[key][index]).ravel()
                if key in raw.cell_data
                else np.zeros(0, dtype=np.int64)
            )
            for tag in np.unique(tags).tolist():
                name = names.get((int(tag), size - 1), str(tag))
                if tag != 0 or name != "0":  # gmsh and medit write 0 for no group
                    put(name, block.data[tags == tag])
    for name, members in raw.cell_sets.items():
        for block, own in zip(raw.cells, members, strict=True):
            if block.type == kind and own is not None and len(own) and not name.startswith("gmsh:"):
                put(name, block.data[np.asarray(own, dtype=np.int64)])
    for key, bits in raw.cell_data.items():
        # bit k of a cell's number stands for its facet k, in scikit-fem's order
        if key.startswith("skfem:b:"):
            for name, members in _saved(raw, key, bits).items():
                put(name, members)
    return {name: np.array(sorted(members), dtype=np.int64) for name, members in found.items()}


def _saved(raw: Any, key: str, bits: Any) -> dict[str, IntArray]:
    """Boundaries that scikit-fem saved with a mesh, as facets in the file's own points."""
    from skfem.io.meshio import from_meshio

    mesh = from_meshio(raw)
    same = np.array_equal(mesh.p.T, np.asarray(raw.points)[:, : mesh.dim()])
    boundaries = {} if mesh.boundaries is None or not same else mesh.boundaries
    name = key.removeprefix("skfem:b:")
    return (
        {name: mesh.facets.T[np.asarray(boundaries[name])].astype(np.int64)}
        if name in boundaries
        else {}
    )


def flattened(points: Array, facets: IntArray) -> IntArray:
    """Fewer facets that cover the same: neighbours on one line are one edge, neighbours in one
    plane that together are convex are cut anew.

    Shapes: facets "f d" -> "g d", their normals as before.
    """
    if len(facets) == 0:
        return facets
    dim = points.shape[1]
    normals = unit_normals(points, facets)
    ridges = np.concatenate([np.delete(facets, k, axis=1) for k in range(dim)])
    owner = np.tile(np.arange(len(facets)), dim)
    _, inverse, count = np.unique(
        np.sort(ridges, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(inverse.ravel(), kind="stable")
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])[count == 2]
    a, b = owner[order[starts]], owner[order[starts + 1]]
    level = FLAT * np.ptp(points, axis=0).max()
    offset = np.abs(
        ((points[facets[b]] - points[facets[a]][:, :1]) * normals[a][:, None]).sum(-1)
    ).max(axis=-1, initial=0)
    same = (offset <= level) & ((normals[a] * normals[b]).sum(-1) > 0.5)
    links = coo_array((np.ones(same.sum()), (a[same], b[same])), shape=(len(facets), len(facets)))
    count_, label = connected_components(links, directed=False)
    groups = np.split(
        np.argsort(label, kind="stable"), np.cumsum(np.bincount(label, minlength=count_))[:-1]
    )
    made = [
        _one(points, facets[own], normals[own[0]], level) if len(own) > 1 else facets[own]
        for own in groups
    ]
    return np.concatenate(made)


def _one(points: Array, facets: IntArray, normal: Array, level: float) -> IntArray:
    """Facets in one plane as few: as they are where they are not convex together."""
    if facets.shape[1] == 2:
        start, end = (
            np.setdiff1d(facets[:, 0], facets[:, 1]),
            np.setdiff1d(facets[:, 1], facets[:, 0]),
        )
        return np.array([[start[0], end[0]]]) if len(start) == len(end) == 1 else facets
    edges = np.concatenate([facets[:, [0, 1]], facets[:, [1, 2]], facets[:, [2, 0]]])
    inner = {tuple(each) for each in edges[:, ::-1].tolist()}
    following = {a: b for a, b in edges.tolist() if (a, b) not in inner}
    if not following or len(following) != sum((a, b) not in inner for a, b in edges.tolist()):
        return facets  # a vertex that the rim passes twice
    rim = [next(iter(following))]
    while (then := following[rim[-1]]) != rim[0]:
        rim.append(then)
    if len(rim) != len(following):
        return facets  # with holes
    where = points[rim]
    before, after = where - np.roll(where, 1, axis=0), np.roll(where, -1, axis=0) - where
    turn = (
        np.cross(before, after)
        @ normal
        / np.linalg.norm(before, axis=-1)
        / np.linalg.norm(after, axis=-1)
    )
    corners = [corner for corner, angle in zip(rim, turn, strict=True) if abs(angle) > FLAT]
    if (turn < -FLAT).any() or len(corners) < 3 or len(corners) - 2 >= len(facets):
        return facets
    return np.array([[corners[0], b, c] for b, c in zip(corners[1:], corners[2:], strict=False)])


def unit_normals(points: Array, facets: IntArray) -> Array:
    """Outward unit normals. Shapes: "f d" -> "f d"."""
    normal = area_normals(points, facets)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def area_normals(points: Array, facets: IntArray) -> Array:
    """Normals as long as facets are large: lengths of edges, twice the areas of triangles.
    Shapes: "f d" -> "f d"."""
    edges = points[facets[:, 1:]] - points[facets[:, :1]]
    if facets.shape[1] == 2:
        return np.column_stack([edges[:, 0, 1], -edges[:, 0, 0]])
    return np.cross(edges[:, 0], edges[:, 1])
