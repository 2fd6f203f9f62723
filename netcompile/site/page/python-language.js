// Highlighting of the modules that the compiler writes: as much of Python as they have.

import { StreamLanguage } from "@codemirror/language";
import { tags } from "@lezer/highlight";

const KEYWORD = new Set(("and as assert async await break class continue def del elif else except finally for from global"
  + " if import in is lambda nonlocal not or pass raise return try while with yield").split(" "));
const ATOM = new Set(["None", "True", "False", "NotImplemented", "Ellipsis"]);
const STRING = /^[rRbBuUfF]{0,2}("""|'''|"|')/;

const tokens = {
  name: "python",
  startState: () => ({ quote: "", defines: false }),
  copyState: (state) => ({ ...state }),
  token(stream, state) {
    if (state.quote) return inString(stream, state);
    if (stream.eatSpace()) return null;
    if (stream.match(/^#.*/)) return "comment";
    const opening = stream.match(STRING);
    if (opening) {
      state.quote = opening[1];
      return inString(stream, state);
    }
    if (stream.match(/^(0[xX][\da-fA-F_]+|\d[\d_]*\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?)/)) return "number";
    if (stream.match(/^[^\W\d]\w*/)) return word(stream, state);
    if (stream.match(/^@[\w.]+/)) return "atom";
    stream.next();
    return null;
  },
  languageData: { commentTokens: { line: "#" } },
};

function word(stream, state) {
  const text = stream.current();
  if (state.defines) {
    state.defines = false;
    return "defined";
  }
  state.defines = text === "def" || text === "class";
  return KEYWORD.has(text) ? "keyword" : ATOM.has(text) || text === "self" ? "atom" : null;
}

function inString(stream, state) {
  const long = state.quote.length === 3;
  while (!stream.eol()) {
    if (stream.match(state.quote)) {
      state.quote = "";
      return "string";
    }
    if (stream.next() === "\\") stream.next();
  }
  if (!long) state.quote = "";
  return "string";
}

tokens.tokenTable = {
  keyword: tags.keyword, atom: tags.atom, defined: tags.definition(tags.variableName),
  string: tags.string, comment: tags.comment, number: tags.number,
};

export const python = StreamLanguage.define(tokens);
