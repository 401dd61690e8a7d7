// Rows: a table with a row for each queue or worker, in groups that can be closed.

const { make } = ProjReport;

// A column has head, cell(one), and perhaps title, kind ("word"; a number otherwise), and minor: left out on a phone.
// A group has key, title, items, and perhaps their count and `more` nodes beside the title; `closed` are the keys of
// the closed groups. `note(one)` is a line below a row.
export function table({ name, columns, groups, closed, keyOf, levelOf, note }) {
  const bodies = groups.filter(({ items }) => items.length).map(({ key, title, items, count = items.length, more }) => {
    const open = !closed.has(key);
    const body = `now-${key}`;
    const button = make("button", {
      type: "button", class: "now-toggle", "aria-expanded": open, "data-group": key,
    }, `${title} (${count.toLocaleString("en")})`);
    return make("tbody", { "data-key": key, id: body },
      make("tr", { "data-key": "head", class: "now-group" },
        make("th", { colspan: columns.length, scope: "rowgroup" }, button, ...(more ?? []))),
      ...(open ? items.flatMap((one) => row(one, columns, keyOf(one), levelOf(one), note(one))) : []));
  });
  // Focusable, so that the keyboard can scroll a table that is wider than the screen.
  return make("div", { class: "now-scroll", tabindex: "0", role: "group", "aria-label": name },
    make("table", { class: "now-table" },
      make("caption", {}, name),
      make("thead", {}, make("tr", {}, ...columns.map(heading))),
      ...bodies));
}

function heading({ head, title, kind, minor }) {
  return make("th", { scope: "col", class: classOf(kind, minor) }, title ? make("abbr", { title }, head) : head);
}

function classOf(kind, minor) {
  return [kind || "number", minor ? "minor" : ""].filter(Boolean).join(" ");
}

function row(one, columns, key, level, note) {
  const [first, ...others] = columns;
  const cells = others.map(({ head, cell, kind, minor }) =>
    make("td", { class: classOf(kind, minor), "data-label": head }, ...[cell(one)].flat()));
  return [
    make("tr", { "data-key": `row ${key}`, class: `now-row ${level}` },
      make("th", { scope: "row", class: "word" }, ...[first.cell(one)].flat()), ...cells),
    note ? make("tr", { "data-key": `note ${key}`, class: "now-note" }, make("td", { colspan: columns.length }, note)) : null,
  ];
}

// A bar of a share from 0 to 1 below its number.
export function meter(value) {
  const filled = make("span", { class: "now-filled" });
  filled.style.width = `${Math.round((value || 0) * 100)}%`;
  return make("span", { class: "now-meter", "aria-hidden": "true" }, filled);
}

export function small(words) {
  return make("span", { class: "now-small" }, words);
}

export const LEVELS = {
  bad: ["✕", "Wrong"], warning: ["!", "Look at this"], unknown: ["?", "Not known"], ok: ["✓", "Fine"],
};

export function levelNow(level, known) {
  return known || level !== "ok" ? level : "unknown";
}

// The level as a sign in a shape of its own and a word, because colour alone does not tell everyone.
export function sign(level, withWord) {
  const [mark, word] = LEVELS[level] || LEVELS.unknown;
  return make("span", { class: `now-sign ${level}` },
    make("span", { class: "now-mark", "aria-hidden": "true" }, mark),
    make("span", { class: withWord ? "now-word" : "visually-hidden" }, word));
}
