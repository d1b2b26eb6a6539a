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
  return x / grid.cell > columnOf(t) + widthAt(t) ? -1 : t;
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
