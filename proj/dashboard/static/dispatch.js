// The Dispatch page: asks the server twice a second while its tab is visible, and updates what it shows.

import { shownGroups } from "./groups.js";
import { firstSteps, shownNotes } from "./notes.js";
import { shownQueues } from "./queues.js";
import { ageOf, news, options, shownRun, statusOf } from "./status.js";

const { draw, patchChildren } = ProjReport;

const INTERVAL_MS = 500;
// The longest interval; after each failure in a row, the interval doubles.
const MOST_MS = 5000;
const TIMEOUT_MS = 10000;

const find = (name) => document.getElementById(`dispatch-${name}`);
const page = document.getElementById("dispatch");
const [select, pause] = [find("run"), find("pause")];

// data: the last answer; received and lag: its time and age; chosen: the run, empty for the newest; missing: a chosen
// run that is gone; trouble and failures: the last failure, and how many there were in a row.
const state = { data: null, report: "", received: 0, lag: 0, paused: false, trouble: null, failures: 0, missing: null };
state.chosen = new URLSearchParams(location.search).get("run") || "";

let timer = 0;
let asking = null;

// For tests: how long the last refresh took, from the request to the drawing, and how many there were.
window.projDispatch = { lastRefreshMs: null, refreshes: 0 };

function schedule(wait) {
  clearTimeout(timer);
  if (!state.paused && !document.hidden) timer = setTimeout(refresh, wait);
}

function halt() {
  clearTimeout(timer);
  if (asking) asking.abort();
  asking = null;
}

class Trouble extends Error {}

function because(words) {
  return () => { throw new Trouble(words); };
}

async function ask(signal) {
  const query = state.chosen ? `?run=${encodeURIComponent(state.chosen)}` : "";
  const answer = await fetch(page.dataset.url + query, { cache: "no-store", redirect: "manual", signal })
    .catch(because("The server does not answer."));
  if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
    throw new Trouble("The server asks for a new login: reload this page.");
  }
  if (!answer.ok) throw new Trouble(`The server answers with an error (${answer.status}).`);
  const data = await answer.json().catch(because("The server's answer is not JSON."));
  if (data.format !== "proj-dispatch" || data.version !== 1) {
    throw new Trouble("The server has another version than this page: reload this page.");
  }
  // Both times are of the server's clock, because the browser's may differ.
  const now = Date.parse(answer.headers.get("Date")) / 1000;
  return { data, lag: Math.max(0, (now || data.as_of) - data.as_of) };
}

async function refresh() {
  halt();
  const mine = asking = new AbortController();
  const late = setTimeout(() => mine.abort(), TIMEOUT_MS);
  const begun = performance.now();
  try {
    const { data, lag } = await ask(mine.signal);
    if (mine !== asking) return;
    Object.assign(state, { lag, received: performance.now(), trouble: null, failures: 0 });
    show(data);
    window.projDispatch.lastRefreshMs = performance.now() - begun;
    window.projDispatch.refreshes += 1;
  } catch (error) {
    if (mine !== asking) return;
    fail(error instanceof Trouble ? error.message : "This page cannot show the server's answer.");
    if (!(error instanceof Trouble)) console.error(error);
  } finally {
    clearTimeout(late);
    if (mine === asking) {
      asking = null;
      schedule(Math.min(MOST_MS, INTERVAL_MS * 2 ** state.failures));
    }
  }
}

function show(data) {
  announce(news(state.data, data));
  if (state.chosen && data.run !== state.chosen) {
    state.missing = state.chosen;
    choose("");
  }
  state.data = data;
  patchChildren(select, options(data));
  select.value = state.chosen;
  const empty = !data.groups.length && !data.queues.length && !data.report;
  patchChildren(find("now"), empty ? [firstSteps(data)] : [shownGroups(data), shownQueues(data)]);
  const report = JSON.stringify(data.report);
  if (report !== state.report) {
    state.report = report;
    if (data.report) draw(find("report"), data.report, { glance: false });
    else find("report").replaceChildren();
  }
  showState();
}

function fail(trouble) {
  if (!state.trouble) announce(trouble);
  state.trouble = trouble;
  state.failures += 1;
  showState();
}

// Show the parts that change by the clock alone.
function showState() {
  const { words, dot } = statusOf(state, ageOf(state, performance.now()));
  find("status").textContent = words;
  find("dot").className = `status-dot ${dot}`;
  find("shown").textContent = shownRun(state.data);
  patchChildren(find("notes"), shownNotes(state));
}

// A screen reader reads this out, so it is set only when something has happened.
function announce(words) {
  if (words) find("news").textContent = words;
}

function choose(run) {
  state.chosen = run;
  const address = new URL(location.href);
  if (run) address.searchParams.set("run", run);
  else address.searchParams.delete("run");
  history.replaceState(null, "", address);
}

select.addEventListener("change", () => {
  state.missing = null;
  choose(select.value);
  refresh();
});

pause.addEventListener("click", () => {
  state.paused = !state.paused;
  pause.setAttribute("aria-pressed", state.paused);
  if (state.paused) halt();
  else refresh();
  showState();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) halt();
  else if (!state.paused) refresh();
});

setInterval(() => { if (!state.paused && !document.hidden) showState(); }, INTERVAL_MS);
refresh();
