// The parts that repeat, as report/folds.py found them: a tree of boxes that open and close.

/** What would be drawn as several boxes, and not just as much as what is around it. */
function foldTree(list, outer) {
  return list.flatMap(([name, structure, count, first, last, inner]) => {
    const units = FOLDED.filter((head, index) => head === index && first <= index && index <= last);
    const same = outer && outer.first === first && outer.last === last && outer.count === 1;
    if (units.length < 2 || same) return same ? foldTree(inner, outer) : [];
    const fold = { key: `${first} ${last} ${count}`, name, structure, count, first, last, head: units[0] };
    fold.inner = foldTree(inner, fold);
    return [fold];
  });
}

const FOLDS = foldTree(DATA.folds, null);

/** The folds around a layer, the outermost first. */
function foldsAround(index) {
  const found = [];
  for (let list = FOLDS; ;) {
    const fold = list.find(({ first, last }) => first <= index && index <= last);
    if (!fold) return found;
    found.push(fold);
    list = fold.inner;
  }
}

/** The outermost fold around a layer that is closed. */
const closedAround = (index, opened) => foldsAround(index).find((fold) => !opened.has(fold.key));

const refolded = (base, opened) => base.map((head) => (closedAround(head, opened) || { head }).head);

/** "res4b × 22"; what is in a row is named after its first and last. */
const foldName = ({ name, count }) => (count > 1 ? `${name} × ${count}` : name);

function foldKinds({ structure, count }, layers) {
  const each = structure.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();
  return `${each && `${each}, `}${plural(layers, "layer")}${count > 1 ? " in all" : ""}`;
}

/** What stands open: its key, its name, and its layers; what is within another comes behind it. */
function standsOpen() {
  if (DETAIL[graph.level] !== "repeats") {
    const coarse = graph.level < 2 ? [] : coarseOf(graph.level);
    return [...graph.opened].map((key) => {
      const members = coarse.flatMap((g, index) => (g === key ? [index] : []));
      return { key, name: groupName(members), members, depth: 0 };
    });
  }
  const found = [];
  const visit = (list, depth) => {
    for (const fold of list.filter(({ key }) => graph.opened.has(key))) {
      const members = FOLDED.flatMap((head, index) => (fold.first <= head && head <= fold.last ? [index] : []));
      found.push({ key: fold.key, name: foldName(fold), members, depth });
      visit(fold.inner, depth + 1);
    }
  };
  visit(FOLDS, 0);
  return found;
}

/** Frames around what stands open, and a button on each that closes it. */
function frames() {
  const heads = new Map(); // how many buttons a box has above it
  const rects = [];
  const buttons = [];
  for (const { key, name, members, depth } of standsOpen().reverse()) {
    const boxes = [...new Set(members.map((index) => graph.group[index]))].map((group) => graph.boxes.get(group));
    const top = boxes.reduce((a, b) => (b.y < a.y || (b.y === a.y && b.x < a.x) ? b : a));
    const above = heads.get(top) || 0;
    heads.set(top, above + 1);
    const room = Math.max(4, 12 - 4 * depth);
    const groups = new Set(boxes.map((box) => box.group));
    const ways = graph.plan.edges.filter(({ from, to }) => groups.has(from) && groups.has(to)).map(({ columns }) => graph.lefts[columns[1]] - BOX.width / 2 + 8);
    const [x0, x1] = [Math.min(...boxes.map((b) => b.x)), Math.max(...boxes.map((b) => b.x), ...ways)];
    const y1 = Math.max(...boxes.map((b) => b.y));
    const y0 = top.y - 22 - 18 * above;
    const within = new Set(boxes);
    const alone = [...graph.boxes.values()].every((b) => within.has(b) || b.x < x0 || b.x > x1 || b.y < top.y || b.y > y1);
    const left = x0 - BOX.width / 2 - room;
    if (alone) rects.unshift(s("rect", { x: left, y: y0, width: x1 - x0 + BOX.width + 2 * room, height: y1 - y0 + BOX.height + room, rx: 9, class: "frame" }));
    buttons.unshift(closing(key, name, members, alone ? left : top.x - BOX.width / 2, y0));
  }
  return [rects, buttons];
}

function closing(key, name, members, x, y) {
  const words = `− ${name.split(" … ").map((part) => shorten(part, 12)).join(" … ")}`;
  const button = s("g", { class: "closing", transform: `translate(${x} ${y})`, role: "button", tabindex: 0, "aria-expanded": "true", "aria-label": `close ${name}` },
    s("title", null, `close ${name}`), s("rect", { width: 12 + 6.2 * words.length, height: 18, rx: 6 }), label(7, 13, words, "closing-text"));
  const close = () => {
    graph.opened.delete(key);
    redrawAround(members[0]);
    graph.elements.get(graph.focus).focus({ preventScroll: true });
  };
  button.addEventListener("click", close);
  button.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    close();
  });
  return button;
}
