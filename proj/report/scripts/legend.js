// Legends: what a kind of bar, by its name, and a line, by its place, mean.

const KINDS = [
  ["running", "running"],
  ["redelivered", "running again, after a redelivery"],
  ["unfinished", "begun, no end heard of"],
  ["failed", "failed"],
  ["lost", "lost with its worker"],
  ["held", "held: received, not started (height: how many)"],
];

function swatch(state, look) {
  const canvas = make("canvas", { "aria-hidden": "true", class: "swatch" });
  state.pictures.push(() => {
    const scale = window.devicePixelRatio || 1;
    canvas.width = 34 * scale;
    canvas.height = 16 * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const colour = colours(state.root);
    if (typeof look === "number") dashed(context, colour, look, () => line(context, [1, 8], [33, 8]));
    else brush(context, colour, scale)(look, 1, 1, 32, 14);
  });
  return canvas;
}

function legend(state, entries) {
  return make("ul", { class: "legend" },
    ...entries.map(([look, words]) => make("li", {}, swatch(state, look), words)));
}
