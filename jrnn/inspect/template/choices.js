// Choices

function listViews() {
  const select = by("by");
  let group = null;
  for (const v of views) {
    if (group?.label !== v.of) {
      group = made("optgroup");
      group.label = v.of;
      select.append(group);
    }
    group.append(new Option(v.label, v.id));
  }
}

/** Colour the text by another view. */
function look(id) {
  state.view = view(id);
  if (state.view.part) {
    const other = state.states !== state.view;
    state.states = state.view;
    if (other) {
      listFeatures();
      rank();
      if (!state.view.part.units.includes(state.unit)) state.unit = state.ranking[0];
      const select = cleared(by("unit"));
      for (const unit of state.view.part.units) select.append(new Option(String(unit), String(unit)));
    }
  }
  by("by").value = id;
  by("unit-group").hidden = !state.view.part;
  by("centred").disabled = Boolean(state.view.loss || state.view.part?.gate);
  showAll();
}

/** Choose a unit of the part that is ranked. */
function choose(unit) {
  state.unit = unit;
  if (!state.view.part) look(state.states.id);
  else showAll();
}

function showAll() {
  if (state.view.part) by("unit").value = String(state.unit);
  state.scale = scaleNow();
  showLegend();
  redraw();
  // The text first: what is beside it has time until the frame after
  panels ||= requestAnimationFrame(() => requestAnimationFrame(showPanels));
}

let panels = 0;
function showPanels() {
  panels = 0;
  markRanking();
  showUnit();
  drawGates();
  showAround();
}

function neighbour(by_) {
  const place = state.ranking.indexOf(state.unit) + by_;
  choose(state.ranking[Math.max(0, Math.min(state.ranking.length - 1, place))]);
}
