// The verdict: the gravest sentence, large, with its level; then the others, and the sums of all queues.

import { sign } from "./rows.js";
import { clock, count, duration, rate } from "./words.js";

const { make } = ProjReport;

// `stale` is why the figures are old, if they are; then nothing is called fine.
export function verdict(data, stale, called) {
  const sentences = stale
    ? [{ level: "unknown", kind: "stale", text: `${stale} What is shown was so at ${clock(data.as_of)}.`, queues: [], workers: [] },
      ...data.sentences.filter(({ level }) => level !== "ok")]
    : data.sentences;
  const [first, ...others] = sentences;
  return make("section", { class: `now-verdict ${first.level}`, "data-key": "verdict", "aria-labelledby": "now-sentence" },
    sign(first.level, true),
    make("h2", { class: "now-sentence", id: "now-sentence" }, first.text),
    blamed(first, called),
    others.length ? make("ul", { class: "now-others" }, ...others.map((one) =>
      make("li", { "data-key": `${one.kind} ${one.queues} ${one.workers}` },
        sign(one.level), make("span", {}, one.text), blamed(one, called)))) : null);
}

// Buttons that filter the rows by the queues and workers that a sentence names.
function blamed({ queues, workers }, called) {
  const names = [...queues.map((name) => [name, name]), ...workers.map((name) => [name, called(name)])].slice(0, 6);
  if (!names.length) return null;
  return make("span", { class: "now-blamed" }, ...names.map(([name, words]) =>
    make("button", { type: "button", "data-key": name, "data-filter": name, "aria-label": `Show only ${name}` }, words)));
}

export function totals({ totals: all, dead_letters: letters, events, known_s: known, window_s: window }) {
  const fact = (name, value, under) => make("div", { "data-key": name },
    make("dt", {}, name), make("dd", {}, value, under ? make("span", { class: "now-small" }, under) : null));
  const short = window !== null && known < window * 0.95;
  return make("dl", { class: "now-totals", "data-key": "totals" },
    fact("tasks in /s", rate(all.arrivals_per_s)),
    fact("done /s", rate(all.done_per_s)),
    fact("failed /s", rate(all.failed_per_s)),
    fact("ready", count(all.ready)),
    fact("unacknowledged", count(all.unacknowledged)),
    fact("avoidable wait /min", duration(all.avoidable_s_per_min)),
    fact("slots busy", `${count(all.busy_slots)} of ${count(all.slots)}`),
    fact("workers alive", count(all.workers_alive)),
    letters ? fact("dead letters", count(letters.waiting), [
      letters.new ? `${count(letters.new)} new` : "", letters.unassigned ? `${count(letters.unassigned)} of a queue not known` : "",
    ].filter(Boolean).join(", ")) : null,
    fact("figures of", duration(known), short ? "all that is known" : ""),
    events.lost ? fact("events missing", count(events.lost)) : null);
}
