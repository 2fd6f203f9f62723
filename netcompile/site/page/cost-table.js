// What each layer costs: a table that sorts by any column, and leads from every row to the layer's line.

import { h, visible } from "./dom.js";

const UNITS = ["", " k", " M", " G", " T", " P"];
const exact = (value) => value.toLocaleString("en");
const dims = (shape) => (shape ? shape.join("×") : "?");
const pair = (field) => (field ? [...new Set(field.size)].join("×") : "–");

/** A count in three or four digits: "1.8 k". */
function short(value) {
  let unit = 0;
  let rest = value;
  for (; rest >= 1000 && unit < UNITS.length - 1; unit += 1) rest /= 1000;
  return unit ? rest.toFixed(1) + UNITS[unit] : String(value);
}

const COLUMNS = [
  { words: "layer", of: (row) => visible(row.name) },
  { words: "type", of: (row) => visible(row.type) },
  { words: "line", number: true, of: (row) => row.line },
  { words: "shape", of: (row) => row.shapes.map(dims).join(", ") },
  { words: "parameters", number: true, cost: true, of: (row) => row.parameters },
  { words: "MACs", number: true, cost: true, of: (row) => row.macs },
  { words: "activations", number: true, cost: true, of: (row) => row.activation_bytes },
  { words: "field", number: true, of: (row) => (row.fields[0] ? row.fields[0].size[0] : -1), shown: (row) => pair(row.fields[0]) },
];

export class CostTable {
  constructor(home, goTo) {
    this.goTo = goTo;
    this.body = h("tbody");
    this.foot = h("tfoot");
    this.rows = [];
    this.sorted = { column: -1, way: "none" };
    this.heads = COLUMNS.map((column, index) => h("th", { scope: "col", class: column.number ? "n" : null },
      h("button", { type: "button", onclick: () => this.sortBy(index) }, column.words, h("span", { class: "arrow", "aria-hidden": "true" }))));
    home.replaceChildren(h("table", { class: "cost" }, h("caption", { class: "away" }, "cost of each layer"), h("thead", null, h("tr", null, this.heads)), this.body, this.foot));
  }

  show(rows, totals) {
    this.rows = rows;
    this.most = COLUMNS.map((column) => (column.cost ? Math.max(1, ...rows.map((row) => column.of(row) || 0)) : 0));
    this.foot.replaceChildren(h("tr", null, h("th", { scope: "row", colspan: 4 }, "whole net"),
      [totals.parameters, totals.macs, totals.activation_bytes].map((value) => h("td", { class: "n", title: exact(value || 0) }, short(value || 0))), h("td")));
    this.draw();
  }

  /** Up, down, and back to the file's order; numbers begin with the largest. */
  sortBy(index) {
    const ways = COLUMNS[index].number ? ["none", "descending", "ascending"] : ["none", "ascending", "descending"];
    const now = this.sorted.column === index ? this.sorted.way : "none";
    this.sorted = { column: index, way: ways[(ways.indexOf(now) + 1) % 3] };
    this.draw();
  }

  draw() {
    const { column, way } = this.sorted;
    this.heads.forEach((head, index) => {
      if (index === column && way !== "none") head.setAttribute("aria-sort", way);
      else head.removeAttribute("aria-sort");
    });
    const rows = [...this.rows];
    if (way !== "none") {
      const { of, number } = COLUMNS[column];
      const sign = way === "descending" ? -1 : 1;
      rows.sort((a, b) => sign * (number ? (of(a) || 0) - (of(b) || 0) : of(a).localeCompare(of(b), "en", { numeric: true })));
    }
    this.body.replaceChildren(...rows.map((row) => this.row(row)));
  }

  row(row) {
    const name = h("button", { type: "button", class: "name", onclick: () => this.goTo(row.line) }, visible(row.name));
    return h("tr", null, h("th", { scope: "row" }, name), COLUMNS.slice(1).map((column, index) => {
      const value = column.of(row);
      const shown = column.shown ? column.shown(row) : column.cost ? (value ? short(value) : "") : value;
      const cell = h("td", { class: column.number ? "n" : column.words === "shape" ? "shape" : null, title: column.cost && value ? exact(value) : null }, shown);
      if (column.cost && value) {
        cell.classList.add("bar");
        cell.style.setProperty("--share", `${(100 * value) / this.most[index + 1]}%`);
      }
      return cell;
    }));
  }
}

