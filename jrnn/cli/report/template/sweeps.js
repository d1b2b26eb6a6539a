// Sweeps: a table, and above it a line for each configuration

const TOP = 34;
const HIGH = 300;

function showSweep(sweep) {
  const part = by("sweep").content.cloneNode(true).querySelector("section");
  const find = (selector) => part.querySelector(selector);
  find("h2").textContent = `Sweep ${visible(sweep.name)}`;
  find(".fixed").textContent = fixedWords(sweep);
  const own = { sweep, find, metric: sweep.metrics[0]?.name, log: false, brushes: new Map(), lit: null, focus: 0 };
  for (const { name, label } of sweep.metrics) find(".metric").append(new Option(visible(label), name));
  find(".metric").addEventListener("change", () => { own.metric = find(".metric").value; own.brushes.delete("result"); refresh(own); });
  find(".log").addEventListener("change", () => { own.log = find(".log").checked; drawSweep(own); });
  find(".clear").addEventListener("click", () => { own.brushes.clear(); drawSweep(own); });
  find("svg").setAttribute("role", "group");
  find("svg").setAttribute("aria-label", "Settings and result, an axis each");
  by("sweeps").append(part);
  refresh(own);
  return own;
}

function fixedWords(sweep) {
  const words = Object.entries(sweep.fixed).map(([name, value]) => `${name.replaceAll("_", " ")} ${asTyped(value)}`);
  const left = sweep.left_out ? ` ${shown(sweep.left_out)} configurations behind these are left out.` : "";
  return visible((words.length ? `The same in all: ${words.join(", ")}.` : "") + left);
}

const asTyped = (value) => (typeof value === "number" ? minus(String(value)) : visible(value));
const meanOf = (own, row) => row.results[own.metric]?.mean ?? null;

function refresh(own) {
  const { sweep, find } = own;
  const label = sweep.metrics.find((m) => m.name === own.metric)?.label ?? "result";
  const result = (row) => row.results[own.metric];
  const columns = sweep.settings.map((setting, n) => ({
    label: visible(setting.label), number: typeof sweep.rows[0].config[n] === "number",
    value: (row) => row.config[n], text: (row) => asTyped(row.config[n]),
  }));
  if (!columns.length) columns.push({ label: "configuration", value: () => 0, text: () => "all alike" });
  const result_ = columns.length;
  columns.push(
    { label: visible(label), number: true, value: (row) => meanOf(own, row), text: (row) => (meanOf(own, row) === null ? row.status : shown(meanOf(own, row))) },
    { label: "standard error", number: true, value: (row) => result(row)?.error ?? null, text: (row) => shown(result(row)?.error) },
    { label: "seeds", number: true, value: (row) => row.seeds, text: (row) => shown(row.seeds) },
    { label: "failed", number: true, value: (row) => row.failed, text: (row) => (row.failed ? `${row.failed}` : "") },
    { label: "seconds", number: true, value: (row) => row.seconds, text: (row) => shown(row.seconds) },
  );
  if (sweep.rows.some((row) => row.note)) columns.push({ label: "note", value: (row) => row.note, text: (row) => visible(row.note) });
  own.table = sortable(find("table"), columns, sweep.rows, (row, element) => dressed(own, row, element));
  own.table.sort(result_, larger(own));
  drawSweep(own);
}

/** Whether more is better: of all metrics but losses and errors. */
function larger(own) {
  return !/loss|error|nats|bits|perplexity|rmse|seconds/i.test(own.metric ?? "");
}

function dressed(own, row, element) {
  element.tabIndex = -1;
  row.element = element;
  element.addEventListener("pointerenter", () => light(own, row));
  element.addEventListener("pointerleave", () => light(own, null));
  element.addEventListener("focus", () => light(own, row));
  element.addEventListener("blur", () => light(own, null));
  element.addEventListener("keydown", (event) => {
    const rows = own.table.sorted.rows;
    const n = rows.indexOf(row);
    const to = { ArrowDown: n + 1, ArrowUp: n - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || !rows[to]) return;
    event.preventDefault();
    element.tabIndex = -1;
    rows[to].element.tabIndex = 0;
    rows[to].element.focus();
  });
  if (own.table ? row === own.table.sorted.rows[0] : row === own.sweep.rows[0]) element.tabIndex = 0;
  element.classList.toggle("out", !kept(own, row));
}

function light(own, row) {
  for (const other of [own.lit, row]) {
    other?.element?.classList.toggle("lit", other === row);
    other?.path?.classList.toggle("lit", other === row);
  }
  row?.path?.parentNode.append(row.path); // above the others
  own.lit = row;
}

// The axes: settings in their order, and the result

function axesOf(own, width) {
  const { sweep } = own;
  const columns = sweep.settings.map((setting, n) => ({ key: setting.name, label: setting.label, value: (row) => row.config[n] }));
  const label = sweep.metrics.find((m) => m.name === own.metric)?.label ?? "result";
  columns.push({ key: "result", label, value: (row) => meanOf(own, row), result: true });
  const wide = width < 520 ? 58 : 70;
  return columns.map((column, n) => {
    const values = [...new Set(sweep.rows.map(column.value).filter((v) => v !== null))];
    const share = columns.length > 1 ? n / (columns.length - 1) : 0.5;
    const x = wide + share * (width - 2 * wide);
    return { ...column, x, ...scaleOf(own, column, values) };
  });
}

/** Numbers on a line, logarithmic where they span much; words one under the other. */
function scaleOf(own, column, values) {
  const [top, bottom] = [TOP, TOP + HIGH];
  if (values.length && values.every((v) => typeof v === "number")) {
    values.sort((a, b) => a - b);
    const [low, high] = [values[0], values.at(-1)];
    const log = low > 0 && (column.result ? own.log : high / low > 20);
    const scale = axis(low, high, bottom, top, log);
    const marks = values.length <= 8 && !column.result ? values : scale.ticks;
    return { values, marks: apart(marks, scale.at), at: scale.at };
  }
  values = values.map(String).sort();
  const gap = (bottom - top) / values.length;
  const at = (v) => top + gap * (values.indexOf(String(v)) + 0.5);
  return { values, marks: apart(values, at), at };
}

/** Marks whose words do not run into one another. */
function apart(marks, at) {
  const found = [];
  for (const mark of marks) if (!found.length || Math.abs(at(mark) - at(found.at(-1))) >= 13) found.push(mark);
  return found;
}

function drawSweep(own) {
  const svg = own.find("svg");
  const width = Math.max(280, own.find(".plot").clientWidth, 92 * (own.sweep.settings.length + 1));
  own.find(".plot").style.overflowX = width > own.find(".plot").clientWidth ? "auto" : "";
  svg.style.width = width > own.find(".plot").clientWidth ? `${width}px` : "";
  svg.setAttribute("viewBox", `0 0 ${width} ${TOP + HIGH + 22}`);
  svg.setAttribute("height", TOP + HIGH + 22);
  own.axes = axesOf(own, width);
  own.colours = coloursOf(own);
  const focused = document.activeElement?.dataset?.key;
  const inside = svg.contains(document.activeElement);
  svg.replaceChildren(drawn("g", {}, ...[...own.sweep.rows].reverse().map((row) => pathOf(own, row))), ...own.axes.map((a) => along(own, a, width)));
  if (inside) svg.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  brush(own);
}

function pathOf(own, row) {
  const places = own.axes.map((a) => [a.x, a.value(row) === null ? TOP + HIGH + 14 : a.at(a.value(row))]);
  const d = places.map(([x, y], n) => {
    if (!n) return `M${x.toFixed(1)} ${y.toFixed(1)}`;
    const [x0, y0] = places[n - 1];
    const middle = ((x0 + x) / 2).toFixed(1);
    return `C${middle} ${y0.toFixed(1)} ${middle} ${y.toFixed(1)} ${x.toFixed(1)} ${y.toFixed(1)}`;
  }).join("");
  row.path = drawn("path", { class: "path", d });
  row.path.style.stroke = own.colours.get(row) ?? "var(--line)";
  row.path.addEventListener("pointerenter", () => { light(own, row); tell(own, row); });
  row.path.addEventListener("pointerleave", () => { light(own, null); tell(own, null); });
  return row.path;
}

/** Colours by the rank of the result: the good ones stand out. */
function coloursOf(own) {
  const ranked = own.sweep.rows.filter((row) => meanOf(own, row) !== null);
  ranked.sort((a, b) => compared(meanOf(own, a), meanOf(own, b), larger(own)));
  const [good, poor] = [colour("--good"), colour("--poor")];
  return new Map(ranked.map((row, n) => [row, mixed(good, poor, Math.sqrt(n / Math.max(1, ranked.length - 1)))]));
}

function along(own, a, width) {
  const side = a.x > width - 60 ? "end" : a.x < 60 ? "start" : "middle";
  const anchor = side === "start" ? Math.min(a.x, 8) : side === "end" ? width - 8 : a.x;
  const group = drawn("g", { class: "along", tabindex: 0, role: "group", "data-key": a.key, "aria-label": `Axis ${visible(a.label)}. Up and down choose values.` });
  group.append(
    drawn("line", { class: "axis", x1: a.x, x2: a.x, y1: TOP, y2: TOP + HIGH }),
    drawn("text", { class: "name", x: anchor, y: 18, "text-anchor": side }, visible(a.label)),
    ...a.marks.map((mark) => drawn("text", {
      x: a.result ? a.x + 7 : a.x - 7, y: a.at(mark) + 4, "text-anchor": a.result ? "start" : "end",
    }, typeof mark === "number" ? short(mark, 3) : visible(mark))),
    drawn("rect", { class: "brush", x: a.x - 6, width: 12, y: 0, height: 0 }),
    drawn("rect", { class: "handle", x: a.x - 12, y: TOP - 8, width: 24, height: HIGH + 16 }),
  );
  dragged(own, a, group.querySelector(".handle"));
  group.addEventListener("keydown", (event) => stepped(own, a, event));
  return group;
}

// Brushes: the part of an axis that is kept, as places on the screen

function dragged(own, a, handle) {
  const place = (event) => {
    const box = own.find("svg").getBoundingClientRect();
    const y = (event.clientY - box.top) * ((TOP + HIGH + 22) / box.height);
    return Math.max(TOP - 8, Math.min(TOP + HIGH + 8, y));
  };
  handle.addEventListener("pointerdown", (event) => {
    const start = place(event);
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    const move = (next) => {
      own.brushes.set(a.key, [Math.min(start, place(next)), Math.max(start, place(next))]);
      brush(own);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", (last) => {
      handle.removeEventListener("pointermove", move);
      if (Math.abs(place(last) - start) < 4) own.brushes.delete(a.key); // a click: all again
      brush(own);
    }, { once: true });
  });
}

/** By keys: one value of a setting, and of the result the best ones up to a value. */
function stepped(own, a, event) {
  const by_ = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (event.key !== "Escape" && !by_) return;
  event.preventDefault();
  own.steps ||= new Map();
  if (!by_) {
    own.brushes.delete(a.key);
    own.steps.delete(a.key);
  } else if (a.values.length) {
    const upward = typeof a.values[0] === "number"; // words stand from the top down
    const last = a.values.length - 1;
    let n = own.steps.get(a.key);
    n = n === undefined ? (by_ > 0 === upward ? 0 : last) : Math.max(0, Math.min(last, n + (upward ? by_ : -by_)));
    own.steps.set(a.key, n);
    const y = a.at(a.values[n]);
    const best = larger(own) ? TOP - 8 : TOP + HIGH + 8;
    own.brushes.set(a.key, a.result ? [Math.min(y, best) - 1, Math.max(y, best) + 1] : [y - 5, y + 5]);
  }
  brush(own);
}

function kept(own, row) {
  if (!own.axes) return true;
  return own.axes.every((a) => {
    const range = own.brushes.get(a.key);
    if (!range) return true;
    const value = a.value(row);
    return value !== null && a.at(value) >= range[0] && a.at(value) <= range[1];
  });
}

function brush(own) {
  const groups = own.find("svg").querySelectorAll(".along");
  own.axes.forEach((a, n) => {
    const [from, to] = own.brushes.get(a.key) ?? [0, 0];
    const rect = groups[n].querySelector(".brush");
    rect.setAttribute("y", from);
    rect.setAttribute("height", to - from);
  });
  let count = 0;
  for (const row of own.sweep.rows) {
    const keep = kept(own, row);
    count += keep;
    row.path.classList.toggle("out", !keep);
    row.element.classList.toggle("out", !keep);
  }
  own.find(".clear").hidden = !own.brushes.size;
  tell(own, null, count);
}

function tell(own, row, count = null) {
  if (row) {
    const words = own.axes.map((a) => `${a.label} ${a.result ? shown(a.value(row)) : asTyped(a.value(row))}`);
    own.find(".chosen").textContent = visible(words.join(", "));
  } else {
    own.count = count ?? own.count;
    own.find(".chosen").textContent = own.brushes.size ? `${own.count} of ${own.sweep.rows.length} configurations` : "";
  }
}
