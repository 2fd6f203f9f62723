// The form of options: how the net is read, as on the command line.

import { $ } from "./dom.js";

export const DEFAULTS = { phase: "TEST", stages: [], level: 0, crop_offsets: "auto", input: null };
const SIZE = /^\s*(\d{1,6})\s*[x×*]\s*(\d{1,6})\s*$/i;
const LEVEL = /^-?\d{1,9}$/;
const WORD = /^[^\s,]+$/;

/** The match of a height and a width; null for what is none. */
function sizeOf(text) {
  const match = SIZE.exec(text);
  return match && Number(match[1]) && Number(match[2]) ? match : null;
}

export class OptionsForm {
  constructor(form, changed) {
    this.form = form;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      if (this.read()) changed();
    });
    $("#reset-options").addEventListener("click", () => {
      this.write(DEFAULTS);
      changed();
    });
  }

  field(name) {
    return this.form.elements.namedItem(name);
  }

  /** The options, or null where a field holds what it cannot; such a field says so. */
  read() {
    const size = this.field("input").value.trim();
    const match = sizeOf(size);
    const level = this.field("level").value.trim();
    this.judge("input", !size || match ? "" : "height x width, such as 500x500");
    this.judge("level", !level || LEVEL.test(level) ? "" : "a whole number");
    $("#reset-options").hidden = !this.changed();
    if (!this.form.checkValidity()) return null;
    return {
      phase: this.field("phase").value,
      stages: this.stages(),
      level: Number(level || 0),
      crop_offsets: this.field("crop_offsets").value,
      input: size ? `${Number(match[1])}x${Number(match[2])}` : null,
    };
  }

  stages() {
    return this.field("stages").value.split(/[\s,]+/).filter((word) => WORD.test(word));
  }

  changed() {
    return ["input", "stages"].some((name) => this.field(name).value.trim()) || this.field("phase").value !== "TEST"
      || this.field("crop_offsets").value !== "auto" || !["", "0"].includes(this.field("level").value.trim());
  }

  judge(name, fault) {
    const field = this.field(name);
    field.setCustomValidity(fault);
    if (fault) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    field.title = fault;
  }

  /** Options from elsewhere: what is not one of ours is left at its default. */
  write(given) {
    const { phase, stages, level, crop_offsets: crops, input } = { ...DEFAULTS, ...given };
    this.field("phase").value = ["TEST", "TRAIN"].includes(phase) ? phase : "TEST";
    this.field("stages").value = Array.isArray(stages) ? stages.filter((one) => typeof one === "string").join(", ") : "";
    this.field("level").value = Number.isInteger(level) && LEVEL.test(String(level)) ? String(level) : "0";
    this.field("crop_offsets").value = ["auto", "declared", "inferred"].includes(crops) ? crops : "auto";
    this.field("input").value = typeof input === "string" && sizeOf(input) ? input : "";
    this.read();
  }
}
