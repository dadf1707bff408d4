"""Networks with weights of their own for each sample, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from operators import JetSpace, MetaPINN, OperatorInput

SMALL = {"hidden": (8, 8), "omega": 5.0, "scale": 0.5}


def test_a_field_is_its_sirens_with_their_scales(rand, randn, nested, close):
    model = MetaPINN(2, 2, ((0.0, -1.0), (1.0, 3.0)), periodic=(True, False), **SMALL).double()
    inputs = OperatorInput(rand(2, 3, 2), randn(2, 3, 1))
    rows = model.theta.detach() + 0.1 * randn(2, model.theta.numel())
    field, points = model.field(inputs, rows), rand(2, 5, 2)
    found = field(points).numpy()
    for i in range(2):
        parts = [p.numpy() for p in rows[i].split(model.layout.parts)]
        for n, (x, y) in enumerate(points[i].numpy()):
            angle = np.pi * (2 * x - 1)  # the period scaled to [-pi, pi]
            z = np.array([np.sin(angle), np.cos(angle), (y - 1) / 2]) * np.exp(parts[0])
            for k, (wide, out) in enumerate([(3, 8), (8, 8), (8, 2)]):
                z = parts[2 * k + 1].reshape(out, wide) @ z + parts[2 * k + 2]
                z = z if k == 2 else np.sin(5.0 * z)
            assert np.abs(found[i, n] - z * np.exp(parts[-1])).max() < 1e-12
    space = JetSpace.closure([(2, 1), (0, 3)], {"laplacian": {(2, 0): 1, (0, 2): 1}})
    jet = field.taylor(points, space)
    for index in space.lower:
        assert close(jet[index], nested(field, points, index)) < 1e-10
    with pytest.raises(ValueError, match=r"takes points \(2, n, D\), got \(1, 5, 2\)"):
        field(points[:1])
