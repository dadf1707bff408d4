"""What belongs to a shape as a whole is computed once, and has its gradient all the same."""

import torch

from compiler.geometry.domain import Geometry
from compiler.geometry.shapes import extent
from pdespec.text import parse
from tests.texts import STAR


def geometry(c: torch.Tensor) -> Geometry:
    return Geometry(parse(STAR).domains["Omega"], {"c": c}, len(c), c.dtype)


def test_the_extent_is_computed_once():
    body = geometry(torch.tensor([0.1, -0.1])).body
    assert extent(body) is extent(body)


def test_a_gradient_is_never_lost_to_what_is_kept():
    c = torch.tensor([0.1], dtype=torch.float64, requires_grad=True)
    body = geometry(c).body
    with torch.no_grad():
        kept = extent(body)
    found = extent(body)
    (slope,) = torch.autograd.grad(found.sum(), c)
    torch.testing.assert_close(found.detach(), kept)
    # the box of 1 + c cos(4 theta), c > 0, is [-1 - c, 1 + c]^2
    torch.testing.assert_close(slope, torch.tensor([2.0], dtype=torch.float64))
    (again,) = torch.autograd.grad(extent(body).sum(), c)
    assert torch.equal(again, slope)
