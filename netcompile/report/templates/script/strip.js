// For which sizes: the input extents from 1 on as a strip, legal ones filled, others hatched.

const STRIP_END = DATA.extents ? Math.max(512, Math.ceil((1.3 * Math.max(...DATA.extents)) / 64) * 64) : 512;

function strips() {
  if (!DATA.extents) return;
  const rows = $$("[data-strip]").map((home) => {
    const which = home.dataset.strip;
    const valid = which === "net" ? DATA.valid : DATA.crops[Number(which)].valid;
    return { home, valid };
  });
  const draw = () => rows.forEach(({ home, valid }) => drawStrip(home, valid && valid[state.axis]));
  onSize.push(draw);
  addEventListener("resize", perFrame(draw));
}

function drawStrip(home, set) {
  const width = Math.max(home.clientWidth, 200);
  const x = (n) => ((n - 1) / STRIP_END) * width;
  const n = state.n[state.axis];
  const parts = [s("rect", { x: 0, y: 0, width, height: 18, class: set ? "illegal" : "unknown" })];
  if (set) for (const [lo, hi] of membersBelow(set, STRIP_END + 1)) parts.push(s("rect", { x: x(lo), y: 0, width: Math.max(x(hi) - x(lo), 1.5), height: 18, class: "legal" }));
  if (n <= STRIP_END) parts.push(s("path", { d: `M${x(n + 0.5)} -3V21`, class: "here" }));
  const under = s("g", { class: "under" });
  const sizeUnder = (event) => Math.max(1, Math.min(STRIP_END, 1 + Math.floor((event.offsetX / width) * STRIP_END)));
  home.replaceChildren(s("svg", {
    viewBox: `0 -3 ${width} 40`, width, height: 40, "aria-hidden": "true",
    onclick: (event) => setSize(state.axis, sizeUnder(event)),
    onpointermove: (event) => under.replaceChildren(...sizeWords(sizeUnder(event), set, x, width)),
    onpointerleave: () => under.replaceChildren(),
  }, ...parts, under));
}

/** The size under the pointer, and whether it is legal; if not, the next one that is. */
function sizeWords(n, set, x, width) {
  const legal = member(set, n);
  const next = legal === false ? nearest(set, n) : null;
  const words = `${AXES[state.axis]} = ${n}${legal === null ? "" : legal ? ": legal" : `: not legal${next === null ? "" : `, ${next} is`}`}`;
  const half = 3.3 * words.length;
  const middle = Math.max(half, Math.min(width - half, x(n + 0.5)));
  return [s("path", { d: `M${x(n + 0.5)} -3V21`, class: "pointed" }), label(middle, 33, words, "under-text", "middle")];
}

/** The legal size nearest to n, among those that the strip shows. */
function nearest(set, n) {
  for (let far = 1; far < STRIP_END; far++) for (const size of [n - far, n + far]) if (size > 0 && size <= STRIP_END && member(set, size)) return size;
  return null;
}

/** The ruler below the strips. */
function stripRuler() {
  const home = $("#strip-ruler");
  if (!home || !DATA.extents) return;
  const draw = () => {
    const width = Math.max(home.clientWidth, 200);
    const step = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192].find((v) => (v / STRIP_END) * width >= 60) || 16384;
    const parts = [label(0, 12, "1", "tick", "start")];
    for (let v = step; v <= STRIP_END; v += step) {
      const at = ((v - 1) / STRIP_END) * width;
      parts.push(label(Math.min(at, width - 1), 12, String(v), "tick", at > width - 14 ? "end" : "middle"));
    }
    home.replaceChildren(s("svg", { viewBox: `0 0 ${width} 16`, width, height: 16, "aria-hidden": "true" }, ...parts));
  };
  onSize.push(draw);
  addEventListener("resize", perFrame(draw));
}
