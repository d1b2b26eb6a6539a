// Tables

/**
 * A table that is sorted by a click on a column's name.
 *
 * columns: { label, value(row), text(row), number, mark(row, cell) }; rows: anything; what
 * has no value is last in both orders. It is empty until it is sorted or filled.
 */
function sortable(table, columns, rows, dress = () => {}) {
  const sorted = { column: -1, down: false, rows: [...rows] };
  const head = made("tr");
  const body = made("tbody");
  const buttons = columns.map((column, n) => {
    const button = made("button", { type: "button" }, column.label);
    const cell = made("th", { scope: "col", className: column.number ? "number" : "" }, button);
    button.addEventListener("click", () => sort(n, sorted.column === n ? !sorted.down : column.larger === true));
    head.append(cell);
    return cell;
  });
  function fill() {
    body.replaceChildren(...sorted.rows.map((row) => {
      const cells = columns.map((column, n) => {
        const cell = made(n ? "td" : "th", { className: column.number ? "number" : "" }, column.text(row));
        if (!n) cell.scope = "row";
        column.mark?.(row, cell);
        return cell;
      });
      const element = made("tr", {}, ...cells);
      dress(row, element);
      return element;
    }));
  }
  function sort(column, down) {
    Object.assign(sorted, { column, down });
    const value = columns[column].value;
    sorted.rows = [...rows].sort((a, b) => compared(value(a), value(b), down));
    buttons.forEach((cell, n) => {
      if (n === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    fill();
  }
  table.replaceChildren(made("thead", {}, head), body);
  return { fill, sort, sorted };
}

function compared(a, b, down) {
  const [x, y] = [a === null || a === undefined, b === null || b === undefined];
  if (x || y) return x - y;
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -order : order;
}

// What runs came to

function showFigures() {
  const rows = about.runs.map((run, number) => ({ run, number, name: run.name, figures: run.figures }));
  const columns = [
    { label: "run", value: (row) => row.name, text: (row) => visible(row.name), mark: dotted },
    { label: "status", value: (row) => row.run.status, text: (row) => row.run.status },
    ...about.figures.map(figureColumn),
  ];
  const table = sortable(by("figures"), columns, rows, (row, element) => {
    element.addEventListener("pointerenter", () => choose(row.number));
    element.addEventListener("pointerleave", () => choose(-1));
  });
  table.fill(); // in the order in which they were named
  showBaselines();
}

function dotted(row, cell) {
  cell.prepend(made("span", { className: `dot ${looks(row.number)}` }));
}

function figureColumn({ name, percent: isShare, better }) {
  const values = about.runs.map((run) => run.figures[name]).filter((x) => x !== undefined && x !== null);
  const best = better === "larger" ? Math.max(...values) : Math.min(...values);
  const marks = better && about.comparable && new Set(values).size > 1;
  const value = (row) => row.figures[name] ?? null;
  return {
    label: name,
    number: true,
    larger: better === "larger",
    value,
    text: (row) => (isShare ? percent(value(row)) : shown(value(row))),
    mark: (row, cell) => cell.classList.toggle("best", Boolean(marks && value(row) === best)),
  };
}

/** What trivial answers come to, each once. */
function showBaselines() {
  const told = new Set();
  for (const run of about.runs) {
    for (const [name, figures] of Object.entries(run.baselines)) {
      const words = Object.entries(figures).map(([figure, value]) => {
        const known = about.figures.find((f) => f.name === `test ${figure}`);
        return `${figure} ${known?.percent ? percent(value) : shown(value)}`;
      });
      told.add(`${name}: ${words.join(", ")}`);
    }
  }
  const more = told.size ? `On the test part, without a network: ${[...told].join("; ")}. ` : "";
  by("figures-note").textContent = visible(more) + noteOnFigures();
}

function noteOnFigures() {
  const words = [];
  if (about.comparable && about.runs.length > 1) words.push("\u2605 the best of these runs.");
  if (about.figures.some((f) => f.name === "seconds")) words.push("Seconds are those of training with its evaluations, without compiling at its beginning.");
  return words.join(" ");
}

// Settings

function showSettings() {
  const values = (name) => about.runs.map((run) => run.settings[name] ?? "\u2013");
  const differs = (name) => new Set(values(name)).size > 1;
  const one = about.runs.length === 1;
  const different = about.settings.filter(differs);
  const all = by("all").checked || one;
  const names = all ? about.settings : different;
  by("all-label").hidden = one;
  by("settings-what").textContent = one ? "" : all ? `\u2013 all ${names.length}` : different.length ? `in which they differ` : "\u2013 all are the same";
  const head = made("tr", {}, made("th", { scope: "col" }, "setting"), ...about.runs.map((run, number) => {
    const cell = made("th", { scope: "col" }, visible(run.name));
    dotted({ number }, cell);
    return cell;
  }));
  const rows = names.map((name) => made("tr", { className: all && !one && !differs(name) ? "same" : "" },
    made("th", { scope: "row" }, name), ...values(name).map((value) => made("td", {}, shown(value)))));
  by("settings").replaceChildren(made("thead", {}, head), made("tbody", {}, ...rows));
  by("settings").hidden = !names.length;
}

// Samples

function listSamples() {
  const steps = [...new Set(about.runs.flatMap((run) => run.samples.map((s) => s.step)))].sort((a, b) => a - b);
  by("samples-section").hidden = !steps.length;
  for (const step of steps) by("sample").append(new Option(shown(step), String(step)));
  by("sample").selectedIndex = steps.length - 1;
  by("sample").addEventListener("change", showSamples);
  by("all").addEventListener("change", showSettings);
  showSamples();
}

/** Of each run the last sample until the step. */
function showSamples() {
  const until = Number(by("sample").value);
  by("samples").replaceChildren(...about.runs.flatMap((run, number) => {
    const sample = run.samples.filter((s) => s.step <= until).at(-1);
    if (!run.samples.length) return [];
    const of = sample ? ` step ${shown(sample.step)}` : " nothing yet";
    const title = made("h3", {}, visible(run.name), made("small", {}, of));
    dotted({ number }, title);
    const text = made("pre", { className: looks(number), tabIndex: 0 }, sample ? visible(sample.text) : "");
    text.setAttribute("role", "region");
    text.setAttribute("aria-label", `Sample of ${visible(run.name)}`);
    return [made("article", {}, title, text)];
  }));
}
