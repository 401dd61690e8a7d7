// The public ProjReport.draw(element, data): fills the element, and may be called again with newer data.
//
// Nothing is fetched. The shape of the data is documented in data.py.

const VERSION = 1;

// What is known of an element between two calls: its pictures, and the tables that the reader opened.
const drawn = new WeakMap();

function watch(state) {
  const redraw = () => state.pictures.forEach((one) => one());
  let width = state.root.clientWidth;
  new ResizeObserver(() => {
    if (state.root.clientWidth === width) return;
    width = state.root.clientWidth;
    redraw();
  }).observe(state.root);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  const print = (on) => {
    state.printing = on;
    state.root.classList.toggle("printing", on);
    for (const details of state.root.querySelectorAll("details")) {
      if (on) details.wasOpen = details.open;
      details.open = on || details.wasOpen;
    }
    redraw();
  };
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
}

function draw(element, data) {
  element.classList.add("proj-report");
  if (data.format !== "proj-report" || data.version !== VERSION) {
    const words = `This script draws version ${VERSION} of a report, and was given version ${data.version}.`;
    element.replaceChildren(make("p", {}, words));
    return;
  }
  let state = drawn.get(element);
  if (!state) {
    state = { root: element, open: new Set(), pictures: [], printing: false };
    drawn.set(element, state);
    watch(state);
  }
  state.pictures = [];
  element.replaceChildren(...contents(state, data));
  state.pictures.forEach((one) => one());
}

globalThis.ProjReport = { draw, VERSION };

// In the page of a report the data are there already; the dashboard calls draw() itself.
const inside = document.getElementById("proj-report-data");
if (inside) draw(document.getElementById("proj-report"), JSON.parse(inside.textContent));
