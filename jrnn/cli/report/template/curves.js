// Learning curves

const state = {
  what: about.groups[0]?.key, // which curves
  over: "step",
  logX: false,
  logY: false,
  training: true,
  validation: true,
  hidden: new Set(), // runs, by number
  chosen: -1, // the run that stands out
  at: null, // where values are read
};
const UNITS = { step: "step", epoch: "epoch", seconds: "seconds" };
let plot = null; // what was drawn last: axes and lines

/** The lines that are to be drawn: points [x, y] in the order of their steps. */
function linesNow() {
  const group = about.groups.find((g) => g.key === state.what);
  const found = [];
  about.runs.forEach((run, number) => {
    if (!group || state.hidden.has(number)) return;
    for (const part of group.parts) {
      const curve = run.curves[part];
      const training = part === "loss";
      if (!curve || (group.key === "loss" && !state[training ? "training" : "validation"])) continue;
      const points = curve.y.map((y, i) => [curve[state.over][i], y])
        .filter(([x, y]) => x !== null && y !== null && (!state.logX || x > 0) && (!state.logY || y > 0));
      if (points.length) found.push({ run, number, part, training, points });
    }
  });
  return found;
}

const MARGIN = { left: 62, right: 18, top: 14, bottom: 42 };

function drawCurves() {
  const svg = by("chart");
  const width = Math.max(240, by("plot").clientWidth);
  const height = Math.round(Math.max(260, Math.min(440, width * 0.5)));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.replaceChildren();
  const lines = linesNow();
  plot = { lines, width, height };
  if (!lines.length) {
    svg.append(drawn("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, nothing()));
    return read();
  }
  const x = axis(...extent(lines.flatMap((l) => l.points.map((p) => p[0]))), MARGIN.left, width - MARGIN.right, state.logX);
  const [low, high] = extent(lines.flatMap((l) => l.points.map((p) => p[1])));
  const more = state.logY ? 0 : 0.04 * (high - low);
  const y = axis(low >= 0 ? Math.max(state.logY ? low : 0, low - more) : low - more, high + more, height - MARGIN.bottom, MARGIN.top, state.logY);
  Object.assign(plot, { x, y });
  svg.append(frameOf(x, y, width, height));
  // the faint ones first: what lies above can be read
  const ordered = [...lines].sort((a, b) => b.training - a.training);
  svg.append(drawn("g", { id: "lines" }, ...ordered.flatMap(lineOf)));
  svg.append(drawn("g", { id: "cursor" }));
  emphasise();
  read();
}

function nothing() {
  if (state.over === "seconds") return "No seconds were recorded.";
  return state.hidden.size === about.runs.length ? "All runs are hidden." : "Nothing to draw yet.";
}

function frameOf(x, y, width, height) {
  const bottom = height - MARGIN.bottom;
  const parts = [];
  for (const tick of y.ticks) {
    const place = y.at(tick);
    parts.push(drawn("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: place, y2: place }));
    parts.push(drawn("text", { x: MARGIN.left - 8, y: place + 4, "text-anchor": "end" }, short(tick)));
  }
  let end = -Infinity;
  for (const tick of x.ticks) {
    const [place, text] = [x.at(tick), short(tick)];
    parts.push(drawn("line", { class: "axis", x1: place, x2: place, y1: bottom, y2: bottom + 4 }));
    if (place - 4 * text.length < end + 6) continue; // it would run into the one before
    end = place + 4 * text.length;
    parts.push(drawn("text", { x: place, y: bottom + 18, "text-anchor": "middle" }, text));
  }
  parts.push(drawn("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom }));
  parts.push(drawn("text", { class: "name", x: (MARGIN.left + width - MARGIN.right) / 2, y: height - 6, "text-anchor": "middle" }, UNITS[state.over]));
  const label = about.groups.find((g) => g.key === state.what).label;
  const middle = (MARGIN.top + bottom) / 2;
  parts.push(drawn("text", { class: "name", x: 0, y: 0, "text-anchor": "middle", transform: `translate(14 ${middle}) rotate(-90)` }, label));
  return drawn("g", {}, ...parts);
}

function lineOf({ number, training, points }) {
  const places = points.map(([a, b]) => [plot.x.at(a), plot.y.at(b)]);
  const d = places.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");
  const parts = [drawn("path", { class: `line ${training ? "faint" : ""} ${looks(number)}`, d, "data-run": number })];
  if (points.length === 1 || (!training && points.length <= 60)) {
    for (const [a, b] of places) {
      parts.push(drawn("circle", { class: `point ${looks(number)}`, cx: a.toFixed(1), cy: b.toFixed(1), r: 3, "data-run": number }));
    }
  }
  return parts;
}

// Which run stands out

function emphasise() {
  by("lines")?.classList.toggle("others", state.chosen >= 0);
  for (const element of document.querySelectorAll("#lines > *")) {
    element.classList.toggle("chosen", Number(element.dataset.run) === state.chosen);
  }
}

function choose(number) {
  state.chosen = number;
  emphasise();
}

function listRuns() {
  about.runs.forEach((run, number) => {
    const sample = drawn("svg", { viewBox: "0 0 26 10", "aria-hidden": "true", class: looks(number) },
      drawn("path", { class: `line ${looks(number)}`, d: "M0 5H26" }));
    const button = made("button", { type: "button" }, sample, visible(run.name));
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      if (!state.hidden.delete(number)) state.hidden.add(number);
      button.setAttribute("aria-pressed", String(!state.hidden.has(number)));
      drawCurves();
    });
    for (const [event, n] of [["pointerenter", number], ["focus", number], ["pointerleave", -1], ["blur", -1]]) {
      button.addEventListener(event, () => choose(n));
    }
    by("legend").append(button);
  });
}

// Reading values

/** All x at which there is a point, in order. */
function places() {
  return [...new Set(plot.lines.flatMap((l) => l.points.map((p) => p[0])))].sort((a, b) => a - b);
}

const nearest = (points, x) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));

function read() {
  const reading = by("reading");
  by("cursor")?.replaceChildren();
  reading.replaceChildren();
  if (state.at === null || !plot.lines.length) return;
  const place = plot.x.at(state.at);
  by("cursor").append(drawn("line", { class: "cursor", x1: place, x2: place, y1: MARGIN.top, y2: plot.height - MARGIN.bottom }));
  reading.append(made("span", {}, `${UNITS[state.over]} ${shown(state.at)}`));
  const words = new Map();
  for (const line of plot.lines) {
    const [x, y] = nearest(line.points, state.at);
    if (Math.abs(plot.x.at(x) - place) > 0.06 * plot.width) continue; // it has no point near
    by("cursor").append(drawn("circle", { class: `ring ${looks(line.number)}`, cx: plot.x.at(x), cy: plot.y.at(y), r: 4 }));
    const what = state.what !== "loss" ? "" : line.training ? "training " : "validation ";
    words.set(line.number, [...(words.get(line.number) || []), what + shown(y)]);
  }
  for (const [number, values] of words) {
    reading.append(made("span", { className: `run ${looks(number)}` }, `${visible(about.runs[number].name)}: ${values.join(", ")}`));
  }
}

function readAt(x) {
  state.at = x;
  read();
}

function moved(by_, end) {
  const found = places();
  if (!found.length) return;
  let n = state.at === null ? (by_ > 0 ? -1 : found.length) : found.indexOf(nearest(found.map((x) => [x]), state.at)[0]);
  n = end ? (by_ > 0 ? found.length - 1 : 0) : Math.max(0, Math.min(found.length - 1, n + by_));
  readAt(found[n]);
}

const MOVES = {
  ArrowLeft: () => moved(-1),
  ArrowRight: () => moved(1),
  Home: () => moved(-1, true),
  End: () => moved(1, true),
  Escape: () => readAt(null),
};

function under(event) {
  if (!plot.lines.length) return;
  const box = by("chart").getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * plot.width;
  const found = places();
  readAt(found.reduce((a, b) => (Math.abs(plot.x.at(b) - x) < Math.abs(plot.x.at(a) - x) ? b : a)));
}

function startCurves() {
  for (const group of about.groups) by("what").append(new Option(group.label, group.key));
  const timed = about.runs.some((run) => Object.values(run.curves).some((c) => c.seconds.some((s) => s !== null)));
  by("over").options[2].disabled = !timed;
  listRuns();
  const chosen = (id, act) => by(id).addEventListener("change", () => {
    act(by(id));
    drawCurves();
  });
  chosen("what", (e) => { state.what = e.value; by("both").hidden = e.value !== "loss"; });
  chosen("over", (e) => { state.over = e.value; state.at = null; nameLog(); });
  chosen("log-x", (e) => { state.logX = e.checked; });
  chosen("log-y", (e) => { state.logY = e.checked; });
  chosen("training", (e) => { state.training = e.checked; });
  chosen("validation", (e) => { state.validation = e.checked; });
  by("plot").addEventListener("pointermove", under);
  by("plot").addEventListener("pointerleave", () => readAt(null));
  by("plot").addEventListener("blur", () => readAt(null));
  by("plot").addEventListener("keydown", (event) => {
    if (!MOVES[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    MOVES[event.key]();
  });
}

function nameLog() {
  by("log-x").nextSibling.textContent = ` log ${by("over").selectedOptions[0].textContent}`;
}

function change(id, value) {
  const element = by(id);
  if (element.type === "checkbox") element.checked = value;
  else element.value = value;
  element.dispatchEvent(new Event("change"));
}
