// Colours: 256 of each scale, for the scheme that the reader has chosen

const dark = matchMedia("(prefers-color-scheme: dark)");
let colours = {};

function mixed(a, b, share) {
  const channel = (c, i) => parseInt(c.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mix = [0, 1, 2].map((i) => Math.round(channel(a, i) * (1 - share) + channel(b, i) * share));
  return `rgb(${mix.join()})`;
}

function mixColours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue("--" + name).trim();
  const page = read("page");
  const to = (top) => Array.from({ length: 256 }, (_, q) => mixed(page, top, q / 255));
  const around = Array.from({ length: 256 }, (_, q) =>
    mixed(page, read(q < 127 ? "negative" : "positive"), Math.min(1, Math.abs(q - 127) / 127)));
  colours = { around, gate: to(read("gate")), loss: to(read("loss")), page };
  for (const name of ["ink", "soft", "line", "accent", "panel"]) colours[name] = read(name);
}

/**
 * From bytes to colours: `middle`, which has none, and `reach`, how many levels from there
 * colours are strongest; `low` and `high` are the ends of what there is within. One value
 * in 200 lies beyond the reach; but a gate has all of 0 to 1.
 */
function scaleNow() {
  const v = state.view;
  const { bytes, zero } = values();
  const isGate = Boolean(v.part?.gate);
  const centred = state.centred && !isGate && !v.loss;
  const middle = centred ? Math.round(bytes.reduce((a, b) => a + b, 0) / N) : zero;
  const both = centred || Boolean(v.signed);
  const reach = isGate ? 255 : reached(bytes, middle);
  const colour = both ? colours.around : v.loss ? colours.loss : colours.gate;
  const [origin, end] = both ? [127, 127] : [0, 255];
  const palette = Array.from({ length: 256 }, (_, q) =>
    colour[origin + Math.max(-origin, Math.min(end, Math.round(((q - middle) / reach) * end)))]);
  const ends = isGate ? [0, 255] : extent(bytes);
  const low = both ? Math.max(middle - reach, ends[0]) : middle;
  const high = Math.min(middle + reach, ends[1]);
  return { middle, reach, low, high, both, palette };
}

function extent(bytes) {
  let [low, high] = [255, 0];
  for (let t = 0; t < N; t++) {
    if (bytes[t] < low) low = bytes[t];
    if (bytes[t] > high) high = bytes[t];
  }
  return [low, high];
}

function reached(bytes, middle) {
  const counts = new Uint32Array(256);
  for (let t = 0; t < N; t++) counts[Math.abs(bytes[t] - middle)]++;
  let beyond = 0;
  let level = 255;
  while (level > 1 && beyond + counts[level] <= N / 200) beyond += counts[level--];
  return level;
}

// Canvases

function fitted(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.textBaseline = "alphabetic";
  return context;
}
