// Sparklines: a short series as a line without axes; the number beside it is its last value.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 56;
const TALL = 18;

function make(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// The lines between the known points; where nothing is known, there is a gap.
function path(values, most) {
  let pen = "M";
  let words = "";
  values.forEach((value, place) => {
    if (value === null || value === undefined) {
      pen = "M";
      return;
    }
    const x = 1 + (WIDE - 2) * place / Math.max(1, values.length - 1);
    const y = TALL - 1.5 - (TALL - 3) * value / most;
    words += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return words;
}

// Its column says what it is, and the number what it comes to, so it has no name of its own.
export function spark(values) {
  const most = values.reduce((one, other) => Math.max(one, other || 0), 1);
  return make("svg", { class: "now-spark", viewBox: `0 0 ${WIDE} ${TALL}`, "aria-hidden": "true" },
    make("path", { d: path(values, most) }));
}
