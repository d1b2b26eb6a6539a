// Examples: where each lies among the steps, what is asked of it and what was answered

const frame = by("plots");
const E = about.examples.length;
const lengths = array("lengths");
const starts = new Int32Array(E);
for (let e = 1; e < E; e++) starts[e] = starts[e - 1] + lengths[e - 1];
const D = about.channels.length;
const IS_FORECAST = about.answers === "forecast";
const OF_STEPS = about.answers === "step";
const AHEAD = IS_FORECAST ? about.horizon : 0;
const M = OF_STEPS ? N : E; // what has an answer
Object.assign(state, { example: 0, listed: [], filter: "all", from: 0, span: 1, hover: -1 });

/** A name as it can be seen: signs that nothing shows stand in brackets. */
function visible(name) {
  if (/^[ -~]*$/.test(name)) return name;
  return Array.from(name, (c) => {
    const glyph = glyphOf(c);
    return glyph.label ? `⟨${glyph.text}⟩` : glyph.dim ? glyph.text : c;
  }).join("");
}

let names = [];
let channels = [];
let classes = [];
let pieces = [];

function measure() {
  measureCell();
  names = about.examples.map(visible);
  channels = about.channels.map((c) => visible(c.name));
  classes = (about.classes || []).map(visible);
  pieces = (about.pieces || []).map(glyphOf);
  for (const feature of about.features) {
    feature.label = visible(feature.label);
    feature.about = visible(feature.about);
  }
}

const className = (c) => (c < classes.length ? classes[c] : "none of these");

/** Steps of an example, those that are forecast among them. */
const stepsOf = (e) => lengths[e] + AHEAD;
const here = () => state.cursor - starts[state.example]; // may lie ahead of what is read

// Answers: rank k of answer m at k * M + m

const answer = (m, k = 0) => array("guesses")[k * M + m];
const chance = (m, k) => array("chances")[k * M + m] / 255;
const target = (m) => array("targets")?.[m];
const costOf = (m) => array("nats")[m] * about.nats.step;
const K = IS_FORECAST ? about.columns.length : 0;
const Q = IS_FORECAST ? about.quantiles.length : 0;
const MIDDLE = IS_FORECAST ? about.quantiles.reduce((best, q, j, all) => (Math.abs(q - 0.5) < Math.abs(all[best] - 0.5) ? j : best), 0) : 0;
const forecast = (e, n, k, q) => array("forecasts")[((e * AHEAD + n) * K + k) * Q + q];
const truth = (e, n, k) => array("truth")?.[(e * AHEAD + n) * K + k] ?? NaN;
const IS_KNOWN = IS_FORECAST ? about.known : Boolean(about.nats);

/** Whether an answer is right: of steps all, of a forecast what came lies in the band. */
function isRight(e) {
  if (IS_FORECAST) {
    for (let n = 0; n < AHEAD; n++) {
      for (let k = 0; k < K; k++) {
        const y = truth(e, n, k);
        if (y < forecast(e, n, k, 0) || y > forecast(e, n, k, Q - 1)) return false;
      }
    }
    return true;
  }
  const [first, last] = OF_STEPS ? [starts[e], starts[e] + lengths[e]] : [e, e + 1];
  for (let m = first; m < last; m++) if (target(m) !== answer(m)) return false;
  return true;
}

/** Share of the steps of an example with the right class. */
function shareRight(e) {
  let right = 0;
  for (let m = starts[e]; m < starts[e] + lengths[e]; m++) right += target(m) === answer(m);
  return right / lengths[e];
}

// Choosing an example

const WORDS = IS_FORECAST
  ? { right: "in the band", wrong: "partly outside the band" }
  : { right: "right", wrong: OF_STEPS ? "partly wrong" : "wrong" };

function listFilters() {
  const options = [["all", `all ${grouped(E)}`]];
  if (IS_KNOWN) {
    const right = Array.from({ length: E }, (_, e) => isRight(e)).filter(Boolean).length;
    options.push(["right", `${WORDS.right} (${grouped(right)})`], ["wrong", `${WORDS.wrong} (${grouped(E - right)})`]);
  }
  if (IS_KNOWN && about.answers === "sequence") {
    classes.slice(0, 50).forEach((name, c) => options.push([`class ${c}`, `class ${name}`]));
  }
  for (const [value, label] of options) by("filter").append(new Option(label, value));
}

function passes(e) {
  const { filter } = state;
  if (filter === "all") return true;
  if (filter.startsWith("class ")) return target(e) === Number(filter.slice(6));
  return isRight(e) === (filter === "right");
}

function listExamples() {
  state.listed = Array.from({ length: E }, (_, e) => e).filter(passes);
  const select = cleared(by("example"));
  select.append(...state.listed.map((e) => new Option(labelOf(e), String(e))));
  select.disabled = state.listed.length === 0;
  if (state.listed.length === 0) select.append(new Option("none", ""));
}

function labelOf(e) {
  if (about.answers !== "sequence") return names[e];
  const said = className(answer(e));
  if (!IS_KNOWN || isRight(e)) return `${names[e]}: ${said}`;
  return `${names[e]}: ${className(target(e))}, answered ${said}`;
}

function filterBy(value) {
  state.filter = by("filter").value = value;
  listExamples();
  if (state.listed.length && !state.listed.includes(state.example)) show(state.listed[0]);
  else by("example").value = String(state.example);
}

/** Show another example, the whole of it. */
function show(e) {
  state.example = e;
  state.cursor = starts[e];
  state.hover = -1;
  [state.from, state.span] = [0, stepsOf(e)];
  by("example").value = String(e);
  fit();
  showAll();
}

function nextExample(by_) {
  const place = state.listed.indexOf(state.example);
  const next = state.listed[Math.max(0, Math.min(state.listed.length - 1, place + by_))];
  if (next !== undefined && next !== state.example) show(next);
}
