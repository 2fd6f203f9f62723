// What the tabs show of the net that is open: each asks the worker when it is in view, and not before.

import { $, $$, h, say, visible } from "./dom.js";
import { copyText, saveText, stem } from "./files.js";
import { CostTable } from "./cost-table.js";
import { prototxt } from "./prototxt-language.js";
import { python } from "./python-language.js";
import { ReportFrame } from "./report-frame.js";
import { SourceView } from "./source-view.js";
import { Weights } from "./weights.js";
import { Refused, Superseded } from "./worker-client.js";

export class Panels {
  /** `ask(method, params)` asks the worker about the net that is open; `on` has `goToLine(line)` and `linked(lines)`. */
  constructor(ask, on) {
    this.ask = ask;
    this.on = on;
    this.shown = "offsets";
    this.version = 0; // of the net that is open; 0: none yet
    this.drawn = {}; // which version each tab shows
    this.name = "net.prototxt";
    this.pairs = [];
    this.texts = {};
    this.module = new SourceView($("#module"), python, "PyTorch module", (line) => this.moduleMoved(line));
    this.upgraded = new SourceView($("#v2"), prototxt, "prototxt of format V2");
    this.costs = new CostTable($("#cost-table"), (line) => this.on.goToLine(line));
    this.frame = new ReportFrame($("#frame"), { wanted: (line) => this.on.goToLine(line), chosen: (line) => this.on.linked([line]) });
    this.besides = new Weights($("#panel-weights"), ask, (line) => this.on.goToLine(line));
    $("#derivation").addEventListener("toggle", () => {
      this.drawn.offsets = 0;
      this.refresh();
    });
    $("#source-options").addEventListener("input", () => {
      this.drawn.pytorch = 0;
      this.refresh();
    });
    for (const button of $$("[data-copy]")) button.addEventListener("click", () => copyText(this.texts[button.dataset.copy] || "", button.dataset.what));
    for (const button of $$("[data-save]")) button.addEventListener("click", () => this.save(button.dataset.save));
    this.buttons();
  }

  /** Another analysis of the net: what is in view is asked for anew. */
  update(version, name) {
    this.version = version;
    this.name = name;
    return this.refresh();
  }

  /** Another net is open, of which nothing is known yet. */
  forget() {
    this.version = 0;
    this.texts = {};
    this.frame.forget();
    this.buttons();
  }

  choose(tab) {
    this.shown = tab;
    this.refresh();
  }

  /** Ask for what the tab in view shows, unless it shows it already. */
  async refresh() {
    const { shown, version } = this;
    const kind = ["alignment", "graph", "layers"].includes(shown) ? "report" : shown;
    if (!version || (this.drawn[kind] === version && (kind !== "report" || this.part === shown))) return;
    this.drawn[kind] = version;
    if (kind === "report") this.part = shown;
    const panel = $(`[role=tabpanel][data-kind=${kind}]`);
    panel.setAttribute("aria-busy", "true");
    try {
      await this[kind](() => this.version === version && (kind !== "report" || this.part === shown));
      if (kind !== "weights") this.refused(panel, "");
    } catch (error) {
      if (error instanceof Superseded) return;
      if (!(error instanceof Refused)) throw error;
      if (this.version === version) this.refused(panel, error.message);
    }
    if (this.version === version) panel.removeAttribute("aria-busy");
    this.buttons();
  }

  /** Why a panel shows nothing. */
  refused(panel, text) {
    const place = $(".refused", panel);
    place.hidden = !text;
    $("pre", place).textContent = visible(text);
    for (const content of $$(":scope > .content", panel)) content.hidden = Boolean(text);
    if (text) for (const button of $$("[data-save]", panel)) delete this.texts[button.dataset.save];
  }

  buttons() {
    for (const button of $$("[data-copy], [data-save]")) button.disabled = this.texts[button.dataset.copy || button.dataset.save] === undefined;
  }

  async offsets(current) {
    const { text, json } = await this.ask("offsets");
    if (!current()) return;
    Object.assign(this.texts, { offsets: text, json });
    $("#offsets-text").textContent = text;
    await this.explanation(current);
  }

  /** The derivations, where somebody wants to see them. */
  async explanation(current) {
    if (!$("#derivation").open) return;
    const { text } = await this.ask("explanation");
    if (!current()) return;
    this.texts.explained = text;
    $("#explained-text").textContent = text;
  }

  /** The part of the report that the tab in view is about; the whole is made when it is saved. */
  async report(current) {
    const { part } = this;
    const { html } = await this.ask("report_part", { part });
    if (!current()) return;
    this.texts.report = null;
    await this.frame.show(html, part);
  }

  /** Whether there is a whole report to save. */
  async wholeReport() {
    try {
      this.texts.report = (await this.ask("report")).html;
      return true;
    } catch (error) {
      if (error instanceof Refused) say(visible(error.message));
      else if (!(error instanceof Superseded)) throw error;
      return false;
    }
  }

  async cost(current) {
    const { text, rows, totals } = await this.ask("cost");
    if (!current()) return;
    this.texts.cost = text;
    this.costs.show(rows, totals);
  }

  async check(current) {
    const { text } = await this.ask("check");
    if (!current()) return;
    this.texts.check = text;
    $("#check-text").textContent = text;
  }

  async pytorch(current) {
    const form = $("#source-options").elements;
    const level = Number(form.namedItem("level").value);
    const { text, lines } = await this.ask("source", { level, style: form.namedItem("style").value || null });
    if (!current()) return;
    this.texts.module = text;
    this.pairs = lines;
    this.module.show(text);
  }

  async upgrade(current) {
    const { text } = await this.ask("upgraded");
    if (!current()) return;
    this.texts.upgraded = text;
    this.upgraded.show(text);
  }

  /** The file of weights is matched with the net as it is now. */
  weights() {
    return this.besides.fit();
  }

  async save(which) {
    if (which === "report" && !(await this.wholeReport())) return;
    const base = stem(this.name);
    const [name, type] = {
      offsets: [`${base}.offsets.txt`], json: [`${base}.offsets.json`, "application/json"], explained: [`${base}.derivation.txt`],
      report: [`${base}.report.html`, "text/html"], cost: [`${base}.layers.txt`], check: [`${base}.check.txt`],
      module: [`${base.replace(/\W/g, "_")}.py`, "text/x-python"], upgraded: [`${base}.v2.prototxt`],
    }[which];
    saveText(this.texts[which], name, type);
    say(`${name} saved.`);
  }

  /** The layer that the prototxt's cursor is in: its lines of the module, marked and brought into view. */
  markModule(lines, scroll) {
    const wanted = new Set(lines);
    this.module.mark(this.pairs.filter(([, line]) => wanted.has(line)).map(([line]) => line), scroll && this.shown === "pytorch");
  }

  moduleMoved(line) {
    const lines = this.pairs.filter(([own]) => own === line).map(([, other]) => other);
    if (lines.length) this.on.linked(lines);
  }
}
