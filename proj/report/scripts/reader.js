// The reader of a timeline: the bar that the pointer or the arrow keys chose, and what it is in words.

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function describe(bar, worker, slot) {
  const [start, end, kind, label, count = 1, share = 1] = bar;
  const when = `${seconds(start)} to ${seconds(end)} (${seconds(end - start)})`;
  const many = `${count} attempts, ${kind}, ${Math.round(share * 100)} % of`;
  return `${shortName(worker)}, slot ${slot + 1}: ${count > 1 ? many : `${label || "attempt"}: ${kind},`} ${when}`;
}

function nearest(row, time) {
  let best = 0;
  const away = ([start, end]) => Math.max(start - time, time - end, 0);
  row.bars.forEach((bar, place) => { if (away(bar) < away(row.bars[best])) best = place; });
  return best;
}

function pointed({ rows }, span, x, y) {
  const place = rows.findIndex((one) => y >= one.y && y <= one.y + one.tall);
  const row = rows[place];
  if (!row || !row.bars.length) return null;
  const zero = row.x(0);
  const time = (x - zero) / ((row.x(span) - zero) / span);
  const bar = nearest(row, time);
  const slack = 3 * span / (row.x(span) - zero);
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

// The timeline keeps view.rows; view.chosen is the reader's.
function reader(canvas, view, span) {
  const readout = make("output", { class: "readout" });
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "timeline");
  const choose = (next) => {
    const { rows, chosen } = view;
    if (next === chosen || (next && chosen && next.row === chosen.row && next.bar === chosen.bar)) return;
    view.chosen = next;
    const row = next && rows[next.row];
    readout.textContent = row ? describe(row.bars[next.bar], row.worker, row.slot) : "";
    canvas.redraw();
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    choose(pointed(view, span, event.clientX - box.left, event.clientY - box.top));
  });
  canvas.addEventListener("pointerleave", () => choose(null));
  canvas.addEventListener("blur", () => choose(null));
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") choose(null);
    if (!MOVES[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(moved(view, MOVES[event.key]));
  });
  return readout;
}
