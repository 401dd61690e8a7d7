// Notes above the figures: what they are of and what is missing; and the first steps, where nothing was heard yet.

import { ageOf, staleness } from "./status.js";

const { amount, make } = ProjReport;

const WORKERS = 3;

export function shownNotes(state) {
  const { data, trouble, missing, paused } = state;
  const urgent = [
    trouble && `${trouble} ${data ? "What is shown is the last that it said; it" : "It"} is asked again every few seconds.`,
    data && !trouble && !paused && staleness(ageOf(state, performance.now())),
    data && data.events.dropped > 0 &&
      `${amount(data.events.dropped, "event")} came faster than they could be taken, and were dropped.`,
    data && data.events.lost > 0 && lost(data.events),
    data && data.events.refused > 0 &&
      `${amount(data.events.refused, "event")} made no sense, and were refused.`,
  ].filter(Boolean);
  const told = data ? [
    missing && `Run ${missing} is not kept any more; this is the newest.`,
    data.kept.of > data.kept.attempts &&
      `All figures are of the latest ${data.kept.attempts.toLocaleString("en")} of ${amount(data.kept.of, "attempt")}.`,
    ...data.notes,
  ].filter(Boolean) : [];
  return [list(urgent, "urgent"), list(told, "told")];
}

function lost({ lost: all, lost_by_worker: byWorker }) {
  const worst = [...byWorker].sort((one, other) => other.lost - one.lost);
  const named = worst.slice(0, WORKERS).map((one) => `${one.worker} ${one.lost.toLocaleString("en")}`);
  const more = worst.length > WORKERS ? [`${worst.length - WORKERS} more`] : [];
  const who = named.length ? ` (${[...named, ...more].join(", ")})` : "";
  return `${amount(all, "start")} that workers counted${who} came in no event: the figures lack them.`;
}

function list(notes, kind) {
  if (!notes.length) return null;
  return make("ul", { class: `dispatch-notes ${kind}`, "data-key": kind }, ...notes.map((note) => make("li", {}, note)));
}

export function firstSteps({ source, journal, events }) {
  if (source === "journal") {
    return make("section", { class: "dispatch-card dispatch-empty", "data-key": "empty" },
      make("h2", {}, "No attempt is in this journal yet"),
      make("p", {}, `As soon as one is written to ${journal || "it"}, it is shown here.`));
  }
  const code = (text) => make("code", {}, text);
  const heard = events.heard ? `${amount(events.heard, "event")} came so far, none of them of a task.` : "";
  return make("section", { class: "dispatch-card dispatch-empty", "data-key": "empty" },
    make("h2", {}, "No task was heard of yet"),
    make("p", {}, `This page shows who works on what as soon as it happens. ${heard}`.trim()),
    make("ol", {},
      make("li", {}, "Start workers that send events: ", code("celery -A yourapp worker -E"), "."),
      make("li", {}, "Have the sender tell when it sends, for the waits in the broker: ",
        code("task_send_sent_event = True"), "."),
      make("li", {}, "Send tasks. Here, that is ", code('celery -A proj send "hello..."'), ".")),
    make("p", {}, "To see two dispatch modes beside each other without any of this: ", code("celery -A proj demo"), "."));
}
