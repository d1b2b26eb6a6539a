// Axes: from values to places

/**
 * An axis from `low` to `high`, which covers `from` to `to` on the screen. A log axis
 * needs `low` above zero.
 */
function axis(low, high, from, to, log) {
  const f = log ? Math.log10 : (x) => x;
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const [a, b] = [f(low), f(high)];
  const at = (x) => from + ((f(x) - a) / (b - a)) * (to - from);
  const inverse = (place) => {
    const y = a + ((place - from) / (to - from)) * (b - a);
    return log ? 10 ** y : y;
  };
  return { low, high, at, inverse, log, ticks: log ? logTicks(low, high) : ticks(low, high) };
}

/** Some six round numbers from low to high. */
function ticks(low, high) {
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((n) => n * power >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(Number((n * step).toPrecision(12)));
  return found;
}

/** Powers of ten, with 2 and 5 between where there are few of them. */
function logTicks(low, high) {
  const found = [];
  for (let n = Math.floor(Math.log10(low)); n <= Math.log10(high); n++) {
    for (const m of [1, 2, 5]) {
      const x = Number((m * 10 ** n).toPrecision(3));
      if (x >= low * 0.9999 && x <= high * 1.0001) found.push(x);
    }
  }
  const powers = found.filter((x) => Number.isInteger(Math.round(1e6 * Math.log10(x)) / 1e6));
  if (powers.length > 3) return powers;
  return found.length > 1 ? found : ticks(low, high).filter((x) => x > 0);
}

/** A number beside an axis: as short as it can be. */
function short(x, digits = 4) {
  const size = Math.abs(x);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return minus(Number(x.toPrecision(3)).toExponential().replace("e+", "e"));
  if (size >= 1e4) return minus(`${Number((x / 1e3).toPrecision(4))}k`);
  return minus(String(Number(x.toPrecision(digits))));
}

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const x of values) {
    if (x < low) low = x;
    if (x > high) high = x;
  }
  return [low, high];
}
