// What stands beside the text

function where(t) {
  const line = lastUpTo(lineStarts, t);
  return { line: line + 1, column: t - lineStarts[line] + 1 };
}

const symbolAt = (t) => (about.glyphs || about.symbols)[shown[t]];

function showHere() {
  const t = state.hover >= 0 ? state.hover : state.cursor;
  by("glyph").textContent = symbolAt(t) === " " ? "␣" : glyphs[shown[t]].text;
  const { line, column } = where(t);
  const list = cleared(by("here"));
  const row = (term, text) => list.append(made("dt", "", term), made("dd", "", text));
  row(ONE, `${named(symbolAt(t))}, ${grouped(t + 1)} of ${grouped(N)}`);
  row("place", `line ${grouped(line)}, ${ONE} ${grouped(column)}`);
  if (!state.view.loss) row("value", fixed(valueAt(t)));
  const cost = nats[t] * about.nats.step;
  row("loss", t ? `${fixed(cost)} nats, p = ${percent(Math.exp(-cost))}` : "none: nothing before it");
  const options = cleared(by("guesses"));
  for (let k = 0; k < K; k++) {
    const token = guesses[k * N + t];
    const chance = chances[k * N + t] / 255;
    const item = made("li");
    const came = t + 1 < N && token === tokens[t + 1];
    const what = made("span", came ? "what came" : "what", named(about.symbols[token]));
    if (came) what.append(made("span", "unseen", " (came)"));
    item.append(what, bar(chance, false, "gate"), made("span", "number", percent(chance)));
    options.append(item);
  }
}

let lastSpoken = 0;
function speak() {
  clearTimeout(lastSpoken);
  lastSpoken = setTimeout(() => {
    const t = state.cursor;
    const { line, column } = where(t);
    const value = state.view.loss ? "" : `value ${fixed(valueAt(t))}, `;
    by("spoken").textContent =
      `${named(symbolAt(t))}, line ${line}, ${ONE} ${column}, ${value}` +
      `loss ${fixed(nats[t] * about.nats.step)} nats, next guess ${named(about.symbols[guesses[t]])}, ` +
      percent(chances[t] / 255);
  }, 250);
}
