// Elements: made from names and text, never from markup, so that a layer's name cannot become any.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element with its attributes and children; `on…` attributes are listeners, null and false leave things out. */
export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

/** Call `action` once it has not been asked for during `milliseconds`. */
export function whenQuiet(milliseconds, action) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}

/** Say something to everybody: shown in the page's status line, read out by screen readers. */
export function say(text) {
  const line = $("#said");
  line.textContent = "";
  line.textContent = text;
}

// The characters that netcompile/diagnostics/visible.py escapes: what is not printable, and letters and marks that show nothing.
const HIDDEN = /(?![\t\n ])[\p{C}\p{Z}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\u{e0100}-\u{e01ef}]/gu;

/** Characters that do not show, or that turn a line around, as escapes: a name from a file stays what it is. */
export const visible = (text) => String(text).replace(HIDDEN, (sign) => {
  const number = sign.codePointAt(0);
  const [letter, digits] = number < 0x100 ? ["x", 2] : number < 0x10000 ? ["u", 4] : ["U", 8];
  return sign === "\r" ? "\\r" : `\\${letter}${number.toString(16).padStart(digits, "0")}`;
});
