// Text of durations, amounts, times of the axis and names of workers.

function seconds(value) {
  if (Math.abs(value) < 0.0005) return "0 s";
  if (Math.abs(value) < 0.0995) return `${(value * 1000).toFixed(0)} ms`;
  const digits = Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0;
  return `${value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })} s`;
}

function amount(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

// The label of a time on an axis that ends at `most` seconds.
function clock(value, most) {
  if (most <= 180) return `${Math.round(value * 1000) / 1000} s`;
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const minutes = `${two((value / 60) % 60)}:${two(value % 60)}`;
  return value >= 3600 || most >= 3600 ? `${Math.floor(value / 3600)}:${minutes}` : minutes;
}

// The time of the day in UTC; empty for a time that no clock shows.
function timeOfDay(time) {
  const date = new Date(time * 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(11, 19);
}

// What each worker is called: the part before the @ where it is unique among them, else its whole name.
function callName(workers) {
  const times = new Map();
  for (const name of workers) times.set(shortName(name), (times.get(shortName(name)) || 0) + 1);
  return (name) => (shortName(name) && times.get(shortName(name)) === 1 ? shortName(name) : name);
}

function shortName(worker) {
  return worker.split("@")[0];
}
