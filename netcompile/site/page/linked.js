// Lines that belong together, marked in two editors: a layer's lines in the prototxt, and those of the module.

import { StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView } from "@codemirror/view";

const mark = StateEffect.define();
const line = Decoration.line({ class: "cm-linked" });

const marks = StateField.define({
  create: () => Decoration.none,
  update(shown, transaction) {
    let now = shown.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(mark)) now = Decoration.set(starts(transaction.state.doc, effect.value).map((from) => line.range(from)));
    }
    return now;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** Where the lines begin, in order, without those that the text does not have. */
function starts(doc, lines) {
  const known = [...new Set(lines)].filter((number) => number >= 1 && number <= doc.lines);
  return known.sort((a, b) => a - b).map((number) => doc.line(number).from);
}

/** Marks for an editor, and what is called when a person moves its cursor: `moved(line, position)`. */
export function linkedLines(moved) {
  return [marks, EditorView.updateListener.of((update) => {
    if (!update.selectionSet || !update.transactions.some((transaction) => transaction.isUserEvent("select"))) return;
    const { head } = update.state.selection.main;
    moved(update.state.doc.lineAt(head).number, head);
  })];
}

/** Mark lines, and bring the first of them into view where `scroll` is true. */
export function markLines(view, lines, scroll) {
  const effects = [mark.of(lines)];
  const first = starts(view.state.doc, lines)[0];
  if (scroll && first !== undefined) effects.push(EditorView.scrollIntoView(first, { y: "start", yMargin: 60 }));
  view.dispatch({ effects });
}
