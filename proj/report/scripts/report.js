// The public ProjReport.draw(element, data): fills the element, and brings it up to date when called again.
//
// Nothing is fetched. The shape of the data is documented in data.py.

const VERSION = 1;

// What is known of an element between two calls.
const drawn = new WeakMap();

function redraw(state) {
  for (const canvas of state.root.querySelectorAll("canvas")) canvas.redraw();
}

function watch(state) {
  const again = () => redraw(state);
  let width = state.root.clientWidth;
  new ResizeObserver(() => {
    if (state.root.clientWidth === width) return;
    width = state.root.clientWidth;
    again();
  }).observe(state.root);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  // The switch of a page made with Bootstrap, as Flower's are.
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  const print = (on) => {
    state.printing = on;
    state.root.classList.toggle("printing", on);
    for (const details of state.root.querySelectorAll("details")) {
      if (on) details.wasOpen = details.open;
      details.open = on || details.wasOpen;
    }
    again();
  };
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
}

function draw(element, data, options = {}) {
  element.classList.add("proj-report");
  if (data.format !== "proj-report" || data.version !== VERSION) {
    const words = `This script draws version ${VERSION} of a report, and was given version ${data.version}.`;
    element.replaceChildren(make("p", {}, words));
    return;
  }
  let state = drawn.get(element);
  if (!state) {
    state = { root: element, printing: false };
    drawn.set(element, state);
    watch(state);
  }
  patchChildren(element, contents(state, data, options));
  redraw(state);
}

// The tools besides draw are for a page that shows more than the report, and shall say it in the same words.
globalThis.ProjReport = { draw, VERSION, make, patchChildren, seconds, amount, shortName };

// In the page of a report the data are there already; the dashboard calls draw() itself.
const inside = document.getElementById("proj-report-data");
if (inside) draw(document.getElementById("proj-report"), JSON.parse(inside.textContent));
