// Names beside the boxes where the graph is drawn too small to read them inside: as many as have room.

const LEGIBLE = 0.7; // from this size on the words inside the boxes are read
const LETTER = { width: 6.4, height: 13 }; // on the screen, whatever the zoom

/** Places that are taken, in strips as high as a line of text. */
class Taken {
  constructor() {
    this.strips = new Map();
  }

  *strip([, y, , height]) {
    for (let i = Math.floor(y / LETTER.height); i <= Math.floor((y + height) / LETTER.height); i++) yield i;
  }

  add(rect) {
    for (const i of this.strip(rect)) this.strips.set(i, [...(this.strips.get(i) || []), rect]);
  }

  free([x, y, width, height]) {
    for (const i of this.strip([x, y, width, height])) {
      for (const [u, v, w, h] of this.strips.get(i) || []) if (x < u + w && u < x + width && y < v + h && v < y + height) return false;
    }
    return true;
  }
}

/** Boxes in the order in which they get their names: what was chosen, what stands for many, where ways part or meet. */
function byWeight() {
  const links = new Map();
  for (const { from, to } of graph.plan.edges) for (const g of [from, to]) links.set(g, (links.get(g) || 0) + 1);
  const chosen = state.layer === null ? null : graph.group[state.layer];
  const weight = (box) => (box.group === chosen ? 1e9 : 0) + (isGroup(box) ? 1e6 : 0) + (links.get(box.group) > 2 ? 1e5 : 0) + sum(box.members, 1) / graph.dearest;
  return [...graph.boxes.values()].map((box) => [weight(box), box]).sort(([a, p], [b, q]) => b - a || p.y - q.y).map(([, box]) => box);
}

/** Where a text goes: into its box, to its right, or to its left; null where there is no room. */
function roomFor(words, box, taken) {
  const zoom = graph.zoom;
  const [width, height] = [LETTER.width * [...words].length, LETTER.height];
  const [left, middle] = [(box.x - BOX.width / 2) * zoom, (box.y + BOX.height / 2) * zoom];
  const y = middle - height / 2;
  if (BOX.width * zoom > width + 8 && BOX.height * zoom >= height) return { rect: null, x: left + 5, y };
  for (const x of [left + BOX.width * zoom + 5, left - width - 5]) {
    const rect = [x - 1, y, width + 2, height];
    if (x > -graph.slack && x + width < graph.width * zoom + graph.slack && taken.free(rect)) return { rect, x, y };
  }
  return null;
}

function farLabels() {
  const home = $("#graph .far-labels");
  if (!home) return;
  const svg = $("#graph svg");
  svg.classList.toggle("far", graph.zoom < LEGIBLE);
  if (graph.zoom >= LEGIBLE) {
    home.replaceChildren();
    return;
  }
  const zoom = graph.zoom;
  const [taken, words] = [new Taken(), new Taken()]; // with lines and without: a name is rather on a line than nowhere
  const put = (rect) => [taken, words].forEach((places) => places.add(rect));
  const boxes = byWeight();
  for (const box of boxes) put([(box.x - BOX.width / 2) * zoom, box.y * zoom, BOX.width * zoom, BOX.height * zoom]);
  for (const path of $$("#graph path.line")) for (const rect of uprights(path.link, zoom)) taken.add(rect);
  const parts = [];
  for (const box of boxes) {
    const [name, kinds] = titles(box, 32);
    const inside = BOX.height * zoom >= LETTER.height && Math.floor((BOX.width * zoom - 8) / LETTER.width);
    const options = [[`${shorten(name, 24)} · ${kinds}`, taken], [shorten(name, 24), taken], [shorten(name, 24), words], [shorten(name, 12), words]];
    const found = options.map(([text, places]) => ({ text, room: roomFor(text, box, places) })).find(({ room }) => room)
      || (inside >= 4 && { text: shorten(name, inside), room: { rect: null, x: (box.x - BOX.width / 2) * zoom + 5, y: (box.y + BOX.height / 2) * zoom - LETTER.height / 2 } });
    if (!found) continue;
    if (found.room.rect) put(found.room.rect);
    parts.push(s("text", { x: found.room.x, y: found.room.y + 10, class: found.room.rect ? "far-label" : "far-label inside", "data-of": DATA.layers[box.members[0]].name }, found.text));
  }
  home.setAttribute("transform", `scale(${1 / zoom})`);
  home.replaceChildren(...parts);
}

/** The upright part of a line that runs beside the boxes: words keep off it. */
function uprights({ rows, columns }, zoom) {
  if (rows[1] - rows[0] < 2 || columns[1] === columns[0]) return [];
  const pitch = BOX.height + BOX.gap;
  const y = (BOX.margin + rows[0] * pitch + pitch) * zoom;
  return [[graph.lefts[columns[1]] * zoom - 2, y, 4, (rows[1] - rows[0] - 1) * pitch * zoom]];
}
