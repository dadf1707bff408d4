"""Draws bodies in space, panel by panel: arrays and titles as .npz on stdin, a PNG on stdout.

A program of its own, since VTK takes the process with it on machines where it finds no way to draw.
"""

import io
import json
import os
import sys

import numpy as np
import pyvista
from PIL import Image


def main() -> None:
    """Draws the body that comes on the standard input, and writes its picture to the standard
    output."""
    given = np.load(io.BytesIO(sys.stdin.buffer.read()))
    told = json.loads(str(given["told"]))
    rows, width, height = told["rows"], *told["panel"]
    plotter = pyvista.Plotter(
        off_screen=True,
        shape=(len(rows), 3),
        window_size=[3 * width, len(rows) * height],
        border=False,
    )
    plotter.set_background("white")
    cells = {told["kind"]: given["cells"]}
    for k, row in enumerate(rows):
        for j, panel in enumerate(row):
            plotter.subplot(k, j)
            body = pyvista.UnstructuredGrid(cells, given[f"points {k} {j}"])
            body.point_data[panel["title"]] = given[f"values {k} {j}"]
            plotter.add_mesh(
                body.extract_surface(algorithm=None) if told["moved"] else opened(body),
                scalars=panel["title"],
                clim=panel["limits"],
                cmap=panel["colours"],
                scalar_bar_args={"n_labels": 2, "fmt": "%.2g", "color": "black"},
                ambient=0.7,
                diffuse=0.3,  # the colours are values first, shadows second
            )
            if told["moved"]:
                rest = pyvista.UnstructuredGrid(cells, given["rest"])
                plotter.add_mesh(rest.outline(), color="grey")
            x, y, z = told["axes"]
            plotter.add_axes(xlabel=x, ylabel=y, zlabel=z, color="black")
            plotter.reset_camera()
            plotter.camera.SetWindowCenter(0, -0.2)  # the lowest part is that of the colours
            plotter.camera.zoom(0.8)
    picture = plotter.screenshot(None, return_img=True)
    Image.fromarray(picture).save(sys.stdout.buffer, format="png")
    sys.stdout.flush()
    os._exit(0)  # VTK may fail while it is taken down


def opened(body: pyvista.UnstructuredGrid) -> pyvista.DataSet:
    """The body without the eighth that looks at the reader, so that its inside is seen."""
    x0, x1, y0, y1, z0, z1 = body.bounds
    middle = [(x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2]
    return body.clip_box((middle[0], x1 + 1, middle[1], y1 + 1, middle[2], z1 + 1), invert=True)


if __name__ == "__main__":
    main()
