"""The page on a search for a better section."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
import torch

from compiler.finite_volume.moving import Grids
from compiler.report.search import Step, write_page
from tests.compiler.finite_volume.sections import flow_at


def test_page_holds_every_step_and_nothing_from_elsewhere(tmp_path):
    d = torch.tensor([[0.0] * 7, [0.0, 0.01, 0.0, -0.02, 0.0, 0.0, 0.0]])
    nodes = Grids(flow_at(), 16, rows=24).nodes(d).numpy()
    pressure = nodes[..., 0] + 2 * nodes[..., 1]
    steps = [
        Step(nodes[k], pressure[k], {"drag": 0.2 - 0.1 * k, "cost": 3.0 - k}, f"<{k}>")
        for k in range(2)
    ]
    write_page(tmp_path / "page.html", "A <search>", "two steps", steps)
    text = (tmp_path / "page.html").read_text()
    assert "&lt;search&gt;" in text and "<td>&lt;1&gt;</td>" in text and "$" not in text[:2000]
    assert not re.search(r"(src|href)=\"?https?:", text)
    found = json.loads(re.search(r'id="frames">(.*?)</script>', text, re.S)[1])
    rows = found["samples"]["search"]["rows"]
    body, along = rows[0]
    points = np.frombuffer(base64.b64decode(body["frames"][1]["points"]), "<f4").reshape(-1, 2)
    values = np.frombuffer(base64.b64decode(body["frames"][1]["values"]), "<f4")
    assert np.abs(points @ [1, 2] - values).max() < 1e-6
    numbers = np.frombuffer(base64.b64decode(body["triangles"]), "<u4")
    assert numbers.max() == len(points) - 1
    above, below = (np.array(line["frames"][0], float) for line in along["lines"])
    x = np.array(along["x"])
    inner = slice(20, -20)
    height = (above - below)[inner] / 4  # of the undeformed section: p = x + 2 y
    half = 0.6 * (0.2969 * x**0.5 - 0.126 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1036 * x**4)
    assert np.abs(height - half[inner]).max() < 1e-3
    assert rows[1][1]["lines"][0]["frames"] == [[3.0, None], [3.0, 2.0]]


def test_search_without_steps_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to show"):
        write_page(tmp_path / "page.html", "", "", [])
