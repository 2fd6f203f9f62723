// The nets that come with the page.

import { h, say } from "./dom.js";

/** Fill the menu from `nets/index.json`. `begun()` is called when one is chosen; what it gives, with its name and text. */
export function bundledNets(menu, begun) {
  const open = async (name, wanted = () => true) => {
    const opened = begun();
    try {
      const answer = await fetch(`nets/${name}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (wanted()) opened(name, text);
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
