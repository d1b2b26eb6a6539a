// The text

const K = about.guesses;
const tokens = array("tokens");
const shown = about.glyphs ? array("shown") : tokens; // of bytes, some have no glyph
const nats = array("nats");
const guesses = array("guesses"); // rank k of token t at k * N + t
const chances = array("chances");
const letters = by("letters").getContext("2d");
Object.assign(state, { hover: -1, guesses: false });

let glyphs = [];
let symbolGlyphs = [];
let widths = new Uint16Array(0); // of each glyph, in cells

function measure() {
  measureCell();
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
