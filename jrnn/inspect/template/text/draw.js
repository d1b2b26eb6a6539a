// The text, drawn

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
  const colour = state.scale.palette;
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
    column += widthAt(t);
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
    const width = widthAt(t);
    if (glyph.simple) {
      if (!run) start = column;
      run += glyph.text.padEnd(width);
    } else {
      if (run) context.fillText(run, PAD + start * grid.cell, base);
      run = "";
      drawGlyph(context, glyph, PAD + column * grid.cell, base);
    }
    column += width;
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
    const width = widthAt(t);
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
    const right = edge(column + widthAt(t));
    context.strokeRect(edge(column), y, right - edge(column), grid.height - 1);
  }
}

// The whole text in a strip

function drawMap() {
  const canvas = by("strip");
  const [width, height] = [18, frame.clientHeight];
  const context = fitted(canvas, width, height);
  const { bytes } = values();
  const colour = state.scale.palette;
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
  const { bytes } = values();
  const { middle, reach, both } = state.scale;
  const across = Math.floor((width - 2) / grid.cell);
  const centre = state.hover >= 0 ? state.hover : state.cursor;
  let from = Math.max(0, Math.min(centre - (across >> 1), N - across));
  const [top, low] = [6, height - 26];
  const share = (byte) => Math.max(-1, Math.min(1, (byte - middle) / reach));
  const y = (byte) => (both ? (top + low - share(byte) * (low - top)) / 2 : low - share(byte) * (low - top));
  context.fillStyle = colours.line;
  context.fillRect(0, y(middle), width, 1);
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
