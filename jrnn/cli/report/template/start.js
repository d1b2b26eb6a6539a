// The page begins

for (const note of about.notes) by("notes").append(made("li", {}, visible(note)));
for (const name of ["curves", "figures", "settings"]) by(`${name}-section`).hidden = !about.runs.length;
const sweeps = [];
if (about.runs.length) {
  startCurves();
  drawCurves();
  showFigures();
  showSettings();
}
listSamples();
for (const sweep of about.sweeps) sweeps.push(showSweep(sweep));

function again() {
  if (about.runs.length) drawCurves();
  sweeps.forEach(drawSweep);
}
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) again(); // not where a phone hides its bars
  width = innerWidth;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);

// Keys

const LETTERS = {
  c: () => by("plot").focus(),
  l: () => change("log-y", !state.logY),
  x: () => {
    const options = [...by("over").options].filter((o) => !o.disabled).map((o) => o.value);
    change("over", options[(options.indexOf(state.over) + 1) % options.length]);
  },
  "?": () => by("keys").showModal(),
};
by("help").addEventListener("click", () => by("keys").showModal());
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || by("keys").open) return;
  if (event.target.closest?.("select, input:not([type=checkbox])")) return;
  if (!LETTERS[event.key] || !about.runs.length) return;
  event.preventDefault();
  LETTERS[event.key]();
});
