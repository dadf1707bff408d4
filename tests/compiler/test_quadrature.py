"""Energies by Sobol points, by independent ones and by quadrature on a mesh, against closed
forms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

import compiler
import pdespec
from pdespec.errors import ProblemError

from .problems import seed

PLATE = """problem plate
space    X, Y
param    T ~ uniform(1, 2)
domain   body = rectangle([0, 0], [2, 1])
boundary held = side(body, X = 0), loaded = side(body, Y = 1)
unknown  u : scalar on body
psi := dot(grad(u), grad(u))/2
minimize integral(psi, body) - integral(T*u, loaded)
on held: u = 0
require  dX(u) > 0 in body
"""

ROD = """problem rod
space    x
time     t in [0, 1]
domain   L = interval(0, 3)
unknown  u : scalar on L
in L: dt(u) = dxx(u)
on boundary(L): u = 0
at t = 0: u = x
"""

BLOB = """problem blob
space    x, y
param    a ~ uniform(0, 0.3)
domain   D = star(radius = 1 + a*cos(3*theta))
unknown  u : scalar on D
minimize integral(dot(grad(u), grad(u))/2, D)
on boundary(D): u = 1
"""


def wave(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(x[..., :1]) * torch.sin(2 * x[..., 1:])


def energy_error(loss: compiler.PhysicsLoss, sampling: str, count: int, k: int) -> float:
    """Of the energy of `wave`, mean of two samples."""
    problem = loss.problem
    batch = compiler.sample(
        problem,
        2,
        {"interior": count, "boundary": count // 4},
        seed(k),
        dtype=torch.float64,
        hard_conditions=False,
        sampling=sampling,
    )
    found = loss(wave, batch)["energy"].detach()
    # |grad u|^2 = e^2X (1 + 3 cos^2 2Y)
    stored = (math.exp(4) - 1) / 4 * (1 + 3 * (0.5 + math.sin(4) / 8))
    load = batch.params["T"].mean() * math.sin(2) * (math.exp(2) - 1)
    return abs(float(found - (stored - load)))


def test_the_error_of_an_energy_over_two_regions_falls_as_each_placing_should():
    counts = (64, 512, 4096)
    slopes, loss = {}, compiler.compile(pdespec.parse(PLATE))
    for sampling, draws in (("mesh", 1), ("uniform", 6), ("sobol", 6)):
        errors = [
            np.sqrt(np.mean([energy_error(loss, sampling, n, k) ** 2 for k in range(draws)]))
            for n in counts
        ]
        slopes[sampling] = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    # in points: h^4 is n^-2
    assert slopes["mesh"] < -1.5 and slopes["sobol"] < -0.7 and -0.8 < slopes["uniform"] < -0.3


@pytest.mark.parametrize("text", [PLATE, BLOB, ROD], ids=["plate", "blob", "rod"])
def test_nodes_lie_in_their_region_with_outward_normals_and_weights_of_mean_one(text):
    problem = pdespec.parse(text)
    batch = compiler.sample(
        problem, 3, {"interior": 500, "boundary": 70}, seed(), dtype=torch.float64, sampling="mesh"
    )
    for name, each in batch.points.items():
        d = len(problem.coordinates)
        assert each.points.shape[:2] == each.weights.shape
        torch.testing.assert_close(each.weights.mean(1), torch.ones(3, dtype=torch.float64))
        assert (each.weights >= 0).all() and (each.weights > 0).double().mean() > 0.3
        (geometry,) = batch.geometry.values()
        distance = geometry.signed_distance(each.points[..., :d])
        if each.normals is None:
            assert (distance < 1e-3).all()
        else:
            assert distance.abs().max() < 1e-3
            torch.testing.assert_close(
                each.normals, geometry.normal(each.points[..., :d]), atol=0.05, rtol=0
            )
        if problem.time is not None and "@" not in name:
            order = torch.corrcoef(each.points[0].T)[0, 1]
            assert abs(order) < 0.2


def test_integrals_over_shapes_that_differ_between_samples_are_right():
    problem = pdespec.parse(BLOB)
    batch = compiler.sample(
        problem, 3, {"interior": 600}, seed(), dtype=torch.float64, sampling="mesh"
    )
    found = batch.points["D"]
    square = found.measure * (found.weights * found.points.square().sum(-1)).mean(1)
    a = batch.params["a"]
    exact = math.pi / 2 * (1 + 3 * a**2 + 3 / 8 * a**4)  # the integral of R^4 / 4 over the angle
    torch.testing.assert_close(square, exact, rtol=2e-4, atol=0)


def test_blocks_weigh_nodes_as_the_whole_does():
    problem = pdespec.parse(PLATE)
    loss = compiler.compile(problem)
    batch = compiler.sample(
        problem, 2, {"interior": 300, "boundary": 50}, seed(), dtype=torch.float64, sampling="mesh"
    )

    def field(x):
        return wave(x) * (x[..., :1] - 1.8)  # falls where X < 0.8

    whole, blocks = loss(field, batch), compiler.StepEngine(loss, 64)(field, batch)
    for label, value in whole.items():
        torch.testing.assert_close(blocks[label], value)
    torch.testing.assert_close(blocks.violations["require1"], whole.violations["require1"])
    assert 0.1 < float(whole.violations["require1"].mean()) < 0.9
    selected = batch.select([1]).to(torch.float32)
    assert (
        selected.points["body"].weights.shape == (1, 300)
        and selected.points["body"].weights.dtype == torch.float32
    )


def test_placings_that_do_not_exist_and_counts_below_the_coarsest_mesh_are_refused():
    problem = pdespec.parse(PLATE)
    with pytest.raises(
        ProblemError, match="S01.*unknown placing of points 'mseh'; *|did you mean 'mesh'"
    ):
        compiler.sample(problem, 1, sampling="mseh")
    with pytest.raises(
        ProblemError, match="B01.*the coarsest mesh of body has 6 nodes, 4 points are asked for"
    ):
        compiler.sample(problem, 1, {"interior": 4}, sampling="mesh")


def test_the_nodes_of_a_fixed_shape_are_the_same_at_every_call():
    problem = pdespec.parse(PLATE)
    first, second = (
        compiler.sample(problem, 2, generator=seed(k), sampling="mesh").points["body"].points
        for k in (0, 1)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("sampling", ["uniform", "mesh"])
def test_training_places_its_points_as_asked_and_goes_on_bit_for_bit(sampling, tmp_path):
    problem = pdespec.parse(PLATE)
    options = compiler.TrainOptions(
        steps=6,
        batch=2,
        points={"interior": 60, "boundary": 20, "operator": 30},
        sampling=sampling,
        validation=2,
        log_every=1,
    )
    placings = []

    def sampler(*args, sampling, **named):
        placings.append(sampling)
        return compiler.sample(*args, sampling=sampling, **named)

    def train(name, options, resume=False):
        model = compiler.build(problem, "gino", hidden=4, modes=2, layers=1, latent=(8, 8))
        return compiler.train(
            problem, model, options, tmp_path / name, resume=resume, sampler=sampler
        )

    through = train("through", options)
    train("halves", dataclasses.replace(options, seconds=1e-6))
    halves = train("halves", options, resume=True)
    assert through.finished and halves.finished
    for ours, theirs in zip(halves.model.parameters(), through.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert set(placings) == {sampling, "sobol"}  # the latter where it validates
    assert through.history[-1]["energy"] == halves.history[-1]["energy"]
    other = train("other", dataclasses.replace(options, sampling="sobol"))
    assert other.history[-1]["energy"] != through.history[-1]["energy"]


STAR = "star(radius = 1 + 0.2*cos(4*theta))"
ON = {
    # a function that is zero on the curved part of the boundary and nowhere flat there
    "ellipsoid(radii = [1, 0.5, 0.3])": lambda x, y, z: x**2 + (y / 0.5) ** 2 + (z / 0.3) ** 2 - 1,
    f"extruded({STAR}, 1)": lambda x, y, z: (
        np.hypot(x, y) - (1 + 0.2 * np.cos(4 * np.arctan2(y, x)))
    ),
    # whose coarsest cells are so curved that they overlap
    "cylinder(radius = 1, height = 2, axis = [1, 1, 0])": lambda x, y, z: (
        (x - y) ** 2 / 2 + z**2 - 1
    ),
}


@pytest.mark.parametrize("shape", ON)
def test_the_nodes_of_a_mesh_on_a_boundary_lie_on_it(shape):
    problem = pdespec.parse(
        f"problem p\nspace x, y, z\ndomain B = {shape}\nunknown u : scalar on B\nin B: lap(u) ="
        " 1\non boundary(B): u = 0"
    )
    counts = {"interior": 4096, "boundary": 4096}
    batch = compiler.sample(problem, 1, counts, seed(), dtype=torch.float64, sampling="mesh")
    found = batch.points["boundary(B)"]
    points, normals = found.points[0].numpy().T, found.normals[0].numpy().T
    level, step = ON[shape], 1e-5
    curved = np.abs(level(*points)) < 1e-3
    ends = np.abs(level(*points)) > 0.02  # the flat ends, but for a node beside an edge
    assert curved.sum() > 1000 and (curved | ends).all()
    slope = [
        (level(*(points + step * axis)) - level(*(points - step * axis))) / (2 * step)
        for axis in np.eye(3)[:, :, None]
    ]
    outward = np.array(slope) / np.linalg.norm(slope, axis=0)
    assert np.abs(level(*points)[curved]).max() < 1e-13
    assert np.abs((normals - outward)[:, curved]).max() < 1e-8
