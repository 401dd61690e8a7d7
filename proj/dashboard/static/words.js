// Words: numbers, rates, durations and names as a narrow column has them.

export const NOT_KNOWN = "–";

const known = (value) => value !== null && value !== undefined;

export function count(value) {
  return known(value) ? value.toLocaleString("en") : NOT_KNOWN;
}

export function rate(value) {
  if (!known(value)) return NOT_KNOWN;
  if (value === 0) return "0";
  if (value < 0.01) return "< 0.01";
  const digits = value < 1 ? 2 : value < 20 ? 1 : 0;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

export function duration(value) {
  if (!known(value)) return NOT_KNOWN;
  if (value < 0.0005) return "0 s";
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 9.95) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${(value / 3600).toFixed(1)} h` : `${Math.round(value / 86400)} d`;
}

export function share(value) {
  return known(value) ? `${Math.round(value * 100)} %` : NOT_KNOWN;
}

export function memory(bytes) {
  if (!known(bytes)) return NOT_KNOWN;
  return bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MB` : `${(bytes / 2 ** 30).toFixed(1)} GB`;
}

export function clock(time) {
  const date = new Date(time * 1000);
  return Number.isNaN(date.getTime()) ? NOT_KNOWN : date.toLocaleTimeString("en-GB");
}

export function listed(names, most) {
  return names.length > most ? `${names.slice(0, most).join(", ")} + ${names.length - most}` : names.join(", ");
}
