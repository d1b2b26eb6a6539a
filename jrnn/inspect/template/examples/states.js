// Below what is read: answers of each step, the unit, and all units of its layer

const ROWS = 64; // units at most
let textHigh = 0; // of an example that is a text, which leaves room if it is short

function parts() {
  const small = frame.clientHeight < 520;
  const units = Math.min(ROWS, state.ranking.length);
  const answers = OF_STEPS ? (IS_KNOWN ? 66 : 22) : 0;
  const trace = small ? 54 : 84;
  const free = about.pieces ? frame.clientHeight - Math.max(120, textHigh) - answers - trace - 46 : 0;
  const each = Math.max(1, Math.min(free > 130 ? 20 : 10, Math.floor(Math.max(small ? 70 : 130, free) / units)));
  return { answers, trace, units, each, high: answers + trace + units * each + 6 };
}

function drawStates() {
  const { answers, trace, units, each, high } = parts();
  const context = fitted(by("states"), frame.clientWidth, high);
  context.fillStyle = colours.page;
  context.fillRect(0, 0, frame.clientWidth, high);
  if (answers) drawAnswers(context, answers);
  drawUnit(context, answers, trace);
  drawLayer(context, answers + trace, units, each);
  drawCursor(context, high);
}

// A class for each step

const classColour = (c) => (c < classes.length ? `hsl(${(c * 137.5 + 200) % 360} 50% ${dark.matches ? 42 : 68}%)` : colours.line);

function drawAnswers(context, high) {
  const first = starts[state.example];
  if (IS_KNOWN) drawClasses(context, "true", (s) => target(first + s), 3);
  drawClasses(context, "answered", (s) => answer(first + s), IS_KNOWN ? 18 : 3);
  if (IS_KNOWN) {
    drawName(context, "p of true", 47);
    const yOf = (p) => high - 6 - p * (high - 42);
    cutTo(context, 0, high);
    drawLine(context, (s) => Math.exp(-costOf(first + s)), lengths[state.example], yOf, colours.accent);
    context.restore();
  }
  context.fillStyle = colours.line;
  context.fillRect(0, high - 1, frame.clientWidth, 1);
}

/** Runs of equal classes; of many steps to a pixel the first of them. */
function drawClasses(context, name, of, y) {
  drawName(context, name, y + 11);
  cutTo(context, y, 14);
  const count = lengths[state.example];
  const stride = Math.max(1, Math.floor(1 / width()));
  let from = firstSeen();
  for (let s = from; s <= lastSeen(count); s += stride) {
    const next = s + stride;
    if (next <= lastSeen(count) && of(next) === of(from)) continue;
    const [x, end] = [left(from), left(Math.min(count, next))];
    context.fillStyle = classColour(of(from));
    context.fillRect(x, y, end - x + 0.3, 13);
    const label = className(of(from));
    context.font = `11px ${sans}`;
    if (end - x > 14 && context.measureText(label).width < end - x - 4) {
      context.fillStyle = colours.ink;
      context.fillText(label, Math.max(x, gutter()) + 3, y + 10.5);
    }
    from = next;
  }
  context.restore();
}

// The unit

function drawUnit(context, top, high) {
  const { bytes, zero, step } = values();
  const [first, count] = [starts[state.example], lengths[state.example]];
  const [low, most] = state.view.part?.gate ? [0, 255] : reachOf(bytes);
  const yOf = (byte) => top + high - 5 - ((byte - low) / Math.max(1, most - low)) * (high - 10);
  const name = state.view.part ? `unit ${state.unit}` : state.view.loss ? "loss" : "whole layer";
  drawName(context, name, top + 16);
  drawName(context, short((most - zero) * step), top + 32, colours.soft, 11);
  drawName(context, short((low - zero) * step), top + high - 7, colours.soft, 11);
  cutTo(context, top, high);
  drawStripe(context, bytes, first, count, top + 1, high - 2);
  context.fillStyle = colours.soft;
  context.globalAlpha = 0.5;
  context.fillRect(gutter(), yOf(state.scale.middle), room(), 1);
  context.globalAlpha = 1;
  drawLine(context, (s) => bytes[first + s], count, yOf, colours.ink);
  context.restore();
}

let reach = [0, 255];
let reachFor = null;
function reachOf(bytes) {
  if (reachFor !== bytes) [reach, reachFor] = [extent(bytes), bytes];
  return reach;
}

/** Colours of the steps behind the line. */
function drawStripe(context, bytes, first, count, top, high) {
  const stride = Math.max(1, Math.floor(1 / width()));
  context.globalAlpha = 0.75;
  let from = firstSeen();
  for (let s = from; s <= lastSeen(count); s += stride) {
    const next = s + stride;
    if (next <= lastSeen(count) && bytes[first + next] === bytes[first + from]) continue;
    context.fillStyle = state.scale.palette[bytes[first + from]];
    context.fillRect(left(from), top, left(Math.min(count, next)) - left(from) + 0.5, high);
    from = next;
  }
  context.globalAlpha = 1;
}

// All units of the layer, as an image of a pixel for each column and unit

const image = document.createElement("canvas");
const packed = { of: null, around: null, gate: null };

function palettes() {
  if (packed.of !== colours) {
    const pack = (list) => Uint32Array.from(list, (c) => {
      const [r, g, b] = c.match(/\d+/g).map(Number);
      return (255 << 24) | (b << 16) | (g << 8) | r; // little-endian
    });
    Object.assign(packed, { of: colours, around: pack(colours.around), gate: pack(colours.gate) });
  }
  return packed;
}

function drawLayer(context, top, units, each) {
  const v = ranked();
  const across = Math.max(1, Math.floor(room()));
  drawName(context, "all units", top + 15);
  if (units < state.ranking.length) drawName(context, `first ${units}`, top + 29, colours.soft, 11);
  image.width = across;
  image.height = units;
  const pixels = new ImageData(across, units);
  const colour = new Uint32Array(pixels.data.buffer);
  const palette = v.signed ? palettes().around : palettes().gate;
  const until = performance.now() + 15; // to decode arrays; the others have the next frame
  for (let row = 0; row < units; row++) {
    const name = `${v.id}-${state.ranking[row]}`;
    if (!decoded.has(name) && performance.now() > until) {
      redraw();
      break;
    }
    fillRow(colour.subarray(row * across, (row + 1) * across), array(name), palette);
  }
  const inside = image.getContext("2d");
  inside.putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(image, gutter(), top + 3, across, units * each);
  drawChosen(context, top + 3, each);
}

/** The mean of the steps in each column. */
function fillRow(colour, bytes, palette) {
  const [first, count] = [starts[state.example], lengths[state.example]];
  const per = state.span / colour.length;
  for (let x = 0; x < colour.length; x++) {
    const a = Math.floor(state.from + x * per);
    const b = Math.min(count, Math.max(a + 1, Math.floor(state.from + (x + 1) * per)));
    if (a >= count) break; // ahead of what was read
    let sum = 0;
    for (let s = a; s < b; s++) sum += bytes[first + s];
    colour[x] = palette[Math.round(sum / (b - a))];
  }
}

function drawChosen(context, top, each) {
  const row = state.ranking.indexOf(state.unit);
  if (row < 0 || row >= ROWS || !state.view.part) return;
  context.fillStyle = colours.ink;
  const y = top + (row + 0.5) * each;
  context.beginPath();
  context.moveTo(gutter() - 8, y - 4);
  context.lineTo(gutter() - 2, y);
  context.lineTo(gutter() - 8, y + 4);
  context.fill();
}

/** The unit whose row is under a point of the canvas, or -1. */
function unitUnder(y) {
  const { answers, trace, units, each } = parts();
  const row = Math.floor((y - answers - trace - 3) / each);
  return row >= 0 && row < units ? state.ranking[row] : -1;
}
