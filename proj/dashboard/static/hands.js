// Hands: the buttons that change something, each after a question that names the count.

import { announce } from "./poll.js";

const { make } = ProjReport;

const page = document.getElementById("dispatch");
const dialog = document.getElementById("dispatch-ask");

// Whether the dashboard may act.
export const may = Boolean(dialog);

// A button; `path` is what it does, such as "queues/pause", and `fields` to what. `more` says it to a screen reader.
export function act(path, fields, words, more, danger = false) {
  if (!may) return null;
  return make("button", {
    type: "button", class: danger ? "now-act danger" : "now-act", "data-key": `${path} ${words}`, "data-act": path,
    "data-fields": JSON.stringify(fields), "aria-label": `${words} ${more}`,
  }, words);
}

// The buttons of a queue's row.
export function queueButtons({ name, paused, workers, is_ours: ours }) {
  if (name === null || !ours) return [];
  const fields = { queue: name };
  return [
    act(paused ? "queues/resume" : "queues/pause", fields, paused ? "Resume" : "Pause", name),
    workers.length ? act("queues/halt", fields, "Halt", `the workers of ${name}`) : null,
  ];
}

// The button of a worker's row.
export function workerButton({ name, state }) {
  return state === "gone" || state === "draining" ? null : act("workers/halt", { worker: name }, "Halt", name);
}

export async function post(path, fields) {
  const body = new URLSearchParams(Object.entries(fields).flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
  body.set("_xsrf", page.dataset.xsrf);
  const answer = await fetch(`${page.dataset.acts}/${path}`, { method: "POST", body, cache: "no-store", redirect: "manual" })
    .catch(() => null);
  if (!answer) throw new Error("The server does not answer.");
  if (!answer.ok) throw new Error((await answer.text()).trim() || `The server refuses it (${answer.status}).`);
  const file = /filename="(.+)"/.exec(answer.headers.get("Content-Disposition") || "");
  return file ? saved(await answer.blob(), file[1]) : answer.json();
}

// Gives the browser a file.
function saved(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  return { outcome: `The file ${name} is on its way.` };
}

function say(words) {
  dialog.querySelector("p").textContent = words;
  announce(words);
}

// What a question offers beside yes and no: another path, which asks its own question.
const OTHERS = { "queues/halt": ["queues/drain", "Wait until it is empty"] };

// Asks, and does it after a yes. `then(answer)` hears of what was begun; it may close the dialog by returning true.
export async function ask(path, fields, then = () => false) {
  const yes = dialog.querySelector("[value=yes]");
  const no = dialog.querySelector("[value=no]");
  const other = dialog.querySelector("[value=other]");
  yes.hidden = other.hidden = true;
  no.textContent = "Close";
  say("Asking …");
  if (!dialog.open) dialog.showModal();
  try {
    const { question, token, yes: words } = await post(path, fields);
    say(question);
    yes.textContent = words;
    no.textContent = "No";
    yes.hidden = false;
    const [otherPath, otherWords] = OTHERS[path] ?? [];
    other.hidden = !otherPath;
    other.textContent = otherWords ?? "";
    other.onclick = () => ask(otherPath, fields, then);
    yes.onclick = async () => {
      yes.hidden = other.hidden = true;
      no.textContent = "Close";
      say("Waiting for the answer …");
      try {
        const answer = await post(path, { ...fields, token });
        say(answer.outcome);
        if (then(answer)) dialog.close();
      } catch (error) {
        say(error.message);
      }
    };
  } catch (error) {
    say(error.message);
  }
}

const listeners = new Map();

// Lets `then(answer)` hear of what is done at paths that begin with `place`.
export function listen(place, then) {
  listeners.set(place, then);
}

page.addEventListener("click", ({ target }) => {
  const { act: path, fields } = target.closest("[data-act]")?.dataset ?? {};
  if (path) ask(path, JSON.parse(fields), listeners.get(path.split("/")[0]));
});
if (dialog) dialog.querySelector("[value=no]").addEventListener("click", () => dialog.close());
