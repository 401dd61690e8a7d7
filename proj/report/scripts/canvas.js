// Canvases with the resolution of the screen or the paper, and the lines and texts on them.

const FONT = '12px system-ui, -apple-system, "Segoe UI", sans-serif';

function colours(root) {
  const style = getComputedStyle(root);
  const known = {};
  return new Proxy(known, { get: (_, name) => (known[name] ??= style.getPropertyValue(`--pr-${name}`).trim()) });
}

// A canvas: redraw() draws it, and adopt() takes over the drawing function of a newer one.
function drawing(attributes, draw) {
  const canvas = make("canvas", attributes);
  canvas.draw = draw;
  canvas.redraw = () => canvas.draw(canvas);
  canvas.adopt = (fresh) => { canvas.draw = fresh.draw; };
  return canvas;
}

function sheet(canvas, width, height, scale) {
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return context;
}

// On paper a picture has the fixed width `paper`: the width of its column there cannot be measured before printing.
function picture(state, description, height, paper, draw) {
  return drawing({ role: "img", "aria-label": description }, (canvas) => {
    const width = state.printing ? paper : Math.floor(canvas.parentElement.clientWidth);
    if (width <= 0) return;
    const scale = state.printing ? 2 : window.devicePixelRatio || 1;
    const context = sheet(canvas, width, height, scale);
    context.font = FONT;
    context.textBaseline = "middle";
    draw(context, width, height, colours(state.root), scale);
  });
}

function line(context, ...points) {
  context.beginPath();
  points.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

// A step line: it keeps the height of a point until the next point.
function steps(context, start, points, end) {
  const corners = [start];
  for (const [x, y] of points) corners.push([x, corners.at(-1)[1]], [x, y]);
  line(context, ...corners, [end, corners.at(-1)[1]]);
}

// Cut in the middle: names of workers are alike at their begin, and differ at their end.
function squeezed(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  for (let kept = text.length - 1; kept > 1; kept -= 1) {
    const tail = Math.ceil(kept * 0.6);
    const cut = `${text.slice(0, kept - tail)}…${text.slice(text.length - tail)}`;
    if (context.measureText(cut).width <= room) return cut;
  }
  return "";
}

function clipped(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let cut = text;
  while (cut && context.measureText(`${cut}…`).width > room) cut = cut.slice(0, -1);
  return cut && cut.length > 1 ? `${cut}…` : "";
}
