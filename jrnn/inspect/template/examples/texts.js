// An example that is a text: coloured, each symbol with its label where it has one

const PAD = 8;
const MOST = 16; // cells of a symbol at most

const pieceAt = (s) => array("tokens")[starts[state.example] + s];
const IS_WORDS = about.unit === "word";

function cellsOf(s) {
  const own = Math.min(MOST, pieces[pieceAt(s)].width) + (IS_WORDS ? 0.6 : 0);
  if (!OF_STEPS) return own;
  const said = className(answer(starts[state.example] + s));
  return Math.max(own, Math.min(10, 0.8 * said.length + 0.6));
}

/** Rows of this example; how tall they are together. */
function breakTexts() {
  grid.columns = Math.max(8, (by("lanes").clientWidth - 2 * PAD) / grid.cell);
  grid.height = grid.line + (OF_STEPS ? (IS_KNOWN ? 30 : 16) : 0) + 2;
  const [rows, count] = [[0], lengths[state.example]];
  grid.places = new Float32Array(count);
  let column = 0;
  for (let s = 0; s < count; s++) {
    const cells = cellsOf(s);
    if (column > 0 && column + cells > grid.columns) {
      rows.push(s);
      column = 0;
    }
    grid.places[s] = column;
    column += cells;
  }
  grid.rows = Int32Array.from(rows);
  return 2 * PAD + rows.length * grid.height;
}

const rowEnd = (row) => (row + 1 < grid.rows.length ? grid.rows[row + 1] : lengths[state.example]);

function drawTexts(context, across, high, scrolled) {
  const first = Math.max(0, Math.floor((scrolled - PAD) / grid.height));
  const last = Math.min(grid.rows.length - 1, Math.floor((scrolled + high - PAD) / grid.height));
  const { bytes } = values();
  for (let row = first; row <= last; row++) {
    const y = PAD + row * grid.height - scrolled;
    for (let s = grid.rows[row]; s < rowEnd(row); s++) drawPiece(context, s, y, bytes);
  }
}

function drawPiece(context, s, y, bytes) {
  const [x, t] = [PAD + grid.places[s] * grid.cell, starts[state.example] + s];
  const across = cellsOf(s) * grid.cell - (IS_WORDS ? 4 : 0);
  const glyph = pieces[pieceAt(s)];
  context.fillStyle = state.scale.palette[bytes[t]];
  context.fillRect(x, y, across + 0.5, grid.line - 1);
  context.font = `${glyph.label ? font.small : font.size}px ${font.family}`;
  context.fillStyle = colours.ink;
  context.globalAlpha = glyph.dim ? 0.45 : 1;
  context.fillText(glyph.text, x + (IS_WORDS ? 2 : 0), y + 0.72 * grid.line, across);
  context.globalAlpha = 1;
  if (OF_STEPS) drawLabel(context, t, x, y + grid.line, across);
  if (s !== here() && s !== state.hover) return;
  context.strokeStyle = s === here() ? colours.ink : colours.soft;
  context.lineWidth = s === here() ? 2 : 1;
  context.strokeRect(x, y, across, grid.height - 3);
}

/** The answer under a symbol; where it is wrong the true label below, underlined. */
function drawLabel(context, t, x, y, across) {
  context.font = `${font.small}px ${sans}`;
  const wrong = IS_KNOWN && target(t) !== answer(t);
  context.fillStyle = wrong ? colours.ink : colours.soft;
  context.fillText(className(answer(t)), x + 2, y + 10, across);
  if (!wrong) return;
  context.fillStyle = colours.loss[200];
  context.fillRect(x + 1, y + 12.5, across - 2, 2);
  context.fillStyle = colours.ink;
  context.fillText(className(target(t)), x + 2, y + 24, across);
}

/** The symbol under a point of the lanes. */
function pieceUnder(x, y) {
  const row = Math.floor((y - PAD) / grid.height);
  if (row < 0 || row >= grid.rows.length) return -1;
  let s = grid.rows[row];
  while (s + 1 < rowEnd(row) && PAD + grid.places[s + 1] * grid.cell <= x) s++;
  return s;
}
