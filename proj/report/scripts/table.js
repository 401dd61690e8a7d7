// Tables of figures, open or folded below a picture.

// Where `data.tasks` has the task of each row and linkOf(task, words) is given, the begin of its id is a link.
function table(data, linkOf = null) {
  const row = (cells, tag, task) =>
    make("tr", {}, ...cells.map((text, place) => {
      const head = text !== "" && (tag === "th" || place === 0);
      const scope = head ? { scope: tag === "th" ? "col" : "row" } : {};
      const shown = linkOf && task && text && task.startsWith(text) ? linkOf(task, text) : text;
      return make(head ? "th" : "td", { class: place < data.words ? "word" : "number", ...scope }, shown);
    }));
  // Focusable, so that a table that is wider than the screen can be scrolled with the keyboard.
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": data.caption },
    make("table", {},
      make("caption", {}, data.caption),
      make("thead", {}, row(data.head, "th")),
      make("tbody", {}, ...data.rows.map((cells, place) => row(cells, "td", data.tasks && data.tasks[place])))));
}

function folded(data) {
  if (!data.rows.length) return null;
  return make("details", {}, make("summary", {}, `Table: ${data.caption.toLowerCase()}`), table(data));
}
