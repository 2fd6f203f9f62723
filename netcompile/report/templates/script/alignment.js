// The alignment diagram: one lane per crop, in pixels of the input, along one axis.

/** Everything about a crop at the present size, along the present axis. Coordinates are of the input's pixels. */
function place(crop, axis, n) {
  const [a, b] = crop.bottoms.map((index) => {
    const value = DATA.values[index];
    return value.dims && value.dims.length === 4 ? dimAt(value.dims[2 + axis], n) : null;
  });
  if (!crop.maps) return { a, b };
  const [A, B] = crop.maps.map((maps) => maps[axis]);
  const needed = over(minus(B[1], A[1]), A[0]);
  const cropped = crop.needed && crop.needed[axis] !== null;
  const used = cropped ? (crop.used ? crop.used[axis] : null) : 0;
  const stride = number(A[0]);
  const edge = (map, index) => number(map[0]) * (index - 0.5) + number(map[1]); // the left edge of a pixel
  const start = used === null ? number(needed) : used;
  const centred = Math.floor((a - b) / 2);
  return {
    a, b, A, B, needed, used, stride, cropped, start, centred,
    edgeA: (index) => edge(A, index),
    edgeB: (index) => edge(B, index),
    whole: used === null ? null : [used, a - used - b],
    fits: a !== null && b !== null && a > 0 && b > 0 && start >= 0 && start + b <= a,
    error: minus([centred, 1], needed),
  };
}

function lanes() {
  const home = $("#lanes");
  if (!home || !DATA.crops.length || !DATA.extents) return;
  const made = DATA.crops.map((crop, index) => {
    const lane = laneElement(crop, index);
    home.append(lane);
    return lane;
  });
  // Of a lane out of sight only the words follow; its drawing does when it comes into view.
  const hidden = new Set();
  const stale = new Set();
  const draw = () => {
    const placed = DATA.crops.map((crop) => place(crop, state.axis, state.n));
    const domain = wholeDomain(placed);
    made.forEach((lane, index) => {
      if (hidden.has(lane)) stale.add(lane);
      drawLane(lane, DATA.crops[index], placed[index], domain, !hidden.has(lane));
    });
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) hidden.add(target);
      else if (hidden.delete(target) && stale.delete(target)) sizeChanged();
    }
  }, { rootMargin: "300px" });
  made.forEach((lane) => watcher.observe(lane));
  onSize.push(draw);
  addEventListener("resize", perFrame(draw));
}

const MANY = 4; // lanes that are shown with both ends under a glass from the start

function laneElement(crop, index) {
  const names = crop.bottoms.map((value) => DATA.values[value].blob);
  const shut = DATA.crops.length > MANY && (crop.status === "ok" || crop.status === "inferred");
  const lenses = h("div", { class: "lenses", hidden: shut }, h("figure", { class: "lens first" }), h("figure", { class: "lens last" }));
  const glass = h("button", { type: "button", class: "glass", "aria-expanded": String(!shut) }, "pixels");
  glass.addEventListener("click", () => {
    lenses.hidden = !lenses.hidden;
    glass.setAttribute("aria-expanded", String(!lenses.hidden));
    sizeChanged();
  });
  const why = $(`[data-why="${index}"]`);
  const layer = DATA.layers.findIndex((l) => l.name === crop.layer && l.lines[0] === crop.line);
  return h("article", { class: "lane", "data-crop": crop.layer },
    h("header", null,
      h("h3", null, h("button", { type: "button", class: "name", title: "show it in the graph and the sources", onclick: () => { select(layer, "lane"); reveal($("#graph")); } }, crop.layer)),
      h("span", { class: `chip ${crop.status}` }, `${SIGNS[crop.status] || "✗"} ${crop.status}`),
      h("p", { class: "says" }),
      h("p", { class: "which" }, `cuts ${names[0]} to the size of ${names[1]}, line ${crop.line}`),
      glass),
    h("figure", { class: "rail" }),
    lenses,
    h("dl", { class: "numbers" }),
    why);
}

const SIGNS = { ok: "✓", inferred: "✓", undefined: "–" };

/** From the leftmost to the rightmost pixel that any lane has to show. */
function wholeDomain(placed) {
  const [pad] = DATA.padding[state.axis];
  let lo = -pad - 0.5;
  let hi = state.n[state.axis] - 0.5 + pad;
  for (const p of placed) {
    if (!p.A || !p.fits) continue;
    lo = Math.min(lo, p.edgeA(0), p.edgeB(0));
    hi = Math.max(hi, p.edgeA(p.a), p.edgeB(p.b));
  }
  return [lo, hi];
}

function drawLane(lane, crop, p, domain, seen) {
  const [rail, first, last] = [".rail", ".first", ".last"].map((c) => $(c, lane));
  const names = crop.bottoms.map((index) => DATA.values[index].blob);
  const side = SIDES[state.axis];
  const says = $(".says", lane);
  lane.classList.toggle("broken", !p.fits);
  numbers($(".numbers", lane), crop, p, names);
  if (!p.A || !p.fits) {
    [rail, first, last].forEach((figure) => figure.replaceChildren());
    says.textContent = !p.A ? crop.why
      : p.a === null || p.b === null ? `At ${AXES[state.axis]} = ${state.n[state.axis]} the net is not legal: a blob on the way has no pixel left.`
        : `At ${AXES[state.axis]} = ${state.n[state.axis]} the window does not fit: ${p.b} pixels from ${text(p.start)} on, of ${p.a}.`;
    return;
  }
  const miss = p.used === null ? null : minus([p.used, 1], p.needed);
  says.textContent = !p.cropped ? `The ${side} is left as it is.`
    : p.used === null ? `would have to start at ${text(p.needed)}`
      : miss[0] ? `starts at ${p.used}, has to start at ${text(p.needed)}` : `starts at ${p.used}`;
  if (!seen) return;
  drawRail(rail, p, names, domain);
  if ($(".lenses", lane).hidden) return;
  drawLens(first, p, false);
  drawLens(last, p, true);
}

function numbers(list, crop, p, names) {
  const row = (term, value, kind) => [h("dt", null, term), h("dd", kind ? { class: kind } : null, value)];
  const rows = [
    row(`cropped: ${names[0]}`, p.a === null ? "–" : plural(p.a, "pixel"), "cropped"),
    row(`reference: ${names[1]}`, p.b === null ? "–" : plural(p.b, "pixel"), "reference"),
  ];
  if (p.A) {
    rows.push(row("needed", text(p.needed), "needed"));
    rows.push(row("declared", crop.declared && crop.declared[state.axis] !== null ? String(crop.declared[state.axis]) : "nothing", "declared"));
    if (p.whole && p.fits) rows.push(row("slack", `${p.whole[0]} before, ${p.whole[1]} after`, "slack"));
    if (p.fits && p.cropped) rows.push(row("centred crop", ghostText(p), "centred"));
  }
  list.replaceChildren(...rows.map((pair) => h("div", null, ...pair)));
}

/** What centring would do here: where it would start, and how far off that is. */
function ghostText(p) {
  if (!p.error[0]) return `${text(p.centred)}, right at this size`;
  const far = fraction(Math.abs(p.error[0]), p.error[1]);
  const input = over([far[0] * p.A[0][0], far[1] * p.A[0][1]], [1, 1]);
  const way = p.error[0] > 0 ? "late" : "early";
  return `${text(p.centred)}: ${plural(far, "pixel")} too ${way}${p.stride === 1 ? "" : `, ${text(input)} of the input`}`;
}
