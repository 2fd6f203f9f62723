"use strict";

/* Two diagrams to try: a layer's windows, and a crop behind a chain of layers. Each stands in a
   <div class="alignment" data-diagram="layer|crop">; alignment.js computes what is shown. */

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const CELL = 22;

  const svg = (name, attributes, words) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (words !== undefined) made.textContent = words;
    return made;
  };

  const element = (name, attributes, ...children) => {
    const made = document.createElement(name);
    Object.assign(made, attributes);
    made.append(...children);
    return made;
  };

  /* A field for a whole number, or a choice between words. */
  const field = (name, { label, from, to, start, words }, changed) => {
    const input = words
      ? element("select", { name }, ...words.map((word) => element("option", { value: word }, word)))
      : element("input", { name, type: "number", min: from, max: to, step: 1 });
    input.value = start;
    input.addEventListener("input", changed);
    return element("label", {}, label, input);
  };

  const read = (place, name, { from, to, words }) => {
    const given = place.querySelector(`[name="${name}"]`).value;
    if (words) return given;
    const number = Math.round(Number(given));
    return Math.min(to, Math.max(from, Number.isFinite(number) ? number : from));
  };

  /* A row of pixels: `count` of them from the place `first` on, `spacing` apart, centres at y. */
  const row = (picture, { count, first, spacing, y, kind, numbers, at = (index) => index }) => {
    for (let index = 0; index < count; index += 1) {
      const x = (first + spacing * index) * CELL;
      const side = CELL - 4;
      picture.append(svg("rect", { x: x - side / 2, y: y - side / 2, width: side, height: side, class: kind }));
      if (numbers) picture.append(svg("text", { x, y: y + 4, class: "number" }, String(at(index))));
    }
  };

  const draw = (place, from, to, height, label, paint) => {
    const left = (from - 1) * CELL;
    const width = (to - from + 2) * CELL;
    const picture = svg("svg", { viewBox: `${left} 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
    paint(picture);
    place.querySelector(".picture").replaceChildren(picture);
    place.querySelector("output").textContent = label;
  };

  const LAYER = {
    type: { label: "layer", words: ["convolution", "pooling", "deconvolution"], start: "convolution" },
    pixels: { label: "pixels", from: 1, to: 24, start: 8 },
    kernel: { label: "kernel", from: 1, to: 9, start: 3 },
    stride: { label: "stride", from: 1, to: 6, start: 2 },
    pad: { label: "pad", from: 0, to: 6, start: 1 },
    top: { label: "look at pixel", from: 0, to: 99, start: 1 },
  };

  const showLayer = (place, { type, pixels, kernel, stride, pad, top }) => {
    const count = Math.max(0, Alignment.size[type](pixels, kernel, stride, pad));
    const { stride: s, offset: p } = Alignment.map(type, kernel, stride, pad);
    const map = `pixel i of the top lies at ${Alignment.text(s)}·i ${p[0] < 0 ? "−" : "+"} ${Alignment.text([Math.abs(p[0]), p[1]])} of the bottom`;
    const start = Alignment.value(p);
    const spacing = Alignment.value(s);
    const chosen = Math.min(top, count - 1);
    const padded = type === "deconvolution" ? 0 : pad;
    const from = Math.min(-padded, start);
    const to = Math.max(pixels - 1 + padded, start + spacing * (count - 1));
    const refused = type === "pooling" && pad >= kernel ? "Caffe refuses a pooling whose pad is not less than its kernel." : "";
    const label = count ? `${pixels} pixels in, ${count} out; ${map}.` : refused || `${pixels} pixels are too few: there is no top.`;
    draw(place, Math.floor(from), Math.ceil(to), 128, label, (picture) => {
      row(picture, { count: padded, first: -padded, spacing: 1, y: 96, kind: "padding" });
      row(picture, { count: padded, first: pixels, spacing: 1, y: 96, kind: "padding" });
      if (count && type !== "deconvolution") {
        const first = stride * chosen - pad - 0.5;
        picture.append(svg("rect", { x: first * CELL, y: 82, width: kernel * CELL, height: 28, class: "window" }));
      }
      row(picture, { count: pixels, first: 0, spacing: 1, y: 96, kind: "bottom", numbers: true });
      if (!count) return;
      const x = (start + spacing * chosen) * CELL;
      picture.append(svg("line", { x1: x, y1: 36, x2: x, y2: 84, class: "ray" }));
      row(picture, { count, first: start, spacing, y: 26, kind: "top", numbers: spacing >= 1 });
      picture.append(svg("rect", { x: x - 11, y: 15, width: 22, height: 22, class: "window" }));
    });
  };

  const CROP = {
    pixels: { label: "pixels of the image", from: 1, to: 24, start: 8 },
    pad: { label: "pad of the convolution", from: 0, to: 12, start: 6 },
    stride: { label: "pooling", from: 1, to: 4, start: 2 },
    kernel: { label: "kernel of the deconvolution", from: 1, to: 12, start: 4 },
    offset: { label: "the crop starts at", from: 0, to: 40, start: 6 },
  };

  const layersOf = ({ pad, stride, kernel }) => [
    { type: "convolution", kernel: 3, stride: 1, pad },
    { type: "pooling", kernel: stride, stride, pad: 0 },
    { type: "deconvolution", kernel, stride, pad: 0 },
  ];

  const verdict = (found, pixels, offset) => {
    if (found.last < 0) return `It cannot be cut: ${found.pixels} pixels are fewer than the image's ${pixels}.`;
    const room = `a window of ${pixels} fits from 0 to ${found.last}`;
    if (offset > found.last) return `Cut at ${offset} it would end outside; ${room}.`;
    if (found.needed[1] !== 1) {
      return `The image begins at ${Alignment.text(found.needed)}, between two pixels: no crop is aligned; ${room}.`;
    }
    const off = offset - found.needed[0];
    const needed = `the image begins at ${Alignment.text(found.needed)}, ${room}`;
    if (!off) return `Aligned: ${needed}.`;
    return `${Math.abs(off)} pixel${Math.abs(off) === 1 ? "" : "s"} too far ${off > 0 ? "right" : "left"}: ${needed}.`;
  };

  const showCrop = (place, numbers) => {
    const { pixels, offset } = numbers;
    const found = Alignment.crop(pixels, layersOf(numbers));
    const begin = Alignment.value(found.needed);
    const label = `${found.pixels} pixels behind the deconvolution, ${pixels} of the image. ${verdict(found, pixels, offset)}`;
    const from = Math.min(0, Math.floor(begin));
    const to = Math.max(found.pixels - 1, Math.ceil(begin + pixels - 1), offset + pixels - 1);
    draw(place, from, to, 128, label, (picture) => {
      row(picture, { count: found.pixels, first: 0, spacing: 1, y: 30, kind: "top", numbers: true });
      const wrong = offset !== begin || offset > found.last;
      const box = { x: (offset - 0.5) * CELL, y: 15, width: pixels * CELL, height: 30 };
      picture.append(svg("rect", { ...box, class: wrong ? "window wrong" : "window" }));
      for (const [index, edge] of [[0, -0.5], [pixels - 1, 0.5]]) {
        const [top, bottom] = [(offset + index + edge) * CELL, (begin + index + edge) * CELL];
        picture.append(svg("line", { x1: top, y1: 46, x2: bottom, y2: 84, class: wrong ? "ray wrong" : "ray" }));
      }
      row(picture, { count: pixels, first: begin, spacing: 1, y: 96, kind: "bottom", numbers: true });
    });
  };

  const DIAGRAMS = { layer: [LAYER, showLayer], crop: [CROP, showCrop] };

  for (const place of document.querySelectorAll(".alignment")) {
    const [fields, show] = DIAGRAMS[place.dataset.diagram];
    const update = () =>
      show(place, Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, read(place, name, one)])));
    const controls = Object.entries(fields).map(([name, one]) => field(name, one, update));
    const picture = element("div", { className: "picture", tabIndex: 0 });
    place.replaceChildren(element("div", { className: "controls" }, ...controls), picture, element("output", {}));
    update();
  }
})();
