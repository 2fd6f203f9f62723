// The glass over both ends of a lane: single pixels.

/** The pixels of one blob that lie between lo and hi, each a cell, numbered where there is room. */
function pixels(view, edge, count, y, kind) {
  const size = edge(1) - edge(0);
  const from = Math.max(0, Math.floor((view.lo - edge(0)) / size));
  const to = Math.min(count, Math.ceil((view.hi - edge(0)) / size));
  const wide = view.x(size) - view.x(0);
  if (wide < 3) return runs(view, edge, from, to, y, kind);
  const parts = [];
  for (let i = from; i < to; i++) {
    const left = view.x(edge(i));
    parts.push(s("rect", { x: left + 0.6, y, width: wide - 1.2, height: 20, rx: wide > 12 ? 2 : 0, class: kind(i) }));
    if (wide >= 19) parts.push(label(left + wide / 2, y + 13.5, String(i), `index on-${kind(i)}`, "middle"));
  }
  return parts;
}

/** As `pixels`, for those too narrow to be drawn one by one. */
function runs(view, edge, from, to, y, kind) {
  const parts = [];
  for (let i = from, start = from; i < to; i++) {
    if (i + 1 < to && kind(i + 1) === kind(start)) continue;
    parts.push(bar(view.x(edge(start)), y, view.x(edge(i + 1)) - view.x(edge(start)), 20, kind(start)));
    start = i + 1;
  }
  return parts;
}

const LENS = { ghost: 26, a: 52, b: 82, image: 112, ruler: 128, height: 150 };
const SIGHT = 40; // pixels of slack that a lens shows at most
const NEAR = 24; // pixels by which the centred crop may be off and still be in the lens

/** One end under a glass: single pixels of both blobs, the window, and the centred crop beside it. */
function drawLens(figure, p, atEnd) {
  const width = Math.max(figure.clientWidth, 260);
  const slack = Math.max(0, atEnd ? p.a - p.start - p.b : p.start);
  const border = p.edgeA(atEnd ? p.start + p.b : p.start);
  const right = p.cropped ? p.edgeA(number(p.needed) + (atEnd ? p.b : 0)) : border;
  const ghost = p.cropped ? p.edgeA(atEnd ? p.centred + p.b : p.centred) : border;
  const near = Math.abs(ghost - right) <= NEAR * p.stride;
  const outer = (Math.min(slack, SIGHT) + 1.4) * p.stride;
  const inner = 6.4 * p.stride;
  let [lo, hi] = atEnd ? [border - inner, border + outer] : [border - outer, border + inner];
  for (const c of near ? [ghost, right] : [right]) if (Math.abs(c - border) <= NEAR * p.stride) [lo, hi] = [Math.min(lo, c - 2 * p.stride), Math.max(hi, c + 2 * p.stride)];
  const view = { lo, hi, width, x: (c) => ((c - lo) / (hi - lo)) * width };
  const inside = (i) => i + 0.5 >= p.start && i + 0.5 < p.start + p.b;
  const extent = state.n[state.axis];
  const [pad] = DATA.padding[state.axis];
  const span = (from, to, kind) => bar(view.x(from), LENS.image, view.x(to) - view.x(from), 8, kind);
  const parts = [
    ...pixels(view, p.edgeA, p.a, LENS.a, (i) => (inside(i) ? "window" : "slack-bar")),
    ...pixels(view, p.edgeB, p.b, LENS.b, () => "reference-bar"),
    pad && span(-0.5 - pad, extent - 0.5 + pad, "pad"),
    span(-0.5, extent - 0.5, "image"),
    s("line", { x1: view.x(border), x2: view.x(border), y1: LENS.a - 6, y2: LENS.b + 26, class: "guide" }),
    ...(p.cropped ? ghostParts(view, p, right, ghost, near, atEnd) : []),
    border !== right && arrow(view.x(right), view.x(border), LENS.a + 25, "miss-arrow"),
    ...ticks(view.x, lo, hi, LENS.ruler),
  ];
  const title = `${atEnd ? "last" : "first"} pixels`;
  figure.replaceChildren(h("figcaption", null, title),
    s("svg", { viewBox: `0 0 ${width} ${LENS.height}`, width, height: LENS.height, role: "img", "aria-label": `${title}: ${plural(slack, "pixel")} of slack` }, ...parts.filter(Boolean)));
}

/** From where it has to be to where it is. */
function arrow(from, to, y, kind) {
  const tip = to > from ? -5 : 5;
  return s("path", { d: `M${from} ${y - 5}v10M${from} ${y}H${to}m${tip} -3.5l${-tip} 3.5l${tip} 3.5`, class: kind });
}

/** The ghost: where the centred crop would begin or end, and an arrow as long as its error. */
function ghostParts(view, p, right, ghost, near, atEnd) {
  const { x, width } = view;
  const says = (content) => {
    const room = 6.1 * content.length;
    const at = near ? x(ghost) : ghost < right ? 0 : width;
    const left = atEnd ? Math.max(4, Math.min(at - room, width - room - 4)) : Math.max(4, Math.min(at, width - room - 4));
    return label(left, LENS.ghost - 7, content, "ghost-text", "start");
  };
  if (!near) return [says(ghost < right ? "← centred crop: out of sight" : "centred crop: out of sight →")];
  const outline = s("path", { d: `M${atEnd ? 0 : width} ${LENS.ghost}H${x(ghost)}V${LENS.a + 22}`, class: "ghost" });
  if (ghost === right) return [outline, says("centred crop: right at this size")];
  const pixel = Math.abs(ghost - right) / p.stride;
  return [outline,
    arrow(x(right), x(ghost), LENS.ghost + 13, "error-arrow"),
    says(`centred crop: off by ${text(pixel)}${p.stride === 1 ? "" : `, ${text(Math.abs(ghost - right))} of the input`}`)];
}
