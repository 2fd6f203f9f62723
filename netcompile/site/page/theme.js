// How both editors look: the page's colours, so that they follow its light and dark.

import { EditorView } from "@codemirror/view";

const MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';
const underline = (colour, style) => ({
  backgroundImage: "none", textDecoration: `underline ${style} ${colour}`, textUnderlineOffset: "3px", textDecorationSkipInk: "none",
});

export const theme = EditorView.theme({
  "&": { isolation: "isolate", height: "100%", backgroundColor: "var(--card)", color: "var(--ink)", fontSize: "var(--code-size, 13px)" },
  "&.cm-focused": { outline: "none" }, // the page draws one round the host, over the gutters as well
  ".cm-scroller": { fontFamily: MONO, lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--card)", color: "var(--soft)", border: "0" },
  ".cm-activeLineGutter": { backgroundColor: "var(--head)" },
  ".cm-activeLine": { backgroundColor: "transparent" },
  ".cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": { backgroundColor: "var(--selected)" },
  ".cm-selectionMatch": { backgroundColor: "var(--dull-bg)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "transparent", outline: "1px solid var(--soft)" },
  ".cm-linked": { backgroundColor: "var(--info-bg)", boxShadow: "inset 3px 0 var(--accent)" },
  ".cm-tooltip": {
    backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "0.5rem",
    boxShadow: "0 4px 16px rgb(0 0 0 / 0.18)", maxWidth: "min(34rem, 92vw)", overflow: "hidden",
    fontFamily: "system-ui, sans-serif", fontSize: "13px",
  },
  ".cm-tooltip .cm-tooltip-section:not(:first-child)": { borderTop: "1px solid var(--line)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: MONO, maxHeight: "15em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "0.12rem 0.6rem" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--page)" },
  ".cm-completionDetail": { fontStyle: "normal", color: "var(--soft)", marginLeft: "1em" },
  "li[aria-selected] .cm-completionDetail": { color: "inherit" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-diagnostic": { padding: "0.5rem 0.8rem", borderLeft: "4px solid var(--dull)", whiteSpace: "normal", overflowWrap: "anywhere" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
  ".cm-diagnostic-warning": { borderLeftColor: "var(--warn)" },
  ".cm-diagnostic-info": { borderLeftColor: "var(--info)" },
  ".cm-diagnosticAction": {
    font: "inherit", margin: "0.35rem 0 0", padding: "0.15rem 0.7rem", color: "var(--page)", backgroundColor: "var(--accent)",
    border: "0", borderRadius: "0.35rem", cursor: "pointer",
  },
  ".cm-lintRange": { paddingBottom: "0" },
  ".cm-lintRange-error": underline("var(--bad)", "wavy"),
  ".cm-lintRange-warning": underline("var(--warn)", "wavy"),
  ".cm-lintRange-info": underline("var(--info)", "dotted"),
  ".cm-lintRange-active": { backgroundColor: "var(--head)" },
  ".cm-lintPoint:after": { borderBottomColor: "var(--bad)" },
  ".cm-gutter-lint": { width: "1.1em" },
  ".cm-lint-marker": { width: "auto", height: "auto", textAlign: "center", fontWeight: "700" },
  ".cm-lint-marker-error": { content: "normal", color: "var(--bad)" },
  ".cm-lint-marker-warning": { content: "normal", color: "var(--warn)" },
  ".cm-lint-marker-info": { content: "normal", color: "var(--info)" },
  ".cm-lint-marker-error::before": { content: '"✗"' },
  ".cm-lint-marker-warning::before": { content: '"!"' },
  ".cm-lint-marker-info::before": { content: '"i"' },
  ".cm-finding p": { margin: "0.15rem 0" },
  ".cm-finding .what": { fontWeight: "600" },
  ".cm-finding .code, .cm-facts dt": { color: "var(--soft)" },
  ".cm-facts": { padding: "0.5rem 0.8rem" },
  ".cm-facts dl": { display: "grid", gridTemplateColumns: "auto 1fr", gap: "0.1rem 0.9rem", margin: "0.3rem 0 0", fontVariantNumeric: "tabular-nums" },
  ".cm-facts dd": { margin: "0", overflowWrap: "anywhere" },
  ".cm-panels": { backgroundColor: "var(--head)", color: "var(--ink)" },
  ".cm-panels.cm-panels-top": { borderBottom: "1px solid var(--line)" },
  ".cm-panel.cm-search": { fontFamily: "system-ui, sans-serif", padding: "0.4rem 2rem 0.4rem 0.6rem" },
  ".cm-panel button, .cm-textfield": {
    backgroundImage: "none", backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "0.35rem",
  },
  ".cm-searchMatch": { backgroundColor: "var(--info-bg)" },
  ".cm-searchMatch-selected": { backgroundColor: "var(--selected)" },
});
