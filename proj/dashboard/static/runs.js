// Texts on runs: which one is shown, which can be chosen, and what has just changed.

const { amount, make } = ProjReport;

export function kindOf(data) {
  if (!data) return "";
  if (data.source === "journal") return `Journal ${data.journal || ""}`.trim();
  return !data.run ? "Waiting" : data.open ? "Live" : "Complete";
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
