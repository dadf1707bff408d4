#!/usr/bin/env bash
# torch.onnx.export writes scatter_reduce with "mean" as a scatter that overwrites: the program gives the last value of each group, without a warning.
# Exits with 0 while the behaviour is as printed, with 1 once it has changed. Needs python3 >= 3.11 with venv, and pip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2
cd "$folder"
"$folder/venv/bin/python" - <<'PROGRAM'
import logging
import warnings

import numpy as np
import onnxruntime
import torch

logging.disable(logging.WARNING)  # that torchvision is not there


class Reduced(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, values, groups):
        return torch.zeros(4).scatter_reduce(0, groups, values, self.kind, include_self=False)


values, groups = torch.arange(1.0, 9.0), torch.tensor([0, 0, 1, 1, 1, 2, 2, 3])
print("torch", torch.__version__, "onnxruntime", onnxruntime.__version__)
found, said = {}, []
for kind in ("mean", "sum", "amax", "prod"):
    model = Reduced(kind).eval()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.onnx.export(model, (values, groups), dynamo=True, verbose=False).save(f"{kind}.onnx")
    said += [str(each.message) for each in caught]
    session = onnxruntime.InferenceSession(f"{kind}.onnx")
    names = [each.name for each in session.get_inputs()]
    (run,) = session.run(None, dict(zip(names, (values.numpy(), groups.numpy()))))
    found[kind] = model(values, groups).tolist(), run.tolist()
    print(f"{kind:5s} torch {found[kind][0]}, onnxruntime {found[kind][1]}")
last = [2.0, 5.0, 7.0, 8.0]
as_seen = found["mean"] == ([1.5, 4.0, 6.5, 8.0], last) and all(a == b for k, (a, b) in found.items() if k != "mean")
as_seen = as_seen and not any("scatter" in each or "reduc" in each for each in said)
print("a mean became the last value" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
