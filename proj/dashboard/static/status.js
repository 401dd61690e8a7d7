// Texts on the state of the page: which run, how old, and what has just changed.

const { amount, make } = ProjReport;

// Age in seconds from which the data is called old; the server computes new data about every second.
const STALE_S = 5;

// Seconds since the server computed the data; null before the first answer.
export function ageOf({ data, received, lag }, now) {
  return data ? lag + (now - received) / 1000 : null;
}

function ago(age) {
  return age < 90 ? `${Math.round(age)} s ago` : `${Math.round(age / 60)} min ago`;
}

export function statusOf({ data, paused, trouble }, age) {
  if (!data) return { words: trouble ? "No answer" : "Connecting…", dot: trouble ? "status-dot-error" : "" };
  // The time of day while paused, so that nothing on the page moves.
  if (paused) return { words: `Paused · as of ${new Date(data.as_of * 1000).toLocaleTimeString("en-GB")}`, dot: "" };
  if (trouble) return { words: `No answer · as of ${ago(age)}`, dot: "status-dot-error" };
  if (age > STALE_S) return { words: `Old · as of ${ago(age)}`, dot: "status-dot-error" };
  const kind = data.source === "journal" ? `Journal ${data.journal || ""}`.trim()
    : !data.run ? "Waiting" : data.open ? "Live" : "Complete";
  return { words: `${kind} · as of ${ago(age)}`, dot: "status-dot-live" };
}

// A note when the server answers, but with old data; null otherwise.
export function staleness(age) {
  return age > STALE_S ? `The server has computed nothing new for ${ago(age).replace(" ago", "")}.` : null;
}

// Empty for an invalid time, which anyone who can publish could send.
function utc(time) {
  const date = new Date(time * 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, 19).replace("T", " ");
}

export function shownRun(data) {
  const run = data && data.runs.find((one) => one.name === data.run);
  if (!run) return "";
  const began = run.name === utc(run.began) ? "" : `began ${utc(run.began)} UTC, `;
  return `${run.name}${began ? " · " : " UTC · "}${began}${amount(run.attempts, "attempt")}`;
}

// Without the counts of attempts, because a list that changes every second is hard to choose from.
export function options(data) {
  return [
    make("option", { value: "", "data-key": "newest" }, "Follow the newest run"),
    ...data.runs.map(({ name, ended }) =>
      make("option", { value: name, "data-key": `run ${name}` }, ended === null ? `${name} (going on)` : name)),
  ];
}

export function news(before, data) {
  if (!before) return null;
  if (before.generation !== data.generation) return "The dashboard was restarted.";
  if (before.run !== data.run && data.run) return `Now shown: run ${data.run}.`;
  if (before.open && !data.open) return `Run ${data.run} is complete.`;
  return null;
}
