// What both pages begin with: events, keys, words. A page has, in the scripts that follow:
//   frame        the element that is looked at, and that keys move in
//   measure()    once, before anything is drawn
//   fit()        what depends on the size of the frame; layOut() draws it, too
//   redraw()     draws what depends on the view, in the next frame; showAround() the rest
//   listenHere() its own events, and OWN_KEYS
//   COST         the unit of an effect; figureOf(view) another one; MEASURED on what

function centre(on) {
  state.centred = by("centred").checked = on;
  showAll();
}

// Words that depend on what is in the page

function explain() {
  for (const element of document.querySelectorAll(".token")) element.textContent = ONE;
  for (const element of document.querySelectorAll(".whole")) element.textContent = WHOLE;
  const effect = about.layers.some((_, place) => array(`${place}-effect`));
  by("about-effect").hidden = !effect;
  const sample = about.measured ? ` It was measured on ${MEASURED}.` : "";
  if (effect) by("about-effect").append(sample);
  const few = about.layers.some((layer) => layer.parts.some((part) => part.units.length < layer.units));
  by("about-kept").hidden = !few;
  by("kept-reason").textContent = few
    ? " All were ranked, but not all are in this page: those are that follow some feature most, " +
      "or that the loss needs most. jrnn inspect --megabytes makes room for more."
    : "";
}

// Events

function listen() {
  by("by").onchange = (event) => look(event.target.value);
  by("unit").onchange = (event) => choose(Number(event.target.value));
  by("previous").onclick = () => neighbour(-1);
  by("next").onclick = () => neighbour(1);
  by("centred").onchange = (event) => centre(event.target.checked);
  by("feature").onchange = (event) => {
    state.feature = event.target.value;
    rank();
    choose(state.ranking[0]);
  };
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
  listenHere();
  document.addEventListener("keydown", shortcut);
  dark.addEventListener("change", () => {
    mixColours();
    showAll();
  });
  new ResizeObserver(layOut).observe(frame);
}

let before = "";
function shortcut(event) {
  const typing = event.target.matches("input[type=search], select, dialog *");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = {
    n: () => neighbour(1),
    p: () => neighbour(-1),
    m: () => centre(!state.centred),
    l: () => {
      if (!view("loss")) return;
      if (!state.view.loss) before = state.view.id;
      look(state.view.loss ? before || views[0].id : "loss");
    },
    t: () => frame.focus(),
    "?": () => by("keys").showModal(),
    ...OWN_KEYS,
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
  fit();
  look(first.id);
  listen();
}
