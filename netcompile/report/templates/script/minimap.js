// The whole graph in a corner, with a frame around what is in view; the frame is moved by mouse and by arrow keys.

const MINIMAP = { width: 150, least: 44, share: 0.17 }; // pixels, and of the view's width

const minimap = { x: 1, y: 1 };

function drawMinimap() {
  const view = $("#graph");
  const home = $("#minimap");
  const room = view.clientHeight - 24;
  const widest = Math.min(MINIMAP.width, MINIMAP.share * view.clientWidth);
  minimap.y = Math.min(MINIMAP.width / graph.width, room / graph.height);
  minimap.x = Math.min(widest, Math.max(MINIMAP.least, graph.width * minimap.y)) / graph.width; // a tall net is drawn wider than it is
  const size = { width: graph.width * minimap.x, height: graph.height * minimap.y };
  const ways = new Map();
  for (const [group, element] of graph.elements) {
    const box = graph.boxes.get(group);
    const kind = element.classList[1];
    const corner = [(box.x - BOX.width / 2) * minimap.x, box.y * minimap.y];
    ways.set(kind, `${ways.get(kind) || ""}M${corner.map((v) => v.toFixed(1))}h${(BOX.width * minimap.x).toFixed(1)}v${Math.max(1, BOX.height * minimap.y).toFixed(1)}h${(-BOX.width * minimap.x).toFixed(1)}z`);
  }
  home.replaceChildren(s("svg", { ...size, viewBox: `0 0 ${size.width} ${size.height}` },
    ...[...ways].map(([kind, d]) => s("g", { class: `mini ${kind}` }, s("path", { d, class: "mark" }))),
    s("rect", { class: "in-view", rx: 2 })));
  frameView();
}

/** Where the frame is; without one there is nothing that a map would help with. */
function frameView() {
  const view = $("#graph");
  const home = $("#minimap");
  const svg = $("#graph svg").getBoundingClientRect();
  home.hidden = svg.width <= view.clientWidth + 1 && svg.height <= view.clientHeight + 1;
  const frame = $(".in-view", home);
  if (home.hidden || !frame) return;
  const [sx, sy] = [minimap.x / graph.zoom, minimap.y / graph.zoom];
  const [width, height] = [Math.min(view.clientWidth, svg.width), Math.min(view.clientHeight, svg.height)];
  const values = { x: view.scrollLeft * sx, y: view.scrollTop * sy, width: Math.max(6, width * sx), height: Math.max(6, height * sy) };
  for (const [name, value] of Object.entries(values)) frame.setAttribute(name, value);
}

function startMinimap() {
  const view = $("#graph");
  const home = $("#minimap");
  const follow = perFrame(frameView);
  view.addEventListener("scroll", follow);
  addEventListener("resize", perFrame(drawMinimap));
  let held = false;
  const move = (event) => {
    const box = $("svg", home).getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / minimap.x, (event.clientY - box.top) / minimap.y];
    view.scrollTo(x * graph.zoom - view.clientWidth / 2, y * graph.zoom - view.clientHeight / 2);
  };
  home.addEventListener("pointerdown", (event) => {
    held = true;
    home.setPointerCapture(event.pointerId);
    event.preventDefault();
    home.focus({ preventScroll: true });
    move(event);
  });
  home.addEventListener("pointermove", (event) => { if (held) move(event); });
  for (const end of ["pointerup", "pointercancel"]) home.addEventListener(end, () => { held = false; });
  home.addEventListener("keydown", (event) => {
    const way = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
    if (way) view.scrollBy(way[0] * view.clientWidth * 0.4, way[1] * view.clientHeight * 0.4);
    else if (event.key === "Home") view.scrollTo(view.scrollLeft, 0);
    else if (event.key === "End") view.scrollTo(view.scrollLeft, view.scrollHeight);
    else return;
    event.preventDefault();
  });
}
