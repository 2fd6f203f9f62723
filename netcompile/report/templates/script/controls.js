// The bar that stays in view: the input's size, the axis that the drawings show, the theme.

const SLIDER_END = DATA.extents ? Math.max(1024, 2 * Math.max(...DATA.extents)) : 1024;

function controls() {
  const bar = $("#input-size");
  if (!DATA.extents) {
    bar.hidden = true;
    return;
  }
  bar.hidden = false;
  AXES.forEach((name, axis) => {
    const slider = $(`#slider-${name}`);
    const field = $(`#field-${name}`);
    slider.max = SLIDER_END;
    slider.addEventListener("input", () => setSize(axis, Number(slider.value)));
    field.addEventListener("input", () => setSize(axis, Number(field.value)));
    field.addEventListener("change", () => { field.value = state.n[axis]; });
    onSize.push(() => {
      slider.value = state.n[axis];
      if (Number(field.value) !== state.n[axis]) field.value = state.n[axis];
    });
  });
  $$("[name=axis]").forEach((radio, axis) => radio.addEventListener("change", () => setAxis(axis)));
  $("#reset-size").addEventListener("click", () => DATA.extents.forEach((n, axis) => setSize(axis, n)));
  onSize.push(legality);
}

/** Says whether the whole net is legal at this size. */
function legality() {
  const here = $("#legal");
  const known = DATA.valid && DATA.valid.map((set, axis) => member(set, state.n[axis]));
  const [h_, w_] = state.n;
  if (!known || known.includes(null)) {
    here.textContent = "";
    return;
  }
  const legal = known[0] && known[1];
  here.className = legal ? "chip ok" : "chip mismatch";
  const wrong = SIDES.filter((_, axis) => !known[axis]).join(" and ");
  here.textContent = legal ? `✓ legal at ${h_} × ${w_}` : `✗ not legal: ${wrong}`;
}

function theme() {
  const button = $("#theme");
  const modes = ["auto", "light", "dark"];
  let mode = 0;
  button.hidden = false;
  button.addEventListener("click", () => {
    mode = (mode + 1) % modes.length;
    if (mode) document.documentElement.dataset.theme = modes[mode];
    else delete document.documentElement.dataset.theme;
    button.textContent = `theme: ${modes[mode]}`;
  });
}
