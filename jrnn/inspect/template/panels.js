// Panels

const cleared = (element) => {
  element.replaceChildren();
  return element;
};

function made(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** A bar from the middle (r from -1 to 1) or from the left (a share). */
function bar(x, centred, colour) {
  const element = made("span", centred ? "bar both" : "bar");
  const inner = made("i");
  const long = Math.min(1, Math.abs(x)) * (centred ? 50 : 100);
  inner.style.width = `${long}%`;
  inner.style.left = centred ? `${x < 0 ? 50 - long : 50}%` : "0";
  inner.style.background = `var(--${colour || (x < 0 ? "negative" : "positive")})`;
  element.append(inner);
  return element;
}

const ofLayer = (v) => (v.layer.name ? ` of ${v.layer.name}` : "");

function title() {
  const v = state.view;
  if (v.loss) return `Loss: how much each ${ONE} surprised the model`;
  const layers = ofLayer(v);
  return v.whole ? `${v.whole.label}${layers}, over all units` : `Unit ${state.unit}${layers}: ${v.label}`;
}

function showLegend() {
  by("legend-name").textContent = title();
  const { zero, step } = values();
  const { middle, low, high, both, palette } = state.scale;
  const number = (byte) => fixed((byte - zero) * step);
  by("low").textContent = low === zero ? "0" : number(low);
  by("high").textContent = number(high) + (state.view.loss ? " nats" : "");
  const mark = by("middle");
  const at = (middle - low) / Math.max(1, high - low);
  mark.textContent = both && at > 0.15 && at < 0.85 ? number(middle) : "";
  mark.style.left = `${100 * at}%`;
  const context = fitted(by("scale"), 150, 12);
  for (let x = 0; x < 150; x++) {
    context.fillStyle = palette[Math.round(low + (x / 149) * (high - low))];
    context.fillRect(x, 0, 1, 12);
  }
}

// The ranking

const F = about.features.length;

/** The view whose units are ranked: the last that had any. */
const ranked = () => (state.view.part ? state.view : state.states);

function correlation(v, feature, unit) {
  return array(`${v.place}-${v.part.key}-r`)[feature * v.layer.units + unit];
}

function strongest(v, unit) {
  let best = 0;
  for (let f = 1; f < F; f++) {
    if (Math.abs(correlation(v, f, unit)) > Math.abs(correlation(v, best, unit))) best = f;
  }
  return best;
}

/** What stands in a row of the ranking: by what it is sorted, and how it is written. */
function entry(v, unit) {
  const units = v.layer.units;
  if (state.feature === "effect") {
    const effect = array(`${v.place}-effect`)[unit];
    return { unit, key: effect, x: effect, text: withSign(effect, 3), label: `${COST.split(" ")[0] || "loss"} without it` };
  }
  if (state.feature === "shut" || state.feature === "open") {
    const share = array(`${v.id}-saturation`)[(state.feature === "open" ? units : 0) + unit];
    return { unit, key: share, x: share, text: percent(share), label: `of the ${WHOLE} ${state.feature}` };
  }
  const f = state.feature === "any" ? strongest(v, unit) : Number(state.feature);
  const r = correlation(v, f, unit);
  return { unit, key: Math.abs(r), x: r, text: withSign(r), label: about.features[f].label };
}

function rank() {
  const v = ranked();
  const entries = v.part.units.map((unit) => entry(v, unit));
  entries.sort((a, b) => b.key - a.key || a.unit - b.unit);
  state.ranking = entries.map((e) => e.unit);
  const most = Math.max(...entries.map((e) => Math.abs(e.x)), 1e-9);
  const signed = !["shut", "open"].includes(state.feature);
  const scale = state.feature === "effect" ? most : 1;
  const list = cleared(by("ranking"));
  list.append(
    ...entries.map((e) => {
      const row = made("div", "option");
      row.setAttribute("role", "option");
      row.id = `option-${e.unit}`;
      row.append(made("span", "", e.unit), made("span", "what", e.label));
      row.append(bar(e.x / scale, signed, signed ? "" : "gate"), made("span", "number", e.text));
      return row;
    }),
  );
  noteRanking(v);
  markRanking();
}

function noteRanking(v) {
  const all = v.part.units.length === v.layer.units;
  const kept = all ? "" : ` ${v.part.units.length} of ${v.layer.units} units are in this page.`;
  const notes = { effect: "Change of the loss if the unit is set to zero.", shut: `Share of the ${WHOLE} with the gate below 0.1.`, open: `Share of the ${WHOLE} with the gate above 0.9.` };
  const feature = about.features[Number(state.feature)];
  const r = feature ? `r with: ${feature.about}.` : "r with what each unit follows most.";
  by("ranking-note").textContent = `By ${v.label}. ${notes[state.feature] || r}${kept}`;
}

function markRanking() {
  const list = by("ranking");
  list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
  const row = by(`option-${state.unit}`);
  if (!row) return;
  row.setAttribute("aria-selected", "true");
  list.setAttribute("aria-activedescendant", row.id);
  const [top, high] = [row.offsetTop - list.offsetTop, row.offsetHeight];
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + high > list.scrollTop + list.clientHeight) list.scrollTop = top + high - list.clientHeight;
}

/** Choices of the ranking that this view has. */
function listFeatures() {
  const v = ranked();
  const options = [["any", "what they follow most"]];
  about.features.forEach((f, i) => options.push([String(i), f.label]));
  if (array(`${v.place}-effect`)) options.push(["effect", "effect on the loss"]);
  if (v.part.gate) options.push(["open", `share of the ${WHOLE} open`], ["shut", `share of the ${WHOLE} shut`]);
  const select = cleared(by("feature"));
  for (const [value, label] of options) select.append(new Option(label, value));
  if (!options.some(([value]) => value === state.feature)) state.feature = "any";
  select.value = state.feature;
}

// This unit

function showUnit() {
  const v = ranked();
  by("unit-title").textContent = `Unit ${state.unit}${ofLayer(v)}, ${v.label}`;
  const effect = array(`${v.place}-effect`);
  by("effect").textContent = effect ? effectOf(v, effect) : "";
  by("effect").hidden = !effect;
  const body = cleared(by("follows").tBodies[0]);
  let followed = about.features.map((feature, f) => ({ feature, r: correlation(v, f, state.unit) }));
  if (followed.length > 14) followed = followed.sort((a, b) => Math.abs(b.r) - Math.abs(a.r)).slice(0, 14);
  followed.forEach(({ feature, r }) => {
    const row = body.insertRow();
    const head = made("th", "", feature.label);
    head.scope = "row";
    row.append(head);
    row.insertCell().append(bar(r, true));
    row.insertCell().textContent = withSign(r);
  });
  showSaturation(v);
}

function effectOf(v, effect) {
  const [loss, error] = [effect[state.unit], effect[v.layer.units + state.unit]];
  return `Set to zero, it changes the loss by ${withSign(loss, 4)} ± ${fixed(error, 4)}${COST && ` ${COST}`}${figureOf(v)}.`;
}

function showSaturation(v) {
  const gates = v.layer.parts.filter((part) => part.gate);
  by("saturation").hidden = gates.length === 0;
  const body = cleared(by("saturation").tBodies[0]);
  for (const gate of gates) {
    const shares = array(`${v.place}-${gate.key}-saturation`);
    const row = body.insertRow();
    const head = made("th", "", gate.label);
    head.scope = "row";
    row.append(head);
    row.insertCell().textContent = percent(shares[state.unit]);
    row.insertCell().textContent = percent(shares[v.layer.units + state.unit]);
  }
}

// Gates of the layer: a dot for each unit

function drawGates() {
  const v = ranked();
  const gates = v.layer.parts.filter((part) => part.gate);
  by("gates-section").hidden = gates.length === 0;
  const figures = by("gates");
  if (figures.dataset.layer !== String(v.place)) {
    figures.dataset.layer = v.place;
    cleared(figures).append(...gates.map(gateFigure));
  }
  const room = Math.floor((figures.clientWidth - 10 * (gates.length - 1)) / gates.length);
  const size = Math.max(60, Math.min(room, 160));
  gates.forEach((gate, i) => drawDots(figures.children[i].firstChild, v, gate, size));
}

function gateFigure(gate) {
  const figure = made("figure");
  figure.append(made("canvas"), made("figcaption", "", gate.label));
  return figure;
}

function drawDots(canvas, v, gate, size) {
  const context = fitted(canvas, size, size);
  const shares = array(`${v.place}-${gate.key}-saturation`);
  const units = v.layer.units;
  const at = (unit) => [5 + shares[unit] * (size - 10), size - 5 - shares[units + unit] * (size - 10)];
  context.clearRect(0, 0, size, size);
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  context.strokeRect(0.5, 0.5, size - 1, size - 1);
  context.beginPath();
  context.moveTo(5, 5);
  context.lineTo(size - 5, size - 5); // shut + open = 1
  context.stroke();
  const dot = (unit, radius) => {
    context.beginPath();
    context.arc(...at(unit), radius, 0, 7);
    context.fill();
  };
  context.fillStyle = colours.accent;
  context.globalAlpha = 0.5;
  for (let unit = 0; unit < units; unit++) dot(unit, 2.2);
  context.globalAlpha = 1;
  context.fillStyle = colours.ink;
  dot(state.unit, 4);
  const middle = (first) => Array.from(shares.slice(first, first + units)).sort((a, b) => a - b)[units >> 1];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label",
    `${gate.label}: the unit in the middle is shut at ${percent(middle(0))} and open at ${percent(middle(units))} of the ${WHOLE}`);
  canvas.onclick = (event) => {
    const near = (unit) => Math.hypot(at(unit)[0] - event.offsetX, at(unit)[1] - event.offsetY);
    choose(ranked().part.units.reduce((a, b) => (near(b) < near(a) ? b : a)));
  };
}
