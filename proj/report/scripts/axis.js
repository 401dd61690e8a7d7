// Axes: ticks at round values, with grid lines and labels.

function ticks(most, room) {
  if (!(most > 0)) return [0];
  const wanted = Math.max(2, Math.floor(room));
  const power = 10 ** Math.floor(Math.log10(most / wanted));
  const times = most > 180 ? [15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400] : [];
  const step = [...times, ...[1, 2, 5, 10].map((one) => one * power)].find((one) => most / one <= wanted);
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, place) => place * step);
}

function countTicks(most, room) {
  return ticks(most, room).filter((one) => Number.isInteger(Math.round(one * 1e6) / 1e6));
}

// Draws the time axis from `least` to `most` seconds with its vertical grid lines; returns the scale, from seconds to x.
// With an origin, in seconds since the epoch, the time of the day is below.
function timeAxis(context, colour, left, right, top, bottom, most, least = 0, origin = null) {
  const span = most - least;
  const scale = (value) => left + (right - left) * (span > 0 ? (value - least) / span : 0);
  context.textAlign = "center";
  context.lineWidth = 1;
  const every = ticks(span, (right - left) / (origin === null ? 64 : 80));
  const step = every.length > 1 ? every[1] : span || 1;
  let tick = Math.ceil(least / step - 1e-9) * step;
  for (; tick <= most + 1e-9 * span; tick += step) {
    const x = Math.round(scale(tick)) + 0.5;
    context.strokeStyle = colour.grid;
    line(context, [x, top], [x, bottom]);
    context.fillStyle = colour.muted;
    const text = clock(tick, most);
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.min(x, right + 8 - half), bottom + 11);
    if (origin !== null) {
      const day = timeOfDay(origin + tick);
      context.fillText(day, Math.min(x, right + 8 - context.measureText(day).width / 2), bottom + 25);
    }
  }
  return scale;
}

// Draws horizontal grid lines at the marks, with their labels to the left.
function levelAxis(context, colour, left, right, scale, marks, words) {
  context.textAlign = "right";
  context.lineWidth = 1;
  for (const mark of marks) {
    const y = Math.round(scale(mark)) + 0.5;
    context.strokeStyle = colour.grid;
    line(context, [left, y], [right, y]);
    context.fillStyle = colour.muted;
    context.fillText(words(mark), left - 6, scale(mark));
  }
}
