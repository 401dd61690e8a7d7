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

function shortName(worker) {
  return worker.split("@")[0];
}
