// The nets that come with the page.

import { h, say } from "./dom.js";

/** Fill the menu from `nets/index.json`; `opened(name, text)` is called with the one that is chosen. */
export function bundledNets(menu, opened) {
  const open = async (name) => {
    try {
      const answer = await fetch(`nets/${name}`);
      if (!answer.ok) throw new Error(String(answer.status));
      opened(name, await answer.text());
    } catch {
      say(`${name} could not be loaded.`);
    }
  };
  menu.addEventListener("change", () => {
    if (menu.value) open(menu.value);
    menu.value = "";
  });
  const listed = fetch("nets/index.json").then((answer) => answer.json()).then((names) => {
    menu.append(...names.map((name) => h("option", { value: name }, name)));
  }).catch(() => say("The list of bundled nets could not be loaded."));
  return { open, listed };
}
