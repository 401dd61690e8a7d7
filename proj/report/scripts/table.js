// Tables of figures, open or folded below a picture.

function table(data) {
  const row = (cells, tag) =>
    make("tr", {}, ...cells.map((text, place) => {
      const head = text !== "" && (tag === "th" || place === 0);
      const scope = head ? { scope: tag === "th" ? "col" : "row" } : {};
      return make(head ? "th" : "td", { class: place < data.words ? "word" : "number", ...scope }, text);
    }));
  // Focusable, so that a table that is wider than the screen can be scrolled with the keyboard.
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": data.caption },
    make("table", {},
      make("caption", {}, data.caption),
      make("thead", {}, row(data.head, "th")),
      make("tbody", {}, ...data.rows.map((cells) => row(cells, "td")))));
}

function folded(data) {
  if (!data.rows.length) return null;
  return make("details", {}, make("summary", {}, `Table: ${data.caption.toLowerCase()}`), table(data));
}
