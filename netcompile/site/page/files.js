// Files in and out: the dialog, files that are dropped on the page, texts that are copied or saved.

import { say } from "./dom.js";

export const LARGEST_FILE = 5000000; // bytes: the largest net of the tests has a tenth of that

/** A file's bytes as characters, a byte each, for the compiler to read as it reads files. An Error for the user where it is too large. */
export async function readBytes(file) {
  if (file.size > LARGEST_FILE) {
    throw new Error(`${file.name} has ${file.size.toLocaleString("en")} bytes: the page opens prototxts of up to ${LARGEST_FILE.toLocaleString("en")}.`);
  }
  const bytes = new Uint8Array(await file.arrayBuffer().catch(() => {
    throw new Error(`${file.name} could not be read: it is a folder, or it was changed or removed.`);
  }));
  const parts = [];
  for (let at = 0; at < bytes.length; at += 8192) parts.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
  return parts.join("");
}

/** Files dropped anywhere on the page; `shade` is shown while one is over it. */
export function dropZone(shade, opened) {
  let depth = 0;
  const holdsFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  const over = (change) => {
    depth = Math.max(0, depth + change);
    shade.hidden = depth === 0;
  };
  const listen = (kind, action) => window.addEventListener(kind, (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.stopPropagation(); // the editor would put the file's text where it was dropped
    action(event);
  }, { capture: true });
  listen("dragenter", () => over(1));
  listen("dragleave", () => over(-1));
  listen("dragover", (event) => { event.dataTransfer.dropEffect = "copy"; });
  listen("drop", (event) => {
    depth = 0;
    over(0);
    for (const file of event.dataTransfer.files) opened(file);
  });
}

export async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    say(`The browser did not let the page copy ${what}.`);
  }
}

/** Save a text under a name; nothing leaves the browser. Bytes that were no UTF-8, which Python has as lone surrogates, stay. */
export function saveText(text, name, type = "text/plain") {
  const parts = text.split(/([\udc80-\udcff]+)/u);
  saveBlob(new Blob(parts.map((part, index) => (index % 2 ? Uint8Array.from(part, (sign) => sign.charCodeAt(0) & 255) : part)), { type }), name);
}

export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

/** "voc-fcn8s/val.prototxt" is saved as "val"; a name that is none becomes "net". */
export const stem = (name) => name.split(/[\\/]/).pop().replace(/\.[^.]*$/, "").replace(/[^\w.-]+/g, "_") || "net";
