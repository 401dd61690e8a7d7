// The rows of dead letters: a group for each reason and queue, the largest first.

import { act, may } from "./hands.js";
import { table } from "./rows.js";
import { count, duration, NOT_KNOWN } from "./words.js";

const { make } = ProjReport;

const RAN = new Map([[true, "began"], [false, "no"], [null, "not known"]]);

export function letterTable({ key, groups, time }, { closed, shown, chosen, page }) {
  return table({
    name: "Dead letters",
    columns: columns(key, time, chosen, shown, page),
    groups: groups.map((group) => ({
      key: `letters-${group.key}`,
      title: `${group.reason} From ${group.queue ?? "a queue that is not known"}`,
      items: group.letters,
      count: group.count,
      more: more(key, group),
    })),
    closed,
    keyOf: ({ mark }) => mark,
    levelOf: () => "",
    note: ({ mark }) => (shown.has(mark) ? make("code", {}, shown.get(mark)) : null),
  });
}

function more(look, { key, count: all, letters, reason }) {
  const fields = { look, group: key };
  const which = `of the reason: ${reason}`;
  const words = all === 1 ? "it" : `all ${count(all)}`;
  return [
    all > letters.length ? make("span", { class: "now-small" }, ` The oldest ${count(letters.length)} are listed. `) : null,
    act("letters/requeue", fields, `Requeue ${words}`, which),
    act("letters/export", fields, `Export ${words}`, which),
    act("letters/purge", fields, `Purge ${words}`, which, true),
  ];
}

function columns(look, time, chosen, shown, page) {
  return [
    { head: "task", kind: "word", cell: (one) => named(one, chosen) },
    { head: "id", kind: "word", cell: (one) => linked(one, page) },
    { head: "ran", title: "Whether the task ran, or began to, before it became a dead letter", cell: ({ ran }) => RAN.get(ran) },
    { head: "age", title: "How long ago it became a dead letter", cell: ({ time: then }) => (then === null ? NOT_KNOWN : duration(Math.max(0, time - then))) },
    { head: "tried", title: "How often it was tried", cell: ({ attempts }) => count(attempts) },
    { head: "worker", kind: "word", minor: true, title: "The worker that gave it up", cell: ({ worker }) => worker ?? NOT_KNOWN },
    { head: "bytes", minor: true, cell: ({ size_bytes: size }) => count(size) },
    { head: "actions", kind: "word", cell: (one) => hands(one, look, shown) },
  ];
}

function named({ mark, id, task }, chosen) {
  const name = task ?? "no task";
  if (!may) return name;
  const box = make("input", { type: "checkbox", "data-mark": mark, "aria-label": `Choose ${id}`, autocomplete: "off" });
  box.checked = chosen.has(mark);
  return [box, ` ${name}`];
}

// An id that begins with ~ is a digest, of which Flower knows nothing.
function linked({ id }, page) {
  return id.startsWith("~") ? id : make("a", { href: `${page.dataset.task}${encodeURIComponent(id)}` }, id);
}

function hands({ mark, id }, look, shown) {
  return [
    make("button", {
      type: "button", class: "now-act", "data-key": "arguments", "data-arguments": mark, "aria-expanded": shown.has(mark), "aria-label": `Arguments of ${id}`,
    }, "Arguments"),
    act("letters/requeue", { look, letter: [mark] }, "Requeue", id),
  ];
}
