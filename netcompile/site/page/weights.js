// The tab of weights: a file that lies beside the net, how it fits, what its numbers are like, and what it becomes.

import { $, h, plural, say, visible } from "./dom.js";
import { saveBlob } from "./files.js";
import { histogram, pictures } from "./weights-pictures.js";
import { Refused, Superseded } from "./worker-client.js";

const NAMES = /\.(caffemodel|h5|hdf5|binaryproto|solverstate|safetensors|pth|pt|onnx|npy|npz)$/i;
const STATES = {
  matched: "fits", shared: "shared", kept: "kept", unused: "not used", missing: "missing", misshapen: "other shape",
};
const COLUMNS = ["blob", "in the net", "in the file", "match", "histogram", "least", "most", "mean", "deviation", "zeros"];

/** Whether a file that was dropped is one of weights rather than a net: by its name, or because no net is so large. */
export const looksLikeWeights = (file, largest) => (NAMES.test(file.name) && !/\.pt$/i.test(file.name))
  || (file.size > largest && !/\.(prototxt|pbtxt|txt)$/i.test(file.name));

/** What a blob is called: conv1.0; a mean has no index. */
const title = ({ layer, index }) => (index === "" ? layer : `${layer}.${index}`);

/** A number in few digits. */
const digits = (number) => (number === null ? "–" : Number(number.toPrecision(3)).toString());

export class Weights {
  /** `ask(method, params)` asks the worker that runs Python; `goToLine(line)` shows a line of the prototxt. */
  constructor(panel, ask, goToLine) {
    this.panel = panel;
    this.ask = ask;
    this.goToLine = goToLine;
    this.file = null;
    this.numbers = null; // the file that has the numbers: the same one, or what was unpacked of it
    this.held = null; // what is in the file
    this.found = []; // for each of its blobs, what its numbers are like
    this.turn = 0;
    this.done = false; // whether all numbers are counted
    this.chosen = null;
    this.place = $("#weights");
    this.form = $("#weights-options");
    this.counter = null;
    this.form.addEventListener("input", () => this.fit());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    $("#weights-choose").addEventListener("click", () => $("#weights-file").click());
    $("#weights-file").addEventListener("change", () => {
      const [file] = $("#weights-file").files;
      $("#weights-file").value = "";
      if (file) this.open(file);
    });
    $("#weights-save").addEventListener("click", () => this.save());
  }

  /** A file that was dropped or chosen: read, fitted to the net, and its numbers looked at. */
  async open(file) {
    this.turn += 1;
    this.file = file;
    this.held = null;
    this.found = [];
    this.chosen = null;
    this.done = false;
    this.panel.dataset.told = "";
    this.place.replaceChildren(h("p", { class: "quiet" }, `Reading ${visible(file.name)}.`));
    $("#weights-save").disabled = true;
    try {
      this.held = await this.ask("weights_open", { file });
      this.numbers = this.held.numbers ?? file;
      $("#weights-name").textContent = visible(file.name);
      this.refused("");
      await this.fit();
      this.look();
    } catch (error) {
      if (error instanceof Superseded) return;
      if (!(error instanceof Refused)) throw error;
      this.refused(error.message);
    }
  }

  /** To another worker than the one that has read the file. */
  reopen() {
    if (this.held) this.ask("weights_open", { file: this.file }).catch(() => {}); // what goes wrong is said when it is fitted
  }

  way() {
    const value = (name) => this.form.elements.namedItem(name);
    return { alone: value("alone").checked, allow_missing: value("allow_missing").checked, level: Number(value("level").value), style: value("style").value || null };
  }

  /** How the file fits the net as it is now; called again when the net or an option changes, and when all numbers are counted. */
  async fit() {
    if (!this.held) return;
    const turn = this.turn;
    const numbers = this.done ? this.held.blobs.map(({ id }) => counts(this.found[id])) : null;
    try {
      const answer = await this.ask("weights_fit", { way: this.way(), numbers });
      if (turn !== this.turn) return;
      this.answer = answer;
      this.refused("");
      await this.draw();
      if (turn !== this.turn) return;
      this.panel.dataset.told = numbers ? "all" : "part"; // for who waits
    } catch (error) {
      if (error instanceof Superseded) return;
      if (!(error instanceof Refused)) throw error;
      $("#weights-save").disabled = true;
      this.refused(error.message);
    }
  }

  /** Count in a worker of its own, so that the net can be edited meanwhile. */
  look() {
    if (!this.counter) {
      this.counter = new Worker(new URL("weights-worker.js", document.baseURI), { type: "module" });
      this.counter.addEventListener("message", ({ data }) => this.counted(data));
    }
    this.counter.postMessage({ file: this.numbers, blobs: this.held.blobs, turn: this.turn });
  }

  counted({ turn, id, found, failed, done }) {
    if (turn !== this.turn) return;
    if (found) {
      this.found[id] = found;
      this.drawNumbers(id);
    }
    if (failed) {
      this.refused(`${this.file.name}: ${failed}`);
      $("#weights-save").disabled = true;
    }
    if (done) {
      this.done = true;
      this.fit();
    }
  }

  refused(text) {
    const place = $(".refused", this.panel);
    place.hidden = !text;
    $("pre", place).textContent = visible(text);
    this.place.hidden = Boolean(text);
  }

  // what is shown

  draw() {
    const { rows, findings, text, what, size, target, first } = this.answer;
    const mean = this.held.kind === "mean";
    $("#weights-save").disabled = size === null;
    $("#weights-save").textContent = size === null ? "Save as .safetensors" : `Save ${visible(target)}`;
    const errors = findings.filter((finding) => finding.severity === "error").length;
    const verdict = size === null ? `does not fit the net: ${plural(errors, "error")}` : `becomes ${what}`;
    this.rows = mean ? [{ layer: "mean", index: "", role: "", want: null, have: this.held.blobs[0].shape.join("×"), state: "kept", blob: 0, line: null }] : rows;
    this.lines = new Map();
    this.detail = h("section", { class: "detail", "aria-label": "the blob that is chosen" });
    this.place.replaceChildren(...[
      h("p", { class: size === null ? "verdict bad" : "verdict" }, h("b", null, visible(this.held.name)), ` (${visible(this.held.format)}) `, verdict, "."),
      text ? h("details", { open: errors > 0 || findings.length < 4 }, h("summary", null, plural(findings.length, "finding")), h("pre", { tabindex: 0 }, text)) : null,
      this.detail,
      h("table", { class: "cost weights" }, h("thead", null, h("tr", null, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", null, this.rows.map((row, number) => this.line(row, number)))),
    ].filter(Boolean));
    for (const id of this.found.keys()) this.drawNumbers(id);
    return this.choose(this.chosen === null || this.chosen >= this.rows.length ? first ?? 0 : this.chosen);
  }

  line(row, number) {
    const name = h("button", { type: "button", class: "name", onclick: () => this.choose(number, true) }, visible(title(row)));
    const state = h("td", { class: `state ${row.state}` }, row.odd?.length ? row.odd.map((code) => code.replace("weights-", "")).join(", ") : STATES[row.state]);
    if (row.odd?.length) state.classList.add("odd");
    const numbers = COLUMNS.slice(4).map(() => h("td", { class: "number" }));
    const line = h("tr", null, h("th", { scope: "row" }, name, row.role ? h("span", { class: "quiet" }, ` ${row.role}`) : null),
      h("td", null, row.want ?? ""), h("td", null, row.have ?? ""), state, numbers);
    if (row.blob !== null) this.lines.set(row.blob, [...(this.lines.get(row.blob) ?? []), { line, numbers, number }]);
    return line;
  }

  drawNumbers(id) {
    const found = this.found[id];
    for (const { numbers, number } of this.lines?.get(id) ?? []) {
      const [bins, min, max, mean, std, zeros] = numbers;
      min.textContent = digits(found.min);
      max.textContent = digits(found.max);
      mean.textContent = digits(found.mean);
      std.textContent = digits(found.std);
      zeros.textContent = found.count ? `${digits((100 * found.zeros) / found.count)}%` : "–";
      bins.replaceChildren(histogram(found, 96, 22));
      if (found.nan || found.infinite) bins.append(h("b", { class: "bad" }, ` ${found.nan.toLocaleString("en")} NaN, ${found.infinite.toLocaleString("en")} infinite`));
      if (number === this.chosen) this.choose(number);
    }
  }

  /** One blob in full: all its numbers, its histogram, and its kernels as pictures. */
  async choose(number, asked = false) {
    this.chosen = number;
    const row = this.rows[number];
    const { detail } = this;
    if (!row || row.blob === null) {
      detail.replaceChildren();
      return;
    }
    const blob = this.held.blobs[row.blob];
    const found = this.found[row.blob];
    const place = row.line ? h("button", { type: "button", onclick: () => this.goToLine(row.line) }, `line ${row.line}`) : null;
    const facts = found ? [`${plural(found.count, "number")}`, blob.dtype, `least ${digits(found.min)}`, `most ${digits(found.max)}`, `mean ${digits(found.mean)}`,
      `deviation ${digits(found.std)}`, `${plural(found.zeros, "zero")}`, `${found.nan} NaN`, `${found.infinite} infinite`] : [blob.runs ? "being counted" : "not counted: its numbers lie in too many pieces"];
    const drawn = await pictures(this.numbers, blob, this.held.kind === "mean").catch(() => null);
    if (this.chosen !== number || detail !== this.detail) return;
    detail.replaceChildren(
      h("p", null, h("b", null, visible(title(row))), ` ${row.role} ${row.have ?? ""} `, place),
      h("p", { class: "quiet" }, facts.join(", ")),
      h("div", { class: "drawn" }, found ? h("figure", null, histogram(found, 420, 120), h("figcaption", { class: "quiet" }, h("span", null, digits(found.min)), h("span", null, digits(found.max)))) : null, drawn),
    );
    if (asked) detail.scrollIntoView({ block: "nearest" });
  }

  async save() {
    const { target } = this.answer;
    try {
      await this.file.slice(0, 1).arrayBuffer(); // what is saved is read by the browser itself, later, and in silence
    } catch {
      this.refused(`${this.file.name}: the file was changed or removed after it was dropped: drop it again`);
      return;
    }
    try {
      const { blob } = await this.ask("weights_file");
      saveBlob(blob, target);
      say(`${visible(target)} saved; nothing left this browser.`);
    } catch (error) {
      if (error instanceof Superseded) return;
      if (!(error instanceof Refused)) throw error;
      this.refused(error.message);
    }
  }
}

const counts = (found) => (found ? [found.count, found.nan, found.infinite, Number(found.count === found.zeros)] : null);
