// Where the boxes go: rows by the longest way from the input, columns by runs that do not cross a box.
//
// The net is cut into straight runs; the longest way through it is the leftmost. A run, the way of an edge to it
// and the way of an edge past other boxes each take an interval of rows of one column, so that lines never run
// through a box. Short intervals are placed first and nearest, long ones around them.

/** Rows of the groups, in their order: one more than the lowest of those that it reads. */
function rowsOf(order, links) {
  const row = new Map(order.map((g) => [g, 0]));
  const height = new Map(order.map((g) => [g, 0]));
  const into = new Map(order.map((g) => [g, []]));
  const out = new Map(order.map((g) => [g, []]));
  for (const link of links) {
    into.get(link.to).push(link);
    out.get(link.from).push(link);
  }
  const sorted = topological(order, into, out);
  for (const g of sorted) for (const { from } of into.get(g)) row.set(g, Math.max(row.get(g), row.get(from) + 1));
  for (const g of [...sorted].reverse()) for (const { to } of out.get(g)) height.set(g, Math.max(height.get(g), height.get(to) + 1));
  // What reads nothing stands just above its first reader.
  for (const g of sorted) if (!into.get(g).length && out.get(g).length) row.set(g, Math.max(0, Math.min(...out.get(g).map(({ to }) => row.get(to))) - 1));
  return { row, height, into, out, sorted };
}

function topological(order, into, out) {
  const missing = new Map(order.map((g) => [g, into.get(g).length]));
  const ready = order.filter((g) => !missing.get(g));
  const sorted = [];
  for (let i = 0; i < ready.length; i++) {
    const g = ready[i];
    sorted.push(g);
    for (const { to } of out.get(g)) {
      missing.set(to, missing.get(to) - 1);
      if (!missing.get(to)) ready.push(to);
    }
  }
  return sorted;
}

/** Straight runs: every group goes on to one reader at most, the longest way first. */
function runsOf({ row, height, sorted }, edges, weight) {
  const onward = new Map();
  const back = new Map();
  const longest = (e) => row.get(e.from) + height.get(e.to);
  const span = (e) => row.get(e.to) - row.get(e.from);
  const heavy = (e) => weight.get(e.from) + weight.get(e.to); // of two ways of one length, that with more layers
  const ranked = edges.map((e, i) => ({ e, i })).sort((p, q) => longest(q.e) - longest(p.e) || heavy(q.e) - heavy(p.e) || span(p.e) - span(q.e) || p.i - q.i);
  for (const { e } of ranked) {
    if (onward.has(e.from) || back.has(e.to) || e.reference) continue;
    onward.set(e.from, e);
    back.set(e.to, e);
  }
  const runs = [];
  for (const g of sorted) {
    if (back.has(g)) continue;
    const boxes = [g];
    while (onward.has(boxes[boxes.length - 1])) boxes.push(onward.get(boxes[boxes.length - 1]).to);
    runs.push({ boxes, top: row.get(g), bottom: row.get(boxes[boxes.length - 1]) });
  }
  return { runs, straight: new Set(onward.values()) };
}

const STUBS = 3; // crops that may read the size of one blob before their lines become words

/** {boxes: [{group, row, column}], edges: [{…, way}], columns: [{boxes: whether it holds any}]} */
function layout(group, links) {
  const order = [...new Set(group)];
  const edges = contract(group, links);
  const many = edges.filter((e) => e.reference).reduce((count, e) => count.set(e.from, (count.get(e.from) || 0) + 1), new Map());
  for (const e of edges) e.stub = e.reference && many.get(e.from) > STUBS;
  const graph = rowsOf(order, edges);
  const { row } = graph;
  const weight = new Map();
  for (const g of group) weight.set(g, (weight.get(g) || 0) + 1);
  const { runs, straight } = runsOf(graph, edges, weight);
  const runOf = new Map();
  for (const run of runs) for (const g of run.boxes) runOf.set(g, run);
  const ways = new Map();
  const bends = edges.filter((e) => !straight.has(e)).sort((p, q) => row.get(p.to) - row.get(p.from) - row.get(q.to) + row.get(q.from));
  const extra = [];
  for (const e of bends) {
    const [from, to] = [runOf.get(e.from), runOf.get(e.to)];
    if (e.stub || row.get(e.to) - row.get(e.from) === 1) continue;
    if (to.boxes[0] === e.to && !to.entered && to !== from) {
      to.entered = true;
      to.top = row.get(e.from) + 1;
      to.beside = to.beside || from;
      ways.set(e, to);
    } else if (from.boxes[from.boxes.length - 1] === e.from && !from.left && to !== from) {
      from.left = true;
      from.bottom = row.get(e.to) - 1;
      ways.set(e, from);
    } else {
      const way = { boxes: [], top: row.get(e.from) + 1, bottom: row.get(e.to) - 1, beside: from };
      ways.set(e, way);
      extra.push(way);
    }
  }
  for (const e of edges) {
    const [from, to] = [runOf.get(e.from), runOf.get(e.to)];
    if (e.stub || from === to) continue;
    to.beside = to.beside || from;
    from.beside = from.beside || to;
  }
  const columns = placeRuns([...runs, ...extra]);
  return {
    rows: 1 + Math.max(0, ...order.map((g) => row.get(g))),
    columns,
    boxes: order.map((g) => ({ group: g, row: row.get(g), column: runOf.get(g).column })),
    edges: edges.map((e) => ({ ...e, rows: [row.get(e.from), row.get(e.to)], columns: [runOf.get(e.from).column, (ways.get(e) || runOf.get(e.to)).column, runOf.get(e.to).column] })),
  };
}

/** Give every run the free column nearest to the run that it belongs to. */
function placeRuns(runs) {
  const length = (run) => run.bottom - run.top;
  const first = runs.reduce((a, b) => (b.boxes.length > a.boxes.length ? b : a), runs[0]);
  const rest = runs.filter((run) => run !== first).sort((a, b) => length(a) - length(b) || a.top - b.top);
  const taken = [];
  const holds = [];
  for (const run of [first, ...rest]) {
    if (!run) break;
    const near = run.beside && run.beside.column !== undefined ? run.beside.column : 0;
    const free = (column) => !(taken[column] || []).some(([top, bottom]) => run.top <= bottom && top <= run.bottom);
    let column = run === first ? 0 : near;
    while (!free(column) || (run !== first && column === 0 && !run.boxes.length)) column += 1;
    run.column = column;
    (taken[column] = taken[column] || []).push([run.top, run.bottom]);
    holds[column] = holds[column] || run.boxes.length > 0;
  }
  return Array.from(holds, (boxes) => ({ boxes: Boolean(boxes) }));
}
