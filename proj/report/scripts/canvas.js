// Canvases as sharp as the screen or the paper, and the lines and texts on them.

const FONT = '12px system-ui, -apple-system, "Segoe UI", sans-serif';

function colours(root) {
  const style = getComputedStyle(root);
  return new Proxy({}, { get: (_, name) => style.getPropertyValue(`--pr-${name}`).trim() });
}

// On paper a picture is as wide as its column there, which can be measured only when it is too late.
function picture(state, description, height, paper, draw) {
  const canvas = make("canvas", { role: "img", "aria-label": description });
  const redraw = () => {
    const width = state.printing ? paper : Math.floor(canvas.parentElement.clientWidth);
    if (width <= 0) return;
    const scale = state.printing ? 2 : window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.font = FONT;
    context.textBaseline = "middle";
    draw(context, width, height, colours(state.root), scale);
  };
  state.pictures.push(redraw);
  canvas.redraw = redraw;
  return canvas;
}

function line(context, ...points) {
  context.beginPath();
  points.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

// A line that keeps its height up to the next point, and steps to that one's height there.
function steps(context, start, points, end) {
  const corners = [start];
  for (const [x, y] of points) corners.push([x, corners.at(-1)[1]], [x, y]);
  line(context, ...corners, [end, corners.at(-1)[1]]);
}

function clipped(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let cut = text;
  while (cut && context.measureText(`${cut}…`).width > room) cut = cut.slice(0, -1);
  return cut && cut.length > 1 ? `${cut}…` : "";
}
