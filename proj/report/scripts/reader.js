// The reader of a timeline: describes the bar that was chosen with the pointer or the arrow keys.

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

// What a kind is called. A bar without an end is at work only while the run goes on.
const CALLED = { running: "done", redelivered: "done after a redelivery", unfinished: "no end reported" };

function describe(bar, name, slot, live, origin) {
  const [start, end, kind, label, count = 1, share = 1] = bar;
  const where = `${name}, slot ${slot + 1}:`;
  const what = label || "attempt";
  // Without the end, which changes each second: a screen reader reads each change out.
  if (live && kind === "unfinished" && count === 1) return `${where} ${what}: at work since ${seconds(start)}${ofDay(origin + start)}`;
  const when = `${seconds(start)} to ${seconds(end)} (${seconds(end - start)})${ofDay(origin + start)}`;
  const called = CALLED[kind] || kind;
  const many = `${count} attempts, ${called}, ${Math.round(share * 100)} % of`;
  return `${where} ${count > 1 ? many : `${what}: ${called},`} ${when}`;
}

function ofDay(time) {
  const day = timeOfDay(time);
  return day ? `, from ${day} UTC` : "";
}

function nearest(row, time) {
  let best = 0;
  const away = ([start, end]) => Math.max(start - time, time - end, 0);
  row.bars.forEach((bar, place) => { if (away(bar) < away(row.bars[best])) best = place; });
  return best;
}

function pointed({ rows, from, to, x: scale }, x, y) {
  const place = rows.findIndex((one) => y >= one.y && y <= one.y + one.tall);
  const row = rows[place];
  if (!row || !row.bars.length) return null;
  const aSecond = (scale(to) - scale(from)) / (to - from);
  const time = from + (x - scale(from)) / aSecond;
  const bar = nearest(row, time);
  const slack = 3 / aSecond;
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
function reader(canvas, state) {
  const readout = make("output", { class: "readout" });
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "timeline");
  const say = ({ rows, chosen, live, origin, called }) => {
    const row = chosen && rows[chosen.row];
    const words = row ? describe(row.bars[chosen.bar], called(row.worker), row.slot, live, origin) : "";
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
  const open = () => {
    const { rows, chosen, origin } = canvas.view;
    if (!state.openBar || !chosen) return;
    const { worker, bars } = rows[chosen.row];
    const [start, end, , , count = 1] = bars[chosen.bar];
    state.openBar(worker, origin + start, origin + (count > 1 ? end : start));
  };
  canvas.addEventListener("click", open);
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    choose(pointed(canvas.view, event.clientX - box.left, event.clientY - box.top));
  });
  canvas.addEventListener("pointerleave", () => choose(null));
  canvas.addEventListener("blur", () => choose(null));
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") choose(null);
    if (event.key === "Enter") open();
    if (!MOVES[event.key] || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    event.preventDefault();
    choose(moved(canvas.view, MOVES[event.key]));
    follow(state, canvas.view);
  });
  return readout;
}
