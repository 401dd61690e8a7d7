// The timeline of a run: a lane of bars for each slot, and below the lanes of a worker the messages that it held.

function timeline(state, run, span, heldMost) {
  const lanes = run.groups.reduce((sum, group) => sum + group.lanes.length, 0);
  const tall = lanes > 24 ? 10 : lanes > 8 ? 16 : 24;
  const strip = lanes > 24 ? 16 : 30;
  const between = lanes > 24 ? 6 : 12;
  const { rows, strips, foot } = layout(run.groups, tall, strip, between);
  const live = run.live === true;
  const called = callName(run.groups.map(({ worker }) => worker));
  const view = { rows, span, called, origin: run.origin, chosen: null, live, x: null };

  const draw = (context, width, height, colour, scale) => {
    const left = Math.min(150, Math.max(72, Math.round(width * 0.16)));
    const right = width - 10;
    const bottom = height - 36;
    const [from, to] = state.zoom && !state.printing ? state.zoom : [0, span];
    const x = timeAxis(context, colour, left, right, 0, bottom, to, from, run.origin);
    const put = brush(context, colour, scale);
    const room = { context, colour, put, x, left, right, bottom, tall, strip, heldMost };
    const until = Math.min(span, run.span_s);
    Object.assign(view, { x, from, to });
    context.textAlign = "left";
    for (const { worker, slot, y } of rows) drawName(room, slot === 0 ? called(worker) : "", until, y);
    for (const { held, y } of strips) drawMost(room, held, y);
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left + 2, bottom);
    context.clip();
    for (const { bars, y } of rows) drawBars(room, bars, y);
    for (const { held, y } of strips) drawHeld(room, held, until, y);
    const makespan = run.figures ? run.figures.makespan_s : 0;
    if (!live && makespan > 0 && makespan < span * 0.97) drawEnd(room, makespan);
    const row = view.chosen && rows[view.chosen.row];
    if (row && row.bars[view.chosen.bar]) drawChosen(room, row, row.bars[view.chosen.bar]);
    context.restore();
  };

  // The length of a live picture is not in its label: a screen reader would read out each change.
  const over = live ? "so far" : `over ${seconds(run.span_s)}`;
  const description = `Timeline of ${run.name}: ${lanes} slots of ${run.groups.length} workers ${over}. ` +
    "The table below has the figures of each worker.";
  const canvas = picture(state, description, foot + 38, 690, draw);
  canvas.view = view;
  zoomed(state, canvas);
  return [canvas, reader(canvas, state)];
}

// The positions of the lanes, and of the strips of held messages.
function layout(groups, tall, strip, between) {
  const rows = [];
  const strips = [];
  let y = 2;
  for (const { worker, lanes, held } of groups) {
    lanes.forEach((bars, slot) => {
      rows.push({ y, tall, bars, worker, slot });
      y += tall + 3;
    });
    strips.push({ held, y });
    y += strip + between;
  }
  return { rows, strips, foot: y - 2 };
}

function drawName({ context, colour, x, left, right, tall }, name, until, y) {
  context.fillStyle = colour.lane;
  context.fillRect(left, y, Math.max(0, Math.min(right, x(until)) - left), tall);
  context.fillStyle = colour.ink;
  context.fillText(squeezed(context, name, left - 8), 0, y + tall / 2);
}

function drawBars(room, bars, y) {
  const { put, x, left, right, tall } = room;
  for (const bar of bars) {
    const [start, end, kind, label, , share = 1, queue = 0] = bar;
    const from = Math.max(left - 4, x(start));
    if (x(end) < left || from > right) continue;
    // One pixel less, so that neighbours stay apart.
    const to = Math.min(right + 8, x(end));
    const wide = Math.max(1, to - from - (to - from > 4 ? 1 : 0));
    const high = Math.max(2, tall * share);
    put(kind, from, y + tall - high, wide, high, queue);
    if (tall >= 14 && wide > 26) drawLabel(room, kind, label, from, wide, y);
  }
}

function drawLabel({ context, colour, tall }, kind, label, from, wide, y) {
  if ((kind === "running" || kind === "unfinished") && label) {
    context.fillStyle = kind === "running" ? colour.onrunning : colour.ink;
    context.fillText(clipped(context, label, wide - 8), from + 4, y + tall / 2 + 0.5);
  }
  if (kind === "redelivered") {
    const text = clipped(context, `↻ ${label}`, wide - 10);
    context.fillStyle = colour.surface;
    context.fillRect(from + 2, y + 3, context.measureText(text).width + 6, tall - 6);
    context.fillStyle = colour.ink;
    context.fillText(text, from + 5, y + tall / 2 + 0.5);
  }
}

function drawHeld({ context, colour, put, x, strip, heldMost }, { times, values }, until, y) {
  const floor = y + strip - 1;
  const high = (value) => (heldMost ? (strip - 4) * value / heldMost : 0);
  times.forEach((time, place) => {
    const next = place + 1 < times.length ? times[place + 1] : Math.max(time, until);
    const tall = high(values[place]);
    if (values[place] > 0) put("held", x(time), floor - tall, Math.max(0.5, x(next) - x(time)), tall);
  });
  context.strokeStyle = colour.held;
  context.lineWidth = 1.25;
  steps(context, [x(0), floor], times.map((time, place) => [x(time), floor - high(values[place])]), x(until));
}

function drawMost({ context, colour, left, strip }, { values }, y) {
  const most = Math.max(0, ...values);
  const full = most ? `held, most ${most}` : "held: none";
  const words = context.measureText(full).width > left - 8 ? `held ≤ ${most}` : full;
  context.fillStyle = colour.muted;
  context.fillText(clipped(context, words, left - 8), 0, y + strip - 9);
}

function drawEnd({ context, colour, x, right, bottom }, makespan) {
  const end = Math.round(x(makespan)) + 0.5;
  context.strokeStyle = colour.ink;
  context.setLineDash([3, 3]);
  line(context, [end, 0], [end, bottom]);
  context.setLineDash([]);
  context.fillStyle = colour.ink;
  const text = `all done, ${seconds(makespan)}`;
  if (end + context.measureText(text).width + 8 < right) context.fillText(text, end + 5, 10);
}

function drawChosen({ context, colour, x }, row, [start, end]) {
  context.strokeStyle = colour.ink;
  context.lineWidth = 2;
  context.strokeRect(x(start) - 1, row.y - 1, Math.max(3, x(end) - x(start) + 1), row.tall + 2);
}
