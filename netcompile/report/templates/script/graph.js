// The net as boxes and lines: shape, stride and offset of a value below the box that makes it.

const BOX = { width: 204, height: 44, gap: 58, column: 230, lane: 20, margin: 24 };

const graph = { level: 1, opened: new Set(), zoom: 1, slack: 0, group: [], folds: new Map(), boxes: new Map(), elements: new Map(), lefts: [], focus: null };

function drawGraph() {
  graph.group = grouping(graph.level, graph.opened);
  graph.folds = closedFolds();
  const plan = layout(graph.group, LINKS);
  const lefts = [];
  let x = BOX.margin;
  for (const column of plan.columns) {
    lefts.push(x + (column.boxes ? BOX.column : BOX.lane) / 2);
    x += column.boxes ? BOX.column : BOX.lane;
  }
  const pitch = BOX.height + BOX.gap;
  graph.lefts = lefts;
  graph.width = x + BOX.margin;
  graph.height = 2 * BOX.margin + plan.rows * pitch - 20;
  const members = new Map();
  graph.group.forEach((g, index) => members.set(g, [...(members.get(g) || []), index]));
  graph.boxes = new Map(plan.boxes.map((box) => [box.group, { ...box, x: lefts[box.column], y: BOX.margin + box.row * pitch, members: members.get(box.group) }]));
  graph.dearest = Math.max(1, ...[...members.values()].map((list) => sum(list, 1)));
  graph.elements = new Map();
  graph.plan = plan;
  const ports = portsOf(plan.edges, lefts);
  const lines = plan.edges.map((edge) => line(edge, lefts, pitch, ports));
  const boxes = [...graph.boxes.values()].map(boxElement);
  const svg = $("#graph svg");
  svg.setAttribute("viewBox", `0 0 ${graph.width} ${graph.height}`);
  const [rects, buttons] = frames();
  const groups = { frames: rects, lines, boxes, buttons, "far-labels": [] };
  svg.replaceChildren(...Object.entries(groups).map(([kind, parts]) => s("g", { class: kind }, ...parts)));
  zoomTo(graph.zoom);
  labelBoxes();
  markSelected();
  drawMinimap();
  const first = graph.boxes.values().next().value;
  if (first) focusable(graph.boxes.has(graph.focus) ? graph.focus : first.group);
  $("#graph-count").textContent = `${plural(graph.boxes.size, "box").replace("boxs", "boxes")} for ${plural(DATA.layers.length, "layer")}`;
}

/** Where the lines into a box arrive: side by side, in the order of the columns that they come from. */
function portsOf(edges, lefts) {
  const into = new Map();
  for (const edge of edges) into.set(edge.to, [...(into.get(edge.to) || []), edge]);
  const ports = new Map();
  for (const list of into.values()) {
    list.sort((a, b) => lefts[a.columns[1]] - lefts[b.columns[1]] || b.rows[0] - a.rows[0]);
    const main = list.findIndex((edge) => edge.columns[0] === edge.columns[2] && edge.columns[1] === edge.columns[2]);
    const middle = main < 0 ? (list.length - 1) / 2 : main;
    list.forEach((edge, index) => ports.set(edge, Math.max(-80, Math.min(80, (index - middle) * 13))));
  }
  return ports;
}

function line(edge, lefts, pitch, ports) {
  const [r0, r1] = edge.rows;
  const [from, way, to] = edge.columns.map((column) => lefts[column]);
  const port = to + ports.get(edge);
  if (edge.stub) return stub(edge, port, BOX.margin + r1 * pitch);
  const top = BOX.margin + r0 * pitch + BOX.height;
  const end = BOX.margin + r1 * pitch;
  const bend = 26; // the last part of a gap, below the words
  let d = `M${from} ${top}`;
  if (r1 - r0 === 1 || (way === from && way === to && port === to)) {
    d += port === from ? `V${end}` : `V${end - bend}${curve(from, end - bend, port, end)}`;
  } else {
    const first = top + BOX.gap;
    d += way === from ? `V${first}` : `V${first - bend}${curve(from, first - bend, way, first)}`;
    d += `V${end - bend}${way === port ? `V${end}` : curve(way, end - bend, port, end)}`;
  }
  const path = s("path", { d, class: edge.reference ? "line reference" : "line" });
  path.link = edge;
  return path;
}

/** Instead of one more line across the whole net: the name of the blob whose size a crop reads. */
function stub(edge, x, y) {
  const group = s("g", { class: "line stub" }, s("path", { d: `M${x} ${y - 12}V${y}` }),
    label(x + 5, y - 5, `size of ${shorten(DATA.values[edge.value].blob, 20)}`, "stub-text"));
  group.link = edge;
  return group;
}

const curve = (x0, y0, x1, y1) => `C${x0} ${(y0 + y1) / 2} ${x1} ${(y0 + y1) / 2} ${x1} ${y1}`;

function boxElement(box) {
  const layers = box.members.map((index) => DATA.layers[index]);
  const head = layers[0];
  const many = isGroup(box);
  const family = many ? "many" : head.input ? "input" : head.family;
  const [name, kinds] = titles(box);
  const left = box.x - BOX.width / 2;
  const share = sum(box.members, 1) / graph.dearest;
  const element = s("g", { class: `box ${family}`, transform: `translate(${left} ${box.y})`, role: "button", tabindex: -1, "data-layer": head.name, "aria-expanded": many ? "false" : null, "aria-label": `${name}, ${kinds}` },
    s("title", null, many ? `${name}\n${kinds}\nopens at a click` : `${name}\n${kinds}`),
    many && s("rect", { x: 4, y: 4, width: BOX.width, height: BOX.height, rx: 7, class: "behind" }),
    s("rect", { width: BOX.width, height: BOX.height, rx: 7, class: "face" }),
    s("rect", { width: 4, height: BOX.height - 14, x: 7, y: 7, rx: 2, class: "mark" }),
    label(18, 18, shortName(name, many ? 20 : 23), "name"),
    label(18, 33, shorten(many ? kinds : kindsThatFit(layers, 32), 32), "kind"),
    many && s("path", { d: `M${BOX.width - 20} 17h9m-4.5 -4.5v9`, class: "plus" }),
    share > 0 && s("rect", { x: 18, y: BOX.height - 5, width: Math.max(1.5, share * (BOX.width - 32)), height: 2.5, rx: 1, class: "cost" }),
    label(BOX.width / 2 + 8, BOX.height + 14, "", "shape"),
    label(BOX.width / 2 + 8, BOX.height + 27, "", "map-text"));
  element.addEventListener("click", () => choose(box.group));
  element.addEventListener("pointerenter", () => peek(box.members));
  element.addEventListener("pointerleave", () => peek(null));
  element.addEventListener("focus", () => { focusable(box.group); peek(box.members); });
  element.addEventListener("blur", (event) => { if (!$("#details").contains(event.relatedTarget)) peek(null); });
  graph.elements.set(box.group, element);
  return element;
}

/** What a box is called, and what it is. */
function titles(box, longest = Infinity) {
  const fold = graph.folds.get(box.group);
  if (fold) return [foldName(fold), foldKinds(fold, box.members.length)];
  const layers = box.members.map((index) => DATA.layers[index]);
  return isGroup(box) ? [groupName(box.members), plural(layers.length, "layer")] : [layers[0].name, kindsThatFit(layers, longest)];
}

/** "Convolution 3×3, pad 100 · ReLU"; where that is too long the window says less, and then what follows it. */
function kindsThatFit([head, ...others], longest) {
  const windows = head.window ? [` ${head.window}`, ` ${head.window.split(",")[0]}`] : [""];
  const tails = others.length ? [others.map((layer) => ` · ${layer.type}`).join(""), ` and ${others.length} more`] : [""];
  const options = tails.flatMap((tail) => windows.map((window) => head.type + window + tail));
  return options.find((words) => words.length <= longest) || options[options.length - 1];
}

/** A name that fits: the ends of a row both keep a part of theirs, and how many there are. */
function shortName(name, longest) {
  const [, row, times] = name.match(/^(.*?)( × \d+)?$/);
  const ends = row.split(" … ");
  const room = longest - (times || "").length;
  return ends.map((part) => shorten(part, ends.length > 1 ? Math.floor(room / 2) - 1 : room)).join(" … ") + (times || "");
}

const sum = (members, which) => members.reduce((total, index) => total + DATA.layers[index].cost[which], 0);

/** Does a box stand for more than a layer and what works in its place? */
function isGroup(box) {
  return box.members.filter((index) => FOLDED[index] === index).length > 1;
}

/** The value that leaves a box: the last one that another box reads, or that nobody reads. */
function leaving(box) {
  const edge = graph.plan.edges.find((e) => e.from === box.group);
  if (edge) return DATA.values[edge.value];
  const last = DATA.layers[box.members[box.members.length - 1]];
  return last.tops.length ? DATA.values[last.tops[0]] : null;
}

/** The words below the boxes, at the present size. */
function labelBoxes() {
  for (const [group, element] of graph.elements) {
    const value = leaving(graph.boxes.get(group));
    const shape = value ? shapeAt(value, state.n).split(" × ") : [];
    const shown = shape.length > 3 ? shape.slice(1) : shape;
    $(".shape", element).textContent = shorten(shown.join(" × "), 26);
    $(".map-text", element).textContent = value && value.maps ? `stride ${both(value.maps.map((m) => m[0]))}, offset ${both(value.maps.map((m) => m[1]))}` : "";
  }
}

/** Select a box's layer; a box that stands for several opens. */
function choose(group) {
  focusable(group);
  const { members } = graph.boxes.get(group);
  open(group);
  select(members[0], "graph");
}

/** Show what a box stands for. */
function open(group) {
  const box = graph.boxes.get(group);
  if (!isGroup(box)) return;
  const fold = graph.folds.get(group);
  graph.opened.add(fold ? fold.key : group);
  redrawAround(box.members[0]);
}

/** The folds that are closed, by the group that they are drawn as. */
function closedFolds() {
  const found = new Map();
  if (DETAIL[graph.level] !== "repeats") return found;
  for (const head of new Set(graph.group)) {
    const fold = closedAround(head, graph.opened);
    if (fold) found.set(fold.head, fold);
  }
  return found;
}

function redrawAround(layer) {
  const view = $("#graph");
  const before = graph.boxes.get(graph.group[layer]);
  const offset = before ? before.y * graph.zoom - view.scrollTop : 0;
  drawGraph();
  const after = graph.boxes.get(graph.group[layer]);
  view.scrollTop = after.y * graph.zoom - offset;
  focusable(after.group);
}

function zoomTo(zoom) {
  const view = $("#graph");
  const middle = [(view.scrollLeft + view.clientWidth / 2) / graph.zoom, (view.scrollTop + view.clientHeight / 2) / graph.zoom];
  graph.zoom = Math.max(0.05, Math.min(2, zoom));
  const svg = $("svg", view);
  svg.setAttribute("width", graph.width * graph.zoom);
  svg.setAttribute("height", graph.height * graph.zoom);
  view.scrollLeft = middle[0] * graph.zoom - view.clientWidth / 2;
  view.scrollTop = middle[1] * graph.zoom - view.clientHeight / 2;
  graph.slack = Math.max(0, view.clientWidth - graph.width * graph.zoom) / 2;
  farLabels();
  frameView();
}

function fitGraph() {
  const view = $("#graph");
  zoomTo(Math.min((view.clientWidth - 4) / graph.width, (view.clientHeight - 4) / graph.height, 1));
}

function focusable(group) {
  const old = graph.elements.get(graph.focus);
  if (old) old.setAttribute("tabindex", -1);
  graph.focus = group;
  graph.elements.get(group).setAttribute("tabindex", 0);
}

/** The selected layer's box, and the lines that touch it, stand out. */
function markSelected() {
  const group = state.layer === null ? null : graph.group[state.layer];
  for (const [g, element] of graph.elements) {
    element.classList.toggle("selected", g === group);
    element.setAttribute("aria-pressed", g === group);
  }
  for (const path of $$("#graph .line")) path.classList.toggle("lit", group !== null && (path.link.from === group || path.link.to === group));
}

function showBox(group) {
  const view = $("#graph");
  const box = graph.boxes.get(group);
  view.scrollTop = (box.y + BOX.height / 2) * graph.zoom - view.clientHeight / 2;
  view.scrollLeft = box.x * graph.zoom - view.clientWidth / 2;
}
