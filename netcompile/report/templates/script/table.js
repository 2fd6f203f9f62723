// The table of layers: search, sort, and a way from every row to the graph and the sources.

function layerTable() {
  const table = $("#layer-table");
  const body = $("tbody", table);
  const rows = $$("tr", body);
  const words = rows.map((row) => row.textContent.toLowerCase());
  const field = $("#find-row");
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, index) => {
      row.hidden = !wanted.every((word) => words[index].includes(word));
      shown += row.hidden ? 0 : 1;
    });
    $("#rows-found").textContent = wanted.length ? `${shown} of ${plural(rows.length, "layer")}` : plural(rows.length, "layer");
  });
  $$("thead th", table).forEach((head, column) => {
    const button = h("button", { type: "button" }, head.textContent, h("span", { class: "arrow", "aria-hidden": "true" }));
    head.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, body, rows, head, column));
  });
  rows.forEach((row, index) => {
    const head = $("th", row);
    const button = h("button", { type: "button", class: "name" }, head.textContent);
    button.addEventListener("click", () => { select(index, "table"); reveal($("#workbench")); });
    head.replaceChildren(button);
  });
  onSelect.push((layer) => rows.forEach((row, index) => row.classList.toggle("selected", index === layer)));
}

/** Up, down, and back to the file's order. */
function sortBy(table, body, rows, head, column) {
  const next = { none: head.classList.contains("n") ? "descending" : "ascending", ascending: head.classList.contains("n") ? "none" : "descending", descending: head.classList.contains("n") ? "ascending" : "none" };
  const way = next[head.getAttribute("aria-sort") || "none"];
  $$("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
  if (way !== "none") head.setAttribute("aria-sort", way);
  const key = (row) => {
    const cell = row.children[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
  const sorted = way === "none" ? rows : [...rows].sort((a, b) => (way === "descending" ? -1 : 1) * compare(key(a), key(b)));
  body.replaceChildren(...sorted);
}
