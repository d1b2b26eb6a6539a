// What stands beside the example

const stepShown = () => (state.hover >= 0 ? state.hover : here());

function row(list, term, text, className_) {
  list.append(made("dt", "", term), made("dd", className_ || "", text));
}

function showExample() {
  const e = state.example;
  by("example-title").textContent = `Example ${names[e]}`;
  const list = cleared(by("about-example"));
  row(list, "length", `${grouped(lengths[e])} steps${AHEAD ? `, and ${AHEAD} ahead` : ""}`);
  if (about.answers === "sequence") {
    if (IS_KNOWN) row(list, "true", className(target(e)));
    row(list, "answered", className(answer(e)), IS_KNOWN ? `verdict ${isRight(e) ? "right" : "wrong"}` : "");
    if (IS_KNOWN) row(list, "loss", `${fixed(costOf(e))} nats`);
  } else if (IS_KNOWN && OF_STEPS) {
    row(list, "right", `${percent(shareRight(e))} of the steps`);
  } else if (IS_KNOWN) {
    row(list, "what came", isRight(e) ? WORDS.right : WORDS.wrong, `verdict ${isRight(e) ? "right" : "wrong"}`);
  }
}

function showAnswers() {
  const m = OF_STEPS ? starts[state.example] + stepShown() : state.example;
  by("guesses-title").hidden = by("guesses").hidden = IS_FORECAST;
  if (IS_FORECAST) return;
  by("guesses-title").textContent = OF_STEPS ? "Classes of this step" : "Classes of this example";
  const items = [];
  for (let k = 0; k < about.top; k++) {
    const c = answer(m, k);
    const came = IS_KNOWN && c === target(m);
    const item = made("li");
    const what = made("span", came ? "what came" : "what", className(c));
    if (came) what.append(made("span", "unseen", " (true)"));
    item.append(what, bar(chance(m, k), false, "gate"), made("span", "number", percent(chance(m, k))));
    items.push(item);
  }
  cleared(by("guesses")).append(...items);
}

function showHere() {
  const [e, s] = [state.example, stepShown()];
  const list = cleared(by("here"));
  row(list, "step", `${grouped(s + 1)} of ${grouped(stepsOf(e))}`);
  if (s >= lengths[e]) {
    showAhead(list, s - lengths[e]);
    return;
  }
  const what = state.view.part ? `unit ${state.unit}` : state.view.label;
  if (!state.view.loss) row(list, what, fixed(valueAt(starts[e] + s), 3));
  if (OF_STEPS && IS_KNOWN) {
    row(list, "true", className(target(starts[e] + s)));
    row(list, "loss", `${fixed(costOf(starts[e] + s))} nats`);
  }
  if (about.pieces) row(list, "symbol", named(about.pieces[pieceAt(s)]));
  lanes.order.slice(0, 12).forEach((d) => row(list, channels[d], short(channelValue(d)(s))));
  if (D > 12) row(list, "…", `and ${D - 12} more`);
}

function showAhead(list, n) {
  about.columns.forEach((d, k) => {
    const f = (q) => forecast(state.example, n, k, q);
    row(list, channels[d], short(f(MIDDLE)));
    if (Q > 1) row(list, `${about.quantiles[0]} to ${about.quantiles[Q - 1]}`, `${short(f(0))} to ${short(f(Q - 1))}`);
    if (IS_KNOWN) row(list, "came", Number.isNaN(truth(state.example, n, k)) ? "missing" : short(truth(state.example, n, k)));
  });
}

let lastSpoken = 0;
function speak() {
  clearTimeout(lastSpoken);
  lastSpoken = setTimeout(() => {
    const [e, s] = [state.example, here()];
    const what = s < lengths[e] ? `, ${title().split(":")[0]} ${fixed(valueAt(starts[e] + s), 3)}` : ", forecast";
    const said = OF_STEPS && s < lengths[e] ? `, answered ${className(answer(starts[e] + s))}` : "";
    by("spoken").textContent = `Example ${names[e]}, step ${s + 1} of ${stepsOf(e)}${what}${said}`;
  }, 250);
}

// The unit along the whole example

function drawMap() {
  const [across, high] = [frame.clientWidth, 18];
  const context = fitted(by("strip"), across, high);
  context.fillStyle = colours.page;
  context.fillRect(0, 0, across, high);
  const { bytes } = values();
  const [first, all] = [starts[state.example], stepsOf(state.example)];
  for (let x = 0; x < room(); x++) {
    const s = Math.floor((x / room()) * all);
    if (s >= lengths[state.example]) break;
    context.fillStyle = state.scale.palette[bytes[first + s]];
    context.fillRect(gutter() + x, 0, 1, high);
  }
  drawMapWindow();
}

function drawMapWindow() {
  const all = stepsOf(state.example);
  const { style } = by("map-window");
  style.left = `${gutter() + (state.from / all) * room()}px`;
  style.width = `${Math.max(6, (state.span / all) * room())}px`;
}
