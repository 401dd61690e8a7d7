// Dead letters: how many wait, and after a look their groups by reason, with what may be done to them.

import { ask, listen, may, post } from "./hands.js";
import { letterTable } from "./letter_rows.js";
import { announce } from "./poll.js";
import { clock, count } from "./words.js";

const { amount, make, patchChildren } = ProjReport;

const INTERVAL_MS = 1000;
const page = document.getElementById("dispatch");
const root = document.getElementById("dispatch-letters");

// The counts of the last refresh, the last answer, the marks of chosen letters, closed groups, and shown arguments.
const state = { waiting: null, data: null, busy: false, trouble: null, chosen: new Set(), closed: new Set(), shown: new Map() };

export function showLetters(data) {
  state.waiting = data.live ? data.dead_letters : null;
  draw();
}

async function get(path, fields = {}) {
  const answer = await fetch(`${page.dataset.letters}${path}?${new URLSearchParams(fields)}`, { cache: "no-store", redirect: "manual" })
    .catch(() => null);
  if (!answer) throw new Error("The server does not answer.");
  if (!answer.ok) throw new Error((await answer.text()).trim() || `The server refuses it (${answer.status}).`);
  return answer.json();
}

async function look(again) {
  state.busy = true;
  draw();
  try {
    state.data = await get("", again ? { again: 1 } : {});
    state.trouble = state.data.trouble;
    const marks = new Set((state.data.look?.groups ?? []).flatMap(({ letters }) => letters.map(({ mark }) => mark)));
    for (const mark of state.chosen) if (!marks.has(mark)) state.chosen.delete(mark);
  } catch (error) {
    state.trouble = error.message;
  }
  state.busy = false;
  draw();
  if (isAtWork()) setTimeout(follow, INTERVAL_MS);
}

const isAtWork = () => ["running", "stopping"].includes(state.data?.job?.state);

// Follows a job until it ends, and looks again then.
async function follow() {
  try {
    state.data.job = (await get("/job")).job;
    state.trouble = null;
  } catch (error) {
    state.trouble = error.message;
  }
  if (isAtWork()) {
    draw();
    setTimeout(follow, INTERVAL_MS);
    return;
  }
  announce(state.data.job?.said);
  state.chosen.clear();
  await look(true);
}

// A job has begun, or a file came.
function begun({ job }) {
  if (!job) return false;
  state.data.job = job;
  draw();
  setTimeout(follow, INTERVAL_MS / 4);
  return true;
}
listen("letters", begun);

function draw() {
  const { waiting, data } = state;
  if (!waiting) {
    patchChildren(root, []);
    return;
  }
  patchChildren(root, [make("section", { class: "dispatch-card", "aria-label": "Dead letters" },
    make("h2", { class: "worker-panel-title" }, "Dead letters"),
    make("div", { class: "letters-head", "data-key": "head" },
      make("p", {}, counts(waiting)), waiting.waiting || data ? control(data?.look ? "again" : "look", data?.look ? "Look again" : "Show them", state.busy) : null),
    state.trouble ? make("p", { class: "letters-note urgent", "data-key": "trouble" }, state.trouble) : null,
    data?.job ? progress(data.job) : null,
    data?.look ? shown(data.look) : null)]);
}

function counts({ queue, waiting, new: more }) {
  if (!waiting) return `None waits in ${queue}.`;
  return `${count(waiting)} wait${waiting === 1 ? "s" : ""} in ${queue}${more ? `; ${count(more)} came in these minutes` : ""}.`;
}

function control(does, words, disabled = false) {
  const button = make("button", { type: "button", class: "now-act", "data-key": does, "data-letters": does }, words);
  if (disabled) button.setAttribute("aria-disabled", "true");
  return button;
}

function progress({ state: now, done, failed, total, said }) {
  const going = now === "running" || now === "stopping";
  return make("div", { class: "letters-job", "data-key": "job" },
    going ? make("progress", { max: total, value: done + failed, "aria-label": "Letters that are done" }) : null,
    make("p", {}, said),
    may && now === "running" ? control("cancel", "Cancel") : null);
}

function shown(look) {
  const groups = look.groups.length;
  const read = look.read < look.total ? ` The oldest ${count(look.read)} of ${count(look.total)} were read.` : "";
  const left = look.left_out ? ` ${amount(look.left_out, "letter")} in smaller groups ${look.left_out === 1 ? "is" : "are"} not listed.` : "";
  return make("div", { "data-key": "look" },
    make("p", { class: "letters-note" }, `Looked at ${clock(look.time)}.${read}${left} ${look.warning ?? ""}`.trim()),
    may ? chosen(look) : make("p", { class: "letters-note", "data-key": "why" },
      "The dashboard may only look. To requeue, export or purge letters here, start it with --read_only=false and --basic_auth=user:password."),
    groups ? letterTable(look, { ...state, page }) : null);
}

// What may be done to the chosen letters.
function chosen({ key }) {
  const letters = [...state.chosen];
  if (!letters.length) return null;
  const button = (verb, words, danger) => make("button", {
    type: "button", class: danger ? "now-act danger" : "now-act", "data-key": verb, "data-letters": verb, "data-look": key,
  }, `${words} ${amount(letters.length, "letter")}`);
  return make("div", { class: "letters-chosen", "data-key": "chosen", role: "group", "aria-label": "Chosen letters" },
    button("requeue", "Requeue"), button("export", "Export"), button("purge", "Purge", true), control("none", "Choose none"));
}

async function press({ letters: does, look: key }) {
  if (does === "look" || does === "again") {
    if (!state.busy) await look(does === "again");
  } else if (does === "cancel") {
    try {
      state.data.job = (await post("letters/cancel", {})).job;
    } catch (error) {
      state.trouble = error.message;
    }
    draw();
  } else if (does === "none") {
    state.chosen.clear();
    for (const box of root.querySelectorAll("input[data-mark]")) box.checked = false;
    draw();
  } else {
    ask(`letters/${does}`, { look: key, letter: [...state.chosen] }, begun);
  }
}

async function showArguments(mark) {
  if (state.shown.delete(mark)) {
    draw();
    return;
  }
  state.shown.set(mark, "Asking …");
  draw();
  try {
    state.shown.set(mark, (await get("/arguments", { look: state.data.look.key, letter: mark })).arguments || "none");
  } catch (error) {
    state.shown.set(mark, error.message);
  }
  draw();
}

root.addEventListener("click", ({ target }) => {
  const { dataset } = target.closest("button") ?? {};
  if (dataset?.letters) press(dataset);
  else if (dataset?.arguments !== undefined) showArguments(dataset.arguments);
  else if (dataset?.group) {
    if (!state.closed.delete(dataset.group)) state.closed.add(dataset.group);
    draw();
  }
});
root.addEventListener("change", ({ target }) => {
  if (target.dataset.mark === undefined) return;
  if (target.checked) state.chosen.add(target.dataset.mark);
  else state.chosen.delete(target.dataset.mark);
  draw();
});
