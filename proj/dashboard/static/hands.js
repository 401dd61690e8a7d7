// Hands: pauses and resumes a queue, after a question that names the count.

import { announce } from "./poll.js";

const { make } = ProjReport;

const page = document.getElementById("dispatch");
const dialog = document.getElementById("dispatch-ask");

// The button of a queue's row; none where the dashboard may not act.
export function button({ name, paused, is_ours: ours }) {
  if (!dialog || name === null || !ours) return null;
  const verb = paused ? "resume" : "pause";
  const word = paused ? "Resume" : "Pause";
  return make("button", {
    type: "button", class: "now-act", "data-act": verb, "data-queue": name, "aria-label": `${word} ${name}`,
  }, word);
}

async function post(verb, fields) {
  const body = new URLSearchParams({ ...fields, _xsrf: page.dataset.xsrf });
  const answer = await fetch(page.dataset[verb], { method: "POST", body, cache: "no-store", redirect: "manual" })
    .catch(() => null);
  if (!answer) throw new Error("The server does not answer.");
  if (!answer.ok) throw new Error((await answer.text()).trim() || `The server refuses it (${answer.status}).`);
  return answer.json();
}

// What became of it, in one sentence.
function outcome(verb, queue, { done, workers }) {
  const followed = workers.filter((one) => one.followed).length;
  const said = `${queue} is ${verb === "pause" ? "paused" : "resumed"}: ${followed} of ${workers.length} workers follow.`;
  return done ? said : `${said} The others do not answer, or cannot do it.`;
}

function say(words) {
  dialog.querySelector("p").textContent = words;
  announce(words);
}

async function act(verb, queue) {
  const yes = dialog.querySelector("[value=yes]");
  yes.hidden = true;
  say(`Asking about ${queue} …`);
  dialog.showModal();
  try {
    const { question, token } = await post(verb, { queue });
    say(question);
    yes.textContent = verb === "pause" ? "Pause it" : "Resume it";
    yes.hidden = false;
    yes.onclick = async () => {
      yes.hidden = true;
      say("Waiting for the workers …");
      try {
        say(outcome(verb, queue, await post(verb, { queue, token })));
      } catch (error) {
        say(error.message);
      }
    };
  } catch (error) {
    say(error.message);
  }
}

page.addEventListener("click", ({ target }) => {
  const pressed = target.closest("[data-act]");
  if (pressed) act(pressed.dataset.act, pressed.dataset.queue);
});
if (dialog) dialog.querySelector("[value=no]").addEventListener("click", () => dialog.close());
