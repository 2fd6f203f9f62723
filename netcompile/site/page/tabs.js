// Tabs as keyboards and screen readers expect them: one stop of the Tab key, arrows between them.

import { $$ } from "./dom.js";

/** `chosen(name)` is called with what a tab's `data-tab` says; the answer chooses a tab by its name. */
export function tabs(list, chosen) {
  const all = $$("[role=tab]", list);
  const choose = (tab) => {
    for (const other of all) {
      const own = other === tab;
      other.setAttribute("aria-selected", String(own));
      other.tabIndex = own ? 0 : -1;
      if (!own) panel(other).hidden = true;
    }
    const shown = panel(tab); // after the others: several tabs may share a panel
    shown.hidden = false;
    shown.setAttribute("aria-labelledby", tab.id);
    tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    chosen(tab.dataset.tab);
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const now = all.indexOf(document.activeElement);
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (now < 0 || next === undefined) return;
    event.preventDefault();
    const tab = all[(next + all.length) % all.length];
    tab.focus();
    choose(tab);
  });
  return (name) => choose(all.find((tab) => tab.dataset.tab === name) || all[0]);
}

const panel = (tab) => document.getElementById(tab.getAttribute("aria-controls"));
