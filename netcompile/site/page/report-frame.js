// The report page in a frame of its own: no access to this page, and another one is shown only once it has loaded.

const PLACES = { alignment: "#alignment", graph: "#graph-title", layers: "#layers" };

export class ReportFrame {
  constructor(home) {
    this.home = home;
    this.url = "";
    this.frame = null;
    this.place = null;
  }

  /** Show a page at one of its places, once it is there; until then the one before stays. */
  show(html, place) {
    const url = URL.createObjectURL(new Blob([html], { type: "text/html" }));
    const next = document.createElement("iframe");
    next.title = "report";
    next.setAttribute("sandbox", "allow-scripts");
    next.className = "waiting";
    next.addEventListener("load", () => {
      if (this.coming !== next) return;
      this.coming = null;
      if (this.frame) this.frame.remove();
      if (this.url) URL.revokeObjectURL(this.url);
      next.className = "";
      Object.assign(this, { frame: next, url, place });
    });
    if (this.coming) this.coming.remove();
    this.coming = next;
    next.src = url + PLACES[place];
    this.home.append(next);
  }

  /** Scroll the page that is shown to another of its places. */
  goTo(place) {
    if (!this.frame || this.place === place) return;
    this.place = place;
    this.frame.src = this.url + (PLACES[place]);
  }
}
