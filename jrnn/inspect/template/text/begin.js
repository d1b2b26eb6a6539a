// Layout

function fit() {
  const above = document.querySelector(".controls");
  document.documentElement.style.setProperty("--above", `${above.offsetTop + above.offsetHeight}px`);
  grid.columns = Math.max(8, Math.floor((frame.clientWidth - 2 * PAD) / grid.cell));
  grid.height = grid.line + (state.guesses ? K * grid.guess + 8 : 0);
  breakRows();
  by("spacer").style.height = `${2 * PAD + grid.rows.length * grid.height}px`;
}

function layOut() {
  const anchor = grid.rows.length > 1 ? grid.rows[Math.min(grid.rows.length - 1, Math.floor(frame.scrollTop / grid.height))] : 0;
  fit();
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

function listenHere() {
  by("show-guesses").onchange = (event) => showGuesses(event.target.checked);
  by("find").onsubmit = find;
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

// What the shared scripts ask of this page

const MEASURED = `the first ${grouped(about.measured)} ${ONE}s`;
const COST = `nats a ${ONE}`;
const figureOf = () => "";
const OWN_KEYS = { g: () => showGuesses(!state.guesses), "/": () => by("sought").focus() };

/** What depends on the view or the unit, beside the text. */
function showAround() {
  by("trace-name").textContent = `${title()}, around this ${ONE}`;
  showHere();
  drawMap();
  drawTrace();
  speak();
}

start();
