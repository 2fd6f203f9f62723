// What the graph draws as one box: a layer with those that work in its place, a chain, a block of the net.

const DETAIL = ["layers", "folded", "repeats", "chains", "blocks"];
const COMFORT = 60; // boxes that are read at a glance

/** Every layer as a unit, and the links between units: which value goes where. */
function layerLinks() {
  const maker = new Map();
  const links = [];
  DATA.layers.forEach((layer, index) => {
    layer.bottoms.forEach((value, position) => {
      if (maker.has(value)) links.push({ from: maker.get(value), to: index, value, reference: layer.family === "crop" && position === 1 });
    });
    layer.tops.forEach((value) => maker.set(value, index));
  });
  return links;
}

const LINKS = layerLinks();

/** How often each layer is read, and by whom; whom each layer reads. */
function neighbours(links, count) {
  const next = Array.from({ length: count }, () => []);
  const before = Array.from({ length: count }, () => []);
  for (const { from, to } of links) {
    next[from].push(to);
    before[to].push(from);
  }
  return { next, before };
}

/** The links between groups, one per value. */
function contract(group, links) {
  const found = new Map();
  for (const link of links) {
    const [from, to] = [group[link.from], group[link.to]];
    if (from === to) continue;
    const key = `${from} ${to} ${link.value} ${link.reference}`;
    if (!found.has(key)) found.set(key, { ...link, from, to });
  }
  return [...found.values()];
}

/** Layers that work in place, and what follows a layer alone without moving pixels, join it. */
function folded() {
  const group = DATA.layers.map((_, index) => index);
  const { next, before } = neighbours(LINKS, group.length);
  const quiet = new Set(["activation", "normalisation"]);
  DATA.layers.forEach((layer, index) => {
    if (before[index].length !== 1) return;
    const [source] = before[index];
    const inPlace = layer.tops.length === 1 && DATA.values[layer.tops[0]].blob === DATA.values[layer.bottoms[0]].blob;
    if (next[source].length === 1 && (inPlace || quiet.has(layer.family)) && !DATA.layers[source].input) group[index] = group[source];
  });
  return group;
}

/** Runs of groups that have one way in and one way out become one; forks, joins, crops and inputs stay. */
function chained(group) {
  const links = contract(group, LINKS);
  const { next, before } = neighbours(links, group.length);
  const made = [...group];
  const alone = (g) => DATA.layers[g].input || DATA.layers[g].family === "crop" || before[g].length > 1;
  group.forEach((g, index) => {
    if (g !== index || alone(g) || before[g].length !== 1) return;
    const [source] = before[g];
    if (next[source].length === 1 && !alone(source)) made[g] = made[source];
  });
  return group.map((g) => made[g]);
}

/** What lies between two places that the whole net passes through becomes one: a residual block, an inception. */
function blocked(group) {
  const links = contract(group, LINKS);
  const order = [...new Set(group)];
  const position = new Map(order.map((g, index) => [g, index]));
  const open = new Array(order.length + 1).fill(0); // values of different makers that cross the gap after a group
  const last = new Map();
  for (const { from, to } of links) last.set(from, Math.max(last.get(from) || 0, position.get(to)));
  for (const [from, end] of last) for (let i = position.get(from); i < end; i++) open[i] += 1;
  const made = new Map();
  let head = 0;
  order.forEach((g, index) => {
    if (index && open[index - 1] <= 1) head = index;
    made.set(g, DATA.layers[g].input ? g : order[head]);
    if (DATA.layers[g].input && head === index) head = index + 1;
  });
  return group.map((g) => made.get(g));
}

const FOLDED = folded();

const coarseOf = (level) => (DETAIL[level] === "chains" ? chained(FOLDED) : blocked(FOLDED));

/** The group of every layer at a level of detail, without those groups that were opened. */
function grouping(level, opened) {
  const base = level === 0 ? DATA.layers.map((_, index) => index) : FOLDED;
  if (level < 2) return base;
  if (DETAIL[level] === "repeats") return refolded(base, opened);
  return coarseOf(level).map((g, index) => (opened.has(g) ? base[index] : g));
}

/** The finest level that can still be read at a glance, or else that with the fewest boxes. */
function comfortable() {
  const sizes = [1, 2, 3, 4].map((level) => new Set(grouping(level, new Set())).size);
  const read = sizes.findIndex((size) => size <= COMFORT);
  return 1 + (read < 0 ? sizes.indexOf(Math.min(...sizes)) : read);
}

/** A name for several layers: what they have in common, or the first and the last. */
function groupName(members) {
  const names = members.filter((index) => FOLDED[index] === index).map((index) => DATA.layers[index].name);
  if (names.length === 1) return names[0];
  let common = names[0];
  for (const name of names) while (!name.startsWith(common)) common = common.slice(0, -1);
  const stem = common.replace(/[_/.\- ]+$/, "");
  return stem.length > 3 && stem.length >= 0.4 * names[0].length ? `${stem}…` : `${names[0]} … ${names[names.length - 1]}`;
}
