// The axis of time: which steps are to be seen, and where

const END = 8;
const box = { across: 0 }; // of the frame: to ask for it at every step would be slow
const gutter = () => (box.across < 600 ? 74 : 116); // for names, to the left
const room = () => Math.max(50, box.across - gutter() - END);
const width = () => room() / state.span; // of a step
const left = (s) => gutter() + (s - state.from) * width();
const centreOf = (s) => left(s + 0.5);
const stepAt = (x) => Math.floor(state.from + (x - gutter()) / width());
const firstSeen = () => Math.max(0, Math.floor(state.from));
const lastSeen = (count) => Math.min(count - 1, Math.ceil(state.from + state.span) - 1);

function seen(from, span) {
  const all = stepsOf(state.example);
  state.span = Math.max(Math.min(8, all), Math.min(all, span));
  state.from = Math.max(0, Math.min(all - state.span, from));
  redraw();
}

/** Closer by a factor, around a step that stays where it is. */
function zoom(factor, around = here()) {
  const share = Math.max(0, Math.min(1, (around + 0.5 - state.from) / state.span));
  const span = Math.max(Math.min(8, stepsOf(state.example)), Math.min(stepsOf(state.example), state.span / factor));
  seen(around + 0.5 - share * span, span);
}

const cutTo = (context, top, high) => {
  context.save();
  context.beginPath();
  context.rect(gutter(), top, room(), high);
  context.clip();
};

/**
 * A line through value(s) for the steps that are to be seen; of many steps to a pixel
 * from the lowest to the highest of them.
 */
function drawLine(context, value, count, yOf, colour, first = 0) {
  const [from, to] = [Math.max(first, firstSeen() - 1), Math.min(count - 1, lastSeen(count) + 1)];
  const each = 1 / width();
  if (each < 2) {
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    let down = false;
    for (let s = from; s <= to; s++) {
      const v = value(s);
      if (Number.isNaN(v)) down = false;
      else if (down) context.lineTo(centreOf(s), yOf(v));
      else context.moveTo(centreOf(s), yOf(v));
      down = !Number.isNaN(v);
    }
    if (from === to) context.arc(centreOf(from), yOf(value(from)), 1.5, 0, 7);
    context.stroke();
  } else {
    context.fillStyle = colour;
    const [start, across] = [gutter(), room()];
    for (let x = 0; x < across; x++) {
      const a = Math.max(from, Math.floor(state.from + x * each));
      const b = Math.min(to, Math.floor(state.from + (x + 1) * each)); // meets the next one
      let [low, high] = [Infinity, -Infinity];
      for (let s = a; s <= b; s++) {
        const v = value(s);
        if (v < low) low = v;
        if (v > high) high = v;
      }
      if (low > high) continue;
      const [top, end] = [yOf(high), yOf(low)].sort((p, q) => p - q);
      context.fillRect(start + x, top - 0.5, 1, end - top + 1);
    }
  }
}

/** Where the cursor is, and the pointer: a line over all lanes. */
function drawCursor(context, high) {
  for (const [s, colour] of [[state.hover, colours.soft], [here(), colours.ink]]) {
    const x = centreOf(s);
    if (s < 0 || x < gutter() || x > gutter() + room()) continue;
    context.fillStyle = colour;
    context.globalAlpha = s === here() ? 0.9 : 0.6;
    context.fillRect(Math.round(x) - (s === here() ? 0.75 : 0.5), 0, s === here() ? 1.5 : 1, high);
    context.globalAlpha = 1;
  }
}

/** A name to the left of a lane, as long as there is room. */
function drawName(context, text, y, colour = colours.ink, size = 12) {
  context.font = `${size}px ${sans}`;
  context.fillStyle = colour;
  const most = gutter() - 12;
  let shown = text;
  if (context.measureText(shown).width > most) {
    let letters = Array.from(text).slice(0, 40);
    while (letters.length > 1 && context.measureText(letters.join("") + "…").width > most) letters.pop();
    shown = letters.join("") + "…";
  }
  context.fillText(shown, 8, y);
}

const sans = getComputedStyle(document.documentElement).getPropertyValue("--sans");

/** Numbers of any size in a few digits. */
function short(x) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return minus(x.toExponential(1));
  return minus(String(Number(x.toPrecision(4))));
}

function drawAxis() {
  const context = fitted(by("axis"), frame.clientWidth, 20);
  context.fillStyle = colours.page;
  context.fillRect(0, 0, frame.clientWidth, 20);
  const rough = state.span / Math.max(2, room() / 90);
  const ten = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const every = Math.max(1, [1, 2, 5, 10].map((n) => n * ten).find((n) => n >= rough));
  drawName(context, "step", 14, colours.soft);
  context.font = `11px ${sans}`;
  context.textAlign = "center";
  const count = stepsOf(state.example);
  for (let s = Math.ceil((firstSeen() + 1) / every) * every; s <= lastSeen(count) + 1; s += every) {
    const x = centreOf(s - 1);
    if (x < gutter() + 6 || x > gutter() + room()) continue;
    context.fillStyle = colours.line;
    context.fillRect(x - 0.5, 0, 1, 4);
    context.fillStyle = colours.soft;
    context.fillText(grouped(s), Math.min(x, frame.clientWidth - 14), 15);
  }
  context.textAlign = "left";
}
