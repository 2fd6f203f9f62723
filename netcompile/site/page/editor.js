// The editor of the prototxt: underlined findings with their fixes, a layer's numbers on hover, completions.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, foldGutter, foldKeymap, foldService, indentOnInput, indentUnit } from "@codemirror/language";
import { forEachDiagnostic, linter, lintGutter, nextDiagnostic, previousDiagnostic, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  drawSelection, dropCursor, EditorView, highlightActiveLineGutter, highlightSpecialChars, hoverTooltip, keymap, lineNumbers,
} from "@codemirror/view";
import { h, visible } from "./dom.js";
import { findingText, severities } from "./findings.js";
import { linkedLines, markLines } from "./linked.js";
import { colours, prototxt } from "./prototxt-language.js";
import { theme } from "./theme.js";

const putLayers = StateEffect.define();

const layersField = StateField.define({
  create: () => [],
  update(layers, transaction) {
    for (const effect of transaction.effects) if (effect.is(putLayers)) return effect.value;
    if (!transaction.docChanged) return layers;
    const { changes } = transaction;
    return layers.map((layer) => ({ ...layer, from: changes.mapPos(layer.from, 1), to: changes.mapPos(layer.to, -1) }));
  },
});

const innermost = (state, position) => state.field(layersField).findLast(({ from, to }) => from <= position && position <= to);

/** The facts of a layer, a pair of words each. */
export function layerFacts(layer) {
  const shapes = layer.shapes.join(", ");
  const exact = (layer.exact || []).join(", ");
  const facts = [["shape", shapes], ["for H×W", exact === shapes ? "" : exact], ["stride", layer.stride], ["offset", layer.offset],
    ["receptive field", layer.receptive_field], ["cost", layer.note]];
  return facts.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([word, value]) => [word, visible(value)]);
}

const hover = hoverTooltip((view, position) => {
  const layer = innermost(view.state, position);
  let found = false; // a finding has a word of its own to say
  forEachDiagnostic(view.state, (_finding, from, to) => { found ||= from <= position && position <= to; });
  if (!layer || found) return null;
  const dom = () => ({
    dom: h("div", { class: "cm-facts" }, h("b", null, visible(layer.name)), ` ${visible(layer.type)}`,
      h("dl", null, layerFacts(layer).map(([word, value]) => [h("dt", null, word), h("dd", null, value)]))),
  });
  return { pos: position, above: true, create: dom };
}, { hideOnChange: true, hoverTime: 250 });

/** Messages of several lines fold, by their braces' indentation. */
const folding = foldService.of((state, from, to) => {
  const text = state.doc.sliceString(from, to);
  if (!/[{<]\s*(#.*)?$/.test(text)) return null;
  const depth = /^\s*/.exec(text)[0].length;
  for (let number = state.doc.lineAt(from).number + 1; number <= state.doc.lines; number += 1) {
    const line = state.doc.line(number);
    const inner = /^\s*/.exec(line.text)[0].length;
    if (line.text.trim() && inner <= depth) return /^\s*[}>]/.test(line.text) ? { from: to, to: line.from + inner } : null;
  }
  return null;
});

/** Carriage returns of files from Windows stay in the text and take no room on the screen. */
const carriageReturns = (_code, description, placeholder) =>
  description === "carriage return" ? h("span", { "aria-hidden": "true" }) : h("span", { class: "cm-specialChar", title: description, "aria-label": description }, placeholder);

/** The part of the text that a finding is about, a character at the least. */
function placeOf(doc, finding) {
  const from = Math.min(finding.from, doc.length);
  const to = Math.min(finding.to, doc.length);
  return to > from ? { from, to } : { from: Math.max(0, Math.min(from, doc.length - 1)), to: Math.min(from + 1, doc.length) };
}

export class Editor {
  /** `on` has `changed()`, `moved(layer, line)`, `fix(finding)`, and `complete(text, position)`, which is awaited. */
  constructor(home, on) {
    this.on = on;
    const shadow = home.attachShadow({ mode: "open" }); // where the editor's styles go in as objects, not as markup
    this.view = new EditorView({ parent: shadow, root: shadow, state: this.stateOf("") });
  }

  stateOf(text) {
    return EditorState.create({ doc: text, extensions: [
      text.includes("\r") ? EditorState.lineSeparator.of("\n") : [],
      lineNumbers(), lintGutter(), foldGutter(), highlightActiveLineGutter(), drawSelection(), dropCursor(),
      highlightSpecialChars({ render: carriageReturns }),
      history(), indentOnInput(), indentUnit.of("  "), bracketMatching(), closeBrackets(), highlightSelectionMatches(), search({ top: true }),
      prototxt, colours, theme, folding, layersField, hover, linter(null),
      linkedLines((line, at) => this.on.moved(innermost(this.view.state, at), line)),
      autocompletion({ override: [(context) => this.completions(context)], icons: false }),
      EditorView.updateListener.of((update) => update.docChanged && this.on.changed()),
      EditorView.contentAttributes.of({ tabindex: "0", "aria-label": "prototxt", spellcheck: "false" }),
      keymap.of([
        { key: "F8", run: nextDiagnostic }, { key: "Shift-F8", run: previousDiagnostic },
        ...closeBracketsKeymap, ...completionKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...defaultKeymap,
      ]),
    ] });
  }

  get text() {
    return this.view.state.sliceDoc();
  }

  /** Another file: nothing of the one before is left, its steps to undo neither. */
  open(text) {
    this.view.setState(this.stateOf(text));
    this.view.scrollDOM.scrollTop = 0;
  }

  show(findings, layers) {
    const { state } = this.view;
    const diagnostics = findings.filter((finding) => finding.from !== null).map((finding) => ({
      ...placeOf(state.doc, finding),
      severity: severities[finding.severity] || "error",
      message: finding.what,
      renderMessage: () => h("div", { class: "cm-finding" }, findingText(finding)),
      actions: finding.fix ? [{ name: "Fix", apply: () => this.on.fix(finding) }] : [],
    }));
    this.view.dispatch(setDiagnostics(state, diagnostics.sort((a, b) => a.from - b.from)));
    this.view.dispatch({ effects: putLayers.of(layers.filter(({ from }) => from !== null).sort((a, b) => a.from - b.from)) });
  }

  /** Changes of one step, which can be undone in one. */
  change(edits) {
    this.view.dispatch({ changes: edits, userEvent: "input.fix", scrollIntoView: true });
  }

  /** Select what a finding is about, and put the cursor there. */
  goTo(finding) {
    if (finding.from === null) return;
    const { from, to } = placeOf(this.view.state.doc, finding);
    this.select(from, to);
  }

  select(from, to) {
    this.view.dispatch({ selection: { anchor: from, head: to }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    this.view.focus();
  }

  goToLine(number) {
    const { doc } = this.view.state;
    const { from } = doc.line(Math.min(Math.max(number, 1), doc.lines));
    this.select(from, from);
  }

  /** The first layer that has a part in a line. */
  layerOfLine(number) {
    const { doc } = this.view.state;
    if (number < 1 || number > doc.lines) return undefined;
    const line = doc.line(number);
    return this.view.state.field(layersField).find(({ from, to }) => from <= line.to && line.from <= to);
  }

  linesOf(layer) {
    const { doc } = this.view.state;
    const first = doc.lineAt(Math.min(layer.from, doc.length)).number;
    const last = doc.lineAt(Math.min(layer.to, doc.length)).number;
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  }

  mark(lines, scroll) {
    markLines(this.view, lines, scroll);
  }

  async completions(context) {
    if (!context.explicit && !context.matchBefore(/[\w"'] ?$|: $/)) return null;
    const found = await this.on.complete(context.state.sliceDoc(), context.pos);
    if (!found || context.aborted || !found.items.length) return null;
    const quoted = /["']/.test(context.state.sliceDoc(found.from, found.from + 1)); // labels have no quotes to match
    return { from: found.from + quoted, validFor: /^[\w./-]*$/, options: found.items.map((item) => completion(item, quoted)) };
  }
}

/** How CodeMirror takes a completion: messages are indented as their line is, the cursor goes where a value is due. */
function completion({ label, kind, detail, default: preset, insert }, quoted) {
  const ownDefault = kind === "value" ? (preset === label ? "default" : "") : preset && `default ${preset}`;
  const apply = (view, _completion, from, to) => {
    const indent = /^\s*/.exec(view.state.doc.lineAt(from).text)[0];
    const text = (insert || label).slice(quoted ? 1 : 0).replaceAll("\n", `\n${indent}`);
    const end = /\n\s*\}$/.exec(text) || (kind === "field" && /"$/.exec(text));
    view.dispatch({ changes: { from, to, insert: text }, selection: { anchor: from + (end ? end.index : text.length) }, userEvent: "input.complete" });
  };
  return { label, type: kind, detail: [detail, ownDefault].filter(Boolean).join(", "), apply };
}
