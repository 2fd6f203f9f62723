// What a person sees while Python loads, and where it does not.

import { $, visible } from "./dom.js";

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

export class Loading {
  progress({ loaded, total, what }) {
    $("#loading").hidden = false;
    const bar = $("#progress");
    if (total) {
      bar.max = total;
      bar.value = Math.min(loaded, total);
    } else bar.removeAttribute("value");
    const amount = total ? `${megabytes(loaded)} of ${megabytes(total)}` : megabytes(loaded || 0);
    $("#loading-words").textContent = `loading ${visible(what || "Python")}: ${amount}`;
  }

  ready({ version, bytes, seconds }) {
    $("#loading").hidden = true;
    $("#loaded").textContent = `netcompile ${version}, ${megabytes(bytes)} loaded in ${seconds.toFixed(1)} s. The net never leaves this browser.`;
    document.body.dataset.ready = "true";
  }

  /** Python takes long, or no longer. */
  slow(seconds) {
    $("#busy").hidden = !seconds;
    $("#busy p").textContent = seconds ? `Python has worked for ${seconds} seconds. The text can be edited meanwhile.` : "";
  }

  /** The worker has ended: nothing works until the page is loaded again. */
  failure(text) {
    $("#loading").hidden = true;
    this.refused(`The compiler could not be loaded, or it ended: ${text}\nThe text in the editor is kept.`);
  }

  /** The worker answers, and cannot do what was asked; no text takes the message away. */
  refused(text) {
    $("#failure").hidden = !text;
    const words = $("#failure p");
    if (words.textContent !== visible(text)) words.textContent = visible(text);
  }
}
