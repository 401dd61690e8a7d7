// Texts on the state of the page: live or not, and how old its figures are.

// Age in seconds from which the data is called old; the server computes new data about every second.
const STALE_S = 5;

// Seconds since the server computed the data; null before the first answer.
export function ageOf({ data, received, lag }, now) {
  return data ? lag + (now - received) / 1000 : null;
}

function ago(age) {
  return age < 90 ? `${Math.round(age)} s ago` : `${Math.round(age / 60)} min ago`;
}

// `kind` says what the page shows, such as "Live".
export function statusOf({ data, paused, trouble }, age, kind) {
  if (!data) return { words: trouble ? "No answer" : "Connecting…", dot: trouble ? "status-dot-error" : "" };
  // The time of day while paused, so that nothing on the page moves.
  if (paused) return { words: `Paused · as of ${new Date(data.as_of * 1000).toLocaleTimeString("en-GB")}`, dot: "" };
  if (trouble) return { words: `No answer · as of ${ago(age)}`, dot: "status-dot-error" };
  if (age > STALE_S) return { words: `Old · as of ${ago(age)}`, dot: "status-dot-error" };
  return { words: `${kind} · as of ${ago(age)}`, dot: "status-dot-live" };
}

// A note when the server answers, but with old data; null otherwise.
export function staleness(age) {
  return age > STALE_S ? `The server has computed nothing new for ${ago(age).replace(" ago", "")}.` : null;
}
