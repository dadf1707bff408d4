#!/usr/bin/env bash
# torch.onnx.export of a float64 model rounds Python numbers to float32, in x * 0.1, x / 3.1, clamp, where, new_full, lerp; the results keep eight digits and the name float64.
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

import onnxruntime
import torch

logging.disable(logging.WARNING)  # that torchvision is not there
warnings.simplefilter("ignore")
CASES = {
    "x * 0.1": lambda x: x * 0.1,
    "0.1 ** x": lambda x: 0.1**x,
    "new_full": lambda x: x.new_full((3,), 0.1),
    "add, alpha": lambda x: torch.add(x, x, alpha=0.1),
    "lerp": lambda x: torch.lerp(x, 2 * x, 0.1),
    "x / 3.1": lambda x: x / 3.1,
    "x ** 0.1": lambda x: x**0.1,
    "clamp": lambda x: torch.clamp(x, min=0.4),
    "where": lambda x: torch.where(x > 1, x, 0.1),
}


class Case(torch.nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        return CASES[self.name](x)


x = torch.tensor([0.3, 0.7, 1.9], dtype=torch.float64)
print("torch", torch.__version__, "onnxruntime", onnxruntime.__version__)
off = {}
for name in CASES:
    torch.onnx.export(Case(name).eval(), (x,), dynamo=True, verbose=False).save("case.onnx")
    session = onnxruntime.InferenceSession("case.onnx")
    (found,) = session.run(None, {each.name: x.numpy() for each in session.get_inputs()})
    expected = CASES[name](x).numpy()
    off[name] = float(abs(found / expected - 1).max())
    print(f"{name:10s} {found.dtype}, relative difference {off[name]:.1e}")
rounded = [name for name, value in off.items() if value > 1e-10]
as_seen = rounded == [name for name in CASES if name != "x ** 0.1"] and max(off.values()) < 1e-7
print("float64 results with eight digits" if as_seen else "the behaviour has changed")
raise SystemExit(not as_seen)
PROGRAM
