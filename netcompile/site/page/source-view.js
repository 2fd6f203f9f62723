// A text that is shown and not changed: highlighted, found in, walked through with the keyboard.

import { defaultKeymap } from "@codemirror/commands";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { linkedLines, markLines } from "./linked.js";
import { colours } from "./prototxt-language.js";
import { theme } from "./theme.js";

export class SourceView {
  /** `moved(line)` is called when a person moves the cursor. */
  constructor(home, language, label, moved = () => {}) {
    const shadow = home.attachShadow({ mode: "open" });
    this.view = new EditorView({ parent: shadow, root: shadow, state: EditorState.create({ extensions: [
      lineNumbers(), highlightActiveLineGutter(), drawSelection(), highlightSelectionMatches(), search({ top: true }),
      language, colours, theme, EditorState.readOnly.of(true), linkedLines(moved),
      EditorView.contentAttributes.of({ tabindex: "0", "aria-label": label, "aria-readonly": "true", inputmode: "none", spellcheck: "false" }),
      keymap.of([...searchKeymap, ...defaultKeymap]),
    ] }) });
  }

  get text() {
    return this.view.state.sliceDoc();
  }

  /** Another text, of which only what differs is put in: the place that is in view stays. */
  show(text) {
    const { state } = this.view;
    const old = state.sliceDoc();
    if (old === text) return;
    let from = 0;
    const shorter = Math.min(old.length, text.length);
    while (from < shorter && old[from] === text[from]) from += 1;
    let tail = 0;
    while (tail < shorter - from && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail += 1;
    this.view.dispatch({ changes: { from, to: old.length - tail, insert: text.slice(from, text.length - tail) } });
  }

  mark(lines, scroll) {
    markLines(this.view, lines, scroll);
  }
}
