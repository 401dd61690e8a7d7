// The rows of queues: the worst first, and those that are in order by their names.

import { queueButtons } from "./hands.js";
import { levelNow, meter, sign, small, table } from "./rows.js";
import { spark } from "./spark.js";
import { count, duration, listed, NOT_KNOWN, rate, share } from "./words.js";

const { amount, make } = ProjReport;

// Workers that a cell names.
const NAMED = 2;
// Growth a minute from which it is told: so many messages, and this share of what waits.
const GROWS = 5;
const GROWS_SHARE = 0.1;

// `known` is false while the figures are old or the broker is away: then no queue is called in order.
export function queueTable(queues, { closed, called, known }) {
  const wrong = (one) => one.level === "bad" || one.level === "warning";
  const byName = (one, other) => (one.name === null) - (other.name === null) || (one.name || "").localeCompare(other.name || "");
  const fine = queues.filter((one) => !wrong(one) && one.is_ours).sort(byName);
  const others = queues.filter((one) => !wrong(one) && !one.is_ours).sort(byName);
  return table({
    name: "Queues",
    columns: columns(called, known),
    groups: [
      { key: "queues-wrong", title: "Something is wrong", items: queues.filter(wrong) },
      { key: "queues-fine", title: known ? "In order" : "As far as was known", items: fine },
      { key: "queues-others", title: "Not of this app", items: others },
    ],
    closed,
    keyOf: ({ name }) => name ?? "",
    levelOf: ({ level }) => level,
    note: noteOf,
  });
}

function columns(called, known) {
  return [
    { head: "queue", kind: "word", cell: (one) => named(one, known) },
    { head: "in /s", title: "Tasks published a second", cell: arrivals },
    { head: "done /s", title: "Tasks that succeeded, a second", cell: (one) => rate(one.done_per_s) },
    { head: "failed /s", title: "Tasks that failed, a second", cell: failures },
    { head: "ready", title: "Messages that wait in the broker", cell: (one) => depth(one, "ready") },
    {
      head: "unack.", title: "Unacknowledged: messages that a worker has and has not acknowledged",
      cell: (one) => depth(one, "unacknowledged"),
    },
    { head: "empty in", title: "When nothing waits any more, if the queue goes on to become shorter like this", cell: empties },
    { head: "wait p50", title: "Half of the tasks waited at most so long, from the publish to the start", minor: true, cell: (one) => wait(one, one.wait_p50_s) },
    { head: "p95", title: "95 of 100 tasks waited at most so long", cell: (one) => wait(one, one.wait_p95_s) },
    { head: "p99", title: "99 of 100 tasks waited at most so long", minor: true, cell: (one) => wait(one, one.wait_p99_s) },
    {
      head: "avoidable /min", title: "Avoidable wait: seconds a minute that a worker held tasks while another worker was idle",
      cell: (one) => avoidable(one, called),
    },
    { head: "held", title: "Received by a worker, but not started", cell: (one) => count(one.held) },
    { head: "slots busy", title: "Slots at work now of all that consume this queue, and their busy share: the utilisation", cell: slots },
    { head: "oldest", title: "How long the task that waits longest has waited", cell: (one) => duration(one.oldest_s) },
    {
      head: "dead letters",
      title: "Messages of this queue that its workers dead-lettered: new in these minutes, and waiting. By the counts " +
        "in heartbeats of workers with proj.delivery since each of them began; the letters that the broker makes (delivery limit, time to live, length) are not in it",
      cell: letters,
    },
    { head: "consumers", minor: true, cell: (one) => bad(count(one.consumers), one.consumers === 0 && one.ready) },
  ];
}

function named(one, known) {
  const { name, type, level, paused } = one;
  return [sign(levelNow(level, known)), name ?? "queue not known", type ? make("span", { class: "now-type" }, ` ${type}`) : null,
    paused ? make("strong", { class: "now-paused" }, " paused") : null, ...queueButtons(one)];
}

// What the figures of a queue lack, and what it lost.
function noteOf({ lost, missing_events: missing, unknown_why: why }) {
  return [
    why,
    lost && `${amount(lost, "task")} lost.`,
    missing && `${amount(missing, "start")} of its workers came in no event, so the figures are too low.`,
  ].filter(Boolean).join(" ") || null;
}

function failures({ failed, failed_per_s: value, retried, retried_per_s: again }) {
  return [bad(rate(value), failed), retried ? small(`${rate(again)} retried`) : null];
}

function arrivals({ arrivals_per_s: value, arrivals_counted: counted }) {
  return counted || !value ? rate(value) : make("abbr", { title: "From the starts and the growth of the queue: no task-sent events come" }, `≈ ${rate(value)}`);
}

// Without task-sent events, the wait is known only from the receipt on.
function wait({ waits_from: from }, value) {
  if (from !== "receipt" || value === null) return duration(value);
  return make("abbr", { title: "From the receipt by a worker on: no task-sent events come" }, `≥ ${duration(value)}`);
}

function depth(one, what) {
  const grows = what === "ready" && one.growth_per_s !== null && isGrowth(Math.abs(one.growth_per_s), one.ready);
  const words = grows ? `${one.growth_per_s > 0 ? "+" : "−"}${rate(Math.abs(one.growth_per_s))} /s` : "";
  return make("span", { class: "now-depth" },
    one[what] === null || !one.series[what].length ? null : spark(one.series[what]),
    make("span", {}, count(one[what]), words ? small(words) : null));
}

function isGrowth(perSecond, waiting) {
  return perSecond * 60 >= Math.max(GROWS, GROWS_SHARE * waiting);
}

function empties({ empty_in_s: value, growth_per_s: growth, ready }) {
  if (value === 0) return "empty";
  if (value !== null) return duration(value);
  return growth !== null && isGrowth(growth, ready) ? "grows" : NOT_KNOWN;
}

function avoidable({ avoidable_s_per_min: value, held_by: holders }, called) {
  if (!value || value < 0.05) return "0";
  const words = listed(holders.map(({ worker }) => called(worker)), NAMED);
  return [bad(duration(value), true), words ? small(`by ${words}`) : null];
}

function slots({ slots: all, busy_slots: busy, utilisation }) {
  if (!all) return NOT_KNOWN;
  const words = `${count(busy)} of ${count(all)}`;
  return utilisation === null ? words : [`${words} · ${share(utilisation)}`, meter(utilisation)];
}

// ≤: someone may have taken some of them out since.
function letters({ letters_new: more, letters_waiting: waiting, letters_exact: exact }) {
  if (more === null) return make("abbr", { title: "No worker of this queue counts its dead letters: they do that with proj.delivery" }, NOT_KNOWN);
  const words = waiting === null ? NOT_KNOWN : `${exact || !waiting ? "" : "≤ "}${count(waiting)}`;
  return [bad(words, waiting), more ? small(`${count(more)} new`) : null];
}

function bad(words, really) {
  return really ? make("strong", { class: "dispatch-bad" }, words) : words;
}
