// Tasks: searches for them, and shows all attempts of one in a dialog.

import { act, may } from "./hands.js";
import { announce, keepInAddress } from "./poll.js";

const { make } = ProjReport;

const find = (name) => document.getElementById(`dispatch-${name}`);
const page = document.getElementById("dispatch");
const [form, words, said, list] = [find("search"), find("search-words"), find("search-said"), find("tasks")];
const [dialog, title, body] = [find("task"), find("task-title"), find("task-body")];
// The times of an attempt, in the order in which they come.
const TIMES = ["sent", "eta", "received", "started", "finished"];

// Date and time in UTC; a dash for a time that no clock shows.
function utc(time, digits = 0) {
  const date = new Date(time * 1000);
  if (time === null || Number.isNaN(date.getTime())) return "–";
  return date.toISOString().slice(0, digits ? 20 + digits : 19).replace("T", " ");
}

async function ask(address) {
  const answer = await fetch(address, { cache: "no-store", redirect: "manual" }).catch(() => null);
  if (!answer) throw new Error("The server does not answer.");
  if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
    throw new Error("The server asks for a new login: reload this page.");
  }
  if (!answer.ok) throw new Error(answer.status === 400 || answer.status === 503 ? (await answer.text()).trim() : `The server answers with an error (${answer.status}).`);
  return answer.json();
}

// A link to the attempts of a task; its address does the same in another tab.
export function linkOf(task, text) {
  const address = new URL(location.href);
  address.searchParams.set("task", task);
  return make("a", { href: address.search, "data-task": task, title: `Attempts of ${task}` }, text);
}

function flowers(task, text) {
  return make("a", { href: page.dataset.task + encodeURIComponent(task), "aria-label": `Flower's page of ${task}` }, text);
}

function table(attempts) {
  const columns = [
    ["task", ({ id }) => linkOf(id, id)],
    ["attempt", ({ number, of }) => `${number} of ${of}`],
    ["name", ({ name }) => name || "–"],
    ["queue", ({ queue }) => queue || "–"],
    ["worker", ({ worker }) => worker || "–"],
    ["first event (UTC)", (one) => utc(TIMES.filter((name) => name !== "eta").map((name) => one[name]).find((time) => time !== null) ?? null)],
    ["what became of it", ({ outcome }) => outcome],
    ...(attempts.some((one) => "arguments" in one) ? [["arguments", (one) => one.arguments || "–"]] : []),
    ["Flower", ({ id }) => flowers(id, "page")],
  ];
  // Focusable, so that the keyboard can scroll a table that is wider than the screen.
  return make("div", { class: "dispatch-scroll", tabindex: "0", role: "group", "aria-label": "Attempts that were found" },
    make("table", { class: "dispatch-table task-table" },
      make("caption", {}, "Attempts that were found"),
      make("thead", {}, make("tr", {}, ...columns.map(([head]) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...attempts.map((one) => make("tr", {}, ...columns.map(([head, cell], place) =>
        make(place ? "td" : "th", { ...(place ? {} : { scope: "row" }), "data-label": head }, cell(one))))))));
}

function attempt(one) {
  const times = TIMES.filter((name) => one[name] !== null).map((name) =>
    make("div", {}, make("dt", {}, name === "eta" ? "may start" : name), make("dd", {}, utc(one[name], 3))));
  return make("li", {},
    make("h3", {}, `Attempt ${one.number}: ${one.worker || "no worker yet"}`),
    make("p", { class: "task-outcome" }, one.outcome),
    make("p", { class: "task-about" }, [one.name || "name not known", one.queue || "queue not known",
      one.redelivered ? "redelivered" : "", one.retries ? `retry ${one.retries}` : ""].filter(Boolean).join(" · ")),
    make("dl", {}, ...times),
    one.arguments ? make("pre", { tabindex: "0", "aria-label": "Arguments" }, one.arguments) : null);
}

// The button that sends a failed task again, with the rule for which tasks it does.
function again(task, attempts) {
  if (attempts.at(-1)?.state !== "failed") return null;
  return make("div", { class: "task-again" },
    act("tasks/retry", { task }, "Send it again", task),
    make("p", { class: "task-about" }, may ? dialog.dataset.rule : `${dialog.dataset.rule} For that the dashboard needs --read_only=false and --basic_auth=user:password.`));
}

// How often something was shown: an answer that comes late must not take the place of a later one.
let shows = 0;

// Shows in the dialog what `load` returns: a title, what is said of it, and elements.
async function show(heading, load) {
  const mine = shows += 1;
  title.textContent = heading;
  body.replaceChildren(make("p", {}, "Looking …"));
  if (!dialog.open) dialog.showModal();
  try {
    const elements = await load();
    if (mine !== shows) return;
    body.replaceChildren(...elements.filter((one) => one !== null));
  } catch (error) {
    if (mine !== shows) return;
    body.replaceChildren(make("p", { class: "dispatch-bad" }, error.message));
  }
  announce(body.querySelector("p")?.textContent);
}

export function openTask(task) {
  keepInAddress("task", task);
  return show(`Task ${task}`, async () => {
    const found = await ask(page.dataset.attempts + encodeURIComponent(task));
    return [
      make("p", {}, found.said),
      make("p", {}, found.in_flower ? flowers(task, "Flower's page of this task") : found.flower_said),
      again(task, found.attempts),
      make("ol", { class: "task-attempts" }, ...found.attempts.map(attempt)),
    ];
  });
}

// What a worker started between two times, in seconds since the epoch: one task, or those of a bar of several.
export function openBar(worker, since, until) {
  return show(`Started by ${worker} at ${utc(since)} UTC`, async () => {
    const query = new URLSearchParams({ worker, since: since.toFixed(3), until: until.toFixed(3) });
    const found = await ask(`${page.dataset.tasks}?${query}`);
    const tasks = [...new Set(found.attempts.map(({ id }) => id))];
    if (tasks.length === 1) {
      openTask(tasks[0]);
      return [];
    }
    return [make("p", {}, found.said), tasks.length ? table(found.attempts) : null];
  });
}

let asked = 0;

async function search() {
  const mine = asked += 1;
  keepInAddress("words", words.value.trim());
  list.replaceChildren();
  said.textContent = "";
  if (!words.value.trim()) return;
  said.textContent = "Searching …";
  try {
    const found = await ask(`${page.dataset.tasks}?${new URLSearchParams({ words: words.value })}`);
    if (mine !== asked) return;
    said.textContent = found.said;
    if (found.attempts.length) list.replaceChildren(table(found.attempts));
  } catch (error) {
    if (mine === asked) said.textContent = error.message;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
// At once, and without a fragment in the address, which would lead here again at each reload.
find("find").addEventListener("click", (event) => {
  event.preventDefault();
  words.scrollIntoView({ block: "center", behavior: "instant" });
  words.focus({ preventScroll: true });
});
dialog.addEventListener("close", () => keepInAddress("task", ""));
find("task-close").addEventListener("click", () => dialog.close());
page.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-task]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  openTask(link.dataset.task);
});
const begun = new URLSearchParams(location.search);
words.value = begun.get("words") || "";
if (words.value) search();
if (begun.get("task")) openTask(begun.get("task"));
