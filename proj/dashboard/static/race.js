// The view Race of the Dispatch page: one run from its first publish to its last finish.

import { shownGroups } from "./groups.js";
import { firstSteps, shownNotes } from "./notes.js";
import { announce, keepInAddress, polling, showStatus } from "./poll.js";
import { shownQueues } from "./queues.js";
import { kindOf, news, options, shownRun } from "./runs.js";
import { ageOf, statusOf } from "./status.js";
import { linkOf, openBar } from "./tasks.js";

const { draw, patchChildren } = ProjReport;

const find = (name) => document.getElementById(`dispatch-${name}`);
const page = document.getElementById("dispatch");
const select = find("run");

// The chosen run, empty for the newest; a chosen run that is gone; and the report that is drawn.
let chosen = new URLSearchParams(location.search).get("run") || "";
let missing = null;
let drawn = "";

const { state, refresh } = polling({
  format: "proj-dispatch",
  address: () => page.dataset.url + (chosen ? `?run=${encodeURIComponent(chosen)}` : ""),
  show,
  showState,
});

function show(data, before) {
  announce(news(before, data));
  if (chosen && data.run !== chosen) {
    missing = chosen;
    choose("");
  }
  patchChildren(select, options(data));
  select.value = chosen;
  const empty = !data.groups.length && !data.queues.length && !data.report;
  patchChildren(find("now"), empty ? [firstSteps(data)] : [shownGroups(data), shownQueues(data)]);
  const report = JSON.stringify(data.report);
  if (report !== drawn) {
    drawn = report;
    if (data.report) draw(find("report"), data.report, { glance: false, worstFirst: true, openBar, linkOf });
    else find("report").replaceChildren();
  }
}

function showState() {
  showStatus(statusOf(state, ageOf(state, performance.now()), kindOf(state.data)));
  find("shown").textContent = shownRun(state.data);
  patchChildren(find("notes"), shownNotes(state, missing));
}

function choose(run) {
  chosen = run;
  keepInAddress("view", "race");
  keepInAddress("run", run);
}

select.addEventListener("change", () => {
  missing = null;
  choose(select.value);
  refresh();
});

refresh();
