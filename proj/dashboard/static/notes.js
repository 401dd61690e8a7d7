// Notes above the figures: what they cover and what they lack; and first steps, before the first task event.

import { ageOf, staleness } from "./status.js";

const { amount, make } = ProjReport;

const WORKERS = 3;

// Why the figures are not of now.
export function notFresh(state) {
  const { data, trouble, paused } = state;
  return [
    trouble && `${trouble} ${data ? "The page shows its last answer, and" : "The page"} asks again every few seconds.`,
    data && !trouble && !paused && staleness(ageOf(state, performance.now())),
  ].filter(Boolean);
}

// `missing` is a chosen run that is no longer kept.
export function shownNotes(state, missing) {
  const { data } = state;
  const urgent = [
    ...notFresh(state),
    ...(data ? [dropped(data.events), data.events.lost > 0 && lost(data.events), refused(data.events)] : []),
  ].filter(Boolean);
  const told = data ? [
    missing && `Run ${missing} is no longer kept; the newest run is shown.`,
    data.kept.of > data.kept.attempts &&
      `The figures cover the latest ${data.kept.attempts.toLocaleString("en")} of ${amount(data.kept.of, "attempt")}.`,
    ...data.notes,
  ].filter(Boolean) : [];
  return [list(urgent, "urgent"), list(told, "told")];
}

// Events that came and that the figures lack.
export function notTaken({ events }) {
  return [dropped(events), refused(events)].filter(Boolean);
}

function dropped({ dropped: number }) {
  return number > 0 && `${amount(number, "event")} came faster than they could be processed, and were dropped.`;
}

function refused({ refused: number }) {
  return number > 0 && `${amount(number, "event")} were malformed, and were refused.`;
}

function lost({ lost: all, lost_by_worker: byWorker }) {
  const worst = [...byWorker].sort((one, other) => other.lost - one.lost);
  const named = worst.slice(0, WORKERS).map((one) => `${one.worker} ${one.lost.toLocaleString("en")}`);
  const more = worst.length > WORKERS ? [`${worst.length - WORKERS} more`] : [];
  const who = named.length ? ` (${[...named, ...more].join(", ")})` : "";
  return `The figures lack ${amount(all, "start")} that workers counted${who} and for which no event came.`;
}

export function list(notes, kind) {
  if (!notes.length) return null;
  return make("ul", { class: `dispatch-notes ${kind}`, "data-key": kind }, ...notes.map((note) => make("li", {}, note)));
}

export function firstSteps({ source, journal, events }) {
  if (source === "journal") {
    return make("section", { class: "dispatch-card dispatch-empty", "data-key": "empty" },
      make("h2", {}, "This journal has no attempts yet"),
      make("p", {}, `Attempts appear here as soon as they are written to ${journal || "it"}.`));
  }
  const code = (text) => make("code", {}, text);
  const heard = events.heard ? `${amount(events.heard, "event")} came so far, but none of a task.` : "";
  return make("section", { class: "dispatch-card dispatch-empty", "data-key": "empty" },
    make("h2", {}, "No task event has come yet"),
    make("p", {}, `This page shows live which worker runs which task. ${heard}`.trim()),
    make("ol", {},
      make("li", {}, "Start workers that send events: ", code("celery -A yourapp worker -E"), "."),
      make("li", {}, "Let the producer send task-sent events, which show the waits in the broker: ",
        code("task_send_sent_event = True"), "."),
      make("li", {}, "Send tasks; in this project: ", code('celery -A proj send "hello..."'), ".")),
    make("p", {}, "To see two dispatch modes side by side without these steps: ", code("celery -A proj demo"), "."));
}
