// The playground: an editor, a worker that analyses what is in it, and tabs of what the worker found.

import { $, h, say, visible, whenQuiet } from "./dom.js";
import { Editor, layerFacts } from "./editor.js";
import { dropZone, copyText, LARGEST_FILE, readBytes, saveText } from "./files.js";
import { allEdits, Findings } from "./findings.js";
import { decodeLink, encodeLink } from "./link.js";
import { Loading } from "./loading.js";
import { bundledNets } from "./nets.js";
import { DEFAULTS, OptionsForm } from "./options.js";
import { Panels } from "./panels.js";
import { keep, recall } from "./session.js";
import { splitter } from "./splitter.js";
import { tabs } from "./tabs.js";
import { looksLikeWeights } from "./weights.js";
import { Refused, Superseded, WorkerClient } from "./worker-client.js";

const QUIET = 90; // milliseconds without a key before the text is analysed
const FIRST = "voc-fcn8s/val.prototxt";

class Playground {
  constructor() {
    this.name = "net.prototxt";
    this.findings = [];
    this.analysed = null; // the text that the findings are about
    this.asked = null; // text, name and options, as the worker was asked about them last, as JSON
    this.opening = 0; // counts what is being opened: the last that was asked for counts, not the last that comes
    this.version = 0;
    this.unedited = null; // the text as it was opened, or saved last
    this.aside = null; // what was edited, and another file opened in its place
    this.fragment = location.hash;
    this.loading = new Loading();
    this.client = new WorkerClient(() => new Worker(new URL("worker.js", document.baseURI), { type: "module" }), {
      progress: (progress) => this.loading.progress(progress),
      ready: (ready) => {
        this.loading.ready(ready);
        for (const [name, time] of ready.marks) performance.mark(name, { startTime: Math.max(0, time - performance.timeOrigin) });
        keepForOffline(); // not before: both would wait for each other's downloads
      },
      failure: (text) => this.loading.failure(text),
      slow: (seconds) => this.loading.slow(seconds),
    });
    this.editor = new Editor($("#editor"), {
      changed: whenQuiet(QUIET, () => this.analyse()),
      moved: (layer, line) => this.moved(layer, line),
      fix: (finding) => this.fix(finding),
      complete: (text, position) => this.client.request("completions", { text, position }).catch(() => null),
    });
    this.shown = new Findings({ goTo: (finding) => this.editor.goTo(finding), fix: (finding) => this.fix(finding), fixAll: () => this.fixAll() });
    this.panels = new Panels((method, params) => this.client.request(method, params), {
      goToLine: (line) => this.goToLine(line),
      linked: (lines) => this.linked(lines),
    });
    this.options = new OptionsForm($("#options"), whenQuiet(QUIET, () => this.analyse()));
    this.tab = tabs($("#right [role=tablist]"), (tab) => this.panels.choose(tab));
    splitter($("#splitter"), $("#split"));
    this.tools();
  }

  tools() {
    dropZone($("#shade"), (file) => this.openFile(file));
    $("#open").addEventListener("click", () => $("#file").click());
    $("#file").addEventListener("change", () => {
      const [file] = $("#file").files;
      $("#file").value = "";
      if (file) this.openFile(file);
    });
    $("#save").addEventListener("click", () => {
      this.unedited = this.editor.text;
      saveText(this.editor.text, this.name.split(/[\\/]/).pop() || "net.prototxt");
    });
    $("#back").addEventListener("click", () => this.bringBack());
    $("#link").addEventListener("click", () => this.copyLink());
    $("#stop").addEventListener("click", () => this.stop());
    $("#reload").addEventListener("click", () => location.reload());
    addEventListener("hashchange", () => this.openLink(location.hash));
    addEventListener("pagehide", () => this.keep());
    this.nets = bundledNets($("#nets"), () => {
      const newest = this.newest();
      return (name, text) => newest() && this.openNew(text, name);
    });
  }

  /** What the page begins with: what it had before a reload, what its link holds, or the first bundled net. */
  async start() {
    const kept = recall(location.hash);
    if (kept) {
      this.open(kept.text, kept.name, kept.options || {});
      if (kept.edited) this.unedited = "";
    } else if (!(await this.openLink(location.hash))) await this.nets.open(FIRST, () => this.editor.text === "");
  }

  /** Call it when something begins to be opened; what it gives says whether that still is the newest. */
  newest() {
    const own = ++this.opening;
    return () => own === this.opening;
  }

  open(text, name, options) {
    this.setAside();
    this.name = name;
    this.unedited = text;
    $("#name").textContent = visible(name);
    document.title = `${visible(name)} · netcompile playground`;
    this.options.write({ ...DEFAULTS, ...options });
    this.asked = null;
    this.forget();
    this.editor.open(text);
    this.analyse();
  }

  /** A text that was edited is not lost when another is opened in its place. */
  setAside() {
    if (this.unedited === null || this.editor.text === this.unedited) return;
    this.aside = { ...this.state(), unedited: this.unedited };
    $("#back").title = `${visible(this.name)}, as edited`;
    $("#back").hidden = false;
  }

  bringBack() {
    const { text, name, options, unedited } = this.aside;
    this.aside = null;
    $("#back").hidden = true;
    this.newest();
    this.openNew(text, name, options); // which may set aside what was edited since
    this.unedited = unedited;
    say(`${visible(name)} is open, as edited.`);
  }

  /** Another net than the address may hold. */
  openNew(text, name, options = {}) {
    history.replaceState(null, "", location.pathname + location.search);
    this.fragment = "";
    this.open(text, name, options);
  }

  async openFile(file) {
    if (looksLikeWeights(file, LARGEST_FILE)) {
      this.tab("weights");
      await this.panels.besides.open(file);
      return;
    }
    const newest = this.newest();
    try {
      say(`Opening ${visible(file.name)}.`);
      const { text } = await this.client.request("read", { data: await readBytes(file), name: file.name });
      if (!newest()) return;
      this.openNew(text, file.name);
      say(`${visible(file.name)} is open.`);
    } catch (error) {
      if (!(error instanceof Superseded) && newest()) say(visible(error.message));
    }
  }

  /** Whether the address held a net. */
  async openLink(fragment) {
    this.fragment = fragment;
    if (!fragment.startsWith("#net=")) return false;
    const newest = this.newest();
    try {
      const state = await decodeLink(fragment);
      if (!state) return false;
      if (!newest()) return true;
      this.open(state.text, state.name, state.options);
      say(`${visible(state.name)} is open, from the link.`);
      return true;
    } catch (error) {
      say(error.message);
      return false;
    }
  }

  async copyLink() {
    try {
      const fragment = await encodeLink(this.state());
      history.replaceState(null, "", fragment);
      this.fragment = fragment;
      this.keep();
      await copyText(location.href, "A link that holds this net");
    } catch (error) {
      say(error.message);
    }
  }

  state() {
    return { text: this.editor.text, name: this.name, options: this.options.read() || DEFAULTS };
  }

  keep() {
    keep(this.fragment, { ...this.state(), edited: this.editor.text !== this.unedited });
  }

  /** Ask what there is to say of the text as it is now; an answer about an older one is dropped. */
  async analyse() {
    const options = this.options.read();
    if (!options) {
      this.shown.unchecked("not checked: an option is none");
      return;
    }
    const { text, name } = this.state();
    const question = JSON.stringify([text, name, options]);
    if (question === this.asked) return;
    this.asked = question;
    const begun = performance.now();
    let answer;
    try {
      answer = await this.client.request("open", { text, name, options });
    } catch (error) {
      if (error instanceof Refused) {
        this.shown.unchecked("not checked: there is no answer");
        if (!this.client.broken) this.loading.refused(error.message); // else the page has said so already
      } else if (!(error instanceof Superseded)) throw error;
      return;
    }
    if (text !== this.editor.text) { // the next question is on its way, this one again if the text becomes what it was
      if (this.asked === question) this.asked = null;
      return;
    }
    this.loading.refused("");
    $("#split").classList.remove("stale");
    this.analysed = text;
    this.findings = answer.findings;
    this.editor.show(answer.findings, answer.layers);
    this.shown.show(answer.findings);
    this.about(answer);
    this.version += 1;
    performance.mark(`findings of ${this.version}`);
    this.keep();
    await this.panels.update(this.version, name);
    document.body.dataset.took = String(Math.round(performance.now() - begun)); // for who measures
    document.body.dataset.version = String(this.version);
    performance.mark(`answers of ${this.version}`);
  }

  /** What is known is about another net: until there is an answer it is dull, and cannot be copied or saved. */
  forget() {
    $("#split").classList.add("stale");
    $("#about").textContent = "";
    this.findings = [];
    this.analysed = null;
    this.shown.unchecked("not checked yet");
    this.panels.forget();
  }

  /** End what takes too long; Python begins anew, with the net as it was if it was not the net that took so long. */
  stop() {
    const stopped = this.client.stop();
    if (this.asked && !stopped.has("open")) {
      const [text, name, options] = JSON.parse(this.asked);
      this.client.request("open", { text, name, options }).catch(() => {});
    }
    this.panels.besides.reopen();
  }

  about({ net, layers }) {
    const words = net ? [net.name, net.format && net.format !== "V2" ? `written in ${net.format}` : "", `${layers.length} layers`, net.input ? `input ${net.input}` : ""] : ["no net"];
    $("#about").textContent = words.filter(Boolean).map(visible).join(", ");
  }

  fix(finding) {
    this.apply(finding.fix.edits, `Done: ${visible(finding.fix.title)}`);
  }

  fixAll() {
    this.apply(allEdits(this.findings), "Done: all fixes");
  }

  apply(edits, words) {
    if (this.analysed !== this.editor.text) {
      say("The text has changed since: the findings follow in a moment.");
      return;
    }
    this.editor.change(edits);
    say(`${words}. ${/Mac/.test(navigator.platform) ? "⌘" : "Ctrl"}+Z takes it back.`);
    this.analyse();
  }

  /** The cursor is in another line: its layer is named, and marked in both texts. */
  moved(layer, line) {
    $("#here").replaceChildren(...(layer ? [h("b", null, visible(layer.name)), ` ${visible(layer.type)}`,
      ...layerFacts(layer).map(([word, value]) => `, ${word} ${value}`)] : [`line ${line}`]));
    if (layer) this.link(layer, "editor");
  }

  linked(lines) {
    const layer = lines.map((line) => this.editor.layerOfLine(line)).find(Boolean);
    if (layer) this.link(layer, "module");
  }

  link(layer, from) {
    const lines = this.editor.linesOf(layer);
    this.editor.mark(lines, from !== "editor");
    this.panels.markModule(lines, from !== "module");
  }

  goToLine(line) {
    this.editor.goToLine(line);
    const layer = this.editor.layerOfLine(line);
    if (layer) this.link(layer, "table");
  }
}

function keepForOffline() {
  if ("serviceWorker" in navigator && isSecureContext) navigator.serviceWorker.register("sw.js").catch(() => {}); // offline is a bonus
}

performance.mark("the page's script begins");
const playground = new Playground();
playground.start();
