// Moving in the example

function moveTo(s) {
  const e = state.example;
  const step = Math.max(0, Math.min(stepsOf(e) - 1, s));
  state.cursor = starts[e] + step;
  state.hover = -1;
  if (step < state.from) seen(step, state.span);
  else if (step + 1 > state.from + state.span) seen(step + 1 - state.span, state.span);
  if (about.pieces) scrollToPiece(step);
  showHere();
  showAnswers();
  speak();
  redraw();
}

function scrollToPiece(s) {
  const box = by("lanes");
  const y = PAD + lastUpTo(grid.rows, s) * grid.height;
  if (y < box.scrollTop + PAD) box.scrollTop = y - PAD;
  else if (y + grid.height > box.scrollTop + box.clientHeight) box.scrollTop = y + grid.height - box.clientHeight + PAD;
}

const far = (event) => (event.shiftKey ? Math.max(1, Math.round(state.span / 10)) : 1);
const screen_ = () => Math.max(1, Math.floor(state.span * 0.9));
const rowOf = (by_) => {
  const row = Math.max(0, Math.min(grid.rows.length - 1, lastUpTo(grid.rows, here()) + by_));
  moveTo(pieceUnder(PAD + grid.places[here()] * grid.cell + 1, PAD + row * grid.height + 1));
};
const vertical = (by_) => (about.pieces ? rowOf(by_) : by("lanes").scrollBy(0, by_ * LANE.least));

const MOVES = {
  ArrowLeft: (event) => moveTo(here() - far(event)),
  ArrowRight: (event) => moveTo(here() + far(event)),
  ArrowUp: () => vertical(-1),
  ArrowDown: () => vertical(1),
  PageUp: () => moveTo(here() - screen_()),
  PageDown: () => moveTo(here() + screen_()),
  Home: () => moveTo(0),
  End: () => moveTo(stepsOf(state.example) - 1),
  "+": () => zoom(1.5),
  "=": () => zoom(1.5),
  "-": () => zoom(1 / 1.5),
  0: () => seen(0, stepsOf(state.example)),
};

/** The step under the pointer, or -1. */
function under(event) {
  const box = frame.getBoundingClientRect();
  if (about.pieces && by("lanes").contains(event.target)) {
    const lanesBox = by("lanes").getBoundingClientRect();
    return pieceUnder(event.clientX - lanesBox.left, event.clientY - lanesBox.top + by("lanes").scrollTop);
  }
  const s = stepAt(event.clientX - box.left);
  return event.clientX - box.left < gutter() || s >= stepsOf(state.example) ? -1 : s;
}

function hover(s) {
  if (s === state.hover) return;
  state.hover = s;
  showHere();
  if (OF_STEPS) showAnswers();
  redraw();
}

function clicked(event) {
  if (by("map").contains(event.target)) return;
  if (event.target === by("states")) {
    const unit = unitUnder(event.offsetY);
    if (unit >= 0) choose(unit);
  }
  const s = under(event);
  if (s >= 0) moveTo(s);
}

function wheeled(event) {
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), Math.max(0, under(event)));
  } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    event.preventDefault();
    seen(state.from + ((event.deltaX || event.deltaY) / room()) * state.span, state.span);
  }
}

function listenHere() {
  by("example").onchange = (event) => show(Number(event.target.value));
  by("example-previous").onclick = () => nextExample(-1);
  by("example-next").onclick = () => nextExample(1);
  by("filter").onchange = (event) => filterBy(event.target.value);
  by("lanes").addEventListener("scroll", redraw, { passive: true });
  frame.addEventListener("pointermove", (event) => hover(event.pointerType === "mouse" ? under(event) : -1));
  frame.addEventListener("pointerleave", () => hover(-1));
  frame.addEventListener("click", clicked);
  frame.addEventListener("wheel", wheeled, { passive: false });
  frame.addEventListener("keydown", (event) => {
    if (!(event.key in MOVES) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    MOVES[event.key](event);
  });
  const jump = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const x = event.clientX - frame.getBoundingClientRect().left - gutter();
    seen((x / room()) * stepsOf(state.example) - state.span / 2, state.span);
  };
  by("map").addEventListener("pointerdown", jump);
  by("map").addEventListener("pointermove", jump);
}
