// What is read, a lane for each channel; those that are forecast go on with the forecast

const LANE = { least: 34, most: 240, forecast: 150 };
const lanes = { order: [], tops: [], high: 0 };

function placeLanes() {
  const ahead = IS_FORECAST ? about.columns : [];
  lanes.order = [...ahead, ...Array.from({ length: D }, (_, d) => d).filter((d) => !ahead.includes(d))];
  const free = by("lanes").clientHeight;
  const rest = Math.max(1, D - ahead.length);
  const tall = ahead.length ? Math.max(LANE.forecast, Math.min(300, (free - (D - ahead.length) * LANE.least) / ahead.length)) : 0;
  const each = Math.max(LANE.least, Math.min(LANE.most, Math.floor((free - tall * ahead.length) / rest)));
  lanes.tops = [];
  let y = 0;
  for (const d of lanes.order) {
    lanes.tops.push(y);
    y += ahead.includes(d) ? tall : each;
  }
  lanes.high = y;
  return y;
}

const laneEnd = (i) => (i + 1 < lanes.tops.length ? lanes.tops[i + 1] : lanes.high);

function channelValue(d) {
  const levels = array(`channel-${d}`);
  const { low, step } = about.channels[d];
  const first = starts[state.example];
  return (s) => low + step * levels[first + s];
}

// The range of a channel in this example, found when it is first seen

let ranges = new Map();
let rangesOf = -1;

function rangeOf(d) {
  if (rangesOf !== state.example) [ranges, rangesOf] = [new Map(), state.example];
  if (ranges.has(d)) return ranges.get(d);
  const value = channelValue(d);
  let [low, high] = [Infinity, -Infinity];
  const include = (v) => {
    if (v < low) low = v;
    if (v > high) high = v;
  };
  for (let s = 0; s < lengths[state.example]; s++) include(value(s));
  const k = IS_FORECAST ? about.columns.indexOf(d) : -1;
  for (let n = 0; k >= 0 && n < AHEAD; n++) {
    include(truth(state.example, n, k));
    include(forecast(state.example, n, k, 0));
    include(forecast(state.example, n, k, Q - 1));
  }
  ranges.set(d, [low, high]);
  return ranges.get(d);
}

function drawChannels() {
  const scrolled = by("lanes").scrollTop;
  const [across, high] = [by("lanes").clientWidth, by("lanes").clientHeight];
  const context = fitted(by("channels"), across, high);
  context.fillStyle = colours.page;
  context.fillRect(0, 0, across, high);
  if (about.pieces) {
    drawTexts(context, across, high, scrolled);
    return;
  }
  for (let i = 0; i < D; i++) {
    const [top, end] = [lanes.tops[i] - scrolled, laneEnd(i) - scrolled];
    if (end < 0 || top > high) continue; // only what is to be seen
    drawLane(context, lanes.order[i], top, end - top);
  }
  drawCursor(context, high);
}

function drawLane(context, d, top, high) {
  const [low, most] = rangeOf(d);
  const reach = most - low || 1;
  const yOf = (v) => top + high - 7 - ((v - low) / reach) * (high - 14);
  context.fillStyle = colours.line;
  context.fillRect(0, top + high - 1, box.across, 1);
  drawName(context, channels[d], top + Math.min(18, high / 2 + 4));
  if (high >= 52) {
    drawName(context, short(most), top + 33, colours.soft, 11);
    drawName(context, short(low), top + high - 8, colours.soft, 11);
  }
  cutTo(context, top, high);
  const k = IS_FORECAST ? about.columns.indexOf(d) : -1;
  if (k >= 0) drawForecast(context, d, k, yOf);
  drawLine(context, channelValue(d), lengths[state.example], yOf, colours.ink);
  context.restore();
}

/** The band, the forecast in it, and what came. */
function drawForecast(context, d, k, yOf) {
  const [e, first] = [state.example, lengths[state.example]];
  const last = channelValue(d)(first - 1);
  context.fillStyle = colours.accent;
  context.globalAlpha = 0.22;
  context.beginPath();
  context.moveTo(centreOf(first - 1), yOf(last));
  for (let n = 0; n < AHEAD; n++) context.lineTo(centreOf(first + n), yOf(forecast(e, n, k, Q - 1)));
  for (let n = AHEAD - 1; n >= 0; n--) context.lineTo(centreOf(first + n), yOf(forecast(e, n, k, 0)));
  context.closePath();
  if (Q > 1) context.fill();
  context.globalAlpha = 1;
  const from = (value) => (s) => (s < first ? last : value(s - first));
  const all = first + AHEAD;
  drawLine(context, from((n) => truth(e, n, k)), all, yOf, colours.ink, first - 1);
  drawLine(context, from((n) => forecast(e, n, k, MIDDLE)), all, yOf, colours.accent, first - 1);
  context.fillStyle = colours.soft;
  context.fillRect(left(first) - 0.5, yOf(rangeOf(d)[1]) - 7, 1, yOf(rangeOf(d)[0]) - yOf(rangeOf(d)[1]) + 14);
}
