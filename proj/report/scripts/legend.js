// Legends: explain the kinds of bars by their names, and lines by their indexes.

const KINDS = [
  ["running", "done"],
  ["redelivered", "done after a redelivery"],
  ["unfinished", "started, no end reported"],
  ["failed", "failed"],
  ["lost", "lost: started, no end; delivered again, or gone with its worker"],
  ["held", "held: received, not started (height: how many)"],
];

// While a run goes on, an attempt without an end is at work.
const LIVE = { unfinished: "at work now (no end reported yet)" };

function kindsOf(kinds, live) {
  return KINDS.filter(([kind]) => kinds.has(kind)).map(([kind, words]) => [kind, (live && LIVE[kind]) || words]);
}

function swatch(state, look) {
  return drawing({ "aria-hidden": "true", class: "swatch" }, (canvas) => {
    const scale = window.devicePixelRatio || 1;
    const context = sheet(canvas, 34, 16, scale);
    const colour = colours(state.root);
    if (typeof look === "number") dashed(context, colour, look, () => line(context, [1, 8], [33, 8]));
    else if (look.queue !== undefined) brush(context, colour, scale)("running", 1, 1, 32, 14, look.queue);
    else brush(context, colour, scale)(look, 1, 1, 32, 14);
  });
}

// The queues of a run that has several, in their colours and with their marks.
function queueLegend(state, queues) {
  if (queues.length < 2) return null;
  return make("ul", { class: "legend queues" }, ...queues.map((name, place) =>
    make("li", { "data-key": name }, swatch(state, { queue: place }), name)));
}

function legend(state, entries) {
  return make("ul", { class: "legend" },
    ...entries.map(([look, words]) => make("li", { "data-key": look }, swatch(state, look), words)));
}
