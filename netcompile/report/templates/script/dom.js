// Elements: made from names and text, never from markup, so that a layer's name cannot become any.

const SVG = "http://www.w3.org/2000/svg";
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Text that fits: the middle makes room, because layer names differ at their ends. */
function shorten(name, longest) {
  const letters = [...name];
  if (fitting(letters, longest).length === letters.length) return name;
  const head = Math.ceil((longest - 1) * 0.45);
  const tail = fitting([...letters].reverse(), longest - 1 - head).reverse();
  return `${fitting(letters, head).join("")}…${tail.join("")}`;
}

/** The first letters that have room; M, W and what stands in East Asian texts take more than others. */
function fitting(letters, room) {
  let used = 0;
  const end = letters.findIndex((letter) => (used += /[MW\u2e80-\u{3ffff}]/u.test(letter) ? 1.8 : 1) > room);
  return end < 0 ? letters : letters.slice(0, end);
}

/** Call once per frame at most. */
function perFrame(action) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      action();
    });
  };
}

/** Hatching for what is not image or not used: told by its lines, not by colour alone. */
function hatches() {
  const hatch = (id, angle) =>
    s("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${angle})` },
      s("rect", { width: 6, height: 6, class: `${id} ground` }), s("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: `${id} stroke` }));
  return s("svg", { width: 0, height: 0, class: "patterns", "aria-hidden": "true" },
    s("defs", null, hatch("hatch-pad", 45), hatch("hatch-slack", -45), hatch("hatch-bad", 45)));
}
