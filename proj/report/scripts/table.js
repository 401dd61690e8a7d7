// Tables of figures, open or folded under a picture.

function table(data) {
  const row = (cells, tag) =>
    make("tr", {}, ...cells.map((text, place) => {
      const head = tag === "th" || place === 0;
      const scope = head ? { scope: tag === "th" ? "col" : "row" } : {};
      return make(head ? "th" : "td", { class: place < data.words ? "word" : "number", ...scope }, text);
    }));
  // Focusable, so that the keyboard can scroll what is wider than the screen.
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": data.caption },
    make("table", {},
      make("caption", {}, data.caption),
      make("thead", {}, row(data.head, "th")),
      make("tbody", {}, ...data.rows.map((cells) => row(cells, "td")))));
}

// The state remembers by the key which tables the reader has opened.
function folded(data, key, state) {
  if (!data.rows.length) return null;
  const details = make("details", {}, make("summary", {}, `Table: ${data.caption.toLowerCase()}`), table(data));
  details.open = state.open.has(key);
  details.addEventListener("toggle", () => {
    if (!state.printing) state.open[details.open ? "add" : "delete"](key);
  });
  return details;
}
