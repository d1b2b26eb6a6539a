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
