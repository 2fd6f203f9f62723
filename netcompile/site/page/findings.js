// Findings about a net: their words, the short list under the editor, and the cards of the tab "Check".

import { $, h, plural, say, visible } from "./dom.js";

/** What CodeMirror calls our severities. */
export const severities = { error: "error", warning: "warning", note: "info" };
const SIGNS = { error: "✗", warning: "!", note: "i" }; // beside the colour, for those who do not see it
const ORDER = ["error", "warning", "note"];

/** What, why and remedy, as the command line tells them. */
export function findingText(finding) {
  return [
    h("p", { class: "what" }, visible(finding.what), " ", h("span", { class: "code" }, finding.code)),
    finding.why ? h("p", null, `why: ${visible(finding.why)}`) : null,
    finding.remedy ? h("p", null, `fix: ${visible(finding.remedy)}`) : null,
  ];
}

/** "1 error, 2 notes" */
export function summary(findings) {
  const counts = ORDER.map((severity) => [findings.filter((one) => one.severity === severity).length, severity]);
  return counts.filter(([count]) => count).map(([count, word]) => plural(count, word)).join(", ") || "no findings";
}

/** The edits of all fixes that do not touch one another, in the text's order. */
export function allEdits(findings) {
  const edits = [];
  const seen = new Set();
  for (const { fix } of findings) {
    const own = fix ? fix.edits : [];
    const key = JSON.stringify(own);
    if (!own.length || seen.has(key)) continue;
    seen.add(key);
    if (own.every((edit) => edits.every((other) => edit.to < other.from || other.to < edit.from))) edits.push(...own);
  }
  return edits.sort((a, b) => a.from - b.from);
}

export class Findings {
  /** `on` has `goTo(finding)`, `fix(finding)` and `fixAll()`. */
  constructor(on) {
    this.on = on;
    this.list = $("#findings");
    this.count = $("#finding-count");
    this.cards = $("#cards");
    for (const button of [$("#fix-all"), $("#fix-all-cards")]) button.addEventListener("click", () => on.fixAll());
  }

  /** Words in place of the count, where what is shown is not about the text as it is. */
  unchecked(words) {
    this.count.textContent = words;
  }

  /** The worst first, else in the file's order. */
  show(found) {
    const findings = ORDER.flatMap((severity) => found.filter((finding) => finding.severity === severity));
    const words = summary(findings);
    if (this.count.textContent !== words) this.count.textContent = words; // read out where it has changed
    const fixable = findings.filter((finding) => finding.fix).length;
    for (const button of [$("#fix-all"), $("#fix-all-cards")]) {
      button.hidden = !fixable;
      button.textContent = fixable > 1 ? `Fix all ${fixable}` : "Fix";
    }
    keepingFocus(this.list, () => this.list.replaceChildren(...findings.map((finding) => this.line(finding))));
    keepingFocus(this.cards, () => this.cards.replaceChildren(...findings.map((finding) => this.card(finding))));
    $("#no-findings").hidden = findings.length > 0;
  }

  line(finding) {
    return h("li", { class: finding.severity },
      h("button", { type: "button", class: "place", onclick: () => this.on.goTo(finding) },
        sign(finding), h("span", { class: "line" }, finding.line ? `${finding.line}` : "–"), h("span", { class: "words" }, visible(finding.what))),
      this.fixButton(finding, "Fix"));
  }

  card(finding) {
    return h("li", { class: finding.severity },
      h("p", { class: "where" }, sign(finding), finding.severity, finding.line ? h("button", { type: "button", onclick: () => this.on.goTo(finding) },
        `line ${finding.line}, column ${finding.column}`) : null),
      findingText(finding),
      this.fixButton(finding, finding.fix ? visible(finding.fix.title) : ""));
  }

  fixButton(finding, words) {
    if (!finding.fix) return null;
    const label = `${visible(finding.fix.title)}, line ${finding.line}`;
    return h("button", { type: "button", class: "fix", "aria-label": words === "Fix" ? `Fix: ${label}` : `${words}, line ${finding.line}`, onclick: () => this.on.fix(finding) }, words);
  }
}

const sign = (finding) => h("span", { class: "sign", role: "img", "aria-label": finding.severity }, SIGNS[finding.severity] || "?");

/** A list that is made anew leaves the focus on the button of the same number, or the last one that there is. */
function keepingFocus(list, change) {
  const buttons = () => [...list.querySelectorAll("button")];
  const at = buttons().indexOf(document.activeElement);
  change();
  if (at < 0) return;
  const now = buttons();
  if (now.length) now[Math.min(at, now.length - 1)].focus();
  else say("No findings are left.");
}
