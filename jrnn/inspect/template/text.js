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

/** Cells of a token: a word is given room for the guesses under it, too. */
function widthAt(t) {
  const width = widths[shown[t]];
  if (about.level !== "word" || !state.guesses || width > 9) return width;
  let most = width;
  for (let k = 0; k < K && chances[k * N + t] >= 3; k++) {
    most = Math.max(most, Math.ceil(0.8 * symbolGlyphs[guesses[k * N + t]].width) + 1);
  }
  return Math.min(most, 10);
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
    const width = widthAt(t);
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
  for (let s = grid.rows[rowOf(t)]; s < t; s++) column += widthAt(s);
  return column;
}

/** The token of a row at a column, or the nearest one. */
function tokenAt(row, column) {
  let t = grid.rows[row];
  const end = rowEnd(row);
  let reached = widthAt(t);
  while (t + 1 < end && reached <= column) reached += widthAt(++t);
  return t;
}
