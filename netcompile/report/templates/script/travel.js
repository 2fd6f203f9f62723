// Moving about in the graph: keys, the mouse, the search field, the buttons.

/** The box to go to from a box with an arrow key: along the lines up and down, else to the nearest in the row. */
function stepFrom(group, key) {
  const here = graph.boxes.get(group);
  const rank = (g) => Math.abs(graph.boxes.get(g).x - here.x) * 10 + Math.abs(graph.boxes.get(g).y - here.y);
  const nearest = (list) => list.sort((a, b) => rank(a) - rank(b))[0];
  const { edges } = graph.plan;
  if (key === "ArrowDown") return nearest(edges.filter((e) => e.from === group).map((e) => e.to));
  if (key === "ArrowUp") return nearest(edges.filter((e) => e.to === group).map((e) => e.from));
  const way = key === "ArrowRight" ? 1 : -1;
  const beside = [...graph.boxes.values()].filter((box) => (box.x - here.x) * way > 1);
  return beside.sort((a, b) => Math.abs(a.y - here.y) - Math.abs(b.y - here.y) || Math.abs(a.x - here.x) - Math.abs(b.x - here.x)).map((box) => box.group)[0];
}

function keys(event) {
  const box = event.target.closest && event.target.closest(".box");
  const group = box && [...graph.elements].find(([, element]) => element === box)[0];
  if (event.key === "+" || event.key === "=") zoomTo(graph.zoom * 1.25);
  else if (event.key === "-") zoomTo(graph.zoom / 1.25);
  else if (event.key === "0") fitGraph();
  else if (box && event.key.startsWith("Arrow")) {
    const to = stepFrom(group, event.key);
    if (to === undefined) return;
    focusable(to);
    showBox(to);
    graph.elements.get(to).focus({ preventScroll: true });
  } else if (box && (event.key === "Enter" || event.key === " ")) {
    choose(group);
    graph.elements.get(graph.focus).focus({ preventScroll: true });
  } else if (box && event.key === "Escape") {
    if (!shut(graph.boxes.get(group).members[0])) return;
  } else return;
  event.preventDefault();
}

/** Close what stands open around a layer, the innermost first. */
function shut(layer) {
  const around = standsOpen().filter(({ members }) => members.includes(layer));
  if (!around.length) return false;
  graph.opened.delete(around[around.length - 1].key);
  redrawAround(layer);
  graph.elements.get(graph.focus).focus({ preventScroll: true });
  return true;
}

/** Drag to move, Ctrl and wheel to zoom. */
function mouse(view) {
  let grip = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0 && !event.target.closest(".box, .closing")) grip = [event.clientX + view.scrollLeft, event.clientY + view.scrollTop];
  });
  addEventListener("pointermove", (event) => {
    if (grip) view.scrollTo(grip[0] - event.clientX, grip[1] - event.clientY);
  });
  addEventListener("pointerup", () => { grip = null; });
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomTo(graph.zoom * Math.exp(-event.deltaY / 300));
  }, { passive: false });
}

/** Boxes whose layers' names or types hold the words; Enter goes from one to the next. */
function search(field) {
  let found = [];
  let at = -1;
  field.addEventListener("input", () => {
    const word = field.value.trim().toLowerCase();
    const fits = (layer) => layer.name.toLowerCase().includes(word) || layer.type.toLowerCase().includes(word);
    found = word ? DATA.layers.map((layer, index) => [layer, index]).filter(([layer]) => fits(layer)).map(([, index]) => index) : [];
    const groups = new Set(found.map((index) => graph.group[index]));
    for (const [group, element] of graph.elements) element.classList.toggle("dim", word !== "" && !groups.has(group));
    $("#graph-found").textContent = word ? plural(found.length, "layer") : "";
    at = -1;
    if (found.length) showBox(graph.group[found[0]]);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !found.length) return;
    at = (at + (event.shiftKey ? found.length - 1 : 1)) % found.length;
    select(found[at], "search");
  });
}

function travel() {
  const view = $("#graph");
  graph.level = comfortable();
  const levels = $("#detail");
  levels.value = DETAIL[graph.level];
  levels.addEventListener("change", () => {
    graph.level = DETAIL.indexOf(levels.value);
    graph.opened.clear();
    redrawAround(state.layer === null ? 0 : state.layer);
  });
  view.addEventListener("keydown", keys);
  mouse(view);
  search($("#find-layer"));
  $("#zoom-in").addEventListener("click", () => zoomTo(graph.zoom * 1.25));
  $("#zoom-out").addEventListener("click", () => zoomTo(graph.zoom / 1.25));
  $("#zoom-fit").addEventListener("click", fitGraph);
  for (const value of DETAIL) $(`option[value=${value}]`, levels).hidden = value === "repeats" && !FOLDS.length;
  startMinimap();
  drawGraph();
  zoomTo(1);
  onSize.push(labelBoxes);
  onSelect.push((layer, from) => {
    markSelected();
    focusable(graph.group[layer]);
    if (from !== "graph" && from !== "start") showBox(graph.group[layer]);
  });
  select(Math.max(0, DATA.layers.findIndex((layer) => !layer.input)), "start");
  view.scrollTop = 0;
  view.scrollLeft = Math.max(0, graph.boxes.get(graph.group[0]).x - view.clientWidth / 2);
}
