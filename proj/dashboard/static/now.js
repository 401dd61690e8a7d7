// The view Now of the Dispatch page: what is so in a rolling window, for work that goes on.

import { showLetters } from "./letters.js";
import { firstSteps, list, notFresh, notTaken } from "./notes.js";
import "./halts.js";
import { announce, keepInAddress, polling, showStatus } from "./poll.js";
import { queueTable } from "./queue_rows.js";
import { ageOf, statusOf } from "./status.js";
import { totals, verdict } from "./verdict.js";
import { workerTable } from "./worker_rows.js";

const { callName, make, patchChildren } = ProjReport;

const find = (name) => document.getElementById(`dispatch-${name}`);
const page = document.getElementById("dispatch");
const [windows, filter] = [find("windows"), find("filter")];
const asked = new URLSearchParams(location.search);
const radio = (value) => windows.querySelector(`[value="${CSS.escape(value)}"]`);

// The chosen window, the words of the filter, and the keys of the closed groups.
let chosen = radio(asked.get("window") || "60") ? asked.get("window") || "60" : "60";
const closed = new Set();
let wasStale = false;
// On a phone, longer groups of what is in order begin closed.
const LONG = 8;
const narrow = window.matchMedia("(max-width: 699.98px)").matches;
radio(chosen).checked = true;
filter.value = asked.get("filter") || "";

const { state, refresh } = polling({
  format: "proj-now",
  address: () => `${page.dataset.url}?window=${chosen}`,
  show,
  showState,
});

function show(data, before) {
  const kinds = ({ sentences: [first] }) => `${first.level} ${first.kind} ${first.queues}`;
  if (!before || kinds(before) !== kinds(data)) announce(data.sentences[0].text);
  if (!before && narrow && data.queues.length > LONG) closed.add("queues-fine");
  if (!before && narrow && data.workers.length > LONG) closed.add("workers-fine");
  keepingFocus(() => showRows(data));
  keepingFocus(() => showLetters(data));
}

function matches(words, ...texts) {
  return texts.some((text) => (text || "").toLowerCase().includes(words));
}

function showRows(data) {
  const words = filter.value.trim().toLowerCase();
  const queues = data.queues.filter(({ name, workers }) => matches(words, name ?? "queue not known", ...workers));
  const workers = data.workers.filter(({ name, queues: its }) => matches(words, name, ...its));
  const called = callName(data.workers.map(({ name }) => name));
  const known = data.broker.away_since === null && !stale().length;
  const none = !data.queues.length && !data.workers.length;
  find("found").textContent = words
    ? `${queues.length} of ${data.queues.length} queues, ${workers.length} of ${data.workers.length} workers` : "";
  const card = (key, title, all, left, table) => make("section", { class: "dispatch-card", "data-key": key, "aria-label": title },
    make("h2", { class: "worker-panel-title" }, title),
    all ? table : make("p", { class: "now-none" }, words ? "None has these words." : "None is known."),
    left ? make("p", { class: "now-none" }, `${left.toLocaleString("en")} more are not listed.`) : null);
  patchChildren(find("queues"), [none ? firstSteps(data)
    : card("queues", "Queues", queues.length, data.queues_left_out, queueTable(queues, { closed, called, known }))]);
  patchChildren(find("workers"), [none ? null
    : card("workers", "Workers", workers.length, data.workers_left_out, workerTable(workers, { closed, called, page, known }))]);
}

function showState() {
  const { data } = state;
  const age = data && !data.live ? 0 : ageOf(state, performance.now());
  showStatus(data && !data.live && !state.trouble && !state.paused
    ? { words: `Recorded journal ${data.journal || ""}`.trim(), dot: "" } : statusOf(state, age, "Live"));
  const [why] = stale();
  patchChildren(find("notes"), [list([...stale(), ...(data ? notTaken(data) : [])], "urgent")]);
  if (wasStale !== !!why && data) showRows(data);
  wasStale = !!why;
  if (!data) return;
  const called = callName(data.workers.map(({ name }) => name));
  keepingFocus(() => patchChildren(find("verdict"), [verdict(data, why, called), totals(data)]));
}

// Why the figures are not of now; a recorded journal is never of now.
function stale() {
  return state.data && !state.data.live && !state.trouble ? [] : notFresh(state);
}

// A row that moves to another place would lose the focus.
function keepingFocus(change) {
  const focused = document.activeElement;
  change();
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function filtered() {
  keepInAddress("filter", filter.value.trim());
  if (state.data) showRows(state.data);
}

windows.addEventListener("change", ({ target }) => {
  chosen = target.value;
  keepInAddress("window", chosen === "60" ? "" : chosen);
  refresh();
});
filter.addEventListener("input", filtered);
page.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.filter !== undefined) {
    filter.value = filter.value === button.dataset.filter ? "" : button.dataset.filter;
    filtered();
  }
  const group = button?.dataset.group;
  if (group && state.data && !button.closest("#dispatch-letters")) {
    if (!closed.delete(group)) closed.add(group);
    keepingFocus(() => showRows(state.data));
  }
});
refresh();
