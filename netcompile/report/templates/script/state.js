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
