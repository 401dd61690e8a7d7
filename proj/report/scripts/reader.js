// The reader of a timeline: describes the bar that was chosen with the pointer or the arrow keys.

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function describe(bar, worker, slot, live) {
  const [start, end, kind, label, count = 1, share = 1] = bar;
  const where = `${shortName(worker)}, slot ${slot + 1}:`;
  const what = label || "attempt";
  // Without the end, which changes each second: a screen reader reads each change out.
  if (live && kind === "unfinished" && count === 1) return `${where} ${what}: at work since ${seconds(start)}`;
  const when = `${seconds(start)} to ${seconds(end)} (${seconds(end - start)})`;
  const many = `${count} attempts, ${kind}, ${Math.round(share * 100)} % of`;
  return `${where} ${count > 1 ? many : `${what}: ${kind},`} ${when}`;
}

function nearest(row, time) {
  let best = 0;
  const away = ([start, end]) => Math.max(start - time, time - end, 0);
  row.bars.forEach((bar, place) => { if (away(bar) < away(row.bars[best])) best = place; });
  return best;
}

function pointed({ rows, span, x: scale }, x, y) {
  const place = rows.findIndex((one) => y >= one.y && y <= one.y + one.tall);
  const row = rows[place];
  if (!row || !row.bars.length) return null;
  const zero = scale(0);
  const time = (x - zero) / ((scale(span) - zero) / span);
  const bar = nearest(row, time);
  const slack = 3 * span / (scale(span) - zero);
  const [start, end] = row.bars[bar];
  return time >= start - slack && time <= end + slack ? { row: place, bar } : null;
}

function moved({ rows, chosen }, [down, along]) {
  const filled = rows.map((row, place) => place).filter((place) => rows[place].bars.length);
  if (!filled.length) return chosen;
  if (!chosen) return { row: filled[0], bar: 0 };
  if (along) {
    const last = rows[chosen.row].bars.length - 1;
    return { row: chosen.row, bar: Math.max(0, Math.min(last, chosen.bar + along)) };
  }
  const row = filled[Math.max(0, Math.min(filled.length - 1, filled.indexOf(chosen.row) + down))];
  return { row, bar: nearest(rows[row], rows[chosen.row].bars[chosen.bar][0]) };
}

// The position of the chosen bar in the rows of a newer view.
function found({ rows, chosen }, newer) {
  if (!chosen) return null;
  const { worker, slot, bars } = rows[chosen.row];
  const row = newer.rows.findIndex((one) => one.worker === worker && one.slot === slot);
  if (row < 0 || !newer.rows[row].bars.length) return null;
  const away = ([start]) => Math.abs(start - bars[chosen.bar][0]);
  const bar = newer.rows[row].bars.reduce((best, one, place, all) => (away(one) < away(all[best]) ? place : best), 0);
  return { row, bar };
}

// Adds the reader to a canvas, whose `view` has the rows, the span, the scale and the chosen bar.
function reader(canvas) {
  const readout = make("output", { class: "readout" });
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "timeline");
  const say = ({ rows, chosen, live }) => {
    const row = chosen && rows[chosen.row];
    const words = row ? describe(row.bars[chosen.bar], row.worker, row.slot, live) : "";
    if (readout.textContent !== words) readout.textContent = words;
  };
  const choose = (next) => {
    const { chosen } = canvas.view;
    if (next === chosen || (next && chosen && next.row === chosen.row && next.bar === chosen.bar)) return;
    canvas.view.chosen = next;
    say(canvas.view);
    canvas.redraw();
  };
  canvas.adopt = (fresh) => {
    fresh.view.chosen = found(canvas.view, fresh.view);
    Object.assign(canvas, { view: fresh.view, draw: fresh.draw });
    say(canvas.view);
  };
  // The canvas sets the text; the new output element is empty.
  readout.adopt = () => {};
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    choose(pointed(canvas.view, event.clientX - box.left, event.clientY - box.top));
  });
  canvas.addEventListener("pointerleave", () => choose(null));
  canvas.addEventListener("blur", () => choose(null));
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") choose(null);
    if (!MOVES[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(moved(canvas.view, MOVES[event.key]));
  });
  return readout;
}
