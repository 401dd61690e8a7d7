// Halts: which workers were told to halt, or what their queue waits for before.

import { listen, may, post } from "./hands.js";
import { announce } from "./poll.js";

const { make, patchChildren } = ProjReport;

const INTERVAL_MS = 1000;
// Seconds for which a halt that has ended is shown.
const SHOWN_S = 300;
const page = document.getElementById("dispatch");
const root = document.getElementById("dispatch-halts");
let halts = [];
let timer = 0;

const goesOn = ({ ended }) => ended === null;

async function follow() {
  const answer = await fetch(page.dataset.halts, { cache: "no-store", redirect: "manual" }).catch(() => null);
  if (answer?.ok) take((await answer.json()).halts);
  else if (halts.some(goesOn)) again();
}

function again() {
  clearTimeout(timer);
  timer = setTimeout(follow, INTERVAL_MS);
}

function take(fresh) {
  const before = new Map(halts.map((one) => [one.key, one]));
  for (const one of fresh) if (!goesOn(one) && before.has(one.key) && goesOn(before.get(one.key))) announce(one.said);
  halts = fresh;
  const shown = halts.filter((one) => goesOn(one) || one.ended > Date.now() / 1000 - SHOWN_S);
  patchChildren(root, shown.length ? [make("section", { class: "dispatch-card", "aria-label": "Halting" },
    make("h2", { class: "worker-panel-title" }, "Halting"),
    ...shown.map(row))] : []);
  if (halts.some(goesOn)) again();
}

function row(one) {
  const { key, workers, stopped, told, said } = one;
  return make("div", { class: "letters-job", "data-key": key },
    goesOn(one) && told ? make("progress", { max: workers.length, value: stopped.length, "aria-label": "Workers that have stopped" }) : null,
    make("p", {}, said),
    may && goesOn(one) && !told ? make("button", { type: "button", class: "now-act", "data-cancel": key }, "Cancel") : null);
}

function begun({ halts: fresh }) {
  if (!fresh) return false;
  take(fresh);
  root.scrollIntoView({ block: "nearest" });
  return true;
}
listen("workers", begun);
listen("queues", begun);

root.addEventListener("click", async ({ target }) => {
  const key = target.closest("[data-cancel]")?.dataset.cancel;
  if (key) await post("queues/cancel", { key }).then(begun, ({ message }) => announce(message));
});
follow();
