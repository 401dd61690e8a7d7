// The looks of bars and lines. They differ by fill, pattern, dashes and signs, and not only by colour.

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];

function hatch(context, colour, scale, kind) {
  const tile = make("canvas");
  const size = Math.round(6 * scale);
  tile.width = tile.height = size;
  const pen = tile.getContext("2d");
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = 1.5 * scale;
  pen.beginPath();
  if (kind === "diagonal") {
    for (const shift of [-size, 0, size]) { pen.moveTo(shift, size); pen.lineTo(shift + size, 0); }
  } else if (kind === "upright") {
    pen.moveTo(size / 2, 0); pen.lineTo(size / 2, size);
  } else {
    pen.arc(size / 2, size / 2, 1.2 * scale, 0, 7); pen.fill(); pen.beginPath();
  }
  pen.stroke();
  const pattern = context.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / scale));
  return pattern;
}

// The looks of queues: so many colours, and marks at the lower edge of a bar, which differ without colour, too.
const QUEUE_COLOURS = 6;
const MARKS = ["", "dense", "wide", "line", "dots"];

// Draws the mark of a queue; the first one has none.
function mark(context, colour, queue, x, y, width, height) {
  const kind = MARKS[queue % MARKS.length];
  const tall = Math.min(4, height / 3);
  if (!kind || width < 2) return;
  context.fillStyle = colour.surface;
  const [piece, gap] = { dense: [2, 2], wide: [6, 3], line: [width, 0], dots: [2, 6] }[kind];
  const low = y + height - tall;
  for (let at = x; at < x + width; at += piece + gap) {
    context.fillRect(at, low, Math.min(piece, x + width - at), kind === "line" ? tall / 2 : tall - 1);
    if (!gap) break;
  }
}

// Returns a function that draws a bar of a kind into a rectangle.
function brush(context, colour, scale) {
  const patterns = {
    held: hatch(context, colour.held, scale, "diagonal"),
    redelivered: hatch(context, colour.surface, scale, "upright"),
    failed: hatch(context, colour.failed, scale, "dots"),
  };
  const cross = (x, y, arm) => {
    context.beginPath();
    context.moveTo(x - arm, y - arm); context.lineTo(x + arm, y + arm);
    context.moveTo(x - arm, y + arm); context.lineTo(x + arm, y - arm);
    context.stroke();
  };
  return (kind, x, y, width, height, queue = 0) => {
    const fill = (look) => {
      context.fillStyle = look;
      context.fillRect(x, y, width, height);
    };
    if (kind === "running") fill(queue % QUEUE_COLOURS ? colour[`queue${queue % QUEUE_COLOURS}`] : colour.running);
    if (kind === "redelivered") fill(colour.redelivered);
    if (patterns[kind]) fill(patterns[kind]);
    if (kind === "running" || kind === "redelivered") mark(context, colour, queue, x, y, width, height);
    if (!["unfinished", "failed", "lost"].includes(kind)) return;
    context.lineWidth = 1.5;
    context.strokeStyle = colour[kind === "unfinished" ? "running" : kind];
    context.setLineDash(kind === "unfinished" ? [5, 3] : []);
    context.strokeRect(x + 0.75, y + 0.75, Math.max(0.5, width - 1.5), height - 1.5);
    context.setLineDash([]);
    if (kind === "lost") {
      const arm = Math.max(2, Math.min(4, height / 2 - 3));
      cross(Math.max(x + width - arm - 4, x + width / 2), y + height / 2, arm);
      if (width > 24) cross(x + arm + 4, y + height / 2, arm);
    }
  };
}

// Draws in the colour and the dashes of the line with that index.
function dashed(context, colour, place, draw) {
  context.strokeStyle = colour[`line${place % 4}`];
  context.lineWidth = 2;
  context.setLineDash(DASHES[place % DASHES.length]);
  draw();
  context.setLineDash([]);
}
