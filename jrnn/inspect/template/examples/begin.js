// What the shared scripts ask of this page

const MEASURED = `${grouped(about.measured)} of the examples`;
const COST = IS_FORECAST ? "" : `nats ${OF_STEPS ? "a step" : "an example"}`;
const OWN_KEYS = { j: () => nextExample(1), k: () => nextExample(-1) };

/** The change of what a task is judged by, for people to read. */
function figureOf(v) {
  const figure = array(`${v.place}-figure`)?.[state.unit];
  if (figure === undefined) return "";
  if (about.figure === "accuracy") return `, the accuracy by ${withSign(100 * figure, 1)} points`;
  return `, the ${visible(about.figure)} by ${figure > 0 ? "+" : ""}${short(figure)}`;
}

let queued = 0;
function redraw() {
  queued ||= requestAnimationFrame(() => {
    queued = 0;
    drawPlots();
  });
}

function drawPlots() {
  drawChannels();
  drawStates();
  drawAxis();
  drawMapWindow();
}

function showAround() {
  showExample();
  showAnswers();
  showHere();
  drawMap();
  speak();
}

function fit() {
  box.across = frame.clientWidth;
  const above = document.querySelector(".controls");
  document.documentElement.style.setProperty("--above", `${above.offsetTop + above.offsetHeight}px`);
  if (about.pieces) textHigh = breakTexts();
  fitted(by("states"), frame.clientWidth, parts().high);
  fitted(by("axis"), frame.clientWidth, 20);
  by("spacer").style.height = `${about.pieces ? textHigh : placeLanes()}px`;
}

function layOut() {
  fit();
  drawMap();
  drawGates();
  redraw();
}

function explainAnswers() {
  const chunk = about.chunk > 1 ? ` The network reads ${about.chunk} steps at once, so units keep their values for so long.` : "";
  const words = {
    sequence: " Each example has one class, said when all of it was read.",
    step: " Each step has a class. The two stripes show the true ones and those answered, the line the probability of the true one.",
    forecast: ` Behind what is read stands what came, and in the band from quantile ${about.quantiles?.[0]} to ${about.quantiles?.[Q - 1]} the forecast.`,
  };
  by("answers-reason").textContent = words[about.answers] + chunk;
}

explainAnswers();
state.span = stepsOf(0);
start();
listFilters();
filterBy("all");
