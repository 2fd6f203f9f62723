// The input's size and the selected layer; whoever shows them registers here.

const state = { n: DATA.extents ? [...DATA.extents] : [1, 1], axis: 0, layer: null };
const onSize = [];
const onSelect = [];
const sizeChanged = perFrame(() => onSize.forEach((action) => action()));

function setSize(axis, n) {
  if (!Number.isInteger(n) || n < 1 || n > LARGEST || n === state.n[axis]) return;
  state.n[axis] = n;
  sizeChanged();
}

function setAxis(axis) {
  state.axis = axis;
  sizeChanged();
}

/** Select a layer by its index; `from` says who asked, so that it does not scroll itself. */
function select(layer, from) {
  state.layer = layer;
  onSelect.forEach((action) => action(layer, from));
}

const LARGEST = 99999;

// A page that shows a part of itself alone is within another page, which has the rest.

const PART = document.body.dataset.part || "";
const has = (part) => !PART || PART === part;

/** Bring what shows the selected layer into view; where that is not here, the page around is told the layer's line. */
function reveal(element) {
  if (has("graph")) element.scrollIntoView();
  else parent.postMessage({ wanted: DATA.layers[state.layer].lines[0] }, "*");
}

/** The page around knows which size was chosen, and says so when it shows another part. */
function toldAround() {
  addEventListener("message", ({ source, data }) => {
    if (source === parent && data && Array.isArray(data.size)) data.size.forEach((n, axis) => setSize(axis, n));
  });
  onSize.push(() => {
    const declared = state.n.every((n, axis) => DATA.extents && n === DATA.extents[axis]);
    parent.postMessage({ size: declared || !DATA.extents ? null : state.n }, "*");
  });
  onSelect.push((layer, from) => from !== "start" && parent.postMessage({ chosen: DATA.layers[layer].lines[0] }, "*"));
}
