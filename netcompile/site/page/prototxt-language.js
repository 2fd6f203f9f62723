// Highlighting of prototxt: a token at a time, as protobuf's text format has them.

import { HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { tags } from "@lezer/highlight";

const NUMBER = /^[-+]?(0[xX][0-9a-fA-F]+|(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)[fF]?/;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*/;

const tokens = {
  name: "prototxt",
  startState: () => ({ quote: "", value: false }),
  copyState: (state) => ({ ...state }),
  token(stream, state) {
    if (state.quote) return inString(stream, state);
    if (stream.eatSpace()) return null;
    if (stream.match(/^#.*/)) return "comment";
    const sign = stream.peek();
    if (sign === '"' || sign === "'") {
      state.quote = stream.next();
      return inString(stream, state);
    }
    if (stream.match(NUMBER)) {
      state.value = false;
      return "number";
    }
    if (stream.match(NAME)) return word(stream, state);
    stream.next();
    if (sign === ":") state.value = true;
    else if (sign !== "[" && sign !== ",") state.value = false;
    return "{}[]<>".includes(sign) ? "bracket" : ":;,".includes(sign) ? "punctuation" : "invalid";
  },
  languageData: { commentTokens: { line: "#" }, indentOnInput: /^\s*[}\]>]$/, closeBrackets: { brackets: ["{", "[", '"', "'"] } },
  indent: (_state, after, context) => indentation(after, context),
};

/** A name is a field's, unless it stands where a value is due. */
function word(stream, state) {
  if (!state.value) return stream.match(/^\s*(\{|<)/, false) ? "message" : "field";
  state.value = false;
  return /^(true|false)$/.test(stream.current()) ? "bool" : "atom";
}

/** The rest of a string; it ends with its line, as Caffe's parser has it. */
function inString(stream, state) {
  while (!stream.eol()) {
    const sign = stream.next();
    if (sign === "\\") stream.next();
    else if (sign === state.quote) {
      state.quote = "";
      break;
    }
  }
  if (stream.eol()) state.quote = "";
  state.value = false;
  return "string";
}

/** As deep as the line before, one step deeper after an opening brace. */
function indentation(after, context) {
  const { doc } = context.state;
  let { text, from } = context.lineAt(context.pos, -1);
  if (from === context.pos && from > 0) text = doc.lineAt(from - 1).text;
  const depth = /^\s*/.exec(text)[0].length;
  const opens = /[{[<]\s*(#.*)?$/.test(text) ? context.unit : 0;
  const closes = /^\s*[}\]>]/.test(after) ? context.unit : 0;
  return Math.max(0, depth + opens - closes);
}

tokens.tokenTable = {
  message: tags.typeName, field: tags.propertyName, bool: tags.bool, atom: tags.atom,
  punctuation: tags.punctuation, bracket: tags.bracket, comment: tags.comment,
  string: tags.string, number: tags.number, invalid: tags.invalid,
};

export const prototxt = StreamLanguage.define(tokens);

/** Colours of both languages, from the page's own; they are told apart by weight as well. */
export const colours = syntaxHighlighting(HighlightStyle.define([
  { tag: tags.typeName, color: "var(--code-message)", fontWeight: "600" },
  { tag: tags.keyword, color: "var(--code-message)", fontWeight: "600" },
  { tag: tags.propertyName, color: "var(--ink)" },
  { tag: tags.string, color: "var(--code-string)" },
  { tag: tags.number, color: "var(--code-number)" },
  { tag: [tags.bool, tags.atom, tags.self], color: "var(--code-number)" },
  { tag: tags.definition(tags.variableName), color: "var(--code-message)" },
  { tag: tags.comment, color: "var(--soft)", fontStyle: "italic" },
  { tag: tags.invalid, color: "var(--bad)" },
]));
