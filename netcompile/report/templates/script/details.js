// The card beside the graph: what a layer makes, what it costs, what one of its pixels sees of the input.

/** While a box is pointed at or has the focus its card is shown, then the selected layer's again. */
function peek(members) {
  const shown = members || (state.layer === null ? null : graph.boxes.get(graph.group[state.layer]).members);
  details(shown, members ? null : state.layer);
}

let detailed = [undefined, null];

/** Members of a box, of which one may be chosen. What is shown already stays: a press on its buttons must find them. */
function details(members, chosen, anew) {
  if (!anew && members === detailed[0] && chosen === detailed[1]) return;
  detailed = [members, chosen];
  const card = $("#details");
  if (!members) {
    card.replaceChildren(h("p", { class: "quiet" }, "Point at a box to see what a pixel of it sees of the input. Choose one to see its lines in both sources."));
    return;
  }
  const focus = chosen === null ? members[0] : chosen;
  const layer = DATA.layers[focus];
  const last = DATA.layers[members[members.length - 1]];
  const top = last.tops.length ? DATA.values[last.tops[0]] : null;
  card.replaceChildren(
    h("h3", null, members.length > 1 && isGroup(graph.boxes.get(graph.group[focus])) ? titles(graph.boxes.get(graph.group[focus]))[0] : layer.name),
    h("p", { class: "quiet" }, members.length > 1 ? "" : [layer.type, layer.window, `line ${layer.lines[0]}`].filter(Boolean).join(" · ")),
    members.length > 1 ? parts(members, focus) : "",
    h("dl", { class: "facts-list" },
      ...layer.bottoms.map((index) => fact("reads", `${DATA.values[index].blob}  ${shapeAt(DATA.values[index], state.n)}`)),
      top && fact("makes", `${top.blob}  ${shapeAt(top, state.n)}`),
      top && shapeText(top) !== shapeAt(top, state.n) && fact("exactly", shapeText(top)),
      top && top.maps && fact("pixel i lies at", both([0, 1].map((axis) => top.maps[axis]), ([stride, offset]) => `${number(stride) === 1 ? "" : `${text(stride)}·`}i${offset[0] ? ` ${offset[0] < 0 ? "−" : "+"} ${text([Math.abs(offset[0]), offset[1]])}` : ""}`)),
      sum(members, 0) > 0 && fact("parameters", countText(sum(members, 0))),
      sum(members, 1) > 0 && fact("MACs", `${countText(sum(members, 1))}, ${share(members, 1)} of the net`),
      sum(members, 2) > 0 && fact("activations", `${countText(sum(members, 2))}B`)),
    ...fieldOf(top));
}

const fact = (term, value) => h("div", null, h("dt", null, term), h("dd", null, value));

function share(members, which) {
  const part = (100 * sum(members, which)) / sum(DATA.layers.map((_, index) => index), which);
  return part < 0.1 ? "under 0.1 %" : `${part.toFixed(1)} %`;
}

/** The layers of a box, each to be chosen by itself; and the box to be opened. */
function parts(members, focus) {
  const box = graph.boxes.get(graph.group[focus]);
  const shown = members.slice(0, 24);
  return h("div", { class: "parts" },
    ...shown.map((index) => h("button", { type: "button", class: index === focus ? "part on" : "part", title: DATA.layers[index].type, onclick: () => select(index, "graph") }, shorten(DATA.layers[index].name, 26))),
    members.length > shown.length && h("span", { class: "quiet" }, `and ${members.length - shown.length} more`),
    box && isGroup(box) && h("button", { type: "button", class: "open", onclick: () => open(box.group) }, "open this box"));
}

/** The receptive field of the pixel in the middle, drawn over the input. */
function fieldOf(value) {
  if (!value || !value.field || !DATA.extents || !value.dims || value.dims.length !== 4) return [];
  const [size, stride, centre] = value.field;
  const extent = [0, 1].map((axis) => dimAt(value.dims[2 + axis], state.n));
  if (extent.some((e) => e === null || e < 1)) return [];
  const middle = extent.map((e) => Math.floor(e / 2));
  const at = middle.map((i, axis) => number(stride[axis]) * i + number(centre[axis]));
  const [top, left] = at.map((c, axis) => c - size[axis] / 2);
  const pad = DATA.padding.map(([p]) => p);
  const [lo, hi] = [0, 1].map((side) => [0, 1].map((axis) => {
    const edge = [-pad[axis] - 0.5, state.n[axis] - 0.5 + pad[axis]][side];
    const field = at[axis] + (side ? 1 : -1) * size[axis] / 2;
    return side ? Math.max(edge, field) : Math.min(edge, field);
  }));
  const room = Math.max(hi[0] - lo[0], hi[1] - lo[1]) * 0.03;
  const view = `${lo[1] - room} ${lo[0] - room} ${hi[1] - lo[1] + 2 * room} ${hi[0] - lo[0] + 2 * room}`;
  const rect = (x, y, width, height, kind) => s("rect", { x, y, width, height, class: kind, "vector-effect": "non-scaling-stroke" });
  return [
    h("p", { class: "field-text" }, `Its middle pixel sees ${size[0]} × ${size[1]} pixels of the input${size[0] === 1 && size[1] === 1 ? "" : `, around ${both(at.map((c) => [Math.round(c * 2), 2]))}`}.`),
    s("svg", { class: "field", viewBox: view, role: "img", "aria-label": `receptive field ${size[0]} × ${size[1]} over an input of ${state.n[0]} × ${state.n[1]}` },
      (pad[0] || pad[1]) && rect(-pad[1] - 0.5, -pad[0] - 0.5, state.n[1] + 2 * pad[1], state.n[0] + 2 * pad[0], "padded"),
      rect(-0.5, -0.5, state.n[1], state.n[0], "image"),
      rect(left, top, size[1], size[0], "seen")),
  ];
}

function detailsCard() {
  onSelect.push((layer) => details(graph.boxes.get(graph.group[layer]).members, layer));
  onSize.push(() => { details(...detailed, true); });
  details(null, null);
}
