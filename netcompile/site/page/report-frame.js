// A part of the report page in a frame of its own: no access to this page, and another one is shown only once it has
// loaded. It says which size of the input was chosen in it, which the next one begins with, and which layer's line.

const PLACES = { alignment: "#alignment", graph: "#graph-title", layers: "#layers" };

export class ReportFrame {
  /** `on` has `chosen(line)` for a layer that somebody chooses, `wanted(line)` for one that is shown elsewhere. */
  constructor(home, on) {
    this.home = home;
    this.url = "";
    this.frame = null;
    this.coming = null;
    this.size = null; // that was chosen in place of the declared one
    addEventListener("message", ({ source, data }) => {
      if (!this.frame || source !== this.frame.contentWindow || !data) return;
      if (Number.isInteger(data.wanted)) on.wanted(data.wanted);
      else if (Number.isInteger(data.chosen)) on.chosen(data.chosen);
      else if (data.size !== undefined) this.size = Array.isArray(data.size) && data.size.every(Number.isInteger) ? data.size : null;
    });
  }

  /** Another net: no size was chosen for it. */
  forget() {
    this.size = null;
  }

  /** Show a page at the place of its part, once it is there; until then the one before stays. */
  show(html, part) {
    const url = URL.createObjectURL(new Blob([html], { type: "text/html" }));
    const next = document.createElement("iframe");
    next.title = "report";
    next.setAttribute("sandbox", "allow-scripts");
    next.className = "waiting";
    if (this.coming) this.coming.remove();
    this.coming = next;
    next.src = url + PLACES[part];
    return new Promise((resolve) => {
      next.addEventListener("load", () => {
        resolve();
        if (this.coming !== next) return;
        this.coming = null;
        if (this.size) next.contentWindow.postMessage({ size: this.size }, "*");
        if (this.frame) this.frame.remove();
        if (this.url) URL.revokeObjectURL(this.url);
        next.className = "";
        Object.assign(this, { frame: next, url });
      });
      this.home.append(next);
    });
  }
}
