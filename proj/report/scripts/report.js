// The public ProjReport.draw(element, data) draws a report into the element, or updates the one that is there.
//
// It fetches nothing. The format of the data is documented in document.py.

const VERSION = 1;

// The state of each element between two calls.
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
  // The theme switch of pages made with Bootstrap, such as Flower's.
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
    const words = `This script draws version ${VERSION} of a report, but was given version ${data.version}.`;
    element.replaceChildren(make("p", {}, words));
    return;
  }
  let state = drawn.get(element);
  if (!state) {
    // zoom: the range of the timelines in seconds, or null for all of it; openBar(worker, from, until): shows what a
    // worker started between two times, in seconds since the epoch.
    state = { root: element, printing: false, zoom: null, openBar: options.openBar || null };
    drawn.set(element, state);
    watch(state);
  }
  state.data = { data, options };
  patchChildren(element, contents(state, data, options));
  redraw(state);
}

// The other functions are for a page that shows more than the report, in the same form.
globalThis.ProjReport = { draw, VERSION, make, patchChildren, seconds, amount, callName };

// The page of a report contains its data. The dashboard calls draw() itself.
const inside = document.getElementById("proj-report-data");
if (inside) draw(document.getElementById("proj-report"), JSON.parse(inside.textContent));
