// Glyphs: how each symbol looks in a grid of cells

const CONTROLS = (
  "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI " +
  "DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US"
).split(" ");
const font = { size: 15, small: 11, family: getComputedStyle(document.documentElement).getPropertyValue("--mono") };
const ruler = document.createElement("canvas").getContext("2d");
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
  const width = ruler.measureText(symbol).width / grid.cell;
  return { text: symbol, width: Math.max(1, Math.ceil(width - 0.2)) };
}

function labelled(text) {
  return { text, width: Math.max(2, Math.ceil(text.length * 0.62)), label: true };
}

/** What a symbol is called in the panels. */
function named(symbol) {
  const names = { "\n": "line break", "\t": "tab", " ": "space", "": `part of a character` };
  if (symbol in names) return names[symbol];
  const glyph = glyphOf(symbol);
  return glyph.label ? glyph.text : symbol;
}

function measureCell() {
  ruler.font = `${font.size}px ${font.family}`;
  grid.cell = ruler.measureText("0000000000").width / 10;
}

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
