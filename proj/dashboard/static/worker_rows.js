// The rows of workers, each once with all its queues.

import { workerButton } from "./hands.js";
import { levelNow, meter, sign, small, table } from "./rows.js";
import { count, duration, listed, memory, NOT_KNOWN, rate, share } from "./words.js";

const { make } = ProjReport;

// Queues that a cell names.
const NAMED = 2;

export function workerTable(workers, { closed, called, page, known }) {
  const wrong = (one) => one.level === "bad" || one.level === "warning";
  const isGone = ({ state }) => state === "gone";
  const byName = (one, other) => one.name.localeCompare(other.name, "en", { numeric: true });
  return table({
    name: "Workers",
    columns: columns(called, page, known, workers.some(({ window, given_back: back }) => window !== null || back !== null)),
    groups: [
      { key: "workers-wrong", title: "Something is wrong", items: workers.filter(wrong) },
      { key: "workers-fine", title: known ? "In order" : "As far as was known", items: workers.filter((one) => !wrong(one) && !isGone(one)).sort(byName) },
      { key: "workers-gone", title: "Gone", items: workers.filter((one) => !wrong(one) && isGone(one)).sort(byName) },
    ],
    closed,
    keyOf: ({ name }) => name,
    levelOf: ({ level }) => level,
    note: () => null,
  });
}

function columns(called, page, known, adaptive) {
  const ofAdaptive = [
    { head: "window", title: "How many messages it asks for at a time", minor: true, cell: (one) => count(one.window) },
    { head: "given back", title: "Messages returned to their queues since it began", minor: true, cell: (one) => count(one.given_back) },
  ];
  return [
    { head: "worker", kind: "word", cell: (one) => named(one, called, page, known) },
    { head: "slots busy", title: "Slots at work now of all", cell: slots },
    { head: "held", title: "Received, but not started; after the plus, in front of its pool", cell: held },
    { head: "busy share", title: "Busy seconds of its slots, of all their seconds", cell: busy },
    { head: "tasks /s", title: "Tasks that succeeded, a second", cell: (one) => rate(one.done_per_s) },
    { head: "failed", title: "Tasks that failed in these minutes", cell: (one) => strong(count(one.failed), one.failed) },
    { head: "avoidable", title: "Avoidable wait: seconds that tasks waited in it while another worker was idle", cell: avoidable },
    { head: "memory", title: "The most that its main process had", minor: true, cell: (one) => memory(one.memory_bytes) },
    { head: "heartbeat", title: "How long ago its last heartbeat came", cell: heartbeat },
    { head: "mode", kind: "word", title: "Dispatch mode", minor: true, cell: (one) => one.dispatch || NOT_KNOWN },
    ...(adaptive ? ofAdaptive : []),
    { head: "queues", kind: "word", cell: queues },
  ];
}

function named({ name, level, state }, called, page, known) {
  const link = make("a", { href: `${page.dataset.worker}${encodeURIComponent(name)}`, title: name }, called(name));
  return [sign(levelNow(level, known)), link, workerButton({ name, state })];
}

function slots({ slots: all, busy_slots: at }) {
  return `${count(at)} of ${all === null ? "?" : count(all)}`;
}

function held({ held: received, in_advance: more, left }) {
  if (left) return strong(`${count(left)} left`, true);
  return more ? `${count(received)} + ${count(more)}` : count(received);
}

function busy({ busy_share: value }) {
  return value === null ? NOT_KNOWN : [share(value), meter(value)];
}

function avoidable({ avoidable_s: value }) {
  return strong(duration(value), value >= 1);
}

function heartbeat({ state, heartbeat_age_s: age }) {
  const words = { silent: "silent", draining: "draining", gone: "gone", unknown: "none yet" }[state];
  return [words ? strong(words, state === "silent" || state === "gone") : null, age === null ? null : words ? small(duration(age)) : duration(age)];
}

function queues({ queues: names }) {
  return names.length ? make("span", { title: names.join(", ") }, listed([...names], NAMED)) : NOT_KNOWN;
}

function strong(words, really) {
  return really ? make("strong", { class: "dispatch-bad" }, words) : words;
}
