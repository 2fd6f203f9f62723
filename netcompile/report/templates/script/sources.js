// The prototxt and the generated module side by side; the selected layer's lines marked in both.

function pane(home, content, linesOf) {
  const view = $(".code", home);
  if (!view) return null;
  const lines = content.split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  const digits = h("pre", { class: "digits", "aria-hidden": "true" }, lines.map((_, index) => index + 1).join("\n"));
  const marks = h("div", { class: "marks" });
  const body = h("pre", { class: "body" }, lines.join("\n"));
  view.append(digits, h("div", { class: "sheet" }, marks, body));
  const high = () => body.getBoundingClientRect().height / lines.length;
  body.addEventListener("click", (event) => {
    if (String(getSelection())) return;
    const number = 1 + Math.floor((event.clientY - body.getBoundingClientRect().top) / high());
    const fits = DATA.layers.map((layer, index) => [linesOf(layer), index]).filter(([ranges]) => ranges.some(([lo, hi]) => lo <= number && number <= hi));
    if (fits.length) select(fits[fits.length - 1][1], home.id);
  });
  return (layer, from) => {
    const ranges = linesOf(DATA.layers[layer]);
    const step = high();
    marks.replaceChildren(...ranges.map(([lo, hi]) => {
      const mark = h("div");
      mark.style.top = `${(lo - 1) * step}px`;
      mark.style.height = `${(hi - lo + 1) * step}px`;
      return mark;
    }));
    $(".where", home).textContent = ranges.length ? ranges.map(([lo, hi]) => (lo === hi ? `line ${lo}` : `lines ${lo}–${hi}`)).join(", ") : "no line of its own";
    if (ranges.length && from !== home.id) view.scrollTop = Math.max(0, (ranges[0][0] - 1) * step - view.clientHeight * 0.3);
  };
}

function sources() {
  const shown = [
    pane($("#prototxt"), DATA.source, (layer) => [layer.lines]),
    DATA.module !== null && pane($("#generated"), DATA.module, (layer) => layer.code || []),
  ];
  onSelect.push((layer, from) => shown.filter(Boolean).forEach((show) => show(layer, from)));
}
