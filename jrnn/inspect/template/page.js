"use strict";
// Shows the arrays of this page: a text on a canvas, coloured by one of them at a time.
// Texts only ever reach the page as text (textContent, fillText), never as HTML.

const by = (id) => document.getElementById(id);
const about = JSON.parse(by("about").textContent);

// Arrays, decoded when they are first asked for

const KINDS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array };
const decoded = new Map();

function array(name) {
  let found = decoded.get(name);
  if (!found) {
    const element = by("a-" + name);
    if (!element) return null;
    const text = atob(element.textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    found = new KINDS[element.dataset.kind](bytes.buffer); // little-endian, as all are now
    if (decoded.size > 200) decoded.delete(decoded.keys().next().value);
    decoded.set(name, found);
  }
  return found;
}

const N = about.count;
const K = about.guesses;
const tokens = array("tokens");
const shown = about.glyphs ? array("shown") : tokens; // of bytes, some have no glyph
const nats = array("nats");
const guesses = array("guesses"); // rank k of token t at k * N + t
const chances = array("chances");
const ONE = { char: "character", byte: "byte", word: "word" }[about.level];
const KIND_NAMES = { lstm: "LSTM", gru: "GRU", elman: "simple", irnn: "IRNN" };

// What is shown now

const state = {
  view: null, // what colours the text
  unit: 0, // of its part, where it has units
  states: null, // the last view that had units
  feature: "any",
  cursor: 0,
  hover: -1,
  guesses: false,
  ranking: [],
  reach: 255, // levels from zero at which colours are strongest
};

// Views: everything that can colour the text

const views = [];
about.layers.forEach((layer, place) => {
  const name = about.layers.length > 1 ? `layer ${place + 1}` : "layer";
  const of = `${KIND_NAMES[layer.kind] || layer.kind} ${name}`;
  for (const part of layer.parts) {
    const id = `${place}-${part.key}`;
    views.push({ id, of, place, layer, part, label: part.label, signed: !part.gate });
  }
  for (const whole of layer.whole) {
    const id = `${place}-${whole.key}`;
    views.push({ id, of, place, layer, whole, label: `whole layer: ${whole.label}` });
  }
});
views.push({ id: "loss", of: "Model", label: `loss of each ${ONE}`, loss: true });

const view = (id) => views.find((v) => v.id === id);

/** Values of the text under a view: bytes, and value = (byte - zero) * step. */
function values() {
  const v = state.view;
  if (v.loss) return { bytes: lossBytes(), zero: 0, step: about.nats.step * 257 };
  if (v.whole) return { bytes: array(v.id), zero: 0, step: v.whole.step };
  const place = v.part.units.indexOf(state.unit);
  const zero = v.signed ? 127 : 0;
  return { bytes: array(`${v.id}-${state.unit}`), zero, step: v.part.steps[place] };
}

let lossInBytes = null; // for colours; numbers are read from all 16 bits
function lossBytes() {
  lossInBytes ||= Uint8Array.from(nats, (n) => Math.round(n / 257));
  return lossInBytes;
}

function valueAt(t) {
  if (state.view.loss) return nats[t] * about.nats.step;
  const { bytes, zero, step } = values();
  return (bytes[t] - zero) * step;
}

// Numbers as people read them

const minus = (text) => text.replace("-", "−");
const fixed = (x, digits = 2) => minus(x.toFixed(digits));
const withSign = (x, digits = 2) => (x > 0 ? "+" : "") + fixed(x, digits);
const percent = (x) => (x > 0 && x < 0.005 ? "<1 %" : `${Math.round(100 * x)} %`);
const grouped = (n) => n.toLocaleString("en");

// Glyphs: how each symbol looks in a grid of cells

const CONTROLS = (
  "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI " +
  "DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US"
).split(" ");
const font = { size: 15, small: 11, family: getComputedStyle(document.documentElement).getPropertyValue("--mono") };
const letters = by("letters").getContext("2d");
const grid = { cell: 9, line: 23, guess: 14, columns: 80, rows: new Int32Array(1), height: 23 };

function glyphOf(symbol) {
  const points = Array.from(symbol);
  if (points.length === 0) return { text: "·", width: 1, dim: true };
  if (symbol === "\n") return { text: "↵", width: 1, dim: true };
  if (symbol === "\t") return { text: "⇥", width: 4, dim: true };
  if (/^[ -~]+$/.test(symbol)) return { text: symbol, width: points.length, simple: true };
  if (points.length === 1) {
    const point = symbol.codePointAt(0);
    if (point < 32 || point === 127) return labelled(CONTROLS[point] || "DEL");
    // nothing to be seen, or half of a pair: its number
    if (/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u034f\u115f\u1160\u3164\ufe00-\ufe0f]/u.test(symbol))
      return labelled(point.toString(16).toUpperCase().padStart(4, "0"));
    if (/\p{M}/u.test(symbol)) return { text: "◌" + symbol, width: 2 };
    if (/\p{Zs}/u.test(symbol)) return labelled(point === 160 ? "NBSP" : point.toString(16).toUpperCase());
  }
  const width = letters.measureText(symbol).width / grid.cell;
  return { text: symbol, width: Math.max(1, Math.ceil(width - 0.2)) };
}

function labelled(text) {
  return { text, width: Math.max(2, Math.ceil(text.length * 0.62)), label: true };
}

let glyphs = [];
let symbolGlyphs = [];
let widths = new Uint16Array(0); // of each glyph, in cells

function measure() {
  letters.font = `${font.size}px ${font.family}`;
  grid.cell = letters.measureText("0000000000").width / 10;
  glyphs = (about.glyphs || about.symbols).map(glyphOf);
  // by itself a space would be seen as nothing
  symbolGlyphs = about.symbols.map((s) => (s === " " ? { text: "␣", width: 1 } : glyphOf(s)));
  widths = Uint16Array.from(glyphs, (g) => Math.min(g.width, 60000));
}

/** What a symbol is called in the panels. */
function named(symbol) {
  const names = { "\n": "line break", "\t": "tab", " ": "space", "": `part of a character` };
  if (symbol in names) return names[symbol];
  const glyph = glyphOf(symbol);
  return glyph.label ? glyph.text : symbol;
}

const newlineOf = (() => {
  const ends = new Uint8Array((about.glyphs || about.symbols).length);
  (about.glyphs || about.symbols).forEach((s, i) => (ends[i] = s.includes("\n") ? 1 : 0));
  return ends;
})();

// Lines of the text, and rows of the grid into which they are broken

const lineStarts = (() => {
  const starts = [0];
  for (let t = 0; t < N - 1; t++) if (newlineOf[shown[t]]) starts.push(t + 1);
  return Int32Array.from(starts);
})();

/** The place of the last number <= t in a rising array. */
function lastUpTo(rising, t) {
  let low = 0;
  let high = rising.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rising[middle] <= t) low = middle;
    else high = middle - 1;
  }
  return low;
}

function breakRows() {
  const starts = new Int32Array(N + 1);
  let rows = 1;
  let column = 0;
  for (let t = 0; t < N; t++) {
    const width = widths[shown[t]];
    if (column > 0 && column + width > grid.columns) {
      starts[rows++] = t;
      column = 0;
    }
    column += width;
    if (newlineOf[shown[t]] && t + 1 < N) {
      starts[rows++] = t + 1;
      column = 0;
    }
  }
  grid.rows = starts.slice(0, rows);
}

const rowOf = (t) => lastUpTo(grid.rows, t);
const rowEnd = (row) => (row + 1 < grid.rows.length ? grid.rows[row + 1] : N);

function columnOf(t) {
  let column = 0;
  for (let s = grid.rows[rowOf(t)]; s < t; s++) column += widths[shown[s]];
  return column;
}

/** The token of a row at a column, or the nearest one. */
function tokenAt(row, column) {
  let t = grid.rows[row];
  const end = rowEnd(row);
  let reached = widths[shown[t]];
  while (t + 1 < end && reached <= column) reached += widths[shown[++t]];
  return t;
}

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

function scaleOf(v) {
  if (v.loss) return colours.loss;
  return v.signed ? colours.around : colours.gate;
}

/** How many levels from zero the scale reaches: one value in 200 lies beyond it. */
function reach() {
  const { bytes, zero } = values();
  if (state.view.part?.gate) return 255;
  const counts = new Uint32Array(256);
  for (let t = 0; t < N; t++) counts[Math.abs(bytes[t] - zero)]++;
  let beyond = 0;
  let level = 255;
  while (level > 1 && beyond + counts[level] <= N / 200) beyond += counts[level--];
  return level;
}

/** Bytes to colours. */
function palette() {
  const [scale, levels] = [scaleOf(state.view), state.reach];
  const zero = state.view.signed ? 127 : 0;
  const end = zero || 255;
  return Array.from({ length: 256 }, (_, q) =>
    scale[zero + Math.max(-end, Math.min(end, Math.round(((q - zero) / levels) * end)))]);
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

const frame = by("text");
const PAD = 8;
let queued = 0;

function redraw() {
  queued ||= requestAnimationFrame(() => {
    queued = 0;
    drawText();
    drawMapWindow();
  });
}

/** Rows that are to be seen, and none else. */
function drawText() {
  const [width, height] = [frame.clientWidth, frame.clientHeight];
  const context = fitted(letters.canvas, width, height);
  context.fillStyle = colours.page;
  context.fillRect(0, 0, width, height);
  const top = frame.scrollTop;
  const first = Math.max(0, Math.floor((top - PAD) / grid.height));
  const last = Math.min(grid.rows.length - 1, Math.floor((top + height - PAD) / grid.height));
  const { bytes } = values();
  const colour = palette();
  for (let row = first; row <= last; row++) {
    drawBackground(context, row, PAD + row * grid.height - top, bytes, colour);
  }
  for (let row = first; row <= last; row++) drawRow(context, row, PAD + row * grid.height - top);
  drawCursor(context, top);
}

const edge = (column) => Math.round((PAD + column * grid.cell) * devicePixelRatio) / devicePixelRatio;

function drawBackground(context, row, y, bytes, colour) {
  let [column, from] = [0, 0];
  const end = rowEnd(row);
  for (let t = grid.rows[row]; t < end; t++) {
    column += widths[shown[t]];
    if (t + 1 < end && bytes[t + 1] === bytes[t]) continue; // neighbours alike are one
    context.fillStyle = colour[bytes[t]];
    context.fillRect(edge(from), y, edge(column) - edge(from), grid.line - 1);
    from = column;
  }
}

function drawRow(context, row, y) {
  const base = y + 0.72 * grid.line;
  let [column, run, start] = [0, "", 0];
  context.font = `${font.size}px ${font.family}`;
  context.fillStyle = colours.ink;
  for (let t = grid.rows[row]; t < rowEnd(row); t++) {
    const glyph = glyphs[shown[t]];
    if (glyph.simple) {
      if (!run) start = column;
      run += glyph.text;
    } else {
      if (run) context.fillText(run, PAD + start * grid.cell, base);
      run = "";
      drawGlyph(context, glyph, PAD + column * grid.cell, base);
    }
    column += glyph.width;
  }
  if (run) context.fillText(run, PAD + start * grid.cell, base);
  if (state.guesses) drawGuesses(context, row, y + grid.line);
}

/** A symbol that is not as wide as a cell, or is to be seen by a sign for it. */
function drawGlyph(context, glyph, x, base) {
  const room = glyph.width * grid.cell;
  if (glyph.label) {
    context.font = `${font.small - 1}px ${font.family}`;
    context.strokeStyle = colours.soft;
    context.lineWidth = 1;
    context.strokeRect(x + 1.5, base - 12.5, room - 3, 16);
    context.fillText(glyph.text, x + 3, base - 1, room - 6);
    context.font = `${font.size}px ${font.family}`;
  } else {
    if (glyph.dim) context.globalAlpha = 0.45;
    context.fillText(glyph.text, x, base, room);
    context.globalAlpha = 1;
  }
}

function drawGuesses(context, row, y) {
  let column = 0;
  context.font = `${font.small}px ${font.family}`;
  context.textAlign = "center";
  const scale = colours.gate;
  for (let t = grid.rows[row]; t < rowEnd(row); t++) {
    const width = widths[shown[t]];
    const [x, right] = [edge(column), edge(column + width)];
    for (let k = 0; k < K; k++) {
      const chance = chances[k * N + t];
      if (chance < 3) break; // under one percent
      const top = y + k * grid.guess;
      context.fillStyle = scale[chance];
      context.fillRect(x, top, right - x, grid.guess - 1);
      const token = guesses[k * N + t];
      const glyph = symbolGlyphs[token];
      context.fillStyle = chance < 40 ? colours.soft : colours.ink;
      context.fillText(glyph.text, (x + right) / 2, top + 10.5, right - x);
      if (t + 1 < N && token === tokens[t + 1]) {
        context.fillStyle = colours.ink;
        context.fillRect(x + 1, top + grid.guess - 2.5, right - x - 2, 1.5);
      }
    }
    column += width;
  }
  context.textAlign = "left";
}

function drawCursor(context, top) {
  for (const t of [state.hover, state.cursor]) {
    if (t < 0) continue;
    const [row, column] = [rowOf(t), columnOf(t)];
    const y = PAD + row * grid.height - top;
    if (y < -grid.height || y > frame.clientHeight) continue;
    context.strokeStyle = t === state.cursor ? colours.ink : colours.soft;
    context.lineWidth = t === state.cursor ? 2 : 1;
    const right = edge(column + widths[shown[t]]);
    context.strokeRect(edge(column), y, right - edge(column), grid.height - 1);
  }
}

// The whole text in a strip

function drawMap() {
  const canvas = by("strip");
  const [width, height] = [18, frame.clientHeight];
  const context = fitted(canvas, width, height);
  const { bytes } = values();
  const colour = palette();
  context.fillStyle = colours.page;
  context.fillRect(0, 0, width, height);
  const rows = grid.rows.length;
  const tall = Math.min(height, rows * 2);
  for (let y = 0; y < tall; y++) {
    const from = grid.rows[Math.floor((y / tall) * rows)];
    const to = Math.max(from + 1, rowEnd(Math.min(rows, Math.ceil(((y + 1) / tall) * rows)) - 1));
    let sum = 0;
    for (let t = from; t < to; t++) sum += bytes[t];
    context.fillStyle = colour[Math.round(sum / (to - from))];
    context.fillRect(0, y, width, 1);
  }
  mapTall = tall;
  drawMapWindow();
}

let mapTall = 1; // of the strip, which short texts do not fill

function drawMapWindow() {
  const all = PAD * 2 + grid.rows.length * grid.height;
  const share = mapTall / all;
  const high = Math.max(6, Math.min(all, frame.clientHeight) * share);
  const { style } = by("map-window");
  style.height = `${high}px`;
  style.top = `${Math.max(0, Math.min(frame.scrollTop * share, frame.clientHeight - high))}px`;
}

// The value along the text around one token

function drawTrace() {
  const canvas = by("trace");
  const [width, height] = [canvas.parentElement.clientWidth, 96];
  const context = fitted(canvas, width, height);
  context.clearRect(0, 0, width, height);
  const { bytes, zero } = values();
  const across = Math.floor((width - 2) / grid.cell);
  const centre = state.hover >= 0 ? state.hover : state.cursor;
  let from = Math.max(0, Math.min(centre - (across >> 1), N - across));
  const [top, low] = [6, height - 26];
  const share = (byte) => Math.max(-1, Math.min(1, (byte - zero) / state.reach));
  const y = (byte) => (zero ? (top + low - share(byte) * (low - top)) / 2 : low - share(byte) * (low - top));
  context.fillStyle = colours.line;
  context.fillRect(0, y(zero), width, 1);
  context.font = `${font.size}px ${font.family}`;
  context.beginPath();
  let x = 1;
  for (let t = from; t < N && x < width; t++) {
    const glyph = glyphs[shown[t]];
    const room = glyph.width * grid.cell;
    context.fillStyle = colours.soft;
    if (t === centre) {
      context.fillStyle = colours.line;
      context.fillRect(x, top - 4, room, height);
      context.fillStyle = colours.ink;
    }
    if (glyph.simple) context.fillText(glyph.text, x, height - 8);
    else drawGlyph(context, glyph, x, height - 8);
    context.lineTo(x + room / 2, y(bytes[t]));
    x += room;
  }
  context.strokeStyle = colours.accent;
  context.lineWidth = 1.75;
  context.lineJoin = "round";
  context.stroke();
}

// Panels

const cleared = (element) => {
  element.replaceChildren();
  return element;
};

function made(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** A bar from the middle (r from -1 to 1) or from the left (a share). */
function bar(x, centred, colour) {
  const element = made("span", centred ? "bar both" : "bar");
  const inner = made("i");
  const long = Math.min(1, Math.abs(x)) * (centred ? 50 : 100);
  inner.style.width = `${long}%`;
  inner.style.left = centred ? `${x < 0 ? 50 - long : 50}%` : "0";
  inner.style.background = `var(--${colour || (x < 0 ? "negative" : "positive")})`;
  element.append(inner);
  return element;
}

function where(t) {
  const line = lastUpTo(lineStarts, t);
  return { line: line + 1, column: t - lineStarts[line] + 1 };
}

const symbolAt = (t) => (about.glyphs || about.symbols)[shown[t]];

function showHere() {
  const t = state.hover >= 0 ? state.hover : state.cursor;
  by("glyph").textContent = glyphs[shown[t]].text;
  const { line, column } = where(t);
  const list = cleared(by("here"));
  const row = (term, text) => list.append(made("dt", "", term), made("dd", "", text));
  row(ONE, `${named(symbolAt(t))}, ${grouped(t + 1)} of ${grouped(N)}`);
  row("place", `line ${grouped(line)}, ${ONE} ${grouped(column)}`);
  if (!state.view.loss) row("value", fixed(valueAt(t)));
  const cost = nats[t] * about.nats.step;
  row("loss", t ? `${fixed(cost)} nats, p = ${percent(Math.exp(-cost))}` : "none: nothing before it");
  const options = cleared(by("guesses"));
  for (let k = 0; k < K; k++) {
    const token = guesses[k * N + t];
    const chance = chances[k * N + t] / 255;
    const item = made("li");
    const came = t + 1 < N && token === tokens[t + 1];
    const what = made("span", came ? "what came" : "what", named(about.symbols[token]));
    if (came) what.append(made("span", "unseen", " (came)"));
    item.append(what, bar(chance, false, "gate"), made("span", "number", percent(chance)));
    options.append(item);
  }
}

let lastSpoken = 0;
function speak() {
  clearTimeout(lastSpoken);
  lastSpoken = setTimeout(() => {
    const t = state.cursor;
    const { line, column } = where(t);
    const value = state.view.loss ? "" : `value ${fixed(valueAt(t))}, `;
    by("spoken").textContent =
      `${named(symbolAt(t))}, line ${line}, ${ONE} ${column}, ${value}` +
      `loss ${fixed(nats[t] * about.nats.step)} nats, next guess ${named(about.symbols[guesses[t]])}, ` +
      percent(chances[t] / 255);
  }, 250);
}

function title() {
  const v = state.view;
  if (v.loss) return `Loss: how much each ${ONE} surprised the model`;
  const layers = about.layers.length > 1 ? ` of layer ${v.place + 1}` : "";
  return v.whole ? `${v.whole.label}${layers}, over all units` : `Unit ${state.unit}${layers}: ${v.label}`;
}

function showLegend() {
  by("legend-name").textContent = title();
  by("trace-name").textContent = `${title()}, around this ${ONE}`;
  const { zero, step } = values();
  const v = state.view;
  const top = state.reach * step;
  by("low").textContent = zero ? fixed(-top) : "0";
  by("high").textContent = (zero ? withSign(top) : fixed(top)) + (v.loss ? " nats" : "");
  const context = fitted(by("scale"), 150, 12);
  const scale = scaleOf(v);
  for (let x = 0; x < 150; x++) {
    context.fillStyle = scale[Math.round((x / 149) * (zero ? 254 : 255))];
    context.fillRect(x, 0, 1, 12);
  }
}

// The ranking

const F = about.features.length;

/** The view whose units are ranked: the last that had any. */
const ranked = () => (state.view.part ? state.view : state.states);

function correlation(v, feature, unit) {
  return array(`${v.place}-${v.part.key}-r`)[feature * v.layer.units + unit];
}

function strongest(v, unit) {
  let best = 0;
  for (let f = 1; f < F; f++) {
    if (Math.abs(correlation(v, f, unit)) > Math.abs(correlation(v, best, unit))) best = f;
  }
  return best;
}

/** What stands in a row of the ranking: by what it is sorted, and how it is written. */
function entry(v, unit) {
  const units = v.layer.units;
  if (state.feature === "effect") {
    const effect = array(`${v.place}-effect`)[unit];
    return { unit, key: effect, x: effect, text: withSign(effect, 3), label: "nats without it" };
  }
  if (state.feature === "shut" || state.feature === "open") {
    const share = array(`${v.id}-saturation`)[(state.feature === "open" ? units : 0) + unit];
    return { unit, key: share, x: share, text: percent(share), label: `of the text ${state.feature}` };
  }
  const f = state.feature === "any" ? strongest(v, unit) : Number(state.feature);
  const r = correlation(v, f, unit);
  return { unit, key: Math.abs(r), x: r, text: withSign(r), label: about.features[f].label };
}

function rank() {
  const v = ranked();
  const entries = v.part.units.map((unit) => entry(v, unit));
  entries.sort((a, b) => b.key - a.key || a.unit - b.unit);
  state.ranking = entries.map((e) => e.unit);
  const most = Math.max(...entries.map((e) => Math.abs(e.x)), 1e-9);
  const signed = !["shut", "open"].includes(state.feature);
  const scale = state.feature === "effect" ? most : 1;
  const list = cleared(by("ranking"));
  list.append(
    ...entries.map((e) => {
      const row = made("div", "option");
      row.setAttribute("role", "option");
      row.id = `option-${e.unit}`;
      row.append(made("span", "", e.unit), made("span", "what", e.label));
      row.append(bar(e.x / scale, signed, signed ? "" : "gate"), made("span", "number", e.text));
      return row;
    }),
  );
  noteRanking(v);
  markRanking();
}

function noteRanking(v) {
  const all = v.part.units.length === v.layer.units;
  const kept = all ? "" : ` ${v.part.units.length} of ${v.layer.units} units are in this page.`;
  const notes = { effect: "Change of the loss if the unit is set to zero.", shut: "Share of the text with the gate below 0.1.", open: "Share of the text with the gate above 0.9." };
  const feature = about.features[Number(state.feature)];
  const r = feature ? `r with: ${feature.about}.` : "r with what each unit follows most.";
  by("ranking-note").textContent = `By ${v.label}. ${notes[state.feature] || r}${kept}`;
}

function markRanking() {
  const list = by("ranking");
  list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
  const row = by(`option-${state.unit}`);
  if (!row) return;
  row.setAttribute("aria-selected", "true");
  list.setAttribute("aria-activedescendant", row.id);
  const [top, high] = [row.offsetTop - list.offsetTop, row.offsetHeight];
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + high > list.scrollTop + list.clientHeight) list.scrollTop = top + high - list.clientHeight;
}

/** Choices of the ranking that this view has. */
function listFeatures() {
  const v = ranked();
  const options = [["any", "what they follow most"]];
  about.features.forEach((f, i) => options.push([String(i), f.label]));
  if (array(`${v.place}-effect`)) options.push(["effect", "effect on the loss"]);
  if (v.part.gate) options.push(["open", "share of the text open"], ["shut", "share of the text shut"]);
  const select = cleared(by("feature"));
  for (const [value, label] of options) select.append(new Option(label, value));
  if (!options.some(([value]) => value === state.feature)) state.feature = "any";
  select.value = state.feature;
}

// This unit

function showUnit() {
  const v = ranked();
  const layers = about.layers.length > 1 ? ` of layer ${v.place + 1}` : "";
  by("unit-title").textContent = `Unit ${state.unit}${layers}, ${v.label}`;
  const effect = array(`${v.place}-effect`);
  by("effect").textContent = effect
    ? `Set to zero, it changes the loss by ${withSign(effect[state.unit], 4)} ± ` +
      `${fixed(effect[v.layer.units + state.unit], 4)} nats a ${ONE}.`
    : "";
  by("effect").hidden = !effect;
  const body = cleared(by("follows").tBodies[0]);
  about.features.forEach((feature, f) => {
    const r = correlation(v, f, state.unit);
    const row = body.insertRow();
    const head = made("th", "", feature.label);
    head.scope = "row";
    row.append(head);
    row.insertCell().append(bar(r, true));
    row.insertCell().textContent = withSign(r);
  });
  showSaturation(v);
}

function showSaturation(v) {
  const gates = v.layer.parts.filter((part) => part.gate);
  by("saturation").hidden = gates.length === 0;
  const body = cleared(by("saturation").tBodies[0]);
  for (const gate of gates) {
    const shares = array(`${v.place}-${gate.key}-saturation`);
    const row = body.insertRow();
    const head = made("th", "", gate.label);
    head.scope = "row";
    row.append(head);
    row.insertCell().textContent = percent(shares[state.unit]);
    row.insertCell().textContent = percent(shares[v.layer.units + state.unit]);
  }
}

// Gates of the layer: a dot for each unit

function drawGates() {
  const v = ranked();
  const gates = v.layer.parts.filter((part) => part.gate);
  by("gates-section").hidden = gates.length === 0;
  const figures = cleared(by("gates"));
  for (const gate of gates) {
    const figure = made("figure");
    const canvas = made("canvas");
    figure.append(canvas, made("figcaption", "", gate.label));
    figures.append(figure);
    const room = Math.floor((figures.clientWidth - 10 * (gates.length - 1)) / gates.length);
    drawDots(canvas, v, gate, Math.max(60, Math.min(room, 160)));
  }
}

function drawDots(canvas, v, gate, size) {
  const context = fitted(canvas, size, size);
  const shares = array(`${v.place}-${gate.key}-saturation`);
  const units = v.layer.units;
  const at = (unit) => [5 + shares[unit] * (size - 10), size - 5 - shares[units + unit] * (size - 10)];
  context.strokeStyle = colours.line;
  context.strokeRect(0.5, 0.5, size - 1, size - 1);
  context.beginPath();
  context.moveTo(5, 5);
  context.lineTo(size - 5, size - 5); // shut + open = 1
  context.stroke();
  const dot = (unit, radius) => {
    context.beginPath();
    context.arc(...at(unit), radius, 0, 7);
    context.fill();
  };
  context.fillStyle = colours.accent;
  context.globalAlpha = 0.5;
  for (let unit = 0; unit < units; unit++) dot(unit, 2.2);
  context.globalAlpha = 1;
  context.fillStyle = colours.ink;
  dot(state.unit, 4);
  const middle = (first) => Array.from(shares.slice(first, first + units)).sort((a, b) => a - b)[units >> 1];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label",
    `${gate.label}: the unit in the middle is shut at ${percent(middle(0))} and open at ${percent(middle(units))} of the text`);
  canvas.onclick = (event) => {
    const near = (unit) => Math.hypot(at(unit)[0] - event.offsetX, at(unit)[1] - event.offsetY);
    choose(ranked().part.units.reduce((a, b) => (near(b) < near(a) ? b : a)));
  };
}

// Choices

function listViews() {
  const select = by("by");
  let group = null;
  for (const v of views) {
    if (group?.label !== v.of) {
      group = made("optgroup");
      group.label = v.of;
      select.append(group);
    }
    group.append(new Option(v.label, v.id));
  }
}

/** Colour the text by another view. */
function look(id) {
  state.view = view(id);
  if (state.view.part) {
    const other = state.states !== state.view;
    state.states = state.view;
    if (other) {
      listFeatures();
      rank();
      if (!state.view.part.units.includes(state.unit)) state.unit = state.ranking[0];
      const select = cleared(by("unit"));
      for (const unit of state.view.part.units) select.append(new Option(String(unit), String(unit)));
    }
  }
  by("by").value = id;
  by("unit-group").hidden = !state.view.part;
  showAll();
}

/** Choose a unit of the part that is ranked. */
function choose(unit) {
  state.unit = unit;
  if (!state.view.part) look(state.states.id);
  else showAll();
}

function showAll() {
  if (state.view.part) by("unit").value = String(state.unit);
  state.reach = reach();
  showLegend();
  redraw();
  // The text first: what is beside it has time until the frame after
  panels ||= requestAnimationFrame(() => requestAnimationFrame(showPanels));
}

let panels = 0;
function showPanels() {
  panels = 0;
  markRanking();
  showUnit();
  drawGates();
  showHere();
  drawMap();
  drawTrace();
  speak();
}

function neighbour(by_) {
  const place = state.ranking.indexOf(state.unit) + by_;
  choose(state.ranking[Math.max(0, Math.min(state.ranking.length - 1, place))]);
}

// Moving in the text

function moveTo(t, keepColumn) {
  state.cursor = Math.max(0, Math.min(N - 1, t));
  state.hover = -1;
  if (!keepColumn) goal = columnOf(state.cursor);
  const y = PAD + rowOf(state.cursor) * grid.height;
  if (y < frame.scrollTop + PAD) frame.scrollTop = y - PAD;
  else if (y + grid.height > frame.scrollTop + frame.clientHeight) frame.scrollTop = y + grid.height - frame.clientHeight + PAD;
  showHere();
  drawTrace();
  speak();
  redraw();
}

let goal = 0; // the column that moving up and down aims at
const moveRows = (rows) => {
  const row = Math.max(0, Math.min(grid.rows.length - 1, rowOf(state.cursor) + rows));
  moveTo(tokenAt(row, goal), true);
};
const screen_ = () => Math.max(1, Math.floor(frame.clientHeight / grid.height) - 1);

const MOVES = {
  ArrowLeft: () => moveTo(state.cursor - 1),
  ArrowRight: () => moveTo(state.cursor + 1),
  ArrowUp: () => moveRows(-1),
  ArrowDown: () => moveRows(1),
  PageUp: () => moveRows(-screen_()),
  PageDown: () => moveRows(screen_()),
  Home: (event) => moveTo(event.ctrlKey || event.metaKey ? 0 : grid.rows[rowOf(state.cursor)]),
  End: (event) => moveTo(event.ctrlKey || event.metaKey ? N - 1 : rowEnd(rowOf(state.cursor)) - 1),
};

function under(event) {
  const box = frame.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left - PAD, event.clientY - box.top - PAD + frame.scrollTop];
  const row = Math.floor(y / grid.height);
  if (row < 0 || row >= grid.rows.length || x < 0) return -1;
  const t = tokenAt(row, Math.floor(x / grid.cell));
  return x / grid.cell > columnOf(t) + widths[shown[t]] ? -1 : t;
}

// Finding

const found = { text: "", starts: null };
const searchable = () => {
  if (!found.starts) {
    found.starts = new Int32Array(N);
    const parts = new Array(N);
    let length = 0;
    for (let t = 0; t < N; t++) {
      parts[t] = symbolAt(t);
      found.starts[t] = length;
      length += parts[t].length;
    }
    found.text = parts.join("").toLowerCase();
  }
  return found;
};

function find(event) {
  event.preventDefault();
  const sought = by("sought").value.toLowerCase();
  if (!sought) return;
  const { text, starts } = searchable();
  let place = text.indexOf(sought, (starts[state.cursor + 1] ?? 0));
  const again = place < 0;
  if (again) place = text.indexOf(sought);
  by("found").textContent = place < 0 ? "not found" : again ? "from the start" : "";
  if (place >= 0) moveTo(lastUpTo(starts, place));
}

// Layout

function fitRows() {
  grid.columns = Math.max(8, Math.floor((frame.clientWidth - 2 * PAD) / grid.cell));
  grid.height = grid.line + (state.guesses ? K * grid.guess + 8 : 0);
  breakRows();
  by("spacer").style.height = `${2 * PAD + grid.rows.length * grid.height}px`;
}

function layOut() {
  const anchor = grid.rows.length > 1 ? grid.rows[Math.min(grid.rows.length - 1, Math.floor(frame.scrollTop / grid.height))] : 0;
  fitRows();
  frame.scrollTop = anchor ? PAD + rowOf(anchor) * grid.height : 0;
  drawMap();
  drawTrace();
  drawGates();
  redraw();
}

function showGuesses(on) {
  state.guesses = on;
  by("show-guesses").checked = on;
  layOut();
  moveTo(state.cursor);
}

// Words that depend on what is in the page

function explain() {
  for (const element of document.querySelectorAll(".token")) element.textContent = ONE;
  const effect = about.layers.some((_, place) => array(`${place}-effect`));
  by("about-effect").hidden = !effect;
  const sample = about.measured ? ` It was measured on the first ${grouped(about.measured)} ${ONE}s.` : "";
  if (effect) by("about-effect").append(sample);
  const few = about.layers.some((layer) => layer.parts.some((part) => part.units.length < layer.units));
  by("about-kept").textContent = few
    ? "Which units. All were ranked, but not all are in this page: those are that follow some feature most, " +
      "or that the loss needs most. jrnn inspect --megabytes makes room for more."
    : "";
}

// Events

function listen() {
  by("by").onchange = (event) => look(event.target.value);
  by("unit").onchange = (event) => choose(Number(event.target.value));
  by("previous").onclick = () => neighbour(-1);
  by("next").onclick = () => neighbour(1);
  by("show-guesses").onchange = (event) => showGuesses(event.target.checked);
  by("feature").onchange = (event) => {
    state.feature = event.target.value;
    rank();
    choose(state.ranking[0]);
  };
  by("find").onsubmit = find;
  by("help").onclick = () => by("keys").showModal();
  by("ranking").onclick = (event) => {
    const row = event.target.closest(".option");
    if (row) choose(Number(row.id.slice("option-".length)));
  };
  by("ranking").onkeydown = (event) => {
    const by_ = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -1e9, End: 1e9 }[event.key];
    if (!by_) return;
    event.preventDefault();
    neighbour(by_);
  };
  listenToText();
  document.addEventListener("keydown", shortcut);
  dark.addEventListener("change", () => {
    mixColours();
    showAll();
  });
  new ResizeObserver(layOut).observe(frame);
}

function listenToText() {
  frame.addEventListener("scroll", redraw, { passive: true });
  frame.addEventListener("pointermove", (event) => {
    const t = event.pointerType === "mouse" ? under(event) : -1;
    if (t === state.hover) return;
    state.hover = t;
    showHere();
    drawTrace();
    redraw();
  });
  frame.addEventListener("pointerleave", () => {
    state.hover = -1;
    showHere();
    drawTrace();
    redraw();
  });
  frame.addEventListener("click", (event) => {
    const t = under(event);
    if (t >= 0) moveTo(t);
  });
  frame.addEventListener("keydown", (event) => {
    if (!(event.key in MOVES) || event.altKey) return;
    event.preventDefault();
    MOVES[event.key](event);
  });
  const jump = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const y = event.clientY - by("map").getBoundingClientRect().top;
    const share = Math.max(0, Math.min(1, y / mapTall));
    frame.scrollTop = share * grid.rows.length * grid.height - frame.clientHeight / 2;
  };
  by("map").addEventListener("pointerdown", jump);
  by("map").addEventListener("pointermove", jump);
}

let before = "";
function shortcut(event) {
  const typing = event.target.matches("input[type=search], select, dialog *");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = {
    n: () => neighbour(1),
    p: () => neighbour(-1),
    g: () => showGuesses(!state.guesses),
    l: () => {
      if (!state.view.loss) before = state.view.id;
      look(state.view.loss ? before || views[0].id : "loss");
    },
    t: () => frame.focus(),
    "/": () => by("sought").focus(),
    "?": () => by("keys").showModal(),
  }[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
}

/** The state with the unit that follows the text most. */
function firstView() {
  const most = (v) => array(`${v.id}-r`).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const states = views.filter((v) => v.part && v.signed);
  return states.reduce((a, b) => (most(b) > most(a) ? b : a));
}

function start() {
  mixColours();
  measure();
  listViews();
  explain();
  const first = firstView();
  state.view = state.states = first;
  listFeatures();
  rank();
  state.unit = state.ranking[0];
  state.states = null; // so that its units are listed
  fitRows();
  look(first.id);
  listen();
}

start();
