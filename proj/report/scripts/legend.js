// Legends: what a kind of bar, by its name, and a line, by its place, mean.

const KINDS = [
  ["running", "running"],
  ["redelivered", "running again, after a redelivery"],
  ["unfinished", "begun, no end heard of"],
  ["failed", "failed"],
  ["lost", "lost with its worker"],
  ["held", "held: received, not started (height: how many)"],
];

// While a run goes on, what is not said to have ended is at work.
const LIVE = { running: "done", unfinished: "at work now (no end heard of yet)" };

function kindsOf(kinds, live) {
  return KINDS.filter(([kind]) => kinds.has(kind)).map(([kind, words]) => [kind, (live && LIVE[kind]) || words]);
}

function swatch(state, look) {
  return drawing({ "aria-hidden": "true", class: "swatch" }, (canvas) => {
    const scale = window.devicePixelRatio || 1;
    const context = sheet(canvas, 34, 16, scale);
    const colour = colours(state.root);
    if (typeof look === "number") dashed(context, colour, look, () => line(context, [1, 8], [33, 8]));
    else brush(context, colour, scale)(look, 1, 1, 32, 14);
  });
}

function legend(state, entries) {
  return make("ul", { class: "legend" },
    ...entries.map(([look, words]) => make("li", { "data-key": look }, swatch(state, look), words)));
}
