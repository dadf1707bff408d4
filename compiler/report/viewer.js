// Draws the frames of held-out samples: values under the pointer, zoom by the wheel, a player for
// what changes in time, and a row of slices. Nothing is fetched.
"use strict";
(function () {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const short = (v) => (v === null || v === undefined || Number.isNaN(v) ? "-" : Number(v.toPrecision(4)).toString());
  const element = (tag, parent, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  };

  // PNG of packed numbers -> {width, height, values}; NaN outside of the domain
  async function unpacked(text, range) {
    const image = new Image();
    image.src = "data:image/png;base64," + text;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.width;
    canvas.height = image.height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, image.width, image.height).data;
    const values = new Float64Array(image.width * image.height);
    for (let k = 0; k < values.length; k++) {
      const share = (256 * data[4 * k] + data[4 * k + 1]) / 65535;
      values[k] = data[4 * k + 2] ? range[0] + share * (range[1] - range[0]) : NaN;
    }
    return { width: image.width, height: image.height, values };
  }

  const floats = (text) => new Float32Array(bytes(text).buffer);
  function unpackedBody(panel) {
    const frames = panel.frames.map((each) => ({ points: floats(each.points), values: floats(each.values) }));
    return { ...panel, triangles: new Uint32Array(bytes(panel.triangles).buffer), rest: floats(panel.rest), frames };
  }

  async function read(panel) {
    if (panel.kind === "body") return unpackedBody(panel);
    if (panel.kind !== "image") return panel;
    const frames = await Promise.all(panel.frames.map((each) => unpacked(each, panel.range)));
    return { ...panel, frames };
  }

  function withGaps(row) {
    return row.map((panel) => {
      if (panel.kind !== "gap") return panel;
      const [own, right] = row;
      const count = Math.max(own.frames.length, right.frames.length);
      const frames = Array.from({ length: count }, (_, k) => {
        const a = own.frames[Math.min(k, own.frames.length - 1)];
        const b = right.frames[Math.min(k, right.frames.length - 1)];
        return { ...a, values: a.values.map((v, i) => Math.abs(v - b.values[i])) };
      });
      return { ...panel, kind: "image", colours: "magma", frames };
    });
  }

  const frameOf = (frames, k) => frames[Math.min(k, frames.length - 1)];

  function shade(frame, limits, colours) {
    const canvas = document.createElement("canvas");
    canvas.width = frame.width;
    canvas.height = frame.height;
    const context = canvas.getContext("2d");
    const image = context.createImageData(frame.width, frame.height);
    const scale = 255 / (limits[1] - limits[0] || 1);
    frame.values.forEach((v, k) => {
      if (Number.isNaN(v)) return;
      const index = 3 * Math.max(0, Math.min(255, Math.round((v - limits[0]) * scale)));
      image.data.set([colours[index], colours[index + 1], colours[index + 2], 255], 4 * k);
    });
    context.putImageData(image, 0, 0);
    return canvas;
  }

  function drawImagePanel(canvas, panel, k, view, palettes) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = false;
    const frame = frameOf(panel.frames, k);
    const shaded = shade(frame, panel.limits, palettes[panel.colours || "viridis"]);
    context.drawImage(shaded, view.x * frame.width, view.y * frame.height, view.size * frame.width,
      view.size * frame.height, 0, 0, canvas.width, canvas.height);
  }

  const LINES = ["#2563a8", "#6b7280"];
  function drawCurvePanel(canvas, panel, k, view) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    const x0 = panel.x[0], x1 = panel.x[panel.x.length - 1], [low, high] = panel.limits;
    const across = (x) => (((x - x0) / (x1 - x0) - view.x) / view.size) * canvas.width;
    const up = (v) => (((high - v) / (high - low) * 0.92 + 0.04 - view.y) / view.size) * canvas.height;
    [...panel.lines].reverse().forEach((line, j) => {
      context.strokeStyle = LINES[panel.lines.length - 1 - j];
      context.lineWidth = j === 0 && panel.lines.length > 1 ? 4 : 2;
      context.beginPath();
      frameOf(line.frames, k).forEach((v, i) => {
        if (v !== null) context.lineTo(across(panel.x[i]), up(v));
      });
      context.stroke();
    });
  }

  function drawDotsPanel(canvas, panel, k, view, palettes, extent) {
    const context = canvas.getContext("2d"), [left, right, bottom, top] = extent;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const values = frameOf(panel.frames, k), [low, high] = panel.limits;
    panel.places.forEach(([x, y], i) => {
      const index = 3 * Math.round((255 * (values[i] - low)) / (high - low));
      context.fillStyle = "rgb(" + palettes.viridis.slice(index, index + 3).join(",") + ")";
      context.beginPath();
      context.arc((((x - left) / (right - left) * 0.88 + 0.06 - view.x) / view.size) * canvas.width,
        (((top - y) / (top - bottom) * 0.88 + 0.06 - view.y) / view.size) * canvas.height, 4, 0, 7);
      context.fill();
    });
  }

  // a body where it moves: each triangle in the colour of its mean, its border, and that at rest
  function drawBodyPanel(canvas, panel, k, view, palettes, extent) {
    const context = canvas.getContext("2d"), [left, right, bottom, top] = extent;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const { points, values } = frameOf(panel.frames, k), [low, high] = panel.limits;
    const across = (x) => (((x - left) / (right - left) - view.x) / view.size) * canvas.width;
    const up = (y) => (((top - y) / (top - bottom) - view.y) / view.size) * canvas.height;
    const path = (places, numbers) => {
      context.beginPath();
      for (const n of numbers) context.lineTo(across(places[2 * n]), up(places[2 * n + 1]));
    };
    const borders = (places, colour) => {
      context.strokeStyle = colour;
      panel.border.forEach((side) => { path(places, side); context.stroke(); });
    };
    context.lineWidth = 1;
    borders(panel.rest, "#c8cdd3");
    const colours = palettes[panel.colours || "viridis"];
    for (let i = 0; i < panel.triangles.length; i += 3) {
      const corners = panel.triangles.subarray(i, i + 3);
      const mean = (values[corners[0]] + values[corners[1]] + values[corners[2]]) / 3;
      const index = 3 * Math.max(0, Math.min(255, Math.round((255 * (mean - low)) / (high - low || 1))));
      context.fillStyle = context.strokeStyle = "rgb(" + colours.slice(index, index + 3).join(",") + ")";
      path(points, corners);
      context.closePath();
      context.fill();
      context.stroke();
    }
    borders(points, "#333");
  }

  const DRAWN = { curve: drawCurvePanel, image: drawImagePanel, dots: drawDotsPanel, body: drawBodyPanel };
  function draw(canvas, panel, k, view, palettes, extent) {
    DRAWN[panel.kind](canvas, panel, k, view, palettes, panel.extent || extent);
  }

  function valueOnBody(panel, k, x, y) {
    const { points, values } = frameOf(panel.frames, k), t = panel.triangles;
    for (let i = 0; i < t.length; i += 3) {
      const [ax, ay, bx, by, cx, cy] = [0, 1, 2].flatMap((j) => [points[2 * t[i + j]], points[2 * t[i + j] + 1]]);
      const area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay);
      const b = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area;
      const c = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area;
      if (b >= 0 && c >= 0 && b + c <= 1)
        return (1 - b - c) * values[t[i]] + b * values[t[i + 1]] + c * values[t[i + 2]];
    }
    return NaN;
  }

  // what lies under a point of a panel, given as shares of its width and height
  function valueAt(panel, data, k, x, y) {
    const [left, right, bottom, top] = panel.extent || data.extent;
    if (panel.kind === "curve") {
      const i = Math.max(0, Math.min(panel.x.length - 1, Math.round(x * (panel.x.length - 1))));
      const found = panel.lines.map((each) => each.label + " = " + short(frameOf(each.frames, k)[i]));
      return data.axes[0] + " = " + short(panel.x[i]) + ", " + found.join(", ");
    }
    if (panel.kind === "dots") {
      const at = [(x - 0.06) / 0.88 * (right - left) + left, top - (y - 0.06) / 0.88 * (top - bottom)];
      const far = panel.places.map((each) => Math.hypot(each[0] - at[0], each[1] - at[1]));
      const i = far.indexOf(Math.min(...far));
      return data.axes.map((name, n) => name + " = " + short(panel.places[i][n])).join(", ") +
        ", value " + short(frameOf(panel.frames, k)[i]);
    }
    const place = [left + x * (right - left), top - y * (top - bottom)];
    if (panel.kind === "body")
      return data.axes.map((name, n) => name + " = " + short(place[n])).join(", ") +
        ", value " + short(valueOnBody(panel, k, ...place));
    const frame = frameOf(panel.frames, k);
    const i = Math.min(frame.width - 1, Math.floor(x * frame.width));
    const j = Math.min(frame.height - 1, Math.floor(y * frame.height));
    return data.axes.map((name, n) => name + " = " + short(place[n])).join(", ") +
      ", value " + short(frame.values[j * frame.width + i]);
  }

  function sizeOf(data, panel, width) {
    const [left, right, bottom, top] = panel.extent || data.extent;
    const ratio = panel.kind === "curve" ? 0.5 : Math.min(1.6, (top - bottom) / (right - left));
    if (panel.kind === "body" && ratio === 1.6)  // a tall body keeps its proportions
      return [Math.max(24, Math.round(1.6 * width * (right - left) / (top - bottom))), Math.round(1.6 * width)];
    return [width, Math.max(24, Math.round(width * ratio))];
  }

  function canvasFor(parent, data, panel, width) {
    const canvas = element("canvas", parent);
    [canvas.width, canvas.height] = sizeOf(data, panel, width);
    return canvas;
  }

  // the ends of a curve's axes, or of the colours
  function caption(panel, data) {
    const span = (ends) => short(ends[0]) + " to " + short(ends[ends.length - 1]);
    if (panel.kind !== "curve") return panel.title + ", colours from " + span(panel.limits);
    return panel.title + " from " + span(panel.limits) + ", " + data.axes[0] + " from " + span(panel.x);
  }

  function slices(root, data, rows, palettes) {
    const last = data.at.length - 1;
    const chosen = [0, 1, 2, 3, 4].map((k) => Math.round((k * last) / 4));
    const whole = { x: 0, y: 0, size: 1 };
    const table = element("table", root, "slices");
    const head = element("tr", table);
    element("th", head);
    chosen.forEach((k) => element("th", head, "", data.across + " = " + short(data.at[k])));
    const moves = (panel) => (panel.lines ? panel.lines[0].frames : panel.frames).length > 1;
    rows.flat().filter(moves).forEach((panel) => {
      const line = element("tr", table);
      element("td", line, "", panel.title);
      chosen.forEach((k) => draw(canvasFor(element("td", line), data, panel, 150), panel, k, whole, palettes, data.extent));
    });
  }

  async function show(root, data, palettes) {
    const rows = await Promise.all(
      data.rows.map(async (row) => withGaps(await Promise.all(row.map(read)))));
    const view = { x: 0, y: 0, size: 1 };
    let current = data.start;
    const drawn = [];
    const redraw = () => drawn.forEach(([canvas, panel]) => draw(canvas, panel, current, view, palettes, data.extent));
    const bar = element("div", root, "player");
    if (data.note) element("p", root, "", data.note);
    const grid = element("div", root, "panels");
    const said = element("output", root, "under", "Point at a panel for its values; the wheel zooms, a double click goes back.");
    rows.forEach((row) => {
      const line = element("div", grid, "row");
      row.forEach((panel) => {
        const box = element("figure", line);
        element("figcaption", box, "", caption(panel, data));
        const canvas = canvasFor(box, data, panel, panel.kind === "curve" ? 640 : 320);
        drawn.push([canvas, panel]);
        if (panel.kind === "curve" && panel.lines.length > 1)
          element("figcaption", box, "key", panel.key || "thin blue: operator; broad grey: reference");
        const share = (event) => {
          const area = canvas.getBoundingClientRect();
          return [view.x + (view.size * (event.clientX - area.left)) / area.width,
            view.y + (view.size * (event.clientY - area.top)) / area.height];
        };
        canvas.addEventListener("mousemove", (event) => {
          const place = share(event).map((v) => Math.max(0, Math.min(1 - 1e-9, v)));
          said.textContent = panel.title + ": " + valueAt(panel, data, current, ...place);
        });
        canvas.addEventListener("wheel", (event) => {
          event.preventDefault();
          const [x, y] = share(event);
          const size = Math.max(0.05, Math.min(1, view.size * (event.deltaY < 0 ? 0.8 : 1.25)));
          view.x = Math.max(0, Math.min(1 - size, x - (x - view.x) * (size / view.size)));
          view.y = Math.max(0, Math.min(1 - size, y - (y - view.y) * (size / view.size)));
          view.size = size;
          redraw();
        }, { passive: false });
        canvas.addEventListener("dblclick", () => {
          Object.assign(view, { x: 0, y: 0, size: 1 });
          redraw();
        });
      });
    });
    if (data.at.length) {
      let timer = null;
      const button = element("button", bar, "", "play");
      const slider = element("input", bar);
      Object.assign(slider, { type: "range", min: 0, max: data.at.length - 1, value: current });
      slider.setAttribute("aria-label", data.across);
      const label = element("output", bar);
      const move = (k) => {
        current = k;
        slider.value = k;
        label.textContent = data.across + " = " + short(data.at[k]);
        redraw();
      };
      const stop = () => {
        clearInterval(timer);
        timer = null;
        button.textContent = "play";
      };
      button.addEventListener("click", () => {
        if (timer !== null) return stop();
        button.textContent = "pause";
        timer = setInterval(() => move((current + 1) % data.at.length), 200);
      });
      slider.addEventListener("input", () => {
        stop();
        move(Number(slider.value));
      });
      move(current);
      slices(element("div", root, "strip"), data, rows, palettes);
    }
    redraw();
    root.dataset.ready = "yes";
  }

  const text = document.getElementById("frames");
  const given = JSON.parse(text.textContent);
  const palettes = Object.fromEntries(
    Object.entries(given.palettes).map(([name, each]) => [name, bytes(each)]));
  for (const root of document.querySelectorAll("[data-viewer]"))
    show(root, given.samples[root.dataset.viewer], palettes);
})();
