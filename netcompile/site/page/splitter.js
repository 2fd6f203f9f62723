// The bar between the editor and the tabs: dragged with a pointer, moved with the arrow keys.

const LEAST = 20;
const MOST = 80;

export function splitter(bar, home) {
  const put = (share) => {
    const kept = Math.round(Math.min(MOST, Math.max(LEAST, share)));
    home.style.setProperty("--left", `${kept}fr`);
    home.style.setProperty("--right", `${100 - kept}fr`);
    bar.setAttribute("aria-valuenow", String(kept));
  };
  put(home.clientWidth > 1900 ? 38 : 46);
  const now = () => Number(bar.getAttribute("aria-valuenow"));
  bar.addEventListener("keydown", (event) => {
    const next = { ArrowLeft: now() - 2, ArrowRight: now() + 2, Home: LEAST, End: MOST }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    put(next);
  });
  bar.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    bar.setPointerCapture(event.pointerId); // the report's frame would take the pointer
  });
  bar.addEventListener("pointermove", (event) => {
    if (!bar.hasPointerCapture(event.pointerId)) return;
    const { left, width } = home.getBoundingClientRect();
    put((100 * (event.clientX - left)) / width);
  });
}
