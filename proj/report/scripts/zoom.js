// Zoom: which part of the time the timelines show; all of them show the same.

// The factor of one step, and the part of the range by which one step goes on.
const FACTOR = 1.6;
const STEP = 0.3;
// The shortest range in seconds.
const LEAST_S = 0.01;

function whole(state) {
  return scalesOf(state.data.data.runs, state.data.data.together).span;
}

// Shows a range, or all of the time when the range has it all.
function showRange(state, from, to) {
  const most = whole(state);
  const wide = Math.max(LEAST_S, Math.min(most, to - from));
  const begin = Math.max(0, Math.min(most - wide, from));
  state.zoom = wide >= most ? null : [begin, begin + wide];
  redraw(state);
  for (const button of state.root.querySelectorAll("[data-zoom]")) button.disabled = isIdle(state, button.dataset.zoom);
}

// Zooms by a factor, around a time, or around the middle.
function zoom(state, factor, around) {
  const [from, to] = state.zoom || [0, whole(state)];
  const middle = around ?? (from + to) / 2;
  const begin = middle - (middle - from) / factor;
  showRange(state, begin, begin + (to - from) / factor);
}

function pan(state, part) {
  const [from, to] = state.zoom || [0, whole(state)];
  showRange(state, from + part * (to - from), to + part * (to - from));
}

// Brings the chosen bar into the range.
function follow(state, { rows, chosen }) {
  if (!state.zoom || !chosen) return;
  const [from, to] = state.zoom;
  const [start] = rows[chosen.row].bars[chosen.bar];
  if (start < from || start > to) showRange(state, start - (to - from) / 2, start + (to - from) / 2);
}

function isIdle(state, name) {
  return name !== "in" && !state.zoom;
}

const ACTS = {
  in: (state) => zoom(state, FACTOR),
  out: (state) => zoom(state, 1 / FACTOR),
  earlier: (state) => pan(state, -STEP),
  later: (state) => pan(state, STEP),
  all: (state) => showRange(state, 0, Infinity),
};

function zoomButtons(state) {
  const button = (name, words) => {
    const made = make("button", { type: "button", "data-zoom": name, "data-key": name }, words);
    if (isIdle(state, name)) made.setAttribute("disabled", "");
    made.addEventListener("click", () => ACTS[name](state));
    return made;
  };
  return make("div", { class: "zoom", role: "group", "aria-label": "Time that the timelines show", "data-key": "zoom" },
    button("in", "Zoom in"), button("out", "Zoom out"), button("earlier", "Earlier"), button("later", "Later"),
    button("all", "Show all"),
    make("span", { class: "zoom-keys" }, "On a timeline: + and −, Shift with the arrow keys, 0 for all, Ctrl with the wheel."));
}

// Zoom and pan of a canvas by keyboard and wheel.
function zoomed(state, canvas) {
  const keys = { "+": "in", "=": "in", "-": "out", 0: "all" };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const shifted = event.shiftKey && { ArrowLeft: "earlier", ArrowRight: "later" }[event.key];
    const name = keys[event.key] || shifted;
    if (!name) return;
    event.preventDefault();
    ACTS[name](state);
  });
  canvas.addEventListener("wheel", (event) => {
    const { from, to, x } = canvas.view;
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      const place = event.clientX - canvas.getBoundingClientRect().left;
      const time = from + (place - x(from)) * (to - from) / (x(to) - x(from));
      zoom(state, event.deltaY < 0 ? FACTOR : 1 / FACTOR, Math.max(from, Math.min(to, time)));
    } else if (sideways && state.zoom) {
      pan(state, Math.sign(sideways) * STEP / 3);
    } else {
      return;
    }
    event.preventDefault();
  }, { passive: false });
}
