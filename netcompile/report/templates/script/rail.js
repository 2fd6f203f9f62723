// A lane from end to end: image and padding, cropped blob and window, reference, over a ruler of input pixels.

const GUTTER = 150;
const TAIL = 74;

const bar = (x, y, width, height, kind) => s("rect", { x, y, width: Math.max(width, 0.6), height, class: kind });
const label = (x, y, content, kind, anchor) => s("text", { x, y, class: kind, "text-anchor": anchor }, content);

function drawRail(figure, p, names, [lo, hi]) {
  const width = Math.max(figure.clientWidth, 320);
  const gutter = width < 620 ? 8 : GUTTER;
  const tail = width < 620 ? 8 : TAIL;
  const x = (c) => gutter + ((c - lo) / (hi - lo)) * (width - gutter - tail);
  const extent = state.n[state.axis];
  const [pad, padder] = DATA.padding[state.axis];
  const [w0, w1] = [p.edgeA(p.start), p.edgeA(p.start + p.b)];
  const rows = [14, 44, 74];
  const parts = [];
  if (pad) {
    parts.push(bar(x(-0.5 - pad), rows[0], x(-0.5) - x(-0.5 - pad), 16, "pad"));
    parts.push(bar(x(extent - 0.5), rows[0], x(extent - 0.5 + pad) - x(extent - 0.5), 16, "pad"));
  }
  parts.push(bar(x(-0.5), rows[0], x(extent - 0.5) - x(-0.5), 16, "image"));
  parts.push(bar(x(p.edgeA(0)), rows[1], x(p.edgeA(p.a)) - x(p.edgeA(0)), 16, "slack-bar"));
  parts.push(bar(x(w0), rows[1], x(w1) - x(w0), 16, "window"));
  parts.push(bar(x(p.edgeB(0)), rows[2], x(p.edgeB(p.b)) - x(p.edgeB(0)), 16, "reference-bar"));
  for (const c of [w0, w1]) parts.push(s("line", { x1: x(c), x2: x(c), y1: rows[1] - 4, y2: rows[2] + 20, class: "guide" }));
  if (p.cropped) {
    const [g0, g1] = [p.edgeA(p.centred), p.edgeA(p.centred + p.b)];
    parts.push(s("rect", { x: x(g0), y: rows[1] - 4.5, width: x(g1) - x(g0), height: 25, class: "ghost" }));
  }
  if (gutter === GUTTER) {
    parts.push(label(gutter - 14, rows[0] + 12, pad ? `image, pad ${pad}` : "image", "row", "end"));
    parts.push(label(gutter - 14, rows[1] + 12, shorten(names[0], 18), "row a", "end"));
    parts.push(label(gutter - 14, rows[2] + 12, shorten(names[1], 18), "row b", "end"));
    [extent, p.a, p.b].forEach((n, i) => parts.push(label(width - 8, rows[i] + 12, `${n} px`, "count", "end")));
  }
  parts.push(...ticks(x, lo, hi, 98));
  const what = `${names[0]} and ${names[1]} over the input: the window starts at ${text(p.start)}, slack ${p.whole ? p.whole.join(" and ") : "unknown"}`;
  figure.replaceChildren(s("svg", { viewBox: `0 0 ${width} 122`, width, height: 122, role: "img", "aria-label": what },
    s("title", null, pad ? `the image has ${pad} pixels of padding on each side, from ${padder}` : "the image has no padding"), ...parts));
}

/** A quiet ruler in pixels of the input. */
function ticks(x, lo, hi, y) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000].find((v) => x(v) - x(0) >= 56) || 50000;
  const parts = [s("line", { x1: x(lo), x2: x(hi), y1: y, y2: y, class: "ruler" })];
  for (let v = Math.ceil(lo / step) * step; v <= hi; v += step) {
    parts.push(s("line", { x1: x(v), x2: x(v), y1: y, y2: y + 4, class: "ruler" }));
    if (x(v) - 14 > x(lo) && x(v) + 14 < x(hi)) parts.push(label(x(v), y + 16, text(v), "tick", "middle"));
  }
  return parts;
}
